"""The invariants of the pool, checked from outside after every step of every task."""

from __future__ import annotations

import trio

from trio_pool import OriginStatistics, Pool, PoolConfig, PoolStatistics

from .network import MemoryNetwork


class Auditor(trio.abc.Instrument):
    """Looks at one pool and its network after each task step, from `watch` on.

    Trio disables an instrument that raises, so what is wrong is kept, and raised by `verdict`.

    :ivar steps: how many there were.
    """

    def __init__(self) -> None:
        self.steps = 0
        self._watched: tuple[Pool, PoolConfig, MemoryNetwork] | None = None
        self._before: PoolStatistics | None = None
        self._failure: BaseException | None = None

    def watch(self, pool: Pool, network: MemoryNetwork) -> None:
        """Begin."""
        self._watched = (pool, pool.config, network)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        if self._watched is None or self._failure is not None:
            return
        try:
            self._check(*self._watched)
        except BaseException as error:
            self._failure = error

    def verdict(self) -> None:
        """Raise what was wrong first."""
        if self._failure is not None:
            raise self._failure

    def _check(self, pool: Pool, config: PoolConfig, network: MemoryNetwork) -> None:
        now = pool.statistics()
        if now == self._before and network.open == now.leased + now.idle:
            return
        check_limits(now, config)
        check_books(now)
        check_network(now, network, config)
        check_lines(pool)
        if self._before is not None:
            check_growth(self._before, now)
        self._before = now
        network.note("figures", now.leased, now.idle, now.dialling, now.waiting, now.requests, now.closed)


def check_limits(now: PoolStatistics, config: PoolConfig) -> None:
    """All four states of a slot count against both limits, and the line has its bound."""
    assert slots(now) <= config.max_connections, now
    assert now.waiting <= config.max_waiting, now
    for figures in now.origins.values():
        assert slots(figures) <= config.max_connections_per_host, now


def slots(figures: PoolStatistics | OriginStatistics) -> int:
    """Slots in all."""
    return figures.leased + figures.idle + figures.dialling + figures.closing


def check_books(now: PoolStatistics) -> None:
    """Nothing is negative, dials and connections are conserved, and the whole is the sum of its parts."""
    parts = now.origins.values()
    for name in ("leased", "idle", "dialling", "closing", "waiting"):
        whole = getattr(now, name)
        assert whole >= 0, now
        assert whole == sum(getattr(figures, name) for figures in parts), now
        assert all(getattr(figures, name) >= 0 for figures in parts), now
    assert now.dials == now.dialling + now.opened + now.dial_failures, now
    assert now.opened == now.leased + now.idle + now.closing + now.closed, now
    assert now.closing == 0, "closing was not carried out in the step that decided it"
    assert sum(now.evictions.values()) >= now.closed, now


def check_growth(before: PoolStatistics, now: PoolStatistics) -> None:
    """Counters only grow."""
    for name in ("requests", "dials", "dial_failures", "opened", "closed", "reuses", "refusals", "acquire_timeouts"):
        assert getattr(before, name) <= getattr(now, name), (name, before, now)


def check_network(now: PoolStatistics, network: MemoryNetwork, config: PoolConfig) -> None:
    """The network carries what the pool has connected, and no more than that and what it is dialling.

    Less only where a wait has lasted too long: such a stream is closed one step before its holder gives it back.
    """
    connected = now.leased + now.idle + now.closing
    assert connected - now.leased <= network.open <= connected + now.dialling, (network.open, now)
    assert network.open <= config.max_connections
    for host in network.hosts.values():
        assert host.open <= config.max_connections_per_host, (host.name, host.open)


def check_lines(pool: Pool) -> None:
    """Nobody waits, covered by a dial or not, beside an idle connection of its origin."""
    for queue in pool._slots._queues.values():
        assert not (queue.idle and (queue.covered or queue.uncovered)), f"somebody waits beside an idle {queue.origin}"
