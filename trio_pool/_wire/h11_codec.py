"""The reference codec: HTTP/1.1 by h11, with stricter checks around it, in the vocabulary of `events.py`.

h11 refuses most of what must be refused. Checked here besides: the version, the number of fields, the bytes of interim
responses together, and the framing of chunks (`chunks.py`). A response with both a Transfer-Encoding and a
Content-Length is read by the former, and its connection is not used again (RFC 9112 section 6.3).
"""

from __future__ import annotations

import re

import h11

from ..config import WireLimits
from ..errors import LocalProtocolError
from ..messages import Request
from .chunks import ChunkGuard
from .events import End, Event, Head, Interim, Switched, Violation

_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*(\d{1,9})", re.IGNORECASE)


class H11Codec:
    """One connection's client end, for one exchange after another."""

    __slots__ = ("_connection", "_guard", "_interim_bytes", "_is_ambiguous", "_is_head", "_limits")

    def __init__(self, limits: WireLimits = WireLimits()) -> None:  # noqa: B008  # frozen
        self._limits = limits
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.head)  # type: ignore[arg-type]  # inf compares
        self._guard: ChunkGuard | None = None  # while a chunked body is read
        self._interim_bytes = 0
        self._is_ambiguous = False  # whether the response has two framings
        self._is_head = False  # whether the request is a HEAD

    # ---- the request ----

    def encode(self, request: Request) -> list[bytes]:
        """The request as it goes on the wire: its head, and body and end unless the body is streamed.

        :raises LocalProtocolError: it would break HTTP/1.1.
        """
        if self._connection.our_state is h11.DONE:
            self._connection.start_next_cycle()
        self._guard, self._interim_bytes, self._is_ambiguous = None, 0, False
        self._is_head = request.method == "HEAD"
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
        illegal = None if self._guard is None else self._guard.check(data)
        if illegal is None:
            return self._parse(data)
        events = self._parse(data[:illegal]) if illegal else []
        if not (events and isinstance(events[-1], Violation)):
            events.append(_BAD_CHUNK)
        return events

    def _parse(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        try:
            self._connection.receive_data(data)
            while (event := self._connection.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
                events += self._translate(event)
                if not isinstance(events[-1], (Head, Interim, bytes)):
                    break
        except h11.RemoteProtocolError as error:
            events.append(self._violation(error))
        return events

    def _translate(self, event: object) -> list[Event]:
        if isinstance(event, h11.Data):
            return [bytes(event.data)]
        if isinstance(event, h11.EndOfMessage):
            return [self._end(event)]
        if isinstance(event, h11.Response):
            return self._head(event)
        if isinstance(event, h11.InformationalResponse):
            return self._interim(event)
        return [Violation("the server ended the connection out of turn")]

    def _head(self, event: h11.Response) -> list[Event]:
        if (fault := self._fault(event)) is not None:
            return [fault]
        head, self._is_ambiguous, is_chunked = _read_head(event)
        if self._connection.their_state is h11.SWITCHED_PROTOCOL:
            return [head, Switched(self._connection.trailing_data[0])]
        if is_chunked and not self._is_head and event.status_code not in (204, 304):
            self._guard = ChunkGuard(self._limits.chunk_line)
            if self._guard.check(self._connection.trailing_data[0]) is not None:
                return [head, _BAD_CHUNK]
        return [head]

    def _interim(self, event: h11.InformationalResponse) -> list[Event]:
        if (fault := self._fault(event)) is not None:
            return [fault]
        if event.status_code == 101:
            return [_read_head(event)[0], Switched(self._connection.trailing_data[0])]
        headers = event.headers.raw_items()
        self._interim_bytes += 16 + sum(len(name) + len(value) + 4 for name, value in headers)
        if self._interim_bytes > self._limits.head:
            return [Violation(f"the interim responses have more than {self._limits.head} bytes", is_limit=True)]
        return [Interim(event.status_code, headers)]

    def _end(self, event: h11.EndOfMessage) -> End | Violation:
        connection = self._connection
        if len(event.headers) > self._limits.fields:
            return Violation(f"the response has more than {self._limits.fields} trailers", is_limit=True)
        is_open = connection.their_state is h11.DONE and connection.trailing_data == (b"", False)
        return End(event.headers.raw_items(), keeps=is_open and not self._is_ambiguous)

    def _fault(self, event: h11.Response | h11.InformationalResponse) -> Violation | None:
        """What h11 lets pass in a head and must not be taken."""
        if event.http_version not in (b"1.1", b"1.0"):
            return Violation(f"the server broke HTTP/1.1: it answered with HTTP/{event.http_version.decode()}")
        if len(event.headers) > self._limits.fields:
            return Violation(f"the response has more than {self._limits.fields} header fields", is_limit=True)
        return None

    def _violation(self, error: h11.RemoteProtocolError) -> Violation:
        if error.error_status_hint == 431:
            return Violation(f"the response has a head, chunk line or trailers over {self._limits.head} bytes", True)
        return Violation(f"the server broke HTTP/1.1: {error}")


_BAD_CHUNK = Violation("the server broke HTTP/1.1: an illegal chunk size or extension")


def _illegal(error: h11.LocalProtocolError) -> LocalProtocolError:
    """h11's words up to where they quote something, which may be a secret."""
    words = re.split(r"b['\"]", str(error))[0].rstrip(" :")
    return LocalProtocolError(f"the request breaks HTTP/1.1: {words}")


def _read_head(event: h11.Response | h11.InformationalResponse) -> tuple[Head, bool, bool]:
    """The head, whether it has two framings, and whether its body is chunked."""
    closes, keepalive = event.http_version < b"1.1", None
    codings: list[str] = []
    names = {name for name, _ in event.headers}  # h11 has made them lower case
    for name, value in event.headers:
        if name == b"connection":
            closes = closes or b"close" in [token.strip() for token in value.lower().split(b",")]
        elif name == b"keep-alive":
            found = _TIMEOUT.search(value)
            keepalive = float(found[1]) if found else keepalive
        elif name == b"content-encoding":
            codings.append(value.decode("latin-1"))
    head = Head(
        status_code=event.status_code,
        reason=event.reason.decode("latin-1"),
        http_version="HTTP/" + event.http_version.decode("ascii"),
        headers=event.headers.raw_items(),
        closes=closes,
        keepalive=keepalive,
        codings=codings,
    )
    is_chunked = b"transfer-encoding" in names
    return head, is_chunked and b"content-length" in names, is_chunked
