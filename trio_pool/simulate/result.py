"""What came of an experiment: counts by cause, times with their intervals, and the pool over time.

A result is a value: it can be compared, pickled, and written as JSON. What was measured by the real clock is no part of
its equality.
"""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import attrs

from .. import errors
from .._core.figures import PoolStatistics
from .describe import plain
from .estimates import UNKNOWN, Interval, LittlesLaw, batch_means, batch_quantile
from .record import ANSWERED, CANCELLED, UNFINISHED, Moment
from .world.servers import ServerStatistics

if TYPE_CHECKING:
    from .experiment import Experiment

FORMAT = "trio_pool.simulate.result/1"
"""The name of the document that `Result.to_json` gives. Its number changes when a reader would have to."""

QUANTILES = (0.5, 0.9, 0.99)

OF_ALL = "latency of all"
"""What the quantiles are called that heed those who were not answered."""

NEVER = "never"
"""Stands in documents and tables for a latency without end."""

Cause = Literal["answered", "refused", "timeout", "status", "error", "cancelled", "unfinished"]
"""Why a request ended: its answer came whole; nothing was sent, since too many waited or its provider wants a pause;
it took too long; a status of 400 or more; another error; its caller lost patience; the experiment was over."""

_REFUSED = ("PoolFull", "RateLimited")


def cause_of(outcome: str) -> Cause:
    """The cause to which an outcome belongs.

    :param outcome: as in `record`.
    """
    if outcome in (ANSWERED, CANCELLED, UNFINISHED):
        return outcome  # type: ignore[return-value]  # three of the literals
    if outcome.isdigit():
        return "status"
    if outcome in _REFUSED:
        return "refused"
    return "timeout" if issubclass(getattr(errors, outcome, Exception), TimeoutError) else "error"


class Row(NamedTuple):
    """One line of a table.

    :ivar figure: what it is.
    :ivar value: how much; `math.nan` where there is nothing to measure.
    :ivar low: where its interval begins; see `Interval`.
    :ivar high: where it ends.
    :ivar unit: "s", "share", or "" for a number.
    """

    figure: str
    value: float
    low: float
    high: float
    unit: str


