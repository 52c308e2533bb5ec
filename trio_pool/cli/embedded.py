"""The demo's origin as its parent sees it: started, asked for its figures, and always ended."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncGenerator
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
    process = await _start(round_trip)
    try:
        started = await _hear(process)
        tls = ssl.create_default_context(cadata=started["ca"])
        yield EmbeddedOrigin(f"https://{HOST}:{started['port']}/v1/answers", tls, process)
    finally:
        await _end(process)


async def _start(round_trip: float) -> trio.Process:
    # -P and the parent's own path: a random.py where the user happens to stand must not be imported
    command = [sys.executable, "-P", "-m", f"{__package__}.origin", "--round-trip", str(round_trip)]
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
