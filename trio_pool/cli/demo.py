"""The command `trio-pool demo`: one load, four arrangements of the pool, one table.

Every arrangement gets the same requests at the same times, and each request asks the origin for the same
service times, so that what differs is the pool's doing. The load is open: a slow answer delays no request
after it, and latency counts from the intended start. The origin can serve everybody at once; only connections
are scarce, as they are under a provider's limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from .. import PoolConfig, open_client
from .embedded import EmbeddedOrigin, embedded_origin
from .load import Outcome, Sender, Tally
from .origin import Figures
from .schedule import Schedule, enough, percentile

TIMEOUT = 2.0
"""Seconds after which a caller gives up, counted from the intended start."""

ROUND_TRIP = 0.04
"""Seconds that a message to the origin and its answer pretend to take when a connection is made."""


@attrs.frozen
class Arrangement:
    """One way to set up the pool.

    :ivar connections: its limit, in all and for the one origin.
    :ivar queue: how many may wait.
    :ivar uses: how often one connection is used.
    """

    name: str
    connections: float = math.inf
    queue: float = math.inf
    uses: float = math.inf

    def config(self) -> PoolConfig:
        """The pool's configuration."""
        return PoolConfig(
            max_connections=self.connections,
            max_connections_per_host=self.connections,
            max_waiting=self.queue,
            max_requests_per_connection=self.uses,
        )


@attrs.frozen(kw_only=True)
class Result:
    """What became of the load under one arrangement.

    :ivar sent: `answered + refused + timed_out + failed`.
    :ivar handshakes: TLS handshakes, counted by the origin.
    :ivar begun: requests that reached the origin.
    :ivar reuse: the share of those that came on a connection used before; None of none.
    :ivar p50: seconds from intended start to last byte within which half of the answered ones ended.
    :ivar p99: the same for 99 of 100.
    :ivar late: seconds by which one request in a hundred was sent too late, this machine being busy.
    :ivar error: what the first failed request failed of.
    """

    arrangement: Arrangement
    sent: int
    answered: int
    refused: int
    timed_out: int
    failed: int
    handshakes: int
    begun: int
    reuse: float | None
    p50: float | None
    p99: float | None
    late: float | None
    error: str | None

    @classmethod
    def of(cls, arrangement: Arrangement, tally: Tally, seen: Figures) -> Result:
        """What the sender and the origin counted, together."""
        return cls(
            arrangement=arrangement,
            sent=tally.sent,
            answered=tally.counts[Outcome.ANSWERED],
            refused=tally.counts[Outcome.REFUSED],
            timed_out=tally.counts[Outcome.TIMED_OUT],
            failed=tally.counts[Outcome.FAILED],
            handshakes=seen.handshakes,
            begun=seen.requests,
            reuse=seen.reused / seen.requests if seen.requests else None,
            p50=percentile(tally.latencies, 50),
            p99=percentile(tally.latencies, 99),
            late=percentile(tally.lateness, 99),
            error=tally.error,
        )


def arrangements(busy: float) -> list[Arrangement]:
    """The four, for a load that keeps `busy` connections busy: the small pool has half of them."""
    small, well = max(1, round(busy / 2)), enough(busy)
    short = max(1, small // 2)
    return [
        Arrangement("no reuse", uses=1),
        Arrangement(f"{small} connections, unbounded queue", small),
        Arrangement(f"{small} connections, queue of {short}", small, short),
        Arrangement(f"{well} connections, queue of {short}", well, short),
    ]


async def run(schedule: Schedule, console: Console) -> list[Result]:
    """Start the origin, and send the load through each arrangement in turn.

    :param console: where the progress bar is shown, if it is a terminal.
    :raises OriginError: when the origin does not start.
    """
    tried = arrangements(schedule.busy)
    async with embedded_origin(ROUND_TRIP) as origin:
        with progress_bar(console) as progress:
            task = progress.add_task("", total=len(tried) * len(schedule.requests))
            results: list[Result] = []
            for arrangement in tried:
                progress.update(task, description=arrangement.name)
                results.append(await _try(arrangement, schedule, origin, lambda: progress.advance(task)))
    return results


def progress_bar(console: Console) -> Progress:
    """A bar that is shown on a terminal and nowhere else."""
    columns = (TextColumn("{task.description:<32}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


async def _try(
    arrangement: Arrangement, schedule: Schedule, origin: EmbeddedOrigin, settled: Callable[[], object]
) -> Result:
    async with open_client(arrangement.config(), tls=origin.tls) as client:
        tally = await Sender(client, origin.url, TIMEOUT, settled).send_all(schedule)
    return Result.of(arrangement, tally, await origin.take_figures())
