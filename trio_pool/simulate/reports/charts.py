"""Charts of experiments, as SVG that can stand inside a page. Drawn by matplotlib (the extra `plot`)."""

from __future__ import annotations

import io
import math
import warnings
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import cycle
from typing import Any

from ..estimates import Interval, quantile
from ..result import Result, unit_of
from ..sweep import Point, Sweep
from .tables import CAUSES

Results = Mapping[str, Sequence[Result]]
Panel = Callable[[Any], None]
"""Draws on one pair of axes."""

COLOURS = ("#0b6e4f", "#d1495b", "#30638e", "#edae49", "#6a4c93", "#8d5524", "#5c8001", "#7a7a7a")
"""Of experiments side by side; the first is the base's."""

OF_CAUSES = dict(
    zip(CAUSES, ("#4f9d69", "#edae49", "#d1495b", "#8d5524", "#6a4c93", "#9aa5b1", "#d9d9d9"), strict=True)
)
OF_CONNECTIONS = {"leased": "#30638e", "dialling": "#edae49", "idle": "#c9dbe9"}
OF_REQUESTS = {"waiting": "#d1495b", "held": "#6a4c93"}

WIDTH, HEIGHT = 5.0, 2.9
"""Inches of one panel."""

POINTS = 400
"""On a curve."""

SWEPT = (
    "answered",
    "refused",
    "timeout",
    "status",
    "error",
    "reuse",
    "handshakes",
    "wait p90",
    "latency p50",
    "latency p99",
)
"""Figures that are drawn over a grid, if they differ on it."""

WIDE = 20
"""Times as large: then an axis is logarithmic."""

STYLE: Any = {
    "font.size": 9,
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#ececec",
    "axes.axisbelow": True,
    "axes.titlesize": 10,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.parse_math": False,  # a name may have dollars
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "trio_pool",  # the same figure gives the same bytes
}


def _drawn(panels: Sequence[Panel], columns: int = 2, height: float = HEIGHT) -> str:
    """Panels in rows, as one SVG element.

    :raises ImportError: matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.figure import Figure

    rows = -(-len(panels) // columns)
    style = matplotlib.rc_context(STYLE)  # pyright: ignore[reportUnknownMemberType]  # PathLike of what, it leaves open
    with style, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's browser has its own fonts
        figure = Figure(figsize=(2 * WIDTH, height * rows), layout="constrained")
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for axis, panel in zip(axes, panels, strict=False):
            panel(axis)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        written = io.BytesIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})  # pyright: ignore[reportUnknownMemberType]  # as above
    text = written.getvalue().decode("utf-8")
    return text[text.index("<svg") :]


# ---- times ----


def of_times(results: Results) -> str:
    """Latencies and waits of answered requests, of all seeds together."""
    return _drawn([partial(_latencies, results), partial(_waits, results)])


def _latencies(results: Results, axis: Any) -> None:
    shares = [place / POINTS for place in range(1, POINTS + 1)]
    for (name, each), colour in zip(results.items(), cycle(COLOURS), strict=False):
        latencies = sorted(latency for result in each for latency in result.latencies)
        if latencies:
            axis.plot([quantile(latencies, share) for share in shares], shares, color=colour, label=name)
    axis.set(title="latency", xlabel="seconds from the intended start", ylabel="share of the answered", ylim=(0, 1.02))
    if axis.lines and all(line.get_xdata()[0] > 0 for line in axis.lines):
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter(_plain)
    _legend(axis)


def _waits(results: Results, axis: Any) -> None:
    for (name, each), colour in zip(results.items(), cycle(COLOURS), strict=False):
        waits = sorted(wait for result in each for wait in result.waits)
        if waits:
            seconds = [waits[-1] * place / POINTS for place in range(POINTS)]
            longer = [1 - bisect_right(waits, second) / len(waits) for second in seconds]
            axis.plot(seconds, longer, color=colour, label=name)
    axis.set(title="waiting for a connection", xlabel="seconds", ylabel="share of the answered that waited longer")
    axis.set_ylim(bottom=0)
    _legend(axis)


def _legend(axis: Any) -> None:
    if axis.lines:
        axis.legend()
    else:
        axis.text(0.5, 0.5, "nothing was answered", ha="center", transform=axis.transAxes)


# ---- over time ----


def of_connections(results: Results) -> str:
    """What the pool's connections did, and how many requests waited or were held, with the first seed."""
    return _drawn([partial(_connections, name, each[0]) for name, each in results.items()])


