"""The contract of a transport: what goes out, what comes back, and when a connection is given up."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from trio_pool import Client, Origin, Pool, PoolConfig, PoolFull, ReadError, open_pool

from .libraries import Library
from .servers import Asked, answering, certificates, listening, ok, read_request


def echo(asked: Asked) -> bytes:
    return ok(asked.body or asked.target.encode(), f"X-Method: {asked.method}")


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


# ---- the request ----


async def test_a_client_that_was_never_entered_works(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        response = await library.client(pool).get(f"{server.url}/path?query=1")
    assert (response.status_code, response.text) == (200, "/path?query=1")
    assert isinstance(response, library.api.Response)


async def test_closing_the_client_and_the_transport_leaves_the_pool_open(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        for _ in range(2):
            async with library.client(pool) as client:
                assert (await client.get(server.url)).status_code == 200
        transport = library.adapter.PoolTransport(pool)
        await transport.aclose()
        await transport.aclose()
        assert server.connections == 1


async def test_headers_go_out_as_the_library_has_them(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        headers = [("X-One", "1"), ("x-two", "2"), ("X-One", "3")]
        request = library.api.Request("POST", server.url, headers=headers, content=b"body")
        await library.client(pool).send(request)
    assert server.asked[0].headers == request.headers.raw
    assert not any(name.lower() == b"accept-encoding" for name, _ in server.asked[0].headers)


async def test_an_illegal_header_is_refused_with_nothing_sent(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        for field in (
            (b"bad name", b"1"),
            (b"name", b"a\r\nX-Smuggled: 1"),
            (b"", b"1"),
            (b"a:b", b"1"),
            (b"a", b"\x00"),
        ):
            with pytest.raises(library.api.LocalProtocolError):
                await library.client(pool).get(server.url, headers=[field, (b"X-Token", b"secret")])
    assert server.asked == []


async def test_no_error_tells_a_secret(library: Library, pool: Pool) -> None:
    with pytest.raises(library.api.LocalProtocolError) as caught:
        await library.client(pool).get("http://127.0.0.1:1/?key=hidden", headers=[(b"Authorization", b"hidden\n")])
    assert "hidden" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_schemes_that_mean_the_same_share_a_connection(library: Library, pool: Pool, scheme: str) -> None:
    async with answering(echo) as server:
        await library.client(pool).get(server.url)
        await library.client(pool).get(server.url.replace("http", scheme))
        assert server.connections == 1


async def test_other_schemes_are_not_supported(library: Library, pool: Pool) -> None:
    transport = library.adapter.PoolTransport(pool)
    for url in ("ftp://example.org/", "://example.org/", "/path"):
        with pytest.raises(library.api.UnsupportedProtocol):
            await transport.handle_async_request(library.api.Request("GET", url))


async def test_the_target_extension_stands_in_the_request_line(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        client = library.client(pool)
        await client.request("OPTIONS", server.url, extensions={"target": b"*"})
        assert server.asked[0].target == "*"
        with pytest.raises(library.api.LocalProtocolError):
            await client.get(server.url, extensions={"target": b"/a b"})


async def test_a_request_without_host_gets_one(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        request = library.api.Request("GET", server.url, stream=library.api.ByteStream(b""))
        response = await library.adapter.PoolTransport(pool).handle_async_request(request)
        assert await response.aread() == b"/"
        assert server.asked[0].header("host") == server.url.removeprefix("http://")


async def test_a_body_may_come_in_pieces(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        response = await library.client(pool).post(server.url, content=pieces(b"one", b"", b"two"))
        assert response.content == b"onetwo"
        assert server.asked[0].header("transfer-encoding") == "chunked"


async def test_a_body_in_pieces_with_a_length_is_not_chunked(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        response = await library.client(pool).post(server.url, content=pieces(b"abc"), headers={"Content-Length": "3"})
        assert response.content == b"abc"
        with pytest.raises(library.api.LocalProtocolError):
            await library.client(pool).post(server.url, content=pieces(b"abc"), headers={"Content-Length": "4"})


async def test_what_a_body_raises_comes_out_as_itself(library: Library, pool: Pool) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise KeyError("mine")

    async with answering(echo) as server:
        with pytest.raises(KeyError, match="mine"):
            await library.client(pool).post(server.url, content=broken())


async def test_a_body_that_was_spent_is_the_librarys_error(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        client = library.client(pool)
        request = client.build_request("POST", server.url, content=pieces(b"x"))
        await client.send(request)
        with pytest.raises(library.api.StreamConsumed):
            await client.send(request)


@pytest.mark.parametrize(("method", "times"), [("PUT", 2), ("POST", 1)])
async def test_a_dead_connection_is_replaced_where_nothing_can_be_done_twice(
    library: Library, pool: Pool, method: str, times: int
) -> None:
    """The server ends a connection when it has read the second request on it."""

    def once(asked: Asked) -> bytes | None:
        return None if asked.number == 0 and asked.method == method else ok(asked.body)

    async with answering(once) as server:
        client = library.client(pool)
        await client.get(server.url)
        if times == 1:
            with pytest.raises(library.api.RemoteProtocolError):
                await client.request(method, server.url, content=b"body")
        else:
            assert (await client.request(method, server.url, content=b"body")).content == b"body"
        assert [asked.method for asked in server.asked] == ["GET", *[method] * times]
        assert pool.statistics().stale_retries == times - 1


async def test_a_body_in_pieces_is_never_sent_twice(library: Library, pool: Pool) -> None:
    async with answering(lambda asked: None if asked.method == "PUT" else ok()) as server:
        client = library.client(pool)
        await client.get(server.url)
        with pytest.raises(library.api.TransportError):
            await client.put(server.url, content=pieces(b"one", b"two"))
        assert [asked.method for asked in server.asked] == ["GET", "PUT"]


# ---- timeouts ----


async def silent(stream: Any) -> None:
    await read_request(stream)
    await trio.sleep_forever()


async def test_each_timeout_is_the_librarys_own(library: Library) -> None:
    async with listening(silent) as url, open_pool(PoolConfig(max_connections=1)) as pool:
        client = library.client(pool)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, url)
            while not pool.statistics().leased:
                await trio.lowlevel.checkpoint()
            with pytest.raises(library.api.PoolTimeout):
                await client.get(url, timeout=library.api.Timeout(None, pool=0.01))
            nursery.cancel_scope.cancel()
        with pytest.raises(library.api.ReadTimeout):
            await client.get(url, timeout=library.api.Timeout(None, read=0.01))
        assert pool.statistics().leased == 0


async def drip(stream: Any) -> None:
    await read_request(stream)
    await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        await stream.send_all(b"x")
        await trio.sleep(0.005)


async def test_the_pools_total_timeout_holds_for_the_body_too(library: Library) -> None:
    """The libraries know none, and read a dripping body for ever."""
    async with listening(drip) as url, open_pool(PoolConfig(total_timeout=0.5)) as pool:
        with pytest.raises(library.api.ReadTimeout, match="total timeout"):
            await library.client(pool, timeout=None).get(url)
        assert pool.statistics().leased == 0


def limits(pool: Pool, library: Library, *, timeout: Any = ..., **extensions: Any) -> Any:
    """What a request with this extension has for its seconds."""
    request = library.api.Request("GET", "http://h/", extensions=extensions)
    if timeout is not ...:
        request.extensions["timeout"] = timeout
    return pool.config.limits_for(library.adapter.PoolTransport(pool)._adapter._request(request).timeouts)


async def test_what_a_timeout_leaves_out_has_no_limit(library: Library) -> None:
    config = PoolConfig(total_timeout=77, first_byte_timeout=None)
    async with open_pool(config) as pool:
        found = limits(pool, library, timeout={"read": 3, "pool": None})
        assert (found.read, found.first_byte, found.acquire, found.connection, found.write) == (3, 3, *[math.inf] * 3)
        assert found.total == 77
        assert limits(pool, library) == config.limits
        assert limits(pool, library, timeout={"connect": 0}).connection == 0


async def test_a_first_byte_timeout_of_the_pools_own_stays(library: Library) -> None:
    async with open_pool(PoolConfig(first_byte_timeout=60)) as pool:
        found = limits(pool, library, timeout={"read": 3})
        assert (found.read, found.first_byte) == (3, 60)


@pytest.mark.parametrize(
    "timeout",
    [
        *({name: 10**400} for name in ("connect", "read", "pool")),
        {"read": -1},
        {"read": math.nan},
        {"read": "soon"},
        5,
        {"read": []},
    ],
)
async def test_a_nonsensical_timeout_is_refused(library: Library, pool: Pool, timeout: Any) -> None:
    request = library.api.Request("GET", "http://h/", extensions={"timeout": timeout})
    with pytest.raises(library.api.LocalProtocolError, match="timeout"):
        await library.adapter.PoolTransport(pool).handle_async_request(request)


# ---- the name for TLS ----


async def test_the_name_for_tls_is_asked_for_and_checked(library: Library) -> None:
    papers = certificates("other.test")
    async with answering(echo, papers.server) as server, open_pool(tls=papers.client) as pool:
        client = library.client(pool)
        with pytest.raises(library.api.ConnectError, match="certificate"):
            await client.get(server.url)
        response = await client.get(server.url, extensions={"sni_hostname": "other.test"})
        assert response.extensions["network_stream"].get_extra_info("ssl_object").server_hostname == "other.test"
        assert server.asked[0].header("host") == server.url.removeprefix("https://")


async def test_connections_under_different_names_are_not_interchangeable(library: Library) -> None:
    papers = certificates("one.test", "two.test", "127.0.0.1")
    async with answering(echo, papers.server) as server, open_pool(tls=papers.client) as pool:
        client = library.client(pool)
        for name in ("one.test", "two.test", None, "one.test", "ONE.test"):
            extensions = {} if name is None else {"sni_hostname": name}
            assert (await client.get(server.url, extensions=extensions)).status_code == 200
        assert server.connections == 4
        names = {str(origin).partition(" as ")[2] for origin in pool.statistics().origins}
        assert names == {"", "one.test", "two.test", "ONE.test"}


async def test_without_tls_the_name_makes_no_difference(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        await library.client(pool).get(server.url, extensions={"sni_hostname": "one.test"})
        await library.client(pool).get(server.url)
        assert server.connections == 1


def test_an_origin_shows_its_name_for_tls() -> None:
    assert str(Origin("https", "h", 443, sni="n")) == "https://h:443 as n"
    assert Origin("https", "h", 443, sni="n") != Origin("https", "h", 443)


# ---- the response ----


async def test_a_response_has_its_extensions(library: Library, pool: Pool) -> None:
    old = b"HTTP/1.0 299 Quite \xe9 Fine\r\nX-A: 1\r\nx-a: 2\r\n\r\nbody"
    async with listening(one_answer(old)) as url:
        response = await library.client(pool).get(url)
    assert response.extensions["http_version"] == b"HTTP/1.0"
    assert response.extensions["reason_phrase"] == b"Quite \xe9 Fine"
    assert response.headers.raw == [(b"X-A", b"1"), (b"x-a", b"2")]
    assert response.content == b"body"


def one_answer(answer: bytes) -> Any:
    async def serve(stream: Any) -> None:
        await read_request(stream)
        await stream.send_all(answer)
        await stream.aclose()

    return serve


async def test_a_body_is_handed_on_as_it_comes(library: Library, pool: Pool) -> None:
    coded = ok(b"\x00\x01", "Content-Encoding: no-such-coding")
    async with answering(lambda _: coded) as server:
        async with library.client(pool).stream("GET", server.url) as response:
            assert b"".join([piece async for piece in response.aiter_raw()]) == b"\x00\x01"
        assert pool.statistics().idle == 1


async def chunks(stream: Any) -> None:
    await read_request(stream)
    await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
    await trio.sleep_forever()


@pytest.mark.filterwarnings("ignore:Async generator 'httpx\\.:ResourceWarning")  # which leaves its own lying about
@pytest.mark.parametrize("times", [1, 2])
async def test_a_response_that_is_closed_early_frees_its_connection(library: Library, pool: Pool, times: int) -> None:
    async with listening(chunks) as url:
        client = library.client(pool)
        response = await client.send(client.build_request("GET", url), stream=True)
        pieces = response.aiter_raw()
        assert await anext(pieces) == b"first"
        assert pool.statistics().leased == 1
        for _ in range(times):
            await response.aclose()
        assert pool.statistics().leased == 0
        await pieces.aclose()
        await response.stream.aclose()


async def test_a_response_that_is_closed_while_being_cancelled_frees_its_connection(
    library: Library, pool: Pool
) -> None:
    async with listening(chunks) as url:
        with trio.move_on_after(0.05) as scope:
            async with library.client(pool).stream("GET", url) as response:
                async for _ in response.aiter_raw():
                    pass
        assert scope.cancelled_caught
        assert pool.statistics().leased == 0


async def test_a_response_whose_rest_is_there_keeps_its_connection(library: Library, pool: Pool) -> None:
    async with answering(lambda _: ok(b"x" * 1000)) as server:
        for _ in range(3):
            async with library.client(pool).stream("GET", server.url) as response:
                assert response.status_code == 200
        assert server.connections == 1


# ---- errors ----

BROKEN = {
    "an end before the head": (b"", "RemoteProtocolError"),
    "an end inside the head": (b"HTTP/1.1 200 OK\r\nX", "RemoteProtocolError"),
    "no HTTP": (b"SSH-2.0\r\n\r\n", "RemoteProtocolError"),
    "a head without end": (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 70000, "RemoteProtocolError"),
}


@pytest.mark.parametrize(("answer", "name"), BROKEN.values(), ids=BROKEN)
async def test_a_broken_answer_is_the_librarys_error(library: Library, pool: Pool, answer: bytes, name: str) -> None:
    async with listening(one_answer(answer)) as url:
        with pytest.raises(library.api.TransportError) as caught:
            await library.client(pool).get(url)
    assert type(caught.value).__name__ == name
    assert caught.value.request.url == url
    assert caught.value.__cause__.origin is not None


async def test_an_error_inside_a_body_is_the_librarys_too(library: Library, pool: Pool) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
    async with listening(one_answer(cut)) as url, library.client(pool).stream("GET", url) as response:
        received = []
        with pytest.raises(library.api.RemoteProtocolError) as caught:
            received += [piece async for piece in response.aiter_raw()]
        assert caught.value.request.url == url
        assert pool.statistics().leased == 0


async def test_a_refused_connection_is_the_librarys_error(library: Library, pool: Pool) -> None:
    async with listening(one_answer(b"")) as url:
        pass
    with pytest.raises(library.api.ConnectError, match="no connection to"):
        await library.client(pool).get(url)


async def test_a_closed_pool_is_the_librarys_error(library: Library) -> None:
    async with open_pool() as pool:
        client = library.client(pool)
    with pytest.raises(library.api.ConnectError, match="closed"):
        await client.get("http://127.0.0.1:1")


async def test_a_full_pool_is_a_timeout_or_a_response(library: Library) -> None:
    async with listening(chunks) as url, open_pool(PoolConfig(max_connections=1, max_waiting=0)) as pool:
        client = library.client(pool)
        async with client.stream("GET", url):
            with pytest.raises(library.api.PoolTimeout, match="wait already"):
                await client.get(url)
            transport = library.adapter.PoolTransport(pool, full_as_response=True)
            response = await library.api.AsyncClient(transport=transport).get(url)
    assert (response.status_code, response.headers["x-should-retry"]) == (503, "false")
    assert "wait already" in response.json()["error"]["message"]
    assert response.extensions["reason_phrase"] == b"Service Unavailable"
    assert response.elapsed.total_seconds() >= 0
    assert int(response.headers["content-length"]) == len(response.content)


async def test_a_cancellation_is_nobodys_error(library: Library, pool: Pool) -> None:
    async with listening(silent) as url:
        with trio.move_on_after(0.05) as scope:
            try:
                await library.client(pool).get(url)
            except BaseException as error:
                assert isinstance(error, trio.Cancelled)
                raise
        assert scope.cancelled_caught


class Half:
    """A body that fails half way."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"half"
        raise self.error


