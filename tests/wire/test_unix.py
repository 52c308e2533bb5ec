"""Unix sockets: dialled whatever the URL's host is, and full or missing ones are clear errors."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from trio_pool import ConnectError, ConnectTimeout, PoolConfig, open_client

from .churn import LIMIT, Churn, CountingNetwork, descriptors, settle
from .scripted import Gone, Visit, answer
from .servers import Server


@asynccontextmanager
async def listening(path: Path, backlog: int) -> AsyncIterator[trio.socket.SocketType]:
    """A Unix socket with a queue of that length, from which nobody accepts yet."""
    with trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        await listener.bind(str(path))
        listener.listen(backlog)
        yield listener


async def serve(listener: trio.socket.SocketType) -> None:
    """Accept one after the other, and answer every request."""
    async with trio.open_nursery() as nursery:
        while True:
            accepted, _ = await listener.accept()
            nursery.start_soon(answer_all, trio.SocketStream(accepted))


async def answer_all(stream: trio.SocketStream) -> None:
    """Answer for as long as requests come."""
    visit = Visit(0, stream, stream, dripping=False)
    async with stream:
        try:
            while True:
                head = await visit.request()
                await visit.send(answer(head.split(b" ")[1]))
        except Gone:
            pass


async def test_a_real_servers_unix_socket_is_dialled_whatever_the_host(server: Server) -> None:
    assert server.uds is not None
    async with open_client(uds=server.uds) as client:
        for host in ("one.example", "two.example:8080"):
            told = (await client.get(f"http://{host}/echo?x=1")).json()
            assert (dict(told["headers"])["host"], told["query"]) == (host, "x=1")
        figures = client.pool.statistics()
        assert (figures.dials, figures.idle) == (2, 2)
        assert {origin.uds for origin in figures.origins} == {server.uds}  # type: ignore[attr-defined]  # an Origin
        content = (await client.get("http://one.example/bytes?size=1000000")).content
        assert len(content) == 1_000_000


async def test_cancelling_over_a_unix_socket_loses_nothing(server: Server) -> None:
    network, before = CountingNetwork(), descriptors()
    config = PoolConfig(retry_attempts=1, max_connections=LIMIT)
    async with open_client(config, base_url="http://any.example", uds=server.uds, network=network) as client:
        work = Churn(client, random.Random(3), seconds=0.5, rounds=20)
        await work.run()
        await settle(client)
        figures = client.pool.statistics()
        assert (figures.leased, figures.dialling, figures.closing, figures.waiting) == (0, 0, 0, 0)
    assert work.tally.cancelled > 50
    assert descriptors() == before


async def test_a_missing_unix_socket_is_a_connect_error(tmp_path: Path) -> None:
    async with open_client(uds=str(tmp_path / "missing")) as client:
        for _ in range(3):
            with pytest.raises(ConnectError, match="missing") as caught:
                await client.get("http://any.example/")
            assert not caught.value.may_have_been_processed
        assert client.pool.statistics().dialling == 0


async def test_a_unix_socket_that_nobody_listens_on_is_a_connect_error(tmp_path: Path) -> None:
    async with listening(tmp_path / "socket", 1):
        pass
    async with open_client(uds=str(tmp_path / "socket")) as client:
        with pytest.raises(ConnectError, match="Connection refused"):
            await client.get("http://any.example/")


async def fill(path: Path) -> None:
    """Connect until no more goes, and hold on to it."""
    held = []
    try:
        for _ in range(10):
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            held.append(sock)
            sock.setblocking(False)
            sock.connect(str(path))
    except BlockingIOError:
        pass
    try:
        await trio.sleep_forever()
    finally:
        for sock in held:
            sock.close()


if sys.platform == "linux":  # elsewhere a full queue refuses

    async def test_a_full_queue_of_a_unix_socket_is_waited_for(tmp_path: Path) -> None:
        """Linux refuses with EAGAIN at once: such a socket is not connected, and never will be by waiting for it."""
        path = tmp_path / "socket"
        answers: list[bytes] = []

        async with listening(path, 0) as listener, open_client(uds=str(path)) as client, trio.open_nursery() as nursery:

            async def ask(number: int) -> None:
                answers.append((await client.get(f"http://any.example/{number}")).content)

            async with trio.open_nursery() as asking:
                for number in range(6):
                    asking.start_soon(ask, number)
                for _ in range(20):
                    await trio.lowlevel.checkpoint()  # by now every dial has met the queue
                nursery.start_soon(serve, listener)
            nursery.cancel_scope.cancel()
        assert sorted(answers) == [b"/%d" % number for number in range(6)]

    async def test_a_full_queue_that_stays_full_is_a_connect_timeout(tmp_path: Path) -> None:
        path, config = tmp_path / "socket", PoolConfig(retry_attempts=1, connection_timeout=0.2, read_timeout=1.0)
        async with listening(path, 0), open_client(config, uds=str(path)) as client, trio.open_nursery() as nursery:
            nursery.start_soon(fill, path)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(ConnectTimeout) as caught:
                await client.get("http://any.example/")
            assert not caught.value.may_have_been_processed
            nursery.cancel_scope.cancel()
