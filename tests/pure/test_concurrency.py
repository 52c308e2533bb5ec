"""The adaptive limit: its steps, one cut an epoch, and what it is worth against the best fixed limit."""

from __future__ import annotations

import functools
import itertools
import math
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trio_pool._core import concurrency as real
from trio_pool._core.concurrency import AdaptiveLimit
from trio_pool._core.outcomes import Kind
from trio_pool._core.permits import Member

from .upstream_world import Capacity, World, saturate

WHICH = st.integers(0, 40)


def machine_for(module: ModuleType) -> type[RuleBasedStateMachine]:
    """The state machine over a module like `concurrency`."""

    class LimitMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.limit: AdaptiveLimit = module.AdaptiveLimit(initial=5, least=4, most=7, target=2.0)
            self.now = 0.0
            self.flights: list[Any] = []
            self.over: list[Any] = []
            self.before_the_cut: set[Any] = set()
            self.last, self.exact = self.limit.limit, self.limit._limit

        @rule(times=st.integers(1, 12))
        def start(self, times: int) -> None:
            for _ in range(times):
                if self.limit.has_room:
                    self.flights.append(self.limit.start(self.now))

        @rule(seconds=st.sampled_from([0.1, 1.0, 6.0]))
        def wait(self, seconds: float) -> None:
            self.now += seconds

        @rule(which=WHICH)
        def succeed(self, which: int) -> None:
            if self.flights:
                self.limit.succeeded(self.end(which))
                assert self.last <= self.limit.limit <= self.last + 1
                assert self.limit._limit >= self.exact
                assert self.limit._limit == self.exact or not self.limit.is_held

        @rule(which=WHICH)
        def overload(self, which: int) -> None:
            if self.flights:
                flight = self.end(which)
                self.limit.overloaded(flight)
                if flight in self.before_the_cut:
                    assert self.limit.limit == self.last, "cut twice for one overload"
                else:
                    assert self.limit._limit == max(self.exact * 0.9, 4)
                    self.before_the_cut.update(self.flights)

        @rule(which=WHICH)
        def cancel(self, which: int) -> None:
            if self.flights:
                self.limit.no_sample(self.end(which))
                assert self.limit.limit == self.last

        @rule(which=WHICH)
        def end_twice(self, which: int) -> None:
            if self.over:
                flight = self.over[which % len(self.over)]
                self.limit.succeeded(flight)
                self.limit.overloaded(flight)
                self.limit.no_sample(flight)
                assert self.limit.limit == self.last

        @rule(seconds=st.sampled_from([0.5, 2.0, 2.5]), times=st.integers(1, 25))
        def first_bytes(self, seconds: float, times: int) -> None:
            for _ in range(times):
                self.limit.first_byte(seconds, self.now)

        def end(self, which: int) -> Any:
            flight = self.flights.pop(which % len(self.flights))
            self.over.append(flight)
            return flight

        @invariant()
        def books_are_right(self) -> None:
            self.last, self.exact = self.limit.limit, self.limit._limit
            assert self.limit.in_flight == len(self.flights)
            assert 4 <= self.limit.limit <= 7

    return LimitMachine


TestLimit = machine_for(real).TestCase


def settled(limit: float = 20) -> AdaptiveLimit:
    """A limit that is no longer new."""
    adaptive = AdaptiveLimit(initial=limit / 0.9)
    adaptive.overloaded(adaptive.start(0.0))
    assert adaptive.limit == limit
    return adaptive


def test_it_grows_by_one_for_a_limit_of_successes() -> None:
    adaptive = settled(20)
    flights = [adaptive.start(0.0) for _ in range(20)]
    for flight in flights:
        adaptive.start(0.0)
        adaptive.succeeded(flight)
    assert adaptive.limit == 20
    adaptive.succeeded(adaptive.start(0.0))
    assert adaptive.limit == 21


def test_it_doubles_each_round_until_the_first_cut() -> None:
    adaptive = AdaptiveLimit(initial=5)
    for flight in [adaptive.start(0.0) for _ in range(5)]:
        adaptive.start(0.0)
        adaptive.succeeded(flight)
    assert adaptive.limit == 10


