"""The running 95th percentile of the first byte."""

from __future__ import annotations

import math
from types import ModuleType

from hypothesis import given
from hypothesis import strategies as st

from trio_pool._core import hedging as real
from trio_pool._core.hedging import ENOUGH, WINDOW, FirstByteTimes

SECONDS = st.integers(0, 50).map(lambda tenths: tenths / 10)


def check_history(module: ModuleType, seconds: list[float]) -> None:
    times: FirstByteTimes = module.FirstByteTimes()
    for count, one in enumerate(seconds, 1):
        times.add(one)
        recent = sorted(seconds[max(count - WINDOW, 0) : count])
        expected = recent[math.ceil(0.95 * len(recent)) - 1] if count >= ENOUGH else None
        assert times.quantile() == expected
        assert times.hedge_at(7.0) == (None if expected is None else 7.0 + expected)


@given(st.lists(SECONDS, max_size=60), st.lists(SECONDS, max_size=10), st.integers(1, 25))
def test_it_is_the_quantile_of_the_last_two_hundred(first: list[float], period: list[float], times: int) -> None:
    check_history(real, [*first, *period * times])


def test_a_habit_is_forgotten_after_two_hundred_answers() -> None:
    check_history(real, [9.0] * 150 + [0.5] * 200)


def test_one_answer_in_twenty_is_later_than_the_time_to_hedge() -> None:
    times = FirstByteTimes()
    for number in range(200):
        times.add(number / 100)
    assert times.hedge_at(100.0) == 101.89


def test_nothing_is_hedged_before_there_are_twenty_answers() -> None:
    times = FirstByteTimes()
    for _ in range(ENOUGH - 1):
        times.add(1.0)
    assert times.hedge_at(0.0) is None
