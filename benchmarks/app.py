"""What granian serves where there is no nginx: the same few answers, as an RSGI application."""

from __future__ import annotations

import json
import os
from typing import Any

CHAT_PATH = "/v1/chat/completions"
_MESSAGE = {"role": "assistant", "content": "Hello! How may I help you today?"}
_USAGE = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
CHAT = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1760000000,
        "model": "m",
        "choices": [{"index": 0, "message": _MESSAGE, "finish_reason": "stop"}],
        "usage": _USAGE,
    }
).encode()
"""What an SDK is answered: a chat completion."""

CHAT_LENGTH = len(_MESSAGE["content"])

BODIES = {
    CHAT_PATH: CHAT,
    "/1k": b"x" * 1024,
    "/close": b"x" * 1024,
    "/post": b"ok",
    "/large": b"",  # set when it is first asked for
}
LARGE = int(os.environ.get("BENCHMARKS_LARGE", "0"))


async def app(scope: Any, protocol: Any) -> None:
    """Answer one request."""
    if scope.proto != "http":
        return
    if scope.method == "POST":
        await protocol()
    if scope.path == "/large":
        BODIES["/large"] = BODIES["/large"] or bytes(LARGE)
    headers = [("connection", "close")] if scope.path == "/close" else []
    if scope.path == CHAT_PATH:
        headers.append(("content-type", "application/json"))
    protocol.response_bytes(200, headers, BODIES[scope.path])
