"""The failover scene's results, a table and one sentence for people, and JSON for programs. Every word is computed."""

from __future__ import annotations

from typing import Any

import attrs
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .demo import TIMEOUT
from .failover import DEATH, Availability, limit_for
from .schedule import Schedule

COLUMNS = ("sent", "answered", "available", "tries", "timed\nout", "failed", "p50", "p99")


def show(console: Console, schedule: Schedule, results: list[Availability]) -> None:
    """Print the table, what it counts, and the sentence."""
    console.print(_table(results))
    console.print()
    console.print(Text(caption(schedule), style="dim"))
    console.print()
    console.print(Text(sentence(results)))


def document(schedule: Schedule, results: list[Availability], seed: int) -> dict[str, Any]:
    """The same as a JSON document. Seconds, counts and shares; null for what there is none of."""
    return {
        "seconds": schedule.seconds,
        "rate": schedule.rate,
        "seed": seed,
        "timeout": TIMEOUT,
        "dies_after": schedule.seconds * DEATH,
        "lets_through": limit_for(schedule),
        "ways": [_flat(result) for result in results],
        "sentence": sentence(results),
    }


def _flat(result: Availability) -> dict[str, Any]:
    figures = attrs.asdict(result)
    way = figures.pop("way")
    return {"name": way["name"], "most_attempts": way["attempts"], **figures}


def _table(results: list[Availability]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("three providers", no_wrap=True)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(result.way.name, *_cells(result))
    return table


def _cells(result: Availability) -> list[Text]:
    return [
        Text(str(result.sent)),
        Text(str(result.answered)),
        Text(_share(result.available), "green" if result.answered == result.sent else "yellow"),
        Text(f"{result.attempts:.2f}"),
        Text(str(result.timed_out), "red" if result.timed_out else "dim"),
        Text(str(result.failed), "red" if result.failed else "dim"),
        Text("-" if result.p50 is None else f"{result.p50:.2f}s"),
        Text("-" if result.p99 is None else f"{result.p99:.2f}s"),
    ]


def _share(value: float) -> str:
    """A share in percent; only all are 100%."""
    return "100%" if value == 1 else f"{min(100 * value, 99.9):.1f}%"


def caption(schedule: Schedule) -> str:
    """What the table counts."""
    return (
        f"{schedule.rate:g} requests/s for {schedule.seconds:g} s, the same ones each time: to one provider by turns, "
        f"or to all as upstreams of one client. One is killed after {schedule.seconds * DEATH:.1f} s, one lets "
        f"{limit_for(schedule)} requests/s through and refuses the others with 429, one is healthy. A caller gives up "
        f"after {TIMEOUT:g} s."
    )


def sentence(results: list[Availability]) -> str:
    """What failover does."""
    once, retried, failover = results
    return (
        f"Sent to one provider each, {_share(once.available)} of the requests were answered, and "
        f"{_share(retried.available)} with up to {retried.way.attempts} tries; with failover "
        f"{_share(failover.available)}, by {failover.attempts:.2f} tries a request. The provider with the limit "
        f"refused {failover.limited} of them, and {once.limited} when each was sent to one provider and tried once."
    )
