"""A connection in memory that takes time: two pipes, the client's end as a `Stream`, the server's end as callbacks.

It behaves as TCP does where a client can tell:

- bytes arrive in order, none are lost, each after the way's latency and when the line has had the time to send it;
- a pipe has a bounded size, and what is on its way or unread counts; room comes back as soon as something is read (the
  news of that would take half a round trip in the world);
- bytes that arrived before an end or a reset can be read before that is seen;
- who closes with unread bytes resets; who sends to an end that was closed is answered with a reset; who sends after one
  gets EPIPE;
- a wait always yields, and ends with `trio.ClosedResourceError` when its own end is closed.

What would arrive at once is handed over at once, without the agenda.
"""

from __future__ import annotations

import errno
import math
import os
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

import attrs
import outcome
import trio

from .engine import Engine

End = Literal["fin", "reset"]

SEGMENT = 16384
"""Bytes that arrive together at most where the line has a bandwidth."""


@attrs.frozen(kw_only=True)
class Way:
    """What lies between two ends.

    :ivar latency: seconds in each direction.
    :ivar bandwidth: bytes a second in each direction.
    :ivar capacity: bytes that may be on their way or unread in each direction.
    :ivar dark_until: until when nothing arrives, by trio's clock, as things stand.
    """

    latency: float = 0.0
    bandwidth: float = math.inf
    capacity: int = 65536
    dark_until: Callable[[], float] = lambda: -math.inf


def broken(number: int) -> OSError:
    """The error that the operating system would give."""
    return OSError(number, os.strerror(number))


class Receiver(Protocol):
    """Who is told of what comes out of a pipe."""

    def arrived(self, data: bytes) -> None:
        """Some bytes, at least one."""
        ...

    def ended(self, how: End) -> None:
        """Nothing follows."""
        ...


class Pipe:
    """One direction of a connection.

    :param engine: has the agenda.
    :param way: how long everything takes.
    :param name: what it is called in the history.
    :ivar receiver: is told of what comes out.
    :ivar when_writable: is called when there is room again after there was none.
    :ivar room: bytes that it still takes.
    """

    __slots__ = ("_engine", "_free_at", "_name", "_on_the_way", "_way", "receiver", "room", "when_writable")

    def __init__(self, engine: Engine, way: Way, name: str) -> None:
        self.receiver: Receiver
        self.when_writable: Callable[[], None]
        self.room = way.capacity
        self._engine = engine
        self._way = way
        self._name = name
        self._free_at = -math.inf  # when the line has sent what was put in
        self._on_the_way = 0

    def put(self, data: bytes) -> None:
        """Send all of it; it is not more than there is room for."""
        self._engine.note(f"{self._name} {len(data)}")
        self.room -= len(data)
        if self._way.bandwidth == math.inf or len(data) <= SEGMENT:
            self._send(len(data), self._arrive, data)
            return
        for start in range(0, len(data), SEGMENT):
            piece = data[start : start + SEGMENT]
            self._send(len(piece), self._arrive, piece)

    def end(self, how: End) -> None:
        """Nothing follows."""
        self._engine.note(f"{self._name} {how}")
        self._send(0, self._end, how)

    def took(self, size: int) -> None:
        """The receiver has read so many bytes."""
        was_full = self.room <= 0
        self.room += size
        if was_full:
            self.when_writable()

    def _send(self, size: int, arrive: Callable[..., None], what: bytes | End) -> None:
        way, now = self._way, self._engine.now()
        self._free_at = max(self._free_at, now) + size / way.bandwidth
        due = max(self._free_at + way.latency, way.dark_until())
        self._on_the_way += 1
        if due <= now and self._on_the_way == 1:
            arrive(what)
        else:
            self._engine.at(due, arrive, what)

    def _arrive(self, data: bytes) -> None:
        self._on_the_way -= 1
        self.receiver.arrived(data)

    def _end(self, how: End) -> None:
        self._on_the_way -= 1
        self.receiver.ended(how)


class VirtualStream:
    """The client's end: a `trio_pool` stream.

    :param incoming: from the server.
    :param outgoing: to the server.
    :param when_closed: is called once, when this end is closed.
    :ivar is_closed: whether it is.
    """

    __slots__ = (
        "_has_ended", "_incoming", "_is_broken", "_outgoing", "_reader", "_unread", "_when_closed", "_writer", "is_closed"
    )  # fmt: skip

    ends_waits = True

    def __init__(self, incoming: Pipe, outgoing: Pipe, when_closed: Callable[[], None]) -> None:
        incoming.receiver = self
        outgoing.when_writable = self._wake_writer
        self._incoming = incoming
        self._outgoing = outgoing
        self._when_closed = when_closed
        self._unread = b""
        self._has_ended = self._is_broken = self.is_closed = False
        self._reader: trio.lowlevel.Task | None = None
        self._writer: trio.lowlevel.Task | None = None

    # ---- what a Stream has ----

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        """Up to so many bytes, or b"" once the server has ended its side."""
        self._check()
        if not self._unread:
            return self._received_nothing()
        data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        self._incoming.took(len(data))
        return data

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        """How many bytes were taken."""
        self._check()
        if self._is_broken:
            raise broken(errno.EPIPE)
        size = min(len(data), self._outgoing.room)
        if size <= 0:
            raise BlockingIOError(errno.EAGAIN, "nothing is taken")
        self._outgoing.put(bytes(data[:size]))
        return size

    def readable(self) -> bool:
        """Whether bytes, the end, or an error are there to be received."""
        return bool(self._unread) or self._has_ended or self._is_broken or self.is_closed

    async def wait_readable(self) -> None:
        """Wait until `recv_nowait` may succeed."""
        if self._reader is not None:
            raise trio.BusyResourceError("another task waits already")
        if self.readable():
            await self._yield()
            return
        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._stop_reading)

    async def wait_writable(self) -> None:
        """Wait until `send_nowait` may succeed."""
        if self._writer is not None:
            raise trio.BusyResourceError("another task waits already")
        if self._outgoing.room > 0 or self._is_broken or self.is_closed:
            await self._yield()
            return
        self._writer = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._stop_writing)

    def close(self) -> None:
        """Let go of the connection; unread bytes make it a reset."""
        if self.is_closed:
            return
        self.is_closed = True
        if not self._is_broken:
            self._outgoing.end("reset" if self._unread else "fin")
        self._wake_reader(_closed())
        self._wake_writer(_closed())
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

    async def _yield(self) -> None:
        if not self.is_closed:
            await trio.lowlevel.checkpoint()
        if self.is_closed:
            raise trio.ClosedResourceError("closed already")

    def _stop_reading(self, _: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _stop_writing(self, _: object) -> trio.lowlevel.Abort:
        self._writer = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake_reader(self, error: outcome.Error | None = None) -> None:
        if self._reader is not None:
            trio.lowlevel.reschedule(self._reader, *([] if error is None else [error]))
            self._reader = None

    def _wake_writer(self, error: outcome.Error | None = None) -> None:
        if self._writer is not None:
            trio.lowlevel.reschedule(self._writer, *([] if error is None else [error]))
            self._writer = None


def _closed() -> outcome.Error:
    return outcome.Error(trio.ClosedResourceError("closed by another task"))


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
