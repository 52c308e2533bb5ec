"""Who draws: dice, which are fast, or Hypothesis, which makes a failure small."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

from .grammar import Chance

T = TypeVar("T")


class Dice:
    """Draws by a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random

    def pick(self, options: Sequence[T]) -> T:
        """One of these."""
        return options[int(self._random() * len(options))]

    def number(self, most: int) -> int:
        """A number from 0 to `most`."""
        return int(self._random() * (most + 1))


class _Drawn:
    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def pick(self, options: Sequence[T]) -> T:
        return options[self._draw(st.integers(0, len(options) - 1))]

    def number(self, most: int) -> int:
        return self._draw(st.integers(0, most))


@st.composite
def drawn(draw: st.DrawFn, make: Callable[[Chance], T]) -> T:
    """What a part of the grammar makes."""
    return make(_Drawn(draw))
