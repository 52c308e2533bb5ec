"""Sends a schedule through a client, and says what became of each request."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import attrs
import trio

from .. import Client, PoolFull, Timeouts, TrioPoolError
from ..messages import RequestOptions
from ..response import Streaming
from .schedule import Planned, Schedule

LEAST_TIME = 0.001  # seconds; a request that is sent late still has some time left


class Outcome(Enum):
    """What became of a request: exactly one of these."""

    ANSWERED = "answered"
    REFUSED = "refused"
    TIMED_OUT = "timed out"
    FAILED = "failed"


@attrs.define
class Tally:
    """What became of the requests so far.

    :ivar counts: how many had each outcome.
    :ivar latencies: seconds from the intended start of each answered request to the end of its answer.
    :ivar lateness: seconds by which the sender itself was behind its schedule.
    :ivar error: what the first failed request failed of.
    :ivar attempts: tries of all requests together.
    """

    counts: dict[Outcome, int] = attrs.field(factory=lambda: dict.fromkeys(Outcome, 0))
    latencies: list[float] = attrs.Factory(list[float])
    lateness: list[float] = attrs.Factory(list[float])
    error: str | None = None
    attempts: int = 0

    @property
    def sent(self) -> int:
        """How many were sent."""
        return len(self.lateness)


@attrs.frozen
class Sender:
    """Sends requests and tallies what becomes of them.

    :ivar url: where they go.
    :ivar timeout: seconds after its intended start when a request is given up.
    :ivar settled: called when the outcome of one more request is known.
    """

    client: Client
    url: str
    timeout: float
    settled: Callable[[], object]
    tally: Tally = attrs.field(factory=Tally)

    async def send_all(self, schedule: Schedule) -> Tally:
        """Send every request at its time, and wait for what becomes of the last."""
        begin = trio.current_time()
        async with trio.open_nursery() as nursery:
            for planned in schedule.requests:
                intended = begin + planned.at
                await trio.sleep_until(intended)
                self.tally.lateness.append(trio.current_time() - intended)
                nursery.start_soon(self._send, planned, intended)
        return self.tally

    async def _send(self, planned: Planned, intended: float) -> None:
        outcome = await self._ask(planned, intended + self.timeout)
        self.tally.counts[outcome] += 1
        if outcome is Outcome.ANSWERED:
            self.tally.latencies.append(trio.current_time() - intended)
        self.settled()

    async def _ask(self, planned: Planned, deadline: float) -> Outcome:
        timeouts = Timeouts(total=max(deadline - trio.current_time(), LEAST_TIME))
        body = {"first_byte": planned.first_byte, "pauses": planned.pauses}
        try:
            async with self._stream({"json": body, "timeouts": timeouts}) as response:
                response.raise_for_status()
                await response.read()
                self.tally.attempts += len(response.attempts)
        except TrioPoolError as error:
            self.tally.attempts += len(error.attempts)
            return self._outcome_of(error)
        return Outcome.ANSWERED

    def _outcome_of(self, error: TrioPoolError) -> Outcome:
        if isinstance(error, PoolFull):
            return Outcome.REFUSED
        if isinstance(error, TimeoutError):
            return Outcome.TIMED_OUT
        self.tally.error = self.tally.error or f"{type(error).__name__}: {error}"
        return Outcome.FAILED

    def _stream(self, options: RequestOptions) -> Streaming:
        return self.client.stream("POST", self.url, **options)
