"""Runs in virtual time that a seed repeats step by step.

Strategy. Time stands still while any task can run, and jumps to what comes next as soon as all of them wait. Trio's
`MockClock` does that too, in two passes of its loop and with a look at all of its statistics for each jump; that was
more than half of what an experiment cost. The clock of this module jumps when trio asks it how long it may sleep, which
it does only when no task can run; and what a virtual world has on its agenda is called then and there.

What trio leaves to chance is seeded or put in order:

- Trio orders each batch of runnable tasks by chance, drawn from one generator for all threads. With a private flag it
  shuffles them. While runs from here go on, the flag is set, and a stand-in for the generator answers each of them from
  one of its own, which is seeded, and every other run from trio's. This module is the only place that sets the two, and
  it puts both back.
- Scopes whose deadlines are equal expire in the order of their addresses in memory, which decides in what order waits
  are undone. In a run from here they expire in the order in which the deadlines were set.

One order is still the memory's: that in which the tasks of one cancelled scope have their waits undone. Who needs a
history repeated gives what is to be cancelled a scope for each task.
"""

from __future__ import annotations

import gc
import itertools
import math
import os
import random
import sys
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from heapq import heappush
from typing import Any, Protocol, TypeVar, cast

import trio
from trio._core import _run
from trio._core._run import GLOBAL_RUN_CONTEXT

T = TypeVar("T")


def run(main: Callable[[], Awaitable[T]], *, seed: int, instruments: Sequence[trio.abc.Instrument] = ()) -> T:
    """`trio.run(main)` in virtual time, beginning at 0.0, with the scheduler shuffled by the seed.

    Runs in other threads, from here or not, do not disturb it. What `main` raises comes out as it is.

    :param main: an async function without arguments.
    :param seed: the same seed gives the same order of steps, in every process.
    :param instruments: as for `trio.run`.
    :raises RuntimeError: this thread is in a run of trio already.
    """
    with _shuffled(seed):
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
        runner = GLOBAL_RUN_CONTEXT.runner
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


class Stuck(BaseException):
    """Ends a task that was cancelled long ago and waits all the same."""


def rouse() -> None:
    """Every task below the main one goes on with `Stuck`, whatever it waits for, also where that cannot be cancelled.

    To be called by the clock's agenda, when no task can run. What a task waits for may still know it: nothing of a run
    that was roused can be used.
    """
    main: Any = GLOBAL_RUN_CONTEXT.runner.main_task
    tasks = [main]
    for task in tasks:
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        waits_for_tasks = any(nursery._parent_waiting_in_aexit for nursery in task.child_nurseries)
        if task._next_send_fn is None and not waits_for_tasks:  # nobody has woken it yet
            trio.lowlevel.reschedule(task, cast("Any", _run).outcome.Error(Stuck()))


def break_off() -> None:
    """The run from here in this thread ends now, by a `trio.TrioInternalError`; its tasks are left as they are."""
    cast("_Deadlines", GLOBAL_RUN_CONTEXT.runner.deadlines).is_broken_off = True


def collect() -> None:
    """Collect what a run of this thread has left behind, when nothing knows it any more.

    Python and trio would complain of each of its tasks at length, which would bury what was wrong with the run.
    """
    thread = threading.get_ident()
    with _setting:
        before = sys.unraisablehook
        sys.unraisablehook = lambda complaint: None if threading.get_ident() == thread else before(complaint)
        try:
            gc.collect()
        finally:
            sys.unraisablehook = before


class _Chance(threading.local):
    """Stands in for trio's generator: in a thread that has a run from here it is that run's, elsewhere trio's own."""

    drawn_from: random.Random = _run._r

    def __getattr__(self, name: str) -> Any:
        return getattr(self.drawn_from, name)


_CHANCE = _Chance()
_SETTINGS = ("_ALLOW_DETERMINISTIC_SCHEDULING", "_r")

_found: list[tuple[object, ...]] = []  # trio's settings, as each of the runs that go on found them
_setting = threading.Lock()  # held while settings of all threads change, and during a fork: no child finds it locked
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_setting.acquire, after_in_parent=_setting.release, after_in_child=_setting.release)


@contextmanager
def _shuffled(seed: int) -> Generator[None]:
    """Trio shuffles this thread's batches of tasks, by this seed."""
    before, _CHANCE.drawn_from = _CHANCE.drawn_from, random.Random(seed)
    with _setting:
        _found.append(_set(True, _CHANCE))
    try:
        yield
    finally:
        _CHANCE.drawn_from = before
        with _setting:
            _set(*_found.pop())


def _set(*values: object) -> tuple[object, ...]:
    """Change trio's settings. What they were."""
    settings = _run.__dict__
    before = tuple(settings[name] for name in _SETTINGS)
    settings.update(zip(_SETTINGS, values, strict=True))
    return before


async def _in_order(main: Callable[[], Awaitable[T]]) -> T:
    GLOBAL_RUN_CONTEXT.runner.deadlines = _Deadlines()  # nothing has a deadline before the first task's first step
    return await main()


class _Deadlines(_run.Deadlines):
    """Trio's deadlines; those that are equal expire in the order in which they were set."""

    def __init__(self) -> None:
        super().__init__()
        self._number = itertools.count().__next__
        self.is_broken_off = False

    def expire(self, now: float) -> bool:
        """Trio calls this in each pass of its loop, which ends by what is raised here."""
        if self.is_broken_off:
            raise Stuck
        return super().expire(now)

    def add(self, deadline: float, cancel_scope: trio.CancelScope) -> None:
        """Trio calls this whenever a scope gets a deadline."""
        heappush(self._heap, (deadline, self._number(), cancel_scope))
        self._active += 1
