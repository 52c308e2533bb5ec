"""One run of an experiment.

Strategy
--------
A run opens an agenda (`engine`), a network on it, and a client on that; lets the callers come and go; and waits until
the pool is at rest. Meanwhile the watch looks after every task step. What it finds ends the run with `InvariantBroken`,
and so does an error that no client should ever raise. What the virtual world raises, draws and the caller's `progress`
included, comes out as itself.

Requests that are still under way when their grace is over are cancelled one by one, since trio cancels the tasks of one
scope in no certain order.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import attrs
import trio

from .._core.figures import OriginStatistics
from ..client import Client, open_client
from ..dialling import ABANDONED
from ..pool import Pool
from .audit import SLACK, unrest
from .callers import Callers
from .record import Moment, Record
from .result import Result
from .watch import InvariantBroken, Watch
from .world import scheduling
from .world.engine import PATIENCE, Engine, open_engine
from .world.network import VirtualNetwork
from .world.scheduling import Stuck

if TYPE_CHECKING:
    from .experiment import Experiment

MOMENTS = 200
"""Samples of the pool in an experiment, where nothing else is said."""


class Progress(NamedTuple):
    """How far a run has come.

    :ivar seconds: the virtual seconds for which requests begin.
    :ivar moment: the pool now.
    """

    seconds: float
    moment: Moment


class Run:
    """One run.

    :param experiment: what is to happen.
    :param progress: is called at every sample, or None.
    """

    def __init__(self, experiment: Experiment, progress: Callable[[Progress], None] | None) -> None:
        self._experiment = experiment
        self._progress = progress
        self._watch = Watch()
        self._record = Record((experiment.warm_up, experiment.length))
        self._engine: Engine | None = None  # once the client is open
        self._warm_up_handshakes = 0

    def go(self) -> Result:
        """All of it.

        :raises InvariantBroken: the pool did what it never may.
        :raises KeyboardInterrupt: somebody wants it to end.
        """
        began = time.thread_time()
        result: Result | None = None
        watch, experiment = self._watch, self._experiment
        try:
            result = scheduling.run(self._play, seed=experiment.seed, instruments=[watch])
        except BaseException as error:
            if not self._is_pools(error):
                raise _interrupt(error) or error from None
            self._blame(_first(error))
        if watch.broken is not None:
            broken, cause = watch.broken, watch.error
            del watch
            self.__dict__.clear()  # nothing else knows what the run has left behind
            scheduling.collect()
            raise InvariantBroken(*broken, experiment.seed, experiment.command) from cause
        assert result is not None
        return attrs.evolve(result, cpu_seconds=time.thread_time() - began)

    def _blame(self, error: BaseException | None) -> None:
        self._watch.fail(f"the pool or the client failed: {type(error).__name__}", error, self._record.now)

    def _is_pools(self, error: BaseException) -> bool:
        """Whether the pool or the client is to blame for what ended the run."""
        if self._engine is None or error is self._engine.broken:
            return False
        if isinstance(error, BaseExceptionGroup):
            return cast("Any", error).split((Exception, Stuck))[1] is None
        return isinstance(error, (Exception, Stuck))

    async def _play(self) -> Result | None:
        experiment = self._experiment
        result: Result | None = None
        async with open_engine() as engine:
            network = VirtualNetwork(engine, experiment.providers, experiment.faults, seed=experiment.seed)
            self._watch.ended = engine.make_end
            with self._watch.scope:
                async with self._open(network) as client:
                    self._engine = engine
                    result = await self._live(engine, network, client)
                if network.open:
                    self._watch.fail(f"the pool is closed, and {network.open} of its connections are open")
        return result

    def _open(self, network: VirtualNetwork) -> AbstractAsyncContextManager[Client]:
        experiment = self._experiment
        upstreams = experiment.upstreams()
        base_url = None if upstreams else experiment.providers[0].url
        return open_client(
            experiment.config, base_url=base_url, upstreams=upstreams, network=network, hedging=experiment.hedging
        )

    async def _live(self, engine: Engine, network: VirtualNetwork, client: Client) -> Result:
        """The callers come and go, and then there must be peace."""
        experiment, pool, watch = self._experiment, client.pool, self._watch
        callers = Callers(client, experiment, engine, self._record, watch)
        over = engine.started + experiment.length + experiment.grace
        dismissal = engine.at(over, callers.dismiss)
        bound = engine.at(over + PATIENCE, watch.fail, "requests that were cancelled have not ended")
        if experiment.warm_up:
            engine.at(engine.started + experiment.warm_up, self._begin_to_count, network)
        watch.begin(pool, network)
        engine.accuse = watch.fail
        self._sample(engine, client)
        await callers.come()
        engine.cancel(dismissal)
        engine.cancel(bound)
        await self._settle(pool, network)
        engine.cancel(self._sampling)
        self._look(engine, client)
        watch.audit(is_last=True)
        result = self._result(engine, network, pool)
        await self._expire(pool)
        watch.audit()
        watch.end()
        engine.after(PATIENCE, watch.fail, "the pool is to be closed, and that does not end")
        return result

    def _result(self, engine: Engine, network: VirtualNetwork, pool: Pool) -> Result:
        experiment, record, statistics = self._experiment, self._record, pool.statistics()
        origins: dict[Hashable, OriginStatistics] = {
            str(origin): figures for origin, figures in statistics.origins.items()
        }
        return Result(
            experiment=experiment,
            history=record.history(engine.digest()),
            outcomes=dict(record.outcomes),
            failed_attempts=dict(record.failed_attempts),
            answered_by=dict(record.answered_by),
            waits=record.waits,
            first_bytes=record.first_bytes,
            latencies=record.latencies,
            latencies_of_all=record.latencies_of_all(),
            responses=record.responses,
            reused=record.reused,
            tried=record.tried,
            tries=record.tries,
            little=record.little(),
            moments=tuple(record.moments),
            statistics=attrs.evolve(statistics, origins=origins),
            providers={name: server.statistics() for name, server in network.servers.items()},
            handshakes=network.connected - self._warm_up_handshakes,
            ended=trio.current_time(),
            steps=self._watch.steps,
        )

    def _begin_to_count(self, network: VirtualNetwork) -> None:
        self._warm_up_handshakes = network.connected

    async def _settle(self, pool: Pool, network: VirtualNetwork) -> None:
        """Wait for dials and probes that nobody waits for any more."""
        due = trio.current_time() + min(pool.config.connection_timeout, ABANDONED) + PATIENCE
        while (what := unrest(pool, network)) is not None:
            if trio.current_time() >= due:
                self._watch.fail(f"nobody uses the pool, and it does not come to rest: {what}")
            await trio.sleep(0.25)

    async def _expire(self, pool: Pool) -> None:
        """Idle connections must be closed in their time, though nothing else happens any more."""
        seconds = min(pool.config.keepalive_timeout, pool.config.max_lifetime)
        if seconds < math.inf:
            await trio.sleep(seconds + 2 * SLACK)

    def _sample(self, engine: Engine, client: Client) -> None:
        """Look at the pool now and at intervals; once no requests begin any more, at ever longer ones."""
        self._look(engine, client)
        interval = self._experiment.sample_every or self._experiment.length / MOMENTS
        doubled = 2 * engine.elapsed() - self._experiment.length
        due = engine.started + max(len(self._record.moments) * interval, doubled)
        self._sampling = engine.at(due, self._sample, engine, client)

    def _look(self, engine: Engine, client: Client) -> None:
        moment = self._record.look(client)
        self._watch.audit()
        if self._progress is not None:
            with engine.guard():
                self._progress(Progress(self._experiment.length, moment))


def _interrupt(error: BaseException) -> BaseException | None:
    """The `KeyboardInterrupt` in the groups that nurseries put around it, or None."""
    return _first(cast("Any", error).subgroup(KeyboardInterrupt)) if isinstance(error, BaseExceptionGroup) else None


def _first(error: BaseException | None) -> BaseException | None:
    """What was raised first, out of the groups and causes that trio puts around it."""
    while isinstance(error, (BaseExceptionGroup, trio.TrioInternalError)):
        error = cast("Any", error).exceptions[0] if isinstance(error, BaseExceptionGroup) else error.__cause__
    return error
