"""The `trace` extension: what tracing tools are told is what they would be told by the library's own transport."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio

from trio_pool import Pool, PoolConfig, open_pool

from .libraries import Library
from .servers import Asked, Server, answering, certificates, listening, ok, read_request


class Told:
    """A callback, and what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, Any]]] = []

    async def __call__(self, name: str, payload: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()
        self.told.append((name, dict(payload)))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]

    def payload(self, name: str) -> dict[str, Any]:
        [found] = [payload for each, payload in self.told if each == name]
        return found


def echo(asked: Asked) -> bytes:
    return ok(asked.body, "X-A: 1")


def whole(*names: str) -> list[str]:
    return [f"{name}.{state}" for name in names for state in ("started", "complete")]


EXCHANGE = whole(
    *(f"http11.{what}" for what in ("send_request_headers", "send_request_body", "receive_response_headers")),
    *(f"http11.{what}" for what in ("receive_response_body", "response_closed")),
)


async def both(library: Library, url: str, context: ssl.SSLContext | None = None, **request: Any) -> list[Told]:
    """What is told of two requests over the library's own transport, then over ours; errors are no matter."""
    tales = []
    async with open_pool(tls=context) as pool:
        default = library.api.AsyncHTTPTransport(**({} if context is None else {"verify": context}))
        for transport in (default, library.adapter.PoolTransport(pool)):
            told = Told()
            async with library.api.AsyncClient(transport=transport, timeout=2) as client:
                for _ in range(2):
                    body = request.get("content")
                    options = {**request, **({"content": body()} if callable(body) else {})}
                    try:
                        await client.request(url=url, extensions={"trace": told}, **options)
                    except library.api.HTTPError:
                        pass
            tales.append(told)
    return tales


async def pieces() -> AsyncIterator[bytes]:
    for part in (b"one", b"two"):
        yield part


@pytest.mark.parametrize("content", [None, b"body", pieces], ids=["none", "whole", "pieces"])
async def test_an_exchange_is_told_as_by_the_default(library: Library, content: Any) -> None:
    async with answering(echo) as server:
        default, ours = await both(library, server.url, method="POST", content=content)
    assert ours.names == default.names == [*whole("connection.connect_tcp"), *EXCHANGE, *EXCHANGE]


async def test_tls_is_told_as_by_the_default(library: Library) -> None:
    papers = certificates("127.0.0.1")
    async with answering(echo, papers.server) as server:
        default, ours = await both(library, server.url, papers.client, method="GET")
    assert ours.names == default.names
    assert ours.names[:4] == whole("connection.connect_tcp", "connection.start_tls")
    name = "connection.start_tls.started"
    assert ours.payload(name)["server_hostname"] == default.payload(name)["server_hostname"] == "127.0.0.1"
    stream = ours.payload("connection.start_tls.complete")["return_value"]
    assert stream.get_extra_info("ssl_object").version() == "TLSv1.3"


async def test_a_unix_socket_is_told_of_as_by_the_default(library: Library, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    server = Server(echo)
    found = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, server.serve, [unix_listener(path)])
        async with open_pool(uds=path) as pool:
            for transport in (library.api.AsyncHTTPTransport(uds=path), library.adapter.PoolTransport(pool)):
                told = Told()
                async with library.api.AsyncClient(transport=transport) as client:
                    await client.get("http://h/", extensions={"trace": told})
                found.append(told)
        nursery.cancel_scope.cancel()
    default, ours = found
    assert ours.names == default.names == [*whole("connection.connect_unix_socket"), *EXCHANGE]
    name = "connection.connect_unix_socket.started"
    assert ours.payload(name)["path"] == default.payload(name)["path"] == path


def unix_listener(path: str) -> trio.SocketListener:
    plain = socket.socket(socket.AF_UNIX)
    plain.bind(path)
    listening = trio.socket.from_stdlib_socket(plain)
    listening.listen()
    return trio.SocketListener(listening)


async def test_the_payloads_have_what_tools_read(library: Library) -> None:
    async with answering(echo) as server:
        told = Told()
        async with open_pool() as pool:
            await library.client(pool, timeout=3).get(f"{server.url}/path?q", extensions={"trace": told})
            network = told.payload("connection.connect_tcp.complete")["return_value"]
            assert network.get_extra_info("server_addr") == ("127.0.0.1", int(server.url.rpartition(":")[2]))
        assert network.get_extra_info("server_addr") is None  # the connection is closed
    port = int(server.url.rpartition(":")[2])
    started = told.payload("connection.connect_tcp.started")
    assert (started["host"], started["port"], started["timeout"]) == ("127.0.0.1", port, 3)
    request = told.payload("http11.send_request_headers.started")["request"]
    assert isinstance(request, library.core.Request)
    assert (request.method, request.url.target) == (b"GET", b"/path?q")
    answered = told.payload("http11.receive_response_headers.complete")["return_value"]
    assert answered == (b"HTTP/1.1", 200, b"OK", [(b"Content-Length", b"0"), (b"X-A", b"1")])
    assert all(set(payload) == {"return_value"} for name, payload in told.told if name.endswith("complete"))


