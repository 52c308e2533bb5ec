"""Groups of upstreams: who gets a request, who waits, and what pauses do."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from trio_pool._core import balance as real
from trio_pool._core.balance import Group
from trio_pool._core.breaker import BreakerState
from trio_pool._core.concurrency import AdaptiveLimit
from trio_pool._core.outcomes import Kind
from trio_pool._core.permits import (
    BreakerChanged,
    Granted,
    LimitChanged,
    Member,
    Paused,
    Permit,
    Place,
    Refused,
    WakeAt,
)
from trio_pool._core.ratelimit import RateLimiter

from .group_machine import machine_for

TestGroup = machine_for(real).TestCase


def group(*members: Member, seed: int = 1) -> Group:
    return Group(members, chance=random.Random(seed).random)


def asked(one: Group, now: float = 0.0, **options: float) -> Permit:
    answer = one.ask(now, **options)  # type: ignore[arg-type]  # floats are what is given here
    assert isinstance(answer, Permit)
    return answer


def fail(one: Group, member: Member, now: float = 0.0) -> None:
    """Open a member's breaker."""
    for _ in range(5):
        permit = one.ask(now, never=[other for other in one.members if other is not member])
        assert isinstance(permit, Permit)
        one.ended(permit, Kind.FAILED, now=now)


def test_the_lowest_priority_is_asked_first_and_the_next_when_it_is_full() -> None:
    one = group(Member("b", priority=1), Member("a", priority=0, most=2))
    assert [asked(one).member.upstream for _ in range(4)] == ["a", "a", "b", "b"]


def test_of_two_the_less_loaded_is_asked() -> None:
    one = group(Member("a"), Member("b"))
    assert sorted(str(asked(one).member.upstream) for _ in range(10)) == ["a"] * 5 + ["b"] * 5


def test_loads_follow_weights() -> None:
    one = group(Member("a", weight=3.0), Member("b"))
    count = Counter(asked(one).member.upstream for _ in range(40))
    assert count == {"a": 30, "b": 10}


def test_of_many_two_are_looked_at_and_the_worst_is_never_asked() -> None:
    members = [Member(number) for number in range(10)]
    members[3].in_flight = 100
    one = group(*members)
    assert 3 not in {asked(one).member.upstream for _ in range(200)}


def test_a_retry_goes_to_one_that_was_not_tried_even_of_a_worse_priority() -> None:
    first, second = Member("a"), Member("b", priority=1)
    one = group(first, second)
    answer = one.ask(0.0, tried=[first])
    assert isinstance(answer, Permit)
    assert answer.member is second
    assert one.has_other([first], 0.0)
    assert not one.has_other([first, second], 0.0)


def test_one_whose_breaker_is_open_is_not_asked_while_another_serves() -> None:
    bad, good = Member("a"), Member("b", priority=9)
    one = group(bad, good)
    fail(one, bad)
    assert {asked(one).member for _ in range(20)} == {good}
    assert not one.has_other([good], 0.0)


def test_a_recovering_upstream_gets_one_probe() -> None:
    bad, good = Member("a"), Member("b", priority=9)
    one = group(bad, good)
    fail(one, bad)
    permits = [asked(one, now=6.0) for _ in range(50)]
    probes = [permit for permit in permits if permit.member is bad]
    assert len(probes) == 1
    one.unsent(probes[0], now=6.5)
    assert not bad.breaker.is_probe(probes[0].ticket)
    again = asked(one, now=7.0)
    assert again.member is bad
    one.serving(again, 0.5, now=7.5)
    assert bad.breaker.state is BreakerState.CLOSED
    assert asked(one, now=7.5).member is bad


def test_when_all_are_open_the_least_bad_is_asked() -> None:
    worse, better = Member("a"), Member("b", priority=9)
    one = group(worse, better)
    for member in (worse, better):
        fail(one, member)
    worse.breaker.openings = 3
    assert {asked(one).member for _ in range(5)} == {better}


def test_an_active_probe_is_for_those_that_are_open_and_due() -> None:
    bad, good = Member("a"), Member("b")
    one = group(bad, good)
    fail(one, bad)
    assert one.probe(good, 6.0) is None
    assert one.probe(bad, 1.0) is None
    permit = one.probe(bad, 6.0)
    assert permit is not None
    assert one.probe(bad, 6.0) is None
    one.ended(permit, Kind.SERVED, now=7.0)
    assert bad.breaker.state is BreakerState.CLOSED


def test_who_waits_is_served_in_order_when_something_ends() -> None:
    one = group(Member("a", most=1))
    first = asked(one)
    places = [one.ask(0.0, ticket=number) for number in range(3)]
    assert all(isinstance(place, Place) for place in places)
    one.ended(first, Kind.SERVED, now=1.0)
    granted = [decision for decision in one.decisions if isinstance(decision, Granted)]
    assert [decision.place.ticket for decision in granted] == [0]
    assert one.waiting == 2


