"""Iterating over a response's body: piece by piece, decoded, and turned into what was asked for.

The response says where pieces come from, and gives its connection back when they have ended. Nothing here is a
generator, so leaving an iteration early leaves nothing to be cleaned up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import trio

from ._wire.decoding import Decoder
from .errors import DecodingError, LimitExceeded, TotalTimeout

if TYPE_CHECKING:
    from .response import Response

T = TypeVar("T")


class BodyIterator(Generic[T]):
    """Iterates over a body, turned into what was asked for. Not a generator: leaving it early costs nothing."""

    __slots__ = (
        "_decoded",
        "_decoder",
        "_exchange",
        "_feed",
        "_finish",
        "_is_done",
        "_is_plain",
        "_pending",
        "_receive",
        "_response",
        "_slice",
    )

    def __init__(
        self,
        response: Response,
        receive: Callable[[], Awaitable[bytes]],
        decoder: Decoder | None,
        feed: Callable[[bytes], Iterable[T]],
        finish: Callable[[], Iterable[T]],
        slice_size: int,
    ) -> None:
        self._response = response
        self._exchange = response._exchange
        self._receive = receive
        self._decoder = decoder
        self._feed = feed
        self._finish = finish
        self._slice = slice_size  # the most bytes that `feed` gets at once, or 0 where it does not matter
        self._is_plain = decoder is None and feed is as_it_is
        self._is_done = False
        self._decoded: Iterator[bytes] = iter(())  # taken one by one: a few bytes can become many pieces
        self._pending: deque[T] = deque()

    def __aiter__(self) -> BodyIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._is_plain:
            piece: Any = await self._receive()
            if piece:
                return piece  # type: ignore[no-any-return]  # what is fed on is bytes then
            self._is_plain = False
            self._is_done = True
        if self._pending:
            await trio.lowlevel.checkpoint_if_cancelled()
            if self._owes_a_yield(0):
                await self._exchange.take_turns()
        while not self._pending:
            size = self._take_decoded()
            if size:
                await trio.lowlevel.checkpoint_if_cancelled()
                if self._owes_a_yield(size):
                    await self._exchange.take_turns()
            elif self._is_done:
                await trio.lowlevel.checkpoint_if_cancelled()
                raise StopAsyncIteration
            else:
                await self._refill()
        return self._pending.popleft()

    def _owes_a_yield(self, size: int) -> bool:
        try:
            return self._exchange.owes_a_yield(size)
        except TotalTimeout as error:
            self._response._cut(error)
            raise

    def _take_decoded(self) -> int:
        """Turn one decoded piece into what was asked for; its size, or 0 when there is none at hand."""
        try:
            piece = next(self._decoded, None)
            if piece is None:
                return 0
            self._pending += self._feed(piece)
            return len(piece) or 1
        except (DecodingError, LimitExceeded) as error:
            raise self._response._fail(error) from error

    async def _refill(self) -> None:
        piece = await self._receive()
        try:
            if not piece:
                self._end()
            elif self._decoder is None and not self._slice:
                self._pending += self._feed(piece)
            else:
                decoded = (piece,) if self._decoder is None else self._decoder.feed(piece)
                self._decoded = _slices(decoded, self._slice) if self._slice else iter(decoded)
        except (DecodingError, LimitExceeded) as error:
            raise self._response._fail(error) from error

    def _end(self) -> None:
        if self._decoder is not None:
            self._decoder.finish()
        self._pending += self._finish()
        self._is_done = True


class Stored:
    """A body that was read before, piece by piece once more."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def receive(self) -> bytes:
        """The body, then b""."""
        content, self._content = self._content, b""
        return content


def _slices(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    for piece in pieces:
        for start in range(0, len(piece) or 1, size):
            yield piece[start : start + size]


def as_it_is(piece: bytes) -> tuple[bytes, ...]:
    """What a piece is turned into where nothing else was asked for."""
    return (piece,) if piece else ()


def nothing() -> tuple[()]:
    """What follows the last piece."""
    return ()
