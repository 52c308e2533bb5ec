"""What a client sends: methods, URLs, headers and bodies, as the server receives them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import trio
import trio.testing

import trio_pool
from trio_pool import Client, Headers, Origin, PoolConfig, Response, Timeouts, open_client, open_pool
from trio_pool._version import __version__
from trio_pool._wire.decoding import ACCEPT_ENCODING

from .network import Received, ScriptedNetwork, response

URL = "http://h/"


def echo(received: Received) -> bytes:
    """Everything that the server has received, as JSON."""
    seen = {**received._asdict(), "body": received.body.decode("latin-1")}
    body = json.dumps(seen).encode()
    return response(b"" if received.method == "HEAD" else body, "Content-Type: application/json", length=len(body))


async def ask(method: str, url: str, *, client: dict[str, Any] | None = None, **options: Any) -> Received:
    """What the server receives of one request."""
    network = ScriptedNetwork(echo)
    async with open_client(network=network, **(client or {})) as opened:
        await opened.request(method, url, **options)
    [received] = network.requests
    return received


# ---- methods ----


@pytest.mark.parametrize("method", ["get", "head", "options", "post", "put", "patch", "delete"])
async def test_each_method_has_its_name(method: str) -> None:
    network = ScriptedNetwork(echo)
    async with open_client(network=network) as client:
        answer = await getattr(client, method)(URL + "a", params={"b": 1}, headers={"X-One": "1"})
    [received] = network.requests
    assert (received.method, received.target) == (method.upper(), "/a?b=1")
    assert received.header("x-one") == "1"
    assert answer.headers["content-length"] != "0"
    assert bool(answer.content) == (method != "head")


async def test_a_method_of_ones_own_is_sent_as_it_is() -> None:
    assert (await ask("Brew", URL)).method == "Brew"


async def test_stream_and_request_take_the_same() -> None:
    network = ScriptedNetwork(echo)
    async with open_client(network=network) as client:
        options: dict[str, Any] = {"params": {"a": 1}, "headers": {"B": "2"}, "json": [3], "timeouts": Timeouts(read=4)}
        whole = await client.request("PUT", URL, **options)
        async with client.stream("PUT", URL, **options) as streamed:
            await streamed.read()
    assert whole.json() == streamed.json()
    assert network.requests[0] == network.requests[1]


async def test_an_option_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="colour"):
        await ask("GET", URL, colour="red")


# ---- base_url ----


@pytest.mark.parametrize(
    ("base", "url", "host", "target"),
    [
        ("http://h", "a", "h", "/a"),
        ("http://h", "/a", "h", "/a"),
        ("http://h/", "/a", "h", "/a"),
        ("http://h/v1", "a", "h", "/v1/a"),
        ("http://h/v1/", "a/b?c=d", "h", "/v1/a/b?c=d"),
        ("http://h/v1/", "/a", "h", "/v1/a"),
        ("http://h/v1", "", "h", "/v1/"),
        ("http://h/v1", "?a=1", "h", "/v1/?a=1"),
        ("http://h/v1", "//g/a", "h", "/v1/g/a"),
        ("http://h/v1", "http://g/a", "g", "/a"),
        ("http://h/v1", "HTTP://g/a", "g", "/a"),
        ("http://h/v1", "go?to=http://g/", "h", "/v1/go?to=http://g/"),
        ("http://h:8000/v1", "a", "h:8000", "/v1/a"),
    ],
)
async def test_a_relative_url_is_appended_to_the_base(base: str, url: str, host: str, target: str) -> None:
    received = await ask("GET", url, client={"base_url": base})
    assert (received.header("host"), received.target) == (host, target)


async def test_the_user_of_the_base_is_sent() -> None:
    received = await ask("GET", "a", client={"base_url": "http://u:p@h/"})
    assert received.header("authorization") == "Basic dTpw"


NO_BASES = ["", "h", "/v1", "ftp://h", "http://", "http://h:x", "http://h/\n", "http://h/?a=1", "http://h/#a"]


@pytest.mark.parametrize("base", NO_BASES)
async def test_a_base_that_cannot_be_is_refused_before_anything_is_opened(base: str) -> None:
    network = ScriptedNetwork(echo)
    with pytest.raises(trio_pool.TrioPoolError):
        async with open_client(base_url=base, network=network):
            raise AssertionError("it was opened")
    async with open_pool(network=network) as pool:
        with pytest.raises(trio_pool.TrioPoolError):
            Client(pool, base_url=base)
    assert network.attempts == []


# ---- headers ----


async def test_a_client_says_who_it_is_and_what_it_takes() -> None:
    received = await ask("GET", URL)
    assert received.headers == [
        ("host", "h"),
        ("user-agent", f"trio_pool/{__version__}"),
        ("accept", "*/*"),
        ("accept-encoding", ACCEPT_ENCODING),
    ]


async def test_the_clients_headers_go_with_every_request_and_the_requests_own_count_more() -> None:
    network = ScriptedNetwork(echo)
    defaults = {"X-Team": "a", "accept": "text/plain", "X-Keep": "k"}
    async with open_client(headers=defaults, network=network) as client:
        await client.get(URL)
        await client.get(URL, headers={"x-TEAM": "b", "USER-AGENT": "me"})
        await client.get(URL, headers=[("x-team", "c"), ("X-Team", "d")])
        await client.get(URL)
    first, second, third, fourth = network.requests
    assert first == fourth
    assert first.values("x-team") == ["a"]
    assert first.values("accept") == ["text/plain"]
    assert (second.header("x-team"), second.header("user-agent"), second.header("x-keep")) == ("b", "me", "k")
    assert third.values("x-team") == ["c", "d"]


async def test_headers_that_are_given_are_left_alone() -> None:
    defaults, own = Headers({"A": "1"}), Headers({"B": "2"})
    await ask("POST", "http://u:p@h/", client={"headers": defaults}, headers=own, json={})
    assert defaults.multi_items() == [("A", "1")]
    assert own.multi_items() == [("B", "2")]


@pytest.mark.parametrize("headers", [{"A": "x\r\nB: y"}, {"A B": "x"}, {"A": 5}, "A: b"])
async def test_default_headers_that_cannot_be_are_refused_at_once(headers: Any) -> None:
    network = ScriptedNetwork(echo)
    with pytest.raises(trio_pool.TrioPoolError):
        async with open_client(headers=headers, network=network):
            raise AssertionError("it was opened")


# ---- bodies ----


@pytest.mark.parametrize(
    ("options", "body", "media_type"),
    [
        ({"content": b"\0\xff"}, b"\0\xff", None),
        ({"content": "é"}, "é".encode(), "text/plain; charset=utf-8"),
        ({"content": b""}, b"", None),
        ({"json": {"a": "é"}}, '{"a":"é"}'.encode(), "application/json"),
        ({"data": {"a": [1, True], "b": "x y"}}, b"a=1&a=true&b=x+y", "application/x-www-form-urlencoded"),
    ],
)
async def test_a_body_arrives_with_its_length_and_type(
    options: dict[str, Any], body: bytes, media_type: str | None
) -> None:
    received = await ask("POST", URL, **options)
    assert received.body == body
    assert received.header("content-length") == str(len(body))
    assert received.header("content-type") == media_type
    assert received.header("transfer-encoding") is None


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 4096
    assert (await ask("POST", URL, content=body)).body == body


async def body_of(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        await trio.lowlevel.checkpoint()
        yield piece


async def test_a_body_of_pieces_arrives_whole_and_empty_pieces_do_not_end_it() -> None:
    received = await ask("POST", URL, content=body_of(b"", b"ab", b"", b"c", b""))
    assert received.body == b"abc"
    assert received.header("transfer-encoding") == "chunked"
    assert received.header("content-length") is None


async def test_a_body_of_pieces_may_have_a_length() -> None:
    received = await ask("POST", URL, content=body_of(b"ab", b"c"), headers={"Content-Length": "3"})
    assert received.body == b"abc"
    assert received.header("content-length") == "3"
    assert received.header("transfer-encoding") is None


@pytest.mark.parametrize("length", ["2", "4"])
async def test_a_body_of_pieces_that_breaks_its_length_is_an_error_and_the_connection_is_gone(length: str) -> None:
    network = ScriptedNetwork(echo)
    async with open_client(network=network) as client:
        with pytest.raises(trio_pool.LocalProtocolError) as caught:
            await client.post(URL, content=body_of(b"ab", b"c"), headers={"Content-Length": length})
        assert caught.value.origin == Origin("http", "h", 80)
        assert network.connections[0].is_closed
    assert (b"abc" in network.connections[0].raw) == (length == "4")  # what is too much is not sent


class Broken(Exception):
    pass


async def test_what_a_body_raises_comes_out_as_itself() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        raise Broken

    network = ScriptedNetwork(echo)
    async with open_client(network=network) as client:
        with pytest.raises(Broken):
            await client.post(URL, content=body())
        assert network.connections[0].is_closed
        assert (await client.get(URL)).status_code == 200


async def test_a_body_of_something_else_than_bytes_is_refused_by_its_type() -> None:
    async def body() -> AsyncIterator[Any]:
        yield "text"

    network = ScriptedNetwork(echo)
    async with open_client(network=network) as client:
        with pytest.raises(trio_pool.UsageError, match="not of str"):
            await client.post(URL, content=body())


# ---- the client's life ----


async def test_responses_may_be_kept_in_an_exit_stack() -> None:
    network = ScriptedNetwork(echo)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(open_client(network=network))
        answers = [await stack.enter_async_context(client.stream("GET", f"{URL}{n}")) for n in range(3)]
        assert client.pool.statistics().leased == 3
        for number in (2, 0, 1):
            await answers[number].read()
            assert answers[number].json()["target"] == f"/{number}"
        assert client.pool.statistics().idle == 3
    assert all(connection.is_closed for connection in network.connections)


async def test_a_response_may_be_closed_in_another_task() -> None:
    network = ScriptedNetwork([[response(length=5), b"ab"]])
    async with open_client(network=network) as client, trio.open_nursery() as nursery:
        answer = await client.stream("GET", URL).__aenter__()

        async def close() -> None:
            await trio.lowlevel.checkpoint()
            answer.close()

        nursery.start_soon(close)
        with pytest.raises(trio_pool.ReadError, match="closed from elsewhere"):
            await answer.read()
        assert answer.is_closed
        assert client.pool.statistics().leased == 0


async def test_a_client_that_was_closed_says_so_and_reaches_no_network() -> None:
    network = ScriptedNetwork(echo)
    async with open_client(network=network) as client:
        await client.get(URL)
    attempts = list(network.attempts)
    with pytest.raises(trio_pool.PoolClosed, match="closed"):
        await client.get(URL)
    with pytest.raises(trio_pool.PoolClosed, match="closed"):
        async with client.stream("GET", URL):
            raise AssertionError("it was sent")
    assert network.attempts == attempts


def test_a_client_of_another_run_says_so() -> None:
    clients: list[Client] = []

    async def first() -> None:
        async with open_client(network=ScriptedNetwork(echo)) as client:
            clients.append(client)

    async def second() -> None:
        with pytest.raises(trio_pool.UsageError, match="another trio run"):
            await clients[0].get(URL)

    trio.run(first)
    trio.run(second)


async def test_two_clients_may_share_a_pool() -> None:
    network = ScriptedNetwork(echo)
    async with open_pool(network=network) as pool:
        one, other = Client(pool, base_url="http://h/one"), Client(pool, base_url="http://h/other", headers={"A": "b"})
        answers: list[Response] = [await one.get("x"), await other.get("x")]
        assert one.pool is other.pool is pool
    assert [answer.json()["target"] for answer in answers] == ["/one/x", "/other/x"]
    assert len(network.connections) == 1
    assert answers[1].timings.reused


async def test_a_requests_own_timeout_counts(autojump_clock: trio.testing.MockClock) -> None:
    network = ScriptedNetwork([[]], [[]])
    async with open_client(PoolConfig(read_timeout=50, retry_attempts=1), network=network) as client:
        started = trio.current_time()
        with pytest.raises(trio_pool.ReadTimeout, match="within 3 s"):
            await client.get(URL, timeouts=Timeouts(read=3))
        assert trio.current_time() - started == pytest.approx(3)
        with pytest.raises(trio_pool.ReadTimeout, match="within 50 s"):
            await client.get(URL)
        assert trio.current_time() - started == pytest.approx(53)


async def test_a_unix_socket_is_used_for_every_host() -> None:
    network = ScriptedNetwork(echo)
    async with open_client(uds="/run/server.sock", network=network) as client:
        await client.get("http://h/a")
        await client.get("http://g/b")
    assert network.attempts == ["/run/server.sock", "/run/server.sock"]
    assert [received.header("host") for received in network.requests] == ["h", "g"]


async def test_nothing_can_be_reached_is_said_in_words() -> None:
    async with open_client(network=ScriptedNetwork()) as client:
        with pytest.raises(trio_pool.ConnectError) as caught:
            await client.get("http://h:81/secret?key=secret")
    assert "no connection to h could be made: Connection refused (to http://h:81, while connecting" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert not caught.value.may_have_been_processed
