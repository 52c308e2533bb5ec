"""Experiments side by side and varied: the same by whatever executor, and refused before anything runs."""

from __future__ import annotations

import json
import math
import multiprocessing
import pickle
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any, cast

import attrs
import distributed
import pytest

from trio_pool import PoolConfig
from trio_pool.errors import UsageError
from trio_pool.simulate import (
    Experiment,
    Exponential,
    InvariantBroken,
    Poisson,
    Service,
    VirtualProvider,
    Workload,
    compare,
    sweep,
)
from trio_pool.simulate.paths import changed
from trio_pool.simulate.sweep import Sweep, summary, with_settings

SMALL = Experiment(
    PoolConfig(max_connections_per_host=4),
    Workload(Poisson(20.0), Service(Exponential(0.2))),
    (VirtualProvider("east"), VirtualProvider("west")),
    seconds=5.0,
    spread=True,
)


class Never(Executor):
    """Runs nothing."""

    def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
        raise AssertionError("something ran")


# ---- comparing ----


def test_with_common_random_numbers_the_difference_is_that_of_the_settings() -> None:
    near = attrs.evolve(SMALL, config=PoolConfig(max_connections_per_host=100), seconds=20.0)
    far = attrs.evolve(near, providers=[VirtualProvider(name, round_trip=0.5) for name in ("east", "west")])
    compared = compare({"near": near, "far": far}, seeds=range(5))
    difference = compared.differences("far")
    assert compared.baseline == "near"
    assert difference["requests"].estimate == 0
    assert 0.4 < difference["latency p50"].low < difference["latency p50"].high < 0.6  # each pays half a second
    assert difference["handshakes"].low > 0
    alone = compared.summary("far")["latency mean"]
    paired = difference["latency mean"]
    assert paired.high - paired.low < alone.high - alone.low


def test_only_differences_are_negative() -> None:
    few = attrs.evolve(SMALL, workload=attrs.evolve(SMALL.workload, arrivals=Poisson(2)), seconds=3)
    comparison = compare({"few": few, "fewer": attrs.evolve(few, seconds=1)}, seeds=(0, 1, 2))
    alone = comparison.results["few"][0].figures()
    for figures in (alone, comparison.summary("few"), comparison.summary("fewer")):
        assert not [name for name, each in figures.items() if -math.inf < each.low < 0]
    assert comparison.differences("fewer")["requests"].low < 0


def test_no_difference_is_none() -> None:
    compared = compare({"a": SMALL, "b": SMALL}, seeds=(1, 2, 3))
    assert all(each.estimate == each.low == each.high == 0 for name, each in compared.differences("b").items())
    assert compared.rows()["b"][0][:2] == ("requests", 0)


def test_a_seed_in_which_nobody_was_answered_costs_no_result() -> None:
    short = attrs.evolve(SMALL, workload=attrs.evolve(SMALL.workload, arrivals=Poisson(1.0)), seconds=0.7)
    results = [attrs.evolve(short, seed=seed).run() for seed in range(6)]
    assert {result.requests == 0 for result in results} == {True, False}
    known = [each.figures()["wait mean"].estimate for each in results if each.answered]
    assert summary(results)["wait mean"].estimate == pytest.approx(sum(known) / len(known))
    compared = compare({"a": short, "b": short}, seeds=range(6))
    assert compared.differences("b")["wait mean"].estimate == 0
    json.loads(compared.to_json())


def test_what_happened_with_no_seed_may_with_another() -> None:
    refused = compare({"a": SMALL}, seeds=(1, 2, 3)).summary("a")["refused"]
    assert (refused.estimate, refused.low) == (0, 0)
    assert 0 < refused.high < 0.02


def test_many_settings_and_seeds_are_told_one_by_one() -> None:
    swept = Sweep(experiment=SMALL, grid={"seconds": tuple(range(1, 200))}, seeds=(0,), points=())
    assert swept.document()["grid"] == {"seconds": list(range(1, 200))}


