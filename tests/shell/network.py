"""A network in memory: what `trio_pool.Network` and `trio_pool.Stream` ask for, and the servers' side of it.

A connection is two pipes of bounded size. Its client's end is counted while it is open, in all and for each host.
It behaves as a TCP socket does where that matters here: bytes that were sent stay readable after a close; who
closes with unread bytes resets; who sends to an end that was closed gets EPIPE; a wait always yields, and ends
with `trio.ClosedResourceError` when its own end is closed.

Everything by chance comes from one generator, so that a seed repeats a history; `trace` is that history.
"""

from __future__ import annotations

import errno
import hashlib
import math
import os
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, Protocol

import attrs
import outcome
import trio

from trio_pool import SystemNetwork

Address = tuple[str, int]
Kind = Literal["read", "write"]

CAPACITY = 65536
"""Bytes that a pipe holds unless told otherwise."""

ENDLESS = 1000
"""How often the end of a connection may be read before somebody must be turning in circles."""


def broken(number: int) -> OSError:
    """The error that the operating system would give."""
    return OSError(number, os.strerror(number))


@attrs.define(eq=False)
class Pipe:
    """One direction of a connection."""

    capacity: int
    buffer: bytearray = attrs.Factory(bytearray)
    ended: bool = False  # the writer has said its last byte
    reset: bool = False  # … or has broken the connection
    refused: bool = False  # the reader has gone

    @property
    def is_readable(self) -> bool:
        return bool(self.buffer) or self.ended or self.reset

    @property
    def is_writable(self) -> bool:
        return len(self.buffer) < self.capacity or self.refused


