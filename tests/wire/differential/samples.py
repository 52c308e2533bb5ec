"""Conversations that are always played: of each kind that a codec treats apart, at least one."""

from __future__ import annotations

from collections.abc import Iterator

from trio_pool.config import WireLimits

from .harness import Ask, Conversation, Turn

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH = OK + b"Content-Length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\na\r\n0123456789\r\n0\r\n\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"

GET, HEAD = Ask(), Ask("HEAD")
POST = Ask("POST", content=b"ab")
STREAM = Ask("POST", pieces=(b"ab", b"", b"c"))
UPGRADE = Ask(headers=((b"Upgrade", b"x"), (b"Connection", b"upgrade")))
TUNNEL = Ask("CONNECT", target="h:443")
LAST = Ask(headers=((b"Connection", b"close"),))
EXPECTANT = Ask("POST", headers=((b"Expect", b"100-continue"),), content=b"ab")

ASKS = (
    GET,
    HEAD,
    POST,
    STREAM,
    UPGRADE,
    TUNNEL,
    LAST,
    EXPECTANT,
    Ask("POST", content=b""),
    Ask("POST"),
    Ask("POST", headers=((b"Transfer-Encoding", b"Chunked"),), content=b"ab"),
    Ask("POST", headers=((b"Transfer-Encoding", b"chunked"),), content=b""),
    Ask("PUT", headers=((b"Content-Length", b"03"),), pieces=(b"ab", b"c")),
    Ask("PUT", headers=((b"Content-Length", b"2"),), pieces=(b"ab", b"c")),
    Ask("PUT", headers=((b"Content-Length", b"4"),), pieces=(b"ab", b"c")),
    Ask("PUT", headers=((b"Content-Length", b"0"),), pieces=()),
    Ask(headers=((b"X-Empty", b""), (b"x-text", b"\xe4 \t!"), (b"HOST", b"other"))),
    Ask(headers=((b"Connection", b"x , Close"),)),
    Ask(headers=((b"Connection", b"closed"),)),
    Ask(headers=((b"Upgrade", b" , "),)),
    Ask("head"),
    Ask("OPTIONS", target="*"),
    Ask("POST", headers=((b"Expect", b"100-continue"),), pieces=(b"ab",)),
)
"""Requests of every kind."""

SMUGGLERS = tuple(
    Ask(smuggled=(field,))
    for field in (
        (b"X", b"a\nb"),
        (b"X", b"a\r\nY: z"),
        (b"X", b"\r"),
        (b"X", b"\n"),
        (b"X", b"a\r"),
        (b"X", b"a\n"),
        (b"X", b"a\x00"),
        (b"X", b" a"),
        (b"X", b"a "),
        (b"X", b"a\t"),
        (b"X", b" "),
        (b"X", b"\x0b"),
        (b"X", b"\x01\x7f"),
        (b"X", b"\x85\xa0"),
        (b"X y", b"a"),
        (b"", b"a"),
        (b"X:", b"a"),
        (b"X\r\nY", b"a"),
        (b"X\n", b"a"),
        (b" X", b"a"),
        (b"X\xe4", b"a"),
        (b"Host", b"again"),
        (b"Content-Length", b"0"),
        (b"Content-Length", b"1"),
        (b"Content-Length", b"x"),
        (b"content-length", b"0, 0"),
        (b"Transfer-Encoding", b"chunked"),
        (b"transfer-encoding", b"CHUNKED"),
        (b"Transfer-Encoding", b"gzip"),
        (b"Connection", b"close"),
        (b"Upgrade", b"x"),
    )
) + tuple(Ask(sent_as=method) for method in ("", "G T", "GET\n", "GET:", "G\r\nT", "HEAD", "CONNECT", "POST"))
"""Requests that were spoilt behind their own checks."""

