"""The framing of a chunked body, followed beside h11: what h11 lets pass and a client must not.

h11 takes anything but LF for a chunk extension, a bare CR too, which other software takes for the end of the line:
two readers of one response that disagree where its chunks end can be made to disagree on whose bytes these are.
"""

from __future__ import annotations

import re

_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'  # RFC 9110 section 5.6.4
_EXTENSION = rb"[ \t]*;(?:[\t\x20\x21\x23-\x7e\x80-\xff]|" + _QUOTED + rb")*"
_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:" + _EXTENSION + rb")?[ \t]*\r\n")  # RFC 9112 section 7.1


class ChunkGuard:
    """Follows one body.

    :param max_line: bytes of a chunk's size and extensions.
    :param max_trailers: bytes of the trailers.
    :ivar fault: what was found wrong, and whether it is only too much.
    """

    __slots__ = ("_in_trailers", "_line", "_max_line", "_max_trailers", "_skip", "fault")

    def __init__(self, max_line: float, max_trailers: float = 65536) -> None:
        self._max_line = max_line
        self._max_trailers = max_trailers
        self._line = bytearray()  # of a size line, what has come
        self._skip = 0  # of a chunk, with the line end behind it, what is to come
        self._in_trailers = 0  # bytes of trailers that have come, once the last chunk has
        self.fault = ("", False)

    @property
    def is_over(self) -> bool:
        """Whether the last chunk has come: what follows are trailers."""
        return self._in_trailers > 0

    def check(self, data: bytes) -> int | None:
        """Where in the next bytes something illegal stands, or None."""
        position = 0
        while position < len(data):
            if self._in_trailers:
                return self._check_trailers(data, position)
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
                position += step
                continue
            end = data.find(b"\n", position) + 1
            self._line += data[position : end or len(data)]
            if not self._is_legal(bool(end)):
                return position
            position = end or len(data)
        return None

    def _is_legal(self, is_whole: bool) -> bool:
        """Whether the size line is legal as far as it has come; a whole one is taken in."""
        if len(self._line) > self._max_line:
            self.fault = (f"the response has a chunk line of more than {self._max_line} bytes", True)
            return False
        if not is_whole:
            return True
        found = _LINE.fullmatch(bytes(self._line))
        self._line.clear()
        if found is None:
            self.fault = ("the server broke HTTP/1.1: an illegal chunk size or extension", False)
            return False
        size = int(found[1], 16)
        self._skip = size + 2 if size else 0
        self._in_trailers = 0 if size else 1
        return True

    def _check_trailers(self, data: bytes, position: int) -> int | None:
        """What h11 reads, up to the bound; it stops by itself where they end."""
        end = data.find(b"\n\r\n", position)
        self._in_trailers += (len(data) if end < 0 else end) - position
        if self._in_trailers <= self._max_trailers:
            return None
        self.fault = (f"the response has more than {self._max_trailers} bytes of trailers", True)
        return position
