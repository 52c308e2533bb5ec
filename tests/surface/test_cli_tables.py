"""Tables on the terminal: whatever its width, no line is wider, and no number and no word is cut."""

from __future__ import annotations

import io
import re
from functools import lru_cache
from pathlib import Path

import pytest
from rich.console import Console

from trio_pool.cli.printing import WIDTH, console_for, say, show
from trio_pool.simulate import compare
from trio_pool.simulate.reports import tables
from trio_pool.simulate.reports.tables import Table
from trio_pool.simulate.scenarios.scenario import load, shipped
from trio_pool.simulate.sweep import Point, Sweep

WIDTHS = (60, 80, 120)
SEEDS = (0, 1)
TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:15:{second:02}.0,374,{second}\n" for second in range(20)
)


@lru_cache(maxsize=16)
def tables_of(name: str, folder: Path) -> list[Table]:
    """All that the command shows of a scenario, whose runs are shortened."""
    (folder / "trace.csv").write_text(TRACE, encoding="utf-8")
    settings = {"seconds": 4, "warm_up": 0}
    scenario = load(name, settings | ({"workload.trace": str(folder / "trace.csv")} if name == "azure-hour" else {}))
    results = compare({name: case.experiment for name, case in scenario.cases.items()}, seeds=SEEDS).results
    base = dict([*results.items()][:1])
    found = [tables.of_cases(results), tables.of_figures(base), tables.of_outcomes(base), tables.of_times(base)]
    [first, *_] = base.values()
    points = [Point(settings=settings, results=first) for settings, _ in scenario.points]
    swept = Sweep(experiment=first[0].experiment, grid=scenario.grid, seeds=SEEDS, points=tuple(points))
    return [*found, tables.of_points(swept)] if points else found


def shown(table: Table, width: int) -> str:
    console = Console(file=io.StringIO(), width=width)
    show(console, table)
    text = console.file.getvalue()  # type: ignore[attr-defined]  # the StringIO
    assert max(map(len, text.splitlines())) <= width
    return str(text)


def stands(part: str, text: str) -> bool:
    """Whether this is in a text, and nothing of it is part of a longer word or number."""
    return re.search(rf"(?<![\w.,]){re.escape(part)}(?![\w]|[.,]\d)", text) is not None


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_scenarios_are_readable(name: str, width: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    for table in tables_of(name, tmp_path_factory.getbasetemp()):
        text = shown(table, width)
        for row in table.rows:
            for cell in row[table.names :]:
                estimate, bracket, interval = cell.partition(" (")
                assert stands(estimate, text)
                assert f"({interval}" in text if bracket else not interval
        for word in re.findall(
            r"[^\s._]+", " ".join([*table.header, *(each for row in table.rows for each in row[: table.names])])
        ):
            assert word in text


NUMBERS = Table(
    ("pool.max_connections", "workload.arrivals.rate", *(f"figure {place}" for place in range(9))),
    (("10", "0.125", *(f"{place}.008 %" for place in range(9))), ("20", "1.5", *["1,234,567"] * 9)),
    names=2,
)


def test_a_table_that_is_too_wide_becomes_several_with_the_names_of_their_rows() -> None:
    text = shown(NUMBERS, 60)
    parts = [part for part in text.split("\n\n") if part.strip()]
    assert len(parts) > 1
    for part in parts:
        assert [line.split()[:2] for line in part.splitlines()[-2:]] == [["10", "0.125"], ["20", "1.5"]]
    for place in range(9):
        assert text.count(f"{place}.008 %") == 1


def test_a_heading_breaks_at_dots_and_underscores() -> None:
    words = shown(NUMBERS, 60).split()
    assert {"pool.max_", "connections", "workload.", "arrivals.", "rate"} <= {*words}


def test_where_it_fits_a_table_is_one_and_an_interval_stands_in_line() -> None:
    table = Table(("", "a", "b"), (("what", "1.5 s (1.0 to 2.0)", "3 %"),))
    assert "1.5 s (1.0 to 2.0)" in shown(table, 40)
    lines = [line.strip() for line in shown(table, 30).splitlines()]
    assert "(1.0 to 2.0)" in lines
    assert any("1.5 s  3 %" in line for line in lines)


@pytest.mark.parametrize("width", [1, 5, 12])
def test_what_fits_nowhere_is_folded(width: int) -> None:
    assert shown(Table(("", "extraordinarily"), (("incomprehensibly", "1234567"),)), width)


def test_a_table_without_rows_is_not_shown() -> None:
    file = io.StringIO()
    show(Console(file=file, width=80), Table(("outcome", "cause", "base"), (), names=2))
    assert file.getvalue() == ""


def test_a_figure_and_its_unit_stay_together() -> None:
    for width in range(20, 60):
        file = io.StringIO()
        console = Console(file=file, width=width)
        say(console, "answered should be at least 100.00 %, and it is 99.97 %, after 12.5 ms (or 3 s)")
        text = file.getvalue()
        assert all(each in text for each in ("100.00 %", "99.97 %", "12.5 ms", "3 s"))
        assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("200", 200), ("", WIDTH), ("0", WIDTH), ("wide", WIDTH)])
def test_the_environment_says_how_wide_where_no_terminal_does(
    monkeypatch: pytest.MonkeyPatch, columns: str, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert console_for().width == width