def test_it_does_not_grow_while_less_than_half_is_used() -> None:
    adaptive = AdaptiveLimit(initial=20)
    for flight in [adaptive.start(0.0) for _ in range(9)]:
        adaptive.succeeded(flight)
    assert adaptive.limit == 20


def test_all_refusals_of_one_overload_cut_it_once() -> None:
    adaptive = AdaptiveLimit(initial=20)
    for flight in [adaptive.start(0.0) for _ in range(20)]:
        adaptive.overloaded(flight)
    assert adaptive.limit == 18
    adaptive.overloaded(adaptive.start(0.0))
    assert adaptive.limit == 16


def test_it_holds_while_the_median_first_byte_is_late() -> None:
    adaptive = AdaptiveLimit(initial=20, target=2.0)
    adaptive.start(0.0)
    for seconds in itertools.chain([0.5] * 9, [2.5] * 11):
        adaptive.first_byte(seconds, 5.0)
    assert adaptive.is_held
    assert adaptive.limit == 19
    for _ in range(20):
        adaptive.first_byte(0.5, 10.0)
    assert not adaptive.is_held


@pytest.mark.parametrize(("answers", "seconds"), [(19, 6.0), (40, 4.9)])
def test_it_takes_twenty_answers_and_five_seconds_to_hold(answers: int, seconds: float) -> None:
    adaptive = AdaptiveLimit(target=2.0)
    adaptive.start(0.0)
    for _ in range(answers):
        adaptive.first_byte(9.0, seconds)
    assert not adaptive.is_held


def test_nothing_holds_it_without_a_target() -> None:
    adaptive = AdaptiveLimit()
    adaptive.start(0.0)
    for _ in range(100):
        adaptive.first_byte(100.0, 50.0)
    assert not adaptive.is_held


@given(st.lists(st.booleans(), max_size=200))
def test_it_stays_within_its_bounds(outcomes: list[bool]) -> None:
    adaptive = AdaptiveLimit(initial=3, least=1, most=5)
    for is_good in outcomes:
        flight = adaptive.start(0.0)
        if is_good:
            adaptive.succeeded(flight)
        else:
            adaptive.overloaded(flight)
        assert 1 <= adaptive.limit <= 5


SPAN = 600.0


def goodput(member: Member, *, sigma: float, queue: int, seed: int) -> tuple[float, float]:
    """Answers a second, and the share of attempts that were refused, of a client that always has more to send."""
    world = World([member], Capacity(seed, sigma=sigma, queue=queue).serve, seed=seed, patience=math.inf)
    saturate(world, 150, SPAN)
    return world.tally.served / SPAN, world.tally.kinds.get(Kind.LIMITED, 0) / world.tally.attempts


@functools.cache
def best(sigma: float, seed: int) -> float:
    """What the best fixed limit gives: the capacity itself, and neither kind of provider is the better for it."""
    return goodput(Member("x", most=60), sigma=sigma, queue=0, seed=seed)[0]


@pytest.mark.parametrize("seed", [4021, 77])
@pytest.mark.parametrize("queue", [0, 200], ids=["refusing at once", "queueing in secret"])
@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_it_finds_what_the_best_fixed_limit_would_give(sigma: float, queue: int, seed: int) -> None:
    adaptive = AdaptiveLimit(most=400, target=2.0)
    own, refused = goodput(Member("x", adaptive=adaptive), sigma=sigma, queue=queue, seed=seed)
    assert own >= 0.9 * best(sigma, seed)
    assert refused < 0.02


def test_without_the_hold_a_queueing_provider_is_flooded() -> None:
    """What the target is for: the limit alone grows until somebody says no."""
    limits = [AdaptiveLimit(most=400, target=target) for target in (2.0, None)]
    for limit in limits:
        goodput(Member("x", adaptive=limit), sigma=1.0, queue=200, seed=4021)
    assert limits[0].limit < 100 < limits[1].limit
