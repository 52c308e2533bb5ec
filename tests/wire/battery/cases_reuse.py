"""When a connection is used again: only if nothing speaks against it."""

from __future__ import annotations

from .case import (
    CUT,
    END,
    GOODBYE,
    HALF,
    HELLO,
    INTRUDER,
    LATER,
    RESET,
    AtOnce,
    Case,
    Raw,
    Step,
    answer,
    chunked,
    good,
    head,
)

PERSIST = "RFC 9112 section 9.3"
CLOSE = "RFC 9112 section 9.6, RFC 9110 section 7.6.1: a list of tokens without case"
SURPLUS = "RFC 9112 section 9.2, GHSA-35p6-xmwp-9g52 (undici), aiohttp issue 13656: bytes that nobody asked for"
TEAR = "RFC 9112 section 9.6: the server may end an idle connection at any time"

COMPLETE: dict[str, tuple[bytes, dict[str, object]]] = {
    "a length": (HELLO, {"body": b"hello"}),
    "a length of nothing": (head(b"Content-Length: 0"), {}),
    "chunks": (chunked(b"5\r\nhello\r\n0\r\n\r\n"), {"body": b"hello"}),
    "trailers": (chunked(b"5\r\nhello\r\n0\r\nX: y\r\n\r\n"), {"body": b"hello", "trailers": (("X", "y"),)}),
    "a HEAD": (head(b"Content-Length: 5"), {"method": "HEAD"}),
    "a 204": (head(status=b"HTTP/1.1 204 X"), {"status": 204}),
    "a 304": (head(status=b"HTTP/1.1 304 X"), {"status": 304}),
    "a 500": (answer(b"oh", status=b"HTTP/1.1 500 X"), {"status": 500, "body": b"oh"}),
    "a POST": (HELLO, {"method": "POST", "content": b"x", "body": b"hello"}),
}
BEHIND = {
    "a response": INTRUDER,
    "half a response": INTRUDER[:20],
    "an empty response": answer(b""),
    "a 408": answer(b"", b"Connection: close", status=b"HTTP/1.1 408 Request Timeout"),
    "a 100": head(status=b"HTTP/1.1 100 Continue"),
    "a 103": head(status=b"HTTP/1.1 103 Hints"),
    "a 101": head(b"Upgrade: x", b"Connection: upgrade", status=b"HTTP/1.1 101 Switching"),
    "a line end": b"\r\n",
    "a lone LF": b"\n",
    "a space": b" ",
    "a NUL": b"\0",
    "a letter": b"H",
    "a last chunk": b"0\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.9\r\n",
}
ENDS: dict[str, Step] = {
    "an end": END,
    "a cut": CUT,
    "a reset": RESET,
    "a goodbye": GOODBYE,
    "half an end": HALF,
}

KEPT: list[Case] = [
    good(f"{name} is complete", PERSIST, wire, **expected) for name, (wire, expected) in COMPLETE.items()
]
FOLLOWED: list[Case] = [
    good(
        f"{name}, and {what} {'later' if later else 'behind it'}",
        SURPLUS,
        *((wire, LATER, more) if later else (wire + more,)),
        reuse="must not",
        **expected,
    )
    for name, (wire, expected) in COMPLETE.items()
    for what, more in BEHIND.items()
    for later in (False, True)
    if name in ("a length", "chunks", "a 204") or what in ("a response", "a line end", "a letter")
]
ENDED: list[Case] = [
    good(
        f"{name}, and {what} {'later' if later else 'behind it'}",
        TEAR,
        *((wire, LATER, step) if later else (wire, step)),
        reuse="must not",
        **expected,
    )
    for name, (wire, expected) in COMPLETE.items()
    for what, step in ENDS.items()
    for later in (False, True)
    if name in ("a length", "chunks", "a HEAD") or step is END
]

CLOSING: dict[str, tuple[bytes, ...]] = {
    "close": (b"Connection: close",),
    "Close": (b"Connection: Close",),
    "CLOSE": (b"CONNECTION: CLOSE",),
    "close without a space": (b"connection:close",),
    "close and spaces": (b"Connection: \tclose \t",),
    "close first": (b"Connection: close, keep-alive",),
    "close last": (b"Connection: keep-alive, close",),
    "close between others": (b"Connection: a,\tClose ,b",),
    "close after nothing": (b"Connection: ,,close",),
    "close in the second field": (b"Connection: keep-alive", b"Connection: close"),
    "close in the first field": (b"Connection: close", b"connection: keep-alive"),
    "close in a folded line": (b"Connection: keep-alive,\r\n close",),
    "close and Keep-Alive": (b"Connection: close", b"Keep-Alive: timeout=60"),
}
NOT_CLOSING: dict[str, tuple[bytes, ...]] = {
    "keep-alive": (b"Connection: keep-alive",),
    "Keep-Alive": (b"Connection: Keep-Alive", b"Keep-Alive: timeout=60, max=1000"),
    "an empty Connection": (b"Connection:",),
    "another token": (b"Connection: x",),
    "a token that begins like close": (b"Connection: closed",),
    "a token that ends like close": (b"Connection: xclose",),
    "a header called close": (b"Close: Connection",),
    "close in another field": (b"X-Connection: close",),
    "an upgrade that is offered": (b"Connection: upgrade", b"Upgrade: h2c"),
    "a Keep-Alive that makes no sense": (b"Keep-Alive: timeout=soon, max=-1",),
    "a Keep-Alive of a second": (b"Keep-Alive: timeout=1",),
    "a Keep-Alive of ages": (b"Keep-Alive: timeout=999999999999999999999",),
}
SAID: list[Case] = [
    *[
        good(f"the server says {name}", CLOSE, answer(b"hello", *fields), body=b"hello", reuse="must not")
        for name, fields in CLOSING.items()
    ],
    *[
        good(f"the server says {name}", CLOSE, answer(b"hello", *fields), body=b"hello")
        for name, fields in NOT_CLOSING.items()
    ],
    *[
        good(f"we say {value}", CLOSE, HELLO, body=b"hello", fields=(("Connection", value),), reuse="must not")
        for value in ("close", "Close", "keep-alive, CLOSE", "close, te")
    ],
    good(
        "we say close twice",
        CLOSE,
        HELLO,
        body=b"hello",
        fields=(("Connection", "te"), ("connection", "close")),
        reuse="must not",
    ),
    good("we say keep-alive", CLOSE, HELLO, body=b"hello", fields=(("Connection", "keep-alive"),)),
    good(
        "a Keep-Alive of nothing",
        "RFC 2068 section 19.7.1.1",
        answer(b"hello", b"Keep-Alive: timeout=0"),
        body=b"hello",
        reuse="may",
    ),
    good(
        "a chunked response says close",
        CLOSE,
        chunked(b"5\r\nhello\r\n0\r\n\r\n", b"Connection: close"),
        body=b"hello",
        reuse="must not",
    ),
    good(
        "trailers say close",
        "RFC 9110 section 6.5.1",
        chunked(b"0\r\nConnection: close\r\n\r\n"),
        trailers=(("Connection", "close"),),
        reuse="may",
    ),
]

