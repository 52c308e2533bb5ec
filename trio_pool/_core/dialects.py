"""What providers say inside bodies: error codes, and how a stream of events ends, fails, and tells its usage.

Three dialects, each a small table of functions over parsed JSON. Sources:

- openai: https://platform.openai.com/docs/api-reference/chat-streaming (ends with `data: [DONE]`; usage in the last
  chunk), https://platform.openai.com/docs/api-reference/responses-streaming (ends with `response.completed`,
  `response.incomplete` or `response.failed`), https://platform.openai.com/docs/guides/error-codes; speech, transcripts
  and images have last events of their own, see https://platform.openai.com/docs/api-reference/audio and
  https://platform.openai.com/docs/api-reference/images-streaming;
- anthropic: https://docs.anthropic.com/en/docs/build-with-claude/streaming (ends with `message_stop`; `ping` and
  `error` events), https://docs.anthropic.com/en/api/errors;
- google: https://ai.google.dev/api/generate-content (no end mark: the last chunk has a `finishReason`),
  https://cloud.google.com/apis/design/errors (`google.rpc.RetryInfo`, `google.rpc.QuotaFailure`).

Most events are text, of which nothing is wanted here: a few substrings, then a pattern, tell whether the data can say
anything before it is parsed. What is not JSON says nothing. Codes are kept only where they look like codes: a body can
hold anything.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import attrs

from ..sse import ServerSentEvent
from .dates import LONGEST_PAUSE, duration

PER_DAY = "per-day"
"""The code that stands for a violated daily quota in Google's error details."""

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.\-]{0,63}")
_TELLING = re.compile(
    r'"(?:error"|usage"\s*:\s*\{|usageMetadata"|finishReason"|blockReason"|response\.(?:completed|incomplete|failed)"|'
    r'speech\.audio\.done"|transcript\.text\.done"|image_(?:generation|edit)\.completed")'
)


class Dialect(enum.Enum):
    """The protocol that an upstream speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"


@attrs.frozen
class Complaint:
    """An error that a body or an event tells of.

    :ivar codes: its codes, such as "rate_limit_exceeded".
    :ivar status: the status that it stands for, or None.
    :ivar wait: seconds after which to try again, or None.
    """

    codes: frozenset[str]
    status: int | None = None
    wait: float | None = None


@attrs.frozen
class Sign:
    """What one event says of its stream.

    :ivar is_end: whether it is the end mark: nothing more of interest comes.
    :ivar is_ping: whether it only says that the stream is alive.
    :ivar complaint: the error that it tells of, or None; nothing comes after it.
    """

    is_end: bool = False
    is_ping: bool = False
    complaint: Complaint | None = None


NOTHING = Sign()
END = Sign(is_end=True)
PING = Sign(is_ping=True)

_ANTHROPIC_STATUS = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_OPENAI_STATUS = {
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "insufficient_quota": 429,
    "slow_down": 429,
    "server_is_overloaded": 503,
    "service_unavailable_error": 503,
    "server_error": 500,
    "invalid_request_error": 400,
}
_STATUS_OF_CODE: Mapping[str, int] = {**_OPENAI_STATUS, **_ANTHROPIC_STATUS}


def _parse(text: str | bytes) -> dict[str, Any]:
    """The JSON object, or the first of a list of them; else an empty one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if isinstance(value, (list, tuple)):
        value = next(iter(cast("list[Any]", value)), None)
    return _object(value)


