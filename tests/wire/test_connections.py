"""Connections to real servers: how many there are, how long they last, and what they lead over."""

from __future__ import annotations

import ssl
from uuid import uuid4

import pytest
import trio

from trio_pool import Client, PoolConfig, Request, open_client, open_pool

from .conftest import SCHEMES, Place
from .servers import Server, has_ipv6


async def peers_of(client: Client, group: str) -> list[str]:
    """The sockets that the server has seen in this group of requests."""
    peers: list[str] = (await client.get(f"/peers/{group}?group={group}")).json()
    return peers


async def test_one_connection_serves_many_sequential_requests(client: Client) -> None:
    group = uuid4().hex
    for number in range(40):
        response = await client.get(f"/slow?group={group}&nonce={number}&ms=0")
        assert response.content == str(number).encode()
    assert len(await peers_of(client, group)) == 1
    figures = client.pool.statistics()
    assert (figures.dials, figures.reuses, figures.closed, figures.idle) == (1, 40, 0, 1)


async def test_a_request_that_says_close_is_the_last_on_its_connection(client: Client) -> None:
    group = uuid4().hex
    for _ in range(2):
        response = await client.get(f"/echo?group={group}", headers={"Connection": "close"})
        assert response.headers["connection"] == "close"
    assert len(await peers_of(client, group)) == 3
    assert client.pool.statistics().evictions == {"unusable": 2}


async def test_a_response_that_says_close_is_the_last_on_its_connection(client: Client) -> None:
    response = await client.get("/refuse")
    says_close = response.headers.get("connection") == "close"  # nginx keeps that to itself
    assert (response.status_code, client.pool.statistics().idle) == (413, 0 if says_close else 1)
    assert (await client.get("/status/200")).content == b"status"


async def test_a_hundred_requests_at_once_share_ten_connections(client: Client) -> None:
    group, nonces = uuid4().hex, []

    async def ask(nonce: str) -> None:
        response = await client.get(f"/slow?group={group}&nonce={nonce}&ms=1")
        assert response.text == nonce
        nonces.append(nonce)

    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(ask, uuid4().hex)
    assert len(set(nonces)) == 100
    figures = client.pool.statistics()
    assert (figures.dials, figures.leased, figures.waiting, figures.dialling) == (10, 0, 0, 0)
    assert len(await peers_of(client, group)) <= 10


async def test_ten_requests_are_at_the_server_at_once(client: Client) -> None:
    name = uuid4().hex

    async def pass_gate(nonce: str) -> None:
        assert (await client.get(f"/gate?name={name}&count=10&nonce={nonce}")).text == nonce

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for number in range(10):
                nursery.start_soon(pass_gate, str(number))
    assert client.pool.statistics().dials == 10


async def test_prewarmed_connections_are_there_before_the_requests(client: Client, place: Place) -> None:
    await client.pool.prewarm(place.base, 4)
    figures = client.pool.statistics()
    assert (figures.idle, figures.dials, figures.requests) == (4, 4, 0)
    name = uuid4().hex
    async with trio.open_nursery() as nursery:
        for _ in range(4):
            nursery.start_soon(client.get, f"/gate?name={name}&count=4&nonce=x")
    assert client.pool.statistics().dials == 4


async def test_a_response_left_early_costs_its_connection_and_nothing_else(client: Client) -> None:
    async with client.stream("GET", "/bytes?size=20000000") as response:
        async for _ in response.iter_bytes():
            break
    figures = client.pool.statistics()
    assert (figures.leased, figures.idle, figures.evictions) == (0, 0, {"unusable": 1})
    assert (await client.get("/status/200")).content == b"status"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", *(["::1"] if has_ipv6() else [])])
@pytest.mark.parametrize("scheme", SCHEMES)
async def test_every_address_of_the_machine_is_reached(
    server: Server, trusting: ssl.SSLContext, scheme: str, host: str
) -> None:
    base = server.url(scheme, host)
    async with open_client(base_url=base, tls=trusting) as client:
        told = (await client.get("/echo")).json()
    assert dict(told["headers"])["host"] == base.partition("//")[2]


async def test_a_pool_alone_serves_requests(place: Place, trusting: ssl.SSLContext) -> None:
    async with open_pool(PoolConfig(retry_attempts=1, max_connections=1), tls=trusting) as pool:
        async with pool.stream(Request("GET", f"{place.base}/slow?nonce=n&ms=0")) as response:
            assert await response.read() == b"n"
        async with pool.lease(place.base) as connection:
            assert connection.is_reused
            for nonce in ("one", "two"):
                exchange = await connection.exchange(Request("GET", f"{place.base}/slow?nonce={nonce}&ms=0"))
                assert b"".join(await exchange.receive_all()) == nonce.encode()
        figures = pool.statistics()
        assert (figures.dials, figures.idle, figures.leased) == (1, 1, 0)


async def test_draining_lets_what_is_under_way_finish(client: Client) -> None:
    answers: list[bytes] = []

    async def ask() -> None:
        answers.append((await client.get("/slow?nonce=done&ms=50")).content)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        await client.pool.drain(10)
    assert answers == [b"done"]
    figures = client.pool.statistics()
    assert (figures.leased, figures.idle, figures.opened) == (0, 0, figures.closed)
