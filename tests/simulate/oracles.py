"""Simulations against what queueing theory knows of the same traffic: the whole client and pool, and the line alone.

By hand, with more seeds than the suite has time for: `python -m tests.simulate.oracles --seeds 200`.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any

import attrs

from trio_pool import PoolConfig, sizing
from trio_pool.simulate.advisor.queueing import waits
from trio_pool.simulate.estimates import Interval, mean_interval
from trio_pool.simulate.experiment import Experiment
from trio_pool.simulate.result import Result
from trio_pool.simulate.traffic.arrivals import Poisson
from trio_pool.simulate.traffic.distributions import Exponential, HyperExponential, LogNormal
from trio_pool.simulate.traffic.workload import Job, Service, Workload

CONFIDENCE = 0.99  # of each figure's interval; there are a dozen figures
WARM_UP = 8.0

_ENDLESS: dict[str, Any] = dict.fromkeys(
    ("acquire_timeout", "read_timeout", "keepalive_timeout", "max_lifetime", "connection_timeout")
)


def pool_of(size: int, **others: Any) -> PoolConfig:
    """A pool that is nothing but its size, and a line without end."""
    fields = {**_ENDLESS, "retry_attempts": 1, "max_waiting": math.inf, **others}
    return PoolConfig(max_connections=size, max_connections_per_host=size, **fields)


def jobs_of(experiment: Experiment) -> list[Job]:
    """All its requests."""
    return list(experiment.workload.jobs(experiment.seed, experiment.length))


def alone(experiment: Experiment) -> Iterator[float]:
    """The waits of all its requests, without client, network or bytes."""
    return _line(experiment, jobs_of(experiment))


def _line(experiment: Experiment, jobs: Sequence[Job]) -> Iterator[float]:
    config = experiment.config
    requests = ((job.at, job.service) for job in jobs)
    size = int(config.max_connections_per_host)
    return waits(requests, size, places=config.max_waiting, patience=config.acquire_timeout)


MEASURES: Mapping[str, Callable[[Sequence[float]], float]] = {
    "waits": lambda served: fmean(wait > 0 for wait in served),
    "waits long": lambda served: fmean(wait > 0.5 for wait in served),
    "mean wait": fmean,
}


def figures(served: Sequence[float], refused: float, in_system: float) -> dict[str, float]:
    """What theory may have an opinion on.

    :param served: the waits of those that were served.
    :param refused: the share that was not.
    """
    return {
        "refused": refused,
        "in system": in_system,
        **{name: measure(served) for name, measure in MEASURES.items()},
    }


def figures_of(result: Result) -> dict[str, float]:
    return figures(result.waits, result.share("refused"), result.little.in_system)


def of_the_client(experiment: Experiment) -> dict[str, float]:
    return figures_of(experiment.run())


def counted(experiment: Experiment) -> list[float]:
    """The waits of those requests that come after the warm-up, in the line alone."""
    pairs = zip(jobs_of(experiment), alone(experiment), strict=True)
    return [wait for job, wait in pairs if job.at >= experiment.warm_up]


def of_the_line(experiment: Experiment) -> dict[str, float]:
    jobs, since, until = jobs_of(experiment), experiment.warm_up, experiment.length
    served, refused, inside = [], 0, 0.0
    for job, wait in zip(jobs, _line(experiment, jobs), strict=True):
        if wait < math.inf:
            inside += max(min(job.at + wait + job.service, until) - max(job.at, since), 0.0)
        if job.at < since:
            continue
        if wait < math.inf:
            served.append(wait)
        else:
            refused += 1
    return figures(served, refused / (refused + len(served)), inside / (until - since))


@attrs.frozen
class Oracle:
    """Traffic of which theory knows some figures.

    :ivar experiment: with any seed.
    :ivar expected: what theory says of some of `figures`.
    """

    name: str
    experiment: Experiment
    expected: Mapping[str, float]

    def runs(
        self, seeds: Sequence[int], simulated: Callable[[Experiment], dict[str, float]] = of_the_client
    ) -> list[dict[str, float]]:
        """The figures of simulations, for each seed."""
        return [simulated(attrs.evolve(self.experiment, seed=seed)) for seed in seeds]

    def measured(self, found: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
        """The figures that theory knows, with their intervals between seeds."""
        return {name: mean_interval([each[name] for each in found], CONFIDENCE) for name in self.expected}


def steadied(
    client: Sequence[Mapping[str, float]], short: Sequence[Mapping[str, float]], long: Sequence[Mapping[str, float]]
) -> list[dict[str, float]]:
    """The client's figures with less of chance: the line alone is their control variate, as in `trial.py`.

    What chance did to the client's requests it did to the line's with the same requests. So that part is taken out, and
    what is known of the line from much longer runs is put in. What the client does differently remains.

    :param client: of the whole client, for each seed.
    :param short: of the line alone, with the same requests.
    :param long: of the line alone, for long.
    """
    return [
        {name: each[name] - same[name] + known[name] for name in each}
        for each, same, known in zip(client, short, long, strict=True)
    ]


def _oracle(
    name: str, config: PoolConfig, rate: float, service: Service, seconds: float, expected: Mapping[str, float]
) -> Oracle:
    experiment = Experiment(config, Workload(Poisson(rate), service), seconds=WARM_UP + seconds, warm_up=WARM_UP)
    return Oracle(name, experiment, expected)


def endless(servers: int = 5, rate: float = 7.0, scale: float = 1.0) -> Oracle:
    """M/M/c: busy for seven tenths of the time."""
    load = rate * 0.5
    wait = sizing.mean_wait(servers, load, 0.5)
    expected = {
        "waits": sizing.erlang_c(servers, load),
        "waits long": sizing.wait_exceeds(servers, load, 0.5, 0.5),
        "mean wait": wait,
        "in system": load + rate * wait,
    }
    return _oracle("M/M/c", pool_of(servers), rate, Service(Exponential(0.5)), 36 * scale, expected)


def bounded(servers: int = 4, rate: float = 10.0, scale: float = 1.0) -> Oracle:
    """M/M/c/K: more work than the servers can do, and a line of three."""
    queue = sizing.finite_queue(servers, servers + 3, rate * 0.5, 0.5)
    expected = {"refused": queue.refused, "mean wait": queue.wait, "in system": queue.in_system}
    config = pool_of(servers, max_waiting=3)
    return _oracle("M/M/c/K", config, rate, Service(Exponential(0.5)), 15 * scale, expected)


def lossy(servers: int = 6, rate: float = 12.0, scale: float = 1.0) -> Oracle:
    """M/G/c/c: nobody may wait. Erlang's B does not care for the distribution of the service time."""
    service = Service(LogNormal(0.4, 0.8))
    load = rate * service.mean
    refused = sizing.erlang_b(servers, load)
    expected = {"refused": refused, "in system": load * (1 - refused)}
    return _oracle("M/G/c/c", pool_of(servers, max_waiting=0), rate, service, 12 * scale, expected)


