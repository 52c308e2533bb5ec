"""What `import trio_pool` brings along: what it needs, and nothing that only some programs need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

NOT_YET = [
    *("h11", "truststore", "brotli", "brotlicffi", "zstandard", "compression.zstd", "backports.zstd"),
    *("click", "rich", "trustme", "cryptography", "asyncio", "httpx", "httpx2", "pytest", "hypothesis"),
    *("trio_pool.cli", "trio.testing"),
]


def imported_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter has after a statement."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    names: list[str] = json.loads(done.stdout)
    return set(names)


@pytest.fixture(scope="module")
def modules() -> set[str]:
    return imported_by("import trio_pool")


def test_importing_brings_what_is_needed(modules: set[str]) -> None:
    assert {"trio", "attrs", "yarl", "trio_pool.client"} <= modules


@pytest.mark.parametrize("name", NOT_YET)
def test_what_only_some_programs_need_is_not_imported(name: str, modules: set[str]) -> None:
    assert [module for module in modules if module == name or module.startswith(f"{name}.")] == []


def test_little_else_is_imported_than_what_is_declared(modules: set[str]) -> None:
    bare = imported_by("import trio, h11, attrs, yarl, ssl, json")
    ours = {module for module in modules - bare if not module.startswith("trio_pool")}
    foreign = {module.partition(".")[0] for module in ours} - set(sys.stdlib_module_names)
    assert foreign <= {"backports"}  # an empty package, looked into for zstd


def test_the_count_can_fail() -> None:
    assert "colorsys" in imported_by("import colorsys")
