"""Outages, simulated: availability over three upstreams, a retry budget that holds, probes, pauses.

The world of `upstream_world.py` runs the client's attempt loop over the real deciders in virtual time. That nothing is
sent in a pause is asserted there, at every attempt of every history here.
"""

from __future__ import annotations

import math
from collections import Counter

import attrs
import pytest

from trio_pool._core.breaker import BreakerState
from trio_pool._core.budget import RetryBudget
from trio_pool._core.concurrency import AdaptiveLimit
from trio_pool._core.outcomes import Kind, Outcome
from trio_pool._core.permits import Member
from trio_pool._core.ratelimit import RateLimiter
from trio_pool.strategy import RetryStrategy

from .upstream_world import BUSY, OK, Outages, Tally, World, refused

ANSWER = 0.02  # seconds to an error


def serving(world: World, outages: Outages) -> None:
    """Providers that serve within seconds, and fail at once when they are down: by a refusal, or by a 503."""

    def serve(member: Member, now: float) -> tuple[Outcome, float, float]:
        if outages.has(member.upstream, now):
            return (refused() if world.random.random() < 0.5 else BUSY), ANSWER, ANSWER
        seconds = world.random.lognormvariate(0, 0.6)
        return OK, seconds * 0.2, seconds

    world.serve = serve


def unserved(member: Member, now: float) -> tuple[Outcome, float, float]:
    raise AssertionError("nobody serves yet")


def arrive(world: World, rate: float, until: float) -> None:
    at = world.random.expovariate(rate)
    while at < until:
        world.start(at, world.request)
        at += world.random.expovariate(rate)


def at_rest(world: World) -> bool:
    return not world.group.waiting and all(
        member.in_flight == 0 and member.limiter._unanswered == 0 and member.breaker._probe is None
        for member in world.group.members
    )


def history(seed: int, *, seconds: float = 300.0, share: float = 0.01, tries: int = 3, names: str = "abc") -> Tally:
    world = World([Member(name) for name in names], unserved, seed=seed, tries=tries)
    serving(world, Outages(names, seed, until=seconds, share=share))
    arrive(world, 20.0, seconds)
    world.run()
    assert at_rest(world)
    return world.tally


def total(tallies: list[Tally]) -> tuple[float, float]:
    """The share of requests that were answered, and the attempts for each."""
    requests = sum(tally.requests for tally in tallies)
    return sum(tally.served for tally in tallies) / requests, sum(tally.attempts for tally in tallies) / requests


def test_three_upstreams_that_are_down_one_percent_of_the_time_answer_nearly_always() -> None:
    answered, attempts = total([history(seed) for seed in range(12)])
    assert answered >= 0.9997
    assert attempts <= 1.25


def test_one_upstream_alone_is_no_better_than_its_outages() -> None:
    """That the simulation can fail."""
    answered, _ = total([history(seed, names="a") for seed in range(6)])
    assert answered < 0.9997


def test_without_retries_three_upstreams_are_not_enough() -> None:
    answered, attempts = total([history(seed, tries=1) for seed in range(4)])
    assert answered < 0.9997
    assert attempts == 1.0


@pytest.mark.parametrize("strategy", RetryStrategy)
@pytest.mark.parametrize("names", ["a", "abc"])
def test_a_full_outage_never_sends_more_than_the_budget_allows(strategy: RetryStrategy, names: str) -> None:
    seconds = 120.0
    world = World([Member(name) for name in names], unserved, tries=5, strategy=strategy, at_first=10.0)
    world.serve = lambda member, now: (refused() if world.random.random() < 0.5 else BUSY, ANSWER, ANSWER)
    arrive(world, 50.0, seconds)
    world.run()
    tally = world.tally
    assert tally.served == 0
    assert tally.retries <= 10 + 0.2 * tally.requests + world.now
    assert tally.retries >= 0.1 * tally.requests, "it did not even try"
    assert at_rest(world)


def test_an_upstream_that_comes_back_gets_one_probe_at_a_time() -> None:
    world = World([Member("a"), Member("b")], unserved)
    down_until = 30.0

    def serve(member: Member, now: float) -> tuple[Outcome, float, float]:
        if member.upstream == "a" and now < down_until:
            return BUSY, 1.0, 1.0
        return OK, 1.0, 2.0

    world.serve = serve
    arrive(world, 40.0, 120.0)
    world.run()
    sent = [(at, is_probe) for at, name, is_probe in world.tally.sent if name == "a"]
    opened = next(at for at, _ in sent) + 1.5  # by then five answers have come
    while_open = [(at, is_probe) for at, is_probe in sent if opened < at < down_until]
    assert all(is_probe for _, is_probe in while_open)
    assert 2 <= len(while_open) <= 6
    assert min(later - earlier for (earlier, _), (later, _) in zip(while_open, while_open[1:], strict=False)) > 1.0
    assert world.group.members[0].breaker.state is BreakerState.CLOSED
    assert world.tally.served == world.tally.requests


