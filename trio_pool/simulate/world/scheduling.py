"""Runs in virtual time that a seed repeats step by step.

Strategy. Time stands still while any task can run, and jumps to what comes next as soon as all of them wait. Trio's
`MockClock` does that too, in two passes of its loop and with a look at all of its statistics for each jump; that was
more than half of what an experiment cost. The clock of this module jumps when trio asks it how long it may sleep, which
it does only when no task can run; and what a virtual world has on its agenda is called then and there.

What trio leaves to chance is seeded or put in order:

- Trio orders each batch of runnable tasks by chance. With a private flag it shuffles them with a generator that can be
  seeded. This module is the only place that sets them, and it puts both back.
- Scopes whose deadlines are equal expire in the order of their addresses in memory, which decides in what order waits
  are undone. In a run from here they expire in the order in which the deadlines were set.

One order is still the memory's: that in which the tasks of one cancelled scope have their waits undone. Who needs a
history repeated gives what is to be cancelled a scope for each task.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from heapq import heappush
from typing import Protocol, TypeVar

import trio
from trio._core import _run

T = TypeVar("T")

_ALONE = threading.Lock()  # trio's generator is one for all threads


def run(main: Callable[[], Awaitable[T]], *, seed: int, instruments: Sequence[trio.abc.Instrument] = ()) -> T:
    """`trio.run(main)` in virtual time, beginning at 0.0, with the scheduler shuffled by the seed.

    Only one such run at a time goes on in a process: another thread's waits. What `main` raises comes out as it is.

    :param main: an async function without arguments.
    :param seed: the same seed gives the same order of steps, in every process.
    :param instruments: as for `trio.run`.
    """
    with _ALONE, _shuffled(seed):
        return trio.run(_in_order, main, clock=VirtualClock(), instruments=instruments)


class Agenda(Protocol):
    """What is to happen in a virtual world beside its tasks."""

    def next(self) -> float:
        """When the next thing is to happen, or `math.inf`."""
        ...

    def call(self) -> None:
        """Have everything happen that is due. Must not raise."""
        ...


class VirtualClock(trio.abc.Clock):
    """Stands still while a task can run, and then jumps to the next deadline, or to the next thing on the agenda.

    Before it jumps, trio wakes who is in `wait_all_tasks_blocked`, and calls what came by `run_sync_soon`, as with its
    `MockClock`. Nobody looks for real sockets that have become ready: they have no place in virtual time.

    :ivar agenda: or None.
    """

    def __init__(self) -> None:
        self.agenda: Agenda | None = None
        self._now = 0.0

    def start_clock(self) -> None:
        """Trio's run begins."""

    def current_time(self) -> float:
        """Virtual seconds."""
        return self._now

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Trio asks when no task can run: nothing will happen before the next deadline but what is on the agenda.

        :param deadline: by this clock.
        :return: real seconds.
        """
        runner = _run.GLOBAL_RUN_CONTEXT.runner
        if runner.waiting_for_idle or runner.entry_queue.size():
            return math.inf  # trio wakes whoever that is, at once
        due = deadline if self.agenda is None else min(deadline, self.agenda.next())
        if due == math.inf:
            return due
        self._now = max(self._now, due)
        if self.agenda is not None:
            self.agenda.call()
        return 0.0

    def jump(self, seconds: float) -> None:
        """Let so much time pass in the middle of a step.

        :param seconds: at least 0.
        """
        self._now += seconds


@contextmanager
def _shuffled(seed: int) -> Iterator[None]:
    """Trio shuffles its batches of tasks, by this seed."""
    allowed, state = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # final, but for tests
    _run._r.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = allowed  # type: ignore[misc]  # as above
        _run._r.setstate(state)


async def _in_order(main: Callable[[], Awaitable[T]]) -> T:
    _run.GLOBAL_RUN_CONTEXT.runner.deadlines = _Deadlines()  # nothing has a deadline before the first task's first step
    return await main()


class _Deadlines(_run.Deadlines):
    """Trio's deadlines; those that are equal expire in the order in which they were set."""

    def __init__(self) -> None:
        super().__init__()
        self._number = itertools.count().__next__

    def add(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """Trio calls this whenever a scope gets a deadline."""
        heappush(self._heap, (deadline, self._number(), cancel_scope))
        self._active += 1
