"""Figures as text, with their units."""

from __future__ import annotations

import math

from ..estimates import Interval
from ..result import NEVER

NOTHING = "-"
"""What stands for a figure that there is none of."""

CHANCE = ", may be chance"
"""Is said of a difference that is perhaps none."""

_UNITS = {
    "share": (100.0, " %", 2),
    "points": (100.0, " points", 2),
    "ms": (1000.0, " ms", None),
    "s": (1.0, " s", None),
}
"""By unit: what a figure is multiplied by, what stands behind it, and its decimals, where they are fixed."""

DIGITS = {"": 4, " s": 3, " ms": 3}
"""Of a figure, by what stands behind it."""


def said(value: float, unit: str) -> str:
    """A figure with its unit.

    :param unit: "share", "s", or "" for a number.
    """
    return _said(Interval(value, value, value), unit, "")


def said_interval(interval: Interval, unit: str) -> str:
    """A figure with its confidence interval, where it has one, or with its lower end, where that is all that is known.

    No end is where no figure of this unit can be.
    """
    most = 1.0 if unit == "share" else math.inf
    ends = (min(max(end, 0.0), most) if math.isfinite(end) else end for end in (interval.low, interval.high))
    return _said(Interval(interval.estimate, *ends), unit, "")


def said_difference(interval: Interval, unit: str) -> str:
    """A difference, in percentage points where it is one of shares; with a remark, where it may be none."""
    if interval.estimate == 0:
        return NOTHING
    if math.isinf(interval.estimate):
        return f"{'to' if interval.estimate > 0 else 'from'} {NEVER}{'' if interval.low == interval.high else CHANCE}"
    text = _said(interval, "points" if unit == "share" else unit, "+")
    return f"{text}{CHANCE}" if interval.low < 0 < interval.high and text != NOTHING else text


def _said(interval: Interval, unit: str, sign: str) -> str:
    if not math.isfinite(interval.estimate):
        return NEVER if interval.estimate > 0 else NOTHING
    factor, suffix, decimals = _UNITS.get(
        "ms" if unit == "s" and 0 < abs(interval.estimate) < 1 else unit, (1.0, "", None)
    )
    parts = [factor * value for value in (interval.estimate, interval.low, interval.high)]
    if decimals is None:
        decimals = _decimals(parts[0], DIGITS[suffix], interval.low != interval.high)
    elif 0 < min(abs(parts[0]), abs(100 - parts[0])) < 0.5 * 10**-decimals:
        decimals += 2  # nearly all are not all, and few are not none
    figure, low, high = (f"{value:{sign},.{decimals}f}" for value in parts)
    if not math.isfinite(interval.low) or low == high:
        return f"{figure}{suffix}"
    return f"{figure}{suffix} ({low} {'or more' if interval.high == math.inf else f'to {high}'})"


def _decimals(figure: float, digits: int, has_interval: bool) -> int:
    """How many make sense: a whole number that is known exactly has none."""
    if figure == 0 or (figure == round(figure) and not has_interval):
        return 0
    return max(digits - 1 - math.floor(math.log10(float(f"{abs(figure):.{digits}g}"))), 0)
