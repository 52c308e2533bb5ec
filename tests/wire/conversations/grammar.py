"""Conversations by chance: what is asked, what comes back, what is wrong with it, and in which pieces it arrives.

A reply is a template: `NONCE` stands wherever the nonce of its exchange goes. The grammar makes legal replies and says
of each whether the connection may go on; mistakes and damage come after, and what they make of a reply is for the
oracle to say. So everything that is drawn is small, and prints as what it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Literal

import attrs
from hypothesis import strategies as st

NONCE = b"@@@@@@@@@@"

Doing = Literal["read", "iterate", "leave", "leave in the middle"]
Method = Literal["GET", "HEAD", "POST"]
Ending = Literal["stay", "end", "reset"]


def nonce_of(number: int) -> bytes:
    """The nonce of an exchange: no damage makes one of another."""
    return hashlib.sha256(b"%d" % number).hexdigest()[: len(NONCE)].encode()


@attrs.frozen
class Reply:
    """What a server sends for a request, before anything is wrong with it.

    :ivar keeps: whether the connection may go on, by the grammar's own book.
    :ivar surplus: bytes behind it that nobody asked for.
    :ivar ending: what becomes of the connection then.
    """

    wire: bytes
    keeps: bool
    surplus: bytes = b""
    ending: Ending = "stay"


@attrs.frozen
class Damage:
    """A change at a place, which is counted round and round the reply's length.

    :ivar size: how many bytes go, or are doubled or moved.
    :ivar put: what comes in their place.
    """

    kind: Literal["replace", "double", "move", "flip"]
    at: int
    size: int
    put: bytes = b""

    def do(self, wire: bytes) -> bytes:
        """The reply, damaged."""
        at = self.at % (len(wire) + 1)
        before, part, behind = wire[:at], wire[at : at + self.size], wire[at + self.size :]
        if self.kind == "double":
            return before + part * 2 + behind
        if self.kind == "move":
            return part + before + behind
        if self.kind == "flip":
            return before + bytes(byte ^ (1 << self.at % 8) for byte in part) + behind
        return before + self.put + behind


@attrs.frozen
class Exchange:
    """One request, its reply, and how it goes.

    :ivar mistake: what is replaced in the reply by what, wherever it stands.
    :ivar cut: where the reply stops, or None.
    :ivar cuts: where it is cut into pieces; None: everywhere.
    :ivar gaps: seconds before the pieces, one each, over and over.
    """

    method: Method
    doing: Doing
    reply: Reply
    mistake: tuple[bytes, bytes] = (b"", b"")
    damage: tuple[Damage, ...] = ()
    cut: int | None = None
    cuts: tuple[int, ...] | None = ()
    gaps: tuple[float, ...] = (0.0,)

    def sent(self, number: int) -> bytes:
        """Every byte that the server sends for it."""
        wire = self.reply.wire + self.reply.surplus
        if self.mistake[0]:
            wire = wire.replace(*self.mistake)
        for damage in self.damage:
            wire = damage.do(wire)
        if self.cut is not None:
            wire = wire[: self.cut % (len(wire) + 1)]
        return wire.replace(NONCE, nonce_of(number))

    def pieces(self, number: int) -> Iterator[tuple[float, bytes]]:
        """These bytes as they arrive: after how many seconds, and what."""
        wire = self.sent(number)
        places = (
            range(len(wire) + 1)
            if self.cuts is None
            else sorted({0, len(wire), *(c % (len(wire) + 1) for c in self.cuts)})
        )
        for turn, (start, end) in enumerate(zip(places, places[1:], strict=False)):
            yield self.gaps[turn % len(self.gaps)], wire[start:end]


# ---- legal replies ----

STATUSES = st.sampled_from(
    [b"200 OK", b"200 OK", b"201 " + NONCE, b"206", b"301 ", b"404 \xfc\xff", b"500 a b", b"599 \t"]
)
FIELDS = st.lists(
    st.sampled_from(
        [
            b"X-Nonce: " + NONCE,
            b"Set-Cookie: sid=" + NONCE,
            b"Server:x",
            b"Via: a,\r\n b",
            b"Empty:",
            b"Text: \xe4\xf6",
            b"Keep-Alive: timeout=100, max=7",
            b"Connection: keep-alive",
            b"Connection: X-Nonce, closed",
            b"Trailer: T",
        ]
    ),
    max_size=4,
)
CLOSING = st.sampled_from(
    [b"Connection: close", b"connection: x, CLOSE ,y", b"Connection: keep-alive\r\nConnection: Close"]
)
INTERIMS = st.lists(
    st.sampled_from(
        [
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 102 P\r\nX-Nonce: " + NONCE + b"\r\n\r\n",
            b"HTTP/1.1 103 Early Hints\r\nLink: <" + NONCE + b">\r\nLink: </b>\r\n\r\n",
        ]
    ),
    max_size=2,
)
BODIES = st.sampled_from(
    [b"", NONCE, b"x" + NONCE * 2, NONCE * 9, NONCE * 40, b"HTTP/1.1 200 OK\r\n\r\n" + NONCE, b"\r\n0\r\n\r\n"]
)
SURPLUS = st.sampled_from(
    [
        b"\r\n",
        b"x",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nX-Nonce: " + NONCE + b"\r\n\r\n" + NONCE,
        b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 20",
        NONCE * 3,
    ]
)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """The body in chunks, with extensions and trailers."""
    wire = b""
    while body:
        size = draw(st.integers(1, len(body)))
        form = draw(st.sampled_from([b"%x\r\n", b"%X;a=b\r\n", b'00%x; q="1"\r\n', b"%x \r\n"]))
        wire, body = wire + form % size + body[:size] + b"\r\n", body[size:]
    last = draw(st.sampled_from([b"0\r\n", b"000;x\r\n"]))
    return wire + last + draw(st.sampled_from([b"\r\n", b"\r\n", b"T: " + NONCE + b"\r\n\r\n"]))


@st.composite
def replies(draw: st.DrawFn, method: str) -> Reply:
    """A legal reply to this method."""
    body = draw(BODIES)
    version = draw(st.sampled_from([b"HTTP/1.1 "] * 7 + [b"HTTP/1.0 "]))
    framing = draw(st.sampled_from(["length"] * 4 + ["chunked"] * 4 + ["end", "both", "twice", "none"]))
    fields = draw(FIELDS)
    closes = draw(st.sampled_from([False] * 7 + [True]))
    if closes:
        fields = [*fields, draw(CLOSING)]
    status = draw(STATUSES) if framing != "none" else draw(st.sampled_from([b"204 No Content", b"304 Not Modified"]))
    length = b"Content-Length: %d" % len(body)
    fields += {
        "length": [length],
        "twice": [length, length],
        "chunked": [b"Transfer-Encoding: chunked"],
        "both": [length, b"Transfer-Encoding: Chunked"],
        "end": [],
        "none": draw(st.sampled_from([[], [b"Content-Length: 5"], [b"Transfer-Encoding: chunked"]])),
    }[framing]
    has_body = method != "HEAD" and framing != "none"
    head = b"\r\n".join([version + status, *draw(st.permutations(fields)), b"", b""])
    content = draw(chunked(body)) if framing in ("chunked", "both") else body
    ends = framing == "end" and has_body
    return Reply(
        b"".join(draw(INTERIMS)) + head + (content if has_body else b""),
        keeps=version == b"HTTP/1.1 " and not closes and not (framing == "both" and has_body) and not ends,
        ending="end" if ends else "stay",
    )


# ---- what can be wrong ----

MISTAKES = st.sampled_from(
    [
        (b"Content-Length: ", b"Content-Length: +"),
        (b"Content-Length: ", b"Content-Length: 0x"),
        (b"Content-Length: ", b"Content-Length: 1_"),
        (b"Content-Length: ", b"Content-Length: -"),
        (b"Content-Length: ", b"Content-Length: 7, "),
        (b"Content-Length: ", b"Content-Length: 7\r\nContent-Length: "),
        (b"Content-Length: ", b"Content-Length : "),
        (b"Content-Length: ", b"Content-Length: \x0b"),
        (b"Content-Length: ", b"Content-Length: \xb2"),
        (b"Content-Length: ", b"Content-Length: 99999999999999999999"),
        (b"Content-Length: ", b" Content-Length: "),
        (b"Content-Length: ", b"X: y\rContent-Length: "),
        (b"Content-Length: ", b"Content-Length: \r\n "),
        (b": chunked", b": identity"),
        (b": chunked", b": gzip, chunked"),
        (b": chunked", b": chunked, chunked"),
        (b": chunked", b": xchunked"),
        (b": chunked", b": chunked, identity"),
        (b": chunked", b": \x0bchunked"),
        (b": chunked", b":\r\n chunked"),
        (b"\r\n", b"\n"),
        (b"\r\n", b"\r\r\n"),
        (b"\r\n\r\n", b"\r\n \r\n\r\n"),
        (b"HTTP/1.1 ", b"HTTP/2.0 "),
        (b"HTTP/1.1 ", b"HTTP/1.2 "),
        (b"HTTP/1.1 ", b"http/1.1 "),
        (b"HTTP/1.1 2", b"HTTP/1.1  2"),
        (b"HTTP/1.1 ", b"\r\nHTTP/1.1 "),
        (b"HTTP/1.1 200", b"HTTP/1.1 101"),
        (b"HTTP/1.1 200", b"HTTP/1.1 100"),
        (b";a=b", b";a\rb"),
        (b";a=b", b";a\nb"),
        (b"00%x", b"0x"),
        (b"X-Nonce", b"X Nonce"),
        (b"Server:", b"Server"),
        (b"Server:x", b"Server:\0"),
        (b"Server:x", b":x"),
        (b"\r\n0\r\n", b"\r\n0"),
        (b"\r\n0\r\n", b"0\r\n"),
        (b"\r\n0\r\n", b"\r\n-0\r\n"),
        (b"0\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n"),
        (b"0\r\n\r\n", b"0\r\n\r\n\r\n"),
    ]
)
PUT = st.sampled_from(
    [b"", b"\r\n", b"\r\n\r\n", b"0", b"5", b"\0", b"\r", b"\n", b" ", b":", b",", b"HTTP/1.1 200 OK\r\n"]
)
DAMAGES = st.builds(
    Damage,
    kind=st.sampled_from(["replace", "replace", "double", "move", "flip"]),
    at=st.integers(0, 700),
    size=st.integers(0, 12),
    put=PUT | st.binary(max_size=3),
)
CUTS = st.sampled_from([(), None]) | st.lists(st.integers(0, 700), max_size=6).map(tuple)
GAPS = st.sampled_from([(0.0,), (0.0,), (0.0,), (0.0, 0.9), (0.0, 0.0, 2.5), (0.1,), (0.0,) * 40 + (1.5,)])


FAULTS = ["none"] * 9 + ["surplus", "mistake", "mistake", "damage", "damage", "cut", "ending", "vanish", "vanish"]


METHODS: st.SearchStrategy[Method] = st.sampled_from(["GET", "GET", "GET", "HEAD", "POST"])
ENDINGS: st.SearchStrategy[Ending] = st.sampled_from(["stay", "end", "reset"])


@st.composite
def exchanges(draw: st.DrawFn, *, is_legal: bool = False, has_gaps: bool = False) -> Exchange:
    """One exchange; about half of them as they should be, unless all are."""
    method = draw(METHODS)
    exchange = Exchange(
        method=method,
        doing=draw(st.sampled_from(["read"] * 4 + ["iterate"] * 2 + ["leave", "leave in the middle"])),
        reply=draw(replies(method)),
        cuts=draw(CUTS),
        gaps=draw(GAPS) if has_gaps else (0.0,),
    )
    fault = "none" if is_legal else draw(st.sampled_from(FAULTS))
    if fault == "vanish":
        return attrs.evolve(exchange, reply=Reply(b"", keeps=False, ending=draw(st.sampled_from(["end", "reset"]))))
    if fault == "surplus":
        return attrs.evolve(exchange, reply=attrs.evolve(exchange.reply, surplus=draw(SURPLUS)))
    if fault == "mistake":
        return attrs.evolve(exchange, mistake=draw(MISTAKES))
    if fault == "damage":
        return attrs.evolve(exchange, damage=tuple(draw(st.lists(DAMAGES, min_size=1, max_size=3))))
    ending = draw(ENDINGS) if fault in ("cut", "ending") else exchange.reply.ending
    cut = draw(st.integers(0, 700)) if fault == "cut" else None
    return attrs.evolve(exchange, reply=attrs.evolve(exchange.reply, ending=ending), cut=cut)
