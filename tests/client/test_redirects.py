"""Where a redirect leads, what goes along, and where it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool import (
    ConnectError,
    Origin,
    PoolConfig,
    ReadTimeout,
    RemoteProtocolError,
    Request,
    Response,
    Timeouts,
    TooManyRedirects,
    TotalTimeout,
    TrioPoolError,
    UnsupportedProtocol,
    UsageError,
    open_client,
)
from trio_pool.client import redirected

from .network import Received, ScriptedNetwork, response

FROM = "http://h/dir/start?key=secret"
ONCE = PoolConfig(retry_attempts=1)  # what comes is shown as it is
REDIRECTS = [301, 302, 303, 307, 308]
CREDENTIALS = {"Authorization": "s3cret", "Cookie": "s3cret", "Proxy-Authorization": "s3cret"}


def redirecting(location: str, status: int = 302) -> ScriptedNetwork:
    """A network whose every server redirects from the start and answers elsewhere."""

    def serve(received: Received) -> bytes:
        if received.target.startswith("/dir/start"):
            return response(b"moved", f"Location: {location}", status=f"{status} Moved")
        return response(b"" if received.method == "HEAD" else b"arrived")

    return ScriptedNetwork(serve)


async def follow(network: ScriptedNetwork, method: str = "GET", **options: Any) -> Response:
    async with open_client(ONCE, network=network, follow_redirects=True) as client:
        answer = await client.request(method, FROM, **options)
        assert client.pool.statistics().leased == 0
    return answer


async def pieces() -> AsyncIterator[bytes]:
    yield b"body"


# ---- whether ----


@pytest.mark.parametrize("status", REDIRECTS)
async def test_a_redirect_is_a_response_unless_following_was_asked_for(status: int) -> None:
    network = redirecting("/there", status)
    async with open_client(network=network) as client:
        answer = await client.get(FROM)
    assert answer.status_code == status
    assert answer.headers["location"] == "/there"
    assert answer.content == b"moved"
    assert len(network.requests) == 1


@pytest.mark.parametrize("status", REDIRECTS)
async def test_a_redirect_is_followed_on_the_same_connection(status: int) -> None:
    network = redirecting("/there", status)
    answer = await follow(network)
    assert (answer.status_code, answer.content) == (200, b"arrived")
    assert answer.url == "http://h/there"
    assert answer.request.url == answer.url
    assert [received.target for received in network.requests] == ["/dir/start?key=secret", "/there"]
    assert len(network.connections) == 1


@pytest.mark.parametrize("status", [200, 201, 204, 300, 304, 305, 306, 404, 503])
async def test_another_status_is_not_followed(status: int) -> None:
    reply = f"HTTP/1.1 {status} Odd\r\nLocation: /there\r\n{'' if status in (204, 304) else 'Content-Length: 0'}"
    network = ScriptedNetwork([reply.rstrip().encode() + b"\r\n\r\n"])
    assert (await follow(network)).status_code == status
    assert len(network.requests) == 1


async def test_a_redirect_that_leads_nowhere_is_a_response() -> None:
    answer = await follow(ScriptedNetwork([response(b"moved", status="302 Found")]))
    assert (answer.status_code, answer.content) == (302, b"moved")


async def test_a_redirect_may_be_streamed() -> None:
    async with (
        open_client(network=redirecting("/there"), follow_redirects=True) as client,
        client.stream("GET", FROM) as answer,
    ):
        assert [piece async for piece in answer.iter_bytes()] == [b"arrived"]


# ---- where ----


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/there", "http://h/there"),
        ("there", "http://h/dir/there"),
        ("./there?a=b", "http://h/dir/there?a=b"),
        ("../there", "http://h/there"),
        ("?a=b", "http://h/dir/start?a=b"),
        ("//g/there", "http://g/there"),
        ("http://g:81/there", "http://g:81/there"),
        ("HTTPS://G/there", "https://g/there"),
        ("http://[::1]:81/there", "http://[::1]:81/there"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("/a b", "http://h/a%20b"),
        ("/caf\u00e9", "http://h/caf%C3%A9"),
        ("/caf\u00c3\u00a9", "http://h/caf%C3%A9"),
        ("/a%2Fb%20c", "http://h/a%2Fb%20c"),
        ("\\\\g\\there", "http://h/dir/%5C%5Cg%5Cthere"),
    ],
)
def test_a_location_is_understood_as_a_url_is(location: str, url: str) -> None:
    assert redirected(Request("GET", FROM), 302, location).url == url


def test_a_fragment_is_not_sent() -> None:
    assert redirected(Request("GET", FROM), 302, "/there#part").target == b"/there"


@pytest.mark.parametrize(
    "location",
    ["ftp://h/", "file:///etc/passwd", "javascript:alert(1)", "mailto:a@h", "data:,x", "ws://h/", "https:x:y"],
)
async def test_a_redirect_to_another_scheme_is_refused(location: str) -> None:
    network = redirecting(location)
    with pytest.raises((UnsupportedProtocol, RemoteProtocolError)) as caught:
        await follow(network)
    assert caught.value.origin == Origin("http", "h", 80)
    assert caught.value.may_have_been_processed
    assert len(network.requests) == 1
    assert network.attempts.count("h") == 1


MALFORMED = [
    *("http://h:99999/", "http://h:x/", "http://[bad/", "http://a b/", "http://h:0/", "http://h<g/"),
    *("http://\x85/", "//[/"),
]


@pytest.mark.parametrize("location", MALFORMED, ids=ascii)
async def test_a_location_that_is_no_url_is_the_servers_fault(location: str) -> None:
    network = redirecting(location)
    with pytest.raises(RemoteProtocolError) as caught:
        await follow(network)
    assert caught.value.origin == Origin("http", "h", 80)
    assert caught.value.may_have_been_processed
    assert len(network.requests) == 1


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=255), max_size=20) | st.text("ht:/?#[]@ %\\.h9", max_size=12))
def test_whatever_a_location_is_it_leads_somewhere_or_is_refused(location: str) -> None:
    request = Request("GET", FROM, headers=CREDENTIALS)
    try:
        there = redirected(request, 302, location)
    except TrioPoolError as error:
        assert "secret" not in str(error) + repr(error)  # either way is right
        return
    assert there.origin.scheme in ("http", "https")
    kept = [name for name in CREDENTIALS if name in there.headers]
    assert kept == (list(CREDENTIALS) if there.origin == request.origin else [])


# ---- what goes along ----

OTHERS = [
    *("http://g/there", "http://h:81/there", "https://h/there", "http://h.g/there", "http://sub.h/there"),
    *("//g/there", "http://user:pass@g/there"),
]


@pytest.mark.parametrize("location", OTHERS)
def test_credentials_never_cross_origins(location: str) -> None:
    there = redirected(Request("GET", FROM, headers={**CREDENTIALS, "X-Keep": "k"}), 307, location)
    assert "s3cret" not in str(there.headers.multi_items())
    assert "cookie" not in there.headers
    assert "proxy-authorization" not in there.headers
    assert there.headers["x-keep"] == "k"


def test_the_user_of_a_url_does_not_cross_origins() -> None:
    there = redirected(Request("GET", "http://user:pass@h/start"), 302, "http://g/there")
    assert "authorization" not in there.headers


@pytest.mark.parametrize("location", ["/there", "http://h/there", "http://H:80/there", "//h/there"])
def test_credentials_stay_on_the_same_origin(location: str) -> None:
    there = redirected(Request("GET", FROM, headers=CREDENTIALS), 302, location)
    assert {name: there.headers[name] for name in CREDENTIALS} == CREDENTIALS


async def test_credentials_that_the_client_always_sends_do_not_cross_origins_and_do_not_come_back() -> None:
    def serve(received: Received) -> bytes:
        where = {"/start": "http://g/away", "/away": "http://h/back"}.get(received.target)
        return response(b"", *([f"Location: {where}"] if where else []), status="302 Found" if where else "200 OK")

    network = ScriptedNetwork(serve)
    async with open_client(network=network, headers=CREDENTIALS, follow_redirects=True) as client:
        await client.get("http://h/start")
    assert [received.header("host") for received in network.requests] == ["h", "g", "h"]
    assert [received.header("authorization") for received in network.requests] == ["s3cret", None, None]
    assert [received.header("cookie") for received in network.requests] == ["s3cret", None, None]


@pytest.mark.parametrize("location", ["http://g/there", "http://g:81/there"])
async def test_the_host_is_the_new_one(location: str) -> None:
    network = redirecting(location)
    await follow(network, headers={"Host": "virtual"})
    host = location.removeprefix("http://").removesuffix("/there")
    assert [received.header("host") for received in network.requests] == ["virtual", host]


BODY = {"content": b"body", "headers": {"Content-Type": "a/b", "Content-Encoding": "gzip", "X-Keep": "k"}}
CHANGES = {
    **{("POST", status): "GET" for status in (301, 302, 303)},
    **{("POST", status): "POST" for status in (307, 308)},
    **{("PUT", status): "PUT" for status in (301, 302, 307, 308)},
    **{("DELETE", status): "DELETE" for status in (301, 302, 307, 308)},
    **{("GET", status): "GET" for status in REDIRECTS},
    **{("HEAD", status): "HEAD" for status in REDIRECTS},
    ("PUT", 303): "GET",
    ("DELETE", 303): "GET",
}


@pytest.mark.parametrize(("method", "status"), CHANGES)
async def test_the_method_changes_only_where_it_should_and_takes_the_body_with_it(method: str, status: int) -> None:
    network = redirecting("/there", status)
    await follow(network, method, **BODY)
    received = network.requests[1]
    assert received.method == CHANGES[method, status]
    keeps_body = status in (307, 308) or (status != 303 and method != "POST")
    assert received.body == (b"body" if keeps_body else b"")
    assert received.header("content-length") == ("4" if keeps_body else None)
    assert received.header("content-type") == ("a/b" if keeps_body else None)
    assert received.header("content-encoding") == ("gzip" if keeps_body else None)
    assert received.header("x-keep") == "k"
    assert received.header("transfer-encoding") is None


@pytest.mark.parametrize("status", [307, 308])
async def test_a_body_that_is_made_once_is_not_sent_twice(status: int) -> None:
    network = redirecting("/there", status)
    with pytest.raises(UsageError, match="needs the streamed body again") as caught:
        await follow(network, "POST", content=pieces())
    assert caught.value.may_have_been_processed
    assert caught.value.origin == Origin("http", "h", 80)
    assert len(network.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_body_that_is_made_once_is_no_hindrance_where_it_is_dropped(status: int) -> None:
    network = redirecting("/there", status)
    assert (await follow(network, "POST", content=pieces())).content == b"arrived"
    assert [received.method for received in network.requests] == ["POST", "GET"]
    assert network.requests[1].header("transfer-encoding") is None


async def test_parameters_are_not_added_again() -> None:
    network = redirecting("/there?b=2")
    await follow(network, params={"a": 1})
    assert [received.target for received in network.requests] == ["/dir/start?key=secret&a=1", "/there?b=2"]


# ---- where it ends ----


def counting(received: Received) -> bytes:
    number = int(received.target.removeprefix("/"))
    return response(b"", f"Location: /{number - 1}", status="302 Found") if number else response(b"arrived")


async def test_twenty_redirects_are_followed_and_no_more() -> None:
    network = ScriptedNetwork(counting)
    async with open_client(network=network, follow_redirects=True) as client:
        assert (await client.get("http://h/20")).content == b"arrived"
        assert len(network.requests) == 21
        with pytest.raises(TooManyRedirects, match="more than 20 times") as caught:
            await client.get("http://h/21")
        assert len(network.requests) == 42
        assert caught.value.origin == Origin("http", "h", 80)
        assert caught.value.may_have_been_processed
        assert client.pool.statistics().leased == 0


async def test_the_total_timeout_spans_the_whole_chain(autojump_clock: trio.testing.MockClock) -> None:
    network = ScriptedNetwork([[]])  # it says nothing by itself

    async def serve() -> None:
        while True:
            await trio.sleep(1)
            network.connections[0].send(response(b"", "Location: /start", status="302 Found"))

    async with open_client(network=network, follow_redirects=True) as client, trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(TotalTimeout):
            await client.get(FROM, timeouts=Timeouts(total=3.5, read=2))
        assert trio.current_time() == pytest.approx(3.5)
        nursery.cancel_scope.cancel()
    assert len(network.requests) == 4


async def test_every_hop_has_the_requests_own_timeouts(autojump_clock: trio.testing.MockClock) -> None:
    network = ScriptedNetwork([response(b"", "Location: /there", status="302 Found")])
    async with open_client(ONCE, network=network, follow_redirects=True) as client:
        with pytest.raises(ReadTimeout, match="within 3 s"):
            await client.get(FROM, timeouts=Timeouts(read=3))


async def test_the_configured_total_timeout_spans_the_whole_chain_too(autojump_clock: trio.testing.MockClock) -> None:
    network = ScriptedNetwork([response(b"", "Location: /there", status="302 Found")])
    config = PoolConfig(total_timeout=3)
    async with open_client(config, network=network, follow_redirects=True) as client:
        with pytest.raises(TotalTimeout):
            await client.get(FROM)
    assert trio.current_time() == pytest.approx(3)


async def test_a_failure_after_a_redirect_says_that_a_server_has_acted() -> None:
    network = ScriptedNetwork([response(b"", "Location: http://g/there", status="303 See Other")])
    with pytest.raises(ConnectError) as caught:
        await follow(network, "POST", content=b"once only")
    assert caught.value.origin == Origin("http", "g", 80)
    assert caught.value.may_have_been_processed