REPLIES = (
    LENGTH,
    CHUNKED,
    EMPTY,
    OK + b"\r\nto the end",
    OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Connection: close\r\n\r\nhello",
    OK + b"connection: x ,\tCLOSE\r\nTRANSFER-ENCODING: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1 \r\nc\r\n0;z\r\nX: y\r\nZ:\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n0005\r\nhello\r\n0000000000000002\r\nab\r\n000\r\nX: y\n\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\n1\r\nc\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00000000000000000\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n12345678901234567\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n 5\r\nhello\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5;a=\x00\r\nhello\r\n0\r\n\r\n",
    OK + b'Transfer-Encoding: chunked\r\n\r\n5;a="\r\nhello\r\n0\r\n\r\n',
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\rx0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\rx",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\n",
    OK + b"Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
    OK + b"Content-Length: 5, 5\r\n\r\nhello",
    OK + b"Content-Length: 005\r\n\r\nhello",
    OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    OK + b"Content-Length: +5\r\n\r\nhello",
    OK + b"Content-Length: 9223372036854775807\r\n\r\nhello",
    OK + b"Content-Length: 9223372036854775808\r\n\r\nhello",
    OK + b"Content-Length: 99999999999999999999\r\n\r\nhello",
    OK + b"Content-Length: 100000000000000000000\r\n\r\nhello",
    OK + b"Content-Length:\r\n\r\nhello",
    OK + b"Content-Length: 5 \t\r\nA:\r\nB: \r\nC:\tx\t\r\nD: a b\xe4\t!\r\n\r\nhello",
    OK + b"A: b\r\n c\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"A : b\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"A: b\rc\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"A: \x01\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"A: \x0c\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"A:  b\r\nB:\t\tc\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Content-Length:\t 5\r\n\r\nhello",
    OK + b"Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"A: b\t\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"A: \x0b\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"A: \x00\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Keep-Alive: timeout=5, max=7\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"keep-alive: max=7\r\nKeep-Alive: x; Timeout = 9\r\nKeep-Alive: y\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Content-Encoding: gzip\r\ncontent-encoding: br, \xe4\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Connection: Keep-Alive\r\nConnection: close, x\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Connection: close\r\nConnection: Keep-Alive\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Connection: x,CLOSE\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Connection: closed, xclose\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Upgrade: h2c\r\nTrailer: X\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nA: b\r\ntransfer-encoding: chunked\r\nC: d\r\n\r\n",
    b"HTTP/1.1 205 Reset\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 a\x00\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 a\x0c\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1x1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 299  a\tb\xe4 \r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 999 ~\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 099 X\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 2000 X\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.2 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"http/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH,
    b"HTTP/1.1 103 Hints\r\nLink: a\r\n\r\nHTTP/1.1 102 P\r\n\r\n" + CHUNKED,
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nof x",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\n\r\nhello",
    b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n A: b\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"\r\n" + LENGTH,
    b"SSH-2.0-x\r\n",
    b"",
)
"""What a server may send."""

SURPLUS = (b"\r\n", b"x", LENGTH, b"HTTP/1.1 408 Late\r\n\r\n")
"""What may stand behind a response."""


BOUNDED = (
    OK + b"A: b\r\nContent-Length: 5\r\nC: d\r\n\r\nhello",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00b;x=y\r\n0123456789a\r\n0\r\nT: u\r\nV: w\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n00000005\r\nhello\r\n0;extension=extension\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0000000000000000000000005\r\nhello\r\n0\r\n\r\n",
    b"HTTP/1.1 103 H\r\nL: a\r\n\r\nHTTP/1.1 100 C\r\n\r\n" + LENGTH,
    OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 X\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
)


def bounds(wire: bytes) -> Iterator[WireLimits]:
    """Bounds from nothing to more than there is."""
    for count in range(7):
        yield WireLimits(fields=count)
    for size in range(30):
        yield WireLimits(chunk_line=size)
    for head in range(1, len(wire) + 2):
        yield WireLimits(head=head)


def bounded() -> Iterator[Conversation]:
    """Every bound on responses that have something of all that is bounded."""
    for wire in BOUNDED:
        for limits in bounds(wire):
            yield Conversation((Turn(wire, cuts=(len(wire) // 2,)),), limits)


def cut_short() -> Iterator[Conversation]:
    """The connection ends anywhere."""
    for wire in (LENGTH, CHUNKED, REPLIES[9], OK + b"\r\nabc"):
        for size in range(len(wire)):
            yield Conversation((Turn(wire[:size], cuts=(size - 1,), ends=True),))


def exchanges() -> Iterator[Conversation]:
    """Every reply to a GET and to a HEAD, every request with common replies, and what follows them."""
    for ask in (GET, HEAD):
        for wire in REPLIES:
            yield Conversation((Turn(wire, ask),))
    for bodiless in (Turn(OK + b"Content-Length: 5\r\n\r\n", HEAD), Turn(b"HTTP/1.1 304 Not Modified\r\n\r\n")):
        yield Conversation((bodiless, Turn(LENGTH), bodiless, Turn(CHUNKED)))
    turns = [Turn(wire, ask) for ask in ASKS for wire in (LENGTH, CHUNKED, EMPTY)]
    turns += [Turn(LENGTH, ask) for ask in SMUGGLERS]
    turns += [Turn(wire + more) for wire in (LENGTH, CHUNKED, EMPTY) for more in SURPLUS]
    turns += [Turn(wire + more, cuts=(len(wire) - 2,)) for wire in (LENGTH, CHUNKED) for more in SURPLUS]
    turns += [Turn(wire, ask, stray=b"x") for wire in (LENGTH, CHUNKED, EMPTY) for ask in (GET, STREAM)]
    turns += [Turn(wire, STREAM, early=5) for wire in (LENGTH, CHUNKED, EMPTY)]
    for turn in turns:
        yield Conversation((Turn(LENGTH), turn, Turn(CHUNKED)))


def other_exchanges() -> Iterator[Conversation]:
    """Every reply to requests that ask for more than a response, early, and with the connection's end behind it."""
    turns = [Turn(wire, ask) for ask in (UPGRADE, TUNNEL, LAST, STREAM) for wire in REPLIES]
    turns += [Turn(wire, STREAM, early=early) for wire in (LENGTH, CHUNKED, EMPTY) for early in (1, 2, 5)]
    turns += [Turn(wire, ends=True) for wire in REPLIES]
    for turn in turns:
        yield Conversation((turn,))