async def refuse(library: Library) -> list[Told]:
    async with listening(lambda _: trio.lowlevel.checkpoint()) as url:
        pass
    return await both(library, url, method="GET")


async def end_at_once(stream: Any) -> None:
    await read_request(stream)
    await stream.aclose()


async def end_in_the_body(stream: Any) -> None:
    await read_request(stream)
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
    await stream.aclose()


@pytest.mark.parametrize("serve", [end_at_once, end_in_the_body])
async def test_a_failure_is_told_as_by_the_default(library: Library, serve: Any) -> None:
    async with listening(serve) as url:
        default, ours = await both(library, url, method="GET")
    assert ours.names == default.names
    failures = [payload["exception"] for name, payload in ours.told if name.endswith("failed")]
    assert len(failures) == 2
    assert all(isinstance(failure, library.api.RemoteProtocolError) for failure in failures)


async def test_a_dial_that_fails_is_told_as_by_the_default(library: Library) -> None:
    default, ours = await refuse(library)
    assert ours.names == default.names
    assert ours.names[:2] == ["connection.connect_tcp.started", "connection.connect_tcp.failed"]


async def test_a_connection_that_was_lost_is_told_of(library: Library, pool: Pool) -> None:
    """A second try on a new connection is what the default has not."""
    told = Told()
    async with answering(lambda asked: None if asked.number == 0 and asked.target == "/again" else ok()) as server:
        await library.client(pool).get(server.url)
        await library.client(pool).get(f"{server.url}/again", extensions={"trace": told})
    first, second = told.names[:8], told.names[8:]
    assert first[-3:] == ["http11.receive_response_headers.failed", *whole("http11.response_closed")]
    assert second == [*whole("connection.connect_tcp"), *EXCHANGE]


async def test_a_request_in_line_tells_of_the_connection_that_it_gets(library: Library) -> None:
    told = Told()
    async with answering(lambda _: ok(b"x" * 100_000)) as server, open_pool(PoolConfig(max_connections=1)) as pool:
        client = library.client(pool)
        async with trio.open_nursery() as nursery, client.stream("GET", server.url) as response:
            nursery.start_soon(lambda: client.get(server.url, extensions={"trace": told}))
            while not pool.statistics().waiting:
                await trio.lowlevel.checkpoint()
            await response.aread()
    assert told.names == EXCHANGE


async def test_a_response_that_is_left_early_is_told_of_as_closed(library: Library, pool: Pool) -> None:
    async with answering(lambda _: ok(b"x")) as server:
        told = Told()
        async with library.client(pool).stream("GET", server.url, extensions={"trace": told}):
            pass
    assert told.names[-2:] == whole("http11.response_closed")


@pytest.mark.parametrize(
    "name",
    [
        "connection.connect_tcp.started",
        "connection.connect_tcp.complete",
        "http11.send_request_headers.started",
        "http11.send_request_body.complete",
        "http11.receive_response_headers.complete",
        "http11.receive_response_body.started",
        "http11.response_closed.started",
    ],
)
async def test_what_the_callback_raises_comes_out_and_nothing_is_leased(
    library: Library, pool: Pool, name: str
) -> None:
    async def callback(told: str, _: dict[str, Any]) -> None:
        if told == name:
            raise KeyError(name)

    async with answering(echo) as server:
        with pytest.raises(KeyError):
            await library.client(pool).get(server.url, extensions={"trace": callback})
        assert pool.statistics().leased == 0
        assert (await library.client(pool).get(server.url)).status_code == 200


async def test_a_callback_that_cannot_be_awaited_is_refused(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        with pytest.raises(TypeError, match="asynchronous function"):
            await library.client(pool).get(server.url, extensions={"trace": lambda *_: None})
        with trio.fail_after(5):
            while pool.statistics().dialling:
                await trio.lowlevel.checkpoint()


async def test_a_traced_request_can_be_cancelled_at_every_callback(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        for step in range(2 * len(EXCHANGE)):
            scope = trio.CancelScope()
            left = [step]

            async def callback(name: str, _: dict[str, Any], scope: Any = scope, left: Any = left) -> None:
                left[0] -= 1
                if left[0] < 0:
                    scope.cancel()
                await trio.lowlevel.checkpoint()

            with scope:
                await library.client(pool).get(server.url, extensions={"trace": callback})
            figures = pool.statistics()
            assert (figures.leased, figures.waiting) == (0, 0)
            with trio.fail_after(5):
                while pool.statistics().dialling:
                    await trio.lowlevel.checkpoint()
