"""What a caller reads: a response's head at once, its body when asked for.

A response owns its lease until its body has ended, it is closed, or reading it fails. It never waits to give it
back, so it can be closed from anywhere, in another task too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

import trio

from ._net.exchange import DRAIN_LIMIT, Exchange
from ._net.switched import SwitchedStream
from ._wire.decoding import Decoder, decoder_for
from ._wire.lines import LineDecoder, known_charset
from .bodies import BodyIterator, Stored, as_it_is, nothing
from .errors import DecodingError, LimitExceeded, QuotaExceeded, ReadError, StatusError, TrioPoolError, UsageError
from .events import Attempt
from .headers import Headers
from .messages import Timings
from .sse import EventParser, ServerSentEvent

if TYPE_CHECKING:
    from ._core.dialects import Complaint, Dialect, StreamJudge
    from .event_streams import DialectName
    from .providers import Provider

T = TypeVar("T")

SLICE = 4096
"""Bytes that are parsed for lines or events before other tasks may have their turn."""

_CHARSET = re.compile(r"charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)


class Lease(Protocol):
    """What a response must know of whoever lent it its connection."""

    is_reused: bool

    def release(self, *, reusable: bool, hint: float | None = None, now: float | None = None) -> None:
        """Give the connection back, at once."""
        ...


class Response:
    """One response.

    :ivar request: what it answers.
    :ivar status_code: such as 200.
    """

    _provider: Provider | None = None  # whose upstream answered
    _attempts: tuple[Attempt, ...] = ()
    _report: Callable[[int | None], None] | None = None  # is told the tokens that the answer says it used
    _complain: Callable[[Complaint], None] | None = None  # is told of an error that an event of the body tells of
    _judge: StreamJudge | None = None  # of the body, where it is an event stream that says whether it is whole
    _headers: Headers | None = None
    _content: bytes | None = None
    _is_streamed = False
    _is_reading = False

    def __init__(self, exchange: Exchange, lease: Lease, asked_at: float) -> None:
        head = exchange.head
        assert head is not None
        self.request = exchange.request
        self.status_code = head.status_code
        self._exchange = exchange
        self._head = head
        self._lease: Lease | None = lease
        self._is_reused = lease.is_reused
        self._asked_at = asked_at

    def __repr__(self) -> str:
        return f"<Response {self.status_code} {self.reason} from {self.request.origin}>"

    # ---- what there is to know ----

    @property
    def url(self) -> str:
        """The URL that was asked, after redirects."""
        return self.request.url

    @property
    def reason(self) -> str:
        """What the status line says besides the code; may be empty."""
        return self._head.reason

    @property
    def http_version(self) -> str:
        """ "HTTP/1.1" or "HTTP/1.0"."""
        return self._head.http_version

    @property
    def headers(self) -> Headers:
        """Its header fields."""
        if self._headers is None:
            self._headers = Headers.of(self._head.headers)
        return self._headers

    @property
    def trailers(self) -> Headers:
        """The fields after a chunked body (RFC 9112 section 7.1.2); empty until the body has been read."""
        return Headers.of(list(self._exchange.trailers))

    @property
    def timings(self) -> Timings:
        """How long the parts took so far."""
        exchange, started = self._exchange, self._exchange.started_at
        is_reused = self._is_reused
        return Timings(
            waited=started - self._asked_at,
            dialled=None if is_reused else exchange.connection.dial_seconds,
            sent=_between(started, exchange.sent_at),
            first_byte=_between(exchange.sent_at, exchange.head_at),
            total=_between(self._asked_at, exchange.ended_at),
            reused=is_reused,
        )

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """How it came about: every try of the request, in order; the last is this response's own."""
        if not self._attempts:
            from ._core.outcomes import Outcome, RetryRules, kind_of

            kind = kind_of(Outcome(status=self.status_code), RetryRules()).value
            origin, ended = str(self.request.origin), self._exchange.head_at or self._asked_at
            result, started = str(self.status_code), self._asked_at
            own = Attempt(upstream=origin, result=result, kind=kind, started=started, ended=ended, waited=0.0)
            self._attempts = (own,)
        return self._attempts

    @property
    def is_closed(self) -> bool:
        """Whether the connection has been given back."""
        return self._lease is None

    def raise_for_status(self) -> Response:
        """This response, unless its status is 400 or more.

        :raises StatusError: it is.
        :raises QuotaExceeded: it is, and says that a quota is spent; a StatusError too.
        """
        if self.status_code < 400:
            return self
        kind = QuotaExceeded if self.attempts[-1].kind == "quota spent" else StatusError
        what = f"the server answered {self.status_code} {self.reason}".rstrip()
        error = kind(what, status_code=self.status_code, origin=self.request.origin, may_have_been_processed=True)
        error.attempts = self.attempts
        raise error

    # ---- the body, whole ----

    async def read(self) -> bytes:
        """Read the body to its end, decoded, and keep it. Reading again gives it again.

        :raises UsageError: the body was streamed, or the response was closed before its end.
        :raises DecodingError: the body is not what its Content-Encoding says.
        :raises ReadTimeout, TotalTimeout, ReadError, RemoteProtocolError: it did not arrive.
        """
        if self._content is not None or self.read_nowait():
            await trio.lowlevel.checkpoint_if_cancelled()
            return self.content
        decoder = self._begin()
        raw = b"".join(await self._receive(self._exchange.receive_all))
        self._content = raw if decoder is None else await self._decode(decoder, raw)
        self._tell_usage(self._content)
        return self._content

    def read_nowait(self) -> bool:
        """Read the body if it is at hand and needs no decoding. Whether it did; if not, nothing has changed."""
        if self._is_streamed or self._lease is None or self._head.codings:
            return False
        self._content = self._exchange.take_whole()
        if self._content is None:
            return False
        self._is_streamed = True
        self._release(self._exchange.ended_at)
        if self._report is not None:
            self._tell_usage(self._content)
        return True

    def _tell_usage(self, content: bytes) -> None:
        if self._report is not None:
            from ._core.dialects import read_usage

            self._report(read_usage(content))

    async def _decode(self, decoder: Decoder, raw: bytes) -> bytes:
        pieces: list[bytes] = []
        size, bound = 0, self._exchange.connection.limits.decoded
        try:
            for piece in decoder.feed(raw):
                pieces.append(piece)
                size += len(piece)
                if size > bound:
                    raise LimitExceeded(f"the body of {len(raw)} bytes decodes to more than {bound} bytes")
                await self._exchange.be_fair(len(piece))
            decoder.finish()
        except (DecodingError, LimitExceeded) as error:
            raise self._fail(error) from error
        return b"".join(pieces)

    @property
    def content(self) -> bytes:
        """The body that `read` has read.

        :raises UsageError: it has not.
        """
        if self._content is None:
            raise UsageError("the body has not been read: await response.read() first", origin=self.request.origin)
        return self._content

    @property
    def text(self) -> str:
        """The body as text, by the charset of its Content-Type, else UTF-8; what is not text is replaced."""
        return str(self.content, self.charset, "replace")

    @property
    def charset(self) -> str:
        """The charset of the Content-Type, or "utf-8" where there is none or Python does not know it."""
        found = _CHARSET.search(self.headers.get("content-type", ""))
        return known_charset(found[1] if found is not None else None)

    def json(self) -> Any:
        """The body as JSON.

        :raises DecodingError: it is none; a ValueError too.
        """
        import json  # takes its time

        try:
            return json.loads(self.content)
        except (ValueError, RecursionError) as error:
            what = f"the body is not JSON: {type(error).__name__} in {len(self.content)} bytes"
            raise DecodingError(what, origin=self.request.origin, may_have_been_processed=True) from error

    # ---- the body, piece by piece ----

    def iter_raw(self) -> BodyIterator[bytes]:
        """The body as it comes, not decoded."""
        self._begin_raw()
        return BodyIterator(self, self._receive_piece, None, as_it_is, nothing, 0)

    def iter_bytes(self) -> BodyIterator[bytes]:
        """The body as it comes, decoded. Each piece is at most some 256 KiB.

        Iterating raises as `read`; what it raises and a `break` in it are the end of the connection, unless the
        rest is there already.

        :raises UsageError: the body is being read or was streamed already.
        """
        return self._iterate(as_it_is, nothing)

    def iter_lines(self) -> BodyIterator[str]:
        """The body by lines, without their ends: LF, CRLF or CR."""
        lines = LineDecoder(self.charset)
        return self._iterate(lines.feed, lines.flush, SLICE)

    def iter_events(
        self,
        dialect: Dialect | DialectName | Literal["upstream"] | None = "upstream",
        *,
        first_event: float | None = None,
        between_events: float | None = None,
        pings_count: bool = False,
        max_event_bytes: float = 1_048_576,
    ) -> BodyIterator[ServerSentEvent]:
        """The body as server-sent events. The end mark is one of them, and so are pings that are events.

        Where the dialect is known, the stream must say that it is whole. What comes after that is read for at most
        0.1 s, so that the connection can be kept. The time of all of it is bounded by `Timeouts.total`.

        :param dialect: the protocol that says how the stream ends: "openai", "anthropic", "google", "upstream" (the
            default): that of the upstream that answered, if any; or None: none, and no end mark is asked for.
        :param first_event: seconds that the caller may wait for the first event once the response's head is there
            (None: 600 where there is a dialect, else no limit). Where it is given the connection may be silent for as
            long, whatever the pool's `read_timeout` is; a `Timeouts.read` of the request itself still holds.
        :param between_events: the same for each further event.
        :param pings_count: whether pings and comments count as events there (False).
        :param max_event_bytes: the longest line, and the longest data of one event (1,048,576 bytes).
        :raises UsageError: for a nonsensical value, or as `iter_bytes`.
        :raises ReadTimeout: an event did not come in time. (This and what follows are raised by iterating.)
        :raises StreamIncomplete: the stream ended, or broke off, without its end mark.
        :raises StreamFailed: it said that it failed.
        :raises LimitExceeded: an event is larger.
        """
        from ._core.dialects import StreamJudge
        from .event_streams import EventStream, EventTimeouts, known_dialect

        if dialect == "upstream":
            dialect = None if self._provider is None else self._provider.dialect
        spoken = known_dialect(dialect)
        timeouts = EventTimeouts(first=first_event, between=between_events, pings_count=pings_count)
        parser, judge = EventParser(max_event_bytes), None if spoken is None else StreamJudge(spoken)
        if self._content is not None:
            stored = EventStream(self, parser, judge, timeouts, Stored(self._content).receive)
            return BodyIterator(self, stored.receive, None, stored.feed, stored.finish, SLICE)
        decoder = self._begin()
        self._judge = judge
        events = EventStream(self, parser, judge, timeouts, None)
        return BodyIterator(self, events.receive, decoder, events.feed, events.finish, SLICE)

    def _iterate(
        self, feed: Callable[[bytes], Iterable[T]], finish: Callable[[], Iterable[T]], slice_size: int = 0
    ) -> BodyIterator[T]:
        if self._content is not None:
            return BodyIterator(self, Stored(self._content).receive, None, feed, finish, slice_size)
        decoder = self._begin()
        return BodyIterator(self, self._receive_piece, decoder, feed, finish, slice_size)

    # ---- a look ahead, for whoever judges it before the caller gets it ----

    async def _foresee(self, is_enough: Callable[[bytes], bool], bound: int, due: float = math.inf) -> bytes:
        """What is to come of the body, decoded as far as it can be; see `Exchange.foresee`. It stays in place."""
        seen = await self._exchange.foresee(lambda raw: is_enough(self._decoded(raw, bound)), bound, due)
        return self._decoded(seen, bound)

    def _decoded(self, raw: bytes, bound: int) -> bytes:
        """The beginning of a body, as much of it as makes sense, about `bound` bytes at most."""
        decoded = bytearray()
        try:
            decoder = decoder_for(self._head.codings)
            for piece in (raw,) if decoder is None else decoder.feed(raw):
                decoded += piece
                if len(decoded) >= bound:
                    break
        except DecodingError:
            pass
        return bytes(decoded)

    @property
    def _is_at_hand(self) -> bool:
        """Whether all of the body has arrived, so that reading it does not wait."""
        return self._exchange.complete or self._exchange.is_at_end

    @property
    def _was_read(self) -> bool:
        return self._content is not None

    # ---- another protocol ----

    def take_stream(self) -> SwitchedStream:
        """The connection itself, after a 101 answer to an upgrade or a 2xx answer to CONNECT.

        It is the caller's to close, and so is its place in the pool.

        :raises UsageError: the connection still speaks HTTP, or the response was closed.
        """
        lease, surplus = self._lease, self._exchange.surplus
        if surplus is None or lease is None:
            raise UsageError("the connection does not speak another protocol", origin=self.request.origin)
        self._lease = None
        return SwitchedStream(self._exchange.connection.stream, surplus, partial(lease.release, reusable=False))

    # ---- leaving ----

    def close(self) -> None:
        """Leave the response. The connection is kept if the rest of the body is there already, else closed.

        Never waits, never raises; closing twice does nothing.
        """
        if self._lease is None:
            return
        if not self._is_reading:
            self._exchange.drain_nowait()
        self._release()

    async def leave(self, seconds: float = math.inf) -> None:
        """Leave a response of whose body little is to come: read up to 64 KiB of it, so that the connection is kept.

        What goes wrong in that ends the connection, and nothing else.

        :param seconds: how long that may take (no limit but the request's own timeouts).
        """
        receive = partial(self._exchange.receive, trio.current_time() + seconds)
        try:
            left = DRAIN_LIMIT
            while left > 0 and self._lease is not None and not self._exchange.complete:
                left -= len(await self._receive(receive)) or left
        except TrioPoolError:
            pass
        self.close()

    def _release(self, now: float | None = None) -> None:
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release(reusable=self._exchange.is_reusable, hint=self._head.keepalive, now=now)

    # ---- reading ----

    def _begin(self) -> Decoder | None:
        """Start to read the body, once. What undoes its content codings, where there is something to undo."""
        self._begin_raw()
        if not self._head.codings or self.request.method == "HEAD" or self.status_code in (204, 304):
            return None  # RFC 9110 section 8.4: without a body they say what it would be
        try:
            return decoder_for(self._head.codings)
        except DecodingError as error:
            raise self._fail(error) from error

    def _begin_raw(self) -> None:
        if self._is_streamed:
            raise UsageError("the response's body was read already", origin=self.request.origin)
        if self._lease is None:
            raise UsageError("the response is closed: its body is gone", origin=self.request.origin)
        self._is_streamed = True

    def _fail(self, error: DecodingError | LimitExceeded) -> TrioPoolError:
        """The body makes no sense: the connection is done with, and this is what to raise."""
        self._release()
        return self._exchange.error(type(error), error.what, error.advice)

    def _cut(self, error: BaseException) -> None:
        """Reading ends in this: the connection is done with."""
        self._release()
        if isinstance(error, TrioPoolError) and not error.attempts:
            error.attempts = self.attempts

    async def next_raw(self) -> bytes:
        """The next piece of the body as it comes, not decoded; b"" at its end. Raises as `iter_raw`."""
        if not self._is_streamed:
            self._begin_raw()
            whole = self._exchange.take_whole()
            if whole is not None:
                self._release(self._exchange.ended_at)
                await trio.lowlevel.checkpoint_if_cancelled()
                return whole
        elif self._lease is None and self._exchange.complete:
            await trio.lowlevel.checkpoint_if_cancelled()
            return b""
        return await self._receive(self._exchange.receive)

    def _receive_piece(self) -> Awaitable[bytes]:
        return self._receive(self._exchange.receive)

    async def _receive(self, receive: Callable[[], Awaitable[T]]) -> T:
        """Receive some of the body, or all; afterwards the connection is ours, given back, or cut."""
        if self._is_reading:
            raise UsageError("two tasks read one response at once", origin=self.request.origin)
        if self._lease is None:
            raise self._exchange.error(ReadError, "the response was closed before its body was read")
        self._is_reading = True
        try:
            result = await receive()
        except BaseException as error:
            self._cut(error)
            raise
        finally:
            self._is_reading = False
        if self._exchange.complete:
            if self._judge is not None:
                self._exchange.is_whole = self._judge.is_complete
            self._release()
        return result


class Streaming:
    """`async with` around a response: opened on the way in, closed on the way out."""

    __slots__ = ("_open", "_response")

    def __init__(self, open_response: Callable[[], Awaitable[Response]]) -> None:
        self._open = open_response
        self._response: Response | None = None

    async def __aenter__(self) -> Response:
        if self._response is not None and not self._response.is_closed:
            raise UsageError("this was entered before, and its response is still open")
        self._response = await self._open()
        return self._response

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._response is not None:
            self._response.close()


def _between(start: float | None, end: float | None) -> float | None:
    """Seconds; none where the end came first, as it can where a server answers early."""
    return None if start is None or end is None else max(0.0, end - start)
