"""One connection of a virtual server: requests are read from it, answered, and sabotaged where a fault strikes."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from .engine import Engine, Entry
from .faults import AtByte, Fault, FinWhileIdle, HalfClose, Stall, Surplus
from .requests import Reader
from .streams import ServerEnd

if TYPE_CHECKING:
    from .answering import Answering
    from .servers import Server

SURPLUS = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
"""What some servers send before they close an idle connection."""

SURPLUS_STATUS = 408
"""It looks like an answer to whoever sends a request meanwhile. Nothing else has this status here."""


class Conversation:
    """The server's side of one connection.

    :param server: whose.
    :param end: carries the bytes.
    :param engine: has the agenda.
    """

    def __init__(self, server: Server, end: ServerEnd, engine: Engine) -> None:
        end.handler = self
        self._server = server
        self._end = end
        self._engine = engine
        self._reader = Reader()
        self._answering: Answering | None = None  # of the request that is being answered
        self._keeps = True  # whether there may be another
        self._idle_since = engine.now()
        self._answered = 0
        self._trap: Trap | None = None
        self._fault: Fault | None = None
        self._closing: Entry | None = None  # the look to come for whether it has been idle for too long
        self._await_closing()

    # ---- what the client does ----

    def received(self, data: bytes) -> None:
        """Some bytes of a request."""
        self._reader.feed(data)
        if self._answering is None:
            self._look_for_a_request()
        else:  # whose request was whole
            self._engine.accuse("two requests were under way at once on one connection")

    def left(self) -> None:
        """It has gone: nobody wants the answer any more."""
        self._is_over()
        self._drop_answering()

    # ---- what the server does ----

    def send(self, data: bytes) -> bool:
        """Some bytes of the answer. Whether it goes on; else the request is over."""
        if self._trap is not None:
            return self._trap.send(data)
        self._end.send(data)
        return True

    def answered(self, *, is_delimited: bool = True) -> None:
        """The answer is whole.

        :param is_delimited: whether it says so itself; else the connection's end does.
        """
        if self._trap is not None and self._trap.holds:
            self._trap.then = partial(self.answered, is_delimited=is_delimited)
            return
        self._answering = None
        self._keeps = self._keeps and is_delimited
        self._turn_idle()

    def reset(self) -> None:
        """The server breaks the connection."""
        self._end.reset()
        self.left()

    def fall_silent(self) -> None:
        """The server ends its side in the middle of an answer."""
        self._end.send_end()
        self._drop_answering()
        self._keeps = False

    # ---- how ----

    def _look_for_a_request(self) -> None:
        asked = self._reader.next() if self._keeps else None
        if asked is None:
            return
        self._keeps = asked.keeps
        self._fault = self._server.faults.draw(self._server.provider.name, self._engine.elapsed())
        self._trap = Trap(self, self._end, self._engine, self._fault) if isinstance(self._fault, AtByte) else None
        self._answering = self._server.answering(asked, self)
        self._server.admit(self._answering)

    def _drop_answering(self) -> None:
        answering, self._answering = self._answering, None
        if answering is not None:
            self._server.drop(answering)

    def _turn_idle(self) -> None:
        self._trap = None
        self._answered += 1
        self._idle_since = self._engine.now()
        if not self._keeps:
            self._close()
            return
        self._await_closing()
        if isinstance(self._fault, (FinWhileIdle, Surplus)):
            self._engine.after(self._fault.after, self._disturb, self._fault, self._answered)
        self._look_for_a_request()

    def _disturb(self, fault: FinWhileIdle | Surplus, answered: int) -> None:
        if self._answering is not None or self._answered != answered:
            return
        if isinstance(fault, Surplus):
            self._end.send(SURPLUS)
        self._close()

    def _await_closing(self) -> None:
        """The server's keepalive timeout: one entry of the agenda looks now and then, not one for each request."""
        timeout = self._server.provider.keepalive_timeout
        if timeout is not None and self._closing is None:
            self._closing = self._engine.at(self._idle_since + timeout, self._close_if_idle, timeout)

    def _close_if_idle(self, timeout: float) -> None:
        self._closing = None
        if self._answering is not None:
            return  # there will be another look when it is idle
        if self._engine.now() >= self._idle_since + timeout:
            self._close()
        else:
            self._await_closing()

    def _close(self) -> None:
        self._end.close()
        self._is_over()

    def _is_over(self) -> None:
        self._server.forget(self)
        if self._closing is not None:
            self._engine.cancel(self._closing)


class Trap:
    """Stands between an answer and the connection, and lets so many bytes through.

    :ivar holds: whether what comes after them is kept back at present.
    :ivar then: is called when it has been let go.
    """

    def __init__(self, conversation: Conversation, end: ServerEnd, engine: Engine, fault: AtByte) -> None:
        self._conversation = conversation
        self._end = end
        self._engine = engine
        self._fault = fault
        self._left: float = fault.byte
        self._held: list[bytes] = []
        self.holds = False
        self.then: Callable[[], None] = self._stay

    def send(self, data: bytes) -> bool:
        """Some bytes of the answer. Whether it goes on."""
        if self.holds:
            self._held.append(data)
            return True
        if len(data) <= self._left:
            self._left -= len(data)
            self._end.send(data)
            return True
        passed = int(self._left)
        if passed:
            self._end.send(data[:passed])
        return self._spring(data[passed:])

    def _spring(self, rest: bytes) -> bool:
        if isinstance(self._fault, Stall):
            self.holds = True
            self._held.append(rest)
            self._engine.after(self._fault.seconds, self._let_go)
            return True
        if isinstance(self._fault, HalfClose):
            self._conversation.fall_silent()
        else:
            self._conversation.reset()
        return False

    def _let_go(self) -> None:
        self.holds, self._left = False, math.inf
        for data in self._held:
            self._end.send(data)
        self.then()

    @staticmethod
    def _stay() -> None:
        """The answer is not whole yet."""
