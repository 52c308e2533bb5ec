"""The alarm clock's book of deadlines: nobody's is missed, nobody is struck early, and it stays small."""

from __future__ import annotations

import gc
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool._core.deadlines import MANY, Deadlines


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
