"""Leaving a pool, and using it where it does not belong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest
import trio

from trio_pool import Pool, PoolClosed, ReadError, RemoteProtocolError, Request, TrioPoolError, UsageError

from .network import Address, Channel, Dialling, MemoryNetwork, MemoryStream
from .scheduling import play, settle, virtual
from .servers import OK, Asked, Reply, Server, read_head, stay
from .stories import Outcome, a_server, client_on, counts, fetch, get, pool_on


class Interrupt(BaseException):
    """As bad as a KeyboardInterrupt."""


# ---- what comes out of the body ----


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), Interrupt("x"), StopIteration("x"), StopAsyncIteration("x"), ExceptionGroup("x", [OSError()])],
)
@pytest.mark.parametrize("opened", [pool_on, client_on])
@virtual
async def test_what_the_body_raises_comes_out_as_itself(
    network: MemoryNetwork, opened: Callable[[MemoryNetwork], trio.abc.AsyncResource], error: BaseException
) -> None:
    a_server(network)
    with pytest.raises(type(error)) as caught:
        async with opened(network):
            raise error
    assert caught.value is error


@virtual
async def test_what_the_body_raises_with_requests_under_way_comes_out_as_itself(network: MemoryNetwork) -> None:
    network.serve("a.test", stay).dialling = Dialling(1)
    a_server(network, "b.test")
    error = Interrupt("x")
    with pytest.raises(Interrupt) as caught:
        async with pool_on(network) as pool:
            response = await pool.send(get("b.test"))
            with trio.move_on_after(0.5):
                await fetch(pool, get())
            assert counts(pool) == (1, 0, 1, 0, 0)
            raise error
    assert caught.value is error
    assert not response.is_closed, "it is still the caller's"
    response.close()
    assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_an_outer_cancellation_comes_out_as_cancelled_and_stays_with_its_scope(network: MemoryNetwork) -> None:
    a_server(network)
    seen: BaseException | None = None
    with trio.move_on_after(1) as scope:
        try:
            async with pool_on(network):
                await trio.sleep_forever()
        except BaseException as error:
            seen = error
            raise
    assert scope.cancelled_caught
    assert type(seen) is trio.Cancelled
    await trio.lowlevel.checkpoint()


@virtual
async def test_a_scope_inside_the_body_keeps_its_cancellation(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        with trio.move_on_after(1) as scope:
            await trio.sleep_forever()
        assert scope.cancelled_caught
        await fetch(pool, get())


# ---- what is open when it is left ----


@virtual
async def test_leaving_with_responses_and_waiters(network: MemoryNetwork) -> None:
    network.serve("a.test", Server(lambda asked: Reply(body=[b"x", 5.0, b"y"])))
    network.serve("b.test", stay).dialling = Dialling(9)
    reading, waiting, dialled_for = Outcome(), Outcome(), Outcome()
    async with trio.open_nursery() as nursery:
        async with pool_on(network, max_connections=2, max_connections_per_host=1) as pool:
            unread = await pool.send(get())
            nursery.start_soon(reading.of, unread.read)
            nursery.start_soon(waiting.of, fetch, pool, get())
            nursery.start_soon(dialled_for.of, fetch, pool, get("b.test"))
            await settle()
            assert counts(pool) == (1, 0, 1, 0, 1)
        assert network.open == 0
        assert counts(pool) == (0, 0, 0, 0, 0)
    assert isinstance(reading.error, ReadError)
    assert isinstance(waiting.error, PoolClosed)
    assert isinstance(dialled_for.error, PoolClosed)
    unread.close()


@virtual
async def test_a_response_is_dead_after_its_pool(network: MemoryNetwork) -> None:
    network.serve("a.test", Server(lambda asked: Reply(body=[b"x", 5.0, b"y"])))
    async with pool_on(network) as pool:
        response = await pool.send(get())
    with pytest.raises(ReadError):
        await response.read()
    response.close()
    response.close()


@virtual
async def test_a_waiter_granted_in_the_step_in_which_the_pool_closes_gets_pool_closed(network: MemoryNetwork) -> None:
    a_server(network)
    waiting = Outcome()
    async with trio.open_nursery() as nursery, pool_on(network, max_connections=1) as pool:
        response = await pool.send(get())
        nursery.start_soon(waiting.of, fetch, pool, get())
        await settle()
        response.close()
    assert isinstance(waiting.error, PoolClosed)


@virtual
async def test_a_redial_in_the_step_in_which_the_pool_closes_gets_pool_closed(network: MemoryNetwork) -> None:
    async def once(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(OK)
        await read_head(channel)
        await trio.sleep_forever()

    host = network.serve("a.test", once)
    sending = Outcome()
    async with trio.open_nursery() as nursery, pool_on(network) as pool:
        await fetch(pool, get())
        nursery.start_soon(sending.of, fetch, pool, get())
        await settle()
        host.served[0].close()
    assert isinstance(sending.error, PoolClosed)
    assert sending.error.may_have_been_processed


@virtual
async def test_a_dial_that_ends_in_the_step_in_which_the_pool_closes(network: MemoryNetwork) -> None:
    network.serve("a.test", stay).dialling = Dialling(1)
    waiting = Outcome()
    async with trio.open_nursery() as nursery, pool_on(network) as pool:
        nursery.start_soon(waiting.of, fetch, pool, get())
        await trio.sleep(1)
    assert isinstance(waiting.error, PoolClosed)


@virtual
async def test_a_redial_under_way_is_refused_when_the_pool_closes(network: MemoryNetwork) -> None:
    server = a_server(network, answer=lambda asked: Reply() if asked.number == 1 else None)
    sending = Outcome()
    async with trio.open_nursery() as nursery, pool_on(network) as pool:
        await fetch(pool, get())
        network.hosts["a.test"].dialling = Dialling(3)
        nursery.start_soon(sending.of, fetch, pool, get())
        await settle()
        assert counts(pool) == (0, 0, 1, 0, 0)
    assert isinstance(sending.error, PoolClosed)
    assert len(server.asked) == 2


# ---- afterwards, and elsewhere ----

USES: dict[str, Callable[[Pool], Awaitable[object]]] = {
    "send": lambda pool: pool.send(get()),
    "stream": lambda pool: pool.stream(get()).__aenter__(),
    "acquire": lambda pool: pool.acquire(get().origin),
    "lease": lambda pool: pool.lease("http://a.test").__aenter__(),
    "prewarm": lambda pool: pool.prewarm("http://a.test", 1),
}


@pytest.mark.parametrize("use", USES)
@virtual
async def test_a_pool_used_after_it_was_closed(network: MemoryNetwork, use: str) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        pass
    with pytest.raises(PoolClosed, match="the pool is closed .*a.test"):
        await USES[use](pool)
    assert pool.statistics().requests == 0


@virtual
async def test_draining_a_closed_pool_does_nothing(network: MemoryNetwork) -> None:
    async with pool_on(network) as pool:
        pass
    await pool.drain()
    await pool.drain(1)


@pytest.mark.parametrize("use", [*USES, "drain"])
def test_a_pool_used_outside_trio_is_a_usage_error(use: str) -> None:
    pool = closed_pool()
    call = USES.get(use, Pool.drain)

    async def main() -> None:
        await call(pool)

    with pytest.raises(UsageError, match="another trio run"):
        asyncio.run(main())


@pytest.mark.parametrize("use", [*USES, "drain"])
def test_a_pool_used_in_a_later_run_is_a_usage_error(use: str) -> None:
    pool = closed_pool()
    call = USES.get(use, Pool.drain)
    with pytest.raises(UsageError, match="another trio run"):
        play(lambda network: call(pool))


@pytest.mark.parametrize("use", [*USES, "drain"])
def test_an_open_pool_used_in_another_threads_run_is_a_usage_error(use: str) -> None:
    call = USES.get(use, Pool.drain)

    async def story(network: MemoryNetwork) -> None:
        a_server(network)
        async with pool_on(network) as pool:
            await fetch(pool, get())
            errors: list[BaseException] = []
            thread = threading.Thread(target=run_elsewhere, args=(call, pool, errors))
            thread.start()
            thread.join()
            assert "another trio run" in str(errors)
            assert isinstance(errors[0], UsageError)
            assert counts(pool) == (0, 1, 0, 0, 0)
            await fetch(pool, get())

    play(story)


def run_elsewhere(call: Callable[[Pool], Awaitable[object]], pool: Pool, errors: list[BaseException]) -> None:
    """In a run of its own."""

    async def main() -> None:
        await call(pool)

    try:
        trio.run(main)
    except TrioPoolError as error:
        errors.append(error)


def closed_pool() -> Pool:
    """A pool of a run that is over."""

    async def story(network: MemoryNetwork) -> Pool:
        async with pool_on(network) as pool:
            return pool

    return play(story)


# ---- failures ----


@virtual
async def test_a_server_that_ends_without_a_word_leaves_nothing(network: MemoryNetwork) -> None:
    def answer(asked: Asked) -> None:
        return None

    a_server(network, answer=answer)
    async with pool_on(network) as pool:
        with pytest.raises(RemoteProtocolError, match="without a response"):
            await fetch(pool, get())
        assert counts(pool) == (0, 0, 0, 0, 0)
        with pytest.raises(TrioPoolError):
            await fetch(pool, Request("GET", "http://nowhere.test/"))
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_pool_can_be_opened_where_all_is_cancelled(network: MemoryNetwork) -> None:
    a_server(network)
    with trio.CancelScope() as scope:
        scope.cancel()
        async with pool_on(network) as pool:
            assert counts(pool) == (0, 0, 0, 0, 0)
            await trio.lowlevel.checkpoint()
            raise AssertionError("it was cancelled")
    assert scope.cancelled_caught


@virtual
async def test_a_pool_that_is_opened_while_a_neighbour_fails_ends_with_it(network: MemoryNetwork) -> None:
    async def fail() -> None:
        raise KeyError("neighbour")

    async def live() -> None:
        async with pool_on(network):
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(live)
            nursery.start_soon(fail)
    assert [type(error) for error in caught.value.exceptions] == [KeyError]


class Untidy(MemoryNetwork):
    """A network whose attempts to connect fail in their own way when they are cancelled."""

    async def connect(self, address: Address) -> MemoryStream:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            try:
                await trio.sleep_forever()
            finally:
                raise OSError("untidy")
        raise AssertionError("unreachable")


@pytest.mark.parametrize("is_drained", [False, True])
@virtual
async def test_a_dial_that_fails_in_being_cancelled_stays_inside(network: MemoryNetwork, is_drained: bool) -> None:
    network.__class__ = Untidy
    network.serve("a.test", stay)
    async with trio.open_nursery() as nursery:
        with pytest.raises(KeyError, match="own"):
            async with pool_on(network) as pool:
                nursery.start_soon(Outcome().of, fetch, pool, get())
                await settle()
                if is_drained:
                    await pool.drain(0)
                    await trio.sleep(1)
                raise KeyError("own")
