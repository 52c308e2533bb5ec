"""Peers on loopback, in the test's own run: origins and proxies that do as they are told, and a network that counts.

A peer is a function of a `Visit`, one connection as the server sees it. What such a function reads, it keeps in the
visit, so that a test can say what has arrived and what has not. `Wires` is the client's side: it makes names lead to
loopback, keeps book of what it was asked for, and can let bytes arrive one by one.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import trio

from trio_pool import Stream, SystemNetwork

LOOPBACK = "127.0.0.1"

BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError)


class Gone(Exception):
    """The client has left."""


class Visit:
    """One connection as a peer sees it.

    :ivar received: every byte that was read, in order, whatever layer of TLS it came through.
    :ivar heads: the heads of requests that were read.
    """

    def __init__(self, transport: trio.SocketStream) -> None:
        self.transport = transport
        self.stream: trio.abc.Stream = transport
        self.received = bytearray()
        self.heads: list[bytes] = []
        self._at = 0

    async def secure(self, context: ssl.SSLContext) -> str | None:
        """Speak TLS from here on, inside whatever is spoken already. The name that the client asked for."""
        names: list[str | None] = []
        context.sni_callback = lambda _object, name, _context: names.append(name)
        self.stream = secured = trio.SSLStream(self.stream, context, server_side=True, https_compatible=True)
        try:
            await secured.do_handshake()
        except BROKEN:
            raise Gone from None
        return names[0] if names else None

    async def more(self) -> None:
        """Read once."""
        try:
            data = await self.stream.receive_some(65536)
        except BROKEN:
            raise Gone from None
        if not data:
            raise Gone
        self.received += data

    async def exactly(self, size: int) -> bytes:
        """So many bytes."""
        while len(self.received) < self._at + size:
            await self.more()
        self._at += size
        return bytes(self.received[self._at - size : self._at])

    async def head(self) -> bytes:
        """The next request's head."""
        while (end := self.received.find(b"\r\n\r\n", self._at)) < 0:
            await self.more()
        head = bytes(self.received[self._at : end + 4])
        self._at = end + 4
        self.heads.append(head)
        return head

    async def send(self, data: bytes) -> None:
        """Send."""
        try:
            await self.stream.send_all(data)
        except BROKEN:
            raise Gone from None

    async def until_gone(self) -> None:
        """Read until the client has left."""
        try:
            while True:
                await self.more()
        except Gone:
            return


Peer = Callable[[Visit], Awaitable[None]]
"""What serves a connection; it is closed when this returns."""


class Serving:
    """A running peer.

    :ivar port: where it listens, on IPv4 loopback.
    :ivar visits: the connections that it got, in order.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self.port = 0
        self.visits: list[Visit] = []

    @property
    def heads(self) -> list[bytes]:
        """The heads that were read on all connections."""
        return [head for visit in self.visits for head in visit.heads]

    @property
    def lines(self) -> list[str]:
        """The request lines of these heads."""
        return [head.split(b"\r\n", 1)[0].decode() for head in self.heads]

    async def serve(self, transport: trio.SocketStream) -> None:
        """One connection."""
        visit = Visit(transport)
        self.visits.append(visit)
        try:
            await self._peer(visit)
        except Gone:
            pass
        finally:
            transport.socket.close()


@asynccontextmanager
async def serving(peer: Peer, host: str = LOOPBACK) -> AsyncIterator[Serving]:
    """A peer, for the time of the `async with`."""
    served = Serving(peer)
    listeners = await trio.open_tcp_listeners(0, host=host)
    served.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, served.serve, listeners, handler_nursery=nursery))
        yield served
        nursery.cancel_scope.cancel()


def answer(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """A whole response with a length."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


async def answer_all(visit: Visit) -> None:
    """Answer each request with its request line."""
    while True:
        head = await visit.head()
        await visit.send(answer(head.split(b"\r\n", 1)[0]))


def secured(context: ssl.SSLContext, peer: Peer = answer_all) -> Peer:
    """The peer, over TLS."""

    async def over_tls(visit: Visit) -> None:
        await visit.secure(context)
        await peer(visit)

    return over_tls


def tunnelling(
    context: ssl.SSLContext, peer: Peer = answer_all, reply: bytes = b"HTTP/1.1 200 Connected\r\n\r\n"
) -> Peer:
    """A proxy that takes every CONNECT, and the origin behind it in one: it is spoken to over TLS in the tunnel."""

    async def connected(visit: Visit) -> None:
        await visit.head()
        await visit.send(reply)
        await visit.secure(context)
        await peer(visit)

    return connected


def in_turn(*peers: Peer) -> Peer:
    """Each peer for one connection, the last one for all that follow."""
    rest = list(peers)

    async def take_turns(visit: Visit) -> None:
        await (rest.pop(0) if len(rest) > 1 else rest[0])(visit)

    return take_turns


def fields_of(head: bytes) -> dict[str, str]:
    """The fields of a head, their names in lower case, each once."""
    found: dict[str, str] = {}
    for line in head.decode("latin-1").split("\r\n")[1:-2]:
        name, _, value = line.partition(":")
        assert name.lower() not in found, f"{name} was sent twice"
        found[name.lower()] = value.strip()
    return found


class Wire:
    """A stream that is counted until it is closed."""

    def __init__(self, stream: Stream, wires: Wires) -> None:
        self._stream = stream
        self._wires = wires
        self.send_nowait = stream.send_nowait
        self.readable = stream.readable
        self.wait_readable = stream.wait_readable
        self.wait_writable = stream.wait_writable
        wires.open += 1
        self._is_open = True

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        data = self._stream.recv_nowait(min(max_bytes, self._wires.most))
        self._wires.taken += len(data)
        return data

    def close(self) -> None:
        self._wires.open -= self._is_open
        self._is_open = False
        self._stream.close()


class Wires(SystemNetwork):
    """The client's side: every name leads to loopback.

    :ivar asked: the names that were to be resolved, in order.
    :ivar dialled: the addresses that were dialled.
    :ivar open: connections that are open now.
    :ivar most: bytes that arrive at a time at most.
    :ivar taken: bytes that were received, in all.
    """

    def __init__(self, most: int = sys.maxsize) -> None:
        super().__init__()
        self.most = most
        self.asked: list[str] = []
        self.dialled: list[tuple[str, int]] = []
        self.open = 0
        self.taken = 0

    async def resolve(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        self.asked.append(host)
        return [(LOOPBACK, port)]

    async def connect(self, address: tuple[str, int]) -> Stream:
        self.dialled.append(address)
        return Wire(await super().connect(address), self)
