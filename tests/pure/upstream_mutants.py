"""Planted bugs in the deciders behind upstreams and retries, each of which the tests named beside it must catch.

As in `mutants.py`, a mutant replaces one exact snippet that occurs once, and the patched source runs as a module of
its own. Enumerations stay the originals', so that patched and unpatched modules understand each other.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from trio_pool._core import balance, breaker, budget, choice, concurrency, foresight, hedging, ratelimit, retry

from . import group_machine, test_breaker, test_budget, test_concurrency, test_hedging, test_ratelimit, test_retry

RUN = settings(
    max_examples=15,
    stateful_step_count=30,
    derandomize=False,  # the seeds are given
    database=None,
    deadline=None,
    phases=[Phase.generate],  # that it fails is enough to know
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def machine(
    build: Callable[[ModuleType], type], *first: Callable[[ModuleType], None]
) -> Callable[[ModuleType, int], None]:
    """A check that runs plain checks, and a state machine with as many seeds as are asked for."""

    def check(module: ModuleType, seeds: int) -> None:
        for one in first:
            one(module)
        for number in range(seeds):
            run_state_machine_as_test(seed(number)(build(module)), settings=RUN)

    return check


def once(*checks: Callable[[ModuleType], None]) -> Callable[[ModuleType, int], None]:
    """A check that runs plain checks."""

    def check(module: ModuleType, seeds: int) -> None:
        for one in checks:
            one(module)

    return check


def check_budget(module: ModuleType) -> None:
    histories: tuple[Sequence[str | float], ...] = (
        ["spend"] * 12,
        ["spend"] * 10 + ["earn"] * 5 + ["spend"] * 2,
        [1000.0, "refund", *["spend"] * 102],
        ["spend", "refund"] * 3 + ["spend"] * 11 + [2.5, "spend", "spend", "spend"],
        ["spend"] * 10 + [0.5, "spend", 0.5, "spend", "spend"],
    )
    for steps in histories:
        test_budget.check_history(module, list(steps))


def check_hedging(module: ModuleType) -> None:
    test_hedging.check_history(module, [float(number * 7 % 31 + abs(number - 225)) for number in range(450)])


def with_part(name: str) -> Callable[[ModuleType], type]:
    """The machine over groups that have one of their parts replaced."""

    def build(part: ModuleType) -> type:
        module = Mutant(balance, "", "Strategy\n--------", "Strategy\n--------").module()
        vars(module)[name] = part
        return group_machine.machine_for(module)

    return build


CHECKS: dict[ModuleType, Callable[[ModuleType, int], None]] = {
    balance: machine(group_machine.machine_for),
    choice: machine(with_part("choice")),
    foresight: machine(with_part("foresight")),
    breaker: machine(test_breaker.machine_for, test_breaker.check_openings),
    concurrency: machine(test_concurrency.machine_for),
    ratelimit: machine(test_ratelimit.machine_for),
    retry: once(test_retry.check_cases, test_retry.check_waits, test_retry.check_budget),
    budget: once(check_budget),
    hedging: once(check_hedging),
}
HEADERS = once(test_ratelimit.check_headers)


@dataclass(frozen=True)
class Mutant:
    """One bug: in this module, `old` becomes `new`."""

    of: ModuleType
    name: str
    old: str
    new: str

    def module(self) -> ModuleType:
        """A module like the original, with the bug in it."""
        text = inspect.getsource(self.of)
        found = text.count(self.old)
        assert found == 1, f"the snippet of {self.name!r} occurs {found} times in {self.of.__name__}"
        module = ModuleType(f"{self.of.__name__}_mutant")
        module.__package__ = self.of.__package__
        exec(compile(text.replace(self.old, self.new), f"<{self.name}>", "exec"), vars(module))  # our own source
        kept = {name: value for name, value in vars(self.of).items() if isinstance(value, enum.EnumMeta)}
        vars(module).update(kept)
        return module

    @property
    def check(self) -> Callable[[ModuleType, int], None]:
        """What must catch it."""
        return HEADERS if self.name.startswith("headers: ") else CHECKS[self.of]


MUTANTS = (
    # ---- breaker ----
    Mutant(
        breaker, "it opens one failure late", "self._failures >= self._threshold", "self._failures > self._threshold"
    ),
    Mutant(
        breaker,
        "a success does not end a row of failures",
        "        self._failures = 0\n        if self.state",
        "        if self.state",
    ),
    Mutant(breaker, "two probes", "return self._probe is None and now >= self.until", "return now >= self.until"),
    Mutant(
        breaker,
        "a probe before its time",
        "return self._probe is None and now >= self.until",
        "return self._probe is None",
    ),
    Mutant(
        breaker,
        "a cancelled probe keeps its place",
        "            self._probe = None\n\n    def _open",
        "            pass\n\n    def _open",
    ),
    Mutant(
        breaker,
        "a cancelled probe closes it",
        "            self._probe = None\n\n    def _open",
        "            self.succeeded(ticket)\n\n    def _open",
    ),
    Mutant(
        breaker,
        "a cancelled probe counts as failed",
        "            self._probe = None\n\n    def _open",
        "            self._open(self.until, 0.0)\n\n    def _open",
    ),
    Mutant(
        breaker,
        "an old success closes it",
        "        if ticket.epoch != self._epoch:\n            return\n        self._failures = 0\n",
        "        self._failures = 0\n",
    ),
    Mutant(
        breaker,
        "the rest of an outage counts after it",
        "            return\n        if self.state is BreakerState.CLOSED:\n",
        "            pass\n        if self.state is BreakerState.CLOSED:\n",
    ),
    Mutant(
        breaker,
        "a try out of despair lengthens the opening",
        "        elif ticket is self._probe:\n            self._open",
        "        else:\n            self._open",
    ),
    Mutant(breaker, "openings do not double", "self._first * 2.0 ** min(self.openings, 32)", "self._first"),
    Mutant(
        breaker,
        "openings have no end",
        "min(self._first * 2.0 ** min(self.openings, 32), self._longest)",
        "self._first * 2.0 ** self.openings",
    ),
    Mutant(
        breaker,
        "it never forgets how often it opened",
        "            self.openings = 0\n            self._new_epoch()",
        "            self._new_epoch()",
    ),
    # ---- budget ----
    Mutant(budget, "it goes below zero", "if self.left(now) < 1:", "if self.left(now) <= 0:"),
    Mutant(budget, "it has no cap", "min(self._left + amount, self._largest)", "self._left + amount"),
    Mutant(budget, "requests earn nothing", "        self._add(self._share * requests)", "        pass"),
    Mutant(budget, "time is counted twice", "            self._at = now\n        return", "        return"),
    Mutant(budget, "a refund is lost", "        self._add(1)", "        pass"),
    # ---- hedging ----
    Mutant(hedging, "the window never moves", "if len(self._recent) == WINDOW:", "if False:"),
    Mutant(hedging, "the wrong one is forgotten", "self._recent.popleft()", "self._recent.pop()"),
    Mutant(
        hedging,
        "the quantile is one too high",
        "math.ceil(share * len(self._sorted)) - 1",
        "math.ceil(share * len(self._sorted))",
    ),
    # ---- concurrency ----
    Mutant(
        concurrency,
        "every refusal cuts",
        "if self._end(flight) and flight.epoch == self._epoch:",
        "if self._end(flight):",
    ),
    Mutant(concurrency, "a request ends twice", "        if flight.is_over:\n            return False\n", ""),
    Mutant(
        concurrency,
        "a cancelled request counts as a success",
        "        self._end(flight)\n\n    def _end",
        "        self.succeeded(flight)\n\n    def _end",
    ),
    Mutant(concurrency, "it grows while it is held", "not self.is_held and 2", "2"),
    Mutant(concurrency, "it has no floor", "min(max(limit, self._least), self._most)", "min(limit, self._most)"),
    Mutant(concurrency, "it has no ceiling", "min(max(limit, self._least), self._most)", "max(limit, self._least)"),
    # ---- rate limits ----
    Mutant(
        ratelimit,
        "a bucket overflows",
        "            self.level = min(self.level + amount, self.capacity)",
        "            self.level += amount",
    ),
    Mutant(
        ratelimit, "a bucket refills too fast", "            self._at = now\n", "            self._at = now - 0.5\n"
    ),
    Mutant(
        ratelimit,
        "tokens are not looked at",
        "return max(self.requests.ready_at(1, now), self.tokens.ready_at(tokens, now))",
        "return self.requests.ready_at(1, now)",
    ),
    Mutant(
        ratelimit,
        "what is larger than the bucket waits for ever",
        "missing = min(amount, self.capacity) - self.level",
        "missing = amount - self.level",
    ),
    Mutant(ratelimit, "a cancelled request costs its tokens", "        self.tokens.add(charge.tokens, now)\n", ""),
    Mutant(
        ratelimit,
        "a request is cancelled twice",
        "            return\n        self._answer(charge)\n"
        "        charge.is_settled = charge.is_told = True\n        self.requests",
        "            pass\n        self._answer(charge)\n        self.requests",
    ),
    Mutant(
        ratelimit,
        "actual usage is charged beside the estimate",
        "self.tokens.add(charge.tokens - tokens, now)",
        "self.tokens.add(-tokens, now)",
    ),
    Mutant(
        ratelimit,
        "an unanswered request is forgotten",
        "        if not charge.is_answered:\n            self._answer(charge)\n",
        "",
    ),
    Mutant(
        ratelimit,
        "headers: what is on its way is forgotten",
        "left = reading.remaining - unanswered",
        "left = reading.remaining",
    ),
    Mutant(
        ratelimit,
        "headers: an old answer is believed",
        "believes_more = not self.is_known or (is_latest and self._allowed >= reading.limit)",
        "believes_more = True",
    ),
    Mutant(
        ratelimit,
        "headers: less is not believed",
        "self.level = min(self.level, left, self.capacity)",
        "self.level = min(self.level, self.capacity)",
    ),
    Mutant(
        ratelimit, "headers: more is never believed", "        if believes_more:\n            self.level = left\n", ""
    ),
    # ---- retry ----
    Mutant(
        retry,
        "it sends twice what may have been processed",
        "case.outcome.may_have_been_processed and not case.course.request.is_safe",
        "False",
    ),
    Mutant(
        retry,
        "it sends a body that is spent",
        "case.kind is not Kind.UNSENT and not case.course.request.has_body_again",
        "False",
    ),
    Mutant(retry, "one try too many", "case.course.tries >= case.course.most", "case.course.tries > case.course.most"),
    Mutant(
        retry,
        "a long wait is cut short and retried",
        "        return wait > self.course.ceiling or self.now + wait >= self.course.deadline",
        "        return False",
    ),
    Mutant(
        retry,
        "it sleeps past the deadline",
        "(case.now if case.has_other else case.at) >= case.course.deadline",
        "False",
    ),
    Mutant(retry, "the budget is not asked", "if reason is None and not self._take(now):", "if False:"),
    Mutant(
        retry,
        "what is refused costs a retry",
        "        if reason is None and not self._take(now):",
        "        if not self._take(now):",
    ),
    Mutant(retry, "a retry that was not sent is lost", "            self._budget.refund()\n", "            pass\n"),
    Mutant(
        retry,
        "a retry that was sent is refunded",
        "        self._held, self._holds = self._holds, False\n",
        "        self._held = self._holds\n",
    ),
    Mutant(retry, "no floor", "now + outcome.wait + (own or chance * FIRST_WAIT)", "now + own"),
    Mutant(
        retry,
        "a failover waits",
        "return Again(now if has_other else at, has_other, kind)",
        "return Again(at, has_other, kind)",
    ),
    Mutant(
        retry, "x-should-retry is not obeyed", "lambda case: case.outcome.should_retry is False", "lambda case: False"
    ),
    # ---- groups ----
    Mutant(balance, "the line is overtaken", "if not self._line and deadline > now:", "if deadline > now:"),
    Mutant(balance, "last come, first served", "for place in self._line:", "for place in reversed(self._line):"),
    Mutant(balance, "what blocks the first blocks nobody else", "            blocked.update(options)\n", ""),
    Mutant(balance, "the line has no bound", "if len(self._line) >= self._max_waiting:", "if False:"),
    Mutant(
        balance, "it is granted after its deadline", "            if place.deadline <= now:", "            if False:"
    ),
    Mutant(balance, "lost wake-up: nobody looks again", "        if wake != self._wake:", "        if False:"),
    Mutant(foresight, "lost wake-up: pauses", "is_desperate, now), member.opens_at, ", "is_desperate, now), "),
    Mutant(
        foresight,
        "lost wake-up: buckets",
        ", member.limiter.ready_at(tokens, now))\n    return math.inf",
        ")\n    return math.inf",
    ),
    Mutant(
        balance,
        "lost wake-up: who leaves wakes nobody",
        "        self._remove(place)\n        self._settle(now)\n        return True",
        "        self._remove(place)\n        return True",
    ),
    Mutant(
        balance,
        "lost wake-up: what is given back unsent",
        "            member.adaptive.no_sample(permit.flight)\n        self._settle(now)",
        "            member.adaptive.no_sample(permit.flight)",
    ),
    Mutant(
        balance,
        "lost wake-up: what has ended",
        "        self._note(member, *before)\n        self._settle(now)\n\n    def used",
        "        self._note(member, *before)\n\n    def used",
    ),
    Mutant(
        balance,
        "a place is leaked when a permit comes back",
        "        permit.member.in_flight -= 1\n",
        "        pass\n",
    ),
    Mutant(balance, "a permit is given back twice", "        permit.is_open = False\n", ""),
    Mutant(
        balance,
        "an unsent request is charged",
        "        member.limiter.cancel(permit.charge, now)\n        member.breaker",
        "        member.breaker",
    ),
    Mutant(
        balance,
        "an unsent probe keeps its place",
        "        member.breaker.abandoned(permit.ticket)\n        if member",
        "        if member",
    ),
    Mutant(
        balance,
        "an unsent probe counts as a success",
        "        member.breaker.abandoned(permit.ticket)\n        if member",
        "        member.breaker.succeeded(permit.ticket)\n        if member",
    ),
    Mutant(
        balance,
        "a cancelled request stays in the adaptive limit",
        "        else:\n            adaptive.no_sample(permit.flight)\n",
        "",
    ),
    Mutant(
        balance, "an answer without a charge's end", "        member.limiter.settle(permit.charge, tokens, now)\n", ""
    ),
    Mutant(balance, "pauses are not kept", "        member.opens_at = until + spread * self._chance()\n", ""),
    Mutant(
        balance,
        "a wait is not taken for a floor",
        "self._pause(member, wait, now)",
        "self._pause(member, self._own_wait(member), now)",
    ),
    Mutant(choice, "concurrency is not looked at", "return member.has_room and member", "return member"),
    Mutant(choice, "buckets are not looked at", "and member.limiter.ready_at(tokens, now) <= now\n", "\n"),
    Mutant(
        choice, "breakers are not looked at", "if (is_desperate or m.breaker.allows(now)) and is_free", "if is_free"
    ),
    Mutant(
        balance,
        "nobody is asked when all are open",
        "is_desperate = choice.is_all_open(self.members, now)",
        "is_desperate = False",
    ),
    Mutant(
        choice,
        "the same is tried again beside another",
        "best = [member for member in free if member not in place.tried] or free",
        "best = free",
    ),
    Mutant(
        balance,
        "what was tried is asked although it must not be",
        "member not in blocked and member not in place.never",
        "member not in blocked",
    ),
    Mutant(choice, "priorities are turned round", "priority = min(member.priority", "priority = max(member.priority"),
    Mutant(choice, "the more loaded is asked", "if other.load < one.load else", "if other.load > one.load else"),
)
