"""The types ship with the package, and every public callable has them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import pytest

import trio_pool

ENTRIES = [name for name in trio_pool.__all__ if name != "__version__"]


def functions_of(name: str) -> list[Callable[..., Any]]:
    """A public function, or what a public class of ours defines itself and shows."""
    value = getattr(trio_pool, name)
    if not inspect.isclass(value):
        return [value]
    source = inspect.getsourcefile(value)  # what attrs and Python write stands in no file of ours
    members = [getattr(member, "fget", None) or getattr(member, "__func__", member) for member in vars(value).values()]
    return [member for member in members if inspect.isfunction(member) and member.__code__.co_filename == source]


def test_the_mark_of_a_typed_package_ships() -> None:
    assert files("trio_pool").joinpath("py.typed").is_file()


@pytest.mark.parametrize("name", ENTRIES)
def test_every_public_callable_has_types(name: str) -> None:
    for function in functions_of(name):
        signature = inspect.signature(function)
        parameters = [parameter for key, parameter in signature.parameters.items() if key not in ("self", "cls")]
        bare = [parameter.name for parameter in parameters if parameter.annotation is inspect.Parameter.empty]
        assert bare == [], function
        assert signature.return_annotation is not inspect.Signature.empty, function


def test_there_is_something_to_see() -> None:
    assert len(functions_of("Client")) > 8
    assert len(functions_of("Response")) > 15
