"""Experiments in words: Python that makes them again, and data for documents."""

from __future__ import annotations

import json
import math
import pickle
import random
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from trio_pool import PoolConfig, RetryStrategy
from trio_pool.simulate import (
    Bursts,
    Constant,
    Empirical,
    Experiment,
    LogNormal,
    Poisson,
    Service,
    VirtualProvider,
    Workload,
)
from trio_pool.simulate.describe import plain, source
from trio_pool.simulate.traffic import workload
from trio_pool.simulate.traffic.measured import CHAT_INPUT, CHAT_OUTPUT
from trio_pool.simulate.traffic.traces import parse, read

from .plans import CROWDED, QUIET, STORMY

ODD = Experiment(
    PoolConfig(max_waiting=math.inf, total_timeout=9.5, retry_strategy=RetryStrategy.LINEAR),
    Workload(Poisson(3.0), Service(LogNormal(0.2, 0.5), Empirical((1, 2, 3)))),
    (VirtualProvider("east", bandwidth=math.inf, outages=(Bursts(10.0, 1.0, shared="both"),)), VirtualProvider("west")),
    upstream_options={"west": {"priority": 1, "probe": "it's up"}},
    hedging=True,
    sample_every=0.5,
)
BEYOND = attrs.evolve(ODD, upstream_options={"west": {"probe": "/\N{GRINNING FACE}'\""}})


@pytest.mark.parametrize("experiment", [QUIET, STORMY, CROWDED, ODD, BEYOND])
def test_its_source_makes_an_equal_experiment(experiment: Experiment) -> None:
    names: dict[str, Any] = {}
    imports: set[str] = set()
    expression = source(experiment, imports)
    exec("\n".join(imports), names)
    assert eval(expression, names) == experiment
    program, option, code = shlex.split(experiment.command)
    assert (program, option) == ("python", "-c")
    assert expression in code


HOUR = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:47.9951690,396,10
2023-11-16 18:15:50.0000000,879,55
2023-11-16 18:15:51.5000000,91,16
"""


def of_trace(path: Path) -> Iterator[Workload]:
    """Recorded workloads, one of more rows than a command has room for."""
    path.write_text(HOUR + "2023-11-16 18:15:51.6,374,44\n" * 500, encoding="utf-8")
    whole = read(path)
    yield workload.trace(path)
    yield workload.trace(whole.window(1, math.inf))
    yield workload.trace(whole.window(0.5, 4.5), first_byte=Constant(0.1))
    yield workload.trace(whole.halves(2.0)[1])
    yield attrs.evolve(workload.trace(path), cancelled=0.5, patience=Constant(1.0))
    yield workload.trace(parse(HOUR.splitlines()))


def again(command: str) -> Experiment:
    """The experiment that a command runs."""
    program, option, code = shlex.split(command)
    assert (program, option) == ("python", "-c")
    *imports, printed = code.split("; ")
    names: dict[str, Any] = {}
    exec("\n".join(imports), names)
    made: Experiment = eval(printed.removeprefix("print(").removesuffix(".run())"), names)
    return made


def test_presets_and_traces_have_a_command_that_replays_them(tmp_path: Path) -> None:
    changed = Service(Constant(0.2), CHAT_OUTPUT, input_tokens=CHAT_INPUT)
    presets = [workload.chat(10.0), workload.agent(3.0), Workload(Poisson(2.0), changed)]
    for each in [*presets, *of_trace(tmp_path / "it's an hour.csv")]:
        experiment = Experiment(PoolConfig(), pickle.loads(pickle.dumps(each)), seconds=10, seed=7)
        repeated = again(experiment.command)
        assert repeated == experiment
        assert repeated.run().history == experiment.run().history


def test_a_changed_copy_does_not_remember_what_made_the_other() -> None:
    tokens = attrs.evolve(CHAT_OUTPUT, values=(1, 2))
    assert source(tokens, set()) == "Empirical(values=(1, 2,))"


def test_what_is_as_it_is_by_default_is_not_said() -> None:
    assert source(PoolConfig(max_connections=7), set()) == "PoolConfig(max_connections=7)"
    assert source(VirtualProvider(), set()) == "VirtualProvider()"


def test_a_command_that_would_be_too_long_is_none() -> None:
    long = attrs.evolve(ODD, workload=attrs.evolve(ODD.workload, service=Service(Empirical([0.1] * 5000))), seed=5)
    assert long.command == "run() of the same Experiment, whose seed is 5"


def test_what_no_python_makes_again_has_no_command() -> None:
    class Local(Constant):
        """Nobody can import it."""

    class Bare:
        """No record."""

        mean, squared_cv = 1.0, 0.0

        def sample(self, chance: random.Random) -> float:
            return chance.random()

    for each in (Local(1.0), Bare()):
        experiment = attrs.evolve(QUIET, workload=Workload(Poisson(3.0), Service(each)), seed=5)
        assert experiment.command == "run() of the same Experiment, whose seed is 5"


def test_as_data_every_record_tells_its_kind() -> None:
    told = json.loads(json.dumps(plain(ODD), allow_nan=False))
    assert told["kind"] == "Experiment"
    assert told["workload"]["service"]["tokens"] == {"kind": "Empirical", "values": [1, 2, 3]}
    assert told["config"]["retry_strategy"] == RetryStrategy.LINEAR.value
    assert told["config"]["max_waiting"] is None
    assert told["providers"][0]["outages"][0]["shared"] == "both"
    assert "limits" not in told["config"]


def test_a_long_row_is_told_by_its_number() -> None:
    assert plain(Empirical([0.5] * 101)) == {"kind": "Empirical", "values": "<101 values>"}
    assert plain(frozenset({3, 1})) == [1, 3]
    assert plain(math.nan) is None
