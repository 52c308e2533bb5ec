"""Event streams that cannot hang, and that say how they ended.

An `EventStream` stands between a response and what iterates over its body: it receives for it, within the time that an
event may take, and turns what came into events. Where the dialect of the stream is known, it sees to it that the
stream says that it is whole.

The time that an event may take is time that the caller waits for one: the clock runs from the moment at which nothing
is at hand any more, and stands while the caller is busy with what it got. It is looked at once for each piece that
arrives and never for an event, and there is no timer: the connection's alarm clock rings (see `_net/exchange.py`).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

import attrs
import trio

from ._core.dialects import NOTHING, Complaint, Dialect, StreamJudge
from .errors import (
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    StreamFailed,
    StreamIncomplete,
    TrioPoolError,
    UsageError,
)
from .sse import EventParser, ServerSentEvent

if TYPE_CHECKING:
    from .response import Response

DialectName = Literal["openai", "anthropic", "google"]

EVENT_TIMEOUT = 600.0
"""Seconds that an event may take where the dialect is known and nothing else was said. As long as providers' own
clients wait for an answer (`providers.FIRST_BYTE_TIMEOUT`); DeepSeek sends comments for as long
(https://api-docs.deepseek.com/quick_start/rate_limit)."""

DRAIN_SECONDS = 0.1
"""Seconds that the rest of a stream may take once it has said that it is whole."""

KEPT = 65536
"""Bytes of the stream whose events an error carries."""

SomeError = TypeVar("SomeError", StreamFailed, StreamIncomplete)


def known_dialect(value: Dialect | str | None) -> Dialect | None:
    """A dialect by itself or by its name.

    :raises UsageError: there is none of that name.
    """
    try:
        return None if value is None else Dialect(value)
    except ValueError:
        known = ", ".join(repr(one.value) for one in Dialect)
        raise UsageError(f"dialect must be one of {known}, 'upstream' or None, not {value!r}") from None


def _check(name: str, value: object) -> None:
    if value is not None and not (isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0):
        raise UsageError(f"{name} must be a positive number of seconds, math.inf or None, not {value!r}")


@attrs.frozen(kw_only=True)
class EventTimeouts:
    """The time that events may take.

    :ivar first: seconds of waiting for the first event, or None: as the stream's dialect has it.
    :ivar between: the same for each later event.
    :ivar pings_count: whether what only says that the stream is alive counts as an event.
    :raises UsageError: for seconds that are no positive number.
    """

    first: float | None = None
    between: float | None = None
    pings_count: bool = False

    def __attrs_post_init__(self) -> None:
        _check("first_event", self.first)
        _check("between_events", self.between)


class _Received:
    """The last of the events that came, and how many came in all."""

    def __init__(self) -> None:
        self.count = 0
        self._batches: deque[tuple[int, Sequence[ServerSentEvent]]] = deque()
        self._bytes = 0
        self._begun = 0

    def add(self, events: Sequence[ServerSentEvent], size: int) -> None:
        """So many bytes have ended with these events, perhaps with none."""
        self._begun += size
        if not events:
            return
        self.count += len(events)
        self._batches.append((self._begun, events))
        self._bytes += self._begun
        self._begun = 0
        while self._bytes > KEPT and len(self._batches) > 1:
            self._bytes -= self._batches.popleft()[0]

    def all(self) -> tuple[ServerSentEvent, ...]:
        """The last events."""
        return tuple(event for _, events in self._batches for event in events)


class EventStream:
    """One response's events. Whoever iterates calls `receive` when nothing is at hand, then `feed`, at last `finish`.

    :param response: whose body it is.
    :param parser: takes the bytes apart.
    :param judge: knows how such a stream ends, or None.
    :param timeouts: the time that events may take.
    :param source: gives the body's pieces, or None: they are received.
    """

    def __init__(
        self,
        response: Response,
        parser: EventParser,
        judge: StreamJudge | None,
        timeouts: EventTimeouts,
        source: Callable[[], Awaitable[bytes]] | None,
    ) -> None:
        self._response = response
        self._exchange = response._exchange
        self._parser = parser
        self._judge = judge
        self._timeouts = timeouts
        self._source = source
        self._received = _Received()
        self._is_first = True
        self._left = self._patience()  # seconds that may still be waited for an event
        self._due = math.inf  # when they are over, while the clock runs
        self._is_waiting = False
        self._signs = 0  # of life, as the parser counted them
        self._is_over = False
        self._last: ServerSentEvent | None = None  # the one that says that the stream failed
        self._failure: TrioPoolError | None = None

    # ---- receiving ----

    async def receive(self) -> bytes:
        """The next piece of the body; b"" at its end.

        :raises StopAsyncIteration: the stream has said that it is whole, and its events were taken.
        :raises StreamFailed, StreamIncomplete: what they say.
        :raises ReadTimeout: no event came in time, or nothing at all.
        """
        if self._failure is not None:
            raise self._failure
        if self._is_over:
            await self._response.leave(DRAIN_SECONDS)
            raise StopAsyncIteration
        if self._source is not None:
            return await self._source()
        now = trio.current_time()
        if not self._is_waiting:
            self._is_waiting = True
            self._due = now + self._left
        elif now >= self._due:  # something comes all the time, and it is no event
            raise self._give_up()
        try:
            return await self._response._receive(partial(self._exchange.receive, self._due, self._silence()))
        except ReadTimeout as error:
            if trio.current_time() >= self._due:
                raise self._late() from error
            raise
        except (ReadError, RemoteProtocolError) as error:
            if self._judge is None or not self._exchange.was_broken_off:
                raise
            raise self._broke_off(error, self._judge) from error

    def _broke_off(self, error: TrioPoolError, judge: StreamJudge) -> BaseException:
        """What it is that the connection ended: for a stream that is whole, nothing."""
        if judge.is_complete:
            self._report(judge)
            return StopAsyncIteration()
        return self._error(StreamIncomplete, f"the event stream broke off before its end mark: {error.what}")

    def _patience(self) -> float:
        given = self._timeouts.first if self._is_first else self._timeouts.between
        return given or (EVENT_TIMEOUT if self._judge is not None else math.inf)

    def _silence(self) -> float:
        """Seconds for which the connection may be silent: what was said for events replaces the pool's `read_timeout`,
        and not what was said for this request."""
        given = self._timeouts.first if self._is_first else self._timeouts.between
        own = self._response.request.timeouts
        has_own = own is not None and getattr(own, "read", None) is not None
        return self._exchange.limits.read if given is None or has_own else math.inf

    def _give_up(self) -> TrioPoolError:
        error = self._late()
        self._exchange.is_whole = False
        self._response._release()
        return error

    def _late(self) -> TrioPoolError:
        what, name = ("first", "first_event") if self._is_first else ("further", "between_events")
        counted = "" if self._timeouts.pings_count else ", pings and comments not counted"
        words = f"no {what} event came within {self._patience():g} s{counted}"
        error = self._exchange.error(ReadTimeout, words, f"Raise {name} if it may take longer.")
        error.attempts = self._response.attempts
        return error

    # ---- events ----

    def feed(self, piece: bytes) -> Sequence[ServerSentEvent]:
        """The events that this piece completes.

        :raises LimitExceeded: an event is too large.
        """
        if self._is_over:
            return ()
        events = self._parser.feed(piece)
        if self._judge is None:
            is_alive = bool(events)
        else:
            events, is_alive = self._judged(events, self._judge)
            self._received.add(events, len(piece))
            if self._judge.complaint is not None:
                self._fail(self._judge.complaint)
        if is_alive or (self._timeouts.pings_count and (events or self._parser.signs != self._signs)):
            self._is_first = self._is_first and not is_alive
            self._left, self._is_waiting = self._patience(), False
        elif events:  # the caller is busy with pings: its time is not counted
            self._left, self._is_waiting = self._due - trio.current_time(), False
        self._signs = self._parser.signs
        return events

    def _judged(self, events: list[ServerSentEvent], judge: StreamJudge) -> tuple[list[ServerSentEvent], bool]:
        """The events up to the stream's end or failure, and whether any of them is more than a ping."""
        see, is_alive = judge.see, False
        for number, event in enumerate(events):
            sign = see(event)
            if sign is NOTHING:
                is_alive = True
            elif sign.complaint is not None:
                self._last = event
                return events[:number], True
            elif sign.is_end:
                self._end(judge)
                return events[: number + 1], True
        return events, is_alive

    def _end(self, judge: StreamJudge) -> None:
        """It is whole. If the rest is there, the connection is given back before the caller gets the end mark."""
        self._is_over = self._exchange.is_whole = True
        self._report(judge)
        if not self._response.is_closed:
            self._exchange.drain_nowait()
            if self._exchange.complete:
                self._response._release()

    def _fail(self, complaint: Complaint) -> None:
        """It failed. That is told when the events before have been taken; the connection is not waited for."""
        self._is_over, self._exchange.is_whole = True, False
        codes = ", ".join(sorted(complaint.codes)) or "an error"
        error = self._error(StreamFailed, f"the event stream failed with {codes}")
        error.event, error.codes = self._last, complaint.codes
        error.status_code, error.retry_after = complaint.status, complaint.wait
        self._failure = error
        if self._response._complain is not None:
            self._response._complain(complaint)
        self._response.close()

    def finish(self) -> tuple[()]:
        """The body has ended.

        :raises StreamIncomplete: and the stream had not said that it is whole.
        :raises LimitExceeded: an event is too large.
        """
        self._parser.finish()
        if self._judge is not None:
            self._report(self._judge)
            if not self._judge.is_complete:
                raise self._error(StreamIncomplete, "the event stream ended without its end mark")
        return ()

    def _report(self, judge: StreamJudge) -> None:
        """Whoever counts the tokens learns of them."""
        if self._response._report is not None:
            self._response._report(judge.tokens)

    def _error(self, kind: type[SomeError], what: str) -> SomeError:
        response, received = self._response, self._received
        count = f"{received.count} event{'' if received.count == 1 else 's'}"
        answer = f"It was the answer {response.status_code}." if response.status_code >= 400 else ""
        error = self._exchange.error(kind, f"{what}, after {count}", answer)
        assert isinstance(error, kind)
        error.count, error.received, error.attempts = received.count, received.all(), response.attempts
        return error
