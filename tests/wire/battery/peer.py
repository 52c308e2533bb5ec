"""A server's end of one connection, plain or over TLS, that reads strictly and can misbehave in every way.

TLS is an `ssl.SSLObject` between two memory buffers, so that a record, a close_notify and the end of the TCP connection
are three things that a test can send apart.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import struct
from functools import lru_cache

import attrs
import trio
import trustme

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/1\.1" % TOKEN)
_FIELD = re.compile(rb"(%b): ((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)" % TOKEN)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")

BYTEWISE_HEAD, BYTEWISE_TAIL, BYTEWISE_MOST = 100, 200, 400


class Gone(Exception):
    """The client has left."""


class Illegal(Exception):
    """The client sent something that is no HTTP/1.1."""


@attrs.frozen
class Received:
    """A request as it came.

    :ivar visit: the number of its connection.
    :ivar body: None if it was not read, or not to its end.
    """

    visit: int
    method: str
    target: str
    fields: list[tuple[str, str]]
    body: bytes | None

    def values(self, name: str) -> list[str]:
        """The values of the fields of this name."""
        return [value for found, value in self.fields if found.lower() == name]


@lru_cache(maxsize=1)
def authority() -> trustme.CA:
    """Who signs the server's certificate."""
    return trustme.CA()


@lru_cache(maxsize=2)
def server_context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """What the server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    authority().issue_cert("127.0.0.1").configure_cert(context)
    return context


@lru_cache(maxsize=1)
def client_context() -> ssl.SSLContext:
    """What trusts the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


