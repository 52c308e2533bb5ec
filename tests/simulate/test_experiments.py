"""What experiments measure, against what can be worked out by hand."""

from __future__ import annotations

import gc
import json
import math
import pickle
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from random import Random
from typing import Any

import attrs
import pytest
import trio

import trio_pool.pool
from trio_pool import PoolConfig
from trio_pool._core.slots import Slots
from trio_pool.alarm import AlarmClock
from trio_pool.config import Limits
from trio_pool.errors import UsageError
from trio_pool.places import Place
from trio_pool.simulate import (
    Blackhole,
    ClosedLoop,
    Constant,
    Experiment,
    Exponential,
    InvariantBroken,
    Outage,
    Poisson,
    Progress,
    Recorded,
    Refuse,
    ResetAt,
    Result,
    Service,
    Slowed,
    Stall,
    Surplus,
    VirtualProvider,
    Workload,
)
from trio_pool.simulate.world.faults import Fault
from trio_pool.simulate.world.servers import Server
from trio_pool.urls import Origin

from .plans import CROWDED, QUIET, STORMY

ONE = PoolConfig(max_connections_per_host=1, retry_attempts=1)
TWO = PoolConfig(max_connections_per_host=2, retry_attempts=1)


def at(*offsets: float, seconds: float = 1.0, tokens: int = 0, **options: Any) -> Workload:
    """Requests at these times, each of so many seconds, and of 0.1 s for each token."""
    service = Service(Constant(seconds), Constant(tokens), Constant(0.1))
    return Workload(Recorded(offsets), service, **options)


def run(config: PoolConfig, workload: Workload, *providers: VirtualProvider, **options: Any) -> Result:
    return Experiment(config, workload, providers or (VirtualProvider(),), **options).run()


# ---- times ----


def test_times_count_from_the_intended_start() -> None:
    result = run(ONE, at(0.0, 0.0, 0.5))
    assert list(result.waits) == [0.0, 1.0, 1.5]
    assert list(result.first_bytes) == list(result.latencies) == [1.0, 2.0, 2.5]
    assert (result.requests, result.answered, result.handshakes) == (3, 3, 1)
    assert result.reuse == pytest.approx(2 / 3)
    assert result.ended == 3.0


def test_a_dial_is_a_part_of_the_wait() -> None:
    result = run(PoolConfig(), at(1.0), VirtualProvider(round_trip=0.2, tls_round_trips=1, resolve_seconds=0.05))
    assert list(result.waits) == pytest.approx([0.45])
    assert list(result.latencies) == pytest.approx([0.45 + 0.2 + 1.0])


@pytest.mark.parametrize("dialect", ["openai", None])
def test_a_stream_begins_before_it_ends(dialect: Any) -> None:
    result = run(PoolConfig(), at(0.0, tokens=10), VirtualProvider(dialect=dialect))
    assert list(result.first_bytes) == [1.0]
    assert list(result.latencies) == pytest.approx([2.0])


def test_requests_of_the_warm_up_do_not_count() -> None:
    result = run(ONE, at(0.0, 5.0, 5.5), seconds=10.0, warm_up=5.0)
    assert list(result.waits) == [0.0, 0.5]
    assert result.requests == 2


def test_handshakes_and_reuse_of_the_warm_up_do_not_count() -> None:
    warm = run(ONE, at(0.0, 5.0, 7.0), seconds=10.0, warm_up=5.0)
    assert (warm.handshakes, warm.reuse, warm.statistics.opened) == (0, 1.0, 1)
    cold = run(ONE, at(0.0, 5.0, 7.0), seconds=10.0)
    assert cold.handshakes == 1
    assert cold.reuse == pytest.approx(2 / 3)


def test_who_is_not_answered_has_a_latency_without_end() -> None:
    config = attrs.evolve(ONE, max_waiting=1, acquire_timeout=None)
    workload = at(0.0, 0.1, 0.2, 0.3, 0.4)
    result = run(config, workload)
    assert list(result.latencies_of_all) == [1.0, pytest.approx(1.9), math.inf, math.inf, math.inf]
    figures = result.figures()
    assert figures["latency of all p50"].estimate == math.inf
    assert figures["latency p99"].estimate == pytest.approx(1.9)
    assert json.loads(result.to_json())["figures"]["latency of all p99"]["value"] == "never"


def test_who_was_given_up_by_its_caller_is_left_out_of_all() -> None:
    result = run(ONE, at(0.0, 0.1, 5.0, cancelled=1.0, patience=Constant(1.5)))
    assert result.outcomes == {"answered": 2, "cancelled": 1}
    assert list(result.latencies_of_all) == [1.0, 1.0]


