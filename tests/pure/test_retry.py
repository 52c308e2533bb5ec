"""Whether a request is tried again, and when."""

from __future__ import annotations

import itertools
import math
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import errors
from trio_pool._core import retry as real
from trio_pool._core.budget import RetryBudget
from trio_pool._core.outcomes import Kind, Outcome, RetryRules
from trio_pool._core.retry import Again, Course, Repeatable, Stop, backoff
from trio_pool.strategy import RetryStrategy

RULES = RetryRules(statuses=frozenset({409, 429, 500, 503}), quota_codes=frozenset({"insufficient_quota"}))
CUT = errors.ReadError("x", may_have_been_processed=True)
UNSENT = errors.ConnectError("x")


def course(method: str = "POST", *, module: Any = real, **options: Any) -> Course:
    request = module.Repeatable(
        method=method, has_body_again=options.pop("again", True), is_allowed=options.pop("allowed", False)
    )
    given = {
        "strategy": RetryStrategy.EXPONENTIAL_BACKOFF,
        "most": 3,
        "budget": RetryBudget(now=0.0),
        "request": request,
        **options,
    }
    made: Course = module.Course(**given)
    made.begin(0.0)
    return made


def judge(one: Course, *, now: float = 0.0, chance: float = 0.5, other: bool = False, **outcome: Any) -> Any:
    return one.judge(Outcome(**outcome), RULES, now=now, chance=chance, has_other=other)


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "an answer": ({}, {"status": 200}, "nothing to retry"),
    "a client's error": ({}, {"status": 400}, "nothing to retry"),
    "a status worth another try": ({}, {"status": 503}, "again"),
    "a POST that was not sent": ({}, {"error": UNSENT}, "again"),
    "a POST that may have been processed": ({}, {"error": CUT}, "may have been processed"),
    "a GET that may have been processed": ({"method": "GET"}, {"error": CUT}, "again"),
    "a POST with an idempotency key": ({"allowed": True}, {"error": CUT}, "again"),
    "a body that can be made once": ({"again": False}, {"status": 503}, "the body cannot be sent again"),
    "a body that was not begun": ({"again": False}, {"error": UNSENT}, "again"),
    "our own fullness": ({}, {"error": errors.PoolFull("x")}, "nothing to retry"),
    "our own wait": ({"method": "GET"}, {"error": errors.PoolTimeout("x")}, "nothing to retry"),
    "the server says no": ({}, {"status": 503, "should_retry": False}, "the server said not to"),
    "the server says yes": ({}, {"status": 400, "should_retry": True}, "again"),
    "a spent quota": ({}, {"status": 429, "codes": {"insufficient_quota"}}, "quota spent"),
    "a spent quota, elsewhere": ({}, {"status": 429, "codes": {"insufficient_quota"}, "other": True}, "elsewhere"),
    "a bad key": ({}, {"status": 401}, "no other upstream"),
    "a bad key, elsewhere": ({}, {"status": 401, "other": True}, "elsewhere"),
    "a wait over the ceiling": ({}, {"status": 429, "wait": 61.0}, "asked to wait too long"),
    "a wait at the ceiling": ({}, {"status": 429, "wait": 60.0}, "again"),
    "a wait over the ceiling, elsewhere": ({}, {"status": 429, "wait": 3600.0, "other": True}, "elsewhere"),
    "a wait past the deadline": ({"deadline": 5.0}, {"status": 429, "wait": 5.0}, "asked to wait too long"),
    "a backoff past the deadline": ({"deadline": 0.2}, {"status": 503}, "past the deadline"),
    "past the deadline, elsewhere": (
        {"deadline": 0.2},
        {"status": 503, "other": True, "now": 0.2},
        "past the deadline",
    ),
    "the last try": ({"most": 1}, {"status": 503}, "no tries left"),
    "an empty budget": ({"budget": RetryBudget(now=0.0, at_first=0.0)}, {"status": 503}, "budget spent"),
}


def check_cases(module: ModuleType) -> None:
    for name, (options, outcome, expected) in CASES.items():
        said = judge(course(module=module, **options), **outcome)
        actual = said.reason if hasattr(said, "reason") else "elsewhere" if said.elsewhere else "again"
        assert actual == expected, name


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_judged(name: str) -> None:
    options, outcome, expected = CASES[name]
    said = judge(course(**options), **outcome)
    actual = said.reason if isinstance(said, Stop) else "elsewhere" if said.elsewhere else "again"
    assert actual == expected


def check_waits(module: ModuleType) -> None:
    one = course(module=module, most=99)
    waits = []
    for now in range(7):
        said = judge(one, now=float(now), status=503, chance=0.5)
        waits.append(said.at - now)
        one.begin(float(now))
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert judge(course(module=module), status=429, wait=30.0, chance=0.5).at == 30.25
    assert judge(course(module=module), status=429, wait=30.0, chance=0.5, other=True).at == 0.0


def test_waits_double_up_to_eight_seconds_and_a_retry_elsewhere_has_none() -> None:
    check_waits(real)


