"""What the three protocols' answers look like: OpenAI's, Anthropic's and Google's, whole and as event streams.

Every answer says back what it was asked last, so that each caller can see that it got its own. A request with tools
is answered with a call of the first of them, whose argument is what was asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

CREATED = 1_760_000_000
MODEL = "emulated-1"
Json = dict[str, Any]


class Answer(NamedTuple):
    """What a provider answers.

    :ivar pieces: the body: one piece, or the events of a stream.
    """

    media_type: str
    pieces: list[bytes]


def answer(target: str, body: Json) -> Answer | None:
    """The answer to a request, or None where no provider has such a path."""
    path = target.partition("?")[0]
    for end, make in _ROUTES.items():
        if path.endswith(end):
            return make(body)
    return None


def said(text: str) -> str:
    """What is answered to a text."""
    return f"You said: {text}"


def fragments(text: str) -> list[str]:
    """A text as it is streamed: by words."""
    words = text.split(" ")
    return [words[0], *(f" {word}" for word in words[1:])]


def _whole(value: Json) -> Answer:
    return Answer("application/json", [json.dumps(value).encode()])


def _stream(events: Iterable[tuple[str | None, Any]]) -> Answer:
    pieces = []
    for name, value in events:
        data = value if isinstance(value, str) else json.dumps(value)
        pieces.append((f"event: {name}\n" if name else "").encode() + f"data: {data}\n\n".encode())
    return Answer("text/event-stream", pieces)


def _typed(events: Iterable[Json]) -> Answer:
    return _stream((event["type"], event) for event in events)


def _text_of(content: Any) -> str:
    return content if isinstance(content, str) else str(content[-1]["text"])


# ---- OpenAI ----


def _chat(body: Json) -> Answer:
    asked = _text_of(body["messages"][-1]["content"])
    if body.get("stream"):
        deltas = _called_in_deltas(body, asked) if body.get("tools") else _said_in_deltas(asked)
        chunks: list[tuple[str | None, Any]] = [(None, _chunk(delta, reason)) for delta, reason in deltas]
        return _stream([*chunks, (None, "[DONE]")])
    message: Json = {"role": "assistant", "content": said(asked)}
    if body.get("tools"):
        function = {"name": body["tools"][0]["function"]["name"], "arguments": json.dumps({"asked": asked})}
        message = {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    reason = "tool_calls" if body.get("tools") else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason}
    usage = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
    return _whole({**_HEAD, "object": "chat.completion", "choices": [choice], "usage": usage})


def _chunk(delta: Json, reason: str | None) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return {**_HEAD, "object": "chat.completion.chunk", "choices": [choice]}


def _said_in_deltas(asked: str) -> list[tuple[Json, str | None]]:
    spoken: list[tuple[Json, str | None]] = [({"content": text}, None) for text in fragments(said(asked))]
    return [({"role": "assistant", "content": ""}, None), *spoken, ({}, "stop")]


def _called_in_deltas(body: Json, asked: str) -> list[tuple[Json, str | None]]:
    def call(**rest: Any) -> tuple[Json, str | None]:
        return {"tool_calls": [{"index": 0, **rest}]}, None

    name = body["tools"][0]["function"]["name"]
    arguments = json.dumps({"asked": asked})
    return [
        call(id="call_1", type="function", function={"name": name, "arguments": ""}),
        *(call(function={"arguments": text}) for text in fragments(arguments)),
        ({}, "tool_calls"),
    ]


def _responses(body: Json) -> Answer:
    asked = body["input"] if isinstance(body["input"], str) else _text_of(body["input"][-1]["content"])
    done = _response(said(asked))
    if not body.get("stream"):
        return _whole(done)
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0, "logprobs": []}
    deltas = [
        {"type": "response.output_text.delta", "sequence_number": number, "delta": text, **place}
        for number, text in enumerate(fragments(said(asked)), 1)
    ]
    begun = {"type": "response.created", "sequence_number": 0, "response": {**_response(""), "status": "in_progress"}}
    return _typed([begun, *deltas, {"type": "response.completed", "sequence_number": 99, "response": done}])


def _response(text: str) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content}
    fixed = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
    head = {"id": "resp_1", "object": "response", "created_at": CREATED, "status": "completed", "model": MODEL}
    return {**head, "output": [message], **fixed}


_HEAD = {"id": "chatcmpl-1", "created": CREATED, "model": MODEL}


# ---- Anthropic ----


def _messages(body: Json) -> Answer:
    asked = _text_of(body["messages"][-1]["content"])
    tools = body.get("tools")
    reason = "tool_use" if tools else "end_turn"
    block: Json = {"type": "text", "text": said(asked)}
    if tools:
        block = {"type": "tool_use", "id": "toolu_1", "name": tools[0]["name"], "input": {"asked": asked}}
    if body.get("stream"):
        return _typed(_message_events(block, reason, asked))
    return _whole({**_message(), "content": [block], "stop_reason": reason})


def _message() -> Json:
    usage = {"input_tokens": 9, "output_tokens": 9}
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": []}
    return {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}


def _message_events(block: Json, reason: str, asked: str) -> list[Json]:
    if block["type"] == "text":
        empty: Json = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": text} for text in fragments(said(asked))]
    else:
        empty = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": text} for text in fragments(json.dumps(block["input"]))]
    return [
        {"type": "message_start", "message": _message()},
        {"type": "content_block_start", "index": 0, "content_block": empty},
        {"type": "ping"},
        *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    ]


# ---- Google ----


def _candidate(part: Json, reason: str | None) -> Json:
    candidate: Json = {"index": 0, "content": {"role": "model", "parts": [part]}}
    if reason is not None:
        candidate["finishReason"] = reason
    usage = {"promptTokenCount": 9, "candidatesTokenCount": 9, "totalTokenCount": 18}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": MODEL}


def _part(body: Json) -> Json:
    asked = _text_of(body["contents"][-1]["parts"])
    if body.get("tools"):
        name = body["tools"][0]["functionDeclarations"][0]["name"]
        return {"functionCall": {"name": name, "args": {"asked": asked}}}
    return {"text": said(asked)}


def _generate(body: Json) -> Answer:
    return _whole(_candidate(_part(body), "STOP"))


def _generate_stream(body: Json) -> Answer:
    part = _part(body)
    parts = [{"text": text} for text in fragments(part["text"])] if "text" in part else [part]
    return _stream([*((None, _candidate(each, None)) for each in parts), (None, _candidate({"text": ""}, "STOP"))])


_ROUTES: dict[str, Callable[[Json], Answer]] = {
    "/chat/completions": _chat,
    "/responses": _responses,
    "/messages": _messages,
    ":generateContent": _generate,
    ":streamGenerateContent": _generate_stream,
}
