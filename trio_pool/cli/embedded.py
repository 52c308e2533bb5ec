"""The demo's origin as its parent sees it: started, asked for its figures, and always ended."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import attrs
import trio

from .origin import HOST, Figures

PATIENCE = 20.0
"""Seconds that the origin may take to start, to answer and to end."""


class OriginError(Exception):
    """The origin's process did not start, or ended early."""


@attrs.frozen
class EmbeddedOrigin:
    """A running origin.

    :ivar url: where requests go.
    :ivar tls: trusts this origin's certificate and no other.
    :ivar process: its process.
    """

    url: str
    tls: ssl.SSLContext
    process: trio.Process

    async def take_figures(self) -> Figures:
        """What the origin has counted since this was last called.

        :raises OriginError: when it has ended.
        """
        assert self.process.stdin is not None
        try:
            await self.process.stdin.send_all(b"\n")
        except trio.BrokenResourceError:
            raise OriginError("the demo's origin has ended") from None
        return Figures(**await _hear(self.process))


@asynccontextmanager
async def embedded_origin(round_trip: float) -> AsyncGenerator[EmbeddedOrigin]:
    """An origin in a process of its own, for as long as the block lasts.

    :param round_trip: seconds that one way there and back pretends to take when a connection is made.
    :raises OriginError: when it does not start.
    """
    async with embedded_origins(round_trip, [0.0]) as [origin]:
        yield origin


@asynccontextmanager
async def embedded_origins(round_trip: float, limits: Sequence[float]) -> AsyncGenerator[list[EmbeddedOrigin]]:
    """Several origins, each in a process of its own; the `tls` of each trusts all of them.

    :param round_trip: as for one.
    :param limits: for each origin the requests that it lets through in a second, or 0 for no limit.
    :raises OriginError: when one does not start.
    """
    processes: list[trio.Process] = []
    try:
        for limit in limits:
            processes.append(await _start(round_trip, limit))  # noqa: PERF401  # what has started must be ended
        started = [await _hear(process) for process in processes]
        tls = ssl.create_default_context(cadata="".join(each["ca"] for each in started))
        urls = [f"https://{HOST}:{each['port']}/v1/answers" for each in started]
        yield [EmbeddedOrigin(url, tls, process) for url, process in zip(urls, processes, strict=True)]
    finally:
        for process in processes:
            await _end(process)


async def _start(round_trip: float, limit: float) -> trio.Process:
    # -P and the parent's own path: a random.py where the user happens to stand must not be imported
    options = ["--round-trip", str(round_trip), "--limit", str(limit)]
    command = [sys.executable, "-P", "-m", f"{__package__}.origin", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    try:
        return await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # where sessions exist, Ctrl-C reaches the parent alone
        )
    except OSError as error:
        raise OriginError(f"the demo's origin did not start: {error}") from None


async def _hear(process: trio.Process) -> dict[str, Any]:
    """One line of the origin, as JSON."""
    assert process.stdout is not None
    line = b""
    with trio.move_on_after(PATIENCE):
        while not line.endswith(b"\n"):
            received = await process.stdout.receive_some()
            if not received:
                raise OriginError("the demo's origin ended before it had answered")
            line += received
    if not line.endswith(b"\n"):
        raise OriginError(f"the demo's origin did not answer within {PATIENCE:g} s")
    message: dict[str, Any] = json.loads(line)
    return message


async def _end(process: trio.Process) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    with trio.CancelScope(shield=True):
        with trio.move_on_after(PATIENCE / 10):
            await process.stdin.aclose()  # the end of its input is its end
            await process.wait()
        process.kill()
        await process.wait()
        await process.stdout.aclose()
