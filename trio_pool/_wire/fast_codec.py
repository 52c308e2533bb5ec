"""The fast lane: the reference codec's answers for the common response, at a fraction of its cost.

Strategy. This codec knows the limits of what it knows. One compiled pattern, narrower than the reference's grammar,
says whether a head is plain: HTTP/1.1, a final status, no folds, nothing but CRLF and printable bytes, all of it
there at once. Its framing is plain if there is one Content-Length or one `Transfer-Encoding: chunked`, or no body
by RFC 9112 section 6.3. A chunk is plain if its size line is nothing but a few hexadecimal digits. Everything else,
and every request that asks for more than a response (CONNECT, upgrades, `Expect`, streamed bodies, close), belongs
to `H11Codec`, which is told the same request and is given the same bytes: from the start of the head, or, in a
chunked body, from the start of a chunk, behind a replay of the head. From there the reference answers until the
response has ended. So there is no response that only this codec refuses, and none that only it takes; a property
test compares both over generated and damaged messages, however they are cut into pieces.

Two faults cannot wait for the start of a chunk. A body that is cut short by the end of the connection, and a chunk
that is not followed by CRLF, are told in the reference's own words: for chunks by the reference, for which a chunk
of one byte is made up that ends at the same place.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from ..config import WireLimits
from ..errors import LocalProtocolError
from ..headers import RawHeaders
from ..messages import Kept, Request
from .events import ENDED, ENDED_FOR_GOOD, PLAIN_FIELD, End, Event, Head, Violation
from .meanings import NOT_READY, cut_short, keepalive_of, says_close

if TYPE_CHECKING:
    from .h11_codec import H11Codec

_HEAD = re.compile(
    rb"HTTP/1\.1 ([2-9]\d\d)(?: ([\x20-\x7e]*+))?+\r\n"
    rb"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+(?<![\t ])\r\n)*+)\r\n"
)
_TELLING_FIELD = re.compile(
    rb"\n(connection|content-encoding|content-length|keep-alive|transfer-encoding):[\t ]*+([^\r]*+)"
)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_HALF_A_CHUNK_LINE = re.compile(rb"[0-9A-Fa-f]{0,8}\r?")
_LONGEST_CHUNK_LINE = 10
_new_head: Callable[[tuple[object, ...]], Head] = partial(cast("Any", tuple).__new__, Head)  # without a call in Python
_SHORTEST_FIELD = 4  # bytes: "a:", and its line end

_REQUEST_HEAD = re.compile(
    rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++ [\x21-\x7e]++ HTTP/1\.1\r\n"
    rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++: "
    rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\r\n)*+\r\n"
)
"""A request's head as the reference would write it: method, target, and fields as h11's patterns have them."""

_FRAMING = frozenset({b"connection", b"content-length", b"host", b"transfer-encoding"})
"""Names of a request's fields that are plain only once."""

_MORE_THAN_A_RESPONSE = frozenset({b"transfer-encoding", b"upgrade", b"expect"})
_BODILESS = frozenset({b"204", b"304"})
_ALL = frozenset(b"%d" % code for code in range(200, 1000))
_CRLF = b"\r\n"


def reference(limits: WireLimits) -> H11Codec:
    """A reference codec. h11 is imported when it is first needed: it takes its time."""
    from .h11_codec import H11Codec

    return H11Codec(limits)


