"""What the suite asks of a worker process, and what that answers: plain values, one JSON object a line."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """One round of one client in one scenario.

    :ivar measure: which of `benchmarks.measures` is made.
    :ivar op: the client's method that is called: get, post, download, lines or events.
    :ivar url: what it is called with.
    :ivar expected: what each call must return: bytes of the body, lines or events.
    :ivar units: what one call counts for.
    :ivar concurrency: tasks that call it.
    :ivar connections: the client's limit.
    :ivar seconds: how long they do so.
    :ivar idle: connections that are opened first and kept idle, or whose memory is measured.
    :ivar idle_urls: where those lead, in turn.
    :ivar release: the URL that ends their responses, which are begun only, once it is asked for.
    :ivar cafile: the certificate authority of https URLs.
    :ivar server_pids: the processes whose CPU time is the server's.
    """

    measure: str
    op: str = "get"
    url: str = ""
    expected: int = 0
    units: float = 1.0
    concurrency: int = 1
    connections: int = 1
    seconds: float = 1.0
    idle: int = 0
    idle_urls: list[str] = field(default_factory=list)
    release: str = ""
    cafile: str | None = None
    server_pids: list[int] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What one round gave. Either a load's figures, or one value.

    :ivar units: requests, events or megabytes that were done.
    :ivar wall: seconds they took.
    :ivar cpu: seconds of CPU time, user and system, of the client's process.
    :ivar server: seconds of CPU time of the server's processes meanwhile.
    :ivar value: milliseconds of an import, or kilobytes of a connection.
    :ivar failed: requests that failed otherwise than they were meant to.
    :ivar cannot: why there is no figure.
    """

    units: float = 0.0
    wall: float = 0.0
    cpu: float = 0.0
    server: float = 0.0
    value: float | None = None
    failed: int = 0
    cannot: str | None = None


def encode(record: Job | Sample) -> str:
    """One line of JSON."""
    return json.dumps(asdict(record))


def decode_job(line: str) -> Job:
    """The job in a line."""
    return Job(**_object(line))


def decode_sample(line: str) -> Sample:
    """The sample in a line."""
    return Sample(**_object(line))


def _object(line: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(line)
    return loaded
