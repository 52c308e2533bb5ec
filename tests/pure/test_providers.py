"""The providers' records: what they say, and that each says where it has it from."""

from __future__ import annotations

import pickle
from typing import Any

import attrs
import pytest

from trio_pool._core.dialects import Dialect
from trio_pool._core.outcomes import RETRYABLE
from trio_pool.errors import UsageError
from trio_pool.providers import (
    ANTHROPIC,
    DEEPSEEK,
    GOOGLE,
    HOLYSHEEP,
    OPENAI,
    OPENAI_COMPATIBLE,
    PROVIDERS,
    Provider,
)

ALL = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)
FIELDS = [field for field in attrs.fields(Provider) if field.name not in ("name", "sources")]


def default(field: Any) -> Any:
    return field.default.factory() if isinstance(field.default, attrs.Factory) else field.default  # type: ignore[arg-type]  # a class at run time


@ALL
def test_what_is_the_providers_own_says_where_it_is_documented(provider: Provider) -> None:
    own = {field.name for field in FIELDS if getattr(provider, field.name) != default(field)}
    assert own <= set(provider.sources)
    assert set(provider.sources) <= {field.name for field in FIELDS}


@ALL
def test_every_source_is_an_address(provider: Provider) -> None:
    assert [source for source in provider.sources.values() if not source.startswith("https://")] == []


@ALL
def test_every_provider_retries_what_everybody_retries(provider: Provider) -> None:
    assert provider.retry.statuses >= RETRYABLE
    assert provider.first_byte_timeout == 600.0


@ALL
def test_a_record_is_frozen(provider: Provider) -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        provider.name = "other"  # type: ignore[misc]  # that it fails is the point
    with pytest.raises(TypeError):
        provider.sources["name"] = "x"  # type: ignore[index]  # the same


@ALL
def test_what_stands_in_headers_is_legal_there(provider: Provider) -> None:
    for name, value in [(provider.key_header, provider.key_prefix), *provider.headers]:
        assert name.replace("-", "").isalnum()
        assert value.isascii()
        assert value.isprintable()


def test_the_records_by_name() -> None:
    assert list(PROVIDERS) == ["openai", "anthropic", "google", "deepseek", "holysheep", "openai-compatible"]
    assert all(provider.name == name for name, provider in PROVIDERS.items())


ADDRESSES = {
    "openai": ("https://api.openai.com/v1", Dialect.OPENAI, ("Authorization", "Bearer "), ("OPENAI_API_KEY",)),
    "anthropic": ("https://api.anthropic.com", Dialect.ANTHROPIC, ("x-api-key", ""), ("ANTHROPIC_API_KEY",)),
    "google": (
        "https://generativelanguage.googleapis.com/v1beta",
        Dialect.GOOGLE,
        ("x-goog-api-key", ""),
        ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    ),
    "deepseek": ("https://api.deepseek.com", Dialect.OPENAI, ("Authorization", "Bearer "), ("DEEPSEEK_API_KEY",)),
    "holysheep": ("https://api.holysheep.ai/v1", Dialect.OPENAI, ("Authorization", "Bearer "), ()),
    "openai-compatible": (None, Dialect.OPENAI, ("Authorization", "Bearer "), ()),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_where_they_are_and_how_a_key_is_sent(name: str) -> None:
    one = PROVIDERS[name]
    assert (one.base_url, one.dialect, (one.key_header, one.key_prefix), one.key_env) == ADDRESSES[name]


def test_anthropic_wants_its_version_named() -> None:
    assert ANTHROPIC.headers == (("anthropic-version", "2023-06-01"),)


def test_only_google_names_the_model_in_the_url() -> None:
    assert [one.name for one in PROVIDERS.values() if not one.model_in_body] == ["google"]


def test_who_tells_no_limits_has_none() -> None:
    assert [one.name for one in PROVIDERS.values() if one.limits is None] == ["google", "deepseek"]
    assert OPENAI.limits == HOLYSHEEP.limits == OPENAI_COMPATIBLE.limits
    assert (DEEPSEEK.limits, GOOGLE.limits) == (None, None)


def test_an_endpoint_of_ones_own_is_made_from_a_record() -> None:
    one = attrs.evolve(OPENAI_COMPATIBLE, name="mine", base_url="http://localhost:8000/v1")
    assert (one.name, one.base_url, one.retry) == ("mine", "http://localhost:8000/v1", OPENAI_COMPATIBLE.retry)
    assert one.sources == OPENAI_COMPATIBLE.sources


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("base_url", "api.openai.com"), ("base_url", 5), ("dialect", "openai"), ("first_byte_timeout", 0)),
        *(("key_header", "X-Custom"), ("key_header", "")),
        *(("first_byte_timeout", -1.0), ("first_byte_timeout", None), ("first_byte_timeout", float("nan"))),
    ],
)
def test_a_nonsensical_value_is_refused_by_its_name(field: str, value: Any) -> None:
    with pytest.raises(UsageError, match=field):
        Provider(name="x", **{field: value})


def test_a_bad_url_is_not_repeated_in_the_message() -> None:
    with pytest.raises(UsageError) as caught:
        Provider(name="x", base_url="user:secret@host")
    assert "secret" not in str(caught.value)


def test_a_record_can_be_shown_and_compared() -> None:
    assert "api.openai.com" in repr(OPENAI)
    assert "sources" not in repr(OPENAI)
    assert attrs.evolve(OPENAI) == OPENAI
    assert attrs.evolve(OPENAI, name="other") != OPENAI


def test_dialects_are_found_by_their_names() -> None:
    assert [Dialect(name) for name in ("openai", "anthropic", "google")] == list(Dialect)
    assert pickle.loads(pickle.dumps(Dialect.OPENAI)) is Dialect.OPENAI
