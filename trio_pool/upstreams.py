"""What a program says of an upstream: one of several endpoints that can serve the same requests.

A key lives in its `Upstream` and in the header field of a request, and nowhere else: not in a repr, an error, an event
or a log. What stands for an upstream there is its name.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, cast

import attrs

from .errors import UsageError
from .providers import OPENAI_COMPATIBLE, PROVIDERS, Provider
from .urls import folder, redact, target_of

Key = str | Callable[[], Awaitable[str]]

_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")


def _refuse(attribute: attrs.Attribute[Any], needed: str) -> UsageError:
    """Without the value: it might be a key in the wrong place."""
    return UsageError(f"Upstream.{attribute.name} must be {needed}", phase="preparing the request")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _above_zero(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not (_is_number(value) and value > 0):
        raise _refuse(attribute, "a positive number")


def _share(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if value is not None and not (whole and value > 0):
        raise _refuse(attribute, "a whole number of at least 1, or None")


def _weight(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not (_is_number(value) and 0 < value < math.inf):
        raise _refuse(attribute, "a positive number")


def _whole(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _refuse(attribute, "a whole number")


def is_key(text: object) -> bool:
    """Whether this can be a key: text of visible characters, as header fields can have it."""
    return isinstance(text, str) and _KEY.fullmatch(text) is not None


def _key(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, str) and not callable(value):
        raise _refuse(attribute, "text, an async callable that gives text, or None")
    if isinstance(value, str) and not is_key(value):
        raise _refuse(attribute, "text of visible characters, without space or a line's end around it")


def _text(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not (isinstance(value, str) and value):
        raise _refuse(attribute, "text, or None")


def _truth(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, bool):
        raise _refuse(attribute, "True or False")


def _base_url(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None:
        return
    folder(value)
    if target_of(value).authorization is not None:
        raise _refuse(attribute, "a URL without a user and password: use key=")


def _provider(value: Any) -> Any:
    return PROVIDERS.get(value, value) if isinstance(value, str) else value


def _is_provider(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    if not isinstance(value, Provider):
        raise _refuse(attribute, f"a Provider, or one of {', '.join(map(repr, PROVIDERS))}")


def _models(value: Any) -> Any:
    return MappingProxyType(dict(cast("Mapping[str, str]", value))) if isinstance(value, Mapping) else value


def _are_models(_: Any, attribute: attrs.Attribute[Any], value: Any) -> None:
    pairs: list[Any] = [*value.items()] if isinstance(value, Mapping) else [(None, None)]
    if not all(isinstance(name, str) and isinstance(other, str) for name, other in pairs):
        raise _refuse(attribute, "a mapping of names to names")


@attrs.frozen(eq=False)
class Upstream:
    """One endpoint among several that can serve the same requests.

    :ivar base_url: where its API begins (None: where the provider's does); relative URLs are appended to it.
    :ivar provider: the record of its provider, or a name in `trio_pool.providers.PROVIDERS`
        (`OPENAI_COMPATIBLE`).
    :ivar key: its key, or an async callable that gives it before each try (None: see `key_env`).
    :ivar key_env: the name of the environment variable that holds the key (None: at the provider's own address the
        provider's variable, where it is set; else no key is sent).
    :ivar priority: upstreams of a lower number are asked first (0).
    :ivar weight: its share of the requests among upstreams of the same priority (1.0).
    :ivar max_connections: its share of the pool's connections (None: the smaller of `max_connections_per_host` and
        an equal part of what others do not claim of `max_connections`).
    :ivar max_concurrency: the requests that it may have at once, each to the end of its response (None: no bound).
    :ivar requests_per_minute: the requests that it may get (None: what its own header fields say).
    :ivar tokens_per_minute: the tokens that it may be asked for (None: what its own header fields say).
    :ivar models: by the name of a model in a request, what it is called here; others stay as they are (none). Names are
        put in only where a request has `json=`.
    :ivar name: what it is called in events and errors (None: its host, and a number where that is not enough).
    :ivar adaptive: whether its concurrency limit is found out by trying (False); `max_concurrency` bounds it then.
    :ivar first_byte_target: with `adaptive`, the seconds that the median response may take to begin (None: any).
    :ivar probe: a path that is asked with GET once its breaker has opened, to see whether it has recovered (None: the
        next request that comes is the probe).
    :raises UsageError: for a nonsensical value; the message has the field's name.
    """

    base_url: str | None = attrs.field(default=None, validator=_base_url)
    provider: Provider = attrs.field(
        default=OPENAI_COMPATIBLE, converter=_provider, validator=_is_provider, kw_only=True
    )
    key: Key | None = attrs.field(default=None, validator=_key, repr=False, kw_only=True)
    key_env: str | None = attrs.field(default=None, validator=_text, kw_only=True)
    priority: int = attrs.field(default=0, validator=_whole, kw_only=True)
    weight: float = attrs.field(default=1.0, validator=_weight, kw_only=True)
    max_connections: int | None = attrs.field(default=None, validator=_share, kw_only=True)
    max_concurrency: int | None = attrs.field(default=None, validator=_share, kw_only=True)
    requests_per_minute: float | None = attrs.field(default=None, validator=_above_zero, kw_only=True)
    tokens_per_minute: float | None = attrs.field(default=None, validator=_above_zero, kw_only=True)
    models: Mapping[str, str] = attrs.field(
        factory=cast("Any", dict), converter=_models, validator=_are_models, kw_only=True
    )
    name: str | None = attrs.field(default=None, validator=_text, kw_only=True)
    adaptive: bool = attrs.field(default=False, validator=_truth, kw_only=True)
    first_byte_target: float | None = attrs.field(default=None, validator=_above_zero, kw_only=True)
    probe: str | None = attrs.field(default=None, validator=_text, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.key is not None and self.key_env is not None:
            raise UsageError("an Upstream has a key or a key_env, not both", phase="preparing the request")
        if self.base_url is None and self.provider.base_url is None:
            raise UsageError(f"the provider {self.provider.name!r} needs a base_url", phase="preparing the request")
        if self.first_byte_target is not None and not self.adaptive:
            raise UsageError("Upstream.first_byte_target needs adaptive=True", phase="preparing the request")

    @property
    def url(self) -> str:
        """Where its API begins."""
        return self.base_url or self.provider.base_url or ""

    def __str__(self) -> str:
        return self.name or redact(self.url)
