"""The tests' own ground: trio's private flags are there and act, and a story that goes wrong is told so."""

from __future__ import annotations

import random

import pytest
import trio

from .network import MemoryNetwork
from .scheduling import play, shuffled
from .servers import stay
from .stories import get, pool_on


def order_of_tasks(seed: int) -> list[int]:
    """The order in which twelve equal tasks take their steps."""
    order: list[int] = []

    async def step(number: int) -> None:
        for _ in range(3):
            order.append(number)
            await trio.lowlevel.checkpoint()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(12):
                nursery.start_soon(step, number)

    with shuffled(seed):
        trio.run(main)
    return order


def test_the_private_flags_of_trio_exist() -> None:
    assert isinstance(trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING, bool)
    assert isinstance(trio._core._run._r, random.Random)


def test_a_seed_repeats_the_order_of_tasks() -> None:
    assert order_of_tasks(1) == order_of_tasks(1)


def test_seeds_shuffle_and_do_more_than_reverse() -> None:
    orders = {tuple(order_of_tasks(seed)) for seed in range(10)}
    assert len(orders) == 10


def test_the_flags_are_put_back() -> None:
    before = trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING, trio._core._run._r.getstate()
    order_of_tasks(5)
    assert (trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING, trio._core._run._r.getstate()) == before


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
