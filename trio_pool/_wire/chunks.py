"""The framing of a chunked body, followed beside h11: what h11 lets pass and a client must not.

h11 takes anything but LF for a chunk extension, a bare CR too, which other software takes for the end of the line:
two readers of one response that disagree where its chunks end can be made to disagree on whose bytes these are.
"""

from __future__ import annotations

import re

_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?[ \t]*\r\n")  # RFC 9112 section 7.1


class ChunkGuard:
    """Follows one body.

    :param max_line: bytes of a chunk's size and extensions.
    """

    __slots__ = ("_line", "_max_line", "_skip", "is_over")

    def __init__(self, max_line: float) -> None:
        self._max_line = max_line
        self._line = b""  # of a size line, what has come
        self._skip = 0  # of a chunk, with the line end behind it, what is to come
        self.is_over = False  # whether the last chunk has begun

    def check(self, data: bytes) -> int | None:
        """Where in the next bytes something illegal stands, or None."""
        position = 0
        while position < len(data) and not self.is_over:
            if self._skip:
                step = min(self._skip, len(data) - position)
                self._skip -= step
                position += step
                continue
            end = data.find(b"\n", position) + 1
            self._line += data[position : end or len(data)]
            if len(self._line) > self._max_line or (end and not self._read_line()):
                return position
            position = end or len(data)
        return None

    def _read_line(self) -> bool:
        """Take a whole size line in. Whether it is legal."""
        found = _LINE.fullmatch(self._line)
        self._line = b""
        if found is None:
            return False
        size = int(found[1], 16)
        self.is_over = size == 0
        self._skip = size + 2
        return True