@pytest.mark.parametrize("error", [PoolFull("upstream"), ReadError("upstream"), KeyError("x")], ids=repr)
@pytest.mark.parametrize("full_as_response", [False, True])
async def test_what_a_body_raises_comes_out_as_it_is_also_when_it_is_an_error_of_ours(
    library: Library, pool: Pool, error: Exception, full_as_response: bool
) -> None:
    async with answering(echo) as server:
        transport = library.adapter.PoolTransport(pool, full_as_response=full_as_response)
        with pytest.raises(type(error)) as caught:
            await library.api.AsyncClient(transport=transport).post(server.url, content=Half(error))
    assert caught.value is error


WRONG_URLS = {
    "http://h:99999/": "LocalProtocolError",
    "http://127.0.0.1:0/": "LocalProtocolError",
    "http://a,b/": "LocalProtocolError",
    "http://..:1/": "LocalProtocolError",
    f"http://{'a' * 64}.test/": "LocalProtocolError",
}


@pytest.mark.parametrize(("url", "name"), WRONG_URLS.items())
async def test_a_url_that_cannot_be_is_refused(library: Library, pool: Pool, url: str, name: str) -> None:
    try:
        request = library.api.Request("GET", url)
    except library.api.InvalidURL:
        return  # the library has refused it
    with pytest.raises(getattr(library.api, name), match="host or port that cannot be"):
        await library.adapter.PoolTransport(pool).handle_async_request(request)
    assert pool.statistics().requests == 0


