"""When waits must end, for one alarm clock instead of one timer a wait.

A wait sets `due` on what it waits for, and takes it back. Only if that is earlier than the clock will look anyway
(`armed`) is there more to do; since most waits last as long as the ones before and begin later, there almost never
is. When the clock looks and finds the time moved, it goes to sleep again until then. So a connection in steady use
costs one visit a timeout, not one a request.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar
from weakref import ref

MANY = 64
"""Entries that are not worth sweeping."""


class Timed(Protocol):
    """Something that is waited for.

    :ivar due: when the present wait must end, or `math.inf`.
    :ivar armed: when the clock will look, or `math.inf`.
    """

    due: float
    armed: float


T = TypeVar("T", bound=Timed)


class Deadlines(Generic[T]):
    """The times at which to look. What is waited for is held weakly: it may be closed and forgotten meanwhile."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, ref[T]]] = []
        self._pushed = 0
        self._useful = MANY

    @property
    def next(self) -> float:
        """When to look, or `math.inf`."""
        return self._heap[0][0] if self._heap else math.inf

    def watch(self, timed: T) -> bool:
        """Look at this when it is due, which is before it is armed. Whether that is earlier than all before."""
        timed.armed = timed.due
        self._pushed += 1
        heapq.heappush(self._heap, (timed.due, self._pushed, ref(timed)))
        if len(self._heap) > self._useful:
            self._sweep()
        return self._heap[0][1] == self._pushed

    def pop(self, now: float) -> list[T]:
        """What is overdue. It is not looked at again unless it is watched again."""
        overdue: list[T] = []
        while self.next <= now:
            at, _, reference = heapq.heappop(self._heap)
            timed = reference()
            if timed is None or timed.armed != at:
                continue  # gone, or looked at earlier
            timed.armed = math.inf
            if timed.due <= now:
                overdue.append(timed)
            elif timed.due < math.inf:
                self.watch(timed)
        return overdue

    def _sweep(self) -> None:
        """Forget the entries that nobody needs any more."""
        self._heap = [entry for entry in self._heap if (timed := entry[2]()) is not None and timed.armed == entry[0]]
        heapq.heapify(self._heap)
        self._useful = max(MANY, 2 * len(self._heap))


WIDTH = 0.25
"""Seconds: the deadlines of a bucket lie that close together."""

NEVER = 2.0**50
"""Seconds: what is later, by any clock, does not come."""

W = TypeVar("W", bound=Hashable)


class Waits(Generic[W]):
    """Deadlines of waits that are many, and nearly all of which end before them: a wait that has ended leaves nothing
    behind, neither an entry to be skipped some day nor anything for the collector of garbage.

    They lie in buckets, and only the one whose time has come is put in order: there an entry stays until its own time.
    """

    def __init__(self) -> None:
        self._at: dict[W, float] = {}
        self._buckets: dict[float, dict[W, None]] = {}  # by when they begin; none is empty
        self._begins: list[float] = []  # of the buckets, a heap; some are gone
        self._present: list[tuple[float, int, W]] = []  # of the buckets whose time has come, a heap; some have ended
        self._passed = -math.inf  # what begins by then is present
        self._added = 0

    @property
    def next(self) -> float:
        """When to look, or `math.inf`. It may be in vain, for the sake of a whole bucket."""
        present, begins = self._present, self._begins
        while present and self._at.get(present[0][2]) != present[0][0]:
            heapq.heappop(present)
        while begins and begins[0] not in self._buckets:
            heapq.heappop(begins)
        first = present[0][0] if present else math.inf
        return min(first, begins[0]) if begins else first

    def hold(self, wait: W, at: float) -> None:
        """The wait must end at this time, and not when it was said before."""
        self.let_go(wait)
        if at > NEVER:
            return
        begin = _begin_of(at)
        self._at[wait] = at
        if begin <= self._passed:
            self._put_in_order(wait, at)
        elif (bucket := self._buckets.get(begin)) is not None:
            bucket[wait] = None
        else:
            self._buckets[begin] = {wait: None}
            heapq.heappush(self._begins, begin)
            if len(self._begins) > 2 * len(self._buckets) + MANY:
                self._begins = sorted(self._buckets)

    def let_go(self, wait: W) -> None:
        """The wait has ended, or never was."""
        at = self._at.pop(wait, None)
        if at is None:
            return
        bucket = self._buckets.get(begin := _begin_of(at))
        if bucket is not None:
            bucket.pop(wait, None)
            if not bucket:
                del self._buckets[begin]

    def pop(self, now: float) -> W | None:
        """Whoever is overdue, and has been for longest; None: nobody is. It is let go."""
        self._passed = max(self._passed, now)
        while self._begins and self._begins[0] <= now:
            for wait in self._buckets.pop(heapq.heappop(self._begins), ()):
                self._put_in_order(wait, self._at[wait])
        if self.next > now:
            return None
        wait = heapq.heappop(self._present)[2]
        del self._at[wait]
        return wait

    def _put_in_order(self, wait: W, at: float) -> None:
        self._added += 1
        heapq.heappush(self._present, (at, self._added, wait))


def _begin_of(at: float) -> float:
    """When the bucket of a time begins."""
    return math.floor(max(at, -NEVER) / WIDTH) * WIDTH
