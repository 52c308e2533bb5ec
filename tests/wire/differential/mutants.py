"""Planted bugs: small patches of the fast codec's source, each of which the comparison must find.

A mutant replaces one exact snippet of `fast_codec.py`, which must occur there exactly once; so a mutant that no longer
fits the code fails loudly instead of planting nothing. The patched source is run as a module of its own.
"""

from __future__ import annotations

import inspect
from types import ModuleType

import attrs

from trio_pool._wire import fast_codec

from .harness import MakeCodec


@attrs.frozen
class Mutant:
    """One bug: `old` becomes `new`."""

    name: str
    old: str
    new: str

    def codec(self) -> MakeCodec:
        """A codec with the bug in it."""
        text = inspect.getsource(fast_codec)
        found = text.count(self.old)
        assert found == 1, f"the snippet of {self.name!r} occurs {found} times in fast_codec.py"
        module = ModuleType(f"{fast_codec.__name__}_mutant")
        module.__package__ = fast_codec.__package__
        code = compile(text.replace(self.old, self.new), f"<{self.name}>", "exec")
        exec(code, vars(module))  # the project's own source
        make: MakeCodec = vars(module)["FastCodec"]
        return make


_REASON = r"(?: ([\x20-\x7e]*+))?+\r\n"
_VALUE = r":[\t\x20-\x7e\x80-\xff]*+"
_NAME = r'rb"((?:[!#$%&' + "'" + r"*+\-.^_`|~0-9A-Za-z]++:["
_REPEATS = "if len(by_name) != len(telling):"
_BAD_LENGTH = "not length.isdigit() or len(length) > 18"
_TOO_MANY = 'lines.count(b"\\n") > limits.fields'
_NO_BODY = 'frozenset({b"204", b"304"})'
_OF_HEAD = '_ALL if request.method == "HEAD" else _BODILESS'
_CODED = 'return -1 if coding == b"chunked" and'
_READY = "self._is_ready = not (has_surplus or self._closes)"
_FULL_CHUNK = "if size and data[end : end + 2] == _CRLF:"


def _but_for(name: str) -> str:
    """No field may stand twice but this one."""
    return f"if len(by_name) != len([found for found, _ in telling if found != b{name!r}]) + (b{name!r} in by_name):"


