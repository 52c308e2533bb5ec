"""A naive model of the pool's slots, and the laws that it holds the core to.

Strategy: the model does not decide anything. It keeps its own books, as lists that it scans and sums that it
takes afresh each time, and judges what the core decides at the moment when the core decides it: whether that
was allowed (`decided`), whether the books agree (`check_figures`), and, once everything is carried out,
whether something that had to be done was left undone (`check_rest`).

A model slot passes through one place that the core has no word for: a connection is *in hand* from the moment
it is dialled or released until the core has granted it, closed it, or, by saying nothing, kept it idle.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from trio_pool._core.decisions import Close, Dial, Grant, Refuse, Wake
from trio_pool._core.expiry import TICK

ORIGINS = ("a", "b", "c")
OVERTAKES = 8  # the design's own number


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
    starter: ModelWaiter | None = None  # whose demand started the dial
    holder: ModelWaiter | None = None  # whom alone the dial serves; who leases the connection
    connection: Any = None
    uses: int = 0
    expires: float = math.inf
    dies: float = math.inf


@dataclass
class Model:
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

    def state(self) -> tuple[Any, ...]:
        """What must not change when something is refused."""
        waiters = [(w.number, w.place) for w in self.line + self.redials]
        return [(id(s), s.place, s.uses) for s in self.slots], waiters, dict(self.counts)

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
        slot.starter = None
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
        for waiter in (slot.holder, slot.starter):
            if waiter is not None and waiter.place in ("line", "redial"):
                return waiter
        line = self.line_of(slot.origin)
        return line[0] if len(line) > self.shared_dials(slot.origin) else None

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

    # ---- decisions, judged at the moment of deciding ----

    def decided(self, decision: Any) -> None:
        judges: dict[type, Callable[[Any], None]] = {
            Dial: self._dial,
            Grant: self._grant,
            Refuse: self._refuse,
            Close: self._close,
            Wake: self._wake,
        }
        judges[type(decision)](decision)

    def _wake(self, wake: Wake) -> None:
        self.alarm = min(self.alarm, wake.at)

    def _dial(self, dial: Dial) -> None:
        self.counts["dials"] += 1
        if self.event == "redial":
            assert self.subject is not None
            assert dial.slot is self.subject.handle, "a redial did not keep its slot"
            self.subject.place = "dialling"
            return
        starter = None if self.event == "prewarm" else self._whose_turn(dial.slot.origin)
        self.slots.append(ModelSlot(dial.slot, dial.slot.origin, starter=starter))

    def _whose_turn(self, origin: str) -> ModelWaiter:
        candidates = self.could_dial()
        assert candidates, f"a dial for {origin} that nobody needs"
        assert candidates[0].origin == origin, "a dial for a waiter while an older one could have had it"
        return candidates[0]

    def _grant(self, grant: Grant) -> None:
        slot = self.find(grant.slot)
        if slot.holder is not None and slot.holder.place == "redial":
            waiter = slot.holder
        else:
            line = self.line_of(slot.origin)
            assert line, "a grant to nobody who waits"
            waiter = line[0]
        assert waiter.handle is grant.waiter, "a grant to another than the one whose turn it is"
        assert self.now < waiter.deadline, "a grant after the deadline"
        if slot.uses:
            self._note_overtaking(waiter)
        self.leaves(waiter, "granted")
        self.leases(slot, waiter)

    def _note_overtaking(self, winner: ModelWaiter) -> None:
        for waiter in self.could_dial():
            if waiter.number < winner.number and waiter.origin != winner.origin:
                waiter.overtaken += 1
                assert waiter.overtaken <= OVERTAKES, "a waiter was overtaken too often"

    def _refuse(self, refuse: Refuse) -> None:
        told = [w for w in self.line + self.redials if w.handle is refuse.waiter]
        assert told, "somebody who does not wait was refused"
        waiter = told[0]
        assert refuse.covered or waiter not in self.covered, "the dial for a waiter is denied"
        assert not refuse.covered or self.covered, "no dial was under way for a waiter, as it is told"
        if refuse.why == "deadline":
            assert self.now >= waiter.deadline, "refused before the deadline"
        elif refuse.why == "closed":
            assert self.shut, "refused as closed by a pool that is not"
        else:
            assert waiter is self.victim, "the failed dial was not this waiter's affair"
            assert refuse.error is self.error, "another error than the dial's"
            self.victim = None
        self.leaves(waiter, "refused")

    def _close(self, close: Close) -> None:
        slot = self.find(close.slot)
        closable = ("idle", "hand", "leased") if self.event == "shut" else ("idle", "hand")
        assert slot.place in closable, f"a connection that is {slot.place} is to be closed"
        if close.reason == "evicted":
            self.keep(slot)
        assert self._is_reason(slot, close.reason), f"not a reason to close now: {close.reason}"
        if slot.place == "idle":
            self.idle.remove(slot)
        slot.place = "closing"
        self.reasons[close.reason] += 1

    def _is_reason(self, slot: ModelSlot, reason: str) -> bool:
        in_hand = slot.place == "hand"
        if reason == "evicted":
            return self.idle[0] is slot and self.is_full() and bool(self.could_dial())
        if reason == "yielded":
            rivals, line = self.could_dial(), self.line_of(slot.origin)
            return in_hand and bool(rivals) and bool(line) and rivals[0].number < line[0].number
        return (in_hand and self.unusable == reason) or {
            "expired": self.now >= slot.expires,
            "lifetime": self.now >= slot.dies,
            "max_requests": in_hand and slot.uses >= self.limits.uses,
            "dead": slot.connection in self.dead,
            "closed": not self.open,
        }.get(reason, False)

    def keep(self, slot: ModelSlot) -> None:
        """What was in hand is idle, if it was neither granted nor closed."""
        if slot.place != "hand":
            return
        assert self.open, "a closed pool kept a connection"
        assert self.unusable is None, "a connection was kept that its holder gave up"
        assert slot.uses < self.limits.uses, "a connection was kept that was used up"
        assert self.now < slot.dies, "a connection was kept past its lifetime"
        slot.place = "idle"
        slot.holder = None
        slot.expires = min(slot.expires, slot.dies)
        self.idle.append(slot)

    # ---- what must hold ----

    def check_figures(self, figures: Any) -> None:
        """The books agree, at any moment, and no limit is exceeded."""
        for slot in self.slots:
            assert slot.handle.state.value == slot.place, f"{slot.handle.state} is {slot.place} in the books"
        expected = {
            "waiting": len(self.waiting()),
            **{place: len(self.slots_at(place)) for place in PLACES},
            **{name: self.counts[name] for name in COUNTED},
            "evictions": dict(self.reasons),
            "origins": {o: self._figures_of(o) for o in ORIGINS if self._lives(o)},
        }
        for name, value in expected.items():
            shown = getattr(figures, name)
            if name == "origins":
                shown = {o: (f.leased, f.idle, f.dialling, f.closing, f.waiting) for o, f in shown.items()}
            assert shown == value, f"statistics: {name} is {shown}, and {value} in the books"
        self._check_sums(figures)

    def _figures_of(self, origin: str) -> tuple[int, ...]:
        at = [s.place for s in self.slots if s.origin == origin]
        return (*(at.count(place) for place in PLACES), len(self.uncovered(origin)))

    def _lives(self, origin: str) -> bool:
        return any(s.origin == origin for s in self.slots) or bool(self.line_of(origin))

    def _check_sums(self, figures: Any) -> None:
        held = figures.leased + figures.idle + figures.closing
        assert held + figures.dialling == len(self.slots), "a slot was lost or invented"
        assert len(self.slots) <= self.limits.total, "more slots than the limit"
        for origin in ORIGINS:
            mine = [s for s in self.slots if s.origin == origin]
            assert len(mine) <= self.limits.per_host, "more slots of one origin than the limit"
        assert figures.opened == held + figures.closed, "a connection was lost or invented"
        assert figures.dials == figures.dialling + figures.opened + figures.dial_failures
        assert sum(figures.evictions.values()) == figures.closing + figures.closed, "closed without a reason"

    def check_rest(self) -> None:
        """Nothing was left undone, now that everything is carried out."""
        assert self.victim is None, "a dial failed and the one who relied on it was not told"
        assert not self.slots_at("hand")
        assert not self.slots_at("closing")
        assert len(self.waiting()) <= self.limits.waiting, "more wait than may"
        for waiter in self.line:
            beside = [s for s in self.idle if s.origin == waiter.origin]
            assert not beside, "somebody waits beside an idle connection of his origin"
        if self.could_dial():
            assert self.is_full(), "somebody waits although there is room"
            assert not self.idle, "somebody waits although an idle connection could be evicted"
        for slot in self.idle:
            in_time = slot.expires == math.inf or self.alarm < slot.expires + TICK
            assert in_time, "nobody will look at a connection when it expires"


PLACES = ("leased", "idle", "dialling", "closing")
COUNTED = ("requests", "dials", "dial_failures", "opened", "closed", "reuses", "refusals")
