"""Reading a response: to its end, partly, twice, from two tasks, after a close; and what becomes of the connection."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio

from trio_pool import ReadError, Request, UsageError

from .network import Channel, MemoryNetwork
from .scheduling import settle, virtual
from .secure import over_tls
from .servers import Reply, Server, read_head, saying, stay
from .stories import Outcome, a_server, client_on, counts, fetch, get, pool_on

BOTH = pytest.mark.parametrize("scheme", ["http", "https"])


def serve(network: MemoryNetwork, scheme: str, server: Server) -> None:
    """Host a, with or without TLS."""
    network.serve("a.test", over_tls(server) if scheme == "https" else server)


# ---- leaving early ----


@BOTH
@pytest.mark.parametrize(("size", "kept"), [(0, 1), (10, 1), (60_000, 1), (200_000, 0)])
@virtual
async def test_leaving_keeps_the_connection_if_the_rest_is_there_and_small(
    network: MemoryNetwork, scheme: str, size: int, kept: int
) -> None:
    serve(network, scheme, Server(lambda asked: Reply(body=[b"x" * size])))
    async with pool_on(network, tls=scheme == "https") as pool:
        async with pool.stream(Request("GET", f"{scheme}://a.test/")):
            await trio.sleep(1)
        assert counts(pool) == (0, kept, 0, 0, 0)
        await fetch(pool, Request("GET", f"{scheme}://a.test/"))
        assert pool.statistics().reuses == kept


@virtual
async def test_leaving_closes_the_connection_if_the_rest_is_not_there(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x", 1.0, b"y"]))
    async with pool_on(network) as pool:
        async with pool.stream(get()):
            pass
        assert counts(pool) == (0, 0, 0, 0, 0)
        assert network.open == 0


@virtual
async def test_leaving_never_waits(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x" * 10, 1.0, b"y"]))
    steps = 0

    async def count() -> None:
        nonlocal steps
        while True:
            await trio.lowlevel.checkpoint()
            steps += 1

    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        nursery.start_soon(count)
        await trio.lowlevel.checkpoint()
        before = steps
        async with AsyncExitStack() as stack:
            stack.callback(response.close)
        assert steps == before
        nursery.cancel_scope.cancel()


@virtual
async def test_leaving_in_the_middle_of_a_drained_body_that_ends_badly(network: MemoryNetwork) -> None:
    nonsense = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\nnonsense"
    network.serve("a.test", saying(nonsense, then=stay))
    async with pool_on(network) as pool:
        async with pool.stream(get()):
            await trio.sleep(1)
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_breaking_out_of_an_iteration_is_clean(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x", 1.0, b"y"]))
    async with pool_on(network) as pool:
        async with pool.stream(get()) as response:
            async for piece in response.iter_bytes():
                assert piece == b"x"
                break
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_an_error_in_the_block_leaves_the_response(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x", 1.0, b"y"]))
    async with pool_on(network) as pool:
        with pytest.raises(ZeroDivisionError):
            async with pool.stream(get()):
                raise ZeroDivisionError
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_the_connection_is_free_as_soon_as_the_body_has_ended(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool, pool.stream(get()) as response:
        assert counts(pool) == (1, 0, 0, 0, 0)
        await response.read()
        assert response.is_closed
        assert counts(pool) == (0, 1, 0, 0, 0)


@virtual
async def test_a_response_can_be_kept_in_an_exit_stack_and_read_in_another_task(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x", 1.0, b"y"]))
    read = Outcome()
    async with pool_on(network) as pool, AsyncExitStack() as stack:
        response = await stack.enter_async_context(pool.stream(get()))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read.of, response.read)
    assert read.result == b"xy"


# ---- closing from elsewhere ----


@BOTH
@virtual
async def test_closing_while_a_reader_is_blocked_gives_it_a_read_error(network: MemoryNetwork, scheme: str) -> None:
    serve(network, scheme, Server(lambda asked: Reply(body=[b"x", 9.0, b"y"])))
    reading = Outcome()
    async with pool_on(network, tls=scheme == "https") as pool, trio.open_nursery() as nursery:
        response = await pool.send(Request("GET", f"{scheme}://a.test/"))
        nursery.start_soon(reading.of, response.read)
        await settle()
        response.close()
        assert counts(pool) == (0, 0, 0, 0, 0)
        await settle()
        assert isinstance(reading.error, ReadError)
        assert "closed from elsewhere" in str(reading.error)


@virtual
async def test_closing_when_the_reader_is_about_to_run_gives_it_a_read_error_too(network: MemoryNetwork) -> None:
    async def two_parts(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nx")
        await stay(channel)

    host = network.serve("a.test", two_parts)
    reading = Outcome()
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        nursery.start_soon(reading.of, response.read)
        await settle()
        await_nothing = host.served[0].send_nowait(b"y")
        response.close()
        assert await_nothing == 1
    assert isinstance(reading.error, ReadError)
    assert counts(pool)[0] == 0


@virtual
async def test_reading_on_after_a_close_is_an_error_and_not_an_early_end(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x" * 100, 1.0, b"y" * 100]))
    async with pool_on(network) as pool:
        response = await pool.send(get())
        body = response.iter_bytes()
        assert await anext(body) == b"x" * 100
        await trio.sleep(2)
        response.close()
        assert counts(pool) == (0, 1, 0, 0, 0), "the rest was there, and was drained"
        with pytest.raises((ReadError, UsageError)):
            await anext(body)


@virtual
async def test_reading_on_after_a_close_does_not_touch_the_next_ones_connection(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[asked.target.encode(), 1.0, b"!"]))
    reading = Outcome()
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        first = await pool.send(get(path="/first"))
        body = first.iter_bytes()
        await anext(body)
        await trio.sleep(2)
        first.close()
        second = await pool.send(get(path="/second"))
        nursery.start_soon(reading.of, second.read)
        await settle()
        with pytest.raises((ReadError, UsageError)):
            await anext(body)
        with pytest.raises((ReadError, UsageError)):
            await first.read()
    assert reading.result == b"/second!"


@virtual
async def test_a_second_reader_is_a_usage_error_and_does_no_harm(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x", 1.0, b"y"]))
    first = Outcome()
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        body = response.iter_bytes()
        await anext(body)
        nursery.start_soon(first.of, body.__anext__)
        await settle()
        with pytest.raises(UsageError, match="two tasks"):
            await anext(body)
        with pytest.raises(UsageError, match="was read already"):
            await response.read()
    assert first.result == b"y"
    assert first.error is None
    response.close()


@pytest.mark.parametrize("way", ["iter_bytes", "iter_raw", "iter_lines", "iter_events"])
@virtual
async def test_a_body_is_streamed_once(network: MemoryNetwork, way: str) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"data: x\n\n"]))
    async with pool_on(network) as pool, pool.stream(get()) as response:
        assert [item async for item in getattr(response, way)()]
        for again in ("iter_bytes", "iter_raw", "iter_lines", "iter_events"):
            with pytest.raises(UsageError, match="was read already"):
                getattr(response, again)()
        with pytest.raises(UsageError):
            await response.read()


@virtual
async def test_a_closed_response_cannot_be_read(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        response = await pool.send(get())
        response.close()
        with pytest.raises(UsageError, match="closed"):
            await response.read()
        with pytest.raises(UsageError, match="closed"):
            response.iter_bytes()


@virtual
async def test_a_cancelled_reader_closes_the_connection(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x", 5.0, b"y"]))
    async with pool_on(network) as pool, pool.stream(get()) as response:
        with trio.move_on_after(1) as scope:
            await response.read()
        assert scope.cancelled_caught
        assert response.is_closed
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_reading_again_gives_the_same_and_can_be_cancelled(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x"]))
    async with client_on(network) as client:
        response = await client.get("http://a.test/")
        assert await response.read() == b"x"
        with trio.CancelScope() as scope:
            scope.cancel()
            await response.read()
        assert scope.cancelled_caught
