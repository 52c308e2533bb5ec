"""Lines of text out of a stream of bytes, incrementally, in linear time and bounded memory.

Only LF, CRLF and CR end a line, as in server-sent events and in the formats that send one JSON text a line;
`str.splitlines` would also cut at separators that may stand inside a JSON string (U+2028, U+0085 and others).
Text is decoded before it is cut, since in UTF-16 a line end is more than one byte.
"""

from __future__ import annotations

import codecs
import io

from ..errors import LimitExceeded

DEFAULT_CHARSET = "utf-8"
_LONGEST_NAME = 40  # Python remembers every name it was asked for, so a server must not choose long ones

# Python has codecs that are not for text from elsewhere: they fail in spite of errors="replace", warn, run
# Python's escapes, or take quadratic time. UTF-7 is what https://encoding.spec.whatwg.org/#security-background
# says never to accept.
_REFUSED = frozenset({"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "utf-7"})


def known_charset(charset: str | None) -> str:
    """The name of a codec that decodes this charset: UTF-8 where it is None, unknown, or not for text.

    It is safe to use for what a server sends: with errors="replace" it never raises.
    """
    if charset is None or len(charset) > _LONGEST_NAME:
        return DEFAULT_CHARSET
    try:
        name = codecs.lookup(charset).name
        b"\n".decode(name, "replace")  # refuses codecs between bytes and bytes, such as "hex"
    except (LookupError, ValueError):
        return DEFAULT_CHARSET
    return DEFAULT_CHARSET if name in _REFUSED else name


class LineDecoder:
    """Decodes bytes, in whatever pieces they arrive, into lines without their ends.

    :param charset: the charset of the bytes, as the server named it (None: UTF-8); see `known_charset`.
        Malformed bytes become U+FFFD; UTF-16 and UTF-32 without a BOM are little-endian.
    :param max_line_bytes: the longest line, counted in UTF-8 whatever the charset is (16,777,216 bytes).
        `math.inf` for no bound.
    """

    def __init__(self, charset: str | None = None, *, max_line_bytes: float = 16_777_216) -> None:
        self._charset = known_charset(charset)
        self._decoder = codecs.getincrementaldecoder(self._charset)("replace")
        self._max_bytes = max_line_bytes
        self._skip_lf = False  # a CR came last
        self._partial = io.StringIO()  # the line that has begun
        self._size = 0  # its bytes in UTF-8
        self._failure = ""

    def feed(self, data: bytes | bytearray | memoryview) -> list[str]:
        """The lines that these bytes complete, in order; often none.

        :raises LimitExceeded: a line is longer than the bound. Lines that were complete before are returned
            first: then the next call raises, and so does every later one.
        """
        return self._deliver(self._decode(bytes(data)), final=False)

    def flush(self) -> list[str]:
        """The bytes have ended: the last line if it has no end, as a list of one, or an empty list.

        :raises LimitExceeded: as `feed`, if that had still to be told.
        """
        return self._deliver(self._decode(b"", final=True), final=True)

    def _decode(self, data: bytes, *, final: bool = False) -> str:
        try:
            return self._decoder.decode(data, final)
        except UnicodeError:  # UTF-16 or UTF-32 without a BOM, which Python's incremental decoders refuse
            begun = self._decoder.getstate()[0]
            self._decoder = codecs.getincrementaldecoder(f"{self._charset}-le")("replace")
            return self._decoder.decode(begun + data, final)

    def _deliver(self, text: str, *, final: bool) -> list[str]:
        if self._failure:
            raise LimitExceeded(self._failure)
        lines: list[str] = []
        try:
            self._read(self._normalised(text), lines)
        except LimitExceeded as error:
            self._failure = error.what
            self._partial = io.StringIO()
            if not lines:
                raise
            return lines
        if final and self._size:
            lines.append(self._take_partial())
        return lines

    def _normalised(self, text: str) -> str:
        """The text with LF for every line end."""
        if self._skip_lf and text:
            self._skip_lf = False
            text = text.removeprefix("\n")
        if "\r" in text:
            self._skip_lf = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text

    def _read(self, text: str, lines: list[str]) -> None:
        *ended, begun = text.split("\n")
        if ended:
            self._extend(ended[0])
            lines.append(self._take_partial())
        if 4 * len(text) <= self._max_bytes:  # then none of them is too long
            lines += ended[1:]
        else:
            for line in ended[1:]:
                self._extend(line)
                lines.append(self._take_partial())
        self._extend(begun)

    def _extend(self, text: str) -> None:
        self._size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        if self._size > self._max_bytes:
            raise LimitExceeded(f"the response has a line of more than {self._max_bytes} bytes")
        self._partial.write(text)

    def _take_partial(self) -> str:
        line = self._partial.getvalue()
        self._partial = io.StringIO()
        self._size = 0
        return line
