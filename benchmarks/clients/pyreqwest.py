"""pyreqwest: reqwest (Rust) on asyncio."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

from pyreqwest.client import ClientBuilder

from .base import KEEP, WAIT, Client


class Pyreqwest(Client):
    """A built client with timeouts, of which it has none by default."""

    package = "pyreqwest"
    module = "pyreqwest.client"
    loop = "asyncio"
    compiled = True

    async def open(self) -> None:
        builder = (
            ClientBuilder()
            .max_connections(self.setup.connections)
            .pool_max_idle_per_host(self.setup.connections)
            .pool_idle_timeout(timedelta(seconds=KEEP))
            .pool_timeout(timedelta(seconds=WAIT))
            .connect_timeout(timedelta(seconds=5))
            .read_timeout(timedelta(seconds=30))
            .no_proxy()
        )
        if self.setup.cafile is not None:
            builder = builder.add_root_certificate_pem(Path(self.setup.cafile).read_bytes())
        self.client = await self.stack.enter_async_context(builder.build())

    async def get(self, url: str) -> int:
        response = await self.client.get(url).build().send()
        return len(await response.bytes())

    async def post(self, url: str, body: bytes) -> int:
        response = await self.client.post(url).body_bytes(body).build().send()
        return len(await response.bytes())

    async def download(self, url: str) -> int:
        length = 0
        async with self.client.get(url).build_streamed() as response:
            while (piece := await response.body_reader.read_chunk()) is not None:
                length += len(piece)
        return length

    async def lines(self, url: str) -> int:
        count = 0
        async with self.client.get(url).build_streamed() as response:
            while (piece := await response.body_reader.read_chunk()) is not None:
                count += bytes(piece).count(b"\n")
        return count

    @asynccontextmanager
    async def held(self, url: str) -> AsyncGenerator[None]:
        request = self.client.get(url).streamed_read_buffer_limit(0)  # else it waits for the body
        async with request.build_streamed() as response:
            yield
            await response.body_reader.bytes()
