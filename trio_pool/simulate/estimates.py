"""What a sample tells, and how well: estimates with confidence intervals. All is pure.

Waits of one run are not independent: who waits long has a neighbour who waits long. An interval that takes them for
independent is too narrow. So the sound way is one figure from each seed, and `mean_interval` over those; where there is
one run alone, `batch_means`. `quantile_interval` assumes independence, and nothing else.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import fmean

import attrs

from ..checks import COUNT, Rule
from ..errors import UsageError

BATCHES = 8
"""Of a run, for a quantile: fewer are longer, and depend less on each other."""

BETWEEN = Rule("a number between 0 and 1", lambda value: 0 < value < 1)


@attrs.frozen
class Interval:
    """An estimate, and what contains the true value with the confidence that was asked for.

    :ivar estimate: the best guess.
    :ivar low: the lower end; `-math.inf` where the sample is too small to tell.
    :ivar high: the upper end, or `math.inf`.
    """

    estimate: float
    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether a value is within."""
        return self.low <= value <= self.high

    def not_below(self, least: float) -> Interval:
        """The same of what cannot be less: a lower end beyond that is there. One that is unknown stays so."""
        return Interval(self.estimate, max(self.low, least) if math.isfinite(self.low) else self.low, self.high)

    def __str__(self) -> str:
        return f"{self.estimate:.4g} ({self.low:.4g} to {self.high:.4g})"


UNKNOWN = Interval(math.nan, math.nan, math.nan)
"""Stands for what could not be measured."""


# ---- quantiles ----


def quantile(ordered: Sequence[float], share: float) -> float:
    """The least value that at least this share of the sample does not exceed.

    :param ordered: the sample, smallest first; at least one value.
    :param share: from 0 to 1.
    """
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def quantile_interval(ordered: Sequence[float], share: float, confidence: float = 0.95) -> Interval:
    """A quantile of the distribution that independent samples come from, whatever distribution that is.

    How many samples lie below the quantile is binomial, which bounds it by two of the samples (David and Nagaraja,
    "Order Statistics", 2003, section 7.1).

    :param ordered: the sample, smallest first; at least one value.
    :param share: which quantile, between 0 and 1.
    :param confidence: the least probability that the interval contains it.
    :raises UsageError: for no samples, or a share or confidence that is none.
    """
    BETWEEN.check("share", share)
    BETWEEN.check("confidence", confidence)
    COUNT.check("the number of samples", len(ordered))
    lower = _binomial_quantile(len(ordered), share, (1 - confidence) / 2)
    upper = _binomial_quantile(len(ordered), share, (1 + confidence) / 2)
    return Interval(
        quantile(ordered, share),
        ordered[lower - 1] if lower else -math.inf,
        ordered[upper] if upper < len(ordered) else math.inf,
    )


@functools.lru_cache(maxsize=256)
def _binomial_quantile(trials: int, share: float, level: float) -> int:
    """The least number of successes that is not exceeded with at least this probability."""
    deviation = math.sqrt(trials * share * (1 - share))
    number = max(math.floor(trials * share - 10 * deviation), 0)  # what lies below is less than a rounding error
    probability = math.exp(
        math.lgamma(trials + 1)
        - math.lgamma(number + 1)
        - math.lgamma(trials - number + 1)
        + number * math.log(share)
        + (trials - number) * math.log1p(-share)
    )
    below = probability
    while below < level and number < trials:
        probability *= (trials - number) / (number + 1) * share / (1 - share)
        number += 1
        below += probability
    return number


# ---- means ----


@functools.lru_cache(maxsize=256)
def student_t(degrees: int, confidence: float = 0.95) -> float:
    """What bounds the absolute value of a variable with Student's t distribution with this probability.

    :param degrees: of freedom, at least 1.
    :param confidence: between 0 and 1.
    :raises UsageError: for what is no such number.
    """
    COUNT.check("degrees", degrees)
    BETWEEN.check("confidence", confidence)
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, degrees) < confidence else (low, middle)
    return math.sqrt(degrees) * math.tan(low)


