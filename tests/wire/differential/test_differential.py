"""The fast codec says what the reference says: of the same bytes, in the same arrivals, the same at the same moment."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, settings

from trio_pool._wire import fast_codec
from trio_pool._wire.fast_codec import FastCodec
from trio_pool._wire.h11_codec import H11Codec
from trio_pool.config import WireLimits

from .chances import Dice, drawn
from .grammar import conversation
from .harness import Codec, Conversation, Turn, difference, end_of_head, in_four_ways, play
from .samples import (
    CHUNKED,
    EMPTY,
    LENGTH,
    OK,
    POST,
    REPLIES,
    bounded,
    cut_short,
    exchanges,
    other_exchanges,
)


def agree(played: Conversation) -> None:
    """See that both codecs say the same."""
    words = difference(played, FastCodec, H11Codec)
    assert words is None, f"{played}\n{words}"


# ---- by chance ----


@settings(deadline=None, max_examples=80)
@given(drawn(conversation))
def test_both_say_the_same_of_whatever_comes(made: Conversation) -> None:
    for played in in_four_ways(made):
        agree(played)


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_both_say_the_same_of_what_the_dice_make(first: int) -> None:
    for seed in range(first, first + 100):
        for played in in_four_ways(conversation(Dice(seed))):
            agree(played)


# ---- all of a kind ----


def test_both_say_the_same_of_every_sample() -> None:
    for sample in itertools.chain(exchanges(), other_exchanges()):
        for played in in_four_ways(sample):
            agree(played)


def test_both_say_the_same_wherever_a_response_is_cut_once() -> None:
    for wire in REPLIES:
        for cut in range(1, len(wire), 1 if wire in (LENGTH, CHUNKED) else 3):
            agree(Conversation((Turn(wire, cuts=(cut,), ends=cut % 2 == 0),)))


def test_both_say_the_same_wherever_the_connection_ends() -> None:
    for sample in cut_short():
        for played in in_four_ways(sample):
            agree(played)


@pytest.mark.parametrize("count", [9, 10, 11])
def test_both_count_the_shortest_fields_there_are(count: int) -> None:
    wire = b"HTTP/1.1 204 No\r\n" + b"a:\r\n" * count + b"\r\n"
    agree(Conversation((Turn(wire),), WireLimits(fields=10)))


def test_both_say_the_same_whatever_the_bounds() -> None:
    for sample in bounded():
        for played in itertools.islice(in_four_ways(sample), 2):
            agree(played)


PLACES = (
    ("before everything", b"", LENGTH),
    ("in the version", b"HTTP/1.", LENGTH[7:]),
    ("before the status", b"HTTP/1.1 ", b"200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("in the status", b"HTTP/1.1 20", b"0 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("behind the status", b"HTTP/1.1 200", b"\r\nContent-Length: 5\r\n\r\nhello"),
    ("in the reason", b"HTTP/1.1 200 O", b"\r\nContent-Length: 5\r\n\r\nhello"),
    ("before a name", OK, b"Content-Length: 5\r\n\r\nhello"),
    ("in a name", OK + b"A", b"B: x\r\nContent-Length: 5\r\n\r\nhello"),
    ("behind a name", OK + b"Content-Length", b": 5\r\n\r\nhello"),
    ("before a value", OK + b"A:", b"x\r\nContent-Length: 5\r\n\r\nhello"),
    ("behind a value", OK + b"Content-Length: 5\r\nA: x", b"\r\n\r\nhello"),
    ("alone in a value", OK + b"Content-Length: 5\r\nA:", b"\r\n\r\nhello"),
    ("before a length", OK + b"Content-Length:", b"5\r\n\r\nhello"),
    ("behind a length", OK + b"Content-Length: 5", b"\r\n\r\nhello"),
    ("before a coding", OK + b"Transfer-Encoding:", b"chunked\r\n\r\n0\r\n\r\n"),
    ("behind a coding", OK + b"Transfer-Encoding: chunked", b"\r\n\r\n0\r\n\r\n"),
    ("before a close", OK + b"Content-Length: 0\r\nConnection: x", b"close\r\n\r\n"),
    ("behind a close", OK + b"Content-Length: 0\r\nConnection: close", b"\r\n\r\n"),
    ("behind a patience", OK + b"Content-Length: 0\r\nKeep-Alive: timeout=1", b"2\r\n\r\n"),
    ("behind a head", OK + b"Content-Length: 5\r\n", b"\r\nhello"),
    ("before a chunk size", OK + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
    ("behind a chunk size", OK + b"Transfer-Encoding: chunked\r\n\r\n5", b"\r\nhello\r\n0\r\n\r\n"),
    ("behind a chunk line", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\n", b"hello\r\n0\r\n\r\n"),
    ("behind a chunk", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello", b"\r\n0\r\n\r\n"),
    ("before the last chunk", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"0\r\n\r\n"),
    ("behind the last chunk", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0", b"\r\n\r\n"),
    ("before the end", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", b"\r\n"),
    ("behind the end", EMPTY, b""),
)
NASTY = (b"\r", b"\n", b" ", b":", b"0", b"\x0b")


@pytest.mark.parametrize(("before", "behind"), [pair for _, *pair in PLACES], ids=[name for name, *_ in PLACES])
def test_both_say_the_same_of_every_short_string_in_every_place(before: bytes, behind: bytes) -> None:
    for size in (1, 2, 3):
        for letters in itertools.product(NASTY, repeat=size):
            agree(Conversation((Turn(before + b"".join(letters) + behind),)))
    for number in range(256):
        wire = before + bytes([number]) + behind
        agree(Conversation((Turn(wire, cuts=(len(before), len(before) + 1) if number % 2 else (), ends=number < 128),)))


# ---- at length ----


def chunks(sizes: list[int]) -> bytes:
    """A chunked body in chunks of these sizes."""
    return b"".join(b"%x\r\n%b\r\n" % (size, b"x" * size) for size in sizes) + b"0\r\n\r\n"


@pytest.mark.parametrize("bite", [4096, 65536])
def test_both_say_the_same_of_long_bodies(bite: int) -> None:
    chance = random.Random(bite)
    sizes = [chance.choice((1, 2, 15, 16, 255, 4096, 30_000)) for _ in range(100)]
    for body, field in (
        (b"x" * 300_000, b"Content-Length: 300000"),
        (chunks([300_000]), b"Transfer-Encoding: chunked"),
        (chunks([3] * 5_000), b"Transfer-Encoding: chunked"),
        (chunks(sizes), b"Transfer-Encoding: chunked"),
    ):
        wire = OK + field + b"\r\n\r\n" + body
        agree(Conversation((Turn(wire, cuts=tuple(range(bite, len(wire), bite))), Turn(LENGTH))))
        agree(Conversation((Turn(wire, cuts=tuple(chance.randrange(len(wire)) for _ in range(20))), Turn(LENGTH))))


# ---- and it is the fast codec that says it ----


COMMON = (
    LENGTH,
    CHUNKED,
    EMPTY,
    OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
    OK + b"Keep-Alive: timeout=5, max=7\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 404 \r\nConnection: keep-alive\r\nServer: x y\r\nX: \xe4\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
)


def forbidden(limits: WireLimits) -> Codec:
    """Stands where the reference is called."""
    raise AssertionError("the reference was called")


@pytest.mark.parametrize("wire", COMMON)
def test_the_common_response_never_comes_to_the_reference(wire: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else all this would compare the reference with itself."""
    monkeypatch.setattr(fast_codec, "reference", forbidden)
    last = len(wire) - 4 if wire == CHUNKED else len(wire)  # what ends the body comes in one piece
    for first in range(end_of_head(wire), last + 1):
        for cuts in ((first,), tuple(range(first, last + 1))):
            notes = play(FastCodec, Conversation((Turn(wire, cuts=cuts), Turn(LENGTH, POST))))
            assert notes[-1].what.startswith("End(")
            assert (notes[-1].step[0] == "0") is (b"close" in wire)


def test_what_the_dice_make_is_for_both_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is generated enough is read fast, and enough is handed over."""
    calls: list[None] = []

    def counting(limits: WireLimits) -> Codec:
        calls.append(None)
        return H11Codec(limits)

    monkeypatch.setattr(fast_codec, "reference", counting)
    turns = ends = 0
    for seed in range(500):
        notes = play(FastCodec, conversation(Dice(seed)))
        turns += sum(said.step.endswith(":head") for said in notes)
        ends += sum(said.what.startswith("End(") for said in notes)
    assert ends > turns / 2
    assert turns * 0.2 < len(calls) < turns * 0.8
