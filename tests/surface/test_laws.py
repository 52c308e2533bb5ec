"""Two laws of the house, read from the syntax tree: deciding is pure, and imports point downwards.

What stands under `if TYPE_CHECKING:` is for type checkers alone and counts for neither. An import inside a function
counts like any other: it is the direction that matters, not the moment.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import trio_pool

PACKAGE = Path(trio_pool.__file__).parent

PURE = {"_core", "_wire"}
IMPURE = {
    *("trio", "ssl", "socket", "time", "random"),
    *("asyncio", "datetime", "os", "secrets", "select", "selectors", "subprocess", "threading", "uuid"),
}

# From the roof to the ground: a module imports from its own floor and from those below it.
FLOORS: list[set[str]] = [
    {"cli"},
    {"simulate"},
    {"testing"},
    {"__init__"},
    {"client", "transports"},
    {"failover", "plain"},
    {"ways"},
    {"attempts", "fleet", "journal"},
    {"tries", "turnstile"},
    {"calls", "loans", "upstreams"},
    {"providers"},
    {"pool", "leasing", "places", "dialling", "alarm"},
    {"response"},
    {"bodies", "event_streams"},
    {"observe"},
    {"_net"},
    {"_core"},
    {"_wire"},
    {"sse", "sizing", "checks", "events", "messages", "headers", "urls", "config", "strategy", "errors", "_version"},
]

DEPENDENCIES = {"trio", "h11", "attrs", "yarl", "truststore"}
EXTRAS = {
    "cli": {"click", "rich", "trustme"},
    "simulate": {"matplotlib"},
    "transports": {"httpx2", "httpcore2", "httpx", "httpcore"},
    "_net": {"socksio"},
    "_wire": {"brotli", "backports", "compression"},
}


def room_of(path: Path, package: Path) -> str:
    """The part of the package that a file belongs to: a folder, or a module at the top."""
    return path.relative_to(package).parts[0].removesuffix(".py")


def is_for_type_checkers(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those that only type checkers look at."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and is_for_type_checkers(node):
            for other in node.orelse:
                yield other
                yield from running(other)
            continue
        yield node
        yield from running(node)


def imports_of(path: Path, package: Path) -> set[str]:
    """The dotted names that a file imports; `from a import b` gives both `a` and `a.b`."""
    here = [package.name, *path.relative_to(package).parts[:-1]]
    found: set[str] = set()
    for node in running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) - node.level + 1] if node.level else []
            stem = ".".join([*base, *filter(None, [node.module])])
            found |= {stem, *(f"{stem}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            found |= {argument.value for argument in node.args[:1] if is_text(argument)}  # type: ignore[attr-defined]  # a constant, as is_text says
    return found


def is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def own_rooms(names: set[str], package: Path) -> set[str]:
    """The rooms of the package among imported names; the package itself is `__init__`."""
    modules = {entry.name.removesuffix(".py") for entry in package.iterdir()}
    rooms = set()
    for name in names:
        parts = name.split(".")
        if parts[0] != package.name:
            continue
        if len(parts) > 1 and parts[1] in modules:
            rooms.add(parts[1])
        elif len(parts) > 1 or not any(other.startswith(f"{name}.") for other in names):
            rooms.add("__init__")
    return rooms


def foreign(names: set[str], package: Path) -> set[str]:
    return {name.split(".")[0] for name in names} - {package.name}


def files(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


def impurities(package: Path) -> list[str]:
    """What pure rooms import that has a clock, chance or a network, what they await, and the same of what they need."""
    found = []
    needed = set(PURE)
    for path in files(package):
        if room_of(path, package) in PURE:
            needed |= own_rooms(imports_of(path, package), package)
    for path in files(package):
        room = room_of(path, package)
        if room in needed:
            bad = foreign(imports_of(path, package), package) & IMPURE
            found += [f"{path.relative_to(package)} imports {name}" for name in sorted(bad)]
        if room in PURE:
            found += [f"{path.relative_to(package)}:{line} awaits" for line in asynchronous(path)]
    return found


def asynchronous(path: Path) -> list[int]:
    kinds = (ast.AsyncFunctionDef, ast.Await, ast.AsyncWith, ast.AsyncFor)
    return [node.lineno for node in running(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, kinds)]


def upwards(package: Path) -> list[str]:
    """Imports from a higher floor, and modules that stand on no floor at all."""
    floors = {room: height for height, rooms in enumerate(FLOORS) for room in rooms}
    found = []
    for path in files(package):
        here = room_of(path, package)
        if here not in floors:
            found.append(f"{here} stands on no floor")
            continue
        rooms = own_rooms(imports_of(path, package), package) - {here}
        higher = [room for room in sorted(rooms) if floors.get(room, -1) < floors[here]]
        if here != "__init__":
            found += [f"{path.relative_to(package)} imports {room} from above" for room in higher]
    return found


def strangers(package: Path) -> list[str]:
    """Imports of what is neither Python's own nor a dependency that this room may have."""
    found = []
    for path in files(package):
        room = room_of(path, package)
        allowed = set(sys.stdlib_module_names) | DEPENDENCIES | EXTRAS.get(room, set())
        others = foreign(imports_of(path, package), package) - allowed
        found += [f"{path.relative_to(package)} imports {name}" for name in sorted(others)]
    return found


# ---- the house ----


def test_deciding_is_pure() -> None:
    assert impurities(PACKAGE) == []


