"""Standing in line: who is served, who is refused, by what, and what they are told."""

from __future__ import annotations

import errno
import math
import sys

import pytest
import trio

from trio_pool import ConnectError, ConnectTimeout, Pool, PoolFull, PoolTimeout, Request, Timeouts, TotalTimeout

from .network import Dialling, MemoryNetwork
from .scheduling import settle, virtual, virtual_clock
from .servers import Asked, Reply, stay
from .stories import Outcome, a_server, counts, fetch, get, pool_on

NEVER = Dialling(math.inf)
REFUSED = Dialling(0.1, errno.ECONNREFUSED)


@virtual
async def test_a_wait_that_runs_out_is_a_pool_timeout_with_the_figures(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, max_connections=1, acquire_timeout=2) as pool:
        async with pool.stream(get()):
            with pytest.raises(PoolTimeout, match="1 leased, 0 idle, 0 dialling, 0 waiting") as caught:
                await fetch(pool, get())
            assert caught.value.elapsed == pytest.approx(2)
            assert not caught.value.may_have_been_processed
            assert caught.value.phase == "waiting for a connection"
        assert pool.statistics().acquire_timeouts == 1
        assert counts(pool) == (0, 1, 0, 0, 0)


@virtual
async def test_a_wait_that_runs_out_during_its_dial_is_a_connect_timeout(network: MemoryNetwork) -> None:
    network.serve("a.test", stay).dialling = Dialling(3)
    async with pool_on(network, acquire_timeout=2) as pool:
        with pytest.raises(ConnectTimeout, match="0 leased, 0 idle, 1 dialling, 0 waiting") as caught:
            await fetch(pool, get())
        assert caught.value.elapsed == pytest.approx(2)
        assert pool.statistics().acquire_timeouts == 1


@virtual
async def test_a_dial_has_its_own_time(network: MemoryNetwork) -> None:
    network.serve("a.test", stay).dialling = NEVER
    async with pool_on(network, connection_timeout=1.5) as pool:
        with pytest.raises(ConnectTimeout, match="not made in time") as caught:
            await fetch(pool, get())
        assert caught.value.elapsed == pytest.approx(1.5)
        assert caught.value.phase == "connecting"
        assert counts(pool) == (0, 0, 0, 0, 0)
        with pytest.raises(ConnectTimeout) as caught:
            await fetch(pool, get(timeouts=Timeouts(connection=0.5)))
        assert caught.value.elapsed == pytest.approx(0.5)


@virtual
async def test_resolving_counts_to_the_time_of_a_dial(network: MemoryNetwork) -> None:
    network.serve("a.test", stay).resolving = NEVER
    async with pool_on(network, connection_timeout=1) as pool:
        with pytest.raises(ConnectTimeout):
            await fetch(pool, get())


@virtual
async def test_a_handshake_counts_to_the_time_of_a_dial(network: MemoryNetwork) -> None:
    network.serve("a.test", stay)
    async with pool_on(network, tls=True, connection_timeout=1) as pool:
        with pytest.raises(ConnectTimeout):
            await fetch(pool, Request("GET", "https://a.test/"))
        assert network.open == 0


@virtual
async def test_the_total_time_runs_while_waiting(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, max_connections=1) as pool, pool.stream(get()):
        with pytest.raises(TotalTimeout, match="no connection became free") as caught:
            await fetch(pool, get(timeouts=Timeouts(total=1)))
        assert caught.value.elapsed == pytest.approx(1)


@virtual
async def test_a_full_line_refuses_at_once(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, max_connections=1, max_waiting=2) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        for _ in range(2):
            nursery.start_soon(fetch, pool, get())
        await settle()
        before = trio.current_time()
        with pytest.raises(PoolFull, match="2 requests wait already .*1 leased, 0 idle, 0 dialling, 2 waiting"):
            await fetch(pool, get())
        assert trio.current_time() == before
        assert pool.statistics().refusals == 1
        response.close()
    assert pool.statistics().requests == 4


@virtual
async def test_a_line_without_places_still_serves_whom_there_is_room_for(network: MemoryNetwork) -> None:
    a_server(network)
    a_server(network, "b.test")
    async with pool_on(network, max_connections=2, max_connections_per_host=1, max_waiting=0) as pool:
        async with pool.stream(get()), pool.stream(get("b.test")):
            with pytest.raises(PoolFull):
                await fetch(pool, get())
        await fetch(pool, get())


