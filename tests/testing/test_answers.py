"""What a canned network says: every kind of answer through the real client, by trio's clock."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

import trio_pool
from trio_pool import (
    ConnectError,
    ConnectTimeout,
    LocalProtocolError,
    PoolConfig,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    ServerSentEvent,
    UsageError,
)
from trio_pool.testing import CannedNetwork, Cut
from trio_pool.transports import httpx as httpx_transport
from trio_pool.transports import httpx2 as httpx2_transport

URL = "https://api.example/thing"
ONCE = PoolConfig(retry_attempts=1, read_timeout=30)


async def get(network: CannedNetwork, method: str = "GET", url: str = URL, **options: Any) -> trio_pool.Response:
    async with trio_pool.open_client(ONCE, network=network) as client:
        return await client.request(method, url, **options)


BODIES: list[tuple[dict[str, Any], bytes, str | None, str | None]] = [
    ({}, b"", None, "0"),
    ({"content": b"\0\xff"}, b"\0\xff", None, "2"),
    ({"content": "é"}, "é".encode(), "text/plain; charset=utf-8", "2"),
    ({"json": {"a": [1]}}, b'{"a": [1]}', "application/json", "10"),
    ({"stream": [b"one", b"", b"two"]}, b"onetwo", None, None),
    ({"stream": [], "headers": {"Content-Type": "x/y"}}, b"", "x/y", None),
    ({"stream": [b"one"], "headers": {"Content-Length": "3"}}, b"one", None, "3"),
    ({"json": None, "headers": {"Content-Length": "0"}}, b"", None, "0"),
    ({"content": b"x" * 300_000}, b"x" * 300_000, None, "300000"),
    ({"events": ["a"]}, b"data: a\n\n", "text/event-stream", None),
]


@pytest.mark.parametrize(("options", "body", "media_type", "length"), BODIES)
async def test_a_body_of_each_kind_arrives(
    options: dict[str, Any], body: bytes, media_type: str | None, length: str | None
) -> None:
    network = CannedNetwork()
    network.get(URL).respond(**options)
    response = await get(network)
    assert (response.status_code, response.reason, response.content) == (200, "OK", body)
    assert (response.headers.get("content-type"), response.headers.get("content-length")) == (media_type, length)


@pytest.mark.parametrize("codec", ["fast", "h11"])
@pytest.mark.parametrize("status_code", [204, 304, 418, 599])
async def test_any_status_with_either_codec(status_code: int, codec: Any) -> None:
    network = CannedNetwork()
    network.get(URL).respond(status_code, headers=[("X-A", "1"), ("X-A", "2")])
    async with trio_pool.open_client(PoolConfig(codec=codec), network=network) as client:
        response = await client.get(URL)
    assert response.status_code == status_code
    assert response.headers.get_list("x-a") == ["1", "2"]


async def test_what_head_is_answered_with_has_no_body() -> None:
    network = CannedNetwork()
    network.route("HEAD", URL).respond(json=[1]).respond(stream=[b"abc"])
    async with trio_pool.open_client(network=network) as client:
        first, second = await client.head(URL), await client.head(URL)
        assert (first.headers["content-length"], first.content, second.content) == ("3", b"", b"")
        assert client.pool.statistics().dials == 1


EVENTS = [
    ServerSentEvent("added", "a\nb", "7", 1500),
    ServerSentEvent(data='{"a": 1}', id="7", retry=1500),
    ServerSentEvent(data="", id="7", retry=1500),
]


async def test_events_are_what_was_given() -> None:
    network = CannedNetwork()
    network.get(URL).respond(events=[EVENTS[0], {"a": 1}, ""])
    async with trio_pool.open_client(network=network) as client, client.stream("GET", URL) as response:
        assert [event async for event in response.iter_events()] == EVENTS


async def moments(network: CannedNetwork) -> list[tuple[float, bytes]]:
    """The pieces of a body, and when they came."""
    async with trio_pool.open_client(ONCE, network=network) as client, client.stream("GET", URL) as response:
        found = [(round(trio.current_time(), 6), b"")]
        found += [(round(trio.current_time(), 6), piece) async for piece in response.iter_raw()]
        return found


async def test_delays_and_pauses_are_by_the_clock(autojump_clock: MockClock) -> None:
    network = CannedNetwork()
    network.get(URL).respond(stream=[b"one", 2.0, b"two", b"three", 0.5], delay=3)
    begun = trio.current_time()
    came = [(at - begun, piece) for at, piece in await moments(network)]
    assert came == [(3.0, b""), (3.0, b"one"), (5.0, b"two"), (5.0, b"three")]


@given(st.lists(st.binary(max_size=20) | st.integers(0, 3) | st.floats(0, 2, width=16), max_size=12))
def test_whatever_the_pieces_they_arrive_whole_and_in_their_time(pieces: list[bytes | float]) -> None:
    async def main() -> None:
        network = CannedNetwork()
        network.get(URL).respond(stream=pieces)
        begun = trio.current_time()
        async with trio_pool.open_client(ONCE, network=network) as client:
            response = await client.get(URL)
        assert response.content == b"".join(piece for piece in pieces if isinstance(piece, bytes))
        pauses = sum(piece for piece in pieces if not isinstance(piece, bytes))
        assert trio.current_time() - begun == pytest.approx(pauses)

    trio.run(main, clock=MockClock(autojump_threshold=0))


CUTS: list[tuple[Cut, type[Exception], float]] = [
    (Cut.RESET, ReadError, 0),
    (Cut.END, RemoteProtocolError, 0),
    (Cut.SILENCE, ReadTimeout, 30),
]


@pytest.mark.parametrize(("cut", "error", "seconds"), CUTS)
async def test_no_answer(cut: Cut, error: type[Exception], seconds: float, autojump_clock: MockClock) -> None:
    network = CannedNetwork()
    network.post(URL).fail(cut, delay=7)
    begun = trio.current_time()
    with pytest.raises((error, ReadError)):  # an end before the first byte is a ReadError too
        await get(network, "POST")
    assert trio.current_time() - begun == pytest.approx(max(seconds, 7))
    network.assert_all_used()


@pytest.mark.parametrize(("cut", "error", "seconds"), CUTS)
@pytest.mark.parametrize("headers", [None, {"Content-Length": "100"}])
async def test_an_answer_that_breaks_off(
    cut: Cut, error: type[Exception], seconds: float, headers: dict[str, str] | None, autojump_clock: MockClock
) -> None:
    network = CannedNetwork()
    network.get(URL).respond(stream=[b"x" * 10, 4, cut], headers=headers)
    begun, got = trio.current_time(), b""
    async with trio_pool.open_client(ONCE, network=network) as client, client.stream("GET", URL) as response:
        with pytest.raises(error):
            async for piece in response.iter_raw():
                got += piece
    assert got == b"x" * 10
    assert trio.current_time() - begun == pytest.approx(max(seconds, 4))


async def test_a_host_refuses_as_often_as_it_should(autojump_clock: MockClock) -> None:
    network = CannedNetwork()
    network.refuse("https://api.example", times=2)
    network.get(URL).respond(204)
    async with trio_pool.open_client(ONCE, network=network) as client:
        for _ in range(2):
            with pytest.raises(ConnectError, match="refused"):
                await client.get(URL)
        assert (await client.get(URL)).status_code == 204
    network.assert_all_used()


async def test_a_host_that_does_not_even_refuse(autojump_clock: MockClock) -> None:
    network = CannedNetwork()
    network.refuse("http://silent.example:81/whatever", silently=True)
    network.get("http://silent.example/").respond(204)
    begun = trio.current_time()
    with pytest.raises(ConnectTimeout):
        await get(network, url="http://silent.example:81/")
    assert trio.current_time() - begun == pytest.approx(5)
    assert (await get(network, url="http://silent.example/")).status_code == 204


async def test_connections_are_kept_unless_the_answer_closes_them() -> None:
    network = CannedNetwork()
    network.get(URL).respond(204, times=3).respond(204, headers={"Connection": "close"}).respond(204)
    async with trio_pool.open_client(network=network) as client:
        for expected in (1, 1, 1, 1, 2):
            await client.get(URL)
            assert client.pool.statistics().dials == expected


async def pieces() -> AsyncIterator[bytes]:
    for piece in (b"a", b"b"):
        await trio.lowlevel.checkpoint()
        yield piece


@pytest.mark.parametrize("headers", [{}, {"Expect": "100-continue"}, {"Content-Length": "2"}])
async def test_an_upload_arrives_whole(headers: dict[str, str], autojump_clock: MockClock) -> None:
    network = CannedNetwork()
    network.post(URL).respond(201)
    begun = trio.current_time()
    assert (await get(network, "POST", content=pieces(), headers=headers)).status_code == 201
    assert network.requests[0].content == b"ab"
    assert trio.current_time() == begun  # whoever expects to continue was told to


async def test_an_end_stays_and_a_closed_stream_gives_nothing() -> None:
    network = CannedNetwork()
    network.get("/a").fail(Cut.END)
    stream = await network.connect(("h", 80))
    assert stream.send_nowait(b"GET /a HTTP/1.1\r\nHost: h\r\n\r\n") == 28
    assert (stream.recv_nowait(1), stream.recv_nowait(1), stream.readable()) == (b"", b"", True)
    stream.close()
    with pytest.raises(OSError, match="descriptor"):
        stream.recv_nowait(1)


async def read_in_vain(response: trio_pool.Response) -> None:
    with pytest.raises(ReadError):
        await response.read()


async def test_a_waiting_reader_is_woken_by_closing() -> None:
    network = CannedNetwork()
    network.get(URL).respond(stream=[b"x", Cut.SILENCE])
    async with trio_pool.open_client(network=network) as client, client.stream("GET", URL) as response:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_in_vain, response)
            await wait_all_tasks_blocked()
            response.close()


# ---- ways to it ----


async def test_over_a_unix_socket_and_by_a_proxy_requests_have_their_urls() -> None:
    network = CannedNetwork()
    route = network.get("http://api.example/a").respond(204, times=2)
    async with trio_pool.open_client(network=network, uds="/run/x") as client:
        await client.get("http://api.example/a")
    async with trio_pool.open_client(network=network, proxy="http://proxy.example:3128") as client:
        await client.get("http://api.example/a")
    assert [request.url for request in route.calls] == ["http://api.example/a"] * 2


@pytest.mark.parametrize(
    "url", ["http://h/", "http://h:443/", "https://h/", "https://h:80/", "https://h:8443/a?b=c", "https://[::1]:1/"]
)
async def test_urls_are_what_they_were(url: str) -> None:
    network = CannedNetwork()
    network.get(url).respond(204)
    assert (await get(network, url=url)).status_code == 204
    assert network.requests[0].url == url


async def test_under_both_libraries() -> None:
    network = CannedNetwork()
    network.post(URL).respond(json={"a": 1}, times=math.inf)
    async with trio_pool.open_pool(network=network) as pool:
        async with httpx2.AsyncClient(transport=httpx2_transport.PoolTransport(pool)) as second:
            assert (await second.post(URL, json=[2])).json() == {"a": 1}
        async with httpx.AsyncClient(transport=httpx_transport.PoolTransport(pool)) as first:
            assert (await first.post(URL, json=[1])).json() == {"a": 1}
    assert [request.json() for request in network.requests] == [[2], [1]]


async def test_several_upstreams(autojump_clock: MockClock) -> None:
    network = CannedNetwork()
    network.post("https://a.example/v1/chat").respond(503)
    network.post("https://b.example/v1/chat").respond(json="b")
    upstreams = [trio_pool.Upstream(f"https://{name}.example/v1", priority=n) for n, name in enumerate("ab")]
    async with trio_pool.open_client(network=network, upstreams=upstreams) as client:
        assert (await client.post("/chat", json={})).json() == "b"
    network.assert_all_used()


# ---- what is refused ----


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    "options",
    [
        {"content": b"a", "json": 1},
        {"stream": [], "events": []},
        {"content": 1},
        {"stream": ["text"]},
        {"stream": [True]},
        {"stream": [Cut.END, b"more"]},
        {"stream": [b"a", -1.0]},
        {"stream": [b"a", math.nan]},
        {"stream": [b"a"], "headers": {"Content-Length": "2"}},
        {"content": b"a", "headers": {"Content-Length": "2"}},
        {"status_code": 204, "content": b"a"},
        {"status_code": 100},
        {"status_code": 1000},
        {"status_code": "200"},
        {"delay": -1},
        {"delay": "2"},
        {"delay": None},
        {"delay": True},
        {"stream": b"text"},
        {"stream": "text"},
        {"stream": 5},
        {"events": "text"},
        {"events": {"text": "Hel"}},
        {"json": {1, 2}},
        {"json": CIRCLE},
        {"events": [{1, 2}]},
        {"times": 0},
        {"times": 1.5},
        {"times": True},
    ],
)
def test_an_answer_that_cannot_be_is_refused_when_it_is_added(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        CannedNetwork().get(URL).respond(**options)


def test_other_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match=r"Cut\.RESET, not with 'reset'"):
        CannedNetwork().get(URL).fail("reset")  # type: ignore[arg-type]  # what a test would have taken for a reset
    with pytest.raises(UsageError):
        CannedNetwork().get(URL).fail(Cut.END, times=-1)
    with pytest.raises(UsageError):
        CannedNetwork().refuse(URL, times=0)
    with pytest.raises(LocalProtocolError):
        CannedNetwork().get(URL).respond(headers={"a b": "c"})
    with pytest.raises(trio_pool.UnsupportedProtocol):
        CannedNetwork().get("ftp://h/")
