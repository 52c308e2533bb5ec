"""Which request has which answer, what was sent, and what a test is told when it was otherwise."""

from __future__ import annotations

import math
import re
from typing import Any

import httpx2
import pytest

import trio_pool
from trio_pool import PoolConfig, UsageError
from trio_pool.testing import CannedNetwork, Cut, UnexpectedRequest
from trio_pool.transports.httpx2 import PoolTransport

BASE = "https://api.example"


async def ask(network: CannedNetwork, *requests: tuple[str, str], **options: Any) -> list[Any]:
    """The bodies of the answers."""
    async with trio_pool.open_client(PoolConfig(retry_attempts=1), network=network) as client:
        return [(await client.request(method, url, **options)).json() for method, url in requests]


MATCHES = [
    ("GET", f"{BASE}/a", "GET", f"{BASE}/a", True),
    ("GET", f"{BASE}/a", "POST", f"{BASE}/a", False),
    ("Purge", f"{BASE}/a", "PURGE", f"{BASE}/a", False),  # methods are case-sensitive (RFC 9110 section 9.1)
    ("purge", f"{BASE}/a", "purge", f"{BASE}/a", True),
    ("GET", f"{BASE}/a", "GET", f"{BASE}/a/", False),
    ("GET", f"{BASE}/a", "GET", "http://api.example/a", False),
    ("GET", f"{BASE}/a", "GET", "https://other.example/a", False),
    ("GET", f"{BASE}:443/a", "GET", f"{BASE}/a", True),
    ("GET", "https://API.example/a", "GET", f"{BASE}/a", True),
    ("GET", f"{BASE}:8443/a", "GET", f"{BASE}:8443/a", True),
    ("GET", "/a", "GET", "http://anywhere.example:81/a", True),
    ("GET", f"{BASE}", "GET", f"{BASE}/", True),
    ("GET", f"{BASE}/ä b", "GET", f"{BASE}/%C3%A4%20b", True),
    ("GET", "/users/*", "GET", f"{BASE}/users/7", True),
    ("GET", "/users/*", "GET", f"{BASE}/users/7/posts", False),
    ("GET", "/users/*/posts", "GET", f"{BASE}/users/7/posts", True),
    ("GET", "/users/**", "GET", f"{BASE}/users/7/posts", True),
    ("GET", "/a.c", "GET", f"{BASE}/abc", False),
    ("GET", "/a", "GET", f"{BASE}/a?b=1", True),
    ("GET", "/a?b=1&c=", "GET", f"{BASE}/a?c=&b=1", True),
    ("GET", "/a?b=1", "GET", f"{BASE}/a?b=1&b=1", False),
    ("GET", "/a?b=1", "GET", f"{BASE}/a", False),
    ("GET", "/a?", "GET", f"{BASE}/a?b=1", False),
]


@pytest.mark.parametrize(("method", "pattern", "asked", "url", "matches"), MATCHES)
async def test_which_requests_a_route_is_for(method: str, pattern: str, asked: str, url: str, matches: bool) -> None:
    network = CannedNetwork()
    network.route(method, pattern).respond(json=1)
    if matches:
        assert await ask(network, (asked, url)) == [1]
    else:
        with pytest.raises(UnexpectedRequest):
            await ask(network, (asked, url))


NO_ROUTES: list[tuple[Any, Any, str]] = [
    ("get", "/a", "methods are case-sensitive, and a route for 'get' answers no GET: write 'GET'"),
    ("Delete", "/a", "write 'DELETE'"),
    ("GE T", "/a", "a route's method is a word such as 'GET', not 'GE T'"),
    ("", "/a", "not ''"),
    (None, "/a", "not None"),
    ("GET", "users", "a route's URL begins with / (for any host), http:// or https://, not as 'users'"),
    ("GET", 3, "a URL is text, not int"),
    ("GET", "http://h:x/", "has a host or port that cannot be"),
]


@pytest.mark.parametrize(("method", "url", "sentence"), NO_ROUTES)
def test_a_route_that_no_request_can_match_is_refused(method: Any, url: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=re.escape(sentence)):
        CannedNetwork().route(method, url)


async def test_there_is_a_short_way_to_the_usual_methods() -> None:
    network = CannedNetwork()
    for make in (network.get, network.post, network.put, network.patch, network.delete):
        make("/a").respond(json=make.__name__)
    asked = [(method, f"{BASE}/a") for method in ("DELETE", "PATCH", "PUT", "POST", "GET")]
    assert await ask(network, *asked) == ["delete", "patch", "put", "post", "get"]


