"""The ASGI application that every real server serves: each path is one behaviour.

It names no event loop: whoever serves it says what sleeping and an event are.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol
from urllib.parse import parse_qsl

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Pairs = list[tuple[bytes, bytes]]

PIECE = 65536
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}


class Event(Protocol):
    """What both trio and asyncio have."""

    def set(self) -> None: ...

    async def wait(self) -> object: ...


def pattern(size: int) -> bytes:
    """The same bytes for the same size, no two pieces of them alike."""
    pieces = (hashlib.sha256(b"%d" % number).digest() * (PIECE // 32) for number in range(-(-size // PIECE)))
    return b"".join(pieces)[:size]


def sse(count: int) -> bytes:
    """An event stream with every line end, a comment, and events of several lines."""
    ends = (b"\n", b"\r\n", b"\r")
    parts = []
    for number in range(count):
        end = ends[number % 3]
        lines = [b": a comment", b"id: %d" % number, b"event: tick", b"data: first %d" % number, b"data: second"]
        parts.append(end.join(lines) + end * 2)
    return b"".join(parts)


class App:
    """The application.

    :param sleep: the loop's.
    :param event: makes one of the loop's events.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[object]], event: Callable[[], Event]) -> None:
        self._sleep = sleep
        self._event = event
        self._gates: dict[str, tuple[Event, list[int]]] = {}
        self._peers: dict[str, set[str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])  # how an application says so
        name = scope["path"].split("/")[1]
        behaviour: Callable[[Call], Awaitable[None]] = getattr(self, f"do_{name}", self.do_echo)
        call = Call(scope, receive, send)
        self._peers.setdefault(call.query.get("group", ""), set()).add(call.peer)
        await behaviour(call)

    # ---- behaviours, by the first part of the path ----

    async def do_echo(self, call: Call) -> None:
        """What arrived, as JSON."""
        body = await call.body()
        told = {
            "method": call.scope["method"],
            "path": call.scope["path"],
            "raw_path": call.scope["raw_path"].decode("ascii"),
            "query": call.scope["query_string"].decode("ascii"),
            "scheme": call.scope["scheme"],
            "http_version": call.scope["http_version"],
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in call.scope["headers"]],
            "size": len(body),
            "digest": hashlib.sha256(body).hexdigest(),
            "body": body.decode("latin-1") if len(body) < 1000 else None,
            "peer": call.peer,
        }
        await call.reply(json.dumps(told).encode(), [(b"content-type", b"application/json")])

    async def do_back(self, call: Call) -> None:
        """The request's body, once it is there."""
        await call.reply(await call.body())

    async def do_digest(self, call: Call) -> None:
        """The digest of the body, which is never held whole."""
        digest, size = hashlib.sha256(), 0
        async for piece in call.pieces():
            digest.update(piece)
            size += len(piece)
        await call.reply(json.dumps({"digest": digest.hexdigest(), "size": size}).encode())

    async def do_bytes(self, call: Call) -> None:
        """`size` bytes of the pattern, with a length, or without one if `chunked`."""
        content = pattern(int(call.query["size"]))
        length = [] if "chunked" in call.query else [(b"content-length", b"%d" % len(content))]
        await call.start(200, length)
        for at in range(0, len(content), PIECE):
            await call.send_piece(content[at : at + PIECE])
        await call.end()

    async def do_endless(self, call: Call) -> None:
        """More than anyone takes; it has an end since not every server says that the client has left."""
        await call.start(200, [])
        for _ in range(4096):
            await call.send_piece(b"e" * PIECE)
            await self._sleep(0)

    async def do_chunks(self, call: Call) -> None:
        """`count` pieces, each of its own."""
        await call.start(200, [(b"content-type", b"text/plain; charset=utf-8")])
        for number in range(int(call.query["count"])):
            await call.send_piece(f"Zeile {number} ä\r\n".encode())
            await self._sleep(0)
        await call.end()

    async def do_events(self, call: Call) -> None:
        """Server-sent events, cut where it suits no one."""
        content, cut = sse(int(call.query["count"])), int(call.query.get("cut", "7"))
        await call.start(200, [(b"content-type", b"text/event-stream")])
        for at in range(0, len(content), cut):
            await call.send_piece(content[at : at + cut])
        await call.end()

    async def do_coded(self, call: Call) -> None:
        """The pattern of `size`, in the content coding that is asked for."""
        coding = call.query["coding"]
        content = COMPRESSORS[coding](pattern(int(call.query["size"])))
        await call.reply(content, [(b"content-encoding", coding.encode())])

    async def do_status(self, call: Call) -> None:
        """The status that the path ends in, without a body where it may not have one."""
        status = int(call.scope["path"].rsplit("/", 1)[1])
        await call.body()
        await call.reply(b"" if status in (204, 304) else b"status", status=status)

    async def do_headers(self, call: Call) -> None:
        """Fields in all their variety."""
        fields = [(b"x-twice", b"one"), (b"x-twice", b"two"), (b"x-latin", b"caf\xe9"), (b"x-empty", b"")]
        await call.reply(b"", fields)

    async def do_redirect(self, call: Call) -> None:
        """To wherever `to` says, with the status that the path ends in."""
        status = int(call.scope["path"].rsplit("/", 1)[1])
        await call.body()
        await call.reply(b"elsewhere", [(b"location", call.query["to"].encode())], status=status)

    async def do_round(self, call: Call) -> None:
        """To itself, for ever."""
        await call.reply(b"", [(b"location", b"/round")], status=302)

    async def do_slow(self, call: Call) -> None:
        """After `ms` milliseconds, `nonce` and `size` bytes."""
        await call.body()
        await self._sleep(int(call.query.get("ms", "0")) / 1000)
        await call.reply(call.query["nonce"].encode() + b"." * int(call.query.get("size", "0")))

    async def do_gate(self, call: Call) -> None:
        """Waits until `count` requests with the same `name` are here at once, then answers each its `nonce`."""
        gate, arrived = self._gates.setdefault(call.query["name"], (self._event(), []))
        arrived.append(1)
        if len(arrived) == int(call.query["count"]):
            gate.set()
        await gate.wait()
        await call.reply(call.query["nonce"].encode())

    async def do_peers(self, call: Call) -> None:
        """The sockets that have asked for anything in the group that the path ends in."""
        group = call.scope["path"].rsplit("/", 1)[1]
        await call.reply(json.dumps(sorted(self._peers.get(group, ()))).encode())

    async def do_refuse(self, call: Call) -> None:
        """413 at once, whatever is still to come."""
        await call.reply(b"too much", [(b"connection", b"close")], status=413)


