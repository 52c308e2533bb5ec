"""Which upstream gets a request, and when: priorities, loads, health, pauses and limits, and the line before them.

Strategy
--------
Several upstreams that can serve the same requests are a *group*. A request asks for a *permit*, which names the member
it goes to and holds a share of everything that is limited: a place among the member's concurrent requests, a charge in
its buckets, a ticket of its breaker. Whoever got a permit gives it back exactly once: `unsent` when no byte went out,
`ended` when it is over, which is at the end of the answer's body.

Who of the members that are free gets a request is said in `choice.py`, and when one will be free in `foresight.py`.

Where none is free there is one line for the whole group, so that whoever becomes free first serves whoever waits
first. Every event ends in `_settle`, which goes down the line. A place for which nothing is free blocks the members
that it could have used, so nobody behind it can overtake it on them; when all are blocked, that is all. So a step
costs as much as it grants, and one look at each member. A request that cannot be served before its deadline, by what
the buckets and pauses tell, is refused when it asks.

A pause is what a server asks for, or what follows a 429 that does not say how long; those of the requests that were
under way at its beginning say nothing new. (Failures are the breaker's business, and make no pause.) Nothing is sent
to the member in it, and what has waited for its end does not go out at once then: over a tenth of the pause (0.5 to
8 s) the line is let go one by one, at such times as if each had rolled a die of its own for when to come back. Nor
does that begin at the end itself, but up to as much later, by chance, because other clients were told the same time.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from typing import Any

from ..strategy import RetryStrategy
from . import choice, foresight
from .breaker import BreakerState
from .outcomes import MEANINGS, Health, Kind
from .permits import (
    BreakerChanged,
    Granted,
    GroupDecision,
    LimitChanged,
    Member,
    Paused,
    Permit,
    Place,
    Refused,
    WakeAt,
)
from .retry import backoff

SPREAD = 0.1
SHORTEST_SPREAD = 0.5
LONGEST_SPREAD = 8.0


class Group:
    """The upstreams behind one logical API. See the module's docstring; times are in seconds.

    :param members: at least one.
    :param chance: gives numbers in [0, 1).
    :param max_waiting: the line's bound.
    """

    def __init__(
        self, members: Iterable[Member], *, chance: Callable[[], float], max_waiting: float = math.inf
    ) -> None:
        self.members = tuple(members)
        self.decisions: deque[GroupDecision] = deque()
        self._chance = chance
        self._max_waiting = max_waiting
        self._line: OrderedDict[Place, None] = OrderedDict()
        self._tokens_in_line = 0.0
        self._arrivals = 0
        self._wake = math.inf

    @property
    def waiting(self) -> int:
        """How many stand in the line."""
        return len(self._line)

    # ---- asking ----

    def ask(
        self,
        now: float,
        *,
        tokens: float = 0.0,
        deadline: float = math.inf,
        tried: Iterable[Member] = (),
        never: Iterable[Member] = (),
        ticket: Any = None,
    ) -> Permit | Place | Refused:
        """A permit at once, or a place in the line, or the answer that there will be nothing in time.

        :param tokens: about how many the request will use.
        :param deadline: nothing is granted at or after this time.
        :param tried: the members that were tried for this request: others come first.
        :param never: those that are no choice at all.
        :param ticket: the caller's own.
        """
        self._arrivals += 1
        place = Place(self._arrivals, tokens, deadline, frozenset(tried), frozenset(never), ticket)
        if not self._line and deadline > now:
            member = self._choose(place, self._options(place, set()), now)
            if member is not None:
                return self._grant(member, place, now, behind=0)
        demand = len(self._line) + 1, self._tokens_in_line
        at = foresight.earliest(self.members, self._options(place, set()), place.tokens, demand, now)
        if at >= deadline:
            return Refused(None, "late", at)
        if len(self._line) >= self._max_waiting:
            return Refused(None, "full", at)
        self._line[place] = None
        self._tokens_in_line += place.tokens
        self._settle(now)
        return place

    def has_other(self, tried: Iterable[Member], now: float, tokens: float = 0.0) -> bool:
        """Whether a healthy member beside those that were tried could take a request now, and nobody waits."""
        others = set(self.members).difference(tried)
        return not self._line and any(
            member.breaker.allows(now) and choice.is_free(member, tokens, now) for member in others
        )

    def free_at(self, now: float, never: Iterable[Member]) -> float:
        """When the first member beside these may be asked, as far as pauses and breakers tell; else `math.inf`."""
        return foresight.first_start(self.members, set(self.members).difference(never), now)

    def probe(self, member: Member, now: float) -> Permit | None:
        """A permit for an active probe of a member whose breaker is not closed, if it may be probed now."""
        breaker = member.breaker
        if breaker.state is BreakerState.CLOSED or not breaker.allows(now) or not choice.is_free(member, 0.0, now):
            return None
        permit = self._grant(member, Place(0, 0.0, math.inf, frozenset(), frozenset(), None), now, behind=0)
        self._settle(now)
        return permit

    def is_paused(self, permit: Permit, now: float) -> bool:
        """Whether the member got a pause since the permit was granted; it is to be given back then, unsent."""
        return now < permit.member.paused_until

    # ---- what happens ----

    def leave(self, place: Place, now: float) -> bool:
        """Leave the line. False: the place had been granted or refused before."""
        if place not in self._line:
            return False
        self._remove(place)
        self._settle(now)
        return True

    def tick(self, now: float) -> None:
        """The time has come that the last `WakeAt` named."""
        self._wake = math.inf
        self._settle(now)

    def answered(self, permit: Permit, headers: Any, *, now: float, wall: float) -> None:
        """The head of the answer has come, whatever its status: believe what it says of the limits.

        :param headers: fields by name, in lower case or compared without regard to case.
        :param wall: the seconds since 1970.
        """
        permit.member.limiter.answered(permit.charge, headers, now, wall)
        self._settle(now)

    def serving(self, permit: Permit, first_byte: float, *, now: float) -> None:
        """The answer is known to be one: below 400 and, where it is a stream of events, the first is no error.

        :param first_byte: seconds from having sent the request to that.
        """
        member = permit.member
        before = member.breaker.state, member.limit
        permit.is_serving = True
        if member.breaker.state is not BreakerState.CLOSED:
            member.breaker.succeeded(permit.ticket)  # a probe has shown enough; others show it at their end
        member.refusals = 0
        member.first_bytes.add(first_byte)
        if member.adaptive is not None:
            member.adaptive.first_byte(first_byte, now)
        self._note(member, *before)
        self._settle(now)

    def unsent(self, permit: Permit, *, now: float) -> None:
        """The attempt was given up before a byte went out, and not because of the upstream: as if it never was."""
        self._close(permit)
        member = permit.member
        member.limiter.cancel(permit.charge, now)
        member.breaker.abandoned(permit.ticket)
        if member.adaptive is not None and permit.flight is not None:
            member.adaptive.no_sample(permit.flight)
        self._settle(now)

    def ended(
        self, permit: Permit, kind: Kind, *, now: float, wait: float | None = None, tokens: float | None = None
    ) -> None:
        """The attempt is over: answered and read to its end, failed, or cancelled (`Kind.OURS`).

        :param wait: seconds for which the server asks not to be asked again, or None.
        :param tokens: how many it used; None: nobody knows, and the estimate stands.
        """
        self._close(permit)
        member = permit.member
        before = member.breaker.state, member.limit
        if kind is Kind.UNSENT:
            member.limiter.cancel(permit.charge, now)
        member.limiter.settle(permit.charge, tokens, now)
        is_left = kind is Kind.OURS and permit.is_serving  # what was served well and not wanted to its end
        self._tell_breaker(permit, Health.GOOD if is_left else MEANINGS[kind].health, now)
        self._tell_limit(permit, kind)
        self._heed(member, kind, wait, permit.granted_at, now)
        self._note(member, *before)
        self._settle(now)

    def used(self, permit: Permit, tokens: float, *, now: float) -> None:
        """An attempt is known to have used so many tokens; it may have ended before."""
        permit.member.limiter.used(permit.charge, tokens, now)
        self._settle(now)

    def told(self, member: Member, kind: Kind, wait: float | None, *, sent: float, now: float) -> None:
        """An attempt without a permit, sent at that time, has ended: what it says of a pause is heeded."""
        self._heed(member, kind, wait, sent, now)
        self._settle(now)

    # ---- telling the parts ----

    def _close(self, permit: Permit) -> None:
        if not permit.is_open:
            raise RuntimeError("the permit was given back before")
        permit.is_open = False
        permit.member.in_flight -= 1

    def _tell_breaker(self, permit: Permit, health: Health, now: float) -> None:
        breaker = permit.member.breaker
        if health is Health.GOOD:
            breaker.succeeded(permit.ticket)
        elif health is Health.BAD:
            breaker.failed(permit.ticket, now, self._chance())
        else:
            breaker.abandoned(permit.ticket)

    def _tell_limit(self, permit: Permit, kind: Kind) -> None:
        adaptive = permit.member.adaptive
        if adaptive is None or permit.flight is None:
            return
        if kind is Kind.SERVED:
            adaptive.succeeded(permit.flight)
        elif MEANINGS[kind].is_overload:
            adaptive.overloaded(permit.flight)
        else:
            adaptive.no_sample(permit.flight)

    def _own_wait(self, member: Member) -> float:
        """How long to leave a member alone that does not say how long: as long as a retry would wait."""
        member.refusals += 1
        return backoff(RetryStrategy.EXPONENTIAL_BACKOFF, member.refusals, self._chance())

    def _heed(self, member: Member, kind: Kind, wait: float | None, sent: float, now: float) -> None:
        """Make the pause that an attempt's end asks for; one that was sent before the last says nothing new."""
        if wait and MEANINGS[kind].where != "nowhere":
            self._pause(member, wait, now)
        elif kind is Kind.LIMITED and sent >= member.paused_at:
            self._pause(member, self._own_wait(member), now)

    def _pause(self, member: Member, wait: float, now: float) -> None:
        until = now + wait
        if until <= member.paused_until:
            return
        spread = min(max(wait * SPREAD, SHORTEST_SPREAD), LONGEST_SPREAD)
        member.paused_at = now
        member.paused_until = until
        member.opens_at = until + spread * self._chance()
        member.eases_until = member.opens_at + spread
        self.decisions.append(Paused(member, until))

    def _note(self, member: Member, state: BreakerState, limit: float) -> None:
        breaker = member.breaker
        if breaker.state is not state:
            self.decisions.append(BreakerChanged(member, state, breaker.state, breaker.until))
        if member.limit != limit:
            self.decisions.append(LimitChanged(member, int(limit), int(member.limit)))

    # ---- granting ----

    def _options(self, place: Place, blocked: set[Member]) -> list[Member]:
        """The members that are a choice for the place, free or not."""
        return [member for member in self.members if member not in blocked and member not in place.never]

    def _choose(self, place: Place, options: list[Member], now: float) -> Member | None:
        is_desperate = choice.is_all_open(self.members, now)
        return choice.choose(place, options, is_desperate=is_desperate, chance=self._chance, now=now)

    def _grant(self, member: Member, place: Place, now: float, behind: int) -> Permit:
        before = member.breaker.state
        permit = Permit(
            member,
            member.limiter.charge(place.tokens, now),
            member.breaker.admit(now),
            member.adaptive.start(now) if member.adaptive is not None else None,
            now,
        )
        member.in_flight += 1
        if behind and now < member.eases_until:
            due = max(member.opens_at, now - foresight.INSTANT)  # a tick that comes late makes up for it
            member.opens_at = due + (member.eases_until - due) * (1 - (1 - self._chance()) ** (1 / behind))
        self._note(member, before, member.limit)
        return permit

    # ---- the line ----

    def _remove(self, place: Place) -> None:
        del self._line[place]
        self._tokens_in_line = self._tokens_in_line - place.tokens if self._line else 0.0

    def _settle(self, now: float) -> None:
        """Grant what can be granted, in order, and say when to look again.

        A grant can be a probe, and the last that was healthy is not so while it is probed: so there is another look.
        """
        while (wake := self._go_down_the_line(now)) is None:
            pass
        if wake != self._wake:
            self._wake = wake
            self.decisions.append(WakeAt(wake))

    def _go_down_the_line(self, now: float) -> float | None:
        """Grant what can be granted; None: something was, else when to look again."""
        blocked: set[Member] = set()
        done: list[Granted | Refused] = []
        wake = math.inf
        for place in self._line:
            if len(blocked) == len(self.members):
                break
            if place.deadline <= now:
                done.append(Refused(place, "late", now))
                continue
            options = self._options(place, blocked)
            member = self._choose(place, options, now)
            if member is not None:
                done.append(Granted(place, self._grant(member, place, now, behind=len(self._line) - len(done) - 1)))
                continue
            blocked.update(options)
            wake = min(wake, foresight.next_free(self.members, options, place.tokens, now))
        for decision in done:
            if decision.place is not None:
                self._remove(decision.place)
        self.decisions += done
        return None if done else wake
