"""A report on experiments: one page of HTML that needs nothing from elsewhere, no script and no font.

Its charts are drawn by matplotlib (the extra `plot`). What comes from a scenario is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from html import escape

from ..._version import __version__
from ..describe import plain
from ..scenarios.scenario import Scenario
from ..sweep import Comparison, Sweep
from . import charts, tables
from .tables import Table, Verdict

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; color: #22272e;
       background: #fff; max-width: 62rem; margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin-bottom: .4rem; }
h2 { font-size: 1.15rem; margin-top: 2.6rem; padding-bottom: .25rem; border-bottom: 1px solid #e3e6ea; }
p, li { max-width: 46rem; }
.note { color: #5b6570; font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: .28rem .6rem; border-bottom: 1px solid #edf0f2; white-space: nowrap; }
th.name { text-align: left; }
th:first-child { padding-left: 0; }
thead th { white-space: normal; border-bottom: 2px solid #cfd6dc; vertical-align: bottom; }
tbody th { font-weight: normal; }
tbody th, td { vertical-align: top; }
small { color: #5b6570; font-size: .92em; }
svg { width: 100%; height: auto; }
.met::before { content: "✓ "; color: #0b6e4f; }
.missed::before { content: "✗ "; color: #c0283b; }
.missed { color: #c0283b; }
ul.plain { list-style: none; padding: 0; }
pre { font-size: .8rem; background: #f6f8fa; padding: .8rem; overflow-x: auto; }
code { background: #f6f8fa; padding: .1rem .3rem; }
"""

NARROW = 4
"""Columns that have room for intervals beside the figures."""

READING = """
<p>An interval in parentheses holds the true value with 95 % confidence. Over several seeds it comes from the spread of
one figure a seed (Student's t); of what never happened, or always, from the number of requests. Of a single seed,
counts are exact for that run alone; the intervals of times heed that neighbours have similar times, and are too narrow
where a run is short and the load is high.</p>
<p>Latency counts from the moment at which a request was meant to start. A wait is the time from then until the exchange
began that was answered: in line, in dials, in pauses and in attempts that failed. Waits, first bytes and latencies are
of the answered alone, so refusing whoever would be slow makes them shorter. "Latency of all" counts whoever was
refused, timed out, got an error or did not finish as answered never; over several seeds it is "never" if it is in one
of them. Requests that their callers gave up are in none of the times.</p>
<p>Little's law: the mean number in the system is the rate times the mean time; where the two figures are far apart, the
run was too short, or the line grew without end.</p>
<p>Experiments side by side had the same requests at the same times, seed by seed, as far as their workloads are the
same; their differences are taken pair by pair. The same seed repeats the same history.</p>
"""


def page(scenario: Scenario, played: Comparison | Sweep, *, command: str = "", found: Sequence[Verdict] = ()) -> str:
    """The report.

    :param scenario: what was asked.
    :param played: what came of it.
    :param command: that makes it again (none).
    :param found: what is to be said of expectations (nothing).
    :raises ImportError: matplotlib is not installed.
    """
    middle = _of_sweep(played) if isinstance(played, Sweep) else _of_comparison(played)
    sections = [
        f"<h1>{escape(scenario.title)}</h1>",
        *(f"<p>{escape(paragraph)}</p>" for paragraph in scenario.about.split("\n\n") if paragraph),
        _expectations(found),
        *middle,
        _section("How to read this", READING),
        _section("What was run", _what(played, command)),
    ]
    title = escape(scenario.title)
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    body = "".join(sections)
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>{body}</body></html>\n'


def _section(title: str, *parts: str) -> str:
    return f"<h2>{escape(title)}</h2>\n{''.join(parts)}" if any(parts) else ""


def _of_comparison(played: Comparison) -> list[str]:
    results = played.results
    is_compared = len(results) > 1
    return [
        _section("Figures", _seeds(played.seeds), _table(tables.of_figures(results))),
        _section("How requests ended", charts.of_causes(results), _table(tables.of_outcomes(results))),
        _section("Times", charts.of_times(results), _table(tables.of_times(results))),
        _section(f"Connections over time, seed {played.seeds[0]}", charts.of_connections(results)),
        _section(f"Limits over time, seed {played.seeds[0]}", charts.of_limits(results)),
        _section("Differences", _table(tables.of_differences(played))) if is_compared and len(played.seeds) > 1 else "",
    ]


def _of_sweep(played: Sweep) -> list[str]:
    return [
        _section("Figures", _seeds(played.seeds), _table(tables.of_points(played))),
        _section("Charts", charts.of_sweep(played)),
    ]


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f'<p class="note">One run, with seed {seeds[0]}.</p>'
    return f'<p class="note">Means over {len(seeds)} seeds ({seeds[0]} to {seeds[-1]}).</p>'


def _expectations(found: Sequence[Verdict]) -> str:
    lines = (f'<li class="{"met" if each.is_met else "missed"}">{escape(str(each))}</li>' for each in found)
    return _section("Expected", f'<ul class="plain">{"".join(lines)}</ul>') if found else ""


def _table(table: Table) -> str:
    is_wide = len(table.header) > NARROW
    head = _row(table, table.header, "th")
    rows = "".join(_row(table, row, "td", _narrow if is_wide else escape) for row in table.rows)
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{rows}</tbody></table></div>'


def _row(table: Table, cells: Sequence[str], tag: str, written: Callable[[str], str] = escape) -> str:
    named = "".join(f'<th class="name">{escape(cell)}</th>' for cell in cells[: table.names])
    return f"<tr>{named}{''.join(f'<{tag}>{written(cell)}</{tag}>' for cell in cells[table.names :])}</tr>"


def _narrow(cell: str) -> str:
    """A figure, and its interval below it."""
    estimate, bracket, interval = escape(cell).partition(" (")
    return f"{estimate}<br><small>({interval}</small>" if bracket else estimate


def _what(played: Comparison | Sweep, command: str) -> str:
    if isinstance(played, Sweep):
        runs = [result for point in played.points for result in point.results]
        shown = {"the experiment, before the grid": played.experiment}
    else:
        runs = [result for each in played.results.values() for result in each]
        shown = {name: each[0].experiment for name, each in played.results.items()}
    seconds = sum(result.cpu_seconds for result in runs)
    parts = [
        f"<p>{len(runs)} runs, {sum(result.requests for result in runs):,} requests, "
        f"{sum(result.ended for result in runs):,.0f} virtual seconds, {seconds:.1f} s of processor time, "
        f"trio_pool {escape(__version__)}.</p>",
        f"<p><code>{escape(command)}</code></p>" if command else "",
        f"<p>{escape(tables.sources(shown.values()))}</p>",
        *(_details(name, json.dumps(plain(each), indent=1)) for name, each in shown.items()),
    ]
    return "".join(parts)


def _details(summary: str, text: str) -> str:
    return f"<details><summary>{escape(summary)}</summary><pre>{escape(text)}</pre></details>"
