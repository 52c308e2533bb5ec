"""The bytes of a virtual server's answers."""

from __future__ import annotations

import json
from functools import lru_cache

from ..traffic.demands import Demand
from .provider import VirtualProvider

REASONS = {200: b"OK", 400: b"Bad Request", 429: b"Too Many Requests", 503: b"Service Unavailable", 529: b"Overloaded"}
CODES = {
    400: "bad_demand",
    429: "rate_limit_exceeded",
    503: "server_is_overloaded",
    529: "server_is_overloaded",
}  # as OpenAI's: https://platform.openai.com/docs/guides/error-codes

_ROLE = b'data: {"choices":[{"delta":{"role":"assistant"}}]}\n\n'
_MARK = b"data: [DONE]\n\n"
_LAST_CHUNK = b"0\r\n\r\n"


def whole(status: int, fields: bytes, body: bytes) -> bytes:
    """A response with a Content-Length.

    :param fields: header fields, each with its line end.
    """
    return b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status, REASONS[status], len(body), fields, body
    )  # fmt: skip


def refusal(status: int) -> bytes:
    """The body of an error."""
    return _refusal_of(status)


@lru_cache
def _refusal_of(status: int) -> bytes:
    return json.dumps({"error": {"message": REASONS[status].decode(), "code": CODES[status]}}).encode()


def usage(demand: Demand) -> bytes:
    """What an answer says of its tokens."""
    total = demand.input_tokens + demand.tokens
    return b'{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}' % (
        demand.input_tokens, demand.tokens, total
    )  # fmt: skip


class Script:
    """The pieces of streamed answers, as one provider writes them.

    :ivar is_chunked: whether an answer says where it ends; else the connection's end does.
    """

    def __init__(self, provider: VirtualProvider) -> None:
        self.is_chunked = provider.framing == "chunked"
        self._speaks_openai = provider.dialect == "openai"
        self._bytes_per_token = provider.bytes_per_token
        self._kept: dict[int, bytes] = {}  # pieces by their number of tokens

    def head(self, fields: bytes) -> bytes:
        """The head, and what comes with it."""
        framing = b"Transfer-Encoding: chunked" if self.is_chunked else b"Connection: close"
        start = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%b\r\n%b\r\n" % (framing, fields)
        return start + (self._framed(_ROLE) if self._speaks_openai else b"")

    def piece(self, tokens: int) -> bytes:
        """So many tokens in one event."""
        if tokens not in self._kept:
            text = b"x" * (tokens * self._bytes_per_token)
            data = b'{"choices":[{"delta":{"content":"%b"}}]}' % text if self._speaks_openai else text
            self._kept[tokens] = self._framed(b"data: %b\n\n" % data)
        return self._kept[tokens]

    def end(self, demand: Demand) -> bytes:
        """What comes after the last token."""
        mark = self._framed(b"data: %b\n\n%b" % (usage(demand), _MARK)) if self._speaks_openai else b""
        return mark + (_LAST_CHUNK if self.is_chunked else b"")

    def _framed(self, data: bytes) -> bytes:
        return b"%x\r\n%b\r\n" % (len(data), data) if self.is_chunked else data
