"""The provider's limits per minute, kept on our side: a bucket of requests, and a bucket of tokens.

Strategy
--------
A request is *charged* before it is sent, with an estimate of its tokens; the charge is corrected when the answer tells
the actual usage, and taken back when the request is never sent. A bucket refills evenly and holds one minute's worth.
What is larger than a bucket may go when the bucket is full, and leaves a debt.

The provider's own headers are the better truth. What they call remaining does not know of requests that are still on
their way, so all charges without an answer are subtracted from it. Less than we thought is believed at once. More is
believed only from the answer to the latest request that was answered: an older one knows less than we do. A limit in
the headers replaces what we thought the bucket holds, but is never taken for more than the user allows.

A limit is for one minute (the names `x-ratelimit-limit-requests` do not say so, the documents do). Where the reset
shows that refilling takes much longer than that, the limit is for a day, and the rate is what the reset says.

There is no line here. Who waits for room stands in the line of `balance.py`, first come first served.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Literal

import attrs

from .dates import LONGEST_PAUSE, duration, number, rfc3339

MINUTE = 60.0
SLACK = 1e-3  # of a request or token: so that a bucket looked at exactly when it is ready is ready
COARSE = 2.0  # seconds: resets are rounded


@attrs.frozen
class Names:
    """The header fields of one limit, in lower case.

    :ivar limit: how much there is a minute.
    :ivar remaining: how much of it is left.
    :ivar reset: when all of it will be there again.
    """

    limit: str
    remaining: str
    reset: str


@attrs.frozen(kw_only=True)
class LimitHeaders:
    """How one provider tells its limits.

    :ivar requests: the fields for requests, or None.
    :ivar tokens: the fields for tokens, or None.
    :ivar reset: what the reset is: a duration such as "6m0s", or a time such as "2026-01-27T12:00:30Z".
    """

    requests: Names | None = None
    tokens: Names | None = None
    reset: Literal["duration", "rfc3339"] = "duration"


@attrs.frozen
class Reading:
    """One limit as the provider told it.

    :ivar limit: how much there is.
    :ivar remaining: how much is left, at least 0.
    :ivar reset: seconds until all of it is there again, a day at most, or None.
    """

    limit: float
    remaining: float
    reset: float | None


def _until(text: str, wall: float) -> float | None:
    at = rfc3339(text)
    return None if at is None else max(at - wall, 0.0)


_RESETS: dict[str, Callable[[str, float], float | None]] = {
    "duration": lambda text, _: duration(text),
    "rfc3339": _until,
}


def read_limit(headers: Mapping[str, str], names: Names | None, reset: str, wall: float) -> Reading | None:
    """One limit out of an answer's fields, or None: not there, malformed, or no limit (some send 0 or -1)."""
    if names is None:
        return None
    limit = number(headers.get(names.limit, "").strip())
    remaining = number(headers.get(names.remaining, "").strip())
    if not limit or remaining is None or not math.isfinite(limit):
        return None
    seconds = _RESETS[reset](headers.get(names.reset, "").strip(), wall)
    return Reading(limit, min(remaining, limit), None if seconds is None else min(seconds, LONGEST_PAUSE))


class Bucket:
    """What may be used of one limit. The level is never above the capacity; below zero it is a debt.

    :param allowed: the most a minute, by the user's word; `math.inf` where only the headers will tell.
    """

    def __init__(self, allowed: float = math.inf) -> None:
        self.capacity = allowed
        self.level = allowed
        self._allowed = allowed
        self._rate = allowed / MINUTE
        self._at = -math.inf

    @property
    def is_known(self) -> bool:
        """Whether there is a limit at all, so far."""
        return self.capacity != math.inf

    @property
    def rate(self) -> float:
        """How much is added a second."""
        return self._rate

    def refill(self, now: float) -> None:
        """Add what has accrued until now."""
        if now > self._at:
            if self.is_known and self._at != -math.inf:
                self.level = min(self.level + (now - self._at) * self._rate, self.capacity)
            self._at = now

    def ready_at(self, amount: float, now: float) -> float:
        """When so much could be taken, if nothing else were: now, or later."""
        self.refill(now)
        missing = min(amount, self.capacity) - self.level
        return now if not self.is_known or missing <= SLACK else now + missing / self._rate

    def add(self, amount: float, now: float) -> None:
        """Give so much back, or take it where it is negative."""
        self.refill(now)
        if self.is_known:
            self.level = min(self.level + amount, self.capacity)

    def correct(self, reading: Reading, *, unanswered: float, is_latest: bool, now: float) -> None:
        """Believe the provider.

        :param unanswered: what is charged for requests of which the provider may not know yet.
        :param is_latest: whether no later request has been answered.
        """
        self.refill(now)
        believes_more = not self.is_known or (is_latest and self._allowed >= reading.limit)
        self.capacity = min(reading.limit, self._allowed)
        self._rate = min(_rate(reading), self._allowed / MINUTE)
        left = reading.remaining - unanswered
        if believes_more:
            self.level = left
        self.level = min(self.level, left, self.capacity)


