"""`docs/experiments.md` does what it says: its Python and its scenario run, and what it names exists."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest

import trio_pool
from trio_pool.cli.app import command
from trio_pool.simulate import Result
from trio_pool.simulate.scenarios.cases import Case
from trio_pool.simulate.scenarios.scenario import parse, shipped
from trio_pool.simulate.sweep import compare
from trio_pool.simulate.world import faults

PAGE = (Path(trio_pool.__file__).parent.parent / "docs" / "experiments.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the page defines; the experiment is shortened."""
    space: dict[str, Any] = {}
    text = "\n".join(blocks("python"))
    assert "seconds=120" in text
    exec(compile(text.replace("seconds=120", "seconds=25"), "docs/experiments.md", "exec"), space)
    return space


def test_a_first_look(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    result = names["first_look"]()
    assert isinstance(result, Result)
    printed = capsys.readouterr().out
    assert re.search(r"^latency p90 +[\d.]+ s$", printed, re.MULTILINE)


def test_more_patience_is_worth_it(names: dict[str, Any]) -> None:
    assert names["is_it_worth_to_wait"](range(3)).estimate > 0


def test_a_grid(names: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    names["how_many"](range(2))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert not any("(-" in line and "(-inf" not in line for line in lines)  # no wait is negative


def test_advice(names: dict[str, Any]) -> None:
    assert names["a_pool_for"](4, 0.5, 1.2).is_met


def test_its_scenario_runs() -> None:
    [text] = blocks("toml")
    scenario = parse({**tomllib.loads(text), "seconds": 10})
    assert len(scenario.points) == 4
    cases: dict[str, Case] = dict(scenario.cases)
    assert list(cases) == ["as it is", "twice the pool", "west is away"]
    results = compare({name: case.experiment for name, case in cases.items()}, seeds=[0]).results
    assert all(each.requests for [each] in results.values())
    assert {name: "west.test" in each.answered_by for name, [each] in results.items()} == {
        "as it is": True,
        "twice the pool": True,
        "west is away": False,
    }
    histories = {experiment.run().history for _, experiment in scenario.points}
    assert len(histories) == len(scenario.points)  # each value makes a difference


def test_its_commands_are_understood() -> None:
    lines = re.findall(r"^    trio-pool (.*?)(?:   .*)?$", PAGE, re.MULTILINE)
    assert len(lines) == 7
    for line in lines:
        name, *arguments = shlex.split(line)
        found: Any = command
        found.commands[name].make_context(name, arguments)


def test_what_it_names_exists() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \|", PAGE, re.MULTILINE)
    assert sorted(rows) == sorted(shipped())
    [kinds] = re.findall(r"^- \*\*Faults\*\* .*?:(.*?)\n- ", PAGE, re.DOTALL | re.MULTILINE)
    known = {*faults.OF_RESOLVING, *faults.OF_DIALLING, *faults.OF_RESPONSES}
    assert set(re.findall(r"`(\w+)`", kinds)) == {kind.__name__ for kind in known}
