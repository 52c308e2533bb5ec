"""httpx2, and httpx, whose interface it shares."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from .base import KEEP, WAIT, CannotError, Client, trust


class Httpx2(Client):
    """`AsyncClient` with its default timeouts of 5 s, but for the wait in line."""

    package = "httpx2"
    module = "httpx2"
    _chat: Any = None

    async def open(self) -> None:
        library: Any = importlib.import_module(str(self.module))
        count = self.setup.connections
        self.client = await self.stack.enter_async_context(
            library.AsyncClient(
                timeout=library.Timeout(5.0, pool=WAIT),
                limits=library.Limits(max_connections=count, max_keepalive_connections=count, keepalive_expiry=KEEP),
                verify=trust(self.setup),
                trust_env=False,
            )
        )

    async def get(self, url: str) -> int:
        return len((await self.client.get(url)).content)

    async def post(self, url: str, body: bytes) -> int:
        return len((await self.client.post(url, content=body)).content)

    async def download(self, url: str) -> int:
        length = 0
        async with self.client.stream("GET", url) as response:
            async for piece in response.aiter_bytes():
                length += len(piece)
        return length

    async def lines(self, url: str) -> int:
        count = 0
        async with self.client.stream("GET", url) as response:
            async for _line in response.aiter_lines():
                count += 1
        return count

    async def events(self, url: str) -> int:
        count = 0
        async with self.client.sse(url) as source:
            async for _event in source:
                count += 1
        return count

    async def chat(self, url: str) -> int:
        if self.module != "httpx2":
            raise CannotError("is not what the SDK stands on")
        if self._chat is None:
            from .sdk import Chat

            self._chat = Chat(url, self.client)
        return int(await self._chat.ask())

    @asynccontextmanager
    async def held(self, url: str) -> AsyncGenerator[None]:
        async with self.client.stream("GET", url) as response:
            yield
            await response.aread()


class Httpx(Httpx2):
    """The older library."""

    package = "httpx"
    module = "httpx"

    async def events(self, url: str) -> int:
        raise CannotError("has no server-sent events")
