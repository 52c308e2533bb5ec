"""Both directions at once: a response may come while the request still goes out."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from functools import partial

import pytest
import trio

from trio_pool import (
    Client,
    LocalProtocolError,
    PoolConfig,
    ReadError,
    RemoteProtocolError,
    Stream,
    SystemNetwork,
    Timeouts,
    WriteError,
    WriteTimeout,
    open_client,
)
from trio_pool.messages import Content

from .app import pattern
from .scripted import Script, Visit, answer, probing, scripted

HUGE = 64_000_000
CONFIG = PoolConfig(retry_attempts=1, max_connections=1, read_timeout=5.0, write_timeout=5.0)
REFUSAL = answer(b"too much", b"Connection: close", status=b"413 Content Too Large")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def whole() -> Content:
    """The huge body, as bytes."""
    return bytes(HUGE)


def streamed() -> Content:
    """The huge body, piece by piece."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(HUGE // 64_000):
            yield bytes(64_000)

    return pieces()


BODIES = pytest.mark.parametrize("body", [whole, streamed])


@BODIES
async def test_a_real_servers_early_413_is_delivered(client: Client, body: Callable[[], Content]) -> None:
    with trio.fail_after(20):
        response = await client.post("/refuse", content=body(), headers={"Content-Length": str(HUGE)})
    assert response.status_code == 413
    assert (await client.get("/status/200")).content == b"status"


@BODIES
@pytest.mark.parametrize(
    ("before", "refusal"),
    [
        ([], REFUSAL),
        ([CONTINUE], REFUSAL),
        ([], answer(b"too much", status=b"413 Content Too Large")),  # it does not even say close
        ([], answer(b"too much", b"Connection: close", status=b"200 OK")),
    ],
    ids=["413", "100 and 413", "413 without close", "200 with close"],
)
async def test_an_early_answer_is_delivered_though_nobody_reads_the_upload(
    tls: ssl.SSLContext | None,
    trusting: ssl.SSLContext,
    body: Callable[[], Content],
    before: list[bytes],
    refusal: bytes,
) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_records_at_once([*before, refusal])
        await trio.sleep_forever()  # with the socket open and unread

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(4):  # less than write_timeout
            response = await client.post("/upload", content=body())
        assert response.content == b"too much"
        assert (await client.get("/probe/mine")).content == b"mine"
        assert len(server.visits) == 2


async def test_an_early_200_waits_for_the_end_of_the_upload(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext
) -> None:
    content, early = pattern(3_000_000), pattern(100_000)

    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(early)])
        assert await visit.body(len(content)) == content

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(10):
            response = await client.post("/upload", content=content)
            assert response.content == early
            assert (await client.get("/probe/mine")).content == b"mine"
        assert len(server.visits) == 1


@pytest.mark.parametrize("how", [Visit.end, Visit.cut], ids=["end", "cut"])
async def test_an_early_200_and_an_end_are_an_answer(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, how: Script
) -> None:
    """The server does not say that it closes; the rest of the upload meets a broken connection."""

    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"enough")])
        await how(visit)

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(4):
            response = await client.post("/upload", content=whole())
        assert response.content == b"enough"
        assert (await client.get("/probe/mine")).content == b"mine"
        assert len(server.visits) == 2


async def test_a_cut_early_200_is_an_error(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"enough")[:-1]])
        await visit.end()

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(4), pytest.raises((ReadError, RemoteProtocolError)):
            await client.post("/upload", content=whole())
        assert (await client.get("/probe/mine")).content == b"mine"


@pytest.mark.parametrize("size", [100_000, 3_000_000])
async def test_both_directions_at_once(tls: ssl.SSLContext | None, trusting: ssl.SSLContext, size: int) -> None:
    """The server sends while it reads, more than the client puts aside."""
    content = pattern(size)

    async def script(visit: Visit) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(visit.send_pieces, [answer(content)])
            assert await visit.body(size) == content

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        for _ in range(3):
            with trio.fail_after(10):
                response = await client.post("/upload", content=content)
            assert response.content == content
        assert (await client.get("/probe/mine")).content == b"mine"
        assert len(server.visits) == 1


