"""How large a pool traffic needs: guessed in closed form, searched for by simulation, checked with the real client.

Strategy
--------
The size that is looked for is the least with which the share of requests that wait longer than a time is at most the
target, with 95 % confidence. The closed form of M/M/c, with more spare connections where arrivals come in bursts, is no
more than where the search begins: it knows nothing of long tails, of recordings, or of lines with an end. The search
simulates the pool's line alone (`queueing.py`), with the same samples of the traffic for each size. More connections
make no request wait longer, so the search can jump and then halve.

What was found is clamped by what the provider serves at once, and by the files that the process may open. A provider's
limits per minute come first: what it refuses needs no connection, so the size is for the traffic that it lets through.
Timeouts that some answers would not live with are raised (`timeouts.py`). In the end the real client is asked, with the
advised configuration, on a virtual network (`trial.py`).

The verdict
-----------
The target is met if there is no reason against it (`reasons.py`): all of the traffic is let through, the share in the
line alone is at most the target, next to none of the whole client's requests failed, and its share is at most the
target too. Both shares are held to the upper end of their intervals. In the line that is at least 3/N beyond the share
itself, for the N requests of the samples: a target below 3/N is never met, and the reason is that they are too few to
tell. The size is then the least with which none of them waited too long.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean

import attrs

from ...checks import POSITIVE, Rule
from ...config import PoolConfig
from ...errors import UsageError
from ...sizing import servers_for, wait_exceeds
from ..estimates import Interval
from ..traffic.arrivals import Renewal
from ..traffic.distributions import Distribution, Exponential
from ..traffic.workload import Service, Workload
from ..world.provider import VirtualProvider
from .cautions import Case, cautions, keepalive_of, line_that_is_served, open_files
from .reasons import reasons
from .samples import Traffic
from .timeouts import needs, raised
from .trial import Trial, tried

SPARE_FILES = 64  # what a process has open beside its connections

_TARGET = Rule("a probability between 0 and 1", lambda value: 0 < value < 1)
_SEEDS = Rule("a whole number of at least 0", lambda value: value >= 0, whole=True)


@attrs.frozen(kw_only=True)
class Advice:
    """A pool's size for some traffic, and how well it does.

    :ivar config: the configuration, with the size in `max_connections` and `max_connections_per_host`.
    :ivar target: the share of requests that may wait longer than `wait`, or fail.
    :ivar wait: in seconds.
    :ivar load: the connections that are busy on average: requests per second times seconds of each.
    :ivar needed: the least size that meets the target, whatever the provider and this machine can take.
    :ivar predicted: the probability of a longer wait with the advised size, by the closed form for Poisson arrivals and
        exponential service times.
    :ivar simulated: the same by simulation of the line, with 95 % confidence. Who is refused or gives up counts as one
        who waits too long. For a recording it is the share in another one of the same length.
    :ivar trial: how the whole client did with some requests, and the line alone with the same ones; None if it was not
        asked for.
    :ivar checked: an estimate for the whole client in the long run: `simulated`, plus the difference between the two in
        the trial. Any failure counts as one that waits too long. None without a trial.
    :ivar reasons: sentences, each a reason why the target is not met; none where it is.
    :ivar warnings: sentences about what else is amiss, or was changed in the configuration.
    """

    config: PoolConfig
    target: float
    wait: float
    load: float
    needed: int
    predicted: float
    simulated: Interval
    trial: Trial | None
    checked: Interval | None
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        """The connections that the configuration allows."""
        return int(self.config.max_connections)

    @property
    def is_met(self) -> bool:
        """Whether there is no reason why the target is not met: with 95 % confidence it is."""
        return not self.reasons


def advise(
    rate: float | None = None,
    service: float | Distribution | None = None,
    *,
    burstiness: float = 1.0,
    workload: Workload | None = None,
    target: float = 0.01,
    wait: float = 0.0,
    provider: VirtualProvider | None = None,
    config: PoolConfig | None = None,
    max_files: float | None = None,
    check: int = 5,
) -> Advice:
    """The least pool with which requests seldom wait, as a configuration, for one origin.

    Traffic is either a rate and a service time, or a workload. Cancellations in it are left out: they only make room.

    :param rate: requests per second.
    :param service: the seconds for which one holds its connection, as a distribution, or the mean of an exponential.
    :param burstiness: the coefficient of variation of the gaps between requests (1.0, as of independent callers).
    :param workload: arrivals in open loop, and service times.
    :param target: the share of requests that may wait longer than `wait`, or fail (0.01).
    :param wait: in seconds (0.0: any wait is too long). The time of a dial is no wait.
    :param provider: whose limits and round trips count (none). Its outages and brownouts do not.
    :param config: whose timeouts and other fields hold (the defaults). Its sizes are ignored. A timeout that is too
        short for the answers is raised; `warnings` has which.
    :param max_files: how many files this process may open (None: what the system says).
    :param check: with how many seeds the whole client is simulated in the end (5; 0: not at all).
    :raises UsageError: for what is no such value, or traffic that is none.
    """
    given = PoolConfig() if config is None else config
    patience = given.acquire_timeout
    Rule(f"from 0 to acquire_timeout ({patience:g})", lambda value: 0 <= value <= patience).check("wait", wait)
    _TARGET.check("target", target)
    _SEEDS.check("check", check)
    offered = Traffic(_workload(rate, service, burstiness, workload), provider.round_trip if provider else 0.0)
    limit = _limit(offered, provider)
    traffic = offered.slowed(offered.rate / limit) if limit < offered.rate else offered
    line = _Line(traffic, given, wait)
    needed = least(lambda size: line.probability(size).high <= target, line.guess(target))
    files = (open_files() if max_files is None else max_files) - SPARE_FILES
    size = _clamped(needed, files, provider)
    too_short = needs(given, traffic, provider or VirtualProvider(), wait)
    advised = attrs.evolve(line.config_of(size), keepalive_timeout=keepalive_of(given, provider))
    advised = raised(advised, too_short)
    case = Case(
        given=given,
        advised=advised,
        provider=provider,
        offered=offered,
        traffic=traffic,
        needed=needed,
        over_limit=line.over(limit) if traffic is offered and limit < math.inf else 0.0,
        raised=too_short,
        files=files,
        target=target,
        simulated=traffic.told(line.probability(size)),
        trial=tried(advised, traffic, provider, wait, check) if check else None,
    )
    return _advice(case, wait)


def _advice(case: Case, wait: float) -> Advice:
    return Advice(
        config=case.advised,
        target=case.target,
        wait=wait,
        load=case.load,
        needed=case.needed,
        predicted=wait_exceeds(case.size, case.load, wait, case.traffic.hold),
        simulated=case.simulated,
        trial=case.trial,
        checked=case.trial.corrected(case.simulated) if case.trial else None,
        reasons=reasons(case),
        warnings=cautions(case),
    )


def _clamped(needed: int, files: float, provider: VirtualProvider | None) -> int:
    served = provider.concurrency if provider else None
    return max(int(min(needed, files, math.inf if served is None else served)), 1)


def _workload(
    rate: float | None, service: float | Distribution | None, burstiness: float, workload: Workload | None
) -> Workload:
    if workload is not None:
        if (rate, service, burstiness) != (None, None, 1.0):
            raise UsageError("traffic is a workload, or a rate and a service time and their burstiness, not both")
        return attrs.evolve(workload, cancelled=0.0)
    if rate is None or service is None:
        raise UsageError("traffic needs a rate and a service time, or a workload")
    if isinstance(service, (int, float)):
        POSITIVE.check("service", service)
        service = Exponential(service)
    POSITIVE.check("rate", rate)
    return Workload(Renewal(rate, burstiness), Service(service))


def _limit(offered: Traffic, provider: VirtualProvider | None) -> float:
    """The requests per second that the provider's limits per minute let through, on average."""
    if provider is None:
        return math.inf
    tokens = offered.workload.service.mean_tokens
    limits = [(provider.requests_per_minute, 1.0), (provider.tokens_per_minute, tokens)]
    return min((limit / 60 / each for limit, each in limits if limit is not None and each), default=math.inf)


