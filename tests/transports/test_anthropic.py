"""The Anthropic SDK over the transport, against a server that speaks its protocol."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import anthropic
import httpx2
import pytest
import trio
from anthropic import AsyncAnthropic

from trio_pool import Pool, PoolConfig, open_pool
from trio_pool.transports.httpx2 import PoolTransport

from ..providers.protocols import said
from ..providers.server import Provider, Script

# The SDK leaves its own generators to the garbage collector, whatever transport there is.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(anthropic|httpx2)\\.:ResourceWarning")

TOOL: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {}}}


def sdk(pool: Pool, provider: Provider, **options: Any) -> AsyncAnthropic:
    http = httpx2.AsyncClient(transport=PoolTransport(pool, full_as_response=options.pop("full_as_response", False)))
    return AsyncAnthropic(api_key="secret", base_url=provider.url, http_client=http, **options)


@pytest.fixture
async def client(pool: Pool, provider: Provider) -> AsyncGenerator[AsyncAnthropic]:
    """The SDK over the pool. After a test nothing is leased, and the next call succeeds at once."""
    client = sdk(pool, provider)
    yield client
    before = pool.statistics()
    assert (before.leased, before.waiting) == (0, 0)
    provider.gate.set()
    assert await ask(client, "again") == said("again")


def asking(text: str) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": text}]}


async def ask(client: AsyncAnthropic, text: str) -> str:
    message = await client.messages.create(**asking(text))
    return str(message.content[0].text)


async def test_calls_share_a_connection(client: AsyncAnthropic, provider: Provider) -> None:
    for number in range(5):
        assert await ask(client, str(number)) == said(str(number))
    assert provider.connections == 1
    assert provider.seen[0].headers["authorization"] == "Bearer secret"


async def test_a_stream_arrives_whole_and_its_connection_is_kept(client: AsyncAnthropic, provider: Provider) -> None:
    for number in range(3):
        async with client.messages.stream(**asking(f"tell me {number}")) as stream:
            assert "".join([text async for text in stream.text_stream]) == said(f"tell me {number}")
    assert provider.connections == 1


async def test_tool_calls_plain_and_streamed(client: AsyncAnthropic) -> None:
    plain = await client.messages.create(**asking("in Ghent"), tools=[TOOL])
    assert (plain.stop_reason, plain.content[0].input) == ("tool_use", {"asked": "in Ghent"})
    async with client.messages.stream(**asking("in Ghent"), tools=[TOOL]) as stream:
        message = await stream.get_final_message()
    block: Any = message.content[0]
    assert block.input == {"asked": "in Ghent"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (404, anthropic.NotFoundError),
    ],
)
async def test_an_error_is_the_sdks_own_and_tried_once(
    client: AsyncAnthropic, provider: Provider, status: int, kind: type[anthropic.APIStatusError]
) -> None:
    provider.script(Script(status, body={"type": "error", "error": {"type": "x", "message": "so it is"}}))
    with pytest.raises(kind, match="so it is"):
        await ask(client, "hello")
    assert len(provider.seen) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 529])
async def test_a_retry_is_the_sdks_own(client: AsyncAnthropic, provider: Provider, status: int) -> None:
    provider.script(Script(status, {"retry-after-ms": "1"}))
    assert await ask(client, "hello") == said("hello")
    assert [seen.headers["x-stainless-retry-count"] for seen in provider.seen] == ["0", "1"]


async def test_a_stream_that_is_left_by_break_frees_its_connection(
    client: AsyncAnthropic, provider: Provider, pool: Pool
) -> None:
    provider.gate = trio.Event()
    async with client.messages.stream(**asking("a b c")) as stream:
        async for _ in stream:
            assert pool.statistics().leased == 1
            break
    assert pool.statistics().leased == 0


async def test_a_stream_that_is_cancelled_frees_its_connection(
    client: AsyncAnthropic, provider: Provider, pool: Pool
) -> None:
    provider.gate = trio.Event()
    with trio.CancelScope() as scope:
        async with client.messages.stream(**asking("a b c")) as stream:
            async for _ in stream:
                scope.cancel()
    assert scope.cancelled_caught
    assert pool.statistics().leased == 0


async def test_a_server_that_dies_in_a_stream_is_httpx2s_error(
    client: AsyncAnthropic, provider: Provider, pool: Pool
) -> None:
    provider.script(Script(dies_after=2))
    with pytest.raises((httpx2.TransportError, anthropic.APIConnectionError)):
        async with client.messages.stream(**asking("a b c")) as stream:
            async for _ in stream:
                pass
    assert pool.statistics().leased == 0


async def test_an_error_inside_a_stream_is_the_sdks_own(client: AsyncAnthropic, provider: Provider, pool: Pool) -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    provider.script(Script(says_then=f"event: error\ndata: {json.dumps(overloaded)}\n\n".encode()))
    with pytest.raises(anthropic.APIStatusError, match="Overloaded"):
        async with client.messages.stream(**asking("a b c")) as stream:
            async for _ in stream:
                pass
    assert pool.statistics().leased == 0
    assert len(provider.seen) == 1


async def test_silence_is_a_timeout_of_the_sdk(client: AsyncAnthropic, provider: Provider) -> None:
    provider.script(Script(hangs_after=-1))
    with pytest.raises(anthropic.APITimeoutError):
        await client.with_options(timeout=0.05, max_retries=0).messages.create(**asking("hello"))


async def test_two_hundred_streams_share_twenty_connections(provider: Provider) -> None:
    heard: dict[int, str] = {}

    async def run(client: AsyncAnthropic, number: int) -> None:
        async with client.messages.stream(**asking(f"this is {number}")) as stream:
            heard[number] = "".join([text async for text in stream.text_stream])

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


async def test_a_full_pool_that_answers_is_not_tried_again(provider: Provider) -> None:
    provider.gate = trio.Event()
    async with open_pool(PoolConfig(max_connections=1, max_waiting=0)) as pool:
        client = sdk(pool, provider, full_as_response=True, max_retries=5)
        async with client.messages.stream(**asking("hello")):
            with pytest.raises(anthropic.InternalServerError) as answered:
                await ask(client, "hello")
        assert answered.value.status_code == 503
        assert pool.statistics().refusals == 1


async def test_the_sdks_own_check_of_transports_lets_it_pass(client: AsyncAnthropic) -> None:
    """It refuses whatever stands on httpx: the classes say that they are ours."""
    assert {kind.__module__.partition(".")[0] for kind in PoolTransport.__mro__} == {"trio_pool", "httpx2", "builtins"}
