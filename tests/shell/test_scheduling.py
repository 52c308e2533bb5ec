"""The tests' own ground: a story that goes wrong is told so."""

from __future__ import annotations

import pytest
import trio

from .network import MemoryNetwork
from .scheduling import play
from .servers import stay
from .stories import get, pool_on


def test_virtual_time_costs_nothing() -> None:
    async def story(network: MemoryNetwork) -> float:
        await trio.sleep(50_000)
        return trio.current_time()

    assert play(story) >= 50_000


def test_a_story_that_hangs_is_found_out() -> None:
    async def story(network: MemoryNetwork) -> None:
        await trio.sleep_forever()

    with pytest.raises(AssertionError, match="did not end"):
        play(story)


def test_a_story_that_turns_in_circles_is_found_out() -> None:
    async def story(network: MemoryNetwork) -> None:
        while True:
            await trio.lowlevel.checkpoint()

    with pytest.raises(AssertionError, match="did not end"):
        play(story)


def test_a_stream_left_open_is_found_out() -> None:
    async def story(network: MemoryNetwork) -> None:
        network.serve("a.test", stay)
        await network.connect(("10.0.0.1", 80))

    with pytest.raises(AssertionError, match="open at the end"):
        play(story)


def test_an_error_comes_out_as_itself() -> None:
    async def story(network: MemoryNetwork) -> None:
        async with pool_on(network) as pool:
            await pool.send(get("nowhere.test"))

    with pytest.raises(trio.TooSlowError) as caught:
        play(lambda network: _raise(trio.TooSlowError()))
    assert type(caught.value) is trio.TooSlowError


async def _raise(error: Exception) -> None:
    raise error
