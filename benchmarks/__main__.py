"""`python -m benchmarks`: the command."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from . import about, chart, compare, report
from .clients import CLIENTS
from .processes import cores, interrupt
from .rounds import Plan, Workers, run
from .scenarios import PATIENT, SCENARIOS, Scenario, Variant
from .server import ServerError, servers

EVENTS, QUICK_EVENTS = 20_000, 4_000
QUICK_CLIENTS = ("trio_pool", "limit", "parsed-limit", "pyreqwest", "aiohttp", "httpx2")


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)), help="Only this one; repeatable."
)
@click.option("--client", "clients", multiple=True, type=click.Choice(list(CLIENTS)), help="Only this one; repeatable.")
@click.option("--rounds", type=click.IntRange(1), help="Rounds of each client in each scenario.  [default: 5]")
@click.option("--seconds", type=click.FloatRange(0.001), help="Length of a round's load.  [default: 0.5]")
@click.option("--quick", is_flag=True, help="One variant of each scenario and the main clients, in under a minute.")
@click.option(
    "--compare",
    "old",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of an earlier run: say what has changed since, beyond the noise.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("benchmarks.json"),
    help="The file to write; the chart stands beside it.",
)
def main(
    names: Sequence[str],
    clients: Sequence[str],
    rounds: int | None,
    seconds: float | None,
    quick: bool,
    old: Path | None,
    output: Path,
) -> None:
    """Measure HTTP clients side by side: CPU time and rate of each, round by round.

    Every client runs in a process of its own on one core, the server on another. CPU time per request decides: it
    varies least where other programs run too.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    before = compare.read(old) if old else None
    plan = Plan(
        clients=clients or (QUICK_CLIENTS if quick else tuple(CLIENTS)),
        variants=_variants(names or tuple(SCENARIOS), quick),
        rounds=rounds or 5,
        value_rounds=rounds or (1 if quick else 5),
        seconds=seconds or (0.05 if quick else 0.5),
        patience=PATIENT,
    )
    console = Console()
    done = _measure(plan, QUICK_EVENTS if quick else EVENTS)
    report.show(done, console)
    report.save(done, output)
    console.print(f"Written: {', '.join(map(str, [output, *_draw(done, output)]))}")
    if before is not None:
        compare.show(before, done, console)


def _variants(names: Sequence[str], quick: bool) -> list[tuple[Scenario, Variant]]:
    return [
        (SCENARIOS[name], variant)
        for name in dict.fromkeys(names)
        for variant in SCENARIOS[name].variants
        if variant.quick or not quick
    ]


def _measure(plan: Plan, events: int) -> report.Run:
    server_core, client_core = cores() or (None, None)
    try:
        with servers(server_core, events) as addresses, Workers(client_core) as workers, _progress() as progress:
            task = progress.add_task("", total=plan.steps)
            told = [0]

            def step(what: str) -> None:
                progress.update(task, description=what, completed=told[0])
                told[0] += 1

            results = run(plan, addresses, workers, step)
            return report.Run(about=about.tell(plan, addresses), results=tuple(results))
    except ServerError as error:
        raise click.ClickException(str(error)) from None


def _draw(done: report.Run, output: Path) -> list[Path]:
    """The chart's files, none where matplotlib is missing."""
    paths = [output.with_suffix(suffix) for suffix in (".svg", ".png")]
    try:
        return paths if chart.draw(done, paths) else []
    except ImportError:
        return []


def _progress() -> Progress:
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:<44}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, refresh_per_second=4, disable=not console.is_terminal)


if __name__ == "__main__":
    main()
