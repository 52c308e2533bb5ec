"""Requests with bodies: in pieces, blocked, answered early, and gone wrong on either side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from trio_pool import (
    LocalProtocolError,
    PoolFull,
    PoolTimeout,
    ReadError,
    RemoteProtocolError,
    Request,
    Timeouts,
    UsageError,
    WriteError,
)

from .bodies import BOTH, TOO_LARGE, Body, serve, upload
from .network import Channel, MemoryNetwork
from .scheduling import settle, virtual
from .servers import Asked, Reply, Server, read_head, saying, stay
from .stories import Outcome, a_server, client_on, counts, fetch, pieces, pool_on, post


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


@virtual
async def test_a_body_that_only_waited_can_be_sent_again(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, max_connections=1, max_waiting=1, acquire_timeout=1) as pool:
        request, waiting = post(content=pieces(b"a", b"b")), Outcome()
        async with pool.stream(post()), trio.open_nursery() as nursery:
            nursery.start_soon(waiting.of, fetch, pool, post())
            await settle()
            with pytest.raises(PoolFull):
                await pool.send(request)
            await trio.sleep(1.5)
            with pytest.raises(PoolTimeout):
                await pool.send(request)
            with trio.CancelScope() as scope:
                scope.cancel()
                await pool.send(request)
        assert await fetch(pool, request) == b":ab"
        with pytest.raises(UsageError, match="was sent before"):
            await pool.send(request)


@virtual
async def test_a_body_that_two_send_at_once_goes_out_once_and_costs_no_connection(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, max_connections=1) as pool:
        request, outcomes = post(content=pieces(b"a", 1.0, b"b")), [Outcome(), Outcome()]
        async with trio.open_nursery() as nursery:
            for outcome in outcomes:
                nursery.start_soon(outcome.of, fetch, pool, request)
        assert sorted(str(type(outcome.error).__name__) for outcome in outcomes) == ["NoneType", "UsageError"]
        assert counts(pool) == (0, 1, 0, 0, 0)
