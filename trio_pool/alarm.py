"""The alarm clock of a pool: one task for everything that falls due, instead of a timer for each.

It expires idle connections, and closes the stream of a connection on which a wait has lasted too long; see "The alarm
clock" in docs/architecture.md, and `_core/deadlines.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from ._core.deadlines import Deadlines
from ._core.slots import Slots
from ._net.connection import Connection


class AlarmClock:
    """Sleeps until something is due.

    :param slots: whose idle connections expire.
    :param carry_out: does what that decides.
    """

    def __init__(self, slots: Slots, carry_out: Callable[[], None]) -> None:
        self._slots = slots
        self._carry_out = carry_out
        self._deadlines: Deadlines[Connection] = Deadlines()
        self._nap = trio.CancelScope()  # around the sleep

    def wake(self, at: float) -> None:
        """The first idle connection expires then."""
        self._nap.deadline = min(at, self._deadlines.next)

    def watch(self, connection: Connection) -> None:
        """A wait is due before the clock would look at its connection."""
        if self._deadlines.watch(connection):
            self._nap.deadline = min(connection.due, self._slots.next_tick)

    def stop(self) -> None:
        """The slots are shut: nothing is due any more."""
        self._nap.cancel()

    async def ring(self) -> None:
        """Close idle connections when their time has come, and those that are waited for too long.

        Shielded, so that timeouts hold in a body that shields itself when the pool's surroundings are cancelled.
        """
        while not self._slots.is_shut:
            due = min(self._slots.next_tick, self._deadlines.next)
            with trio.CancelScope(deadline=due, shield=True) as self._nap:
                await trio.sleep_forever()
            await trio.lowlevel.cancel_shielded_checkpoint()  # what was woken in the same moment is not overdue
            now = trio.current_time()
            for connection in self._deadlines.pop(now):
                connection.strike()
            self._slots.tick(now)
            self._carry_out()
