"""Idle connections: what arrives on them ends them, and a request that meets a dead one is safe."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
import trio

from trio_pool import Client, PoolConfig, ReadError, RemoteProtocolError, open_client
from trio_pool.messages import Content

from .scripted import Scripted, Visit, answer, nonce_of, probing, scripted

CONFIG = PoolConfig(retry_attempts=1, max_connections=1, read_timeout=5.0, write_timeout=5.0)


async def nothing(_: Visit) -> None:
    """The case of a server that is only probed."""


async def send(data: bytes, visit: Visit) -> None:
    """Send some bytes."""
    await visit.send_pieces([data])


IDLE_EVENTS: dict[str, Callable[[Visit], Awaitable[None]]] = {
    "a response": partial(send, answer(b"another's")),
    "a 408": partial(send, answer(b"", b"Connection: close", status=b"408 Request Timeout")),
    "an interim response": partial(send, b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "a single byte": partial(send, b"\n"),
    "an end": Visit.end,
    "a cut": Visit.cut,
    "a reset": Visit.reset,
}


@pytest.mark.parametrize("name", IDLE_EVENTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_whatever_arrives_on_an_idle_connection_ends_it(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, name: str, method: str
) -> None:
    async with (
        scripted(probing(nothing), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        assert (await client.get("/probe/first")).content == b"first"
        await trio.testing.wait_all_tasks_blocked()
        await IDLE_EVENTS[name](server.visits[0])
        await trio.testing.wait_all_tasks_blocked()
        assert (await client.request(method, "/probe/second")).content == b"second"
        figures = client.pool.statistics()
        assert (figures.dials, figures.evictions, figures.stale_retries) == (2, {"dead": 1}, 0)
        assert len(server.visits) == 2


async def test_session_tickets_do_not_end_a_connection(
    trusting: ssl.SSLContext, server_context: ssl.SSLContext
) -> None:
    """With TLS 1.3 the server sends them after the handshake: they are there when the connection is granted."""
    async with (
        scripted(probing(nothing), server_context) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        await client.pool.prewarm(server.url, 1)
        await trio.testing.wait_all_tasks_blocked()
        for number in range(5):
            assert (await client.get(f"/probe/{number}")).content == b"%d" % number
        assert len(server.visits) == 1
        assert client.pool.statistics().reuses == 4


@pytest.mark.parametrize("name", IDLE_EVENTS)
async def test_whatever_arrives_on_a_prewarmed_connection_ends_it(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, name: str
) -> None:
    async with (
        scripted(probing(nothing), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        await client.pool.prewarm(server.url, 1)
        await trio.testing.wait_all_tasks_blocked()
        await IDLE_EVENTS[name](server.visits[0])
        await trio.testing.wait_all_tasks_blocked()
        assert (await client.get("/probe/mine")).content == b"mine"
        assert len(server.visits) == 2


def dying(how: Callable[[Visit], Awaitable[None]]) -> Callable[[Visit], Awaitable[None]]:
    """A server whose first connection dies when its second request has been read."""

    async def script(visit: Visit) -> None:
        if visit.number == 0:
            nonce = nonce_of(await visit.request())
            assert nonce is not None
            await visit.send_pieces([answer(nonce)])
            await visit.head()
            await how(visit)
        else:
            await probing(nothing)(visit)

    return script


DEATHS = pytest.mark.parametrize("how", [Visit.end, Visit.cut, Visit.reset], ids=["end", "cut", "reset"])


@DEATHS
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_an_idempotent_request_on_a_dying_connection_is_sent_once_more(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, how: Callable[[Visit], Awaitable[None]], method: str
) -> None:
    async with (
        scripted(dying(how), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        assert (await client.get("/probe/first")).content == b"first"
        response = await client.request(method, "/probe/second", content=None if method == "GET" else b"body")
        assert response.content == (b"" if method == "HEAD" else b"second")
        figures = client.pool.statistics()
        assert (figures.stale_retries, figures.dials, figures.idle, figures.leased) == (1, 2, 1, 0)


async def once() -> AsyncIterator[bytes]:
    """A body that cannot be sent again."""
    yield b"body"


@DEATHS
@pytest.mark.parametrize(
    ("method", "content"),
    [("POST", None), ("POST", b"body"), ("PATCH", b"body"), ("PUT", "once")],
    ids=["POST", "POST with a body", "PATCH", "PUT of a streamed body"],
)
async def test_any_other_request_on_a_dying_connection_is_an_error(
    tls: ssl.SSLContext | None,
    trusting: ssl.SSLContext,
    how: Callable[[Visit], Awaitable[None]],
    method: str,
    content: Content | str | None,
) -> None:
    async with (
        scripted(dying(how), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        assert (await client.get("/probe/first")).content == b"first"
        with pytest.raises((ReadError, RemoteProtocolError)) as caught:
            await client.request(method, "/probe/second", content=once() if content == "once" else content)
        assert caught.value.may_have_been_processed
        assert sum(visit.received.count(method.encode() + b" ") for visit in server.visits) == 1
        assert (await client.get("/probe/mine")).content == b"mine"
        assert client.pool.statistics().stale_retries == 0


async def test_a_request_is_sent_once_more_only_once(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        nonce = nonce_of(await visit.request())
        if visit.number == 0 and nonce is not None:
            await visit.send_pieces([answer(nonce)])
            await visit.head()

    async with (
        scripted(script, tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        assert (await client.get("/probe/first")).content == b"first"
        with pytest.raises((ReadError, RemoteProtocolError)):
            await client.get("/probe/second")
        figures = client.pool.statistics()
        assert (len(server.visits), figures.stale_retries, figures.leased) == (2, 1, 0)


async def test_a_connection_that_dies_within_a_response_is_an_error(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext
) -> None:
    """A byte of the response has come, so the request was received: it is not sent again."""

    async def script(visit: Visit) -> None:
        await visit.send_pieces([b"HTTP/1.1 2"])
        await visit.end()

    async with (
        scripted(probing(script), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        assert (await client.get("/probe/first")).content == b"first"
        with pytest.raises(RemoteProtocolError):
            await client.get("/case")
        assert (len(server.visits), client.pool.statistics().stale_retries) == (1, 0)


async def close_after(client: Client, server: Scripted) -> int:
    """How many connections it takes to ask twice, the first response being left unread."""
    async with client.stream("GET", "/case") as response:
        assert response.status_code == 200
        await trio.testing.wait_all_tasks_blocked()
    assert (await client.get("/probe/mine")).content == b"mine"
    return len(server.visits)


@pytest.mark.parametrize(
    ("sends", "connections"),
    [
        ([answer(b"x" * 1000)], 1),
        ([answer(b"x" * 1000)[:-1]], 2),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n", b"x" * 60_000], 1),
        ([b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n", b"x" * 600_000], 2),
        ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", b"0\r\n\r\n"], 1),
    ],
    ids=["all of it", "not all of it", "little", "much", "chunks"],
)
async def test_an_unread_response_keeps_its_connection_if_its_rest_is_there(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, sends: list[bytes], connections: int
) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces(sends)

    async with (
        scripted(probing(script), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        assert await close_after(client, server) == connections


async def test_an_expired_connection_is_closed_without_traffic(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext
) -> None:
    """The server sees the end; nobody asks for anything meanwhile."""
    left = trio.Event()

    async def script(visit: Visit) -> None:
        await visit.request()
        await visit.send_pieces([answer(b"")])
        await visit.until_gone()
        left.set()

    config = PoolConfig(retry_attempts=1, max_connections=1, keepalive_timeout=0.05)
    async with (
        scripted(script, tls) as server,
        open_client(config, base_url=server.url, tls=trusting) as client,
    ):
        await client.get("/")
        with trio.fail_after(10):
            await left.wait()
        assert client.pool.statistics().evictions == {"expired": 1}
