"""Both ends of a connection in memory: the client's as a `Stream`, the server's as callbacks.

They behave as TCP does where a client can tell:

- bytes that arrived before an end or a reset can be read before that is seen;
- who closes with unread bytes resets; who sends to an end that was closed is answered with a reset; who sends after one
  gets EPIPE;
- a wait always yields, and ends with `trio.ClosedResourceError` when its own end is closed.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable
from typing import Protocol

import trio

from .pipes import End, Pipe


def broken(number: int) -> OSError:
    """The error that the operating system would give."""
    return OSError(number, os.strerror(number))


class VirtualStream:
    """The client's end: a `trio_pool` stream.

    :param incoming: from the server.
    :param outgoing: to the server.
    :param when_closed: is called once, when this end is closed.
    :ivar is_closed: whether it is.
    """

    __slots__ = (
        "_has_ended",
        "_incoming",
        "_is_all_sent",
        "_is_broken",
        "_is_new",
        "_outgoing",
        "_reader",
        "_unread",
        "_when_closed",
        "_writer",
        "is_closed",
    )

    ends_waits = True

    def __init__(self, incoming: Pipe, outgoing: Pipe, when_closed: Callable[[], None]) -> None:
        incoming.receiver = self
        outgoing.when_writable = self._wake_writer
        self._incoming = incoming
        self._outgoing = outgoing
        self._when_closed = when_closed
        self._unread = b""
        self._is_all_sent = True  # what was to be sent at last
        self._is_new = True  # what is sent next: it begins a request
        self._has_ended = self._is_broken = self.is_closed = False
        self._reader: trio.lowlevel.Task | None = None
        self._writer: trio.lowlevel.Task | None = None

    # ---- what a Stream has ----

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        """Up to so many bytes, or b"" once the server has ended its side."""
        self._check()
        if not self._unread:
            return self._received_nothing()
        self._is_new = self._is_all_sent
        data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        self._incoming.took(len(data))
        return data

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        """How many bytes were taken."""
        self._check()
        if self._is_new and (self._has_ended or self._is_broken):
            self._outgoing.engine.accuse("a request was sent on a connection that was known to have ended")
        if self._is_broken:
            raise broken(errno.EPIPE)
        self._is_new = False
        size = min(len(data), self._outgoing.room)
        self._is_all_sent = size == len(data)
        if size > 0:
            self._outgoing.put(bytes(data[:size]))
            return size
        if data:
            raise BlockingIOError(errno.EAGAIN, "nothing is taken")
        return 0

    def readable(self) -> bool:
        """Whether bytes, the end, or an error are there to be received."""
        return bool(self._unread) or self._has_ended or self._is_broken or self.is_closed

    async def wait_readable(self) -> None:
        """Wait until `recv_nowait` may succeed."""
        if self._reader is not None:
            raise trio.BusyResourceError("another task waits already")
        if self.readable():
            await trio.lowlevel.checkpoint()
        else:
            self._reader = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._stop_reading)
        if self.is_closed:
            raise trio.ClosedResourceError("the stream was closed")

    async def wait_writable(self) -> None:
        """Wait until `send_nowait` may succeed."""
        if self._writer is not None:
            raise trio.BusyResourceError("another task waits already")
        if self._outgoing.room > 0 or self._is_broken or self.is_closed:
            await trio.lowlevel.checkpoint()
        else:
            self._writer = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._stop_writing)
        if self.is_closed:
            raise trio.ClosedResourceError("the stream was closed")

    def close(self) -> None:
        """Let go of the connection; unread bytes make it a reset."""
        if self.is_closed:
            return
        self.is_closed = True
        if not self._is_broken:
            self._outgoing.end("reset" if self._unread else "fin")
        self._wake_reader()
        self._wake_writer()
        self._when_closed()

    # ---- what comes from the server ----

    def arrived(self, data: bytes) -> None:
        """Some bytes; nobody reads them once this end is closed."""
        if not self.is_closed:
            self._unread = self._unread + data if self._unread else data
            self._wake_reader()

    def ended(self, how: End) -> None:
        """The server has ended its side, or the connection."""
        if how == "fin":
            self._has_ended = True
        else:
            self._is_broken = True
            self._wake_writer()
        self._wake_reader()

    # ---- how ----

    def _check(self) -> None:
        if self.is_closed:
            raise broken(errno.EBADF)

    def _received_nothing(self) -> bytes:
        if self._has_ended:
            return b""
        if self._is_broken:
            raise broken(errno.ECONNRESET)
        raise BlockingIOError(errno.EAGAIN, "nothing is there")

    def _stop_reading(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _stop_writing(self, _: object) -> trio.lowlevel.Abort:
        self._writer = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake_reader(self) -> None:
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader)
            self._reader = None

    def _wake_writer(self) -> None:
        if self._writer is not None:
            trio.lowlevel.reschedule(self._writer)
            self._writer = None


class Handler(Protocol):
    """Who speaks for a server on one connection."""

    def received(self, data: bytes) -> None:
        """The client has sent these bytes."""
        ...

    def left(self) -> None:
        """The client has closed or broken the connection."""
        ...


class ServerEnd:
    """The server's end. What it sends and there is no room for goes out when there is.

    :param incoming: from the client.
    :param outgoing: to the client.
    :ivar handler: is told what the client does, until this end is closed.
    :ivar is_closed: whether it is, or the client has gone.
    """

    __slots__ = ("_backlog", "_end", "_incoming", "_is_done", "_outgoing", "handler", "is_closed")

    def __init__(self, incoming: Pipe, outgoing: Pipe) -> None:
        incoming.receiver = self
        outgoing.when_writable = self._flush
        self.handler: Handler
        self.is_closed = False
        self._incoming = incoming
        self._outgoing = outgoing
        self._backlog: deque[bytes] = deque()
        self._is_done = False  # nothing is added to the backlog
        self._end: End | None = None  # what was sent after it

    def send(self, data: bytes) -> None:
        """Send all of it, in time; nothing once this end is closed."""
        if self._is_done:
            return
        if not self._backlog and len(data) <= self._outgoing.room:
            self._outgoing.put(data)
        else:
            self._backlog.append(data)
            self._flush()

    def send_end(self) -> None:
        """Send no more; the client may go on."""
        if not self._is_done:
            self._is_done = True
            self._flush()

    def close(self) -> None:
        """Send no more and listen no more: whatever comes is answered with a reset."""
        self.is_closed = True
        self.send_end()

    def reset(self) -> None:
        """Break the connection."""
        self.is_closed = self._is_done = True
        self._backlog.clear()
        if self._end != "reset":
            self._end = "reset"
            self._outgoing.end("reset")

    # ---- what comes from the client ----

    def arrived(self, data: bytes) -> None:
        """Some bytes."""
        self._incoming.took(len(data))
        if self.is_closed:
            self.reset()
        else:
            self.handler.received(data)

    def ended(self, how: End) -> None:  # noqa: ARG002  # who ends its side alone wants no answer either
        """The client has gone."""
        self._backlog.clear()
        self._is_done = True
        if not self.is_closed:
            self.is_closed = True
            self.handler.left()

    # ---- how ----

    def _flush(self) -> None:
        backlog, pipe = self._backlog, self._outgoing
        while backlog and pipe.room > 0:
            data = backlog.popleft()
            if len(data) > pipe.room:
                backlog.appendleft(data[pipe.room :])
            pipe.put(data[: pipe.room])
        if self._is_done and not backlog and self._end is None:
            self._end = "fin"
            pipe.end("fin")
