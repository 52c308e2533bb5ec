"""What a number may be: rules in words, for the fields of frozen records and for the arguments of functions."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

import attrs

from .errors import UsageError

LARGEST = sys.float_info.max  # a larger int is no float, and infinity is no quantity


@attrs.frozen
class Rule:
    """A number that holds to a rule, or a `UsageError` that says which. A bool is no number.

    As a validator of an attrs field it names the record and the field.

    :ivar needed: the rule in words, after "must be".
    :ivar holds: the rule, asked about a finite number (one that is `math.inf` is only asked if `endless`).
    :ivar whole: whether only an int will do.
    :ivar endless: whether `math.inf` is asked about too.
    """

    needed: str
    holds: Callable[[float], bool]
    whole: bool = False
    endless: bool = False

    def check(self, name: str, value: object) -> None:
        """Refuse what breaks the rule.

        :param name: what the value is called in the error.
        :raises UsageError: if it does.
        """
        if not (self._is_number(value) and self.holds(value)):  # type: ignore[arg-type]  # a number, as was just asked
            raise UsageError(f"{name} must be {self.needed}, not {value!r}")

    def _is_number(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        return -LARGEST <= value <= LARGEST or (self.endless and value == math.inf)

    def __call__(self, instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        self.check(f"{type(instance).__name__}.{attribute.name}", value)


POSITIVE = Rule("a positive number", lambda value: value > 0)
NOT_NEGATIVE = Rule("a number of at least 0", lambda value: value >= 0)
SHARE = Rule("a share from 0 to 1", lambda value: 0 <= value <= 1)
COUNT = Rule("a whole number of at least 1", lambda value: value >= 1, whole=True)
