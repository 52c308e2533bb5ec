"""The second scene of `trio-pool demo`: three providers, of which one dies and one refuses most of what it gets.

The same requests go three ways: each to one provider by turns, as three programs with one provider each would send
them, tried once; the same with retries; and to all three as upstreams of one client. The outage is real: the process
of the first provider is killed a third of the way through, and the second answers 429 to what comes too fast. The third
could serve everybody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from itertools import cycle

import attrs
import trio
from rich.console import Console

from .. import Client, PoolConfig, Upstream, open_client
from ..messages import RequestOptions
from ..response import Streaming
from .demo import ROUND_TRIP, TIMEOUT, progress_bar
from .embedded import EmbeddedOrigin, embedded_origins
from .load import Outcome, Sender, Tally
from .schedule import Schedule, enough, percentile

NAMES = ("dies", "refuses", "healthy")
"""What the three providers are called, in order."""

DEATH = 1 / 3
"""Part of the time after which the first provider dies."""

LET_THROUGH = 0.1
"""Part of the rate that the second lets through."""


@attrs.frozen
class Way:
    """One way to send requests to three providers.

    :ivar attempts: tries of one request, at most.
    :ivar has_failover: whether all three are upstreams of one client, and not each for itself.
    """

    name: str
    attempts: int
    has_failover: bool


WAYS = (
    Way("alone, tried once", 1, has_failover=False),
    Way("alone, retried", 3, has_failover=False),
    Way("failover", 3, has_failover=True),
)


@attrs.frozen(kw_only=True)
class Availability:
    """What became of the load on one way.

    :ivar sent: `answered + timed_out + failed`.
    :ivar available: the share of the requests that were answered.
    :ivar attempts: tries of a request, on average.
    :ivar limited: requests that were refused by the second provider.
    :ivar p50: seconds from intended start to last byte within which half of the answered ones ended.
    :ivar p99: the same for 99 of 100.
    :ivar error: what the first failed request failed of.
    """

    way: Way
    sent: int
    answered: int
    timed_out: int
    failed: int
    available: float
    attempts: float
    limited: int
    p50: float | None
    p99: float | None
    error: str | None

    @classmethod
    def of(cls, way: Way, tally: Tally, limited: int) -> Availability:
        """What the sender and the second provider counted, together."""
        answered = tally.counts[Outcome.ANSWERED]
        return cls(
            way=way,
            sent=tally.sent,
            answered=answered,
            timed_out=tally.counts[Outcome.TIMED_OUT],
            failed=tally.counts[Outcome.FAILED] + tally.counts[Outcome.REFUSED],
            available=answered / tally.sent,
            attempts=tally.attempts / tally.sent,
            limited=limited,
            p50=percentile(tally.latencies, 50),
            p99=percentile(tally.latencies, 99),
            error=tally.error,
        )


@attrs.frozen
class Traveller(Sender):
    """Sends each request to the next of several URLs; an answer of the demo may be made twice.

    :ivar urls: the URLs.
    """

    urls: Iterator[str] = attrs.field(kw_only=True)

    def _stream(self, options: RequestOptions) -> Streaming:
        safe: RequestOptions = {**options, "retry_unsafe": True}
        return self.client.stream("POST", next(self.urls), **safe)


def limit_for(schedule: Schedule) -> int:
    """Requests that the second provider lets through in a second."""
    return math.ceil(schedule.rate * LET_THROUGH)


async def run(schedule: Schedule, console: Console) -> list[Availability]:
    """Send the load on each way in turn, each with three providers of its own.

    :param console: where the progress bar is shown, if it is a terminal.
    :raises OriginError: when a provider does not start.
    """
    results: list[Availability] = []
    with progress_bar(console) as progress:
        task = progress.add_task("", total=len(WAYS) * len(schedule.requests))
        for way in WAYS:
            progress.update(task, description=way.name)
            results.append(await _try(way, schedule, lambda: progress.advance(task)))
    return results


async def _try(way: Way, schedule: Schedule, settled: Callable[[], object]) -> Availability:
    async with embedded_origins(ROUND_TRIP, [0.0, limit_for(schedule), 0.0]) as origins:
        async with _client(way, schedule, origins) as client, trio.open_nursery() as nursery:
            nursery.start_soon(_kill, origins[0], schedule.seconds * DEATH)
            urls = cycle(["answers"] if way.has_failover else [origin.url for origin in origins])
            tally = await Traveller(client, "", TIMEOUT, settled, urls=urls).send_all(schedule)
        figures = await origins[1].take_figures()
    return Availability.of(way, tally, figures.limited)


def _client(way: Way, schedule: Schedule, origins: list[EmbeddedOrigin]) -> AbstractAsyncContextManager[Client]:
    share = enough(schedule.busy)
    config = PoolConfig(
        max_connections=len(origins) * share, max_connections_per_host=share, retry_attempts=way.attempts
    )
    named = zip(NAMES, origins, strict=True)
    upstreams = [Upstream(origin.url.removesuffix("answers"), name=name) for name, origin in named]
    return open_client(config, tls=origins[0].tls, upstreams=upstreams if way.has_failover else ())


async def _kill(origin: EmbeddedOrigin, after: float) -> None:
    await trio.sleep(after)
    origin.process.kill()
