"""Distributions of times and counts: frozen values, checked when they are built. Chance is an argument.

Each knows its mean and its squared coefficient of variation (variance / mean²: 0 for a constant, 1 for an exponential),
which is what the closed forms of queueing theory ask for. The formulas are those of any textbook of probability, for
example Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions" (1994).
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, cast

import attrs

from ...checks import NOT_NEGATIVE, POSITIVE, Rule
from ...errors import UsageError
from ..checks import can, is_tuple
from ..makers import Maker

SIGMA = Rule("a number from 0 to 10", lambda value: 0 <= value <= 10)  # beyond, one sample outweighs any experiment
SHAPE = Rule("a number over 1 (at 1 and below there is no mean)", lambda value: value > 1)
CV = Rule("0, or a number from 0.001 to 1000", lambda value: value == 0 or 0.001 <= value <= 1000)


class Distribution(Protocol):
    """What times and counts are drawn from. Nothing that it draws is negative."""

    def sample(self, chance: random.Random) -> float:
        """One value, drawn by this chance."""
        ...

    @property
    def mean(self) -> float:
        """The expected value."""
        ...

    @property
    def squared_cv(self) -> float:
        """The variance over the squared mean; `math.inf` where there is no variance, 0 where the mean is 0."""
        ...


IS_DISTRIBUTION = can("sample", "a distribution")


def draws(distribution: Distribution, chance: random.Random) -> Iterator[float]:
    """Values of a distribution, without end.

    :raises UsageError: one is no time or count: it is negative, infinite or no number.
    """
    name = f"what {distribution!r} draws"
    while True:
        value = distribution.sample(chance)
        NOT_NEGATIVE.check(name, value)
        yield float(value)


@attrs.frozen
class Constant:
    """Always the same.

    :ivar value: at least 0.
    """

    value: float = attrs.field(validator=NOT_NEGATIVE)

    def sample(self, chance: random.Random) -> float:  # noqa: ARG002  # as every distribution
        """The value."""
        return self.value

    @property
    def mean(self) -> float:
        """The value."""
        return self.value

    @property
    def squared_cv(self) -> float:
        """0."""
        return 0.0


@attrs.frozen
class Exponential:
    """Memoryless: what the M of M/M/c stands for.

    :ivar mean: positive.
    """

    mean: float = attrs.field(validator=POSITIVE)

    def sample(self, chance: random.Random) -> float:
        """One value, drawn by this chance."""
        return chance.expovariate(1.0) * self.mean

    @property
    def squared_cv(self) -> float:
        """1."""
        return 1.0


@attrs.frozen
class Uniform:
    """Any value between two, as likely as any other.

    :ivar low: at least 0.
    :ivar high: at least `low`.
    """

    low: float = attrs.field(validator=NOT_NEGATIVE)
    high: float = attrs.field(validator=NOT_NEGATIVE)

    def __attrs_post_init__(self) -> None:
        if self.high < self.low:
            raise UsageError(f"Uniform.high must be at least Uniform.low ({self.low!r}), not {self.high!r}")

    def sample(self, chance: random.Random) -> float:
        """One value, drawn by this chance."""
        return chance.uniform(self.low, self.high)

    @property
    def mean(self) -> float:
        """Halfway between the two."""
        return (self.low + self.high) / 2

    @property
    def squared_cv(self) -> float:
        """(high - low)² / 12, over the squared mean."""
        return _ratio((self.high - self.low) ** 2 / 12, self.mean)


@attrs.frozen
class LogNormal:
    """The exponential of a normal variable: most are near the median, a few are many times that.

    :ivar median: positive.
    :ivar sigma: standard deviation of the logarithm, from 0 to 10: 0.63 puts the 95th percentile at 2.8 medians.
    """

    median: float = attrs.field(validator=POSITIVE)
    sigma: float = attrs.field(validator=SIGMA)

    def sample(self, chance: random.Random) -> float:
        """One value, drawn by this chance."""
        return self.median * chance.lognormvariate(0.0, self.sigma)

    @property
    def mean(self) -> float:
        """The median times exp(σ²/2)."""
        return self.median * math.exp(self.sigma**2 / 2)

    @property
    def squared_cv(self) -> float:
        """exp(σ²) - 1."""
        return math.expm1(self.sigma**2)


@attrs.frozen
class Pareto:
    """A power law's tail: the chance of more than x is (minimum / x) to the power of the shape.

    :ivar minimum: the least value, positive.
    :ivar shape: over 1; up to 2 there is no variance.
    """

    minimum: float = attrs.field(validator=POSITIVE)
    shape: float = attrs.field(validator=SHAPE)

    def sample(self, chance: random.Random) -> float:
        """One value, drawn by this chance."""
        return self.minimum * chance.paretovariate(self.shape)

    @property
    def mean(self) -> float:
        """The minimum times shape / (shape - 1)."""
        return self.minimum * self.shape / (self.shape - 1)

    @property
    def squared_cv(self) -> float:
        """1 / (shape · (shape - 2)), or infinity."""
        return 1 / (self.shape * (self.shape - 2)) if self.shape > 2 else math.inf


@attrs.frozen
class Gamma:
    """As regular or as irregular as wanted, with one mean.

    :ivar mean: positive.
    :ivar cv: the coefficient of variation (standard deviation / mean): 0 is a constant, 1 an exponential, more is
        burstier. 0, or from 0.001 to 1000.
    """

    mean: float = attrs.field(validator=POSITIVE)
    cv: float = attrs.field(validator=CV)

    def sample(self, chance: random.Random) -> float:
        """One value, drawn by this chance."""
        if self.cv == 0:
            return self.mean
        return chance.gammavariate(self.cv**-2, self.mean * self.cv**2)

    def sample_by_length(self, chance: random.Random) -> float:
        """One value, each as much more likely as it is larger: the gap in which a moment is, of gaps like these."""
        if self.cv == 0:
            return self.mean
        return chance.gammavariate(self.cv**-2 + 1, self.mean * self.cv**2)

    @property
    def squared_cv(self) -> float:
        """The square of `cv`."""
        return self.cv**2


def as_tuple(values: Any) -> Any:
    """A tuple of what can be iterated over; a validator refuses the rest, in words."""
    return tuple(cast("Any", values)) if isinstance(values, Iterable) else values


def numbers(instance: object, attribute: attrs.Attribute[Any], values: object) -> None:
    """A validator: a tuple of at least one number, none of them negative."""
    name = f"{type(instance).__name__}.{attribute.name}"
    if not (is_tuple(values) and values):
        raise UsageError(f"{name} must be at least one number, not {values!r}")
    for place, value in enumerate(values):
        NOT_NEGATIVE.check(f"{name}[{place}]", value)


def how_many(values: tuple[object, ...]) -> str:
    """What a repr says of a long tuple."""
    return f"<{len(values)} values>"


def _ratio(variance: float, mean: float) -> float:
    return variance / mean**2 if mean else 0.0


@attrs.frozen
class HyperExponential:
    """One of several exponentials, chosen by weight: a mix of short and long work.

    :ivar means: the mean of each, at least 0.
    :ivar weights: how often each is chosen, in proportion; at least 0, not all 0.
    """

    means: tuple[float, ...] = attrs.field(converter=as_tuple, validator=numbers)
    weights: tuple[float, ...] = attrs.field(converter=as_tuple, validator=numbers)

    def __attrs_post_init__(self) -> None:
        if len(self.weights) != len(self.means):
            raise UsageError(f"HyperExponential has {len(self.means)} means, so it needs as many weights")
        POSITIVE.check("the sum of HyperExponential.weights", sum(self.weights))

    def sample(self, chance: random.Random) -> float:
        """One value, drawn by this chance."""
        (chosen,) = chance.choices(self.means, self.weights)
        return chance.expovariate(1.0) * chosen

    @property
    def mean(self) -> float:
        """The weighted mean of the means."""
        return self._weighted(self.means)

    @property
    def squared_cv(self) -> float:
        """2 · (weighted mean of the squared means) / mean² - 1."""
        second = 2 * self._weighted(mean**2 for mean in self.means)
        return _ratio(second - self.mean**2, self.mean)

    def _weighted(self, values: Iterable[float]) -> float:
        return sum(value * weight for value, weight in zip(values, self.weights, strict=True)) / sum(self.weights)


@attrs.frozen
class Empirical:
    """One of the values that were observed, each as likely as the others.

    :ivar values: at least one, none negative.
    :ivar maker: what makes it again, or None.
    """

    values: tuple[float, ...] = attrs.field(converter=as_tuple, validator=numbers, repr=how_many)
    maker: Maker | None = attrs.field(default=None, init=False, eq=False, repr=False)

    def sample(self, chance: random.Random) -> float:
        """One value, drawn by this chance."""
        return chance.choice(self.values)

    @property
    def mean(self) -> float:
        """The mean of the values."""
        return self._moments[0]

    @property
    def squared_cv(self) -> float:
        """The variance of the values, over their squared mean."""
        return self._moments[1]

    @functools.cached_property
    def _moments(self) -> tuple[float, float]:
        mean = math.fsum(self.values) / len(self.values)
        return mean, _ratio(math.fsum((value - mean) ** 2 for value in self.values) / len(self.values), mean)
