"""Samples of traffic for the search of a pool's size: when requests come, and for how long each holds its connection.

A process can be sampled as often and as long as wanted. Of a recording there is one, and it shows what came that day:
an hour with one burst more would want another pool. So its samples are made of its parts, windows of a thirtieth of its
length drawn with replacement (a block bootstrap: Künsch, "The jackknife and the bootstrap for general stationary
observations", 1989). They scatter as much as recordings of that length do, and the interval is for the next one.
"""

from __future__ import annotations

import bisect
import itertools
import math
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

import attrs

from ...checks import POSITIVE
from ...config import PoolConfig
from ...errors import UsageError
from ..estimates import Interval, mean_interval, share_interval
from ..traffic.arrivals import Arrivals, ClosedLoop, Diurnal, Recorded, Slowed
from ..traffic.chances import chance
from ..traffic.workload import Workload
from .queueing import waits

SAMPLES = 20
REQUESTS = 30_000  # at least, in each sample of a process
MOST = 500_000
SERVICES = 30.0  # mean service times that each lasts, at least
WARM_UP = 0.1  # the share of it that passes before waits count, as the pool is empty at first
WINDOWS = 30  # of a recording


@attrs.frozen
class Sample:
    """Requests, in the order in which they come.

    :ivar starts: when each comes.
    :ivar holds: the seconds for which it holds its connection.
    :ivar since: the place of the first that counts.
    """

    starts: array[float]
    holds: array[float]
    since: int = 0

    @classmethod
    def of(cls, requests: Iterable[tuple[float, float]], overhead: float = 0.0, counted_from: float = 0.0) -> Sample:
        """A sample of requests, given as when they come and the seconds of their service.

        :param overhead: is added to those.
        :param counted_from: the moment from which they count.
        """
        starts, holds = array("d"), array("d")
        for at, service in requests:
            starts.append(at)
            holds.append(service + overhead)
        return cls(starts, holds, bisect.bisect_left(starts, counted_from))

    def share_waiting(self, config: PoolConfig, wait: float) -> float:
        """The share that gets no connection within a time: its wait is longer, or it is refused, or it gives up."""
        found = waits(
            zip(self.starts, self.holds, strict=True),
            int(config.max_connections_per_host),
            places=config.max_waiting,
            patience=config.acquire_timeout,
        )
        counted = itertools.islice(found, self.since, None)
        return sum(each > wait for each in counted) / max(len(self.starts) - self.since, 1)

    def share_over(self, rate: float) -> float:
        """The share that comes when a limit per minute is spent: a bucket that holds a minute's worth, full at first.

        :param rate: requests per second that it lets through.
        """
        left, last, over = 60 * rate, 0.0, 0
        for place, at in enumerate(self.starts):
            left, last = min(left + (at - last) * rate, 60 * rate), at
            if left >= 1:
                left -= 1
            elif place >= self.since:
                over += 1
        return over / max(len(self.starts) - self.since, 1)

    def dispersion(self, width: float) -> float:
        """The variance over the mean of how many come in windows of a width: 1 for a Poisson process, more in bursts.

        That of nothing is 1.
        """
        if not self.starts:
            return 1.0
        counts = Counter(math.floor(at / width) for at in self.starts)
        windows = math.floor(self.starts[-1] / width) + 1
        mean = len(self.starts) / windows
        return sum(count**2 for count in counts.values()) / windows / mean - mean


