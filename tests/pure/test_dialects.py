"""What bodies and events say: errors, ends and usage in each dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool._core.dialects import END, NOTHING, PER_DAY, PING, Dialect, StreamJudge, read_error, read_usage
from trio_pool.sse import ServerSentEvent

KEYS = st.sampled_from(
    [
        *("error", "type", "code", "status", "details", "violations", "quotaId", "retryDelay", "usage", "response"),
        *("message", "candidates", "finishReason", "usageMetadata", "total_tokens", "promptFeedback", "input_tokens"),
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def event(data: Any, kind: str = "message") -> ServerSentEvent:
    return ServerSentEvent(kind, data if isinstance(data, str) else json.dumps(data))


def judged(dialect: Dialect, *events: ServerSentEvent) -> StreamJudge:
    judge = StreamJudge(dialect)
    for one in events:
        judge.see(one)
    return judge


CHAT = [
    event({"choices": [{"delta": {"content": 'say "error" and "usage"'}, "finish_reason": None}], "usage": None}),
    event({"choices": [{"delta": {}, "finish_reason": "stop"}]}),
    event({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}),
    event("[DONE]"),
]
RESPONSES = [
    event({"type": "response.created", "response": {"usage": None}}, "response.created"),
    event({"type": "response.output_text.delta", "delta": "x"}, "response.output_text.delta"),
    event({"type": "response.completed", "response": {"usage": {"input_tokens": 5, "output_tokens": 2}}}),
]
MESSAGES = [
    event({"type": "message_start", "message": {"usage": {"input_tokens": 25, "output_tokens": 1}}}, "message_start"),
    event({"type": "ping"}, "ping"),
    event({"type": "content_block_delta", "delta": {"text": "x"}}, "content_block_delta"),
    event({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 15}}, "message_delta"),
    event({"type": "message_stop"}, "message_stop"),
]
GEMINI = [
    event({"candidates": [{"content": {}}], "usageMetadata": {"totalTokenCount": 8}}),
    event({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"totalTokenCount": 20}}),
]
WHOLE = {
    "chat": (Dialect.OPENAI, CHAT, 12),
    "responses": (Dialect.OPENAI, RESPONSES, 7),
    "messages": (Dialect.ANTHROPIC, MESSAGES, 40),
    "gemini": (Dialect.GOOGLE, GEMINI, 20),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_is_complete_at_its_last_event_and_not_before(name: str) -> None:
    dialect, events, tokens = WHOLE[name]
    assert not judged(dialect, *events[:-1]).is_complete
    judge = judged(dialect, *events)
    assert judge.is_complete
    assert judge.complaint is None
    assert judge.tokens == tokens


@pytest.mark.parametrize("name", ["chat", "responses", "messages"])
def test_an_end_mark_is_told_as_such(name: str) -> None:
    dialect, events, _ = WHOLE[name]
    judge = StreamJudge(dialect)
    assert [judge.see(one).is_end for one in events] == [*[False] * (len(events) - 1), True]


def test_google_has_no_end_mark_so_what_follows_is_read() -> None:
    judge = StreamJudge(Dialect.GOOGLE)
    assert not any(judge.see(one).is_end for one in GEMINI)


LAST_OF_A_PART = ["speech.audio.done", "transcript.text.done", "image_generation.completed", "image_edit.completed"]


@pytest.mark.parametrize("kind", LAST_OF_A_PART)
def test_speech_transcripts_and_images_may_end_or_go_on_after_their_last_event(kind: str) -> None:
    judge = StreamJudge(Dialect.OPENAI)
    assert judge.see(event({"type": kind.replace("done", "delta").replace("completed", "partial_image")})) is NOTHING
    assert not judge.is_complete
    assert not judge.see(event({"type": kind, "usage": {"total_tokens": 7}})).is_end
    assert (judge.is_complete, judge.tokens) == (True, 7)


def test_a_prompt_that_google_blocks_is_a_whole_answer() -> None:
    assert judged(Dialect.GOOGLE, event({"promptFeedback": {"blockReason": "SAFETY"}})).is_complete


def test_pings_and_text_are_told_apart() -> None:
    judge = StreamJudge(Dialect.ANTHROPIC)
    assert [judge.see(one) for one in MESSAGES] == [NOTHING, PING, NOTHING, NOTHING, END]


COMPLAINTS: dict[str, tuple[Dialect, ServerSentEvent, set[str], int | None]] = {
    "openai chat": (
        Dialect.OPENAI,
        event({"error": {"message": "…", "type": "server_error", "code": None}}),
        {"server_error"},
        500,
    ),
    "openai limit": (
        Dialect.OPENAI,
        event({"error": {"type": "requests", "code": "rate_limit_exceeded"}}),
        {"requests", "rate_limit_exceeded"},
        429,
    ),
    "openai responses": (
        Dialect.OPENAI,
        event({"type": "error", "code": "server_error", "message": "…"}, "error"),
        {"server_error"},
        500,
    ),
    "openai failed": (
        Dialect.OPENAI,
        event({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded"}}}),
        {"rate_limit_exceeded"},
        429,
    ),
    "openai garbled": (Dialect.OPENAI, event("oops", "error"), set(), None),
    "anthropic overload": (
        Dialect.ANTHROPIC,
        event({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "error"),
        {"overloaded_error"},
        529,
    ),
    "anthropic garbled": (Dialect.ANTHROPIC, event("oops", "error"), set(), None),
    "google": (
        Dialect.GOOGLE,
        event({"error": {"code": 503, "status": "UNAVAILABLE"}}),
        {"UNAVAILABLE"},
        503,
    ),
}


@pytest.mark.parametrize("name", COMPLAINTS)
def test_an_error_event_is_told_with_its_codes_and_status(name: str) -> None:
    dialect, one, codes, status = COMPLAINTS[name]
    judge = StreamJudge(dialect)
    complaint = judge.see(one).complaint
    assert complaint is not None
    assert judge.complaint == complaint
    assert (set(complaint.codes), complaint.status) == (codes, status)
    assert not judge.is_complete


GOOGLE_429 = {
    "error": {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": "RequestsPerMinute"}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"},
        ],
    }
}


def test_google_tells_its_wait_in_the_body() -> None:
    complaint = read_error(json.dumps(GOOGLE_429).encode())
    assert (complaint.codes, complaint.status, complaint.wait) == (frozenset({"RESOURCE_EXHAUSTED"}), 429, 22.0)
    assert read_error(json.dumps([GOOGLE_429]).encode()) == complaint


@pytest.mark.parametrize(
    ("delay", "wait"), [("9" * 30 + "s", 86400.0), ("9" * 400, None), ("-1s", None), ("soon", None)]
)
def test_a_wait_that_makes_no_sense_is_a_day_at_most(delay: str, wait: float | None) -> None:
    body = {"error": {"details": [{"retryDelay": delay}]}}
    assert read_error(json.dumps(body).encode()).wait == wait


def test_a_daily_quota_of_google_is_told_from_a_minutes() -> None:
    body = json.dumps(GOOGLE_429).replace("RequestsPerMinute", "GenerateRequestsPerDayPerProjectPerModel-FreeTier")
    assert PER_DAY in read_error(body.encode()).codes


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"null", b"{}", b'{"error": "text"}', b"\xff\xfe", b"[" * 99999]
)
def test_a_body_that_says_nothing_says_nothing(body: bytes) -> None:
    complaint = read_error(body)
    assert (complaint.codes, complaint.status, complaint.wait) == (frozenset(), None, None)
    assert read_usage(body) is None


def test_what_does_not_look_like_a_code_is_not_kept() -> None:
    body = {"error": {"type": "Bearer sk-secret is wrong", "code": "x" * 65, "status": "fine_code"}}
    assert read_error(json.dumps(body).encode()).codes == {"fine_code"}


USAGES: list[tuple[Any, int | None]] = [
    ({"usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}, 12),
    ({"usage": {"prompt_tokens": 9, "completion_tokens": 3}}, 12),
    (
        {
            "usage": {
                "input_tokens": 5,
                "cache_creation_input_tokens": 4,
                "cache_read_input_tokens": 99,
                "output_tokens": 1,
            }
        },
        10,
    ),
    ({"usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 30}}, 30),
    ({"usage": {"total_tokens": True}}, None),
    ({"usage": {"total_tokens": -5}}, None),
    ({"usage": []}, None),
    ({}, None),
]


@pytest.mark.parametrize(("body", "tokens"), USAGES, ids=str)
def test_usage_is_read_from_a_whole_answer(body: Any, tokens: int | None) -> None:
    assert read_usage(json.dumps(body).encode()) == tokens


@given(st.sampled_from(Dialect), st.lists(st.builds(event, JSON | st.text(), st.sampled_from(["message", "error"]))))
def test_no_event_whatever_makes_a_judge_raise(dialect: Dialect, events: list[ServerSentEvent]) -> None:
    judge = judged(dialect, *events)
    assert judge.tokens is None or judge.tokens >= 0
    for one in events:
        read_error(one.data.encode("utf-8", "replace"))
        read_usage(one.data.encode("utf-8", "replace"))
