"""A server in this process that does what no well-behaved server does, by a script for each connection.

It runs in the test's own nursery on real loopback sockets, so a script and a test can wait for each other by
events. Whatever the script is, a request for `/probe/NONCE` gets its nonce, so that every test can end with the
question whether the client still gets its own answers.
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import trio

Script = Callable[["Visit"], Awaitable[None]]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError)


class Gone(Exception):
    """The client has left."""


class Visit:
    """One connection as the server sees it.

    :ivar number: 0 for the first connection, and so on.
    :ivar received: every byte of it, requests that were read included.
    :param dripping: whether `send` goes byte by byte.
    """

    def __init__(self, number: int, stream: trio.abc.Stream, transport: trio.SocketStream, *, dripping: bool) -> None:
        self.number = number
        self.received = bytearray()
        self._stream = stream
        self._transport = transport
        self._dripping = dripping
        self._at = 0  # how much of what was received is read

    async def body(self, size: int) -> bytes:
        """So many bytes of the request after its head."""
        while len(self.received) < self._at + size:
            await self.more()
        body = bytes(self.received[self._at : self._at + size])
        self._at += size
        return body

    async def more(self, size: int = 65536) -> None:
        """Receive once.

        :raises Gone: there is nothing more to come.
        """
        try:
            data = await self._stream.receive_some(size)
        except _BROKEN:
            raise Gone from None
        if not data:
            raise Gone
        self.received += data

    async def head(self) -> bytes:
        """The next request's head."""
        while (end := self.received.find(b"\r\n\r\n", self._at)) < 0:
            await self.more()
        head = bytes(self.received[self._at : end + 4])
        self._at = end + 4
        return head

    async def request(self) -> bytes:
        """The next request, with its body if that has a length."""
        head = await self.head()
        found = _LENGTH.search(head)
        return head + await self.body(int(found[1]) if found else 0)

    async def send(self, data: bytes) -> None:
        """Send; byte by byte if the visit is dripping, each byte seen by the client before the next."""
        pieces = [data[at : at + 1] for at in range(len(data))] if self._dripping else [data]
        await self.send_pieces(pieces)

    async def send_pieces(self, pieces: list[bytes]) -> None:
        """Send each piece by itself: over TLS a record each. Others get their turn in between."""
        try:
            for piece in pieces:
                await self._stream.send_all(piece)
                await trio.lowlevel.checkpoint()
        except _BROKEN:
            raise Gone from None

    async def send_records_at_once(self, pieces: list[bytes]) -> None:
        """Send the pieces so that they arrive together; over TLS as a record each, in one segment."""
        self._transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        for piece in pieces:
            await self._stream.send_all(piece)
        self._transport.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    async def end(self) -> None:
        """End the connection as one should: over TLS with close_notify."""
        await self._stream.aclose()

    async def cut(self) -> None:
        """End the TCP connection; TLS is not told."""
        await self._transport.aclose()

    async def reset(self) -> None:
        """Break the connection (RST)."""
        self._transport.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self._transport.aclose()

    async def until_gone(self) -> None:
        """Read until the client has left."""
        try:
            while True:
                await self.more()
        except Gone:
            return


class Scripted:
    """A running scripted server.

    :ivar url: its address, without a slash at its end.
    :ivar visits: the connections it got, in order.
    :ivar heads: the request heads that were read by `answering`, in order.
    :ivar failed_handshakes: how many TLS handshakes came to nothing.
    """

    def __init__(self, script: Script, tls: ssl.SSLContext | None, *, dripping: bool) -> None:
        self.url = ""
        self.visits: list[Visit] = []
        self.failed_handshakes: list[str] = []
        self._script = script
        self._tls = tls
        self._dripping = dripping

    async def serve(self, transport: trio.SocketStream) -> None:
        """One connection."""
        stream: trio.abc.Stream = transport
        try:
            if self._tls is not None:
                stream = secure = trio.SSLStream(transport, self._tls, server_side=True)
                await secure.do_handshake()
        except trio.BrokenResourceError as error:
            self.failed_handshakes.append(str(error.__cause__))
            await transport.aclose()
            return
        visit = Visit(len(self.visits), stream, transport, dripping=self._dripping)
        self.visits.append(visit)
        try:
            await self._script(visit)
        except Gone:
            pass
        finally:
            transport.socket.close()


@asynccontextmanager
async def scripted(
    script: Script,
    tls: ssl.SSLContext | None = None,
    *,
    host: str = "localhost",
    dripping: bool = False,
    options: tuple[tuple[int, int, int], ...] = (),
) -> AsyncIterator[Scripted]:
    """A scripted server, on IPv4 loopback, for the time of the `async with`.

    :param tls: its context; None for a plain server.
    :param host: what its URL calls it.
    :param options: socket options, inherited by its connections.
    """
    server = Scripted(script, tls, dripping=dripping)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    for option in options:
        listeners[0].socket.setsockopt(*option)
    port = listeners[0].socket.getsockname()[1]
    server.url = f"{'http' if tls is None else 'https'}://{host}:{port}"
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, server.serve, listeners, handler_nursery=nursery))
        yield server
        nursery.cancel_scope.cancel()


def answer(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A whole response with a length."""
    return b"\r\n".join([b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields, b"", body])


def nonce_of(head: bytes) -> bytes | None:
    """The nonce of a probe, or None if it is something else that is asked."""
    target = head.split(b" ", 2)[1]
    return target.removeprefix(b"/probe/") if target.startswith(b"/probe/") else None


def probing(case: Script, *, reads_body: bool = True) -> Script:
    """A script that answers probes, and does `case` for any other request; then goes on, unless that raised.

    :param reads_body: whether a request's body is read before its case; if not, the case has to.
    """

    async def script(visit: Visit) -> None:
        while True:
            request = await (visit.request() if reads_body else visit.head())
            nonce = nonce_of(request)
            if nonce is None:
                await case(visit)
            else:
                await visit.send_pieces([answer(b"" if request.startswith(b"HEAD ") else nonce)])

    return script
