"""The wait for a connection: `pool` is for the line, `connect` for the dial, in virtual time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import trio
from shell.network import Dialling, MemoryNetwork
from shell.scheduling import play
from shell.servers import Reply, Server
from shell.stories import pool_on

from .libraries import LIBRARIES, Library

URL = "http://a.test/"


async def took(library: Library, client: Any, timeout: Any) -> tuple[str, float]:
    """How a request ends, and after how many seconds."""
    started = trio.current_time()
    try:
        response = await client.get(URL, timeout=timeout)
        end = str(response.status_code)
    except library.api.TimeoutException as error:
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
def test_the_pools_total_timeout_ends_a_wait_too(library: Library) -> None:
    async def story(network: MemoryNetwork) -> None:
        network.serve("a.test", Server(lambda _: Reply())).dialling = Dialling(math.inf)
        async with pool_on(network, max_connections=1, total_timeout=4.0) as pool:
            assert await took(library, library.client(pool), library.api.Timeout(None)) == ("ReadTimeout", 4.0)

    play(story)
