"""The advisor: the least size that meets the target, in traffic that it has not seen; clamps, warnings, the search."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter
from statistics import fmean
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import PoolConfig, UsageError, sizing
from trio_pool.simulate.advisor import samples, trial
from trio_pool.simulate.advisor.advise import Advice, advise, least
from trio_pool.simulate.advisor.cautions import open_files
from trio_pool.simulate.advisor.samples import Sample, Traffic
from trio_pool.simulate.advisor.trial import Trial, tried
from trio_pool.simulate.estimates import Interval
from trio_pool.simulate.traffic import workload
from trio_pool.simulate.traffic.arrivals import Arrivals, ClosedLoop, Diurnal, OnOff, Poisson, Recorded, Renewal, Slowed
from trio_pool.simulate.traffic.distributions import Constant, Exponential, Gamma, LogNormal, Uniform
from trio_pool.simulate.traffic.traces import Row, Trace
from trio_pool.simulate.traffic.workload import Service, Workload
from trio_pool.simulate.world.outages import Outage
from trio_pool.simulate.world.provider import VirtualProvider

from .azure import conversations
from .held_out import MINUTE, Unseen, pool_of

__all__ = ["conversations"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of the requests, where a rough answer will do."""
    monkeypatch.setattr(samples, "REQUESTS", samples.REQUESTS // 10)


# ---- the least size ----


@given(st.integers(1, 3000), st.integers(1, 3000))
def test_the_search_finds_the_least_from_any_guess(answer: int, guess: int) -> None:
    asked: list[int] = []

    def is_enough(size: int) -> bool:
        asked.append(size)
        return size >= answer

    assert least(is_enough, guess) == answer
    assert len(set(asked)) == len(asked) <= 4 + 2 * math.log2(1 + abs(answer - guess))


@pytest.mark.parametrize(("target", "wait"), [(0.05, 0.0), (0.05, 0.5)])
def test_for_mmc_the_advice_is_the_closed_form(target: float, wait: float, few: None) -> None:
    advice = advise(10, 1.0, target=target, wait=wait, check=0)
    assert advice.size == advice.needed == sizing.servers_for(10, target, wait)
    assert advice.config.max_connections_per_host == advice.size
    assert (advice.is_met, advice.checked) == (True, None)
    assert advice.load == pytest.approx(10)
    assert advice.predicted == pytest.approx(sizing.wait_exceeds(advice.size, 10, wait))
    assert advice.simulated.estimate == pytest.approx(advice.predicted, rel=0.25)


BURSTS = Workload(OnOff(30.0, 2.0, 4.0, 12.0), Service(LogNormal(0.5, 1.0)))


def test_for_bursts_and_tails_the_advice_holds_in_traffic_that_it_has_not_seen() -> None:
    advice = advise(workload=BURSTS, target=0.05, check=2)
    unseen = [Traffic(BURSTS).sample(seed, 3000) for seed in range(1000, 1003)]
    with_it, with_one_fewer = (
        fmean(sample.share_waiting(pool_of(size), 0) for sample in unseen) for size in (advice.size, advice.size - 1)
    )
    assert with_it <= 0.05
    assert with_one_fewer > 0.05 * 0.85
    assert advice.predicted < 0.0001  # the closed form sees no bursts
    assert advice.checked == advice.simulated  # the whole client does what the line alone does


def test_irregular_gaps_need_more_and_regular_ones_less(few: None) -> None:
    clockwork, poisson, bursty = (advise(20, Constant(0.49), burstiness=cv, check=0).size for cv in (0, 1, 2))
    assert clockwork == 10
    assert clockwork < poisson < bursty


def test_long_waits_are_more_where_service_times_differ_more(few: None) -> None:
    regular, irregular = (advise(10, Gamma(1.0, cv), wait=1.0, target=0.05, check=0).size for cv in (0.2, 3.0))
    assert regular < irregular


# ---- a real hour ----


@pytest.fixture(scope="module")
def halves(conversations: Trace) -> tuple[Trace, Trace]:
    return conversations.halves(MINUTE)


@pytest.mark.parametrize("target", [0.05, 0.01, 0.001])
@pytest.mark.parametrize("way", [1, -1], ids=["sized on the first", "sized on the second"])
def test_sized_on_one_half_of_an_hour_the_pool_is_enough_for_the_other(
    halves: tuple[Trace, Trace], way: int, target: float
) -> None:
    """The advice is the least that is sure to be enough, and has one connection more than was just enough that time.

    The halves differ by one connection themselves: the first needs one more. So what is sized on the second is the
    least for the first, thanks to the one more; and what is sized on the first is two more than the second needs.
    """
    seen, held = (Unseen(half, half.seconds + 1) for half in halves[::way])
    advice = advise(workload=seen.workload, target=target, check=0)
    assert held.share_waiting(advice.size) <= target
    traffic = Traffic(seen.workload)
    for fewer in (1, 2, 3):
        shares = [sample.share_waiting(pool_of(advice.size - fewer), 0.0) for sample in traffic.samples()]
        assert traffic.interval(shares).high > target
    assert advice.size == seen.least(target) + 1 == held.least(target) + 1 + way


@pytest.mark.parametrize("target", [0.05, 0.01, 0.001])
def test_what_was_just_enough_for_one_half_is_not_for_the_other(halves: tuple[Trace, Trace], target: float) -> None:
    """Why the advice has one more."""
    first, second = (Unseen(half, half.seconds + 1) for half in halves)
    assert first.share_waiting(second.least(target)) > target


def test_the_whole_client_agrees_about_the_hour(halves: tuple[Trace, Trace]) -> None:
    unseen = Unseen(halves[1], 100.0)
    assert unseen.share_by_client(18) == unseen._samples[0].share_waiting(pool_of(18), 0.0) > 0.1


# ---- samples ----


def test_a_recording_is_as_sure_as_another_one_of_its_length_is_like_it(few: None) -> None:
    """The interval from one recording holds the share in the next, for nearly all pairs of recordings."""
    config = pool_of(6)
    held = 0
    for seed in range(40):
        process = Workload(Renewal(8.0, 1.2), Service(Exponential(0.5)))
        offsets = [job.at for job in process.jobs(seed, 120)]
        traffic = Traffic(attrs.evolve(process, arrivals=Recorded(offsets)))
        shares = [sample.share_waiting(config, 0.0) for sample in traffic.samples()[:10]]
        following = Traffic(process).sample(5000 + seed, 120)
        held += traffic.interval(shares).holds(following.share_waiting(config, 0.0))
    assert held >= 34


def test_the_interval_of_a_recording_is_no_narrower_for_more_samples_of_it() -> None:
    """Two recordings differ by √2 times what one scatters by; of a process more samples tell more."""
    recording = Traffic(Workload(Recorded([1, 2, 3]), Service(Constant(1.0))))
    process = Traffic(Workload(Poisson(1.0), Service(Constant(1.0))))
    shares = [0.4, 0.6] * 5000
    assert recording.interval(shares).high == pytest.approx(0.5 + 1.96 * 0.1 * math.sqrt(2), rel=1e-3)
    assert process.interval(shares).high == pytest.approx(0.5 + 1.96 * 0.1 / math.sqrt(10_000), rel=1e-3)
    wide = recording.interval([0.0, 0.4, 1.0])
    assert (wide.low, wide.high) == (0, 1)


def test_windows_of_a_recording_are_drawn_whole() -> None:
    traffic = Traffic(Workload(Recorded([*range(3000)]), Service(Uniform(0.1, 0.2))))
    assert traffic.window == pytest.approx(2999 / 30)
    for sample in traffic.samples():
        assert sample.since == 0
        assert sample.starts.tolist() == sorted(sample.starts)
        gaps = [after - before for before, after in itertools.pairwise(sample.starts)]
        assert sum(gap == pytest.approx(1) for gap in gaps) >= len(gaps) - 29
    first, second = traffic.samples()[:2]
    assert first == traffic.samples()[0] != second


def test_samples_of_a_process_are_long_and_leave_out_their_beginning(few: None) -> None:
    traffic = Traffic(Workload(Poisson(5.0), Service(Exponential(1.0))), overhead=0.25)
    sample, other = traffic.samples()[:2]
    assert sample != other
    assert len(sample.starts) - sample.since == pytest.approx(samples.REQUESTS, rel=0.1)
    assert sample.starts[sample.since] == pytest.approx(traffic.seconds * samples.WARM_UP, rel=0.05)
    assert fmean(sample.holds) == pytest.approx(traffic.hold, rel=0.1)
    assert min(sample.holds) >= 0.25


@pytest.mark.parametrize("factor", [1, 3])
def test_samples_of_days_are_whole_days(factor: int, few: None) -> None:
    day: Arrivals = Diurnal(10.0, 0.5, 1000.0)
    traffic = Traffic(Workload(day if factor == 1 else Slowed(day, factor), Service(Constant(1.0))))
    assert traffic.seconds * (1 - samples.WARM_UP) == pytest.approx(1000 * factor)


PROCESSES: list[tuple[Arrivals, float]] = [
    (Poisson(5.0), 4000),
    (OnOff(20.0, 1.0, 2.0, 6.0), 4000),
    (Renewal(5.0, 0), 4000),
    (Poisson(5.0), 0),
]


def test_bursts_scatter_more_than_a_poisson_process_and_a_clock_less() -> None:
    poisson, bursts, clock, nothing = (
        Traffic(Workload(arrivals, Service(Constant(1.0)))).sample(1, seconds) for arrivals, seconds in PROCESSES
    )
    assert poisson.dispersion(4.0) == pytest.approx(1, abs=0.15)
    assert bursts.dispersion(4.0) > 10
    assert clock.dispersion(4.0) == pytest.approx(0, abs=0.01)
    assert nothing.dispersion(4.0) == 1
    assert nothing.share_waiting(pool_of(1), 0.0) == 0


# ---- the whole client ----


def test_a_trial_knows_what_a_round_trip_does() -> None:
    """A connection that is on its way is a wait for nobody but the line; a request on its way holds its connection."""
    service = Workload(Poisson(20.0), Service(Exponential(0.2)))
    provider = VirtualProvider(round_trip=0.05, tls_round_trips=1, outages=(Outage(0.0, 1e6),), requests_per_minute=1)
    config = pool_of(7)
    known, ignored = (tried(config, Traffic(service, overhead), provider, 0.0, 2) for overhead in (0.05, 0.0))
    assert abs(known.more.estimate) < 0.03 < ignored.more.estimate
    assert set(known.outcomes) == {"answered"}  # neither the outage nor the limit is tried


def test_a_dial_is_no_wait_in_a_trial() -> None:
    """With connections that are closed between requests nearly each has to wait for one, and none in line."""
    traffic = Traffic(Workload(Poisson(2.0), Service(Constant(0.1))))
    config = attrs.evolve(pool_of(20), keepalive_timeout=0.01)
    assert tried(config, traffic, VirtualProvider(resolve_seconds=0.3), 0.0, 2).more.high == 0


@pytest.mark.parametrize(("rate", "service"), [(0.1, 500.0), (10.0, 100.0)])
def test_a_trial_waits_for_the_longest_answers(rate: float, service: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "REQUESTS", 200)
    traffic = Traffic(Workload(Poisson(rate), Service(Exponential(service))))
    config = attrs.evolve(pool_of(round(2 * rate * service)), first_byte_timeout=math.inf)
    found = tried(config, traffic, None, 5.0, 2)
    assert set(found.outcomes) == {"answered"}
    assert found.more.high == 0


def test_a_trial_waits_for_the_whole_line_of_those_who_never_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "REQUESTS", 200)
    traffic = Traffic(Workload(Poisson(1.0), Service(Constant(20.0))))
    config = attrs.evolve(pool_of(1), acquire_timeout=None, total_timeout=None)
    assert set(tried(config, traffic, None, 0.0, 1).outcomes) == {"answered"}


