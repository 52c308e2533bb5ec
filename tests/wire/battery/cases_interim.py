"""Interim responses: told to observers, never taken for the response, and bounded."""

from __future__ import annotations

from trio_pool import LimitExceeded, PoolConfig, ReadError

from .case import CUT, END, HELLO, INTRUDER, RESET, Case, bad, good, head

INTERIM = "RFC 9110 section 15.2"
SWITCH = "RFC 9110 section 15.2.2: only if an upgrade was asked for"
ENDLESS = "CVE-2021-3737 (Python): interim responses without end"


def interim(code: int = 103, *fields: bytes, reason: bytes = b"X") -> bytes:
    """An interim response."""
    return head(*fields, status=b"HTTP/1.1 %d %b" % (code, reason))


LINK = (("Link", "</a>; rel=preload"), ("link", "</b>"))
HINTS = interim(103, b"Link: </a>; rel=preload", b"link: </b>")
SWITCHING = head(b"Upgrade: x", b"Connection: upgrade", status=b"HTTP/1.1 101 Switching Protocols")

PASSED: list[Case] = [
    *[
        good(f"a {code}", INTERIM, interim(code) + HELLO, body=b"hello", interims=((code, ()),))
        for code in (100, 102, 103, 104, 110, 199)
    ],
    good(
        "a 103 with links",
        "RFC 8297",
        HINTS + HELLO,
        body=b"hello",
        headers=(("Content-Length", "5"),),
        interims=((103, LINK),),
    ),
    good("a 103, and the response later", "RFC 8297", HINTS, HELLO, body=b"hello", interims=((103, LINK),)),
    good(
        "three kinds",
        INTERIM,
        interim(100) + interim(102) + HINTS + HELLO,
        body=b"hello",
        interims=((100, ()), (102, ()), (103, LINK)),
    ),
    good(
        "an interim response without a reason",
        INTERIM,
        b"HTTP/1.1 103\r\n\r\n" + HELLO,
        body=b"hello",
        interims=((103, ()),),
    ),
    good(
        "an interim response to a HEAD",
        INTERIM,
        HINTS + head(b"Content-Length: 5"),
        method="HEAD",
        interims=((103, LINK),),
    ),
    good(
        "an interim response and a 204",
        INTERIM,
        HINTS + head(status=b"HTTP/1.1 204 X"),
        status=204,
        interims=((103, LINK),),
    ),
    good(
        "a 100 that nobody waits for",
        INTERIM,
        interim(100) + HELLO,
        method="POST",
        content=b"x",
        body=b"hello",
        interims=((100, ()),),
    ),
    good(
        "an interim response that says close",
        "RFC 9112 section 9.6: the final one counts",
        interim(103, b"Connection: close") + HELLO,
        body=b"hello",
        interims=((103, (("Connection", "close"),)),),
        reuse="may",
    ),
    good(
        "an interim response with a cookie",
        "RFC 9110 section 15.2: it is no part of the final one",
        interim(103, b"Set-Cookie: a=b") + HELLO,
        body=b"hello",
        headers=(("Content-Length", "5"),),
        interims=((103, (("Set-Cookie", "a=b"),)),),
    ),
    good(
        "an interim response and close",
        INTERIM,
        HINTS + HELLO.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n"),
        body=b"hello",
        interims=((103, LINK),),
        reuse="must not",
    ),
    good(
        "an interim response and a response behind",
        INTERIM,
        HINTS + HELLO + INTRUDER,
        body=b"hello",
        interims=((103, LINK),),
        reuse="must not",
    ),
    good("an interim response behind the response", INTERIM, HELLO + HINTS, body=b"hello", reuse="must not"),
]
BROKEN: list[Case] = [
    bad("a 101 that nobody asked for", SWITCH, SWITCHING),
    bad("a 101 that nobody asked for, and a response", SWITCH, SWITCHING + INTRUDER),
    bad("a 101 without fields", SWITCH, head(status=b"HTTP/1.1 101 X")),
    bad("a 101 to a HEAD", SWITCH, SWITCHING, method="HEAD"),
    bad("a 101 to a POST", SWITCH, SWITCHING, method="POST", content=b"x"),
    bad("a 101 after a 103", SWITCH, HINTS + SWITCHING),
    bad("a 101 to a Connection without an Upgrade", SWITCH, SWITCHING, fields=(("Connection", "upgrade"),)),
    bad("an interim response alone", "RFC 9112 section 8", HINTS, END, says="in the middle"),
    bad("an interim response and a cut", "RFC 9112 section 8", HINTS, CUT, says="", tls_error=ReadError),
    bad(
        "an interim response and a reset",
        "RFC 9112 section 8",
        HINTS,
        RESET,
        error=ReadError,
        says="the connection broke",
    ),
    bad("half an interim response", "RFC 9112 section 8", HINTS[:-2], END, says="in the middle"),
    bad("an illegal interim response", INTERIM, interim(103, b"X : s3cret") + HELLO),
    bad("an interim response by HTTP/2.0", INTERIM, HINTS.replace(b"1.1", b"2.0") + HELLO),
    bad("a final response by HTTP/2.0", INTERIM, HINTS + HELLO.replace(b"1.1", b"2.0")),
]
TIGHT = PoolConfig(max_connections=1, max_head_size=300, max_header_count=3)
BIG = interim(103, b"X: " + b"y" * 1000)
TALKATIVE = interim(103, reason=b"y" * 1000)
BOUNDS: list[Case] = [
    good("100 interim responses", ENDLESS, interim() * 100 + HELLO, body=b"hello", interims=((103, ()),) * 100),
    bad("101 interim responses", ENDLESS, interim() * 101 + HELLO, error=LimitExceeded, says="100 interim responses"),
    bad(
        "interim responses without end", ENDLESS, interim(100) * 5000, error=LimitExceeded, says="100 interim responses"
    ),
    good(
        "60 interim responses of 1,000 bytes",
        ENDLESS,
        BIG * 60 + HELLO,
        body=b"hello",
        interims=((103, (("X", "y" * 1000),)),) * 60,
    ),
    bad("70 interim responses of 1,000 bytes", ENDLESS, BIG * 70 + HELLO, error=LimitExceeded, says="65536 bytes"),
    bad(
        "90 interim responses with reasons of 1,000 bytes",
        ENDLESS,
        TALKATIVE * 90 + HELLO,
        error=LimitExceeded,
        says="65536 bytes",
    ),
    bad(
        "an interim response of 70,000 bytes",
        ENDLESS,
        interim(103, b"X: " + b"y" * 70000) + HELLO,
        error=LimitExceeded,
        says="65536 bytes",
    ),
    bad(
        "an interim response that never ends",
        ENDLESS,
        b"HTTP/1.1 100 " + b"y" * 70000,
        error=LimitExceeded,
        says="65536 bytes",
    ),
    bad(
        "an interim response of 129 fields",
        ENDLESS,
        interim(103, *[b"X: y"] * 129) + HELLO,
        error=LimitExceeded,
        says="128 header fields",
    ),
    bad(
        "interim responses over their own bound",
        ENDLESS,
        interim(103, b"X: " + b"y" * 100) * 3 + HELLO,
        error=LimitExceeded,
        says="300 bytes",
        config=TIGHT,
    ),
]

CASES = PASSED + BROKEN + BOUNDS