class Call:
    """One request, and what is answered."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.query = dict(parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True))

    @property
    def peer(self) -> str:
        """The socket at the other end, as a proxy in front of us tells it, or as we see it."""
        told = dict(self.scope["headers"]).get(b"x-peer")
        return told.decode() if told is not None else ":".join(map(str, self.scope.get("client") or ("", "")))

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it comes."""
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                return
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return

    async def body(self) -> bytes:
        """The body, whole."""
        return b"".join([piece async for piece in self.pieces()])

    async def start(self, status: int, fields: Pairs) -> None:
        """The head."""
        await self._send({"type": "http.response.start", "status": status, "headers": fields})

    async def send_piece(self, piece: bytes) -> None:
        """A piece of the body."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """The end of the body."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def reply(self, content: bytes, fields: Sequence[tuple[bytes, bytes]] = (), *, status: int = 200) -> None:
        """A whole response."""
        bodiless = status in (204, 304)
        length = [] if bodiless else [(b"content-length", b"%d" % len(content))]
        await self.start(status, [*fields, *length])
        await self._send({"type": "http.response.body", "body": b"" if bodiless else content})


def _offer_what_is_installed() -> None:
    """Add the codings whose libraries are there."""
    for coding, module, options in (("br", "brotli", {"quality": 4}), ("zstd", "zstandard", {})):
        if find_spec(module):
            COMPRESSORS[coding] = partial(import_module(module).compress, **options)


_offer_what_is_installed()
