"""Every field of the configuration: its default, what it refuses, and what a request inherits from it."""

from __future__ import annotations

import copy
import math
import pickle
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool import PoolConfig, RetryStrategy, Timeouts, TrioPoolError, UsageError
from trio_pool.config import Limits

DEFAULTS: dict[str, Any] = {
    "max_connections": 100,
    "max_connections_per_host": 20,
    "keepalive_timeout": 30.0,
    "connection_timeout": 5.0,
    "read_timeout": 30.0,
    "retry_attempts": 3,
    "retry_strategy": RetryStrategy.EXPONENTIAL_BACKOFF,
    "acquire_timeout": 10.0,
    "write_timeout": 30.0,
    "first_byte_timeout": None,
    "total_timeout": math.inf,
    "max_waiting": 1000,
    "max_lifetime": 1800.0,
    "max_requests_per_connection": math.inf,
    "expect_timeout": 1.0,
    "max_head_size": 65536,
    "max_header_count": 128,
    "max_chunk_line": 4096,
    "max_decoded_size": 268_435_456,
    "codec": "fast",
}
COUNTS = [name for name in DEFAULTS if name.startswith(("max_", "retry_a")) and name != "max_lifetime"]
SECONDS = [name for name in DEFAULTS if name not in [*COUNTS, "codec", "retry_strategy"]]
OTHERS = [("codec", "h11"), ("retry_strategy", RetryStrategy.LINEAR)]
OF_A_REQUEST = ["acquire", "connection", "write", "first_byte", "read", "total"]

NO_NUMBERS: list[Any] = [math.nan, "5", b"5", True, False, [5], Decimal(5), 1j, object]
NO_SECONDS = [*NO_NUMBERS, 0, 0.0, -0.0, -1, -0.001, -math.inf]
NO_COUNTS = [*NO_NUMBERS, -1, 0.5, 5.0, -math.inf]


def values(config: PoolConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in DEFAULTS}


def test_the_defaults_are_those_that_were_promised() -> None:
    assert values(PoolConfig()) == DEFAULTS
    assert [field.name for field in attrs.fields(PoolConfig) if field.init] == list(DEFAULTS)


def test_a_request_has_no_timeouts_of_its_own_by_default() -> None:
    assert attrs.asdict(Timeouts()) == dict.fromkeys(OF_A_REQUEST)


def seconds_of(limits: Limits) -> dict[str, float]:
    return {name: getattr(limits, name) for name in OF_A_REQUEST}


def configured_with(name: str, value: Any) -> PoolConfig:
    given: dict[str, Any] = {name: value}
    return PoolConfig(**given)


@pytest.mark.parametrize("name", [*COUNTS, *SECONDS])
def test_none_and_infinity_are_no_limit(name: str) -> None:
    expected = None if name == "first_byte_timeout" else math.inf
    assert getattr(configured_with(name, None), name) == expected
    assert getattr(configured_with(name, math.inf), name) == math.inf


@pytest.mark.parametrize(("name", "value"), [*OTHERS, *((name, 7) for name in [*COUNTS, *SECONDS])])
def test_a_field_changes_itself_alone(name: str, value: Any) -> None:
    assert values(configured_with(name, value)) == {**DEFAULTS, name: value}


def refused(kind: type, name: str, value: object) -> str:
    with pytest.raises(UsageError) as caught:
        kind(**{name: value})
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


@pytest.mark.parametrize("value", NO_SECONDS, ids=repr)
@pytest.mark.parametrize("name", SECONDS)
def test_nonsensical_seconds_are_refused_by_name(name: str, value: object) -> None:
    message = refused(PoolConfig, name, value)
    assert f"PoolConfig.{name} " in message
    assert repr(value) in message


@pytest.mark.parametrize("value", NO_SECONDS, ids=repr)
@pytest.mark.parametrize("name", OF_A_REQUEST)
def test_nonsensical_seconds_of_a_request_are_refused_by_name(name: str, value: object) -> None:
    message = refused(Timeouts, name, value)
    assert f"Timeouts.{name} " in message
    assert repr(value) in message


@pytest.mark.parametrize("value", NO_COUNTS, ids=repr)
@pytest.mark.parametrize("name", COUNTS)
def test_nonsensical_counts_are_refused_by_name(name: str, value: object) -> None:
    message = refused(PoolConfig, name, value)
    assert f"PoolConfig.{name} " in message
    assert repr(value) in message


@pytest.mark.parametrize("name", [name for name in COUNTS if name != "max_waiting"])
def test_a_limit_of_zero_is_refused(name: str) -> None:
    assert f"PoolConfig.{name} must be a whole number of at least 1" in refused(PoolConfig, name, 0)


def test_a_line_of_length_zero_is_a_line() -> None:
    assert PoolConfig(max_waiting=0).max_waiting == 0