def _object(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _objects(value: Any) -> list[dict[str, Any]]:
    return [_object(item) for item in cast("list[Any]", value)] if isinstance(value, (list, tuple)) else []


def _complaint(error: Any) -> Complaint:
    """The error of any dialect: they name their codes `type`, `code` and `status`."""
    fields = _object(error)
    details = _objects(fields.get("details"))
    codes = frozenset([*_codes(fields.get(name) for name in ("type", "code", "status")), *_quotas(details)])
    return Complaint(codes, _status(fields.get("code"), codes), _wait(details))


def _codes(values: Iterable[Any]) -> list[str]:
    return [value for value in values if isinstance(value, str) and _CODE.fullmatch(value)]


def _status(code: Any, codes: frozenset[str]) -> int | None:
    if isinstance(code, int) and 400 <= code <= 599:
        return code
    return max((_STATUS_OF_CODE[name] for name in codes if name in _STATUS_OF_CODE), default=None)


def _quotas(details: list[dict[str, Any]]) -> list[str]:
    violations = [one for detail in details for one in _objects(detail.get("violations"))]
    return [PER_DAY] if any("PerDay" in str(one.get("quotaId", "")) for one in violations) else []


def _wait(details: list[dict[str, Any]]) -> float | None:
    delays = [detail.get("retryDelay") for detail in details]
    seconds = next((duration(delay) for delay in delays if isinstance(delay, str)), None)
    return None if seconds is None else min(seconds, LONGEST_PAUSE)


def read_error(body: bytes) -> Complaint:
    """The error in the body of an answer of 400 or more, in any dialect; without codes where there is none.

    :param body: all of it, or as much as was read: a part that is no JSON says nothing.
    """
    return _complaint(_parse(body).get("error"))


def read_usage(body: bytes) -> int | None:
    """The tokens that an answer of any dialect says it has used, or None."""
    return _total(_usage_of(_parse(body)))


def _usage_of(value: dict[str, Any]) -> dict[str, Any]:
    """The usage of an answer or an event, wherever its dialect has it."""
    inner = _object(value.get("response")) or _object(value.get("message"))
    return _object(value.get("usage") or value.get("usageMetadata") or inner.get("usage"))


_TOTALS = ("total_tokens", "totalTokenCount")
_PARTS = ("input_tokens", "cache_creation_input_tokens", "output_tokens", "prompt_tokens", "completion_tokens")


def _total(usage: Mapping[str, Any]) -> int | None:
    """Totals where they are told, else the sum of the parts; what Anthropic read from its cache does not count."""
    told = next((usage[name] for name in _TOTALS if _is_count(usage.get(name))), None)
    if told is not None:
        return cast("int", told)
    parts = [usage[name] for name in _PARTS if _is_count(usage.get(name))]
    return sum(parts) if parts else None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _openai(value: dict[str, Any]) -> Sign:
    kind = value.get("type")
    if kind == "response.failed":
        return Sign(complaint=_complaint(_object(value.get("response")).get("error")))
    if kind == "error" and "error" not in value:  # an event of the Responses API, with its code at the top
        return Sign(complaint=_complaint({"code": value.get("code")}))
    if value.get("error"):
        return Sign(complaint=_complaint(value["error"]))
    return END if kind in ("response.completed", "response.incomplete") else NOTHING


_LAST_OF_A_PART = ("speech.audio.done", "transcript.text.done", "image_generation.completed", "image_edit.completed")
"""OpenAI's events after which a stream may end, or go on with another part."""


def _anthropic(value: dict[str, Any]) -> Sign:
    return Sign(complaint=_complaint(value.get("error"))) if value.get("type") == "error" else NOTHING


def _google(value: dict[str, Any]) -> Sign:
    return Sign(complaint=_complaint(value["error"])) if value.get("error") else NOTHING


def _is_last(value: dict[str, Any]) -> bool:
    """Whether an event is the last of a stream that has no end mark: Google's says why its answer ends, or that there
    will be none."""
    if value.get("type") in _LAST_OF_A_PART:
        return True
    candidates = _objects(value.get("candidates"))
    return any(one.get("finishReason") for one in candidates) or bool(
        _object(value.get("promptFeedback")).get("blockReason")
    )


_READERS: Mapping[Dialect, Callable[[dict[str, Any]], Sign]] = {
    Dialect.OPENAI: _openai,
    Dialect.ANTHROPIC: _anthropic,
    Dialect.GOOGLE: _google,
}


def _hints_of_openai(data: str) -> bool:
    return '"error"' in data or '"usage"' in data or '"type"' in data


def _hints_of_anthropic(data: str) -> bool:
    return '"error"' in data or '"usage"' in data


def _hints_of_google(data: str) -> bool:
    return '"error"' in data or '"usageMetadata"' in data or 'Reason"' in data


_HINTS: Mapping[Dialect, Callable[[str], bool]] = {
    Dialect.OPENAI: _hints_of_openai,
    Dialect.ANTHROPIC: _hints_of_anthropic,
    Dialect.GOOGLE: _hints_of_google,
}
_MARKS: Mapping[Dialect, Mapping[str, Sign]] = {
    Dialect.OPENAI: {},
    Dialect.ANTHROPIC: {"message_stop": END, "ping": PING},
    Dialect.GOOGLE: {},
}
"""By an event's type, what it says by that alone."""


class StreamJudge:
    """Judges one stream of events.

    :ivar is_complete: whether the stream may end now: it has said that it is whole.
    :ivar complaint: the error that it told of, or None.
    """

    def __init__(self, dialect: Dialect) -> None:
        self.is_complete = False
        self.complaint: Complaint | None = None
        self._usage: dict[str, Any] = {}
        self._hints = _HINTS[dialect]
        self._marks = _MARKS[dialect]
        self._reader = _READERS[dialect]
        self._end = "[DONE]" if dialect is Dialect.OPENAI else "\n"  # no data begins with a line feed

    @property
    def tokens(self) -> int | None:
        """The tokens that the stream says it has used so far, or None."""
        return _total(self._usage)

    def see(self, event: ServerSentEvent) -> Sign:
        """What an event says."""
        kind, data = event.event, event.data
        if kind in self._marks:
            sign = self._marks[kind]
        elif data.startswith(self._end):
            sign = END
        elif kind != "error" and not (self._hints(data) and _TELLING.search(data)):
            return NOTHING
        else:
            sign = self._read(kind, data)
        self.is_complete = self.is_complete or sign.is_end
        self.complaint = self.complaint or sign.complaint
        return sign

    def _read(self, kind: str, data: str) -> Sign:
        value = _parse(data) or {"type": kind}  # an error event that is no JSON is an error all the same
        self._usage.update(_usage_of(value))  # later figures replace earlier ones
        self.is_complete = self.is_complete or _is_last(value)
        return self._reader(value)
