"""The command `trio-pool simulate`: a scenario is run, compared or swept. Tables, JSON, a report, an exit status."""

from __future__ import annotations

import itertools
import shlex
import tomllib
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from importlib.util import find_spec
from typing import Any, Literal

import attrs
import click
from rich.console import Console

from ..errors import UsageError
from ..simulate.experiment import Experiment
from ..simulate.reports import tables
from ..simulate.reports.tables import Verdict, verdicts
from ..simulate.result import Result
from ..simulate.scenarios.scenario import Scenario, load, shipped
from ..simulate.sweep import Comparison, Point, Sweep
from ..simulate.watch import InvariantBroken
from . import targets
from .experiments import played
from .printing import say, show

NOT_JUDGED = "What the scenario expects is of its cases, and is not judged in a sweep."
NONE_COUNTS = "No request counts: none was meant to begin after the warm-up and before the end."

HASH = 12
"""Characters of a history's hash that are shown."""

NEEDS_TRACE = "needs --set workload.trace=PATH"

Mode = Literal["run", "compare", "sweep"]


@attrs.frozen(kw_only=True)
class Order:
    """What is asked for.

    :ivar source: a scenario's file or name.
    :ivar settings: texts such as "pool.max_waiting=10", in place of what the file says.
    :ivar mode: whether the base alone is run, all cases, or the grid.
    :ivar seed: the first.
    :ivar seeds: how many; None: as many as the scenario says.
    :ivar jobs: processes, or None: as many as there are cores.
    :ivar html: where the report goes, or None.
    :ivar as_json: where the document goes, or None.
    """

    source: str
    settings: tuple[str, ...]
    mode: Mode
    seed: int
    seeds: int | None
    jobs: int | None
    html: str | None
    as_json: str | None

    def command(self, seeds: int) -> str:
        """The command line that runs the same, once the first seed is put behind it.

        :param seeds: how many.
        """
        source = f"./{self.source}" if self.source.startswith("-") else self.source  # it would be taken for an option
        settings = (f"--set {shlex.quote(setting)}" for setting in self.settings)
        mode = [] if self.mode == "run" else [f"--{self.mode}"]
        return " ".join(["trio-pool simulate", shlex.quote(source), *settings, *mode, f"--seeds {seeds} --seed"])


def run(order: Order, out: Console, err: Console) -> int:
    """Do it.

    :param out: where tables go.
    :param err: where the bar goes, and tables where stdout is for a document.
    :returns: the exit status: 1 if an expectation was not met.
    :raises click.UsageError: for a scenario that cannot be, or a file that cannot be written.
    :raises click.ClickException: when an invariant broke, or a file could not be written in the end.
    """
    if order.html is not None and find_spec("matplotlib") is None:
        raise click.UsageError("the report's charts need an extra: pip install 'trio_pool[plot]'")
    targets.check(order.html, order.as_json)
    try:
        scenario = load(order.source, dict(map(_setting, order.settings)))
        seeds = range(order.seed, order.seed + (order.seeds or scenario.seeds))
        outcome = (
            _swept(order, scenario, seeds, err) if order.mode == "sweep" else _compared(order, scenario, seeds, err)
        )
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    except InvariantBroken as error:
        raise click.ClickException(str(error)) from None
    except BrokenProcessPool:
        raise click.ClickException(
            "a process that ran experiments was ended from outside; fewer --jobs need less memory"
        ) from None
    found = [] if isinstance(outcome, Sweep) else verdicts(scenario.cases, outcome.results)
    _show(err if targets.STDOUT in (order.as_json, order.html) else out, scenario, outcome, found)
    _write(order, scenario, outcome, found)
    return 0 if all(each.is_met for each in found) else 1


def names() -> list[tuple[str, str]]:
    """The shipped scenarios, and their titles; of those that need a file, how to give it."""
    documents = {name: tomllib.loads(path.read_text(encoding="utf-8")) for name, path in shipped().items()}
    return [
        (name, f"{each['title']} ({NEEDS_TRACE})" if "trace" in each["workload"] else each["title"])
        for name, each in documents.items()
    ]


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise UsageError(f"--set is written KEY=VALUE, such as pool.max_waiting=10, not {text!r}")
    try:
        return key.strip(), tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), value  # text needs no quotes here


