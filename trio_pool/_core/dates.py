"""Dates and durations as header fields write them, to seconds. What is malformed is None, never an error.

The three forms of an HTTP date are those of RFC 9110 section 5.6.7; a recipient must take all three. The weekday is
not compared with the date: a server that has it wrong still means the date.
"""

from __future__ import annotations

import math
import re

DAY = 86400
LONGEST_PAUSE = float(DAY)
"""Seconds: whatever a server asks for, it is asked again after a day."""
_YEAR = 365.2425 * DAY
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_LENGTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_HTTP_DATES = tuple(
    re.compile(form, re.ASCII | re.IGNORECASE)
    for form in (
        rf"[a-z]{{3}}, (?P<day>\d\d) (?P<month>[a-z]{{3}}) (?P<year>\d{{4}}) {_CLOCK} GMT",  # IMF-fixdate
        rf"[a-z]{{6,9}}, (?P<day>\d\d)-(?P<month>[a-z]{{3}})-(?P<year>\d\d) {_CLOCK} GMT",  # RFC 850
        rf"[a-z]{{3}} (?P<month>[a-z]{{3}}) (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",  # asctime
    )
)
_RFC_3339 = re.compile(
    r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)[Tt ]"
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d(?:\.\d+)?)(?P<zone>[Zz]|[+-]\d\d:\d\d)",
    re.ASCII,
)
_NUMBER = re.compile(r"\d+(?:\.\d*)?|\.\d+", re.ASCII)
_DURATION = re.compile(r"(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|[dhms]))+", re.ASCII)
_PART = re.compile(r"([\d.]+)(ns|us|µs|ms|[dhms])", re.ASCII)
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def number(text: str) -> float | None:
    """A plain decimal number: no sign, no exponent, no name such as "nan"."""
    return float(text) if _NUMBER.fullmatch(text) else None


def http_date(text: str, wall: float) -> float | None:
    """The seconds since 1970 of an HTTP date.

    :param wall: now, in the same seconds: a year of two digits is read so that it is not more than 50 years ahead.
    """
    for form in _HTTP_DATES:
        found = form.fullmatch(text)
        if found is not None:
            return _of_http(found, wall)
    return None


def _of_http(found: re.Match[str], wall: float) -> float | None:
    month = found["month"].lower()
    if month not in _MONTHS:
        return None
    years = [int(found["year"])]
    if len(found["year"]) == 2:
        century = int(1970 + wall / _YEAR) // 100 * 100
        years = [century + years[0] + shift for shift in (100, 0, -100)]
    moments = [_moment(year, _MONTHS.index(month) + 1, found) for year in years]
    return next((at for at in moments if at is not None and (len(years) == 1 or at <= wall + 50 * _YEAR)), None)


def rfc3339(text: str) -> float | None:
    """The seconds since 1970 of a timestamp such as "2026-01-27T12:00:30Z" (RFC 3339)."""
    found = _RFC_3339.fullmatch(text)
    if found is None:
        return None
    at = _moment(int(found["year"]), int(found["month"]), found)
    return None if at is None else at - _offset(found["zone"])


def _offset(zone: str) -> int:
    if zone in "Zz":
        return 0
    seconds = int(zone[1:3]) * 3600 + int(zone[4:6]) * 60
    return -seconds if zone[0] == "-" else seconds


def _moment(year: int, month: int, found: re.Match[str]) -> float | None:
    day, hour, minute, second = int(found["day"]), int(found["hour"]), int(found["minute"]), float(found["second"])
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if not (1 <= month <= 12 and 1 <= day <= _LENGTHS[month - 1] - (month == 2 and not is_leap)):
        return None
    if hour > 23 or minute > 59 or second >= 61:  # a leap second is legal
        return None
    return _days(year, month, day) * DAY + hour * 3600 + minute * 60 + second


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that leap days come last."""
    year -= month <= 2
    in_year = (153 * ((month - 3) % 12) + 2) // 5 + day - 1
    return year * 365 + year // 4 - year // 100 + year // 400 + in_year - 719468


def duration(text: str) -> float | None:
    """The seconds of a duration such as "6m0s", "20ms" or "1h2m3.5s", or of a plain number of seconds."""
    total = number(text)
    if total is None and _DURATION.fullmatch(text):
        total = sum(float(value) * _UNITS[unit] for value, unit in _PART.findall(text))
    return total if total is not None and math.isfinite(total) else None
