"""httpx's transports over a pool, and over a client, of this library.

    async with trio_pool.open_pool() as pool:
        client = httpx.AsyncClient(transport=PoolTransport(pool))

Neither transport needs to be entered, and closing the client that has it leaves the pool open: it belongs to whoever
opened it. `docs/transports.md` says what each error becomes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from ..client import Client
from ..config import PoolConfig
from ..pool import Pool, open_pool
from ._library import Library, expect, split_options
from ._shared import Adapter, Body

try:
    import httpx
except ImportError as error:
    raise ImportError("this transport needs an extra: pip install 'trio_pool[httpx]'", name="httpx") from error


class PoolTransport(httpx.AsyncBaseTransport):
    """A transport over an open pool.

    It sends a request again only where a reused connection had died before it could be of use, so that the attempts
    of an SDK above do not multiply.

    :param pool: the pool; it is not closed with the transport.
    :param full_as_response: whether a full queue (`PoolFull`) is answered with a 503 that has `x-should-retry: false`,
        instead of raising `httpx.PoolTimeout` (False). The OpenAI and Anthropic SDKs obey it; they retry whatever is
        raised.
    """

    def __init__(self, pool: Pool, *, full_as_response: bool = False) -> None:
        expect(pool, Pool, "the pool of a PoolTransport")
        self._adapter = Adapter(_LIBRARY, pool.send, pool.config, full_as_response=full_as_response)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """What httpx asks of a transport.

        :param request: httpx's own.
        :raises httpx.RequestError: whatever the network or the server did.
        """
        response: httpx.Response = await self._adapter.handle(request)
        return response


class ClientTransport(httpx.AsyncBaseTransport):
    """A transport over an open client, for what the client does besides.

    Where the client retries, give an SDK above it `max_retries=0`: a RuntimeWarning says, once, when it retries too.
    Requests go as httpx made them, without the client's own headers.

    :param client: the client; it is not closed with the transport.
    :param full_as_response: as in `PoolTransport` (False).
    """

    def __init__(self, client: Client, *, full_as_response: bool = False) -> None:
        config = expect(client, Client, "the client of a ClientTransport").pool.config
        retries = config.retry_attempts > 1
        self._adapter = Adapter(_LIBRARY, client.send, config, full_as_response=full_as_response, retries=retries)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """As that of `PoolTransport`.

        :param request: httpx's own.
        :raises httpx.RequestError: whatever the network or the server did.
        """
        response: httpx.Response = await self._adapter.handle(request)
        return response


@asynccontextmanager
async def open_client(
    config: PoolConfig = PoolConfig(),  # noqa: B008  # frozen
    *,
    full_as_response: bool = False,
    **options: Any,
) -> AsyncGenerator[httpx.AsyncClient]:
    """An `httpx.AsyncClient` on a pool of its own, open for the time of the `async with`.

    :param config: limits and timeouts; the client's `timeout` is made of them unless it is given.
    :param full_as_response: as in `PoolTransport` (False).
    :param options: `tls`, `proxy`, `uds`, `observers` and `network` are those of `trio_pool.open_pool`; everything else
        is `httpx.AsyncClient`'s.
    :raises UsageError: an option is one that only httpx's own transport would heed, such as `verify` or `limits`.
    """
    of_pool, of_client = split_options(config, options, httpx.Timeout)
    async with open_pool(config, **of_pool) as pool:
        transport = PoolTransport(pool, full_as_response=full_as_response)
        async with httpx.AsyncClient(transport=transport, **of_client) as client:
            yield client


class _Body(Body, httpx.AsyncByteStream):
    """A response's body, as httpx knows one."""


def _core() -> Any:
    import httpcore  # takes its time, and few need it

    return httpcore


_LIBRARY = Library.of(httpx, _core, _Body)