LONG = head(b"Content-Length: 400000")
LEAVE = "the design page: what is there is drained, 64 KiB at most; an exchange that was cut closes its connection"
LEFT: list[Case] = [
    good("a response is left, all of it there", LEAVE, HELLO, leaves=True, reuse="may"),
    good("a response is left, and no body is to come", LEAVE, head(b"Content-Length: 0"), leaves=True),
    good("a 204 is left", LEAVE, head(status=b"HTTP/1.1 204 X"), leaves=True, status=204),
    good(
        "a response is left, with half of it to come",
        LEAVE,
        HELLO[:-3],
        LATER,
        HELLO[-3:],
        leaves=True,
        reuse="must not",
    ),
    good("a response is left, with another behind it", LEAVE, HELLO + INTRUDER, leaves=True, reuse="must not"),
    good(
        "a response is left before its last chunk",
        LEAVE,
        chunked(b"5\r\nhello\r\n"),
        LATER,
        b"0\r\n\r\n",
        leaves=True,
        reuse="must not",
    ),
    good(
        "a response is left before its trailers",
        LEAVE,
        chunked(b"0\r\n"),
        LATER,
        b"\r\n",
        leaves=True,
        reuse="must not",
    ),
    good("a long response is left", LEAVE, LONG + b"y" * 400000, leaves=True, reuse="must not"),
    good("a response without a length is left", LEAVE, head() + b"hello", LATER, END, leaves=True, reuse="must not"),
    good("a broken response is left", LEAVE, chunked(b"zzz\r\n"), leaves=True, reuse="must not"),
    good(
        "a response that says close is left",
        LEAVE,
        answer(b"hello", b"Connection: close"),
        leaves=True,
        reuse="must not",
    ),
]

RECORDS = "RFC 8446 section 5.1: bytes in the TLS object are bytes on the connection"
ALERT = b"\x15\x03\x03\x00\x02\x02\x28"
TOGETHER: list[Case] = [
    good("a response and another in one segment", RECORDS, AtOnce((HELLO, INTRUDER)), body=b"hello", reuse="must not"),
    good(
        "a response and a line end in one segment", RECORDS, AtOnce((HELLO, b"\r\n")), body=b"hello", reuse="must not"
    ),
    good(
        "a response of many records in one segment",
        RECORDS,
        AtOnce((HELLO[:9], HELLO[9:30], HELLO[30:])),
        body=b"hello",
    ),
    good("a head and a body in one segment", RECORDS, AtOnce((HELLO[:-5], b"hello")), body=b"hello"),
    good(
        "a response and a goodbye in one segment",
        RECORDS,
        AtOnce((HELLO,), goodbye=True),
        body=b"hello",
        reuse="must not",
    ),
    good(
        "a response, another and a goodbye in one segment",
        RECORDS,
        AtOnce((HELLO, INTRUDER), goodbye=True),
        body=b"hello",
        reuse="must not",
    ),
    good(
        "a response in records of a byte in one segment",
        RECORDS,
        AtOnce(tuple(HELLO[at : at + 1] for at in range(len(HELLO)))),
        body=b"hello",
    ),
    good("bytes that are no TLS, later", RECORDS, HELLO, LATER, Raw(b"hello, world"), body=b"hello", reuse="must not"),
    good("an alert that is not encrypted, later", RECORDS, HELLO, LATER, Raw(ALERT), body=b"hello", reuse="must not"),
]

UNASKED = "RFC 9112 section 9.2: what comes without a request MUST NOT be taken for its response"
GREETED: list[Case] = [
    good(f"before the first request: {what}", UNASKED, HELLO, body=b"hello", greeting=more, prewarmed=True, visit=1)
    for what, more in BEHIND.items()
]

CASES = KEPT + FOLLOWED + ENDED + SAID + LEFT + TOGETHER + GREETED
