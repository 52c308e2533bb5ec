"""The reference codec: HTTP/1.1 by h11, with stricter checks around it, in the vocabulary of `events.py`.

h11 refuses most of what must be refused. Around it:

- A head is gathered here and given to h11 whole, so that its bound does not depend on how it arrives, what is no
  HTTP is noticed by its first bytes, and folded lines join with one space. Checked besides: the version, the number
  of fields, absurd lengths, and the bytes of interim responses together.
- The Transfer-Encoding of a response that has no body (to HEAD, 204, 304) is kept from h11: it says what would be.
- The framing of chunks is followed by `chunks.py`. A response with both a Transfer-Encoding and a Content-Length is
  read by the former, and its connection is not used again (RFC 9112 section 6.3).
"""

from __future__ import annotations

import re

import h11

from ..config import WireLimits
from ..errors import LocalProtocolError
from ..headers import RawHeaders
from ..messages import Request
from .chunks import ChunkGuard
from .events import End, Event, Head, Interim, Switched, Violation
from .meanings import NOT_READY, keepalive_of, says_close


class H11Codec:
    """One connection's client end, for one exchange after another."""

    __slots__ = ("_connection", "_guard", "_head", "_interim_bytes", "_is_over", "_is_unsafe", "_limits", "_method")

    def __init__(self, limits: WireLimits = WireLimits()) -> None:  # noqa: B008  # frozen
        self._limits = limits
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=2**31)  # the bounds are kept here
        self._method = ""
        self._head: bytearray | None = None  # of a head, what has come; None where none is awaited
        self._guard: ChunkGuard | None = None  # while a chunked body is read
        self._interim_bytes = 0
        self._is_unsafe = False  # whether the response has two framings, or something behind it
        self._is_over = False  # whether the response has ended: what comes then is surplus

    # ---- the request ----

    def encode(self, request: Request) -> list[bytes]:
        """The request as it goes on the wire: its head, and body and end unless the body is streamed.

        :raises LocalProtocolError: it would break HTTP/1.1.
        """
        if self._connection.our_state is h11.DONE:
            if self._is_unsafe or self._connection.trailing_data != (b"", False):
                raise LocalProtocolError(NOT_READY)
            self._connection.start_next_cycle()
        self._head, self._guard, self._interim_bytes, self._is_unsafe = bytearray(), None, 0, False
        self._method, self._is_over = request.method, False
        content = request.content
        head = self._encode_head(request)
        if content is None:
            return [head + self.encode_end()]
        if isinstance(content, bytes):
            return [head, self.encode_piece(content), self.encode_end()]
        return [head]

    def encode_piece(self, piece: bytes) -> bytes:
        """A piece of a body, framed. An empty piece is nothing, and not the end.

        :raises LocalProtocolError: it goes beyond the Content-Length.
        """
        return self._send(h11.Data(data=piece)) if piece else b""

    def encode_end(self) -> bytes:
        """The end of the request.

        :raises LocalProtocolError: the body falls short of the Content-Length.
        """
        return self._send(h11.EndOfMessage())

    def _encode_head(self, request: Request) -> bytes:
        try:
            head = h11.Request(method=request.method, target=request.target, headers=request.raw_headers)
        except h11.LocalProtocolError as error:
            raise _illegal(error) from None
        return self._send(head)

    def _send(self, event: h11.Request | h11.Data | h11.EndOfMessage) -> bytes:
        try:
            return self._connection.send(event) or b""
        except h11.LocalProtocolError as error:
            raise _illegal(error) from None

    # ---- the response ----

    def feed(self, data: bytes) -> list[Event]:
        """What bytes that arrived say; b"" stands for the end of the connection."""
        events: list[Event] = []
        if self._is_over:
            self._is_unsafe = True
            return events
        while self._head is not None:
            rest = self._gather(self._head, data, events)
            if rest is None or isinstance(events[-1], (Switched, Violation)):
                return events
            if not rest:
                return events if self._awaits_head() else events + self._parse(None)
            data = rest
        return events + self._body(data)

    def _awaits_head(self) -> bool:
        return self._head is not None

    def _gather(self, head: bytearray, data: bytes, events: list[Event]) -> bytes | None:
        """Take bytes of a head. What follows it once it is whole, or None while it is not."""
        before = len(head)
        head += data
        end = _BLANK_LINE.search(head, max(0, before - 3))
        size = len(head) if end is None else end.end()
        if not head.startswith(b"HTTP/"[: len(head)]):
            events.append(Violation("the server broke HTTP/1.1: it answered with something that is no HTTP"))
        elif size > self._limits.head:
            events.append(Violation(f"the response has a head of more than {self._limits.head} bytes", is_limit=True))
        elif not data:
            events.append(Violation("the server ended the connection in the middle of the response's head"))
        elif end is not None:
            rest = bytes(head[size:])
            self._head = bytearray()
            events += self._take_head(bytes(head[:size]), rest)
            return rest
        return None

    def _take_head(self, raw: bytes, rest: bytes) -> list[Event]:
        """A whole head, by h11."""
        lines_end = raw.find(b"\n") + 1
        if raw[lines_end : lines_end + 1] in (b" ", b"\t"):
            return [Violation("the server broke HTTP/1.1: a folded line before the first field")]
        status = raw[9:12]
        raw = _FOLD.sub(b" ", raw)
        if raw.count(b"\n") > self._limits.fields + 2:
            return [Violation(f"the response has more than {self._limits.fields} header fields", is_limit=True)]
        is_bodiless = self._method == "HEAD" or status in (b"204", b"304")
        dropped = _FRAMING_FIELD.findall(raw) if is_bodiless else []
        kept = _FRAMING_FIELD.sub(b"", raw) if is_bodiless else raw
        try:
            self._connection.receive_data(kept)
            event = self._connection.next_event()
        except h11.RemoteProtocolError as error:
            return [Violation(f"the server broke HTTP/1.1: {plain_words(error)}")]
        if isinstance(event, h11.Response):
            self._head = None
            return self._final(event, [(name, value.strip()) for name, value in dropped], rest)
        if isinstance(event, h11.InformationalResponse):
            return self._interim(event, len(raw), rest)
        return [Violation("the server broke HTTP/1.1: it sent half a head")]

    def _final(self, event: h11.Response, dropped: RawHeaders, rest: bytes) -> list[Event]:
        if (fault := self._fault(event)) is not None:
            return [fault]
        head, self._is_unsafe, is_chunked = _read_head(event, dropped)
        if self._connection.their_state is h11.SWITCHED_PROTOCOL:
            return [head, Switched(rest)]
        if is_chunked:
            self._guard = ChunkGuard(self._limits.chunk_line, self._limits.head)
        return [head]

    def _interim(self, event: h11.InformationalResponse, size: int, rest: bytes) -> list[Event]:
        if (fault := self._fault(event)) is not None:
            return [fault]
        if event.status_code == 101:
            self._head = None
            return [_read_head(event, [])[0], Switched(rest)]
        self._interim_bytes += size
        if self._interim_bytes > self._limits.head:
            return [Violation(f"the interim responses have more than {self._limits.head} bytes", is_limit=True)]
        return [Interim(event.status_code, event.headers.raw_items())]

    def _body(self, data: bytes) -> list[Event]:
        illegal = None if self._guard is None else self._guard.check(data)
        if illegal is None or self._guard is None:
            return self._parse(data)
        events = self._parse(data[:illegal]) if illegal else []
        if not (events and isinstance(events[-1], Violation)):
            events.append(Violation(*self._guard.fault))
        return events

    def _parse(self, data: bytes | None) -> list[Event]:
        """What h11 makes of more bytes of a body, or, for None, of the head alone."""
        events: list[Event] = []
        try:
            if data is not None:
                self._connection.receive_data(data)
            while (event := self._connection.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
                if isinstance(event, h11.Data):
                    events.append(bytes(event.data))
                    continue
                events.append(self._end(event) if isinstance(event, h11.EndOfMessage) else _OUT_OF_TURN)
                break
        except h11.RemoteProtocolError as error:
            events.append(Violation(f"the server broke HTTP/1.1: {plain_words(error)}"))
        return events

    def _end(self, event: h11.EndOfMessage) -> End | Violation:
        connection = self._connection
        self._is_over = True
        if len(event.headers) > self._limits.fields:
            self._is_unsafe = True
            return Violation(f"the response has more than {self._limits.fields} trailers", is_limit=True)
        is_open = connection.their_state is h11.DONE and connection.trailing_data == (b"", False)
        return End(tuple(event.headers.raw_items()), keeps=is_open and not self._is_unsafe)

    def _fault(self, event: h11.Response | h11.InformationalResponse) -> Violation | None:
        """What h11 lets pass in a head and must not be taken."""
        if event.http_version not in (b"1.1", b"1.0"):
            return Violation(f"the server broke HTTP/1.1: it answered with HTTP/{event.http_version.decode()}")
        if len(event.headers) > self._limits.fields:
            return Violation(f"the response has more than {self._limits.fields} header fields", is_limit=True)
        if any(name == b"content-length" and int(value) > MAX_LENGTH for name, value in event.headers):
            return Violation("the server broke HTTP/1.1: a Content-Length of 2**63 or more")
        return None


MAX_LENGTH = 2**63 - 1
"""Bytes of a body: what other software can count."""

_BLANK_LINE = re.compile(rb"\n\r?\n")
_FOLD = re.compile(rb"(?<![ \t])[ \t]*(?:\r?\n[ \t]+)+")  # RFC 9112 section 5.2
_FRAMING_FIELD = re.compile(rb"(?im)^(transfer-encoding):([\t\x20-\x7e\x80-\xff]*)\r?\n(?![ \t])")
_OUT_OF_TURN = Violation("the server ended the connection out of turn")


def plain_words(error: h11.ProtocolError) -> str:
    """h11's words up to where they quote something, which may be a secret."""
    return re.split(r"[:(]? ?(?:bytearray\()?b['\"]", str(error))[0].rstrip(" :(")


def _illegal(error: h11.LocalProtocolError) -> LocalProtocolError:
    return LocalProtocolError(f"the request breaks HTTP/1.1: {plain_words(error)}")


def _read_head(event: h11.Response | h11.InformationalResponse, dropped: RawHeaders) -> tuple[Head, bool, bool]:
    """The head, with the fields that h11 was not told; whether it has two framings, and whether its body is chunked."""
    closes, keepalive = event.http_version < b"1.1", None
    codings: list[str] = []
    names = {name for name, _ in event.headers}  # h11 has made them lower case
    for name, value in event.headers:
        if name == b"connection":
            closes = closes or says_close(value)
        elif name == b"keep-alive":
            seconds = keepalive_of(value)
            keepalive = keepalive if seconds is None else seconds
        elif name == b"content-encoding":
            codings.append(value.decode("latin-1"))
    head = Head(
        status_code=event.status_code,
        reason=event.reason.decode("latin-1"),
        http_version="HTTP/" + event.http_version.decode("ascii"),
        fields=[*event.headers.raw_items(), *dropped],
        closes=closes,
        keepalive=keepalive,
        codings=codings,
    )
    is_chunked = b"transfer-encoding" in names
    return head, is_chunked and b"content-length" in names, is_chunked
