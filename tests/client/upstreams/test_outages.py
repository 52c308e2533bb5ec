"""Outages, simulated with the real client: availability, a budget that holds, waits that are not synchronised."""

from __future__ import annotations

import random

import pytest
import trio
import trio.lowlevel
import trio.testing

from trio_pool import PoolConfig, RetryStrategy, TrioPoolError

from .outages import Tally, run
from .world import BUSY, Host, World, assert_at_rest, error


def total(seeds: range, **options: int) -> Tally:
    tally = Tally()
    for seed in seeds:
        tally.add(run(seed, **options))
    return tally


def test_three_upstreams_that_are_down_one_percent_of_the_time_answer_nearly_always() -> None:
    tally = total(range(4))
    assert tally.availability >= 0.9997
    assert tally.attempts_each <= 1.25


def test_one_upstream_alone_is_no_better_than_its_outages() -> None:
    """That the simulation can fail."""
    assert total(range(10, 12), upstreams=1).availability < 0.9997


def test_without_retries_three_upstreams_are_not_enough() -> None:
    tally = total(range(10, 12), tries=1)
    assert tally.availability < 0.9997
    assert tally.attempts_each == 1


@pytest.mark.parametrize("strategy", RetryStrategy)
@pytest.mark.parametrize("hosts", [1, 3])
async def test_a_full_outage_never_sends_more_than_the_budget_allows(
    strategy: RetryStrategy, hosts: int, autojump_clock: trio.testing.MockClock
) -> None:
    world = World(*(Host(otherwise=BUSY) for _ in range(hosts)))
    world.hosts[0].is_down = True
    requests = 600
    config = PoolConfig(retry_strategy=strategy, retry_attempts=5)
    async with world.open(config=config) as client, trio.open_nursery() as nursery:

        async def ask() -> None:
            try:
                assert (await client.post("/x", json={})).status_code == 503
            except TrioPoolError:
                assert world.hosts[0].is_down

        for _ in range(requests):
            nursery.start_soon(ask)
            await trio.sleep(0.05)
    sent = sum(len(host.times) + len(host.refused) for host in world.hosts)
    assert requests * 1.05 < sent <= requests + 10 + 0.2 * requests + trio.current_time() + 1
    assert_at_rest(client)


@pytest.mark.parametrize("hosts", [1, 3])
async def test_a_synchronised_burst_of_refusals_does_not_come_back_synchronised(
    hosts: int, autojump_clock: trio.testing.MockClock
) -> None:
    slow = error("rate_limit_exceeded", "429 Slow", "Retry-After: 10")
    world = World(*(Host(*[slow] * 30) for _ in range(hosts)))
    config = PoolConfig(acquire_timeout=30, retry_attempts=10, max_connections_per_host=100)
    async with world.open(config=config) as client, trio.open_nursery() as nursery:
        for _ in range(30 * hosts):
            nursery.start_soon(client.get, "/x")
        await trio.sleep(1)
        for _ in range(30 * hosts):
            nursery.start_soon(client.get, "/x")
    assert_at_rest(client)
    later = sorted(at for host in world.hosts for at in host.times if at > 1)
    assert len(later) >= 30 * hosts
    assert later[0] >= 10, "sent in the pause"
    assert sum(at < later[0] + 0.1 for at in later) <= len(later) / 3, "they came back together"


@pytest.mark.parametrize("seed", range(12))
async def test_after_any_storm_of_cancellations_everything_is_at_rest(
    seed: int, autojump_clock: trio.testing.MockClock
) -> None:
    chance = random.Random(seed)
    stream = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 60\r\n\r\ndata: 1\n\n"
    whole = error("x", "200 OK")
    kinds = [whole, whole, BUSY, error("x", "429 Slow"), [], [b""], stream, error("x", "401 No"), whole[:-3]]

    def answer(_: object) -> object:
        return chance.choice(kinds)

    world = World(*(Host(otherwise=answer) for _ in range(3)))  # type: ignore[arg-type]  # a reply
    world.chance = chance.random
    options = {"max_concurrency": 4, "requests_per_minute": 6000, "tokens_per_minute": 100_000, "adaptive": True}
    config = PoolConfig(max_connections=9, acquire_timeout=3)
    async with world.open(options, options, options, config=config, hedging=True) as client:

        async def ask() -> None:
            with trio.move_on_after(chance.choice([0, 0, 0.01, 0.3, 2, 8])) as scope:
                if chance.random() < 0.1:
                    scope.cancel()
                try:
                    async with client.stream("POST", "/x", json={"max_tokens": 5}, retry_unsafe=True) as response:
                        if chance.random() < 0.7:
                            await response.read()
                except TrioPoolError:
                    pass

        async with trio.open_nursery() as nursery:
            for _ in range(300):
                world.hosts[0].is_down = chance.random() < 0.2
                nursery.start_soon(ask)
                await trio.sleep(chance.choice([0, 0, 0.01, 0.2]))
        await trio.lowlevel.checkpoint()
        assert_at_rest(client)
        world.assert_all_ended()
        assert client._fleet is not None
        held = client._attempts.course
        assert held is not None
        await trio.sleep(600)
        for member in client._fleet.turnstile.group.members:
            assert member.limiter.requests.level == pytest.approx(min(6000, member.limiter.requests.capacity), abs=100)
        for host in world.hosts:
            host.is_down = False
            host.otherwise = whole
        for _ in range(30):
            assert (await client.get("/x")).status_code == 200
        assert_at_rest(client)
