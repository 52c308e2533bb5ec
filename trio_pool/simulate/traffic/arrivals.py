"""When requests come: processes in open loop, whose requests come whether or not the others were answered, and users
in closed loop, who wait for their answers.

Only an open loop shows what overload does: in a closed loop a slow server keeps its callers from calling.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from typing import Any, Protocol

import attrs

from ...checks import COUNT, NOT_NEGATIVE, POSITIVE, SHARE
from ...errors import UsageError
from ..checks import can
from ..makers import Maker
from .distributions import CV, IS_DISTRIBUTION, Distribution, Gamma, as_tuple, draws, how_many, numbers


class Arrivals(Protocol):
    """A process in open loop."""

    def times(self, chance: random.Random) -> Iterator[float]:
        """When requests come, in seconds from the start, never decreasing; endless unless recorded."""
        ...

    @property
    def rate(self) -> float:
        """Requests per second, in the long run."""
        ...


ARE_ARRIVALS = can("times", "arrivals in open loop")


def _poisson(start: float, end: float, rate: float, chance: random.Random) -> Iterator[float]:
    """The arrivals of a Poisson process between two times; none where the rate is 0."""
    while rate and (start := start + chance.expovariate(rate)) < end:
        yield start


@attrs.frozen
class Poisson:
    """Requests that know nothing of each other: what many independent callers come to.

    :ivar rate: requests per second, positive.
    """

    rate: float = attrs.field(validator=POSITIVE)

    def times(self, chance: random.Random) -> Iterator[float]:
        """When requests come, in seconds from the start; endless."""
        return _poisson(0.0, math.inf, self.rate, chance)


@attrs.frozen
class Renewal:
    """Gaps that are gamma-distributed, each independent of the others.

    It has gone on for ever when it is first looked at, so that any window has its share of requests: the first one
    comes after a part of a gap, and a moment is the likelier to be in a gap the longer that is (Cox, "Renewal Theory",
    1962, chapter 5).

    :ivar rate: requests per second, positive.
    :ivar cv: the gaps' coefficient of variation: 0 is a clockwork, 1 is `Poisson`, more is burstier.
    """

    rate: float = attrs.field(validator=POSITIVE)
    cv: float = attrs.field(validator=CV)

    def times(self, chance: random.Random) -> Iterator[float]:
        """When requests come, in seconds from the start; endless."""
        gap = Gamma(1 / self.rate, self.cv)
        now = chance.random() * gap.sample_by_length(chance)
        while True:
            yield now
            now += gap.sample(chance)


@attrs.frozen
class OnOff:
    """Bursts: two Poisson processes that take turns for exponential times (a Markov-modulated Poisson process).

    It begins in one of the two, each as likely as its part of the time.

    :ivar rate_on: requests per second during a burst, positive.
    :ivar rate_off: requests per second between bursts, at least 0.
    :ivar mean_on: mean seconds of a burst, positive.
    :ivar mean_off: mean seconds between bursts, positive.
    """

    rate_on: float = attrs.field(validator=POSITIVE)
    rate_off: float = attrs.field(validator=NOT_NEGATIVE)
    mean_on: float = attrs.field(validator=POSITIVE)
    mean_off: float = attrs.field(validator=POSITIVE)

    @property
    def share_on(self) -> float:
        """The part of the time that is a burst's."""
        return self.mean_on / (self.mean_on + self.mean_off)

    @property
    def rate(self) -> float:
        """The two rates, weighted by the time that each has."""
        return self.rate_on * self.share_on + self.rate_off * (1 - self.share_on)

    def times(self, chance: random.Random) -> Iterator[float]:
        """When requests come, in seconds from the start; endless."""
        turns = [(self.rate_on, self.mean_on), (self.rate_off, self.mean_off)]
        is_off = chance.random() >= self.share_on
        start = 0.0
        while True:
            rate, mean = turns[is_off]
            end = start + chance.expovariate(1 / mean)
            yield from _poisson(start, end, rate, chance)
            start, is_off = end, not is_off


