"""Intervals against published tables, and against how often they contain the truth; means over time; Little's law."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from statistics import NormalDist, fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import UsageError
from trio_pool.simulate.estimates import (
    Interval,
    LittlesLaw,
    TimeMean,
    batch_means,
    mean_interval,
    paired_difference,
    quantile,
    quantile_interval,
    student_t,
)

RUNS = 1000


def coverage(draw: Callable[[random.Random], Interval], truth: float) -> float:
    """The share of many intervals, each from its own sample, that hold the truth."""
    chance = random.Random("coverage")
    return sum(draw(chance).holds(truth) for _ in range(RUNS)) / RUNS


def is_about(share: float, confidence: float) -> bool:
    """Within three standard deviations of what so many runs scatter by."""
    return abs(share - confidence) < 3 * math.sqrt(confidence * (1 - confidence) / RUNS)


# ---- quantiles ----


@pytest.mark.parametrize(("share", "expected"), [(0, 1), (0.25, 1), (0.26, 2), (0.5, 2), (0.75, 3), (0.76, 4), (1, 4)])
def test_a_quantile_is_the_least_that_enough_do_not_exceed(share: float, expected: float) -> None:
    assert quantile([1, 2, 3, 4], share) == expected


def exact_ranks(size: int, share: float, confidence: float) -> tuple[int, int]:
    """By summing binomial probabilities: which two samples bound the quantile, from 1 on; 0 and size + 1 for none."""
    below = list(
        itertools.accumulate(math.comb(size, k) * share**k * (1 - share) ** (size - k) for k in range(size + 1))
    )
    tail = (1 - confidence) / 2
    low = max((rank for rank in range(1, size + 1) if below[rank - 1] <= tail), default=0)
    high = min((rank for rank in range(1, size + 1) if 1 - below[rank - 1] <= tail), default=size + 1)
    return low, high


@pytest.mark.parametrize("size", [1, 2, 5, 10, 37, 100])
@pytest.mark.parametrize("share", [0.03, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("confidence", [0.83, 0.95, 0.999])
def test_the_interval_of_a_quantile_is_of_the_right_ranks(size: int, share: float, confidence: float) -> None:
    interval = quantile_interval(range(1, size + 1), share, confidence)
    low, high = exact_ranks(size, share, confidence)
    assert interval.low == (low or -math.inf)
    assert interval.high == (high if high <= size else math.inf)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_quantiles_are_covered_whatever_the_distribution(share: float) -> None:
    def draw(chance: random.Random) -> Interval:
        return quantile_interval(sorted(chance.lognormvariate(0, 1.5) for _ in range(500)), share)

    truth = math.exp(1.5 * NormalDist().inv_cdf(share))
    assert 0.95 - 0.02 < coverage(draw, truth) < 0.985


def test_a_million_samples_are_no_harder() -> None:
    interval = quantile_interval(range(1_000_000), 0.99)
    assert interval.estimate == 989_999
    assert interval.low == pytest.approx(990_000 - 1.96 * math.sqrt(9900), abs=3)
    assert interval.high == pytest.approx(990_000 + 1.96 * math.sqrt(9900), abs=3)


# ---- Student's t ----

TABLE = {1: 12.706, 2: 4.303, 3: 3.182, 5: 2.571, 10: 2.228, 19: 2.093, 30: 2.042, 120: 1.980}


@pytest.mark.parametrize("degrees", TABLE)
def test_student_t_is_that_of_the_tables(degrees: int) -> None:
    assert student_t(degrees) == pytest.approx(TABLE[degrees], abs=0.0005)


def test_student_t_for_other_confidences() -> None:
    assert student_t(9, 0.99) == pytest.approx(3.250, abs=0.0005)
    assert student_t(4, 0.90) == pytest.approx(2.132, abs=0.0005)
    assert student_t(1, 0.5) == pytest.approx(1.0)
    assert student_t(2, 0.5) == pytest.approx(math.sqrt(2 / 3))


@given(st.integers(300, 3000), st.floats(0.01, 0.999))
def test_student_t_becomes_normal(degrees: int, confidence: float) -> None:
    normal = NormalDist().inv_cdf((1 + confidence) / 2)
    assert normal < student_t(degrees, confidence) < normal + (normal**3 + normal) / (3 * degrees)


# ---- means ----


@pytest.mark.parametrize("size", [2, 5, 20])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_means_are_covered(size: int, confidence: float) -> None:
    def draw(chance: random.Random) -> Interval:
        return mean_interval([chance.gauss(7, 3) for _ in range(size)], confidence)

    assert is_about(coverage(draw, 7), confidence)


def correlated(chance: random.Random, size: int) -> Iterator[float]:
    """Each like the one before: an autoregressive process with mean 0."""
    value = chance.gauss(0, 1)
    for _ in range(size):
        value = 0.8 * value + 0.6 * chance.gauss(0, 1)
        yield value


def test_batches_cover_the_mean_of_correlated_values_and_the_values_alone_do_not() -> None:
    def of_batches(chance: random.Random) -> Interval:
        return batch_means(list(correlated(chance, 500)), 10)

    def of_values(chance: random.Random) -> Interval:
        return mean_interval(list(correlated(chance, 500)))

    assert 0.90 < coverage(of_batches, 0) < 0.97
    assert coverage(of_values, 0) < 0.6


def test_batches_leave_out_what_fills_none() -> None:
    assert batch_means([100, 1, 2, 3, 4], 2).estimate == 2.5
    assert batch_means([1, 2, 3], 20) == mean_interval([1, 2, 3])
    assert batch_means([*range(100)], 10) == mean_interval([4.5 + 10 * batch for batch in range(10)])


def test_one_value_tells_nothing_of_its_error() -> None:
    assert mean_interval([3.0]) == Interval(3.0, -math.inf, math.inf)


def test_pairs_drop_what_both_sides_share() -> None:
    chance = random.Random(3)
    weather = [chance.gauss(50, 10) for _ in range(20)]
    before = [value + chance.gauss(0, 0.1) for value in weather]
    after = [value + 1 + chance.gauss(0, 0.1) for value in weather]
    difference = paired_difference(before, after)
    assert difference.holds(1)
    assert difference.high - difference.low < 0.3
    assert mean_interval(after).high - mean_interval(after).low > 5
    with pytest.raises(UsageError, match="not 20 and 19"):
        paired_difference(before, after[1:])


def test_an_interval_says_what_it_is() -> None:
    assert str(Interval(0.19512, 0.187, 0.203)) == "0.1951 (0.187 to 0.203)"
    assert Interval(2, 1, 3).holds(3)
    assert not Interval(2, 1, 3).holds(3.01)


NONSENSE: dict[str, Callable[[], object]] = {
    "share must be a number between 0 and 1, not 1": lambda: quantile_interval([1], 1),
    "confidence must be a number between 0 and 1, not 95": lambda: quantile_interval([1], 0.5, 95),
    "confidence must be a number between 0 and 1, not 0": lambda: mean_interval([1, 2], 0),
    "degrees must be a whole number of at least 1, not 0": lambda: student_t(0),
    "batches must be a whole number of at least 1, not 0": lambda: batch_means([1], 0),
    "the number of samples must be a whole number of at least 1, not 0": lambda: quantile_interval([], 0.5),
    "the number of values must be a whole number of at least 1, not 0": lambda: mean_interval([]),
}


@pytest.mark.parametrize("sentence", NONSENSE)
def test_nonsense_is_refused(sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        NONSENSE[sentence]()
    assert str(caught.value) == f"{sentence}."


# ---- over time ----


def test_a_mean_over_time_weighs_by_how_long() -> None:
    level = TimeMean(10.0, 2)
    assert level.mean(10.0) == 2
    level.set(13.0, 5)
    level.set(14.0, 0)
    assert (level.value, level.most) == (0, 5)
    assert level.mean(14.0) == pytest.approx((3 * 2 + 1 * 5) / 4)
    assert level.mean(20.0) == pytest.approx((3 * 2 + 1 * 5) / 10)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.01, 50)), min_size=1, max_size=30))
def test_littles_law_holds_for_any_visits(visits: list[tuple[float, float]]) -> None:
    """Whoever comes and stays, in a window that begins and ends empty: number = rate · time."""
    steps = sorted([(at, 1) for at, _ in visits] + [(at + stay, -1) for at, stay in visits])
    level = TimeMean()
    for at, change in steps:
        level.set(at, level.value + change)
    law = LittlesLaw(level.mean(200), len(visits) / 200 * fmean(stay for _, stay in visits))
    assert law.error < 1e-9


def test_a_wrong_count_breaks_littles_law() -> None:
    assert LittlesLaw(2.0, 1.0).error == LittlesLaw(1.0, 2.0).error == 0.5
    assert LittlesLaw(0, 0).error == 0
