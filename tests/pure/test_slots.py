"""The core of the pool: its laws under random histories, and its sharpest rules one by one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from trio_pool._core.decisions import State, Wake
from trio_pool._core.slots import MAX_OVERTAKES

from .slots_caller import FOREVER, Caller, told
from .slots_machine import SlotsMachine
from .slots_model import OVERTAKES

# From its eleventh history on Hypothesis varies each one half a dozen times before it thinks of another; so many
# short runs see more than a long one.
RUNS = 30
RUN = settings(
    max_examples=10,
    stateful_step_count=15,
    derandomize=False,
    deadline=None,
    print_blob=True,
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def test_the_laws_hold_after_every_event_of_any_history() -> None:
    for _ in range(RUNS):
        run_state_machine_as_test(SlotsMachine, settings=RUN)


def test_the_core_and_the_design_agree_on_how_often_one_may_be_overtaken() -> None:
    assert MAX_OVERTAKES == OVERTAKES == 8


# ---- reuse and eviction ----


def test_the_most_recently_used_connection_is_reused_first() -> None:
    caller = Caller()
    first, second = caller.lease("a"), caller.lease("a")
    caller.release(second)
    caller.release(first)
    assert caller.reuse("a") is first
    assert caller.reuse("a") is second
    assert caller.reuse("a") is None


def test_the_least_recently_used_connection_of_all_origins_is_evicted() -> None:
    caller = Caller(total=3)
    slots = [caller.lease(origin) for origin in "abc"]
    for which in (1, 0, 2):
        caller.release(slots[which])
    caller.wait("d")
    assert told(caller.seen)[-2:] == [("close", slots[1], "evicted"), ("dial", "d")]


def test_a_connection_that_died_idle_is_closed_and_the_next_one_is_taken() -> None:
    caller = Caller()
    lower, upper = caller.lease("a"), caller.lease("a")
    caller.release(lower)
    caller.release(upper)
    caller.dead.add(upper.connection)
    assert caller.reuse("a") is lower
    assert told(caller.seen)[-1] == ("close", upper, "dead")


def test_a_connection_that_dies_before_it_is_handed_on_gives_its_room_to_the_waiter() -> None:
    caller = Caller(total=1)
    slot = caller.lease("a")
    caller.wait("a")
    caller.dead.add(slot.connection)
    assert told(caller.release(slot)) == [("close", slot, "dead"), ("dial", "a")]


def test_a_connection_is_used_as_often_as_it_may_be_and_no_more() -> None:
    caller = Caller(uses=2)
    slot = caller.idle("a")
    assert caller.reuse("a") is slot
    assert told(caller.release(slot)) == [("close", slot, "max_requests")]


# ---- fairness ----


def test_reuse_overtakes_a_waiter_of_another_origin_eight_times_and_then_yields() -> None:
    caller = Caller(total=1)
    slot = caller.lease("a")
    rival = caller.wait("b")
    for _ in range(8):
        younger = caller.wait("a")
        assert told(caller.release(slot)) == [("grant", younger, slot)]
    last = caller.wait("a")
    assert told(caller.release(slot)) == [("close", slot, "yielded"), ("dial", "b")]
    assert told(caller.connect(caller.dials[-1]))[0][:2] == ("grant", rival)
    assert caller.core.cancel(last)


def test_an_older_waiter_overtakes_nobody() -> None:
    caller = Caller(total=1)
    slot = caller.lease("a")
    older = [caller.wait("a") for _ in range(20)]
    caller.wait("b")
    for waiter in older:
        assert told(caller.release(slot)) == [("grant", waiter, slot)]


def test_who_is_served_by_whichever_connection_is_ready_first_is_whoever_waits_first() -> None:
    caller = Caller()
    first, second = caller.wait("a"), caller.wait("a")
    slots = caller.dials
    assert told(caller.connect(slots[1])) == [("grant", first, slots[1])]
    assert told(caller.connect(slots[0])) == [("grant", second, slots[0])]


def test_a_connection_that_comes_back_serves_who_waits_for_a_dial_before_who_came_later() -> None:
    caller = Caller(total=2)
    slot = caller.lease("a")
    covered = caller.wait("a")
    caller.wait("a")
    assert told(caller.release(slot)) == [("grant", covered, slot)]


def test_an_origin_that_is_below_its_own_limit_again_dials_once_and_not_for_its_whole_line() -> None:
    caller = Caller(total=9, per_host=1)
    slot = caller.lease("a")
    first, second = caller.wait("a"), caller.wait("a")
    caller.core.release(slot, caller.now, "unusable")
    assert told(caller.carry_out()) == [("close", slot, "unusable"), ("dial", "a")]
    assert [caller.core.is_covered(waiter) for waiter in (first, second)] == [True, False]


def test_room_goes_to_the_oldest_waiter_of_all_origins_that_have_room() -> None:
    caller = Caller(total=2, per_host=1)
    slots = [caller.lease("a"), caller.lease("b")]
    caller.wait("a")  # the oldest, but its origin is full
    caller.wait("c")
    caller.wait("d")
    caller.core.release(slots[1], caller.now, "unusable")
    assert told(caller.carry_out()) == [("close", slots[1], "unusable"), ("dial", "c")]


# ---- the bound of the line ----


def test_the_newest_is_refused_at_once_by_a_full_line_and_nothing_else_happens() -> None:
    caller = Caller(total=1, waiting=1)
    caller.lease("a")
    caller.wait("b")
    before = len(caller.seen)
    assert caller.enqueue("c") is None
    assert len(caller.seen) == before
    figures = caller.core.statistics()
    assert (figures.refusals, figures.waiting, figures.requests) == (1, 1, 3)
    assert set(figures.origins) == {"a", "b"}


def test_without_a_line_a_newcomer_gets_the_room_of_its_dead_connection() -> None:
    caller = Caller(total=1, waiting=0)
    slot = caller.idle("a")
    caller.dead.add(slot.connection)
    caller.wait("a")
    assert told(caller.seen)[-2:] == [("close", slot, "dead"), ("dial", "a")]


def test_without_a_line_a_newcomer_gets_the_room_of_an_idle_connection_elsewhere() -> None:
    caller = Caller(total=1, waiting=0)
    slot = caller.idle("a")
    caller.wait("b")
    assert told(caller.seen)[-2:] == [("close", slot, "evicted"), ("dial", "b")]


def test_without_a_line_a_newcomer_takes_the_dial_of_one_who_went_away() -> None:
    caller = Caller(total=1, waiting=0)
    caller.cancel(caller.wait("a"))
    newcomer = caller.wait("a")
    (slot,) = caller.dials
    assert told(caller.connect(slot)) == [("grant", newcomer, slot)]


def test_a_waiter_whose_dial_is_under_way_does_not_count_as_waiting() -> None:
    caller = Caller(total=2, waiting=1)
    covered = [caller.wait("a"), caller.wait("b")]
    uncovered = caller.wait("c")
    assert caller.core.statistics().waiting == 1
    assert [caller.core.is_covered(w) for w in (*covered, uncovered)] == [True, True, False]
    assert caller.enqueue("c") is None


# ---- dials ----


def test_a_dial_whose_requester_went_away_is_pooled() -> None:
    caller = Caller()
    caller.cancel(caller.wait("a"))
    (slot,) = caller.dials
    assert caller.connect(slot) == []
    assert caller.reuse("a") is slot
    assert caller.core.statistics().reuses == 0


def test_nobody_dials_whom_a_dial_under_way_will_serve() -> None:
    caller = Caller()
    caller.cancel(caller.wait("a"))
    caller.wait("a")
    assert len(caller.dials) == 1
    caller.wait("a")
    assert len(caller.dials) == 2


def test_a_failed_dial_fails_the_newcomer_who_relied_on_it_when_its_requester_has_gone() -> None:
    caller = Caller(total=1)
    caller.cancel(caller.wait("a"))
    newcomer = caller.wait("a")
    assert told(caller.fail(caller.dials[0])) == [("refuse", newcomer, "dial failed")]


def test_a_failed_dial_fails_its_own_requester_and_not_the_oldest() -> None:
    caller = Caller()
    oldest, requester = caller.wait("a"), caller.wait("a")
    first, second = caller.dials
    assert told(caller.fail(second)) == [("refuse", requester, "dial failed")]
    assert told(caller.connect(first)) == [("grant", oldest, first)]


def test_a_failed_dial_fails_the_oldest_when_its_requester_was_served_by_another() -> None:
    caller = Caller()
    caller.wait("a")
    other = caller.wait("a")
    first, second = caller.dials
    caller.connect(second)
    assert told(caller.fail(first)) == [("refuse", other, "dial failed")]


def test_a_failed_dial_fails_nobody_whom_another_dial_covers() -> None:
    caller = Caller()
    caller.cancel(caller.wait("a"))
    waiter = caller.wait("a")
    caller.core.prewarm("a", 2)
    caller.carry_out()
    first, second = caller.dials
    assert caller.fail(first) == []
    assert told(caller.connect(second)) == [("grant", waiter, second)]


def test_a_failed_dial_frees_its_slot_for_another_origin() -> None:
    caller = Caller(total=1)
    requester = caller.wait("a")
    caller.wait("b")
    assert told(caller.fail(caller.dials[0])) == [("refuse", requester, "dial failed"), ("dial", "b")]


def test_a_cancelled_waiter_passes_its_dial_on() -> None:
    caller = Caller(total=1)
    first, second, third = (caller.wait("a") for _ in range(3))
    caller.cancel(first)
    assert caller.core.is_covered(second)
    assert not caller.core.is_covered(third)
    assert caller.core.statistics().waiting == 1


def test_prewarming_stops_at_the_limits_and_evicts_nobody() -> None:
    caller = Caller(total=4, per_host=3)
    idle = caller.idle("b")
    assert len(caller.core.prewarm("a", 9)) == 3
    assert caller.core.prewarm("c", 1) == []
    assert caller.core.prewarm("a", 2) == []
    assert told(caller.carry_out()) == [("dial", "a")] * 3
    assert idle.state is State.IDLE
    assert set(caller.core.statistics().origins) == {"a", "b"}


def test_what_is_prewarmed_serves_whoever_comes() -> None:
    caller = Caller(total=1)
    (slot,) = caller.core.prewarm("a", 1)
    waiter = caller.wait("a")
    assert len(caller.dials) == 1
    assert told(caller.connect(slot)) == [("grant", waiter, slot)]


# ---- a connection that proves stale ----


def test_a_redial_keeps_its_slot_and_overtakes_nobody() -> None:
    caller = Caller(total=1)
    slot = caller.idle("a")
    assert caller.reuse("a") is slot
    older, rival = caller.wait("a"), caller.wait("b")
    holder = caller.core.redial(slot, FOREVER, "ticket")
    assert holder is not None
    assert told(caller.carry_out()) == [("dial", "a")]
    assert told(caller.connect(slot)) == [("grant", holder, slot)]
    assert told(caller.release(slot)) == [("grant", older, slot)]
    assert told(caller.release(slot)) == [("close", slot, "evicted"), ("dial", "b")]
    assert caller.core.is_covered(rival)


def test_a_redial_serves_its_holder_alone() -> None:
    caller = Caller(total=1)
    slot = caller.lease("a")
    waiter = caller.wait("a")
    holder = caller.core.redial(slot, FOREVER, "ticket")
    caller.carry_out()
    assert caller.core.statistics().waiting == 1
    assert told(caller.fail(slot)) == [("refuse", holder, "dial failed"), ("dial", "a")]
    assert caller.core.is_covered(waiter)


def test_a_cancelled_redial_serves_the_next_in_line() -> None:
    caller = Caller(total=1)
    slot = caller.lease("a")
    waiter = caller.wait("a")
    holder = caller.core.redial(slot, FOREVER, "ticket")
    assert holder is not None
    caller.carry_out()
    assert caller.cancel(holder) == []
    assert caller.core.is_covered(waiter)
    assert told(caller.connect(slot)) == [("grant", waiter, slot)]


def test_a_redial_that_comes_too_late_serves_the_next_in_line() -> None:
    caller = Caller(total=1)
    slot = caller.lease("a")
    waiter = caller.wait("a")
    holder = caller.core.redial(slot, caller.now + 1, "ticket")
    caller.carry_out()
    caller.now += 1
    assert told(caller.connect(slot)) == [("refuse", holder, "deadline"), ("grant", waiter, slot)]


def test_a_redial_that_fails_leaves_nothing_to_look_after() -> None:
    caller = Caller(keepalive=30.0)
    slot = caller.idle("a")
    caller.reuse("a")
    caller.core.redial(slot, FOREVER, "ticket")
    caller.carry_out()
    caller.fail(slot)
    caller.now = caller.core.next_tick
    assert caller.core._expiry.pop(caller.now) == []


# ---- time ----


def test_nothing_is_granted_at_its_deadline() -> None:
    caller = Caller(total=1)
    slot = caller.lease("a")
    late, patient = caller.wait("a", caller.now + 1), caller.wait("a")
    caller.now += 1
    assert told(caller.release(slot)) == [("refuse", late, "deadline"), ("grant", patient, slot)]


def test_an_idle_connection_expires() -> None:
    caller = Caller(keepalive=30.0)
    slot = caller.idle("a")
    caller.now += 29.9
    assert caller.tick() == []
    caller.now += 0.1
    assert caller.reuse("a") is None
    assert told(caller.seen)[-1] == ("close", slot, "expired")


def test_a_hint_shorter_than_the_keepalive_counts_and_a_longer_one_does_not() -> None:
    caller = Caller(keepalive=30.0)
    brief, long = caller.lease("a"), caller.lease("a")
    caller.release(brief, hint=5.0)
    caller.release(long, hint=60.0)
    caller.now += 5.25
    assert told(caller.tick()) == [("close", brief, "expired")]
    caller.now += 25.0
    assert told(caller.tick()) == [("close", long, "expired")]


def test_what_the_server_does_not_keep_is_not_handed_on() -> None:
    caller = Caller(total=1, keepalive=30.0)
    slot = caller.lease("a")
    caller.wait("a")
    assert told(caller.release(slot, hint=0.0)) == [("close", slot, "expired"), ("dial", "a")]


def test_use_prolongs_the_time_of_a_connection_and_a_leased_one_is_never_closed() -> None:
    caller = Caller(keepalive=30.0)
    slot = caller.idle("a")
    caller.now += 20
    assert caller.reuse("a") is slot
    caller.now += 20
    assert caller.tick() == []
    caller.release(slot)
    caller.now += 29
    assert caller.tick() == []
    caller.now += 1.25
    assert told(caller.tick()) == [("close", slot, "expired")]


def test_a_connection_looked_at_before_its_time_is_looked_at_again() -> None:
    caller = Caller(keepalive=30.0)
    slot = caller.idle("a")
    caller.now += 10
    caller.reuse("a")
    caller.release(slot)
    caller.now += 20
    assert caller.tick() == []
    assert caller.core.next_tick == caller.now + 10
    caller.now += 10
    assert told(caller.tick()) == [("close", slot, "expired")]


def test_only_a_newcomer_whose_origin_is_full_itself_waits_beside_idle_connections_elsewhere() -> None:
    caller = Caller(per_host=1)
    caller.lease("a")
    idle = caller.idle("b")
    caller.wait("a")
    assert idle.state is State.IDLE
    assert caller.core.statistics().waiting == 1


@pytest.mark.parametrize(("chance", "lifetime"), [(0.0, 100.0), (0.5, 95.0)])
def test_a_lifetime_is_shortened_by_up_to_a_tenth(chance: float, lifetime: float) -> None:
    caller = Caller(lifetime=100.0)
    caller.wait("a")
    (slot,) = caller.dials
    caller.connect(slot, chance)
    caller.now += lifetime - 0.5
    assert caller.release(slot) == []
    assert caller.reuse("a") is slot
    caller.now += 0.5
    assert told(caller.release(slot)) == [("close", slot, "lifetime")]


def test_the_core_asks_to_be_called_when_the_first_connection_expires() -> None:
    caller = Caller(keepalive=30.0)
    first, second = caller.lease("a"), caller.lease("a")
    caller.core.release(first, caller.now)
    assert [d.at for d in caller.core.decisions if isinstance(d, Wake)] == [caller.now + 30]
    caller.carry_out()
    caller.now += 1
    caller.core.release(second, caller.now)
    assert not caller.core.decisions
    caller.now += 29
    caller.tick()
    assert caller.core.next_tick == caller.now + 1


# ---- misuse, the end, and the figures ----


def test_releasing_twice_raises_and_changes_nothing() -> None:
    caller = Caller()
    slot = caller.idle("a")
    before = caller.core.statistics()
    with pytest.raises(ValueError, match="the slot is idle, not leased"):
        caller.core.release(slot, caller.now)
    assert caller.core.statistics() == before
    assert not caller.core.decisions


def test_cancelling_one_who_was_served_changes_nothing() -> None:
    caller = Caller()
    waiter = caller.wait("a")
    caller.connect(caller.dials[0])
    before = caller.core.statistics()
    assert caller.core.cancel(waiter) is False
    assert caller.core.statistics() == before


def test_draining_closes_what_is_idle_and_serves_who_waits() -> None:
    caller = Caller(total=2)
    idle, leased = caller.lease("b"), caller.lease("a")
    caller.release(idle)
    caller.core.drain()
    assert told(caller.carry_out()) == [("close", idle, "closed")]
    assert told(caller.release(leased)) == [("close", leased, "closed")]
    caller.core.drain()
    assert caller.carry_out() == []


def test_a_drained_pool_still_serves_its_line() -> None:
    caller = Caller(total=1)
    slot = caller.lease("a")
    first, second = caller.wait("a"), caller.wait("b")
    caller.core.drain()
    assert told(caller.release(slot)) == [("grant", first, slot)]
    assert told(caller.release(slot)) == [("close", slot, "closed"), ("dial", "b")]
    assert caller.core.is_covered(second)


def test_shutting_closes_and_refuses_everything_once() -> None:
    caller = Caller(total=3, per_host=1)
    idle, leased = caller.idle("a"), caller.lease("b")
    covered, waiting = caller.wait("c"), caller.wait("b")
    caller.core.shut()
    assert told(caller.carry_out()) == [
        ("close", idle, "closed"),
        ("close", leased, "closed"),
        ("refuse", waiting, "closed"),
        ("refuse", covered, "closed"),
    ]
    caller.core.shut()
    assert caller.carry_out() == []


def test_a_shut_pool_ignores_the_holders_of_what_it_closed_and_closes_what_is_still_dialled() -> None:
    caller = Caller()
    slot = caller.lease("a")
    caller.wait("a")
    caller.core.shut()
    caller.carry_out()
    caller.core.release(slot, caller.now)
    assert caller.core.redial(slot, FOREVER, "ticket") is None
    last = caller.dials[-1]
    assert told(caller.connect(last)) == [("close", last, "closed")]
    figures = caller.core.statistics()
    assert (figures.leased, figures.idle, figures.dialling, figures.closing) == (0, 0, 0, 0)
    assert figures.opened == figures.closed == 2


def test_an_origin_with_nothing_left_is_forgotten() -> None:
    caller = Caller(total=1)
    slot = caller.lease("a")
    for number in range(100):
        caller.cancel(caller.wait(f"origin {number}"))
    assert set(caller.core.statistics().origins) == set(caller.core._queues) == {"a"}
    caller.core.release(slot, caller.now, "unusable")
    caller.carry_out()
    assert caller.core.statistics().origins == {}
    assert not caller.core._queues


def test_origins_that_come_and_go_behind_a_waiter_do_not_pile_up() -> None:
    caller = Caller(total=1)
    caller.lease("a")
    caller.wait("b")
    for number in range(1_000):
        caller.cancel(caller.wait(f"origin {number}"))
    assert set(caller.core.statistics().origins) == {"a", "b"}
    assert len(caller.core._queues) < 100
    assert len(caller.core._line) < 100


def test_the_crowd_is_told_in_words() -> None:
    caller = Caller(total=2)
    caller.lease("a")
    caller.wait("b")
    caller.wait("c")
    everywhere = "1 leased, 0 idle, 1 dialling, 1 waiting"
    assert caller.core.crowd("z") == everywhere
    here = "0 leased, 0 idle, 1 dialling, 0 waiting"
    assert caller.core.crowd("b") == f"{everywhere}; for this origin {here}"
