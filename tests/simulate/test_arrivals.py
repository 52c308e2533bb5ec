"""Arrival processes: their rates, their burstiness, and what no process can be."""

from __future__ import annotations

import itertools
import math
import pickle
from collections.abc import Callable
from statistics import fmean, pvariance

import pytest

from trio_pool import UsageError
from trio_pool.simulate.estimates import batch_means
from trio_pool.simulate.traffic.arrivals import Arrivals, ClosedLoop, Diurnal, OnOff, Poisson, Recorded, Renewal, Slowed
from trio_pool.simulate.traffic.chances import chance
from trio_pool.simulate.traffic.distributions import Constant

FAR = 0.999999
ENDLESS: list[Arrivals] = [
    Poisson(5.0),
    Renewal(5.0, 0),
    Renewal(5.0, 0.3),
    Renewal(5.0, 2.0),
    OnOff(20.0, 1.0, 2.0, 6.0),
    OnOff(30.0, 0.0, 1.0, 5.0),
    Diurnal(5.0, 0.8, 50.0),
    Slowed(Renewal(15.0, 2.0), 3.0),
]


def until(arrivals: Arrivals, seconds: float, seed: int = 1) -> list[float]:
    return list(itertools.takewhile(lambda at: at < seconds, arrivals.times(chance(seed, "arrivals"))))


def counts(times: list[float], width: float, windows: int) -> list[int]:
    """How many came in each of so many windows of this width."""
    found = [0] * windows
    for at in times:
        found[int(at / width)] += 1
    return found


@pytest.mark.parametrize("arrivals", ENDLESS, ids=repr)
def test_the_rate_is_what_was_asked_for(arrivals: Arrivals) -> None:
    each = counts(until(arrivals, 10_000), 50.0, 200)
    interval = batch_means([count / 50 for count in each], 40, FAR)
    assert interval.low - 0.02 <= arrivals.rate <= interval.high + 0.02  # a clockwork has no variance
    assert interval.high - interval.low < 0.35 * arrivals.rate


@pytest.mark.parametrize("arrivals", [*ENDLESS, Renewal(5.0, 5.0)], ids=repr)
def test_a_short_window_from_the_start_has_its_share(arrivals: Arrivals) -> None:
    """A process that began with a request, or a burst, would have more of them in every experiment."""
    seconds = 10.1 if arrivals != ENDLESS[6] else 50.0  # a whole day
    each = [len(until(arrivals, seconds, seed)) / seconds for seed in range(4000)]
    interval = batch_means(each, 400, FAR)
    assert interval.low - 0.005 <= arrivals.rate <= interval.high + 0.005  # a clockwork has no variance
    assert interval.high - interval.low < 0.35 * arrivals.rate


@pytest.mark.parametrize("arrivals", ENDLESS, ids=repr)
def test_times_never_decrease_and_the_same_seed_gives_the_same(arrivals: Arrivals) -> None:
    times = until(arrivals, 500)
    assert times == sorted(times)
    assert times[0] >= 0
    assert times == until(pickle.loads(pickle.dumps(arrivals)), 500)
    assert arrivals == Renewal(5.0, 0) or times != until(arrivals, 500, seed=2)


@pytest.mark.parametrize("cv", [0.3, 1.0, 2.0])
def test_the_gaps_of_a_renewal_process_have_its_variation(cv: float) -> None:
    gaps = [after - before for before, after in itertools.pairwise(until(Renewal(5.0, cv), 10_000))]
    squares = [(gap * 5 - 1) ** 2 for gap in gaps]
    assert batch_means(squares, 200, FAR).holds(cv**2)
    assert not batch_means(squares, 200, FAR).holds(1.25 * cv**2)


def test_poisson_counts_have_their_mean_for_a_variance() -> None:
    each = counts(until(Poisson(5.0), 10_000), 1.0, 10_000)
    assert pvariance(each) / fmean(each) == pytest.approx(1, abs=0.06)


