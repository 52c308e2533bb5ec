"""Is the simulation right? Three answers that do not share its code.

Queueing theory, for what it has formulas for: over twenty seeds, its figures are within the confidence intervals of the
simulated ones, which are narrow enough that a tenth more or less would be found. Ciw, a queue simulator of others, for
what has none: it is given the same requests, and must give each the same wait. And the pool's line alone
(`queueing.py`), which the advisor searches with: it must give each request the same wait as the whole client does, bit
for bit. So long runs of the line, which cost little, may steady the client's figures. The last part breaks pools and
formulas, and sees all that fail.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import attrs
import ciw
import pytest

import trio_pool.pool
from trio_pool import PoolConfig, UsageError, sizing
from trio_pool._core.slots import Slots
from trio_pool.simulate.advisor.queueing import waits
from trio_pool.simulate.audit import Audit
from trio_pool.simulate.estimates import Interval
from trio_pool.simulate.experiment import Experiment
from trio_pool.simulate.result import Result
from trio_pool.simulate.traffic.arrivals import OnOff, Poisson, Renewal
from trio_pool.simulate.traffic.distributions import Exponential, LogNormal, Pareto
from trio_pool.simulate.traffic.workload import Service, Workload
from trio_pool.sizing import FiniteQueue, mean_wait

from ..pure.mutants import MUTANTS
from .oracles import (
    LONG,
    ORACLES,
    alone,
    bounded,
    counted,
    endless,
    figures_of,
    general,
    jobs_of,
    lossy,
    of_the_line,
    pool_of,
    steadied,
)

SEEDS = range(20)

# ---- closed forms ----


@pytest.fixture(scope="module")
def results() -> dict[str, list[Result]]:
    """What the whole client did in each oracle's traffic, with each seed."""
    experiments = {name: make().experiment for name, make in ORACLES.items()}
    return {name: [attrs.evolve(each, seed=seed).run() for seed in SEEDS] for name, each in experiments.items()}


@pytest.fixture(scope="module")
def long_lines() -> dict[str, list[dict[str, float]]]:
    """The figures of the line alone, in many times as long."""
    return {name: make(scale=LONG[name]).runs(SEEDS, of_the_line) for name, make in ORACLES.items()}


@pytest.fixture(scope="module")
def by_the_line(long_lines: dict[str, list[dict[str, float]]]) -> dict[str, dict[str, Interval]]:
    return {name: make().measured(long_lines[name]) for name, make in ORACLES.items()}


@pytest.fixture(scope="module")
def by_the_client(
    results: dict[str, list[Result]], long_lines: dict[str, list[dict[str, float]]]
) -> dict[str, dict[str, Interval]]:
    """What the whole client comes to, with the line alone as its control variate."""
    found: dict[str, dict[str, Interval]] = {}
    for name, make in ORACLES.items():
        client, short = map(figures_of, results[name]), make().runs(SEEDS, of_the_line)
        found[name] = make().measured(steadied(list(client), short, long_lines[name]))
    return found


def outside(expected: dict[str, float], measured: dict[str, Interval]) -> list[str]:
    return [figure for figure, interval in measured.items() if not interval.holds(expected[figure])]


@pytest.mark.parametrize("name", ORACLES)
def test_the_client_agrees_with_theory(name: str, by_the_client: dict[str, dict[str, Interval]]) -> None:
    assert outside(dict(ORACLES[name]().expected), by_the_client[name]) == []


@pytest.mark.parametrize("name", ORACLES)
def test_the_line_agrees_with_theory(name: str, by_the_line: dict[str, dict[str, Interval]]) -> None:
    assert outside(dict(ORACLES[name]().expected), by_the_line[name]) == []


# ---- the line alone ----

