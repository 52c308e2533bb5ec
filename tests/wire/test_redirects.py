"""Redirects by real servers: followed only when asked, and never with credentials to another origin."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from trio_pool import Client, TooManyRedirects, UnsupportedProtocol, UsageError, open_client

from .conftest import SCHEMES, Place
from .servers import KINDS, Fleet

SECRETS = {
    "Authorization": "Bearer secret",
    "Cookie": "secret=1",
    "Proxy-Authorization": "Basic secret",
    "X-Own": "kept",
}


@pytest.fixture
async def follower(place: Place, trusting: ssl.SSLContext) -> AsyncIterator[Client]:
    """A client that follows."""
    async with open_client(base_url=place.base, tls=trusting, follow_redirects=True, headers=SECRETS) as client:
        yield client


async def test_a_redirect_is_a_response_unless_asked(client: Client) -> None:
    response = await client.get("/redirect/302?to=/echo")
    assert (response.status_code, response.headers["location"], response.content) == (302, "/echo", b"elsewhere")


@pytest.mark.parametrize(
    ("status", "method", "becomes"),
    [
        (301, "GET", "GET"),
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (302, "PUT", "PUT"),
        (303, "POST", "GET"),
        (303, "PUT", "GET"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
    ],
)
async def test_a_redirect_is_followed(follower: Client, place: Place, status: int, method: str, becomes: str) -> None:
    content = None if method == "GET" else b"the body"
    response = await follower.request(method, f"/redirect/{status}?to=/echo%3Fx=1", content=content)
    told = response.json()
    assert (told["method"], told["query"]) == (becomes, "x=1")
    assert told["body"] == ("the body" if method != "GET" and becomes == method else "")
    assert ("content-length" in dict(told["headers"])) == (method != "GET" and becomes == method)
    assert response.url == f"{place.base}/echo?x=1"
    figures = follower.pool.statistics()
    assert (figures.leased, figures.idle) == (0, 1)


async def test_credentials_stay_within_their_origin(follower: Client) -> None:
    headers = dict((await follower.get("/redirect/302?to=/echo")).json()["headers"])
    assert (headers["authorization"], headers["cookie"]) == ("Bearer secret", "secret=1")


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_credentials_do_not_cross_origins(follower: Client, place: Place, fleet: Fleet, scheme: str) -> None:
    other = fleet[KINDS[KINDS.index(place.server.kind) - 1]]
    for base in (other.url(scheme), place.server.url("http" if place.scheme == "https" else "https")):
        response = await follower.get(f"/redirect/307?to={quote(base)}/echo")
        headers = dict(response.json()["headers"])
        assert {"authorization", "cookie", "proxy-authorization"}.isdisjoint(headers)
        assert headers["x-own"] == "kept"
        assert headers["host"] == base.partition("//")[2]


async def test_the_way_back_does_not_bring_credentials_back(follower: Client, place: Place, fleet: Fleet) -> None:
    other = fleet[KINDS[KINDS.index(place.server.kind) - 1]].url("http")
    there = quote(f"{other}/redirect/302?to={quote(f'{place.base}/echo')}")
    headers = dict((await follower.get(f"/redirect/302?to={there}")).json()["headers"])
    assert "authorization" not in headers


async def test_redirects_come_to_an_end(follower: Client) -> None:
    with pytest.raises(TooManyRedirects, match="20"):
        await follower.get("/round")
    figures = follower.pool.statistics()
    assert (figures.leased, figures.waiting) == (0, 0)


async def test_a_redirect_to_another_protocol_is_refused(follower: Client) -> None:
    with pytest.raises(UnsupportedProtocol):
        await follower.get("/redirect/302?to=ftp://localhost/x")
    assert follower.pool.statistics().leased == 0


async def test_a_streamed_body_is_not_sent_twice(follower: Client) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"once"

    with pytest.raises(UsageError, match="again"):
        await follower.post("/redirect/307?to=/echo", content=pieces())
    assert follower.pool.statistics().leased == 0
