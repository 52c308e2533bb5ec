"""What is said to a request: steps, each something that h11's server side says, a pause, or how it breaks off."""

from __future__ import annotations

import enum
import http
import json as json_module
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import h11

from ..errors import UsageError
from ..headers import HeaderTypes, RawHeaders, encode_headers
from ..sse import ServerSentEvent


class Cut(enum.Enum):
    """How an answer breaks off, or does not come at all."""

    RESET = "the connection breaks (ECONNRESET)"
    END = "the server ends the connection, as if all were said"
    SILENCE = "nothing more comes, so that the client's own timeout acts"


Piece = bytes | float | Cut
"""Of a body, or of what goes over the wire: bytes, seconds of pause, or how it breaks off."""

Step = h11.Event | float | Cut


class Supply:
    """What is there for so many times.

    :param times: a whole number, or `math.inf`.
    :ivar used: how often it was used.
    :raises UsageError: `times` is something else.
    """

    def __init__(self, times: float) -> None:
        if times != math.inf and not (type(times) is int and times >= 1):
            raise UsageError(f"times must be a whole number from 1, or math.inf, not {times!r}")
        self._times = times
        self.used = 0

    @property
    def is_left(self) -> bool:
        """Whether it can be used again."""
        return self.used < self._times

    @property
    def is_owed(self) -> bool:
        """Whether it was used less often than it is there; if that is without end, whether it was not used at all."""
        return self.used < (1 if self._times == math.inf else self._times)


class Answer(Supply):
    """One answer.

    :param times: how many requests it is for.
    :param steps: what is said, in order.
    :raises UsageError: a pause is no number of seconds, or it is no HTTP/1.1.
    """

    def __init__(self, times: float, *steps: Step) -> None:
        super().__init__(times)
        for step in steps:
            if not isinstance(step, (h11.Event, Cut)):
                _check_pause(step)
        self._steps = steps
        server = h11.Connection(h11.SERVER)
        server.receive_data(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        while not isinstance(server.next_event(), h11.EndOfMessage):
            pass
        try:
            self.laid_out(server, is_head=False)
        except h11.LocalProtocolError as error:
            raise UsageError(f"the answer is no HTTP/1.1: {error}") from None

    def laid_out(self, server: h11.Connection, is_head: bool) -> list[Piece]:
        """Its steps as they go over the wire.

        :param server: has read the request, and says them.
        :param is_head: whether the request was HEAD, so that its answer has no body.
        """
        wire: list[Piece] = []
        for step in self._steps:
            if not isinstance(step, h11.Event):
                wire.append(step)
            elif not (is_head and isinstance(step, h11.Data)) and (said := server.send(step)):
                wire.append(said)
        return wire


def _check_pause(value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise UsageError(f"a delay or a pause in an answer is a number of seconds, from 0, not {value!r}")


def make(times: float, delay: float, status_code: int, headers: HeaderTypes, **body: Any) -> Answer:
    """An answer with a head; `Route.respond` says what its parts are."""
    pieces, defaults = _body(**{name: value for name, value in body.items() if value is not None})
    fields = encode_headers(headers)
    given = {name.lower() for name, _ in fields}
    if status_code in (204, 304):
        given.add(b"content-length")  # it has none (RFC 9110 section 8.6), or not this one
    fields += [(name, value) for name, value in defaults if name.lower() not in given]
    reason = http.HTTPStatus(status_code).phrase if status_code in set(http.HTTPStatus) else ""
    try:
        head = h11.Response(status_code=status_code, headers=fields, reason=reason)
    except h11.LocalProtocolError as error:
        raise UsageError(f"the answer is no HTTP/1.1: {error}") from None
    said = [h11.Data(data=piece) if isinstance(piece, bytes) else piece for piece in pieces if piece != b""]
    end = [] if pieces and isinstance(pieces[-1], Cut) else [h11.EndOfMessage()]
    return Answer(times, delay, head, *said, *end)


def _body(**given: Any) -> tuple[list[Piece], RawHeaders]:
    """The pieces of a body, and the header fields that go with them."""
    if len(given) > 1:
        raise UsageError("an answer has one body: content, json, stream or events, not several of them")
    [(kind, value)] = given.items() or [("content", b"")]
    return _BODIES[kind](value)


def _whole(content: bytes, media_type: bytes | None = None) -> tuple[list[Piece], RawHeaders]:
    fields = [] if media_type is None else [(b"Content-Type", media_type)]
    return [content], [*fields, (b"Content-Length", b"%d" % len(content))]


def _of_content(content: Any) -> tuple[list[Piece], RawHeaders]:
    if isinstance(content, str):
        return _whole(content.encode(), b"text/plain; charset=utf-8")
    if isinstance(content, bytes):
        return _whole(content)
    raise UsageError(f"content must be bytes or text, not {type(content).__name__}")


def _each(name: str, values: Any) -> list[Any]:
    """The members; of what has others than a test means (the bytes of a text, the keys of a mapping) there are none."""
    kind: type[Any] = values.__class__
    if issubclass(kind, (str, bytes, bytearray, Mapping)) or not issubclass(kind, Iterable):
        raise UsageError(f"{name} must be a list, or another iterable, not {kind.__name__}")
    return list(values)


def _dumped(value: Any) -> str:
    try:
        return json_module.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:  # another type, a circle, or too deep
        raise UsageError(f"an answer's value cannot be written as JSON: {error}") from None


def _of_stream(stream: Iterable[Any]) -> tuple[list[Piece], RawHeaders]:
    pieces = _each("stream", stream)
    for place, piece in enumerate(pieces, 1):
        if isinstance(piece, bool) or not isinstance(piece, (bytes, int, float, Cut)):
            raise UsageError(f"a stream is made of bytes, numbers and a Cut, not of {type(piece).__name__}")
        if isinstance(piece, Cut) and place < len(pieces):
            raise UsageError("a Cut is the last of a stream: nothing comes after it")
    return pieces, []


def _of_events(events: Iterable[Any]) -> tuple[list[Piece], RawHeaders]:
    is_piece = {int, float, Cut}
    pieces, _ = _of_stream([event if type(event) in is_piece else _written(event) for event in _each("events", events)])
    return pieces, [(b"Content-Type", b"text/event-stream")]


def _written(event: Any) -> bytes:
    """An event as it is written in a stream."""
    if not isinstance(event, ServerSentEvent):
        event = ServerSentEvent(data=event if isinstance(event, str) else _dumped(event))
    fields = [("id", event.id), ("event", "" if event.event == "message" else event.event), ("retry", event.retry)]
    named = [f"{name}: {value}" for name, value in fields if value not in ("", None)]
    return "\n".join([*named, *(f"data: {line}" for line in event.data.split("\n")), "", ""]).encode()


_BODIES: dict[str, Callable[[Any], tuple[list[Piece], RawHeaders]]] = {
    "content": _of_content,
    "json": lambda value: _whole(_dumped(value).encode(), b"application/json"),
    "stream": _of_stream,
    "events": _of_events,
}
