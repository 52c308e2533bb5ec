"""Answers that come before the request has gone."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_pool import LimitExceeded

from .bodies import BOTH, TOO_LARGE, Body, endless, serve, upload
from .network import Channel, MemoryNetwork
from .scheduling import virtual
from .servers import OK, read_all, read_head, saying, stay
from .stories import counts, fetch, pieces, pool_on, post


@BOTH
@virtual
async def test_an_early_refusal_of_a_large_upload_is_delivered_at_once(network: MemoryNetwork, scheme: str) -> None:
    serve(network, scheme, saying(1.0, TOO_LARGE, then=stay))
    async with pool_on(network, tls=scheme == "https") as pool:
        async with pool.stream(upload(scheme, b"x" * 64_000_000)) as response:
            assert response.status_code == 413
            assert await response.read() == b"no"
        assert trio.current_time() == pytest.approx(1)
        assert counts(pool) == (0, 0, 0, 0, 0), "half a request was sent: the connection is no use"


@BOTH
@virtual
async def test_an_early_refusal_stops_a_body_that_waits(network: MemoryNetwork, scheme: str) -> None:
    body = Body(b"x", 50.0, b"y")
    serve(network, scheme, saying(1.0, TOO_LARGE, then=stay))
    async with pool_on(network, tls=scheme == "https") as pool:
        assert await fetch(pool, upload(scheme, body)) == b"no"
        assert trio.current_time() == pytest.approx(1)
        assert body.is_closed
        assert body.taken == 1


@BOTH
@virtual
async def test_an_early_refusal_stops_an_endless_body_that_never_waits(network: MemoryNetwork, scheme: str) -> None:
    async def swallow(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(TOO_LARGE)
        await read_all(channel)

    serve(network, scheme, swallow)
    async with pool_on(network, tls=scheme == "https") as pool:
        assert await fetch(pool, upload(scheme, endless())) == b"no"


@BOTH
@virtual
async def test_an_early_answer_is_delivered_although_the_server_has_gone(network: MemoryNetwork, scheme: str) -> None:
    async def refuse(channel: Channel) -> None:
        await read_head(channel)
        await trio.sleep(1)
        await channel.send_all(TOO_LARGE)

    serve(network, scheme, refuse)
    async with pool_on(network, tls=scheme == "https") as pool:
        assert await fetch(pool, upload(scheme, pieces(b"x" * 1000, 1.0, b"y" * 200_000, b"z"))) == b"no"
        assert counts(pool) == (0, 0, 0, 0, 0)


@BOTH
@virtual
async def test_an_early_answer_that_closes_stops_the_upload(network: MemoryNetwork, scheme: str) -> None:
    serve(network, scheme, saying(1.0, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), then=stay))
    async with pool_on(network, tls=scheme == "https") as pool:
        assert await fetch(pool, upload(scheme, pieces(b"x", 50.0, b"y"))) == b"ok"
        assert trio.current_time() == pytest.approx(1)
        assert counts(pool) == (0, 0, 0, 0, 0)


@BOTH
@virtual
async def test_an_early_success_is_delivered_after_the_upload(network: MemoryNetwork, scheme: str) -> None:
    async def hasty(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(OK)
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += await channel.receive()
        await stay(channel)

    serve(network, scheme, hasty)
    body = Body(b"x", 5.0, b"y")
    async with pool_on(network, tls=scheme == "https") as pool:
        async with pool.stream(upload(scheme, body)) as response:
            assert body.is_closed
            assert trio.current_time() == pytest.approx(5)
            assert await response.read() == b"ok"
        assert counts(pool) == (0, 1, 0, 0, 0), "all was sent and all was read: the connection is good"


@virtual
async def test_timings_of_an_early_answer_are_not_negative(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(OK, then=read_all))
    async with pool_on(network) as pool, pool.stream(post(content=pieces(b"x", 5.0))) as response:
        await response.read()
        timings = response.timings
        assert timings.sent == pytest.approx(5)
        assert timings.first_byte == 0
        assert timings.total == pytest.approx(5)


@virtual
async def test_what_arrives_early_is_put_aside_within_a_bound(network: MemoryNetwork) -> None:
    sent = 0

    async def flood(channel: Channel) -> None:
        nonlocal sent
        await read_head(channel)
        await channel.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await channel.send_all(b"x" * 1000)
            sent += 1000

    network.serve("a.test", flood)
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.send, post(content=pieces(b"x", 5.0)))
        await trio.sleep(1)
        assert 262_144 <= sent < 500_000
        nursery.cancel_scope.cancel()


@virtual
async def test_interim_responses_during_an_upload_are_passed_over(network: MemoryNetwork) -> None:
    async def patient(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + b"HTTP/1.1 102 Processing\r\n\r\n")
        while not (await channel.receive()).endswith(b"0\r\n\r\n"):
            pass
        await channel.send_all(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
        await stay(channel)

    network.serve("a.test", patient)
    async with pool_on(network) as pool:
        assert await fetch(pool, post(content=pieces(b"x", 1.0, b"y"))) == b"ok"
        assert counts(pool) == (0, 1, 0, 0, 0)


@pytest.mark.parametrize("content", [b"x", pieces])
@virtual
async def test_endless_interim_responses_go_over_a_limit(network: MemoryNetwork, content: Any) -> None:
    async def chatter(channel: Channel) -> None:
        await read_head(channel)
        while True:
            await channel.send_all(b"HTTP/1.1 100 Continue\r\n\r\n")

    network.serve("a.test", chatter)
    async with pool_on(network) as pool:
        body = content if isinstance(content, bytes) else pieces(b"x", 50.0, b"y")
        with pytest.raises(LimitExceeded, match="more than 100 interim"):
            await fetch(pool, post(content=body))
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_an_early_answer_whose_body_comes_slowly_is_read_after_the_upload(network: MemoryNetwork) -> None:
    async def overlap(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
        for _ in range(3):
            await trio.sleep(1)
            await channel.send_all(b"0123456789")
        await read_all(channel)

    network.serve("a.test", overlap)
    async with pool_on(network) as pool:
        assert await fetch(pool, post(content=pieces(b"x", 1.5, b"y"))) == b"0123456789" * 3
