"""Whether an upstream is worth asking: closed while it serves, open after failures in a row, then one probe.

Strategy
--------
Whoever sends gets a *ticket* and reports with it. A ticket has the epoch in which it was given, and every opening and
closing begins a new one; what comes in from an older epoch says nothing about now and is ignored: the failures of a
hundred requests that were under way when the upstream went down open the breaker once, and not twenty times.

An open breaker lets nobody pass until its time is over. Then the first to be admitted is the probe, and nobody else
passes until it has reported. A probe that was cancelled has shown nothing: its place is free again, that is all.
Where every upstream is open somebody may be admitted all the same (`admit` never refuses); such a try closes the
breaker when it succeeds, and when it fails it does not make the opening any longer.
"""

from __future__ import annotations

import enum
import math

import attrs

FAILURES = 5  # in a row; this and the times are Finagle's failure accrual
FIRST_OPENING = 5.0
LONGEST_OPENING = 300.0


class BreakerState(enum.Enum):
    """What a breaker lets pass."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@attrs.frozen(eq=False)
class Ticket:
    """The right to report how one try went."""

    epoch: int


class Breaker:
    """One upstream's breaker.

    :param failures: how many in a row open it.
    :param first: seconds of the first opening; they double with every probe that fails. Chance takes up to half.
    :param longest: the most seconds of an opening.
    """

    def __init__(
        self, *, failures: int = FAILURES, first: float = FIRST_OPENING, longest: float = LONGEST_OPENING
    ) -> None:
        self.state = BreakerState.CLOSED
        self.until = -math.inf  # when an open one may be probed
        self.openings = 0  # in a row
        self._threshold = failures
        self._first = first
        self._longest = longest
        self._failures = 0
        self._epoch = 0
        self._probe: Ticket | None = None

    def allows(self, now: float) -> bool:
        """Whether a request may be sent, as the probe perhaps."""
        if self.state is BreakerState.CLOSED:
            return True
        return self._probe is None and now >= self.until

    def admit(self, now: float) -> Ticket:
        """A request is about to be sent. Who asked `allows` before and was told no goes on its own account."""
        ticket = Ticket(self._epoch)
        if self.state is not BreakerState.CLOSED and self.allows(now):
            self.state = BreakerState.HALF_OPEN
            self._probe = ticket
        return ticket

    def is_probe(self, ticket: Ticket) -> bool:
        """Whether the ticket is the probe that is under way."""
        return ticket is self._probe

    def succeeded(self, ticket: Ticket) -> None:
        """The upstream answered, and well."""
        if ticket.epoch != self._epoch:
            return
        self._failures = 0
        if self.state is not BreakerState.CLOSED:
            self.state = BreakerState.CLOSED
            self.openings = 0
            self._new_epoch()

    def failed(self, ticket: Ticket, now: float, chance: float) -> None:
        """The upstream could not be reached, or answered that it cannot serve."""
        if ticket.epoch != self._epoch:
            return
        if self.state is BreakerState.CLOSED:
            self._failures += 1
            if self._failures >= self._threshold:
                self._open(now, chance)
        elif ticket is self._probe:
            self._open(now, chance)

    def abandoned(self, ticket: Ticket) -> None:
        """The try ended without showing anything: it was cancelled, or never sent."""
        if ticket is self._probe:
            self._probe = None

    def _open(self, now: float, chance: float) -> None:
        length = min(self._first * 2.0 ** min(self.openings, 32), self._longest)
        self.until = now + length * (1 - chance / 2)
        self.state = BreakerState.OPEN
        self.openings += 1
        self._failures = 0
        self._new_epoch()

    def _new_epoch(self) -> None:
        self._epoch += 1
        self._probe = None
