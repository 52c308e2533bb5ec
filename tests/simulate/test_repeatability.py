"""The same seed gives the same history, in every process; another seed, or another world, another."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from trio_pool import PoolConfig
from trio_pool.errors import TrioPoolError
from trio_pool.simulate.traffic.arrivals import Poisson
from trio_pool.simulate.traffic.distributions import Exponential, LogNormal
from trio_pool.simulate.traffic.workload import Job, Service, Workload
from trio_pool.simulate.world import faults
from trio_pool.simulate.world.outages import Bursts
from trio_pool.simulate.world.provider import VirtualProvider

from .world import World, headers, play

WORKLOAD = Workload(
    Poisson(40.0),
    Service(LogNormal(0.3, 0.8), tokens=Exponential(5.0)),
    cancelled=0.2,
    patience=Exponential(0.5),
)
PROVIDER = VirtualProvider(
    concurrency=12, queue=3, round_trip=0.02, retry_after=1.0, keepalive_timeout=2.0, outages=(Bursts(10, 1),)
)
FAULTS = (
    faults.Refuse(probability=0.1),
    faults.ResetAt(probability=0.05, byte=100),
    faults.Stall(probability=0.05, seconds=1),
    faults.FinWhileIdle(probability=0.1, after=0.01),
)
TIGHT = PoolConfig(max_connections=20, max_waiting=30, acquire_timeout=0.3, read_timeout=2.0)


def history(seed: int, workload: Workload = WORKLOAD) -> str:
    """The digest of a busy half minute in which all kinds of things go wrong, and what came of each request."""

    async def story(world: World) -> str:
        async def call(job: Job) -> None:
            result = "given up"
            with trio.move_on_after(job.patience):
                try:
                    response = await world.client.get("/", headers=headers(job))
                    result = str(response.status_code)
                except TrioPoolError as error:
                    result = type(error).__name__
            results.append(result)
            world.engine.note(result)

        results: list[str] = []
        async with trio.open_nursery() as nursery:
            for job in workload.jobs(seed):
                if job.at > 30:
                    break
                world.engine.at(job.at, nursery.start_soon, call, job)
            await trio.sleep(31)
        assert {"200", "429", "given up", "ConnectError", "ReadError", "PoolTimeout"} <= set(results)
        return world.engine.digest()

    return play(story, PROVIDER, faults=FAULTS, seed=seed, config=TIGHT)


def test_a_seed_repeats_a_history() -> None:
    first = history(7)
    assert history(7) == first
    assert history(8) != first


def test_a_seed_repeats_a_history_in_other_processes() -> None:
    command = [sys.executable, "-c", f"from {__name__} import history; print(history(7))"]
    told = set()
    path = os.pathsep.join([str(Path(__file__).parents[2]), *sys.path])
    for hash_seed in ("1", "random"):
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        told.add(done.stdout.strip())
    assert told == {history(7)}


@pytest.mark.parametrize("rate", [39.0, 41.0])
def test_a_slightly_different_world_has_another_history(rate: float) -> None:
    other = Workload(Poisson(rate), WORKLOAD.service, cancelled=0.2, patience=Exponential(0.5))
    assert history(7, other) != history(7)
