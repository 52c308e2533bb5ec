"""The report and its tables: each figure with its unit, nothing from elsewhere, nothing of a scenario unescaped."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from functools import lru_cache
from html.parser import HTMLParser
from typing import Any

import attrs
import pytest

from trio_pool.simulate import sweep as run_sweep
from trio_pool.simulate.estimates import Interval
from trio_pool.simulate.reports import tables
from trio_pool.simulate.reports.report import page
from trio_pool.simulate.reports.tables import Table, verdicts
from trio_pool.simulate.scenarios.scenario import Scenario, parse
from trio_pool.simulate.scenarios.wording import said, said_difference, said_interval
from trio_pool.simulate.sweep import Comparison, Sweep, compare
from trio_pool.simulate.traffic.traces import CITATION, Row, Trace
from trio_pool.simulate.traffic.workload import trace

HOSTILE = "<script>alert('&')</script>"

DOCUMENT: dict[str, Any] = {
    "title": f"A title {HOSTILE}",
    "about": f"First {HOSTILE}\n\nSecond",
    "base": f"base {HOSTILE}",
    "seconds": 20,
    "pool": {"max_connections": 3, "max_connections_per_host": 3, "acquire_timeout": 0.2},
    "workload": {
        "arrivals": {"kind": "Poisson", "rate": 8},
        "service": {"first_byte": {"kind": "Exponential", "mean": 0.3}, "tokens": 5},
    },
    "upstreams": {"provider": {"adaptive": True}},
    "expect": {"answered_at_least": 0.99, "timeout_at_least": 0.001},
    "variants": {"large": {"pool": {"max_connections_per_host": 30, "max_connections": 30}}},
    "sweep": {"pool": {"max_connections_per_host": [1, 3], "max_waiting": [0, 5]}},
}


@lru_cache(maxsize=1)
def scenario() -> Scenario:
    return parse(DOCUMENT)


@lru_cache(maxsize=1)
def compared() -> Comparison:
    return compare({name: case.experiment for name, case in scenario().cases.items()}, seeds=[0, 1, 2])


@lru_cache(maxsize=1)
def swept() -> Sweep:
    base = next(iter(scenario().cases.values())).experiment
    return run_sweep(base, {"max_connections_per_host": [1, 30], "max_waiting": [0, 5]}, seeds=[0])


# ---- figures in words ----


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.25, "share", "25.00 %"),
        (0, "share", "0.00 %"),
        (1, "share", "100.00 %"),
        (0.99997, "share", "99.9970 %"),  # nearly all are not all
        (0.00001, "share", "0.0010 %"),
        (0.0124, "s", "12.4 ms"),
        (0, "s", "0 s"),
        (2.5, "s", "2.50 s"),
        (123.4, "s", "123 s"),
        (26720, "", "26,720"),
        (1.0712, "", "1.071"),
        (10, "", "10"),
        (math.nan, "s", "-"),
        (math.inf, "s", "never"),
    ],
)
def test_a_figure_has_its_unit(value: float, unit: str, text: str) -> None:
    assert said(value, unit) == text


@pytest.mark.parametrize(
    ("interval", "unit", "text"),
    [
        (Interval(0.5, 0.45, 0.55), "share", "50.00 % (45.00 to 55.00)"),
        (Interval(0.01, -0.01, 0.03), "share", "1.00 % (0.00 to 3.00)"),
        (Interval(0.99, 0.97, 1.01), "share", "99.00 % (97.00 to 100.00)"),
        (Interval(0.991, 0.9, 1.03), "s", "991 ms (900 to 1,030)"),
        (Interval(3.0, 3.0, 3.0), "", "3"),
        (Interval(3.0, -math.inf, math.inf), "", "3.000"),
        (Interval(math.nan, math.nan, math.nan), "s", "-"),
        (Interval(2.0, 1.5, math.inf), "s", "2.00 s (1.50 or more)"),
        (Interval(math.inf, 1.5, math.inf), "s", "never"),
    ],
)
def test_an_interval_stands_behind_its_figure(interval: Interval, unit: str, text: str) -> None:
    assert said_interval(interval, unit) == text


@pytest.mark.parametrize(
    ("interval", "unit", "text"),
    [
        (Interval(0.05, 0.04, 0.06), "share", "+5.00 points (+4.00 to +6.00)"),
        (Interval(-0.2, -0.3, 0.1), "s", "-200 ms (-300 to +100), may be chance"),
        (Interval(0.0, 0.0, 0.0), "s", "-"),
        (Interval(math.inf, math.inf, math.inf), "s", "to never"),
        (Interval(-math.inf, -math.inf, math.inf), "s", "from never, may be chance"),
    ],
)
def test_a_difference_has_a_sign_and_says_if_it_may_be_none(interval: Interval, unit: str, text: str) -> None:
    assert said_difference(interval, unit) == text


# ---- tables ----


def column(table: Table, name: str) -> dict[str, str]:
    place = table.header.index(name)
    return {" ".join(row[: table.names]): row[place] for row in table.rows}


def test_figures_have_a_column_for_each_experiment() -> None:
    table = tables.of_figures(compared().results)
    small, large = (column(table, name) for name in scenario().cases)
    assert small["requests"] == large["requests"]
    assert small["timeout"].endswith(")")
    assert large["timeout"].startswith("0.00 % (0.00 to ")
    assert "status" not in small  # of which there was none
    assert not any("latency" in name for name in small)


def test_times_have_a_row_for_each_experiment_and_time() -> None:
    table = tables.of_times(compared().results)
    assert [row[:2] for row in table.rows][:3] == [
        (DOCUMENT["base"], f"{time} of the answered") for time in ("wait", "first byte", "latency")
    ]
    assert len(table.rows) == 8
    assert re.fullmatch(r"\d+ ms \(\d+ to [\d,]+\)", column(table, "p50")["large latency of the answered"])
    assert column(table, "p99")["large latency of all"] == column(table, "p99")["large latency of the answered"]
    assert column(table, "p99")[f"{DOCUMENT['base']} latency of all"] == "never"
    assert column(table, "mean")["large latency of all"] == "-"


def test_a_first_byte_that_is_the_last_is_not_told_twice() -> None:
    whole = parse({**DOCUMENT, "workload": {**DOCUMENT["workload"], "service": {"first_byte": 0.1}}, "variants": {}})
    results = compare({"whole": next(iter(whole.cases.values())).experiment}, seeds=[0]).results
    assert [row[1] for row in tables.of_times(results).rows] == [
        "wait of the answered", "latency of the answered", "latency of all"
    ]  # fmt: skip


def test_differences_are_told_of_all_but_the_first() -> None:
    table = tables.of_differences(compared())
    assert table.header == (f"compared with {DOCUMENT['base']}", "large")
    assert column(table, "large")["answered"].startswith("+")
    assert column(table, "large")["requests"] == "-"


def test_outcomes_are_counted_in_the_order_of_causes() -> None:
    table = tables.of_outcomes(compared().results)
    assert [row[:2] for row in table.rows] == [("answered", "answered"), ("PoolTimeout", "timeout")]


def test_rows_for_settings() -> None:
    table = tables.of_points(swept())
    assert table.header[:3] == ("max_connections_per_host", "max_waiting", "answered")
    assert [row[:2] for row in table.rows] == [("1", "0"), ("1", "5"), ("30", "0"), ("30", "5")]
    assert (table.names, tables.of_cases(compared().results).names) == (2, 1)
    assert len(tables.of_cases(compared().results).rows) == 2


# ---- the page ----


class Links(HTMLParser):
    """What a page would fetch, and the elements that it has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.elements: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "data") and not (value or "").startswith("#"):
                self.fetched.append(f"{name}={value}")


