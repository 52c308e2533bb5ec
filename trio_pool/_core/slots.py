"""Who gets which connection: every decision of the pool, and nothing but decisions.

Strategy
--------
Things that happen go in as method calls (`acquire_nowait`, `enqueue`, `dialled`, `dial_failed`, `release`,
`cancel`, `tick`, …). What has to be done comes out of `decisions`, in order. The caller carries each of
them out, and reports a `Close` with `closed`, before the next thing happens; so every history is one
sequence, and nothing here ever waits, reads a clock or rolls a die.

A *slot* is room for one connection and counts against both limits from its dial to its closing. Each origin
has a `Queue`: a stack of idle slots (most recently used on top) and its waiters, first come first served.
The waiters stand in two parts: the oldest are *covered* by the dials under way, one each, the others are not.
A dial is only ever started for the oldest uncovered waiter; whichever connection is ready first serves
the oldest waiter of all. Each covered waiter *owns* one of those dials, whose failure is its own: the one that
its demand started, or, if that one has served somebody older, or was somebody's who went away, one that it
has taken over. Dials beyond those are nobody's (`Queue.ownerless`).

Origins with uncovered waiters and room under their own limit stand in the *line*, a heap by the age
of their oldest uncovered waiter. The line is empty unless the total limit is reached: every event that could
change that ends in `_settle`, which dials for the line's head while there is room, and otherwise evicts the
least recently used idle connection for it. Entries in the heap may be out of date; they are checked when
they reach the top, and an origin's key only ever grows while it stands there, so the order stays right.

Costs: everything is O(1), amortised, in connections and waiters. Only the line costs the logarithm of the
number of origins that stand in it, and only while the total limit is reached.

The module is longer than most because it is one state machine: its events, then the steps they share.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Any

from .decisions import Close, Decision, Dial, Grant, Handed, Queue, Reason, Refuse, Slot, State, Waiter, Wake
from .expiry import TICK, Expiry
from .figures import PoolStatistics

_LEASED, _IDLE = State.LEASED, State.IDLE  # an enum's members take their time to be looked up

MAX_OVERTAKES = 8
"""How often reuse by younger waiters may overtake a waiter of another origin at the total limit."""


class Slots:
    """The slots of one pool. See the module's docstring; times are in seconds, limits may be `math.inf`.

    :param is_dead: the freshness check, called synchronously on a connection that is about to be reused.
    :param most_of: how many slots an origin may have, where that is not `max_connections_per_host` for all.
    """

    def __init__(
        self,
        *,
        max_connections: float,
        max_connections_per_host: float,
        max_waiting: float,
        keepalive_timeout: float,
        max_lifetime: float,
        max_requests_per_connection: float,
        is_dead: Callable[[Any], bool],
        most_of: Callable[[Any], float] | None = None,
    ) -> None:
        self.decisions: deque[Decision] = deque()
        self.open = True  # takes new requests
        self.slots = 0
        self.dialling = 0
        self.closing = 0
        self.waiting = 0
        self.is_shut = False  # has closed everything, and closes whatever comes back
        self._max_slots = max_connections
        self._max_per_host = max_connections_per_host
        self._most_of = most_of
        self._max_waiting = max_waiting
        self._keepalive = keepalive_timeout
        self._lifetime = max_lifetime
        self._max_uses = max_requests_per_connection
        self._is_dead = is_dead
        self._queues: dict[Hashable, Queue] = {}
        self._connected: dict[Slot, None] = {}  # the slots that have a connection
        self._idle: OrderedDict[Slot, None] = OrderedDict()  # of all origins, least recently used first
        self._line: list[tuple[int, Queue]] = []
        self._expiry = Expiry()
        self._arrivals = 0
        self._overtakes = 0
        self._requests = 0
        self._dials = 0
        self._dial_failures = 0
        self._opened = 0
        self._reuses = 0
        self._refusals = 0
        self._evictions: Counter[str] = Counter()

    # ---- asking for a connection ----

    def acquire_nowait(self, origin: Hashable, now: float) -> Slot | None:
        """Lease the most recently used idle connection of the origin that is still good, or None."""
        queue = self._queues.get(origin)
        if queue is None:
            return None
        while queue.idle:
            slot = queue.idle.popitem()[0]
            del self._idle[slot]
            if now < slot.expires_at and not self._is_dead(slot.connection):
                self._requests += 1
                return self._lease(slot)
            self._close(slot, _age(slot, now) or "dead")
        return None

    def enqueue(self, origin: Hashable, deadline: float, ticket: Any) -> Waiter | None:
        """Stand in line, after `acquire_nowait` found nothing. None: the line is full.

        :param deadline: nothing is granted at or after this time.
        """
        self._requests += 1
        queue = self._queue(origin)
        if self.waiting >= self._max_waiting and not self._has_room(queue):
            self._refusals += 1
            self._forget_if_empty(queue)
            return None
        waiter = self._new_waiter(queue, deadline, ticket)
        self._stand(waiter, queue.uncovered)
        self.waiting += 1
        self._cover(queue)
        self._join_line(queue)
        self._settle()
        return waiter

    def is_covered(self, waiter: Waiter) -> bool:
        """Whether a dial is under way for the waiter."""
        return waiter.standing is not waiter.queue.uncovered

    def postpone(self, waiter: Waiter, deadline: float) -> None:
        """Let a waiter wait for longer.

        :param deadline: nothing is granted at or after this time.
        """
        waiter.deadline = deadline

    def cancel(self, waiter: Waiter) -> bool:
        """Leave the line. Whether the waiter still stood in it; a dial it started goes on for others."""
        if waiter.standing is not None:
            self._leave(waiter)
        elif waiter.dial is not None:
            self._share(waiter.dial)
        else:
            return False
        self._forget_if_empty(waiter.queue)
        return True

    def redial(self, slot: Slot, deadline: float, ticket: Any) -> Waiter | None:
        """Replace a leased connection, which the caller has closed, by a new one for the same holder.

        The slot stays in its place, so nobody is overtaken. None: the pool is shut.
        """
        if self.is_shut:
            return None
        self._expect(slot, State.LEASED)
        self._evictions["dead"] += 1
        waiter = self._new_waiter(slot.queue, deadline, ticket)
        del self._connected[slot]
        self._expiry.discard(slot)
        slot.connection = None
        slot.uses = 0
        slot.exclusive = True
        self._dial(slot, waiter)
        return waiter

    def prewarm(self, origin: Hashable, count: int) -> list[Slot]:
        """Dial until the origin has `count` slots or there is no room. Evicts nobody, asks no one to wait."""
        queue = self._queue(origin)
        dials: list[Slot] = []
        while self.open and queue.slots < min(count, queue.most) and self.slots < self._max_slots:
            dials.append(self._new_slot(queue, None))
        self._forget_if_empty(queue)
        return dials

    # ---- what became of connections ----

    def dialled(self, slot: Slot, connection: Any, now: float, chance: float = 0.0) -> None:
        """The dial ended with a connection. `chance`, in [0, 1), shortens its life by up to 10 %."""
        waiter = self._end_dial(slot)
        self._opened += 1
        self._connected[slot] = None
        slot.connection = connection
        slot.dies_at = now + self._lifetime * (1 - 0.1 * chance)
        slot.expires_at = min(now + self._keepalive, slot.dies_at)
        if not slot.exclusive:
            self._offer(slot, now)
            self._rehouse(waiter)
            return
        slot.exclusive = False
        if waiter.deadline > now and not self.is_shut:  # type: ignore[union-attr]  # an exclusive dial has a waiter
            self._grant(waiter, slot)  # type: ignore[arg-type]  # as above
            return
        self._refuse(waiter, "closed" if self.is_shut else "deadline")  # type: ignore[arg-type]  # as above
        self._offer(slot, now)

    def dial_failed(self, slot: Slot, error: Exception) -> None:
        """The dial ended without a connection: fails its owner, unless it can take over another; frees the slot."""
        waiter = self._end_dial(slot)
        queue = slot.queue
        self._dial_failures += 1
        if waiter is not None and slot.inherited and queue.ownerless:
            self._adopt(waiter)
        elif waiter is not None:
            self._refuse(waiter, "dial failed", error)
        slot.state = State.CLOSED
        self._free(queue)

    def release(self, slot: Slot, now: float, unusable: Reason | None = None, hint: float = math.inf) -> None:
        """The holder gives its connection back.

        :param unusable: why the connection cannot be used again, or None.
        :param hint: how many seconds the server says that it keeps an idle connection.
        """
        if self.is_shut:
            return  # `shut` has closed it under its holder
        if slot.state is not _LEASED:
            self._expect(slot, _LEASED)
        keepalive, queue = self._keepalive, slot.queue
        expires_at = now + (keepalive if keepalive < hint else hint)
        slot.expires_at = expires_at if expires_at < slot.dies_at else slot.dies_at
        reason = unusable or ("max_requests" if slot.uses >= self._max_uses else _age(slot, now))
        if reason is not None:
            self._close(slot, reason)
        elif self.open and not queue.covered and not queue.uncovered:
            self._keep(slot)  # as `_offer` would: nobody waits
        else:
            self._offer(slot, now)

    def closed(self, slot: Slot) -> None:
        """A `Close` was carried out."""
        self._expect(slot, State.CLOSING)
        slot.queue.closing -= 1
        self.closing -= 1
        self._vanish(slot)

    # ---- time and the end ----

    @property
    def next_tick(self) -> float:
        """When `tick` will have something to look at, or `math.inf`."""
        return self._expiry.next

    def tick(self, now: float) -> None:
        """Close the idle connections that have expired."""
        for slot in self._expiry.pop(now):
            if slot.state is not State.IDLE:
                continue  # it is scheduled again when it next becomes idle
            age = _age(slot, now)
            if age is None:
                self._expiry.add(slot)
            else:
                self._close_idle(slot, age)

    def drain(self) -> None:
        """Take no new request; close what is idle, and what comes back with nobody waiting for it."""
        self.open = False
        for slot in list(self._idle):
            self._close_idle(slot, "closed")

    def shut(self) -> None:
        """Close every connection, the leased ones too, and refuse whoever waits. Dials that end are closed."""
        self.drain()
        self.is_shut = True
        for slot in self._connected:
            if slot.state is State.LEASED:
                self._close(slot, "closed")
        for queue in list(self._queues.values()):
            for waiter in [*queue.covered, *queue.uncovered]:
                self._refuse(waiter, "closed")
            self._forget_if_empty(queue)
        self._settle()  # nobody is in line any more

    def crowd(self, origin: Hashable) -> str:
        """How many there are of what, in all and for one origin, in words."""
        everywhere = _in_words(self._leased, len(self._idle), self.dialling, self.waiting)
        queue = self._queues.get(origin)
        if queue is None:
            return everywhere
        here = queue.figures()
        return f"{everywhere}; for this origin {_in_words(here.leased, here.idle, here.dialling, here.waiting)}"

    @property
    def _leased(self) -> int:
        return self.slots - len(self._idle) - self.dialling - self.closing

    def statistics(self, *, acquire_timeouts: int = 0, stale_retries: int = 0, leaks: int = 0) -> PoolStatistics:
        """The figures now, with those that only the caller can count."""
        idle, leased = len(self._idle), self._leased
        return PoolStatistics(
            leased=leased,
            idle=idle,
            dialling=self.dialling,
            closing=self.closing,
            waiting=self.waiting,
            requests=self._requests,
            dials=self._dials,
            dial_failures=self._dial_failures,
            opened=self._opened,
            closed=self._opened - leased - idle - self.closing,
            reuses=self._reuses,
            evictions=dict(self._evictions),
            refusals=self._refusals,
            acquire_timeouts=acquire_timeouts,
            stale_retries=stale_retries,
            leaks=leaks,
            origins={origin: queue.figures() for origin, queue in self._queues.items() if not queue.is_empty},
        )

    # ---- steps of a slot ----

    def _expect(self, slot: Slot, state: State) -> None:
        if slot.state is not state:
            raise ValueError(f"the slot is {slot.state.value}, not {state.value}")

    def _lease(self, slot: Slot) -> Slot:
        slot.state = _LEASED
        slot.uses += 1
        if slot.uses > 1:
            self._reuses += 1
        return slot

    def _grant(self, waiter: Waiter, slot: Slot) -> None:
        self.decisions.append(Grant(waiter, self._lease(slot)))

    def _offer(self, slot: Slot, now: float) -> None:
        """A connection is free: for the oldest waiter of its origin, else for the idle stack."""
        waiter = self._oldest(slot.queue, now)
        if waiter is None:
            if self.open:
                self._keep(slot)
            else:
                self._close(slot, "closed")
        elif slot.uses and self._must_yield(waiter):
            self._close(slot, "yielded")
        elif slot.uses and self._is_dead(slot.connection):
            self._close(slot, "dead")
        else:
            self._leave(waiter)
            self._grant(waiter, slot)

    def _keep(self, slot: Slot) -> None:
        slot.state = _IDLE
        slot.queue.idle[slot] = self._idle[slot] = None
        if slot.expires_at + TICK <= slot.due and self._expiry.add(slot):
            self.decisions.append(Wake(self._expiry.next))
        if self._line:
            self._settle()

    def _close(self, slot: Slot, reason: Reason) -> None:
        slot.state = State.CLOSING
        slot.queue.closing += 1
        self.closing += 1
        self._evictions[reason] += 1
        self.decisions.append(Close(slot, reason))

    def _close_idle(self, slot: Slot, reason: Reason) -> None:
        del slot.queue.idle[slot]
        del self._idle[slot]
        self._close(slot, reason)

    def _vanish(self, slot: Slot) -> None:
        slot.state = State.CLOSED
        slot.connection = None
        self._connected.pop(slot, None)
        self._expiry.discard(slot)
        self._free(slot.queue)

    def _free(self, queue: Queue) -> None:
        """A slot has gone: its room is for whoever is first in line."""
        queue.slots -= 1
        self.slots -= 1
        self._join_line(queue)
        self._settle()
        self._forget_if_empty(queue)

    # ---- steps of a waiter ----

    def _new_waiter(self, queue: Queue, deadline: float, ticket: Any) -> Waiter:
        self._arrivals += 1
        return Waiter(queue, self._arrivals, self._overtakes, deadline, ticket)

    def _stand(self, waiter: Waiter, part: OrderedDict[Waiter, None]) -> None:
        part[waiter] = None
        waiter.standing = part

    def _leave(self, waiter: Waiter) -> None:
        queue, part = waiter.queue, waiter.standing
        if part is None:
            return
        if part is queue.uncovered:
            self.waiting -= 1
        del part[waiter]
        waiter.standing = None
        if waiter.dial is not None:
            self._disown(waiter.dial)  # the dial goes on, for whoever is the oldest
        self._cover(queue)
        if queue.in_line and not queue.uncovered:
            self._head()  # drops it from the line, if nobody stands before it
            if len(self._line) > 2 * self.waiting + 16:
                self._sweep()

    def _refuse(self, waiter: Waiter, why: Any, error: Exception | None = None) -> None:
        covered = waiter.standing is not waiter.queue.uncovered  # covered, or waiting for a dial of its own
        self._leave(waiter)
        self.decisions.append(Refuse(waiter, why, covered, error))

    def _cover(self, queue: Queue) -> None:
        """Move the oldest uncovered waiters under the dials that cover nobody."""
        while queue.uncovered and len(queue.covered) < queue.covering:
            waiter = queue.uncovered.popitem(last=False)[0]
            self._stand(waiter, queue.covered)
            self.waiting -= 1
            if waiter.dial is None:
                self._adopt(waiter)

    def _oldest(self, queue: Queue, now: float) -> Waiter | None:
        """The oldest waiter whose deadline has not passed; refuses those whose has."""
        for part in (queue.covered, queue.uncovered):
            while part:
                waiter = next(iter(part))
                if waiter.deadline > now:
                    return waiter
                self._refuse(waiter, "deadline")
        return None

    def _must_yield(self, waiter: Waiter) -> bool:
        """Whether granting would overtake, once too often, an older waiter of another origin."""
        head = self._head()
        if head is None or head is waiter.queue:
            return False
        rival = next(iter(head.uncovered))
        if rival.number > waiter.number:
            return False
        if self._overtakes - rival.overtakes >= MAX_OVERTAKES:
            return True
        self._overtakes += 1
        return False

    # ---- the queues, the line, and dials ----

    def _queue(self, origin: Hashable) -> Queue:
        queue = self._queues.get(origin)
        if queue is None:
            most = self._max_per_host if self._most_of is None else self._most_of(origin)
            queue = self._queues[origin] = Queue(origin, most)
        return queue

    def _forget_if_empty(self, queue: Queue) -> None:
        if queue.is_empty and not queue.in_line:
            self._queues.pop(queue.origin, None)

    def _has_room(self, queue: Queue) -> bool:
        """Whether a new waiter would be covered at once, by a dial or after an eviction."""
        if queue.covering > len(queue.covered):
            return True
        return queue.slots < queue.most and (self.slots < self._max_slots or bool(self._idle))

    def _join_line(self, queue: Queue) -> None:
        if queue.uncovered and queue.slots < queue.most and not queue.in_line:
            queue.in_line = True
            heapq.heappush(self._line, (next(iter(queue.uncovered)).number, queue))

    def _head(self) -> Queue | None:
        """The origin in line whose uncovered waiter is the oldest; drops and mends entries out of date."""
        while self._line:
            number, queue = self._line[0]
            if not queue.uncovered or queue.slots >= queue.most:
                heapq.heappop(self._line)
                queue.in_line = False
                self._forget_if_empty(queue)
            elif (oldest := next(iter(queue.uncovered)).number) != number:
                heapq.heapreplace(self._line, (oldest, queue))
            else:
                return queue
        return None

    def _sweep(self) -> None:
        """Drop from the line the origins where nobody waits any more, now that they are most of it."""
        stale = [queue for _, queue in self._line if not queue.uncovered]
        self._line = [entry for entry in self._line if entry[1].uncovered]
        heapq.heapify(self._line)
        for queue in stale:
            queue.in_line = False
            self._forget_if_empty(queue)

    def _settle(self) -> None:
        """Serve the line: dial while there is room, else make room."""
        while (queue := self._head()) is not None:
            if self.slots < self._max_slots:
                self._new_slot(queue, next(iter(queue.uncovered)))
                continue
            if self._idle and not self.closing:
                self._close_idle(next(iter(self._idle)), "evicted")
            return

    def _new_slot(self, queue: Queue, waiter: Waiter | None) -> Slot:
        slot = Slot(queue)
        queue.slots += 1
        self.slots += 1
        self._dial(slot, waiter)
        return slot

    def _dial(self, slot: Slot, waiter: Waiter | None) -> None:
        queue = slot.queue
        slot.state = State.DIALLING
        slot.demand, slot.inherited = waiter, False
        if waiter is not None:
            waiter.dial = slot
        else:
            queue.ownerless[slot] = None
        queue.dialling += 1
        self.dialling += 1
        self._dials += 1
        self.decisions.append(Dial(slot))
        if not slot.exclusive:
            queue.covering += 1
            self._cover(queue)

    def _share(self, slot: Slot) -> None:
        """An exclusive dial whose requester went away serves anyone."""
        self._disown(slot)
        slot.exclusive = False
        slot.queue.covering += 1
        self._cover(slot.queue)

    def _disown(self, slot: Slot) -> None:
        """The dial goes on, and is nobody's until somebody takes it over."""
        self._unlink(slot)
        slot.queue.ownerless[slot] = None
        self.decisions.append(Handed(slot, None))

    def _adopt(self, waiter: Waiter) -> None:
        """A covered waiter without a dial takes over the one that has been nobody's for the shortest time."""
        slot = waiter.queue.ownerless.popitem()[0]
        slot.demand, slot.inherited, waiter.dial = waiter, True, slot
        self.decisions.append(Handed(slot, waiter))

    def _rehouse(self, waiter: Waiter | None) -> None:
        """A waiter whose dial has served somebody older, perhaps, takes over that one's."""
        if waiter is not None and waiter.standing is waiter.queue.covered and waiter.dial is None:
            self._adopt(waiter)

    def _unlink(self, slot: Slot) -> Waiter | None:
        """The dial is no longer that waiter's own."""
        waiter, slot.demand = slot.demand, None
        if waiter is not None:
            waiter.dial = None
        return waiter

    def _end_dial(self, slot: Slot) -> Waiter | None:
        """The dial has ended; the waiter that owned it, if there is one."""
        self._expect(slot, State.DIALLING)
        waiter = self._unlink(slot)
        slot.queue.ownerless.pop(slot, None)
        slot.queue.dialling -= 1
        self.dialling -= 1
        if not slot.exclusive:
            slot.queue.covering -= 1
        return waiter


def _age(slot: Slot, now: float) -> Reason | None:
    """Why the connection is too old to be used again, or None."""
    if now >= slot.dies_at:
        return "lifetime"
    return "expired" if now >= slot.expires_at else None


def _in_words(leased: int, idle: int, dialling: int, waiting: int) -> str:
    return f"{leased} leased, {idle} idle, {dialling} dialling, {waiting} waiting"