def test_what_a_trial_finds_is_added_to_what_is_known() -> None:
    trial = Trial(0.03, 0.02, Interval(0.01, -0.02, 0.04), Counter())
    corrected = trial.corrected(Interval(0.01, 0.005, 0.015))
    assert attrs.astuple(corrected) == pytest.approx((0.02, 0.0, 0.055))
    assert trial.corrected(Interval(1.0, 1.0, 1.0)).high == 1.0


# ---- clamps and warnings ----

LOTS = random.Random(1)
MOMENTS = sorted(240 * LOTS.random() for _ in range(2399))
TEN = Workload(Recorded([*MOMENTS, 240.0]), Service(Exponential(1.0)))  # a second, which need ten connections
QUIET = PoolConfig(max_waiting=20)  # about which there is nothing to say


def advice_for(**changes: Any) -> Advice:
    return advise(**{"workload": TEN, "target": 0.2, "config": QUIET, "max_files": 1024, "check": 0, **changes})


TOO_FEW = [  # and the upper end, of as many requests as the samples know of
    (Workload(Poisson(10.0), Service(Exponential(1.0))), 1e-6, 3 / (20 * samples.REQUESTS)),
    (Workload(Renewal(10.0, 1.0), Service(Exponential(1.0))), 6e-6, 4 / (20 * samples.REQUESTS)),  # one waited
    (TEN, 0.001, 3 / (len(MOMENTS) + 1)),
]