@given(st.sampled_from(RetryStrategy), st.integers(1, 10_000), st.floats(0, 1, exclude_max=True))
def test_chance_takes_any_part_of_a_wait(strategy: RetryStrategy, tries: int, chance: float) -> None:
    longest = {
        RetryStrategy.EXPONENTIAL_BACKOFF: min(0.5 * 2.0 ** min(tries - 1, 50), 8.0),
        RetryStrategy.LINEAR: min(0.5 * tries, 8.0),
        RetryStrategy.IMMEDIATE: 0.0,
    }[strategy]
    assert backoff(strategy, tries, chance) == pytest.approx(chance * longest)


@pytest.mark.parametrize("strategy", RetryStrategy)
def test_nobody_comes_back_at_the_very_time_that_all_were_told(strategy: RetryStrategy) -> None:
    times = {judge(course(strategy=strategy), status=429, wait=5.0, chance=n / 50).at for n in range(50)}
    assert len(times) == 50
    assert min(times) >= 5.0


def check_budget(module: ModuleType) -> None:
    budget = RetryBudget(now=0.0)
    one = course(module=module, budget=budget)
    judge(one, status=503)
    assert budget.left(0.0) == 9
    one.close()
    one.close()
    assert budget.left(0.0) == 10, "a retry that was never begun was not given back once"
    judge(one, status=503)
    assert one.begin(0.0)
    one.close()
    assert budget.left(0.0) == 9, "a retry that was sent was given back"
    judge(course(module=module, budget=budget), error=CUT)
    assert budget.left(0.0) == 9, "a refused retry cost something"


def test_a_retry_that_is_not_sent_goes_back_to_the_budget() -> None:
    check_budget(real)


def test_a_hedge_takes_from_the_budget_and_from_the_tries() -> None:
    budget = RetryBudget(now=0.0)
    one = course("GET", budget=budget, most=2)
    assert one.hedge(0.0)
    assert one.begin(0.0)
    assert not one.hedge(0.0)
    assert budget.left(0.0) == 9


@pytest.mark.parametrize(
    "options", [{}, {"method": "GET", "again": False}, {"method": "GET", "deadline": 0.5}], ids=str
)
def test_what_is_not_safe_to_send_twice_is_not_hedged(options: dict[str, Any]) -> None:
    assert not course(**options).hedge(1.0)


def test_nothing_begins_at_the_deadline() -> None:
    one = course(deadline=1.0)
    assert one.begin(0.999)
    assert not one.begin(1.0)
    assert one.tries == 2


OUTCOMES = st.builds(
    Outcome,
    status=st.sampled_from([200, 400, 401, 429, 500, 503]),
    error=st.sampled_from([None, None, CUT, UNSENT, errors.PoolFull("x")]),
    wait=st.sampled_from([None, 0.0, 3.0, 61.0]),
    should_retry=st.sampled_from([None, None, True, False]),
)


@given(
    st.lists(st.tuples(OUTCOMES, st.booleans(), st.floats(0, 1, exclude_max=True)), max_size=12),
    st.sampled_from([1.0, 20.0, math.inf]),
    st.integers(1, 5),
    st.booleans(),
)
def test_every_course_keeps_the_laws(
    steps: list[tuple[Outcome, bool, float]], deadline: float, most: int, is_safe: bool
) -> None:
    budget = RetryBudget(now=0.0, at_first=3.0, per_second=0.0)
    request = Repeatable(method="GET" if is_safe else "POST")
    strategy = RetryStrategy.EXPONENTIAL_BACKOFF
    one = Course(strategy=strategy, most=most, budget=budget, request=request, deadline=deadline)
    now, begun = 0.0, 0
    for outcome, has_other, chance in steps:
        if not one.begin(now):
            assert now >= deadline
            break
        begun += 1
        said = one.judge(outcome, RULES, now=now, chance=chance, has_other=has_other)
        if isinstance(said, Stop):
            break
        assert is_safe or not outcome.may_have_been_processed
        assert said.at < deadline
        assert said.kind not in (Kind.OURS,) or outcome.should_retry
        assert said.elsewhere == has_other
        assert has_other or said.at >= now + (outcome.wait or 0.0)
        assert has_other or (outcome.wait or 0.0) <= 60
        now = said.at
    one.close()
    assert begun <= most
    assert budget.left(0.0) == 3.0 - max(begun - 1, 0)


def test_tries_are_counted_over_all_upstreams() -> None:
    one = course(most=3)
    answers = [judge(one, status=503, other=other) for other in (True, False) if one.begin(0.0)]
    assert [type(answer) for answer in answers] == [Again, Stop]
    assert list(itertools.islice((one.tries for _ in answers), 1)) == [3]


def test_an_attempt_that_was_not_sent_after_all_costs_neither_a_try_nor_the_budget() -> None:
    budget = RetryBudget(now=0.0)
    one = course(budget=budget)
    for _ in range(50):
        assert isinstance(judge(one, status=503), Again)
        assert one.begin(0.0)
        one.withdraw()
    assert one.tries == 1
    one.close()
    assert budget.left(0.0) == 10.0
    assert one.begin(0.0)
    one.withdraw()
    one.close()
    assert budget.left(0.0) == 10.0


@pytest.mark.parametrize("status", [501, 505, 520, 599])
def test_a_failure_that_no_list_has_is_not_tried_again(status: int) -> None:
    assert judge(course(), status=status, other=True) == Stop("nothing to retry", Kind.FAILED)
    assert isinstance(judge(course(), status=status, should_retry=True), Again)
