"""What has changed between two runs, and what is only noise.

Two things have to be true of a change. The rounds of the two runs must be further apart than chance puts them (see
`benchmarks.noise`). And the medians must differ by more than 3 %, and by more than the ceiling's did in the same
variant: the ceiling's code is the same, so its change is the machine's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import click
from rich.console import Console

from .clients import CEILING
from .noise import apart, can_tell
from .report import Result, Run, figure, load

LEAST = 0.03


class Finding(Enum):
    """What is to be said of a row."""

    BETTER = "less"
    WORSE = "more"
    NOISE = "no change beyond the noise"
    UNKNOWN = "too few rounds to tell"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One row in both runs.

    :ivar factor: the new median over the old one.
    """

    scenario: str
    variant: str
    client: str
    old: float
    new: float
    finding: Finding

    @property
    def factor(self) -> float:
        """The new median over the old one."""
        return self.new / self.old if self.old else 1.0


def read(path: Path) -> Run:
    """An earlier run.

    :raises click.ClickException: it is none.
    """
    try:
        return load(path)
    except (ValueError, KeyError, TypeError) as error:
        raise click.ClickException(f"cannot read {path}: {error}") from None


def find(old: Sequence[float], new: Sequence[float], factor: float, drift: float) -> Finding:
    """What is to be said.

    :param factor: the new median over the old one.
    :param drift: how much the ceiling changed, as a share.
    """
    if not can_tell(old, new):
        return Finding.UNKNOWN
    if abs(factor - 1) <= max(LEAST, abs(drift)) or not apart(old, new):
        return Finding.NOISE
    return Finding.BETTER if factor < 1 else Finding.WORSE


def changes(old: Run, new: Run) -> list[Change]:
    """Every row that both runs have, in the new one's order."""
    before = {(row.scenario, row.variant, row.client): row for row in old.results if row.cost is not None}
    pairs = [
        (before[key], row)
        for row in new.results
        if row.cost is not None and (key := (row.scenario, row.variant, row.client)) in before
    ]
    drift = {(then.scenario, then.variant): _factor(then, now) - 1 for then, now in pairs if then.client == CEILING}
    return [_change(then, now, drift.get((then.scenario, then.variant), 0.0)) for then, now in pairs]


def _factor(then: Result, now: Result) -> float:
    return (now.cost or 0.0) / then.cost if then.cost else 1.0


def _change(then: Result, now: Result, drift: float) -> Change:
    own = 0.0 if then.client == CEILING else drift
    return Change(
        scenario=now.scenario,
        variant=now.variant,
        client=now.client,
        old=then.cost or 0.0,
        new=now.cost or 0.0,
        finding=find(then.figures, now.figures, _factor(then, now), own),
    )


def sentences(found: Sequence[Change]) -> Iterator[str]:
    """What has changed; then how many rows have not."""
    for change in found:
        if change.finding in (Finding.BETTER, Finding.WORSE):
            yield (
                f"{change.scenario}, {change.variant}: {change.client} needs {change.finding.value}: "
                f"{figure(change.new)} against {figure(change.old)} ({change.factor - 1:+.0%})"
            )
    for finding in (Finding.NOISE, Finding.UNKNOWN):
        count = sum(1 for change in found if change.finding is finding)
        if count:
            yield f"{count} row{'s' if count > 1 else ''}: {finding.value}"


def show(old: Run, new: Run, console: Console) -> None:
    """The comparison in words."""
    console.print(f"Compared with the run of {old.about.get('when', 'an unknown time')}:")
    for sentence in sentences(changes(old, new)) or ["no row is in both runs"]:
        console.print(f"  {sentence}", markup=False, highlight=False)
