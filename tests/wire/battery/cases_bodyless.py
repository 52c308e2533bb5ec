"""Responses that have no body whatever their fields say, and what stands behind them all the same."""

from __future__ import annotations

import zlib

from .case import HELLO, INTRUDER, LATER, Case, Fields, bad, good, head

NONE = "RFC 9112 section 6.3, rule 1: no body, whatever the fields say"
SURPLUS = "RFC 9112 section 9.2, GHSA-35p6-xmwp-9g52 (undici): bytes that nobody asked for"
CODED = "RFC 9110 section 8.4.1: a coding says what the body would be"

LINES = {
    "a HEAD": ("HEAD", b"200 OK"),
    "a HEAD of what is not there": ("HEAD", b"404 Not Found"),
    "a 204": ("GET", b"204 No Content"),
    "a 204 to a POST": ("POST", b"204 No Content"),
    "a 304": ("GET", b"304 Not Modified"),
    "a 304 to a HEAD": ("HEAD", b"304 Not Modified"),
}
CLAIMS: dict[str, tuple[bytes, ...]] = {
    "nothing": (),
    "a length": (b"Content-Length: 5",),
    "a length of nothing": (b"Content-Length: 0",),
    "a huge length": (b"Content-Length: 9223372036854775807",),
    "two equal lengths": (b"Content-Length: 5", b"Content-Length: 5"),
    "chunks": (b"Transfer-Encoding: chunked",),
    "gzip in chunks": (b"Transfer-Encoding: gzip, chunked",),
    "a type": (b"Content-Type: text/event-stream",),
    "gzip": (b"Content-Encoding: gzip", b"Content-Length: 25"),
    "an unknown coding": (b"Content-Encoding: s3cret", b"Content-Length: 25"),
    "thirty codings": (b"Content-Encoding: " + b", ".join([b"gzip"] * 30),),
    "keep-alive": (b"Connection: keep-alive", b"Keep-Alive: timeout=60"),
}
BEHIND = {
    "a body": b"hello",
    "a response": INTRUDER,
    "chunks": b"5\r\nhello\r\n0\r\n\r\n",
    "a last chunk": b"0\r\n\r\n",
    "a line end": b"\r\n",
    "a NUL": b"\0",
    "a gzip body": zlib.compress(b"hello", wbits=31),
}


def _line(name: str, *fields: bytes) -> bytes:
    return head(*fields, status=b"HTTP/1.1 " + LINES[name][1])


def _status(name: str) -> int:
    return int(LINES[name][1][:3])


EMPTY: list[Case] = [
    good(
        f"{name} that claims {claim}",
        CODED if "coding" in claim or claim == "gzip" else NONE,
        _line(name, *fields),
        method=LINES[name][0],
        status=_status(name),
    )
    for name in LINES
    for claim, fields in CLAIMS.items()
]
BOTH: list[Case] = [
    good(
        f"{name} that claims chunks and a length",
        NONE + "; both together are suspicious",
        _line(name, b"Transfer-Encoding: chunked", b"Content-Length: 5"),
        method=LINES[name][0],
        status=_status(name),
        reuse="may",
    )
    for name in LINES
]
CLOSED: list[Case] = [
    good(
        f"{name} that says close",
        "RFC 9112 section 9.6",
        _line(name, b"Connection: close", b"Content-Length: 5"),
        method=LINES[name][0],
        status=_status(name),
        reuse="must not",
    )
    for name in LINES
]
FOLLOWED: list[Case] = [
    good(
        f"{name} and {what} {'later' if later else 'behind it'}",
        SURPLUS,
        *((_line(name, *fields), LATER, wire) if later else (_line(name, *fields) + wire,)),
        method=LINES[name][0],
        status=_status(name),
        reuse="must not",
    )
    for name, fields in {
        "a HEAD": (b"Content-Length: 5",),
        "a 204": (b"Transfer-Encoding: chunked",),
        "a 304": (b"Content-Length: 5",),
    }.items()
    for what, wire in BEHIND.items()
    for later in (False, True)
]
HINT: Fields = (("Content-Length", "5"),)
OTHERS: list[Case] = [
    good(
        "a 205 with a length of nothing",
        "RFC 9110 section 15.3.6",
        head(b"Content-Length: 0", status=b"HTTP/1.1 205 Reset"),
        status=205,
    ),
    good(
        "a 205 with a last chunk",
        "RFC 9110 section 15.3.6",
        head(b"Transfer-Encoding: chunked", status=b"HTTP/1.1 205 Reset") + b"0\r\n\r\n",
        status=205,
    ),
    good(
        "a 205 with a body",
        "RFC 9112 section 6.3: framed like any other",
        HELLO.replace(b"200 OK", b"205 Reset"),
        status=205,
        body=b"hello",
    ),
    good(
        "a HEAD by HTTP/1.0",
        NONE,
        head(b"Content-Length: 5", status=b"HTTP/1.0 200 OK"),
        method="HEAD",
        version="HTTP/1.0",
        reuse="must not",
    ),
    good(
        "a 103 that claims a length",
        NONE,
        head(b"Content-Length: 5", status=b"HTTP/1.1 103 Hints") + HELLO,
        body=b"hello",
        interims=((103, HINT),),
    ),
    good(
        "a 103 that claims chunks",
        NONE,
        head(b"Transfer-Encoding: chunked", status=b"HTTP/1.1 103 Hints") + HELLO,
        body=b"hello",
        interims=((103, (("Transfer-Encoding", "chunked"),)),),
    ),
    good(
        "a 100 that claims a length",
        NONE,
        head(b"Content-Length: 5", status=b"HTTP/1.1 100 Go on") + HELLO,
        body=b"hello",
        interims=((100, HINT),),
    ),
    bad(
        "a 103 and a body",
        NONE + ": the body is taken for a status line",
        head(b"Content-Length: 5", status=b"HTTP/1.1 103 Hints") + b"hello" + HELLO,
    ),
    bad("a HEAD with an illegal length", "RFC 9110 section 8.6", head(b"Content-Length: +5"), method="HEAD"),
    bad(
        "a 304 with two lengths",
        "RFC 9112 section 6.3",
        head(b"Content-Length: 5", b"Content-Length: 6", status=b"HTTP/1.1 304 X"),
    ),
]

CASES = EMPTY + BOTH + CLOSED + FOLLOWED + OTHERS
