"""Draining a pool."""

from __future__ import annotations

import math

import pytest
import trio

from trio_pool import PoolClosed, ReadError, UsageError

from .network import Dialling, MemoryNetwork
from .scheduling import settle, virtual
from .servers import Reply, stay
from .stories import Outcome, a_server, counts, fetch, get, pool_on


@virtual
async def test_a_drain_lets_accepted_work_finish_and_refuses_new(network: MemoryNetwork) -> None:
    server = a_server(network, answer=lambda asked: Reply(delay=1))
    leased, waiting, drained = Outcome(), Outcome(), Outcome()
    async with pool_on(network, max_connections=1) as pool:
        async with trio.open_nursery() as nursery:
            for outcome in (leased, waiting):
                nursery.start_soon(outcome.of, fetch, pool, get())
                await settle()
            nursery.start_soon(drained.of, pool.drain)
            await settle()
            with pytest.raises(PoolClosed):
                await fetch(pool, get())
        assert (leased.error, waiting.error) == (None, None)
        assert drained.at == pytest.approx(2)
        assert counts(pool) == (0, 0, 0, 0, 0)
        assert network.open == 0
    assert len(server.asked) == 2


@virtual
async def test_a_drain_closes_idle_connections_at_once(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        before = trio.current_time()
        await pool.drain()
        assert trio.current_time() == before
        assert network.open == 0
        assert pool.statistics().evictions == {"closed": 1}


@virtual
async def test_a_drain_that_runs_out_cuts_what_is_left(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(delay=9))
    leased, waiting = Outcome(), Outcome()
    async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
        for outcome in (leased, waiting):
            nursery.start_soon(outcome.of, fetch, pool, get())
            await settle()
        await pool.drain(0.5)
        assert trio.current_time() == pytest.approx(0.5)
        assert counts(pool) == (0, 0, 0, 0, 0)
        assert network.open == 0
    assert isinstance(leased.error, ReadError)
    assert isinstance(waiting.error, PoolClosed)


@virtual
async def test_a_drain_that_runs_out_cuts_dials_too(network: MemoryNetwork) -> None:
    network.serve("a.test", stay).dialling = Dialling(4)
    waiting = Outcome()
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(waiting.of, fetch, pool, get())
        await settle()
        await pool.drain(1)
        assert trio.current_time() == pytest.approx(1)
        assert counts(pool) == (0, 0, 0, 0, 0)
    assert isinstance(waiting.error, PoolClosed)


@virtual
async def test_a_drain_waits_for_what_the_drained_dial_for(network: MemoryNetwork) -> None:
    a_server(network)
    network.hosts["a.test"].dialling = Dialling(4)
    waiting = Outcome()
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(waiting.of, fetch, pool, get())
        await settle()
        await pool.drain()
        assert counts(pool) == (0, 0, 0, 0, 0)
    assert waiting.error is None


@virtual
async def test_two_drains_at_once(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(delay=3))
    first, second = Outcome(), Outcome()
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(fetch, pool, get())
        await settle()
        nursery.start_soon(first.of, pool.drain)
        nursery.start_soon(second.of, pool.drain, 10)
    assert first.at == second.at == pytest.approx(3)


@virtual
async def test_a_cancelled_drain_has_closed_the_pool(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(delay=9))
    leased = Outcome()
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(leased.of, fetch, pool, get())
        await settle()
        with trio.move_on_after(1) as scope:
            await pool.drain()
        assert scope.cancelled_caught
        assert network.open == 0
    assert isinstance(leased.error, ReadError)


@pytest.mark.parametrize("seconds", [-1, math.nan])
@virtual
async def test_a_nonsensical_drain_changes_nothing(network: MemoryNetwork, seconds: float) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        with pytest.raises(UsageError, match=f"{seconds}"):
            await pool.drain(seconds)
        await fetch(pool, get())


@virtual
async def test_a_stale_connection_is_replaced_even_in_a_drain(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply() if asked.number == 1 else None)
    sending = Outcome()
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        await fetch(pool, get())
        network.hosts["a.test"].dialling = Dialling(3)
        nursery.start_soon(sending.of, fetch, pool, get())
        await settle()
        await pool.drain()
    assert sending.error is None


@virtual
async def test_a_shielded_drain_serves_who_was_accepted_although_the_surroundings_are_cancelled(
    network: MemoryNetwork,
) -> None:
    a_server(network)
    network.hosts["a.test"].dialling = Dialling(1)
    asked = Outcome()
    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as surroundings:
            async with pool_on(network) as pool:
                nursery.start_soon(asked.of, fetch, pool, get())
                await settle()
                surroundings.cancel()
                with trio.CancelScope(shield=True):
                    await pool.drain()
    assert asked.error is None
