"""A small server on real sockets: what it answers is up to each test, byte by byte."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import attrs
import h11
import trio
import trustme


@attrs.frozen
class Asked:
    """One request, as it came.

    :ivar number: of its connection, from 0.
    """

    number: int
    method: str
    target: str
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header field, or None."""
        values = [value.decode() for each, value in self.headers if each.lower() == name.encode()]
        return ", ".join(values) if values else None


Answer = Callable[[Asked], bytes | None]
"""What is sent back to a request; None to end the connection instead."""


def ok(body: bytes = b"", *fields: str, status: str = "200 OK") -> bytes:
    """A response with these fields, and its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


@attrs.define(eq=False)
class Server:
    """A running server.

    :ivar url: without a slash at its end.
    :ivar asked: the requests so far.
    """

    answer: Answer
    url: str = ""
    asked: list[Asked] = attrs.Factory(list)
    connections: int = 0

    async def serve(self, stream: Any) -> None:
        """One connection, over a stream that is perhaps secure."""
        number, self.connections = self.connections, self.connections + 1
        try:
            while (asked := await read_request(stream, number)) is not None:
                self.asked.append(asked)
                answer = self.answer(asked)
                if answer is None:
                    break
                await stream.send_all(answer)
                if b"connection: close" in answer.lower() or asked.method == "CONNECT":
                    break
        except (trio.BrokenResourceError, h11.RemoteProtocolError):
            pass  # the client has gone, as it may
        await trio.aclose_forcefully(stream)


async def read_request(stream: Any, number: int = 0) -> Asked | None:
    """A whole request, or None at the end."""
    codec = h11.Connection(h11.SERVER)
    body, head = b"", None
    while True:
        event = codec.next_event()
        if event is h11.NEED_DATA:
            data = bytes(await stream.receive_some(65536))
            if not data and head is None:
                return None
            codec.receive_data(data)
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            raw = head.headers.raw_items()
            return Asked(number, head.method.decode(), head.target.decode(), raw, body)
        else:
            return None


@asynccontextmanager
async def listening(
    serve: Callable[[Any], Awaitable[object]], context: ssl.SSLContext | None = None
) -> AsyncGenerator[str]:
    """Serve connections one by one each in its task; what comes out is the URL."""

    async def secured(stream: trio.SocketStream) -> None:
        channel: Any = stream
        if context is not None:
            channel = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
        try:
            await serve(channel)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.aclose_forcefully(channel)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(partial(trio.serve_listeners, secured, listeners))
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def answering(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncGenerator[Server]:
    """A server that answers each request so."""
    server = Server(answer)
    async with listening(server.serve, context) as server.url:
        yield server


@attrs.frozen
class Certificates:
    """What a server shows, and what trusts it."""

    server: ssl.SSLContext
    client: ssl.SSLContext


def certificates(*names: str) -> Certificates:
    """For these names."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return Certificates(server, client)
