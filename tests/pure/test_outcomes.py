"""How an attempt ended: kinds, what they mean, and the fields that ask for a wait."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import errors
from trio_pool._core.dates import LONGEST_PAUSE
from trio_pool._core.outcomes import (
    MEANINGS,
    RETRYABLE,
    Health,
    Kind,
    Outcome,
    RetryRules,
    kind_of,
    read_should_retry,
    read_wait,
)
from trio_pool.providers import ANTHROPIC, DEEPSEEK, GOOGLE, OPENAI

NOW = 784111777.0  # the date that RFC 9110 has in its examples

BY_STATUS = {
    **dict.fromkeys([200, 204, 302, 304], Kind.SERVED),
    **dict.fromkeys([400, 403, 404, 409, 413, 422, 451], Kind.ANSWERED),
    **dict.fromkeys([401, 402], Kind.UNFIT),
    429: Kind.LIMITED,
    **dict.fromkeys([503, 529], Kind.OVERLOADED),
    **dict.fromkeys([408, 500, 501, 502, 504, 520, 524], Kind.FAILED),
}


@pytest.mark.parametrize(("status", "kind"), BY_STATUS.items())
def test_every_status_is_of_one_kind(status: int, kind: Kind) -> None:
    assert kind_of(Outcome(status=status), RetryRules()) is kind


@given(st.integers(100, 599), st.sampled_from([OPENAI, ANTHROPIC, GOOGLE, DEEPSEEK]))
def test_every_retryable_status_may_be_tried_anywhere(status: int, provider: object) -> None:
    meaning = MEANINGS[kind_of(Outcome(status=status), OPENAI.retry)]
    if status in OPENAI.retry.statuses:
        assert meaning.where == "anywhere"
    if status < 400:
        assert meaning.where == "nowhere"


def test_the_retryable_statuses_are_those_that_were_promised() -> None:
    assert frozenset({408, 429, 500, 502, 503, 504, 529}) == RETRYABLE


def test_a_provider_adds_to_them() -> None:
    assert kind_of(Outcome(status=409), OPENAI.retry) is Kind.CONTENDED
    assert kind_of(Outcome(status=409), GOOGLE.retry) is Kind.ANSWERED


BY_ERROR: list[tuple[errors.TrioPoolError, Kind]] = [
    (errors.ConnectError("x"), Kind.UNSENT),
    (errors.ConnectTimeout("x"), Kind.UNSENT),
    (errors.TLSError("x"), Kind.UNSENT),
    (errors.ProxyError("x"), Kind.UNSENT),
    (errors.AddressRefused("x"), Kind.REFUSED),
    (errors.CertificateRefused("x"), Kind.REFUSED),
    (errors.ReadError("x", may_have_been_processed=True), Kind.BROKEN),
    (errors.ReadError("x"), Kind.UNSENT),
    (errors.WriteError("x", may_have_been_processed=True), Kind.BROKEN),
    (errors.WriteError("x"), Kind.UNSENT),
    (errors.ReadTimeout("x", may_have_been_processed=True), Kind.BROKEN),
    (errors.RemoteProtocolError("x", may_have_been_processed=True), Kind.BROKEN),
    (errors.StreamIncomplete("x", may_have_been_processed=True), Kind.BROKEN),
    (errors.PoolFull("x"), Kind.OURS),
    (errors.PoolTimeout("x"), Kind.OURS),
    (errors.PoolClosed("x"), Kind.OURS),
    (errors.TotalTimeout("x"), Kind.OURS),
    (errors.LocalProtocolError("x"), Kind.OURS),
    (errors.UsageError("x"), Kind.OURS),
    (errors.DecodingError("x"), Kind.OURS),
    (errors.RateLimited("x"), Kind.OURS),
]


@pytest.mark.parametrize(("error", "kind"), BY_ERROR, ids=lambda value: type(value).__name__)
def test_every_error_is_of_one_kind(error: errors.TrioPoolError, kind: Kind) -> None:
    assert kind_of(Outcome(error=error), RetryRules()) is kind


def test_our_own_fullness_is_neither_retried_nor_held_against_anyone() -> None:
    assert (MEANINGS[Kind.OURS].where, MEANINGS[Kind.OURS].health) == ("nowhere", Health.UNKNOWN)


def test_every_kind_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Kind)


SPENT = [
    (OPENAI, 429, "insufficient_quota"),
    (OPENAI, 429, "credit_balance_exhausted"),
    (OPENAI, 429, "project_spend_limit_exceeded"),
    (ANTHROPIC, 400, "billing_error"),
    (GOOGLE, 429, "per-day"),
]


@pytest.mark.parametrize(("provider", "status", "code"), SPENT, ids=lambda value: getattr(value, "name", str(value)))
def test_a_spent_quota_is_told_from_a_rate_limit(provider: object, status: int, code: str) -> None:
    rules = provider.retry  # type: ignore[attr-defined]  # a provider
    assert kind_of(Outcome(status=status, codes={code}), rules) is Kind.SPENT
    assert kind_of(Outcome(status=429, codes={"rate_limit_exceeded"}), rules) is Kind.LIMITED
    assert MEANINGS[Kind.SPENT].where == "elsewhere"


def test_an_overload_is_told_by_its_code_whatever_the_status() -> None:
    assert kind_of(Outcome(status=429, codes={"overloaded_error"}), ANTHROPIC.retry) is Kind.OVERLOADED
    assert kind_of(Outcome(status=200, codes={"overloaded_error"}), ANTHROPIC.retry) is Kind.OVERLOADED
    assert kind_of(Outcome(status=500, codes={"slow_down"}), OPENAI.retry) is Kind.OVERLOADED


WAITS: list[tuple[dict[str, str], float | None]] = [
    ({}, None),
    ({"retry-after": "7"}, 7.0),
    ({"retry-after": " 1.5 "}, 1.5),
    ({"retry-after": "0"}, 0.0),
    ({"retry-after": "Sun, 06 Nov 1994 08:50:37 GMT"}, 60.0),
    ({"retry-after": "Sunday, 06-Nov-94 08:50:37 GMT"}, 60.0),
    ({"retry-after": "Sun Nov  6 08:50:37 1994"}, 60.0),
    ({"retry-after": "Sun, 06 Nov 1994 08:49:36 GMT"}, 0.0),
    ({"retry-after": "-5"}, None),
    ({"retry-after": "soon"}, None),
    ({"retry-after": "nan"}, None),
    ({"retry-after": "inf"}, None),
    ({"retry-after": "1, 2"}, None),
    ({"retry-after": "9" * 400}, LONGEST_PAUSE),
    ({"retry-after-ms": "250"}, 0.25),
    ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
    ({"retry-after-ms": "-1", "retry-after": "9"}, 9.0),
]


@pytest.mark.parametrize(("headers", "seconds"), WAITS, ids=str)
def test_a_wait_is_read_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert read_wait(headers, NOW) == seconds


@given(st.text(), st.text())
def test_no_field_whatever_makes_a_wait_negative_or_endless(one: str, other: str) -> None:
    wait = read_wait({"retry-after": one, "retry-after-ms": other}, NOW)
    assert wait is None or (0 <= wait <= LONGEST_PAUSE and math.isfinite(wait))


def test_what_the_server_says_of_trying_again_is_read() -> None:
    says = {"true": True, "FALSE": False, " false ": False, "maybe": None, "": None}
    assert {text: read_should_retry({"x-should-retry": text}) for text in says} == says
    assert read_should_retry({}) is None
