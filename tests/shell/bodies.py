"""What the tests of uploads have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from trio_pool import Request

from .network import MemoryNetwork
from .secure import over_tls

TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno"
BOTH = pytest.mark.parametrize("scheme", ["http", "https"])


def serve(network: MemoryNetwork, scheme: str, handler: Any, capacity: int = 65536) -> None:
    """Host a, with or without TLS."""
    network.serve("a.test", over_tls(handler) if scheme == "https" else handler, capacity=capacity)


def upload(scheme: str, content: Any, **options: Any) -> Request:
    """A POST of this body."""
    return Request("POST", f"{scheme}://a.test/", content=content, **options)


async def endless(size: int = 10_000) -> AsyncIterator[bytes]:
    """A body that never ends and never waits."""
    while True:
        yield b"x" * size


class Body:
    """A body that is watched: how many pieces were taken, and whether it was closed."""

    def __init__(self, *steps: bytes | float | Exception) -> None:
        self.steps = steps
        self.taken = 0
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            for step in self.steps:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, float):
                    await trio.sleep(step)
                else:
                    self.taken += 1
                    yield step
        finally:
            self.is_closed = True
