"""Timeouts that let the answers come: as they are configured, or longer where answers take longer.

A timeout that is shorter than some answers makes those fail, and no size of the pool helps. How long answers take is
known as a distribution, of which many are drawn. Where one of them takes longer than a timeout allows, the timeout is
raised to the longest of them, so that it seldom cuts another.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import attrs

from ...config import PoolConfig
from ..traffic.demands import Demand
from ..world.provider import VirtualProvider
from .samples import Traffic

DRAWN = 100_000
"""Answers whose times are looked at."""


@attrs.frozen
class Need:
    """What a timeout must allow.

    :ivar field: of `PoolConfig`.
    :ivar now: the seconds that it allows.
    :ivar what: what answers take longer for.
    :ivar seconds: that each of the answers that were drawn takes for it.
    """

    field: str
    now: float
    what: str
    seconds: Sequence[float]

    @property
    def is_met(self) -> bool:
        """Whether it allows all of them."""
        return max(self.seconds) <= self.now

    @property
    def enough(self) -> float:
        """What allows all of them: the longest, rounded up to two digits."""
        longest = max(self.seconds)
        places = 1 - math.floor(math.log10(longest))
        return float(f"{math.ceil(longest * 10.0**places) / 10.0**places:.12g}")

    def __str__(self) -> str:
        share = sum(each > self.now for each in self.seconds) / len(self.seconds)
        return (
            f"{self.field} was {self.now:g} s, and {100 * share:.3g}% of answers take longer {self.what}: with any "
            f"size they would fail. It is now {self.enough:g} s, for the longest of {len(self.seconds)}."
        )


def needs(config: PoolConfig, traffic: Traffic, provider: VirtualProvider, wait: float) -> list[Need]:
    """The timeouts that answers take longer than.

    :param config: the timeouts as they are.
    :param wait: seconds in line that a request may spend.
    """
    drawn = _drawn(traffic)
    trip, limits = provider.round_trip, config.limits
    before = wait + provider.resolve_seconds + provider.secure_seconds + 2 * trip
    found = (
        Need("first_byte_timeout", limits.first_byte, "to begin", [each.first_byte + trip for each in drawn]),
        Need("read_timeout", limits.read, "between two pieces", [_silence(each, provider.coalesce) for each in drawn]),
        Need("total_timeout", limits.total, "with all that comes before", [before + _whole(each) for each in drawn]),
    )
    return [need for need in found if not need.is_met]


def raised(config: PoolConfig, found: Sequence[Need]) -> PoolConfig:
    """The configuration with timeouts that are enough."""
    longer: dict[str, Any] = {need.field: need.enough for need in found}
    return attrs.evolve(config, **longer)


def longest(traffic: Traffic) -> float:
    """The seconds from the request to the end of the longest answer of those that are drawn."""
    return max(map(_whole, _drawn(traffic)))


def _drawn(traffic: Traffic) -> list[Demand]:
    return [Demand(*each) for each in itertools.islice(traffic.workload.service.drawn(0), DRAWN)]


def _whole(answer: Demand) -> float:
    return answer.first_byte + answer.tokens * answer.seconds_per_token


def _silence(answer: Demand, coalesce: float) -> float:
    """The longest between two pieces of it, as tokens that come within some seconds travel together."""
    return min(max(answer.seconds_per_token, coalesce), answer.tokens * answer.seconds_per_token)
