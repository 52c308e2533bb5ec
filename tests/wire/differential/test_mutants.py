"""A test of the tests: the comparison finds every planted bug, in conversations over which the codec itself agrees."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

import pytest

from trio_pool._wire.fast_codec import FastCodec
from trio_pool._wire.h11_codec import H11Codec
from trio_pool.config import WireLimits

from .chances import Dice
from .grammar import conversation
from .harness import Ask, Conversation, MakeCodec, Said, Turn, difference, first_difference, in_four_ways, play
from .mutants import MUTANTS, Mutant
from .samples import LENGTH, OK, bounded, cut_short, exchanges
from .smaller import smallest

SEEDS = range(100)


def corpus() -> Iterator[Conversation]:
    """What is played, always in this order: first what has few bytes and finds much."""
    for sample in chain(exchanges(), cut_short(), bounded(), (conversation(Dice(seed)) for seed in SEEDS)):
        yield from islice(in_four_ways(sample), 2)


class Answered:
    """The corpus with what the reference says, found out as far as somebody asks."""

    def __init__(self) -> None:
        self._known: list[tuple[Conversation, list[Said]]] = []
        self._rest = corpus()

    def __iter__(self) -> Iterator[tuple[Conversation, list[Said]]]:
        yield from self._known
        for played in self._rest:
            self._known.append((played, play(H11Codec, played)))
            yield self._known[-1]


ANSWERED = Answered()


def found(make: MakeCodec) -> Conversation | None:
    """The first conversation over which a codec differs from the reference, or None."""
    for played, notes in ANSWERED:
        if first_difference(play(make, played), notes) is not None:
            return played
    return None


def test_the_codec_agrees_over_what_catches_the_mutants() -> None:
    assert found(FastCodec) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_the_comparison_finds(mutant: Mutant) -> None:
    assert found(mutant.codec()) is not None


def test_a_difference_is_made_small() -> None:
    make = next(mutant for mutant in MUTANTS if mutant.name == "trailers are no matter").codec()
    wire = OK + b"Server: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\na\r\n0\r\nA: b\r\n\r\n"
    turn = Turn(wire, Ask("POST", content=b"x"), cuts=(3, 50), ends=True, stray=b"x")
    first = Conversation((Turn(LENGTH), turn), WireLimits(fields=100))
    small = smallest(first, lambda candidate: difference(candidate, make, H11Codec) is not None)
    assert small.limits == WireLimits()
    assert len(small.turns) == 1
    assert small.turns[0].ask == Ask()
    assert len(small.turns[0].wire) < 60
    assert difference(small, make, H11Codec) is not None
