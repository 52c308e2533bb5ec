"""The pool's invariants, checked while an experiment runs.

After every task step the pool's counters are compared with its limits and with the network, if one of them has moved:
some ten comparisons. Now and then, and at the end, each slot and each waiter is counted (`audit`). What is wrong is
kept and ends the run; trio would only switch off an instrument that raises.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

import trio

from .._core.decisions import Queue, Slot, State
from .._core.slots import Slots
from ..pool import Pool

SLACK = 1.0
"""Seconds after its time at which a waiter or an idle connection that is still there was forgotten."""

CIRCLES = 2**20
"""Task steps after which time must have moved."""


class Ends(Protocol):
    """What is known of a network: how many client ends are open on it."""

    @property
    def open(self) -> int:
        """How many."""
        ...


class InvariantBroken(AssertionError):
    """Something that must always hold did not.

    :param what: what was broken, as a sentence without its full stop.
    :param at: when, in virtual seconds from the experiment's start.
    :param seed: the experiment's.
    :param replay: the command that shows it again.
    """

    def __init__(self, what: str, at: float, seed: int, replay: str) -> None:
        super().__init__(what, at, seed, replay)  # all of it: so it comes whole from another process
        self.what = what
        self.at = at
        self.seed = seed
        self.replay = replay

    def __str__(self) -> str:
        return f"{self.what} (after {self.at:.6f} s of virtual time, with the seed {self.seed}). Replay: {self.replay}"


class Watch(trio.abc.Instrument):
    """Looks at one pool and its network after each task step, from `begin` on.

    :ivar scope: what runs inside it ends when something is broken.
    :ivar steps: task steps so far.
    :ivar broken: what was broken first, and when; or None.
    """

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.steps = 0
        self.broken: tuple[str, float] | None = None
        self._watched: tuple[Pool, Slots, Ends] | None = None
        self._before: tuple[int, ...] = ()
        self._then = -1.0

    def begin(self, pool: Pool, network: Ends) -> None:
        """From now on."""
        self._watched = pool, pool._slots, network

    def end(self) -> None:
        """No longer: the pool is being closed."""
        self._watched = None

    def fail(self, what: str) -> None:
        """Something is broken: end the run."""
        if self.broken is None:
            self.broken = what, trio.current_time()
            self.scope.cancel()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:  # noqa: ARG002  # trio's signature
        """Trio calls this. In one piece, since it is called for everything that happens."""
        self.steps += 1
        if not self.steps % CIRCLES:
            self._check_time()
        if self._watched is None:
            return
        _, slots, network = self._watched
        now = (
            slots.slots, slots.dialling, slots.waiting, len(slots._idle), slots._requests, slots.closing, network.open
        )  # fmt: skip
        if now != self._before:
            self._before = now
            self._check(slots, network)

    def audit(self) -> None:
        """Count everything."""
        if self._watched is not None:
            pool, _, network = self._watched
            for what in audit(pool, network):
                self.fail(what)

    def _check(self, slots: Slots, network: Ends) -> None:
        try:
            what = _broken_rule(slots, network)
        except Exception as error:  # the books are in such a state that they cannot be read
            what = f"the pool's books cannot be read: {error!r}"
        if what is not None:
            self.fail(what)

    def _check_time(self) -> None:
        now = trio.current_time()
        if now == self._then:
            self.fail(f"the pool turns in circles: no time passed in {CIRCLES:,} task steps")
        self._then = now


# ---- what must hold after every step ----


def _broken_rule(slots: Slots, network: Ends) -> str | None:
    for sentence, is_broken in _OF_ALL:
        if is_broken(slots, network.open):
            return f"{sentence}: {_in_words(slots, network)}"
    for queue in slots._queues.values():
        for sentence, is_broken_for in _OF_EACH:
            if is_broken_for(slots, queue):
                return f"{sentence} ({queue.origin}): {_in_words(slots, network)}"
    return None


_OF_ALL: tuple[tuple[str, Callable[[Slots, int], bool]], ...] = (
    ("there are more slots than max_connections", lambda slots, _: slots.slots > slots._max_slots),
    ("more requests wait than max_waiting", lambda slots, _: slots.waiting > slots._max_waiting),
    ("a connection was to be closed and was not", lambda slots, _: slots.closing != 0),
    ("a count is negative", lambda slots, _: min(slots._leased, slots.dialling, slots.waiting) < 0),
    (
        "dials are lost from the books",
        lambda slots, _: slots._dials != slots.dialling + slots._opened + slots._dial_failures,
    ),
    ("the network carries less than is idle", lambda slots, ends: ends < len(slots._idle)),
    ("the network carries more than the pool has", lambda slots, ends: ends > slots.slots),
)  # the network carries less than is leased in the step between a timeout, which closes, and its holder
_OF_EACH: tuple[tuple[str, Callable[[Slots, Queue], bool]], ...] = (
    ("an origin has more slots than it may", lambda _, queue: queue.slots > queue.most),
    (
        "somebody waits beside an idle connection",
        lambda _, queue: bool(queue.idle) and bool(queue.uncovered or queue.covered),
    ),
    (
        "somebody waits although there is room",
        lambda slots, queue: bool(queue.uncovered) and queue.slots < queue.most and slots.slots < slots._max_slots,
    ),
    (
        "somebody waits although an idle connection could be evicted",
        lambda slots, queue: bool(queue.uncovered) and queue.slots < queue.most and bool(slots._idle),
    ),
    ("fewer dials are under way than cover somebody", lambda _, queue: len(queue.covered) > queue.covering),
    (
        "a dial covers nobody although somebody waits",
        lambda _, queue: bool(queue.uncovered) and len(queue.covered) < queue.covering,
    ),
)


def _in_words(slots: Slots, network: Ends) -> str:
    counts = f"{slots._leased} leased, {len(slots._idle)} idle, {slots.dialling} dialling, {slots.waiting} waiting"
    return f"{counts}; {network.open} open on the network"


# ---- what is counted now and then ----


def audit(pool: Pool, network: Ends) -> Iterator[str]:
    """Everything that is wrong with a pool between two steps, each as a sentence.

    :param pool: open, or closed.
    :param network: what it is connected by.
    """
    slots, now = pool._slots, trio.current_time()
    what = _broken_rule(slots, network)
    if what is not None:
        yield what
    yield from _wrong_slots(slots, now)
    for queue in slots._queues.values():
        yield from _wrong_queue(queue, now)
    if slots.waiting != sum(len(queue.uncovered) for queue in slots._queues.values()):
        yield f"the books say that {slots.waiting} requests wait, and that is not so"


def _wrong_slots(slots: Slots, now: float) -> Iterator[str]:
    states = Counter(slot.state for slot in slots._connected)
    places = Counter(slot for queue in slots._queues.values() for slot in queue.idle)
    if any(count > 1 for count in places.values()) or places.keys() != slots._idle.keys():
        yield "an idle connection is in two places, or in none"
    counted = {State.IDLE: len(slots._idle), State.LEASED: slots._leased}
    if +Counter(counted) != states:
        yield f"the books do not have the connections that there are: {_told(counted)}, and not {_told(states)}"
    if slots.slots != sum(queue.slots for queue in slots._queues.values()):
        yield "the slots of all origins are not the pool's slots"
    if len({id(slot.connection) for slot in slots._connected}) != len(slots._connected):
        yield "two slots have the same connection"
    for slot in slots._idle:
        yield from _wrong_age(slot, now)


def _told(counts: dict[State, int]) -> str:
    return ", ".join(f"{count} {state.value}" for state, count in counts.items()) or "none"


def _wrong_age(slot: Slot, now: float) -> Iterator[str]:
    if min(slot.expires_at, slot.dies_at) + SLACK < now:
        yield f"an idle connection to {slot.origin} should have been closed {now - slot.expires_at:.3f} s ago"


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


def unrest(pool: Pool, network: Ends) -> str | None:
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
