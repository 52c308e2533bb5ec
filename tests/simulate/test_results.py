"""Results as values: equal for equal seeds, in any process; tables and documents that keep their form."""

from __future__ import annotations

import json
import math
import os
import pickle
import subprocess
import sys

import attrs
import pytest

from trio_pool import PoolConfig
from trio_pool.simulate import Constant, Experiment, Recorded, Service, VirtualProvider, Workload
from trio_pool.simulate.record import Record
from trio_pool.simulate.result import COUNTS, FORMAT, cause_of, unit_of

from .plans import CROWDED, QUIET, STORMY

NOTHING = Experiment(PoolConfig(), Workload(Recorded((9.0,)), Service(Constant(1.0))), seconds=1.0)
"""Nobody asks."""

GROUP = attrs.evolve(
    STORMY, providers=(*STORMY.providers, VirtualProvider("second", concurrency=3)), method="GET", seconds=8.0
)

TELL = """
import pickle, sys
for experiment in pickle.load(sys.stdin.buffer):
    result = experiment.run()
    print(result.history, result.steps)
"""


def test_the_same_seed_gives_the_same_history_in_another_process() -> None:
    experiments = [STORMY, CROWDED, GROUP]
    here = [experiment.run() for experiment in experiments]
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", TELL], input=pickle.dumps(experiments), capture_output=True, env=environment, check=True
    )
    assert done.stdout.decode().splitlines() == [f"{result.history} {result.steps}" for result in here]


@pytest.mark.parametrize("experiment", [QUIET, GROUP])
def test_equal_experiments_have_equal_results_and_other_seeds_others(experiment: Experiment) -> None:
    result = experiment.run()
    assert experiment.run() == result
    other = attrs.evolve(experiment, seed=1).run()
    assert other.history != result.history
    assert other != result


def test_the_history_has_every_outcome() -> None:
    patient = attrs.evolve(STORMY, workload=attrs.evolve(STORMY.workload, cancelled=0.0))
    assert patient.run().history != STORMY.run().history


def test_a_result_travels() -> None:
    result = GROUP.run()
    assert pickle.loads(pickle.dumps(result)) == result
    assert result.cpu_seconds > 0


def test_figures_and_rows_tell_the_same() -> None:
    result = STORMY.run()
    figures = result.figures()
    assert [*COUNTS] == [*figures][: len(COUNTS)]
    rows = {row.figure: row for row in result.rows()}
    assert all(rows[name].value == each.estimate for name, each in figures.items())
    assert all(rows[f"outcome {name}"].value == count for name, count in result.outcomes.items())
    ordered = sorted(result.latencies)
    assert figures["latency p50"].estimate == pytest.approx(ordered[len(ordered) // 2], rel=0.05)
    assert figures["latency p50"].low < figures["latency p50"].estimate < figures["latency p50"].high
    assert sum(
        figures[cause].estimate for cause in ("answered", "refused", "timeout", "error", "cancelled")
    ) == pytest.approx(1)
    assert [unit_of(name) for name in ("answered", "requests", "wait p99")] == ["share", "", "s"]


def test_asking_for_the_history_does_not_change_it() -> None:
    record = Record((0.0, 1.0))
    assert record.history("world") == record.history("world") != record.history("another")


def test_the_document_is_json_and_keeps_its_form() -> None:
    result = GROUP.run()
    document = json.loads(result.to_json())
    assert document["format"] == FORMAT == "trio_pool.simulate.result/1"
    assert [*document] == [
        *("format", "experiment", "history", "ended", "steps", "cpu_seconds", "outcomes", "failed_attempts"),
        *("answered_by", "figures", "littles_law", "moments", "providers", "statistics"),
    ]
    assert document["outcomes"]["answered"] == {"answered": result.answered}
    assert document["figures"]["wait p90"]["unit"] == "s"
    assert len(document["moments"]["leased"]) == len(document["moments"]["at"]) == len(result.moments)
    assert document["providers"]["second"]["requests"] == result.providers["second"].requests
    assert document["experiment"]["config"]["max_connections"] == 8
    assert document["experiment"]["config"]["total_timeout"] is None


def test_where_nothing_happened_there_is_nothing_to_tell() -> None:
    result = NOTHING.run()
    figures = result.figures()
    assert (result.requests, result.ended) == (0, 0.0)
    assert all(math.isnan(figures[name].estimate) for name in ("wait p50", "latency mean", "answered", "reuse"))
    assert json.loads(result.to_json())["figures"]["latency p99"]["value"] is None


@pytest.mark.parametrize(
    ("outcome", "cause"),
    [
        ("answered", "answered"),
        ("PoolFull", "refused"),
        ("RateLimited", "refused"),
        ("PoolTimeout", "timeout"),
        ("ConnectTimeout", "timeout"),
        ("503", "status"),
        ("ReadError", "error"),
        ("cancelled", "cancelled"),
        ("unfinished", "unfinished"),
    ],
)
def test_every_outcome_has_a_cause(outcome: str, cause: str) -> None:
    assert cause_of(outcome) == cause
