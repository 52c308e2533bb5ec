"""What is chance and what is not: the exact test of Mann and Whitney on a few rounds.

How many of all ways to deal the rounds to the two sides keep the sides apart at least as much as they are? If at most
2 %, it is no chance. With fewer than five rounds a side no result can be that unlikely, so that nothing can be told.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb

CHANCE = 0.02
MOST_ROUNDS = 8  # of each side that are looked at: 12,870 ways to deal them


def can_tell(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether there are rounds enough for any difference to be beyond chance."""
    return 2 / comb(len(one) + len(other), len(one)) <= CHANCE


def apart(one: Sequence[float], other: Sequence[float]) -> bool:
    """Whether the two differ by more than chance."""
    return can_tell(one, other) and chance(one[:MOST_ROUNDS], other[:MOST_ROUNDS]) <= CHANCE


def chance(one: Sequence[float], other: Sequence[float]) -> float:
    """How likely figures of one kind would fall apart as far as these, or farther (two-sided)."""
    pooled = [*one, *other]
    ranks = [_rank(figure, pooled) for figure in pooled]
    expected = len(one) * (len(pooled) + 1) / 2
    distance = abs(sum(ranks[: len(one)]) - expected)
    deals = combinations(ranks, len(one))
    far = sum(1 for deal in deals if abs(sum(deal) - expected) >= distance - 1e-9)
    return far / comb(len(pooled), len(one))


def _rank(figure: float, pooled: Sequence[float]) -> float:
    """Its place, from 1; equal ones share the mean of theirs."""
    below = sum(1 for other in pooled if other < figure)
    equal = sum(1 for other in pooled if other == figure)
    return below + (equal + 1) / 2
