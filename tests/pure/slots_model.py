"""The laws that the naive model holds the core to.

Strategy: the model does not decide anything. It keeps its own books (`slots_books.py`), and judges what the core
decides at the moment when the core decides it: whether that was allowed (`decided`), whether the books agree
(`check_figures`), and, once everything is carried out, whether something was left undone (`check_rest`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from trio_pool._core.decisions import Close, Dial, Grant, Handed, Refuse, Wake
from trio_pool._core.expiry import TICK

from .slots_books import ORIGINS, Books, ModelSlot, ModelWaiter

OVERTAKES = 8  # the design's own number
PLACES = ("leased", "idle", "dialling", "closing")
COUNTED = ("requests", "dials", "dial_failures", "opened", "closed", "reuses", "refusals")


class Model(Books):
    """The books of one pool, and their judgement."""

    # ---- decisions, judged at the moment of deciding ----

    def decided(self, decision: Any) -> None:
        judges: dict[type, Callable[[Any], None]] = {
            Dial: self._dial,
            Handed: self._handed,
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
        owner = None if self.event == "prewarm" else self._whose_turn(dial.slot.origin)
        self.slots.append(ModelSlot(dial.slot, dial.slot.origin, owner=owner))

    def _whose_turn(self, origin: str) -> ModelWaiter:
        candidates = self.could_dial()
        assert candidates, f"a dial for {origin} that nobody needs"
        assert candidates[0].origin == origin, "a dial for a waiter while an older one could have had it"
        return candidates[0]

    def _handed(self, handed: Handed) -> None:
        slot = self.find(handed.slot)
        assert slot.place == "dialling", f"a connection that is {slot.place} was handed over as a dial"
        heirs = [w for w in self.line_of(slot.origin) if w.handle is handed.waiter]
        assert handed.waiter is None or heirs, "a dial was handed to somebody who does not wait for it"
        slot.owner, slot.inherited = (heirs[0] if heirs else None), True

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
            is_overtaking = bool(rivals) and bool(line) and rivals[0].number < line[0].number
            return in_hand and slot.uses > 0 and is_overtaking
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
        assert self.now < slot.expires, "a connection was kept past its expiry"
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
        ended = figures.opened + figures.dial_failures
        assert figures.dials == figures.dialling + ended, "a dial was lost or invented"
        assert sum(figures.evictions.values()) == figures.closing + figures.closed, "closed without a reason"

    def _check_owners(self) -> None:
        """Whoever is covered owns one dial, and nobody else owns any."""
        owners = [s.owner for s in self.slots_at("dialling") if s.holder is None and s.owner is not None]
        waiting = self.waiting()
        covered = [w for w in self.line if w not in waiting]
        assert sorted(w.number for w in owners) == [w.number for w in covered], "a dial is the wrong waiter's"

    def check_rest(self) -> None:
        """Nothing was left undone, now that everything is carried out."""
        assert self.victim is None, "a dial failed and the one who relied on it was not told"
        assert not self.slots_at("hand"), "a connection is nowhere"
        assert not self.slots_at("closing"), "a closing was never asked for"
        assert len(self.waiting()) <= self.limits.waiting, "more wait than may"
        self._check_owners()
        for waiter in self.line:
            beside = [s for s in self.idle if s.origin == waiter.origin]
            assert not beside, "somebody waits beside an idle connection of his origin"
        if self.could_dial():
            assert self.is_full(), "somebody waits although there is room"
            assert not self.idle, "somebody waits although an idle connection could be evicted"
        for slot in self.idle:
            in_time = slot.expires == math.inf or self.alarm < slot.expires + TICK
            assert in_time, "nobody will look at a connection when it expires"
