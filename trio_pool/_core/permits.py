"""What `balance.py` speaks of: the members of a group, places in its line, permits, and the decisions that come out.

These are records. What changes them stands in `balance.py`, and nothing outside the core may.
"""

from __future__ import annotations

import math
from typing import Any, Literal

import attrs

from .breaker import Breaker, BreakerState, Ticket
from .concurrency import AdaptiveLimit, Flight
from .hedging import FirstByteTimes
from .ratelimit import Charge, RateLimiter


class Member:
    """One upstream of a group, as the core knows it.

    :param upstream: the caller's own, handed back untouched.
    :param priority: the lower, the sooner it is asked.
    :param weight: its share among those of its priority, positive.
    :param limiter: the provider's limits per minute.
    :param most: how many requests it may have at once; with `adaptive`, that limit's own `most` holds.
    :param adaptive: a limit that is found out by trying, or None.
    """

    def __init__(
        self,
        upstream: Any,
        *,
        priority: int = 0,
        weight: float = 1.0,
        limiter: RateLimiter | None = None,
        most: float = math.inf,
        adaptive: AdaptiveLimit | None = None,
    ) -> None:
        self.upstream = upstream
        self.priority = priority
        self.weight = weight
        self.limiter = limiter or RateLimiter()
        self.adaptive = adaptive
        self.breaker = Breaker()
        self.first_bytes = FirstByteTimes()
        self.in_flight = 0
        self.paused_at = -math.inf  # when the last pause began
        self.paused_until = -math.inf  # what the server asked for: nothing is sent before
        self.opens_at = -math.inf  # when the line may send it the next: later than that, by chance
        self.eases_until = -math.inf  # until when the line sends it one by one
        self.refusals = 0  # in a row, without a time to come back
        self._most = most

    @property
    def limit(self) -> float:
        """How many requests it may have at once."""
        return self._most if self.adaptive is None else self.adaptive.limit

    @property
    def has_room(self) -> bool:
        """Whether it may have one more request."""
        return self.in_flight < self.limit

    @property
    def load(self) -> float:
        """What one more request would make of it, relative to its weight."""
        return (self.in_flight + 1) / self.weight


@attrs.define(eq=False)
class Permit:
    """The right to send one attempt to one upstream. It is given back exactly once, by `unsent` or by `ended`.

    :ivar is_serving: whether an answer has begun by it that is one.
    """

    member: Member
    charge: Charge
    ticket: Ticket
    flight: Flight | None
    granted_at: float
    is_open: bool = True
    is_serving: bool = False

    @property
    def is_probe(self) -> bool:
        """Whether it tells if the upstream has recovered."""
        return self.member.breaker.is_probe(self.ticket)


@attrs.define(eq=False)
class Place:
    """A place in the line. `ticket` is the caller's own, handed back untouched.

    :ivar number: its age: the lower, the older.
    :ivar tokens: about how many the request will use.
    :ivar deadline: nothing is granted at or after this time.
    :ivar tried: the members that were tried for this request; others come first.
    :ivar never: those that are no choice at all.
    """

    number: int
    tokens: float
    deadline: float
    tried: frozenset[Member]
    never: frozenset[Member]
    ticket: Any


@attrs.frozen(eq=False)
class Granted:
    """The place's turn has come: hand it the permit, which is its own now."""

    place: Place
    permit: Permit


@attrs.frozen(eq=False)
class Refused:
    """There is nothing for this request in time.

    :ivar place: whose it was, or None: it never stood in line.
    :ivar why: "late": it would be its turn after its deadline, or that has passed; "full": the line is.
    :ivar at: when to come back, as far as is known.
    """

    place: Place | None
    why: Literal["late", "full"]
    at: float


@attrs.frozen(eq=False)
class Paused:
    """Nothing is sent to the member until then."""

    member: Member
    until: float


@attrs.frozen(eq=False)
class BreakerChanged:
    """A member's breaker went from one state to another.

    :ivar until: when it may be probed, if it is open.
    """

    member: Member
    before: BreakerState
    after: BreakerState
    until: float


@attrs.frozen(eq=False)
class LimitChanged:
    """A member's adaptive limit is another number now."""

    member: Member
    before: int
    after: int


@attrs.frozen(eq=False)
class WakeAt:
    """Call `tick` at this time, and not only when it was last asked for. `math.inf`: not at all."""

    at: float


GroupDecision = Granted | Refused | Paused | BreakerChanged | LimitChanged | WakeAt