@attrs.frozen(kw_only=True)
class Result:
    """What came of one experiment. Times are virtual seconds.

    Requests meant to begin in the warm-up do not count, nor do handshakes in it. `moments`, `statistics` and
    `providers` have all of it.

    :ivar experiment: what was run.
    :ivar history: a hash of everything that happened: the same seed gives the same.
    :ivar outcomes: how many requests ended how: "answered", a status such as "503", the name of an error such as
        "PoolTimeout", "cancelled" or "unfinished".
    :ivar failed_attempts: how many attempts failed how, whether or not another followed.
    :ivar answered_by: how many requests each provider's host answered.
    :ivar waits: of each that was answered: seconds from the intended start until the exchange began that has its
        answer, in lines, dials, pauses and failed attempts.
    :ivar first_bytes: of each, from the intended start until its answer began.
    :ivar latencies: of each, from the intended start until its answer was whole.
    :ivar latencies_of_all: of every request that counts, in the order in which they came, as `latencies`; `math.inf`
        for one that was not answered, and nothing for one that its caller gave up.
    :ivar responses: that began, whether or not they came whole; the last of each request.
    :ivar reused: those of them whose connection had served before.
    :ivar tried: requests of which at least one attempt was made, and that were not cut short.
    :ivar tries: attempts of those.
    :ivar little: the mean number of requests under way while requests began, and what Little's law makes of their rate
        and their times. They differ where the experiment is too short, or the line grows and grows.
    :ivar moments: the pool over time.
    :ivar statistics: the pool's, at rest at the end; with origins as text.
    :ivar providers: what each provider has seen, by name.
    :ivar handshakes: connections that the network made after the warm-up.
    :ivar ended: when the last request had ended and the pool was at rest.
    :ivar steps: steps of trio's tasks.
    :ivar cpu_seconds: real seconds of processor time.
    """

    experiment: Experiment
    history: str
    outcomes: Mapping[str, int]
    failed_attempts: Mapping[str, int]
    answered_by: Mapping[str, int]
    waits: array[float] = attrs.field(repr=False)
    first_bytes: array[float] = attrs.field(repr=False)
    latencies: array[float] = attrs.field(repr=False)
    latencies_of_all: array[float] = attrs.field(repr=False)
    responses: int
    reused: int
    tried: int
    tries: int
    little: LittlesLaw
    moments: tuple[Moment, ...] = attrs.field(repr=False)
    statistics: PoolStatistics
    providers: Mapping[str, ServerStatistics]
    handshakes: int
    ended: float
    steps: int
    cpu_seconds: float = attrs.field(default=math.nan, eq=False)

    # ---- counts ----

    @property
    def requests(self) -> int:
        """Requests that count."""
        return sum(self.outcomes.values())

    @property
    def answered(self) -> int:
        """Those whose answer came whole, with a status below 400."""
        return self.outcomes.get(ANSWERED, 0)

    def by_cause(self) -> dict[Cause, dict[str, int]]:
        """The outcomes, under what caused them."""
        found: dict[Cause, dict[str, int]] = {}
        for outcome, count in sorted(self.outcomes.items()):
            found.setdefault(cause_of(outcome), {})[outcome] = count
        return found

    def share(self, cause: Cause) -> float:
        """The share of requests that ended so; `math.nan` where there were none."""
        count = sum(self.by_cause().get(cause, {}).values())
        return count / self.requests if self.requests else math.nan

    @property
    def reuse(self) -> float:
        """The share of responses whose connection had served before; `math.nan` without any."""
        return self.reused / self.responses if self.responses else math.nan

    def trials(self, figure: str) -> int:
        """Of how many a figure is a share: of responses, or else of requests.

        :param figure: one whose unit is "share".
        """
        return self.responses if figure == "reuse" else self.requests

    @property
    def amplification(self) -> float:
        """Attempts per request that was tried at all; `math.nan` where none was."""
        return self.tries / self.tried if self.tried else math.nan

    # ---- all of it ----

    def figures(self) -> dict[str, Interval]:
        """What every result tells, by name: the members of `COUNTS`, then the mean and quantiles of the three times,
        and quantiles of "latency of all".

        The times are of the answered alone, so a pool that refuses the slow looks fast. "Latency of all" is of all that
        count, and `math.inf` where more were not answered than the quantile leaves out. Requests that their callers
        gave up are in neither.

        The intervals are for 95 % confidence, and heed that neighbours have similar times (`batch_means`,
        `batch_quantile`). Those of short runs under high load are too narrow all the same: `sweep` and `compare` do
        better, from several seeds.
        """
        found = {name: _exact(of(self)) for name, of in COUNTS.items()}
        for name, times in (("wait", self.waits), ("first byte", self.first_bytes), ("latency", self.latencies)):
            found[f"{name} mean"] = batch_means(times).not_below(0.0) if times else UNKNOWN
            found.update(_quantiles(name, times))
        found.update(_quantiles(OF_ALL, self.latencies_of_all))
        return found

    def rows(self) -> list[Row]:
        """The figures as lines of a table, and a line for each outcome."""
        found = [Row(name, *_parts(interval), unit_of(name)) for name, interval in self.figures().items()]
        counts = sorted(self.outcomes.items())
        return found + [Row(f"outcome {name}", count, count, count, "") for name, count in counts]

    def document(self) -> dict[str, Any]:
        """All but the single times, as plain data; see `docs/experiments.md`. What is no number in JSON is None."""
        return {
            "format": FORMAT,
            "experiment": plain(self.experiment),
            "history": self.history,
            "ended": self.ended,
            "steps": self.steps,
            "cpu_seconds": plain(self.cpu_seconds),
            "outcomes": self.by_cause(),
            "failed_attempts": dict(self.failed_attempts),
            "answered_by": dict(self.answered_by),
            "figures": {row.figure: _told(row) for row in self.rows()},
            "littles_law": plain(attrs.asdict(self.little)),
            "moments": {name: [plain(getattr(each, name)) for each in self.moments] for name in Moment._fields},
            "providers": {name: plain(attrs.asdict(each)) for name, each in self.providers.items()},
            "statistics": plain(attrs.asdict(self.statistics)),
        }

    def to_json(self) -> str:
        """`document`, as JSON (RFC 8259)."""
        return json.dumps(self.document(), allow_nan=False)


COUNTS: Mapping[str, Callable[[Result], float]] = {
    "requests": lambda result: result.requests,
    **{cause: partial(Result.share, cause=cause) for cause in get_args(Cause)},
    "attempts per request": lambda result: result.amplification,
    "reuse": lambda result: result.reuse,
    "handshakes": lambda result: result.handshakes,
    "in system": lambda result: result.little.in_system,
    "Little's law": lambda result: result.little.expected,
}
"""Figures that a run knows exactly. "In system" is the mean number of requests under way; "Little's law" is what it
should be."""

SHARES = frozenset({*get_args(Cause), "reuse"})


def unit_of(figure: str) -> str:
    """The unit of a figure: "share", "s", or "" for a number."""
    if figure in SHARES:
        return "share"
    return "" if figure in COUNTS else "s"


def _quantiles(name: str, times: Sequence[float]) -> Iterator[tuple[str, Interval]]:
    ordered = sorted(times)
    for share in QUANTILES:
        yield f"{name} p{share * 100:g}", batch_quantile(times, ordered, share) if times else UNKNOWN


def _exact(value: float) -> Interval:
    return Interval(value, value, value)


def _parts(interval: Interval) -> tuple[float, float, float]:
    return interval.estimate, interval.low, interval.high


def _told(row: Row) -> dict[str, Any]:
    return {name: _number(row.figure, value) for name, value in row._asdict().items() if name != "figure"}


def told(figures: Mapping[str, Interval]) -> dict[str, Any]:
    """Figures as plain data.

    :param figures: by name.
    """
    return {
        name: {"kind": "Interval", **{part: _number(name, value) for part, value in attrs.asdict(each).items()}}
        for name, each in figures.items()
    }


def _number(figure: str, value: Any) -> Any:
    return NEVER if value == math.inf and figure.startswith(OF_ALL) else plain(value)
