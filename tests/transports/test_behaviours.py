"""What the libraries do themselves, done over the transport."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import trio
import wsproto
from wsproto.events import AcceptConnection, CloseConnection, Ping, Request, TextMessage

from trio_pool import Pool

from .libraries import Library
from .servers import Asked, answering, listening, ok


def moved(to: str, status: str = "302 Found") -> bytes:
    return ok(b"moved", f"Location: {to}", status=status)


async def test_redirects_are_followed_and_connections_kept(library: Library, pool: Pool) -> None:
    places = {"/a": moved("/b"), "/b": moved("/c", "307 Temporary Redirect"), "/c": ok(b"there")}
    async with answering(lambda asked: places[asked.target]) as server:
        client = library.client(pool, follow_redirects=True)
        response = await client.post(f"{server.url}/a", content=b"body")
        assert (response.text, str(response.url)) == ("there", f"{server.url}/c")
        assert [each.status_code for each in response.history] == [302, 307]
        assert [(asked.method, asked.target) for asked in server.asked] == [
            ("POST", "/a"),
            ("GET", "/b"),
            ("GET", "/c"),
        ]
        assert server.connections == 1


async def test_a_redirect_that_keeps_the_method_sends_the_body_again(library: Library, pool: Pool) -> None:
    places = {"/a": moved("/b", "308 Permanent Redirect")}
    async with answering(lambda asked: places.get(asked.target) or ok(asked.body)) as server:
        response = await library.client(pool, follow_redirects=True).post(f"{server.url}/a", json={"a": 1})
        assert response.json() == {"a": 1}


async def test_cookies_are_kept_and_sent_back(library: Library, pool: Pool) -> None:
    def answer(asked: Asked) -> bytes:
        return ok((asked.header("cookie") or "").encode(), "Set-Cookie: a=1", "Set-Cookie: b=2; Path=/")

    async with answering(answer) as server:
        client = library.client(pool)
        assert (await client.get(server.url)).text == ""
        assert dict(client.cookies) == {"a": "1", "b": "2"}
        assert (await client.get(server.url)).text == "a=1; b=2"


async def test_an_auth_flow_may_ask_again(library: Library, pool: Pool) -> None:
    def answer(asked: Asked) -> bytes:
        if (asked.header("authorization") or "").startswith("Digest "):
            return ok(b"welcome")
        return ok(b"who?", 'WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"', status="401 Unauthorized")

    async with answering(answer) as server:
        client = library.client(pool, auth=library.api.DigestAuth("user", "password"))
        assert (await client.post(server.url, content=b"body")).text == "welcome"
        assert [asked.body for asked in server.asked] == [b"body", b"body"]
        assert server.connections == 1
        assert 'username="user"' in (server.asked[1].header("authorization") or "")


async def test_forms_with_files_are_sent(library: Library, pool: Pool) -> None:
    async with answering(lambda asked: ok(asked.body)) as server:
        files = {"file": ("name.txt", io.BytesIO(b"content" * 20_000), "text/plain")}
        response = await library.client(pool).post(server.url, data={"field": "value"}, files=files)
        assert b'name="field"' in response.content
        assert b"content" * 20_000 in response.content
        assert server.asked[0].header("content-length") == str(len(response.content))


async def test_event_hooks_see_each_request_and_response(library: Library, pool: Pool) -> None:
    seen: list[Any] = []

    async def before(request: Any) -> None:
        seen.append(request.method)

    async def after(response: Any) -> None:
        await response.aread()
        seen.append(response.text)

    async with answering(lambda _: ok(b"hello")) as server:
        client = library.client(pool, event_hooks={"request": [before], "response": [after]})
        await client.get(server.url)
    assert seen == ["GET", "hello"]


async def test_a_large_upload_streams(library: Library, pool: Pool) -> None:
    async def body() -> AsyncIterator[bytes]:
        for number in range(64):
            yield bytes([number]) * 32_768
            await trio.lowlevel.checkpoint()

    async with answering(lambda asked: ok(hashlib.sha256(asked.body).hexdigest().encode())) as server:
        response = await library.client(pool).put(server.url, content=body())
    expected = hashlib.sha256(b"".join(bytes([number]) * 32_768 for number in range(64))).hexdigest()
    assert response.text == expected


async def test_an_answer_that_comes_before_the_upload_ends_is_delivered(library: Library, pool: Pool) -> None:
    """The library's own transport would go on sending until its write timed out."""

    async def refuse(stream: Any) -> None:
        await stream.receive_some(1000)
        await stream.send_all(ok(b"too large", "Connection: close", status="413 Content Too Large"))
        await trio.sleep_forever()

    async with listening(refuse) as url:
        response = await library.client(pool).post(url, content=bytes(8_000_000))
        assert (response.status_code, response.text) == (413, "too large")