async def test_interim_responses_do_not_stop_an_upload(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    content = pattern(3_000_000)

    async def script(visit: Visit) -> None:
        await visit.send_records_at_once([CONTINUE, CONTINUE])
        digest = hashlib.sha256(await visit.body(len(content))).hexdigest()
        await visit.send_records_at_once([CONTINUE, answer(digest.encode())])

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(10):
            response = await client.post("/upload", content=content)
            assert response.text == hashlib.sha256(content).hexdigest()
            assert (await client.get("/probe/mine")).content == b"mine"
        assert len(server.visits) == 1


@BODIES
async def test_a_connection_that_breaks_under_an_upload_is_an_error(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, body: Callable[[], Content]
) -> None:
    async def script(visit: Visit) -> None:
        await visit.body(100_000)
        await visit.reset()

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(10), pytest.raises((WriteError, ReadError)) as caught:
            await client.post("/upload", content=body())
        assert caught.value.may_have_been_processed
        assert (await client.get("/probe/mine")).content == b"mine"
        assert len(server.visits) == 2


@BODIES
async def test_an_upload_that_nobody_reads_times_out(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, body: Callable[[], Content]
) -> None:
    async def script(_: Visit) -> None:
        await trio.sleep_forever()

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with pytest.raises(WriteTimeout, match=r"took nothing for 0\.2 s"):
            await client.post("/upload", content=body(), timeouts=Timeouts(write=0.2))
        assert (await client.get("/probe/mine")).content == b"mine"


async def test_an_upload_can_be_cancelled(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    async def script(_: Visit) -> None:
        await trio.sleep_forever()

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(client.post, "/upload", content=whole()))
                await trio.testing.wait_all_tasks_blocked(0.01)
                scope.cancel()
        figures = client.pool.statistics()
        assert (figures.leased, figures.idle, figures.evictions) == (0, 0, {"unusable": 1})
        assert (await client.get("/probe/mine")).content == b"mine"


async def test_what_a_body_raises_comes_out_as_itself(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a piece"
        raise ZeroDivisionError

    async def script(visit: Visit) -> None:
        await visit.until_gone()

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with pytest.raises(ZeroDivisionError):
            await client.post("/upload", content=pieces())
        assert (await client.get("/probe/mine")).content == b"mine"
        assert len(server.visits) == 2
        assert not server.visits[0].received.endswith(b"0\r\n\r\n")  # what was cut does not look whole


@pytest.mark.parametrize("length", [9, 11])
async def test_a_body_of_another_length_is_an_error(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, length: int
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"0123456789"

    async def script(visit: Visit) -> None:
        await visit.until_gone()

    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with pytest.raises(LocalProtocolError):
            await client.post("/upload", content=pieces(), headers={"Content-Length": str(length)})
        assert (await client.get("/probe/mine")).content == b"mine"
        assert len(server.visits) == 2


async def test_a_post_of_which_anything_was_sent_is_not_sent_twice(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext
) -> None:
    """The network takes the request's beginning; then the server, which may act on it, breaks the connection."""

    async def script(visit: Visit) -> None:
        await visit.reset()

    network = Narrowing()
    async with (
        scripted(probing(script, reads_body=False), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting, network=network) as client,
    ):
        assert (await client.get("/probe/first")).content == b"first"
        network.streams[0].room = 20_000
        with trio.fail_after(10), pytest.raises((WriteError, ReadError)) as caught:
            await client.post("/pay", content=bytes(60_000))
        assert sum(visit.received.count(b"POST /pay") for visit in server.visits) == 1
        assert client.pool.statistics().stale_retries == 0
        assert caught.value.may_have_been_processed


class Narrowing(SystemNetwork):
    """A network whose connections can be narrowed."""

    def __init__(self) -> None:
        self.streams: list[Narrow] = []

    async def connect(self, address: tuple[str, int]) -> Stream:
        self.streams.append(Narrow(await super().connect(address)))
        return self.streams[-1]


class Narrow:
    """A stream that takes `room` bytes more, as if the peer's window were full then."""

    def __init__(self, stream: Stream) -> None:
        self.room = 1_000_000
        self._stream = stream
        self.recv_nowait = stream.recv_nowait
        self.readable = stream.readable
        self.wait_readable = stream.wait_readable
        self.close = stream.close

    def send_nowait(self, data: bytes | memoryview) -> int:
        if not self.room:
            raise BlockingIOError
        taken = self._stream.send_nowait(data[: self.room])
        self.room -= taken
        return taken

    async def wait_writable(self) -> None:
        if not self.room:
            await trio.sleep_forever()
        await self._stream.wait_writable()
