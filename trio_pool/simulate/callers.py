"""Who asks in an experiment: callers in open loop, who begin when they meant to, and users, who wait for their answers.

Each request goes through the real client. Its latency is counted from the moment at which it was meant to start, and
its answer must carry the nonce that it was sent with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import trio

from ..client import Client
from ..errors import (
    ConnectError,
    DecodingError,
    LocalProtocolError,
    ReadError,
    RemoteProtocolError,
    StreamIncomplete,
    TrioPoolError,
    UsageError,
    WriteError,
)
from ..response import Response
from .record import ANSWERED, CANCELLED, UNFINISHED, Record, Visit
from .traffic.arrivals import ClosedLoop
from .traffic.chances import chance
from .traffic.demands import DEMAND, NONCE, written
from .traffic.workload import BREATH, Job
from .watch import Watch
from .world.conversations import SURPLUS_STATUS
from .world.engine import Engine

if TYPE_CHECKING:
    from .experiment import Experiment
    from .world.provider import Dialect


ROUNDING = 1e-6
"""Seconds by which differences of times may be wrong."""

OURS = (LocalProtocolError, UsageError, DecodingError)
"""No request of these callers gives the client a reason for one of these."""

BROKEN = (ConnectError, ReadError, WriteError, RemoteProtocolError, StreamIncomplete)
"""Nor for these, where nothing goes wrong on the network and no server closes connections."""


def can_break(experiment: Experiment) -> bool:
    """Whether an experiment's network or servers can break an exchange off."""
    return bool(experiment.faults) or any(
        provider.outages or provider.keepalive_timeout is not None for provider in experiment.providers
    )


class Callers:
    """Everybody who asks.

    :param client: what they ask with.
    :param experiment: who asks for what, and when.
    :param engine: on whose agenda they are.
    :param record: notes what becomes of their requests.
    :param watch: is told of what must not be.
    """

    def __init__(self, client: Client, experiment: Experiment, engine: Engine, record: Record, watch: Watch) -> None:
        self._client = client
        self._experiment = experiment
        self._engine = engine
        self._record = record
        self._watch = watch
        self._are_begun = trio.Event()
        self._impossible = OURS if can_break(experiment) else (*OURS, *BROKEN)
        self._patience = experiment.config.limits.acquire + ROUNDING
        self._dialects: dict[str, Dialect | None] = {
            provider.host: provider.dialect for provider in experiment.providers
        }

    async def come(self) -> None:
        """Let requests begin for as long as they may, and wait until all have ended."""
        experiment = self._experiment
        async with trio.open_nursery() as nursery:
            arrivals = experiment.workload.arrivals
            if isinstance(arrivals, ClosedLoop):
                for number in range(arrivals.users):
                    nursery.start_soon(self._use, arrivals, f"user {number}")
            else:
                with self._engine.guard():
                    self._await_next(nursery, experiment.workload.jobs(experiment.seed, experiment.length))
                await self._are_begun.wait()

    def dismiss(self) -> None:
        """Cancel what is still under way: one after the other, so that it is the same with every run."""
        for visit in list(self._record.visits):
            visit.scope.cancel()

    # ---- when ----

    def _await_next(self, nursery: trio.Nursery, jobs: Iterator[Job]) -> None:
        """The next in open loop is on the agenda, where it costs no task before its time."""
        job = next(jobs, None)
        if job is None:
            self._are_begun.set()
        else:
            self._engine.at(job.at, self._arrive, nursery, jobs, job)

    def _arrive(self, nursery: trio.Nursery, jobs: Iterator[Job], job: Job) -> None:
        nursery.start_soon(self._ask, job)
        self._await_next(nursery, jobs)

    async def _use(self, loop: ClosedLoop, name: str) -> None:
        """One user's day: a pause, a request, a pause, a request."""
        seed = self._experiment.seed
        pauses, draw = loop.pauses(chance(seed, f"think {name}")), self._experiment.workload.draw(seed, name)
        while True:
            with self._engine.guard():
                at = trio.current_time() + next(pauses)
            if at >= self._experiment.length:
                break
            await trio.sleep_until(at)
            with self._engine.guard():
                job = draw(at)
            await self._ask(job)
            if trio.current_time() == at:
                await trio.sleep(BREATH)

    # ---- one request ----

    async def _ask(self, job: Job) -> None:
        visit = self._record.begin(job)
        outcome = CANCELLED
        try:
            with visit.scope:
                outcome = await self._send(visit)
            if visit.scope.cancelled_caught and trio.current_time() < visit.scope.deadline:
                outcome = UNFINISHED
        finally:
            self._record.end(visit, outcome)

    async def _send(self, visit: Visit) -> str:
        """What became of it: see `record`."""
        nonce = str(visit.number)
        fields = {DEMAND: written(visit.job), NONCE: nonce}
        try:
            async with self._client.stream(self._experiment.method, self._url(visit), headers=fields) as response:
                self._note(visit, response)
                if response.headers.get(NONCE) != nonce and response.status_code != SURPLUS_STATUS:
                    self._watch.fail(f"request {nonce} got the answer to request {response.headers.get(NONCE)}")
                if response.status_code >= 400:
                    return str(response.status_code)
                await self._read(response, visit.job)
                return ANSWERED
        except TrioPoolError as error:
            if isinstance(error, self._impossible):
                self._watch.fail(f"a request failed by what cannot happen here: {error}", error)
            visit.attempts = error.attempts or visit.attempts
            return type(error).__name__
        except Exception as error:
            self._watch.fail(f"a request failed by what is no error of this library: {type(error).__name__}", error)
            return type(error).__name__

    def _url(self, visit: Visit) -> str:
        """Relative, to the client's base URL or its upstreams; or each provider's in turn."""
        providers = self._experiment.providers
        return providers[visit.number % len(providers)].url if self._experiment.spread else ""

    def _note(self, visit: Visit, response: Response) -> None:
        """The answer has begun."""
        visit.first_byte = trio.current_time()
        visit.attempts = response.attempts
        visit.host = response.request.origin.host
        timings = response.timings
        started = response._exchange.started_at
        visit.wait = started - visit.job.at
        visit.is_reused = timings.reused
        self._watch.served(visit.host, response._asked_at, started, is_reused=timings.reused)
        if timings.reused and timings.waited > self._patience:
            self._watch.fail(f"request {visit.number} got a connection after {timings.waited:.6f} s, which is too late")

    async def _read(self, response: Response, job: Job) -> None:
        if not job.tokens:
            await response.read()
            return
        async for _ in response.iter_events(self._dialects[response.request.origin.host]):
            pass