def test_refusing_makes_the_answered_faster_and_not_all() -> None:
    overload = Workload(Poisson(25.0), Service(Exponential(0.5)))
    few, many = (
        run(PoolConfig(max_connections_per_host=10, max_waiting=places), overload).figures() for places in (0, 50)
    )
    assert few["latency p99"].estimate < many["latency p99"].estimate
    assert few["latency of all p90"].estimate == math.inf


def test_nothing_begins_after_the_end() -> None:
    assert run(ONE, at(0.0, 9.0, 10.0, 11.0), seconds=10.0).requests == 2


def test_a_recording_is_run_to_its_end_unless_somebody_says_otherwise() -> None:
    recorded = Recorded((0.0, 59.0, 61.5, 600.0))
    long = Workload(recorded, Service(Constant(1.0)))
    assert run(ONE, long).requests == 4
    assert Experiment(ONE, long).length == 601.0
    assert run(ONE, long, seconds=60.0).requests == 2
    assert Experiment(ONE, attrs.evolve(long, arrivals=Slowed(recorded, 2.0))).length == 1202.0
    assert Experiment(ONE, QUIET.workload).length == 60.0


def test_the_dials_and_lines_of_attempts_that_failed_are_waits() -> None:
    dark = Blackhole(end=1.0)
    result = run(PoolConfig(), at(0.0), VirtualProvider(round_trip=0.1), faults=(dark,), seconds=10.0, method="GET")
    assert result.failed_attempts == {"ConnectTimeout": 1}
    assert list(result.waits) == pytest.approx([result.latencies[0] - 0.1 - 1.0])
    assert result.waits[0] > 5


def test_an_answer_that_breaks_off_is_an_attempt_that_failed() -> None:
    once = attrs.evolve(TWO, max_connections_per_host=2)
    for config in (once, attrs.evolve(once, retry_attempts=3)):
        result = run(config, at(0.0, 5.0, tokens=100), faults=(ResetAt(byte=500),))
        assert result.outcomes == {"StreamIncomplete": 2}
        assert result.failed_attempts == {"StreamIncomplete": 2}


def test_pauses_between_attempts_are_waits() -> None:
    config = PoolConfig(connection_timeout=0.5)
    away = VirtualProvider(outages=(Outage(0.0, 0.4, "503"),))
    result = run(config, at(0.0), away, seed=1)
    assert result.failed_attempts["503"] == result.tries - 1 == result.amplification - 1 >= 1
    assert result.waits[0] == pytest.approx(result.latencies[0] - 1.0)
    assert result.waits[0] >= 0.4


# ---- who asks ----


def test_users_ask_again_after_their_answer_and_a_pause() -> None:
    loop = Workload(ClosedLoop(3, Constant(1.0)), Service(Constant(0.5)))
    result = run(PoolConfig(), loop, seconds=10.0)
    assert result.requests == 3 * 6  # each at 1.0, 2.5, … 8.5
    assert set(result.latencies) == {0.5}


def test_users_who_are_refused_at_once_breathe() -> None:
    loop = Workload(ClosedLoop(3, Constant(0.0)), Service(Constant(1.0)))
    result = run(attrs.evolve(ONE, max_waiting=0), loop, seconds=0.1)
    assert result.outcomes == {"answered": 1, "PoolFull": 2 * 100}


def test_hosts_are_asked_in_turn() -> None:
    result = run(PoolConfig(), at(0.0, 1.0, 2.0, 3.0), VirtualProvider("a"), VirtualProvider("b"), spread=True)
    assert result.answered_by == {"a.test": 2, "b.test": 2}
    assert result.moments[-1].upstreams == ()


# ---- how requests end ----

CAUSES: list[tuple[str, str, Callable[[], Result]]] = [
    ("refused", "PoolFull", lambda: run(attrs.evolve(ONE, max_waiting=0), at(0.0, 0.5))),
    ("timeout", "PoolTimeout", lambda: run(attrs.evolve(ONE, acquire_timeout=0.2), at(0.0, 0.5))),
    ("timeout", "ReadTimeout", lambda: run(attrs.evolve(ONE, read_timeout=0.5), at(0.0))),
    ("status", "429", lambda: run(ONE, at(0.0, 5.0), VirtualProvider(requests_per_minute=1))),
    ("status", "529", lambda: run(TWO, at(0.0, 0.0), VirtualProvider(concurrency=1, overload_status=529))),
    ("error", "ConnectError", lambda: run(ONE, at(0.0), faults=(Refuse(),))),
    ("cancelled", "cancelled", lambda: run(ONE, at(0.0, cancelled=1.0, patience=Constant(0.3)))),
    ("unfinished", "unfinished", lambda: run(ONE, at(0.0, seconds=9.0), seconds=1.0, grace=2.0)),
]  # fmt: skip


