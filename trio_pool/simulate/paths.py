"""A value with one part changed, named by a path such as "workload.arrivals.rate": for sweeps and for scenarios."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, cast

import attrs

from ..errors import UsageError
from .checks import is_tuple


def changed(whole: Any, path: str, value: Any) -> Any:
    """A copy of a record with one part changed.

    :param whole: of records, tuples and mappings. A member of a tuple is named by its place, or by its own `name`.
    :param path: names, with dots between them.
    :param value: the part's new value.
    :raises UsageError: there is no such part, or it cannot have this value.
    """
    return _changed(whole, path.split("."), value, path)


def _changed(whole: Any, names: list[str], value: Any, path: str) -> Any:
    if not names:
        return value
    name, rest = names[0], names[1:]
    if isinstance(whole, Mapping):
        known = dict(cast("Mapping[str, Any]", whole))
        return {**known, name: _changed(known.get(name, {}), rest, value, path)}
    if is_tuple(whole):
        members = list(whole)
        place = _place(members, name, path)
        members[place] = _changed(members[place], rest, value, path)
        return tuple(members)
    kind: type[Any] = whole.__class__
    fields = {field.name for field in attrs.fields(kind) if field.init} if attrs.has(kind) else set[str]()
    if name not in fields:
        raise UsageError(no_such(path, name, f"no {kind.__name__}", fields))
    try:
        return attrs.evolve(whole, **{name: _changed(getattr(whole, name), rest, value, path)})
    except (TypeError, AttributeError) as error:
        raise UsageError(f"{path!r} cannot be {value!r}: {error}") from error


def _place(members: list[Any], name: str, path: str) -> int:
    known = [str(getattr(member, "name", "")) for member in members]
    if name in known:
        return known.index(name)
    if name.isdigit() and int(name) < len(members):
        return int(name)
    raise UsageError(no_such(path, name, f"none of the {len(members)} members", known))


def no_such(path: str, name: str, where: str, known: Iterable[str]) -> str:
    """The sentence for a part that is not there, with what may have been meant."""
    names = sorted(filter(None, known))
    near = get_close_matches(name, names, n=1)
    advice = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names) or 'none'}"
    return f"there is no {path!r}, since {where} has {name!r}: {advice}"
