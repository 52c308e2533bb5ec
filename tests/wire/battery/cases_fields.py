"""Header fields: their names, values, line ends, number and size."""

from __future__ import annotations

from trio_pool import LimitExceeded, PoolConfig

from .case import END, Case, answer, bad, good, head

SYNTAX = "RFC 9112 section 5, RFC 9110 section 5.5"
NAME = "RFC 9110 section 5.1: a name is a token"
SPACE = "RFC 9112 section 5.1: no whitespace before the colon; CVE-2019-16276 (Go)"
FOLD = "RFC 9112 section 5.2"
CR = "RFC 9112 section 2.2: a bare CR is invalid; CVE-2023-30589 (llhttp)"
BOUND = "CVE-2023-38039 (curl): heads without bounds"


def with_field(line: bytes) -> bytes:
    """A response that is sound but for one of its lines."""
    return answer(b"hello", line)


def read_as(name: str, source: str, line: bytes, *fields: tuple[str, str]) -> Case:
    """A line of a head, and what is read from it."""
    return good(name, source, with_field(line), body=b"hello", headers=(("Content-Length", "5"), *fields))


VALUES = {
    "no space before the value": (b"X:y", "y"),
    "many spaces around the value": (b"X:   y  ", "y"),
    "tabs around the value": (b"X:\ty\t", "y"),
    "spaces inside the value": (b"X: a  b\tc", "a  b\tc"),
    "an empty value": (b"X:", ""),
    "a value of spaces": (b"X:  \t ", ""),
    "a colon in the value": (b"X: a: b::c", "a: b::c"),
    "a value beyond ASCII": (b"X: \xe9\xff\x80", "\xe9\xff\x80"),
    "quotes": (b'X: "a, b"', '"a, b"'),
    "one character": (b"X: y", "y"),
    "a value like a status line": (b"X: HTTP/1.1 200 OK", "HTTP/1.1 200 OK"),
    "a value like a length": (b"X: Content-Length: 7", "Content-Length: 7"),
}
FOLDS = {
    "by a space": (b"X: a\r\n b", "a b"),
    "by a tab": (b"X: a\r\n\tb", "a b"),
    "by many spaces": (b"X: a\r\n   \t b", "a b"),
    "after spaces": (b"X: a  \r\n b", "a b"),
    "twice": (b"X: a\r\n b\r\n c", "a b c"),
    "before its value": (b"X:\r\n a", "a"),
    "with a lone LF": (b"X: a\n b", "a b"),
    "with a colon": (b"X: a\r\n Y: b", "a Y: b"),
    "and is empty": (b"X: a\r\n \t", "a"),
}
LEGAL: list[Case] = [
    *[read_as(name, SYNTAX, line, ("X", value)) for name, (line, value) in VALUES.items()],
    *[read_as(f"a line that is folded {name}", FOLD, line, ("X", value)) for name, (line, value) in FOLDS.items()],
    read_as("every character of a token", NAME, b"!#$%&'*+-.^_`|~09azAZ: y", ("!#$%&'*+-.^_`|~09azAZ", "y")),
    read_as("case and order of names", SYNTAX, b"b: 1\r\nA: 2\r\nB: 3", ("b", "1"), ("A", "2"), ("B", "3")),
    read_as(
        "repeated fields stay apart",
        SYNTAX,
        b"Set-Cookie: a=1\r\nset-cookie: b=2",
        ("Set-Cookie", "a=1"),
        ("set-cookie", "b=2"),
    ),
    read_as(
        "a control character in a value",
        "RFC 9110 section 5.5: invalid, and MAY be retained: servers set such cookies (h11 issue 57)",
        b"Set-Cookie: a=\x01\x7f",
        ("Set-Cookie", "a=\x01\x7f"),
    ),
    good("a folded length", FOLD, head(b"Content-Length:\r\n 5") + b"hello", body=b"hello", reuse="may"),
    good(
        "a length that is a folded line of another field",
        "CVE-2024-27982 (llhttp): only its colon makes it look like a field",
        head(b"X: y", b" Content-Length: 2") + b"hello",
        END,
        body=b"hello",
        headers=(("X", "y Content-Length: 2"),),
        reuse="must not",
    ),
    good(
        "a length with an underscore is no length",
        NAME,
        head(b"Content_Length: 2", b"Content-Length: 5") + b"hello",
        body=b"hello",
    ),
    good("names in capitals", SYNTAX, head(b"CONTENT-LENGTH: 5") + b"hello", body=b"hello"),
    good("names in small letters", SYNTAX, head(b"content-length: 5") + b"hello", body=b"hello"),
    good(
        "no field at all", "RFC 9112 section 6.3", head() + b"hello", END, body=b"hello", headers=(), reuse="must not"
    ),
]