def general(rate: float = 5.0, scale: float = 1.0) -> Oracle:
    """M/G/1: three short requests for one that is eight times as long."""
    service = Service(HyperExponential([0.04, 0.32], [3, 1]))
    load = rate * service.mean
    wait = sizing.general_wait(1, load, service.mean, service=service.squared_cv)
    expected = {"waits": load, "mean wait": wait, "in system": load + rate * wait}
    return _oracle("M/G/1", pool_of(1), rate, service, 48 * scale, expected)


LONG: Mapping[str, float] = {"M/M/c": 250, "M/M/c/K": 60, "M/G/c/c": 15, "M/G/1": 60}
"""How much longer the line alone is run, so that a tenth more or less is seen in each figure."""

ORACLES: Mapping[str, Callable[..., Oracle]] = {
    "M/M/c": endless,
    "M/M/c/K": bounded,
    "M/G/c/c": lossy,
    "M/G/1": general,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table; 1 if theory and simulation differ."""
    parser = argparse.ArgumentParser(description="Compare simulations of the whole client with closed forms.")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--scale", type=float, default=1.0, help="how much longer each simulation is than in the suite")
    options = parser.parse_args(arguments)
    outside = 0
    for make in ORACLES.values():
        oracle = make(scale=options.scale)
        for figure, interval in oracle.measured(oracle.runs(range(options.seeds))).items():
            holds = interval.holds(oracle.expected[figure])
            outside += not holds
            sentence = f"{oracle.name:8} {figure:11} theory {oracle.expected[figure]:.4f}, simulation {interval}"
            print(sentence, "" if holds else "DIFFERS")  # noqa: T201  # a command
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