TRAFFIC = {
    "poisson": Workload(Poisson(8.0), Service(Exponential(0.5))),
    "bursts": Workload(OnOff(40.0, 1.0, 1.0, 6.0), Service(LogNormal(0.4, 0.8))),
    "heavy tails": Workload(Renewal(9.0, 2.0), Service(Pareto(0.2, 1.6))),
}
LINES: dict[str, PoolConfig] = {
    "endless": pool_of(5),
    "bounded": pool_of(5, max_waiting=3),
    "impatient": pool_of(5, acquire_timeout=0.6),
    "bounded and impatient": pool_of(5, max_waiting=4, acquire_timeout=0.6),
    "none": pool_of(5, max_waiting=0),
}


def lost(expected: Sequence[float]) -> int:
    return sum(wait == math.inf for wait in expected)


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("traffic", TRAFFIC)
@pytest.mark.parametrize("seed", [5, 6, 7])
def test_the_client_gives_each_request_the_wait_that_the_line_alone_gives_it(
    traffic: str, line: str, seed: int
) -> None:
    experiment = Experiment(LINES[line], TRAFFIC[traffic], seed=seed, seconds=40)
    result = experiment.run()
    expected = list(alone(experiment))
    assert sorted(result.waits) == sorted(wait for wait in expected if wait < math.inf)
    assert result.requests - result.answered == lost(expected)
    assert any(0 < wait < math.inf for wait in expected) == (line != "none")
    assert (lost(expected) > 0) == (line != "endless")


@pytest.mark.parametrize("name", ORACLES)
def test_it_does_so_in_every_run_that_is_compared_with_theory(name: str, results: dict[str, list[Result]]) -> None:
    for result in results[name]:
        expected = counted(result.experiment)
        assert sorted(result.waits) == sorted(wait for wait in expected if wait < math.inf)
        assert result.requests - result.answered == lost(expected)


def test_the_line_alone_by_hand() -> None:
    requests = [(0.0, 4.0), (1.0, 4.0), (2.0, 1.0), (2.5, 1.0), (9.0, 1.0)]
    assert list(waits(requests, 1)) == [0, 3, 6, 6.5, 1]
    assert list(waits(requests, 2)) == [0, 0, 2, 2.5, 0]
    assert list(waits(requests, 1, places=1)) == [0, 3, math.inf, math.inf, 0]
    assert list(waits(requests, 1, patience=3.5)) == [0, 3, math.inf, math.inf, 0]
    assert list(waits(requests, 1, places=2, patience=3.5)) == [0, 3, math.inf, math.inf, 0]
    with pytest.raises(UsageError, match="servers must be a whole number of at least 1"):
        list(waits(requests, 0))


def test_who_gives_up_leaves_room_in_the_line() -> None:
    requests = [(0.0, 10.0), (1.0, 1.0), (2.5, 1.0), (9.5, 1.0)]
    assert list(waits(requests, 1, places=1, patience=1.0)) == [0, math.inf, math.inf, 0.5]


# ---- Ciw ----


class Given(ciw.dists.Distribution):  # type: ignore[misc]  # Ciw has no types
    """One value for each customer, in the order in which they come."""

    def __init__(self, values: Sequence[float]) -> None:
        super().__init__()
        self._values = tuple(values)

    def sample(self, t: float | None = None, ind: Any = None) -> float:
        return self._values[int(ind.id_number) - 1]


def waits_by_ciw(experiment: Experiment) -> list[float]:
    """The same requests in a queue of Ciw's."""
    config, jobs = experiment.config, jobs_of(experiment)
    gaps = [after - before for before, after in itertools.pairwise([0.0, *(job.at for job in jobs)])]
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Sequential([*gaps, math.inf])],
        service_distributions=[Given([job.service for job in jobs])],
        number_of_servers=[int(config.max_connections)],
        queue_capacities=[config.max_waiting],
        reneging_time_distributions=[
            None if config.acquire_timeout == math.inf else ciw.dists.Deterministic(config.acquire_timeout)
        ],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(experiment.length + 1000)
    records = sorted(simulation.get_all_records(), key=lambda record: record.id_number)
    assert len(records) == len(jobs)
    return [record.waiting_time if record.record_type == "service" else math.inf for record in records]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("traffic", TRAFFIC)
