"""What is amiss with a configuration for some traffic, or was changed in it, in words: no reasons for the verdict."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Sequence

import attrs

from ...config import PoolConfig
from ..estimates import Interval
from ..world.provider import VirtualProvider
from .samples import Traffic
from .timeouts import Need
from .trial import Trial

FAILING = 0.001
"""The share of requests that may fail otherwise than for want of a connection."""

SHORT_WINDOW = 5.0  # mean service times: what a recording's windows should have


def open_files() -> float:
    """How many files this process may open (`ulimit -n`); `math.inf` where the system does not say."""
    if sys.platform == "win32":
        return math.inf
    import resource  # of Unix alone

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit


def line_that_is_served(size: float, hold: float, patience: float) -> float:
    """How many in line a pool of a size serves before they give up."""
    return math.floor(size * patience / hold) if patience < math.inf else math.inf


def keepalive_of(config: PoolConfig, provider: VirtualProvider | None) -> float:
    """The idle seconds after which the pool should close a connection, so that the server does not do it first.

    Half of what the server allows, where that is less than what is configured, and the server does not announce it.
    """
    server = provider.keepalive_timeout if provider and not provider.announces_keepalive else None
    return config.keepalive_timeout if server is None or config.keepalive_timeout < server else server / 2


@attrs.frozen(kw_only=True)
class Case:
    """What is known when a verdict and warnings are due.

    :ivar given: the configuration as it was.
    :ivar advised: as it is advised.
    :ivar provider: who answers, or None.
    :ivar offered: the traffic that was asked about.
    :ivar traffic: what of it the provider's limits per minute let through.
    :ivar over_limit: the share of `traffic` that comes when a limit per minute is spent that is enough on average.
    :ivar needed: the least size that meets the target.
    :ivar raised: the timeouts that were too short, and are longer in `advised`.
    :ivar files: how many connections the process's files are enough for.
    :ivar target: the share of requests that may wait too long.
    :ivar simulated: the share that does, in simulation of the line.
    :ivar trial: how the whole client did, if it was asked.
    """

    given: PoolConfig
    advised: PoolConfig
    provider: VirtualProvider | None
    offered: Traffic
    traffic: Traffic
    over_limit: float
    needed: int
    raised: Sequence[Need]
    files: float
    target: float
    simulated: Interval
    trial: Trial | None

    @property
    def size(self) -> int:
        """The advised size."""
        return int(self.advised.max_connections)

    @property
    def load(self) -> float:
        """The connections that are busy on average, if there are enough."""
        return self.traffic.rate * self.traffic.hold


def cautions(case: Case) -> tuple[str, ...]:
    """All that is amiss, a sentence or two for each."""
    return tuple(sentence for look in _LOOKS for sentence in look(case))


def _files(case: Case) -> Iterator[str]:
    if case.needed > case.files:
        yield f"Raise the limit of open files (`ulimit -n`) by at least {case.needed - case.files:g}."


def _load(case: Case) -> Iterator[str]:
    if case.load >= case.size:
        yield (
            f"The load is {case.load:.3g} connections, and there are {case.size}: the line only grows, until at least "
            f"{1 - case.size / case.load:.1%} of requests are refused or give up. Only fewer or shorter requests help."
        )


def _acquire_and_total(case: Case) -> Iterator[str]:
    config = case.advised
    if math.inf > config.total_timeout <= config.acquire_timeout:
        yield (
            f"acquire_timeout ({config.acquire_timeout:g} s) is not less than total_timeout "
            f"({config.total_timeout:g} s): a request can spend all its time in line, and never ends with PoolTimeout."
        )


def _keepalive(case: Case) -> Iterator[str]:
    if case.advised.keepalive_timeout < case.given.keepalive_timeout:
        yield (
            f"keepalive_timeout was {case.given.keepalive_timeout:g} s, and the server closes idle connections before "
            "that without saying so: requests would be sent into closed connections. It is now "
            f"{case.advised.keepalive_timeout:g} s, half of what the server allows."
        )


def _line(case: Case) -> Iterator[str]:
    if case.advised.max_waiting < case.given.max_waiting:
        yield (
            f"max_waiting was {case.given.max_waiting:g}, but {case.size} connections serve only "
            f"{case.advised.max_waiting:g} waiting requests within acquire_timeout ({case.given.acquire_timeout:g} s); "
            "the others could only time out. It is now that."
        )


def _recording(case: Case) -> Iterator[str]:
    if case.traffic.is_recorded and case.traffic.window < SHORT_WINDOW * case.traffic.hold:
        yield (
            f"The recording is short for requests of {case.traffic.hold:.3g} s: what it says about the next one is "
            "rough. Take one that is ten times as long."
        )


def _timeouts(case: Case) -> Iterator[str]:
    yield from map(str, case.raised)


def _seldom(case: Case) -> Iterator[str]:
    if case.trial and case.trial.failing <= FAILING:
        yield from other_ends(case.trial)


def other_ends(trial: Trial) -> Iterator[str]:
    """How requests of the whole client failed otherwise than for want of a connection."""
    for outcome, count in sorted(trial.failed.items()):
        share = count / trial.requests
        yield f"In simulation {share:.2%} of requests ended with {outcome}, which is not for want of a connection."


_LOOKS: tuple[Callable[[Case], Iterator[str]], ...] = (
    _files,
    _load,
    _acquire_and_total,
    _timeouts,
    _keepalive,
    _line,
    _recording,
    _seldom,
)