@pytest.mark.parametrize(("cause", "outcome", "play"), CAUSES, ids=[outcome for _, outcome, _ in CAUSES])
def test_outcomes_are_told_by_cause(cause: Any, outcome: str, play: Callable[[], Result]) -> None:
    result = play()
    assert result.by_cause()[cause] == {outcome: 1}
    assert result.share(cause) == 1 / result.requests
    assert result.answered == result.requests - 1


def test_who_loses_patience_leaves_in_that_moment() -> None:
    result = run(ONE, at(0.0, 0.1, cancelled=1.0, patience=Constant(0.3)))
    assert result.outcomes == {"cancelled": 2}
    assert result.ended == pytest.approx(0.4)


# ---- upstreams ----


def test_several_providers_are_upstreams_that_stand_in_for_each_other() -> None:
    east = VirtualProvider("east", outages=(Outage(0.0, 100.0),))
    result = run(PoolConfig(), at(0.0, 1.0), east, VirtualProvider("west"), upstream_options={"west": {"priority": 1}})
    assert result.answered_by == {"west.test": 2}
    assert result.failed_attempts == {"ConnectError": 2}
    assert result.amplification == 2.0


def test_the_limit_of_an_adaptive_upstream_is_a_trajectory() -> None:
    provider = VirtualProvider("east", concurrency=5, retry_after=None)
    workload = Workload(Poisson(60.0), Service(Constant(0.5)))
    result = run(PoolConfig(), workload, provider, seconds=20.0, upstream_options={"east": {"adaptive": True}})
    limits = [moment.upstreams[0].limit for moment in result.moments]
    assert limits[0] == 20
    assert min(limits) < 10
    assert all(moment.upstreams[0].in_flight <= 20 for moment in result.moments)


def test_a_late_answer_gets_a_rival() -> None:
    workload = Workload(Poisson(20.0), Service(Constant(0.1)))
    both = VirtualProvider("steady"), VirtualProvider("late")
    stalls = (Stall(probability=0.05, seconds=5.0, provider="late"),)
    late = run(PoolConfig(), workload, *both, faults=stalls, seconds=20.0, method="GET")
    hedged = attrs.evolve(late.experiment, hedging=True).run()
    assert late.outcomes == hedged.outcomes
    assert sum(hedged.latencies) < 0.8 * sum(late.latencies)


# ---- the pool over time ----


def test_the_pool_is_looked_at_at_a_fixed_interval() -> None:
    result = run(ONE, at(0.0, 1.25, 1.3, seconds=0.8), seconds=4.0, sample_every=0.5)
    assert [moment.at for moment in result.moments] == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 2.85])
    assert [moment.leased for moment in result.moments] == [0, 1, 0, 1, 1, 1, 0]
    assert [moment.waiting for moment in result.moments] == [0, 0, 0, 1, 1, 0, 0]
    assert [moment.under_way for moment in result.moments] == [0, 1, 0, 2, 2, 1, 0]
    assert (result.moments[-1].begun, result.moments[-1].answered) == (3, 3)


def test_a_long_grace_does_not_have_a_moment_for_each_of_its_seconds() -> None:
    patient = attrs.evolve(ONE, read_timeout=None)
    result = run(patient, at(0.0, seconds=550.0), seconds=1.0, grace=600.0)
    assert result.answered == 1
    at_ = [moment.at for moment in result.moments]
    assert at_[:201] == pytest.approx([number / 200 for number in range(201)])
    assert len(at_) < 225
    assert at_[-1] == result.ended


def test_who_is_held_in_a_pause_or_before_an_upstream_is_counted_beside_the_pools_line() -> None:
    overload = VirtualProvider(concurrency=1, retry_after=2)
    paused = run(PoolConfig(), at(0.0, 0.1, 0.5, 0.6), overload, seconds=1.5, sample_every=0.25)
    assert [(moment.waiting, moment.held) for moment in paused.moments[:6]] == [(0, 0)] * 3 + [(0, 2)] * 3
    limited = {"provider": {"max_concurrency": 1}}
    lined_up = run(PoolConfig(), at(0.0, 0.0, 0.0), seconds=4, sample_every=0.75, upstream_options=limited)
    assert [(moment.waiting, moment.held) for moment in lined_up.moments[1:5]] == [(0, 2), (0, 1), (0, 0), (0, 0)]
    assert [moment[1:7] for moment in run(ONE, at(0.0, 0.0), sample_every=0.75).moments[1:2]] == [(1, 0, 0, 1, 0, 2)]


