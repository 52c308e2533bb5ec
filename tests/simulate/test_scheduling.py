"""Virtual time passes by itself, a seed repeats the order of steps, and trio is left as it was found."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import trio

from trio_pool.simulate.world.scheduling import VirtualClock, run


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

    run(main, seed=seed)
    return order


def settings() -> tuple[object, ...]:
    """All that is true or false in trio's loop, and the state of its generator."""
    loop = trio._core._run
    return {name: value for name, value in vars(loop).items() if isinstance(value, bool)}, loop._r.getstate()


def test_a_seed_repeats_the_order_of_tasks() -> None:
    assert order_of_tasks(1) == order_of_tasks(1)


def test_seeds_shuffle_and_do_more_than_reverse() -> None:
    assert len({tuple(order_of_tasks(seed)) for seed in range(10)}) == 10


def test_trio_is_put_back_as_it_was() -> None:
    before = settings()
    order_of_tasks(5)
    assert settings() == before


def test_trio_is_put_back_as_it_was_after_an_error_which_comes_out_as_itself() -> None:
    async def main() -> None:
        assert settings() != before
        raise trio.TooSlowError

    before = settings()
    with pytest.raises(trio.TooSlowError):
        run(main, seed=1)
    assert settings() == before


def test_equal_deadlines_expire_in_the_order_in_which_they_were_set() -> None:
    expired: list[int] = []

    async def wait(number: int) -> None:
        def give_up(_: object) -> trio.lowlevel.Abort:
            expired.append(number)
            return trio.lowlevel.Abort.SUCCEEDED

        with scopes[number]:
            entered.append(number)
            await trio.lowlevel.wait_task_rescheduled(give_up)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(wait, number)

    entered: list[int] = []
    scopes = [trio.CancelScope(deadline=1.0) for _ in range(50)]
    run(main, seed=0)
    assert expired == entered


def test_time_begins_at_zero_and_passes_while_all_tasks_wait() -> None:
    async def main() -> list[float]:
        times = [trio.current_time()]
        for seconds in (0.25, 86400.0 * 365):
            await trio.sleep(seconds)
            times.append(trio.current_time())
        return times

    assert run(main, seed=0) == [0.0, 0.25, 0.25 + 86400.0 * 365]


def test_time_stands_still_for_whoever_waits_for_all_others() -> None:
    async def main() -> float:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 5)
            await trio.testing.wait_all_tasks_blocked()
            return trio.current_time()

    assert run(main, seed=0) == 0.0


def test_time_stands_still_until_what_was_to_be_called_soon_has_been() -> None:
    async def main() -> list[float]:
        times: list[float] = []
        for _ in range(3):
            trio.lowlevel.current_trio_token().run_sync_soon(lambda: times.append(trio.current_time()))
            await trio.sleep(1)
        return times

    assert run(main, seed=0) == [0.0, 1.0, 2.0]


def test_time_may_pass_in_the_middle_of_a_step() -> None:
    async def main() -> float:
        clock = trio.lowlevel.current_clock()
        assert isinstance(clock, VirtualClock)
        with trio.move_on_after(1) as scope:
            clock.jump(2)
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        return trio.current_time()

    assert run(main, seed=0) == 2.0


def test_threads_take_turns() -> None:
    results: dict[int, list[int]] = {}
    expected = [order_of_tasks(seed) for seed in range(4)]

    def work(seed: int) -> Callable[[], None]:
        return lambda: results.__setitem__(seed, order_of_tasks(seed))

    threads = [threading.Thread(target=work(seed)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[seed] for seed in range(4)] == expected
