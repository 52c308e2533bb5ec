"""Have the two codecs compared for a while: `python -m tests.wire.differential --seconds 60`.

Each difference is made small and printed once, with how often it was found. The exit status tells whether there was
any.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

from trio_pool._wire.fast_codec import FastCodec
from trio_pool._wire.h11_codec import H11Codec

from .chances import Dice
from .grammar import conversation
from .harness import Conversation, difference, in_four_ways
from .smaller import smallest


def kind_of(words: str) -> str:
    """Which difference it is: the words without the figures and the bytes."""
    return " / ".join(line.partition(": ")[2].partition("(")[0][:30] for line in words.split("\n"))


def report(found: Conversation, seed: int) -> None:
    """Print a difference, made small."""
    small = smallest(found, lambda candidate: difference(candidate, FastCodec, H11Codec) is not None)
    print(f"--- seed {seed}\n{small}\n{difference(small, FastCodec, H11Codec)}", flush=True)  # noqa: T201


def compare(seconds: float, first: int) -> Counter[str]:
    """How often each kind of difference was found; `first` is the first seed."""
    kinds: Counter[str] = Counter()
    end = time.monotonic() + seconds
    seed = first
    while time.monotonic() < end:
        for candidate in in_four_ways(conversation(Dice(seed))):
            words = difference(candidate, FastCodec, H11Codec)
            if words is None:
                continue
            if not kinds[kind_of(words)]:
                report(candidate, seed)
            kinds[kind_of(words)] += 1
        seed += 1
    print(f"{seed - first} conversations, each in four ways")  # noqa: T201
    return kinds


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare the two codecs.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=None, help="the first seed (any)")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    kinds = compare(options.seconds, seed)
    for kind, count in kinds.most_common():
        print(f"{count} times: {kind}")  # noqa: T201
    sys.exit(1 if kinds else 0)


main()
