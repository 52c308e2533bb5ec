"""The state machine over groups of upstreams: random histories, and what must hold after every step of each.

The machine keeps books of its own: which permits are out, who stands in line, which pauses were asked for. What a
member could take is worked out anew, and plainly, from the parts (each of which has a test of its own).
"""

from __future__ import annotations

import math
import random
from types import ModuleType
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from trio_pool._core.balance import Group
from trio_pool._core.breaker import Breaker, BreakerState
from trio_pool._core.concurrency import AdaptiveLimit
from trio_pool._core.outcomes import MEANINGS, Kind
from trio_pool._core.permits import Granted, LimitChanged, Member, Paused, Permit, Place, Refused, WakeAt
from trio_pool._core.ratelimit import RateLimiter

WHICH = st.integers(0, 30)
SECONDS = st.sampled_from([0.0, 0.01, 0.3, 1.0, 6.0, 20.0, 70.0])
TOKENS = st.sampled_from([0.0, 10.0, 100.0, 500.0])
KINDS = st.sampled_from([*Kind, Kind.SERVED, Kind.SERVED, Kind.UNSENT, Kind.LIMITED])
MAX_WAITING = 6


class Chance:
    """Dice that remember nothing but their seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def __call__(self) -> float:
        return self._random.choice([0.0, 0.999, self._random.random()])


def make(number: int, kind: str, breaker: Breaker) -> Member:
    """One of several kinds of members."""
    kinds: dict[str, dict[str, Any]] = {
        "plain": {},
        "few": {"most": 2},
        "slow": {"limiter": RateLimiter(requests_per_minute=6, tokens_per_minute=600)},
        "adaptive": {"adaptive": AdaptiveLimit(initial=2, most=4, target=2.0)},
        "second": {"priority": 1, "weight": 3.0},
    }
    member = Member(number, **kinds[kind])
    member.breaker = breaker
    return member


def machine_for(module: ModuleType, breaker_class: Any = Breaker) -> type[RuleBasedStateMachine]:
    """The state machine over a module like `balance`."""

    class GroupMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.now = 100.0
            self.wake = math.inf
            self.permits: list[Permit] = []
            self.line: list[Place] = []
            self.pauses: dict[Member, float] = {}
            self.arrived: Place | None = None

        @initialize(
            kinds=st.lists(
                st.sampled_from(["plain", "few", "slow", "slow", "adaptive", "second"]), min_size=1, max_size=3
            ),
            seed=st.integers(0, 99),
        )
        def open(self, kinds: list[str], seed: int) -> None:
            members = [make(number, kind, breaker_class()) for number, kind in enumerate(kinds)]
            self.group: Group = module.Group(members, chance=Chance(seed), max_waiting=MAX_WAITING)

        # ---- what happens ----

        @rule(tokens=TOKENS, patience=SECONDS, tried=st.sets(st.integers(0, 2)), is_strict=st.booleans())
        def ask(self, tokens: float, patience: float, tried: set[int], is_strict: bool) -> None:
            members = {member for member in self.group.members if member.upstream in tried}
            deadline = self.now + patience if patience else math.inf
            self.ask_for(tokens, deadline, members, members if is_strict else set())

        @rule(times=st.integers(2, 7), tokens=TOKENS)
        def ask_many(self, times: int, tokens: float) -> None:
            for _ in range(times):
                self.ask_for(tokens, math.inf, set(), set())

        @rule()
        def the_first_leaves_who_held_up_a_smaller_one(self) -> None:
            """Its leaving is the only thing that can help the next: no time has to pass."""
            for tokens in (500.0, 500.0, 0.0):
                self.ask_for(tokens, math.inf, set(), set())
            self.leave(0)

        def ask_for(self, tokens: float, deadline: float, tried: set[Member], never: set[Member]) -> None:
            healthy = self.healthy()
            free = self.choices(tokens, never)
            before = {member: member.in_flight for member in self.group.members}
            answer = self.group.ask(self.now, tokens=tokens, deadline=deadline, tried=tried, never=never)
            if isinstance(answer, Permit):
                assert not self.line, "a newcomer overtook the line"
                self.check_choice(answer.member, free, tried, healthy, before)
                self.take(answer)
            elif isinstance(answer, Refused):
                assert answer.why != "full" or len(self.line) == MAX_WAITING
                assert answer.why != "late" or answer.at >= deadline
                assert not free or self.line, "refused beside a free member"
            else:
                assert not free or self.line, "waits beside a free member"
                self.line.append(answer)
            self.carry_out()

        @rule(which=WHICH)
        def leave(self, which: int) -> None:
            if self.line:
                place = self.line.pop(which % len(self.line))
                assert self.group.leave(place, self.now)
                self.carry_out()
                assert not self.group.leave(place, self.now)
                self.carry_out()

        @rule(
            which=WHICH,
            tokens=st.sampled_from([None, 0.0, 50.0, 900.0]),
            wait=st.sampled_from([None, 0.5, 30.0]),
            kind=KINDS,
        )
        def end(self, which: int, kind: Kind, tokens: float | None, wait: float | None) -> None:
            if self.permits:
                permit = self.permits.pop(which % len(self.permits))
                state = permit.member.breaker.state
                is_probe = permit.member.breaker.is_probe(permit.ticket)
                self.group.ended(permit, kind, now=self.now, wait=wait, tokens=tokens)
                if is_probe and kind in (Kind.OURS, Kind.LIMITED):
                    assert permit.member.breaker.state is state, "what showed nothing moved the breaker"
                if wait and MEANINGS[kind].where != "nowhere":
                    assert permit.member.paused_until >= self.now + wait
                self.check_given_back(permit)
                self.carry_out()

        @rule(which=WHICH, times=st.integers(1, 6))
        def fail_many(self, which: int, times: int) -> None:
            for _ in range(times):
                self.end(which, Kind.FAILED, None, None)

        @rule(which=WHICH)
        def break_down(self, which: int) -> None:
            """A member's breaker opens, as if others had failed on it."""
            breaker = self.group.members[which % len(self.group.members)].breaker
            while breaker.state is BreakerState.CLOSED:
                breaker.failed(breaker.admit(self.now), self.now, 0.5)
            self.group.tick(self.now)
            self.carry_out()

        @rule(which=WHICH)
        def unsent(self, which: int) -> None:
            if self.permits:
                probes = [permit for permit in self.permits if permit.member.breaker.is_probe(permit.ticket)]
                permit = probes[0] if probes else self.permits[which % len(self.permits)]
                self.permits.remove(permit)
                levels = self.levels(permit.member)
                state, until = permit.member.breaker.state, permit.member.breaker.until
                self.group.unsent(permit, now=self.now)
                breaker = permit.member.breaker
                assert breaker.until == until
                assert breaker.state is state or (self.line and breaker.state is BreakerState.HALF_OPEN)
                given = [after - before for after, before in zip(self.levels(permit.member), levels, strict=True)]
                assert permit.charge.is_answered or self.line or given == pytest.approx([1, permit.charge.tokens])
                self.check_given_back(permit)
                self.carry_out()

        @rule(which=WHICH, first_byte=st.sampled_from([0.1, 3.0]))
        def serve(self, which: int, first_byte: float) -> None:
            if self.permits:
                permit = self.permits[which % len(self.permits)]
                self.group.answered(permit, {}, now=self.now, wall=0.0)
                self.group.serving(permit, first_byte, now=self.now)
                self.carry_out()

        @rule(seconds=SECONDS)
        def wait(self, seconds: float) -> None:
            until = self.now + seconds
            while self.wake <= until:
                self.now, self.wake = self.wake, math.inf
                self.group.tick(self.now)
                self.carry_out()
                assert self.wake > self.now
            self.now = until
            self.expire()

        @rule(seconds=SECONDS)
        def wait_and_be_late(self, seconds: float) -> None:
            """Nobody has looked, neither at what falls due nor at deadlines."""
            self.now += seconds

        @rule(which=WHICH)
        def probe(self, which: int) -> None:
            member = self.group.members[which % len(self.group.members)]
            permit = self.group.probe(member, self.now)
            if permit is not None:
                assert member.breaker.is_probe(permit.ticket)
                self.take(permit)
            self.carry_out()

        # ---- the shell's part ----

        def expire(self) -> None:
            while late := [place for place in self.line if place.deadline <= self.now]:
                self.line.remove(late[0])
                self.group.leave(late[0], self.now)
                self.carry_out()

        def carry_out(self) -> None:
            while self.group.decisions:
                decision = self.group.decisions.popleft()
                if isinstance(decision, WakeAt):
                    assert decision.at > self.now
                    self.wake = decision.at
                elif isinstance(decision, Paused):
                    assert decision.until > self.now or decision.until == decision.member.paused_until
                    self.pauses[decision.member] = decision.until
                elif isinstance(decision, LimitChanged):
                    assert decision.before != decision.after
                elif isinstance(decision, Granted):
                    self.granted(decision)
                elif isinstance(decision, Refused):
                    assert decision.place is not None
                    assert decision.place.deadline <= self.now
                    self.line.remove(decision.place)

        def granted(self, decision: Granted) -> None:
            place, member = decision.place, decision.permit.member
            for older in self.line[: self.line.index(place)]:
                can_use = member not in older.never and older.deadline > self.now
                assert not can_use, "somebody younger overtook"
            assert place.deadline > self.now, "granted too late"
            assert member not in place.never
            self.line.remove(place)
            self.take(decision.permit)

        def take(self, permit: Permit) -> None:
            assert self.now >= self.pauses.get(permit.member, -math.inf), "sent in a pause"
            assert permit.is_open
            self.permits.append(permit)

        # ---- what a member could take ----

        def healthy(self) -> list[Member]:
            return [member for member in self.group.members if member.breaker.allows(self.now)]

        def choices(self, tokens: float, never: set[Member]) -> list[Member]:
            able = self.healthy() or self.group.members
            return [
                member
                for member in able
                if member not in never
                and member.opens_at <= self.now
                and member.in_flight < member.limit
                and member.limiter.ready_at(tokens, self.now) <= self.now
            ]

        def check_choice(
            self,
            member: Member,
            free: list[Member],
            tried: set[Member],
            healthy: list[Member],
            before: dict[Member, int],
        ) -> None:
            assert member in free
            best = [one for one in free if one not in tried] or free
            assert member in best, "one that was tried before one that was not"
            if not healthy:
                return
            best = [one for one in best if one.priority == min(other.priority for other in best)]
            assert member in best, "the wrong priority"
            if len(best) == 2:
                load = {one: (before[one] + 1) / one.weight for one in best}
                assert load[member] == min(load.values()), "the more loaded of two"

        def levels(self, member: Member) -> list[float]:
            for bucket in (member.limiter.requests, member.limiter.tokens):
                bucket.refill(self.now)
            levels = [member.limiter.requests.level, member.limiter.tokens.level]
            return levels if math.isfinite(levels[0]) else [0.0, 0.0]

        def check_given_back(self, permit: Permit) -> None:
            try:
                self.group.unsent(permit, now=self.now)
            except RuntimeError:
                return
            raise AssertionError("a permit was taken back twice")

        # ---- what must hold ----

        @invariant()
        def books_are_right(self) -> None:
            assert self.group.waiting == len(self.line)
            assert len(self.line) <= MAX_WAITING
            for member in self.group.members:
                mine = [permit for permit in self.permits if permit.member is member]
                assert member.in_flight == len(mine)
                assert member.adaptive is None or member.adaptive.in_flight == len(mine)
                assert member.adaptive is not None or len(mine) <= member.limit
                assert member.limiter._unanswered <= len(mine)
                probes = [permit for permit in mine if member.breaker.is_probe(permit.ticket)]
                assert len(probes) <= 1
                assert (
                    probes or member.breaker.state is not BreakerState.HALF_OPEN or (member.breaker.allows(self.now))
                ), "a probe's place was lost"

        @invariant()
        def nobody_waits_beside_a_free_member(self) -> None:
            """Nor without a time at which somebody looks again, where time alone will help."""
            head = next((place for place in self.line if place.deadline > self.now), None)
            if head is None:
                return
            never = set(head.never)
            free = self.choices(head.tokens, never)
            assert not free or self.wake <= self.now + 0.001
            for member in self.group.members:
                if member in never or member.in_flight >= member.limit:
                    continue
                if member.breaker.allows(self.now) or not self.healthy():
                    at = max(member.opens_at, member.limiter.ready_at(head.tokens, self.now))
                    assert self.wake <= max(at, self.now) + 0.0011, "nobody will look"

        def teardown(self) -> None:
            """Everything ends well: then everybody is served, and everything is at rest."""
            for _ in range(200):
                while self.permits:
                    self.end(0, Kind.SERVED, None, None)
                self.leave_hopeless()
                if not self.line:
                    break
                assert self.wake < math.inf, "somebody waits for nothing"
                self.wait(self.wake - self.now)
            assert not self.line
            for member in self.group.members if hasattr(self, "group") else ():
                assert member.in_flight == 0
                assert member.limiter._unanswered == 0
            self.now += 1e5
            assert all(member.limiter.ready_at(500.0, self.now) == self.now for member in self.group.members)

        def leave_hopeless(self) -> None:
            for place in [*self.line]:
                if place.never.issuperset(self.group.members):
                    self.line.remove(place)
                    self.group.leave(place, self.now)
                    self.carry_out()

    return GroupMachine
