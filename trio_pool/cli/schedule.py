"""What the demo sends, and how many connections that needs: pure, and the same for the same seed."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import attrs

FIRST_BYTE_MEDIAN = 0.25  # seconds; with the spread a fit to chat models: 95 % begin within 0.7 s
FIRST_BYTE_SPREAD = 0.63  # standard deviation of the logarithm
PAUSES = 8
PAUSE_MEAN = 0.012  # seconds between two events, about 80 tokens a second
RARELY_WAITS = 2.38  # in the square-root rule: about one arrival in a hundred finds no connection free


@attrs.frozen
class Planned:
    """One request to come.

    :ivar at: seconds from the beginning.
    :ivar first_byte: seconds that the server takes to begin its answer.
    :ivar pauses: seconds between the events of the answer.
    """

    at: float
    first_byte: float
    pauses: tuple[float, ...]

    @property
    def service(self) -> float:
        """Seconds that the server takes from the first to the last."""
        return self.first_byte + sum(self.pauses)


@attrs.frozen
class Schedule:
    """An open-loop load: every request is sent at its time, whatever became of those before it.

    :ivar seconds: how long requests are sent.
    :ivar requests: in the order of their times.
    """

    seconds: float
    requests: tuple[Planned, ...]

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.requests) / self.seconds

    @property
    def service(self) -> float:
        """Mean seconds of service."""
        return sum(planned.service for planned in self.requests) / len(self.requests)

    @property
    def busy(self) -> float:
        """Connections that are busy on average when nothing waits (Little's law)."""
        return self.rate * self.service


def plan(rate: float, seconds: float, seed: int) -> Schedule:
    """Random arrivals and service times. A given number of arrivals of a Poisson process is uniform."""
    chance = random.Random(seed)
    count = max(1, round(rate * seconds))
    times = sorted(chance.uniform(0, seconds) for _ in range(count))
    return Schedule(seconds, tuple(_planned(chance, at) for at in times))


def _planned(chance: random.Random, at: float) -> Planned:
    first_byte = chance.lognormvariate(math.log(FIRST_BYTE_MEDIAN), FIRST_BYTE_SPREAD)
    return Planned(at, first_byte, tuple(chance.expovariate(1 / PAUSE_MEAN) for _ in range(PAUSES)))


def enough(busy: float) -> int:
    """Connections for which waiting is rare, by the square-root rule."""
    return math.ceil(busy + RARELY_WAITS * math.sqrt(busy))


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The smallest value that at least `percent` of all values do not exceed; None of nothing."""
    if not values:
        return None
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]
