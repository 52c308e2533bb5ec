"""Conversations by chance, close to where a fast reader and a careful one may part.

Most parts of a response are as servers send them, so that it is read to its end; here and there stands something odd,
drawn from tables of what is odd about that part. Then the bytes may be damaged, and they are cut into arrivals, more
often than elsewhere beside a line's end. Bounds are drawn too: far, near, or just as large as what they bound.

Whoever draws is a `Chance`: Hypothesis, which makes a failure small, or dice, which are fast.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import attrs

from trio_pool.config import WireLimits

from . import oddities as odd
from .harness import Ask, Conversation, Turn, end_of_head

T = TypeVar("T")


class Chance(Protocol):
    """Who draws."""

    def pick(self, options: Sequence[T], /) -> T:
        """One of these."""
        ...

    def number(self, most: int, /) -> int:
        """A number from 0 to `most`."""
        ...


class Calm:
    """Draws nothing odd: for exchanges that another is to follow."""

    def __init__(self, chance: Chance) -> None:
        self.pick = chance.pick
        self.number = chance.number


RARITY = 3
"""How much rarer all that is odd is than it says: a response should have about one thing odd about it."""


def rarely(chance: Chance, usual: T, others: Sequence[T], one_in: int = 8) -> T:
    """The usual, and once in a while something odd."""
    return usual if isinstance(chance, Calm) or chance.number(RARITY * one_in - 1) else chance.pick(others)


# ---- status lines ----


def status_line(chance: Chance) -> bytes:
    version = rarely(chance, b"HTTP/1.1 ", odd.VERSIONS, 16)
    code = rarely(chance, chance.pick(odd.CODES), odd.ODD_CODES, 10)
    return version + code + rarely(chance, b" OK", odd.REASONS, 5)


# ---- fields ----


def plain(chance: Chance) -> bytes:
    name = rarely(chance, chance.pick(odd.NAMES), odd.ODD_NAMES, 24)
    colon = rarely(chance, b": ", odd.COLONS, 12)
    return name + colon + rarely(chance, b"x", odd.VALUES, 3)


def meant(name: bytes, values: Sequence[bytes]) -> Callable[[Chance], bytes]:
    """A field that means something to a codec."""

    def field(chance: Chance) -> bytes:
        spelled = chance.pick((name, name.lower(), name.upper()))
        return spelled + rarely(chance, b": ", odd.COLONS, 20) + rarely(chance, values[0], values, 1)

    return field


FIELDS: tuple[Callable[[Chance], bytes], ...] = (
    plain,
    plain,
    plain,
    meant(b"Connection", odd.CONNECTIONS),
    meant(b"Keep-Alive", odd.KEEPALIVES),
    meant(b"Content-Encoding", odd.ENCODINGS),
    lambda chance: chance.pick(odd.OTHERS),
)


def length_field(chance: Chance, length: int) -> bytes:
    name = chance.pick(odd.LENGTH_NAMES) + rarely(chance, b": ", odd.COLONS, 20)
    form = rarely(chance, b"%d", odd.LENGTHS, 6)
    count = len(re.findall(rb"%\d*[dx]", form))
    return name + (form % ((length,) * count))


def coding_field(chance: Chance) -> bytes:
    name = chance.pick(odd.CODING_NAMES) + rarely(chance, b": ", odd.COLONS, 20)
    return name + rarely(chance, b"chunked", odd.CHUNKED, 6)


# ---- bodies ----


def chunked(chance: Chance, body: bytes) -> bytes:
    """The body in chunks."""
    wire = b""
    while body and chance.number(15):
        size = 1 + chance.number(min(len(body), 40) - 1) if chance.number(2) else len(body)
        form = rarely(chance, b"%x\r\n", odd.SIZES, 4)
        line = form % size if b"%" in form else form
        wire += line + body[:size] + rarely(chance, b"\r\n", odd.CHUNK_ENDS, 10)
        body = body[size:]
    last = rarely(chance, b"0\r\n", odd.ENDS, 5)
    return wire + last + rarely(chance, b"\r\n", odd.TRAILERS, 3)


# ---- responses ----


def framing_fields(chance: Chance, framing: str, body: bytes) -> list[bytes]:
    size = rarely(chance, len(body), (0, len(body) + 1, max(0, len(body) - 1)), 12)
    makers: dict[str, Callable[[], list[bytes]]] = {
        "length": lambda: [length_field(chance, size)],
        "chunked": lambda: [coding_field(chance)],
        "both": lambda: [length_field(chance, size), coding_field(chance)],
        "twice": lambda: [length_field(chance, size), length_field(chance, size)],
        "unlike": lambda: [length_field(chance, size), length_field(chance, size + 1)],
        "coded twice": lambda: [coding_field(chance), coding_field(chance)],
        "end": list,
    }
    return makers[framing]()


def response(chance: Chance) -> bytes:
    """One response, interim responses before it and a surplus behind it included."""
    body = chance.pick(odd.CONTENTS)
    framing = rarely(chance, chance.pick(("length", "chunked")), odd.FRAMINGS, 2)
    fields = framing_fields(chance, framing, body)
    for _ in range(chance.number(4)):
        fields.insert(chance.number(len(fields)), chance.pick(FIELDS)(chance))
    line_end = rarely(chance, b"\r\n", (b"\n",), 16)
    wire = b"".join(rarely(chance, b"", odd.INTERIMS, 10) for _ in range(2)) + status_line(chance)
    for field in fields:
        wire += rarely(chance, line_end, odd.LINE_ENDS, 40) + field
    wire += rarely(chance, line_end, odd.LINE_ENDS, 60) + rarely(chance, line_end, odd.LINE_ENDS, 60)
    wire += chunked(chance, body) if "c" in framing[:1] or framing == "both" else body
    return wire + rarely(chance, b"", odd.SURPLUS, 12)


# ---- damage ----


def damaged(chance: Chance, wire: bytes, other: Callable[[], bytes]) -> bytes:
    """The bytes with something wrong somewhere.

    :param other: makes another response, of which a part may be put in.
    """
    at = chance.number(len(wire))
    size = chance.number(3)
    before, part, behind = wire[:at], wire[at : at + size], wire[at + size :]
    kind = chance.pick(("replace", "insert", "double", "flip", "drop", "line ends", "splice", "cut", "swap"))
    if kind == "flip":
        return before + bytes(byte ^ (1 << chance.number(7)) for byte in part) + behind
    if kind == "splice":
        second = other()
        return before + second[chance.number(len(second)) :]
    return {
        "replace": lambda: before + chance.pick(odd.PUT) + behind,
        "insert": lambda: before + chance.pick(odd.PUT) + part + behind,
        "double": lambda: before + part + part + behind,
        "drop": lambda: before + behind,
        "line ends": lambda: before + (part + behind).replace(b"\r\n", chance.pick((b"\n", b"\r", b"\r\r\n"))),
        "cut": lambda: before,
        "swap": lambda: before + part[::-1] + behind,
    }[kind]()


# ---- requests ----


def ask(chance: Chance) -> Ask:
    """One request."""
    fields: tuple[tuple[tuple[bytes, bytes], ...], ...]
    kind = chance.pick(("get",) * 12 + ("post",) * 4 + ("stream", "stream", "tunnel"))
    fields = tuple(rarely(chance, (), [(field,) for field in odd.REQUEST_FIELDS], 2) for _ in range(2))
    if kind in ("post", "stream"):
        fields = (*fields, rarely(chance, (), [(field,) for field in odd.BODY_FIELDS], 1))
    made = Ask(
        method={"get": chance.pick(odd.METHODS), "tunnel": "CONNECT"}.get(kind, "POST"),
        headers=tuple(field for some in fields for field in some),
        content=chance.pick(odd.PIECES) if kind == "post" else None,
        pieces=tuple(chance.pick(odd.PIECES) for _ in range(chance.number(3))) if kind == "stream" else None,
        target="h:443" if kind == "tunnel" else rarely(chance, None, odd.TARGETS),
        smuggled=rarely(chance, (), [(field,) for field in odd.SMUGGLED], 16),
    )
    return attrs.evolve(made, sent_as=rarely(chance, None, odd.SENT_AS, 40))


# ---- conversations ----


def cuts(chance: Chance, wire: bytes) -> tuple[int, ...] | None:
    """Where the bytes are cut; mostly not in their head."""
    how = chance.pick(("whole", "everywhere", "anywhere", "anywhere", "at line ends", "at line ends"))
    first = min(end_of_head(wire), len(wire)) if chance.number(5) else 0
    if how == "everywhere" and len(wire) < 500:
        return tuple(range(first, len(wire)))
    if how == "anywhere":
        return tuple(sorted(first + chance.number(len(wire) - first) for _ in range(1 + chance.number(4))))
    ends = [found.start() for found in re.finditer(rb"[\r\n]", wire[first:])]
    if how == "at line ends" and ends:
        return tuple(sorted(first + chance.pick(ends) + chance.number(2) for _ in range(1 + chance.number(3))))
    return ()


def turn(chance: Chance) -> Turn:
    """One exchange."""
    wire = response(chance)
    for _ in range(0 if isinstance(chance, Calm) else chance.pick(odd.DAMAGES)):
        wire = damaged(chance, wire, lambda: response(chance))
    return Turn(
        wire=wire,
        ask=ask(chance),
        cuts=cuts(chance, wire),
        ends=not isinstance(chance, Calm) and not chance.number(3),
        stray=rarely(chance, b"", (b"", *odd.SURPLUS), 8),
        early=rarely(chance, 0, (1, 2, 3), 3),
    )


def near(chance: Chance, sizes: Sequence[int]) -> int:
    """A bound near the size of something, or any other."""
    return max(1, chance.pick(sizes) + chance.number(4) - 2)


def limits(chance: Chance, wire: bytes) -> WireLimits:
    """Bounds: far, or near what there is."""
    if chance.number(3):
        return WireLimits()
    head = end_of_head(wire)
    lines = [len(line) + 1 for line in wire[head:].split(b"\n")]
    return WireLimits(
        head=chance.pick((65536, math.inf, near(chance, [head, head, len(wire) - head, len(wire)]))),
        fields=chance.pick((128, math.inf, near(chance, [wire[:head].count(b"\n") - 2, 1]))),
        chunk_line=chance.pick((4096, math.inf, near(chance, lines))),
    )


def conversation(chance: Chance) -> Conversation:
    """One connection: one exchange, or a few."""
    before = [turn(Calm(chance) if chance.number(3) else chance) for _ in range(chance.number(2))]
    turns = (*before, turn(chance))
    return Conversation(turns, limits(chance, turns[-1].wire))