def test_a_comparison_as_a_page() -> None:
    found = verdicts(scenario().cases, compared().results)
    text = page(scenario(), compared(), command="trio-pool simulate 'a & b'", found=found)
    looked = Links(text)
    assert looked.fetched == []
    assert "script" not in looked.elements
    assert "url(" not in text.replace("url(#", "")
    assert "@import" not in text
    assert looked.elements.count("svg") == 4  # causes, times, connections, limits
    for heading in ("Expected", "Figures", "How requests ended", "Times", "Limits over time, seed 0", "Differences"):
        assert f"<h2>{heading}</h2>" in text
    assert text.count('class="missed"') == 1
    assert text.count('class="met"') == 1
    assert "trio-pool simulate &#x27;a &amp; b&#x27;" in text
    assert HOSTILE not in text
    assert CITATION not in text


def test_its_charts_are_well_formed_and_the_same_every_time() -> None:
    text = page(scenario(), compared())
    for chart in re.findall(r"<svg.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(chart)
    assert text == page(scenario(), compared())


@pytest.mark.parametrize("name", ["from $5 to $6", "a $\\frac$ b", "漢字"])
def test_a_name_is_drawn_as_it_is(name: str) -> None:
    """Mathematics for matplotlib it is not; and that its own fonts have no such signs is no matter for a warning."""
    [base, *_] = compared().results.values()
    charts = re.findall(
        r"<svg.*?</svg>", page(scenario(), Comparison(seeds=(0, 1, 2), results={name: base})), re.DOTALL
    )
    assert sum(name in "".join(ElementTree.fromstring(chart).itertext()) for chart in charts) >= 3


def test_a_sweep_as_a_page() -> None:
    text = page(scenario(), swept())
    assert Links(text).elements.count("svg") == 1
    assert "max_waiting = 0" in text
    assert "<h2>Expected</h2>" not in text


def test_nothing_answered_is_a_page_too() -> None:
    document = {**DOCUMENT, "providers": {"provider": {"outages": [{"kind": "Outage", "start": 0, "seconds": 99}]}}}
    hopeless = parse({**document, "variants": {}})
    results = compare({name: case.experiment for name, case in hopeless.cases.items()}, seeds=[0])
    assert "nothing was answered" in page(hopeless, results)


@pytest.mark.parametrize(("upstreams", "shown"), [({}, "waiting"), ({"provider": {}}, "held")])
def test_the_chart_of_connections_shows_who_waits_in_the_pool_and_before_it(upstreams: Any, shown: str) -> None:
    small = parse({**DOCUMENT, "upstreams": upstreams, "variants": {}})
    [base] = small.cases.values()
    text = page(small, compare({"base": base.experiment}, seeds=[0]))
    assert [what for what in ("waiting", "held") if f"requests {what}" in text] == [shown]


def test_a_trace_is_cited() -> None:
    workload = trace(Trace([Row(0.0, 1, 2), Row(1.0, 1, 2)]))
    traced = attrs.evolve(next(iter(scenario().cases.values())).experiment, workload=workload)
    assert CITATION in page(scenario(), compare({"traced": traced}, seeds=[0]))
