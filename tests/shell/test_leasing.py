"""One connection in a caller's hands."""

from __future__ import annotations

import pytest
import trio

from trio_pool import PoolTimeout, ReadError, TotalTimeout, UsageError, WriteError

from .network import Channel, MemoryNetwork
from .scheduling import settle, virtual
from .servers import OK, Reply, read_all, read_head, saying, stay
from .stories import Outcome, a_server, counts, fetch, get, pieces, pool_on, post


@virtual
async def test_a_lease_exchanges_as_often_as_one_likes(network: MemoryNetwork) -> None:
    server = a_server(network)
    async with pool_on(network) as pool:
        async with pool.lease("http://a.test/ignored") as connection:
            assert not connection.is_reused
            for number in range(3):
                exchange = await connection.exchange(post(content=b"%d" % number, headers={"nonce": "n"}))
                assert exchange.head is not None
                assert exchange.head.status_code == 200
                received = b""
                while piece := await exchange.receive():
                    received += piece
                assert received == b"n:%d" % number
            assert counts(pool) == (1, 0, 0, 0, 0)
        assert counts(pool) == (0, 1, 0, 0, 0)
        async with pool.lease(get().origin) as connection:
            assert connection.is_reused
    assert server.connections == 1


@virtual
async def test_a_lease_gives_the_servers_hint_on(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(headers=[("Keep-Alive", "timeout=4")]))
    async with pool_on(network) as pool:
        async with pool.lease("http://a.test") as connection:
            await (await connection.exchange(get())).receive_all()
        await trio.sleep(2.3)
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_lease_that_was_not_used_is_given_back_whole(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        async with pool.lease("http://a.test"):
            pass
        assert counts(pool) == (0, 1, 0, 0, 0)


@virtual
async def test_a_lease_with_an_unfinished_exchange_is_closed(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x", 1.0, b"y"]))
    async with pool_on(network) as pool:
        async with pool.lease("http://a.test") as connection:
            exchange = await connection.exchange(get())
            with pytest.raises(UsageError, match="not ready for another"):
                await connection.exchange(get())
            assert await exchange.receive() == b"x"
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_lease_whose_exchange_failed_is_closed(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(then=stay))
    async with pool_on(network, total_timeout=1) as pool:
        async with pool.lease("http://a.test") as connection:
            with pytest.raises(TotalTimeout):
                await connection.exchange(get())
            with pytest.raises(UsageError):
                await connection.exchange(get())
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_raw_stream_is_the_bytes_themselves_and_the_connection_is_closed(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        async with pool.lease("http://a.test") as connection:
            stream = connection.stream
            stream.send_nowait(b"GET / HTTP/1.1\r\nHost: a.test\r\nNonce: 5\r\n\r\n")
            await stream.wait_readable()
            assert stream.recv_nowait(1000).startswith(b"HTTP/1.1 200")
            with pytest.raises(UsageError):
                await connection.exchange(get())
        assert counts(pool) == (0, 0, 0, 0, 0)
        assert network.open == 0


@virtual
async def test_a_lease_waits_in_line_as_requests_do(network: MemoryNetwork) -> None:
    a_server(network)
    waiting = Outcome()
    async with pool_on(network, max_connections=1, acquire_timeout=2) as pool, trio.open_nursery() as nursery:
        async with pool.lease("http://a.test"):
            with pytest.raises(PoolTimeout):
                await pool.acquire(get().origin)
            nursery.start_soon(waiting.of, fetch, pool, get())
            await settle()
        await settle()
        assert waiting.error is None


@virtual
async def test_an_error_in_the_block_gives_the_lease_back(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        with pytest.raises(ZeroDivisionError):
            async with pool.lease("http://a.test"):
                raise ZeroDivisionError
        assert counts(pool)[0] == 0


@virtual
async def test_a_lease_used_after_its_end_is_a_usage_error(network: MemoryNetwork) -> None:
    """The connection may be another's by then: nothing must be sent on it."""
    server = a_server(network, answer=lambda asked: Reply(body=[asked.target.encode()]))
    async with pool_on(network) as pool:
        async with pool.lease("http://a.test") as connection:
            await (await connection.exchange(get())).receive_all()
        async with pool.stream(get(path="/other")) as response:
            with pytest.raises(UsageError):
                await connection.exchange(get(path="/late"))
            with pytest.raises(UsageError):
                _ = connection.stream
            assert await response.read() == b"/other"
    assert "/late" not in [asked.target for asked in server.asked]


@virtual
async def test_a_lease_is_released_once(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        lease = await pool.acquire(get().origin)
        lease.release(reusable=True)
        with pytest.raises(UsageError, match="released before"):
            lease.release(reusable=True)
        assert counts(pool) == (0, 1, 0, 0, 0)


@pytest.mark.parametrize("way", ["acquire", "lease", "send"])
@virtual
async def test_an_idle_connection_is_not_taken_in_a_cancelled_scope(network: MemoryNetwork, way: str) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        with trio.CancelScope() as scope:
            scope.cancel()
            if way == "acquire":
                await pool.acquire(get().origin)
            elif way == "lease":
                await pool.lease("http://a.test").__aenter__()
            else:
                await pool.send(get())
        assert scope.cancelled_caught
        assert counts(pool)[0] == 0


@virtual
async def test_a_request_cancelled_before_anything_was_sent_leaves_the_connection_whole(network: MemoryNetwork) -> None:
    """Nothing was exchanged, so nothing was cut: a burst of cancellations must not cost handshakes."""
    a_server(network)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        with trio.CancelScope() as scope:
            scope.cancel()
            await pool.send(get())
        assert counts(pool) == (0, 1, 0, 0, 0)


@virtual
async def test_a_grant_that_meets_a_cancellation_goes_to_the_next(network: MemoryNetwork) -> None:
    server = a_server(network)
    next_one = Outcome()
    async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        with_scope = trio.CancelScope()

        async def victim() -> None:
            with with_scope:
                await fetch(pool, get())

        nursery.start_soon(victim)
        await settle()
        nursery.start_soon(next_one.of, fetch, pool, get())
        await settle()
        response.close()
        with_scope.cancel()
    assert next_one.error is None
    assert counts(pool) == (0, 0, 0, 0, 0)
    assert len(server.asked) <= 3


@virtual
async def test_two_tasks_that_wait_on_one_raw_stream_are_told(network: MemoryNetwork) -> None:
    network.serve("a.test", stay)
    async with pool_on(network) as pool, trio.open_nursery() as nursery, pool.lease("http://a.test") as connection:
        nursery.start_soon(connection.stream.wait_readable)
        await settle()
        with pytest.raises(trio.BusyResourceError):
            await connection.stream.wait_readable()
        nursery.cancel_scope.cancel()


@virtual
async def test_a_lease_outlives_its_pool_as_a_broken_connection(network: MemoryNetwork) -> None:
    async def slow(channel: Channel) -> None:
        await read_head(channel)
        await trio.sleep(5)
        await channel.send_all(OK)
        await read_all(channel)

    network.serve("a.test", slow)
    async with pool_on(network) as pool:
        lease = pool.lease("http://a.test")
        connection = await lease.__aenter__()
    with pytest.raises((ReadError, WriteError)):
        await connection.exchange(get())
    await lease.__aexit__()


@virtual
async def test_a_body_that_can_be_sent_once_is_sent_once(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        request = post(content=pieces(b"a"))
        async with pool.lease("http://a.test") as connection:
            await (await connection.exchange(request)).receive_all()
            with pytest.raises(UsageError, match="was sent before"):
                await connection.exchange(request)
            await (await connection.exchange(get())).receive_all()
        with pytest.raises(UsageError, match="was sent before"):
            await pool.send(request)