ILLEGAL = {
    "a space before the colon": (b"X : s3cret", SPACE),
    "a tab before the colon": (b"X\t: s3cret", SPACE),
    "a space before the colon of a length": (b"Content-Length : 5", SPACE),
    "a space before the colon of a coding": (b"Transfer-Encoding : chunked", SPACE),
    "a space in the name": (b"Content Length: s3cret", "CVE-2015-5739 (Go)"),
    "no colon": (b"s3cret", SYNTAX),
    "no name": (b": s3cret", NAME),
    "an empty name and value": (b":", NAME),
    "a NUL in the name": (b"X\0: s3cret", NAME),
    "a control character in the name": (b"X\x01: s3cret", NAME),
    "a name beyond ASCII": (b"X\xe9: s3cret", NAME),
    "a name in Kelvin": ("\u212aeep-Alive: s3cret".encode(), NAME + ": lower() makes an ASCII k of it"),
    "parentheses in the name": (b"X(y): s3cret", NAME),
    "quotes around the name": (b'"X": s3cret', NAME),
    "a slash in the name": (b"X/Y: s3cret", NAME),
    "an at sign in the name": (b"X@Y: s3cret", NAME),
    "brackets in the name": (b"[X]: s3cret", NAME),
    "a NUL in the value": (b"X: s3cret\0", "RFC 9110 section 5.5, CVE-2026-34520 (aiohttp)"),
    "a NUL alone": (b"\0", SYNTAX),
    "a bare CR in the value": (b"X: s3c\rret", CR),
    "a bare CR before the line end": (b"X: s3cret\r", CR),
    "a bare CR before the value": (b"X:\rs3cret", CR),
    "a bare CR and another field": (b"X: y\rY: s3cret", CR),
    "a bare CR and a length": (b"X: y\rContent-Length: 2", CR),
    "a bare CR in the name": (b"X\rY: s3cret", CR),
    "a bare CR alone": (b"\r", CR),
    "a bare CR and a folded line": (b"X: y\r\r\n s3cret", CR),
    "a VT in the value": (b"X: a\x0bs3cret", "RFC 9110 section 5.5; CVE-2025-69224 (aiohttp): str.strip() takes it"),
    "an FF in the value": (b"X: a\x0cs3cret", "RFC 9110 section 5.5; as a VT"),
    "a status line as a field": (b"HTTP/1.1 200 OK", "CVE-2016-1000105: response splitting; it has no colon in a name"),
}
BROKEN: list[Case] = [
    *[bad(f"a field with {name}", source, with_field(line)) for name, (line, source) in ILLEGAL.items()],
    bad("a folded line at the start of the head", FOLD, head(b" X: s3cret", b"Content-Length: 5") + b"hello"),
    bad("a tab at the start of the head", FOLD, head(b"\tX: s3cret", b"Content-Length: 5") + b"hello"),
    bad(
        "a head that ends in CR LF CR and another byte",
        "CVE-2025-23167 (llhttp)",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\rXhello",
        END,
        says="",
    ),
    bad("a head that ends in CR CR", CR, b"HTTP/1.1 200 OK\rContent-Length: 5\r\rhello", END, says=""),
]


def sized(size: int, first: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n") -> bytes:
    """A response whose head has so many bytes, from the status line to the empty line."""
    return first + b"X: " + b"s" * (size - len(first) - 7) + b"\r\n\r\nhello"


def crowded(count: int) -> bytes:
    """A response with so many fields."""
    return answer(b"hello", *[b"X: %d" % number for number in range(count - 1)])


TIGHT = PoolConfig(max_connections=1, max_head_size=200, max_header_count=3)
BOUNDS: list[Case] = [
    good("a head of 64 KiB", BOUND, sized(65536), body=b"hello"),
    good(
        "a reason of 60 KiB",
        BOUND,
        sized(65536, b"HTTP/1.1 200 " + b"K" * 60000 + b"\r\nContent-Length: 5\r\n"),
        body=b"hello",
    ),
    bad("a head of 64 KiB and a byte", BOUND, sized(65537), error=LimitExceeded, says="65536 bytes"),
    bad("a head of 100 KiB", BOUND, sized(102400), error=LimitExceeded, says="65536 bytes"),
    bad("a head of 1 MiB", BOUND, sized(1 << 20), error=LimitExceeded, says="65536 bytes"),
    bad("a line that never ends", BOUND, b"HTTP/1.1 200 " + b"K" * 70000, error=LimitExceeded, says="65536 bytes"),
    bad("a field that never ends", BOUND, head()[:-2] + b"X: " + b"y" * 70000, error=LimitExceeded, says="65536 bytes"),
    bad(
        "folded lines that never end",
        BOUND,
        head()[:-2] + b"X: y\r\n" + b" y\r\n" * 20000,
        error=LimitExceeded,
        says="",
    ),
    good("128 fields", BOUND, crowded(128), body=b"hello"),
    bad("129 fields", BOUND, crowded(129), error=LimitExceeded, says="128 header fields"),
    bad("10,000 fields", BOUND, crowded(10000), error=LimitExceeded, says=""),
    good("a head of its own bound", BOUND, sized(200), body=b"hello", config=TIGHT),
    bad("a head over its own bound", BOUND, sized(201), error=LimitExceeded, says="200 bytes", config=TIGHT),
    bad("a head far over its own bound", BOUND, sized(5000), error=LimitExceeded, says="200 bytes", config=TIGHT),
    good("fields up to their own bound", BOUND, crowded(3), body=b"hello", config=TIGHT),
    bad("fields over their own bound", BOUND, crowded(4), error=LimitExceeded, says="3 header fields", config=TIGHT),
]

CASES = LEGAL + BROKEN + BOUNDS
