"""The arithmetic of a run, its file, its table, and what it comes to in words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .clients import CEILING, PIECES, SUBJECT
from .jobs import Sample
from .noise import apart, can_tell
from .scenarios import LINES, SCENARIOS, Scenario

CEILINGS = (CEILING, "parsed-limit")
"""Rows that are no clients: what a client could reach at best."""

BUSY = 0.9
"""Of a core: a server busier than this may have been what limited a row's rate."""

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Result:
    """One client in one variant of a scenario: a row."""

    scenario: str
    variant: str
    client: str
    samples: tuple[Sample, ...]

    @property
    def good(self) -> list[Sample]:
        """The rounds that gave figures: all, or none."""
        return [] if self.cannot else list(self.samples)

    @property
    def cannot(self) -> str | None:
        """Why there are no figures."""
        if not self.samples:
            return "was not asked"
        return next((sample.cannot for sample in self.samples if sample.cannot), None)

    @property
    def figures(self) -> list[float]:
        """What decides, one for each round, less being better: CPU microseconds per unit, or the value."""
        return [cost(sample) for sample in self.good]

    @property
    def cost(self) -> float | None:
        """The median of those."""
        return median(self.figures) if self.good else None

    @property
    def spread(self) -> float:
        """Half of the way from the least to the greatest, as a share of the median."""
        figures = self.figures
        return (max(figures) - min(figures)) / 2 / abs(median(figures)) if figures and median(figures) else 0.0

    @property
    def rate(self) -> float | None:
        """Units per second: the median of the rounds; None for a value."""
        rates = [sample.units / sample.wall for sample in self.good if sample.wall]
        return median(rates) if rates else None

    @property
    def client_busy(self) -> float | None:
        """How much of a core the client used, over all rounds."""
        return self._share("cpu")

    @property
    def server_busy(self) -> float | None:
        """How much of a core the server used, over all rounds: one alone may be shorter than a tick of its clock."""
        return self._share("server")

    def _share(self, field: str) -> float | None:
        wall = sum(sample.wall for sample in self.good)
        return sum(getattr(sample, field) for sample in self.good) / wall if wall else None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A whole run.

    :ivar about: the machine, the versions, the settings: what a reader needs to judge it.
    """

    about: dict[str, Any]
    results: tuple[Result, ...]

    def by_variant(self) -> Iterator[tuple[str, str, list[Result]]]:
        """Scenario, variant and its rows, in order."""
        for (scenario, variant), rows in groupby(self.results, lambda row: (row.scenario, row.variant)):
            yield scenario, variant, list(rows)


def cost(sample: Sample) -> float:
    """What decides of one round: CPU microseconds per unit, or the value."""
    return sample.value if sample.value is not None else sample.cpu / sample.units * 1e6


# ---- the file ----


def save(run: Run, path: Path) -> None:
    """Write it as JSON."""
    record = {"format": FORMAT, "about": run.about, "results": [asdict(result) for result in run.results]}
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> Run:
    """Read what `save` wrote.

    :raises ValueError: it did not.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(f"{path} is no file of this suite's")
    return Run(about=record["about"], results=tuple(_result(row) for row in record["results"]))


def _result(row: dict[str, Any]) -> Result:
    samples = tuple(Sample(**sample) for sample in row["samples"])
    return Result(scenario=row["scenario"], variant=row["variant"], client=row["client"], samples=samples)


# ---- the table ----


def introduction(about: dict[str, Any]) -> str:
    """What was measured where, and how to read it."""
    return (
        f"{about.get('python')} on {about.get('system')}, {about.get('processor')}, {about.get('cores')} cores; "
        f"server: {about.get('server')}. {about.get('rounds')} rounds of {about.get('seconds')} s; medians, ± half of "
        "the way from the least to the greatest. CPU is user and system time of the client's process alone; client "
        "and server are the shares of a core that they used."
    )


def subject_of(rows: Iterable[Result]) -> Result | None:
    """The row that the others are compared with."""
    return next((row for row in rows if row.client == SUBJECT and row.cost is not None), None)


def ratio(row: Result, subject: Result | None) -> float | None:
    """How many times what the subject needs a row needs."""
    if subject is None or not subject.cost or row.cost is None:
        return None
    return row.cost / subject.cost


def show(run: Run, console: Console) -> None:
    """The tables, one for each variant, and what they come to."""
    console.print(escape(introduction(run.about)), highlight=False)
    console.print()
    for scenario, variant, rows in run.by_variant():
        console.print(table(scenario, variant, rows))
        for line in footnotes(rows):
            console.print(f"  {escape(line)}", highlight=False)
        console.print()


