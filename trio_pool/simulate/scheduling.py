"""Runs under a virtual clock that a seed repeats step by step.

Strategy. Trio's `MockClock` jumps to the next deadline as soon as every task waits, so a run takes the time of its work
alone. What is left to chance in trio is seeded or put in order:

- Trio orders each batch of runnable tasks by chance. With a private flag it shuffles them with a generator that can be
  seeded. This module is the only place that sets them, and it puts both back.
- Scopes whose deadlines are equal expire in the order of their addresses in memory, which decides in what order pending
  waits are undone. In a run from here they expire in the order in which the deadlines were set.

One order is still the memory's: that in which the tasks of one cancelled scope have their waits undone. Who needs a
history repeated gives what is cancelled a scope for each task.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from heapq import heappush
from typing import TypeVar

import trio
from trio._core import _run
from trio.testing import MockClock

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
        return trio.run(_in_order, main, clock=MockClock(autojump_threshold=0), instruments=instruments)


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