async def test_answers_come_in_order_and_as_often_as_they_say() -> None:
    network = CannedNetwork()
    network.get("/a").respond(json=1).respond(json=2, times=2)
    network.get("/*").respond(json=3, times=math.inf)
    a, b = ("GET", f"{BASE}/a"), ("GET", f"{BASE}/b")
    assert await ask(network, a, b, a, a, a, b) == [1, 3, 2, 2, 3, 3]
    network.assert_all_used()


async def test_what_was_sent_is_kept() -> None:
    network = CannedNetwork()
    route = network.post("/a").respond(json=0, times=2)
    url = "https://user:password@api.example/a?x=1#part"
    await ask(network, ("POST", url), ("POST", f"{BASE}/a"), json={"n": 1}, headers={"X-Key": "1"})
    first, second = route.calls
    assert network.requests == route.calls
    assert (first.method, first.url, first.content, first.json()) == ("POST", f"{BASE}/a?x=1", b'{"n":1}', {"n": 1})
    assert (first.headers["x-key"], first.headers["authorization"]) == ("1", "Basic dXNlcjpwYXNzd29yZA==")
    assert "Basic" not in repr(first)
    assert str(second) == f"POST {BASE}/a"


# ---- when it was otherwise ----


async def told(network: CannedNetwork, method: str, url: str) -> str:
    with pytest.raises(UnexpectedRequest) as caught:
        await ask(network, (method, url))
    return str(caught.value)


async def test_what_is_told_of_a_request_without_an_answer() -> None:
    network = CannedNetwork()
    assert await told(network, "GET", f"{BASE}/a") == f"GET {BASE}/a was asked, and the network has no routes"
    network.post("/users/*").respond(json=1)
    network.get("/user/7?full=1").respond(json=1).respond(json=2)
    lines = (await told(network, "GET", f"{BASE}/user/7")).splitlines()
    assert lines == [
        f"GET {BASE}/user/7 was asked, and there is no answer for it. There are:",
        "  <Route POST /users/*: 1 of 1 answers left>",
        "  <Route GET /user/7?full=1: 2 of 2 answers left>   <- the nearest: another query",
    ]
    assert "the nearest: another method and path" in await told(network, "PUT", f"{BASE}/userss/7")


async def test_what_is_told_when_all_answers_were_given() -> None:
    network = CannedNetwork()
    network.get("/a").respond(json=1)
    network.get("/b").respond(json=1)
    await ask(network, ("GET", f"{BASE}/a"))
    assert "<Route GET /a: 0 of 1 answers left>   <- the nearest: all its answers were given" in await told(
        network, "GET", f"{BASE}/a"
    )


async def test_among_equally_different_routes_the_likest_is_the_nearest() -> None:
    network = CannedNetwork()
    for path in ("/zebra", "/orders", "/x"):
        network.get(path).respond()
    assert "<Route GET /orders: 1 of 1 answers left>   <-" in await told(network, "GET", f"{BASE}/order")


async def test_an_unexpected_request_leaves_a_pool_that_works() -> None:
    network = CannedNetwork()
    network.get("/a").respond(json=1)
    async with trio_pool.open_client(network=network) as client:
        for body in (b"", b"x" * 100_000):
            with pytest.raises(UnexpectedRequest):
                await client.post(f"{BASE}/a", content=body)
        assert (await client.get(f"{BASE}/a")).json() == 1
        assert client.pool.statistics().leased == 0


async def test_it_comes_out_of_other_clients_too() -> None:
    async with trio_pool.open_pool(network=CannedNetwork()) as pool:
        async with httpx2.AsyncClient(transport=PoolTransport(pool)) as client:
            with pytest.raises(UnexpectedRequest, match="GET https://api.example/a was asked"):
                await client.get(f"{BASE}/a")


async def test_at_the_end_a_test_is_told_of_everything() -> None:
    network = CannedNetwork()
    network.get("/used").respond(json=1)
    network.get("/half").respond(json=1, times=2)
    network.get("/not").respond(json=1, times=math.inf)
    network.get("/never").fail(Cut.END)
    network.get("/without")
    network.refuse("https://down.example", times=1)
    await ask(network, ("GET", f"{BASE}/used"), ("GET", f"{BASE}/half"))
    await told(network, "GET", f"{BASE}/other")
    with pytest.raises(AssertionError) as caught:
        network.assert_all_used()
    assert str(caught.value).splitlines() == [
        "The network was not used as it was made for:",
        f"no answer: GET {BASE}/other",
        "not used: <Route GET /half: 1 of 1 answers left>",
        "not used: <Route GET /not: 1 of 1 answers left>",
        "not used: <Route GET /never: 1 of 1 answers left>",
        "not used: <Route GET /without: no answer was added; respond() adds one>",
        "no connection was refused by https://down.example:443",
    ]


def test_a_network_that_nobody_used_and_nobody_made_anything_of_is_in_order() -> None:
    CannedNetwork().assert_all_used()
