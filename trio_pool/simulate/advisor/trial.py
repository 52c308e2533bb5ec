"""The whole client, tried with an advised configuration, beside the line alone with the same requests.

The line alone is simulated for long, and its probability is known well. The whole client is a hundred times slower, but
what it does differently (dials, time on the way, requests that fail) shows in few requests, since chance
does the same to both. So the client's probability is the line's, plus the mean difference of the two (a control
variate: Law, "Simulation Modeling and Analysis", 2015, section 11.4).
"""

from __future__ import annotations

from collections import Counter
from statistics import fmean

import attrs

from ...config import PoolConfig
from ..estimates import Interval, paired_difference
from ..experiment import Experiment
from ..record import ANSWERED
from ..result import Result
from ..world.provider import VirtualProvider
from .samples import Traffic
from .timeouts import longest

WANTING = ("PoolFull", "PoolTimeout")
"""How a request ends that got no connection."""

REQUESTS = 1000  # with each seed, beyond those of the warm-up
WARM_UP = 5.0  # mean service times
ROUNDING = 1e-9  # seconds
GRACE = 600.0  # seconds, at least

_NO_FAILURES = frozenset({ANSWERED, *WANTING})


@attrs.frozen
class Trial:
    """What came of it.

    :ivar client: the share of the whole client's requests that waited too long or were not answered.
    :ivar alone: the share of the same requests that waited too long or were not served, in the line alone.
    :ivar more: by how much the first is larger, with the interval from the seeds.
    :ivar outcomes: of the client's requests, as in `record`.
    """

    client: float
    alone: float
    more: Interval
    outcomes: Counter[str]

    @property
    def requests(self) -> int:
        """How many were tried."""
        return self.outcomes.total()

    @property
    def failed(self) -> dict[str, int]:
        """Those outcomes that are failures for another reason than that there was no connection."""
        return {outcome: count for outcome, count in self.outcomes.items() if outcome not in _NO_FAILURES}

    @property
    def failing(self) -> float:
        """Their share."""
        return sum(self.failed.values()) / max(self.requests, 1)

    def corrected(self, alone: Interval) -> Interval:
        """The whole client's probability in the long run, out of what is known of the line's."""
        ends = (alone.estimate + self.more.estimate, alone.low + self.more.low, alone.high + self.more.high)
        return Interval(*(min(max(end, 0.0), 1.0) for end in ends))


def tried(config: PoolConfig, traffic: Traffic, provider: VirtualProvider | None, wait: float, seeds: int) -> Trial:
    """Run both.

    :param config: as it is advised.
    :param traffic: as it is let through.
    :param provider: taken at its best: without limits per minute, outages and brownouts.
    :param wait: what is too long, in seconds; beyond the time of a dial, which the client counts as a wait too.
    :param seeds: how many runs, at least 1.
    """
    provider = attrs.evolve(
        provider or VirtualProvider(), requests_per_minute=None, tokens_per_minute=None, outages=(), brownouts=()
    )
    dial = provider.resolve_seconds + provider.round_trip + provider.secure_seconds
    wait += dial
    warm_up = 0.0 if traffic.is_recorded else WARM_UP * traffic.hold
    seconds = warm_up + REQUESTS / traffic.rate
    grace = _grace(config, traffic, dial, seconds)
    experiment = Experiment(config, traffic.workload, (provider,), seconds=seconds, warm_up=warm_up, grace=grace)
    results = [attrs.evolve(experiment, seed=seed).run() for seed in range(seeds)]
    alone = [traffic.sample(seed, seconds, warm_up).share_waiting(config, wait) for seed in range(seeds)]
    client = [_share_lost(result, wait) for result in results]
    return Trial(
        fmean(client),
        fmean(alone),
        paired_difference(alone, client),
        sum((Counter(result.outcomes) for result in results), Counter[str]()),
    )


def _grace(config: PoolConfig, traffic: Traffic, dial: float, seconds: float) -> float:
    """How long the last requests may take, so that none is cut off that only has a long answer.

    That is their time in line, no more than all of the trial's work takes however patient they are, and a dial, and
    twice the longest answer of many that are drawn, since the trial draws others.
    """
    work = seconds * traffic.rate * traffic.hold / config.max_connections_per_host
    return max(GRACE, min(config.acquire_timeout, work) + dial + 2 * (traffic.overhead + longest(traffic)))


def _share_lost(result: Result, wait: float) -> float:
    """The share that waited too long, or was not answered for whatever reason."""
    late = sum(each > wait + ROUNDING for each in result.waits)
    return (late + result.requests - result.answered) / max(result.requests, 1)