@pytest.mark.parametrize(("workload", "target", "high"), TOO_FEW, ids=["of a process", "by one", "of a recording"])
def test_a_target_that_the_samples_are_too_few_for_is_not_met(workload: Workload, target: float, high: float) -> None:
    """That none of so many requests waited too long says no more than that fewer than 3 in as many do."""
    advice = advice_for(workload=workload, target=target, config=PoolConfig())
    assert advice.size == advice.needed
    assert advice.simulated.high == pytest.approx(high, rel=0.01)
    assert len(advice.reasons) == 1
    assert advice.reasons[0].startswith(f"The samples are too few to tell whether {100 * target:g}% is met")


def test_where_nothing_is_amiss_there_is_no_warning() -> None:
    advice = advice_for()
    assert advice.warnings == advice.reasons == ()
    assert advice.is_met
    assert advice_for(config=attrs.evolve(QUIET, keepalive_timeout=None, acquire_timeout=None)).warnings == ()
    assert advice.config == attrs.evolve(QUIET, max_connections=advice.size, max_connections_per_host=advice.size)


WARNINGS: dict[str, dict[str, Any]] = {
    "needs {needed} connections, and the provider serves 12 at once": {"provider": VirtualProvider(concurrency=12)},
    "and the files that this process may open allow 11 at once": {"max_files": 75},
    r"Raise the limit of open files \(`ulimit -n`\) by at least": {"max_files": 75},
    "The load is 10 connections, and there are 8: the line only grows, until at least 20.0% of requests": {
        "provider": VirtualProvider(concurrency=8)
    },
    r"acquire_timeout \(10 s\) is not less than total_timeout \(10 s\)": {
        "config": attrs.evolve(QUIET, total_timeout=10.0),
        "workload": attrs.evolve(TEN, service=Service(Uniform(0.5, 1.5))),
    },
    "keepalive_timeout was 30 s, and the server closes idle connections before that .* It is now 2.5 s": {
        "provider": VirtualProvider(keepalive_timeout=5.0)
    },
    "max_waiting was 1000, but {size} connections serve only {line} waiting requests within acquire_timeout": {
        "config": PoolConfig()
    },
    "limits per minute let 1 request per second through, of 10": {"provider": VirtualProvider(requests_per_minute=60)},
    "limits per minute let 5 requests per second through, of 10": {
        "provider": VirtualProvider(requests_per_minute=300)
    },
    "limits per minute let 2 requests per second through, of 10": {
        "provider": VirtualProvider(tokens_per_minute=6000),
        "workload": attrs.evolve(TEN, service=Service(Exponential(0.1), Constant(20), input_tokens=Constant(30))),
    },
    "The recording is short for requests of 1 s": {"workload": attrs.evolve(TEN, arrivals=Recorded(MOMENTS[:100]))},
    "first_byte_timeout was 2 s, and 13.*% of answers take longer to begin: .* now 12 s, for the longest of 100000": {
        "config": attrs.evolve(QUIET, read_timeout=2.0)
    },
    "total_timeout was 5 s, and 0.[67].*% of answers take longer with all that comes before: .* It is now 12 s": {
        "config": attrs.evolve(QUIET, total_timeout=5.0, acquire_timeout=1.0)
    },
    "read_timeout was 0.5 s, and 100% of answers take longer between two pieces: .* It is now 0.6 s": {
        "config": attrs.evolve(QUIET, read_timeout=0.5, first_byte_timeout=30.0),
        "workload": attrs.evolve(TEN, service=Service(Constant(0.1), Constant(2), Constant(0.6))),
    },
    "In simulation .*% of requests ended with ConnectTimeout, which is not for want of a connection": {
        "provider": VirtualProvider(resolve_seconds=6.0),
        "check": 1,
    },
}


