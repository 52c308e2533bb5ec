"""A naive model of the pool's slots: lists that are scanned, and sums that are taken afresh each time.

A model slot passes through one place that the core has no word for: a connection is *in hand* from the moment
it is dialled or released until the core has granted it, closed it, or, by saying nothing, kept it idle.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

ORIGINS = ("a", "b", "c")


@dataclass(frozen=True)
class Limits:
    """What a pool may do."""

    total: float = math.inf
    per_host: float = math.inf
    waiting: float = math.inf
    keepalive: float = math.inf
    lifetime: float = math.inf
    uses: float = math.inf

    def arguments(self) -> dict[str, float]:
        """As the core takes them."""
        return {
            "max_connections": self.total,
            "max_connections_per_host": self.per_host,
            "max_waiting": self.waiting,
            "keepalive_timeout": self.keepalive,
            "max_lifetime": self.lifetime,
            "max_requests_per_connection": self.uses,
        }


@dataclass(eq=False)
class ModelWaiter:
    """Somebody who asked and found nothing."""

    origin: str
    deadline: float
    number: int
    place: str = "line"  # redial, granted, refused, left
    overtaken: int = 0
    handle: Any = None


@dataclass(eq=False)
class ModelSlot:
    """Room for one connection."""

    handle: Any
    origin: str
    place: str = "dialling"  # hand, idle, leased, closing, gone
    owner: ModelWaiter | None = None  # whose the dial is: who started it, or took it over
    inherited: bool = False
    holder: ModelWaiter | None = None  # whom alone the dial serves; who leases the connection
    connection: Any = None
    uses: int = 0
    expires: float = math.inf
    dies: float = math.inf


@dataclass
class Books:
    """The books of one pool."""

    limits: Limits
    now: float = 100.0
    slots: list[ModelSlot] = field(default_factory=list)
    idle: list[ModelSlot] = field(default_factory=list)  # the last is the most recently used
    line: list[ModelWaiter] = field(default_factory=list)  # of all origins, by age
    redials: list[ModelWaiter] = field(default_factory=list)
    dead: set[Any] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    open: bool = True
    shut: bool = False
    alarm: float = math.inf  # when the shell will call `tick`
    arrivals: int = 0
    event: str = ""
    covered: list[ModelWaiter] = field(default_factory=list)  # for whom a dial was under way then
    subject: ModelSlot | None = None  # the slot that the event is about
    unusable: str | None = None
    victim: ModelWaiter | None = None  # who has to hear that the dial failed
    error: Exception | None = None

    # ---- what the books say ----

    def slots_at(self, place: str, origin: str | None = None) -> list[ModelSlot]:
        return [s for s in self.slots if s.place == place and origin in (None, s.origin)]

    def is_full(self) -> bool:
        return len(self.slots) >= self.limits.total

    def is_full_for(self, origin: str) -> bool:
        return len([s for s in self.slots if s.origin == origin]) >= self.limits.per_host

    def line_of(self, origin: str) -> list[ModelWaiter]:
        return [w for w in self.line if w.origin == origin]

    def shared_dials(self, origin: str) -> int:
        return len([s for s in self.slots_at("dialling", origin) if s.holder is None])

    def uncovered(self, origin: str) -> list[ModelWaiter]:
        """All but the oldest waiters, one for each dial that serves anyone."""
        return self.line_of(origin)[self.shared_dials(origin) :]

    def waiting(self) -> list[ModelWaiter]:
        if not self.line:
            return []
        uncovered = [w for origin in ORIGINS for w in self.uncovered(origin)]
        return sorted(uncovered, key=lambda w: w.number)

    def could_dial(self) -> list[ModelWaiter]:
        """Who waits only because the pool as a whole is full, oldest first."""
        return [w for w in self.waiting() if not self.is_full_for(w.origin)]

    def would_refuse(self, origin: str) -> bool:
        """Whether a newcomer, for whom there is no connection, finds the line full and nothing to hope for."""
        covered_at_once = self.shared_dials(origin) > len(self.line_of(origin))
        dialled_at_once = not self.is_full_for(origin) and (not self.is_full() or bool(self.idle))
        return len(self.waiting()) >= self.limits.waiting and not covered_at_once and not dialled_at_once

    def fault(self, slot: ModelSlot) -> str | None:
        """Why the connection must not be granted now."""
        if self.now >= slot.dies:
            return "lifetime"
        if self.now >= slot.expires:
            return "expired"
        return "dead" if slot.connection in self.dead else None

    def find(self, handle: Any) -> ModelSlot:
        (slot,) = [s for s in self.slots if s.handle is handle]
        return slot

    # ---- events, noted before the core hears of them ----

    def begin(self, event: str, subject: ModelSlot | None = None) -> None:
        self.event, self.subject, self.unusable, self.error = event, subject, None, None
        waiting = self.waiting()
        self.covered = [w for w in self.line + self.redials if w not in waiting]

    def leases(self, slot: ModelSlot, holder: ModelWaiter | None) -> None:
        assert slot.place in ("hand", "idle"), f"a connection that is {slot.place} was granted"
        if slot.place == "idle":
            self.idle.remove(slot)
        assert self.fault(slot) is None, f"a connection was granted that is past use: {self.fault(slot)}"
        assert slot.uses < self.limits.uses, "a connection was granted too often"
        assert self.unusable is None, "a connection was granted that its holder gave up"
        self.counts["reuses"] += slot.uses > 0
        slot.uses += 1
        slot.place = "leased"
        slot.holder = holder

    def arrives(self, origin: str, deadline: float) -> ModelWaiter:
        self.arrivals += 1
        waiter = ModelWaiter(origin, deadline, self.arrivals)
        self.line.append(waiter)
        return waiter

    def dialled(self, slot: ModelSlot, connection: Any, chance: float) -> None:
        self.begin("dialled", slot)
        self.counts["opened"] += 1
        slot.place = "hand"
        slot.owner = None
        slot.connection = connection
        slot.uses = 0
        slot.expires = self.now + self.limits.keepalive
        slot.dies = self.now + self.limits.lifetime * (1 - 0.1 * chance)

    def dial_failed(self, slot: ModelSlot, error: Exception) -> None:
        self.begin("dial failed", slot)
        self.error = error
        self.counts["dial_failures"] += 1
        self.slots.remove(slot)
        slot.place = "gone"
        self.victim = self._victim(slot)

    def _victim(self, slot: ModelSlot) -> ModelWaiter | None:
        if slot.holder is not None or slot.owner is None or not slot.inherited:
            return slot.holder or slot.owner
        shared = [s for s in self.slots_at("dialling", slot.origin) if s.holder is None]
        return None if any(s.owner is None for s in shared) else slot.owner

    def released(self, slot: ModelSlot, unusable: str | None, hint: float) -> None:
        self.begin("released", slot)
        self.unusable = unusable
        slot.place = "hand"
        slot.holder = None
        slot.expires = self.now + min(self.limits.keepalive, hint)

    def redialled(self, slot: ModelSlot, waiter: ModelWaiter) -> None:
        """The holder closed the connection; the slot begins anew, for the same holder."""
        self.begin("redial", slot)
        self.reasons["dead"] += 1
        self.counts["closed"] += 1
        slot.connection = None
        self.line.remove(waiter)
        self.redials.append(waiter)
        waiter.place = "redial"
        slot.holder = waiter

    def leaves(self, waiter: ModelWaiter, place: str) -> None:
        """Out of the line, or away from a redial, whose dial may serve anyone from now on."""
        (self.line if waiter.place == "line" else self.redials).remove(waiter)
        waiter.place = place
        for slot in self.slots_at("dialling"):
            if slot.holder is waiter:
                slot.holder = None

    def closed(self, slot: ModelSlot) -> None:
        self.begin("closed", slot)
        self.slots.remove(slot)
        slot.place = "gone"
        self.counts["closed"] += 1
