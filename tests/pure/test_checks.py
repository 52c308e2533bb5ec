"""Rules for numbers: what they take, and the sentence with which they refuse the rest."""

from __future__ import annotations

import math
import sys
from decimal import Decimal
from typing import Any

import attrs
import pytest

from trio_pool import UsageError
from trio_pool.checks import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, Rule

ENDLESS = Rule("positive, or math.inf", lambda value: value > 0, endless=True)
NO_NUMBERS: list[Any] = [math.nan, "5", b"5", True, False, [5], Decimal(5), 1j, object, None]

TAKEN: list[tuple[Rule, list[Any]]] = [
    (POSITIVE, [5, 0.1, 5e-324, sys.float_info.max]),
    (NOT_NEGATIVE, [0, 0.0, -0.0, 7]),
    (SHARE, [0, 0.5, 1]),
    (COUNT, [1, 10**9]),
    (ENDLESS, [1, 0.5, math.inf]),
]
REFUSED: list[tuple[Rule, list[Any]]] = [
    (POSITIVE, [0, -1, math.inf, 10**400, *NO_NUMBERS]),
    (NOT_NEGATIVE, [-1, -5e-324, math.inf, -math.inf, *NO_NUMBERS]),
    (SHARE, [-0.1, 1.1, math.inf, *NO_NUMBERS]),
    (COUNT, [0, -1, 1.0, 1.5, math.inf, *NO_NUMBERS]),
    (ENDLESS, [0, -math.inf, 10**400, *NO_NUMBERS]),
]


@attrs.frozen
class Record:
    share: float = attrs.field(validator=SHARE)


@pytest.mark.parametrize(("rule", "values"), TAKEN)
def test_what_holds_to_the_rule_is_taken(rule: Rule, values: list[Any]) -> None:
    for value in values:
        rule.check("it", value)


@pytest.mark.parametrize(("rule", "values"), REFUSED)
def test_what_does_not_is_refused_in_words(rule: Rule, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(UsageError) as caught:
            rule.check("it", value)
        assert str(caught.value) == f"it must be {rule.needed}, not {value!r}."


def test_a_field_is_named_with_its_record() -> None:
    assert Record(0.5).share == 0.5
    with pytest.raises(UsageError, match=r"^Record.share must be a share from 0 to 1, not 2\.$"):
        Record(2)
