"""The agenda of a virtual world: what is to happen, when, and what has happened.

Strategy. Servers, wires and arrivals are callbacks on one agenda, and a single task sleeps until the next of them is
due; so a server's connection or request costs no task. The task's sleep is a cancel scope whose deadline is moved when
something earlier is put on the agenda. All that is due at one moment happens in one go, also what that puts on the
agenda for the same moment; the clock jumps once a moment and never for the present one.

Callbacks are called in the order of their times, those of one moment in the order in which they were put down. They do
not wait, and what one of them raises ends the run.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from heapq import heappop, heappush
from typing import Any

import trio

Entry = list[Any]
"""Something on the agenda: when, its number, the callback (None once it was cancelled), and what it is called with."""

_CALLBACK = 2


class Engine:
    """One agenda, by trio's clock.

    :ivar now: tells the time.
    :ivar started: when the engine was made.
    """

    def __init__(self) -> None:
        self.now: Callable[[], float] = trio.lowlevel.current_clock().current_time
        self.started = self.now()
        self._agenda: list[Entry] = []
        self._entered = 0
        self._nap = trio.CancelScope()
        self._history = hashlib.blake2b(digest_size=16)

    def at(self, when: float, callback: Callable[..., object], *args: Any) -> Entry:
        """Have something called at a time; what is past or present is called as soon as this task waits.

        :param when: by trio's clock; `math.inf`: never.
        :param callback: does not wait, and does not raise.
        :param args: what it is called with.
        """
        self._entered += 1
        entry = [when, self._entered, callback, args]
        heappush(self._agenda, entry)
        if when < self._nap.deadline:
            self._nap.deadline = when
        return entry

    def after(self, seconds: float, callback: Callable[..., object], *args: Any) -> Entry:
        """Have something called so many seconds from now."""
        return self.at(self.now() + seconds, callback, *args)

    @staticmethod
    def cancel(entry: Entry) -> None:
        """Take something off the agenda. What has happened already stays so."""
        entry[_CALLBACK] = None

    def note(self, what: str) -> None:
        """Write something into the history, with its time."""
        self._history.update(f"{self.now():.9f} {what}\n".encode())

    def digest(self) -> str:
        """A hash of the history."""
        return self._history.hexdigest()

    async def run(self) -> None:
        """Have everything called in its time, until cancelled."""
        while True:
            with trio.CancelScope(deadline=self._next()) as self._nap:
                await trio.sleep_forever()
            self._nap = trio.CancelScope(deadline=-math.inf)  # nothing need be moved while all is looked at
            self._call_what_is_due()

    def _next(self) -> float:
        agenda = self._agenda
        while agenda and agenda[0][_CALLBACK] is None:
            heappop(agenda)
        return agenda[0][0] if agenda else math.inf

    def _call_what_is_due(self) -> None:
        agenda, now = self._agenda, self.now()
        while agenda and agenda[0][0] <= now:
            _, _, callback, args = heappop(agenda)
            if callback is not None:
                callback(*args)


@asynccontextmanager
async def open_engine() -> AsyncGenerator[Engine]:
    """An engine that runs for the time of the `async with`. What the body raises comes out as it is."""
    engine = Engine()
    body: BaseException | None = None
    broken: list[Exception] = []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run, engine, nursery.cancel_scope, broken)
        try:
            yield engine
        except BaseException as error:  # taken out of the nursery's group, and raised as itself
            body = error
        nursery.cancel_scope.cancel()
    failure = broken[0] if broken else body
    if failure is not None:
        raise failure


async def _run(engine: Engine, scope: trio.CancelScope, broken: list[Exception]) -> None:
    try:
        await engine.run()
    except Exception as error:  # a callback's: it ends the body, and is raised in its place
        broken.append(error)
        scope.cancel()
