"""Every program in docs/transports.md, and the one with SDKs in README.md, runs against the emulated providers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import trio

import trio_pool

from ..providers.protocols import said
from ..providers.server import Provider
from .servers import answering, ok

ROOT = Path(trio_pool.__file__).parent.parent


def programs(name: str) -> list[str]:
    """The blocks of Python in a document."""
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


async def run(program: str, folder: Path, provider: Provider) -> subprocess.CompletedProcess[bytes]:
    """As a user would run it, with the SDKs' own variables of the environment pointing to the server."""
    script = folder / "program.py"
    script.write_text(program, encoding="utf-8")
    variables = {
        **{f"{name}_API_KEY": "secret" for name in ("OPENAI", "ANTHROPIC", "GOOGLE")},
        "OPENAI_BASE_URL": f"{provider.url}/v1",
        "ANTHROPIC_BASE_URL": provider.url,
        "GOOGLE_GEMINI_BASE_URL": provider.url,
    }
    environment = {**os.environ, **variables}
    with trio.fail_after(60):
        return await trio.run_process(
            [sys.executable, str(script)], env=environment, capture_stdout=True, capture_stderr=True, check=False
        )


OF_SDKS = [program for program in programs("docs/transports.md") if "BASE_URL" not in program]


@pytest.mark.parametrize("program", OF_SDKS, ids=["OpenAI", "Anthropic", "Google"])
async def test_a_program_with_an_sdk_runs(program: str, tmp_path: Path, provider: Provider) -> None:
    done = await run(program, tmp_path, provider)
    assert (done.returncode, done.stderr) == (0, b"")
    assert said("Say hello.") in done.stdout.decode()


async def test_the_readmes_program_runs(tmp_path: Path, provider: Provider) -> None:
    [program] = programs("README.md")[1:]
    done = await run(program, tmp_path, provider)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.decode().count(said("Say hello.")) == 3
    assert provider.connections == 1


async def test_the_program_with_httpx_runs(tmp_path: Path, provider: Provider) -> None:
    [program] = [program for program in programs("docs/transports.md") if "BASE_URL" in program]
    async with answering(lambda _: ok(b"hello")) as server:
        program = re.sub(r'^BASE_URL = "[^"]*"$', f'BASE_URL = "{server.url}"', program, flags=re.MULTILINE)
        done = await run(program, tmp_path, provider)
    assert (done.returncode, done.stderr, done.stdout) == (0, b"", b"200 HTTP/1.1\n")
