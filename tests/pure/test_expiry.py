"""The wheel of buckets that says when idle connections are looked at."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool._core.decisions import Queue, Slot
from trio_pool._core.expiry import TICK, Expiry

TIMES = st.integers(0, 20_000).map(lambda ms: ms / 1000) | st.integers(0, 80).map(lambda ticks: ticks * TICK)
WHICH = st.integers(0, 5)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), WHICH, TIMES | st.just(math.inf)),
        st.tuples(st.just("discard"), WHICH, st.just(0.0)),
        st.tuples(st.just("pop"), st.just(0), TIMES),
    ),
    max_size=40,
)


class Watched:
    """The wheel, and beside it a list of what was asked of it: slots, and the times of which each was told."""

    def __init__(self) -> None:
        self.wheel = Expiry()
        self.slots = [Slot(Queue("origin", 20)) for _ in range(6)]
        self.asked: dict[Slot, list[float]] = {}
        self.wake = math.inf  # when a caller that listens to `add` will call `pop`

    def add(self, which: int, time: float) -> None:
        slot = self.slots[which]
        slot.expires_at = time
        due = slot.due
        before = self.wheel.next
        is_earliest = self.wheel.add(slot)
        assert is_earliest == (self.wheel.next < before)
        if is_earliest:
            self.wake = self.wheel.next
        if time != math.inf:
            self.asked.setdefault(slot, []).append(time)
            assert slot.due < time + TICK
            assert slot.due == due or slot.due >= time

    def discard(self, which: int, time: float) -> None:
        self.wheel.discard(self.slots[which])
        self.asked.pop(self.slots[which], None)

    def pop(self, which: int, now: float) -> None:
        slots = self.wheel.pop(now)
        assert len(slots) == len(set(slots))
        for slot in slots:
            assert now >= min(self.asked.pop(slot)), "looked at before it was due"
        for times in self.asked.values():
            assert now < min(times) + TICK, "not looked at within a tick"
        self.wake = self.wheel.next
        assert self.wake > now

    def check(self) -> None:
        held = [(slot, time) for time, bucket in self.wheel._buckets.items() for slot in bucket]
        assert sorted(held, key=str) == sorted(((s, s.due) for s in self.asked), key=str)
        assert all(slot.due == math.inf for slot in self.slots if slot not in self.asked)
        assert self.wake == self.wheel.next
        for times in self.asked.values():
            assert self.wake < min(times) + TICK, "the caller would wake too late"


@given(STEPS)
def test_each_slot_is_in_one_bucket_and_looked_at_within_one_tick_of_its_time_never_before(
    steps: list[tuple[str, int, float]],
) -> None:
    watched = Watched()
    for name, which, time in steps:
        getattr(watched, name)(which, time)
        watched.check()
    watched.pop(0, 100.0)
    assert not watched.asked


def added(wheel: Expiry, time: float) -> Slot:
    slot = Slot(Queue("origin", 20))
    slot.expires_at = time
    wheel.add(slot)
    return slot


def test_what_expires_together_is_looked_at_together() -> None:
    wheel = Expiry()
    slots = [added(wheel, time) for time in (10.01, 10.1, 10.25)]
    assert wheel.pop(10.24) == []
    assert wheel.pop(10.25) == slots
    assert wheel.next == math.inf


def test_a_slot_that_expires_later_than_it_is_looked_at_stays_where_it_is() -> None:
    wheel = Expiry()
    slot = added(wheel, 10.0)
    slot.expires_at = 30.0
    assert wheel.add(slot) is False
    assert wheel.pop(10.0) == [slot]


def test_a_slot_that_expires_earlier_than_it_is_looked_at_is_moved() -> None:
    wheel = Expiry()
    slot = added(wheel, 30.0)
    slot.expires_at = 10.0
    assert wheel.add(slot) is True
    assert wheel.pop(10.0) == [slot]
    assert wheel.pop(30.0) == []


def test_a_slot_that_never_expires_is_never_looked_at() -> None:
    wheel = Expiry()
    added(wheel, math.inf)
    assert wheel.next == math.inf


def test_discarding_twice_is_discarding_once() -> None:
    wheel = Expiry()
    slot = added(wheel, 10.0)
    wheel.discard(slot)
    wheel.discard(slot)
    assert wheel.pop(10.0) == []


@pytest.mark.parametrize("slots", [100, 10_000])
def test_the_number_of_buckets_depends_on_the_time_and_not_on_the_slots(slots: int) -> None:
    wheel = Expiry()
    chance = random.Random(5)
    for _ in range(slots):
        added(wheel, chance.uniform(0, 5))
    assert len(wheel._buckets) == len(wheel._times) <= 5 / TICK + 1
