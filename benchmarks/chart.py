"""The chart: a panel of bars for each variant, and the sweep as lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .clients import SUBJECT
from .report import CEILINGS, Result, Run, figure
from .scenarios import SCENARIOS

COLUMNS = 3
SWEEP = "sweep"
COLOURS = {"subject": "#0b6e4f", "ceiling": "#b8b8b8", "other": "#4a78b5"}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One row as it is drawn.

    :ivar low: the least of the rounds.
    :ivar high: the greatest.
    """

    client: str
    middle: float
    low: float
    high: float
    colour: str


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One variant as it is drawn, the least needy on top."""

    title: str
    unit: str
    bars: list[Bar]


def panels(run: Run) -> list[Panel]:
    """A panel for each variant that has figures, but for the sweep's."""
    drawn = ((s, v, [r for r in rows if r.cost is not None]) for s, v, rows in run.by_variant() if s != SWEEP)
    return [_panel(scenario, variant, rows) for scenario, variant, rows in drawn if rows]


def _panel(scenario: str, variant: str, rows: Sequence[Result]) -> Panel:
    known = SCENARIOS[scenario]
    bars = sorted((_bar(row) for row in rows), key=lambda bar: bar.middle)
    return Panel(title=f"{scenario}: {variant}", unit=known.value or f"CPU µs/{known.unit}", bars=bars)


def _bar(row: Result) -> Bar:
    kind = "ceiling" if row.client in CEILINGS else "subject" if row.client.startswith(SUBJECT) else "other"
    figures = row.figures
    return Bar(client=row.client, middle=row.cost or 0.0, low=min(figures), high=max(figures), colour=COLOURS[kind])


def lines(run: Run) -> dict[str, list[tuple[int, float]]]:
    """For each client its cost by concurrency; nobody, where there is but one."""
    found: dict[str, list[tuple[int, float]]] = {}
    for row in run.results:
        if row.scenario == SWEEP and row.cost is not None:
            found.setdefault(row.client, []).append((int(row.variant), row.cost))
    return {client: points for client, points in found.items() if len(points) > 1}


def draw(run: Run, paths: Sequence[Path]) -> bool:
    """Write the chart to each path, in the format of its suffix; whether there was anything to draw.

    :raises ImportError: matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    bars, curves = panels(run), lines(run)
    count = len(bars) + bool(curves)
    if not count:
        return False
    rows = -(-count // COLUMNS)
    canvas = Figure(figsize=(5 * COLUMNS, 3.2 * rows), layout="constrained")
    grid: Any = canvas.subplots(rows, COLUMNS, squeeze=False)
    axes = list(grid.flat)
    for axis, panel in zip(axes, bars, strict=False):
        _draw_bars(axis, panel)
    if curves:
        _draw_lines(axes[len(bars)], curves)
    for axis in axes[count:]:
        axis.set_axis_off()
    for path in paths:
        canvas.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    return True


def _draw_bars(axis: Any, panel: Panel) -> None:
    names, middles = [bar.client for bar in panel.bars], [bar.middle for bar in panel.bars]
    around = [[bar.middle - bar.low for bar in panel.bars], [bar.high - bar.middle for bar in panel.bars]]
    drawn = axis.barh(names, middles, xerr=around, color=[bar.colour for bar in panel.bars], ecolor="#555555")
    axis.bar_label(drawn, labels=[f" {figure(middle)}" for middle in middles], fontsize=7)
    axis.set_title(panel.title, fontsize=10)
    axis.set_xlabel(f"{panel.unit} (less is better)", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.invert_yaxis()
    axis.margins(x=0.18)
    axis.spines[["top", "right"]].set_visible(False)


def _draw_lines(axis: Any, curves: dict[str, list[tuple[int, float]]]) -> None:
    for client, points in curves.items():
        style = "--" if client in CEILINGS else "-"
        axis.plot(*zip(*points, strict=True), style, marker="o", markersize=3, label=client)
    axis.set(xscale="log", yscale="log")
    axis.set_title("sweep: by concurrency", fontsize=10)
    axis.set_xlabel("concurrent GETs of 1 kB", fontsize=8)
    axis.set_ylabel("CPU µs/request", fontsize=8)
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=6)
    axis.spines[["top", "right"]].set_visible(False)