class FastCodec:
    """One connection's client end, for one exchange after another. See `Codec`."""

    __slots__ = (
        "_bodiless",
        "_closes",
        "_expected",
        "_head",
        "_is_ready",
        "_left",
        "_limits",
        "_line",
        "_reader",
        "_reference",
        "_request",
    )

    def __init__(self, limits: WireLimits = WireLimits()) -> None:  # noqa: B008  # frozen
        self._limits = limits
        self._is_ready = True  # for another request
        self._reader = FastCodec._surplus  # which method reads what comes next
        self._request: Request | None = None  # the one that is being answered
        self._reference: H11Codec | None = None  # once this exchange is its
        self._bodiless = _BODILESS  # statuses whose responses have no body
        self._closes = False  # whether the server ends the connection with this response
        self._expected = 0  # bytes of a body with a Content-Length
        self._left = 0  # of them, or of a chunk with the line end behind it, what is to come
        self._head = b""  # while a chunked body is read, the head, to be replayed
        self._line = b""  # of a chunk's size line, what has come

    # ---- the request ----

    def encode(self, request: Request) -> list[bytes]:
        """The request as it goes on the wire: its head, and its body unless that is streamed.

        :raises LocalProtocolError: it would break HTTP/1.1, or the connection is not ready for it.
        """
        if not self._is_ready:
            raise LocalProtocolError(NOT_READY)
        self._is_ready = False
        self._request = request
        kept = request.kept
        head = kept.head if kept is not None and _is_of(kept, request) else plain_head(request)
        if not head:
            return self._call_reference().encode(request)
        self._reference = None
        self._bodiless = _ALL if request.method == "HEAD" else _BODILESS
        self._reader = FastCodec._read_head
        return [head, request.content] if request.content else [head]  # type: ignore[list-item]  # it is not streamed

    def encode_piece(self, piece: bytes) -> bytes:
        """A piece of a body, framed. An empty piece is nothing, and not the end.

        :raises LocalProtocolError: it goes beyond the Content-Length, or the request has no body to come.
        """
        return self._streaming().encode_piece(piece)

    def encode_end(self) -> bytes:
        """The end of the request.

        :raises LocalProtocolError: the body falls short of the Content-Length, or has ended.
        """
        return self._streaming().encode_end()

    def _streaming(self) -> H11Codec:
        if self._reference is None:
            raise LocalProtocolError("the request breaks HTTP/1.1: it is complete")
        return self._reference

    # ---- the response ----

    def feed(self, data: bytes) -> list[Event]:
        """What bytes that arrived say; b"" stands for the end of the connection."""
        return self._reader(self, data)

    def _read_head(self, data: bytes) -> list[Event]:
        """The head, and what of the body has come with it."""
        found = _HEAD.match(data)
        head = None if found is None else self._understand(found)
        if found is None or head is None:
            return self._hand_over(data)
        end, expected = found.end(), self._expected
        left = end + expected - len(data)
        if expected < 0:
            self._head = data[:end]
            return [head, *self._start_chunks(data[end:])]
        if left <= 0:
            ended = self._end(left < 0)
            return [head, data[end : end + expected], ended] if expected else [head, ended]
        self._left = left
        self._reader = FastCodec._read_length
        return [head, data[end:]] if left < expected else [head]

    def _understand(self, found: re.Match[bytes]) -> Head | None:
        """The head and, in `_expected` and `_closes`, the framing; None where it is not plain."""
        code, reason, lines = found.groups()
        limits = self._limits
        if found.end() > limits.head or (
            len(lines) > _SHORTEST_FIELD * limits.fields and lines.count(b"\n") > limits.fields
        ):
            return None
        telling = _TELLING_FIELD.findall(b"\n" + lines.lower())
        by_name = dict(telling)
        if len(by_name) != len(telling):
            return None  # one of them stands twice
        get = by_name.get
        expected = self._framing(code, get(b"content-length"), get(b"transfer-encoding"))
        if expected is None or (expected < 0 and _as_it_stands(lines, b"transfer-encoding") != b"chunked"):
            return None
        self._expected = expected
        connection, keepalive = get(b"connection"), get(b"keep-alive")
        self._closes = closes = connection is not None and connection != b"keep-alive" and says_close(connection)
        codings = (
            [_as_it_stands(lines, b"content-encoding").decode("latin-1")] if b"content-encoding" in by_name else []
        )
        seconds = None if keepalive is None else keepalive_of(keepalive)
        reason = "" if reason is None else reason.decode("latin-1")
        return _new_head((int(code), reason, "HTTP/1.1", lines, closes, seconds, codings))

    def _framing(self, code: bytes, length: bytes | None, coding: bytes | None) -> int | None:
        """The bytes of the body, or -1 for chunks; None where that is not plain (RFC 9112 section 6.3)."""
        is_bodiless = code in self._bodiless
        if length is not None:
            if coding is not None or not length.isdigit() or len(length) > 18:
                return None
            return 0 if is_bodiless else int(length)
        if is_bodiless:
            return 0 if coding is None else None
        return -1 if coding == b"chunked" and self._limits.chunk_line >= _LONGEST_CHUNK_LINE else None

    def _read_length(self, data: bytes) -> list[Event]:
        """A body with a Content-Length."""
        left, size = self._left, len(data)
        if size < left:
            self._left = left - size
            return [data] if data else [self._cut_short()]
        if size == left:
            return [data, self._end(False)]
        return [data[:left], self._end(True)]

    def _cut_short(self) -> Violation:
        self._reader = FastCodec._surplus
        return cut_short(self._expected - self._left, self._expected)

    def _end(self, has_surplus: bool) -> Event:
        self._reader = FastCodec._surplus
        self._request = None
        self._is_ready = not (has_surplus or self._closes)
        return ENDED if self._is_ready else ENDED_FOR_GOOD

    def _surplus(self, data: bytes) -> list[Event]:  # noqa: ARG002  # as the others that read
        """What nobody has asked for."""
        self._is_ready = False
        return []

    # ---- chunks ----

    def _start_chunks(self, data: bytes) -> list[Event]:
        self._left, self._line = 0, b""
        self._reader = FastCodec._read_chunks
        return self._read_chunks(data) if data else []

    def _read_chunks(self, data: bytes) -> list[Event]:
        """Chunks, their pieces joined: where one ends and the next begins means nothing."""
        if not data:
            return self._cut_chunks()
        pieces: list[bytes] = []
        if self._line:
            data, self._line = self._line + data, b""
        position = self._finish_chunk(data, pieces) if self._left else 0
        while not self._left and (found := _CHUNK.match(data, position)) is not None:
            start = found.end()
            size = int(found[1], 16)
            end = start + size
            if size and data[end : end + 2] == _CRLF:
                pieces.append(data[start:end])
                position = end + 2
            elif size:
                self._left = size + 2
                position = start + self._finish_chunk(data[start:], pieces)
            elif data[start : start + 2] == _CRLF:
                self._head = b""
                return [*_joined(pieces), self._end(len(data) > start + 2)]
            else:
                break
        rest = data[position:]
        if self._left > 2 or (self._left and not rest):
            return _joined(pieces)
        if not self._left and _HALF_A_CHUNK_LINE.fullmatch(rest):
            self._line = rest
            return _joined(pieces)
        self._replay()
        return [*_joined(pieces), *self._by_reference(rest)]

    def _finish_chunk(self, data: bytes, pieces: list[bytes]) -> int:
        """Take what comes of the chunk under way and of the line end behind it. Up to where in `data`."""
        piece = data[: max(0, self._left - 2)]
        if piece:
            pieces.append(piece)
            self._left -= len(piece)
        if self._left > 2:
            return len(piece)
        found = data[len(piece) : len(piece) + self._left]
        if not _CRLF[2 - self._left :].startswith(found):
            return len(piece)
        self._left -= len(found)
        return len(piece) + len(found)

    def _cut_chunks(self) -> list[Event]:
        """The connection ended in a chunked body."""
        line = self._line
        self._replay()
        return [*(self._by_reference(line) if line else []), *self._by_reference(b"")]

    # ---- the reference ----

    def _call_reference(self) -> H11Codec:
        self._reference = reference(self._limits)
        self._reader = FastCodec._by_reference
        return self._reference

    def _by_reference(self, data: bytes) -> list[Event]:
        assert self._reference is not None
        events = self._reference.feed(data)
        if events and isinstance(events[-1], End):
            self._reader = FastCodec._surplus
            if self._request is not None and not self._request.is_streamed:
                self._reference = None  # nothing more is to be sent
            self._request, self._head = None, b""
            self._is_ready = events[-1].keeps
        return events

    def _hand_over(self, data: bytes) -> list[Event]:
        """What begins with this head is the reference's."""
        self._call_reference().encode(self._request)  # type: ignore[arg-type]  # one is under way
        return self._by_reference(data)

    def _replay(self) -> None:
        """What follows of this chunked body is the reference's, from the start of a chunk, or from a fault in one."""
        self._hand_over(self._head)
        if self._left:
            self._by_reference(b"2\r\nx" if self._left > 2 else b"1\r\nx" + _CRLF[: 2 - self._left])


