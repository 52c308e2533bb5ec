"""Dials on real sockets: whichever connection is ready first serves whoever waits first."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl

import pytest
import trio

from trio_pool import (
    ConnectError,
    ConnectTimeout,
    DecodingError,
    PoolConfig,
    PoolFull,
    ReadError,
    Stream,
    SystemNetwork,
    UsageError,
    open_client,
)

from .churn import descriptors, settle
from .scripted import Visit, answer, probing, scripted


async def nothing(_: Visit) -> None:
    """The case of a server that is only probed."""


class Stalling(SystemNetwork):
    """A network on which only so many connections are ever made; the others are always under way."""

    def __init__(self, made: int) -> None:
        self._made = made

    async def connect(self, address: tuple[str, int]) -> Stream:
        self._made -= 1
        if self._made < 0:
            await trio.sleep_forever()
        return await super().connect(address)


async def test_a_freed_connection_serves_whoever_waits_for_a_slow_dial(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext
) -> None:
    first_is_here, go_on, answers = trio.Event(), trio.Event(), []

    async def script(visit: Visit) -> None:
        first_is_here.set()
        await go_on.wait()
        await visit.send_pieces([answer(b"first")])

    async with (
        scripted(probing(script), tls, host="127.0.0.1") as server,
        open_client(PoolConfig(retry_attempts=1, max_connections=2), tls=trusting, network=Stalling(1)) as client,
    ):

        async def ask(path: str) -> None:
            answers.append((await client.get(server.url + path)).content)

        with trio.fail_after(4):  # less than connection_timeout
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask, "/case")
                await first_is_here.wait()
                nursery.start_soon(ask, "/probe/second")
                await trio.testing.wait_all_tasks_blocked()
                assert client.pool.statistics().dialling == 1
                go_on.set()
        assert answers == [b"first", b"second"]


async def test_a_refused_connection_is_a_connect_error(trusting: ssl.SSLContext) -> None:
    with socket.socket() as reserved:  # bound, and not listened on
        reserved.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{reserved.getsockname()[1]}/"
        async with open_client(PoolConfig(retry_attempts=1, max_connections=2), tls=trusting) as client:
            for _ in range(5):
                with pytest.raises(ConnectError, match="refused") as caught:
                    await client.get(url)
                assert not caught.value.may_have_been_processed
            figures = client.pool.statistics()
            assert (figures.dial_failures, figures.dialling, figures.waiting, figures.leased) == (5, 0, 0, 0)


async def test_a_dial_that_hangs_is_a_connect_timeout_and_leaves_no_descriptor() -> None:
    """The listener's queue is full, so the network says nothing at all."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        await fill(listener.getsockname(), held)
        config = PoolConfig(retry_attempts=1, max_connections=2, connection_timeout=0.1)
        async with open_client(config) as client:
            before = descriptors()
            for _ in range(2):
                with pytest.raises(ConnectTimeout):
                    await client.get("http://127.0.0.1:{1}/".format(*listener.getsockname()))
            with trio.CancelScope() as scope, trio.fail_after(5):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(client.get, "http://127.0.0.1:{1}/".format(*listener.getsockname()))
                    await trio.testing.wait_all_tasks_blocked()
                    scope.cancel()
            await settle(client)
            assert descriptors() == before
            assert client.pool.statistics().dial_failures == 3


async def fill(address: tuple[str, int], held: contextlib.ExitStack) -> None:
    """Connect until the network says nothing any more."""
    for _ in range(10):
        sock = held.enter_context(socket.socket())
        sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
        with trio.move_on_after(0.05) as scope:
            await trio.lowlevel.wait_writable(sock)
        if scope.cancelled_caught:
            return