def test_littles_law_holds_in_a_steady_state_and_not_in_a_line_that_grows() -> None:
    offsets = [number / 10 for number in range(300)]
    steady = run(PoolConfig(max_connections_per_host=100), at(*offsets), seconds=30.0, warm_up=5.0)
    assert steady.little.in_system == pytest.approx(10.0, abs=0.11)
    assert steady.little.expected == pytest.approx(steady.little.in_system, rel=0.02)
    patient = PoolConfig(max_connections_per_host=5, acquire_timeout=None)
    growing = run(patient, at(*offsets), seconds=30.0, warm_up=5.0)
    assert growing.little.expected > 1.25 * growing.little.in_system


def test_the_same_requests_come_whatever_the_pool_and_the_providers_are() -> None:
    tight = attrs.evolve(QUIET.config, max_connections_per_host=2, max_waiting=5)
    demands = set()
    for config, provider in ((QUIET.config, VirtualProvider()), (tight, VirtualProvider(round_trip=0.3))):
        result = attrs.evolve(QUIET, config=config, providers=(provider,)).run()
        demands.add(result.requests)
    assert len(demands) == 1


def test_progress_is_told_and_can_end_the_run() -> None:
    told: list[Progress] = []
    QUIET.run(progress=told.append)
    assert [progress.moment.at for progress in told[:3]] == pytest.approx([0.0, 0.05, 0.1])
    assert told[-1].moment.begun == told[-1].moment.answered > 300

    def enough(progress: Progress) -> None:
        if progress.moment.at > 1:
            raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        QUIET.run(progress=enough)


def test_surplus_bytes_that_cross_with_a_request_are_nobodys_answer() -> None:
    surplus = (Surplus(after=0.15),)
    result = run(ONE, at(0.0, 1.2, seconds=0.0), VirtualProvider(round_trip=1.0), faults=surplus)
    assert result.outcomes == {"answered": 1, "408": 1}


def test_an_interrupt_comes_out_as_itself() -> None:
    def enough(progress: Progress) -> None:
        if progress.moment.at > 1:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        QUIET.run(progress=enough)


# ---- what is nobody's fault, or not the pool's ----


def test_a_user_may_pause_for_longer_than_the_run_would_wait() -> None:
    loop = Workload(ClosedLoop(3, Constant(1000.0)), Service(Constant(0.1)))
    result = run(PoolConfig(), loop)
    assert (result.requests, result.ended) == (0, 0.0)


def test_many_may_be_served_in_one_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_pool.simulate.watch.CIRCLES", 1024)  # two of them come before the last 30 are served
    config = PoolConfig(max_connections_per_host=1, max_waiting=math.inf, acquire_timeout=None)
    assert run(config, at(*[0.0] * 700, seconds=0.0), seconds=1.0).answered == 700


class Erring:
    """A distribution of somebody else's, with a mistake in it."""

    mean = squared_cv = 1.0

    def sample(self, chance: Random) -> float:
        raise ZeroDivisionError("a mistake")


ERRORS: dict[str, Workload] = {
    "a draw in open loop": Workload(Recorded([1.0]), Service(Erring())),
    "a draw in closed loop": Workload(ClosedLoop(2, Constant(1.0)), Service(Erring())),
    "a pause": Workload(ClosedLoop(2, Erring()), Service(Constant(1.0))),
}


@pytest.mark.parametrize("workload", ERRORS.values(), ids=ERRORS)
def test_a_mistake_in_what_is_drawn_comes_out_as_itself(workload: Workload) -> None:
    with pytest.raises(ZeroDivisionError, match="a mistake"):
        run(PoolConfig(), workload)


