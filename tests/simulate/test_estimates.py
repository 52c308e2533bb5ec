"""Intervals against published tables, and against how often they contain the truth, in queues too."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import UsageError, sizing
from trio_pool.simulate.advisor.queueing import waits
from trio_pool.simulate.estimates import (
    UNKNOWN,
    Interval,
    batch_means,
    batch_quantile,
    mean_interval,
    paired_difference,
    quantile,
    quantile_interval,
    share_interval,
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


def served(seed: str, servers: int, load: float, seconds: float) -> list[float]:
    """The waits of an M/M/c queue with a mean service time of 1, once a tenth of the time has passed."""
    chance = random.Random(seed)
    starts = list(itertools.takewhile(lambda at: at < seconds, arrivals(chance, load)))
    found = waits(((at, chance.expovariate(1.0)) for at in starts), servers)
    return [wait for at, wait in zip(starts, found, strict=True) if at >= seconds / 10]


def arrivals(chance: random.Random, rate: float) -> Iterator[float]:
    at = 0.0
    while True:
        at += chance.expovariate(rate)
        yield at


QUEUES = {"5 servers, 70 % busy": (5, 3.5, 600.0), "5, 90 %": (5, 4.5, 1200.0), "20, 90 %": (20, 18.0, 300.0)}
SEEDS = 100


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("queue", QUEUES)
def test_quantiles_of_waits_in_a_queue_are_covered(queue: str, share: float) -> None:
    servers, load, seconds = QUEUES[queue]
    may_wait = sizing.erlang_c(servers, load)
    truth = max(math.log(may_wait / (1 - share)) / (servers - load), 0.0)
    covered = independent = 0
    for seed in range(SEEDS):
        values = served(f"{queue} {seed}", servers, load, seconds)
        ordered = sorted(values)
        covered += batch_quantile(values, ordered, share).holds(truth)
        independent += quantile_interval(ordered, share).holds(truth)
    assert covered >= 0.8 * SEEDS
    assert covered >= independent
    if truth:
        assert independent < 0.6 * SEEDS  # which is why


def test_values_that_are_not_known_to_end_make_no_end() -> None:
    values = [1.0, 2.0, math.inf] * 40
    ordered = sorted(values)
    assert batch_quantile(values, ordered, 0.9) == Interval(math.inf, math.inf, math.inf)
    half = batch_quantile(values, ordered, 0.5)
    assert (half.estimate, half.low, half.high) == (2.0, 2.0, 2.0)
    assert batch_quantile(values, ordered, 0.66).high == math.inf
    assert batch_quantile([1.0] * 50, [1.0] * 50, 0.99).high == math.inf  # too few to tell
    assert batch_quantile([1.0], [1.0], 0.5) == Interval(1.0, -math.inf, math.inf)


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


def test_what_could_not_be_measured_is_left_out() -> None:
    assert mean_interval([1.0, math.nan, 2.0, 3.0]) == mean_interval([1.0, 2.0, 3.0])
    assert str(mean_interval([math.nan, math.nan])) == str(UNKNOWN)
    assert paired_difference([1.0, math.nan, 1.0], [2.0, 2.0, 3.0]) == mean_interval([1.0, 2.0])


def test_what_cannot_be_negative_has_no_such_end() -> None:
    assert Interval(1.0, -0.5, 2.5).not_below(0.0) == Interval(1.0, 0.0, 2.5)
    assert Interval(1.0, 0.5, 2.5).not_below(0.0) == Interval(1.0, 0.5, 2.5)
    assert Interval(1.0, -math.inf, math.inf).not_below(0.0) == Interval(1.0, -math.inf, math.inf)
    assert math.isnan(UNKNOWN.not_below(0.0).low)


def test_one_value_without_end_makes_a_mean_without_end() -> None:
    assert mean_interval([1.0, 2.0, math.inf]) == Interval(math.inf, -math.inf, math.inf)
    assert mean_interval([math.inf, math.inf]) == Interval(math.inf, math.inf, math.inf)
    assert str(paired_difference([math.inf] * 2, [math.inf] * 2)) == str(UNKNOWN)
    assert paired_difference([math.inf, math.inf], [1.0, 1.0]).estimate == -math.inf


def test_what_never_happened_may_yet() -> None:
    never = share_interval([0.0] * 5, 4500)
    assert never.estimate == never.low == 0
    assert never.high == pytest.approx(3 / 4500, rel=0.01)
    assert (1 - never.high) ** 4500 == pytest.approx(0.05)
    always = share_interval([1.0] * 5, 4500)
    assert 1 - always.low == pytest.approx(never.high)
    assert always.high == 1


def test_shares_are_shares() -> None:
    assert mean_interval([0.0, 0.0, 0.1]).low < 0
    assert share_interval([0.0, 0.0, 0.1], 30).low == 0
    assert share_interval([1.0, 1.0, 0.9], 30).high == 1
    assert share_interval([0.4, 0.5, 0.6], 30) == mean_interval([0.4, 0.5, 0.6])
    assert str(share_interval([math.nan], 0)) == str(UNKNOWN)


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
