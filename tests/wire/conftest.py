"""What all tests on the wire share: running servers, and a client that trusts them."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest

from trio_pool import Client, PoolConfig, open_client

from .servers import KINDS, Authority, Fleet, Server

SCHEMES = ("http", "https")


class Place(NamedTuple):
    """A running server as it is reached in one way.

    :ivar base: its address, without a slash at its end.
    """

    server: Server
    scheme: str
    base: str


@pytest.fixture(scope="session")
def fleet() -> Iterator[Fleet]:
    """Every kind of server, each started when it is first asked for."""
    with Fleet() as fleet:
        yield fleet


@pytest.fixture(scope="session")
def authority(fleet: Fleet) -> Authority:
    """Who signed the servers' certificates."""
    return fleet.authority


@pytest.fixture(scope="session")
def trusting(authority: Authority) -> ssl.SSLContext:
    """A context that trusts the servers."""
    return authority.client_context()


@pytest.fixture(scope="session")
def server_context(authority: Authority) -> ssl.SSLContext:
    """A context for servers of our own."""
    return authority.server_context()


@pytest.fixture(params=SCHEMES)
def tls(request: pytest.FixtureRequest, server_context: ssl.SSLContext) -> ssl.SSLContext | None:
    """What a server of our own speaks: plain (None), then TLS."""
    return server_context if request.param == "https" else None


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, fleet: Fleet) -> Server:
    """Each server in turn."""
    return fleet[request.param]


@pytest.fixture(params=SCHEMES)
def place(request: pytest.FixtureRequest, server: Server) -> Place:
    """Each server in turn, plain and over TLS."""
    return Place(server, request.param, server.url(request.param))


@pytest.fixture
async def client(place: Place, trusting: ssl.SSLContext) -> AsyncIterator[Client]:
    """A client of the place."""
    async with open_client(
        PoolConfig(retry_attempts=1, max_connections=10), base_url=place.base, tls=trusting
    ) as client:
        yield client
