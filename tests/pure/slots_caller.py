"""What the tests of the core share: a caller that carries out its decisions at once."""

from __future__ import annotations

import math
from typing import Any

from trio_pool._core.decisions import Close, Decision, Dial, Grant, Handed, Refuse, Slot, Waiter, Wake
from trio_pool._core.slots import Slots

from .slots_books import Limits

FOREVER = math.inf


class Caller:
    """Carries out what the core decides, and remembers it."""

    def __init__(self, **limits: float) -> None:
        self.dead: set[Any] = set()
        given: dict[str, Any] = Limits(**limits).arguments()
        self.core = Slots(**given, is_dead=lambda connection: connection in self.dead)
        self.now = 1000.0
        self.seen: list[Decision] = []
        self.dials: list[Slot] = []

    def carry_out(self) -> list[Decision]:
        """What was decided since the last time, the closings done."""
        new: list[Decision] = []
        while self.core.decisions:
            decision = self.core.decisions.popleft()
            if isinstance(decision, Close):
                self.core.closed(decision.slot)
            if isinstance(decision, Dial):
                self.dials.append(decision.slot)
            if not isinstance(decision, (Wake, Handed)):
                new.append(decision)
        self.seen += new
        return new

    def reuse(self, origin: str) -> Slot | None:
        slot = self.core.acquire_nowait(origin, self.now)
        self.carry_out()
        return slot

    def enqueue(self, origin: str, deadline: float = FOREVER) -> Waiter | None:
        waiter = self.core.enqueue(origin, deadline, object())
        self.carry_out()
        return waiter

    def wait(self, origin: str, deadline: float = FOREVER) -> Waiter:
        """Somebody for whom there is no connection, but a place in line."""
        assert self.reuse(origin) is None
        waiter = self.enqueue(origin, deadline)
        assert waiter is not None
        return waiter

    def connect(self, slot: Slot, chance: float = 0.0) -> list[Decision]:
        self.core.dialled(slot, f"connection {len(self.seen)}", self.now, chance)
        return self.carry_out()

    def fail(self, slot: Slot) -> list[Decision]:
        self.core.dial_failed(slot, OSError("no route to host"))
        return self.carry_out()

    def lease(self, origin: str) -> Slot:
        """A new connection, leased."""
        self.wait(origin)
        slot = self.dials[-1]
        assert self.connect(slot)
        return slot

    def idle(self, origin: str) -> Slot:
        """A new connection, idle."""
        slot = self.lease(origin)
        assert self.release(slot) == []
        return slot

    def release(self, slot: Slot, hint: float = FOREVER) -> list[Decision]:
        self.core.release(slot, self.now, None, hint)
        return self.carry_out()

    def cancel(self, waiter: Waiter) -> list[Decision]:
        assert self.core.cancel(waiter)
        return self.carry_out()

    def tick(self) -> list[Decision]:
        self.core.tick(self.now)
        return self.carry_out()


def told(decisions: list[Decision]) -> list[tuple[Any, ...]]:
    """Decisions, as tuples that compare."""
    shown: list[tuple[Any, ...]] = []
    for decision in decisions:
        match decision:
            case Dial():
                shown.append(("dial", decision.slot.origin))
            case Grant():
                shown.append(("grant", decision.waiter, decision.slot))
            case Refuse():
                shown.append(("refuse", decision.waiter, decision.why))
            case Close():
                shown.append(("close", decision.slot, decision.reason))
    return shown
