"""A small world for the deciders: virtual time, providers that fail as they are told, and the client's attempt loop.

Requests are generators, run in the order of virtual time. A request yields the time at which it goes on, or a place in
the line, and then goes on with what the line answered. There is no concurrency but that.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from trio_pool._core.balance import Group
from trio_pool._core.budget import RetryBudget
from trio_pool._core.outcomes import Kind, Outcome, RetryRules, kind_of
from trio_pool._core.permits import Granted, Member, Permit, Place, Refused, WakeAt
from trio_pool._core.retry import Again, Course, Repeatable
from trio_pool.errors import ConnectError
from trio_pool.strategy import RetryStrategy

Answer = Granted | Refused
Process = Generator[float | Place, Answer | None, None]
Serve = Callable[[Member, float], tuple[Outcome, float, float]]
"""A provider: what comes of an attempt, its seconds to the first byte, and its seconds in all."""

OK = Outcome(status=200)
BUSY = Outcome(status=503)
RULES = RetryRules()


def refused() -> Outcome:
    """Nobody listens."""
    return Outcome(error=ConnectError("refused"))


@dataclass
class Tally:
    """What came of all requests."""

    requests: int = 0
    served: int = 0
    attempts: int = 0
    retries: int = 0
    refused: int = 0
    sent: list[tuple[float, object, bool]] = field(default_factory=list)  # when, to whom, as a probe
    kinds: dict[Kind, int] = field(default_factory=dict)
    first_bytes: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)


class World:
    """Virtual time, one group, one budget."""

    def __init__(
        self,
        members: list[Member],
        serve: Serve,
        *,
        seed: int = 0,
        tries: int = 3,
        strategy: RetryStrategy = RetryStrategy.EXPONENTIAL_BACKOFF,
        patience: float = 10.0,
        total: float = math.inf,
        at_first: float = 10.0,
    ) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self.group = Group(members, chance=self.random.random)
        self.budget = RetryBudget(now=0.0, at_first=at_first)
        self.tally = Tally()
        self.serve = serve
        self.tries = tries
        self.strategy = strategy
        self.patience = patience
        self.total = total
        self._order = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (when, next(self._order), act))

    def run(self, until: float = math.inf) -> None:
        while self._agenda and self._agenda[0][0] <= until:
            self.now, _, act = heapq.heappop(self._agenda)
            act()
            self.carry_out()

    def start(self, when: float, process: Callable[[], Process], *, cancelled_after: float = math.inf) -> None:
        def begin() -> None:
            begun = process()
            if cancelled_after != math.inf:
                self.at(self.now + cancelled_after, begun.close)
            self.resume(begun, None)

        self.at(when, begin)

    def resume(self, process: Process, answer: Answer | None) -> None:
        try:
            wanted = process.send(answer)
        except StopIteration:
            return
        if isinstance(wanted, Place):
            wanted.ticket = process
            if not any(getattr(done, "place", None) is wanted for done in self.group.decisions):
                self.at(wanted.deadline, lambda: self._give_up(wanted))
        else:
            self.at(wanted, lambda: self.resume(process, None))

    def _give_up(self, place: Place) -> None:
        if self.group.leave(place, self.now):
            self.resume(place.ticket, Refused(place, "late", self.now))

    def carry_out(self) -> None:
        while self.group.decisions:
            decision = self.group.decisions.popleft()
            if isinstance(decision, WakeAt) and decision.at != math.inf:
                self.at(decision.at, lambda: self.group.tick(self.now))
            elif isinstance(decision, (Granted, Refused)):
                assert decision.place is not None
                self.resume(decision.place.ticket, decision)

    # ---- the client's attempt loop ----

    def request(self) -> Process:
        self.tally.requests += 1
        self.budget.earn(self.now)
        course = Course(
            strategy=self.strategy,
            most=self.tries,
            budget=self.budget,
            request=Repeatable(method="POST"),
            deadline=self.now + self.total,
        )
        try:
            yield from self._course(course)
        finally:
            course.close()

    def _course(self, course: Course) -> Process:
        tried: list[Member] = []
        is_strict = False
        while True:
            permit = yield from self._permit(tried, is_strict, course)
            if permit is None:
                break
            outcome = yield from self._attempt(permit, course)
            tried.append(permit.member)
            if outcome is None or outcome.status == 200:
                break
            has_other = self.group.has_other(tried, self.now)
            next_step = course.judge(outcome, RULES, now=self.now, chance=self.random.random(), has_other=has_other)
            if not isinstance(next_step, Again):
                break
            is_strict = next_step.elsewhere
            if next_step.at > self.now:
                yield next_step.at

    def _permit(
        self, tried: list[Member], is_strict: bool, course: Course
    ) -> Generator[float | Place, Answer | None, Permit | None]:
        deadline = min(self.now + self.patience, course.deadline)
        answer = self.group.ask(self.now, tried=tried, never=tried if is_strict else (), deadline=deadline)
        if isinstance(answer, Place):
            try:
                said = yield answer
            except GeneratorExit:
                self.group.leave(answer, self.now)
                raise
            answer = said.permit if isinstance(said, Granted) else Refused(answer, "late", self.now)
        if isinstance(answer, Refused):
            self.tally.refused += 1
            return None
        return answer

    def _attempt(self, permit: Permit, course: Course) -> Generator[float | Place, Answer | None, Outcome | None]:
        if not course.begin(self.now):
            self.group.unsent(permit, now=self.now)
            return None
        member = permit.member
        assert self.now >= member.paused_until, "sent in a pause"
        self.tally.attempts += 1
        self.tally.retries += course.tries > 1
        self.tally.sent.append((self.now, member.upstream, member.breaker.is_probe(permit.ticket)))
        outcome, first_byte, duration = self.serve(member, self.now)
        sent = self.now
        try:
            yield sent + first_byte
            if outcome.status == 200:
                self.group.serving(permit, first_byte, now=self.now)
                self.tally.first_bytes.append(first_byte)
            yield sent + duration
        except GeneratorExit:
            self.group.ended(permit, Kind.OURS, now=self.now)
            raise
        kind = kind_of(outcome, RULES)
        self.tally.kinds[kind] = self.tally.kinds.get(kind, 0) + 1
        self.group.ended(permit, kind, now=self.now, wait=outcome.wait)
        if outcome.status == 200:
            self.tally.served += 1
            self.tally.ended.append(self.now)
        return outcome


class Outages:
    """When each upstream is down: bursts of exponential length that come independently of each other."""

    def __init__(self, names: str, seed: int, *, until: float, share: float = 0.01, mean: float = 5.0) -> None:
        chance = random.Random(f"outages {seed}")
        self.of = {name: list(self._bursts(chance, until, share, mean)) for name in names}

    @staticmethod
    def _bursts(chance: random.Random, until: float, share: float, mean: float) -> Generator[tuple[float, float]]:
        at = chance.expovariate(share / mean / (1 - share))
        while at < until:
            length = chance.expovariate(1 / mean)
            yield at, at + length
            at += length + chance.expovariate(share / mean / (1 - share))

    def has(self, name: object, now: float) -> bool:
        return any(start <= now < end for start, end in self.of[str(name)])


class Capacity:
    """A provider with room for so many at once and a service time of heavy tail.

    What is more waits in a queue that nobody sees, where it has one, and is refused at once beyond that.
    """

    def __init__(self, seed: object, *, sigma: float, places: int = 60, queue: int = 0, mean: float = 8.0) -> None:
        self._random = random.Random(f"capacity {seed}")
        self._mu = math.log(mean) - sigma * sigma / 2
        self._sigma = sigma
        self._room = places + queue
        self._free = [0.0] * places  # a heap: when each place is free of what has come so far
        self._ends: list[float] = []  # a heap: when each that is there will have been served

    def serve(self, member: Member, now: float) -> tuple[Outcome, float, float]:
        while self._ends and self._ends[0] <= now:
            heapq.heappop(self._ends)
        if len(self._ends) >= self._room:
            return Outcome(status=429), 0.01, 0.01
        service = self._random.lognormvariate(self._mu, self._sigma)
        wait = max(self._free[0] - now, 0.0)
        heapq.heapreplace(self._free, now + wait + service)
        heapq.heappush(self._ends, now + wait + service)
        return OK, wait + 0.05 * service, wait + service


def saturate(world: World, workers: int, until: float) -> None:
    """As many requests as there are workers, at all times."""

    def worker() -> Process:
        while world.now < until:
            yield from world.request()

    for number in range(workers):
        world.start(number * 0.01, worker)
    world.run(until)
