"""What came of experiments as tables of text, for the terminal and for the report. Every figure has its unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import get_args

import attrs

from ..estimates import UNKNOWN, Interval
from ..experiment import Experiment
from ..result import OF_ALL, QUANTILES, Cause, Result, cause_of, unit_of
from ..scenarios.cases import Case, Expectation
from ..scenarios.wording import said, said_difference, said_interval
from ..sweep import Comparison, Sweep, summary
from ..traffic.traces import CITATION
from ..traffic.workload import Replayed

Figures = Mapping[str, Interval]

CAUSES: tuple[Cause, ...] = get_args(Cause)

TIMES = {
    "wait": "wait of the answered",
    "first byte": "first byte of the answered",
    "latency": "latency of the answered",
    OF_ALL: OF_ALL,
}
"""By what their figures' names begin with: what they are called in a table."""

PARTS = ("mean", *(f"p{share * 100:g}" for share in QUANTILES))

ALWAYS = {"requests", "answered", "attempts per request", "reuse", "handshakes", "in system", "Little's law"}
"""Figures that are shown even if they are 0."""

SHORT = ("answered", "refused", "timeout", "status", "error", "attempts per request", "reuse", "handshakes")
"""The columns where each experiment has one row."""

SHORT_TIMES = ("wait p90", "latency p50", f"{OF_ALL} p99")
"""Follow those, as many as a terminal has room for; the first two are of the answered."""


@attrs.frozen
class Table:
    """Text in rows.

    :ivar header: of each column.
    :ivar rows: as many cells as the header has.
    :ivar names: how many columns at the left name the row; the others have figures.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1


def is_time(figure: str) -> bool:
    """Whether a figure is one of `TIMES`."""
    return unit_of(figure) == "s"


def _shown(figures: Iterable[str], columns: Sequence[Figures]) -> list[str]:
    """Those of which there is anything to be said."""
    return [
        figure
        for figure in figures
        if figure in ALWAYS or is_time(figure) or any(column[figure].estimate for column in columns)
    ]


# ---- one experiment, or few side by side: a column each ----


def of_figures(results: Mapping[str, Sequence[Result]]) -> Table:
    """All figures but times: means over the seeds, with 95 % confidence."""
    return _in_columns("", {name: summary(each) for name, each in results.items()}, said_interval)


def of_differences(comparison: Comparison) -> Table:
    """By how much each differs from the first, over pairs of equal seeds, with 95 % confidence."""
    others = [*comparison.results][1:]
    columns = {name: comparison.differences(name) for name in others}
    return _in_columns(
        f"compared with {comparison.baseline}", columns, said_difference, lambda figure: "first byte" not in figure
    )


def _in_columns(
    corner: str,
    columns: Mapping[str, Figures],
    said_as: Callable[[Interval, str], str],
    is_wanted: Callable[[str], bool] = lambda figure: not is_time(figure),
) -> Table:
    figures = filter(is_wanted, _shown(next(iter(columns.values())), [*columns.values()]))
    rows = ((name, *(said_as(each[name], unit_of(name)) for each in columns.values())) for name in figures)
    return Table((corner, *columns), tuple(rows))


def of_times(results: Mapping[str, Sequence[Result]]) -> Table:
    """The mean and the quantiles of each time, with 95 % confidence; of all requests there is no mean."""
    rows: list[tuple[str, ...]] = []
    for name, each in results.items():
        figures = summary(each)
        is_whole_at_once = all(result.first_bytes == result.latencies for result in each)
        for time, called in TIMES.items():
            if time == "first byte" and is_whole_at_once:
                continue
            parts = (figures.get(f"{time} {part}", UNKNOWN) for part in PARTS)
            rows.append((name, called, *(said_interval(part, "s") for part in parts)))
    return Table(("", "", *PARTS), tuple(rows), names=2)


# ---- many: a row each ----


def of_cases(results: Mapping[str, Sequence[Result]]) -> Table:
    """A row for each experiment: the means over its seeds."""
    return _in_rows(("",), {(name,): summary(each) for name, each in results.items()})


def of_points(sweep: Sweep) -> Table:
    """A row for each setting of a grid: the means over its seeds."""
    points = {tuple(map(str, point.settings.values())): point.summary() for point in sweep.points}
    return _in_rows(tuple(sweep.grid), points)


def _in_rows(corner: tuple[str, ...], lines: Mapping[tuple[str, ...], Figures]) -> Table:
    figures = _shown([*SHORT, *SHORT_TIMES], [*lines.values()])
    rows = ((*names, *(said(each[name].estimate, unit_of(name)) for name in figures)) for names, each in lines.items())
    return Table((*corner, *figures), tuple(rows), names=len(corner))


# ---- how it ended ----


def of_outcomes(results: Mapping[str, Sequence[Result]]) -> Table:
    """How requests ended: how many of each outcome, on average over the seeds."""
    outcomes = {outcome for each in results.values() for result in each for outcome in result.outcomes}
    in_order = sorted(outcomes, key=lambda each: (CAUSES.index(cause_of(each)), each))
    rows = ((each, cause_of(each), *(_mean(each, column) for column in results.values())) for each in in_order)
    return Table(("outcome", "cause", *results), tuple(rows), names=2)


def _mean(outcome: str, results: Sequence[Result]) -> str:
    return said(fmean(result.outcomes.get(outcome, 0) for result in results), "")


def sources(experiments: Iterable[Experiment]) -> str:
    """What must be said of where the traffic comes from: a sentence, or nothing."""
    if any(isinstance(each.workload.service, Replayed) for each in experiments):
        return f"The traffic was recorded; where the recording is Azure's: {CITATION}."
    return ""


@attrs.frozen
class Verdict:
    """Whether what was expected of a case came true.

    :ivar case: its name.
    :ivar expected: in words.
    :ivar found: what came of it.
    :ivar is_met: whether that is as expected.
    """

    case: str
    expected: str
    found: str
    is_met: bool

    def __str__(self) -> str:
        return f"{self.case}: {self.expected}, and it is {self.found}"


def verdicts(cases: Mapping[str, Case], results: Mapping[str, Sequence[Result]]) -> list[Verdict]:
    """What is to be said of every expectation of the cases that were run."""
    return [
        Verdict(name, str(expected), said(value, unit_of(expected.figure)), expected.is_met(value))
        for name, found in results.items()
        for expected, value in _found(cases[name].expected, summary(found))
    ]


def _found(expected: Iterable[Expectation], figures: Figures) -> list[tuple[Expectation, float]]:
    return [(each, figures[each.figure].estimate) for each in expected]
