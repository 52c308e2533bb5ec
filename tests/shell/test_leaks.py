"""Responses and leases that are dropped without being closed."""

from __future__ import annotations

import gc
import sys
import warnings
from typing import ClassVar

import pytest
import trio

from trio_pool import Response

from .network import MemoryNetwork
from .scheduling import play, settle, virtual
from .servers import Reply
from .stories import Outcome, a_server, counts, fetch, get, pool_on


@virtual
async def test_a_dropped_response_is_reclaimed_with_a_warning_that_names_its_origin(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, max_connections=1) as pool:
        response = await pool.send(get())
        with pytest.warns(ResourceWarning, match=r"http://a\.test:80 was dropped"):
            del response
            gc.collect()
        await settle()
        assert counts(pool) == (0, 0, 0, 0, 0)
        assert network.open == 0
        statistics = pool.statistics()
        assert (statistics.leaks, statistics.evictions) == (1, {"leaked": 1})
        await fetch(pool, get())


@virtual
async def test_a_dropped_response_makes_room_for_a_waiter(network: MemoryNetwork) -> None:
    a_server(network)
    waiting = Outcome()
    async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        nursery.start_soon(waiting.of, fetch, pool, get())
        await settle()
        with pytest.warns(ResourceWarning):
            del response
            gc.collect()
    assert waiting.error is None


@virtual
async def test_a_dropped_lease_is_reclaimed(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, max_connections=1) as pool:
        lease = await pool.acquire(get().origin)
        with pytest.warns(ResourceWarning, match=r"a\.test"):
            del lease
            gc.collect()
        await settle()
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_dropped_response_is_reclaimed_even_where_warnings_are_errors(
    network: MemoryNetwork,
) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        response = await pool.send(get())
        unraisable: list[str] = []
        hook = sys.unraisablehook
        sys.unraisablehook = lambda error: unraisable.append(str(error.exc_value))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                del response
                gc.collect()
        finally:
            sys.unraisablehook = hook
        assert len(unraisable) == 1
        await settle()
        assert counts(pool) == (0, 0, 0, 0, 0)


class Lazarus:
    """Comes back from the dead, as a generator does whose finaliser the event loop runs later."""

    risen: ClassVar[list[Lazarus]] = []

    def __init__(self, response: Response) -> None:
        self.response = response
        self.itself = self

    def __del__(self) -> None:
        self.risen.append(self)


@virtual
async def test_a_response_that_comes_back_from_the_collector_can_still_be_closed(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, max_connections=1) as pool:
        holder = Lazarus(await pool.send(get()))
        with pytest.warns(ResourceWarning):
            del holder
            gc.collect()
        await settle()
        Lazarus.risen.pop().response.close()
        assert counts(pool) == (0, 0, 0, 0, 0)
        await fetch(pool, get())


@virtual
async def test_a_response_that_was_read_or_closed_can_be_dropped(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x", 1.0, b"y"] if asked.target == "/slow" else [b"x"]))
    async with pool_on(network) as pool:
        read = await pool.send(get())
        await read.read()
        closed = await pool.send(get(path="/slow"))
        closed.close()
        failed = await pool.send(get(path="/slow"))
        with trio.move_on_after(0.1):
            await failed.read()
        del read, closed, failed
        gc.collect()
        assert counts(pool)[0] == 0


@virtual
async def test_a_response_dropped_after_its_pool_is_no_leak(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        response = await pool.send(get())
    del response
    gc.collect()
    assert pool.statistics().leaks == 0


def test_a_response_dropped_after_its_run_disturbs_nobody() -> None:
    kept: list[object] = []

    async def story(network: MemoryNetwork) -> None:
        a_server(network)
        async with pool_on(network) as pool:
            kept.append(await pool.send(get()))
            kept.append(pool)

    play(story)
    kept.clear()
    gc.collect()