@pytest.mark.parametrize("name", ["x\0y", "a..b", "x y", b"\xff"])
async def test_a_name_for_tls_that_cannot_be_is_refused(library: Library, pool: Pool, name: Any) -> None:
    with pytest.raises(library.api.LocalProtocolError, match="sni_hostname"):
        await library.client(pool).get("https://127.0.0.1:1/", extensions={"sni_hostname": name})


# ---- over a client ----


async def test_a_redirect_keeps_the_name_for_tls_and_the_credentials(library: Library) -> None:
    def moved(asked: Asked) -> bytes:
        return ok() if asked.target == "/there" else ok(b"", "Location: /there", status="302 Found")

    papers = certificates("other.test")
    async with answering(moved, papers.server) as server, open_pool(tls=papers.client) as pool:
        mine = Client(pool, follow_redirects=True)
        client = library.api.AsyncClient(
            transport=library.adapter.ClientTransport(mine), headers={"Authorization": "s"}
        )
        response = await client.get(server.url, extensions={"sni_hostname": "other.test"})
    assert response.status_code == 200
    assert [asked.header("authorization") for asked in server.asked] == ["s", "s"]


async def test_a_redirect_has_the_timeouts_of_the_librarys_request(library: Library, pool: Pool) -> None:
    async def serve(stream: Any) -> None:
        await read_request(stream)
        await stream.send_all(ok(b"", "Location: /there", status="302 Found"))
        await read_request(stream)
        await trio.sleep_forever()

    async with listening(serve) as url:
        pool.config = PoolConfig(retry_attempts=1)
        mine = Client(pool, follow_redirects=True)
        client = library.api.AsyncClient(transport=library.adapter.ClientTransport(mine))
        with trio.fail_after(5), pytest.raises(library.api.ReadTimeout):  # the pool's own is 30 s
            await client.get(url, timeout=library.api.Timeout(None, read=0.05))


