"""Which requests get which answers, and what is said when there is none."""

from __future__ import annotations

import http
import json as json_module
import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any, Self, cast
from urllib.parse import parse_qsl

import attrs

from ..errors import UsageError
from ..headers import Headers, HeaderTypes
from ..urls import Target, check_characters, redact, target_of
from .answers import Answer, Cut, make

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2


class UnexpectedRequest(AssertionError):
    """No answer is left for a request. It comes out of the client's call as itself: the test has failed."""


@attrs.frozen
class SentRequest:
    """A request as it arrived.

    :ivar method: such as "GET".
    :ivar url: absolute, its query included.
    :ivar headers: its header fields.
    :ivar content: its body.
    :ivar at: when all of it had arrived, in seconds by trio's clock.
    """

    method: str
    url: str
    headers: Headers
    content: bytes
    at: float

    def json(self) -> Any:
        """The body, from JSON.

        :raises ValueError: it is none.
        """
        return json_module.loads(self.content)

    def __str__(self) -> str:
        return f"{self.method} {self.url}"


class Route:
    """The requests of one method and URL, and their answers. Made by `CannedNetwork.route`.

    :param method: such as "GET".
    :param url: which requests are meant; see `CannedNetwork.route`.
    :ivar calls: the requests that it has answered, in order.
    :raises UsageError: there can be no such request.
    """

    def __init__(self, method: str, url: str) -> None:
        _check_method(method)
        target = _meant(url)
        path, has_query, query = target.path.decode().partition("?")
        self.calls: list[SentRequest] = []
        self._answers: list[Answer] = []
        self._name = f"{method} {url}"
        self._method = method
        self._origin = None if url.startswith("/") else target.origin
        self._path = re.compile(re.escape(path).replace(r"\*\*", ".*").replace(r"\*", "[^/]*"))
        self._query = _pairs(query) if has_query else None

    # ---- what tests do ----

    def respond(
        self,
        status_code: int = 200,
        *,
        headers: HeaderTypes = None,
        content: bytes | str | None = None,
        json: Any = None,
        stream: Iterable[bytes | float | Cut] | None = None,
        events: Iterable[Any] | None = None,
        delay: float = 0.0,
        times: float = 1,
    ) -> Self:
        """Add an answer. They are given in the order in which they were added, each as many times as it says.

        :param status_code: from 200 (200).
        :param headers: beside those that frame the body and name its type.
        :param content: the body: bytes, or text, sent as UTF-8.
        :param json: the body: a value, sent as JSON.
        :param stream: the body in pieces, each received apart; chunked, unless `headers` has a Content-Length. A number
            is a pause in seconds; a `Cut`, as the last, is how it breaks off.
        :param events: the body as server-sent events: each a `ServerSentEvent`, a text (its data), or something that is
            sent as JSON; numbers and a `Cut` as in `stream`.
        :param delay: seconds before the first byte (0.0).
        :param times: how many requests it is for (1); `math.inf` for all that come.
        :raises UsageError: it has several bodies, or one that cannot be sent, or is no HTTP/1.1.
        :raises LocalProtocolError: a header would break HTTP/1.1.
        """
        answer = make(times, delay, status_code, headers, content=content, json=json, stream=stream, events=events)
        self._answers.append(answer)
        return self

    def fail(self, cut: Cut, *, delay: float = 0.0, times: float = 1) -> Self:
        """Add an answer of which not a byte comes, although the request has arrived.

        :param cut: what happens instead.
        :param delay: seconds before it does (0.0).
        :param times: how many requests it is for (1); `math.inf` for all that come.
        :raises UsageError: `cut`, `delay` or `times` is none.
        """
        if not isinstance(cast("Any", cut), Cut):
            raise UsageError(f"an answer fails with a Cut, such as Cut.RESET, not with {cut!r}")
        self._answers.append(Answer(times, delay, cut))
        return self

    # ---- what the network does ----

    def take(self, request: SentRequest) -> Answer | None:
        """The answer to this request, if there is one; it counts as used."""
        if self.differences(request):
            return None
        for answer in self._answers:
            if answer.is_left:
                answer.used += 1
                self.calls.append(request)
                return answer
        return None

    def differences(self, request: SentRequest) -> list[str]:
        """The parts in which a request is not one of these."""
        target = target_of(request.url)
        path, _, query = target.path.decode().partition("?")
        agreed = {
            "method": self._method == request.method,
            "origin": self._origin in (None, target.origin),
            "path": self._path.fullmatch(path) is not None,
            "query": self._query in (None, _pairs(query)),
        }
        return [part for part, agrees in agreed.items() if not agrees]

    def likeness(self, request: SentRequest) -> tuple[int, float]:
        """How near it is to a request: the greater the nearer."""
        return -len(self.differences(request)), SequenceMatcher(None, self._name, str(request)).ratio()

    @property
    def is_owed(self) -> bool:
        """Whether it was given no answer, or one that was not used, or not as often as it should be."""
        return not self._answers or any(answer.is_owed for answer in self._answers)

    def __repr__(self) -> str:
        if not self._answers:
            return f"<Route {self._name}: no answer was added; respond() adds one>"
        left = sum(answer.is_left for answer in self._answers)
        return f"<Route {self._name}: {left} of {len(self._answers)} answers left>"


def _check_method(method: Any) -> None:
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise UsageError(f"a route's method is a word such as 'GET', not {method!r}")
    usual = method.upper()
    if usual != method and usual in set(http.HTTPMethod):
        raise UsageError(f"methods are case-sensitive, and a route for {method!r} answers no {usual}: write {usual!r}")


def _meant(url: str) -> Target:
    """What a route's URL leads to; a path leads to any host."""
    check_characters(url, "URL")
    if url.startswith("/"):
        return target_of(f"http://any{url}")
    if "://" not in url:
        raise UsageError(f"a route's URL begins with / (for any host), http:// or https://, not as {redact(url)!r}")
    return target_of(url)


def _pairs(query: str) -> list[tuple[str, str]]:
    return sorted(parse_qsl(query, keep_blank_values=True))


def explain(request: SentRequest, routes: Sequence[Route]) -> str:
    """That there is no answer for a request, what there is, and what is nearest to it."""
    if not routes:
        return f"{request} was asked, and the network has no routes"
    nearest = max(routes, key=lambda route: route.likeness(request))
    differences = nearest.differences(request)
    why = f"another {' and '.join(differences)}" if differences else "all its answers were given"
    lines = [f"  {route!r}{f'   <- the nearest: {why}' if route is nearest else ''}" for route in routes]
    return "\n".join([f"{request} was asked, and there is no answer for it. There are:", *lines])
