"""The `network_stream` of a response: what is known of its connection, and after a 101 or CONNECT, the connection.

Its errors are those of the library's lower half (httpcore2, httpcore), as whoever speaks through it expects.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal

import trio

from .._net.streams import Stream
from .._net.switched import SwitchedStream

NetworkError = Literal["ReadTimeout", "ReadError", "WriteTimeout", "WriteError", "ConnectTimeout", "ConnectError"]
Errors = Callable[[], Any]
"""Gives the module that has the errors. It is imported when one is needed, and not before."""


class NetworkStream:
    """What the ecosystem calls a network stream.

    :param stream: what carries the bytes.
    :param errors: gives the module that has the errors.
    :param switched: the connection in another protocol, or None while it speaks HTTP.
    """

    __slots__ = ("_errors", "_over", "_stream", "_switched")

    def __init__(self, stream: Stream, errors: Errors, switched: SwitchedStream | None = None) -> None:
        self._stream = stream
        self._errors = errors
        self._switched = switched
        self._over: NetworkStream | None = None  # TLS on this

    @property
    def speaks_http(self) -> bool:
        """Whether the connection is still its response's."""
        return self._switched is None

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes, or b"" once the peer has ended its side.

        :param max_bytes: the most that is wanted.
        :param timeout: seconds; None for no limit.
        """
        switched = self._other_protocol("ReadError")
        with self._raising("ReadTimeout", "ReadError", timeout):
            return await switched.receive_some(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it.

        :param buffer: the bytes.
        :param timeout: seconds; None for no limit.
        """
        switched = self._other_protocol("WriteError")
        with self._raising("WriteTimeout", "WriteError", timeout):
            await switched.send_all(buffer)

    async def aclose(self) -> None:
        """Close the connection, if it speaks another protocol; else it is its response's to close."""
        if self._over is not None:
            await self._over.aclose()
        elif self._switched is not None:
            await self._switched.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        """Shake hands on what is there; what speaks through this one from now on is the new one.

        :param ssl_context: says what is trusted.
        :param server_hostname: the name that is asked for and checked.
        :param timeout: seconds; None for no limit.
        """
        switched = self._other_protocol("ConnectError")
        with self._raising("ConnectTimeout", "ConnectError", timeout):
            secure = await switched.start_tls(ssl_context, server_hostname)
        self._over = NetworkStream(secure.stream, self._errors, secure)
        return self._over

    def get_extra_info(self, info: str) -> Any:
        """What is known of the connection: "ssl_object", "socket", "client_addr", "server_addr" or "is_readable".

        :param info: what is wanted; None comes back for anything else, and for what is not known.
        """
        if info == "ssl_object":
            return getattr(self._stream, "ssl_object", None)
        if info == "is_readable":
            return self._stream.readable()
        name = _OF_SOCKET.get(info)
        found = _socket_of(self._stream)
        if name is None or found is None:
            return None
        try:
            return getattr(found, name)() if name else found
        except OSError:  # it is closed
            return None

    # ---- how ----

    def _other_protocol(self, kind: NetworkError) -> SwitchedStream:
        if self._switched is None:
            raise getattr(self._errors(), kind)("the connection speaks HTTP: its bytes are the response's")
        return self._switched

    @contextmanager
    def _raising(self, slow: NetworkError, broken: NetworkError, timeout: float | None) -> Generator[None]:
        try:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                yield
        except trio.TooSlowError as error:
            raise getattr(self._errors(), slow)(f"nothing came of it in {timeout} s") from error
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.BusyResourceError) as error:
            raise getattr(self._errors(), broken)(str(error)) from error


_OF_SOCKET = {"socket": "", "client_addr": "getsockname", "server_addr": "getpeername"}


def _socket_of(stream: Any) -> Any:
    """The socket that carries it all, or None where a network of the user's own has none."""
    while (below := getattr(stream, "below", None)) is not None:
        stream = below
    return getattr(stream, "raw_socket", None)
