"""Each timeout in each phase it belongs to, and none where it does not."""

from __future__ import annotations

import math

import pytest
import trio

from trio_pool import Pool, ReadTimeout, Request, Timeouts, TotalTimeout, TrioPoolError, WriteTimeout

from .network import Channel, Dialling, MemoryNetwork
from .scheduling import virtual
from .secure import over_tls
from .servers import OK, Reply, Server, Step, read_all, read_head, saying, stay
from .stories import a_server, client_on, counts, fetch, get, pieces, pool_on, post

SLOW_LENGTH = 100
SLOW_HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SLOW_LENGTH


async def drip(channel: Channel) -> None:
    """One byte of the body every 0.3 s."""
    await read_head(channel)
    await channel.send_all(SLOW_HEAD)
    for _ in range(SLOW_LENGTH):
        await trio.sleep(0.3)
        await channel.send_all(b"x")
    await stay(channel)


@pytest.mark.parametrize("scheme", ["http", "https"])
@virtual
async def test_a_silent_server_is_a_read_timeout(network: MemoryNetwork, scheme: str) -> None:
    network.serve("a.test", over_tls(saying(then=stay)) if scheme == "https" else saying(then=stay))
    async with pool_on(network, tls=scheme == "https", read_timeout=2) as pool:
        with pytest.raises(ReadTimeout, match="did not begin to answer within 2 s") as caught:
            await fetch(pool, Request("GET", f"{scheme}://a.test/"))
        assert trio.current_time() == pytest.approx(2)
        assert caught.value.elapsed == pytest.approx(2)
        assert caught.value.phase == "waiting for the response"
        assert caught.value.may_have_been_processed
        assert isinstance(caught.value, TimeoutError)
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_the_first_byte_has_a_time_of_its_own(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(delay=5, body=[2.0, b"x"]))
    async with pool_on(network, read_timeout=1, first_byte_timeout=3) as pool:
        with pytest.raises(ReadTimeout, match="within 3 s"):
            await fetch(pool, get())
        with pytest.raises(ReadTimeout, match="silent for 1 s") as caught:
            await fetch(pool, get(timeouts=Timeouts(first_byte=6)))
        assert caught.value.phase == "reading the response"
        assert await fetch(pool, get(timeouts=Timeouts(first_byte=6, read=3))) == b"x"


@virtual
async def test_a_head_that_drips_is_a_read_timeout(network: MemoryNetwork) -> None:
    steps: list[Step] = []
    for byte in SLOW_HEAD:
        steps.append(0.3)
        steps.append(bytes([byte]))
    network.serve("a.test", saying(*steps))
    async with pool_on(network, read_timeout=1) as pool:
        with pytest.raises(ReadTimeout, match="did not begin"):
            await fetch(pool, get())
        assert trio.current_time() == pytest.approx(1)


@virtual
async def test_interim_responses_do_not_put_off_the_first_byte(network: MemoryNetwork) -> None:
    chatter: list[Step] = [0.5, b"HTTP/1.1 102 Processing\r\n\r\n"]
    network.serve("a.test", saying(*chatter * 20, then=stay))
    async with pool_on(network, read_timeout=1) as pool:
        with pytest.raises(ReadTimeout):
            await fetch(pool, get())
        assert trio.current_time() == pytest.approx(1)


@virtual
async def test_a_drip_is_no_silence(network: MemoryNetwork) -> None:
    network.serve("a.test", drip)
    async with pool_on(network, read_timeout=1) as pool:
        assert len(await fetch(pool, get())) == SLOW_LENGTH
        assert trio.current_time() == pytest.approx(30)


@pytest.mark.parametrize("way", ["read", "iterate"])
@virtual
async def test_the_total_time_covers_a_body_that_drips(network: MemoryNetwork, way: str) -> None:
    network.serve("a.test", drip)
    async with pool_on(network, read_timeout=1, total_timeout=1.5) as pool:
        async with pool.stream(get()) as response:
            with pytest.raises(TotalTimeout, match="total timeout ran out"):
                if way == "read":
                    await response.read()
                else:
                    async for _ in response.iter_bytes():
                        pass
        assert trio.current_time() == pytest.approx(1.5)
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_the_total_time_covers_dialling(network: MemoryNetwork) -> None:
    network.serve("a.test", stay).dialling = Dialling(math.inf)
    async with pool_on(network, total_timeout=1) as pool:
        with pytest.raises(TotalTimeout, match="connection was not made in time"):
            await fetch(pool, get())
        assert trio.current_time() == pytest.approx(1)


