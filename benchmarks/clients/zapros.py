"""zapros."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from zapros import AsyncClient, AsyncStdNetworkHandler, TrioTransport

from .base import KEEP, Client, trust


class Zapros(Client):
    """`AsyncClient` with timeouts, of which it has none by default."""

    package = "zapros"
    module = "zapros"

    async def open(self) -> None:
        count = self.setup.connections
        handler = AsyncStdNetworkHandler(
            transport=TrioTransport(ssl_context=trust(self.setup)),
            connect_timeout=5.0,
            read_timeout=30.0,
            write_timeout=30.0,
            http1={
                "max_connections_per_host": count,
                "max_idle_connections_per_host": count,
                "max_idle_seconds": KEEP,
            },
        )
        self.client = await self.stack.enter_async_context(AsyncClient(handler))

    async def get(self, url: str) -> int:
        return len((await self.client.get(url)).content or b"")

    async def post(self, url: str, body: bytes) -> int:
        return len((await self.client.post(url, body=body)).content or b"")

    async def download(self, url: str) -> int:
        length = 0
        async with self.client.stream("GET", url) as response:
            async for piece in response.async_iter_bytes():
                length += len(piece)
        return length

    async def lines(self, url: str) -> int:
        count = 0
        async with self.client.stream("GET", url) as response:
            async for piece in response.async_iter_bytes():
                count += piece.count(b"\n")
        return count

    @asynccontextmanager
    async def held(self, url: str) -> AsyncGenerator[None]:
        async with self.client.stream("GET", url) as response:
            yield
            await response.aread()
