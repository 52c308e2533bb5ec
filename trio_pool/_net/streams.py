"""Bytes over a non-blocking socket.

A `Stream` is tried at once and waited for only where it would block, so that the common case costs one system
call and no yield. TLS (`tls.py`) is the same kind of thing on top of any stream.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

import trio

_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPALIVE": 60, "TCP_KEEPINTVL": 60, "TCP_KEEPCNT": 5}
"""Seconds, seconds, probes: a peer that vanished behind a NAT is noticed. macOS says KEEPALIVE for KEEPIDLE."""


_UNIX_PAUSE = 0.01
"""Seconds before a Unix socket whose queue is full is tried again."""


class Stream(Protocol):
    """What carries bytes. Every method but the two waits returns at once."""

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        """Up to `max_bytes` bytes, or b"" once the peer has ended its side.

        :raises BlockingIOError: nothing is there yet: `wait_readable`, then try again.
        :raises OSError: the connection is broken.
        """
        ...

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        """How many bytes the network took, at least one. What it did not take must be offered again.

        :param data: not empty.
        :raises BlockingIOError: it takes nothing now: `wait_writable`, then try again.
        :raises OSError: the connection is broken.
        """
        ...

    def readable(self) -> bool:
        """Whether bytes, the end, or an error are there to be received."""
        ...

    def wait_readable(self) -> Awaitable[None]:
        """Wait until `recv_nowait` may succeed; return at once if it would.

        :raises trio.ClosedResourceError: the stream was closed meanwhile.
        :raises trio.BusyResourceError: another task waits already.
        """
        ...

    def wait_writable(self) -> Awaitable[None]:
        """Wait until `send_nowait` may succeed; return at once if it would. Raises as `wait_readable`."""
        ...

    def close(self) -> None:
        """Let go of the connection, at once. Closing twice does nothing."""
        ...


class SocketStream:
    """A connected non-blocking socket as a `Stream`. The hot methods are the socket's own.

    :cvar ends_waits: to close the stream ends its waits, which always yield: so they need no cancel scope of their
        own. Other streams may say so too.
    :ivar poll: gives something true if the socket is readable, or None where the system has no such call.
    """

    __slots__ = ("_socket", "poll", "recv_nowait", "send_nowait", "wait_readable", "wait_writable")

    ends_waits = True

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self.poll = _poll_of(connected)
        self.recv_nowait = connected.recv
        self.send_nowait = connected.send
        self.wait_readable: Callable[[], Awaitable[None]] = partial(trio.lowlevel.wait_readable, connected)
        self.wait_writable: Callable[[], Awaitable[None]] = partial(trio.lowlevel.wait_writable, connected)

    @property
    def raw_socket(self) -> socket.socket:
        """The socket, to be asked and not to be used."""
        return self._socket

    def readable(self) -> bool:
        """Whether bytes, the end, or an error are there to be received."""
        if self._socket.fileno() == -1:
            return True
        if self.poll is not None:
            return bool(self.poll())
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        """Close the socket, and wake whoever waits for it with `trio.ClosedResourceError`."""
        if self._socket.fileno() != -1:
            self.wait_readable = self.wait_writable = (
                _refuse_to_wait  # nobody must wait for what has no number any more
            )
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()


async def _refuse_to_wait() -> None:
    raise trio.ClosedResourceError


def ends_waits(stream: Stream) -> bool:
    """Whether closing this stream, or what it stands on, certainly ends its waits."""
    while (below := getattr(stream, "below", None)) is not None:
        stream = below
    return getattr(type(stream), "ends_waits", False) is True


def poll_of(stream: Stream) -> Callable[[], object] | None:
    """What tells more cheaply than `readable` whether a stream is readable, or None."""
    return stream.poll if type(stream) is SocketStream else None


def _poll_of(connected: socket.socket) -> Callable[[], Sequence[object]] | None:
    """What tells at once whether a socket is readable, at a third of the price of a failed `recv`; not on Windows."""
    if not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return partial(poll.poll, 0)


async def connect_tcp(host: str, port: int) -> SocketStream:
    """Connect to an IP address.

    :raises OSError: it cannot be reached, or refuses.
    """
    flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=flags
    )[0]
    return await _connect(socket.socket(family, kind, protocol), address)


async def connect_unix(path: str) -> SocketStream:
    """Connect to a Unix socket.

    :raises OSError: nobody listens there, or this system has no Unix sockets.
    """
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise OSError(errno.EAFNOSUPPORT, "this system has no Unix sockets")
    return await _connect(socket.socket(family, socket.SOCK_STREAM), path)


async def _connect(sock: socket.socket, address: Any) -> SocketStream:
    """Connect without blocking; the socket is closed unless it is handed over connected."""
    try:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            _set_tcp_options(sock)
        while True:
            try:
                sock.connect(address)
            except BlockingIOError as delay:
                if delay.errno == errno.EAGAIN:  # a Unix socket with a full queue: nothing is under way, nor tells
                    await trio.sleep(_UNIX_PAUSE)
                    continue
                await trio.lowlevel.wait_writable(sock)
            break
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        return SocketStream(sock)
    except BaseException:
        sock.close()
        raise


def _set_tcp_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
