"""The reference codec: HTTP/1.1 by h11, in the vocabulary of `events.py`."""

from __future__ import annotations

import re

import h11

from ..errors import LocalProtocolError
from ..messages import Request
from .events import End, Event, Head, Interim, Violation

MAX_HEAD = 65536
"""Bytes of a response's status line and header fields together."""

_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*(\d{1,9})", re.IGNORECASE)


class H11Codec:
    """One connection's client end, for one exchange after another."""

    __slots__ = ("_connection",)

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)

    def encode(self, request: Request) -> list[bytes]:
        """The request as it goes on the wire: its head, and body and end unless the body is streamed.

        :raises LocalProtocolError: it would break HTTP/1.1.
        """
        if self._connection.our_state is h11.DONE:
            self._connection.start_next_cycle()
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

    def feed(self, data: bytes) -> list[Event]:
        """What bytes that arrived say; b"" stands for the end of the connection."""
        events: list[Event] = []
        connection = self._connection
        try:
            connection.receive_data(data)
            while (event := connection.next_event()) is not h11.NEED_DATA and event is not h11.PAUSED:
                if isinstance(event, h11.Data):
                    events.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    events.append(self._end(event))
                    break
                elif isinstance(event, h11.Response):
                    events.append(_head(event))
                elif isinstance(event, h11.InformationalResponse):
                    events.append(_interim(event))
                else:  # ConnectionClosed where no response was under way
                    events.append(Violation("the server ended the connection out of turn"))
                    break
        except h11.RemoteProtocolError as error:
            events.append(_violation(error))
        return events

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

    def _end(self, event: h11.EndOfMessage) -> End:
        connection = self._connection
        keeps = connection.their_state is h11.DONE and connection.trailing_data == (b"", False)
        return End(event.headers.raw_items(), keeps)


def _illegal(error: h11.LocalProtocolError) -> LocalProtocolError:
    """h11's words up to where they quote something, which may be a secret."""
    words = re.split(r"b['\"]", str(error))[0].rstrip(" :")
    return LocalProtocolError(f"the request breaks HTTP/1.1: {words}")


def _violation(error: h11.RemoteProtocolError) -> Violation:
    if error.error_status_hint == 431:
        return Violation(f"the response has a head, chunk line or trailers over {MAX_HEAD} bytes", is_limit=True)
    return Violation(f"the server broke HTTP/1.1: {error}")


def _head(event: h11.Response) -> Head:
    closes, keepalive = event.http_version < b"1.1", None
    codings: list[str] = []
    for name, value in event.headers:  # h11 has made the names lower case
        if name == b"connection":
            closes = closes or b"close" in [token.strip() for token in value.lower().split(b",")]
        elif name == b"keep-alive":
            found = _TIMEOUT.search(value)
            keepalive = float(found[1]) if found else keepalive
        elif name == b"content-encoding":
            codings.append(value.decode("latin-1"))
    return Head(
        status_code=event.status_code,
        reason=event.reason.decode("latin-1"),
        http_version="HTTP/" + event.http_version.decode("ascii"),
        headers=event.headers.raw_items(),
        closes=closes,
        keepalive=keepalive,
        codings=codings,
    )


def _interim(event: h11.InformationalResponse) -> Interim | Violation:
    if event.status_code == 101:
        return Violation("the server switched to another protocol, which was not asked for")
    return Interim(event.status_code, event.headers.raw_items())