class _Line:
    """The pool's line with one size or another, asked by the same samples of the traffic."""

    def __init__(self, traffic: Traffic, config: PoolConfig, wait: float) -> None:
        self._traffic = traffic
        self._config = config
        self._wait = wait
        self._samples = traffic.samples()
        self._known: dict[int, Interval] = {}

    def config_of(self, size: int) -> PoolConfig:
        """The configuration with a size, and a line no longer than it can serve in time."""
        served = line_that_is_served(size, self._traffic.hold, self._config.acquire_timeout)
        return attrs.evolve(
            self._config,
            max_connections=size,
            max_connections_per_host=size,
            max_waiting=min(self._config.max_waiting, served),
        )

    def probability(self, size: int) -> Interval:
        """That a request waits too long."""
        if size not in self._known:
            config = self.config_of(size)
            shares = [sample.share_waiting(config, self._wait) for sample in self._samples]
            self._known[size] = self._traffic.interval(shares)
        return self._known[size]

    def over(self, limit: float) -> float:
        """The share of requests that come when a limit per minute is spent."""
        return fmean(sample.share_over(limit) for sample in self._samples)

    def guess(self, target: float) -> int:
        """What M/M/c needs, with its spare connections in proportion to how widely the number of requests scatters."""
        traffic = self._traffic
        load = traffic.rate * traffic.hold
        spare = servers_for(load, target, self._wait, traffic.hold) - load
        scatter = (self._samples[0].dispersion(traffic.hold) + 1) / 2
        return max(round(load + spare * math.sqrt(scatter)), 1)


def least(is_enough: Callable[[int], bool], guess: int) -> int:
    """The least size that is enough, where every larger one is too: from a guess by leaps, then by halves.

    :param is_enough: asked about few sizes, and about none twice.
    :param guess: at least 1.
    """
    too_few, enough, leap = 0, guess, 1
    while not is_enough(enough):
        too_few, enough, leap = enough, enough + leap, 2 * leap
    while enough - too_few > 1:
        size = max((too_few + enough) // 2, enough - leap)
        if is_enough(size):
            enough, leap = size, 2 * leap
        else:
            too_few = size
    return enough
