"""What is measured: the scenarios, and the variants of each, as a table."""

from __future__ import annotations

from dataclasses import dataclass

from .app import CHAT_LENGTH, CHAT_PATH
from .canned import HELD_PATH, RELEASE_PATH
from .jobs import Job
from .server import EVENTS_PATH, LARGE, LARGE_PATH, Addresses

SMALL = 1024  # bytes of the body of /1k and /close
LINES = "as lines"
PATIENT = 60.0  # seconds that a round may take beyond its load: thousands of connections may have to be opened


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to run a scenario: a block of rows in the table.

    :ivar op: which of a client's calls.
    :ivar server: which of the servers: plain, secure or canned.
    :ivar path: what is asked of it.
    :ivar concurrency: tasks that ask.
    :ivar connections: the client's limit; 0 for as many as tasks and idle connections.
    :ivar idle: connections kept idle beside them, or whose memory is measured.
    :ivar quick: whether a quick run has it.
    """

    name: str
    op: str = "get"
    server: str = "plain"
    path: str = "/1k"
    concurrency: int = 1
    connections: int = 0
    idle: int = 0
    quick: bool = False


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is asked of every client.

    :ivar unit: what its figures are given for: CPU microseconds per unit, units per second.
    :ivar value: for a scenario that gives a value and no CPU time, what it is; else None.
    :ivar measure: which of `benchmarks.measures` is made.
    :ivar fresh: whether each round needs a process that has done nothing before.
    """

    name: str
    title: str
    variants: tuple[Variant, ...]
    unit: str = "request"
    value: str | None = None
    measure: str = "load"
    fresh: bool = False


def _sweep() -> tuple[Variant, ...]:
    counts = (1, 3, 10, 30, 100, 300, 1000)
    return tuple(Variant(name=str(count), concurrency=count, quick=count == 1) for count in counts)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="get",
            title="GET of 1 kB",
            variants=(
                Variant(name="20 concurrent", concurrency=20, quick=True),
                Variant(name="100 concurrent", concurrency=100),
            ),
        ),
        Scenario(name="sweep", title="GET of 1 kB, by concurrency", variants=_sweep()),
        Scenario(
            name="tls",
            title="GET of 1 kB over TLS 1.3",
            variants=(Variant(name="20 concurrent", server="secure", concurrency=20, quick=True),),
        ),
        Scenario(
            name="post",
            title="POST of 100 kB",
            variants=(Variant(name="20 concurrent", op="post", path="/post", concurrency=20, quick=True),),
        ),
        Scenario(
            name="sdk",
            title="a chat completion by the OpenAI SDK",
            unit="call",
            variants=(Variant(name="20 concurrent", op="chat", path=CHAT_PATH, concurrency=20, quick=True),),
        ),
        Scenario(
            name="large",
            title="a body of 64 MB, in pieces",
            unit="MB",
            variants=(Variant(name="1 at a time", op="download", path=LARGE_PATH, quick=True),),
        ),
        Scenario(
            name="events",
            title="server-sent events, each in a chunk",
            unit="event",
            variants=(
                Variant(name="as events", op="events", server="canned", path=EVENTS_PATH, quick=True),
                Variant(name=LINES, op="lines", server="canned", path=EVENTS_PATH, quick=True),
            ),
        ),
        Scenario(
            name="idle",
            title="GET of 1 kB on one warm connection, beside idle ones to ten origins",
            variants=tuple(Variant(name=f"{count} idle", idle=count, quick=count == 100) for count in (10, 100, 1000)),
        ),
        Scenario(
            name="queue",
            title="GET of 1 kB on 10 connections, the rest in line",
            variants=tuple(
                Variant(name=f"{count} tasks", concurrency=count, connections=10, quick=count == 200)
                for count in (20, 200, 3000)
            ),
        ),
        Scenario(
            name="cold",
            title="a new connection for each GET, 100 at once",
            variants=(
                Variant(name="plain", path="/close", concurrency=100, quick=True),
                Variant(name="TLS", server="secure", path="/close", concurrency=100),
            ),
        ),
        Scenario(
            name="churn",
            title="bursts of 60 GETs on 10 connections, each cancelled within 3 ms",
            measure="churn",
            variants=(Variant(name="60 on 10", connections=10, quick=True),),
        ),
        Scenario(
            name="memory",
            title="memory of an idle connection, the operating system's count",
            value="kB",
            measure="memory",
            fresh=True,
            variants=(Variant(name="plain", idle=500), Variant(name="TLS", server="secure", idle=500)),
        ),
        Scenario(
            name="traced",
            title="memory of an idle connection, Python's own count",
            value="kB",
            measure="traced",
            fresh=True,
            variants=(Variant(name="plain", idle=200, quick=True),),
        ),
        Scenario(
            name="import",
            title="importing, beyond the event loop's own import",
            value="ms",
            measure="imports",
            variants=(Variant(name="cold interpreter", quick=True),),
        ),
    )
}


def make_job(scenario: Scenario, variant: Variant, servers: Addresses, seconds: float) -> Job:
    """The job that a worker does in each round."""
    base = {"plain": servers.plain, "secure": servers.secure, "canned": servers.canned[0]}[variant.server]
    expected, units = _yield(variant.op, variant.path, servers.event_count)
    held = [servers.canned_secure] if variant.server == "secure" else servers.canned
    return Job(
        measure=scenario.measure,
        op=variant.op,
        url=base + variant.path,
        expected=expected,
        units=units,
        concurrency=variant.concurrency,
        connections=variant.connections or variant.concurrency + variant.idle,
        seconds=seconds,
        idle=variant.idle,
        idle_urls=[origin + HELD_PATH for origin in held],
        release=servers.canned[0] + RELEASE_PATH,
        cafile=servers.cafile if variant.server == "secure" else None,
        server_pids=servers.pids["canned" if variant.server == "canned" else "web"],
    )


def _yield(op: str, path: str, events: int) -> tuple[int, float]:
    """What a call returns, and how many units that is."""
    counted = {"events": (events, float(events)), "lines": (2 * events, float(events))}
    sizes = {LARGE_PATH: (LARGE, LARGE / 1e6), "/post": (2, 1.0), CHAT_PATH: (CHAT_LENGTH, 1.0)}
    return counted.get(op) or sizes.get(path) or (SMALL, 1.0)
