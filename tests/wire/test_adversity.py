"""Hostile servers, cancellations, several origins, short lives, all at once: nothing is lost, nothing crosses."""

from __future__ import annotations

import random
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl, urlsplit
from uuid import uuid4

import pytest
import trio

from trio_pool import Client, PoolConfig, TrioPoolError, open_client

from .churn import CountingNetwork, settle
from .scripted import Visit, answer, scripted
from .servers import KINDS, Fleet

LIMIT = 5
Misdeed = Callable[[Visit, bytes], Awaitable[None]]


async def behave(visit: Visit, nonce: bytes) -> None:
    """Answer."""
    await visit.send_pieces([answer(nonce + b"." * 100_000)])


async def behave_in_chunks(visit: Visit, nonce: bytes) -> None:
    """Answer in pieces."""
    await visit.send_pieces([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
    await visit.send_pieces([b"%x\r\n%b\r\n" % (len(nonce), nonce), b"0\r\n", b"\r\n"])


async def say_more(visit: Visit, nonce: bytes) -> None:
    """Answer, and what nobody asked."""
    await visit.send_pieces([answer(nonce) + answer(b"x" * 32)])


async def say_more_later(visit: Visit, nonce: bytes) -> None:
    """Answer, and later what nobody asked; end with it, since a client may just have asked again."""
    await visit.send_pieces([answer(nonce)])
    await visit.send_pieces([b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"])
    await visit.end()


async def leave(visit: Visit, nonce: bytes) -> None:
    """Answer, and end without a word."""
    await visit.send_pieces([answer(nonce)])
    await visit.cut()


async def leave_early(visit: Visit, nonce: bytes) -> None:
    """Answer the half of it."""
    await visit.send_pieces([answer(nonce)[:-5]])
    await visit.end()


async def break_off(visit: Visit, nonce: bytes) -> None:
    """Break the connection instead of an answer."""
    await visit.reset()


async def talk_nonsense(visit: Visit, nonce: bytes) -> None:
    """Answer with what is no HTTP."""
    await visit.send_pieces([b"\x00\xff no HTTP at all\r\n\r\n"])


async def dawdle(visit: Visit, nonce: bytes) -> None:
    """Answer too late for most."""
    await trio.sleep(0.02)
    await visit.send_pieces([answer(nonce)])


MISDEEDS: list[Misdeed] = [
    *[behave] * 6,
    *[behave_in_chunks] * 3,
    say_more,
    say_more_later,
    leave,
    leave_early,
    break_off,
    talk_nonsense,
    dawdle,
]


class Crowd:
    """Requests in numbers, some cut, each of which may get its own answer or an error of the library."""

    def __init__(self, client: Client, chance: random.Random) -> None:
        self.outcomes: Counter[str] = Counter()
        self._client = client
        self._chance = chance

    async def ask(self, url: str, times: int) -> None:
        """Ask one after the other."""
        for _ in range(times):
            nonce = uuid4().hex
            patience = self._chance.choice((0.003, 0.01, 1.0))
            try:
                with trio.move_on_after(self._chance.random() * patience) as scope:
                    await self._ask(f"{url}?nonce={nonce}", nonce.encode())
                self.outcomes["cut" if scope.cancelled_caught else "answered"] += 1
            except TrioPoolError as error:
                self.outcomes[type(error).__name__] += 1

    async def _ask(self, url: str, nonce: bytes) -> None:
        method = self._chance.choice(("GET", "GET", "POST"))
        async with self._client.stream(method, url) as response:
            if self._chance.randrange(4):
                content = await response.read()
                assert response.status_code == 408 or content[:32] == nonce


@pytest.mark.parametrize("seed", range(3))
async def test_a_hostile_server_costs_nothing_and_crosses_nothing(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, seed: int
) -> None:
    chance, network = random.Random(seed), CountingNetwork()

    async def script(visit: Visit) -> None:
        while True:
            target = urlsplit((await visit.request()).split(b" ")[1].decode())
            nonce = dict(parse_qsl(target.query))["nonce"].encode()
            await (behave if target.path == "/good" else chance.choice(MISDEEDS))(visit, nonce)

    config = PoolConfig(retry_attempts=1, max_connections=LIMIT, read_timeout=5.0)
    async with scripted(script, tls) as server:
        async with open_client(config, base_url=server.url, tls=trusting, network=network) as client:
            crowd = Crowd(client, chance)
            with trio.fail_after(20):
                async with trio.open_nursery() as nursery:
                    for _ in range(20):
                        nursery.start_soon(crowd.ask, "/any", 12)
            await settle(client)
            figures = client.pool.statistics()
            assert (figures.leased, figures.waiting, figures.closing, figures.leaks) == (0, 0, 0, 0)
            await trio.testing.wait_all_tasks_blocked()  # what is said late has been said
            for _ in range(LIMIT):
                assert (await client.get("/good?nonce=mine")).content[:4] == b"mine"
        assert network.open == 0
    assert crowd.outcomes["answered"] > 20
    assert set(crowd.outcomes) <= {"answered", "cut", "ReadError", "RemoteProtocolError", "WriteError"}
    assert network.most <= LIMIT


@pytest.mark.parametrize("seed", range(2))
async def test_several_origins_share_a_pool(fleet: Fleet, trusting: ssl.SSLContext, seed: int) -> None:
    """Each gets its own answers, though a connection of one often makes room for another."""
    bases = [fleet[kind].url(scheme) for kind in KINDS for scheme in ("http", "https")]
    chance, network = random.Random(seed), CountingNetwork()
    config = PoolConfig(retry_attempts=1, max_connections=LIMIT, max_connections_per_host=2)
    async with open_client(config, tls=trusting, network=network) as client:
        crowd = Crowd(client, chance)
        with trio.fail_after(30):
            async with trio.open_nursery() as nursery:
                for base in bases * 4:
                    nursery.start_soon(crowd.ask, f"{base}/slow", 4)
        await settle(client)
        figures = client.pool.statistics()
        assert (figures.leased, figures.waiting, figures.dialling) == (0, 0, 0)
        assert figures.evictions["evicted"] > 0
        assert len(figures.origins) <= LIMIT
    assert set(crowd.outcomes) == {"answered", "cut"}
    assert network.most <= LIMIT
    assert network.open == 0


async def test_short_lived_connections_fail_no_request(fleet: Fleet, trusting: ssl.SSLContext) -> None:
    config = PoolConfig(
        retry_attempts=1, max_connections=3, keepalive_timeout=0.005, max_lifetime=0.02, max_requests_per_connection=7
    )
    chance = random.Random(4)
    async with open_client(config, base_url=fleet[KINDS[0]].url("https"), tls=trusting) as client:

        async def ask() -> None:
            for _ in range(25):
                nonce = uuid4().hex
                assert (await client.post(f"/slow?nonce={nonce}&ms=0")).text == nonce
                await trio.sleep(chance.random() * 0.01)

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(ask)
        figures = client.pool.statistics()
        assert (figures.leased, figures.waiting, figures.stale_retries) == (0, 0, 0)
        assert {"lifetime", "expired"} & set(figures.evictions)
