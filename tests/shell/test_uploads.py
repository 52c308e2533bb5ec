"""Requests with bodies: in pieces, blocked, answered early, and gone wrong on either side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from trio_pool import (
    LimitExceeded,
    LocalProtocolError,
    ReadError,
    RemoteProtocolError,
    Request,
    Timeouts,
    UsageError,
    WriteError,
)

from .network import Channel, MemoryNetwork
from .scheduling import settle, virtual
from .secure import over_tls
from .servers import OK, Asked, Reply, Server, read_all, read_head, saying, stay
from .stories import Outcome, a_server, client_on, counts, fetch, pieces, pool_on, post

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


@BOTH
@virtual
async def test_a_body_in_pieces_arrives_whole(network: MemoryNetwork, scheme: str) -> None:
    network.shreds = True
    serve(network, scheme, Server(), capacity=1000)
    async with client_on(network, tls=scheme == "https") as client:
        body = Body(b"a" * 5000, 0.5, b"", b"b" * 50_000, b"c")
        response = await client.post(f"{scheme}://a.test/", content=body)
        assert response.content == b":" + b"a" * 5000 + b"b" * 50_000 + b"c"
        assert body.is_closed
        response = await client.post(f"{scheme}://a.test/", content=body, headers={"Content-Length": "55001"})
        assert len(response.content) == 55_002
        assert client.pool.statistics().dials == 1


@BOTH
@virtual
async def test_a_large_body_of_bytes_goes_through_a_narrow_pipe(network: MemoryNetwork, scheme: str) -> None:
    network.shreds = True
    serve(network, scheme, Server(), capacity=5000)
    async with client_on(network, tls=scheme == "https") as client:
        for size in (60_000, 70_000, 500_000):
            response = await client.post(f"{scheme}://a.test/", content=b"z" * size)
            assert response.content == b":" + b"z" * size
        assert client.pool.statistics().dials == 1


@pytest.mark.parametrize("headers", [{}, {"Content-Length": "0"}])
@virtual
async def test_an_empty_body_in_pieces(network: MemoryNetwork, headers: dict[str, str]) -> None:
    server = a_server(network)
    async with pool_on(network) as pool:
        assert await fetch(pool, post(content=pieces(), headers=headers)) == b":"
        assert await fetch(pool, post(content=pieces(b"", b""), headers=headers)) == b":"
        assert pool.statistics().dials == 1
    assert [asked.body for asked in server.asked] == [b"", b""]


@virtual
async def test_a_body_whose_iteration_cannot_begin(network: MemoryNetwork) -> None:
    class Broken:
        def __aiter__(self) -> AsyncIterator[bytes]:
            raise ZeroDivisionError

    a_server(network)
    async with pool_on(network) as pool:
        with pytest.raises(ZeroDivisionError):
            await fetch(pool, post(content=Broken()))
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_body_whose_closing_fails_raises_that(network: MemoryNetwork) -> None:
    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            await trio.sleep(50)
        finally:
            raise ZeroDivisionError

    network.serve("a.test", saying(1.0, TOO_LARGE, then=stay))
    async with pool_on(network) as pool:
        with pytest.raises(ZeroDivisionError):
            await fetch(pool, post(content=body()))
        assert counts(pool) == (0, 0, 0, 0, 0)


# ---- early answers ----


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


# ---- bodies that go wrong ----


@virtual
async def test_a_bodys_own_exception_comes_out_as_itself(network: MemoryNetwork) -> None:
    a_server(network)
    error = ZeroDivisionError("in the body")
    body = Body(b"x", 1.0, error)
    async with pool_on(network) as pool:
        with pytest.raises(ZeroDivisionError) as caught:
            await fetch(pool, post(content=body))
        assert caught.value is error
        assert body.is_closed
        assert counts(pool) == (0, 0, 0, 0, 0)
        assert network.open == 0


@virtual
async def test_a_base_exception_of_a_body_comes_out_as_itself(network: MemoryNetwork) -> None:
    class Stop(BaseException):
        pass

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise Stop

    a_server(network)
    async with pool_on(network) as pool:
        with pytest.raises(Stop):
            await fetch(pool, post(content=body()))
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_cancelled_upload_closes_its_body(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(then=stay))
    body = Body(b"x", 50.0, b"y")
    async with pool_on(network) as pool:
        with trio.move_on_after(1):
            await fetch(pool, post(content=body))
        assert body.is_closed
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_cancelled_upload_raises_cancelled_and_no_group(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(then=stay))
    seen: BaseException | None = None
    async with pool_on(network) as pool:
        with trio.move_on_after(1) as scope:
            try:
                await fetch(pool, post(content=pieces(b"x", 50.0)))
            except BaseException as error:
                seen = error
                raise
        assert scope.cancelled_caught
    assert type(seen) is trio.Cancelled


class Nested:
    """A body that waits for its pieces in a nursery of its own."""

    def __aiter__(self) -> Nested:
        return self

    async def __anext__(self) -> bytes:
        async with trio.open_nursery():
            await trio.sleep(50)
        return b"x"


@virtual
async def test_a_body_that_waits_in_a_nursery_is_stopped_by_an_early_answer(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(1.0, TOO_LARGE, then=stay))
    async with pool_on(network) as pool:
        assert await fetch(pool, post(content=Nested())) == b"no"
        await trio.sleep(1)


@virtual
async def test_a_body_that_waits_in_a_nursery_can_be_cancelled(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(then=stay))
    async with pool_on(network) as pool:
        with trio.move_on_after(1) as scope:
            await fetch(pool, post(content=Nested()))
        assert scope.cancelled_caught
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_body_may_use_the_same_pool(network: MemoryNetwork) -> None:
    a_server(network)
    a_server(network, "b.test", answer=lambda asked: Reply(body=[b"one", 0.5, b"two"]))
    async with pool_on(network) as pool:
        source = await pool.send(Request("GET", "http://b.test/"))
        assert await fetch(pool, post(content=source.iter_bytes())) == b":onetwo"
        assert counts(pool) == (0, 2, 0, 0, 0)


@pytest.mark.parametrize(("length", "what"), [("3", "Too much data"), ("5", "Too little data")])
@virtual
async def test_a_body_that_is_not_as_long_as_it_says(network: MemoryNetwork, length: str, what: str) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        with pytest.raises(LocalProtocolError, match=what):
            await fetch(pool, post(content=pieces(b"ab", b"cd"), headers={"Content-Length": length}))
        assert counts(pool) == (0, 0, 0, 0, 0)
        assert network.open == 0


@virtual
async def test_a_body_of_text_is_a_usage_error(network: MemoryNetwork) -> None:
    async def text() -> AsyncIterator[Any]:
        yield "text"

    a_server(network)
    async with pool_on(network) as pool:
        with pytest.raises(UsageError, match="bytes, not of str"):
            await fetch(pool, post(content=text()))
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_body_of_bytearrays_may_be_changed_once_it_was_taken(network: MemoryNetwork) -> None:
    buffer = bytearray(b"aaaa")

    async def reuse() -> AsyncIterator[Any]:
        yield memoryview(buffer)
        buffer[:] = b"bbbb"
        yield buffer

    a_server(network)
    async with pool_on(network) as pool:
        assert await fetch(pool, post(content=reuse())) == b":aaaabbbb"


# ---- servers that go wrong ----


@BOTH
@virtual
async def test_a_server_that_breaks_off_an_upload(network: MemoryNetwork, scheme: str) -> None:
    async def reset(channel: Channel) -> None:
        await read_head(channel)
        await trio.sleep(1)
        channel.reset()

    serve(network, scheme, reset)
    async with pool_on(network, tls=scheme == "https") as pool:
        with pytest.raises((ReadError, WriteError)) as caught:
            await fetch(pool, upload(scheme, b"x" * 1_000_000))
        assert caught.value.may_have_been_processed
        assert caught.value.phase == "sending the request"
        assert counts(pool) == (0, 0, 0, 0, 0)


@BOTH
@virtual
async def test_a_server_that_ends_during_an_upload_without_an_answer(network: MemoryNetwork, scheme: str) -> None:
    body = Body(b"x", 50.0, b"y")
    serve(network, scheme, saying(1.0))
    async with pool_on(network, tls=scheme == "https") as pool:
        with pytest.raises((RemoteProtocolError, ReadError)) as caught:
            await fetch(pool, upload(scheme, body))
        assert trio.current_time() == pytest.approx(1)
        assert caught.value.may_have_been_processed
        assert body.is_closed


@virtual
async def test_nonsense_during_an_upload_is_a_protocol_error(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(1.0, b"nonsense\r\n\r\n", then=stay))
    async with pool_on(network) as pool:
        with pytest.raises(RemoteProtocolError, match="broke HTTP/1.1"):
            await fetch(pool, post(content=pieces(b"x", 50.0, b"y")))
        assert trio.current_time() == pytest.approx(1)


@virtual
async def test_a_pool_that_is_left_during_an_upload_ends_it(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(then=stay))
    blocked, waiting = Outcome(), Outcome()
    body = Body(b"x", 50.0)
    async with trio.open_nursery() as nursery, pool_on(network) as pool:
        nursery.start_soon(blocked.of, fetch, pool, post(content=b"x" * 1_000_000))
        nursery.start_soon(waiting.of, fetch, pool, post(content=body))
        await settle()
    assert isinstance(blocked.error, ReadError)
    assert isinstance(waiting.error, ReadError)
    assert body.is_closed


@virtual
async def test_a_blocked_upload_goes_on_when_the_server_reads_again(network: MemoryNetwork) -> None:
    server = Server()

    async def pause(channel: Channel) -> None:
        await trio.sleep(20)
        await server(channel)

    network.serve("a.test", pause, capacity=1000)
    async with pool_on(network) as pool:
        request = post(content=b"x" * 10_000, timeouts=Timeouts(write=25))
        assert await fetch(pool, request) == b":" + b"x" * 10_000


@virtual
async def test_an_answer_before_a_body_that_was_never_asked_for(network: MemoryNetwork) -> None:
    def answer(asked: Asked) -> Reply:
        return Reply(status=200, body=[asked.body])

    a_server(network, answer=answer)
    async with pool_on(network) as pool:
        request = Request("GET", "http://a.test/", content=b"a GET may have one")
        assert await fetch(pool, request) == b"a GET may have one"