async def test_a_full_line_refuses_before_anything_is_sent(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext
) -> None:
    async def script(_: Visit) -> None:
        await trio.sleep_forever()

    async with (
        scripted(probing(script), tls) as server,
        open_client(
            PoolConfig(retry_attempts=1, max_connections=1, max_waiting=1), base_url=server.url, tls=trusting
        ) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(client.get, "/case")
        await trio.testing.wait_all_tasks_blocked(0.01)
        nursery.start_soon(client.get, "/case")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(PoolFull, match="1 leased, 0 idle, 0 dialling, 1 waiting"):
            await client.get("/probe/refused")
        nursery.cancel_scope.cancel()
    assert b"refused" not in b"".join(bytes(visit.received) for visit in server.visits)


async def test_a_connection_is_used_no_more_often_than_it_may(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext
) -> None:
    config = PoolConfig(retry_attempts=1, max_connections=1, max_requests_per_connection=3)
    async with (
        scripted(probing(nothing), tls) as server,
        open_client(config, base_url=server.url, tls=trusting) as client,
    ):
        for number in range(7):
            assert (await client.get(f"/probe/{number}")).content == b"%d" % number
        assert len(server.visits) == 3
        assert client.pool.statistics().evictions == {"max_requests": 2}


async def test_a_server_that_closes_after_each_response_serves_every_get(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext
) -> None:
    """It does not say that it closes, so every connection is a race that the client has to win."""

    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"done")])
        await visit.cut()

    async with (
        scripted(probing(script), tls) as server,
        open_client(PoolConfig(retry_attempts=1, max_connections=5), base_url=server.url, tls=trusting) as client,
    ):

        async def ask() -> None:
            for _ in range(10):
                assert (await client.get("/case")).content == b"done"

        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                for _ in range(10):
                    nursery.start_soon(ask)
        figures = client.pool.statistics()
        assert (figures.leased, figures.dialling, figures.waiting) == (0, 0, 0)


async def test_a_dropped_response_is_reclaimed_with_a_warning(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext
) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"x" * 100_000)[:-1]])

    async with (
        scripted(probing(script), tls) as server,
        open_client(PoolConfig(retry_attempts=1, max_connections=1), base_url=server.url, tls=trusting) as client,
    ):
        with pytest.warns(ResourceWarning, match=f"response or lease of {server.url}"):
            await client.stream("GET", "/case").__aenter__()
            gc.collect()
        assert (await client.get("/probe/mine")).content == b"mine"
        figures = client.pool.statistics()
        assert (figures.leaks, figures.evictions, figures.leased) == (1, {"leaked": 1}, 0)


@pytest.mark.parametrize(
    "reply",
    [
        answer(b"no gzip at all", b"Content-Encoding: gzip"),
        answer(b"", b"Content-Encoding: unheard-of"),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1000000\r\n\r\nno gzip",
    ],
    ids=["corrupt", "unknown", "corrupt and unfinished"],
)
async def test_a_body_that_cannot_be_decoded_costs_no_slot(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, reply: bytes
) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces([reply])

    async with (
        scripted(probing(script), tls) as server,
        open_client(PoolConfig(retry_attempts=1, max_connections=1), base_url=server.url, tls=trusting) as client,
    ):
        async with client.stream("GET", "/case") as response:
            with pytest.raises(DecodingError):
                async for _ in response.iter_bytes():
                    pass
        assert client.pool.statistics().leased == 0
        assert (await client.get("/probe/mine")).content == b"mine"


async def test_two_readers_of_one_response_are_a_mistake(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"x" * 1000)[:-1]])

    async with (
        scripted(probing(script), tls) as server,
        open_client(PoolConfig(retry_attempts=1, max_connections=1), base_url=server.url, tls=trusting) as client,
        client.stream("GET", "/case") as response,
        trio.open_nursery() as nursery,
    ):
        body = response.iter_bytes()
        await anext(body)
        nursery.start_soon(anext, body)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(UsageError, match="two tasks"):
            await anext(body)
        nursery.cancel_scope.cancel()


async def test_closing_a_response_wakes_whoever_reads_it(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"x" * 1000)[:-1]])

    errors: list[str] = []
    async with (
        scripted(probing(script), tls) as server,
        open_client(PoolConfig(retry_attempts=1, max_connections=1), base_url=server.url, tls=trusting) as client,
        client.stream("GET", "/case") as response,
        trio.open_nursery() as nursery,
    ):

        async def read() -> None:
            with pytest.raises(ReadError, match="closed from elsewhere"):
                await response.read()
            errors.append("told")

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked(0.01)
        response.close()
    assert errors == ["told"]


async def test_leaving_the_pool_wakes_whoever_reads(tls: ssl.SSLContext | None, trusting: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"x" * 1000)[:-1]])

    errors: list[str] = []
    async with scripted(probing(script), tls) as server, trio.open_nursery() as nursery:
        async with open_client(
            PoolConfig(retry_attempts=1, max_connections=1), base_url=server.url, tls=trusting
        ) as client:

            async def read() -> None:
                with pytest.raises(ReadError):
                    await client.get("/case")
                errors.append("told")

            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert errors == ["told"]
