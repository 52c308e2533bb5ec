"""Random days in the life of a pool. See `simulation.py`."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trio_pool import PoolConfig

from .network import Dialling
from .simulation import DAYS, DEPARTURES, Call, Day, Departure, leave, live

SETTINGS = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@SETTINGS
@given(day=DAYS)
def test_whatever_a_day_brings_the_invariants_hold_and_all_ends_well(day: Day) -> None:
    live(day)


@SETTINGS
@given(day=DAYS, departure=DEPARTURES)
def test_a_pool_can_be_left_at_any_moment_of_any_day(day: Day, departure: Departure) -> None:
    leave(day, departure)


def a_day(seed: int) -> Day:
    """A long day without ties in time: those trio orders by where things lie in memory."""
    calls = [
        Call(
            at=number * 0.0371,
            origin=number % 3,
            doing=("read", "iterate", "leave", "read")[number % 4],
            service=0.01 + number * 0.0013,
            body=number * 100,
            drip=0.0,
            mood=("keep", "keep", "cut", "say close", "vanish if reused")[number % 5],
            upload=[100, 200] if number % 7 == 0 else None,
            give_up=0.05 + number * 0.00117 if number % 6 == 0 else None,
            total=None,
        )
        for number in range(100)
    ]
    return Day(
        seed=seed,
        config=PoolConfig(max_connections=4, max_connections_per_host=3, acquire_timeout=1.7, max_waiting=30),
        secure=False,
        shreds=True,
        capacity=65536,
        patience=1e9,
        addresses=1,
        dials=[Dialling(0.0101 + number * 0.00717) for number in range(30)],
        resolving=[],
        hint=None,
        prewarm=0,
        calls=calls,
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_same_seed_gives_the_same_history(seed: int) -> None:
    first, second = live(a_day(seed)), live(a_day(seed))
    assert first.history == second.history
    assert first.outcomes == second.outcomes
    assert first.steps == second.steps


def test_another_seed_gives_another_history() -> None:
    assert len({live(a_day(seed)).history for seed in range(5)}) == 5


def test_a_busy_day_has_all_kinds_of_outcomes() -> None:
    """The test of the test: a day without faults, refusals and cancellations would prove little."""
    outcomes = live(a_day(0)).outcomes
    assert outcomes["answered"] > 30
    assert {"given up", "RemoteProtocolError"} <= set(outcomes)
    crowded = attrs.evolve(a_day(0), config=PoolConfig(max_connections=1, max_waiting=3, acquire_timeout=0.2))
    assert {"PoolFull", "PoolTimeout"} <= set(live(crowded).outcomes)


@settings(SETTINGS, max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_no_shuffle_of_a_busy_day_breaks_anything(seed: int) -> None:
    live(a_day(seed))