class MemoryStream:
    """One end of a connection."""

    ends_waits = True

    def __init__(self, incoming: Pipe, outgoing: Pipe, most: Callable[[int], int]) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._most = most  # how much of what could move moves at once
        self._parked: dict[Kind, trio.lowlevel.Task] = {}
        self._ends_read = 0
        self.is_closed = False
        self.peer: MemoryStream
        self.on_close: Callable[[], None] = lambda: None
        self.sent = 0
        self.received = 0

    # ---- what a Stream has ----

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        self._check()
        pipe = self._incoming
        if pipe.buffer:
            size = self._most(min(max_bytes, len(pipe.buffer)))
            data = bytes(pipe.buffer[:size])
            del pipe.buffer[:size]
            self.received += size
            self.peer._wake("write")
            return data
        if pipe.reset:
            raise broken(errno.ECONNRESET)
        if not pipe.ended:
            raise BlockingIOError(errno.EAGAIN, "nothing is there")
        self._ends_read += 1
        assert self._ends_read < ENDLESS, "the end of the connection is read over and over"
        return b""

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        self._check()
        pipe = self._outgoing
        if pipe.refused or pipe.ended:
            raise broken(errno.EPIPE)
        room = pipe.capacity - len(pipe.buffer)
        if room <= 0:
            raise BlockingIOError(errno.EAGAIN, "nothing is taken")
        size = self._most(min(room, len(data)))
        pipe.buffer += data[:size]
        self.sent += size
        self.peer._wake("read")
        return size

    def readable(self) -> bool:
        return self.is_closed or self._incoming.is_readable

    async def wait_readable(self) -> None:
        await self._wait("read", lambda: self._incoming.is_readable)

    async def wait_writable(self) -> None:
        await self._wait("write", lambda: self._outgoing.is_writable)

    def close(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        self._let_go(reset=bool(self._incoming.buffer))
        for kind in list(self._parked):
            self._wake(kind, trio.ClosedResourceError("closed by another task"))
        self.on_close()

    # ---- what servers have besides ----

    async def receive(self, max_bytes: int = CAPACITY) -> bytes:
        """Some bytes, or b"" at the end."""
        while True:
            try:
                return self.recv_nowait(max_bytes)
            except BlockingIOError:
                await self.wait_readable()

    async def send_all(self, data: bytes) -> None:
        """Send every byte."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.send_nowait(rest) :]
            except BlockingIOError:
                await self.wait_writable()

    def send_eof(self) -> None:
        """End our side; the other may go on."""
        self._outgoing.ended = True
        self.peer._wake("read")

    def reset(self) -> None:
        """Break the connection: the peer can read what has arrived, and then gets ECONNRESET."""
        self._incoming.buffer += b"?"
        self.close()

    # ---- how ----

    def _check(self) -> None:
        if self.is_closed:
            raise broken(errno.EBADF)

    def _let_go(self, *, reset: bool) -> None:
        self._outgoing.ended, self._outgoing.reset = True, reset
        self._incoming.refused = True
        self._incoming.buffer.clear()
        self.peer._wake("read")
        self.peer._wake("write")

    def _wake(self, kind: Kind, error: Exception | None = None) -> None:
        task = self._parked.pop(kind, None)
        if task is not None:
            trio.lowlevel.reschedule(task, *([] if error is None else [_raising(error)]))

    async def _wait(self, kind: Kind, is_ready: Callable[[], bool]) -> None:
        if self.is_closed:
            raise trio.ClosedResourceError("closed already")
        if kind in self._parked:
            raise trio.BusyResourceError("another task waits already")
        if is_ready():
            await trio.lowlevel.checkpoint()
            return

        def leave(_: object) -> trio.lowlevel.Abort:
            del self._parked[kind]
            return trio.lowlevel.Abort.SUCCEEDED

        self._parked[kind] = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(leave)


def _raising(error: Exception) -> outcome.Error:
    return outcome.Error(error)


class Channel(Protocol):
    """What a server speaks through: a `MemoryStream`, or TLS on one."""

    async def receive(self, max_bytes: int = CAPACITY) -> bytes: ...

    async def send_all(self, data: bytes) -> None: ...

    def send_eof(self) -> None: ...

    def reset(self) -> None: ...

    def close(self) -> None: ...


Handler = Callable[[MemoryStream], Awaitable[object]]
"""What serves one connection; it is closed when this returns."""


@attrs.frozen
class Dialling:
    """How one attempt to connect goes.

    :ivar delay: seconds until it succeeds or fails; `math.inf` for never.
    :ivar error: the errno of the failure, or None.
    """

    delay: float = 0.0
    error: int | None = None


@attrs.define(eq=False)
class Host:
    """A server: its name, its addresses, what it does with a connection.

    :ivar resolving: how looking its name up goes.
    :ivar dialling: how a connection to any of its addresses goes; `dials` come first, one each.
    :ivar by_address: how a connection to one address goes, before all others.
    :ivar capacity: bytes on the way from the client, before sending blocks.
    """

    name: str
    handler: Handler
    addresses: Sequence[str]
    resolving: Dialling = Dialling()
    dialling: Dialling = Dialling()
    dials: deque[Dialling] = attrs.Factory(deque)
    by_address: dict[str, Dialling] = attrs.Factory(dict)
    capacity: int = CAPACITY
    served: list[MemoryStream] = attrs.Factory(list)  # the servers' ends, in order
    open: int = 0
    most: int = 0

    def next_dialling(self, address: str) -> Dialling:
        if address in self.by_address:
            return self.by_address[address]
        return self.dials.popleft() if self.dials else self.dialling


class MemoryNetwork(SystemNetwork):
    """The network of one test. Servers run in its nursery.

    :ivar open: client ends that are open now.
    :ivar most: the most there ever were.
    :ivar shreds: whether bytes travel in pieces of random size.
    :ivar attempts: the addresses that were dialled, in order.
    """

    def __init__(self, nursery: trio.Nursery, chance: random.Random) -> None:
        self._nursery = nursery
        self.chance = chance
        self.hosts: dict[str, Host] = {}
        self.open = 0
        self.most = 0
        self.shreds = False
        self.attempts: list[str] = []
        self.resolved: Counter[str] = Counter()
        self._trace = hashlib.sha256()

    def serve(self, name: str, handler: Handler, *, addresses: Sequence[str] = (), capacity: int = CAPACITY) -> Host:
        """A host of this name; it is returned to be made difficult."""
        number = len(self.hosts) + 1
        host = Host(name, handler, addresses or [f"10.0.0.{number}"], capacity=capacity)
        self.hosts[name] = host
        return host

    # ---- what a Network has ----

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        self.note("resolve", host)
        self.resolved[host] += 1
        found = self.hosts.get(host)
        if found is None:
            raise OSError(errno.ENOENT, "the name is not known")
        await self._take_time(found.resolving)
        return [(address, port) for address in found.addresses]

    async def connect(self, address: Address) -> MemoryStream:
        self.note("connect", address[0])
        self.attempts.append(address[0])
        host = next((host for host in self.hosts.values() if address[0] in host.addresses), None)
        if host is None:
            raise broken(errno.ENETUNREACH)
        await self._take_time(host.next_dialling(address[0]))
        return self._connected(host)

    async def connect_unix(self, path: str) -> MemoryStream:
        if path not in self.hosts:
            raise broken(errno.ENOENT)
        return await self.connect((self.hosts[path].addresses[0], 0))

    def random(self) -> float:
        return self.chance.random()

    # ---- how ----

    def note(self, *what: object) -> None:
        """Write down what happens, and when."""
        self._trace.update(repr((round(trio.current_time(), 9), *what)).encode())

    def history(self) -> str:
        """A digest of all that has happened."""
        return self._trace.hexdigest()

    async def _take_time(self, how: Dialling) -> None:
        if how.delay == math.inf:
            await trio.sleep_forever()
        await trio.sleep(how.delay)
        if how.error is not None:
            raise broken(how.error)

    def _connected(self, host: Host) -> MemoryStream:
        up, down = Pipe(host.capacity), Pipe(CAPACITY)
        client, server = self.make(down, up), self.make(up, down)
        client.peer, server.peer = server, client
        client.on_close = lambda: self._count(host, -1)
        self._count(host, 1)
        host.served.append(server)
        self._nursery.start_soon(self._serve, host.handler, server)
        return client

    def make(self, incoming: Pipe, outgoing: Pipe) -> MemoryStream:
        """One end."""
        return MemoryStream(incoming, outgoing, self._portion)

    def _count(self, host: Host, change: int) -> None:
        self.note("open" if change > 0 else "close", host.name)
        self.open += change
        host.open += change
        self.most = max(self.most, self.open)
        host.most = max(host.most, host.open)

    def _portion(self, size: int) -> int:
        if self.shreds and size > 1 and self.chance.random() < 0.5:
            return self.chance.randint(1, size)
        return size

    @staticmethod
    async def _serve(handler: Handler, stream: MemoryStream) -> None:
        try:
            await handler(stream)
        except (OSError, trio.ClosedResourceError):
            pass  # the client has gone, as it may
        finally:
            stream.close()