def test_a_comparison_as_a_document() -> None:
    compared = compare({"a": SMALL, "b": attrs.evolve(SMALL, method="GET")}, seeds=(1, 2))
    document = json.loads(compared.to_json())
    assert document["format"] == "trio_pool.simulate.comparison/1"
    assert (document["baseline"], document["seeds"], [*document["differences"]]) == ("a", [1, 2], ["b"])
    assert document["results"]["a"][1]["history"] == compared.results["a"][1].history


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        compare({}, seeds=(1,))
    with pytest.raises(UsageError, match="seeds must be at least one, and each another"):
        compare({"a": SMALL}, seeds=(1, 1), executor=Never())


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: compare({"a": SMALL}, seeds=cast("Any", 5)), "seeds must be at least one, and each another, not 5"),
        (lambda: compare(cast("Any", {"a": 1}), seeds=(1,)), "'a' must be an Experiment, not 1"),
        (lambda: sweep(SMALL, cast("Any", {"max_connections": 5}), seeds=(1,)), "'max_connections' must be a list"),
        (lambda: sweep(SMALL, {"method": "GET"}, seeds=(1,)), "'method' must be a list of values, not 'GET'"),
        (lambda: sweep(SMALL, {"seed": [1, 2]}, seeds=(1,)), "'seed' is no setting: every setting gets all the seeds"),
        (lambda: sweep(SMALL, {"replay": ["x"]}, seeds=(1,)), "'replay' is no setting"),
    ],
)
def test_nonsense_is_refused_in_words(call: Callable[[], object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        call()


# ---- sweeping ----


def test_every_combination_gets_every_seed() -> None:
    grid = {"max_connections_per_host": (1, 8), "workload.arrivals.rate": (5.0, 20.0)}
    swept = sweep(SMALL, grid, seeds=(0, 1))
    assert [tuple(point.settings.values()) for point in swept.points] == [(1, 5.0), (1, 20.0), (8, 5.0), (8, 20.0)]
    assert [result.experiment.seed for result in swept.points[2].results] == [0, 1]
    assert swept.points[2].results[0] == with_settings(SMALL, swept.points[2].settings).run()
    waits = [point.summary()["wait mean"].estimate for point in swept.points]
    assert max(waits) == waits[1]
    assert min(waits) == waits[2]


def test_a_sweep_as_a_document() -> None:
    swept = sweep(SMALL, {"providers.east.round_trip": (0.0, 0.5)}, seeds=(0,))
    document = json.loads(swept.to_json())
    assert document["format"] == "trio_pool.simulate.sweep/1"
    assert [point["settings"] for point in document["points"]] == [
        {"providers.east.round_trip": 0.0}, {"providers.east.round_trip": 0.5}
    ]  # fmt: skip
    assert swept.points[0].rows()[0].figure == "requests"


def test_one_seed_alone_has_the_intervals_of_its_run() -> None:
    swept = sweep(SMALL, {"seconds": (5.0,)}, seeds=(0,))
    assert swept.points[0].summary() == SMALL.run().figures()


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("max_conections", 3, "did you mean 'max_connections'"),
        ("workload.arivals.rate", 3, "no Workload has 'arivals': did you mean 'arrivals'"),
        ("workload.arrivals.rate", -3, "Poisson.rate must be a positive number"),
        ("max_connections", 0, "PoolConfig.max_connections must be a whole number"),
        ("providers.south.concurrency", 3, "none of the 2 members has 'south'"),
        ("providers.2.concurrency", 3, "none of the 2 members has '2'"),
        ("grace.x", 3, "no float has 'x'"),
        ("workload", 3, "Experiment.workload must be a Workload"),
        ("upstream_options.east.priority", 1, "spread leaves no upstreams"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_runs(key: str, value: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        sweep(SMALL, {"seconds": (1.0,), key: (value,)}, seeds=(0,), executor=Never())


def test_a_key_without_values_is_refused() -> None:
    with pytest.raises(UsageError, match="a key of the grid has no values"):
        sweep(SMALL, {"seconds": ()}, seeds=(0,), executor=Never())


def test_a_part_is_changed_and_nothing_else() -> None:
    experiment = changed(SMALL, "providers.west.concurrency", 7)
    assert [provider.concurrency for provider in experiment.providers] == [None, 7]
    assert changed(experiment, "providers.1.concurrency", None) == SMALL
    one = attrs.evolve(SMALL, spread=False)
    assert changed(one, "upstream_options.west.priority", 3).upstream_options == {"west": {"priority": 3}}


def test_a_command_is_told_only_of_what_it_runs() -> None:
    scenario = attrs.evolve(SMALL, replay="trio-pool simulate x.toml --seed")
    assert attrs.evolve(scenario, seed=4).command == "trio-pool simulate x.toml --seed 4"
    assert with_settings(scenario, {"seconds": 1.0}).command.startswith("python -c ")
    assert with_settings(scenario, {}).replay == scenario.replay


# ---- executors ----


def run_with(executor: Executor | None) -> list[str]:
    told: list[tuple[int, int]] = []
    grid = {"max_connections_per_host": (1, 8)}
    swept = sweep(SMALL, grid, seeds=(0, 1), executor=executor, progress=lambda *counts: told.append(counts))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    return [result.history for point in swept.points for result in point.results]


@pytest.fixture(scope="module")
def histories() -> list[str]:
    return run_with(None)


def test_processes(histories: list[str]) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as executor:
        assert run_with(executor) == histories


def test_threads_take_turns(histories: list[str]) -> None:
    with ThreadPoolExecutor(3) as executor:
        assert run_with(executor) == histories


@pytest.fixture
def dask() -> Iterator[Executor]:
    """A Dask cluster of one other process, with two threads that take turns."""
    make_cluster, make_client = cast("Any", distributed.LocalCluster), cast("Any", distributed.Client)  # have no types
    with make_cluster(1, threads_per_worker=2, dashboard_address=None) as cluster, make_client(cluster) as client:
        yield client.get_executor(pure=False)


def test_a_dask_cluster(dask: Executor, histories: list[str]) -> None:
    assert run_with(dask) == histories


def test_a_broken_invariant_comes_whole_from_another_process() -> None:
    broken = InvariantBroken("something", 1.5, 7, "a command")
    again = pickle.loads(pickle.dumps(broken))
    assert again.args == broken.args
    assert str(again) == str(broken)
