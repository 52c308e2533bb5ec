"""Running experiments for the command line: here or in processes, with a bar that says how far they are."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from ..simulate.experiment import Experiment
from ..simulate.result import Result
from ..simulate.run import Progress as Reached
from ..simulate.sweep import run_all


def cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def played(experiments: Sequence[Experiment], jobs: int | None, console: Console) -> list[Result]:
    """Their results, in order.

    :param jobs: the processes that run them, no more than there are experiments; with 1 this one does, and shows the
        pool meanwhile (None: as many as there are `cores`).
    :param console: where the bar is shown, if it is a terminal.
    :raises InvariantBroken: in one of them.
    """
    processes = min(jobs or cores(), len(experiments))
    columns = (TextColumn("{task.description:<54}"), BarColumn(20), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = _Bar(progress, experiments)
        if processes == 1:
            return [bar.run(experiment) for experiment in experiments]
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), _end_with_the_command) as pool:
            try:
                return run_all(experiments, pool, bar.have_run)
            except BaseException:
                _end_processes()
                raise


class _Bar:
    """How far all runs have come together, in virtual seconds."""

    def __init__(self, progress: Progress, experiments: Sequence[Experiment]) -> None:
        self._progress = progress
        self._seconds = [0.0, *itertools.accumulate(each.length for each in experiments)]
        words = f"0 of {len(experiments)} runs" if len(experiments) > 1 else ""
        self._task = progress.add_task(words, total=self._seconds[-1])
        self._runs = 0

    def run(self, experiment: Experiment) -> Result:
        """Run it, and say what its pool does."""
        result = experiment.run(progress=self._show)
        self.have_run(self._runs + 1, len(self._seconds) - 1)
        return result

    def have_run(self, runs: int, of_all: int) -> None:
        """So many runs are over."""
        self._runs = runs
        self._progress.update(
            self._task, completed=self._seconds[runs], description=f"{runs} of {of_all} runs" if of_all > 1 else ""
        )

    def _show(self, reached: Reached) -> None:
        now = reached.moment
        done = self._seconds[self._runs] + min(now.at, reached.seconds)
        held = f"{now.held} held, " if now.held else ""
        requests = f"{now.waiting} waiting, {held}{now.answered} of {now.begun} answered"
        words = f"{now.leased} leased, {now.idle} idle, {requests}"
        self._progress.update(self._task, completed=done, description=words)


def _end_processes() -> None:
    """Nobody waits for what they still run."""
    for process in multiprocessing.active_children():
        process.terminate()


def _end_with_the_command() -> None:
    """In each process: an interrupt ends it at once, without a word."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