@pytest.mark.parametrize(
    ("coding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
async def test_bodies_are_decoded_by_the_library(library: Library, pool: Pool, coding: str, encode: Any) -> None:
    text = b"the same over and over " * 1000
    async with answering(lambda _: ok(encode(text), f"Content-Encoding: {coding}")) as server:
        response = await library.client(pool).get(server.url)
        assert response.content == text
        assert response.num_bytes_downloaded == len(encode(text))


@pytest.mark.filterwarnings("ignore:Async generator 'httpx\\.:ResourceWarning")  # which leaves its own lying about
async def test_a_body_that_cannot_be_decoded_is_the_librarys_own_error(library: Library, pool: Pool) -> None:
    async with answering(lambda _: ok(b"this is no gzip", "Content-Encoding: gzip")) as server:
        with pytest.raises(library.api.DecodingError):
            await library.client(pool).get(server.url)
        assert pool.statistics().leased == 0


async def test_lines_and_texts_come_as_they_arrive(library: Library, pool: Pool) -> None:
    async with answering(lambda _: ok("één\ntwee\ndrie".encode(), "Content-Type: text/plain; charset=utf-8")) as server:
        async with library.client(pool).stream("GET", server.url) as response:
            assert [line async for line in response.aiter_lines()] == ["één", "twee", "drie"]


async def test_head_and_empty_answers_have_no_body(library: Library, pool: Pool) -> None:
    answers = {"HEAD": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "GET": b"HTTP/1.1 204 No Content\r\n\r\n"}
    async with answering(lambda asked: answers[asked.method]) as server:
        client = library.client(pool)
        head, get = await client.head(server.url), await client.get(server.url)
        assert (head.content, head.headers["content-length"], get.content) == (b"", "5", b"")
        assert server.connections == 1


async def test_a_mounted_transport_serves_its_part(library: Library, pool: Pool) -> None:
    async with answering(lambda _: ok(b"mounted")) as server:
        mounts = {"all://127.0.0.1": library.adapter.PoolTransport(pool)}
        async with library.api.AsyncClient(mounts=mounts) as client:
            assert (await client.get(server.url)).text == "mounted"
        assert pool.statistics().requests == 1


# ---- events and WebSockets, which httpx2 has ----


async def test_httpx2_reads_server_sent_events(pool: Pool) -> None:
    events = ok(b"event: a\ndata: 1\n\ndata: 2\n\n", "Content-Type: text/event-stream")
    async with answering(lambda _: events) as server:
        client = httpx2.AsyncClient(transport=httpx2_transport(pool))
        async with client.sse(server.url) as source:
            assert [(event.event, event.data) async for event in source] == [("a", "1"), ("message", "2")]


def httpx2_transport(pool: Pool) -> httpx2.AsyncBaseTransport:
    from trio_pool.transports.httpx2 import PoolTransport

    return PoolTransport(pool)


async def talk(stream: Any) -> None:
    """A WebSocket server that says back what it hears, in capitals."""
    connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
    async for data in stream:
        connection.receive_data(bytes(data))
        for event in connection.events():
            reply: Any = None
            if isinstance(event, Request):
                reply = AcceptConnection()
            elif isinstance(event, TextMessage):
                reply = TextMessage(event.data.upper())
            elif isinstance(event, (Ping, CloseConnection)):
                reply = event.response()
            if reply is not None:
                await stream.send_all(connection.send(reply))
            if isinstance(event, CloseConnection):
                return


async def test_httpx2_speaks_websocket(pool: Pool) -> None:
    async with listening(talk) as url:
        client = httpx2.AsyncClient(transport=httpx2_transport(pool))
        with trio.fail_after(10):
            async with client.websocket(url.replace("http", "ws")) as session:
                assert pool.statistics().leased == 1
                for text in ("one", "two" * 10_000):
                    await session.send_text(text)
                    assert await session.receive_text() == text.upper()
        assert pool.statistics().leased == 0


async def test_a_websocket_whose_server_goes_is_httpx2s_error(pool: Pool) -> None:
    async def leave(stream: Any) -> None:
        connection = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        connection.receive_data(bytes(await stream.receive_some(65536)))
        list(connection.events())
        await stream.send_all(connection.send(AcceptConnection()))
        await stream.aclose()

    async with listening(leave) as url:
        client = httpx2.AsyncClient(transport=httpx2_transport(pool))
        with trio.fail_after(10), pytest.raises(ExceptionGroup) as caught:
            async with client.websocket(url.replace("http", "ws")) as session:
                await session.receive_text()
        assert caught.group_contains(httpx2.websockets.WebSocketNetworkError)
    assert pool.statistics().leased == 0


async def test_a_websocket_that_is_refused_is_httpx2s_error(pool: Pool) -> None:
    from httpx2.websockets import WebSocketUpgradeError

    async with answering(lambda _: ok(b"no", status="403 Forbidden")) as server:
        client = httpx2.AsyncClient(transport=httpx2_transport(pool))
        with pytest.raises(WebSocketUpgradeError):
            async with client.websocket(server.url):
                pass
    assert pool.statistics().leased == 0