@pytest.mark.parametrize("sentence", WARNINGS)
def test_what_is_amiss_is_said(sentence: str) -> None:
    advice = advice_for(**WARNINGS[sentence])
    numbers = {"needed": advice.needed, "size": advice.size, "line": advice.size * 10}
    for name, number in numbers.items():
        sentence = sentence.replace(f"{{{name}}}", str(number))
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(" ".join(advice.reasons + advice.warnings))


def test_answers_that_take_longer_than_the_timeouts_allow_come_with_those_that_are_advised(few: None) -> None:
    """As they would not with the timeouts as they were: then a fifth of them fails, and that is no met target."""
    advice = advise(1, 20.0, check=2)
    assert advice.config == attrs.evolve(
        PoolConfig(),
        max_connections=advice.size,
        max_connections_per_host=advice.size,
        max_waiting=advice.config.max_waiting,
        first_byte_timeout=advice.config.first_byte_timeout,
    )
    assert advice.trial is not None
    assert (advice.trial.failing, advice.trial.more.high) == (0, 0)
    assert (advice.is_met, advice.checked) == (True, advice.simulated)
    as_it_was = attrs.evolve(advice.config, first_byte_timeout=None)
    failing = tried(as_it_was, Traffic(Workload(Poisson(1), Service(Exponential(20.0)))), None, 0.0, 2)
    assert failing.failed == {"ReadTimeout": pytest.approx(0.22 * failing.requests, rel=0.1)}
    assert failing.more.estimate == pytest.approx(failing.failing, abs=0.01)


