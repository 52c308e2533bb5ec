"""The alarm clock's book of deadlines: nobody's is missed, nobody is struck early, and it stays small."""

from __future__ import annotations

import gc
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool._core.deadlines import MANY, NEVER, WIDTH, Deadlines, Waits


class Wait:
    """Something that is waited for."""

    def __init__(self) -> None:
        self.due = self.armed = math.inf


def begin(book: Deadlines[Wait], wait: Wait, due: float) -> None:
    """As an exchange does it."""
    wait.due = due
    if due < wait.armed:
        book.watch(wait)


WHAT = ["begin", "begin", "begin", "end", "pass", "strike"]
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["begin", "begin", "begin", "end", "pass", "strike"]), st.integers(0, 4), st.integers(1, 30)
    ),
    max_size=80,
)


@settings(deadline=None, max_examples=400)
@given(EVENTS)
def test_what_is_overdue_is_found_when_the_clock_looks_and_nothing_else(events: list[tuple[str, int, int]]) -> None:
    book: Deadlines[Wait] = Deadlines()
    waits = [Wait() for _ in range(5)]
    now = 0.0
    for what, which, seconds in events:
        wait = waits[which]
        if what == "begin" and wait.due == math.inf:
            begin(book, wait, now + seconds)
        elif what == "end":
            wait.due = math.inf
        elif what == "pass":
            now = min(now + seconds, max(now, book.next))
        elif what == "strike":
            now += seconds  # the clock may look late
        assert book.next <= min(wait.due for wait in waits)
        if book.next <= now:
            expected = {id(wait) for wait in waits if wait.due <= now}
            found = book.pop(now)
            assert {id(wait) for wait in found} == expected
            assert len(found) == len(expected)
            assert book.next > now
            for wait in found:
                wait.due = math.inf


def test_waits_that_follow_each_other_cost_one_entry() -> None:
    book: Deadlines[Wait] = Deadlines()
    wait = Wait()
    for second in range(1000):
        begin(book, wait, second + 30.0)
        wait.due = math.inf
        assert len(book._heap) == 1
        book.pop(float(second))


def test_a_wait_that_is_due_before_all_others_wakes_the_clock() -> None:
    book: Deadlines[Wait] = Deadlines()
    late, early, later = Wait(), Wait(), Wait()
    late.due, early.due, later.due = 10.0, 5.0, 20.0
    assert [book.watch(late), book.watch(early), book.watch(later)] == [True, True, False]
    assert book.next == 5.0


def test_what_is_gone_is_not_kept_alive_and_not_found() -> None:
    book: Deadlines[Wait] = Deadlines()
    wait = Wait()
    begin(book, wait, 5.0)
    del wait
    gc.collect()
    assert book.pop(6.0) == []


def test_short_waits_between_long_ones_do_not_pile_up() -> None:
    book: Deadlines[Wait] = Deadlines()
    waits = [Wait() for _ in range(10)]
    for round_ in range(300):
        for wait in waits:
            begin(book, wait, round_ + 600.0)
            wait.due = math.inf
            begin(book, wait, round_ + 0.5)
            wait.due = math.inf
        book.pop(round_ + 0.75)
        assert len(book._heap) <= 2 * MANY


# ---- waits that nearly all end before their time ----

CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["hold", "hold", "hold", "let go", "pass", "pass"]),
        st.integers(0, 5),
        st.sampled_from([-math.inf, -300.0, -0.3, 0.0, 0.001, 0.1, 0.24, 0.25, 0.26, 1.0, 7.3, 1e308, math.inf]),
    ),
    max_size=80,
)


@settings(deadline=None, max_examples=400)
@given(CHANGES)
def test_waits_end_in_their_time_and_in_order_and_no_others(
    changes: list[tuple[str, int, float]],
) -> None:
    book: Waits[int] = Waits()
    held: dict[int, float] = {}
    now = 100.0
    for what, which, seconds in changes:
        if what == "hold":
            book.hold(which, now + seconds)
            held.pop(which, None)
            if seconds < NEVER:
                held[which] = now + seconds
        elif what == "let go":
            book.let_go(which)
            held.pop(which, None)
        elif 0 <= seconds < NEVER:
            now += seconds
        assert book.next <= max(min(held.values(), default=math.inf), -NEVER)
        overdue = sorted(at for at in held.values() if at <= now)
        found = []
        while (wait := book.pop(now)) is not None:
            found.append(held.pop(wait))
        assert found == overdue
        assert book.next > now


def test_whoever_looks_when_told_to_looks_in_vain_at_most_once_for_a_bucket() -> None:
    book: Waits[int] = Waits()
    for wait in range(1000):
        book.hold(wait, 10.0 + wait / 10_000)
    looks, found = 0, 0
    while (now := book.next) < math.inf:
        looks += 1
        while book.pop(now) is not None:
            found += 1
    assert found == 1000
    assert looks <= 1001


def test_a_wait_that_has_ended_leaves_nothing_behind() -> None:
    book: Waits[int] = Waits()
    book.hold(-1, 60.0)
    gc.collect()
    gc.disable()
    try:
        before = gc.get_count()[0]
        for wait in range(5000):
            book.hold(wait, 60.0 + wait / 100_000)
            book.let_go(wait)
        assert gc.get_count()[0] - before < 50
    finally:
        gc.enable()
    assert book.next == 60.0
    assert book.pop(60.0) == -1
    assert book.next == math.inf


def test_buckets_whose_waits_have_ended_are_gone() -> None:
    book: Waits[int] = Waits()
    for wait in range(100_000):
        book.hold(wait, 3600 + wait * WIDTH)
        book.let_go(wait)
        book.next  # noqa: B018  # as the clock does, with each wait
    assert (len(book._at), len(book._buckets), len(book._begins), len(book._present)) == (0, 0, 0, 0)
    book.hold(-1, 5.0)
    for wait in range(1000):
        book.hold(wait, 3600 + wait * WIDTH)
        book.let_go(wait)
    assert len(book._begins) <= 2 + MANY


def test_short_waits_do_not_make_the_clock_look_again_and_again() -> None:
    book: Waits[int] = Waits()
    looks = 0
    for wait in range(1000):
        now = 100 + wait / 1000
        book.hold(wait, now + 0.1)
        while book.next <= now:
            looks += 1
            assert book.pop(now) is None
        book.let_go(wait)
    assert looks <= 2 * (1 / WIDTH + 1)