@attrs.frozen
class Diurnal:
    """A Poisson process whose rate swings as a sine: from the mean up, down, and back to the mean in one period.

    :ivar rate: mean requests per second, positive.
    :ivar amplitude: how far it swings, as a share of the mean, from 0 to 1.
    :ivar period: seconds, positive; a day by default.
    """

    rate: float = attrs.field(validator=POSITIVE)
    amplitude: float = attrs.field(validator=SHARE)
    period: float = attrs.field(default=86400.0, validator=POSITIVE)

    def rate_at(self, seconds: float) -> float:
        """The rate so long after the start."""
        return self.rate * (1 + self.amplitude * math.sin(math.tau * seconds / self.period))

    def times(self, chance: random.Random) -> Iterator[float]:
        """When requests come, in seconds from the start; endless.

        Thinning (Lewis and Shedler, 1979): arrivals at the highest rate, of which each stays with the chance that its
        moment's rate has of the highest.
        """
        highest = self.rate * (1 + self.amplitude)
        for at in _poisson(0.0, math.inf, highest, chance):
            if chance.random() * highest < self.rate_at(at):
                yield at


def _never_decreasing(instance: object, attribute: attrs.Attribute[Any], values: tuple[float, ...]) -> None:
    for place, (before, after) in enumerate(itertools.pairwise(values), 1):
        if after < before:
            name = f"{type(instance).__name__}.{attribute.name}[{place}]"
            raise UsageError(f"{name} must be no earlier than the one before ({before!r}), not {after!r}")


@attrs.frozen
class Recorded:
    """Requests that came when they came. Chance has no part in it.

    :ivar offsets: seconds from the start, at least one, none negative, never decreasing.
    :ivar maker: what makes it again, or None.
    """

    offsets: tuple[float, ...] = attrs.field(converter=as_tuple, validator=[numbers, _never_decreasing], repr=how_many)
    maker: Maker | None = attrs.field(default=None, init=False, eq=False, repr=False)

    @property
    def rate(self) -> float:
        """Their number over the time of the last; `math.inf` if that is 0."""
        return len(self.offsets) / self.offsets[-1] if self.offsets[-1] else math.inf

    @property
    def length(self) -> float:
        """Its seconds, to the end of the last request's second."""
        return math.floor(self.offsets[-1]) + 1.0

    def times(self, chance: random.Random) -> Iterator[float]:  # noqa: ARG002  # as every process
        """The offsets."""
        return iter(self.offsets)


def length_of(arrivals: Arrivals | ClosedLoop) -> float | None:
    """The seconds of a recording; None: it goes on for ever."""
    if isinstance(arrivals, Slowed):
        length = length_of(arrivals.arrivals)
        return None if length is None else length * arrivals.factor
    return arrivals.length if isinstance(arrivals, Recorded) else None


@attrs.frozen
class Slowed:
    """Another process, with all its gaps longer by one factor: less traffic, as bursty as before.

    :ivar arrivals: the process.
    :ivar factor: positive; below 1 it becomes faster.
    """

    arrivals: Arrivals = attrs.field(validator=ARE_ARRIVALS)
    factor: float = attrs.field(validator=POSITIVE)

    @property
    def rate(self) -> float:
        """Its rate over the factor."""
        return self.arrivals.rate / self.factor

    def times(self, chance: random.Random) -> Iterator[float]:
        """Its times, multiplied by the factor."""
        return (at * self.factor for at in self.arrivals.times(chance))


@attrs.frozen
class ClosedLoop:
    """Users of whom each asks again after its answer and a pause. No process in open loop: what comes when depends on
    the answers.

    :ivar users: how many, at least 1.
    :ivar think: the seconds of a pause; a user begins with one.
    """

    users: int = attrs.field(validator=COUNT)
    think: Distribution = attrs.field(validator=IS_DISTRIBUTION)

    def pauses(self, chance: random.Random) -> Iterator[float]:
        """A user's pauses, in seconds; endless."""
        return draws(self.think, chance)
