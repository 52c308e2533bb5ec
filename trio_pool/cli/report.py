"""The demo's results for people, a table and two sentences, and for programs, JSON.

Every word here is computed from the figures: where a pool did better, the sentence says better because the
numbers were compared.
"""

from __future__ import annotations

import math
from typing import Any

import attrs
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .demo import ROUND_TRIP, TIMEOUT, Arrangement, Result
from .schedule import RARELY_WAITS, Schedule

LATE = 0.1  # seconds; above, the sender itself was too slow for the figures to speak of the pool alone

COLUMNS = ("sent", "answered", "refused", "timed\nout", "handshakes", "reuse", "p50", "p99")


def show(console: Console, schedule: Schedule, results: list[Result]) -> None:
    """Print the table, what it counts, and the sentences."""
    console.print(_table(results))
    console.print()
    console.print(Text(caption(schedule), style="dim"))
    for sentence in [*sentences(schedule, results), *warnings(results)]:
        console.print()
        console.print(Text(sentence))


def document(schedule: Schedule, results: list[Result], seed: int) -> dict[str, Any]:
    """The same as a JSON document. Seconds and counts; null for what there is none of, and for no limit."""
    return {
        "seconds": schedule.seconds,
        "rate": schedule.rate,
        "seed": seed,
        "service": schedule.service,
        "busy": schedule.busy,
        "timeout": TIMEOUT,
        "round_trip": ROUND_TRIP,
        "arrangements": [_flat(result) for result in results],
        "sentences": sentences(schedule, results),
        "warnings": warnings(results),
    }


def _flat(result: Result) -> dict[str, Any]:
    figures = attrs.asdict(result)
    arrangement = figures.pop("arrangement")
    return {name: None if value == math.inf else value for name, value in (arrangement | figures).items()}


# ---- the table ----


def _table(results: list[Result]) -> Table:
    failures = any(result.failed for result in results)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("connections,\nqueue", no_wrap=True)
    for name in [*COLUMNS, *(["failed"] if failures else [])]:
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(_label(result.arrangement), *_cells(result), *([str(result.failed)] if failures else []))
    return table


def _label(arrangement: Arrangement) -> str:
    if arrangement.uses == 1:
        return "no reuse"
    queue = "unbounded" if arrangement.queue == math.inf else f"at most {arrangement.queue}"
    return f"{arrangement.connections}, {queue}"


def _cells(result: Result) -> list[Text]:
    return [
        Text(str(result.sent)),
        Text(str(result.answered), "green" if result.answered == result.sent else ""),
        Text(str(result.refused), "yellow" if result.refused else "dim"),
        Text(str(result.timed_out), "red" if result.timed_out else "dim"),
        Text(str(result.handshakes)),
        Text("-" if result.reuse is None else f"{result.reuse:.0%}"),
        Text(_seconds(result.p50)),
        Text(_seconds(result.p99)),
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}s"


def caption(schedule: Schedule) -> str:
    """What the table counts."""
    return (
        f"{schedule.rate:g} requests/s for {schedule.seconds:g} s, the same ones for each pool. A caller "
        f"gives up after {TIMEOUT:g} s. p50 and p99 are of the answered requests, from the intended start to "
        "the last byte. Handshakes and reuse are counted by the origin, which pretends to be "
        f"{1000 * ROUND_TRIP:g} ms away when a connection is made."
    )


# ---- the sentences ----


def sentences(schedule: Schedule, results: list[Result]) -> list[str]:
    """Two sentences: what a bound on the queue does, and what the right size does."""
    no_reuse, unbounded, bounded, well = results
    return [_on_the_queue(schedule, unbounded, bounded), _on_the_size(schedule, no_reuse, well)]


def _on_the_queue(schedule: Schedule, unbounded: Result, bounded: Result) -> str:
    return (
        f"With {unbounded.arrangement.connections} connections where {schedule.busy:.0f} would be busy "
        f"({schedule.rate:g} requests/s x {schedule.service:.2f} s), the unbounded queue got "
        f"{_answers(unbounded)}, and {_wasted(unbounded)}; a queue of {bounded.arrangement.queue} refused "
        f"{bounded.refused} at once and got {_answers(bounded)}."
    )


def _answers(result: Result) -> str:
    if result.p50 is None:
        return "no answer"
    return f"{result.answered} of {result.sent} answered, half of them within {result.p50:.2f} s"


def _wasted(result: Result) -> str:
    wasted = result.begun - result.answered
    if wasted <= 0:
        return "the origin worked for nobody in vain"
    return f"the origin began {wasted} answers that nobody waited for to the end"


def _on_the_size(schedule: Schedule, no_reuse: Result, well: Result) -> str:
    return (
        f"Sized by the square-root rule, {schedule.busy:.1f} + {RARELY_WAITS} x sqrt({schedule.busy:.1f}) = "
        f"{well.arrangement.connections} connections, the pool got {_answers(well)}, over {well.handshakes} "
        f"handshakes; without reuse it took {no_reuse.handshakes} handshakes, {_compared(no_reuse, well)}."
    )


def _compared(no_reuse: Result, well: Result) -> str:
    if no_reuse.p50 is None or well.p50 is None:
        return "and there is nothing to compare"
    difference = no_reuse.p50 - well.p50
    if abs(difference) < 0.005:
        return "and the median answer took as long"
    return f"and the median answer came {abs(difference):.2f} s {'later' if difference > 0 else 'earlier'}"


def warnings(results: list[Result]) -> list[str]:
    """What a reader of the figures must know besides."""
    late = max((result.late or 0.0 for result in results), default=0.0)
    busy = f"This machine was busy: one request in a hundred was sent {late:.2f} s late; latencies include that."
    failures = [
        f"With {result.arrangement.name}, the first of {result.failed} failures was: {result.error}"
        for result in results
        if result.error is not None
    ]
    return [*([busy] if late > LATE else []), *failures]
