"""Many experiments: several side by side, or one with its settings varied, each with several seeds.

Strategy. A list of experiments is made first, so that a setting that cannot be is refused before anything runs. Then
each is run, by an executor if there is one; an experiment and its result are values that travel between processes. All
settings get the same seeds, and so the same requests: what differs is theirs (common random numbers). Seeds are
independent of each other, so intervals come from one figure of each.

Experiments take turns within one process: threads make none of them faster. Use processes, here or elsewhere.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any, cast

import attrs

from ..config import PoolConfig
from ..errors import UsageError
from .describe import plain
from .estimates import Interval, mean_interval, paired_difference, share_interval
from .experiment import Experiment
from .paths import changed, no_such
from .result import Result, Row, told, unit_of
from .traffic.distributions import as_tuple

COMPARISON, SWEEP = "trio_pool.simulate.comparison/1", "trio_pool.simulate.sweep/1"
"""The names of the documents that `to_json` gives; their numbers change when a reader would have to."""

CONFIG = frozenset(field.name for field in attrs.fields(PoolConfig) if field.init)
PARTS = frozenset(field.name for field in attrs.fields(Experiment)) - {"seed", "replay"}


Done = Callable[[int, int], None]
"""Is told how many experiments are done, and how many there are."""


def run_all(
    experiments: Sequence[Experiment], executor: Executor | None = None, progress: Done | None = None
) -> list[Result]:
    """Run experiments, and give their results in the same order.

    :param experiments: which.
    :param executor: what runs them, such as a `ProcessPoolExecutor` or a Dask client's (None: this thread).
    :param progress: is told after each.
    :raises InvariantBroken: in the first that failed; the others are called off.
    """
    results: list[Result] = []
    for result in map(_run, experiments) if executor is None else executor.map(_run, experiments):
        results.append(result)
        if progress is not None:
            progress(len(results), len(experiments))
    return results


def _run(experiment: Experiment) -> Result:
    return experiment.run()


# ---- one setting, several seeds ----


def summary(results: Sequence[Result]) -> dict[str, Interval]:
    """The mean of each figure over results of several seeds, with its interval for 95 % confidence.

    A seed in which a figure could not be measured, as nothing was answered, is left out of that figure.

    :param results: of the same experiment but for the seed. Of one alone, its own figures and intervals.
    """
    if len(results) == 1:
        return results[0].figures()
    all_figures = [result.figures() for result in results]
    values_of = {name: [figures[name].estimate for figures in all_figures] for name in all_figures[0]}
    return {name: _over_seeds(name, values, results) for name, values in values_of.items()}


def _over_seeds(figure: str, values: Sequence[float], results: Sequence[Result]) -> Interval:
    if unit_of(figure) != "share":
        return mean_interval(values).not_below(0.0)  # counts and times
    return share_interval(values, sum(result.trials(figure) for result in results))


def _with_seeds(experiment: Experiment, seeds: Sequence[int]) -> list[Experiment]:
    return [attrs.evolve(experiment, seed=seed) for seed in seeds]


def _checked(seeds: Sequence[int]) -> tuple[int, ...]:
    listed: Sequence[int] = as_tuple(seeds)
    if not (isinstance(listed, tuple) and listed) or len(set(listed)) < len(listed):
        raise UsageError(f"seeds must be at least one, and each another, not {seeds!r}")
    return listed


def _values(key: str, values: object) -> tuple[Any, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise UsageError(f"the grid's {key!r} must be a list of values, not {values!r}")
    return tuple(cast("Any", values))


# ---- experiments side by side ----


@attrs.frozen(kw_only=True)
class Comparison:
    """Experiments side by side, each with the same seeds. The first is what the others are compared with.

    :ivar seeds: those.
    :ivar results: by the experiment's name, one for each seed.
    """

    seeds: tuple[int, ...]
    results: Mapping[str, tuple[Result, ...]]

    @property
    def baseline(self) -> str:
        """The first one's name."""
        return next(iter(self.results))

    def summary(self, name: str) -> dict[str, Interval]:
        """See the function `summary`.

        :param name: of an experiment.
        """
        return summary(self.results[name])

    def differences(self, name: str) -> dict[str, Interval]:
        """By how much each figure of an experiment is larger than the baseline's, on average over pairs of equal seeds.

        An interval that does not contain 0 says that the difference is no accident, with 95 % confidence. One seed
        tells nothing of that. A seed in which one of the two could not be measured is left out of that figure.

        :param name: of an experiment.
        """
        before, after = ([result.figures() for result in self.results[each]] for each in (self.baseline, name))
        return {
            figure: paired_difference([one[figure].estimate for one in before], [one[figure].estimate for one in after])
            for figure in before[0]
        }

    def rows(self) -> dict[str, list[Row]]:
        """For each experiment but the baseline the differences, as lines of a table."""
        others = [name for name in self.results if name != self.baseline]
        return {name: _rows(self.differences(name)) for name in others}

    def document(self) -> dict[str, Any]:
        """All of it as plain data."""
        return {
            "format": COMPARISON,
            "seeds": list(self.seeds),
            "baseline": self.baseline,
            "results": {name: [result.document() for result in results] for name, results in self.results.items()},
            "summaries": {name: told(self.summary(name)) for name in self.results},
            "differences": {name: told(self.differences(name)) for name in self.results if name != self.baseline},
        }

    def to_json(self) -> str:
        """`document`, as JSON (RFC 8259)."""
        return json.dumps(self.document(), allow_nan=False)


