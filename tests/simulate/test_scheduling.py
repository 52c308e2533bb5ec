"""Virtual time passes by itself, a seed repeats the order of steps, and trio is left as it was found."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

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


def test_runs_in_threads_do_not_disturb_each_other() -> None:
    results: dict[int, list[int]] = {}
    expected = [order_of_tasks(seed) for seed in range(4)]

    def work(seed: int) -> Callable[[], None]:
        return lambda: results.__setitem__(seed, order_of_tasks(seed))

    before = settings()
    threads = [threading.Thread(target=work(seed)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [results[seed] for seed in range(4)] == expected
    assert settings() == before


def test_two_runs_go_on_at_once() -> None:
    both = threading.Barrier(2)

    async def main() -> None:
        both.wait(timeout=60)

    threads = [threading.Thread(target=run, args=(main,), kwargs={"seed": seed}) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not both.broken


def test_the_order_is_the_same_beside_another_loop_of_trio() -> None:
    async def step() -> None:
        while True:
            await trio.lowlevel.checkpoint()

    async def main() -> list[list[int]]:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(step)
            orders = [await trio.to_thread.run_sync(order_of_tasks, 1) for _ in range(5)]
            nursery.cancel_scope.cancel()
        return orders

    assert trio.run(main) == [order_of_tasks(1)] * 5


def test_a_run_inside_a_run_is_refused() -> None:
    async def main() -> None:
        order_of_tasks(1)

    with pytest.raises(RuntimeError, match="inside"):
        run(main, seed=1)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # that it forks beside a thread is the point
def test_a_child_that_was_forked_during_a_run_can_have_its_own() -> None:
    started, ended = threading.Event(), threading.Event()

    async def main() -> None:
        started.set()
        ended.wait(timeout=60)

    other = threading.Thread(target=run, args=(main,), kwargs={"seed": 0})
    other.start()
    started.wait(timeout=60)
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method)) as executor:
        order = executor.submit(order_of_tasks, 1).result(timeout=60)
    ended.set()
    other.join()
    assert order == order_of_tasks(1)