MUTANTS = (
    # ---- heads ----
    Mutant("a reason of anything", _REASON, r"(?: ([^\r\n]*+))?+\r\n"),
    Mutant("a reason without a space before it", _REASON, r"(?: ?([\x20-\x7e]*+))\r\n"),
    Mutant("a value of anything", _VALUE, r":[^\r\n]*+"),
    Mutant("a value with a form feed", _VALUE, r":[\t\x0c\x20-\x7e\x80-\xff]*+"),
    Mutant("blanks before a colon", _VALUE, r"[ \t]*" + _VALUE),
    Mutant("a name of anything", _NAME, r'rb"((?:[^:\r\n]++:['),
    Mutant("an empty name", _NAME, _NAME.replace("]++:[", "]*+:[")),
    Mutant("folded lines", r"(?<![\t ])\r\n", r"(?<![\t ])\r\n(?:[ \t][^\r\n]*+\r\n)*"),
    Mutant("an interim response is final", r"HTTP/1\.1 ([2-9]\d\d)", r"HTTP/1\.1 ([1-9]\d\d)"),
    Mutant("any digits are a status", r"HTTP/1\.1 ([2-9]\d\d)", r"HTTP/1\.1 (\d+)"),
    Mutant("any version", r"HTTP/1\.1 ([2-9]", r"HTTP/\d\.\d ([2-9]"),
    Mutant("the version 1.0", r"HTTP/1\.1 ([2-9]", r"HTTP/1\.[01] ([2-9]"),
    Mutant("a version without its point", r"HTTP/1\.1 ([2-9]", r"HTTP/1.1 ([2-9]"),
    Mutant("anything before a head", "_HEAD.match(data)", "_HEAD.search(data)"),
    Mutant("no bound on a head", "found.end() > limits.head", "False"),
    Mutant(
        "a bound on a head that is one too far",
        "found.end() > limits.head",
        "found.end() - 1 > limits.head",
    ),
    Mutant("no bound on the fields", _TOO_MANY, "False"),
    Mutant(
        "a bound on the fields that is one too far",
        _TOO_MANY,
        'lines.count(b"\\n") - 1 > limits.fields',
    ),
    Mutant("values keep their last blanks", r"(?<![\t ])", ""),
    Mutant("values keep their last tabs", r"(?<![\t ])", r"(?<! )"),
    Mutant(
        "names lose their case",
        '"HTTP/1.1", lines, closes',
        '"HTTP/1.1", lines.lower(), closes',
    ),
    # ---- framings ----
    Mutant("the last of several framings wins", _REPEATS, "if False:"),
    Mutant("the last length wins", _REPEATS, _but_for("content-length")),
    Mutant("the last coding wins", _REPEATS, _but_for("transfer-encoding")),
    Mutant("the last connection field wins", _REPEATS, _but_for("connection")),
    Mutant("the last patience wins", _REPEATS, _but_for("keep-alive")),
    Mutant("the last content coding wins", _REPEATS, _but_for("content-encoding")),
    Mutant("a length with a plus", _BAD_LENGTH, "not length.lstrip(b'+').isdigit()"),
    Mutant("a length with blanks in it", _BAD_LENGTH, "not length.replace(b' ', b'').isdigit()"),
    Mutant("a length with underscores", _BAD_LENGTH, "not length.replace(b'_', b'').isdigit()"),
    Mutant("a length of any size", _BAD_LENGTH, "not length.isdigit()"),
    Mutant("the first of a list of lengths", _BAD_LENGTH, "not (length := length.partition(b',')[0]).isdigit()"),
    Mutant("no length is no body", _CODED, 'return 0 if coding is None else -1 if coding == b"chunked" and'),
    Mutant("a coding in any case", ' != b"chunked"):', '.lower() != b"chunked"):'),
    Mutant("a length goes before a coding", "if coding is not None or not length", "if not length"),
    Mutant("a coding goes before a length", "if length is not None:", "if length is not None and coding is None:"),
    Mutant("chunks where there is no body", "return 0 if coding is None else None", "return 0"),
    Mutant("a 204 has a body", _NO_BODY, 'frozenset({b"304"})'),
    Mutant("a 304 has a body", _NO_BODY, 'frozenset({b"204"})'),
    Mutant("a 205 has no body", _NO_BODY, 'frozenset({b"204", b"205", b"304"})'),
    Mutant("a HEAD has a body", _OF_HEAD, "_BODILESS"),
    Mutant("a HEAD has a body where it is odd", "range(200, 1000)", "range(200, 600)"),
    Mutant("what follows a HEAD has no body", _OF_HEAD, '_ALL if request.method == "HEAD" else self._bodiless'),
    Mutant("head in any case is HEAD", _OF_HEAD, _OF_HEAD.replace("method ==", "method.upper() ==")),
    # ---- what a head says ----
    Mutant("nobody hears close", "says_close(connection)", "False"),
    Mutant("close is heard in other words", "says_close(connection)", "b'close' in connection.lower()"),
    Mutant("close is heard only alone", "says_close(connection)", "connection.lower() == b'close'"),
    Mutant("close is heard only in lower case", "says_close(connection)", "b'close' in connection.split(b', ')"),
    Mutant("nobody hears of patience", "else keepalive_of(keepalive)", "else None"),
    Mutant("nobody hears of content codings", 'if b"content-encoding" in by_name else []', "if False else []"),
    Mutant("surplus behind a body is no matter", _READY, "self._is_ready = not self._closes"),
    Mutant("a closing server is no matter", _READY, "self._is_ready = not has_surplus"),
    Mutant("surplus in the head's arrival", "self._end(left < 0)", "self._end(False)"),
    Mutant("surplus in a later arrival", "[data[:left], self._end(True)]", "[data[:left], self._end(False)]"),
    Mutant("surplus belongs to the body", "[data[:left], self._end(True)]", "[data, self._end(True)]"),
    Mutant("a body ends one arrival late", "if left <= 0:", "if left < 0 or not expected:"),
    Mutant(
        "an end in a body is its end",
        "[data] if data else [self._cut_short()]",
        "[data] if data else [self._end(False)]",
    ),
    Mutant("an end in a body is a piece", "[data] if data else [self._cut_short()]", "[data]"),
    Mutant("the wrong count in a cut body", "cut_short(self._expected - self._left,", "cut_short(self._left,"),
    Mutant("a piece is counted twice", "self._left = left - size\n", "self._left = max(1, left - 2 * size)\n"),
    # ---- chunks ----
    Mutant(
        "a lone line feed ends a chunk line",
        r'_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")',
        r'_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,8})\r?\n")',
    ),
    Mutant("any extension", r'([0-9A-Fa-f]{1,8})\r\n")', r'([0-9A-Fa-f]{1,8})(?:;[^\r\n]*)?\r\n")'),
    Mutant("blanks before a chunk size", r'rb"([0-9A-Fa-f]{1,8})\r\n")', r'rb"[ \t]*([0-9A-Fa-f]{1,8})\r\n")'),
    Mutant("a chunk size with a prefix", r'rb"([0-9A-Fa-f]{1,8})\r\n")', r'rb"(?:0[xX])?([0-9A-Fa-f]{1,8})\r\n")'),
    Mutant("a chunk size of any length", r'([0-9A-Fa-f]{1,8})\r\n")', r'([0-9A-Fa-f]{1,20})\r\n")'),
    Mutant("chunk sizes are decimal", "int(found[1], 16)", 'int(found[1].lower().translate(None, b"abcdef") or b"1")'),
    Mutant("half a chunk line of anything", r'rb"[0-9A-Fa-f]{0,8}\r?"', r'rb"[^\n]*"'),
    Mutant("half a chunk line of any length", r'rb"[0-9A-Fa-f]{0,8}\r?"', r'rb"[0-9A-Fa-f]*\r?"'),
    Mutant("chunk lines are not bound", " and self._limits.chunk_line >= _LONGEST_CHUNK_LINE", ""),
    Mutant("a bound on chunk lines that is two too far", "_LONGEST_CHUNK_LINE = 10", "_LONGEST_CHUNK_LINE = 8"),
    Mutant("what follows a chunk is no matter", _FULL_CHUNK, "if size and len(data) >= end + 2:"),
    Mutant(
        "a line feed that follows a chunk is enough", _FULL_CHUNK, 'if size and data[end : end + 2].endswith(b"\\n"):'
    ),
    Mutant("what follows a cut chunk is no matter", "if not _CRLF[2 - self._left :].startswith(found):", "if False:"),
    Mutant("trailers are no matter", "elif data[start : start + 2] == _CRLF:", "elif len(data) >= start + 2:"),
    Mutant("the last chunk is the end", "elif data[start : start + 2] == _CRLF:", "elif True:"),
    Mutant("surplus behind chunks is no matter", "self._end(len(data) > start + 2)", "self._end(False)"),
    Mutant(
        "pieces of a chunk are kept back",
        "    if self._left > 2 or (self._left and not rest):\n            return _joined(pieces)",
        "    if self._left > 2 or (self._left and not rest):\n            return []",
    ),
    Mutant("a replay begins at a wrong place", 'b"1\\r\\nx" + _CRLF[: 2 - self._left]', 'b"1\\r\\nx"'),
    Mutant(
        "a replay forgets the chunk under way",
        "        if self._left:\n            self._by_reference(b",
        "        if False:\n            self._by_reference(b",
    ),
    Mutant("an end in a chunk line is told too late", "self._by_reference(line) if line else []", "[]"),
    Mutant("half a chunk line is forgotten", "            self._line = rest\n", ""),
    Mutant("half a chunk line is read twice", 'data, self._line = self._line + data, b""', "data = self._line + data"),
    # ---- one exchange after another ----
    Mutant("another request at any time", "        if not self._is_ready:\n", "        if False:\n"),
    Mutant(
        "what comes after the end is no matter",
        "        self._is_ready = False\n        return []",
        "        return []",
    ),
    Mutant(
        "the reference's word on keeping is no matter", "self._is_ready = events[-1].keeps", "self._is_ready = True"
    ),
    Mutant(
        "the reference is let go at the end",
        "if self._request is not None and not self._request.is_streamed:",
        "if True:",
    ),
    # ---- requests ----
    Mutant("a Host anywhere", 'fields[0][0].lower() != b"host"', 'b"host" not in by_name'),
    Mutant("a second length is sent", "or (len(by_name) < len(fields) and _repeats_framing(fields))\n", ""),
    Mutant("a field that is really two", ' or head.count(b"\\n") != len(fields) + 2', ""),
    Mutant(
        "values of anything are sent",
        r'"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?\r\n)*+\r\n"',
        r'"[^\r\n]*\r\n)*+\r\n"',
    ),
    Mutant(
        "any method is sent", r'rb"[!#$%&' + "'" + r"*+\-.^_`|~0-9A-Za-z]++ [\x21-\x7e]++ HTTP", r'rb"[^\r\n]* HTTP'
    ),
    Mutant("a tunnel is a response", 'request.method == "CONNECT" or', ""),
    Mutant(
        "chunked requests are sent as they are", 'frozenset({b"transfer-encoding", b"upgrade"', 'frozenset({b"upgrade"'
    ),
    Mutant(
        "our own close is no matter",
        '.lower() != b"keep-alive":\n        return False',
        '.lower() == b"":\n        return False',
    ),
    Mutant(
        "our own close is no matter among others",
        '.lower() != b"keep-alive":\n        return False',
        '.lower() == b"close":\n        return False',
    ),
    Mutant("any length is sent", "return length is None or", "return True or"),
)
