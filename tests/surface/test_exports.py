"""The public names: which there are, and that each says what a caller must know.

The rules for words, checkable ones:

- every public class, function, method and property has a docstring, and every module, public or not;
- every parameter of a public callable is named in its docstring, and every field of a value class;
- a default that is a number, a truth value or a text is stated beside its parameter;
- what stands for a time or a size names its unit;
- every public error that a callable raises itself is named.

A method that has the parameters of another says so by the other's name in backticks: then the other's words count.
Classes that are made by a function (`Client` by `open_client`) have its words too.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import attrs
import pytest

import trio_pool
from trio_pool import TrioPoolError
from trio_pool.messages import RequestOptions

ERRORS = [
    *(
        "AddressRefused",
        "CertificateRefused",
        "ConnectError",
        "ConnectTimeout",
        "DecodingError",
        "LimitExceeded",
        "LocalProtocolError",
    ),
    *("PoolClosed", "PoolFull", "PoolTimeout", "ProxyError", "QuotaExceeded", "RateLimited", "ReadError"),
    *("ReadTimeout", "RemoteProtocolError", "StatusError", "StreamFailed", "StreamIncomplete", "TLSError"),
    *("TooManyRedirects", "TotalTimeout", "TrioPoolError", "UnsupportedProtocol", "UsageError", "WriteError"),
    "WriteTimeout",
]
PROMISED = [
    *("open_client", "Client", "open_pool", "Pool", "PoolConfig", "Timeouts", "Request", "Response", "Headers"),
    *("Origin", "PoolStatistics", "Timings", "ServerSentEvent", "RetryStrategy", "Upstream", "Provider", *ERRORS),
]
BESIDES = ["Network", "SystemNetwork", "Stream", "OriginStatistics", "InterimResponse", "only_public", "__version__"]


def test_the_public_names_are_those_that_were_promised() -> None:
    assert sorted(trio_pool.__all__) == sorted([*PROMISED, *BESIDES])


def test_the_list_of_names_is_in_order() -> None:
    assert list(trio_pool.__all__) == sorted(trio_pool.__all__)
    assert len(set(trio_pool.__all__)) == len(trio_pool.__all__)


def test_everything_can_be_imported() -> None:
    namespace: dict[str, Any] = {}
    exec("from trio_pool import *", namespace)
    assert set(trio_pool.__all__) <= set(namespace)


def test_nothing_else_looks_public() -> None:
    others = {name for name, value in vars(trio_pool).items() if not isinstance(value, ModuleType)}
    assert {name for name in others if not name.startswith("_")} - {"annotations"} <= set(trio_pool.__all__)


def test_names_say_where_they_live() -> None:
    """They are not made to look as if they came from `trio_pool` itself; the module that they name has them."""
    for name in trio_pool.__all__:
        value = getattr(trio_pool, name)
        if name != "__version__":
            assert getattr(importlib.import_module(value.__module__), name) is value


def test_the_version_is_one() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(?:(?:a|b|rc|\.dev)\d+)?", trio_pool.__version__)


# ---- words ----


def public_members(kind: type) -> dict[str, Callable[..., Any]]:
    """The methods and properties that a class of ours defines itself and shows."""
    found: dict[str, Callable[..., Any]] = {}
    for name, value in vars(kind).items():
        plain = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if not name.startswith("_") and inspect.isfunction(plain):
            found[name] = plain
    return found


def public_callables() -> dict[str, Callable[..., Any]]:
    found: dict[str, Callable[..., Any]] = {}
    for name in PROMISED + BESIDES[:-1]:
        value = getattr(trio_pool, name)
        found[name] = value
        if inspect.isclass(value):
            found |= {f"{name}.{member}": function for member, function in public_members(value).items()}
    return found


CALLABLES = public_callables()
MADE_BY = {"Client": "open_client", "Pool": "open_pool"}
SAME_AS = {"SystemNetwork": "Network"}  # a protocol, and what has it
MADE_INSIDE = {"Response", "RetryStrategy"}  # no caller makes one
MODULES = ["trio_pool", *(module.name for module in pkgutil.walk_packages(trio_pool.__path__, "trio_pool."))]


def words(name: str) -> str:
    """The docstring of a name, and those that it refers to."""
    return "\n".join(inspect.getdoc(CALLABLES[each]) or "" for each in referred(name, [])) + options_of(name)


def referred(name: str, seen: list[str]) -> list[str]:
    """The name, and whose words are its own too."""
    if name in seen or name not in CALLABLES:
        return seen
    seen.append(name)
    owner, _, member = name.rpartition(".")
    text = inspect.getdoc(CALLABLES[name]) or ""
    siblings = [f"{owner}.{other}" for other in re.findall(r"`(\w+)`", text) if owner]
    others = [*siblings, *re.findall(r"\bas in `(\w+)`", text), MADE_BY.get(name, "")]
    for other in [*others, f"{SAME_AS.get(owner, '')}.{member}"]:
        referred(other, seen)
    return seen


def options_of(name: str) -> str:
    """What `**options` are."""
    takes_options = "options" in parameters(name)
    return inspect.getdoc(RequestOptions) or "" if takes_options else ""


def parameters(name: str) -> dict[str, inspect.Parameter]:
    """The parameters that a caller gives."""
    function = CALLABLES[name]
    is_error = inspect.isclass(function) and issubclass(function, Exception)
    if name in MADE_INSIDE or is_error or getattr(function, "_is_protocol", False):
        return {}
    found = inspect.signature(function).parameters
    return {key: value for key, value in found.items() if key not in ("self", "cls")}


def line_about(parameter: str, text: str) -> str:
    """What the docstring says of a parameter in its own entry, or else everything."""
    entry = re.search(rf":(?:param|ivar) {parameter}:(.*?)(?=\n:|\n\n|\Z)", text, re.DOTALL)
    return entry[1] if entry else text


@pytest.mark.parametrize("module", MODULES)
def test_every_module_says_what_it_is_for(module: str) -> None:
    found = importlib.util.find_spec(module)
    assert found is not None
    assert found.origin is not None
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    assert ast.get_docstring(tree) or not tree.body


@pytest.mark.parametrize("name", CALLABLES)
def test_every_public_name_says_what_it_is(name: str) -> None:
    own = CALLABLES[name].__doc__  # not an inherited one
    assert own is not None
    assert own.strip()[-1] in ".:)"
    assert not own.startswith(f"{name.rpartition('.')[2]}(")  # attrs and dataclasses would write the signature


@pytest.mark.parametrize("name", CALLABLES)
def test_every_parameter_is_named(name: str) -> None:
    text = words(name)
    missing = [key for key in parameters(name) if not re.search(rf"\b{key}\b", text)]
    assert missing == []


VALUES = {name: value for name, value in CALLABLES.items() if inspect.isclass(value) and attrs.has(value)}


@pytest.mark.parametrize("name", VALUES)
def test_every_field_is_named(name: str) -> None:
    fields = [field.name for field in attrs.fields(VALUES[name]) if field.init]
    assert [field for field in fields if not re.search(rf":ivar {field}:", words(name))] == []


def stated(value: object) -> list[str]:
    """The ways to write a default."""
    text = repr(value)
    ways = [text, f"{text} s", f'"{value}"', f"{value:,}" if isinstance(value, int) else text]
    return ["inf", "no limit", "without limit", "None"] if text == "inf" else ways


@pytest.mark.parametrize("name", CALLABLES)
def test_every_default_that_is_a_plain_value_is_stated(name: str) -> None:
    text = words(name)
    missing = []
    for key, parameter in parameters(name).items():
        default = parameter.default
        plain = isinstance(default, (bool, int, float, str)) and default != ""
        if plain and not any(way in line_about(key, text) for way in stated(default)):
            missing.append(f"{key} = {default!r}")
    assert missing == []


TIMES = r"timeout|lifetime|elapsed|deadline|seconds|retry\b|waited|dialled|first_byte|hint"
UNITS = r"seconds|second\b|milliseconds|\bs\b|clock"


@pytest.mark.parametrize("name", CALLABLES)
def test_what_stands_for_a_time_or_a_size_names_its_unit(name: str) -> None:
    text = words(name)
    keys = list(parameters(name))
    for pattern, units in ((rf"(?:^|_)(?:{TIMES})$", UNITS), (r"bytes|size", r"bytes")):
        if any(re.search(pattern, key) for key in keys):
            assert re.search(units, text), (pattern, units)


def raised_by(function: Callable[..., Any]) -> set[str]:
    """The names in the `raise` statements of a function's own body."""
    plain = inspect.unwrap(vars(function).get("__init__", object) if inspect.isclass(function) else function)
    if not inspect.isfunction(plain) or not plain.__code__.co_filename.endswith(".py"):
        return set()  # written by attrs, or Python's own
    tree = ast.parse(textwrap.dedent(inspect.getsource(plain)))
    calls = [node.exc for node in ast.walk(tree) if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)]
    return {ast.unparse(call.func) for call in calls}


@pytest.mark.parametrize("name", CALLABLES)
def test_every_error_that_a_callable_raises_itself_is_named(name: str) -> None:
    text = words(name)
    assert [error for error in raised_by(CALLABLES[name]) if error in ERRORS and error not in text] == []


def test_every_error_that_is_named_exists() -> None:
    entries = [entry for name in CALLABLES for entry in re.findall(r":raises ([^:]+):", words(name))]
    errors = {error for entry in entries for error in entry.split(", ")}
    assert len(errors) > 15
    assert errors <= {*ERRORS, "OSError", "BlockingIOError", "trio.ClosedResourceError", "trio.BusyResourceError"}


def test_the_rules_see_what_they_are_for() -> None:
    assert list(parameters("open_client")) == list(inspect.signature(trio_pool.open_client).parameters)
    assert "follow_redirects" in words("Client")
    assert "content" in words("Client.post")
    assert "UsageError" in raised_by(trio_pool.Pool.prewarm)
    assert {"Pool.drain", "Response.json", "Headers.get_list", "Stream.recv_nowait"} <= set(CALLABLES)
    assert all(issubclass(getattr(trio_pool, name), TrioPoolError) for name in ERRORS)