@pytest.mark.parametrize("kind", [PoolConfig, Timeouts])
def test_fields_are_named_and_cannot_be_changed(kind: type) -> None:
    with pytest.raises(TypeError):
        kind(5)
    with pytest.raises(TypeError):
        kind(retries=5)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(kind(), attrs.fields(kind)[0].name, 5)


def test_a_changed_copy_is_checked_and_has_limits_of_its_own() -> None:
    config = attrs.evolve(PoolConfig(), read_timeout=3)
    assert config.limits_for(None).read == 3
    with pytest.raises(UsageError, match=r"PoolConfig\.read_timeout"):
        attrs.evolve(PoolConfig(), read_timeout=-3)


@pytest.mark.parametrize("original", [PoolConfig(read_timeout=3, max_waiting=None), Timeouts(total=3)], ids=repr)
def test_configurations_are_values(original: object) -> None:
    for other in (copy.copy(original), copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
        assert other == original
        assert hash(other) == hash(original)


# ---- what a request inherits ----


def limits(config: PoolConfig, **own: float) -> dict[str, float]:
    return seconds_of(config.limits_for(Timeouts(**own) if own else None))


INHERITED = {"acquire": 10.0, "connection": 5.0, "write": 30.0, "first_byte": 30.0, "read": 30.0, "total": math.inf}


def test_what_is_left_out_is_inherited() -> None:
    assert limits(PoolConfig()) == INHERITED
    assert seconds_of(PoolConfig().limits_for(Timeouts())) == INHERITED


@pytest.mark.parametrize("value", [0.25, 7, math.inf])
@pytest.mark.parametrize("name", [name for name in OF_A_REQUEST if name != "read"])
def test_a_requests_own_timeout_counts(name: str, value: float) -> None:
    assert limits(PoolConfig(), **{name: value}) == {**INHERITED, name: value}


def test_the_first_byte_follows_the_configured_reading() -> None:
    assert limits(PoolConfig(read_timeout=8))["first_byte"] == 8
    assert limits(PoolConfig(read_timeout=None))["first_byte"] == math.inf


def test_the_first_byte_follows_a_requests_own_reading() -> None:
    assert limits(PoolConfig(), read=3) == {**INHERITED, "read": 3, "first_byte": 3}


def test_a_first_byte_that_was_configured_follows_nothing() -> None:
    config = PoolConfig(first_byte_timeout=60)
    assert limits(config, read=3) == {**INHERITED, "read": 3, "first_byte": 60}
    assert limits(config, read=3, first_byte=2) == {**INHERITED, "read": 3, "first_byte": 2}
    assert limits(PoolConfig(first_byte_timeout=math.inf), read=3)["first_byte"] == math.inf


SOME_SECONDS = st.none() | st.floats(0.001, 1e6) | st.integers(1, 10**6) | st.just(math.inf)


@settings(deadline=None)
@given(
    configured=st.fixed_dictionaries(dict.fromkeys(SECONDS, SOME_SECONDS)),
    own=st.fixed_dictionaries(dict.fromkeys(OF_A_REQUEST, SOME_SECONDS)),
)
def test_every_inherited_timeout_is_one_that_somebody_gave(
    configured: dict[str, Any], own: dict[str, float | None]
) -> None:
    found = seconds_of(PoolConfig(**configured).limits_for(Timeouts(**own)))

    def expected(name: str) -> float:
        if own[name] is not None:
            return float(own[name])  # type: ignore[arg-type]  # it is not None
        if name == "first_byte" and configured["first_byte_timeout"] is None:
            return expected("read")
        value = configured[f"{name}_timeout"]
        return math.inf if value is None else float(value)

    assert found == {name: expected(name) for name in OF_A_REQUEST}


ANYTHING: st.SearchStrategy[Any] = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=3), st.binary(max_size=3), st.just(())
)


@settings(deadline=None)
@given(name=st.sampled_from(list(DEFAULTS)), value=ANYTHING)
def test_a_configuration_is_sound_or_refused_by_its_fields_name(name: str, value: Any) -> None:
    try:
        config = PoolConfig(**{name: value})
    except TrioPoolError as error:
        message = str(error)
    else:
        least = 1 if name in COUNTS and name != "max_waiting" else 0
        found = getattr(config, name)
        assert found is None or found >= least
        assert all(seconds > 0 for seconds in seconds_of(config.limits).values())
        return
    assert f"PoolConfig.{name} " in message


@pytest.mark.parametrize("value", ["H11", "", None, 1, b"h11"])
def test_a_codec_is_one_of_two(value: Any) -> None:
    with pytest.raises(UsageError, match=r"PoolConfig\.codec must be 'fast' or 'h11'"):
        PoolConfig(codec=value)
    assert PoolConfig(codec="h11").codec == "h11"