@virtual
async def test_the_total_time_covers_waiting_for_the_head(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(then=stay))
    async with pool_on(network, total_timeout=1) as pool:
        with pytest.raises(TotalTimeout) as caught:
            await fetch(pool, get())
        assert trio.current_time() == pytest.approx(1)
        assert caught.value.may_have_been_processed


@virtual
async def test_the_total_time_covers_a_wait_for_the_callers_own_body(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(then=stay))
    async with pool_on(network, total_timeout=1) as pool:
        with pytest.raises(TotalTimeout) as caught:
            await fetch(pool, post(content=pieces(b"x", 50.0)))
        assert trio.current_time() == pytest.approx(1)
        assert caught.value.phase == "sending the request"
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_the_total_time_covers_a_body_that_never_waits(network: MemoryNetwork) -> None:
    async def swallow(channel: Channel) -> None:
        await read_all(channel)

    async def slow() -> object:
        while True:
            await trio.sleep(0.01)
            yield b"x" * 100

    network.serve("a.test", swallow)
    async with pool_on(network, total_timeout=1) as pool:
        with pytest.raises(TotalTimeout):
            await fetch(pool, post(content=slow()))
        assert trio.current_time() == pytest.approx(1)


@pytest.mark.parametrize("scheme", ["http", "https"])
@virtual
async def test_a_server_that_takes_nothing_is_a_write_timeout(network: MemoryNetwork, scheme: str) -> None:
    network.serve("a.test", over_tls(stay) if scheme == "https" else stay)
    async with pool_on(network, tls=scheme == "https", write_timeout=2) as pool:
        with pytest.raises(WriteTimeout, match="took nothing for 2 s") as caught:
            await fetch(pool, Request("POST", f"{scheme}://a.test/", content=b"x" * 1_000_000))
        assert trio.current_time() == pytest.approx(2)
        assert caught.value.phase == "sending the request"
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_the_write_timeout_is_for_a_stall_and_not_for_all(network: MemoryNetwork) -> None:
    server = Server()

    async def slowly(channel: Channel) -> None:
        class Slow:
            send_all, send_eof, reset, close = channel.send_all, channel.send_eof, channel.reset, channel.close

            async def receive(self, max_bytes: int = 0) -> bytes:
                await trio.sleep(1)
                return await channel.receive(100_000)

        await server(Slow())

    network.serve("a.test", slowly)
    async with pool_on(network, write_timeout=2, read_timeout=5) as pool:
        assert len(await fetch(pool, post(content=b"x" * 1_000_000))) == 1_000_001
        assert trio.current_time() > 10


@virtual
async def test_the_total_time_covers_a_blocked_send(network: MemoryNetwork) -> None:
    network.serve("a.test", stay)
    async with pool_on(network, total_timeout=1) as pool:
        with pytest.raises(TotalTimeout):
            await fetch(pool, post(content=b"x" * 1_000_000))
        assert trio.current_time() == pytest.approx(1)


@virtual
async def test_one_total_time_for_a_redial_too(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(delay=0.8) if asked.number == 1 else None)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        network.hosts["a.test"].dialling = Dialling(0.5)
        started = trio.current_time()
        with pytest.raises(TotalTimeout) as caught:
            await fetch(pool, get(timeouts=Timeouts(total=1)))
        assert trio.current_time() - started == pytest.approx(1)
        assert caught.value.may_have_been_processed


@virtual
async def test_no_attempt_starts_after_the_total_time(network: MemoryNetwork) -> None:
    async def late(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(OK)
        await read_head(channel)
        await trio.sleep(1)

    network.serve("a.test", late)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        with pytest.raises(TotalTimeout):
            await fetch(pool, get(timeouts=Timeouts(total=1)))
        await trio.sleep(5)
        assert network.hosts["a.test"].served[1:] == [] or counts(pool) == (0, 1, 0, 0, 0)


@virtual
async def test_the_total_time_is_over_all_redirects(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(status=302, headers=[("Location", "/")], delay=0.4))
    async with client_on(network, total_timeout=1) as client:
        client._follows = True
        with pytest.raises(TotalTimeout):
            await client.get("http://a.test/")
        assert trio.current_time() == pytest.approx(1)


@virtual
async def test_a_body_that_was_read_outlives_the_total_time(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"one\ntwo\n"]))
    async with client_on(network, total_timeout=1) as client:
        response = await client.get("http://a.test/")
        await trio.sleep(5)
        assert [line async for line in response.iter_lines()] == ["one", "two"]
        assert await response.read() == b"one\ntwo\n"


