"""One exchange on one connection: the request goes out, the response comes in, each within its time.

Strategy. Bytes are sent and received at once where the stream takes and has them; nothing ever waits but for a
stream that would block. Such a wait needs no timer of its own: the connection notes when it is due, and the pool's
alarm clock (`_core/deadlines.py`) closes a stream whose wait has lasted too long, which ends the wait. (A connection
on which something timed out is never used again.) What could not be sent at once, and a body that the caller makes
piece by piece, is an *upload* (`upload.py`): only then does anything run side by side, inside that one await.

An exchange never gives its connection back; it says, by `is_reusable`, whether that may be used again. Once any
of its methods has raised, or a task in it was cancelled, it is not.

Every public await is fair: it looks for a cancellation and at the total deadline even if nothing blocks, and
yields where it has not for a millisecond or 256 KiB.
"""

from __future__ import annotations

import math
import ssl
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import trio

from .._wire.events import End, Event, Head, Interim, Switched, Violation
from ..config import Limits
from ..errors import (
    LimitExceeded,
    LocalProtocolError,
    Phase,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    TotalTimeout,
    TrioPoolError,
    UsageError,
    WriteError,
    WriteTimeout,
)
from ..events import InterimResponse
from ..headers import Headers
from ..messages import IDEMPOTENT_METHODS, Request
from .connection import Connection
from .upload import upload

READ_SIZE = 65_483
"""Bytes asked of the stream at a time: what the largest TCP segment of Linux holds. More would cut the next in two."""

FIRST_BITE = 16384
"""Bytes parsed at first: the fast lane wants a head whole."""

BITE = 4096
"""Bytes parsed at a time where they hold many pieces: a parse must not keep other tasks waiting. Where they are
nearly all body, in few pieces, the next bite is twice as large."""

SMALL_BODY = 65536
"""Bytes: a body up to this size goes out in one piece with the head."""

DRAIN_LIMIT = 65536
"""Bytes that are read, without waiting, of a response that was left before its end."""

MAX_INTERIM = 100
"""Interim responses before the final one."""

YIELD_SECONDS = 0.001
YIELD_BYTES = 262_144
"""What a task may be served without letting others run, whichever comes first."""


async def begin(connection: Connection, request: Request, limits: Limits, deadline: float) -> Exchange:
    """An exchange that has come to the response's head; see `Exchange.run_to_head`.

    :param deadline: of the whole request, by trio's clock.
    """
    exchange = Exchange(connection, request, limits, deadline, connection.now())
    await exchange.run_to_head()
    return exchange


