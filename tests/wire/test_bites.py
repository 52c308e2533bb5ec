"""A response is parsed in bites: what stands behind its end must not be swallowed with the last one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial

import pytest
import trio
import trio.testing

from trio_pool import open_client
from trio_pool._net.exchange import BITE

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nEVIL!"
OWN = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nown"


def of_size(size: int) -> bytes:
    """A whole response of that many bytes."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: %06d\r\n\r\n"
    return head % (size - len(head % 0)) + b"a" * (size - len(head % 0))


async def answer(stream: trio.SocketStream, *, first: bytes) -> None:
    """The first reply comes, with what follows it, while the request is still on its way; later ones are honest."""
    async with stream:
        with suppress(trio.BrokenResourceError):  # the client drops the connection
            while data := await stream.receive_some():
                if b"GET" in data:
                    await stream.send_all(OWN)
                elif b"one" in data:
                    await stream.send_all(first)


@pytest.mark.parametrize("bites", [1, 3, 7, 15])
@pytest.mark.parametrize("surplus", [EVIL, b"x", b"\r\n"])
async def test_surplus_behind_a_bite_reaches_nobody(bites: int, surplus: bytes) -> None:
    size = bites * BITE
    async with trio.open_nursery() as nursery:
        serve = partial(answer, first=of_size(size) + surplus)
        [listener] = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
        url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}/"

        async def body() -> AsyncIterator[bytes]:
            yield b"one"
            await trio.testing.wait_all_tasks_blocked(0.01)  # the reply has come by now
            yield b"two"

        async with open_client() as client:
            response = await client.post(url, content=body(), headers={"Content-Length": "6"})
            assert response.content == of_size(size).partition(b"\r\n\r\n")[2]
            for _ in range(2):
                assert (await client.get(url)).content == b"own"
            assert client.pool.statistics().evictions.get("unusable") == 1
        nursery.cancel_scope.cancel()