def test_ciw_gives_each_request_the_same_wait(traffic: str, line: str) -> None:
    """Bursts and heavy tails, refusals and reneging have no closed form. The client's waits are those of the line."""
    experiment = Experiment(LINES[line], TRAFFIC[traffic], seed=5, seconds=40)
    assert list(alone(experiment)) == pytest.approx(waits_by_ciw(experiment), abs=1e-9)


# ---- the oracles themselves: each finds what is wrong ----

WRONG = {
    "M/M/c": [endless(4), endless(6), endless(5, 7.0 * 1.25)],
    "M/M/c/K": [bounded(3), bounded(5), bounded(4, 10.0 * 1.25)],
    "M/G/c/c": [lossy(5), lossy(7), lossy(6, 12.0 * 1.25)],
    "M/G/1": [
        general(5.0 * 1.25),
        attrs.evolve(general(), expected={"mean wait": mean_wait(1, 5.0 * 0.11, 0.11)}),  # as of M/M/1
    ],
}


def a_tenth_more(known: Any) -> Any:
    return FiniteQueue(*(1.1 * each for each in known)) if isinstance(known, FiniteQueue) else 1.1 * known


@pytest.mark.parametrize(
    "formula", ["erlang_b", "erlang_c", "mean_wait", "wait_exceeds", "finite_queue", "general_wait"]
)
def test_a_formula_that_is_a_tenth_off_is_found(
    formula: str,
    by_the_client: dict[str, dict[str, Interval]],
    by_the_line: dict[str, dict[str, Interval]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    right: Any = getattr(sizing, formula)
    monkeypatch.setattr(sizing, formula, lambda *given, **options: a_tenth_more(right(*given, **options)))
    for measured in (by_the_client, by_the_line):
        assert any(outside(dict(make().expected), measured[name]) for name, make in ORACLES.items())


@pytest.mark.parametrize("factor", [0.9, 1.1])
@pytest.mark.parametrize("name", ORACLES)
def test_each_figure_would_be_found_a_tenth_off(
    name: str, factor: float, by_the_client: dict[str, dict[str, Interval]]
) -> None:
    wrong = {figure: factor * value for figure, value in ORACLES[name]().expected.items()}
    assert outside(wrong, by_the_client[name]) == list(wrong)


def test_a_client_whose_waits_are_a_tenth_longer_is_found(
    results: dict[str, list[Result]], long_lines: dict[str, list[dict[str, float]]]
) -> None:
    """The control variate hides nothing of what the client does."""
    slower = [{name: 1.1 * value for name, value in figures_of(result).items()} for result in results["M/M/c"]]
    found = steadied(slower, endless().runs(SEEDS, of_the_line), long_lines["M/M/c"])
    assert "mean wait" in outside(dict(endless().expected), endless().measured(found))


@pytest.mark.parametrize("name", WRONG)
def test_another_size_or_load_is_found(name: str, by_the_client: dict[str, dict[str, Interval]]) -> None:
    for other in WRONG[name]:
        measured = {figure: by_the_client[name][figure] for figure in other.expected}
        assert outside(dict(other.expected), measured) != []


def test_a_pool_that_has_lost_a_slot_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaky(**fields: Any) -> Slots:
        return Slots(**{**fields, "max_connections": fields["max_connections"] - 1})

    monkeypatch.setattr(trio_pool.pool, "Slots", leaky)
    assert outside(dict(bounded().expected), bounded().measured(bounded().runs(SEEDS))) != []


def test_a_pool_that_serves_the_last_first_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """No limit is broken, and the mean wait is the same: only the waits of single requests tell."""
    (mutant,) = (mutant for mutant in MUTANTS if "last come, first served" in mutant.name)
    monkeypatch.setattr(trio_pool.pool, "Slots", mutant.module().Slots)
    monkeypatch.setattr(Audit, "_wrong_order", lambda self: ())  # which would tell, too
    experiment = Experiment(LINES["endless"], TRAFFIC["bursts"], seed=5, seconds=40)
    broken, expected = sorted(experiment.run().waits), sorted(alone(experiment))
    assert broken != expected
    assert sum(broken) == pytest.approx(sum(expected), rel=0.2)
