"""What is counted of a pool now and then: each slot, each waiter, and who was served before whom."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator

import trio

from .._core.decisions import Queue, Slot, State, Waiter
from .._core.expiry import TICK
from .._core.slots import MAX_OVERTAKES, Slots
from ..pool import Pool
from .world.network import VirtualNetwork

SLACK = 2 * TICK
"""Seconds after its time at which a waiter or an idle connection that is still there was forgotten."""


class Audit:
    """Counts one pool.

    :param pool: which.
    """

    def __init__(self, pool: Pool) -> None:
        self._served: dict[str, tuple[array[float], array[float]]] = {}  # by host, as two columns
        self._answers = [0, 0]  # on new connections, and on those that had served before
        self._pool = pool
        self._slots = pool._slots
        self._uses: dict[Slot, int] = {}  # at the last audit
        self._then = 0.0  # which was at this time

    def served(self, host: str, asked: float, granted: float, *, is_reused: bool) -> None:
        """A request got an answer.

        :param host: it went to.
        :param asked: when it came to the pool.
        :param granted: when it got a connection.
        :param is_reused: whether that had served before.
        """
        self._answers[is_reused] += 1
        if not is_reused:
            return
        came, got = self._served.setdefault(host, (array("d"), array("d")))
        came.append(asked)
        got.append(granted)

    def found(self, *, is_last: bool) -> Iterator[str]:
        """Everything that is wrong, between two steps, each as a sentence.

        :param is_last: whether all requests have ended.
        """
        slots, now = self._slots, trio.current_time()
        yield from _wrong_books(slots)
        for slot in slots._connected:
            yield from self._wrong_slot(slot, now)
        for queue in slots._queues.values():
            yield from _wrong_queue(queue, now)
        if is_last:
            yield from self._wrong_order()
            yield from self._wrong_reuses()
        self._uses, self._then = {slot: slot.uses for slot in slots._connected}, now

    def _wrong_slot(self, slot: Slot, now: float) -> Iterator[str]:
        if slot.uses > self._slots._max_uses:
            yield f"a connection to {slot.origin} was used {slot.uses} times"
        if slot.uses > self._uses.get(slot, slot.uses) and slot.dies_at <= self._then:
            yield f"a connection to {slot.origin} was used after its lifetime"
        if slot.state is State.IDLE and min(slot.expires_at, slot.dies_at) + SLACK < now:
            yield f"an idle connection to {slot.origin} should have been closed {now - slot.expires_at:.3f} s ago"

    def _wrong_order(self) -> Iterator[str]:
        """First come, first served: whoever came later was not served sooner."""
        for host, columns in self._served.items():
            latest = 0.0
            for asked, granted in sorted(zip(*columns, strict=True)):
                if granted < latest:
                    yield f"a request that came to {host} at {asked:.6f} s overtook another"
                latest = max(latest, granted)

    def _wrong_reuses(self) -> Iterator[str]:
        """There is one lease for each request and for each retry on a new connection; some end without an answer."""
        afresh, again = self._answers
        leases, reuses = self._slots._requests + self._pool._stale_retries, self._slots._reuses
        if not again <= reuses <= leases - afresh:
            yield f"the books have {reuses} reuses, and there were from {again} to {leases - afresh}"


class Overtaking:
    """Counts how often whoever has waited longest, though only for room in the pool, is overtaken."""

    def __init__(self) -> None:
        self._rival: Waiter | None = None
        self._reuses = 0  # when it became the one

    def found(self, slots: Slots) -> str | None:
        """What is wrong, after a step: connections went on being reused for others too often."""
        rival = _longest_waiting(slots) if slots.waiting else None
        if rival is not self._rival:
            self._rival, self._reuses = rival, slots._reuses
        if rival is not None and slots._reuses - self._reuses > MAX_OVERTAKES:
            return f"a request to {rival.queue.origin} was overtaken more than {MAX_OVERTAKES} times"
        return None


def _longest_waiting(slots: Slots) -> Waiter | None:
    """The oldest waiter of all, if a place of any origin would do for it."""
    parts = [queue.covered or queue.uncovered for queue in slots._queues.values()]
    oldest = min((next(iter(part)) for part in parts if part), key=lambda waiter: waiter.number, default=None)
    if oldest is None or oldest.queue.covered or oldest.queue.slots >= oldest.queue.most:
        return None
    return oldest


def _wrong_books(slots: Slots) -> Iterator[str]:
    states = Counter(slot.state for slot in slots._connected)
    places = Counter(slot for queue in slots._queues.values() for slot in queue.idle)
    counted = {State.IDLE: len(slots._idle), State.LEASED: slots._leased}
    if any(count > 1 for count in places.values()) or places.keys() != slots._idle.keys():
        yield "an idle connection is in two places, or in none"
    if +Counter(counted) != states:
        yield f"the books do not have the connections that there are: {_told(counted)}, and not {_told(states)}"
    if slots.slots != sum(queue.slots for queue in slots._queues.values()):
        yield "the slots of all origins are not the pool's slots"
    if len({id(slot.connection) for slot in slots._connected}) != len(slots._connected):
        yield "two slots have the same connection"
    if slots.waiting != sum(len(queue.uncovered) for queue in slots._queues.values()):
        yield f"the books say that {slots.waiting} requests wait, and that is not so"


def _told(counts: dict[State, int]) -> str:
    return ", ".join(f"{count} {state.value}" for state, count in counts.items()) or "none"


def _wrong_queue(queue: Queue, now: float) -> Iterator[str]:
    waiters = [*queue.covered, *queue.uncovered]
    numbers = [waiter.number for waiter in waiters]
    if numbers != sorted(numbers):
        yield f"the line of {queue.origin} is out of order"
    if any(waiter.deadline + SLACK < now for waiter in waiters):
        yield f"somebody waits for {queue.origin} although its time is over"
    if queue.is_empty and not queue.in_line:
        yield f"the origin {queue.origin} was not forgotten"


# ---- what must hold at the end ----


def unrest(pool: Pool, network: VirtualNetwork) -> str | None:
    """What still goes on in a pool that nobody uses, or None: all that is open is idle.

    :param pool: the pool.
    :param network: what it is connected by.
    """
    figures = pool.statistics()
    going_on = {name: getattr(figures, name) for name in ("leased", "dialling", "closing", "waiting", "leaks")}
    found = [f"{count} {name}" for name, count in going_on.items() if count]
    if network.open != figures.idle:
        found.append(f"{network.open} open on the network and {figures.idle} idle")
    return ", ".join(found) or None