# ---- running ----


def _compared(order: Order, scenario: Scenario, seeds: Sequence[int], err: Console) -> Comparison:
    if order.mode == "compare" and len(scenario.cases) == 1:
        raise UsageError("the scenario has no variants to compare")
    cases = {name: case.experiment for name, case in scenario.cases.items()}
    if order.mode == "run":
        cases = dict(itertools.islice(cases.items(), 1))
    results = _results([*cases.values()], order, seeds, err)
    return Comparison(seeds=tuple(seeds), results=dict(zip(cases, results, strict=True)))


def _swept(order: Order, scenario: Scenario, seeds: Sequence[int], err: Console) -> Sweep:
    if not scenario.points:
        raise UsageError("the scenario has nothing to sweep: it needs a table [sweep]")
    results = _results([experiment for _, experiment in scenario.points], order, seeds, err)
    points = [Point(settings=each, results=runs) for (each, _), runs in zip(scenario.points, results, strict=True)]
    base = next(iter(scenario.cases.values())).experiment
    return Sweep(experiment=base, grid=scenario.grid, seeds=tuple(seeds), points=tuple(points))


def _results(
    experiments: Sequence[Experiment], order: Order, seeds: Sequence[int], err: Console
) -> list[tuple[Any, ...]]:
    """For each experiment its results, one for each seed."""
    replay = order.command(1)
    runs = [attrs.evolve(each, seed=seed, replay=replay) for each in experiments for seed in seeds]
    results = iter(played(runs, order.jobs, err))
    return [tuple(itertools.islice(results, len(seeds))) for _ in experiments]


# ---- telling ----


def _show(console: Console, scenario: Scenario, outcome: Comparison | Sweep, found: Sequence[Verdict]) -> None:
    seeds = f"seed {outcome.seeds[0]}" if len(outcome.seeds) == 1 else f"means over {len(outcome.seeds)} seeds"
    say(console, f"{scenario.title} ({seeds})", "bold")
    if isinstance(outcome, Sweep):
        show(console, tables.of_points(outcome))
    elif len(outcome.results) > 1:
        show(console, tables.of_cases(outcome.results))
    else:
        show(console, tables.of_figures(outcome.results))
        show(console, tables.of_outcomes(outcome.results))
        show(console, tables.of_times(outcome.results))
    runs = _runs(outcome)
    if not any(result.requests for result in runs):
        say(console, f"{NONE_COUNTS}\n")
    if len(runs) == 1:
        say(console, f"history {runs[0].history[:HASH]}, which the same seed repeats\n")
    if isinstance(outcome, Sweep) and any(case.expected for case in scenario.cases.values()):
        say(console, NOT_JUDGED)
    if source := tables.sources(case.experiment for case in scenario.cases.values()):
        say(console, f"{source}\n")
    for each in found:
        say(console, f"{'met' if each.is_met else 'NOT MET'}  {each}", "green" if each.is_met else "red")


def _write(order: Order, scenario: Scenario, outcome: Comparison | Sweep, found: Sequence[Verdict]) -> None:
    if order.as_json is not None:
        targets.write(order.as_json, _document(outcome))
    if order.html is not None:
        from ..simulate.reports.report import page

        command = f"{order.command(len(outcome.seeds))} {outcome.seeds[0]}"
        targets.write(order.html, page(scenario, outcome, command=command, found=found))


def _document(outcome: Comparison | Sweep) -> str:
    """Of one run alone its own document."""
    [first, *others] = _runs(outcome)
    return outcome.to_json() if others or isinstance(outcome, Sweep) else first.to_json()


def _runs(outcome: Comparison | Sweep) -> list[Result]:
    groups = (point.results for point in outcome.points) if isinstance(outcome, Sweep) else outcome.results.values()
    return [result for group in groups for result in group]
