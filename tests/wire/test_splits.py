"""However the bytes of a response are cut on their way, the response is the same."""

from __future__ import annotations

import gzip
import random
import ssl
from itertools import pairwise

import pytest
import trio

from trio_pool import PoolConfig, open_client

from .scripted import Visit, answer, probing, scripted

CONFIG = PoolConfig(retry_attempts=1, max_connections=1, read_timeout=10.0)
LINES = "".join(f"data: Zeile {number} ä\r\n\r\n" for number in range(20)).encode()


def chunked(body: bytes, size: int) -> bytes:
    """A body in chunks."""
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\nX-Sum: 7\r\n\r\n"


CODED = gzip.compress(LINES)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
REPLIES = {
    "a length": answer(LINES),
    "chunks": HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(LINES, 13),
    "coded": answer(CODED, b"Content-Encoding: gzip"),
    "coded in chunks": HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(CODED, 7),
    "interim responses": b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + answer(LINES),
}


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """The data in pieces of random sizes."""
    places = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(chance.randrange(1, 40)))})
    return [data[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("name", REPLIES)
async def test_random_splits_change_nothing(tls: ssl.SSLContext | None, trusting: ssl.SSLContext, name: str) -> None:
    chance = random.Random(name)

    async def script(visit: Visit) -> None:
        await visit.send_pieces(cut(REPLIES[name], chance))

    async with (
        scripted(probing(script), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(20):
            for _ in range(15):
                assert (await client.get("/case")).content == LINES
                async with client.stream("GET", "/case") as response:
                    events = [event.data async for event in response.iter_events()]
                assert events == [f"Zeile {number} ä" for number in range(20)]
                assert response.trailers.get("x-sum") == ("7" if "chunks" in name else None)
        assert (await client.get("/probe/mine")).content == b"mine"
        assert len(server.visits) == 1