def _as_it_stands(lines: bytes, name: bytes) -> bytes:
    """The value of a field that is there once, in its own case."""
    fields: RawHeaders = PLAIN_FIELD.findall(lines)
    return next(value for found, value in fields if found.lower() == name)


def _joined(pieces: list[bytes]) -> list[Event]:
    return [b"".join(pieces)] if pieces else []


def _repeats_framing(fields: RawHeaders) -> bool:
    names = [name.lower() for name, _ in fields]
    return any(names.count(name) > 1 for name in _FRAMING)


def _is_of(kept: Kept, request: Request) -> bool:
    """Whether a head was made of what the request is now."""
    _, method, target, content, fields = kept
    return (
        fields == request.raw_headers
        and content is request.content
        and method is request.method
        and target is request.target
    )


def plain_head(request: Request) -> bytes:
    """The request's head, kept in it for the next time; b"" where the reference is to write it, or to refuse it."""
    fields = request.raw_headers
    by_name = {name.lower(): value for name, value in fields}
    if request.is_streamed or request.method == "CONNECT" or not _MORE_THAN_A_RESPONSE.isdisjoint(by_name):
        return b""
    if (
        fields[0][0].lower() != b"host"
        or (len(by_name) < len(fields) and _repeats_framing(fields))
        or not _is_plain(by_name, request.content)
    ):
        return b""
    lines = b"".join([b"%b: %b\r\n" % field for field in fields])
    head = b"%b %b HTTP/1.1\r\n%b\r\n" % (request.method.encode("ascii"), request.target, lines)
    if _REQUEST_HEAD.fullmatch(head) is None or head.count(b"\n") != len(fields) + 2:  # a field that is really two
        return b""
    request.encoded = head
    return head


def _is_plain(by_name: dict[bytes, bytes], content: object) -> bool:
    """Whether the connection is kept, and the length is that of the body."""
    if by_name.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return False
    length = by_name.get(b"content-length")
    return length is None or length == b"%d" % len(content if isinstance(content, bytes) else b"")
