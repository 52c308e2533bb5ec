"""When idle connections are looked at: buckets one tick wide, each slot in at most one of them.

A slot that is used again stays in its bucket and is looked at once, in vain, when that falls due; so a warm
connection costs one visit per keepalive period and nothing per request. The number of buckets depends on
the timeouts, not on the number of connections.
"""

from __future__ import annotations

import heapq
import math

from .decisions import Slot

TICK = 0.25
"""Seconds: what expires is closed in batches, at most this long after its time."""


NEVER = 2.0**50
"""Seconds: whatever is later than this never comes."""


class Expiry:
    """Slots by the tick that is to look at them."""

    def __init__(self) -> None:
        self._buckets: dict[float, dict[Slot, None]] = {}  # by their times, which are whole ticks
        self._times: list[float] = []  # a heap

    @property
    def next(self) -> float:
        """When the first bucket falls due, or `math.inf`."""
        return self._times[0] if self._times else math.inf

    def add(self, slot: Slot) -> bool:
        """See to it that the slot is looked at when it expires. Whether that is earlier than all before.

        There is nothing to do for a slot of which `expires_at + TICK > due` holds: that look is early enough.
        """
        if slot.expires_at > NEVER or slot.expires_at + TICK > slot.due:
            return False
        self.discard(slot)
        slot.due = math.ceil(slot.expires_at / TICK) * TICK
        bucket = self._buckets.get(slot.due)
        if bucket is not None:
            bucket[slot] = None
            return False
        self._buckets[slot.due] = {slot: None}
        heapq.heappush(self._times, slot.due)
        return self._times[0] == slot.due

    def discard(self, slot: Slot) -> None:
        """Forget the slot."""
        if slot.due != math.inf:
            del self._buckets[slot.due][slot]
            slot.due = math.inf

    def pop(self, now: float) -> list[Slot]:
        """The slots to look at now; they are forgotten here."""
        slots: list[Slot] = []
        while self.next <= now:
            slots += self._buckets.pop(heapq.heappop(self._times))
        for slot in slots:
            slot.due = math.inf
        return slots
