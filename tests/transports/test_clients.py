"""`open_client`, the extras, and the table of errors."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_pool
from trio_pool import PoolConfig, TrioPoolError, errors
from trio_pool.transports._library import ERRORS

from .libraries import Library
from .servers import answering, certificates, ok

DOCS = Path(trio_pool.__file__).parent.parent / "docs" / "transports.md"


async def test_a_client_comes_with_a_pool_of_its_own(library: Library) -> None:
    async with answering(lambda asked: ok(asked.target.encode())) as server:
        async with library.adapter.open_client(PoolConfig(max_connections=3), base_url=server.url) as client:
            assert isinstance(client, library.api.AsyncClient)
            assert (await client.get("/path")).text == "/path"
        with pytest.raises(RuntimeError, match="closed"):
            await client.get("/path")


async def test_the_clients_timeouts_are_the_configurations(library: Library) -> None:
    config = PoolConfig(connection_timeout=1, read_timeout=2, write_timeout=None, acquire_timeout=4)
    async with library.adapter.open_client(config) as client:
        assert client.timeout == library.api.Timeout(connect=1, read=2, write=None, pool=4)
    async with library.adapter.open_client(config, timeout=7) as client:
        assert client.timeout == library.api.Timeout(7)


async def test_options_go_to_the_pool_or_to_the_client(library: Library) -> None:
    papers = certificates("127.0.0.1")
    async with answering(lambda asked: ok((asked.header("x-a") or "").encode()), papers.server) as server:
        async with library.adapter.open_client(tls=papers.client, headers={"X-A": "1"}) as client:
            assert (await client.get(server.url)).text == "1"


@pytest.mark.parametrize("name", ["verify", "cert", "limits", "http2", "transport", "mounts"])
async def test_an_option_without_effect_is_refused(library: Library, name: str) -> None:
    with pytest.raises(trio_pool.UsageError, match=name):
        async with library.adapter.open_client(**{name: None}):
            pass


async def test_a_full_pool_can_answer(library: Library) -> None:
    config = PoolConfig(max_connections=1, max_waiting=0)
    async with answering(lambda _: ok(b"x" * 200_000)) as server:
        async with library.adapter.open_client(config, full_as_response=True) as client:
            async with client.stream("GET", server.url):
                assert (await client.get(server.url)).status_code == 503


def test_without_its_extra_a_transport_says_what_to_install(library: Library) -> None:
    program = f"import sys; sys.modules[{library.name!r}] = None; import trio_pool.transports.{library.name}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert f"pip install 'trio_pool[{library.name}]'" in done.stderr.splitlines()[-1]


def test_the_adapters_are_two_and_neither_brings_the_other() -> None:
    for mine, other in (("httpx2", "httpx"), ("httpx", "httpx2")):
        program = f"import sys, trio_pool.transports.{mine}; print({other!r} in sys.modules)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"


# ---- errors ----

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TrioPoolError)]


def error_of(kind: type[TrioPoolError]) -> TrioPoolError:
    more: Any = {"status_code": 500} if issubclass(kind, errors.StatusError) else {}
    return kind("so it is", **more)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_has_its_class_in_the_library(library: Library, kind: type[TrioPoolError]) -> None:
    translated = library.adapter._LIBRARY.translate(error_of(kind))
    assert isinstance(translated, library.api.RequestError)
    assert str(translated) == "so it is."
    if issubclass(kind, TimeoutError):
        assert isinstance(translated, library.api.TimeoutException)
    same = getattr(library.api, kind.__name__, None)
    assert same is None or type(translated) is same


def test_what_is_no_error_of_ours_stays_as_it_is(library: Library) -> None:
    mine: Any = KeyError("mine")
    assert library.adapter._LIBRARY.translate(mine) is mine


def test_the_documents_have_the_table_as_it_is() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(rows) == {kind.__name__: name for kind, name in ERRORS.items()}
    assert len(rows) == len(ERRORS)


# ---- what cannot be ----


@pytest.mark.parametrize("config", [50, "http://h"])
async def test_a_configuration_that_is_none_is_refused(library: Library, config: Any) -> None:
    with pytest.raises(trio_pool.UsageError, match="must be a PoolConfig"):
        async with library.adapter.open_client(config):
            pass


async def test_a_proxy_is_given_by_its_url_as_text(library: Library) -> None:
    for proxy in (library.api.Proxy("http://u:hidden@h:1"), library.api.URL("http://u:hidden@h:1")):
        with pytest.raises(trio_pool.UsageError, match="text of its URL") as caught:
            async with library.adapter.open_client(proxy=proxy):
                pass
        assert "hidden" not in str(caught.value)


async def test_a_transport_is_over_what_it_is_for(library: Library) -> None:
    adapter = library.adapter
    async with trio_pool.open_client() as mine:
        with pytest.raises(trio_pool.UsageError, match="must be a Pool, not a Client"):
            adapter.PoolTransport(mine)
        with pytest.raises(trio_pool.UsageError, match="must be a Client, not a Pool"):
            adapter.ClientTransport(mine.pool)
    with pytest.raises(trio_pool.UsageError, match="async with"):
        adapter.PoolTransport(trio_pool.open_pool())


async def test_another_event_loop_is_refused_also_with_a_trace(library: Library) -> None:
    async def callback(*_: Any) -> None:
        raise AssertionError("nothing is told")

    async with trio_pool.open_pool() as pool:
        client = library.client(pool)

        async def ask() -> None:
            for extensions in ({}, {"trace": callback}):
                with pytest.raises(library.api.LocalProtocolError, match="another trio run"):
                    await client.get("http://127.0.0.1:1/", extensions=extensions)

        await trio.to_thread.run_sync(lambda: asyncio.run(ask()))
