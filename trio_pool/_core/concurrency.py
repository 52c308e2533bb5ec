"""How many requests an upstream can have at once, found out by trying: additive increase, multiplicative decrease.

Strategy
--------
The limit grows by one for every limit's worth of successes, while at least half of it is in use: a limit that nobody
comes near proves nothing. It is cut to nine tenths when the upstream says that it is overloaded, once an epoch: the
requests that were under way at a cut belong to the same overload, and those of them that fail do not cut again. Until
the first cut or hold it grows by one with every success, which doubles it each round.

Upstreams that queue instead of refusing never say so. For them there is a target for the time to the first byte: when
the median over five seconds and twenty answers is above it, the limit is held, and shrinks a little. The target is
absolute. Limiters that infer the least latency (Vegas, Gradient2) were measured to collapse on service times with
heavy tails: the luckiest short answer becomes the yardstick for all.

A request counts until the end of its answer's body, since that is how long the upstream works for it. One that was
cancelled or failed for another reason is no sample.
"""

from __future__ import annotations

import math

import attrs

CUT = 0.9
HOLD_CUT = 0.95
SPAN = 5.0
ENOUGH = 20


@attrs.define(eq=False)
class Flight:
    """One request under way, and the epoch that it was sent in."""

    epoch: int
    is_over: bool = False


class AdaptiveLimit:
    """One upstream's limit. It is never below `least` and never above `most`.

    :param initial: the limit at first.
    :param least: the lowest it can be, 1 or more.
    :param most: the highest it can be.
    :param target: seconds that the median first byte may take, or None for no hold.
    """

    def __init__(
        self, *, initial: float = 20, least: float = 1, most: float = 1000, target: float | None = None
    ) -> None:
        self.in_flight = 0
        self.is_held = False
        self._least = least
        self._most = most
        self._target = target
        self._limit = min(max(initial, least), most)
        self._is_new = True  # never cut and never held
        self._epoch = 0
        self._times: list[float] = []
        self._since = -math.inf

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return math.floor(self._limit)

    @property
    def has_room(self) -> bool:
        """Whether one more may be sent."""
        return self.in_flight < self.limit

    def start(self, now: float) -> Flight:
        """A request is sent. The caller asked `has_room`."""
        self.in_flight += 1
        if self._since == -math.inf:
            self._since = now
        return Flight(self._epoch)

    def first_byte(self, seconds: float, now: float) -> None:
        """The answer to a request has begun, this long after the request was sent."""
        if self._target is None:
            return
        self._times.append(seconds)
        if now - self._since >= SPAN and len(self._times) >= ENOUGH:
            self._look_at_median(self._target)
            self._since = now

    def succeeded(self, flight: Flight) -> None:
        """The answer has been read to its end."""
        used = self.in_flight
        if self._end(flight) and not self.is_held and 2 * used >= self._limit:
            self._set(self._limit + (1 if self._is_new else 1 / self._limit))

    def overloaded(self, flight: Flight) -> None:
        """The upstream said that it has too much to do: 429, 503, 529, or an event that says so."""
        if self._end(flight) and flight.epoch == self._epoch:
            self._shrink(CUT)
            self._epoch += 1

    def no_sample(self, flight: Flight) -> None:
        """The request ended, and shows nothing about the limit: it was cancelled, or failed for another reason."""
        self._end(flight)

    def _end(self, flight: Flight) -> bool:
        if flight.is_over:
            return False
        flight.is_over = True
        self.in_flight -= 1
        return True

    def _look_at_median(self, target: float) -> None:
        self.is_held = sorted(self._times)[len(self._times) // 2] > target
        self._times.clear()
        if self.is_held:
            self._shrink(HOLD_CUT)

    def _shrink(self, factor: float) -> None:
        self._is_new = False
        self._set(self._limit * factor)

    def _set(self, limit: float) -> None:
        self._limit = min(max(limit, self._least), self._most)
