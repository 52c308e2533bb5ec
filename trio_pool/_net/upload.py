"""Sending what does not go at once, while the response is watched for.

A server may answer before it has the whole request. A final response of 300 or more, or one that says close,
stops the upload and is delivered at once. Any other is delivered when the upload has ended; what arrives of it
meanwhile is put aside, up to a bound.

The body is sent in the caller's own task, so that its iterable runs where it was written and raises as itself.
Beside it, inside this one await, a task of ours receives. It never raises: it leaves its verdict here and stops
the upload.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import trio

from .._wire.events import End, Switched, Violation
from ..errors import LocalProtocolError, ReadError, TrioPoolError, UsageError, WriteTimeout

if TYPE_CHECKING:
    from .exchange import Exchange

AHEAD_LIMIT = 262144
"""Bytes of a response's body that are put aside while the request still goes out."""


async def upload(exchange: Exchange, rest: Sequence[bytes | memoryview]) -> bool:
    """Send `rest`, then the pieces of a streamed body. Whether all of it went, or a response stopped it.

    :raises WriteTimeout, TotalTimeout: the server took nothing for too long.
    :raises ReadError, RemoteProtocolError: what came back was broken.
    :raises LocalProtocolError: the body is not what its Content-Length says.
    """
    work = _Upload(exchange)
    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        sending = trio.CancelScope(deadline=exchange.deadline)
        nursery.start_soon(work.watch, sending)
        try:
            with sending:  # takes out what is its own, also of a group that the caller's iterable makes
                await work.send(rest)
        except BaseException as error:  # taken out of the nursery's group and raised as itself below
            failure = error
        nursery.cancel_scope.shield = True  # the watcher ends at once, and only by this cancellation
        nursery.cancel_scope.cancel()
    failure = failure or work.verdict
    if failure is None and sending.cancelled_caught and not work.is_stopped:
        failure = exchange.timed_out(None)
    if failure is not None:
        raise failure
    return work.is_done


class _Upload:
    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._stream = exchange.connection.stream
        self._codec = exchange.connection.codec
        self._put_aside = 0
        self.is_done = False
        self.is_stopped = False  # by the response
        self.verdict: TrioPoolError | None = None

    # ---- sending, in the caller's task ----

    async def send(self, rest: Sequence[bytes | memoryview]) -> None:
        """All of it, as fast as the server takes it."""
        for data in rest:
            await self._send_all(data)
        content = self._exchange.request.content
        if content is not None and not isinstance(content, bytes):
            await self._send_pieces(content)
        self.is_done = True

    async def _send_pieces(self, body: AsyncIterable[bytes]) -> None:
        if self._exchange.send_error is not None:
            return  # the body stays whole, for a second try
        self._exchange.used_body = True
        pieces = aiter(body)
        try:
            while (piece := await self._next_piece(pieces)) is not None:
                await self._send_all(self._encode(piece))
                await self._exchange.pace(len(piece))
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()
        await self._send_all(self._encode(None))

    async def _next_piece(self, pieces: AsyncIterator[bytes]) -> bytes | None:
        exchange = self._exchange
        if exchange.send_error is not None:
            return None
        try:
            piece: Any = await anext(pieces)  # whatever the caller makes
        except StopAsyncIteration:
            return None
        if isinstance(piece, (bytes, bytearray, memoryview)):
            return bytes(cast("bytes", piece))
        raise exchange.error(UsageError, f"a body is made of bytes, not of {type(piece).__name__}")

    def _encode(self, piece: bytes | None) -> bytes:
        """A piece of the body, framed, or its end."""
        exchange = self._exchange
        if exchange.send_error is not None:
            return b""
        try:
            return self._codec.encode_end() if piece is None else self._codec.encode_piece(piece)
        except LocalProtocolError as error:
            raise exchange.error(LocalProtocolError, error.what) from None

    async def _send_all(self, data: bytes | memoryview) -> None:
        exchange = self._exchange
        while rest := exchange.offer(data):
            data = rest
            stall = trio.current_time() + exchange.limits.write
            await exchange.wait(self._stream.wait_writable, stall, WriteTimeout)

    # ---- receiving, in a task of ours ----

    async def watch(self, sending: trio.CancelScope) -> None:
        """Receive until the response stops the upload, or ends, or as much is put aside as may be."""
        try:
            while not await self._look():
                await self._stream.wait_readable()
        except TrioPoolError as error:
            self.verdict = error
        except trio.ClosedResourceError:
            self.verdict = self._exchange.error(ReadError, "the connection was closed from elsewhere")
        if self._exchange.connection.is_overdue:
            self.verdict = None  # the sender has waited too long, and says so
            return
        head = self._exchange.head
        if self.verdict is not None or (head is not None and (head.status_code >= 300 or head.closes)):
            self.is_stopped = True
            sending.cancel()

    async def _look(self) -> bool:
        """Take what is there of the response. Whether there is nothing more to look for."""
        while True:
            try:
                data = self._stream.recv_nowait(65536)
            except BlockingIOError:
                return False
            except OSError as error:
                raise self._exchange.broken(error) from error
            if await self._take(data):
                return True

    async def _take(self, data: bytes) -> bool:
        exchange = self._exchange
        exchange.feed(data)
        while not exchange.is_at_end and exchange.parse():  # what stands behind the end is no part of it
            await exchange.pace(0)
        while exchange.head is None and exchange.events:
            exchange.note(exchange.events.popleft())
        if exchange.head is None:
            return False
        self._put_aside += len(data)
        is_over = not data or (bool(exchange.events) and isinstance(exchange.events[-1], (End, Switched, Violation)))
        return is_over or exchange.head.status_code >= 300 or exchange.head.closes or self._put_aside >= AHEAD_LIMIT
