"""What the tests' stories have in common."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio

from trio_pool import Client, Pool, PoolConfig, Request, open_client, open_pool

from .network import MemoryNetwork
from .secure import client_context
from .servers import Server


def pool_on(network: MemoryNetwork, *, tls: bool = False, **config: Any) -> AbstractAsyncContextManager[Pool]:
    """A pool on the network, with this configuration."""
    return open_pool(PoolConfig(**config), tls=_trust(tls), network=network)


def client_on(network: MemoryNetwork, *, tls: bool = False, **config: Any) -> AbstractAsyncContextManager[Client]:
    """A client on the network, with this configuration."""
    return open_client(PoolConfig(**config), tls=_trust(tls), network=network)


def _trust(tls: bool) -> ssl.SSLContext | None:
    return client_context() if tls else None


def a_server(network: MemoryNetwork, name: str = "a.test", **options: Any) -> Server:
    """A server that answers as it is told, on plain HTTP."""
    server = Server(**options)
    network.serve(name, server)
    return server


def get(name: str = "a.test", path: str = "/", **options: Any) -> Request:
    """A GET request."""
    return Request("GET", f"http://{name}{path}", **options)


def post(name: str = "a.test", path: str = "/", **options: Any) -> Request:
    """A POST request."""
    return Request("POST", f"http://{name}{path}", **options)


async def fetch(pool: Pool, request: Request) -> bytes:
    """Send, read, close."""
    async with pool.stream(request) as response:
        return await response.read()


async def pieces(*steps: bytes | float) -> AsyncIterator[bytes]:
    """A body, with waits."""
    for step in steps:
        if isinstance(step, bytes):
            yield step
        else:
            await trio.sleep(step)


def counts(pool: Pool) -> Sequence[int]:
    """Leased, idle, dialling, closing, waiting."""
    now = pool.statistics()
    return now.leased, now.idle, now.dialling, now.closing, now.waiting


class Outcome:
    """What became of a task's call, for a test to look at later."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.at: float | None = None

    async def of(self, function: Any, *args: Any) -> None:
        """Call it, and remember what came of it."""
        try:
            self.result = await function(*args)
        except Exception as error:
            self.error = error
        self.at = trio.current_time()