def test_bursts_scatter_as_much_as_their_formula_says() -> None:
    """The index of dispersion of counts of an on/off process over windows of t (Fischer and Meier-Hellstern, 1993)."""
    bursts = OnOff(20.0, 2.0, 2.0, 6.0)
    each = counts(until(bursts, 40_000), 4.0, 10_000)
    switching = 1 / 2 + 1 / 6
    long_run = 2 * 18.0**2 * bursts.share_on * (1 - bursts.share_on) / (switching * bursts.rate)
    expected = 1 + long_run * (1 - (1 - math.exp(-switching * 4)) / (switching * 4))
    assert pvariance(each) / fmean(each) == pytest.approx(expected, rel=0.06)


def test_bursts_begin_in_either_state() -> None:
    """Else an experiment would always begin with a burst, or never."""
    bursts = OnOff(1000.0, 0.0, 1.0, 3.0)
    begun = sum(next(bursts.times(chance(seed, "arrivals"))) < 0.05 for seed in range(400))
    assert begun / 400 == pytest.approx(0.25 + 0.75 * (1 - math.exp(-0.05 / 3)), abs=0.08)


def test_a_day_has_its_peak_in_the_first_half() -> None:
    day = Diurnal(5.0, 0.8, 50.0)
    phases = counts([at % 50 for at in until(day, 20_000)], 12.5, 4)
    mean = 5.0 * 20_000 / 4
    assert phases[0] == pytest.approx(mean * (1 + 0.8 * 2 / math.pi), rel=0.03)
    assert phases[2] == pytest.approx(mean * (1 - 0.8 * 2 / math.pi), rel=0.05)
    assert [day.rate_at(seconds) for seconds in (0, 12.5, 37.5)] == pytest.approx([5, 9, 1])


def test_a_slowed_process_is_the_same_at_another_pace() -> None:
    bursts = OnOff(20.0, 2.0, 2.0, 6.0)
    assert until(Slowed(bursts, 3), 300) == [at * 3 for at in until(bursts, 100)]
    assert Slowed(bursts, 0.5).rate == 2 * bursts.rate


def test_a_record_is_repeated_as_it_was() -> None:
    record = Recorded([0, 0.5, 0.5, 4])
    assert until(record, 100) == [0, 0.5, 0.5, 4]
    assert record.rate == 1
    assert Recorded([0, 0]).rate == math.inf
    assert repr(record) == "Recorded(offsets=<4 values>)"


NONSENSE: dict[str, Callable[[], object]] = {
    "Poisson.rate must be a positive number, not 0": lambda: Poisson(0),
    "Renewal.rate must be a positive number, not -5": lambda: Renewal(-5, 1),
    "Renewal.cv must be 0, or a number from 0.001 to 1000, not -1": lambda: Renewal(5, -1),
    "OnOff.rate_off must be a number of at least 0, not -1": lambda: OnOff(5, -1, 1, 1),
    "OnOff.mean_off must be a positive number, not 0": lambda: OnOff(5, 0, 1, 0),
    "Diurnal.amplitude must be a share from 0 to 1, not 1.1": lambda: Diurnal(5, 1.1, 10),
    "Diurnal.period must be a positive number, not 0": lambda: Diurnal(5, 0.5, 0),
    "Recorded.offsets must be at least one number, not ()": lambda: Recorded([]),
    "Recorded.offsets[2] must be no earlier than the one before (2), not 1": lambda: Recorded([0, 2, 1]),
    "Slowed.factor must be a positive number, not 0": lambda: Slowed(Poisson(1), 0),
    "Slowed.arrivals must be arrivals in open loop, which has a method 'times', not 5.0": lambda: Slowed(5.0, 2),  # type: ignore[arg-type]  # nonsense
    "ClosedLoop.think must be a distribution, which has a method 'sample', not 1.0": lambda: ClosedLoop(3, 1.0),  # type: ignore[arg-type]  # nonsense
    "ClosedLoop.users must be a whole number of at least 1, not 0": lambda: ClosedLoop(0, Constant(1)),
}


@pytest.mark.parametrize("sentence", NONSENSE)
def test_nonsense_is_refused_with_the_name_of_the_field(sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        NONSENSE[sentence]()
    assert str(caught.value) == f"{sentence}."
