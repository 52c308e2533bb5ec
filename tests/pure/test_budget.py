"""The retry budget: a fifth of the requests and one a second, never below zero, never over its cap."""

from __future__ import annotations

from types import ModuleType

from hypothesis import given
from hypothesis import strategies as st

from trio_pool._core import budget as real
from trio_pool._core.budget import AT_FIRST, LARGEST, RetryBudget

STEPS = st.lists(
    st.sampled_from(["earn", "spend", "spend", "spend", "refund"]) | st.sampled_from([0.0, 0.1, 1.0, 7.5, 200.0]),
    max_size=120,
)


def check_history(module: ModuleType, steps: list[str | float]) -> None:
    """In any span, at most as many retries as were left at its start, a fifth of the requests, and the seconds."""
    budget: RetryBudget = module.RetryBudget(now=0.0)
    now, spent, earned = 0.0, 0, 0.0
    model = AT_FIRST
    for step in steps:
        if isinstance(step, float):
            now += step
            model, earned = min(model + step, LARGEST), earned + step
        elif step == "earn":
            budget.earn(now)
            model, earned = min(model + 0.2, LARGEST), earned + 0.2
        elif step == "spend" and budget.spend(now):
            spent, model = spent + 1, model - 1
        elif step == "refund" and spent:
            budget.refund()
            spent, model = spent - 1, min(model + 1, LARGEST)
        elif step == "spend":
            assert model < 1 + 1e-6, "refused although there was one left"
        assert 0 <= budget.left(now) <= LARGEST
        assert abs(budget.left(now) - model) < 1e-6
        assert spent <= AT_FIRST + earned + 1e-6


@given(STEPS)
def test_no_history_overdraws_it(steps: list[str | float]) -> None:
    check_history(real, steps)


def test_an_outage_of_an_hour_gets_no_more_than_its_due() -> None:
    budget = RetryBudget(now=0.0)
    sent = 0
    for tick in range(36_000):
        budget.earn(tick / 10)
        sent += budget.spend(tick / 10) + budget.spend(tick / 10)
    assert sent <= 10 + 0.2 * 36_000 + 3600
    assert sent >= 0.2 * 36_000 + 3599


def test_a_clock_that_stands_still_earns_nothing() -> None:
    budget = RetryBudget(now=5.0, at_first=0.0)
    assert not budget.spend(5.0)
    assert budget.left(4.0) == 0.0


def test_what_is_kept_has_a_cap() -> None:
    budget = RetryBudget(now=0.0)
    assert budget.left(1e6) == LARGEST
    budget.refund()
    assert budget.left(1e6) == LARGEST


@given(st.lists(st.integers(0, 30), max_size=20), st.floats(0, 50))
def test_what_is_earned_at_once_is_what_is_earned_one_by_one(counts: list[int], later: float) -> None:
    one, other = RetryBudget(now=0.0), RetryBudget(now=0.0)
    for number, count in enumerate(counts):
        for _ in range(count):
            one.earn(number)
    one.left(len(counts) + later)
    other.earn(len(counts) + later, sum(counts))
    assert abs(one.left(len(counts) + later) - other.left(len(counts) + later)) < 1e-6
