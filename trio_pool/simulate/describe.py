"""An experiment in words: as Python that makes it again, and as plain data for a document."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from typing import Any, cast

import attrs

from .checks import is_tuple
from .makers import Maker, literal

MOST = 100
"""Measured values of a record, such as a trace's, that are told one by one; of more, only their number is."""


_LITERALS = (str, bytes, int, float, set, frozenset, type(None))


class NoSource(ValueError):
    """There is no Python that makes a value."""


def source(value: Any, imports: set[str]) -> str:
    """The Python expression that makes a value: records, enums, and what they are made of.

    Fields that are as they are by default are left out.

    :param value: of records, enums, tuples, mappings, numbers and text.
    :param imports: the import statements that it needs are added here.
    :raises NoSource: there is an object of another kind in it, or of a class that cannot be imported.
    """
    kind: type[Any] = value.__class__
    if attrs.has(kind):
        return _known(value, imports) or _record(value, imports)
    if issubclass(kind, enum.Enum):
        imports.add(_import_of(kind))
        return str(value)
    if issubclass(kind, Mapping):
        return "{" + ", ".join(f"{source(key, imports)}: {source(each, imports)}" for key, each in value.items()) + "}"
    if getattr(kind, "_fields", None):  # a NamedTuple
        imports.add(_import_of(kind))
        return f"{kind.__name__}({', '.join(source(each, imports) for each in value)})"
    if issubclass(kind, (tuple, list)):
        return "(" + "".join(f"{source(each, imports)}, " for each in value).rstrip() + ")"
    if issubclass(kind, float):
        return literal(value)
    if not issubclass(kind, _LITERALS):
        raise NoSource(f"nothing makes {value!r} again")
    return repr(value)


def _known(value: Any, imports: set[str]) -> str:
    """What a value remembers of how it is made, where telling its parts would be long; else nothing."""
    maker: Maker | None = getattr(value, "maker", None)
    if maker is None:
        return ""
    imports.add(f"from {maker.module} import {maker.name}")
    return maker.expression


def _record(value: Any, imports: set[str]) -> str:
    imports.add(_import_of(value.__class__))
    parts = [f"{field.alias}={source(getattr(value, field.name), imports)}" for field in _said(value)]
    return f"{type(value).__name__}({', '.join(parts)})"


def _import_of(kind: type) -> str:
    if kind.__module__ == "__main__" or kind.__qualname__ != kind.__name__:
        raise NoSource(f"{kind.__qualname__} cannot be imported")
    return f"from {kind.__module__} import {kind.__name__}"


def _said(record: Any) -> list[attrs.Attribute[Any]]:
    """The fields in which a record differs from its defaults."""
    return [
        field
        for field in attrs.fields(record.__class__)
        if field.init and getattr(record, field.name) != _default(field)
    ]


def _default(field: attrs.Attribute[Any]) -> Any:
    default: Any = field.default
    if default is attrs.NOTHING:
        return default
    if hasattr(default, "factory"):  # of attrs: a fresh value for each record
        default = default.factory()
    converter = cast("Any", field).converter
    return converter(default) if callable(converter) else default


def plain(value: Any) -> Any:
    """A value as JSON has it. A record is an object whose "kind" is its class; what has no number in JSON is null.

    :param value: of records, enums, sequences, mappings, numbers and text.
    """
    kind: type[Any] = value.__class__
    if attrs.has(kind):
        fields = [field.name for field in attrs.fields(kind) if field.init]
        return {"kind": kind.__name__, **{name: _field(getattr(value, name)) for name in fields}}
    if issubclass(kind, enum.Enum):
        return value.value
    if issubclass(kind, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if issubclass(kind, float):
        return value if math.isfinite(value) else None
    if issubclass(kind, (str, int)) or value is None:
        return value
    if issubclass(kind, (set, frozenset)):
        return plain(sorted(value))
    if issubclass(kind, (tuple, list)):
        return [plain(each) for each in value]
    return str(value)


def _field(value: Any) -> Any:
    """What a record has. Records in it are not many; values may be as many as were measured."""
    is_long = is_tuple(value) and len(value) > MOST and not attrs.has(value[0].__class__)
    return f"<{len(value)} values>" if is_long else plain(value)
