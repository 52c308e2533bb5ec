"""The alarm clock of a pool: one task for everything that falls due, instead of a timer for each.

It expires idle connections, closes the stream of a connection on which a wait has lasted too long, and ends waits in
line; see "The alarm clock" in docs/architecture.md, and `_core/deadlines.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ._core.deadlines import Deadlines, Waits
from ._core.decisions import Waiter
from ._core.slots import Slots
from ._net.connection import Connection

MANY = 256
"""Waits that end in one go, in about a millisecond."""


class AlarmClock:
    """Sleeps until something is due.

    :param slots: whose idle connections expire.
    :param carry_out: does what that decides.
    :param run_out: is called with each waiter whose time is over.
    """

    def __init__(self, slots: Slots, carry_out: Callable[[], None], run_out: Callable[[Waiter], None]) -> None:
        self._slots = slots
        self._carry_out = carry_out
        self._run_out = run_out
        self._deadlines: Deadlines[Connection] = Deadlines()
        self._waits: Waits[Waiter] = Waits()
        self._nap = trio.CancelScope()  # around the sleep

    def wake(self, at: float) -> None:
        """The first idle connection expires then."""
        if at < self._nap.deadline:
            self._nap.deadline = at

    def watch(self, connection: Connection) -> None:
        """A wait is due before the clock would look at its connection."""
        if self._deadlines.watch(connection):
            self.wake(connection.due)

    def hold(self, waiter: Waiter, until: float) -> None:
        """Somebody stands in line until this time, and not until another that was said before."""
        self._waits.hold(waiter, until)
        self.wake(self._waits.next)

    def let_go(self, waiter: Waiter) -> None:
        """The wait has ended."""
        self._waits.let_go(waiter)

    async def ring(self) -> None:
        """Close idle connections in their time, and those that are waited for too long; end waits in line."""
        while True:
            due = min(self._slots.next_tick, self._deadlines.next, self._waits.next)
            with trio.CancelScope(deadline=due) as self._nap:
                await trio.sleep_forever()
            await trio.lowlevel.cancel_shielded_checkpoint()  # what was woken in the same moment is not overdue
            now = trio.current_time()
            for connection in self._deadlines.pop(now):
                connection.strike()
            await self._end_waits(now)
            self._slots.tick(now)
            self._carry_out()

    async def _end_waits(self, now: float) -> None:
        """One by one, since each may settle others; where they are many, in turns with other tasks."""
        ended = 0
        while (waiter := self._waits.pop(now)) is not None:
            self._run_out(waiter)
            ended += 1
            if not ended % MANY:
                await trio.lowlevel.cancel_shielded_checkpoint()
