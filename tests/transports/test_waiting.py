"""The wait for a connection: `pool` is for the line, `connect` for the dial, in virtual time."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import trio

from ..shell.network import Dialling, MemoryNetwork
from ..shell.scheduling import play
from ..shell.servers import Reply, Server
from ..shell.stories import pool_on
from .libraries import LIBRARIES, Library

URL = "http://a.test/"


async def took(library: Library, client: Any, timeout: Any) -> tuple[str, float]:
    """How a request ends, and after how many seconds."""
    started = trio.current_time()
    try:
        response = await client.get(URL, timeout=timeout)
        end = str(response.status_code)
    except library.api.TransportError as error:
        end = type(error).__name__
    return end, round(trio.current_time() - started, 3)


DIALS = {
    "a dial that takes longer than the line may": (3.0, {"pool": 1.0, "connect": 5.0}, ("200", 3.0)),
    "a dial that takes too long": (9.0, {"pool": 1.0, "connect": 5.0}, ("ConnectTimeout", 5.0)),
    "a dial that takes too long, in a short line": (9.0, {"pool": 100.0, "connect": 5.0}, ("ConnectTimeout", 5.0)),
    "a dial without limit": (50.0, {"pool": 1.0, "connect": None}, ("200", 50.0)),
    "no time in line, and room": (3.0, {"pool": 0, "connect": 5.0}, ("200", 3.0)),
}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
@pytest.mark.parametrize(("delay", "timeout", "expected"), DIALS.values(), ids=DIALS)
def test_a_dial_has_its_own_time(
    library: Library, delay: float, timeout: dict[str, Any], expected: tuple[str, float]
) -> None:
    async def story(network: MemoryNetwork) -> None:
        network.serve("a.test", Server(lambda _: Reply())).dialling = Dialling(delay)
        async with pool_on(network, max_connections=1, keepalive_timeout=None) as pool:
            client = library.client(pool)
            limits = library.api.Timeout(100, **timeout)
            assert await took(library, client, limits) == expected

    play(story)


LINES = {
    "the line is too long": (5.0, 1.0, {"pool": 1.0, "connect": 9.0}, ("PoolTimeout", 1.0)),
    "then a dial that takes long": (2.0, 4.0, {"pool": 3.0, "connect": 5.0}, ("200", 6.0)),
    "then a dial that takes too long": (2.0, 9.0, {"pool": 3.0, "connect": 5.0}, ("ConnectTimeout", 7.0)),
}


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
@pytest.mark.parametrize(("held", "delay", "timeout", "expected"), LINES.values(), ids=LINES)
def test_the_line_comes_first_and_then_the_dial(
    library: Library, held: float, delay: float, timeout: dict[str, Any], expected: tuple[str, float]
) -> None:
    """The only connection is in use for so long, and is closed then."""

    async def story(network: MemoryNetwork) -> None:
        network.serve("b.test", Server(lambda _: Reply(body=[b"x", 1000.0])))
        network.serve("a.test", Server(lambda _: Reply())).dialling = Dialling(delay)
        async with pool_on(network, max_connections=1, keepalive_timeout=None) as pool, trio.open_nursery() as nursery:
            client = library.client(pool)
            response = await client.send(client.build_request("GET", "http://b.test/", timeout=None), stream=True)

            async def leave() -> None:
                await trio.sleep(held)
                await response.aclose()

            nursery.start_soon(leave)
            limits = library.api.Timeout(100, **timeout)
            assert await took(library, client, limits) == expected

    play(story)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_longer_time_in_line_is_not_cut_by_the_time_of_a_dial(library: Library) -> None:
    """The dial ends by its own time, and says so itself."""

    async def story(network: MemoryNetwork) -> None:
        network.serve("a.test", Server(lambda _: Reply())).dialling = Dialling(math.inf)
        async with pool_on(network, max_connections=1) as pool:
            client = library.client(pool)
            with pytest.raises(library.api.ConnectTimeout) as caught:
                await client.get(URL, timeout=library.api.Timeout(None, pool=100.0, connect=5.0))
            assert caught.value.__cause__.phase == "connecting"

    play(story)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_the_pools_total_timeout_ends_a_wait_too(library: Library) -> None:
    async def story(network: MemoryNetwork) -> None:
        network.serve("a.test", Server(lambda _: Reply())).dialling = Dialling(math.inf)
        async with pool_on(network, max_connections=1, total_timeout=4.0) as pool:
            assert await took(library, library.client(pool), library.api.Timeout(None)) == ("ReadTimeout", 4.0)

    play(story)


# ---- whose time a dial has ----


async def cut(client: Any, timeout: Any, seconds: float) -> None:
    """A request that its caller gives up after so long."""
    with trio.move_on_after(seconds):
        await client.get(URL, timeout=timeout)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_dial_that_is_taken_over_has_the_time_of_its_heir(library: Library) -> None:
    """Its beginner, who has no limits at all, is cancelled after one second; the heir has come meanwhile."""

    async def story(network: MemoryNetwork, case: tuple[float, dict[str, Any], tuple[str, float]]) -> None:
        delay, timeout, expected = case
        network.serve("a.test", Server(lambda _: Reply())).dialling = Dialling(delay)
        async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
            client = library.client(pool)
            nursery.start_soon(cut, client, None, 1.0)
            await trio.sleep(0.5)
            assert await took(library, client, library.api.Timeout(None, **timeout)) == expected

    cases: list[tuple[float, dict[str, Any], tuple[str, float]]] = [
        (3.0, {"pool": 2.0, "connect": 60.0}, ("200", 2.5)),
        (math.inf, {"pool": 9.0, "connect": 4.0}, ("ConnectTimeout", 4.5)),
        (math.inf, {"pool": 0.1, "connect": 4.0}, ("PoolTimeout", 0.1)),
    ]
    for case in cases:
        play(partial(story, case=case))


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_who_loses_a_dial_to_somebody_older_has_his_own_time_for_the_other(library: Library) -> None:
    """The first one's dial is slow, and he has one second; the second one's is quick, and serves the first."""

    async def story(network: MemoryNetwork) -> None:
        host = network.serve("a.test", Server(lambda _: Reply(delay=100)))
        host.dials.extend([Dialling(10.0), Dialling(0.5)])
        async with pool_on(network, max_connections=2) as pool, trio.open_nursery() as nursery:
            client = library.client(pool)
            nursery.start_soon(took, library, client, library.api.Timeout(None, connect=1.0))
            await trio.sleep(0.1)
            assert await took(library, client, library.api.Timeout(None, connect=60.0)) == ("200", 109.9)

    play(story)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
@pytest.mark.parametrize(("own", "ends"), [(5.0, 6.0), (0.2, 1.2), (None, 61.0)])
def test_a_dial_for_nobody_ends_by_the_pools_own_time(library: Library, own: float | None, ends: float) -> None:
    async def story(network: MemoryNetwork) -> None:
        network.serve("a.test", Server(lambda _: Reply())).dialling = Dialling(math.inf)
        async with pool_on(network, max_connections=1, connection_timeout=own) as pool:
            await cut(library.client(pool), None, 1.0)
            await trio.sleep(ends - 1.01)
            assert pool.statistics().dialling == 1
            await trio.sleep(0.02)
            assert pool.statistics().dialling == 0

    play(story)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_dial_for_nobody_has_no_more_time_than_it_had(library: Library) -> None:
    async def story(network: MemoryNetwork) -> None:
        network.serve("a.test", Server(lambda _: Reply())).dialling = Dialling(math.inf)
        async with pool_on(network, max_connections=1, connection_timeout=50) as pool:
            await cut(library.client(pool), library.api.Timeout(None, connect=2.0), 1.0)
            await trio.sleep(1.01)
            assert pool.statistics().dialling == 0

    play(story)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_dial_that_is_dead_is_not_kept_alive_by_those_who_come_and_go(library: Library) -> None:
    """Each waits for one second, and each has three for a dial; all but the first dial are quick."""

    async def story(network: MemoryNetwork) -> None:
        host = network.serve("a.test", Server(lambda _: Reply()))
        host.dials.extend([Dialling(math.inf)])
        host.dialling = Dialling(0.1)
        ended = []
        async with pool_on(network, max_connections=1) as pool:
            client = library.client(pool)

            async def ask() -> None:
                with trio.move_on_after(1.0):
                    ended.append(await took(library, client, library.api.Timeout(None, connect=3.0)))

            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(ask)
                    await trio.sleep(0.9)
        assert ended
        assert {end for end, _ in ended} == {"200"}
        assert not host.dials

    play(story)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_dial_that_is_taken_over_in_the_moment_of_its_end_begins_anew(library: Library) -> None:
    async def story(network: MemoryNetwork) -> None:
        host = network.serve("a.test", Server(lambda _: Reply()))
        host.dials.append(Dialling(math.inf))
        host.dialling = Dialling(0.5)
        async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
            client = library.client(pool)
            nursery.start_soon(took, library, client, library.api.Timeout(None, pool=1.0, connect=2.0))
            while not pool.statistics().dialling:
                await trio.lowlevel.checkpoint()
            assert await took(library, client, library.api.Timeout(None, connect=4.0)) == ("200", 2.5)

    for seed in range(5):
        play(story, seed=seed)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_dial_that_is_to_begin_again_does_not_when_the_pool_is_drained(library: Library) -> None:
    async def story(network: MemoryNetwork) -> None:
        network.serve("a.test", Server(lambda _: Reply())).dialling = Dialling(math.inf)
        async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
            client = library.client(pool)
            nursery.start_soon(cut, client, None, 1.0)
            await trio.sleep(2)
            nursery.start_soon(took, library, client, library.api.Timeout(None, connect=1.0))
            while pool.statistics().requests < 2:
                await trio.lowlevel.checkpoint()
            await pool.drain(0)
            assert trio.current_time() == pytest.approx(2)
            assert pool.statistics().dialling == 0

    play(story)
