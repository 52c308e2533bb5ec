"""Workloads: requests that depend on the seed alone, each part on its own chance; the presets against their sources."""

from __future__ import annotations

import itertools
import math
import pickle
import random
from collections.abc import Callable
from statistics import fmean, pvariance
from typing import Any

import attrs
import pytest

from trio_pool import UsageError, simulate
from trio_pool.simulate.estimates import batch_means, quantile
from trio_pool.simulate.traffic import workload
from trio_pool.simulate.traffic.arrivals import ClosedLoop, Poisson, Recorded
from trio_pool.simulate.traffic.distributions import Constant, Exponential, Gamma, LogNormal, Pareto, Uniform
from trio_pool.simulate.traffic.traces import Row, Trace
from trio_pool.simulate.traffic.workload import Job, Replayed, Service, Workload

from .azure import conversations

__all__ = ["conversations"]

FAR = 0.999999
PARTS = Service(Exponential(1.0), Uniform(0, 100), Exponential(0.01), Uniform(0, 3000))
PLAIN = Workload(Poisson(10), PARTS, cancelled=0.3, patience=Exponential(5.0))


def first(given: Workload, count: int = 300, seed: int = 7) -> list[Job]:
    return list(itertools.islice(given.jobs(seed), count))


def column(jobs: list[Job], name: str) -> list[Any]:
    return [getattr(job, name) for job in jobs]


# ---- one seed, one future ----


def test_the_same_seed_gives_the_same_requests() -> None:
    assert first(PLAIN) == first(pickle.loads(pickle.dumps(PLAIN)))
    assert first(PLAIN) != first(PLAIN, seed=8)


def test_requests_can_be_asked_for_up_to_a_moment() -> None:
    jobs = list(PLAIN.jobs(7, seconds=20))
    assert jobs == first(PLAIN, len(jobs))
    assert jobs[-1].at < 20 <= first(PLAIN, len(jobs) + 1)[-1].at


