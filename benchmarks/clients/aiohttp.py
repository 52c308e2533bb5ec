"""aiohttp, on asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from .base import KEEP, CannotError, Client, trust


class Aiohttp(Client):
    """`ClientSession` with its default timeouts."""

    package = "aiohttp"
    module = "aiohttp"
    loop = "asyncio"
    _chat: Any = None

    async def open(self) -> None:
        connector = aiohttp.TCPConnector(
            limit=self.setup.connections,
            keepalive_timeout=KEEP,
            ssl=trust(self.setup),
        )
        self.session = await self.stack.enter_async_context(aiohttp.ClientSession(connector=connector))

    async def get(self, url: str) -> int:
        async with self.session.get(url) as response:
            return len(await response.read())

    async def post(self, url: str, body: bytes) -> int:
        async with self.session.post(url, data=body) as response:
            return len(await response.read())

    async def download(self, url: str) -> int:
        length = 0
        async with self.session.get(url) as response:
            async for piece in response.content.iter_any():
                length += len(piece)
        return length

    async def lines(self, url: str) -> int:
        count = 0
        async with self.session.get(url) as response:
            async for _line in response.content:
                count += 1
        return count

    async def chat(self, url: str) -> int:
        if self._chat is None:
            from openai import DefaultAioHttpClient  # only here: what importing costs is measured too

            from .sdk import Chat

            try:
                http = await self.stack.enter_async_context(DefaultAioHttpClient())
            except RuntimeError:
                raise CannotError("needs openai[aiohttp]") from None
            self._chat = self._chat or Chat(url, http)
        return int(await self._chat.ask())

    @asynccontextmanager
    async def held(self, url: str) -> AsyncGenerator[None]:
        async with self.session.get(url) as response:
            yield
            await response.read()