def comebacks(strategy: RetryStrategy, *, wait: float = 5.0, clients: int = 200) -> list[float]:
    """When requests that were all refused at once, and told the same time to come back, are sent again."""
    world = World([Member("a")], unserved, strategy=strategy, patience=math.inf, at_first=1000.0)
    world.budget._left = world.budget._largest = 1000.0

    def serve(member: Member, now: float) -> tuple[Outcome, float, float]:
        return (attrs.evolve(OK, status=429, wait=wait), 0.1, 0.1) if now < 1.0 else (OK, 0.1, 0.1)

    world.serve = serve
    for _ in range(clients):
        world.start(0.0, world.request)
    world.run()
    assert world.tally.served == clients
    return [at for at, _, _ in world.tally.sent if at > 1.0]


@pytest.mark.parametrize("strategy", RetryStrategy)
def test_a_burst_of_refusals_does_not_come_back_as_a_burst(strategy: RetryStrategy) -> None:
    times = comebacks(strategy)
    assert min(times) >= 5.1
    assert max(times) <= 7.0
    busiest = max(Counter(int(at / 0.05) for at in times).values())
    assert busiest <= 50, "a quarter of them within a twentieth of a second"


def test_a_provider_with_a_limit_draws_no_refusals_from_a_client_that_knows_it() -> None:
    """The provider's own bucket is as the client's; what is too much waits in line."""
    truth = RateLimiter(requests_per_minute=600)
    world = World([Member("a", limiter=RateLimiter(requests_per_minute=600))], unserved, patience=5.0)

    def serve(member: Member, now: float) -> tuple[Outcome, float, float]:
        if truth.ready_at(0, now) > now:
            return Outcome(status=429), ANSWER, ANSWER
        truth.charge(0, now)
        return OK, 0.2, 1.0

    world.serve = serve
    arrive(world, 14.0, 180.0)  # where ten are allowed
    world.run()
    assert world.tally.kinds.get(Kind.LIMITED, 0) == 0
    assert world.tally.refused > 0
    assert world.tally.served >= 0.98 * (600 + 180 * 10)
    assert world.tally.served + world.tally.refused == world.tally.requests


def test_nothing_starts_past_the_total_deadline() -> None:
    world = World([Member("a")], unserved, total=3.0, tries=10, at_first=100.0)
    starts: list[float] = []

    def serve(member: Member, now: float) -> tuple[Outcome, float, float]:
        starts.append(now)
        return BUSY, 0.4, 0.4

    world.serve = serve
    for _ in range(20):
        world.start(0.0, world.request)
    world.run()
    assert len(starts) > 20
    assert max(starts) < 3.0


@pytest.mark.parametrize("seed", range(6))
def test_after_any_storm_of_cancellations_everything_is_at_rest(seed: int) -> None:
    """Half of all requests are cancelled, in line, in an attempt or in a wait, while upstreams fail and limit."""
    members = [
        Member("a", limiter=RateLimiter(requests_per_minute=600, tokens_per_minute=1e6)),
        Member("b", most=8),
        Member("c", adaptive=AdaptiveLimit(initial=4, most=20, target=2.0)),
    ]
    world = World(members, unserved, seed=seed)
    world.budget = RetryBudget(now=0.0, largest=math.inf)
    outages = Outages("abc", seed, until=60.0, share=0.3)

    def serve(member: Member, now: float) -> tuple[Outcome, float, float]:
        if outages.has(member.upstream, now):
            wait = world.random.choice([None, 1.5])
            outcome = world.random.choice([BUSY, refused(), attrs.evolve(OK, status=429, wait=wait)])
            return outcome, ANSWER, ANSWER
        return OK, 0.2, world.random.expovariate(1.0) + 0.2

    world.serve = serve
    for _ in range(1500):
        patience = world.random.expovariate(1.0) if world.random.random() < 0.5 else math.inf
        world.start(world.random.uniform(0, 60.0), world.request, cancelled_after=patience)
    world.run()
    tally = world.tally
    assert at_rest(world)
    assert tally.served > 300
    assert tally.retries > 20
    left = world.budget.left(world.now)
    assert left == pytest.approx(10 + 0.2 * tally.requests + world.now - tally.retries), "a retry was lost or gained"
    assert members[2].adaptive is not None
    assert members[2].adaptive.in_flight == 0
    assert members[0].limiter.ready_at(1e6, world.now + 60.0) == world.now + 60.0
