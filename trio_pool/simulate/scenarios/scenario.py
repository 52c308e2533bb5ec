"""Scenarios: experiments as TOML, with variants to compare, a grid to sweep, and what is expected of the outcome.

A scenario's own tables make one experiment, the base. A variant is a table of the same shape that is laid over them,
and so is each setting of the grid. Everything is built when the scenario is loaded: what is wrong in a variant is found
before anything runs. `docs/experiments.md` describes the format.
"""

from __future__ import annotations

import functools
import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import attrs

from ...checks import COUNT
from ...errors import UsageError
from ..experiment import Experiment
from .cases import KEYS, ONE_PROVIDER, Case, case_of
from .reading import below, check_keys, table_of

SHIPPED = Path(__file__).parent

_OF_ALL = {"title", "about", "base", "seeds", "variants", "sweep"}

_NAMED: Mapping[str, Mapping[str, Any]] = {"providers": ONE_PROVIDER, "variants": {}}
"""Tables of what has a name, as they are where a scenario has none."""


@attrs.frozen
class Scenario:
    """Experiments that belong together.

    :ivar title: a line.
    :ivar about: what it is for, and where its numbers come from; a text, perhaps empty.
    :ivar seeds: with how many seeds to run it, unless somebody says otherwise.
    :ivar cases: by name: the base, then its variants.
    :ivar grid: the values of each key, to be swept; perhaps none.
    :ivar points: the settings of the grid, each with its experiment.
    """

    title: str
    about: str
    seeds: int
    cases: Mapping[str, Case]
    grid: Mapping[str, tuple[Any, ...]]
    points: tuple[tuple[Mapping[str, Any], Experiment], ...]


# ---- files ----


def shipped() -> dict[str, Path]:
    """The scenarios that come with the library, by name."""
    return {path.stem: path for path in sorted(SHIPPED.glob("*.toml"))}


def load(source: str, settings: Mapping[str, Any] | None = None) -> Scenario:
    """A scenario from a file.

    :param source: the name of a shipped one, or the path of a TOML file. A trace's path in it begins in the file's
        folder; in that of a shipped one, in the current folder.
    :param settings: values by dotted key, in place of what the file's own tables say (none).
    :raises UsageError: there is no such file, it is no TOML, or a key or a value is wrong; tells the key's path.
    """
    known = shipped()
    path = known.get(source, Path(source))
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        what = f"{source!r} is no file that can be read ({error.strerror}), and none of {', '.join(known)}"
        raise UsageError(what) from None
    except ValueError as error:
        raise UsageError(f"{source} is no TOML: {error}") from None
    for key, value in (settings or {}).items():
        _check_name(document, key, "")
        document = laid_over(document, _nested(key, value))
    return parse(document, title=path.stem, folder=Path() if source in known else path.parent)


def parse(document: Mapping[str, Any], *, title: str = "", folder: Path | None = None) -> Scenario:
    """A scenario from its document.

    :param document: as TOML has it.
    :param title: where the document has none (none).
    :param folder: where a trace's path begins (None: the current one).
    :raises UsageError: a key or a value is wrong; tells the key's path.
    """
    check_keys(document, _OF_ALL | KEYS, "")
    folder = folder or Path()
    seeds = document.get("seeds", 1)
    COUNT.check("seeds", seeds)
    own = {key: value for key, value in document.items() if key in KEYS}
    base = _text(document, "base", "base")
    grid = dict(_lists(document.get("sweep", {}), ""))
    for key in grid:
        _check_name(document, key, "sweep")
    return Scenario(
        title=_text(document, "title", title),
        about=_text(document, "about", ""),
        seeds=seeds,
        cases={base: case_of(own, folder, ""), **_variants(document.get("variants", {}), own, base, folder)},
        grid=grid,
        points=tuple((each, case_of(_set(own, each), folder, "sweep").experiment) for each in _combinations(grid)),
    )


def _variants(value: Any, own: Mapping[str, Any], base: str, folder: Path) -> dict[str, Case]:
    variants = table_of(value, "variants")
    if base in variants:
        raise UsageError(f"variants.{base} has the name of the base")
    for name, overlay in variants.items():
        check_keys(table_of(overlay, f"variants.{name}"), KEYS, f"variants.{name}")
    below_all = {key: value for key, value in own.items() if key != "expect"}  # each says itself what it expects
    return {
        name: case_of(laid_over(below_all, overlay), folder, f"variants.{name}") for name, overlay in variants.items()
    }


def _text(document: Mapping[str, Any], key: str, default: str) -> str:
    value = document.get(key, default)
    if not isinstance(value, str):
        raise UsageError(f"{key} must be text, not {value!r}")
    return value.strip()


# ---- tables over tables ----


def laid_over(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """A table with another laid over it. What says its kind replaces what is below it; so does what is no table."""
    result = dict(base)
    for name, value in overlay.items():
        covered = result.get(name)
        is_on_top = isinstance(value, Mapping) and isinstance(covered, Mapping) and "kind" not in value
        result[name] = laid_over(cast("Any", covered), cast("Any", value)) if is_on_top else value
    return result


def _nested(key: str, value: Any) -> dict[str, Any]:
    """A table in which a dotted key has this value."""
    first, _, rest = key.partition(".")
    return {first: _nested(rest, value) if rest else value}


def _check_name(document: Mapping[str, Any], key: str, path: str) -> None:
    """That a dotted key changes something that is there, and does not add a provider or a variant by a slip.

    :raises UsageError: it adds one; tells those that there are.
    """
    table, *name = key.split(".")[:2]
    if table in _NAMED and name:
        known = document.get(table, _NAMED[table])
        check_keys({name[0]: None}, table_of(known, table), below(path, table))


def _set(own: Mapping[str, Any], settings: Mapping[str, Any]) -> Mapping[str, Any]:
    return functools.reduce(lambda whole, each: laid_over(whole, _nested(*each)), settings.items(), own)


def _lists(value: Any, path: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """The lists in nested tables, by dotted key."""
    for name, each in table_of(value, below("sweep", path) if path else "sweep").items():
        key = below(path, name)
        if isinstance(each, Mapping):
            yield from _lists(each, key)
        elif isinstance(each, list) and each:
            yield key, (*each,)
        else:
            raise UsageError(f"sweep.{key} must be a list of values, not {each!r}")


def _combinations(grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Every setting of a grid, the last key varied first; none of no grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())] if grid else []
