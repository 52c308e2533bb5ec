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


class Expiry:
    """Slots by the tick that is to look at them."""

    def __init__(self) -> None:
        self._buckets: dict[int, dict[Slot, None]] = {}
        self._keys: list[int] = []  # a heap

    @property
    def next(self) -> float:
        """When the first bucket falls due, or `math.inf`."""
        return self._keys[0] * TICK if self._keys else math.inf

    def add(self, slot: Slot) -> bool:
        """See to it that the slot is looked at when it expires. Whether that is earlier than all before."""
        if slot.expires_at == math.inf:
            return False
        key = math.ceil(slot.expires_at / TICK)
        if slot.due is not None and slot.due <= key:
            return False
        self.discard(slot)
        slot.due = key
        bucket = self._buckets.get(key)
        if bucket is not None:
            bucket[slot] = None
            return False
        self._buckets[key] = {slot: None}
        heapq.heappush(self._keys, key)
        return self._keys[0] == key

    def discard(self, slot: Slot) -> None:
        """Forget the slot."""
        if slot.due is not None:
            del self._buckets[slot.due][slot]
            slot.due = None

    def pop(self, now: float) -> list[Slot]:
        """The slots to look at now; they are forgotten here."""
        slots: list[Slot] = []
        while self.next <= now:
            slots += self._buckets.pop(heapq.heappop(self._keys))
        for slot in slots:
            slot.due = None
        return slots
