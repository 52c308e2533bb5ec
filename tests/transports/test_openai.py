"""The OpenAI SDK over the transport, against a server that speaks its protocol."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from functools import partial
from typing import Any

import httpx
import httpx2
import openai
import pytest
import trio
from openai import AsyncOpenAI

from trio_pool import Pool, PoolConfig, open_pool
from trio_pool.transports.httpx import PoolTransport as OverHttpx
from trio_pool.transports.httpx2 import PoolTransport

from ..providers.protocols import said
from ..providers.server import Provider, Script

# The SDK leaves its own generators to the garbage collector, whatever transport there is.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(openai|httpx2)\\.:ResourceWarning")

TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


def sdk(pool: Pool, provider: Provider, **options: Any) -> AsyncOpenAI:
    http = httpx2.AsyncClient(transport=PoolTransport(pool, full_as_response=options.pop("full_as_response", False)))
    return AsyncOpenAI(api_key="secret", base_url=f"{provider.url}/v1", http_client=http, **options)


@pytest.fixture
async def client(pool: Pool, provider: Provider) -> AsyncGenerator[AsyncOpenAI]:
    """The SDK over the pool. After a test the next call succeeds at once, without a new connection."""
    client = sdk(pool, provider)
    yield client
    before = pool.statistics()
    assert (before.leased, before.waiting) == (0, 0)
    provider.gate.set()
    assert await ask(client, "again") == said("again")
    assert pool.statistics().leased == 0


def messages(text: str) -> Any:
    return [{"role": "user", "content": text}]


async def ask(client: AsyncOpenAI, text: str) -> str | None:
    answer = await client.chat.completions.create(model="m", messages=messages(text))
    return answer.choices[0].message.content


async def listen(client: AsyncOpenAI, text: str) -> str:
    stream = await client.chat.completions.create(model="m", messages=messages(text), stream=True)
    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])


async def test_calls_share_a_connection(client: AsyncOpenAI, provider: Provider, pool: Pool) -> None:
    for number in range(5):
        assert await ask(client, str(number)) == said(str(number))
    assert provider.connections == 1
    assert pool.statistics().reuses == 4
    assert provider.seen[0].headers["authorization"] == "Bearer secret"


async def test_a_stream_arrives_whole_and_its_connection_is_kept(client: AsyncOpenAI, provider: Provider) -> None:
    for number in range(3):
        assert await listen(client, f"tell me {number}") == said(f"tell me {number}")
    assert provider.connections == 1


async def test_responses_plain_and_streamed(client: AsyncOpenAI) -> None:
    plain = await client.responses.create(model="m", input="hello")
    assert plain.output_text == said("hello")
    stream = await client.responses.create(model="m", input="hello again", stream=True)
    texts = [event.delta async for event in stream if event.type == "response.output_text.delta"]
    assert "".join(texts) == said("hello again")


async def test_tool_calls_plain_and_streamed(client: AsyncOpenAI) -> None:
    create: Any = partial(client.chat.completions.create, model="m", messages=messages("in Ghent"), tools=[TOOL])
    plain = await create()
    [call] = plain.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.arguments == '{"asked": "in Ghent"}'
    arguments = ""
    async for chunk in await create(stream=True):
        for part in chunk.choices[0].delta.tool_calls or []:
            arguments += (part.function and part.function.arguments) or ""
    assert arguments == '{"asked": "in Ghent"}'


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (422, openai.UnprocessableEntityError),
    ],
)
async def test_an_error_is_the_sdks_own_and_tried_once(
    client: AsyncOpenAI, provider: Provider, status: int, kind: type[openai.APIStatusError]
) -> None:
    provider.script(Script(status, body={"error": {"message": "so it is"}}))
    with pytest.raises(kind, match="so it is"):
        await ask(client, "hello")
    assert len(provider.seen) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 503, 529])
@pytest.mark.parametrize("headers", [{"retry-after-ms": "1"}, {"retry-after": "0.001"}])
async def test_a_retry_is_the_sdks_own(
    client: AsyncOpenAI, provider: Provider, status: int, headers: dict[str, str]
) -> None:
    provider.script(Script(status, headers))
    assert await ask(client, "hello") == said("hello")
    assert [seen.headers["x-stainless-retry-count"] for seen in provider.seen] == ["0", "1"]
    assert provider.connections == 1


@pytest.mark.parametrize("value", ["121", "Fri, 31 Dec 2099 23:59:59 GMT"])
async def test_a_server_that_wants_more_patience_than_the_sdk_has_is_not_tried_again(
    client: AsyncOpenAI, provider: Provider, value: str
) -> None:
    provider.script(Script(429, {"retry-after": value}))
    with pytest.raises(openai.RateLimitError) as caught:
        await ask(client, "hello")
    assert caught.value.response.headers["retry-after"] == value
    assert len(provider.seen) == 1


async def test_a_server_that_says_not_to_retry_is_obeyed(client: AsyncOpenAI, provider: Provider) -> None:
    provider.script(Script(500, {"x-should-retry": "false"}))
    with pytest.raises(openai.InternalServerError):
        await ask(client, "hello")
    assert len(provider.seen) == 1


async def test_a_stream_that_is_left_by_break_frees_its_connection(
    client: AsyncOpenAI, provider: Provider, pool: Pool
) -> None:
    provider.gate = trio.Event()
    stream = await client.chat.completions.create(model="m", messages=messages("a b c"), stream=True)
    async with stream:
        async for _ in stream:
            assert pool.statistics().leased == 1
            break
    assert pool.statistics().leased == 0
    with trio.fail_after(10):
        while not provider.left:  # the server learns of it, and can stop to generate
            await trio.lowlevel.checkpoint()


async def test_a_stream_that_is_closed_twice_frees_its_connection_once(
    client: AsyncOpenAI, provider: Provider, pool: Pool
) -> None:
    provider.gate = trio.Event()
    stream = await client.chat.completions.create(model="m", messages=messages("a b c"), stream=True)
    await stream.close()
    await stream.close()
    assert pool.statistics().leased == 0


async def test_a_stream_that_is_cancelled_frees_its_connection(
    client: AsyncOpenAI, provider: Provider, pool: Pool
) -> None:
    provider.gate = trio.Event()
    chunks = []
    with trio.CancelScope() as scope:
        stream = await client.chat.completions.create(model="m", messages=messages("a b c"), stream=True)
        async with stream:
            async for chunk in stream:
                chunks.append(chunk)
                scope.cancel()
    assert scope.cancelled_caught
    assert len(chunks) == 1
    assert pool.statistics().leased == 0


async def test_a_call_that_is_cancelled_frees_its_connection(
    client: AsyncOpenAI, provider: Provider, pool: Pool
) -> None:
    provider.script(Script(hangs_after=-1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask, client, "hello")
        while not provider.seen:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert pool.statistics().leased == 0


async def test_a_server_that_dies_before_it_answers_is_tried_again_by_the_sdk(pool: Pool, provider: Provider) -> None:
    client = sdk(pool, provider, max_retries=1)
    provider.script(Script(dies_after=-1), Script(dies_after=-1))
    with pytest.raises(openai.APIConnectionError) as caught:
        await ask(client, "hello")
    assert isinstance(caught.value.__cause__, (httpx2.ReadError, httpx2.RemoteProtocolError))
    assert len(provider.seen) == 2  # the SDK's own: none came from below
    assert await ask(client, "hello") == said("hello")


async def test_a_server_that_dies_in_a_stream_is_an_error_of_the_sdk(
    client: AsyncOpenAI, provider: Provider, pool: Pool
) -> None:
    provider.script(Script(dies_after=2))
    with pytest.raises(openai.APIConnectionError) as caught:
        await listen(client, "a b c")
    assert isinstance(caught.value.__cause__, httpx2.TransportError)
    assert pool.statistics().leased == 0


async def test_silence_is_a_timeout_of_the_sdk(client: AsyncOpenAI, provider: Provider, pool: Pool) -> None:
    provider.script(Script(hangs_after=-1))
    with pytest.raises(openai.APITimeoutError) as caught:
        quick = client.with_options(timeout=httpx2.Timeout(None, read=0.05), max_retries=0)
        await quick.responses.create(model="m", input="hello")
    assert isinstance(caught.value.__cause__, httpx2.ReadTimeout)
    assert pool.statistics().leased == 0


async def test_silence_in_a_stream_is_an_error_of_the_sdk(client: AsyncOpenAI, provider: Provider, pool: Pool) -> None:
    provider.script(Script(hangs_after=2))
    with pytest.raises(openai.APIConnectionError) as caught:
        await listen(client.with_options(timeout=httpx2.Timeout(None, read=0.5), max_retries=0), "a b c")
    assert isinstance(caught.value.__cause__, httpx2.ReadTimeout)
    assert pool.statistics().leased == 0


async def test_the_sdk_takes_a_client_of_httpx_too(pool: Pool, provider: Provider) -> None:
    http: Any = httpx.AsyncClient(transport=OverHttpx(pool))
    client = AsyncOpenAI(api_key="secret", base_url=f"{provider.url}/v1", http_client=http)
    assert await ask(client, "hello") == said("hello")
    assert pool.statistics().requests == 1


async def test_two_hundred_streams_share_twenty_connections(provider: Provider) -> None:
    config = PoolConfig(max_connections=20, max_connections_per_host=20)
    heard: dict[int, str] = {}

    async def run(client: AsyncOpenAI, number: int) -> None:
        heard[number] = await listen(client, f"this is {number}")

    async with open_pool(config) as pool:
        client = sdk(pool, provider)
        async with trio.open_nursery() as nursery:
            for number in range(200):
                nursery.start_soon(run, client, number)
        figures = pool.statistics()
        assert heard == {number: said(f"this is {number}") for number in range(200)}
        assert (figures.leased, figures.waiting, figures.requests) == (0, 0, 200)
        assert provider.most <= 20
        assert await ask(client, "after") == said("after")


async def test_a_full_pool_is_tried_again_by_the_sdk_unless_it_answers(provider: Provider) -> None:
    config = PoolConfig(max_connections=1, max_waiting=0)
    provider.gate = trio.Event()
    async with open_pool(config) as pool:
        busy = await sdk(pool, provider).chat.completions.create(model="m", messages=messages("x"), stream=True)
        with pytest.raises(openai.APITimeoutError) as raised:
            await ask(sdk(pool, provider, max_retries=0), "hello")
        assert isinstance(raised.value.__cause__, httpx2.PoolTimeout)
        with pytest.raises(openai.InternalServerError) as answered:
            await ask(sdk(pool, provider, full_as_response=True, max_retries=5), "hello")
        assert answered.value.status_code == 503
        assert "requests wait already" in answered.value.message
        assert pool.statistics().refusals == 2
        await busy.close()


async def test_the_sdk_is_told_of_no_limit(client: AsyncOpenAI, provider: Provider) -> None:
    limitless = client.with_options(timeout=None)
    assert await ask(limitless, "hello") == said("hello")


async def test_closing_the_sdk_leaves_the_pool_open(pool: Pool, provider: Provider) -> None:
    async with sdk(pool, provider) as client:
        await ask(client, "hello")
    assert pool.statistics().idle == 1
    assert await ask(sdk(pool, provider), "hello") == said("hello")
    assert pool.statistics().reuses == 1
