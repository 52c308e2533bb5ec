"""Values that are too long to be told, such as a trace's: they remember the Python that makes them again.

Such a record has a field `maker` that is no argument, so a changed copy has none.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Maker(NamedTuple):
    """Python that makes a value.

    :ivar module: from where `name` is imported.
    :ivar name: of the module.
    :ivar expression: begins with the name.
    """

    module: str
    name: str
    expression: str


class _Remembers(Protocol):
    @property
    def maker(self) -> Maker | None: ...


def made_by(value: T, module: str, expression: str) -> T:
    """Let a value remember what makes it.

    :param value: a frozen record with a field `maker`, that nobody else has yet.
    :param expression: a name of the module, and what follows it.
    """
    name = expression.partition("(")[0]
    object.__setattr__(value, "maker", Maker(module, name, expression))
    return value


def made_from(whole: _Remembers, value: T, how: str) -> T:
    """Let a value remember that it comes of another, if that does know what makes it.

    :param how: what follows the other's expression.
    """
    if whole.maker is None:
        return value
    return made_by(value, whole.maker.module, whole.maker.expression + how)


def literal(number: Any) -> str:
    """The Python of a number."""
    return repr(number) if math.isfinite(number) else f'float("{number}")'