@pytest.mark.parametrize("round_trip", [0.0, 0.1])
def test_an_error_of_a_virtual_server_comes_out_as_itself(round_trip: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def admit(*_: object) -> None:
        raise OverflowError("too much")

    monkeypatch.setattr(Server, "admit", admit)
    with pytest.raises(OverflowError, match="too much"):
        run(PoolConfig(), at(0.0, 0.0), VirtualProvider(round_trip=round_trip))


def test_progress_that_fails_at_the_first_look_comes_out_as_itself() -> None:
    def fail(_: Progress) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        QUIET.run(progress=fail)


def test_an_experiment_inside_another_is_refused() -> None:
    def again(_: Progress) -> None:
        QUIET.run()

    with pytest.raises(RuntimeError, match="inside"):
        QUIET.run(progress=again)


# ---- what must not be ----


class Forgetful(Slots):
    """A bug: one connection that is given back is forgotten."""

    given_back = 0

    def release(self, *args: Any, **kwargs: Any) -> None:
        self.given_back += 1
        if self.given_back != 5:
            super().release(*args, **kwargs)


class Open(Slots):
    """A bug: nothing that is idle is closed with the pool."""

    def drain(self) -> None:
        self.open = False


@pytest.mark.parametrize(
    ("bug", "words"),
    [
        (Forgetful, "nobody uses the pool, and it does not come to rest: 1 leased"),
        (Open, "the pool is closed, and 2 of its connections are open"),
    ],
)
def test_what_is_left_at_the_end_is_found(bug: type[Slots], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_pool.pool, "Slots", bug)
    with pytest.raises(InvariantBroken, match=words):
        run(PoolConfig(keepalive_timeout=None, max_lifetime=None), at(0.0, 0.0, 1.5, 1.5, 3.0, 3.0))


class Deaf(Place):
    """A bug: the fifth waiter that is served is not woken, and waiters cannot be cancelled."""

    served = 0

    def settle(self, result: Any) -> None:
        Deaf.served += 1
        if Deaf.served != 5:
            super().settle(result)


async def _uncancelled(wait: Callable[[Any], Awaitable[Any]], _: object) -> Any:
    return await wait(lambda _: trio.lowlevel.Abort.FAILED)


async def _stubborn(wait: Callable[[Any], Awaitable[Any]], _: object) -> Any:
    while True:
        with suppress(BaseException):
            return await wait(lambda _: trio.lowlevel.Abort.FAILED)


async def _busy(wait: Callable[[Any], Awaitable[Any]], abort: Any) -> Any:
    with suppress(trio.Cancelled):
        return await wait(abort)
    while True:
        with suppress(trio.Cancelled):
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize(
    ("waits", "words"),
    [
        (_uncancelled, "requests that were cancelled have not ended"),
        (_stubborn, "requests that were cancelled have not ended"),
        (_busy, "the pool turns in circles"),
    ],
)
def test_a_task_that_never_ends_does_not_keep_the_run_from_ending_and_nobody_complains_of_it(
    waits: Callable[..., Awaitable[Any]], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Deaf, "served", 0)
    monkeypatch.setattr(trio_pool.pool, "Place", Deaf)
    monkeypatch.setattr(trio.lowlevel, "wait_task_rescheduled", partial(waits, trio.lowlevel.wait_task_rescheduled))
    with pytest.raises(InvariantBroken, match=words):
        run(attrs.evolve(ONE, acquire_timeout=None), at(*[0.0] * 9))
    gc.collect()


def test_a_pool_that_cannot_be_closed_does_not_keep_the_run_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = AlarmClock.ring

    async def for_ever(clock: AlarmClock) -> None:
        try:
            await ring(clock)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep_forever()

    monkeypatch.setattr(AlarmClock, "ring", for_ever)
    with pytest.raises(InvariantBroken, match="the pool is to be closed, and that does not end"):
        run(PoolConfig(), at(0.0))


class Patient(Place):
    """A bug: who waits for a connection waits for as long as it takes."""

    def __init__(self, origin: Origin, limits: Limits, *rest: Any) -> None:
        super().__init__(origin, attrs.evolve(limits, acquire=100.0), *rest)


def test_a_grant_that_comes_too_late_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_pool.pool, "Place", Patient)
    with pytest.raises(InvariantBroken, match=r"request 1 got a connection after 0\.900000 s, which is too late"):
        run(attrs.evolve(ONE, acquire_timeout=0.5), at(0.0, 0.1))


def test_an_answer_to_another_request_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = Server.fields
    monkeypatch.setattr(Server, "fields", lambda self, nonce, *rest: fields(self, nonce.replace(b"7", b"8"), *rest))
    with pytest.raises(InvariantBroken, match="request 7 got the answer to request 8") as caught:
        run(PoolConfig(), at(*range(10)))
    assert caught.value.at == 8.0