def test_who_waits_takes_whatever_upstream_is_free_first() -> None:
    one = group(Member("a", most=1), Member("b", most=1))
    permits = [asked(one), asked(one)]
    one.ask(0.0)
    one.ended(permits[1], Kind.SERVED, now=1.0)
    granted = next(decision for decision in one.decisions if isinstance(decision, Granted))
    assert granted.permit.member is permits[1].member


def test_waiting_in_line_for_a_bucket_is_told_to_the_second() -> None:
    one = group(Member("a", limiter=RateLimiter(requests_per_minute=60)))
    for _ in range(60):
        asked(one)
    assert isinstance(one.ask(0.0, deadline=10.0), Place)
    assert [decision.at for decision in one.decisions if isinstance(decision, WakeAt)] == [1.0]
    for _ in range(8):
        assert isinstance(one.ask(0.0, deadline=10.0), Place)
    refused = one.ask(0.0, deadline=10.0)
    assert isinstance(refused, Refused)
    assert refused.why == "late"
    assert refused.at == pytest.approx(10.0)


def test_two_buckets_together_fill_twice_as_fast() -> None:
    one = group(*(Member(name, limiter=RateLimiter(requests_per_minute=60)) for name in "ab"))
    for _ in range(120):
        asked(one)
    answers = [one.ask(0.0, deadline=5.0) for _ in range(12)]
    assert [type(answer) for answer in answers] == [Place] * 9 + [Refused] * 3


def test_a_wait_of_tokens_is_foreseen_too() -> None:
    one = group(Member("a", limiter=RateLimiter(tokens_per_minute=600)))
    asked(one, tokens=600)
    refused = one.ask(0.0, tokens=200, deadline=19.0)
    assert isinstance(refused, Refused)
    assert refused.at == pytest.approx(20.0)


def test_a_pause_longer_than_the_deadline_is_told_at_once() -> None:
    one = group(Member("a"))
    one.ended(asked(one), Kind.LIMITED, now=0.0, wait=3600.0)
    refused = one.ask(1.0, deadline=11.0)
    assert isinstance(refused, Refused)
    assert refused.at == 3600.0


def test_one_that_is_sent_nothing_in_a_pause_is_sent_elsewhere() -> None:
    first, second = Member("a"), Member("b", priority=1)
    one = group(first, second)
    one.ended(asked(one), Kind.LIMITED, now=0.0, wait=30.0)
    assert {asked(one, now=29.0).member for _ in range(9)} == {second}


def test_a_permit_granted_before_a_pause_is_told_of_it() -> None:
    one = group(Member("a"))
    early, other = asked(one), asked(one)
    one.ended(other, Kind.LIMITED, now=1.0, wait=5.0)
    assert one.is_paused(early, 2.0)
    assert not one.is_paused(early, 6.0)


def test_a_shorter_pause_does_not_end_a_longer_one() -> None:
    one = group(Member("a"))
    permits = [asked(one), asked(one)]
    one.ended(permits[0], Kind.LIMITED, now=0.0, wait=30.0)
    one.ended(permits[1], Kind.LIMITED, now=1.0, wait=2.0)
    assert one.members[0].paused_until == 30.0


def drained(one: Group, until: float) -> list[float]:
    """When those in line were granted."""
    times, now = [], 0.0
    while one.decisions:
        decision = one.decisions.popleft()
        if isinstance(decision, Granted):
            times.append(now)
        if not one.decisions and (wake := one._wake) < until:
            now = wake
            one.tick(now)
    return times


@pytest.mark.parametrize("seed", range(5))
def test_what_waited_for_the_end_of_a_pause_does_not_go_out_at_once(seed: int) -> None:
    one = group(Member("a"), seed=seed)
    one.ended(asked(one), Kind.LIMITED, now=0.0, wait=30.0)
    for _ in range(300):
        assert isinstance(one.ask(0.0), Place)
    times = drained(one, 100.0)
    assert len(times) == 300
    assert min(times) > 30.0
    assert max(times) < 36.1
    most = max(Counter(int(at * 10) for at in times).values())
    assert most < 40, "a tenth of a second takes ten of them, give or take"


def test_clients_that_were_told_the_same_time_do_not_come_back_together() -> None:
    firsts = []
    for seed in range(200):
        one = group(Member("a"), seed=seed)
        one.ended(asked(one), Kind.LIMITED, now=0.0, wait=10.0)
        one.ask(0.0)
        firsts += drained(one, 100.0)
    assert len(firsts) == 200
    assert min(firsts) >= 10.0
    assert max(Counter(int(at * 10) for at in firsts).values()) < 45, "a fifth of them would be 40"


