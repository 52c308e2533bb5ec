"""What may be made of a reply: a reader that sees all of it at once.

It shares no line with the client, and it is lenient wherever leniency leads to no other reading: whatever the client
takes for a whole response, this must have taken too, and must have read the same in it; and a connection that the
client uses again must have been found in order here.
"""

from __future__ import annotations

import re

import attrs

from .grammar import Ending

_STATUS = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: [^\0\r\n]*)?")
_HEX = re.compile(rb"[0-9A-Fa-f]{1,16}")
_TEXT = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_VALUE = re.compile(rb"[^\0\r\n]*")  # a recipient may keep other control characters (RFC 9110 section 5.5)


@attrs.frozen
class Reading:
    """A whole response.

    :ivar keeps: whether the connection is in order behind it.
    """

    status: int
    body: bytes
    fields: list[tuple[bytes, bytes]]
    trailers: list[tuple[bytes, bytes]]
    keeps: bool


class Nonsense(Exception):
    """There is no whole response in it."""


def reading_of(method: str, wire: bytes, ending: Ending) -> Reading | None:
    """The response in these bytes, or None: there is none, or no whole one."""
    try:
        return _read(method, wire, ending)
    except Nonsense:
        return None


def _read(method: str, wire: bytes, ending: Ending) -> Reading:
    version, status, fields, rest = _head(wire)
    while 100 <= status < 200:
        if status == 101:
            raise Nonsense  # nobody asked for it
        version, status, fields, rest = _head(rest)
    is_bodiless = method == "HEAD" or status in (204, 304)  # whatever its fields say
    codings, lengths = (
        [] if is_bodiless else _values(fields, name) for name in (b"transfer-encoding", b"content-length")
    )
    closes = version == b"0" or b"close" in [token.lower() for token in _values(fields, b"connection")]
    trailers: list[tuple[bytes, bytes]] = []
    delimited = True
    if len(set(lengths)) > 1 or any(not length.isdigit() for length in lengths):
        raise Nonsense
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        raise Nonsense
    if is_bodiless:
        body = b""
    elif codings:
        body, trailers, rest = _chunks(rest)
    elif lengths:
        size = int(lengths[0])
        body, rest = rest[:size], rest[size:]
        if len(body) < size:
            raise Nonsense
    else:
        body, rest, delimited = rest, b"", False
        if ending != "end":
            raise Nonsense
    keeps = delimited and not closes and not rest and ending == "stay" and not (codings and lengths)
    return Reading(status, body, fields, trailers, keeps)


def _head(wire: bytes) -> tuple[bytes, int, list[tuple[bytes, bytes]], bytes]:
    """Version, status and fields, and what is behind them."""
    lines, rest = _lines(wire)
    found = _STATUS.fullmatch(lines[0]) if lines else None
    if found is None:
        raise Nonsense
    return found[1], int(found[2]), _fields(lines[1:]), rest


def _lines(wire: bytes) -> tuple[list[bytes], bytes]:
    """Lines up to an empty one, and what is behind it."""
    lines: list[bytes] = []
    while True:
        line, end, wire = wire.partition(b"\n")
        if not end:
            raise Nonsense
        line = line.removesuffix(b"\r")
        if not line:
            return lines, wire
        lines.append(line)


def _fields(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    fields: list[tuple[bytes, bytes]] = []
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if not fields:
                raise Nonsense
            name, value = fields.pop()
            fields.append((name, (value + b" " + line.strip(b" \t")).strip(b" \t")))
            continue
        name, colon, value = line.partition(b":")
        if not name or not colon or name.strip(b" \t") != name or not _VALUE.fullmatch(value):
            raise Nonsense
        fields.append((name.lower(), value.strip(b" \t")))
    return fields


def _values(fields: list[tuple[bytes, bytes]], wanted: bytes) -> list[bytes]:
    """The members of all lists of that name."""
    return [part.strip(b" \t") for name, value in fields if name == wanted for part in value.split(b",")]


def _chunks(wire: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    body = b""
    while True:
        line, end, wire = wire.partition(b"\r\n")
        found = _HEX.match(line)
        if not end or found is None or not _TEXT.fullmatch(line):
            raise Nonsense
        if line[found.end() :].strip(b" \t")[:1] not in (b"", b";"):
            raise Nonsense
        size = int(found[0], 16)
        if size == 0:
            lines, rest = _lines(wire)
            return body, _fields(lines), rest
        if wire[size : size + 2] != b"\r\n":
            raise Nonsense
        body, wire = body + wire[:size], wire[size + 2 :]
