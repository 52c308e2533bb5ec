"""README.md does what it says: its program runs, and what it names exists.

What is expected of it: a block of Python, a whole program with one line `BASE_URL = "..."`; and commands, each
on an indented line of its own. A second block, with SDKs, is run by `transports/test_examples.py`.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_pool

from ..client.network import Reader, Received, response

ROOT = Path(trio_pool.__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
EVENTS = b"data: first\n\ndata: second\n\n"


def program(base_url: str) -> str:
    """The program in the README, for a server of ours."""
    block = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)[0]
    text, replaced = re.subn(r'^BASE_URL = "[^"]*"$', f'BASE_URL = "{base_url}"', block, flags=re.MULTILINE)
    assert replaced == 1
    return text


def answer(received: Received) -> bytes:
    """Events where they are asked for, else what was sent."""
    if received.target.endswith("events"):
        return response(EVENTS, "Content-Type: text/event-stream")
    return response(received.body or b"{}", "Content-Type: application/json")


async def serve(requests: list[Received], stream: trio.SocketStream) -> None:
    reader = Reader()
    async for data in stream:
        for received in reader.feed(bytes(data)):
            requests.append(received)
            await stream.send_all(answer(received))


async def run_against_a_server(folder: Path) -> tuple[subprocess.CompletedProcess[bytes], list[Received]]:
    requests: list[Received] = []
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, partial(serve, requests), listeners)
        script = folder / "program.py"
        script.write_text(program(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"), encoding="utf-8")
        command = [sys.executable, "-W", "error", str(script)]
        with trio.fail_after(60):
            done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        nursery.cancel_scope.cancel()
    return done, requests


async def test_the_program_runs(tmp_path: Path) -> None:
    done, requests = await run_against_a_server(tmp_path)
    assert (done.returncode, done.stderr) == (0, b"")
    printed = done.stdout.decode()
    for received in requests:
        if received.target.endswith("events"):
            assert "first\nsecond\n" in printed.replace("\r", "")
        elif received.body:
            assert str(json.loads(received.body)) in printed
    assert len(requests) >= 2


def test_the_program_is_short() -> None:
    lines = [line for line in program("http://h").splitlines() if line.strip()]
    assert len(lines) <= 16
    assert "trio.run(" in lines[-1]


def test_every_public_name_that_it_uses_exists() -> None:
    for name in re.findall(r"trio_pool\.([A-Za-z]\w*)", program("http://h")):
        assert name in trio_pool.__all__


COMMANDS = re.findall(
    r"^    (\S.*)$", re.sub(r"^```.*?^```$", "", README, flags=re.DOTALL | re.MULTILINE), re.MULTILINE
)


def test_three_commands_set_everything_up_each_in_an_environment_of_its_own() -> None:
    made = [re.findall(r"python3 -m venv (\S+)", command) for command in COMMANDS]
    environments = [name for names in made for name in names]
    assert len(set(environments)) == len(environments) == 3
    for command in COMMANDS:
        for name in re.findall(r"(\.venv[\w-]*)/bin/", command):
            assert f"venv {name} &&" in command


def project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_every_extra_and_script_that_a_command_names_exists() -> None:
    extras = [
        name for command in COMMANDS for names in re.findall(r"\.\[([\w,]+)\]", command) for name in names.split(",")
    ]
    assert {"bench", "cli", "test"} <= set(extras)
    assert set(extras) <= set(project()["optional-dependencies"])
    assert "trio-pool" in project()["scripts"]
    assert any("/bin/trio-pool demo" in command for command in COMMANDS)


@pytest.mark.parametrize("path", re.findall(r"`((?:docs|benchmarks|tests)/[\w./]+)`|\]\(((?!https?:)[^)]+)\)", README))
def test_every_file_that_it_points_to_exists(path: tuple[str, str]) -> None:
    assert (ROOT / next(filter(None, path)).partition("#")[0]).exists()
