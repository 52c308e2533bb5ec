"""One request on a virtual server, from its arrival to its end.

Strategy. One entry of the agenda at a time is its next step: the first byte, then each piece of a streamed answer. The
times of the pieces are counted from the first byte, so that they do not drift. Tokens that come within the provider's
`coalesce` travel in one piece.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .answers import refusal, usage, whole
from .conversations import Conversation
from .engine import Engine, Entry
from .requests import Asked

if TYPE_CHECKING:
    from .servers import Server

Refusal = tuple[int, float | None]
"""A status, and the seconds after which to try again, or None."""


class Answering:
    """One request.

    :ivar asked: the request.
    """

    __slots__ = (
        "_at_once", "_conversation", "_engine", "_first_byte_at", "_next", "_pace", "_sent", "_server", "asked"
    )  # fmt: skip

    def __init__(self, server: Server, asked: Asked, conversation: Conversation, engine: Engine) -> None:
        self.asked = asked
        self._server = server
        self._conversation = conversation
        self._engine = engine
        self._next: Entry | None = None  # the step to come, once there is one
        self._sent = 0  # tokens
        self._pace = 0.0  # seconds for each
        self._at_once = 1  # that travel in one piece
        self._first_byte_at = 0.0

    def begin(self) -> None:
        """There is a place for it. It ends with `Server.finish`."""
        demand, slowdown = self.asked.demand, self._server.slowdown()
        self._pace = demand.seconds_per_token * slowdown
        coalesce = self._server.provider.coalesce
        self._at_once = max(int(coalesce / self._pace), 1) if self._pace else demand.tokens
        self._first_byte_at = self._engine.now() + demand.first_byte * slowdown
        self._next = self._engine.at(self._first_byte_at, self._begin_answer)

    def refuse(self, status: int, retry_after: float | None) -> None:
        """Answer it with an error, at once."""
        if self._send_whole(status, refusal(status), retry_after):
            self._conversation.answered()

    def stop(self) -> None:
        """There is no next step."""
        if self._next is not None:
            self._engine.cancel(self._next)
            self._next = None

    # ---- its steps ----

    def _begin_answer(self) -> None:
        demand = self.asked.demand
        if demand.tokens and not self.asked.is_head:
            if self._conversation.send(self._server.script.head(self._server.fields(self.asked.nonce))):
                self._await_next_piece()
        elif self._send_whole(200, usage(demand)):
            self._finish(is_delimited=True)

    def _send_piece(self) -> None:
        demand, script = self.asked.demand, self._server.script
        tokens = min(self._at_once, demand.tokens - self._sent)
        self._sent += tokens
        is_last = self._sent == demand.tokens
        if not self._conversation.send(script.piece(tokens) + (script.end(demand) if is_last else b"")):
            return
        if is_last:
            self._finish(is_delimited=script.is_chunked)
        else:
            self._await_next_piece()

    def _await_next_piece(self) -> None:
        tokens = min(self._sent + self._at_once, self.asked.demand.tokens)
        self._next = self._engine.at(self._first_byte_at + tokens * self._pace, self._send_piece)

    def _finish(self, *, is_delimited: bool) -> None:
        self._conversation.answered(is_delimited=is_delimited)
        self._server.finish(self)

    def _send_whole(self, status: int, body: bytes, retry_after: float | None = None) -> bool:
        data = whole(status, self._server.fields(self.asked.nonce, retry_after), body)
        return self._conversation.send(data[: -len(body)] if self.asked.is_head else data)
