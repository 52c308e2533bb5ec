"""The agenda: order, the present moment, what is taken off it, what goes wrong in it."""

from __future__ import annotations

import math
import weakref
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from trio_pool import UsageError
from trio_pool.simulate.world.engine import Engine, open_engine
from trio_pool.simulate.world.scheduling import run

T = TypeVar("T")


def with_engine(story: Callable[[Engine], Awaitable[T]]) -> T:
    async def main() -> T:
        async with open_engine() as engine:
            return await story(engine)

    return run(main, seed=0)


moments = st.integers(0, 5).map(float)


@given(st.lists(st.tuples(moments, st.booleans())))
def test_all_is_called_at_its_time_in_order_but_what_was_cancelled(plan: list[tuple[float, bool]]) -> None:
    async def story(engine: Engine) -> list[tuple[float, int]]:
        called: list[tuple[float, int]] = []
        for number, (when, stays) in enumerate(plan):
            entry = engine.at(when, lambda number: called.append((engine.now(), number)), number)
            if not stays:
                engine.cancel(entry)
        await trio.sleep(10)
        return called

    expected = sorted((when, number) for number, (when, stays) in enumerate(plan) if stays)
    assert with_engine(story) == expected


def test_what_is_put_down_for_the_same_moment_happens_in_the_same_go() -> None:
    async def story(engine: Engine) -> int:
        called = 0

        def again(left: int) -> None:
            nonlocal called
            called += 1
            if left:
                engine.after(0, again, left - 1)

        engine.at(1, again, 9)
        await trio.sleep(1)
        return called

    assert with_engine(story) == 10


def test_a_callback_wakes_tasks_and_starts_them() -> None:
    async def story(engine: Engine) -> list[float]:
        times: list[float] = []
        event = trio.Event()

        async def note() -> None:
            times.append(trio.current_time())

        engine.at(1, event.set)
        async with trio.open_nursery() as nursery:
            engine.at(2, nursery.start_soon, note)
            await event.wait()
            times.append(trio.current_time())
            await trio.sleep(5)
        return times

    assert with_engine(story) == [1.0, 2.0]


def test_never_is_never_and_the_past_is_now() -> None:
    async def story(engine: Engine) -> list[tuple[str, float]]:
        called: list[tuple[str, float]] = []
        await trio.sleep(3)
        engine.at(math.inf, called.append, ("never", 0.0))
        engine.at(1, lambda: called.append(("past", engine.now())))
        await trio.sleep(100)
        return called

    assert with_engine(story) == [("past", 3.0)]


def test_a_callback_that_raises_ends_the_body_and_comes_out_as_itself() -> None:
    class Broken(Exception):
        pass

    def fail() -> None:
        raise Broken

    async def story(engine: Engine) -> None:
        engine.at(1, fail)
        await trio.sleep_forever()

    with pytest.raises(Broken):
        with_engine(story)


def test_the_first_error_is_the_one_that_is_told() -> None:
    def fail(error: Exception) -> None:
        raise error

    async def story(engine: Engine) -> None:
        engine.at(1, fail, KeyError("first"))
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                engine.at(2, fail, ValueError("second"))
                await trio.sleep(2)

    with pytest.raises(KeyError, match="first"):
        with_engine(story)


def test_what_is_raised_in_a_guard_comes_out_as_itself() -> None:
    async def fail(engine: Engine) -> None:
        with engine.guard():
            raise KeyError("in a task")

    async def story(engine: Engine) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fail, engine)

    with pytest.raises(KeyError, match="in a task"):
        with_engine(story)


def test_what_is_no_time_is_refused() -> None:
    async def story(engine: Engine) -> None:
        engine.at(math.nan, print)

    with pytest.raises(ValueError, match="nothing can be called at nan"):
        with_engine(story)


def test_callbacks_that_leave_no_time_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(engine: Engine) -> None:
        def again() -> None:
            engine.after(0, again)

        engine.at(1, again)
        await trio.sleep_forever()

    monkeypatch.setattr("trio_pool.simulate.world.engine.MOST", 1000)
    with pytest.raises(UsageError, match=r"after 1 s .*again is called for ever, and no time passes"):
        with_engine(story)


def test_what_is_cancelled_holds_on_to_nothing() -> None:
    class Big:
        pass

    async def story(engine: Engine) -> bool:
        big = Big()
        known = weakref.ref(big)
        engine.cancel(engine.at(1000, print, big))
        del big
        return known() is None

    assert with_engine(story)


def test_what_the_body_raises_comes_out_as_itself() -> None:
    async def story(engine: Engine) -> None:
        raise trio.TooSlowError

    with pytest.raises(trio.TooSlowError):
        with_engine(story)


def test_the_history_is_of_what_was_noted_and_when() -> None:
    def history(*notes: tuple[float, str]) -> str:
        async def story(engine: Engine) -> str:
            for when, what in notes:
                engine.at(when, engine.note, what)
            await trio.sleep(10)
            return engine.digest()

        return with_engine(story)

    assert history((1, "a"), (2, "b")) == history((1, "a"), (2, "b"))
    digests = {history(), history((1, "a"), (2, "b")), history((1, "b"), (2, "a")), history((1, "a"), (3, "b"))}
    assert len(digests) == 4


def test_an_engine_needs_the_virtual_clock_for_itself() -> None:
    async def alone() -> None:
        async with open_engine():
            pass

    async def twice() -> None:
        async with open_engine(), open_engine():
            pass

    async def one_after_another() -> None:
        await alone()
        await alone()

    with pytest.raises(UsageError, match="a run of its own"):
        trio.run(alone, clock=MockClock())
    with pytest.raises(UsageError, match="a run of its own"):
        run(twice, seed=0)
    run(one_after_another, seed=0)
