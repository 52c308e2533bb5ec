"""A test of the tests: the comparison finds every planted bug, in conversations over which the codec itself agrees."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

import pytest

from trio_pool._wire.fast_codec import FastCodec
from trio_pool._wire.h11_codec import H11Codec

from .chances import Dice
from .grammar import conversation
from .harness import Conversation, MakeCodec, Said, first_difference, in_four_ways, play
from .mutants import MUTANTS, Mutant
from .samples import bounded, cut_short, exchanges

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