def _connections(name: str, result: Result, axis: Any) -> None:
    moments = [moment for moment in result.moments if moment.at <= result.experiment.length]
    at = [moment.at for moment in moments]
    layers = [[getattr(moment, what) for moment in moments] for what in OF_CONNECTIONS]
    axis.stackplot(at, *layers, colors=list(OF_CONNECTIONS.values()), labels=list(OF_CONNECTIONS), step="post")
    for what, colour in OF_REQUESTS.items():
        count = [getattr(moment, what) for moment in moments]
        if any(count):
            axis.step(at, count, where="post", color=colour, linewidth=1, label=f"requests {what}")
    axis.set(xlabel="virtual seconds", ylabel="connections, requests")
    _over(axis, name)


def of_limits(results: Results) -> str:
    """The concurrency limits of upstreams, and what they had in flight; empty where none had a limit."""
    panels = [
        partial(_limit, f"{name}: {load.name}", each[0], place)
        for name, each in results.items()
        for place, load in enumerate(each[0].moments[0].upstreams)
        if any(math.isfinite(moment.upstreams[place].limit) for moment in each[0].moments)
    ]
    return _drawn(panels) if panels else ""


def _limit(name: str, result: Result, place: int, axis: Any) -> None:
    at = [moment.at for moment in result.moments]
    loads = [moment.upstreams[place] for moment in result.moments]
    axis.step(at, [load.limit for load in loads], where="post", color=COLOURS[0], label="limit")
    axis.step(at, [load.in_flight for load in loads], where="post", color=COLOURS[2], linewidth=0.8, label="in flight")
    axis.set(xlabel="virtual seconds", ylabel="requests", ylim=(0, None))
    _over(axis, name)


def _over(axis: Any, name: str) -> None:
    """The name of what is drawn over time, and the legend where it covers nothing."""
    axis.set_title(name, loc="left", pad=20)
    axis.margins(x=0)
    axis.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=4, columnspacing=1, handlelength=1.2)


# ---- causes ----


def of_causes(results: Results) -> str:
    """How requests ended, as shares of all."""
    return _drawn([partial(_causes, results)], columns=1, height=0.8 + 0.35 * len(results))


def _causes(results: Results, axis: Any) -> None:
    left = [0.0] * len(results)
    for cause, colour in OF_CAUSES.items():
        shares = [sum(result.share(cause) for result in each) / len(each) for each in results.values()]
        if any(shares):
            axis.barh([*results], shares, left=left, color=colour, label=cause)
            left = [before + share for before, share in zip(left, shares, strict=True)]
    axis.set(xlabel="share of the requests", xlim=(0, 1))
    axis.invert_yaxis()
    axis.grid(visible=False)
    axis.legend(ncols=len(OF_CAUSES), loc="lower center", bbox_to_anchor=(0.5, 1.0))


# ---- sweeps ----


def of_sweep(sweep: Sweep) -> str:
    """Figures over the first key of the grid, a line for each setting of the others; empty where none differs."""
    summaries = [point.summary() for point in sweep.points]
    drawn = [figure for figure in SWEPT if len({each[figure].estimate for each in summaries}) > 1]
    return _drawn([partial(_swept, sweep, figure) for figure in drawn]) if drawn else ""


def _swept(sweep: Sweep, figure: str, axis: Any) -> None:
    first, *others = sweep.grid
    lines: dict[str, list[Point]] = {}
    for point in sweep.points:
        lines.setdefault(", ".join(f"{key} = {point.settings[key]}" for key in others), []).append(point)
    for (label, points), colour in zip(lines.items(), cycle(COLOURS), strict=False):
        intervals = [point.summary()[figure] for point in points]
        settings = [point.settings[first] for point in points]
        axis.errorbar(
            settings if all(map(_is_number, settings)) else list(map(str, settings)),
            [each.estimate for each in intervals],
            yerr=[[_far(each.low, each) for each in intervals], [_far(each.high, each) for each in intervals]],
            color=colour,
            marker="o",
            markersize=3,
            capsize=2,
            label=label,
        )
    unit = {"share": "share", "s": "seconds"}.get(unit_of(figure), "")
    axis.set(title=figure, xlabel=first, ylabel=unit)
    axis.set_ylim(bottom=0)
    values = sweep.grid[first]
    if all(map(_is_number, values)) and 0 < min(values) * WIDE < max(values):
        axis.set_xscale("log")
        axis.set_xticks(values)
        axis.set_xticks([], minor=True)
        axis.xaxis.set_major_formatter(_plain)
    if others:
        axis.legend()


def _plain(value: float, _: int) -> str:
    return f"{value:g}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _far(end: float, interval: Interval) -> float:
    """How far an end of an interval is from the estimate; 0 where there is none."""
    return abs(end - interval.estimate) if math.isfinite(end) else 0.0