SAME = Interval(0.0, 0.0, 0.0)
ALL_WELL = Counter(answered=5000)
TRIALS: dict[str, Trial] = {
    "": Trial(0.01, 0.01, SAME, ALL_WELL),
    "5.00% of requests ended with 503, .* 8.00% of requests ended with ReadTimeout": Trial(
        0.13, 0.0, SAME, Counter({"answered": 4350, "ReadTimeout": 400, "503": 250})
    ),
    "0.12% of requests ended with ReadError": Trial(
        0.01, 0.01, SAME, ALL_WELL - Counter(answered=6) + Counter(ReadError=6)
    ),
    "the whole client does not: with the same 5000 requests 25.00% wait too long or fail, and 5.00% in the line": Trial(
        0.25, 0.05, Interval(0.2, 0.1, 0.3), ALL_WELL
    ),
    "not certain: with the whole client up to .*% of requests may wait too long or fail, not 20.00%.*more seeds": Trial(
        0.05, 0.05, Interval(0.0, -0.2, 0.2), ALL_WELL
    ),
}


@pytest.mark.parametrize("sentence", TRIALS)
def test_a_target_is_met_if_and_only_if_there_is_no_reason_against_it(
    sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trio_pool.simulate.advisor.advise.tried", lambda *_: TRIALS[sentence])
    advice = advice_for(check=5)
    assert advice.is_met == (not advice.reasons) == (not sentence)
    assert re.search(sentence, " ".join(advice.reasons))


def test_a_failure_in_many_thousands_is_told_and_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    once = Trial(0.01, 0.01, SAME, Counter(answered=9999, ReadTimeout=1))
    monkeypatch.setattr("trio_pool.simulate.advisor.advise.tried", lambda *_: once)
    advice = advice_for(check=5)
    assert advice.is_met
    assert advice.warnings == (
        "In simulation 0.01% of requests ended with ReadTimeout, which is not for want of a connection.",
    )


def test_a_target_is_not_met_for_traffic_that_the_limits_per_minute_keep_out() -> None:
    advice = advice_for(provider=VirtualProvider(requests_per_minute=300))
    assert advice.simulated.high <= advice.target  # of those that are let through
    assert not advice.is_met


def test_bursts_that_spend_a_limit_per_minute_are_a_reason(few: None) -> None:
    limit = VirtualProvider(requests_per_minute=600)
    calm, bursts = Poisson(9.9), OnOff(40.0, 1.0, 30.0, 120.0)
    assert bursts.rate < calm.rate
    told = [
        advise(workload=Workload(arrivals, Service(Constant(0.1))), provider=limit, check=0).reasons
        for arrivals in (calm, bursts)
    ]
    assert told[0] == ()
    assert re.search(
        r"limits per minute are enough on average, but \d.*% of requests come in bursts", " ".join(told[1])
    )


def test_a_limit_per_minute_by_hand() -> None:
    """Sixty at once are within one a second. Then each second lets one through."""
    sample = Sample.of([*((0.0, 1.0) for _ in range(60)), (0.5, 1.0), (1.0, 1.0), (1.5, 1.0), (2.5, 1.0)])
    assert sample.share_over(1.0) == 2 / 64
    assert attrs.evolve(sample, since=61).share_over(1.0) == 1 / 3


def test_the_provider_and_the_files_clamp_the_size_and_the_share_is_told() -> None:
    free, clamped = advice_for(), advice_for(provider=VirtualProvider(concurrency=11))
    assert free.needed == clamped.needed == free.size > clamped.size == 11
    assert not clamped.is_met
    assert clamped.simulated.estimate > 0.2
    assert advice_for(max_files=70).size == 6
    assert advice_for(max_files=3).size == 1
    assert advice_for(provider=VirtualProvider(concurrency=500)).size == free.size


def test_what_follows_from_figures_is_changed_in_the_configuration_and_nothing_else() -> None:
    given = PoolConfig(read_timeout=17.0, acquire_timeout=3.0)
    advice = advice_for(config=given, provider=VirtualProvider(keepalive_timeout=8.0))
    assert advice.config == attrs.evolve(
        given,
        max_connections=advice.size,
        max_connections_per_host=advice.size,
        max_waiting=advice.size * 3,
        keepalive_timeout=4.0,
    )
    quick = advice_for(
        config=attrs.evolve(QUIET, keepalive_timeout=5.0), provider=VirtualProvider(keepalive_timeout=8.0)
    )
    assert (quick.config.keepalive_timeout, quick.warnings) == (5.0, ())
    announced = VirtualProvider(keepalive_timeout=8.0, announces_keepalive=True)
    assert advice_for(provider=announced).config.keepalive_timeout == 30.0
    patient = advice_for(config=PoolConfig(acquire_timeout=None))
    assert patient.config.max_waiting == 1000
    short = advice_for(config=given, workload=attrs.evolve(TEN, service=Service(Exponential(0.5))))
    assert short.config.max_waiting == short.size * 6


def test_cancellations_are_left_out() -> None:
    hasty = attrs.evolve(TEN, cancelled=1.0, patience=Constant(0.1))
    assert advice_for(workload=hasty, check=1) == advice_for(check=1)


def test_what_a_provider_does_not_let_through_needs_no_connection(few: None) -> None:
    provider = VirtualProvider(requests_per_minute=600, tokens_per_minute=1e6)
    tokens = Workload(Poisson(20), Service(Exponential(1.0), input_tokens=Constant(1000)))
    half = advise(workload=tokens, provider=provider, check=0)
    assert half.size == advise(10, 1.0, check=0).size
    assert half.load == pytest.approx(10)
    assert advise(10, 1.0, provider=VirtualProvider(requests_per_minute=600), check=0).reasons == ()


def test_a_round_trip_holds_a_connection(few: None) -> None:
    assert advise(10, 0.5, provider=VirtualProvider(round_trip=0.5), check=0).load == pytest.approx(10)


def test_the_system_says_how_many_files_may_be_open() -> None:
    assert open_files() >= 64


# ---- nonsense ----

NONSENSE: dict[str, dict[str, Any]] = {
    "traffic needs a rate and a service time, or a workload": {"workload": None},
    "traffic is a workload, or a rate and a service time and their burstiness, not both": {"rate": 5},
    "traffic is a workload, or a rate and a service time": {"burstiness": 2.0},
    "rate must be a positive number, not 0": {"workload": None, "rate": 0, "service": 1.0},
    "service must be a positive number, not -1": {"workload": None, "rate": 5, "service": -1},
    "Renewal.cv must be 0, or a number from 0.001": {"workload": None, "rate": 5, "service": 1, "burstiness": -1},
    "target must be a probability between 0 and 1, not 1": {"target": 1},
    r"wait must be from 0 to acquire_timeout \(10\), not 11": {"wait": 11},
    "wait must be from 0": {"wait": -1},
    "check must be a whole number of at least 0, not -1": {"check": -1},
    r"never need more connections than they are \(7\)": {
        "workload": Workload(ClosedLoop(7, Constant(1)), Service(Constant(1)))
    },
    "it has no length, and so no rate": {"workload": workload.trace(Trace([Row(0, 1, 1)]))},
    "the mean seconds of a request must be a positive number, not 0": {
        "workload": Workload(Poisson(1), Service(Constant(0)))
    },
    "a sample of this traffic would be 9.6e.08 requests in 9.6e.04 s, and 500000 are the most": {
        "workload": Workload(Diurnal(10_000, 0.5), Service(Constant(1)))
    },
}


@pytest.mark.parametrize("sentence", NONSENSE)
def test_nonsense_is_refused(sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        advice_for(**NONSENSE[sentence])
