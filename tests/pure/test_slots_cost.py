"""What a visit to the core costs does not depend on how many connections and waiters there are.

Nothing is timed: the lines that run are counted. What the interpreter would scan in C without running a line, the
core's containers, is replaced by containers that hand their items out one by one, in Python.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from trio_pool._core import decisions, slots
from trio_pool._core.decisions import Slot, Waiter

from .slots_caller import FOREVER, Caller

SLACK = 12  # lines: an entry of the line's heap that is out of date is dropped or mended on the way


def hand_out(item: Any) -> Any:
    return item


class WatchedDict(OrderedDict[Any, Any]):
    """Whoever walks through it runs a line for each item."""

    def __iter__(self) -> Iterator[Any]:
        return map(hand_out, super().__iter__())

    def keys(self) -> Any:
        return list(self)

    def values(self) -> Any:
        return [self[key] for key in self]

    def items(self) -> Any:
        return [(key, self[key]) for key in self]


class WatchedList(list[Any]):
    """Likewise. The heap's own functions do not walk."""

    def __iter__(self) -> Iterator[Any]:
        return map(hand_out, super().__iter__())

    def __contains__(self, item: object) -> bool:
        return any(item is other for other in self)


@pytest.fixture(autouse=True)
def _watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "OrderedDict", WatchedDict)
    monkeypatch.setattr(slots, "OrderedDict", WatchedDict)


def watch(caller: Caller) -> Caller:
    """Replace the containers that are plain."""
    core = caller.core
    core._queues = WatchedDict(core._queues)
    core._connected = WatchedDict(core._connected)
    core._line = WatchedList(core._line)
    for queue in core._queues.values():
        queue.idle = WatchedDict(queue.idle)
    for key, bucket in core._expiry._buckets.items():
        core._expiry._buckets[key] = WatchedDict(bucket)
    return caller


