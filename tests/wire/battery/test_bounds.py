"""What drips or never ends is bounded in time, and what is large is bounded in memory."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Callable

import pytest
import trio

from trio_pool import PoolConfig, Request, Timeouts, TotalTimeout, open_pool
from trio_pool._wire.decoding import PIECE

from .case import BODY, CONFIG, WAYS, Case, Way, chunked, good, head
from .cases_both import EXPECTING, LARGE, stream
from .cases_interim import interim
from .harness import PATIENCE, Server, ask, probe, serving
from .peer import Peer, Received, client_context

TRANSPORTS = [way for way in WAYS if not way.bytewise]
DRIPS: dict[str, tuple[bytes, bytes]] = {
    "a status line": (b"HTTP/1.1 200 ", b"O"),
    "a field": (head()[:-2] + b"X: ", b"y"),
    "fields": (head()[:-2], b"X: y\r\n"),
    "interim responses": (b"", interim(102)),
    "an interim response": (b"HTTP/1.1 103 X\r\nX: ", b"y"),
    "a body with a length": (head(b"Content-Length: 1000000000"), b"y"),
    "a body to the end": (head(), b"y"),
    "a chunk": (chunked(b"ffffffff\r\n"), b"y"),
    "chunks": (chunked(b""), b"1\r\ny\r\n"),
    "an extension": (chunked(b"1;"), b"y"),
    "a trailer": (chunked(b"0\r\nX: "), b"y"),
    "a gzip body": (head(b"Content-Encoding: gzip") + gzip.compress(b"", mtime=0), gzip.compress(b"", mtime=0)),
}


class Dripping(Server):
    """A server that repeats itself until the client has left, with a pause that keeps it far below every bound."""

    def __init__(self, first: bytes, drip: bytes, way: Way, *, body_first: bool = True) -> None:
        super().__init__(good("drip", "the design page: nothing that drips outlives the request's deadlines"), way)
        self._first, self._drip, self._body_first = first, drip, body_first
        self.sent = 0

    async def _answer(self, peer: Peer, request: Received) -> None:
        if request.target.startswith("/probe/"):
            return await super()._answer(peer, request)
        if self._body_first:
            await peer.body(request)
        await peer.send(self._first)
        while True:
            await peer.send(self._drip)
            self.sent += 1
            await trio.sleep(0.002)  # what drips has pauses


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
@pytest.mark.parametrize("name", DRIPS)
async def test_what_drips_ends_with_the_total_timeout(name: str, way: Way) -> None:
    config = PoolConfig(max_connections=1, total_timeout=0.2, read_timeout=30.0)
    server = Dripping(*DRIPS[name], way)
    async with serving(server, tls=way.tls), open_pool(config, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            verdict = await ask(pool, good(name, "drip"), server, way)
            assert type(verdict.error) is TotalTimeout, verdict
            assert verdict.error.may_have_been_processed
            await probe_in_time(server, way)
        assert pool.statistics().leased == 0
        assert server.sent > 1


async def probe_in_time(server: Server, way: Way) -> None:
    """A probe by a pool that has all the time."""
    async with open_pool(CONFIG, tls=client_context()) as pool:
        assert (await probe(pool, server)).visit == 1


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
@pytest.mark.parametrize("content", [LARGE, stream(*[LARGE[:100_000]] * 80)], ids=["large", "streamed"])
@pytest.mark.parametrize("drip", [b"y", interim(102)], ids=["a status line", "interim responses"])
async def test_what_drips_during_an_upload_ends_too(drip: bytes, content: bytes, way: Way) -> None:
    config = PoolConfig(max_connections=1, total_timeout=0.2)
    first = b"HTTP/1.1 200 " if drip == b"y" else b""
    server = Dripping(first, drip, way, body_first=False)
    async with serving(server, tls=way.tls), open_pool(config, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            verdict = await ask(pool, good("x", "drip", method="POST", content=content), server, way)
        assert type(verdict.error) is TotalTimeout, verdict


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
async def test_what_drips_before_a_continue_ends_too(way: Way) -> None:
    config = PoolConfig(max_connections=1, total_timeout=0.2, expect_timeout=30.0)
    server = Dripping(b"", interim(102), way, body_first=False)
    case = good("x", "drip", method="POST", content=b"hello", fields=EXPECTING)
    async with serving(server, tls=way.tls), open_pool(config, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            verdict = await ask(pool, case, server, way)
        assert type(verdict.error) is TotalTimeout, verdict


class Pouring(Server):
    """A server that sends without end, as fast as it is taken."""

    def __init__(self, first: bytes, more: Callable[[], bytes], way: Way) -> None:
        super().__init__(good("pour", "the design page: bodies stream in bounded memory"), way)
        self._first, self._more = first, more
        self.sent = 0

    async def _answer(self, peer: Peer, request: Received) -> None:
        if request.target.startswith("/probe/"):
            return await super()._answer(peer, request)
        await peer.send(self._first)
        while True:
            data = self._more()
            await peer.send(data)
            self.sent += len(data)


BLOCK = b"y" * 65536
POURS: dict[str, tuple[bytes, bytes]] = {
    "a length": (head(b"Content-Length: 1000000000000"), BLOCK),
    "to the end": (head(), BLOCK),
    "chunks": (chunked(b""), b"10000\r\n" + BLOCK + b"\r\n"),
    "one chunk": (chunked(b"ffffffffff\r\n"), BLOCK),
}


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
@pytest.mark.parametrize("name", POURS)
async def test_a_body_that_nobody_reads_is_not_taken(name: str, way: Way) -> None:
    first, more = POURS[name]
    server = Pouring(first, lambda: more, way)
    async with serving(server, tls=way.tls), open_pool(CONFIG, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            async with pool.stream(Request("GET", f"{server.base}/case")) as response:
                before = -1
                while before < server.sent:  # until the server is stuck
                    before = server.sent
                    await trio.testing.wait_all_tasks_blocked(0.02)
                tracemalloc.start()
                async for _ in response.iter_raw():
                    if server.sent > before + 20_000_000:
                        break
                _, peak = tracemalloc.get_traced_memory()
                tracemalloc.stop()
            assert peak < 2_000_000
            assert (await probe(pool, server)).visit == 1


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
async def test_a_bomb_is_decoded_in_pieces_of_bounded_size(way: Way) -> None:
    bomb = gzip.compress(bytes(50_000_000), mtime=0)
    server = Server(
        good(
            "x",
            "CVE-2025-69223 (aiohttp)",
            chunked(b"%x\r\n%b\r\n0\r\n\r\n" % (len(bomb), bomb), b"Content-Encoding: gzip"),
        ),
        way,
    )
    async with serving(server, tls=way.tls), open_pool(CONFIG, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            tracemalloc.start()
            async with pool.stream(Request("GET", f"{server.base}/case")) as response:
                sizes = [len(piece) async for piece in response.iter_bytes()]
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert (sum(sizes), max(sizes) <= PIECE) == (50_000_000, True)
            assert peak < 4_000_000
            assert (await probe(pool, server)).visit == 0


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
async def test_a_bomb_that_is_left_costs_nothing(way: Way) -> None:
    bomb = gzip.compress(bytes(50_000_000), mtime=0)
    case = good(
        "x",
        "CVE-2026-21441 (urllib3): what is thrown away is not decoded",
        head(b"Content-Length: %d" % len(bomb), b"Content-Encoding: gzip") + bomb,
        leaves=True,
    )
    server = Server(case, way)
    async with serving(server, tls=way.tls), open_pool(CONFIG, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            tracemalloc.start()
            await ask(pool, case, server, way)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 2_000_000
            await probe(pool, server)


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
async def test_a_body_of_many_members_does_not_keep_others_waiting(way: Way) -> None:
    """A few kilobytes a member: the reader yields while it decodes them, and its deadline holds."""
    body = gzip.compress(b"", mtime=0) * 20_000
    server = Server(
        good(
            "x",
            "law 5: every public await is fair",
            head(b"Content-Length: %d" % len(body), b"Content-Encoding: gzip") + body,
        ),
        way,
    )
    ticks = itertools.count()

    async def tick() -> None:
        while True:
            next(ticks)
            await trio.lowlevel.checkpoint()

    async with (
        serving(server, tls=way.tls),
        open_pool(CONFIG, tls=client_context()) as pool,
        trio.open_nursery() as nursery,
    ):
        async with pool.stream(Request("GET", f"{server.base}/case")) as response:
            raw = b"".join([piece async for piece in response.iter_raw()])
        assert raw == body
        async with pool.stream(Request("GET", f"{server.base}/case")) as response:
            nursery.start_soon(tick)
            assert await response.read() == b""
            nursery.cancel_scope.cancel()
    assert next(ticks) > 20


async def chunks_of(size: int, count: int) -> AsyncIterator[bytes]:
    """A large body, made as it goes."""
    for _ in range(count):
        yield bytes(size)


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
async def test_a_large_upload_is_never_held_whole(way: Way) -> None:
    case: Case = good("x", "the design page", BODY, head(b"Content-Length: 0"), early=True)

    class Sink(Server):
        async def _read_body(self, peer: Peer, request: Received) -> None:
            while not peer.unread.endswith(b"0\r\n\r\n"):
                del peer.unread[:-5]
                await peer.more()
            peer.unread.clear()

    server = Sink(case, way)
    async with serving(server, tls=way.tls), open_pool(CONFIG, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            tracemalloc.start()
            request = Request(
                "POST", f"{server.base}/case", content=chunks_of(100_000, 200), timeouts=Timeouts(write=5.0)
            )
            async with pool.stream(request) as response:
                await response.read()
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 2_000_000
            assert (await probe(pool, server)).visit == 0
