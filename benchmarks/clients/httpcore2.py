"""httpcore2, and httpcore, whose interface it shares: httpx2's and httpx's pools by themselves."""

from __future__ import annotations

import importlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from .base import KEEP, WAIT, Client, trust

TIMEOUTS = {"timeout": {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": WAIT}}  # as httpx2 passes them on


class Httpcore2(Client):
    """`AsyncConnectionPool` with httpx2's timeouts."""

    package = "httpcore2"
    module = "httpcore2"

    async def open(self) -> None:
        library: Any = importlib.import_module(str(self.module))
        count = self.setup.connections
        self.pool = await self.stack.enter_async_context(
            library.AsyncConnectionPool(
                ssl_context=trust(self.setup),
                max_connections=count,
                max_keepalive_connections=count,
                keepalive_expiry=KEEP,
            )
        )

    async def get(self, url: str) -> int:
        return len((await self.pool.request("GET", url, extensions=TIMEOUTS)).content)

    async def post(self, url: str, body: bytes) -> int:
        return len((await self.pool.request("POST", url, content=body, extensions=TIMEOUTS)).content)

    async def download(self, url: str) -> int:
        length = 0
        async with self.pool.stream("GET", url, extensions=TIMEOUTS) as response:
            async for piece in response.aiter_stream():
                length += len(piece)
        return length

    async def lines(self, url: str) -> int:
        count = 0
        async with self.pool.stream("GET", url, extensions=TIMEOUTS) as response:
            async for piece in response.aiter_stream():
                count += piece.count(b"\n")
        return count

    @asynccontextmanager
    async def held(self, url: str) -> AsyncGenerator[None]:
        async with self.pool.stream("GET", url, extensions=TIMEOUTS) as response:
            yield
            await response.aread()


class Httpcore(Httpcore2):
    """The older library."""

    package = "httpcore"
    module = "httpcore"
