"""trio_pool: `client.get` and its streams; the same over its reference codec; and `pool.stream` by itself."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import attrs

from trio_pool import PoolConfig, Request, open_client

from .base import KEEP, WAIT, CannotError, Client, trust

CODECS = "codec" in {field.name for field in attrs.fields(PoolConfig)}


class TrioPool(Client):
    """The client, with every default on but the limits."""

    package = "trio_pool"
    module = "trio_pool"
    options: ClassVar[dict[str, Any]] = {}
    notes: ClassVar[dict[str, str]] = {"chat": "over PoolTransport"}
    _chat: Any = None

    async def open(self) -> None:
        config = PoolConfig(
            max_connections=self.setup.connections,
            max_connections_per_host=self.setup.connections,
            max_waiting=math.inf,
            keepalive_timeout=KEEP,
            acquire_timeout=WAIT,
            **self.options,
        )
        self.client = await self.stack.enter_async_context(open_client(config, tls=trust(self.setup)))

    async def get(self, url: str) -> int:
        response = await self.client.get(url)
        return len(response.content)

    async def post(self, url: str, body: bytes) -> int:
        response = await self.client.post(url, content=body)
        return len(response.content)

    async def download(self, url: str) -> int:
        length = 0
        async with self.client.stream("GET", url) as response:
            async for piece in response.iter_bytes():
                length += len(piece)
        return length

    async def lines(self, url: str) -> int:
        count = 0
        async with self.client.stream("GET", url) as response:
            async for _line in response.iter_lines():
                count += 1
        return count

    async def events(self, url: str) -> int:
        count = 0
        async with self.client.stream("GET", url) as response:
            async for _event in response.iter_events():
                count += 1
        return count

    async def chat(self, url: str) -> int:
        if self._chat is None:
            import httpx2  # only here: what importing costs is measured too

            from trio_pool.transports.httpx2 import PoolTransport

            from .sdk import Chat

            self._chat = Chat(url, httpx2.AsyncClient(transport=PoolTransport(self.client.pool)))
        return int(await self._chat.ask())

    @asynccontextmanager
    async def held(self, url: str) -> AsyncGenerator[None]:
        async with self.client.stream("GET", url) as response:
            yield
            await response.read()


class TrioPoolH11(TrioPool):
    """The same, its messages read by h11."""

    options: ClassVar[dict[str, Any]] = {"codec": "h11"}

    async def open(self) -> None:
        if not CODECS:
            raise CannotError("this version has one codec only, h11: see its other row")
        await super().open()


class TrioPoolStream(TrioPool):
    """The pool alone: each request is prepared once and sent again and again."""

    async def open(self) -> None:
        await super().open()
        self.requests: dict[str, Request] = {}

    async def get(self, url: str) -> int:
        request = self.requests.get(url) or self.requests.setdefault(url, Request("GET", url))
        async with self.client.pool.stream(request) as response:
            return len(await response.read())

    async def post(self, url: str, body: bytes) -> int:
        request = self.requests.get(url) or self.requests.setdefault(url, Request("POST", url, content=body))
        async with self.client.pool.stream(request) as response:
            return len(await response.read())
