"""What a field of a description may be, beside numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeGuard

import attrs

from ..errors import UsageError

Check = Callable[[object, "attrs.Attribute[Any]", object], None]


def one_of(*choices: object) -> Check:
    """A validator: one of these."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            _refuse(instance, attribute, " or ".join(map(repr, choices)), value)

    return check


def is_tuple(value: object) -> TypeGuard[tuple[Any, ...]]:
    """Whether it is a tuple, of whatever."""
    return isinstance(value, tuple)


def all_of(*kinds: type) -> Check:
    """A validator: a tuple of records of these kinds."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not is_tuple(value) or not all(isinstance(each, kinds) for each in value):
            _refuse(instance, attribute, f"a tuple of {' or '.join(kind.__name__ for kind in kinds)}", value)

    return check


def is_a(kind: type) -> Check:
    """A validator: a record of this kind."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, kind):
            _refuse(instance, attribute, f"a {kind.__name__}", value)

    return check


def can(method: str, kind: str) -> Check:
    """A validator: what can do something, as any record of a kind can; a user's own class too."""

    def check(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if isinstance(value, type) or not callable(getattr(value, method, None)):
            _refuse(instance, attribute, f"{kind}, which has a method {method!r}", value)

    return check


def truth(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """A validator: True or False."""
    if not isinstance(value, bool):
        _refuse(instance, attribute, "True or False", value)


def name_or_none(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """A validator: a name, or None."""
    if value is not None and not (isinstance(value, str) and value):
        _refuse(instance, attribute, "a name or None", value)


LONGEST_SHOWN = 200
"""Characters of a value, in a sentence about it."""


def shown(value: object) -> str:
    """A value's repr, cut where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _refuse(instance: object, attribute: attrs.Attribute[Any], needed: str, value: object) -> None:
    raise UsageError(f"{type(instance).__name__}.{attribute.name} must be {needed}, not {value!r}")