@virtual
async def test_a_waiter_takes_the_freed_connection_when_its_dial_stalls(network: MemoryNetwork) -> None:
    server = a_server(network)
    network.hosts["a.test"].dials.append(Dialling(0))
    network.hosts["a.test"].dialling = Dialling(1.5)
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        started = trio.current_time()
        second = Outcome()
        nursery.start_soon(second.of, fetch, pool, get())
        await trio.sleep(0.1)
        assert counts(pool) == (1, 0, 1, 0, 0)
        response.close()
        await settle()
        assert second.at is not None
        assert second.at - started < 0.2
        await trio.sleep(2)
        assert counts(pool) == (0, 2, 0, 0, 0), "the dial that was not needed is kept"
    assert server.connections == 2


@virtual
async def test_a_dial_whose_requester_went_away_is_pooled(network: MemoryNetwork) -> None:
    server = a_server(network)
    network.hosts["a.test"].dials.append(Dialling(1))
    async with pool_on(network) as pool:
        with trio.move_on_after(0.5):
            await fetch(pool, get())
        assert counts(pool) == (0, 0, 1, 0, 0)
        await trio.sleep(1)
        assert counts(pool) == (0, 1, 0, 0, 0)
        await fetch(pool, get())
        assert pool.statistics().dials == 1
    assert server.connections == 1


@virtual
async def test_a_dial_that_fails_after_its_requester_was_cancelled_disturbs_nobody(network: MemoryNetwork) -> None:
    a_server(network).answer = lambda asked: Reply(delay=1)
    network.hosts["a.test"].dials.append(Dialling(1, errno.ECONNREFUSED))
    async with pool_on(network) as pool:
        with trio.move_on_after(0.5):
            await fetch(pool, get())
        await trio.sleep(1)
        assert pool.statistics().dial_failures == 1
        assert counts(pool) == (0, 0, 0, 0, 0)
        await fetch(pool, get())


@virtual
async def test_a_failed_dial_fails_its_waiter_and_frees_the_slot_for_the_next(network: MemoryNetwork) -> None:
    a_server(network)
    network.hosts["a.test"].dials.append(REFUSED)
    first, second = Outcome(), Outcome()
    async with pool_on(network, max_connections=1) as pool:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.of, fetch, pool, get())
            await settle()
            nursery.start_soon(second.of, fetch, pool, get())
        assert isinstance(first.error, ConnectError)
        assert "refused" in str(first.error)
        assert not first.error.may_have_been_processed
        assert second.error is None
        statistics = pool.statistics()
        assert (statistics.dials, statistics.dial_failures, statistics.opened) == (2, 1, 1)


@virtual
async def test_a_failed_dial_of_a_requester_that_was_served_fails_the_oldest_that_relied_on_it(
    network: MemoryNetwork,
) -> None:
    a_server(network, answer=lambda asked: Reply(delay=asked.number - 1))
    network.hosts["a.test"].dials += [Dialling(0), Dialling(0.5, errno.ECONNREFUSED)]
    first, second = Outcome(), Outcome()
    async with pool_on(network, max_connections=2) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        for outcome in (first, second):
            nursery.start_soon(outcome.of, fetch, pool, get())
            await settle()
        assert counts(pool) == (1, 0, 1, 0, 1)
        response.close()
        assert counts(pool) == (1, 0, 1, 0, 0), "the second waiter relies on the first one's dial now"
        await trio.sleep(0.6)
        assert isinstance(second.error, ConnectError)
        assert counts(pool) == (1, 0, 0, 0, 0)
    assert first.error is None


@virtual
async def test_first_come_first_served_for_one_origin(network: MemoryNetwork) -> None:
    server = a_server(network, answer=lambda asked: Reply(delay=0.1))
    async with pool_on(network, max_connections=2) as pool, trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(fetch, pool, get(path=f"/{number}"))
            await settle()
    asked = [int(asked.target[1:]) for asked in server.asked]
    assert sorted(asked[:2]) == [0, 1]
    assert [sorted(asked[at : at + 2]) for at in range(2, 10, 2)] == [[2, 3], [4, 5], [6, 7], [8, 9]]


@virtual
async def test_no_more_dials_than_unmet_demand(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(delay=0.5))
    network.hosts["a.test"].dialling = Dialling(0.2)
    async with pool_on(network, max_connections=10) as pool:
        await pool.prewarm("http://a.test", 3)
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(fetch, pool, get())
            await settle()
            assert pool.statistics().dials == 5
            assert counts(pool) == (3, 0, 2, 0, 0)
        assert counts(pool) == (0, 5, 0, 0, 0)


