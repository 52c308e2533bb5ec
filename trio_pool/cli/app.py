"""The commands and their options: what is asked for, checked, and handed to the modules that do it."""

from __future__ import annotations

import json
import math
from typing import Any

import click
import trio
from rich.console import Console

from .. import Timeouts, TrioPoolError, Upstream, __version__
from ..providers import OPENAI_COMPATIBLE, PROVIDERS
from . import demo as demo_module
from . import failover, failover_report, report
from . import get as get_module
from .embedded import OriginError
from .schedule import Schedule, plan


class Finite(click.FloatRange):
    """A number in a range; "nan" is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse what is no number before the range is looked at: "nan" is in every range."""
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


class Share(Finite):
    """A number between 0 and 1, which may be written as "1%"."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Take the percent sign away before the number is looked at."""
        if not str(value).endswith("%"):
            return super().convert(value, param, ctx)
        return super().convert(Finite().convert(str(value)[:-1], param, ctx) / 100, param, ctx)


SECONDS = Finite(min=0, max=86_400, min_open=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def command() -> None:
    """The connection pool for trio: fetch a URL, see what a pool is worth, or try one in virtual time."""


def _field(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> list[tuple[str, str]]:
    fields: list[tuple[str, str]] = []
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon:
            raise click.BadParameter("a header is written 'Name: value'")
        fields.append((name.strip(), value.strip()))
    return fields


def _content(_: click.Context, __: click.Parameter, text: str | None) -> bytes | None:
    if text is None or not text.startswith("@"):
        return None if text is None else text.encode("utf-8")
    try:
        with click.open_file(text[1:], "rb") as file:
            return bytes(file.read())
    except OSError as error:
        raise click.BadParameter(f"cannot read {text[1:]!r}: {error.strerror}") from None


def _upstream(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> list[Upstream]:
    try:
        return [_upstream_of(text, priority) for priority, text in enumerate(texts)]
    except TrioPoolError as error:
        raise click.BadParameter(str(error)) from None


def _upstream_of(text: str, priority: int) -> Upstream:
    if text in PROVIDERS:
        return Upstream(provider=text, priority=priority)
    homes = {one.base_url: one for one in PROVIDERS.values()}
    provider = homes.get(text.rstrip("/"), OPENAI_COMPATIBLE)
    return Upstream(text, provider=provider, priority=priority)


def _several(_: click.Context, __: click.Parameter, runs: int) -> int:
    if runs == 1:
        raise click.BadParameter("one run tells nothing of chance: 0, or 2 and more")
    return runs


def _timeouts(whole: float | None, dial: float | None) -> Timeouts:
    """One request never waits in line, and who bounds the whole does not mean to bound each silence."""
    return Timeouts(total=whole, connection=dial, acquire=math.inf, write=whole, first_byte=whole, read=whole)


@command.command()
@click.argument("url")
@click.option("-X", "--request", "method", metavar="METHOD", help="The method: GET, or POST with -d.")
@click.option("-H", "--header", "headers", multiple=True, callback=_field, metavar="'NAME: VALUE'", help="Repeatable.")
@click.option("-d", "--data", callback=_content, metavar="TEXT", help="The body; @FILE is read, @- is stdin.")
@click.option("--json", "as_json", is_flag=True, help="Write the whole exchange as one JSON document.")
@click.option("-v", "--verbose", is_flag=True, help="Show both heads, the timings and the pool on stderr.")
@click.option("-i", "--include", is_flag=True, help="Write the response's head to stdout, before the body.")
@click.option("-q", "--quiet", is_flag=True, help="Show no status line and headers on stderr.")
@click.option("-L", "--location", is_flag=True, help="Follow redirects; credentials stay with their origin.")
@click.option(
    "-o", "--output", default=get_module.STDOUT, metavar="FILE", help="Write to FILE what else goes to stdout."
)
@click.option("--fail", is_flag=True, help="Exit with status 1 when the answer's status is 400 or more.")
@click.option("--max-time", type=SECONDS, metavar="SECONDS", help="For all of it; else 30 s of silence.")
@click.option("--connect-timeout", type=SECONDS, metavar="SECONDS", help="For name, TCP and TLS together.")
@click.option(
    "--upstream",
    "upstreams",
    multiple=True,
    callback=_upstream,
    metavar="BASE",
    help="Where a relative URL is asked: a base URL or a provider's name. Repeatable: failing one, the next is asked.",
)
@click.option("-k", "--insecure", is_flag=True, help="Do not check the server's certificate.")
@click.pass_context
def get(
    ctx: click.Context,
    /,
    method: str | None,
    max_time: float | None,
    connect_timeout: float | None,
    **options: Any,
) -> None:
    """Fetch URL.

    The status line and the headers go to stderr, without the values of secret ones; the body goes to stdout,
    unpacked, piece by piece as it comes, so a pipe gets the body alone. With -i the headers go there, whole.

    With --upstream, URL is a path, such as models: the first upstream is asked, and when it cannot answer the next.
    The key of a provider that is asked at its own address is taken from the environment (OPENAI_API_KEY and so on).

    \b
    Exit status:
      0    there was an answer, whatever its status (but see --fail)
      1    there was none, or not all of it
      2    the request cannot be
      130  interrupted
    """
    method = method or ("GET" if options["data"] is None else "POST")
    order = get_module.Order(method=method, timeouts=_timeouts(max_time, connect_timeout), **options)
    ctx.exit(trio.run(get_module.run, order))


@command.command()
@click.option("--rate", type=Finite(1, 200), default=100, show_default=True, help="Requests per second.")
@click.option("--seconds", type=Finite(0.1, 60), default=4, show_default=True, help="For each arrangement.")
@click.option(
    "--scene", type=click.Choice(["pool", "failover", "both"]), default="both", show_default=True, help="What is shown."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of arrivals and service times.")
@click.option("--json", "as_json", is_flag=True, help="Write the figures as a JSON document.")
def demo(rate: float, seconds: float, seed: int, scene: str, as_json: bool) -> None:
    """Send one load through four arrangements of the pool, and one past an outage.

    Small TLS servers are started in processes of their own; they answer as a hosted language model would. The
    same requests, at the same times, go through a pool that reuses nothing, one that is too small with an
    unbounded queue, the same with a bounded queue, and one of the right size. Then they go to three providers, of
    which one dies and one refuses most of them: to each provider alone, and to all with failover.
    """
    schedule = plan(rate, seconds, seed)
    try:
        document = trio.run(_play, schedule, scene, seed, None if as_json else _console())
    except OriginError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps(document, indent=2))


async def _play(schedule: Schedule, scene: str, seed: int, console: Console | None) -> dict[str, Any]:
    """The scenes that were asked for, each shown as soon as it is over, and all of them as a document."""
    document: dict[str, Any] = {}
    progress = Console(stderr=True)
    if scene != "failover":
        results = await demo_module.run(schedule, progress)
        document |= report.document(schedule, results, seed)
        if console is not None:
            report.show(console, schedule, results)
    if scene == "both" and console is not None:
        console.print()
    if scene != "pool":
        outcomes = await failover.run(schedule, progress)
        document["failover"] = failover_report.document(schedule, outcomes, seed)
        if console is not None:
            failover_report.show(console, schedule, outcomes)
    return document


@command.command()
@click.argument("scenario", required=False)
@click.option("--list", "is_list", is_flag=True, help="Show the scenarios that come with the library.")
@click.option("--compare", is_flag=True, help="Run the scenario's variants too, side by side.")
@click.option("--sweep", is_flag=True, help="Run every setting of the scenario's grid instead.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="The first seed.")
@click.option("--seeds", type=click.IntRange(1, 10_000), metavar="N", help="How many; else what the scenario says.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Such as pool.max_waiting=10. Repeatable.")
@click.option("--jobs", type=click.IntRange(1, 1024), metavar="N", help="Processes; else one for each core.")
@click.option("--html", metavar="FILE", help="Write a report with charts to FILE; - is stdout.")
@click.option("--json", "as_json", metavar="FILE", help="Write a JSON document to FILE; - is stdout.")
@click.pass_context
def simulate(
    ctx: click.Context, /, scenario: str | None, is_list: bool, compare: bool, sweep: bool, **options: Any
) -> None:
    """Run SCENARIO, a TOML file or the name of one that comes with the library, in virtual time.

    The real pool and client are asked by virtual callers over a virtual network. docs/experiments.md has the format.

    \b
    Exit status:
      0    what the scenario expects came true; of a sweep, nothing is expected
      1    something did not, or the run failed: an invariant broke, a disk was full
      2    nothing was run: the scenario cannot be, or a file cannot be written
      130  interrupted
    """
    from . import simulate as simulate_module
    from .printing import console_for

    if is_list:
        for name, title in simulate_module.names():
            click.echo(f"{name:<18} {title}")
        return
    if scenario is None:
        raise click.UsageError("which SCENARIO? --list shows those that come with the library")
    if compare and sweep:
        raise click.UsageError("--compare runs the variants, and --sweep the grid of the base: give one of the two")
    order = simulate_module.Order(
        source=scenario, mode="compare" if compare else "sweep" if sweep else "run", **options
    )
    ctx.exit(simulate_module.run(order, console_for(), console_for(stderr=True)))


@command.command()
@click.option("--rate", type=Finite(1e-6, 1e9), required=True, metavar="N", help="Requests per second.")
@click.option(
    "--service-time",
    type=Finite(1e-6, 86_400),
    required=True,
    metavar="SECONDS",
    help="For which one holds its connection, on average.",
)
@click.option(
    "--burstiness", type=Finite(0, 100), default=1.0, show_default=True, help="Coefficient of variation of the gaps."
)
@click.option(
    "--target",
    type=Share(0, 1, min_open=True, max_open=True),
    default="1%",
    show_default=True,
    metavar="SHARE",
    help="Of the requests that may wait, or fail.",
)
@click.option(
    "--wait", type=Finite(0), default=0.0, show_default=True, help="Seconds up to which a wait does not count."
)
@click.option("--acquire-timeout", type=SECONDS, default=10.0, show_default=True, help="Seconds of a longest wait.")
@click.option("--concurrency", type=click.IntRange(1), metavar="N", help="Requests that the provider serves at once.")
@click.option("--requests-per-minute", type=Finite(0, min_open=True), metavar="N", help="What the provider allows.")
@click.option(
    "--check", type=click.IntRange(0, 1000), default=5, callback=_several, show_default=True, help="Runs of the client."
)
@click.option("--json", "as_json", is_flag=True, help="Write the answer as a JSON document.")
@click.pass_context
def size(ctx: click.Context, /, as_json: bool, **traffic: Any) -> None:
    """Say how many connections some traffic needs, and check it by simulation.

    \b
    Exit status:
      0    the advised size meets the target
      1    no size can, with these limits
      2    there is no such traffic
      130  interrupted
    """
    from . import size as size_module
    from .printing import console_for

    ctx.exit(size_module.run(size_module.Question(**traffic), as_json, console_for(), console_for(stderr=True)))


def _console() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=80)
