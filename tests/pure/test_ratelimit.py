"""The provider's limits: what the buckets let through, and what the header fields correct."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trio_pool._core import ratelimit as real
from trio_pool._core.dates import LONGEST_PAUSE
from trio_pool._core.ratelimit import RateLimiter, read_limit
from trio_pool.providers import ANTHROPIC, OPENAI

WHICH = st.integers(0, 30)
TOKENS = st.sampled_from([0.0, 10.0, 300.0, 5000.0])


def openai(**fields: object) -> dict[str, str]:
    """Fields as OpenAI sends them: `limit_requests=60` and so on."""
    return {f"x-ratelimit-{name.replace('_', '-')}": str(value) for name, value in fields.items()}


def machine_for(module: ModuleType) -> type[RuleBasedStateMachine]:
    """The state machine over a module like `ratelimit`: a limiter, and beside it plain books of what it did."""

    class LimiterMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.limiter: RateLimiter = module.RateLimiter(requests_per_minute=6, tokens_per_minute=600)
            self.now = 0.0
            self.open: list[Any] = []
            self.levels = [6.0, 600.0]
            self.unanswered: dict[Any, float] = {}

        def change(self, requests: float, tokens: float) -> None:
            self.levels = [min(self.levels[0] + requests, 6.0), min(self.levels[1] + tokens, 600.0)]

        @rule(seconds=st.sampled_from([0.0, 0.5, 10.0, 61.0]))
        def wait(self, seconds: float) -> None:
            self.now += seconds
            self.change(seconds * 6 / 60, seconds * 600 / 60)

        @rule(tokens=TOKENS)
        def charge(self, tokens: float) -> None:
            is_ready = self.limiter.ready_at(tokens, self.now) <= self.now
            assert is_ready == (self.levels[0] >= 1 - 0.01 and self.levels[1] >= min(tokens, 600) - 0.01)
            if is_ready:
                charge = self.limiter.charge(tokens, self.now)
                self.open.append(charge)
                self.unanswered[charge] = tokens
                self.change(-1, -tokens)

        @rule(tokens=TOKENS)
        def wait_until_ready(self, tokens: float) -> None:
            at = self.limiter.ready_at(tokens, self.now)
            self.wait(at - self.now)
            assert self.limiter.ready_at(tokens, self.now) <= self.now

        @rule(which=WHICH)
        def cancel(self, which: int) -> None:
            if self.open:
                charge = self.open.pop(which % len(self.open))
                self.limiter.cancel(charge, self.now)
                if charge in self.unanswered:
                    self.change(1, self.unanswered.pop(charge))
                self.limiter.cancel(charge, self.now)

        @rule(which=WHICH, used=TOKENS | st.none())
        def settle(self, which: int, used: float | None) -> None:
            if self.open:
                charge = self.open.pop(which % len(self.open))
                self.limiter.settle(charge, used, self.now)
                self.unanswered.pop(charge, None)
                self.change(0, 0.0 if used is None else charge.tokens - used)
                self.limiter.settle(charge, 0, self.now)

        @rule(which=WHICH)
        def answer(self, which: int) -> None:
            if self.open:
                charge = self.open[which % len(self.open)]
                self.limiter.answered(charge, {}, self.now, 0.0)
                self.unanswered.pop(charge, None)

        @invariant()
        def books_are_right(self) -> None:
            for bucket, level in zip((self.limiter.requests, self.limiter.tokens), self.levels, strict=True):
                bucket.refill(self.now)
                assert bucket.level == pytest.approx(level, abs=0.01)
                assert bucket.level <= bucket.capacity
            assert self.limiter._unanswered == len(self.unanswered)
            assert self.limiter._unanswered_tokens == pytest.approx(sum(self.unanswered.values()))

    return LimiterMachine


TestLimiter = machine_for(real).TestCase


def check_headers(module: ModuleType) -> None:
    """What the header fields do to a limiter, step by step."""
    limiter: RateLimiter = module.RateLimiter(headers=OPENAI.limits)
    early = limiter.charge(100, 0.0)
    charges = [limiter.charge(100, 0.0) for _ in range(4)]
    limiter.answered(charges[1], openai(limit_requests=60, remaining_requests=40), 1.0, 0.0)
    assert (limiter.requests.capacity, limiter.requests.level) == (60, 36)  # four are still on their way
    limiter.answered(charges[0], openai(limit_requests=60, remaining_requests=50), 1.0, 0.0)
    assert limiter.requests.level == 36  # an older answer knows less
    limiter.answered(charges[2], openai(limit_requests=60, remaining_requests=30), 1.0, 0.0)
    assert limiter.requests.level == 28
    limiter.answered(charges[3], openai(limit_requests=60, remaining_requests=39), 1.0, 0.0)
    assert limiter.requests.level == 38  # the latest is believed
    limiter.answered(early, openai(limit_requests=60, remaining_requests=20), 1.0, 0.0)
    assert limiter.requests.level == 20  # and less is believed of anybody
    assert not limiter.tokens.is_known
    assert limiter.requests.rate == 1.0


def test_the_providers_fields_correct_the_level() -> None:
    check_headers(real)


def test_the_users_own_limit_is_never_raised_by_the_provider() -> None:
    limiter = RateLimiter(requests_per_minute=10, headers=OPENAI.limits)
    charges = [limiter.charge(1, 0.0) for _ in range(4)]
    limiter.answered(charges[3], openai(limit_requests=1000, remaining_requests=999), 0.0, 0.0)
    assert (limiter.requests.capacity, limiter.requests.level) == (10, 6)
    limiter.answered(charges[2], openai(limit_requests=1000, remaining_requests=4), 0.0, 0.0)
    assert limiter.requests.level == 2


def test_a_limit_for_a_day_is_told_by_its_reset() -> None:
    limiter = RateLimiter(headers=OPENAI.limits)
    fields = openai(limit_requests=10_000, remaining_requests=9_900, reset_requests="14m24s")
    limiter.answered(limiter.charge(1, 0.0), fields, 0.0, 0.0)
    assert limiter.requests.rate == pytest.approx(10_000 / 86_400)


def test_a_reset_that_is_only_rounded_up_is_a_minutes_limit() -> None:
    limiter = RateLimiter(headers=OPENAI.limits)
    fields = openai(limit_requests=4000, remaining_requests=3999, reset_requests="1s")
    limiter.answered(limiter.charge(1, 0.0), fields, 0.0, 0.0)
    assert limiter.requests.rate == pytest.approx(4000 / 60)


def test_anthropics_fields_are_read_with_their_times() -> None:
    assert ANTHROPIC.limits is not None
    fields = {
        "anthropic-ratelimit-tokens-limit": "80000",
        "anthropic-ratelimit-tokens-remaining": "60000",
        "anthropic-ratelimit-tokens-reset": "2026-01-27T12:00:30Z",
    }
    reading = read_limit(fields, ANTHROPIC.limits.tokens, ANTHROPIC.limits.reset, 1769515200.0)
    assert reading is not None
    assert (reading.limit, reading.remaining, reading.reset) == (80000, 60000, 30.0)


NO_LIMITS: list[dict[str, str]] = [
    {},
    openai(limit_requests=-1, remaining_requests=-1),
    openai(limit_requests=0, remaining_requests=0),
    openai(limit_requests=60, remaining_requests=-1),
    openai(limit_requests="60, 60", remaining_requests=1),
    openai(limit_requests="nan", remaining_requests="inf"),
    openai(remaining_requests=5),
    openai(limit_requests="9" * 400, remaining_requests=5),
]


@pytest.mark.parametrize("fields", NO_LIMITS, ids=str)
def test_what_is_no_limit_changes_nothing(fields: Mapping[str, str]) -> None:
    limiter = RateLimiter(headers=OPENAI.limits)
    limiter.answered(limiter.charge(1, 0.0), fields, 0.0, 0.0)
    assert not limiter.requests.is_known


@given(
    st.dictionaries(st.sampled_from(list(openai(limit_requests=0, remaining_requests=0, reset_requests=0))), st.text())
)
def test_no_field_whatever_makes_it_raise(fields: dict[str, str]) -> None:
    limiter = RateLimiter(headers=OPENAI.limits)
    limiter.answered(limiter.charge(1, 0.0), fields, 0.0, 0.0)
    assert limiter.ready_at(1, 100.0) >= 100.0


ODD = ["", "0", "-1", "nan", "inf", "9" * 400, "9" * 30 + "s", "6m0s", "0s", "1e9", "60", "59", "0.5", "1, 2"]


@given(
    st.dictionaries(
        st.sampled_from(list(openai(limit_requests=0, remaining_requests=0, reset_requests=0))), st.sampled_from(ODD)
    )
)
def test_no_odd_number_makes_it_raise_or_wait_for_longer_than_a_day(fields: dict[str, str]) -> None:
    limiter = RateLimiter(headers=OPENAI.limits)
    limiter.answered(limiter.charge(1, 0.0), fields, 0.0, 0.0)
    assert 0.0 <= limiter.ready_at(1, 0.0) <= LONGEST_PAUSE


def test_a_reset_in_some_thousand_years_locks_nobody_out() -> None:
    limiter = RateLimiter(headers=ANTHROPIC.limits)
    names = ("limit", "60"), ("remaining", "0"), ("reset", "9999-01-01T00:00:00Z")
    fields = {f"anthropic-ratelimit-requests-{name}": value for name, value in names}
    limiter.answered(limiter.charge(1, 0.0), fields, 0.0, 1769515200.0)
    assert limiter.ready_at(1, 0.0) == pytest.approx(LONGEST_PAUSE / 60)


def test_a_request_larger_than_the_bucket_goes_when_it_is_full_and_leaves_a_debt() -> None:
    limiter = RateLimiter(tokens_per_minute=60)
    assert limiter.ready_at(90, 0.0) == 0.0
    limiter.charge(90, 0.0)
    assert limiter.ready_at(0, 0.0) == pytest.approx(30.0)


def test_without_limits_everything_is_ready_at_once() -> None:
    limiter = RateLimiter()
    for _ in range(1000):
        assert limiter.ready_at(1e9, 0.0) == 0.0
        limiter.charge(1e9, 0.0)
    assert limiter.requests.level == math.inf


def test_usage_that_was_more_than_the_estimate_is_paid_for_afterwards() -> None:
    limiter = RateLimiter(tokens_per_minute=600)
    charge = limiter.charge(100, 0.0)
    limiter.settle(charge, 900, 0.0)
    assert limiter.ready_at(100, 0.0) == pytest.approx(40.0)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.2, 1.0, 30.0]), TOKENS), max_size=80))
def test_in_no_span_of_time_more_goes_than_the_limit_allows(arrivals: list[tuple[float, float]]) -> None:
    limiter = RateLimiter(requests_per_minute=30, tokens_per_minute=1200)
    now, sent = 0.0, list[tuple[float, float]]()
    for gap, tokens in arrivals:
        now = max(now + gap, limiter.ready_at(tokens, now + gap))
        limiter.charge(tokens, now)
        sent.append((now, tokens))
    for index, (start, _) in enumerate(sent):
        for end in range(index, len(sent)):
            span = sent[end][0] - start
            assert end + 1 - index <= 30 + span / 2 + 1
            before_the_last = sum(tokens for _, tokens in sent[index:end])
            assert before_the_last <= 1200 + span * 20 + 5000
