"""A connection that speaks another protocol now: after a 101, or a CONNECT that succeeded."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio

from .streams import Stream
from .tls import TLSStream

T = TypeVar("T")


class SwitchedStream(trio.abc.Stream):
    """The bytes of a connection, for whoever speaks its new protocol. What had been read already comes first.

    It obeys trio's contract for streams, its errors included, so that it goes wherever trio's own streams go. There is
    no timeout but the caller's. It is the caller's to close; that frees its place in the pool.

    :ivar stream: what carries the bytes, to be asked and not to be used.
    """

    def __init__(self, stream: Stream, surplus: bytes, release: Callable[[], None]) -> None:
        self.stream = self._stream = stream
        self._surplus = surplus
        self._release: Callable[[], None] | None = release

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of the data.

        :raises trio.BrokenResourceError: the connection broke.
        :raises trio.ClosedResourceError: this stream was closed.
        """
        await trio.lowlevel.checkpoint()
        self._check()
        rest = memoryview(data)
        while rest:
            rest = rest[await self._attempt(partial(self._stream.send_nowait, rest), self._stream.wait_writable) :]

    async def wait_send_all_might_not_block(self) -> None:
        """Wait until sending may succeed. Raises as `send_all`."""
        self._check()
        await self._stream.wait_writable()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Some bytes, or b"" once the peer has ended its side. Raises as `send_all`."""
        await trio.lowlevel.checkpoint()
        size = 65536 if max_bytes is None else max_bytes
        if size < 1:
            raise ValueError("max_bytes must be at least 1")
        if self._surplus:
            self._check()
            data, self._surplus = self._surplus[:size], self._surplus[size:]
            return data
        return await self._attempt(partial(self._stream.recv_nowait, size), self._stream.wait_readable)

    async def start_tls(self, context: ssl.SSLContext, server_hostname: str | None) -> SwitchedStream:
        """Agree on TLS. This stream is done with then: what comes back is the caller's to close.

        :param context: what the peer is checked by and shown.
        :param server_hostname: the name that is asked for and checked.
        :raises trio.BrokenResourceError: no agreement was found, and the connection is closed. Raises as `send_all`.
        """
        self._check()
        release, self._release = self._release, None
        assert release is not None
        stream = _Prefixed(self._stream, self._surplus) if self._surplus else self._stream
        try:
            secure = TLSStream(stream, context, server_hostname)
            await secure.handshake()
        except (OSError, ValueError) as error:
            release()
            raise trio.BrokenResourceError(str(error)) from error
        except BaseException:
            release()
            raise

        def close() -> None:
            secure.close()
            release()

        return SwitchedStream(secure, b"", close)

    async def aclose(self) -> None:
        """Close the connection."""
        release, self._release = self._release, None
        if release is not None:
            release()
        await trio.lowlevel.checkpoint()

    async def _attempt(self, act: Callable[[], T], wait: Callable[[], Awaitable[None]]) -> T:
        while True:
            self._check()
            try:
                return act()
            except BlockingIOError:
                await wait()
            except OSError as error:
                raise trio.BrokenResourceError(str(error)) from error

    def _check(self) -> None:
        if self._release is None:
            raise trio.ClosedResourceError("the stream is closed")


class _Prefixed:
    """A stream of which some bytes had been read already."""

    def __init__(self, stream: Stream, prefix: bytes) -> None:
        self.below = stream
        self._prefix = prefix
        self.send_nowait = stream.send_nowait
        self.wait_writable = stream.wait_writable
        self.close = stream.close

    def recv_nowait(self, max_bytes: int) -> bytes:
        """The bytes that had been read, then the stream's own."""
        if not self._prefix:
            return self.below.recv_nowait(max_bytes)
        data, self._prefix = self._prefix[:max_bytes], self._prefix[max_bytes:]
        return data

    def readable(self) -> bool:
        """Whether there is something to be received."""
        return bool(self._prefix) or self.below.readable()

    async def wait_readable(self) -> None:
        """Wait until there is."""
        if not self._prefix:
            await self.below.wait_readable()
