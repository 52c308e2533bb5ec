"""What each provider of hosted models needs to be told, and what it says back: frozen records with their sources.

`OPENAI`, `ANTHROPIC`, `GOOGLE`, `DEEPSEEK` and `HOLYSHEEP` are there; any other endpoint that speaks OpenAI's protocol
is `OPENAI_COMPATIBLE` with a base URL of its own (`attrs.evolve(OPENAI_COMPATIBLE, base_url=…)`). Every field whose
value is the provider's own says in `sources` where it is documented; what is not documented is not set, and is then
as for any endpoint that is compatible with OpenAI's.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, cast

import attrs

from ._core.dialects import PER_DAY, Dialect
from ._core.outcomes import RETRYABLE, RetryRules
from ._core.ratelimit import LimitHeaders, Names
from .errors import UsageError
from .headers import encode_headers, is_secret

FIRST_BYTE_TIMEOUT = 600.0
"""Seconds: what OpenAI's and Anthropic's own clients give a whole answer that is not streamed."""


def _frozen(sources: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(sources))


def _is_url(instance: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    if value is not None and not (isinstance(value, str) and value.startswith(("http://", "https://"))):
        owner = type(instance).__name__
        raise UsageError(f"{owner}.{attribute.name} must be an http or https URL or None, not {type(value).__name__}")


def _is_dialect(instance: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, Dialect):
        raise UsageError(f"{type(instance).__name__}.{attribute.name} must be a Dialect, not {value!r}")


def _is_key_header(_: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    if not (isinstance(value, str) and is_secret(value)):
        what = "the name of a field whose value is never shown: with 'key', 'token', 'secret' or the like in it"
        raise UsageError(f"Provider.{attribute.name} must be {what}, not {value!r}")
    encode_headers([(value, "")])


def _is_positive(instance: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        owner = type(instance).__name__
        raise UsageError(f"{owner}.{attribute.name} must be a positive number of seconds or math.inf, not {value!r}")


@attrs.frozen(kw_only=True)
class Provider:
    """One provider's protocol: no key is in it, so it can be shown.

    :ivar name: what it is called in events and errors.
    :ivar dialect: the protocol that it speaks (openai): upstreams of one group all speak the same.
    :ivar base_url: where its API begins, or None (the default): it must be given for each upstream.
    :ivar key_header: the header field that a key goes into ("Authorization"); its name must tell that it is
        secret, since its value is never shown.
    :ivar key_prefix: what stands before the key there ("Bearer ").
    :ivar key_env: names of environment variables that may hold a key, the first that is set counts (none).
    :ivar headers: fields that every request must have, as pairs (none).
    :ivar model_in_body: whether a request names its model in its JSON body (True), and not in its URL.
    :ivar retry: the statuses and error codes that say whether another try can help.
    :ivar limits: the header fields that tell its limits, or None.
    :ivar first_byte_timeout: seconds that an answer may take to begin (600.0).
    :ivar sources: by a field's name, where its value is documented.
    :raises UsageError: for a base URL that is none, a dialect that is none, a key's header whose name does not tell
        that it is secret, or a timeout that is not positive.
    """

    name: str
    dialect: Dialect = attrs.field(default=Dialect.OPENAI, validator=_is_dialect)
    base_url: str | None = attrs.field(default=None, validator=_is_url)
    key_header: str = attrs.field(default="Authorization", validator=_is_key_header)
    key_prefix: str = attrs.field(default="Bearer ")
    key_env: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    model_in_body: bool = True
    retry: RetryRules = attrs.field(factory=RetryRules)
    limits: LimitHeaders | None = None
    first_byte_timeout: float = attrs.field(default=FIRST_BYTE_TIMEOUT, validator=_is_positive)
    sources: Mapping[str, str] = attrs.field(factory=cast("Any", dict), converter=_frozen, repr=False, eq=False)


_OPENAI_QUOTA = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
    }
)
_OPENAI_RETRY = RetryRules(
    statuses=RETRYABLE | {409} | set(range(500, 600)),
    quota_codes=_OPENAI_QUOTA,
    overload_codes=frozenset({"slow_down", "server_is_overloaded"}),
)
_OPENAI_LIMITS = LimitHeaders(
    requests=Names("x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    tokens=Names("x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
)

_OPENAI_ERRORS = "https://platform.openai.com/docs/guides/error-codes"
_OPENAI_SDK = "https://github.com/openai/openai-python#retries"
_ANTHROPIC_SDK = "https://github.com/anthropics/anthropic-sdk-python#retries"

OPENAI_COMPATIBLE = Provider(
    name="openai-compatible",
    retry=_OPENAI_RETRY,
    limits=_OPENAI_LIMITS,
    sources={
        "dialect": "https://platform.openai.com/docs/api-reference/chat-streaming",
        "key_header": "https://platform.openai.com/docs/api-reference/authentication",
        "key_prefix": "https://platform.openai.com/docs/api-reference/authentication",
        "model_in_body": "https://platform.openai.com/docs/api-reference/chat/create",
        "retry": f"{_OPENAI_ERRORS} and {_OPENAI_SDK} (408, 409, 429 and 5xx)",
        "limits": "https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers",
        "first_byte_timeout": "https://github.com/openai/openai-python#timeouts (10 minutes)",
    },
)
"""Any endpoint that speaks OpenAI's protocol; give each upstream its base URL."""