async def test_a_client_sends_what_the_library_made(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        mine = Client(pool, headers={"X-Mine": "1"})
        client = library.api.AsyncClient(transport=library.adapter.ClientTransport(mine))
        response = await client.post(server.url, content=b"body")
        assert response.content == b"body"
        assert server.asked[0].header("x-mine") is None
        assert (server.asked[0].header("user-agent") or "").startswith(f"python-{library.name}/")


async def test_a_client_that_follows_redirects_does_so(library: Library, pool: Pool) -> None:
    def moved(asked: Asked) -> bytes:
        return (
            ok(asked.target.encode()) if asked.target == "/there" else ok(b"", "Location: /there", status="302 Found")
        )

    async with answering(moved) as server:
        mine = Client(pool, follow_redirects=True)
        client = library.api.AsyncClient(transport=library.adapter.ClientTransport(mine))
        assert (await client.get(server.url)).text == "/there"


async def test_an_sdk_may_retry_above_a_client_that_does_not(library: Library, pool: Pool) -> None:
    pool.config = PoolConfig(retry_attempts=1)
    async with answering(echo) as server:
        client = library.api.AsyncClient(transport=library.adapter.ClientTransport(Client(pool)))
        await client.get(server.url, headers={"x-stainless-retry-count": "1"})


async def test_an_sdk_that_retries_above_a_client_is_told_so_once(library: Library, pool: Pool) -> None:
    async with answering(echo) as server:
        pool.config = PoolConfig()
        client = library.api.AsyncClient(transport=library.adapter.ClientTransport(Client(pool)))
        await client.get(server.url, headers={"x-stainless-retry-count": "0"})
        with pytest.warns(RuntimeWarning, match="max_retries=0") as warned:
            await client.get(server.url, headers={"x-stainless-retry-count": "1"})
        assert warned[0].filename == __file__
        await client.get(server.url, headers={"x-stainless-retry-count": "2"})
        await library.client(pool).get(server.url, headers={"x-stainless-retry-count": "2"})  # does not retry itself