@virtual
async def test_what_has_come_in_time_is_read_after_the_total_time(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"one\ntwo\nthree\n"]))
    async with pool_on(network, total_timeout=1) as pool, pool.stream(get()) as response:
        lines = response.iter_lines()
        assert await anext(lines) == "one"
        await trio.sleep(5)
        with pytest.raises(TotalTimeout):
            await anext(lines)


@virtual
async def test_a_slow_consumer_is_not_a_silent_server(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x" * 50_000] * 20))
    async with pool_on(network, read_timeout=1) as pool, pool.stream(get()) as response:
        size = 0
        async for piece in response.iter_bytes():
            await trio.sleep(3)
            size += len(piece)
        assert size == 1_000_000


@virtual
async def test_an_infinite_timeout_means_none(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(delay=5000))
    async with pool_on(network, read_timeout=1, total_timeout=1) as pool:
        timeouts = Timeouts(read=math.inf, total=math.inf, acquire=math.inf, write=math.inf, connection=math.inf)
        await fetch(pool, get(timeouts=timeouts))


@virtual
async def test_every_timeout_is_a_timeout_error_of_ours(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(then=stay))
    async with pool_on(network, total_timeout=1) as pool:
        with pytest.raises(TimeoutError) as caught:
            await fetch(pool, get())
        assert isinstance(caught.value, TrioPoolError)


@virtual
async def test_a_timeout_holds_in_a_shielded_body_whose_surroundings_are_cancelled(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(then=stay))
    with trio.CancelScope() as surroundings:
        async with pool_on(network, read_timeout=2) as pool:
            await pool.prewarm("http://a.test", 1)
            surroundings.cancel()
            with trio.CancelScope(shield=True):
                with pytest.raises(ReadTimeout):
                    await fetch(pool, get())
            assert trio.current_time() == pytest.approx(2)
    assert surroundings.cancelled_caught is False


@virtual
async def test_many_waits_of_different_lengths_each_end_in_their_own_time(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(then=stay))
    ended: list[tuple[float, float]] = []

    async def wait(pool: Pool, seconds: float) -> None:
        with pytest.raises(ReadTimeout):
            await fetch(pool, get(timeouts=Timeouts(first_byte=seconds)))
        ended.append((seconds, trio.current_time()))

    async with pool_on(network, read_timeout=100) as pool, trio.open_nursery() as nursery:
        for seconds in (7.0, 3.0, 5.0, 0.5, 9.0):
            nursery.start_soon(wait, pool, seconds)
    assert [seconds for seconds, _ in ended] == [0.5, 3.0, 5.0, 7.0, 9.0]
    assert all(at == pytest.approx(seconds) for seconds, at in ended)


@pytest.mark.parametrize("scheme", ["http", "https"])
@virtual
async def test_what_comes_in_the_very_moment_of_the_timeout_is_one_or_the_other(
    network: MemoryNetwork, scheme: str
) -> None:
    a_server(network, answer=lambda asked: Reply(delay=2))
    async with pool_on(network, read_timeout=2) as pool:
        try:
            assert await fetch(pool, get()) == b""
        except ReadTimeout as error:
            assert "did not begin to answer within 2 s" in str(error)
        assert counts(pool)[0] == 0
        assert pool.statistics().leased == 0


@virtual
async def test_a_request_that_is_too_late_costs_no_connection_and_lets_others_run(network: MemoryNetwork) -> None:
    a_server(network)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with pool_on(network) as pool:
        await fetch(pool, get())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            for _ in range(10):
                with pytest.raises(TotalTimeout):
                    await pool.send(get(), deadline=trio.current_time())
            nursery.cancel_scope.cancel()
        assert turns >= 5  # the scheduler is shuffled
        assert counts(pool) == (0, 1, 0, 0, 0)
        await fetch(pool, get())
        assert pool.statistics().dials == 1


@virtual
async def test_a_total_timeout_between_lines_that_are_there_ends_the_response(network: MemoryNetwork) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"
    network.serve("a.test", saying(head + b"one\ntwo\n", then=stay))
    async with client_on(network, total_timeout=2) as client, client.stream("GET", "http://a.test/") as response:
        lines = response.iter_lines()
        assert await anext(lines) == "one"
        await trio.sleep(3)
        with pytest.raises(TotalTimeout) as caught:
            await anext(lines)
        assert response.is_closed
        assert len(caught.value.attempts) == 1
        assert counts(client.pool) == (0, 0, 0, 0, 0)
