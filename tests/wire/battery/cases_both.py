"""A response that comes while the request still goes out, and the question whether its body is wanted at all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from trio_pool import PoolConfig

from .case import BODY, END, HELLO, LATER, SILENCE, Case, Step, answer, bad, chunked, good, head
from .cases_interim import interim

EARLY = "RFC 9112 section 9.3, RFC 9110 section 7.5: an answer may come before the request has ended"
EXPECT = "RFC 9110 section 10.1.1"
CONFUSED = "CVE-2024-24791 (Go): a connection on which the body was never sent"
LARGE = b"x" * 8_000_000
EXPECTING = (("Expect", "100-continue"),)
HURRIED = PoolConfig(max_connections=1, read_timeout=2.0, write_timeout=5.0, expect_timeout=0.02)
CONTINUE = interim(100)
TOLD = ((100, ()),)


def stream(*pieces: bytes) -> Callable[[], AsyncIterator[bytes]]:
    """What makes a streamed body of these pieces."""

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return body


BODIES = {"a large body": LARGE, "a streamed body": stream(*[LARGE[:100_000]] * 80)}
REFUSALS = (300, 302, 400, 401, 413, 415, 417, 500, 503)

STOPPED: list[Case] = [
    good(
        f"a {code} before the end of {name}",
        EARLY,
        answer(b"no", status=b"HTTP/1.1 %d X" % code),
        LATER,
        method="POST",
        content=content,
        early=True,
        status=code,
        body=b"no",
        reuse="must not",
    )
    for code in REFUSALS
    for name, content in BODIES.items()
]
LASTS: list[Case] = [
    good(
        f"{what} before the end of {name}",
        EARLY,
        *steps,
        method="PUT",
        content=content,
        early=True,
        reuse="must not",
        **expected,
    )
    for name, content in BODIES.items()
    for what, steps, expected in (
        ("a 413 and an end", (answer(b"no", status=b"HTTP/1.1 413 X"), END), {"status": 413, "body": b"no"}),
        (
            "a 413 that says close, and an end",
            (answer(b"no", b"Connection: close", status=b"HTTP/1.1 413 X"), END),
            {"status": 413, "body": b"no"},
        ),
        ("a 413 to the end", (head(status=b"HTTP/1.1 413 X") + b"no", LATER), {"status": 413, "leaves": True}),
        (
            "a 413 in chunks",
            (chunked(b"2\r\nno\r\n0\r\n\r\n").replace(b"200 OK", b"413 X"), LATER),
            {"status": 413, "body": b"no"},
        ),
        (
            "a 100 and a 413",
            (CONTINUE + answer(b"no", status=b"HTTP/1.1 413 X"), LATER),
            {"status": 413, "body": b"no", "interims": TOLD},
        ),
        ("a 200 that says close", (answer(b"hello", b"Connection: close"), LATER), {"body": b"hello"}),
        ("a 200 by HTTP/1.0", (HELLO.replace(b"/1.1", b"/1.0"), LATER), {"body": b"hello", "version": "HTTP/1.0"}),
    )
]
GONE_ON: list[Case] = [
    good(
        f"a 200 before the end of {name}", EARLY, HELLO, BODY, method="POST", content=content, early=True, body=b"hello"
    )
    for name, content in BODIES.items()
] + [
    good(
        "a 200 with a long body before the end",
        EARLY,
        answer(b"y" * 200_000),
        BODY,
        method="POST",
        content=LARGE,
        early=True,
        body=b"y" * 200_000,
    ),
    good(
        "half a 200 before the end",
        EARLY,
        HELLO[:-3],
        BODY,
        HELLO[-3:],
        method="POST",
        content=LARGE,
        early=True,
        body=b"hello",
    ),
    good(
        "a 103 before the end",
        EARLY,
        interim(103),
        BODY,
        HELLO,
        method="POST",
        content=LARGE,
        early=True,
        body=b"hello",
        interims=((103, ()),),
    ),
    good(
        "a 200 and another before the end",
        EARLY,
        HELLO + answer(b"another's"),
        BODY,
        method="POST",
        content=LARGE,
        early=True,
        body=b"hello",
        reuse="must not",
    ),
]
BROKEN: list[Case] = [
    bad(f"{what} before the end of {name}", EARLY, *steps, method="POST", content=content, early=True, says="")
    for name, content in BODIES.items()
    for what, steps in (
        ("an illegal response", (head(b"X : y"), LATER)),
        ("a response by HTTP/2.0", (HELLO.replace(b"1.1", b"2.0"), LATER)),
        ("an unsolicited 101", (head(status=b"HTTP/1.1 101 X"), LATER)),
    )
]

SMALL = {"a small body": b"hello", "a small streamed body": stream(b"he", b"", b"llo"), "a large body": LARGE}


def asked(name: str, source: str, *steps: Step, make: Callable[..., Case] = good, **expected: object) -> list[Case]:
    """A POST of each body with `Expect: 100-continue`."""
    return [
        make(
            f"{name}, {what}",
            source,
            *steps,
            **({"method": "POST", "fields": EXPECTING, "early": True} | expected),
            content=content,
        )
        for what, content in SMALL.items()
    ]


ASKED: list[Case] = [
    *asked("a body is asked for", EXPECT, SILENCE, CONTINUE, BODY, HELLO, body=b"hello", interims=TOLD),
    *asked(
        "a body is asked for after a 103",
        EXPECT,
        SILENCE,
        interim(103),
        SILENCE,
        CONTINUE,
        BODY,
        HELLO,
        body=b"hello",
        interims=((103, ()), *TOLD),
    ),
    *asked(
        "a body is asked for twice", EXPECT, SILENCE, CONTINUE + CONTINUE, BODY, HELLO, body=b"hello", interims=TOLD * 2
    ),
    *asked(
        "a body is asked for with fields",
        EXPECT,
        SILENCE,
        interim(100, b"X: y"),
        BODY,
        HELLO,
        body=b"hello",
        interims=((100, (("X", "y"),)),),
    ),
    *asked(
        "a body is not asked for",
        EXPECT + ": a client is not to wait for ever",
        BODY,
        HELLO,
        body=b"hello",
        config=HURRIED,
    ),
    *asked(
        "a 103 does not ask for a body",
        EXPECT,
        SILENCE,
        interim(103),
        BODY,
        HELLO,
        body=b"hello",
        interims=((103, ()),),
        config=HURRIED,
    ),
    *asked(
        "a body is asked for, and then refused",
        EXPECT,
        SILENCE,
        CONTINUE,
        BODY,
        answer(b"no", status=b"HTTP/1.1 413 X"),
        status=413,
        body=b"no",
        interims=TOLD,
    ),
    *[
        case
        for code in (200, 204, 302, 401, 413, 417, 500)
        for case in asked(
            f"a body is answered by {code}",
            CONFUSED,
            SILENCE,
            head(b"Content-Length: 0", status=b"HTTP/1.1 %d X" % code),
            LATER,
            SILENCE,
            status=code,
            reuse="must not",
        )
    ],
    *asked(
        "a body is answered by 417 and an end",
        CONFUSED,
        SILENCE,
        answer(b"no", status=b"HTTP/1.1 417 X"),
        END,
        status=417,
        body=b"no",
        reuse="must not",
    ),
    *asked(
        "a body is answered by 103 and 417",
        CONFUSED,
        interim(103) + answer(b"no", status=b"HTTP/1.1 417 X"),
        LATER,
        SILENCE,
        status=417,
        body=b"no",
        interims=((103, ()),),
        reuse="must not",
    ),
    *asked("a body is answered by an end", EXPECT, SILENCE, END, make=bad, says="without a response"),
    *asked("a body is answered by nonsense", EXPECT, SILENCE, b"nonsense\r\n\r\n", LATER, SILENCE, make=bad),
    good(
        "a body is asked for by Expect: 100-Continue",
        EXPECT + ": without case",
        SILENCE,
        CONTINUE,
        BODY,
        HELLO,
        method="PUT",
        content=b"hello",
        fields=(("Expect", "100-Continue"),),
        early=True,
        body=b"hello",
        interims=TOLD,
    ),
    good(
        "a 100 for a body that did not wait",
        EXPECT,
        CONTINUE,
        BODY,
        HELLO,
        method="POST",
        content=b"hello",
        early=True,
        body=b"hello",
        interims=TOLD,
    ),
]

CASES = STOPPED + LASTS + GONE_ON + BROKEN + ASKED
