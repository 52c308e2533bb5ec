"""Which of several upstreams gets a request.

Of the members that are free now: those whose breaker lets pass; those that were not tried for this request; the lowest
priority; and then the less loaded of two that chance takes, by weight. (Two are enough: the best of all, asked by
everybody at once, would be the worst a moment later. Mitzenmacher, "The Power of Two Choices in Randomized Load
Balancing", 2001.) A member is free when it has no pause, room for one more, and enough in its buckets.

Where no breaker of the whole group lets anybody pass, the least bad is asked: better a try than none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from .breaker import BreakerState
from .permits import Member, Place


def is_free(member: Member, tokens: float, now: float) -> bool:
    """Whether the member could take a request of so many tokens now, its health aside."""
    return member.has_room and member.opens_at <= now and member.limiter.ready_at(tokens, now) <= now


def is_all_open(members: Iterable[Member], now: float) -> bool:
    """Whether no breaker lets anybody pass."""
    return not any(member.breaker.allows(now) for member in members)


def choose(
    place: Place, options: Sequence[Member], *, is_desperate: bool, chance: Callable[[], float], now: float
) -> Member | None:
    """The member that gets the request, or None: none is free.

    :param options: those that are a choice at all.
    :param is_desperate: whether all breakers of the group are open.
    """
    free = [m for m in options if (is_desperate or m.breaker.allows(now)) and is_free(m, place.tokens, now)]
    best = [member for member in free if member not in place.tried] or free
    if not best:
        return None
    if is_desperate:
        return min(best, key=_badness)
    priority = min(member.priority for member in best)
    return _less_loaded([member for member in best if member.priority == priority], chance)


def _less_loaded(members: list[Member], chance: Callable[[], float]) -> Member:
    if len(members) == 1:
        return members[0]
    one = _by_weight(members, chance())
    other = _by_weight([member for member in members if member is not one], chance())
    return other if other.load < one.load else one


def _by_weight(members: list[Member], chance: float) -> Member:
    point = chance * sum(member.weight for member in members)
    for member in members:
        point -= member.weight
        if point < 0:
            return member
    return members[-1]  # rounding


def _badness(member: Member) -> tuple[bool, int, float]:
    """How bad an upstream is whose breaker lets nobody pass. One that is being probed is left alone."""
    breaker = member.breaker
    return breaker.state is BreakerState.HALF_OPEN, breaker.openings, breaker.until