def test_imports_point_downwards() -> None:
    assert upwards(PACKAGE) == []


def test_only_dependencies_are_imported_and_extras_only_in_their_rooms() -> None:
    assert strangers(PACKAGE) == []


def test_the_laws_have_something_to_hold() -> None:
    rooms = {room_of(path, PACKAGE) for path in files(PACKAGE)}
    assert rooms >= {"_core", "_wire", "_net", "pool", "client", "response", "messages", "errors"}
    assert "trio" in foreign(imports_of(PACKAGE / "pool.py", PACKAGE), PACKAGE)
    assert own_rooms(imports_of(PACKAGE / "client.py", PACKAGE), PACKAGE) >= {"pool", "response", "messages", "_net"}


# ---- the laws themselves: each finds what was planted ----


def build(folder: Path, **modules: str) -> Path:
    """A package of these files; `__` in a name stands for a folder."""
    package = folder / "trio_pool"
    for name, text in {"__init__": "", "errors": "", "_core___init__": "", **modules}.items():
        path = package / (name.replace("_core__", "_core/").replace("_net__", "_net/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return package


IMPURITIES = {
    "import": "import time",
    "import of a part": "import trio.lowlevel",
    "import by another name": "import socket as s",
    "import from": "from random import random",
    "import inside": "def f():\n    import ssl",
    "import by name": "from importlib import import_module\nimport_module('trio')",
    "import where it runs": "import typing\nif typing.TYPE_CHECKING:\n    import ssl\nelse:\n    import ssl",
    "an await": "async def f(g):\n    await g()",
}


@pytest.mark.parametrize("text", IMPURITIES.values(), ids=IMPURITIES)
def test_a_planted_impurity_is_found(text: str, tmp_path: Path) -> None:
    assert impurities(build(tmp_path, _core__slots=text))
    assert impurities(build(tmp_path / "elsewhere", client=text)) == []


def test_an_impurity_that_is_borrowed_is_found(tmp_path: Path) -> None:
    package = build(tmp_path, _core__slots="from ..messages import now", messages="from time import monotonic as now")
    assert impurities(package) == ["messages.py imports time"]


def test_what_only_type_checkers_see_is_no_impurity(tmp_path: Path) -> None:
    text = "import typing\nif typing.TYPE_CHECKING:\n    import trio\n    from ..client import Client"
    package = build(tmp_path, _core__slots=text, client="")
    assert impurities(package) == []
    assert upwards(package) == []


UPWARDS = {
    "from the ground": ("errors", "from .messages import x\nfrom .pool import y"),
    "absolutely": ("response", "import trio_pool.client"),
    "absolutely, from": ("response", "from trio_pool.client import Client"),
    "from the package": ("response", "from . import client"),
    "out of a folder": ("_net__dial", "from ..pool import Pool"),
    "inside a function": ("_net__dial", "def f():\n    from ..pool import Pool"),
    "by the front door": ("pool", "from trio_pool import Client"),
    "by the front door, whole": ("pool", "import trio_pool"),
    "by the front door, relatively": ("_net__dial", "from .. import Client"),
    "between floors that are near": ("_core__slots", "from .._net import dial"),
}


@pytest.mark.parametrize(("room", "text"), UPWARDS.values(), ids=UPWARDS)
def test_a_planted_import_from_above_is_found(room: str, text: str, tmp_path: Path) -> None:
    below = dict.fromkeys(["client", "pool", "response", "messages", "_net____init__"], "")
    assert len(upwards(build(tmp_path, **{**below, room: text}))) == 1


def test_imports_from_below_and_beside_are_none(tmp_path: Path) -> None:
    modules = {
        "client": "from .pool import Pool\nfrom ._net.dial import dial\nimport trio_pool.errors",
        "pool": "from . import places, errors",
        "places": "from trio_pool.errors import x",
        "_net__dial": "from .._core.slots import Slots\nfrom .. import errors\nfrom . import dial",
        "_core__slots": "from ..errors import x",
        "__init__": "from .client import Client",
    }
    package = build(tmp_path, **modules)
    assert upwards(package) == []
    assert impurities(package) == []
    assert strangers(package) == []


def test_a_module_on_no_floor_is_found(tmp_path: Path) -> None:
    assert upwards(build(tmp_path, cellar="")) == ["cellar stands on no floor"]


@pytest.mark.parametrize("text", ["import requests", "import click", "from rich.table import Table"])
def test_a_stranger_is_found(text: str, tmp_path: Path) -> None:
    assert strangers(build(tmp_path, pool=text))


# ---- one door to trio's private flag ----

FLAG = "_ALLOW_" + "DETERMINISTIC_SCHEDULING"  # in two parts, so that this file does not name it


def namers(root: Path) -> list[str]:
    """The files of Python that name the flag."""
    found = (path for path in root.rglob("*.py") if FLAG in path.read_text(encoding="utf-8"))
    return sorted(str(path.relative_to(root)) for path in found)


def test_only_one_module_touches_trios_private_flag() -> None:
    root = PACKAGE.parent
    found = [f"{part}/{name}" for part in ("trio_pool", "tests", "benchmarks") for name in namers(root / part)]
    assert found == ["trio_pool/simulate/world/scheduling.py"]


def test_a_second_module_that_touches_the_flag_is_found(tmp_path: Path) -> None:
    assert namers(build(tmp_path, client=f"import trio\ntrio._core._run.{FLAG} = True")) == ["client.py"]
