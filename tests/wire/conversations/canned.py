"""A network whose servers answer from the conversation, at once or after a virtual while, without a task of their own.

A request is recognised by its path, the number of its exchange. What is sent for it is due at certain times, piece by
piece; each piece is received by itself. A second request for the same exchange, which only a retry can be, gets a plain
answer. Every connection remembers which exchanges were asked for on it.
"""

from __future__ import annotations

import errno
import os
import re
from collections import deque
from collections.abc import Sequence

import trio

from trio_pool import SystemNetwork

from .grammar import Exchange, nonce_of

_REQUEST = re.compile(rb"[A-Z]+ /(\d+) HTTP/1\.1\r\n")
_LENGTH = re.compile(rb"\r\nContent-Length: (\d+)\r\n")

Due = tuple[float, bytes | OSError]


class CannedStream:
    """The client's end of one connection.

    :ivar asked: the numbers of the exchanges that were asked for on it, in order.
    """

    def __init__(self, network: CannedNetwork) -> None:
        self.asked: list[int] = []
        self.is_closed = False
        self._network = network
        self._unread = b""
        self._due: deque[Due] = deque()
        self._hidden = False  # whether the next piece has still to be waited for
        self._stirred = trio.Event()

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        self._check()
        if not self.readable() or self._hidden:
            self._hidden = False
            raise BlockingIOError(errno.EAGAIN, "nothing is there")
        at, piece = self._due[0]
        if isinstance(piece, OSError):
            raise piece
        if not piece:
            return b""  # and again, if asked again
        self._due.popleft()
        if len(piece) > max_bytes:
            self._due.appendleft((at, piece[max_bytes:]))
        self._hidden = len(self._due) % 5 == 2
        return piece[:max_bytes]

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        self._check()
        self._unread += bytes(data)
        while (number := self._take_request()) is not None:
            self.asked.append(number)
            self._due += self._network.answer(number)
            self._stirred.set()
        return len(data)

    def _take_request(self) -> int | None:
        """The number of a request that is there whole."""
        head, end, rest = self._unread.partition(b"\r\n\r\n")
        asked, length = _REQUEST.match(head + b"\r\n"), _LENGTH.search(head + b"\r\n")
        size = int(length[1]) if length else 0
        if not end or len(rest) < size:
            return None
        assert asked is not None, f"this is no request: {head!r}"
        self._unread = rest[size:]
        return int(asked[1])

    def readable(self) -> bool:
        return self.is_closed or bool(self._due and self._due[0][0] <= trio.current_time())

    async def wait_readable(self) -> None:
        self._stirred = trio.Event()
        with trio.move_on_at(self._due[0][0] if self._due else float("inf")):
            await (trio.lowlevel.checkpoint() if self.readable() else self._stirred.wait())
        if self.is_closed:
            raise trio.ClosedResourceError("closed by another task")

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        self._network.open -= not self.is_closed
        self.is_closed = True
        self._stirred.set()

    def _check(self) -> None:
        if self.is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))


class CannedNetwork(SystemNetwork):
    """Every name leads to the conversation.

    :ivar streams: the connections that were made, in order.
    :ivar open: how many are open.
    :ivar most: how many were open at once.
    """

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self.streams: list[CannedStream] = []
        self.open = 0
        self.most = 0
        self._exchanges = exchanges
        self.answered: dict[int, int] = {}

    async def resolve(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        await trio.lowlevel.checkpoint()
        return [("192.0.2.1", port)]

    async def connect(self, address: tuple[str, int]) -> CannedStream:
        await trio.lowlevel.checkpoint()
        self.streams.append(CannedStream(self))
        self.open += 1
        self.most = max(self.most, self.open)
        return self.streams[-1]

    async def connect_unix(self, path: str) -> CannedStream:
        return await self.connect((path, 0))

    def random(self) -> float:
        return 0.5

    def answer(self, number: int) -> list[Due]:
        """What is sent for this exchange, and when."""
        self.answered[number] = self.answered.get(number, 0) + 1
        at = trio.current_time()
        if self.answered[number] > 1:
            return [(at, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n" + nonce_of(number))]
        exchange, due = self._exchanges[number], list[Due]()
        for gap, piece in exchange.pieces(number):
            at += gap
            due.append((at, piece))
        if exchange.reply.ending == "end":
            due.append((at, b""))
        elif exchange.reply.ending == "reset":
            due.append((at, OSError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))))
        return due
