"""A test of the tests: the comparison finds every planted bug, in conversations over which the codec itself agrees."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import pytest

from trio_pool._wire.fast_codec import FastCodec
from trio_pool._wire.h11_codec import H11Codec

from .chances import Dice
from .grammar import conversation
from .harness import Conversation, MakeCodec, Said, first_difference, in_four_ways, play
from .mutants import MUTANTS, Mutant
from .samples import exchanges

SEEDS = range(300)


def corpus() -> Iterator[Conversation]:
    """What is played, always in this order."""
    for sample in exchanges():
        yield from in_four_ways(sample)
    for seed in SEEDS:
        yield from in_four_ways(conversation(Dice(seed)))


@lru_cache(maxsize=1)
def answered() -> list[tuple[Conversation, list[Said]]]:
    """The corpus, and what the reference says."""
    return [(played, play(H11Codec, played)) for played in corpus()]


def found(make: MakeCodec) -> Conversation | None:
    """The first conversation over which a codec differs from the reference, or None."""
    for played, notes in answered():
        if first_difference(play(make, played), notes) is not None:
            return played
    return None


def test_the_codec_agrees_over_what_catches_the_mutants() -> None:
    assert found(FastCodec) is None


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_the_comparison_finds(mutant: Mutant) -> None:
    assert found(mutant.codec()) is not None
