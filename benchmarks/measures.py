"""What a worker measures: a load's CPU and wall time, a connection's memory, an import."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from itertools import cycle, islice
from typing import Any, Self
from urllib.request import urlopen

import psutil

from .clients import Client, Setup
from .clients.base import CannotError
from .jobs import Job, Sample
from .loops import LOOPS, Loop

BODY = bytes(100_000)
BURST = 60  # requests that are begun at once in the churn
PATIENCE = 0.003  # seconds after which the last of them is cancelled
PROBES = 10  # requests that must succeed afterwards
PROBE_SECONDS = 5.0

Operation = Callable[[], Awaitable[int]]


def bind(client: Client, job: Job) -> Operation:
    """One call of the client, as the job wants it."""
    arguments = (job.url, BODY) if job.op == "post" else (job.url,)
    return partial(getattr(client, job.op), *arguments)


class Meter:
    """CPU time of this process and of the server's while the block runs."""

    def __init__(self, server_pids: list[int]) -> None:
        self._server = [psutil.Process(pid) for pid in server_pids]

    def _server_cpu(self) -> float:
        times = [process.cpu_times() for process in self._server]
        return float(sum(spent.user + spent.system for spent in times))

    def __enter__(self) -> Self:
        gc.collect()
        self._start = (self._server_cpu(), time.perf_counter(), time.process_time())
        return self

    def __exit__(self, *_: object) -> None:
        cpu, wall = time.process_time(), time.perf_counter()
        server, wall_then, cpu_then = self._start
        self.cpu, self.wall, self.server = cpu - cpu_then, wall - wall_then, self._server_cpu() - server

    def sample(self, units: float, failed: int = 0) -> Sample:
        """What was measured, for so many units."""
        return Sample(units=units, wall=self.wall, cpu=self.cpu, server=self.server, failed=failed)


async def spin(loop: Loop, operation: Operation, job: Job, seconds: float) -> int:
    """Call the operation in as many tasks as the job says, at least once each; how often in all."""
    counts: list[int] = []

    async def repeat() -> None:
        count = 0
        while True:
            done = await operation()
            if done != job.expected:
                raise CannotError(f"a call gave {done} instead of {job.expected}")
            count += 1
            if time.perf_counter() >= end:
                break
        counts.append(count)

    end = time.perf_counter() + seconds
    await loop.together([repeat] * job.concurrency)
    return sum(counts)


async def load(loop: Loop, client: Client, job: Job) -> Sample:
    """Calls side by side over connections that are warm. With `idle`, beside so many idle ones."""
    await keep_idle(client, job)
    operation = bind(client, job)
    await spin(loop, operation, job, seconds=min(0.1, job.seconds / 4))
    with Meter(job.server_pids) as meter:
        count = await spin(loop, operation, job, job.seconds)
    return meter.sample(count * job.units)


async def keep_idle(client: Client, job: Job) -> None:
    """Open the job's idle connections: so many responses at once are one connection each."""
    async with AsyncExitStack() as stack:
        for url in islice(cycle(job.idle_urls), job.idle):
            await stack.enter_async_context(client.held(url))
        if job.idle:
            with urlopen(job.release) as response:
                response.read()


async def churn(loop: Loop, client: Client, job: Job) -> Sample:
    """Bursts of requests at a small pool, each cancelled soon; afterwards the pool must still serve."""
    operation, chance = bind(client, job), random.Random(1)
    await spin(loop, operation, job, seconds=0.0)
    begun, failures = 0, [0]
    end = time.perf_counter() + job.seconds
    with Meter(job.server_pids) as meter:
        while begun == 0 or time.perf_counter() < end:
            patience = [chance.uniform(0.0, PATIENCE) for _ in range(BURST)]
            await loop.together([partial(_cut, loop, operation, seconds, failures) for seconds in patience])
            begun += BURST
    answered: list[int] = []

    async def probe() -> None:
        answered.append(await operation())

    await loop.together([partial(loop.within, PROBE_SECONDS, probe)] * PROBES)
    if len(answered) < PROBES:
        raise CannotError(f"lost its connections: {len(answered)} of {PROBES} requests were served afterwards")
    return meter.sample(begun, failures[0])


async def _cut(loop: Loop, operation: Operation, seconds: float, failures: list[int]) -> None:
    try:
        await loop.within(seconds, operation)
    except CannotError:
        raise
    except Exception:
        failures[0] += 1


async def memory(_: Loop, client: Client, job: Job) -> Sample:
    """Kilobytes (1000 bytes) of the process for each idle connection, by the operating system's count."""
    return await _grow(client, job, _resident)


async def traced(_: Loop, client: Client, job: Job) -> Sample:
    """Kilobytes (1000 bytes) of Python's memory for each idle connection, to the byte."""
    if client.compiled:
        raise CannotError("keeps its connections outside Python's memory")
    tracemalloc.start()
    try:
        return await _grow(client, job, _python_bytes)
    finally:
        tracemalloc.stop()


async def _grow(client: Client, job: Job, count: Callable[[], int]) -> Sample:
    await bind(client, job)()  # whatever is made once, is made now
    before = count()
    await keep_idle(client, job)
    return Sample(value=(count() - before) / job.idle / 1000)


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def _python_bytes() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


ASYNC: dict[str, Callable[[Loop, Client, Job], Coroutine[Any, Any, Sample]]] = {
    "load": load,
    "churn": churn,
    "memory": memory,
    "traced": traced,
}


def imports(kind: type[Client]) -> Sample:
    """Milliseconds of CPU that importing takes beyond the event loop's own import, in a new interpreter.

    Modules are compiled already, as pip leaves them: an import before sees to that, whatever the environment says.
    """
    if kind.module is None:
        raise CannotError("is nothing to import")
    settings = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    clock = "import time; start = time.process_time()"
    code = f"import {kind.loop}; {clock}; import {kind.module}; print(time.process_time() - start)"
    command = partial(subprocess.run, capture_output=True, text=True, check=True, timeout=60, env=settings)
    command([sys.executable, "-c", code])
    return Sample(value=float(command([sys.executable, "-c", code]).stdout) * 1000)


def measure(kind: type[Client], job: Job) -> Sample:
    """One round.

    :raises CannotError: the client does not do that.
    """
    if job.measure == "imports":
        return imports(kind)
    loop, program = LOOPS[kind.loop], ASYNC[job.measure]

    async def main() -> Sample:
        async with kind(Setup(connections=job.connections, cafile=job.cafile)) as client:
            return await program(loop, client, job)

    return loop.run(main)