@virtual
async def test_the_most_recently_used_connection_is_used_again(network: MemoryNetwork) -> None:
    server = a_server(network)
    async with pool_on(network) as pool:
        await pool.prewarm("http://a.test", 3)
        for _ in range(4):
            await fetch(pool, get())
    assert len({asked.connection for asked in server.asked}) == 1


@virtual
async def test_an_idle_connection_is_evicted_for_another_origin(network: MemoryNetwork) -> None:
    for name in ("a.test", "b.test", "c.test"):
        a_server(network, name)
    async with pool_on(network, max_connections=2) as pool:
        for name in ("a.test", "b.test", "c.test"):
            await fetch(pool, get(name))
        statistics = pool.statistics()
        assert statistics.evictions == {"evicted": 1}
        assert {origin.host for origin in statistics.origins} == {"b.test", "c.test"}  # type: ignore[attr-defined]  # the core knows origins as hashable only
    assert network.most == 2


@virtual
async def test_a_waiter_of_another_origin_is_overtaken_at_most_eight_times(network: MemoryNetwork) -> None:
    order: list[str] = []

    def answer(asked: Asked) -> Reply:
        order.append(asked.headers["host"])
        return Reply(delay=0.1)

    for name in ("a.test", "b.test"):
        a_server(network, name, answer=answer)
    async with pool_on(network, max_connections=1, acquire_timeout=None) as pool:
        async with trio.open_nursery() as nursery:
            response = await pool.send(get())
            nursery.start_soon(fetch, pool, get("b.test"))
            await settle()
            for _ in range(20):
                nursery.start_soon(fetch, pool, get())
                await settle()
            response.close()
        assert pool.statistics().evictions["yielded"] == 1
    assert order.index("b.test") == 1 + 8
    assert len(order) == 22


@virtual
async def test_a_waiter_refused_late_still_knows_of_its_dial(network: MemoryNetwork) -> None:
    a_server(network)
    host = network.hosts["a.test"]
    late = Outcome()
    async with pool_on(network, acquire_timeout=1) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        host.dialling = Dialling(2.5)
        nursery.start_soon(late.of, fetch, pool, get())
        await settle()
        assert counts(pool) == (1, 0, 1, 0, 0)
        virtual_clock().jump(2)  # a step that took two seconds, and then gives the connection back
        response.close()
    assert isinstance(late.error, ConnectTimeout)
    assert pool.statistics().acquire_timeouts == 1


@virtual
async def test_nothing_is_granted_after_its_deadline(network: MemoryNetwork) -> None:
    a_server(network)
    late, later = Outcome(), Outcome()
    async with pool_on(network, max_connections=1, acquire_timeout=1) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        nursery.start_soon(late.of, fetch, pool, get())
        await settle()
        nursery.start_soon(later.of, fetch, pool, get(timeouts=Timeouts(acquire=9)))
        await settle()
        virtual_clock().jump(2)
        response.close()
    assert isinstance(late.error, PoolTimeout)
    assert later.error is None


async def many(pool: Pool, count: int) -> None:
    """That many requests at once."""
    async with trio.open_nursery() as nursery:
        for _ in range(count):
            nursery.start_soon(fetch, pool, get())


@virtual
async def test_neither_limit_is_ever_crossed(network: MemoryNetwork) -> None:
    server = a_server(network, answer=lambda asked: Reply(delay=0.01))
    network.hosts["a.test"].dialling = Dialling(0.005)
    async with pool_on(network, max_connections=5, max_connections_per_host=3) as pool:
        await many(pool, 50)
    assert network.most == server.most_at_once == 3


@virtual
async def test_limits_of_any_size_are_kept_or_never_come(network: MemoryNetwork) -> None:
    network.serve("a.test", stay).dialling = NEVER
    async with pool_on(network, acquire_timeout=sys.float_info.max, connection_timeout=2) as pool:
        with pytest.raises(ConnectTimeout, match="not made in time"):
            await fetch(pool, get())
        with pytest.raises(TotalTimeout):
            await pool.send(get(), deadline=-math.inf)
        assert pool.statistics().waiting == 0


@virtual
async def test_where_many_waits_run_out_at_once_others_have_their_turns(network: MemoryNetwork) -> None:
    a_server(network)
    seen: list[int] = []
    async with pool_on(network, max_connections=1, acquire_timeout=2) as pool, pool.stream(get()):
        async with trio.open_nursery() as nursery:
            for _ in range(1000):
                nursery.start_soon(Outcome().of, fetch, pool, get())
            await trio.sleep(2)
            while pool.statistics().waiting:
                seen.append(pool.statistics().waiting)
                await trio.lowlevel.checkpoint()
    assert 0 < min(seen) < 1000
