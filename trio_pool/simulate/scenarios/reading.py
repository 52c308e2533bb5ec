"""Tables of TOML as frozen records. Whatever is wrong is refused with the path of its key, and what is allowed there.

A record checks its own fields; here its name in the refusal becomes the path. Where a field is a record of one of
several kinds, its table says which: `kind = "Poisson"`, by the name of the class.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar, cast

import attrs

from ...errors import UsageError
from ...strategy import RetryStrategy
from ..traffic.arrivals import ClosedLoop, Diurnal, OnOff, Poisson, Recorded, Renewal, Slowed
from ..traffic.distributions import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Gamma,
    HyperExponential,
    LogNormal,
    Pareto,
    Uniform,
)
from ..traffic.workload import Service
from ..world import faults
from ..world.outages import Brownout, Bursts, Outage

T = TypeVar("T")
Reader = Callable[[Any, str], Any]
"""Makes what a record wants of a value, and is told the value's path."""

DISTRIBUTIONS = (Constant, Exponential, Uniform, LogNormal, Pareto, Gamma, HyperExponential, Empirical)
ARRIVALS = (Poisson, Renewal, OnOff, Diurnal, Recorded, Slowed, ClosedLoop)
FAULTS = (*faults.OF_RESOLVING, *faults.OF_DIALLING, *faults.OF_RESPONSES)


def below(path: str, name: str) -> str:
    """The path of a key in the table at a path."""
    return f"{path}.{name}" if path else name


def table_of(value: Any, path: str) -> Mapping[str, Any]:
    """The value, if it is a table.

    :raises UsageError: it is none.
    """
    if not isinstance(value, Mapping):
        raise UsageError(f"{path} must be a table, not {value!r}")
    return cast("Mapping[str, Any]", value)


def nearest(name: str, allowed: Collection[str]) -> str:
    """What to write instead of a name that is none: the one that was probably meant, else all that are."""
    near = get_close_matches(name, allowed, n=1)
    return f"perhaps {near[0]} is meant" if near else f"allowed are {', '.join(sorted(allowed))}"


def check_keys(table: Mapping[str, Any], allowed: Collection[str], path: str) -> None:
    """That a table has no other keys than these.

    :raises UsageError: it has; tells the nearest of these, or all.
    """
    for name in table:
        if name not in allowed:
            raise UsageError(f"{below(path, name)} is no key of a scenario: {nearest(name, allowed)}")


def record(kind: type[T], value: Any, path: str, *, hidden: Collection[str] = (), **given: Any) -> T:
    """A record from a table that has its fields.

    :param kind: its class.
    :param hidden: fields that a table must not have.
    :param given: fields that are known already.
    :raises UsageError: a key or a value is wrong, or one is missing.
    """
    table = table_of(value, path)
    fields = {
        field.name: field.default is attrs.NOTHING
        for field in attrs.fields(cast("Any", kind))
        if field.init and field.name not in (*hidden, *given)
    }
    check_keys(table, fields, path)
    missing = [name for name, is_needed in fields.items() if is_needed and name not in table]
    if missing:
        raise UsageError(f"{path} needs {' and '.join(missing)}")
    read = {name: READERS.get(name, _as_is)(each, below(path, name)) for name, each in table.items()}
    return build(kind, {**read, **given}, path)


def build(kind: type[T], fields: Mapping[str, Any], path: str) -> T:
    """A record of these fields, whose refusals name the path and not the class.

    :raises UsageError: they make none.
    """
    try:
        return kind(**fields)
    except UsageError as error:
        owner = f"{kind.__name__}."
        elsewhere = f"{path}: {error.what}" if path else error.what
        raise UsageError(error.what.replace(owner, below(path, "")) if owner in error.what else elsewhere) from None


def one_of(*kinds: type[Any]) -> Reader:
    """What reads a record of one of several kinds."""
    by_name = {kind.__name__: kind for kind in kinds}

    def read(value: Any, path: str) -> Any:
        table = dict(table_of(value, path))
        name = table.pop("kind", None)
        if not isinstance(name, str) or name not in by_name:
            raise UsageError(f"{path}.kind must be {' or '.join(map(repr, by_name))}, not {name!r}")
        return record(by_name[name], table, path)

    return read


def many(reader: Reader) -> Reader:
    """What reads a list of what another reads."""

    def read(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise UsageError(f"{path} must be a list, not {value!r}")
        return tuple(reader(each, f"{path}[{place}]") for place, each in enumerate(cast("list[object]", value)))

    return read


def distribution(value: Any, path: str) -> Distribution:
    """A number is always that; else a table says which kind.

    :raises UsageError: it is neither.
    """
    if isinstance(value, Mapping):
        found: Distribution = _distribution(value, path)
        return found
    return build(Constant, {"value": value}, path) if _is_number(value) else _refuse(value, path)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _refuse(value: Any, path: str) -> Distribution:
    raise UsageError(f"{path} must be a number, or a table with a kind, not {value!r}")


def _strategy(value: Any, path: str) -> RetryStrategy:
    known = {strategy.value: strategy for strategy in RetryStrategy}
    if not isinstance(value, str) or value not in known:
        raise UsageError(f"{path} must be {' or '.join(map(repr, known))}, not {value!r}")
    return known[value]


def _as_is(value: Any, _: str) -> Any:
    return value


_distribution = one_of(*DISTRIBUTIONS)

READERS: Mapping[str, Reader] = {
    **dict.fromkeys(
        ("first_byte", "tokens", "seconds_per_token", "input_tokens", "patience", "think"), cast("Reader", distribution)
    ),
    "arrivals": one_of(*ARRIVALS),
    "service": lambda value, path: record(Service, value, path),
    "retry_strategy": _strategy,
    "brownouts": many(lambda value, path: record(Brownout, value, path)),
    "outages": many(one_of(Outage, Bursts)),
}
"""By the name of a field, what reads it; others are as they are in the table."""
