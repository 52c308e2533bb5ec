"""Servers that never come to an end, or that say nothing: every wait and every buffer has its bound."""

from __future__ import annotations

import ssl

import pytest
import trio

from trio_pool import (
    ConnectTimeout,
    LimitExceeded,
    PoolConfig,
    PoolTimeout,
    ReadTimeout,
    RemoteProtocolError,
    Timeouts,
    TotalTimeout,
    TrioPoolError,
    open_client,
)

from .scripted import Gone, Script, Visit, answer, probing, scripted

CONFIG = PoolConfig(retry_attempts=1, max_connections=1, read_timeout=20.0)
BOUND = 4_000_000
"""Bytes: whoever takes so many has no bound. What fits into the sockets' own buffers is in it."""


async def pour(visit: Visit, head: bytes, drop: bytes) -> int:
    """Send the head, then the same again and again until the client has left; how many bytes it took."""
    sent, piece = 0, drop * (16_384 // len(drop) + 1)
    try:
        await visit.send_pieces([head])
        while sent <= 2 * BOUND:
            await visit.send_pieces([piece])
            sent += len(piece)
    except Gone:
        pass
    return sent


POURS = {
    "header fields": (b"HTTP/1.1 200 OK\r\n", b"X-Again: and again\r\n"),
    "one header field": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "a status line": (b"HTTP/1.1 200 ", b"x"),
    "interim responses": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "one interim response": (b"HTTP/1.1 103 Early Hints\r\n", b"X-Again: and again\r\n"),
    "empty lines": (b"", b"\r\n"),
    "a chunk extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "trailers": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Again: and again\r\n"),
    "no protocol": (b"", b"x"),
}


@pytest.mark.parametrize("name", POURS)
async def test_what_never_ends_is_cut_short(tls: ssl.SSLContext | None, trusting: ssl.SSLContext, name: str) -> None:
    taken: list[int] = []

    async def script(visit: Visit) -> None:
        taken.append(await pour(visit, *POURS[name]))

    async with (
        scripted(probing(script), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(15), pytest.raises((RemoteProtocolError, LimitExceeded)):
            await client.get("/case")
        assert (await client.get("/probe/mine")).content == b"mine"
        await trio.testing.wait_all_tasks_blocked()
        assert taken[0] < BOUND


async def test_a_head_over_its_bound_says_so(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await pour(visit, *POURS["header fields"])

    async with (
        scripted(probing(script), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with pytest.raises(LimitExceeded):
            await client.get("/case")


async def test_an_event_over_its_bound_says_so(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await pour(visit, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ", b"x")

    async with (
        scripted(probing(script), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(15):
            async with client.stream("GET", "/case") as response:
                with pytest.raises(LimitExceeded):
                    async for _ in response.iter_events():
                        pass
        assert (await client.get("/probe/mine")).content == b"mine"


async def silent(_: Visit) -> None:
    """Say nothing."""
    await trio.sleep_forever()


async def pausing(visit: Visit) -> None:
    """Say the half of it."""
    await visit.send_pieces([answer(b"x" * 10)[:-5]])
    await trio.sleep_forever()


async def drip(visit: Visit) -> None:
    """Say something now and then, for ever."""
    await visit.send_pieces([b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"])
    while True:
        await visit.send_pieces([b"x"])
        await trio.sleep(0.01)


async def drip_fields(visit: Visit) -> None:
    """Say something of the head now and then, for ever."""
    await visit.send_pieces([b"HTTP/1.1 200 OK\r\nX-Long: "])
    while True:
        await visit.send_pieces([b"x"])
        await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("script", "timeouts", "error", "words"),
    [
        (silent, Timeouts(first_byte=0.1), ReadTimeout, r"did not begin to answer within 0\.1 s"),
        (silent, Timeouts(read=0.1), ReadTimeout, r"did not begin to answer within 0\.1 s"),
        (pausing, Timeouts(read=0.1), ReadTimeout, r"was silent for 0\.1 s"),
        (silent, Timeouts(total=0.1), TotalTimeout, "total timeout"),
        (pausing, Timeouts(total=0.1), TotalTimeout, "total timeout"),
        (drip, Timeouts(total=0.2, read=10), TotalTimeout, "total timeout"),
        (drip_fields, Timeouts(total=0.2, read=10), TotalTimeout, "total timeout"),
        (drip_fields, Timeouts(first_byte=0.2), ReadTimeout, "did not begin to answer"),
    ],
)
async def test_silence_and_dripping_come_to_an_end(
    tls: ssl.SSLContext | None,
    trusting: ssl.SSLContext,
    script: Script,
    timeouts: Timeouts,
    error: type[TrioPoolError],
    words: str,
) -> None:
    async with (
        scripted(probing(script), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(10), pytest.raises(error, match=words) as caught:
            await client.get("/case", timeouts=timeouts)
        assert isinstance(caught.value, TimeoutError)
        assert caught.value.may_have_been_processed
        assert (await client.get("/probe/mine")).content == b"mine"
        assert client.pool.statistics().evictions == {"unusable": 1}


async def test_a_slow_reader_does_not_time_out(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    """The read timeout is for a silent server, not for a caller who takes its time."""

    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"x" * 200_000)])

    async with (
        scripted(probing(script), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        size = 0
        async with client.stream("GET", "/case", timeouts=Timeouts(read=0.05)) as response:
            async for piece in response.iter_bytes():
                size += len(piece)
                await trio.sleep(0.06)
        assert size == 200_000


async def test_a_handshake_that_hangs_is_a_connect_timeout(trusting: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await visit.more()
        await trio.sleep_forever()

    config = PoolConfig(retry_attempts=1, max_connections=1, connection_timeout=0.1)
    async with scripted(script) as server, open_client(config, tls=trusting) as client:
        with pytest.raises(ConnectTimeout) as caught:
            await client.get(server.url.replace("http:", "https:"))
        assert not caught.value.may_have_been_processed
        figures = client.pool.statistics()
        assert (figures.dialling, figures.dial_failures, figures.idle) == (0, 1, 0)


async def test_waiting_for_a_busy_connection_ends_in_a_pool_timeout(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext
) -> None:
    async with (
        scripted(probing(silent), tls) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.get, "/case")
        await trio.testing.wait_all_tasks_blocked(0.01)
        with pytest.raises(PoolTimeout, match="1 leased, 0 idle, 0 dialling"):
            await client.get("/probe/mine", timeouts=Timeouts(acquire=0.1))
        nursery.cancel_scope.cancel()