def _within(angle: float, degrees: int) -> float:
    """The probability that |t| < sqrt(degrees) tan(angle): Abramowitz and Stegun, "Handbook of Mathematical Functions"
    (1964), 26.7.3 and 26.7.4."""
    is_odd = degrees % 2
    cosine = math.cos(angle)
    term, total = cosine if is_odd else 1.0, 0.0
    for power in range(is_odd, degrees - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * cosine**2
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if is_odd else total


def mean_interval(values: Sequence[float], confidence: float = 0.95) -> Interval:
    """The mean of what independent values come from, such as one figure from each of several seeds.

    By Student's t, so exact for normal values, and good for means of many things. Where all values are equal it has no
    width, and knows nothing of what did not happen; of shares see `share_interval`.

    :param values: at least one; one alone tells nothing of how far it may be off. A value that could not be measured
        (`math.nan`) is left out; of none but such, all is `math.nan`. One that is infinite makes the mean infinite.
    :raises UsageError: for none, or a confidence that is none.
    """
    BETWEEN.check("confidence", confidence)
    COUNT.check("the number of values", len(values))
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return UNKNOWN
    mean = sum(known) / len(known)
    if len(known) == 1:
        return Interval(mean, -math.inf, math.inf)
    if min(known) == max(known):
        return Interval(known[0], known[0], known[0])
    if not math.isfinite(mean):
        return Interval(mean, -math.inf, math.inf)
    variance = sum((value - mean) ** 2 for value in known) / (len(known) - 1)
    half = student_t(len(known) - 1, confidence) * math.sqrt(variance / len(known))
    return Interval(mean, mean - half, mean + half)


def share_interval(shares: Sequence[float], trials: int, confidence: float = 0.95) -> Interval:
    """The mean of shares, such as one from each of several seeds. No end is beyond 0 or 1.

    Where it happened never, or always, the shares' spread says nothing. Then how often it may yet is bounded by the
    number of trials: by 3 in that many, for 95 % (Hanley and Lippman-Hand, "If nothing goes wrong, is everything all
    right?", 1983). That takes the trials for independent.

    :param shares: as for `mean_interval`.
    :param trials: of which those are shares, together.
    :raises UsageError: as `mean_interval`.
    """
    mean = mean_interval(shares, confidence)
    low, high = max(mean.low, 0.0), min(mean.high, 1.0)
    if mean.estimate in (0, 1) and trials:
        unseen = 1 - (1 - confidence) ** (1 / trials)
        low, high = (0.0, unseen) if mean.estimate == 0 else (1 - unseen, 1.0)
    return Interval(mean.estimate, low, high)


def paired_difference(before: Sequence[float], after: Sequence[float], confidence: float = 0.95) -> Interval:
    """How much larger `after` is on average, where each value of it belongs to one of `before`.

    With the same seeds on both sides most of the noise is the same on both, and drops out.

    :param before: on one side. A pair of which one could not be measured is left out, as by `mean_interval`.
    :param after: on the other.
    :raises UsageError: for sequences of different lengths, or empty ones.
    """
    if len(before) != len(after):
        raise UsageError(f"paired values must be as many on both sides, not {len(before)} and {len(after)}")
    return mean_interval([late - early for early, late in zip(before, after, strict=True)], confidence)


def batch_means(values: Sequence[float], batches: int = 20, confidence: float = 0.95) -> Interval:
    """The mean of correlated values of one run, in the order in which they came.

    Means of long batches are nearly independent, though neighbours in a batch are not (Law, "Simulation Modeling and
    Analysis", 2015, section 9.5.3). What does not fill a batch is left out at the front.

    :param batches: how many, at least 1; fewer if there are not so many values.
    :raises UsageError: for no values, or a number that is none.
    """
    COUNT.check("batches", batches)
    COUNT.check("the number of values", len(values))
    count = min(batches, len(values))
    size = len(values) // count
    starts = range(len(values) - count * size, len(values), size)
    return mean_interval([fmean(values[start : start + size]) for start in starts], confidence)


def batch_quantile(
    values: Sequence[float],
    ordered: Sequence[float],
    share: float,
    batches: int = BATCHES,
    confidence: float = 0.95,
) -> Interval:
    """A quantile of what correlated values of one run come from.

    How far the share of values below the estimate may be off is told by its means in long batches; that share more and
    less make the ends. They are never within those of `quantile_interval`, which long batches cannot see.

    :param values: in the order in which they came, at least one.
    :param ordered: the same, smallest first.
    :param share: which quantile, between 0 and 1.
    :param batches: how many, at least 1; fewer if there are not so many values.
    :param confidence: about the probability that the interval contains it: less, where a batch is no longer than the
        values depend on each other.
    :raises UsageError: as `quantile_interval` and `batch_means`.
    """
    least = quantile_interval(ordered, share, confidence)
    most = max(
        _half_width([value <= least.estimate for value in values], batches, confidence),
        _half_width([value < least.estimate for value in values], batches, confidence),
    )
    low = quantile(ordered, share - most) if share > most else -math.inf
    high = quantile(ordered, share + most) if share + most <= 1 else math.inf
    return Interval(least.estimate, min(low, least.low), max(high, least.high))


def _half_width(values: Sequence[float], batches: int, confidence: float) -> float:
    interval = batch_means(values, batches, confidence)
    return interval.high - interval.estimate


# ---- Little's law ----


@attrs.frozen
class LittlesLaw:
    """The mean number in a system is the rate of arrivals times the mean time in it (Little, 1961).

    It holds exactly where the system is empty when the window begins and ends. Else those who are in it at either end
    are in one of the two and not in the other, by what is left of their time: of the load of a short window that is a
    good part, and in a line that grows all of it.

    :ivar in_system: the mean number inside the window, weighted by time, whenever they came.
    :ivar expected: the rate of those who came in the window, times the mean of their whole time.
    """

    in_system: float
    expected: float