def test_an_error_that_nothing_explains_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "fields", lambda self, nonce, *rest: b"broken\r\n")
    with pytest.raises(InvariantBroken, match="a request failed by what cannot happen here"):
        run(PoolConfig(), at(0.0))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("config", None, "Experiment.config must be a PoolConfig, not None"),
        ("workload", Poisson(1.0), "Experiment.workload must be a Workload"),
        ("providers", (), "Experiment.providers must be at least one"),
        ("providers", (VirtualProvider(), VirtualProvider()), "each with a name of its own"),
        ("seconds", 1e12, r"Experiment.workload has about 5e\+13 requests in 1e\+12 s, and 100,000,000 are the most"),
        ("workload", Workload(Poisson(1e9), Service(Constant(1.0))), "100,000,000 are the most: a lower rate"),
        ("workload", Workload(ClosedLoop(10**9, Constant(1.0)), Service(Constant(1.0))), "100,000,000 are the most"),
        ("sample_every", 1e-9, "sample_every must be at least 0.0001 in 10 s, not 1e-09: 100,000 samples are the most"),
        ("faults", ("refuse",), "Experiment.faults must be a tuple of SlowResolve or Refuse"),
        ("seed", 0.5, "Experiment.seed must be a whole number, not 0.5"),
        ("seconds", 0.0, "Experiment.seconds must be a positive number"),
        ("warm_up", 10.0, "Experiment.warm_up must be less than seconds"),
        ("grace", -1.0, "Experiment.grace"),
        ("sample_every", 0.0, "Experiment.sample_every"),
        ("method", "BREW", "Experiment.method must be 'POST' or 'GET'"),
        ("faults", (Fault(),), "Experiment.faults must be a tuple of SlowResolve or Refuse"),
        ("faults", (Refuse(provider="provder"),), r"faults.0.provider must be a provider's name \(provider\), not 'pr"),
        ("spread", "no", "Experiment.spread must be True or False, not 'no'"),
        ("hedging", 1, "Experiment.hedging must be True or False, not 1"),
        ("replay", 5, "Experiment.replay must be a str, not 5"),
        ("upstream_options", None, "Experiment.upstream_options must be a mapping, not None"),
        ("upstream_options", {"provider": 3}, r"Experiment.upstream_options\['provider'\] must be a mapping"),
        ("upstream_options", {"nobody": {}}, "'nobody', which is no provider: provider"),
        ("upstream_options", {"provider": {"wieght": 2}}, "did you mean 'weight'"),
        ("upstream_options", {"provider": {"weight": -2}}, "Upstream.weight must be a positive number"),
        ("upstream_options", {"provider": {"key": "secret"}}, "no upstream of an experiment has 'key'"),
    ],
)
def test_nonsense_is_refused_in_words(field: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        attrs.evolve(QUIET, **{field: value})


def test_an_experiment_is_a_value() -> None:
    options: dict[str, Any] = {"red": {"priority": 1}}
    first = attrs.evolve(CROWDED, spread=False, upstream_options=options)
    options["red"]["priority"] = 2
    second = attrs.evolve(first, upstream_options=options)
    assert first != second
    assert len({first, second, pickle.loads(pickle.dumps(first))}) == 2
    assert first.upstream_options == {"red": {"priority": 1}}
    with pytest.raises(TypeError):
        first.upstream_options["red"]["priority"] = 3  # type: ignore[index]  # it cannot be changed


def test_hosts_that_are_asked_in_turn_are_no_upstreams() -> None:
    with pytest.raises(UsageError, match="spread leaves no upstreams"):
        attrs.evolve(CROWDED, upstream_options={"red": {"priority": 1}})


def test_upstreams_that_do_not_fit_into_the_pool_are_refused_as_the_client_does() -> None:
    with pytest.raises(UsageError, match="upstreams need 2 connections, more than the 1 of the pool"):
        run(PoolConfig(max_connections=1), at(0.0), VirtualProvider("a"), VirtualProvider("b"))


def test_a_storm_has_everything() -> None:
    result = STORMY.run()
    assert {"answered", "PoolFull", "cancelled", "ReadError"} <= result.outcomes.keys()
    assert {"dead", "unusable", "max_requests"} <= result.statistics.evictions.keys()
    assert (result.statistics.leased, result.statistics.waiting) == (0, 0)


def test_those_who_are_served_in_the_same_moment_overtake_nobody() -> None:
    offsets = [0.0] * 10 + [number / 97 for number in range(1, 97)]
    result = run(PoolConfig(max_connections_per_host=10, acquire_timeout=None), at(*offsets, seconds=1.1))
    assert result.answered == 106
