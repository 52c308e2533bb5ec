"""One request to a group of upstreams, before it is known to which of them it goes.

What a caller said is checked at once, and turned into a `Request` for each upstream that is tried: at its address, with
its key, and with its name for the model. Credentials are the upstreams' own: a caller's are refused, since nobody can
know for which upstream they were meant.
"""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl

from .config import Timeouts
from .errors import UsageError
from .headers import SECRET, CheckedHeaders, RawHeaders
from .messages import IDEMPOTENCY_KEY, Request, RequestOptions, form, iter_once
from .providers import Provider

CREDENTIALS = frozenset(name.encode() for name in SECRET - {"set-cookie"})
"""Header fields that a request to a group must not have, in lower case."""

SECRET_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "auth_token"})
"""Query parameters that it must not have, in lower case."""

CHARACTERS_A_TOKEN = 4
"""Bytes of a request's body that are about one token: OpenAI's and Anthropic's rule of thumb for English."""

MOST_TOKENS = 10**7
"""No answer has more, whatever a body allows for."""

_MOST = ("max_completion_tokens", "max_output_tokens", "max_tokens", "maxOutputTokens")


class Call:
    """What a caller asked of the group.

    :param method: such as "POST".
    :param url: relative.
    :param options: see `RequestOptions`.
    :param headers: all that are sent, but those of the upstream.
    :param credentials: the names of header fields that must not be among them, in lower case.
    :raises UsageError: credentials are among them, or its timeouts are none.
    :raises TypeError: there is no such option.
    """

    def __init__(
        self,
        method: str,
        url: str,
        options: RequestOptions,
        headers: RawHeaders,
        credentials: frozenset[bytes] = CREDENTIALS,
    ) -> None:
        check_credentials(headers, credentials, "a request to upstreams")
        unknown = options.keys() - RequestOptions.__annotations__
        if unknown:
            raise TypeError(f"a request has no option {min(unknown)!r}")
        self.method = method
        self.timeouts = options.get("timeouts")
        if self.timeouts is not None and not isinstance(cast("Any", self.timeouts), Timeouts):
            raise UsageError(f"timeouts must be Timeouts, not {type(self.timeouts).__name__}")
        self._url = url.lstrip("/")
        self._headers = headers
        params, data = form(options.get("params")), options.get("data")
        self._options: Any = {**options, "params": params, "data": None if data is None else form(data)}
        self._check_query(url, params)
        own = {name.lower() for name, _ in headers}
        self.is_allowed = bool(options.get("retry_unsafe")) or IDEMPOTENCY_KEY in own
        content: Any = options.get("content")
        self.can_be_repeated = not hasattr(content, "__aiter__") or not iter_once(content)

    def _check_query(self, url: str, params: list[tuple[str, str]]) -> None:
        names = [name for name, _ in parse_qsl(url.partition("?")[2].partition("#")[0], keep_blank_values=True)]
        names += [name for name, _ in params]
        found = sorted({name for name in names if name.lower() in SECRET_PARAMETERS})
        if found:
            raise UsageError(f"a request to upstreams has the parameter {found[0]!r}: each upstream has its own key")

    @property
    def tokens(self) -> float:
        """About how many it will use: what its body says, and as much as it allows for the answer."""
        body, content = self._options.get("json"), self._options.get("content")
        if isinstance(content, (bytes, str)):
            return len(content) / CHARACTERS_A_TOKEN
        if not isinstance(body, Mapping):
            return 0.0
        try:
            said = len(json_module.dumps(body)) / CHARACTERS_A_TOKEN
        except (TypeError, ValueError, RecursionError):
            return 0.0  # the request will be refused for it
        return said + _most_tokens(cast("Mapping[str, Any]", body))

    def request(
        self, base: str, fields: Iterable[tuple[bytes, bytes]], models: Mapping[str, str], provider: Provider
    ) -> Request:
        """The request for one upstream.

        :param base: its base URL.
        :param fields: its own header fields; the caller's come first where a name is in both.
        :param models: its names for models.
        :param provider: its provider.
        :raises UsageError, LocalProtocolError: it cannot be sent.
        """
        own = {name.lower() for name, _ in self._headers}
        headers = self._headers + [field for field in fields if field[0].lower() not in own]
        rest: Any = {name: value for name, value in self._options.items() if name in _PASSED_ON}
        if provider.model_in_body:
            rest["json"] = _renamed(rest.get("json"), models)
        return Request(self.method, base + self._url, headers=CheckedHeaders.of(headers), **rest)


_PASSED_ON = ("params", "content", "json", "data", "target", "retry_unsafe")


def check_credentials(headers: RawHeaders, credentials: frozenset[bytes], where: str) -> None:
    """Refuse credentials.

    :raises UsageError: there are some.
    """
    found = sorted({name.decode() for name, _ in headers if name.lower() in credentials})
    if found:
        raise UsageError(f"{where} has the header {found[0]!r}: each upstream has its own key")


def _renamed(body: Any, models: Mapping[str, str]) -> Any:
    if not isinstance(body, Mapping) or not models:
        return cast("Any", body)
    known = cast("Mapping[str, Any]", body)
    model = known.get("model")
    return {**known, "model": models[model]} if isinstance(model, str) and model in models else known


def _most_tokens(body: Mapping[str, Any]) -> float:
    inner = body.get("generationConfig")
    places = [body, cast("Mapping[str, Any]", inner)] if isinstance(inner, Mapping) else [body]
    found = [place[name] for place in places for name in _MOST if isinstance(place.get(name), int)]
    return float(min(max([0, *found]), MOST_TOKENS))