def test_a_limit_without_a_time_is_a_short_pause_that_grows() -> None:
    one = Group([Member("a")], chance=lambda: 0.999)
    pauses = []
    now = 0.0
    for _ in range(6):
        permit = asked(one, now=now)
        one.ended(permit, Kind.LIMITED, now=now)
        pauses.append(one.members[0].paused_until - now)
        now += 20.0
    assert pauses == pytest.approx([0.4995, 0.999, 1.998, 3.996, 7.992, 7.992])
    one.serving(asked(one, now=now), 0.1, now=now)
    one.ended(asked(one, now=now), Kind.LIMITED, now=now)
    assert one.members[0].paused_until - now == pytest.approx(0.4995)


def test_every_change_is_told() -> None:
    one = group(Member("a", adaptive=AdaptiveLimit(initial=10)))
    for _ in range(5):
        one.ended(asked(one), Kind.FAILED, now=0.0)
    one.ended(asked(one), Kind.OVERLOADED, now=0.0, wait=1.0)
    told = [decision for decision in one.decisions if not isinstance(decision, WakeAt)]
    assert [type(decision) for decision in told] == [BreakerChanged, Paused, LimitChanged]
    changed, _, limit = told
    assert isinstance(changed, BreakerChanged)
    assert (changed.before, changed.after) == (BreakerState.CLOSED, BreakerState.OPEN)
    assert isinstance(limit, LimitChanged)
    assert (limit.before, limit.after) == (10, 9)


def test_a_permit_is_given_back_once() -> None:
    one = group(Member("a"))
    permit = asked(one)
    one.ended(permit, Kind.SERVED, now=0.0)
    with pytest.raises(RuntimeError, match="given back"):
        one.ended(permit, Kind.SERVED, now=0.0)
    with pytest.raises(RuntimeError, match="given back"):
        one.unsent(permit, now=0.0)


def test_the_lines_bound_refuses_the_newest() -> None:
    one = Group([Member("a", most=1)], chance=random.Random(0).random, max_waiting=2)
    asked(one)
    answers = [one.ask(0.0) for _ in range(3)]
    assert [type(answer) for answer in answers] == [Place, Place, Refused]
    assert isinstance(answers[2], Refused)
    assert answers[2].why == "full"


def test_without_limits_a_deadline_alone_refuses_nobody() -> None:
    one = group(Member("a", most=1))
    asked(one)
    place = one.ask(0.0, deadline=0.1)
    assert isinstance(place, Place)
    one.tick(0.2)
    assert [decision.place for decision in one.decisions if isinstance(decision, Refused)] == [place]
    assert one._wake == math.inf


def test_who_waits_for_one_upstream_alone_is_not_forgotten_when_the_last_healthy_one_is_probed() -> None:
    """Then all are open, and the least bad is a choice for it."""
    first, second = Member("a"), Member("b")
    one = group(first, second)
    for member in (first, second):
        fail(one, member)
    first.breaker.until, second.breaker.until = 9.0, 1.0
    alone = one.ask(2.0, never=[second])
    probe = one.ask(2.0)
    granted = [decision for decision in one.decisions if isinstance(decision, Granted)]
    assert [decision.place for decision in granted] == [probe, alone]
    assert [decision.permit.member for decision in granted] == [second, first]


def test_what_a_request_without_a_permit_was_told_is_heeded() -> None:
    member = Member("a")
    one = group(member)
    one.told(member, Kind.LIMITED, 30.0, sent=0.0, now=1.0)
    assert member.paused_until == 31.0
    one.told(member, Kind.LIMITED, None, sent=0.5, now=2.0)  # sent before the pause began: nothing new
    assert (member.paused_until, member.refusals) == (31.0, 0)
    one.told(member, Kind.ANSWERED, 60.0, sent=2.0, now=2.0)  # no reason to wait
    assert member.paused_until == 31.0
    one.told(member, Kind.OVERLOADED, 60.0, sent=0.5, now=2.0)
    assert member.paused_until == 62.0


def test_usage_can_be_told_after_the_end_and_counts_once() -> None:
    member = Member("a", limiter=RateLimiter(tokens_per_minute=1000.0))
    one = group(member)
    permit = asked(one, tokens=600.0)
    one.ended(permit, Kind.SERVED, now=0.0)
    assert member.limiter.tokens.level == 400.0
    one.used(permit, 100.0, now=0.0)
    one.used(permit, 900.0, now=0.0)
    assert member.limiter.tokens.level == 900.0


def test_usage_wakes_whoever_waits_for_it() -> None:
    one = group(Member("a", limiter=RateLimiter(tokens_per_minute=1000.0)))
    permit = asked(one, tokens=1000.0)
    place = one.ask(0.0, tokens=500.0)
    assert isinstance(place, Place)
    one.decisions.clear()
    one.used(permit, 10.0, now=0.0)
    assert any(isinstance(decision, Granted) and decision.place is place for decision in one.decisions)
