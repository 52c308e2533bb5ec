"""Who asks in an experiment: callers in open loop, who begin when they meant to, and users, who wait for their answers.

Each request goes through the real client. Its latency is counted from the moment at which it was meant to start, and
its answer must carry the nonce that it was sent with.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import attrs
import trio

from ..client import Client
from ..errors import TrioPoolError
from ..event_streams import DialectName
from ..response import Response
from .arrivals import ClosedLoop
from .chances import chance
from .record import ANSWERED, CANCELLED, UNFINISHED, Record, Visit
from .watch import Watch
from .workload import Job, Workload

DEMAND, NONCE = "Simulated-Demand", "Simulated-Nonce"
"""Header fields by which a request tells a virtual server what it asks of it, and who it is."""


@attrs.frozen(eq=False)
class Callers:
    """Everybody who asks.

    :ivar client: what they ask with.
    :ivar method: of their requests.
    :ivar dialect: that their answers speak, where these are streams of events.
    :ivar started: the experiment's start by trio's clock.
    :ivar seconds: for how long requests begin.
    :ivar record: notes what becomes of them.
    :ivar watch: is told of what must not be.
    """

    client: Client
    method: str
    dialect: DialectName | Literal["upstream"] | None
    started: float
    seconds: float
    record: Record
    watch: Watch

    async def come(self, workload: Workload, seed: int) -> None:
        """Let the workload's requests begin for as long as they may, and wait until they have ended.

        :param workload: who asks for what, and when.
        :param seed: the experiment's.
        """
        async with trio.open_nursery() as nursery:
            if isinstance(workload.arrivals, ClosedLoop):
                for number in range(workload.arrivals.users):
                    nursery.start_soon(self._use, workload, workload.arrivals, seed, f"user {number}")
            else:
                await self._arrive(nursery, workload.jobs(seed))

    def dismiss(self) -> None:
        """Cancel what is still under way: one after the other, so that it is the same with every run."""
        for visit in list(self.record.visits):
            visit.scope.cancel()

    # ---- when ----

    async def _arrive(self, nursery: trio.Nursery, jobs: Iterator[Job]) -> None:
        for job in jobs:
            if job.at >= self.seconds:
                break
            await trio.sleep_until(self.started + job.at)
            nursery.start_soon(self._ask, job)

    async def _use(self, workload: Workload, loop: ClosedLoop, seed: int, name: str) -> None:
        """One user's day: a pause, a request, a pause, a request."""
        pauses, draw = chance(seed, f"think {name}"), workload.draw(seed, name)
        while True:
            await trio.sleep(loop.think.sample(pauses))
            at = trio.current_time() - self.started
            if at >= self.seconds:
                break
            await self._ask(draw(at))

    # ---- one request ----

    async def _ask(self, job: Job) -> None:
        visit = self.record.begin(job)
        outcome = CANCELLED
        try:
            with visit.scope:
                outcome = await self._send(visit)
            if visit.scope.cancelled_caught and trio.current_time() < visit.scope.deadline:
                outcome = UNFINISHED
        finally:
            self.record.end(visit, outcome)

    async def _send(self, visit: Visit) -> str:
        """What became of it: see `record`."""
        nonce = str(visit.number)
        fields = {DEMAND: demand(visit.job), NONCE: nonce}
        try:
            async with self.client.stream(self.method, "", headers=fields) as response:
                self._note(visit, response)
                if response.headers.get(NONCE) != nonce:
                    self.watch.fail(f"request {nonce} got the answer to request {response.headers.get(NONCE)}")
                if response.status_code >= 400:
                    return str(response.status_code)
                await self._read(response, visit.job)
                return ANSWERED
        except TrioPoolError as error:
            visit.attempts = error.attempts or visit.attempts
            visit.tries = len(visit.attempts) or visit.tries
            return type(error).__name__
        except Exception as error:
            self.watch.fail(f"a request failed with what is no error of the library: {error!r}")
            return type(error).__name__

    def _note(self, visit: Visit, response: Response) -> None:
        """The answer has begun."""
        visit.first_byte = trio.current_time()
        visit.attempts = response._attempts
        visit.tries = len(visit.attempts) or 1
        visit.host = response.request.origin.host
        visit.wait = response.timings.waited + sum(attempt.waited for attempt in visit.attempts)

    async def _read(self, response: Response, job: Job) -> None:
        if not job.tokens:
            await response.read()
            return
        async for _ in response.iter_events(self.dialect):
            pass


def demand(job: Job) -> str:
    """What a job asks of a server, as the value of a header field."""
    return (
        f"first_byte={job.first_byte!r} tokens={job.tokens} "
        f"seconds_per_token={job.seconds_per_token!r} input_tokens={job.input_tokens}"
    )
