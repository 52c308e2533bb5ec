"""When an upstream will be free, as far as time alone tells: pauses end, buckets fill, breakers let a probe pass.

What others do (ending their requests, giving permits back) is not foreseen. So what is said here is the earliest: a
request that could not be served before its deadline even so is refused at once, and nobody is refused wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from .choice import is_all_open
from .permits import Member
from .ratelimit import Bucket

INSTANT = 1e-3
"""Seconds: nobody is woken twice within this."""

Supply = tuple[float, float, float]
"""From when on there is how much, and how much more each second."""


def next_free(members: Iterable[Member], options: Sequence[Member], tokens: float, now: float) -> float:
    """When one of these, none of which is free now, may have become so; `math.inf`: not by time alone.

    :param members: the whole group.
    :param options: those that are a choice for the request.
    """
    is_desperate = is_all_open(members, now)
    return min((_free_at(member, tokens, is_desperate, now) for member in options), default=math.inf)


def _free_at(member: Member, tokens: float, is_desperate: bool, now: float) -> float:
    at = max(_starts_at(member, is_desperate, now), member.opens_at, member.limiter.ready_at(tokens, now))
    return math.inf if at <= now else max(at, now + INSTANT)


def _starts_at(member: Member, is_desperate: bool, now: float) -> float:
    at = max(now, member.paused_until)
    return at if is_desperate or member.breaker.allows(now) else max(at, member.breaker.until)


def first_start(members: Iterable[Member], options: Iterable[Member], now: float) -> float:
    """When one of these may be asked, as far as pauses and breakers tell; `math.inf` where there is none.

    :param members: the whole group.
    """
    is_desperate = is_all_open(members, now)
    return min((_starts_at(member, is_desperate, now) for member in options), default=math.inf)


def earliest(
    members: Iterable[Member], options: Sequence[Member], tokens: float, demand: tuple[float, float], now: float
) -> float:
    """When a request of so many tokens may be served, behind all that stand in line.

    :param members: the whole group.
    :param options: those that are a choice for the request.
    :param demand: requests in line, this one included, and the tokens of those before it.
    """
    is_desperate = is_all_open(members, now)
    starts = [_starts_at(member, is_desperate, now) for member in options]
    requests = [_supply(m.limiter.requests, at, now) for m, at in zip(options, starts, strict=True)]
    by_tokens = [_supply(m.limiter.tokens, at, now) for m, at in zip(options, starts, strict=True)]
    largest = max((member.limiter.tokens.capacity for member in options), default=0.0)
    return max(_reached(requests, demand[0]), _reached(by_tokens, demand[1] + min(tokens, largest)))


def _supply(bucket: Bucket, at: float, now: float) -> Supply:
    if not bucket.is_known:
        return at, math.inf, 0.0
    bucket.refill(now)
    return at, min(bucket.level + (at - now) * bucket.rate, bucket.capacity), bucket.rate


def _reached(supplies: Iterable[Supply], demand: float) -> float:
    """When all of them together have supplied so much."""
    level = rate = 0.0
    at = math.inf
    for start, more, faster in sorted(supplies):
        if rate and demand - level <= rate * (start - at):
            break
        level += rate * (start - at) if rate else 0.0
        at = start
        level += more
        rate += faster
        if level >= demand:
            return at
    return at + (demand - level) / rate if rate else math.inf
