"""The command `trio-pool size`: how many connections some traffic needs, by closed forms and checked by simulation.

Whether the target is met follows from the advisor's reasons: see `simulate.advisor.reasons`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import attrs
import click
from rich.console import Console
from rich.text import Text

from ..config import PoolConfig
from ..errors import UsageError
from ..simulate.advisor.advise import Advice, advise
from ..simulate.describe import plain, source
from ..simulate.reports.tables import Table
from ..simulate.scenarios.wording import said, said_difference, said_interval
from ..simulate.watch import InvariantBroken
from ..simulate.world.provider import VirtualProvider
from ..sizing import general_wait, servers_for, wait_exceeds
from .printing import show

STEPS = (0.5, 0.2, 0.05, 0.01, 0.001)
"""Shares of requests that wait, for which the closed form's sizes are shown."""


@attrs.frozen(kw_only=True)
class Question:
    """What is asked.

    :ivar rate: requests per second.
    :ivar service_time: seconds for which one holds its connection, on average.
    :ivar burstiness: the coefficient of variation of the gaps between requests.
    :ivar target: the share that may wait longer than `wait`, or fail.
    :ivar wait: seconds.
    :ivar acquire_timeout: seconds after which a wait is given up.
    :ivar concurrency: what the provider serves at once, or None.
    :ivar requests_per_minute: what it allows, or None.
    :ivar check: the seeds with which the whole client is asked.
    """

    rate: float
    service_time: float
    burstiness: float
    target: float
    wait: float
    acquire_timeout: float
    concurrency: int | None
    requests_per_minute: float | None
    check: int

    @property
    def load(self) -> float:
        """Connections that are busy on average."""
        return self.rate * self.service_time


def run(question: Question, as_json: bool, out: Console, err: Console) -> int:
    """Answer.

    :param out: where the answer goes.
    :param err: where it is said that there is something to wait for, on a terminal.
    :returns: the exit status: 1 if the target is not met; the answer says why.
    :raises click.UsageError: for what cannot be asked.
    :raises click.ClickException: when the pool broke an invariant.
    """
    try:
        with err.status("simulating"):
            advice = _advice(question)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    except InvariantBroken as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        click.echo(json.dumps({**plain(advice), "size": advice.size, "is_met": advice.is_met}, indent=2))
    else:
        _show(out, question, advice)
    return 0 if advice.is_met else 1


def _advice(question: Question) -> Advice:
    limits = {"concurrency": question.concurrency, "requests_per_minute": question.requests_per_minute}
    return advise(
        question.rate,
        question.service_time,
        burstiness=question.burstiness,
        target=question.target,
        wait=question.wait,
        provider=VirtualProvider(queue=math.inf, **limits) if any(limits.values()) else None,  # type: ignore[arg-type]  # each of its own type
        config=PoolConfig(acquire_timeout=question.acquire_timeout),
        check=question.check,
    )


def _show(out: Console, question: Question, advice: Advice) -> None:
    longer = f"longer than {said(question.wait, 's')}" if question.wait else "at all"
    lines = [
        f"{question.rate:g} requests a second, each for {said(question.service_time, 's')} on average: "
        f"{question.load:.4g} connections are busy on average.",
        "",
        "By closed forms, for independent callers and exponential service times (Erlang C):",
    ]
    out.print(Text("\n".join(lines)))
    show(out, closed_forms(question, advice.size, longer))
    met = "met" if advice.is_met else "NOT MET"
    out.print(Text(f"Advised: {advice.size} connections. The target is {met}.", style="bold"))
    for reason in advice.reasons:
        out.print(Text(reason))
    out.print(Text(f"At most {said(question.target, 'share')} of the requests should wait {longer}, or fail:"))
    show(out, Table(("", "wait too long or fail"), tuple(_checks(advice))))
    for warning in advice.warnings:
        out.print(Text(f"{warning}\n"))
    out.print(Text(source(advice.config, set())))


def closed_forms(question: Question, size: int, longer: str) -> Table:
    """Sizes, and how long requests wait with them."""
    sizes = {servers_for(question.load, step, question.wait, question.service_time) for step in STEPS} | {size}
    rows = (
        (
            str(each),
            said(question.load / each, "share"),
            said(wait_exceeds(each, question.load, question.wait, question.service_time), "share"),
            said(_mean_wait(question, each), "s"),
        )
        for each in sorted(sizes)
    )
    return Table(("connections", "busy", f"wait {longer}", "mean wait, with bursts (rough)"), tuple(rows))


def _mean_wait(question: Question, size: int) -> float:
    return general_wait(size, question.load, question.service_time, arrivals=question.burstiness**2)


def _checks(advice: Advice) -> Iterator[tuple[str, str]]:
    """What was simulated, and what follows."""
    yield "simulated, the line alone", said_interval(advice.simulated, "share")
    if advice.trial and advice.checked:
        more = said_difference(advice.trial.more, "share") if advice.trial.more.estimate else "none"
        yield f"difference of the whole client, in the same {advice.trial.requests:,} requests", more
        yield "estimated, the whole client: their sum", said_interval(advice.checked, "share")
