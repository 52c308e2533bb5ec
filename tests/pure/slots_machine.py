"""A Hypothesis state machine that drives the core of the pool as its callers must, against a naive model.

After each call every decision is judged (`slots_model.py`), then the closings are carried out one at a time,
and the books are compared after each of those. `machine_for` makes the same machine for another core, so that
the planted bugs of `mutants.py` can be run through it.

Each kind of event is a rule. Hypothesis leaves some rules out of each history, which finds what is odd and seldom
reaches what takes a while of ordinary traffic; so every history begins with a stretch in which all are mixed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from trio_pool._core import slots
from trio_pool._core.decisions import Close, State

from .slots_books import Limits, ModelSlot, ModelWaiter
from .slots_events import HINTS, LIMITS, POSSIBLE, TRAFFIC, happens
from .slots_model import Model

T = TypeVar("T")


def pick(items: Sequence[T], which: int) -> T:
    return items[which % len(items)]


def refuses(call: Callable[[], object]) -> bool:
    try:
        call()
    except ValueError:
        return True
    return False


class SlotsMachine(RuleBasedStateMachine):
    """See the module's docstring. `core_module` is what holds `Slots`."""

    core_module: Any = slots

    model: Model
    core: Any

    def __init__(self) -> None:
        super().__init__()
        self.connections = 0
        self.events = 0
        self.sound = False  # whether the last event passed: a broken machine is not torn down

    @initialize(limits=LIMITS, traffic=TRAFFIC)
    def set_up(self, limits: Limits, traffic: list[tuple[str, dict[str, Any]]]) -> None:
        self.model = Model(limits)
        self.core = self.core_module.Slots(**limits.arguments(), is_dead=self.is_dead)
        self.sound = True
        for name, arguments in traffic:
            if POSSIBLE[name](self):
                getattr(self, name)(**arguments)

    def is_dead(self, connection: Any) -> bool:
        return connection in self.model.dead

    # ---- carrying out, and judging ----

    def carry_out(self) -> None:
        """Judge and do what the core has decided, in order, with its consequences; then look at the rest."""
        self.sound = False
        closings: deque[Any] = deque()
        self.judge(closings)
        while closings:
            handle = closings.popleft()
            self.model.closed(self.model.find(handle))
            self.core.closed(handle)
            self.judge(closings)
        self.model.check_rest()
        self.check_covering()
        self.check_forgetting()
        self.check_misuse()
        self.events += 1
        self.sound = True

    def judge(self, closings: deque[Any]) -> None:
        while self.core.decisions:
            decision = self.core.decisions.popleft()
            self.model.decided(decision)
            if isinstance(decision, Close):
                closings.append(decision.slot)
        if self.model.subject is not None:
            self.model.keep(self.model.subject)
        self.model.check_figures(self.core.statistics())

    def check_covering(self) -> None:
        uncovered = self.model.waiting()
        for waiter in self.waiters():
            told = self.core.is_covered(waiter.handle)
            assert told == (waiter not in uncovered), "wrongly told whether a dial is under way for a waiter"

    def check_forgetting(self) -> None:
        """Nothing that has gone is remembered; an origin may be until nobody is left in any line."""
        live = {s.handle for s in self.model.slots}
        looked_after = {s for bucket in self.core._expiry._buckets.values() for s in bucket}
        assert looked_after <= live, "a slot that has gone is remembered"
        if not self.model.line:
            assert set(self.core._queues) == {s.origin for s in live}, "an empty origin is remembered"

    def check_misuse(self) -> None:
        """Whatever is reported of a slot that is elsewhere raises and changes nothing; one try each time."""
        if not self.model.slots or self.model.shut:
            return
        slot, now = pick(self.model.slots, self.events).handle, self.model.now
        state, call = pick(
            (
                (State.LEASED, lambda: self.core.release(slot, now)),
                (State.LEASED, lambda: self.core.redial(slot, now, None)),
                (State.CLOSING, lambda: self.core.closed(slot)),
                (State.DIALLING, lambda: self.core.dialled(slot, None, now)),
                (State.DIALLING, lambda: self.core.dial_failed(slot, OSError())),
            ),
            self.events,
        )
        if slot.state is not state:
            assert refuses(call), f"misuse of a slot that is {slot.state.value} passed"
            assert not self.core.decisions
            self.model.check_figures(self.core.statistics())

    # ---- somebody wants a connection ----

    @happens
    def acquire(self, origin: str, after: float, patience: float, how_many: str) -> None:
        self.model.now += after
        if how_many == "one":
            self.ask(origin, patience)
        else:
            self.busy_spell(origin)

    def busy_spell(self, origin: str) -> None:
        """One origin's requests come as fast as they are served, all over one connection."""
        for _ in range(12):
            self.ask(origin, math.inf)
            for slot in self.model.slots_at("dialling", origin)[:1]:
                self.connect(slot, 0.0)
            for slot in self.model.slots_at("leased", origin)[:1]:
                self.give_back(slot, None, math.inf)

    def ask(self, origin: str, patience: float) -> None:
        if not self.reuse(origin):
            self.enqueue(origin, patience)

    def reuse(self, origin: str) -> bool:
        """The most recently used of the good ones; those above it are closed."""
        self.model.begin("acquire")
        bad: list[Any] = []
        good: ModelSlot | None = None
        for slot in reversed([s for s in self.model.idle if s.origin == origin]):
            if self.model.fault(slot) is None:
                good = slot
                break
            bad.append(slot.handle)
        found = self.core.acquire_nowait(origin, self.model.now)
        assert [d.slot for d in self.core.decisions] == bad, "other connections than the bad ones are closed"
        assert found is (good and good.handle), "not the most recently used of the good connections"
        if good is not None:
            self.model.counts["requests"] += 1
            self.model.leases(good, None)
        self.carry_out()
        return good is not None

    def enqueue(self, origin: str, patience: float) -> None:
        self.model.begin("enqueue")
        self.model.counts["requests"] += 1
        is_refused = self.model.would_refuse(origin)
        ticket, deadline = object(), self.model.now + patience
        handle = self.core.enqueue(origin, deadline, ticket)
        assert (handle is None) == is_refused, "refused, or let in, against the bound of the line"
        if handle is None:
            self.model.counts["refusals"] += 1
        else:
            self.lines_up(self.model.arrives(origin, deadline), handle, ticket)
        self.carry_out()

    def lines_up(self, waiter: ModelWaiter, handle: Any, ticket: object) -> None:
        assert handle.ticket is ticket
        waiter.handle = handle

    @happens
    def prewarm(self, origin: str, count: int) -> None:
        mine = len([s for s in self.model.slots if s.origin == origin])
        room = self.model.limits.total - len(self.model.slots)
        wanted = min(count - mine, self.model.limits.per_host - mine, room) if self.model.open else 0
        self.model.begin("prewarm")
        dials = self.core.prewarm(origin, count)
        assert len(dials) == max(wanted, 0), "more or fewer dials than asked for"
        assert [d.slot for d in self.core.decisions] == dials
        self.carry_out()

    # ---- somebody goes away ----

    def waiters(self) -> list[ModelWaiter]:
        return self.model.line + self.model.redials

    @happens
    def cancel(self, which: int) -> None:
        self.call_off(pick(self.waiters(), which))

    def call_off(self, waiter: ModelWaiter) -> None:
        self.model.begin("cancel")
        self.model.leaves(waiter, "left")
        assert self.core.cancel(waiter.handle) is True
        self.carry_out()
        assert self.core.cancel(waiter.handle) is False, "cancelled twice"
        self.carry_out()

    # ---- what becomes of connections ----

    @happens
    def dial_ends(self, which: int, after: float, chance: float | None) -> None:
        self.model.now += after
        slot = pick(self.model.slots_at("dialling"), which)
        if chance is None:
            self.fail(slot)
        else:
            self.connect(slot, chance)

    def connect(self, slot: ModelSlot, chance: float) -> None:
        self.connections += 1
        self.model.dialled(slot, self.connections, chance)
        self.core.dialled(slot.handle, self.connections, self.model.now, chance)
        self.carry_out()

    def fail(self, slot: ModelSlot) -> None:
        error = OSError("no route to host")
        self.model.dial_failed(slot, error)
        self.core.dial_failed(slot.handle, error)
        self.carry_out()

    @happens
    def release(self, which: int, after: float, outcome: str) -> None:
        self.model.now += after
        slot = pick(self.model.slots_at("leased"), which)
        if outcome == "dies":
            self.model.dead.add(slot.connection)  # unnoticed, in use or later
        self.give_back(slot, "unusable" if outcome == "unusable" else None, HINTS.get(outcome, math.inf))

    def give_back(self, slot: ModelSlot, unusable: str | None, hint: float) -> None:
        if slot.holder is not None:  # it may have been cancelled just when it was granted
            assert self.core.cancel(slot.holder.handle) is False, "who was granted has left the line"
        self.model.released(slot, unusable, hint)
        self.core.release(slot.handle, self.model.now, unusable, hint)
        self.carry_out()

    @happens
    def redial(self, which: int, patience: float, is_cancelled: bool) -> None:
        slot = pick(self.model.slots_at("leased"), which)
        ticket, deadline = object(), self.model.now + patience
        handle = self.core.redial(slot.handle, deadline, ticket)
        waiter = self.model.arrives(slot.origin, deadline)
        self.lines_up(waiter, handle, ticket)
        self.model.redialled(slot, waiter)
        self.carry_out()
        if is_cancelled:
            self.call_off(waiter)

    # ---- time and the end ----

    @happens
    def time_passes(self, seconds: float) -> None:
        """The task that calls `tick` wakes, for once in time, too early or too late."""
        self.model.now += seconds
        self.model.begin("tick")
        self.core.tick(self.model.now)
        self.model.alarm = self.core.next_tick
        assert self.model.alarm > self.model.now, "a tick left something to do now"
        self.carry_out()

    @rule(is_brusque=st.booleans())
    @precondition(lambda self: self.events > 30)
    def end(self, is_brusque: bool) -> None:
        """Perhaps more than once."""
        if is_brusque:
            self.shut()
        else:
            self.drain()

    def drain(self) -> None:
        self.model.begin("drain")
        self.model.open = False
        self.core.drain()
        self.carry_out()
        assert not self.model.idle, "a drained pool keeps idle connections"

    def shut(self) -> None:
        self.model.begin("shut")
        self.model.open = False
        self.model.shut = True
        leased = self.model.slots_at("leased")
        self.core.shut()
        self.carry_out()
        assert not self.model.line, "somebody waits for a pool that is shut"
        assert all(s.place == "dialling" for s in self.model.slots), "a shut pool keeps connections"
        for slot in leased:
            self.hear_of_the_end(slot.handle)

    def hear_of_the_end(self, handle: Any) -> None:
        """The holder of a connection that was closed under it comes too late for anything."""
        self.core.release(handle, self.model.now)
        assert self.core.redial(handle, math.inf, object()) is None
        self.carry_out()

    def teardown(self) -> None:
        """Whoever asked goes, whatever is dialled fails, whatever is held comes back: nothing is left."""
        if not self.sound:
            return
        for waiter in self.waiters():
            self.call_off(waiter)
        for slot in self.model.slots_at("dialling"):
            self.fail(slot)
        for slot in self.model.slots_at("leased"):
            self.give_back(slot, None, math.inf)
        figures = self.core.statistics()
        left = (figures.leased, figures.dialling, figures.waiting)
        assert left == (0, 0, 0), f"leased, dialling and waiting at the end: {left}"
        self.drain()
        assert self.model.slots == [], "slots are left at the end"
        assert self.core.statistics().origins == {}, "origins are left at the end"


def machine_for(core_module: ModuleType) -> type[SlotsMachine]:
    """The machine, driving the `Slots` of another module."""
    return type("SlotsMachine", (SlotsMachine,), {"core_module": core_module})
