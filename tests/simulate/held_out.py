"""The advisor on a real hour: sized on one half of it, tried on the other, which it has not seen; and vice versa.

The halves are every other minute of the hour. The trace is of the Azure LLM inference traces 2023 (AzurePublicDataset,
Microsoft), CC-BY 4.0. By hand, for several targets and with the whole client on all of a half:
`python -m tests.simulate.held_out ../shared/data/azure_llm_conv_2023.csv`.
"""

# ruff: noqa: T201  # a command

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from statistics import fmean

import attrs

from trio_pool import PoolConfig
from trio_pool.simulate.advisor.advise import advise, least
from trio_pool.simulate.advisor.samples import Traffic
from trio_pool.simulate.experiment import Experiment
from trio_pool.simulate.traffic import workload
from trio_pool.simulate.traffic.traces import CITATION, Trace, read

SEEDS = range(1000, 1005)  # of the times of answers; the advisor's are small
MINUTE = 60.0


def pool_of(size: int) -> PoolConfig:
    return PoolConfig(max_connections=size, max_connections_per_host=size)


class Unseen:
    """A half that the advisor has not seen."""

    def __init__(self, half: Trace, seconds: float) -> None:
        self.workload = workload.trace(half)
        self._seconds = seconds
        self._samples = [Traffic(self.workload).sample(seed, seconds) for seed in SEEDS]

    def share_waiting(self, size: int) -> float:
        """The share of requests that wait, by the line alone."""
        return fmean(sample.share_waiting(pool_of(size), 0.0) for sample in self._samples)

    def least(self, target: float) -> int:
        """The size that would have been enough."""
        return least(lambda size: self.share_waiting(size) <= target, 25)

    def share_by_client(self, size: int) -> float:
        """The share of requests that wait, by the whole client."""
        config = attrs.evolve(pool_of(size), read_timeout=None)
        experiment = Experiment(config, self.workload, seed=SEEDS[0], seconds=self._seconds)
        result = experiment.run()
        waited = sum(wait > 0 for wait in result.waits) + result.requests - result.answered
        return waited / result.requests


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Size a pool on one half of a trace, and try it on the other.")
    parser.add_argument("trace", help="a CSV file in the Azure format")
    halves = read(parser.parse_args(arguments).trace).halves(MINUTE)
    print(CITATION)
    missed = 0
    for seen, held in (halves, halves[::-1]):
        unseen = Unseen(held, held.seconds + 1)
        for target in (0.05, 0.01, 0.001):
            size = advise(workload=workload.trace(seen), target=target).size
            by_client = unseen.share_by_client(size)
            missed += by_client > target
            print(
                f"target {target:.1%}: advised {size} on {len(seen.rows)} requests; of {len(held.rows)} others "
                f"{unseen.share_waiting(size):.3%} wait in the line alone, {by_client:.3%} with the whole client, and "
                f"{unseen.share_waiting(size - 1):.3%} with one fewer; the least for them was {unseen.least(target)}"
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