OPENAI = attrs.evolve(
    OPENAI_COMPATIBLE,
    name="openai",
    base_url="https://api.openai.com/v1",
    key_env=("OPENAI_API_KEY",),
    sources={
        **OPENAI_COMPATIBLE.sources,
        "base_url": "https://platform.openai.com/docs/api-reference/introduction",
        "key_env": "https://platform.openai.com/docs/quickstart",
    },
)
"""OpenAI."""

ANTHROPIC = Provider(
    name="anthropic",
    dialect=Dialect.ANTHROPIC,
    base_url="https://api.anthropic.com",
    key_header="x-api-key",
    key_prefix="",
    key_env=("ANTHROPIC_API_KEY",),
    headers=(("anthropic-version", "2023-06-01"),),
    retry=RetryRules(
        statuses=RETRYABLE | {409} | set(range(500, 600)),
        quota_codes=frozenset({"billing_error"}),
        overload_codes=frozenset({"overloaded_error"}),
    ),
    limits=LimitHeaders(
        requests=Names(
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ),
        tokens=Names(
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ),
        reset="rfc3339",
    ),
    sources={
        "dialect": "https://docs.anthropic.com/en/docs/build-with-claude/streaming",
        "base_url": "https://docs.anthropic.com/en/api/overview",
        "key_header": "https://docs.anthropic.com/en/api/overview#authentication",
        "key_prefix": "https://docs.anthropic.com/en/api/overview#authentication",
        "key_env": "https://github.com/anthropics/anthropic-sdk-python#usage",
        "headers": "https://docs.anthropic.com/en/api/versioning",
        "model_in_body": "https://docs.anthropic.com/en/api/messages",
        "retry": f"https://docs.anthropic.com/en/api/errors and {_ANTHROPIC_SDK} (408, 409, 429 and 5xx)",
        "limits": "https://docs.anthropic.com/en/api/rate-limits#response-headers",
        "first_byte_timeout": "https://github.com/anthropics/anthropic-sdk-python#timeouts (10 minutes)",
    },
)
"""Anthropic."""

GOOGLE = Provider(
    name="google",
    dialect=Dialect.GOOGLE,
    base_url="https://generativelanguage.googleapis.com/v1beta",
    key_header="x-goog-api-key",
    key_prefix="",
    key_env=("GOOGLE_API_KEY", "GEMINI_API_KEY"),
    model_in_body=False,
    retry=RetryRules(quota_codes=frozenset({PER_DAY})),
    sources={
        "dialect": "https://ai.google.dev/api/generate-content",
        "base_url": "https://ai.google.dev/api",
        "key_header": "https://ai.google.dev/gemini-api/docs/api-key",
        "key_prefix": "https://ai.google.dev/gemini-api/docs/api-key",
        "key_env": "https://ai.google.dev/gemini-api/docs/api-key (GOOGLE_API_KEY comes first where both are set)",
        "model_in_body": "https://ai.google.dev/api/generate-content (the model stands in the path)",
        "retry": "https://ai.google.dev/gemini-api/docs/troubleshooting and "
        "https://ai.google.dev/gemini-api/docs/rate-limits (what is per day comes back at midnight)",
    },
)
"""Google's Gemini API (AI Studio). It tells no limits in its header fields; waits stand in its error bodies."""

DEEPSEEK = attrs.evolve(
    OPENAI_COMPATIBLE,
    name="deepseek",
    base_url="https://api.deepseek.com",
    key_env=("DEEPSEEK_API_KEY",),
    retry=RetryRules(),
    limits=None,
    sources={
        "dialect": "https://api-docs.deepseek.com/",
        "base_url": "https://api-docs.deepseek.com/",
        "key_header": "https://api-docs.deepseek.com/api/deepseek-api",
        "key_prefix": "https://api-docs.deepseek.com/api/deepseek-api",
        "key_env": "https://api-docs.deepseek.com/",
        "model_in_body": "https://api-docs.deepseek.com/api/create-chat-completion",
        "retry": "https://api-docs.deepseek.com/quick_start/error_codes (a spent balance is a 402)",
        "limits": "https://api-docs.deepseek.com/quick_start/rate_limit (none are told)",
    },
)
"""DeepSeek. While it is busy it sends comments (in streams) or empty lines (before a body) to say that it is alive."""

HOLYSHEEP = attrs.evolve(
    OPENAI_COMPATIBLE,
    name="holysheep",
    base_url="https://api.holysheep.ai/v1",
    sources={
        **OPENAI_COMPATIBLE.sources,
        "base_url": "https://www.holysheep.ai/articles/"
        "en-holysheep-openaijianrongendpointpeizhixianyouyingy-2026-04-19-0027.html",
    },
)
"""The HolySheep relay, which documents its address, and that it is compatible with OpenAI's endpoint."""

PROVIDERS: Mapping[str, Provider] = MappingProxyType(
    {one.name: one for one in (OPENAI, ANTHROPIC, GOOGLE, DEEPSEEK, HOLYSHEEP, OPENAI_COMPATIBLE)}
)
"""The records by name."""