class Peer:
    """The server's end of one connection.

    :ivar number: 0 for the first connection, and so on.
    :ivar unread: what was received and is no part of a request that was read.
    """

    def __init__(
        self, sock: trio.socket.SocketType, number: int, tls: ssl.SSLContext | None, *, bytewise: bool
    ) -> None:
        self.number = number
        self.unread = bytearray()
        self._sock = sock
        self._bytewise = bytewise
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_side=True)

    # ---- receiving ----

    async def open(self, greeting: bytes = b"") -> None:
        """Agree with the client, if this is TLS, and greet it: over TLS in the segment that ends the handshake."""
        while self._tls is not None:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                break
        await self.send_at_once([greeting] if greeting else [])

    async def receive(self) -> bytes:
        """Some bytes; b"" once the client has ended its side, or the connection is broken."""
        try:
            if self._tls is None:
                return await self._sock.recv(65536)
            return await self._receive_tls(self._tls)
        except (OSError, trio.ClosedResourceError):  # what ssl raises among them
            return b""

    async def _receive_tls(self, tls: ssl.SSLObject) -> bytes:
        while True:
            try:
                return tls.read(65536)
            except ssl.SSLWantReadError:
                await self._fill()

    async def _fill(self) -> None:
        ciphertext = await self._sock.recv(65536)
        if ciphertext:
            self._incoming.write(ciphertext)
        else:
            self._incoming.write_eof()

    async def more(self) -> None:
        """Receive once.

        :raises Gone: there is nothing more to come.
        """
        data = await self.receive()
        if not data:
            raise Gone
        self.unread += data

    def has_more(self) -> bool:
        """Whether anything is there beside the requests that were read: here, in the TLS object, or in the socket."""
        is_more = bool(self.unread) or self._incoming.pending > 0
        return is_more or bool(select.select([self._sock], [], [], 0)[0])

    async def until_gone(self) -> bytes:
        """Everything that still comes."""
        while data := await self.receive():
            self.unread += data
        return bytes(self.unread)

    async def head(self) -> Received:
        """The head of the next request, strictly.

        :raises Illegal: it is none.
        """
        while (end := self.unread.find(b"\r\n\r\n")) < 0:
            await self.more()
        lines = bytes(self.unread[:end]).split(b"\r\n")
        del self.unread[: end + 4]
        request_line = _REQUEST_LINE.fullmatch(lines[0])
        fields = [_FIELD.fullmatch(line) for line in lines[1:]]
        if request_line is None or None in fields:
            raise Illegal(f"an illegal head: {lines!r}")
        pairs = [(field[1].decode(), field[2].decode("latin-1")) for field in fields if field is not None]
        request = Received(self.number, request_line[1].decode(), request_line[2].decode(), pairs, None)
        framings = len(request.values("content-length")) + len(request.values("transfer-encoding"))
        if len(request.values("host")) != 1 or framings > 1:
            raise Illegal(f"not one Host, or several framings: {lines!r}")
        return request

    async def body(self, request: Received) -> bytes:
        """The body of a request whose head has been read."""
        if request.values("transfer-encoding"):
            return await self._chunks()
        lengths = request.values("content-length") or ["0"]
        return await self._exactly(int(lengths[0]))

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            while (end := self.unread.find(b"\r\n")) < 0:
                await self.more()
            line = _CHUNK.fullmatch(self.unread[: end + 2])
            if line is None:
                raise Illegal(f"an illegal chunk: {bytes(self.unread[:40])!r}")
            size = int(line[1], 16)
            del self.unread[: end + 2]
            body += await self._exactly(size)
            if await self._exactly(2) != b"\r\n":
                raise Illegal("a chunk without its end")
            if size == 0:
                return body

    async def _exactly(self, size: int) -> bytes:
        while len(self.unread) < size:
            await self.more()
        data = bytes(self.unread[:size])
        del self.unread[:size]
        return data

    # ---- sending ----

    async def send(self, data: bytes) -> None:
        """Send; byte by byte, each a record of its own over TLS, if the peer is bytewise.

        Of what is long only the beginning and the end go byte by byte.
        """
        for piece in _pieces(data) if self._bytewise else [data]:
            await self.send_at_once([piece])
            await trio.lowlevel.checkpoint()  # with the one in sending, the client has its turn

    async def send_at_once(self, pieces: list[bytes], *, goodbye: bool = False) -> None:
        """Send the pieces in one segment; over TLS each is a record of its own, and so is the goodbye.

        :raises Gone: the client has left.
        """
        if self._tls is None:
            await self.send_raw(b"".join(pieces))
        else:
            for piece in pieces:
                self._tls.write(piece)
        if goodbye:
            return await self.goodbye()
        return await self._flush()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            await self.send_raw(self._outgoing.read())

    async def send_raw(self, data: bytes) -> None:
        """Send bytes as they are, whatever the client takes them for."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[await self._sock.send(rest) :]
        except (OSError, trio.ClosedResourceError):
            raise Gone from None

    # ---- leaving ----

    async def goodbye(self) -> None:
        """End our side and leave the connection open: close_notify over TLS, else a FIN."""
        if self._tls is None:
            return self._shut_down()
        try:
            self._tls.unwrap()
        except ssl.SSLError:  # the client's own is not here yet
            pass
        return await self._flush()

    async def end(self) -> None:
        """End the connection as one should."""
        try:
            await self.goodbye()
        finally:
            self.cut()

    async def half(self) -> None:
        """End our side of the TCP connection, TLS is not told, and leave the other one open."""
        self._shut_down()

    def _shut_down(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            raise Gone from None

    def cut(self) -> None:
        """Close the TCP connection; TLS is not told."""
        self._sock.close()

    def reset(self) -> None:
        """Break the connection (RST)."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()


def _pieces(data: bytes) -> list[bytes]:
    """Single bytes; of what is long only the first and the last ones are single."""
    if len(data) <= BYTEWISE_MOST:
        return [data[at : at + 1] for at in range(len(data))]
    middle = [data[BYTEWISE_HEAD:-BYTEWISE_TAIL]]
    return _pieces(data[:BYTEWISE_HEAD]) + middle + _pieces(data[-BYTEWISE_TAIL:])