class Exchange:
    """One request and its response on one connection.

    :ivar head: the response's head.
    :ivar trailers: the fields after the body, once it has ended.
    :ivar complete: whether the response has been taken to its end.
    :ivar is_reusable: whether the connection may be used again.
    :ivar sent: bytes of the request that the network took.
    :ivar received: bytes of the response.
    :ivar events: what the bytes said and nobody has taken yet.
    :ivar is_whole: whether the body says itself that it is whole (True), or that it failed, or has not said it and has
        ended (False); None where it says nothing of the kind.
    :ivar surplus: once the connection speaks another protocol, the first bytes of that; else None.
    """

    head: Head | None = None
    trailers: Sequence[tuple[bytes, bytes]] = ()
    complete = False
    is_reusable = False
    sent = 0
    received = 0
    failure: TrioPoolError | None = None
    is_whole: bool | None = None
    surplus: bytes | None = None
    send_error: OSError | None = None
    used_body = False  # whether a piece was taken of a body that cannot be replayed
    sent_at: float | None = None
    head_at: float | None = None
    ended_at: float | None = None
    _sent_all = False
    _died = False
    _interims = 0
    _is_told_to_continue = False
    _unparsed = b""  # what has arrived, and nobody has looked at
    _bite = FIRST_BITE

    def __init__(self, connection: Connection, request: Request, limits: Limits, deadline: float, now: float) -> None:
        self.connection = connection
        self.request = request
        self.limits = limits
        self.deadline = deadline
        self.started_at = now
        self.events: deque[Event] = deque()
        self._stream = connection.stream

    def afresh(self, connection: Connection) -> Exchange:
        """The same once more, on another connection."""
        return Exchange(connection, self.request, self.limits, self.deadline, connection.now())

    # ---- the awaits ----

    async def run_to_head(self) -> None:
        """Send the request and wait for the response's head.

        Whoever calls has looked for a cancellation: here that would cost the connection, which is still whole. Until
        something has been sent this neither waits nor looks for one, but for what a witness does, and where it is too
        late: then the connection stays as it is.

        :raises WriteTimeout, ReadTimeout, TotalTimeout: the server did nothing for too long.
        :raises WriteError, ReadError, RemoteProtocolError: the connection or the server failed.
        :raises LocalProtocolError: the request would break HTTP/1.1, or its body is not what it says.
        """
        request, connection = self.request, self.connection
        witness = request.witness
        if self.is_too_late:
            await trio.lowlevel.checkpoint()  # whoever tries again and again must let others run
            raise self.timed_out(None)
        if witness is not None:
            await witness.sending(self._stream)
        rest = self._send_request()
        if rest or request.is_streamed or request.expects_continue:
            await self._send_slowly(rest)
        else:
            self._sent_all = True
        if witness is not None:
            await witness.sent()
        self.sent_at = now = connection.now()
        due = now + self.limits.first_byte
        if self.received or self.send_error is not None:
            await self.pace(0)
        elif not connection.ends_waits:
            await self.wait(self._stream.wait_readable, due, ReadTimeout)
        else:  # as `wait`, in one piece: nearly every request comes this way, and most of them have no more to wait for
            if due > self.deadline:
                due = self.deadline
            before, connection.due = connection.due, due
            if due < connection.armed:
                connection.watch(connection)
            try:
                await self._stream.wait_readable()  # nobody answers before being asked
            except (trio.ClosedResourceError, trio.BusyResourceError) as error:
                self._explain(error)
            finally:
                connection.due = before
            self._has_waited(due, ReadTimeout)
            self._receive_head(connection.yielded_at)
        while self.head is None:
            if self.events:
                self.note(self.events.popleft())
            elif not self.parse():
                await self._fill(due, math.inf)
        if self.events and type(self.events[0]) is Switched:
            self.note(self.events.popleft())

    async def receive(self, due: float = math.inf, silence: float | None = None) -> bytes:
        """The next piece of the body, as it came; b"" at its end.

        :param due: when it must have come, by trio's clock.
        :param silence: the seconds that each wait may take besides; by default the `read` timeout.
        :raises ReadTimeout, TotalTimeout: the server was silent for too long.
        :raises ReadError, RemoteProtocolError: the connection or the server failed.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while (piece := self._take()) is None:
            if self.complete:
                return b""
            if not self.receive_nowait():
                await self._wait_for_bytes(due, silence)
        if self.owes_a_yield(len(piece)):
            await self.take_turns()
        return piece

    async def receive_all(self) -> list[bytes]:
        """The rest of the body. Raises as `receive`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        pieces: list[bytes] = []
        before = 0  # what has come with the head counts too
        while True:
            self._take_all(pieces)
            if self.complete:
                return pieces
            if not self.parse():
                await self._fill()
            size, before = self.received - before, self.received
            await self.pace(size)

    async def foresee(self, is_enough: Callable[[bytes], bool], bound: int, due: float = math.inf) -> bytes:
        """What is to come of the body, all of it or at least so much; whoever reads it afterwards gets it all the same.

        :param is_enough: whether so much will do.
        :param bound: bytes that will do in any case.
        :param due: when it must have come.
        :raises ReadTimeout, TotalTimeout, ReadError: it does not come.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            seen = b"".join([event for event in self.events if type(event) is bytes])
            if self.complete or self.is_at_end or len(seen) >= bound or is_enough(seen):
                return seen
            if not self.parse():
                await self._fill(due, math.inf)

    def drain_nowait(self) -> None:
        """Take what is there of the response, up to a bound, without waiting or raising."""
        bound = self.received + DRAIN_LIMIT
        try:
            while True:
                while self._take() is not None:
                    pass
                if self.complete or self.received >= bound:
                    return
                self.feed(self._stream.recv_nowait(READ_SIZE))
        except (OSError, TrioPoolError):
            return

    # ---- sending ----

    def _send_request(self) -> Sequence[bytes | memoryview]:
        """Send what goes at once. What of the request is at hand and did not go."""
        try:
            wire = self.connection.codec.encode(self.request)
        except LocalProtocolError as error:
            raise self.error(LocalProtocolError, error.what) from None
        if self.request.expects_continue:
            return [self.offer(wire[0]), *wire[1:]]
        if len(wire) > 1 and len(wire[1]) <= SMALL_BODY:
            wire = [b"".join(wire)]
        for position, data in enumerate(wire):
            if rest := self.offer(data):
                return [rest, *wire[position + 1 :]]
        return ()

    async def _send_slowly(self, rest: Sequence[bytes | memoryview]) -> None:
        """What takes more than one send: unless a final response comes first."""
        if not self.request.expects_continue or await self._may_continue():
            self._sent_all = await upload(self, rest)

    async def _may_continue(self) -> bool:
        """Whether to send the body after `Expect: 100-continue`: told to, or told nothing for a while."""
        with trio.move_on_after(self.connection.limits.expect):
            while self.head is None and not self._is_told_to_continue:
                if self.events:
                    self.note(self.events.popleft())
                elif not self.parse():
                    await self._fill(silence=math.inf)
        return self.head is None

    def offer(self, data: bytes | memoryview) -> bytes | memoryview:
        """Send what the network takes now, at most 256 KiB. What is left; to wait for the stream is then also to yield.

        A broken connection is remembered as `send_error`: there may be a response to read all the same.
        """
        rest, enough = data, self.sent + YIELD_BYTES
        try:
            while rest and self.sent < enough:
                taken = self._stream.send_nowait(rest)
                self.sent += taken
                if taken == len(rest):
                    return b""
                rest = memoryview(rest)[taken:]
        except BlockingIOError:
            pass
        except OSError as error:
            self.send_error = error
            return b""
        return rest

    # ---- receiving ----

    def _take(self) -> bytes | None:
        """The next piece of the body that is at hand; notes what stands before it."""
        if self.failure is not None:
            raise self.failure  # nothing that follows a violation means anything
        while self.events or (not self.complete and self.parse()):
            event = self.events.popleft() if self.events else None
            if type(event) is bytes:
                return event
            if event is not None:
                self.note(event)
        return None

    def _take_all(self, pieces: list[bytes]) -> None:
        """Add the pieces of the body that were parsed; notes what stands between them."""
        if self.failure is not None:
            raise self.failure
        events, self.events = self.events, deque()
        for event in events:
            if type(event) is bytes:
                pieces.append(event)
            else:
                self.note(event)

    def take_whole(self) -> bytes | None:
        """The rest of the body if all of it is at hand in one piece, as most short ones are. Else it stays."""
        if len(self.events) != 2:
            return None
        body, end = self.events
        if type(body) is not bytes or type(end) is not End:
            return None
        self.events.clear()
        self._note_end(end)
        return body

    def note(self, event: Event) -> None:
        """Learn from an event that is no piece of the body.

        :raises RemoteProtocolError, LimitExceeded: it is a violation.
        """
        if isinstance(event, Head):
            self.head = event
            self.head_at = self.connection.now()
        elif isinstance(event, End):
            self._note_end(event)
        elif isinstance(event, Interim):
            self._note_interim(event)
        elif isinstance(event, Switched):
            self.surplus = event.surplus + self._unparsed
            self.complete = True
            self.ended_at = self.connection.now()
        elif not isinstance(event, bytes):
            self._unparsed = b""
            self.events.clear()
            self.failure = self.error(LimitExceeded if event.is_limit else RemoteProtocolError, event.what)
            raise self.failure

    def _note_end(self, end: End) -> None:
        self.trailers = end.trailers
        self.complete = True
        self.is_reusable = end.keeps and not self._unparsed and self._sent_all and self.send_error is None
        self.ended_at = self.connection.now()

    def _note_interim(self, event: Interim) -> None:
        self._interims += 1
        if self._interims > MAX_INTERIM:
            raise self.error(LimitExceeded, f"the server sent more than {MAX_INTERIM} interim responses")
        self._is_told_to_continue = self._is_told_to_continue or event.status_code == 100
        if self.connection.observe is not None:
            headers = Headers.of(event.headers)
            self.connection.observe(InterimResponse(self.request.origin, event.status_code, headers))

    def feed(self, data: bytes) -> None:
        """Bytes that arrived; b"" for the end of the connection.

        :raises WriteError, RemoteProtocolError: the connection ended before the response's head.
        """
        if not data and self.head is None:
            raise self._ended()
        self.received += len(data)
        if data:
            self._unparsed = self._unparsed + data if self._unparsed else data
        else:
            self.events += self.connection.codec.feed(data)

    @property
    def is_at_end(self) -> bool:
        """Whether the last event at hand is the last of the response."""
        return bool(self.events) and isinstance(self.events[-1], (End, Switched, Violation))

    def parse(self) -> bool:
        """Have a bite of what has arrived turned into events. Whether there was any."""
        data = self._unparsed
        if not data:
            return False
        if len(data) <= self._bite:
            self._unparsed = b""
            events = self.connection.codec.feed(data)
        else:
            events = self._parse_bite(data, self._bite)
        self.events += events
        return True

    def _parse_bite(self, data: bytes, size: int) -> list[Event]:
        """Parse as much of it, and adapt the size of the next bite."""
        self._unparsed = data[size:]
        events = self.connection.codec.feed(data[:size])
        is_easy = len(events) <= 8 and sum(len(event) for event in events if type(event) is bytes) >= size * 7 // 8
        self._bite = min(2 * size, READ_SIZE) if is_easy else BITE
        return events

    def receive_nowait(self) -> bool:
        """Receive once and parse a bite of it. Whether anything was there."""
        try:
            data = self._stream.recv_nowait(READ_SIZE)
        except BlockingIOError:
            return False
        except OSError as error:
            raise self.broken(error) from error
        if self._unparsed or not data or len(data) > self._bite:
            self.feed(data)
            self.parse()
        else:
            self.received += len(data)
            events = self.connection.codec.feed(data)
            self.events += events
        return True

    def _receive_head(self, now: float) -> None:
        """Receive once, and take the head if that was plain: nearly all are."""
        self.receive_nowait()
        if self.events and type(head := self.events[0]) is Head:
            self.head, self.head_at = head, now
            self.events.popleft()

    async def _fill(self, due: float = math.inf, silence: float | None = None) -> None:
        """Receive once, before it is due; each wait may take `silence` seconds."""
        while not self.receive_nowait():
            await self._wait_for_bytes(due, silence)

    def _wait_for_bytes(self, due: float, silence: float | None) -> Awaitable[None]:
        """Wait until there is something to receive."""
        silence = self.limits.read if silence is None else silence
        until = min(due, self.connection.now() + silence)
        return self.wait(self._stream.wait_readable, until, ReadTimeout)

    # ---- waiting, and being fair ----

    async def wait(
        self, until: Callable[[], Awaitable[None]], due: float, timeout: type[ReadTimeout | WriteTimeout]
    ) -> None:
        """Wait for the stream, until it is due or the total deadline comes: then the alarm clock closes the stream."""
        due = min(due, self.deadline)
        if not self.connection.ends_waits:
            await self._wait_in_scope(until, due, timeout)
            return
        before = self._arm(due)
        try:
            await until()
        except (trio.ClosedResourceError, trio.BusyResourceError) as error:
            self._explain(error)
        finally:
            self.connection.due = before
        self._has_waited(due, timeout)

    def _arm(self, due: float) -> float:
        """Tell the alarm clock of a wait. When the one before is due, of a task that will not let this one in."""
        connection = self.connection
        before, connection.due = connection.due, due
        if due < connection.armed:
            connection.watch(connection)
        return before

    def _explain(self, error: trio.ClosedResourceError | trio.BusyResourceError) -> None:
        """Why a wait came to nothing."""
        if isinstance(error, trio.BusyResourceError):
            raise UsageError("two tasks read one response at once", origin=self.request.origin) from None
        if not self.connection.is_overdue:
            raise self.error(ReadError, "the connection was closed from elsewhere") from None

    def _has_waited(self, due: float, timeout: type[ReadTimeout | WriteTimeout]) -> None:
        """A wait is over: because of the alarm clock, or not."""
        connection = self.connection
        if connection.is_overdue:
            raise self.timed_out(None if due == self.deadline else timeout)
        connection.yielded_at = connection.now()
        connection.unyielded = 0

    async def _wait_in_scope(
        self, until: Callable[[], Awaitable[None]], due: float, timeout: type[ReadTimeout | WriteTimeout]
    ) -> None:
        """The same for somebody's own stream, of which nobody knows whether its waits end by closing it, or yield."""
        scope = trio.CancelScope(deadline=due)
        try:
            with scope:
                await until()
        except (trio.ClosedResourceError, trio.BusyResourceError) as error:
            self._explain(error)
        if scope.cancelled_caught:
            raise self.timed_out(None if due == self.deadline else timeout)
        await self.pace(0)

    async def be_fair(self, size: int) -> None:
        """What every public await owes the other tasks: see the module's docstring."""
        await trio.lowlevel.checkpoint_if_cancelled()
        await self.pace(size)

    async def pace(self, size: int) -> None:
        """Yield, and look at the deadline, if this task has been served without a wait for too long."""
        if self.owes_a_yield(size):
            await self.take_turns()

    def owes_a_yield(self, size: int) -> bool:
        """Whether this task has been served without a wait for so long, now that it gets `size` bytes more, that the
        next piece could be too much.

        :raises TotalTimeout: the deadline has passed.
        """
        connection = self.connection
        now = connection.now()
        connection.unyielded += size
        if now >= self.deadline and not self.complete:
            raise self.timed_out(None)
        return connection.unyielded > YIELD_BYTES - READ_SIZE or now - connection.yielded_at >= YIELD_SECONDS

    async def take_turns(self) -> None:
        """Yield to other tasks."""
        await trio.lowlevel.checkpoint()
        self.connection.yielded_at = self.connection.now()
        self.connection.unyielded = 0

    # ---- errors ----

    @property
    def is_too_late(self) -> bool:
        """Whether its time is over before it begins. Then nothing is sent: the connection stays as it is."""
        return self.started_at >= self.deadline

    @property
    def was_broken_off(self) -> bool:
        """Whether the server or the network ended it before its end, and not we."""
        if self.is_whole is not None:
            return not self.is_whole
        is_slow = self.connection.is_overdue and self.ended_at is None and trio.current_time() < self.deadline
        return self._died or self.failure is not None or is_slow

    @property
    def may_be_sent_again(self) -> bool:
        """Whether the connection died unanswered, and sending the request again cannot do it twice, as far as can be
        seen from here."""
        harmless = self.sent == 0 or self.request.method in IDEMPOTENT_METHODS
        return self._died and self.received == 0 and harmless and not self.used_body

    def error(self, kind: type[TrioPoolError], what: str, advice: str = "") -> TrioPoolError:
        """An error of this exchange, in its present phase."""
        phase, since = self._phase()
        return kind(
            what,
            origin=self.request.origin,
            phase=phase,
            elapsed=self.connection.now() - since,
            advice=advice,
            may_have_been_processed=self.sent > 0,
        )

    def _phase(self) -> tuple[Phase, float]:
        if self.sent_at is None:
            return "sending the request", self.started_at
        if self.head_at is None:
            return "waiting for the response", self.sent_at
        return "reading the response", self.head_at

    def timed_out(self, kind: type[ReadTimeout | WriteTimeout] | None) -> TrioPoolError:
        """The error for a deadline that has passed; None stands for the total one."""
        if kind is None:
            advice = "Raise total_timeout if the request may take longer."
            return self.error(TotalTimeout, "the request's total timeout ran out", advice)
        if kind is WriteTimeout:
            return self.error(kind, f"the server took nothing for {self.limits.write:g} s")
        if self.head is None:
            what = f"the server did not begin to answer within {self.limits.first_byte:g} s"
            return self.error(kind, what, "Raise first_byte_timeout if it may think that long.")
        return self.error(kind, f"the server was silent for {self.limits.read:g} s")

    def broken(self, error: OSError) -> TrioPoolError:
        """The connection broke while something was awaited from it."""
        self._died = True
        if self.send_error is not None and self.head is None:
            return self.error(WriteError, f"the connection broke: {_reason(self.send_error)}")
        return self.error(ReadError, f"the connection broke: {_reason(error)}")

    def _ended(self) -> TrioPoolError:
        self._died = True
        if self.send_error is not None:
            return self.broken(self.send_error)
        what = "in the middle of the response's head" if self.received else "without a response"
        return self.error(RemoteProtocolError, f"the server ended the connection {what}")


def _reason(error: OSError) -> str:
    """What went wrong, in words."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return error.strerror or str(error) or type(error).__name__