def lines_of(operation: Callable[[], object]) -> int:
    """How many lines run."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        operation()
    finally:
        sys.settrace(before)
    return count


def test_the_count_sees_a_scan_in_python_and_in_c() -> None:
    scanned = WatchedDict.fromkeys(range(1000))
    assert lines_of(lambda: list(scanned)) > 1000
    assert lines_of(lambda: sum(1 for _ in scanned)) > 1000
    assert lines_of(lambda: len(scanned.keys())) > 1000
    assert lines_of(lambda: 5 in WatchedList(range(1000))) > 5
    assert lines_of(lambda: 5 in scanned) < 10


# ---- many idle connections ----


def with_idle(connections: int, origins: int) -> Caller:
    """A full pool, all of it idle."""
    caller = Caller(total=connections, keepalive=30.0)
    leased = [caller.lease(f"origin {number % origins}") for number in range(connections)]
    for slot in leased:
        caller.release(slot)
    return watch(caller)


def reuse_and_release(caller: Caller) -> None:
    slot = caller.reuse("origin 1")
    assert slot is not None
    caller.release(slot)


def evict_for_another_origin(caller: Caller) -> None:
    caller.lease("another origin")


def give_up_a_connection(caller: Caller) -> None:
    slot = caller.reuse("origin 1")
    assert slot is not None
    caller.core.release(slot, caller.now, "unusable")
    caller.carry_out()


def prewarm_in_vain(caller: Caller) -> None:
    assert caller.core.prewarm("another origin", 5) == []


def prewarm_two(caller: Caller) -> None:
    give_up_a_connection(caller)
    give_up_a_connection(caller)
    assert len(caller.core.prewarm("another origin", 5)) == 2


def tick_in_vain(caller: Caller) -> None:
    caller.tick()


def expire_one(caller: Caller) -> None:
    slot = caller.reuse("origin 1")
    assert slot is not None
    caller.release(slot, hint=1.0)
    caller.now += 2
    assert len(caller.tick()) == 1


IDLE = (
    reuse_and_release,
    evict_for_another_origin,
    give_up_a_connection,
    prewarm_in_vain,
    prewarm_two,
    tick_in_vain,
    expire_one,
)


@pytest.mark.parametrize("operation", IDLE, ids=lambda operation: str(operation.__name__))
def test_ten_thousand_idle_connections_cost_no_more_than_ten(operation: Callable[[Caller], object]) -> None:
    few, many = with_idle(10, 2), with_idle(10_000, 1_000)
    assert lines_of(lambda: operation(many)) <= lines_of(lambda: operation(few)) + SLACK


def test_dead_connections_cost_the_same_among_ten_thousand() -> None:
    few, many = with_idle(10, 2), with_idle(10_000, 1_000)
    for caller in (few, many):
        upper = list(caller.core._queues["origin 1"].idle)[-2:]
        caller.dead |= {slot.connection for slot in upper}
    assert lines_of(lambda: many.reuse("origin 1")) <= lines_of(lambda: few.reuse("origin 1")) + SLACK


def test_looking_after_ten_thousand_connections_costs_a_visit_each() -> None:
    def idle_through(caller: Caller) -> int:
        caller.now += 40
        return lines_of(caller.tick)

    few, many = idle_through(with_idle(10, 2)), idle_through(with_idle(10_000, 1_000))
    assert many <= few * 1_000


# ---- many waiters ----


class Crowd(Caller):
    """Ten connections, leased by one origin, and a line of waiters."""

    def __init__(self, waiters: int, origins: int) -> None:
        super().__init__(total=10)
        self.leased: list[Slot] = [self.lease("origin 0") for _ in range(10)]
        self.waiters: list[Waiter] = [self.wait(f"origin {number % origins}") for number in range(waiters)]
        watch(self)


def arrive(crowd: Crowd) -> None:
    crowd.wait("origin 0")


def arrive_from_elsewhere(crowd: Crowd) -> None:
    crowd.wait("another origin")


def hand_on_a_connection(crowd: Crowd) -> None:
    assert len(crowd.release(crowd.leased[0])) == 1


def hand_on_nine_times_over(crowd: Crowd) -> None:
    for slot in crowd.leased[:9]:
        crowd.release(slot)


def close_and_dial(crowd: Crowd) -> None:
    crowd.core.release(crowd.leased[0], crowd.now, "unusable")
    assert len(crowd.carry_out()) == 2


def fail_a_dial(crowd: Crowd) -> None:
    close_and_dial(crowd)
    assert len(crowd.fail(crowd.dials[-1])) == 2


def cancel_the_oldest(crowd: Crowd) -> None:
    crowd.cancel(crowd.waiters[0])


def cancel_the_newest(crowd: Crowd) -> None:
    crowd.cancel(crowd.waiters[-1])


def cancel_from_the_middle(crowd: Crowd) -> None:
    crowd.cancel(crowd.waiters[len(crowd.waiters) // 2])


def cancel_the_one_that_is_dialled_for(crowd: Crowd) -> None:
    close_and_dial(crowd)
    crowd.cancel(crowd.waiters[0])


def redial_and_cancel(crowd: Crowd) -> None:
    holder = crowd.core.redial(crowd.leased[0], FOREVER, "ticket")
    crowd.carry_out()
    assert holder is not None
    crowd.cancel(holder)


WAITING = (
    arrive,
    arrive_from_elsewhere,
    hand_on_a_connection,
    hand_on_nine_times_over,
    close_and_dial,
    fail_a_dial,
    cancel_the_oldest,
    cancel_the_newest,
    cancel_from_the_middle,
    cancel_the_one_that_is_dialled_for,
    redial_and_cancel,
)


@pytest.mark.parametrize("operation", WAITING, ids=lambda operation: str(operation.__name__))
@pytest.mark.parametrize("origins", [1, 1_000])
def test_ten_thousand_waiters_cost_no_more_than_ten(operation: Callable[[Crowd], object], origins: int) -> None:
    few, many = Crowd(10, min(origins, 5)), Crowd(10_000, origins)
    assert lines_of(lambda: operation(many)) <= lines_of(lambda: operation(few)) + SLACK


@pytest.mark.parametrize("origins", [1, 1_000])
def test_cancelling_every_other_waiter_costs_the_same_each(origins: int) -> None:
    def cancel_half(crowd: Crowd) -> int:
        half = crowd.waiters[::2]
        return lines_of(lambda: [crowd.cancel(waiter) for waiter in half])

    few, many = cancel_half(Crowd(10, min(origins, 5))), cancel_half(Crowd(10_000, origins))
    assert many <= (few + SLACK) * 1_000


@pytest.mark.parametrize("origins", [1, 1_000])
def test_a_line_of_ten_thousand_is_served_at_the_same_cost_each(origins: int) -> None:
    def serve(crowd: Crowd) -> int:
        def give_back_and_close() -> None:
            for slot in crowd.leased:
                crowd.core.release(slot, crowd.now, "unusable")
                crowd.carry_out()

        return lines_of(give_back_and_close)

    assert serve(Crowd(10_000, origins)) <= serve(Crowd(20, min(origins, 5))) + 10 * SLACK
