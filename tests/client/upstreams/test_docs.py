"""`docs/upstreams.md` does what it says: its blocks of Python run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import attrs
import pytest

import trio_pool
from trio_pool import Upstream, events

from ...providers.server import Script, open_provider
from ..network import ScriptedNetwork

ROOT = Path(trio_pool.__file__).parent.parent
PAGE = (ROOT / "docs" / "upstreams.md").read_text(encoding="utf-8")


def names() -> dict[str, Any]:
    """What the page defines."""
    space: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/upstreams.md", "exec"), space)
    return space


async def test_a_question_is_answered_by_the_second_where_the_first_fails(capsys: pytest.CaptureFixture[str]) -> None:
    space = names()
    async with open_provider() as a, open_provider() as b:
        first, second = space["UPSTREAMS"]
        upstreams = [attrs.evolve(first, base_url=a.url), attrs.evolve(second, base_url=b.url)]
        a.script(Script(503))
        answer = await space["ask"]("who is there", upstreams)
        assert answer["choices"][0]["message"]["content"] == "You said: who is there"
        assert (a.seen[0].body["model"], b.seen[0].body["model"]) == ("model-of-a", "model-of-b")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in printed] == ["503", "200"]


async def test_a_charge_has_a_key() -> None:
    network = ScriptedNetwork([b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"])
    async with trio_pool.open_client(base_url="http://h", network=network) as client:
        await names()["post_once"](client)
    assert len(network.requests[0].header("idempotency-key") or "") == 32


async def test_a_signature_is_added() -> None:
    async with open_provider() as server:
        await names()["signed"]([Upstream(server.url)])
        assert server.seen[0].headers["traceparent"].startswith("00-")


def test_every_event_and_record_that_it_names_exists() -> None:
    told = PAGE[PAGE.index("## What is told") :]
    for name in re.findall(r"`([A-Z][a-z]+[A-Z]\w+)`", told):
        assert hasattr(events, name), name
    for name in re.findall(r"`([A-Z]{4,}[A-Z_]*)`", PAGE):
        kinds = [trio_pool.providers, trio_pool.RetryStrategy]
        assert name in ("EXPONENTIAL_BACKOFF",) or any(hasattr(kind, name) for kind in kinds) or name in METHODS, name


METHODS = {"HEAD", "OPTIONS", "TRACE", "DELETE"}
