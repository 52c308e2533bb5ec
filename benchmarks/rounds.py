"""Rounds: every client once, then every client again, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Self

from .jobs import Job, Sample, decode_sample, encode
from .processes import kill, running
from .report import Result
from .scenarios import Scenario, Variant, make_job
from .server import Addresses, environment

SLOW = 15.0
"""Seconds beyond its load after which a round of a client is its last: so many is no measurement but a wait."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is run.

    :ivar clients: by name, in the order of the first round.
    :ivar variants: scenarios with the variants to run.
    :ivar rounds: rounds of each variant.
    :ivar value_rounds: the same where a value is measured, which varies little and takes a new process each.
    :ivar seconds: how long a load lasts in each round.
    :ivar patience: seconds that a client may take beyond that, to open connections and to finish.
    """

    clients: Sequence[str]
    variants: Sequence[tuple[Scenario, Variant]]
    rounds: int
    value_rounds: int
    seconds: float
    patience: float

    @property
    def steps(self) -> int:
        """How many rounds of one client there are in all."""
        return len(self.clients) * sum(self.rounds_of(scenario) for scenario, _ in self.variants)

    def rounds_of(self, scenario: Scenario) -> int:
        """How many rounds each variant of a scenario has."""
        return self.value_rounds if scenario.value else self.rounds


def order(clients: Sequence[str], number: int) -> list[str]:
    """The clients of a round: each round begins one further, so that nobody always follows the same one."""
    start = number % len(clients)
    return [*clients[start:], *clients[:start]]


class Workers:
    """One process for each client, started when it is first asked and when it is gone."""

    def __init__(self, core: int | None) -> None:
        self._core = core
        self._stacks: dict[str, ExitStack] = {}
        self._processes: dict[str, subprocess.Popen[str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for client in list(self._stacks):
            self.dismiss(client)

    def dismiss(self, client: str) -> None:
        """End its process, if it has one."""
        if client in self._stacks:
            del self._processes[client]
            self._stacks.pop(client).close()

    def ask(self, client: str, job: Job, patience: float) -> Sample:
        """What the client's process answers, or that it did not."""
        process = self._processes.get(client) or self._start(client)
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(patience, kill, [process])
        timer.daemon = True
        try:
            timer.start()
            print(encode(job), file=process.stdin, flush=True)
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if line:
            return decode_sample(line)
        self.dismiss(client)
        return Sample(cannot=f"failed: no answer within {patience:.0f} s, or its process ended")

    def _start(self, client: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "benchmarks.worker", client]
        stack = self._stacks.setdefault(client, ExitStack())
        process = stack.enter_context(running(command, core=self._core, env=environment()))
        self._processes[client] = process
        return process


def run(plan: Plan, servers: Addresses, workers: Workers, step: Callable[[str], object]) -> list[Result]:
    """Run all of it.

    :param step: told what comes next, once for each round of one client.
    """
    return [
        result
        for scenario, variant in plan.variants
        for result in _run_variant(plan, scenario, variant, servers, workers, step)
    ]


def _run_variant(
    plan: Plan,
    scenario: Scenario,
    variant: Variant,
    servers: Addresses,
    workers: Workers,
    step: Callable[[str], object],
) -> Iterator[Result]:
    job = make_job(scenario, variant, servers, plan.seconds)
    samples: dict[str, list[Sample]] = {client: [] for client in plan.clients}
    done: set[str] = set()
    for number in range(plan.rounds_of(scenario)):
        for client in order(plan.clients, number):
            step(f"{scenario.name}, {variant.name}: {client}")
            so_far = samples[client]
            if client in done:
                continue
            if scenario.fresh:
                workers.dismiss(client)
            start = time.monotonic()
            so_far.append(workers.ask(client, job, plan.seconds + plan.patience))
            if so_far[-1].cannot or time.monotonic() - start > plan.seconds + SLOW:
                done.add(client)
    for client in plan.clients:
        yield Result(scenario=scenario.name, variant=variant.name, client=client, samples=tuple(samples[client]))
