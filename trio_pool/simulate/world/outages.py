"""When a provider is slow or away: windows that are given, and windows that are drawn by chance. Frozen, checked.

All times are virtual seconds from the start of the experiment.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Literal

import attrs

from ...checks import NOT_NEGATIVE, POSITIVE, Rule
from ..checks import name_or_none, one_of

How = Literal["refuse", "503", "blackhole"]

SLOWDOWN = Rule("a number of at least 1", lambda value: value >= 1)
ENDLESS = Rule("a positive number of seconds, or math.inf", lambda value: value > 0, endless=True)

_IS_HOW = one_of("refuse", "503", "blackhole")


@attrs.frozen
class Brownout:
    """A time in which everything takes longer. It holds for the requests whose service begins in it.

    :ivar start: when it begins.
    :ivar seconds: how long it lasts.
    :ivar slowdown: how many times as long everything takes, at least 1.
    """

    start: float = attrs.field(validator=NOT_NEGATIVE)
    seconds: float = attrs.field(validator=ENDLESS)
    slowdown: float = attrs.field(validator=SLOWDOWN)


@attrs.frozen
class Outage:
    """A time in which a provider serves nobody.

    - "refuse": its process is gone. Open connections are reset when it begins, new ones are refused.
    - "503": it answers each new request with 503.
    - "blackhole": its network is gone. What is sent in either direction, dials included, arrives when it is over.

    :ivar start: when it begins.
    :ivar seconds: how long it lasts.
    :ivar how: what it is like ("refuse").
    """

    start: float = attrs.field(validator=NOT_NEGATIVE)
    seconds: float = attrs.field(validator=ENDLESS)
    how: How = attrs.field(default="refuse", validator=_IS_HOW)


@attrs.frozen
class Bursts:
    """Outages by chance, again and again, as long as the experiment lasts. Times between and lengths are exponential.

    :ivar mean_between: seconds from the end of one to the start of the next, on average.
    :ivar mean_seconds: how long one lasts, on average.
    :ivar how: what they are like ("refuse"); see `Outage`.
    :ivar shared: a name, or None (the default). Providers whose bursts have the same name fail together: give them the
        same record. Without a name a provider's bursts are its own.
    """

    mean_between: float = attrs.field(validator=POSITIVE)
    mean_seconds: float = attrs.field(validator=POSITIVE)
    how: How = attrs.field(default="refuse", validator=_IS_HOW)
    shared: str | None = attrs.field(default=None, validator=name_or_none)

    def drawn(self, chance: random.Random) -> Iterator[Outage]:
        """The outages, one after another, without end."""
        end = 0.0
        while True:
            start = end + chance.expovariate(1 / self.mean_between)
            seconds = chance.expovariate(1 / self.mean_seconds)
            yield Outage(start, seconds, self.how)
            end = start + seconds


def in_order(outages: Iterable[Outage | Bursts], chance: Callable[[str | None], random.Random]) -> Iterator[Outage]:
    """All outages of one provider by their start, perhaps without end; they may overlap.

    :param outages: as given.
    :param chance: the stream of chance for bursts of a shared name, or with None for the provider's own.
    """
    outages = list(outages)
    given = sorted((each for each in outages if isinstance(each, Outage)), key=lambda outage: outage.start)
    drawn = [each.drawn(chance(each.shared)) for each in outages if isinstance(each, Bursts)]
    return heapq.merge(given, *drawn, key=lambda outage: outage.start)
