"""The Google SDK over the transport, against a server that speaks its protocol."""

from __future__ import annotations

import gc
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
from google import genai
from google.genai import errors, types

from trio_pool import Pool, PoolConfig, open_pool
from trio_pool.transports.httpx2 import PoolTransport

from ..providers.protocols import said
from ..providers.server import Provider, Script

# The SDK leaves its own generators to the garbage collector, whatever transport there is.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(google|httpx2)\\.:ResourceWarning")

TOOL: Any = types.Tool(function_declarations=[types.FunctionDeclaration(name="weather")])


def sdk(pool: Pool, provider: Provider, **options: Any) -> genai.Client:
    arguments = {"transport": PoolTransport(pool)}
    http = types.HttpOptions(base_url=provider.url, async_client_args=arguments, **options)
    return genai.Client(api_key="secret", http_options=http)


@pytest.fixture
async def client(pool: Pool, provider: Provider) -> AsyncGenerator[genai.Client]:
    """The SDK over the pool. After a test nothing is leased, and the next call succeeds at once."""
    client = sdk(pool, provider)
    yield client
    before = pool.statistics()
    assert (before.leased, before.waiting) == (0, 0)
    provider.gate.set()
    assert await ask(client, "again") == said("again")


async def ask(client: genai.Client, text: str) -> str | None:
    response = await client.aio.models.generate_content(model="m", contents=text)
    return response.text


async def listen(client: genai.Client, text: str) -> str:
    stream = await client.aio.models.generate_content_stream(model="m", contents=text)
    return "".join([chunk.text or "" async for chunk in stream])


async def test_calls_share_a_connection(client: genai.Client, provider: Provider) -> None:
    for number in range(5):
        assert await ask(client, str(number)) == said(str(number))
    assert provider.connections == 1
    assert provider.seen[0].headers["x-goog-api-key"] == "secret"


async def test_a_stream_arrives_whole_and_its_connection_is_kept(client: genai.Client, provider: Provider) -> None:
    for number in range(3):
        assert await listen(client, f"tell me {number}") == said(f"tell me {number}")
    assert provider.connections == 1


async def test_tool_calls_plain_and_streamed(client: genai.Client) -> None:
    config = types.GenerateContentConfig(tools=[TOOL])
    plain = await client.aio.models.generate_content(model="m", contents="in Ghent", config=config)
    assert [call.args for call in plain.function_calls or []] == [{"asked": "in Ghent"}]
    calls = []
    async for chunk in await client.aio.models.generate_content_stream(model="m", contents="in Ghent", config=config):
        calls += [call.args for call in chunk.function_calls or []]
    assert calls == [{"asked": "in Ghent"}]


@pytest.mark.parametrize(("status", "kind"), [(400, errors.ClientError), (503, errors.ServerError)])
async def test_an_error_is_the_sdks_own_and_tried_once(
    client: genai.Client, provider: Provider, status: int, kind: type[errors.APIError]
) -> None:
    provider.script(Script(status, body={"error": {"code": status, "message": "so it is", "status": "X"}}))
    with pytest.raises(kind, match="so it is"):
        await ask(client, "hello")
    assert len(provider.seen) == 1


@pytest.mark.filterwarnings("ignore:a response or lease of:ResourceWarning")
async def test_a_stream_that_is_left_by_break_frees_its_connection_when_it_is_collected(provider: Provider) -> None:
    """The SDK has no way to close a stream: its generators hold each other, and the response, until they are gone."""
    provider.gate = trio.Event()
    async with open_pool() as pool:
        client = sdk(pool, provider)
        stream = await client.aio.models.generate_content_stream(model="m", contents="a b c")
        async for _ in stream:
            assert pool.statistics().leased == 1
            break
        del stream
        for _ in range(100):  # about ten are needed, however long each takes
            gc.collect()  # each round of it sets the next generator free
            await trio.lowlevel.checkpoint()
            if not pool.statistics().leased:
                break
        assert pool.statistics().leased == 0
        provider.gate.set()
        assert await ask(client, "again") == said("again")


async def test_a_stream_that_is_cancelled_frees_its_connection(
    client: genai.Client, provider: Provider, pool: Pool
) -> None:
    provider.gate = trio.Event()
    with trio.CancelScope() as scope:
        async for _ in await client.aio.models.generate_content_stream(model="m", contents="a b c"):
            scope.cancel()
    assert scope.cancelled_caught
    assert pool.statistics().leased == 0


async def test_a_server_that_dies_in_a_stream_is_an_error(client: genai.Client, provider: Provider, pool: Pool) -> None:
    provider.script(Script(dies_after=2))
    with pytest.raises(Exception) as caught:  # whichever the SDK makes of it
        await listen(client, "a b c")
    assert not isinstance(caught.value, OSError)
    assert pool.statistics().leased == 0


async def test_two_hundred_streams_share_twenty_connections(provider: Provider) -> None:
    heard: dict[int, str] = {}

    async def run(client: genai.Client, number: int) -> None:
        heard[number] = await listen(client, f"this is {number}")

    async with open_pool(PoolConfig(max_connections=20, max_connections_per_host=20)) as pool:
        client = sdk(pool, provider)
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(run, client, number)
        figures = pool.statistics()
        assert heard == {number: said(f"this is {number}") for number in range(200)}
        assert (figures.leased, figures.waiting, figures.requests) == (0, 0, 200)
        assert provider.most <= 20
        assert await ask(client, "after") == said("after")