def table(scenario: str, variant: str, rows: Sequence[Result]) -> Table:
    """One variant's: the least needy first; those that cannot, last, with their reason."""
    known = SCENARIOS[scenario]
    made = Table(title=heading(known, variant), title_justify="left", title_style="bold", box=None)
    made.add_column("client", no_wrap=True)
    for title in headings(known.unit, known.value):
        made.add_column(title, justify="right", no_wrap=True)
    for row in sorted((row for row in rows if row.cost is not None), key=lambda row: row.cost or 0.0):
        style = "bold" if row.client == SUBJECT else "dim" if row.client in CEILINGS else None
        made.add_row(row.client, *cells(row, rows, known.value), style=style)
    return made


def heading(scenario: Scenario, variant: str) -> str:
    """What a table is of."""
    per = "" if scenario.value else f": per {scenario.unit}"
    return f"{scenario.title}, {variant}{per}"


def headings(unit: str, value: str | None) -> list[str]:
    """The columns beside the client's name."""
    if value is not None:
        return [value, "spread", "/ trio_pool", "above limit"]
    plural = unit if unit.isupper() else f"{unit}s"
    return ["CPU µs", "spread", "/ trio_pool", f"{plural}/s", "client", "server"]


def cells(row: Result, rows: Sequence[Result], value: str | None) -> list[str]:
    """A row of the table, as text."""
    times = ratio(row, subject_of(rows))
    first = [figure(row.cost), f"±{row.spread:.0%}", "" if times is None else f"{times:.2f}"]
    if value is not None:
        return [*first, figure(above(row, rows))]
    return [*first, figure(row.rate), share(row.client_busy), share(row.server_busy)]


def above(row: Result, rows: Sequence[Result]) -> float | None:
    """How much more than the ceiling a row needs: of memory, more than the bare socket."""
    ceiling = next((other.cost for other in rows if other.client == CEILING), None)
    return None if ceiling is None or row.cost is None else row.cost - ceiling


def figure(number: float | None) -> str:
    """A number with three figures that count."""
    if number is None:
        return ""
    digits = 2 if abs(number) < 10 else 1 if abs(number) < 100 else 0
    return f"{number:,.{digits}f}"


def share(number: float | None) -> str:
    """A share in per cent."""
    return "" if number is None else f"{number:.0%}"


# ---- in words ----


def footnotes(rows: Sequence[Result]) -> Iterator[str]:
    """Who cannot, who did better, and whether the server was in the way."""
    most = max((len(row.good) for row in rows), default=0)
    for row in rows:
        if row.cannot:
            yield f"{row.client} {row.cannot}."
        if failed := sum(sample.failed for sample in row.good):
            yield f"{row.client}: {failed} requests failed otherwise than by being cancelled."
        if row.good and len(row.good) < most:
            yield f"{row.client}: {len(row.good)} of {most} rounds, so long did they take."
    if counted := [row.client for row in rows if row.variant == LINES and row.good and row.client in PIECES]:
        yield f"Pieces, whose line ends are only counted, instead of lines: {', '.join(counted)}."
    if (subject := subject_of(rows)) is not None:
        yield verdict(rows, subject)
    busy = [row.client for row in rows if (row.server_busy or 0.0) > BUSY]
    if busy:
        yield f"The server was busy: it may have limited the rate, though not the CPU time, of {', '.join(busy)}."


def verdict(rows: Sequence[Result], subject: Result) -> str:
    """Which other clients need less than trio_pool, in words."""
    others = [row for row in rows if row.cost is not None and not is_own(row.client)]
    if not others:
        return "No other client gave a figure."
    ahead = sorted((row for row in others if (ratio(row, subject) or 1.0) < 1.0), key=lambda row: row.cost or 0.0)
    surely = [row for row in ahead if apart(row.figures, subject.figures)]
    perhaps = [row.client for row in ahead if row not in surely]
    certain = all(can_tell(row.figures, subject.figures) for row in ahead)
    doubt = "within the noise" if certain else "but the rounds are too few to tell"
    said = [f"{row.client} ({figure(row.cost)} against {figure(subject.cost)})" for row in surely]
    sentences = [
        f"Less than trio_pool: {', '.join(said)}." if said else "",
        f"Perhaps less, {doubt}: {', '.join(perhaps)}." if perhaps else "",
    ]
    return " ".join(filter(None, sentences)) or "No other client needs as little as trio_pool."


def is_own(client: str) -> bool:
    """Whether a row is trio_pool's, or a ceiling."""
    return client in CEILINGS or client.partition("-")[0] == SUBJECT