@attrs.frozen
class Traffic:
    """What samples come from.

    :ivar workload: in open loop.
    :ivar overhead: seconds for which each request holds its connection beyond its service, such as a round trip (0.0).
    :raises UsageError: for a closed loop, and for traffic that is nothing, or too much to be simulated.
    """

    workload: Workload
    overhead: float = 0.0

    def __attrs_post_init__(self) -> None:
        if isinstance(self.workload.arrivals, ClosedLoop):
            users = self.workload.arrivals.users
            raise UsageError(
                f"a ClosedLoop needs no search: its users never need more connections than they are ({users})"
            )
        if self.rate == math.inf:
            raise UsageError("all requests of the recording come at its start: it has no length, and so no rate")
        POSITIVE.check("the mean seconds of a request", self.hold)
        requests = self.rate * self.seconds
        if requests > MOST:
            raise UsageError(
                f"a sample of this traffic would be {requests:.2g} requests in {self.seconds:.2g} s, and {MOST} are "
                "the most: ask about a part of it, or a shorter period"
            )

    @property
    def arrivals(self) -> Arrivals:
        """When requests come."""
        assert not isinstance(self.workload.arrivals, ClosedLoop)  # refused above
        return self.workload.arrivals

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.arrivals.rate

    @property
    def hold(self) -> float:
        """The mean seconds for which a request holds its connection."""
        return self.workload.service.mean + self.overhead

    @property
    def is_recorded(self) -> bool:
        """Whether there is one recording, and no process."""
        return isinstance(self.arrivals, Recorded)

    @property
    def seconds(self) -> float:
        """How long a sample is: as the recording, or long enough, in whole days where a process has days."""
        if isinstance(self.arrivals, Recorded):
            return self.arrivals.offsets[-1]
        needed = max(REQUESTS / self.rate, SERVICES * self.hold)
        day = _day(self.arrivals) or needed
        return math.ceil(needed / day) * day / (1 - WARM_UP)

    @property
    def window(self) -> float:
        """The seconds of a window of a recording."""
        return self.seconds / WINDOWS

    def slowed(self, factor: float) -> Traffic:
        """Less of the same traffic."""
        arrivals = self.arrivals
        if isinstance(arrivals, Recorded):
            slower: Arrivals = Recorded(at * factor for at in arrivals.offsets)
        else:
            slower = Slowed(arrivals, factor)
        return attrs.evolve(self, workload=attrs.evolve(self.workload, arrivals=slower))

    def samples(self) -> list[Sample]:
        """As many as a search needs."""
        if self.is_recorded:
            return [self._resampled(seed) for seed in range(SAMPLES)]
        seconds = self.seconds
        return [self.sample(seed, seconds, WARM_UP * seconds) for seed in range(SAMPLES)]

    def sample(self, seed: int, seconds: float, counted_from: float = 0.0) -> Sample:
        """The requests with this seed that come before a moment."""
        jobs = self.workload.jobs(seed, seconds)
        return Sample.of(((job.at, job.service) for job in jobs), self.overhead, counted_from)

    def _resampled(self, seed: int) -> Sample:
        windows: list[list[tuple[float, float]]] = [[] for _ in range(WINDOWS)]
        width = self.window
        for job in self.workload.jobs(seed):
            number = min(math.floor(job.at / width), WINDOWS - 1)
            windows[number].append((job.at - number * width, job.service))
        drawn = chance(seed, "windows").choices(windows, k=WINDOWS)
        requests = ((place * width + at, service) for place, window in enumerate(drawn) for at, service in window)
        return Sample.of(requests, self.overhead)

    def interval(self, shares: Sequence[float]) -> Interval:
        """A probability out of its shares in all samples, with 95 % confidence.

        For a process it is the probability in the long run. For a recording it is the share in another recording of the
        same length: this one and that one scatter alike, and independently.
        """
        mean = mean_interval(shares)
        half = mean.high - mean.estimate
        if self.is_recorded:
            half *= math.sqrt(2 * len(shares))
        return Interval(mean.estimate, max(mean.estimate - half, 0.0), min(mean.estimate + half, 1.0))

    def told(self, share: Interval) -> Interval:
        """What the samples tell of a probability with this interval: the upper end is at least 3/N beyond the middle.

        Where none of N requests waits, up to 3/N may in the long run, with 95 % confidence (the rule of three, of
        `share_interval`). N is how many count in all samples; of a recording, how many it has, as drawing them again
        shows nothing new. That takes them for independent: it is the least that may be said. Where a few waited it is
        as much beyond their share, since the spread of so few tells little.
        """
        unseen = share_interval([0.0], max(self.counted, 1)).high
        return attrs.evolve(share, high=min(max(share.high, share.estimate + unseen), 1.0))

    @property
    def counted(self) -> int:
        """The requests that the samples know of, about."""
        if isinstance(self.arrivals, Recorded):
            return len(self.arrivals.offsets)
        return round(SAMPLES * self.rate * self.seconds * (1 - WARM_UP))


def _day(arrivals: Arrivals) -> float:
    """What a process repeats itself after; 0: nothing."""
    if isinstance(arrivals, Slowed):
        return arrivals.factor * _day(arrivals.arrivals)
    return arrivals.period if isinstance(arrivals, Diurnal) else 0.0
