"""A network in memory whose servers answer from a script, at once and without a task of their own.

Each connection has a script: a list of replies, one for each request, or a function from a request to its
reply. A request is read by h11's server side, so whatever the client sends is judged by a peer that knows the
rules. A reply is the bytes of a response, or a list of pieces, each received apart; an empty piece ends the
connection. What a test wants to happen later it says itself: `connection.send(b"...")`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import h11
import trio

from trio_pool import SystemNetwork

Reply = bytes | Sequence[bytes]


class Received(NamedTuple):
    """One request as the server understood it; names in lower case, in the order in which they came."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def values(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found == name]

    def header(self, name: str) -> str | None:
        values = self.values(name)
        assert len(values) < 2, f"{name} was sent {len(values)} times"
        return values[0] if values else None


Handler = Callable[[Received], Reply]
Script = Sequence[Reply] | Handler


class Reader:
    """The server's reading of what arrived: whole requests, one after another."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body = b""

    def feed(self, data: bytes) -> list[Received]:
        self._connection.receive_data(data)
        complete = []
        while (event := self._connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.Request):
                self._head, self._body = event, b""
            elif isinstance(event, h11.Data):
                self._body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                complete.append(self._take())
        return complete

    def _take(self) -> Received:
        """The request that is complete; what follows it is another's."""
        assert self._head is not None
        rest, _ = self._connection.trailing_data
        self._connection = h11.Connection(h11.SERVER)
        if rest:
            self._connection.receive_data(rest)
        fields = [(name.decode(), value.decode("latin-1")) for name, value in self._head.headers]
        return Received(self._head.method.decode(), self._head.target.decode(), fields, self._body)


class MemoryStream:
    """The client's end of a connection, and what the server does at the other.

    :ivar address: where it leads.
    :ivar is_closed: whether the client has closed it.
    :ivar raw: every byte that the client has sent.
    """

    ends_waits = True

    def __init__(self, network: ScriptedNetwork, handler: Handler, address: tuple[str, int] | str) -> None:
        self.address = address
        self.is_closed = False
        self.raw = b""
        self._network = network
        self._handler = handler
        self._reader = Reader()
        self._arrived: deque[bytes] = deque()
        self._waiting: trio.Event | None = None

    # ---- what the client does ----

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        self._check_open()
        if not self._arrived:
            raise BlockingIOError
        piece = self._arrived[0]
        if len(piece) > max_bytes:
            self._arrived[0] = piece[max_bytes:]
        elif piece:
            self._arrived.popleft()  # the end stays
        return piece[:max_bytes]

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        self._check_open()
        self.raw += bytes(data)
        for received in self._reader.feed(bytes(data)):
            self._network.requests.append(received)
            self.send(self._handler(received))
        return len(data)

    def readable(self) -> bool:
        return self.is_closed or bool(self._arrived)

    async def wait_readable(self) -> None:
        if self._waiting is not None:
            raise trio.BusyResourceError("another task waits already")
        self._waiting = trio.Event()
        if self.readable():
            self._waiting.set()
        try:
            await self._waiting.wait()
        finally:
            self._waiting = None
        if self.is_closed:
            raise trio.ClosedResourceError("the stream was closed")

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self.is_closed = True
        self._wake()

    # ---- what the server does ----

    def send(self, reply: Reply) -> None:
        """Let these pieces arrive, each to be received apart."""
        self._arrived += [reply] if isinstance(reply, bytes) else reply
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.set()

    def _check_open(self) -> None:
        if self.is_closed:
            raise OSError(9, "the stream is closed")


class ScriptedNetwork(SystemNetwork):
    """Gives each connection its script, in order; one handler alone serves every connection.

    :ivar connections: every connection that was made, in order.
    :ivar requests: every request that arrived complete, in order, on whatever connection.
    :ivar attempts: what was asked of the network: names and addresses.
    """

    def __init__(self, *scripts: Script) -> None:
        self.connections: list[MemoryStream] = []
        self.requests: list[Received] = []
        self.attempts: list[object] = []
        self._everywhere = scripts[0] if len(scripts) == 1 and callable(scripts[0]) else None
        self._handlers = [_handler(script) for script in scripts]

    async def resolve(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        self.attempts.append(host)
        await trio.lowlevel.checkpoint()
        return [("192.0.2.1", port)]

    async def connect(self, address: tuple[str, int]) -> MemoryStream:
        return await self._connect(address)

    async def connect_unix(self, path: str) -> MemoryStream:
        return await self._connect(path)

    async def _connect(self, address: tuple[str, int] | str) -> MemoryStream:
        self.attempts.append(address)
        await trio.lowlevel.checkpoint()
        if self._everywhere is None and len(self.connections) == len(self._handlers):
            raise ConnectionRefusedError(111, "Connection refused")
        handler = self._everywhere or self._handlers[len(self.connections)]
        self.connections.append(MemoryStream(self, handler, address))
        return self.connections[-1]

    def random(self) -> float:
        return 0.5


def _handler(script: Script) -> Handler:
    """A list's replies in turn; when it is over, this server says nothing more."""
    if callable(script):
        return script
    replies = iter(script)
    return lambda _: next(replies, [])


def response(
    body: bytes = b"", *headers: str, status: str = "200 OK", length: int | None = None, chunked: bool = False
) -> bytes:
    """The bytes of a response; framed by its length unless it is chunked."""
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body) if length is None else length}"
    head = "\r\n".join([f"HTTP/1.1 {status}", framing, *headers]) + "\r\n\r\n"
    return head.encode("latin-1") + (chunk(body) + chunk(b"") if chunked else body)


def chunk(piece: bytes) -> bytes:
    """One chunk of a chunked body; an empty one is the last, with no trailers."""
    return b"%x\r\n%s\r\n" % (len(piece), piece)