FIELDS = [field.name for field in attrs.fields(Job)]
CHANGES: dict[str, tuple[Workload, set[str]]] = {
    "arrivals": (attrs.evolve(PLAIN, arrivals=Poisson(20)), {"at"}),
    "cancelled": (attrs.evolve(PLAIN, cancelled=0.5), {"patience"}),
    "patience": (attrs.evolve(PLAIN, patience=Uniform(1, 2)), {"patience"}),
    **{
        name: (attrs.evolve(PLAIN, service=attrs.evolve(PARTS, **{name: Gamma(9.0, 0.7)})), {name})
        for name in ("first_byte", "tokens", "seconds_per_token", "input_tokens")
    },
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_one_part_leaves_the_others_as_they_were(change: str) -> None:
    changed, parts = CHANGES[change]
    before, after = first(PLAIN), first(changed)
    assert {name for name in FIELDS if column(before, name) != column(after, name)} == parts


def test_who_cancels_at_a_small_share_cancels_at_a_larger_one() -> None:
    few, many = first(PLAIN), first(attrs.evolve(PLAIN, cancelled=0.6))
    for job, same in zip(few, many, strict=True):
        assert job.patience in (same.patience, math.inf)


def test_the_share_that_cancels_is_what_was_asked_for() -> None:
    jobs = first(PLAIN, 10_000)
    assert batch_means([float(job.patience < math.inf) for job in jobs], 100, FAR).holds(0.3)
    patient = attrs.evolve(PLAIN, cancelled=0.0)
    assert set(column(first(patient), "patience")) == {math.inf}
    assert set(column(first(attrs.evolve(patient, patience=None)), "patience")) == {math.inf}
    assert max(column(first(attrs.evolve(PLAIN, cancelled=1.0)), "patience")) < math.inf


def test_who_has_a_patience_needs_no_share() -> None:
    every = Workload(Poisson(10), PARTS, patience=Uniform(1, 2))
    assert max(column(first(every), "patience")) <= 2


def standardised(values: list[float]) -> list[float]:
    mean, deviation = fmean(values), math.sqrt(pvariance(values))
    return [(value - mean) / deviation for value in values]


def test_the_parts_of_a_request_are_independent() -> None:
    jobs = first(PLAIN, 5000)
    parts = [standardised(column(jobs, name)) for name in ("first_byte", "tokens", "seconds_per_token", "input_tokens")]
    for one, other in itertools.combinations(parts, 2):
        assert batch_means([a * b for a, b in zip(one, other, strict=True)], 100, FAR).holds(0)


# ---- a server's time ----


SERVICES = [
    Service(Exponential(2.0)),
    Service(Constant(0), Uniform(0, 100), Exponential(0.01)),
    Service(Exponential(0.5), Uniform(0, 100), Constant(0.01)),
    Service(LogNormal(0.25, 0.63), Gamma(200.0, 1.2), Gamma(0.012, 0.5)),
]


@pytest.mark.parametrize("service", SERVICES, ids=repr)
def test_the_seconds_of_service_have_their_mean_and_variance(service: Service) -> None:
    seconds = column(first(Workload(Poisson(1), service), 20_000), "service")
    assert batch_means(seconds, 100, FAR).holds(service.mean)
    assert batch_means([(value / service.mean - 1) ** 2 for value in seconds], 100, FAR).holds(service.squared_cv)


def test_the_tokens_of_a_request_are_those_of_question_and_answer() -> None:
    jobs = first(PLAIN, 5000)
    assert batch_means([job.tokens + job.input_tokens for job in jobs], 100, FAR).holds(PARTS.mean_tokens)


def test_a_service_without_variance_says_so() -> None:
    assert Service(Constant(0)).squared_cv == 0
    assert Service(Constant(0), Constant(0), Pareto(1, 1.5)).squared_cv == 0
    assert Service(Pareto(1, 1.5)).squared_cv == math.inf
    assert Service(Constant(1), Constant(3), Pareto(1, 1.5)).squared_cv == math.inf


def test_tokens_are_whole_and_a_job_knows_its_service() -> None:
    assert all(isinstance(job.tokens, int) and isinstance(job.input_tokens, int) for job in first(PLAIN))
    assert Job(0.0, 0.5, 10, 0.01, 7, math.inf).service == pytest.approx(0.6)


# ---- users ----


def test_the_users_of_a_closed_loop_have_futures_of_their_own() -> None:
    users = attrs.evolve(PLAIN, arrivals=ClosedLoop(3, Exponential(1.0)))
    with pytest.raises(UsageError, match="cannot be known beforehand"):
        users.jobs(1)
    alone, among = users.draw(1, "user 1"), users.draw(1, "user 1")
    other = users.draw(1, "user 2")
    others = [other(float(at)) for at in range(5)]
    assert [alone(float(at)) for at in range(5)] == [among(float(at)) for at in range(5)]
    assert column(others, "first_byte") != [alone(0.0).first_byte for _ in range(5)]
    assert column(others, "at") == [0, 1, 2, 3, 4]


NONSENSE: dict[str, Callable[[], object]] = {
    "Workload.cancelled must be a share from 0 to 1, not 2": lambda: attrs.evolve(PLAIN, cancelled=2),
    "a Workload of which a share is cancelled needs a patience": lambda: attrs.evolve(PLAIN, patience=None),
    "Workload.arrivals must be arrivals in open loop, which has a method 'times', not 5.0": lambda: attrs.evolve(
        PLAIN,
        arrivals=5.0,  # type: ignore[arg-type]  # nonsense
    ),
    "Workload.service must be a Service, which has a method 'drawn', not 3": lambda: attrs.evolve(
        PLAIN,
        service=3,  # type: ignore[arg-type]  # nonsense
    ),
    "Workload.patience must be a distribution, which has a method 'sample', not 3": lambda: attrs.evolve(
        PLAIN,
        patience=3,  # type: ignore[arg-type]  # nonsense
    ),
    "Service.first_byte must be a distribution, which has a method 'sample', not 0.5": lambda: Service(0.5),  # type: ignore[arg-type]  # nonsense
    "Service.tokens must be a distribution, which has a method 'sample', not <class": lambda: Service(
        Constant(1),
        Constant,  # type: ignore[arg-type]  # nonsense
    ),
    "Replayed.trace must be a Trace, not 'a.csv'": lambda: Replayed("a.csv", Constant(1), Constant(1)),  # type: ignore[arg-type]  # nonsense
    "Trace.rows must be a tuple of Row, not .*1, 2, 3": lambda: Trace([(1, 2, 3)]),
    "rate must be a positive number, not 'x'": lambda: workload.agent("x"),  # type: ignore[arg-type]  # nonsense
    "Poisson.rate must be a positive number, not -1": lambda: workload.chat(-1),
}


@pytest.mark.parametrize("sentence", NONSENSE)
def test_nonsense_is_refused(sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        NONSENSE[sentence]()


class Wrong(Constant):
    """A distribution of the user's own, with a mistake."""

    def sample(self, chance: random.Random) -> float:
        return chance.choice([1.0, self.value])


@pytest.mark.parametrize("value", [-0.5, math.nan, math.inf, "x"])
def test_a_draw_that_is_no_time_is_refused_in_words(value: Any) -> None:
    wrong = Wrong(1)
    object.__setattr__(wrong, "value", value)  # which a Constant refuses
    for part in ("first_byte", "tokens", "seconds_per_token", "input_tokens"):
        with pytest.raises(UsageError, match=rf"what Wrong\(.*\) draws must be a number of at least 0, not '?{value}"):
            first(attrs.evolve(PLAIN, service=attrs.evolve(PARTS, **{part: wrong})))
    with pytest.raises(UsageError, match="draws must be"):
        first(attrs.evolve(PLAIN, patience=wrong))
    with pytest.raises(UsageError, match="draws must be"):
        list(itertools.islice(ClosedLoop(1, wrong).pauses(random.Random(1)), 100))


# ---- traces ----


def test_a_trace_gives_its_own_tokens_at_its_own_times() -> None:
    trace = Trace([Row(0, 5, 10), Row(2, 6, 20), Row(2, 7, 30)])
    given = workload.trace(trace, first_byte=Constant(0.5), seconds_per_token=Constant(0.1))
    assert first(given) == [
        Job(0, 0.5, 10, 0.1, 5, math.inf),
        Job(2, 0.5, 20, 0.1, 6, math.inf),
        Job(2, 0.5, 30, 0.1, 7, math.inf),
    ]
    assert given.service.mean == pytest.approx(2.5)
    assert given.service.mean_tokens == pytest.approx(20 + 6)
    assert given.service.squared_cv == pytest.approx(2 / 3 / 2.5**2)


def test_tokens_of_a_trace_begin_anew_where_more_is_asked() -> None:
    replayed = Replayed(Trace([Row(0, 5, 10), Row(2, 6, 20)]), Constant(0.5), Constant(0.1))
    assert column(first(Workload(Poisson(1), replayed), 5), "tokens") == [10, 20, 10, 20, 10]


def test_the_users_of_a_trace_do_not_march_in_step() -> None:
    rows = [Row(float(at), 5, at) for at in range(1000)]
    loop = Workload(ClosedLoop(8, Constant(1.0)), Replayed(Trace(rows), Constant(0.5), Constant(0.1)))
    draws = [loop.draw(1, f"user {number}") for number in range(8)]
    begun = [(draw(0.0).tokens, draw(1.0).tokens) for draw in draws]
    assert len(set(begun)) == 8
    assert all((after - before) % 1000 == 1 for before, after in begun)


def test_the_hour_of_conversations_as_a_workload(conversations: Trace) -> None:
    given = workload.trace(conversations)
    jobs = first(given, 20_000)
    assert len(jobs) == 19_366
    assert column(jobs, "tokens") == [row.output_tokens for row in conversations.rows]
    assert column(jobs, "at") == [row.at for row in conversations.rows]
    assert isinstance(given.arrivals, Recorded)
    assert given.arrivals.rate == pytest.approx(5.53, abs=0.005)
    assert fmean(column(jobs, "service")) == pytest.approx(given.service.mean, rel=0.01)


# ---- presets ----


def test_presets_are_where_everything_else_is() -> None:
    assert (simulate.chat, simulate.agent, simulate.trace) == (workload.chat, workload.agent, workload.trace)
    assert {"chat", "agent", "trace"} <= set(simulate.__all__)


def test_chat_has_the_quantiles_of_the_conversations(conversations: Trace) -> None:
    jobs = first(workload.chat(5.53), 20_000)
    for name, ours in (("output_tokens", column(jobs, "tokens")), ("input_tokens", column(jobs, "input_tokens"))):
        theirs = sorted(getattr(row, name) for row in conversations.rows)
        assert fmean(ours) == pytest.approx(fmean(theirs), rel=0.05)
        for share in (0.25, 0.5, 0.75, 0.9, 0.99):
            assert quantile(sorted(ours), share) == pytest.approx(quantile(theirs, share), rel=0.06)


def test_chat_answers_as_soon_as_was_published() -> None:
    waits = sorted(column(first(workload.chat(5.0), 20_000), "first_byte"))
    assert quantile(waits, 0.5) == pytest.approx(0.25, rel=0.03)
    assert quantile(waits, 0.95) == pytest.approx(0.70, rel=0.04)


def test_agents_come_and_answer_as_was_measured() -> None:
    jobs = first(workload.agent(2.57), 60_000)
    waits, tokens = sorted(column(jobs, "first_byte")), sorted(column(jobs, "tokens"))
    assert quantile(waits, 0.5) == pytest.approx(4.3, rel=0.03)
    assert quantile(waits, 0.99) == pytest.approx(85, rel=0.08)
    assert quantile(tokens, 0.5) == pytest.approx(13, abs=0.5)
    assert quantile(tokens, 0.99) == pytest.approx(252, rel=0.08)


def test_agents_come_in_the_bursts_of_the_code_trace() -> None:
    """Gaps with a variation of 13, counts per second with an index of dispersion of 13, 2.57 requests per second."""
    times = column(first(workload.agent(2.57), 120_000), "at")
    assert len(times) / times[-1] == pytest.approx(2.57, rel=0.06)
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert math.sqrt(pvariance(gaps)) / fmean(gaps) == pytest.approx(13.15, rel=0.06)
    each = [0] * (int(times[-1]) + 1)
    for at in times:
        each[int(at)] += 1
    assert pvariance(each) / fmean(each) == pytest.approx(13.2, rel=0.06)
