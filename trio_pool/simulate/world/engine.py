"""The agenda of a virtual world: what is to happen, when, and what has happened.

Strategy. Servers, wires and arrivals are callbacks on one agenda, called by the virtual clock when every task waits; so
nothing of them costs a task, or a step of one. All that is due at one moment happens in one go, also what that puts on
the agenda for the same moment. The order is that of the times, and at one moment that in which things were put down.

A callback does not wait. What one of them raises ends the body of `open_engine`, and comes out of it as itself. So does
what the world raises in a task, out of `guard`: neither is the fault of those who are tried in this world.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from heapq import heappop, heappush
from typing import Any

import trio

from ...errors import UsageError
from .scheduling import VirtualClock, break_off, rouse

Entry = list[Any]
"""Something on the agenda: when, its number, the callback (None once it was cancelled), and what it is called with."""

_CALLBACK, _ARGS = 2, 3

PATIENCE = 120.0
"""Seconds after which what was cancelled must have ended."""

ROUSINGS = 10
"""How often a task is roused that goes on waiting."""

MOST = 1_000_000
"""Callbacks in one go. If there are more, they put each other on the agenda, and time will never pass."""


class Engine:
    """The agenda of one run.

    :param clock: the run's.
    :ivar now: tells the time.
    :ivar started: when it was made.
    :ivar scope: is cancelled when the world has failed.
    :ivar broken: what it raised first, or None.
    :ivar accuse: is told, as a sentence, what the client did that no client may; nobody listens by default.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self.now = clock.current_time
        self.started = clock.current_time()
        self.scope = trio.CancelScope()
        self.broken: BaseException | None = None
        self.accuse: Callable[[str], None] = lambda _: None
        self._agenda: list[Entry] = []
        self._entered = 0
        self._history = hashlib.blake2b(digest_size=16)

    def at(self, when: float, callback: Callable[..., object], *args: Any) -> Entry:
        """Have something called at a time; what is past or present is called as soon as every task waits.

        :param when: by trio's clock; `math.inf`: never.
        :param callback: what does not wait.
        :param args: what it is called with.
        :raises ValueError: that is no time.
        """
        self._entered += 1
        entry = [when, self._entered, callback, args]
        if when < math.inf:
            heappush(self._agenda, entry)
        elif when != math.inf:
            raise ValueError(f"nothing can be called at {when!r}")
        return entry

    def after(self, seconds: float, callback: Callable[..., object], *args: Any) -> Entry:
        """Have something called so many seconds from now."""
        return self.at(self.now() + seconds, callback, *args)

    @staticmethod
    def cancel(entry: Entry) -> None:
        """Take something off the agenda. What has happened stays so."""
        entry[_CALLBACK], entry[_ARGS] = None, ()

    def fail(self, error: BaseException) -> None:
        """End the body of `open_engine`, from which the error comes out; the first, if there are several."""
        if self.broken is None:
            self.broken = error
        self.scope.cancel()
        self._agenda.clear()
        self.make_end()

    def make_end(self) -> None:
        """All that was cancelled must end. What has not in `PATIENCE` seconds is roused, and at last left behind."""
        self.after(PATIENCE, self._rouse, ROUSINGS)

    def _rouse(self, times: int) -> None:
        if times:
            rouse()
            self.after(PATIENCE, self._rouse, times - 1)
        else:
            break_off()

    @contextmanager
    def guard(self) -> Generator[None]:
        """What is raised inside is the world's."""
        try:
            yield
        except Exception as error:
            self.fail(error)
            raise

    def elapsed(self) -> float:
        """Seconds since it was made, by which the times of windows are told."""
        return self.now() - self.started

    def note(self, what: str) -> None:
        """Write something into the history, with its time."""
        self._history.update(f"{self.now():.9f} {what}\n".encode())

    def digest(self) -> str:
        """A hash of the history."""
        return self._history.hexdigest()

    # ---- for the clock ----

    def next(self) -> float:
        """When the next thing is to happen, or `math.inf`."""
        agenda = self._agenda
        while agenda and agenda[0][_CALLBACK] is None:
            heappop(agenda)
        return agenda[0][0] if agenda else math.inf

    def call(self) -> None:
        """Have everything happen that is due."""
        agenda, now, callback = self._agenda, self.now(), None
        try:
            for _ in range(MOST):
                if not agenda or agenda[0][0] > now:
                    return
                _, _, callback, args = heappop(agenda)
                if callback is not None:
                    callback(*args)
            raise UsageError(f"after {now:g} s {_called(callback)} is called for ever, and no time passes")
        except BaseException as error:
            self.fail(error)


def _called(callback: object) -> str:
    return getattr(callback, "__qualname__", repr(callback))


@asynccontextmanager
async def open_engine() -> AsyncGenerator[Engine]:
    """An engine for the time of the `async with`, in a run of `scheduling.run`.

    :raises UsageError: the clock is another, or has an engine already.
    """
    clock = trio.lowlevel.current_clock()
    if not isinstance(clock, VirtualClock) or clock.agenda is not None:
        raise UsageError("an engine needs a run of its own, by trio_pool.simulate.world.scheduling.run")
    clock.agenda = engine = Engine(clock)
    try:
        with engine.scope:
            yield engine
    finally:
        clock.agenda = None
        if engine.broken is not None:
            raise engine.broken
