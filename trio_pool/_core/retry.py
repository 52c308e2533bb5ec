"""Whether a request is tried again, and not before when: every retry of the client is decided here, and nowhere else.

Strategy
--------
A `Course` is one request's way through its attempts. It is asked after each attempt, with what came of it and with
whether another healthy upstream could take the request now. It answers `Again` or `Stop`, each with its reason. The
reasons to stop stand in one table, in the order in which they are looked at; the first that holds is given. Only a
retry that nothing speaks against takes from the budget, so that what is refused for another reason costs nothing.

A retry on another upstream goes at once. A retry on the same one waits: a part, by chance, of what the strategy says,
and never less than the server asked for. Waits longer than a ceiling are not waited for at all: the caller is told
now, and not in ten minutes (and never is such a wait cut short, which would only draw the next refusal). Once the
caller has the answer nobody asks any more: there is no retry after a byte of the body was delivered.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

import attrs

from ..messages import IDEMPOTENT_METHODS
from ..strategy import RetryStrategy
from .budget import RetryBudget
from .outcomes import MEANINGS, Kind, Outcome, RetryRules, kind_of

FIRST_WAIT = 0.5
LONGEST_WAIT = 8.0
CEILING = 60.0
"""Seconds: a longer wait than this is told to the caller instead of being waited for."""

Reason = Literal[
    "nothing to retry",  # served, or an answer that another try would only get again
    "the server said not to",  # x-should-retry: false
    "quota spent",
    "may have been processed",
    "the body cannot be sent again",
    "no tries left",
    "no other upstream",  # another try could help on another upstream only
    "asked to wait too long",
    "past the deadline",
    "budget spent",
]
"""Why there is no further attempt."""

_WAITS: dict[RetryStrategy, Callable[[int], float]] = {
    RetryStrategy.EXPONENTIAL_BACKOFF: lambda tries: FIRST_WAIT * 2.0 ** min(tries - 1, 32),
    RetryStrategy.LINEAR: lambda tries: FIRST_WAIT * tries,
    RetryStrategy.IMMEDIATE: lambda _: 0.0,
}


def backoff(strategy: RetryStrategy, tries: int, chance: float) -> float:
    """The seconds to wait after so many tries: a part, by chance, of what the strategy says."""
    return chance * min(_WAITS[strategy](tries), LONGEST_WAIT)


@attrs.frozen(kw_only=True)
class Repeatable:
    """What a request allows.

    :ivar method: its method.
    :ivar has_body_again: whether its body can be sent a second time; true where it has none.
    :ivar is_allowed: whether the caller allows sending twice: `retry_unsafe`, or an idempotency key.
    """

    method: str
    has_body_again: bool = True
    is_allowed: bool = False

    @property
    def is_safe(self) -> bool:
        """Whether sending it twice does no more than sending it once."""
        return self.is_allowed or self.method in IDEMPOTENT_METHODS


@attrs.frozen
class Again:
    """Try again.

    :ivar at: not before this time.
    :ivar elsewhere: whether on another upstream than those that were tried.
    :ivar kind: what came of the attempt.
    """

    at: float
    elsewhere: bool
    kind: Kind


@attrs.frozen
class Stop:
    """What came is the end: the answer is returned, or the error raised.

    :ivar reason: why.
    :ivar kind: what came of the attempt.
    """

    reason: Reason
    kind: Kind


@attrs.frozen
class _Case:
    """One question: everything that a reason to stop can depend on."""

    course: Course
    outcome: Outcome
    kind: Kind
    at: float
    has_other: bool
    now: float
    rules: RetryRules

    @property
    def is_of_no_use(self) -> bool:
        """Whether another try would only bring the same: by what it means, or as a failure that no list has."""
        status = self.outcome.status or 0
        is_unlisted = self.kind is Kind.FAILED and status not in self.rules.statuses
        return MEANINGS[self.kind].where == "nowhere" or is_unlisted

    @property
    def can_help_here(self) -> bool:
        if self.outcome.should_retry is not None:
            return self.outcome.should_retry
        return MEANINGS[self.kind].where == "anywhere"

    @property
    def is_asked_too_much(self) -> bool:
        wait = self.outcome.wait or 0.0
        return wait > self.course.ceiling or self.now + wait >= self.course.deadline


_STOPS: tuple[tuple[Reason, Callable[[_Case], bool]], ...] = (
    ("the server said not to", lambda case: case.outcome.should_retry is False),
    (
        "nothing to retry",
        lambda case: case.is_of_no_use and not case.outcome.should_retry,
    ),
    (
        "may have been processed",
        lambda case: case.outcome.may_have_been_processed and not case.course.request.is_safe,
    ),
    (
        "the body cannot be sent again",
        lambda case: case.kind is not Kind.UNSENT and not case.course.request.has_body_again,
    ),
    ("no tries left", lambda case: case.course.tries >= case.course.most),
    (
        "quota spent",
        lambda case: case.kind is Kind.SPENT and not (case.has_other or case.can_help_here),
    ),
    ("no other upstream", lambda case: not (case.has_other or case.can_help_here)),
    ("asked to wait too long", lambda case: not case.has_other and case.is_asked_too_much),
    ("past the deadline", lambda case: (case.now if case.has_other else case.at) >= case.course.deadline),
)


class Course:
    """One request's way through its attempts.

    :param strategy: how long to wait between tries on one upstream.
    :param most: tries in all, over all upstreams, hedges included.
    :param deadline: nothing starts at or after this time, and nothing waits for it.
    :param budget: the client's, which has earned this request's share already.
    :param request: what the request allows.
    :param ceiling: seconds that a wait may last.
    """

    tries: int
    most: float
    deadline: float
    ceiling: float
    request: Repeatable

    def __init__(
        self,
        *,
        strategy: RetryStrategy,
        most: float,
        budget: RetryBudget,
        request: Repeatable,
        deadline: float = math.inf,
        ceiling: float = CEILING,
    ) -> None:
        self.tries = 0
        self.strategy = strategy
        self.most = most
        self.deadline = deadline
        self.request = request
        self.ceiling = ceiling
        self._budget = budget
        self._holds = False  # a retry taken from the budget and not begun
        self._held = False  # whether the last attempt was begun with one

    def begin(self, now: float) -> bool:
        """An attempt is about to be sent; False: it is too late for it, and it must not be."""
        if now >= self.deadline:
            return False
        self.tries += 1
        self._held, self._holds = self._holds, False
        return True

    def withdraw(self) -> None:
        """The attempt that was begun last was not sent after all: as if it had not been begun."""
        self.tries -= 1
        self._holds = self._held

    def judge(self, outcome: Outcome, rules: RetryRules, *, now: float, chance: float, has_other: bool) -> Again | Stop:
        """What is to be done after an attempt.

        :param outcome: how it ended.
        :param rules: those of the upstream's provider.
        :param chance: in [0, 1).
        :param has_other: whether an upstream that was not tried for this request could take it now.
        """
        kind = kind_of(outcome, rules)
        at = self._earliest(outcome, now, chance)
        case = _Case(self, outcome, kind, at, has_other, now, rules)
        reason: Reason | None = next((reason for reason, holds in _STOPS if holds(case)), None)
        if reason is None and not self._take(now):
            reason = "budget spent"
        if reason is not None:
            return Stop(reason, kind)
        return Again(now if has_other else at, has_other, kind)

    def hedge(self, now: float) -> bool:
        """Whether a second attempt may be sent beside the first. It has then been taken from the budget."""
        may = self.request.is_safe and self.request.has_body_again and self.tries < self.most and now < self.deadline
        return may and self._take(now)

    def close(self) -> None:
        """The request is over, or was cancelled: what was taken from the budget and not begun goes back. Idempotent."""
        if self._holds:
            self._holds = False
            self._budget.refund()

    def _take(self, now: float) -> bool:
        if not self._holds:
            self._holds = self._budget.spend(now)
        return self._holds

    def _earliest(self, outcome: Outcome, now: float, chance: float) -> float:
        """Never the floor itself: whoever was told the same time would come back at the same time."""
        own = backoff(self.strategy, max(self.tries, 1), chance)
        return now + own if not outcome.wait else now + outcome.wait + (own or chance * FIRST_WAIT)
