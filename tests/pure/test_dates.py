"""Dates and durations in header fields."""

from __future__ import annotations

import datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool._core.dates import duration, http_date, number, rfc3339

NOW = 1_769_515_200.0  # in 2026
MOMENTS = st.datetimes(
    datetime.datetime(1970, 1, 1), datetime.datetime(9999, 12, 31), timezones=st.just(datetime.UTC)
).map(lambda moment: moment.replace(microsecond=0))
NEAR = st.datetimes(datetime.datetime(1980, 1, 1), datetime.datetime(2070, 1, 1), timezones=st.just(datetime.UTC)).map(
    lambda moment: moment.replace(microsecond=0)
)
FORMS = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]


@pytest.mark.parametrize("text", FORMS)
def test_the_three_forms_of_the_rfc_are_one_moment(text: str) -> None:
    assert http_date(text, NOW) == 784111777


@given(MOMENTS)
def test_a_date_is_what_the_standard_library_wrote(moment: datetime.datetime) -> None:
    assert http_date(format_datetime(moment, usegmt=True), NOW) == moment.timestamp()
    assert http_date(moment.strftime("%a %b ") + f"{moment.day:2} {moment:%H:%M:%S} {moment.year:04}", NOW) == (
        moment.timestamp()
    )
    assert rfc3339(moment.isoformat()) == moment.timestamp()


@given(NEAR)
def test_a_year_of_two_digits_is_at_most_fifty_years_ahead(moment: datetime.datetime) -> None:
    assert http_date(f"{moment:%A, %d-%b-%y %H:%M:%S} GMT", NOW) == moment.timestamp()


NO_DATES = [
    *("", "soon", "0", "-1", "Sun, 31 Feb 2026 08:49:37 GMT", "Sun, 29 Feb 2023 08:49:37 GMT"),
    *("Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:37 GMT", "Sun, 06 Nov 1994 08:49:61 GMT"),
    *("Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 CET", "Sun, 06 Foo 1994 08:49:37 GMT"),
    *("Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT", "x Sun, 06 Nov 1994 08:49:37 GMT"),
]


@pytest.mark.parametrize("text", NO_DATES)
def test_what_is_no_date_is_none(text: str) -> None:
    assert http_date(text, NOW) is None
    assert rfc3339(text) is None


@given(st.text(), st.floats(0, 1e10))
def test_no_text_whatever_raises(text: str, wall: float) -> None:
    http_date(text, wall)
    rfc3339(text)
    duration(text)
    number(text)


def test_leap_days_and_leap_seconds_are_dates() -> None:
    assert http_date("Thu, 29 Feb 2024 00:00:00 GMT", NOW) == 1709164800
    assert http_date("Sat, 31 Dec 2016 23:59:60 GMT", NOW) == 1483228800


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2026-01-27T12:00:30Z", 30), ("2026-01-27T13:00:30+01:00", 30), ("2026-01-27t07:00:30.5-05:00", 30.5)],
)
def test_a_timestamp_has_a_zone_and_perhaps_a_fraction(text: str, seconds: float) -> None:
    assert rfc3339(text) == NOW + seconds


DURATIONS = {
    "6m0s": 360.0,
    "1s": 1.0,
    "20ms": 0.02,
    "1h2m3.5s": 3723.5,
    "7.66s": 7.66,
    "1d": 86400.0,
    "22s": 22.0,
    "0s": 0.0,
    "15": 15.0,
    "1.5": 1.5,
}


@pytest.mark.parametrize(("text", "seconds"), DURATIONS.items(), ids=DURATIONS)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "-1s", "1x", "s", "1 s", "1s ", "+1s", "1e3", "nan", "1..2s", "9" * 400, "9" * 400 + "s"]
)
def test_what_is_no_duration_is_none(text: str) -> None:
    assert duration(text) is None


@pytest.mark.parametrize("text", ["", "-1", "+1", "1e3", "nan", "inf", " 1", "1 ", "1,5", "0x1", "1_0", "²", "٣", "."])
def test_what_is_no_plain_number_is_none(text: str) -> None:
    assert number(text) is None