def _rate(reading: Reading) -> float:
    by_minute = reading.limit / MINUTE
    used = reading.limit - reading.remaining
    if not reading.reset or not used or reading.reset <= 2 * used / by_minute + COARSE:
        return by_minute
    return used / reading.reset


@attrs.define(eq=False)
class Charge:
    """What one request was charged."""

    number: int
    tokens: float
    is_answered: bool = False
    is_settled: bool = False
    is_told: bool = False  # whether the actual usage is known


class RateLimiter:
    """The limits of one upstream.

    :param requests_per_minute: the most the user allows; `math.inf` where only the headers will tell.
    :param tokens_per_minute: the same for tokens.
    :param headers: how the provider tells its limits, or None.
    """

    def __init__(
        self,
        *,
        requests_per_minute: float = math.inf,
        tokens_per_minute: float = math.inf,
        headers: LimitHeaders | None = None,
    ) -> None:
        self.requests = Bucket(requests_per_minute)
        self.tokens = Bucket(tokens_per_minute)
        self._headers = headers or LimitHeaders()
        self._charged = 0
        self._latest_answered = 0
        self._unanswered = 0
        self._unanswered_tokens = 0.0

    def ready_at(self, tokens: float, now: float) -> float:
        """When a request of so many tokens could be sent, if no other were: now, or later."""
        return max(self.requests.ready_at(1, now), self.tokens.ready_at(tokens, now))

    def charge(self, tokens: float, now: float) -> Charge:
        """A request of about so many tokens is going to be sent. The caller asked `ready_at`."""
        self.requests.add(-1, now)
        self.tokens.add(-tokens, now)
        self._charged += 1
        self._unanswered += 1
        self._unanswered_tokens += tokens
        return Charge(self._charged, tokens)

    def cancel(self, charge: Charge, now: float) -> None:
        """The request was never sent: everything goes back. Idempotent."""
        if charge.is_settled or charge.is_answered:
            return
        self._answer(charge)
        charge.is_settled = charge.is_told = True
        self.requests.add(1, now)
        self.tokens.add(charge.tokens, now)

    def answered(self, charge: Charge, headers: Mapping[str, str], now: float, wall: float) -> None:
        """The head of the answer has come: believe what its fields say of the limits."""
        if charge.is_answered or charge.is_settled:
            return
        self._answer(charge)
        is_latest = charge.number > self._latest_answered
        self._latest_answered = max(self._latest_answered, charge.number)
        form = self._headers
        for bucket, names, unanswered in (
            (self.requests, form.requests, self._unanswered),
            (self.tokens, form.tokens, self._unanswered_tokens),
        ):
            reading = read_limit(headers, names, form.reset, wall)
            if reading is not None:
                bucket.correct(reading, unanswered=unanswered, is_latest=is_latest, now=now)

    def settle(self, charge: Charge, tokens: float | None, now: float) -> None:
        """The request is over; it used so many tokens, or nobody knows yet and the estimate stands. Idempotent."""
        if charge.is_settled:
            return
        if not charge.is_answered:
            self._answer(charge)
        charge.is_settled = True
        if tokens is not None:
            self.used(charge, tokens, now)

    def used(self, charge: Charge, tokens: float, now: float) -> None:
        """The request used so many tokens, which may be known after it was settled. Only the first word counts."""
        if not charge.is_told:
            charge.is_told = True
            self.tokens.add(charge.tokens - tokens, now)

    def _answer(self, charge: Charge) -> None:
        charge.is_answered = True
        self._unanswered -= 1
        self._unanswered_tokens = self._unanswered_tokens - charge.tokens if self._unanswered else 0.0