def compare(
    experiments: Mapping[str, Experiment],
    *,
    seeds: Sequence[int],
    executor: Executor | None = None,
    progress: Done | None = None,
) -> Comparison:
    """Run experiments with the same seeds, and so with the same requests, as far as their workloads are the same.

    :param experiments: by name; the first is what the others are compared with.
    :param seeds: each is given to every experiment; five or more tell something.
    :param executor: as for `run_all`.
    :param progress: as for `run_all`.
    :raises UsageError: there is no experiment or no seed, or a seed is there twice.
    :raises InvariantBroken: in one of them.
    """
    seeds = _checked(seeds)
    if not experiments:
        raise UsageError("there is nothing to compare: give experiments by name")
    for name, experiment in experiments.items():
        if not isinstance(cast("Any", experiment), Experiment):
            raise UsageError(f"{name!r} must be an Experiment, not {experiment!r}")
    runs = [each for experiment in experiments.values() for each in _with_seeds(experiment, seeds)]
    results = iter(run_all(runs, executor, progress))
    return Comparison(seeds=seeds, results={name: tuple(itertools.islice(results, len(seeds))) for name in experiments})


# ---- one experiment, varied ----


@attrs.frozen(kw_only=True)
class Point:
    """One setting of a sweep.

    :ivar settings: by the grid's keys.
    :ivar results: one for each seed.
    """

    settings: Mapping[str, Any]
    results: tuple[Result, ...]

    def summary(self) -> dict[str, Interval]:
        """See the function `summary`."""
        return summary(self.results)

    def rows(self) -> list[Row]:
        """The summary, as lines of a table."""
        return _rows(self.summary())


@attrs.frozen(kw_only=True)
class Sweep:
    """One experiment with every setting of a grid.

    :ivar experiment: what was varied.
    :ivar grid: the values of each key.
    :ivar seeds: those that every setting got.
    :ivar points: one for each combination, the last key varied first.
    """

    experiment: Experiment
    grid: Mapping[str, tuple[Any, ...]]
    seeds: tuple[int, ...]
    points: tuple[Point, ...]

    def document(self) -> dict[str, Any]:
        """All of it as plain data, but the results' own documents."""
        return {
            "format": SWEEP,
            "experiment": plain(self.experiment),
            "grid": plain(self.grid),
            "seeds": list(self.seeds),
            "points": [{"settings": plain(point.settings), "summary": told(point.summary())} for point in self.points],
        }

    def to_json(self) -> str:
        """`document`, as JSON (RFC 8259)."""
        return json.dumps(self.document(), allow_nan=False)


def sweep(
    experiment: Experiment,
    grid: Mapping[str, Sequence[Any]],
    *,
    seeds: Sequence[int],
    executor: Executor | None = None,
    progress: Done | None = None,
) -> Sweep:
    """Run an experiment with every combination of settings, each with the same seeds.

    :param experiment: what is varied.
    :param grid: values by key: a field of `PoolConfig`, or a path from the experiment, such as
        "workload.arrivals.rate", "providers.0.concurrency" or "seconds".
    :param seeds: for each setting.
    :param executor: as for `run_all`.
    :param progress: as for `run_all`.
    :raises UsageError: a key is none, a setting cannot be, or there are no seeds; nothing has run then.
    :raises InvariantBroken: in one of them.
    """
    seeds = _checked(seeds)
    values_of = {key: _values(key, values) for key, values in grid.items()}
    combined = [dict(zip(values_of, values, strict=True)) for values in itertools.product(*values_of.values())]
    if not combined:
        raise UsageError("a key of the grid has no values")
    runs = [each for settings in combined for each in _with_seeds(with_settings(experiment, settings), seeds)]
    results = iter(run_all(runs, executor, progress))
    points = [Point(settings=settings, results=tuple(itertools.islice(results, len(seeds)))) for settings in combined]
    return Sweep(experiment=experiment, grid=values_of, seeds=seeds, points=tuple(points))


def with_settings(experiment: Experiment, settings: Mapping[str, Any]) -> Experiment:
    """The experiment with other settings. Its `replay` no longer runs that, and is left out.

    :param experiment: as it is.
    :param settings: values by key, as in a grid.
    :raises UsageError: a key is none, or a setting cannot be.
    """
    for key, value in settings.items():
        if key in ("seed", "replay"):
            raise UsageError(f"{key!r} is no setting: every setting gets all the seeds, and tells its own command")
        if key.partition(".")[0] not in CONFIG | PARTS:
            raise UsageError(no_such(key, key, "neither PoolConfig nor Experiment", CONFIG | PARTS))
        experiment = changed(experiment, f"config.{key}" if key in CONFIG else key, value)
    return attrs.evolve(experiment, replay="") if settings else experiment


def _rows(figures: Mapping[str, Interval]) -> list[Row]:
    return [Row(name, each.estimate, each.low, each.high, unit_of(name)) for name, each in figures.items()]
