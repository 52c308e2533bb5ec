"""Waits that end by the pool's alarm clock, and streams of somebody's own, on which it cannot rely."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.testing

from trio_pool import (
    LocalProtocolError,
    PoolConfig,
    ReadTimeout,
    Request,
    SystemNetwork,
    TotalTimeout,
    UsageError,
    open_client,
    open_pool,
)
from trio_pool._net.streams import SocketStream
from trio_pool._wire import fast_codec

from .network import ScriptedNetwork, response

URL = "http://h/"


async def test_an_answer_that_is_there_when_the_run_comes_back_late_is_taken(
    mock_clock: trio.testing.MockClock,
) -> None:
    for _ in range(20):  # which of two tasks that are woken together runs first is up to chance
        network = ScriptedNetwork([[]])
        async with open_client(PoolConfig(read_timeout=2), network=network) as client, trio.open_nursery() as nursery:

            async def ask() -> None:
                assert (await client.get(URL)).content == b"late"

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            network.connections[0].send(response(b"late"))
            mock_clock.jump(5)


async def test_a_second_reader_leaves_the_first_ones_deadline_alone(autojump_clock: trio.testing.MockClock) -> None:
    network = ScriptedNetwork([[b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"]])
    async with open_pool(PoolConfig(read_timeout=2), network=network) as pool, pool.lease(URL) as connection:
        exchange = await connection.exchange(Request("GET", URL))

        async def read() -> None:
            with pytest.raises(ReadTimeout):
                await exchange.receive()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(UsageError, match="two tasks"):
                await exchange.receive()
    assert trio.current_time() == pytest.approx(2)


@pytest.mark.parametrize("codec", ["fast", "h11"])
async def test_a_request_that_is_changed_after_it_was_sent_is_checked_again(codec: str) -> None:
    config = PoolConfig(codec="h11") if codec == "h11" else PoolConfig()
    network = ScriptedNetwork(lambda _: response(b"ok"))
    async with open_pool(config, network=network) as pool:
        request = Request("POST", URL, content=b"abc", headers={"X-Token": "secret"})
        (await pool.send(request)).close()
        request.content = b"abcGET /smuggled HTTP/1.1\r\n\r\n"
        with pytest.raises(LocalProtocolError, match="Too much data"):
            await pool.send(request)
        request.content = b"abc"
        request.raw_headers = [field for field in request.raw_headers if field[0] != b"X-Token"]
        (await pool.send(request)).close()
        request.method = "PUT"
        (await pool.send(request)).close()
    sent = [(seen.method, seen.header("x-token")) for seen in network.requests]
    assert sent == [("POST", "secret"), ("POST", None), ("PUT", None)]


# ---- streams of somebody's own ----


class Own:
    """A stream that answers as its test says."""

    def __init__(self) -> None:
        self.answer = b""
        self.is_closed = False

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        if not self.answer:
            raise BlockingIOError
        data, self.answer = self.answer[:max_bytes], self.answer[max_bytes:]
        return data

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        return len(data)

    def readable(self) -> bool:
        return bool(self.answer)

    async def wait_readable(self) -> None:
        if not self.answer:
            await trio.sleep_forever()  # closing does not end this

    async def wait_writable(self) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


class Instant(Own):
    """Has its answer at once, and its waits do not yield."""

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        self.answer = response(b"ok")
        return len(data)


class Unwilling(Own):
    """Cannot be closed."""

    def close(self) -> None:
        raise OSError("not now")


class Network(SystemNetwork):
    """Connects to streams of one kind."""

    def __init__(self, make: Callable[[], Own]) -> None:
        super().__init__()
        self._make = make

    async def resolve(self, host: str, port: int) -> list[tuple[str, int]]:
        return [("192.0.2.1", port)]

    async def connect(self, address: tuple[str, int]) -> Own:
        return self._make()


async def test_a_wait_that_does_not_end_by_closing_ends_in_time_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_client(PoolConfig(read_timeout=2, retry_attempts=1), network=Network(Own)) as client:
        with pytest.raises(ReadTimeout, match="within 2 s"):
            await client.get(URL)
        assert trio.current_time() == pytest.approx(2)
        assert client.pool.statistics().leased == 0


async def test_a_stream_that_never_blocks_does_not_keep_others_from_running() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await trio.lowlevel.checkpoint()

    async with open_client(network=Network(Instant)) as client, trio.open_nursery() as nursery:
        nursery.start_soon(other)
        with trio.CancelScope() as scope:
            while turns < 20:
                await client.get(URL)
            scope.cancel()
            await client.get(URL)
        assert scope.cancelled_caught
        nursery.cancel_scope.cancel()


async def test_a_stream_that_cannot_be_closed_ends_nobodys_pool(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "trio_pool"):
        async with open_client(PoolConfig(read_timeout=2), network=Network(Unwilling)) as client:
            with pytest.raises(ReadTimeout):
                await client.get(URL)
            assert client.pool.statistics().leased == 0
    assert "a stream could not be closed" in caplog.text


class Around:
    """Somebody's own stream around one of ours, all of whose names it hands through; it reads ahead."""

    def __init__(self, below: SocketStream) -> None:
        self._below = below
        self._ahead = b""

    def __getattr__(self, name: str) -> object:
        return getattr(self._below, name)

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        if not self._ahead:
            self._ahead = self._below.recv_nowait(65536)
        data, self._ahead = self._ahead[:ONE], self._ahead[ONE:]
        return data

    def readable(self) -> bool:
        return bool(self._ahead) or self._below.readable()


ONE = len(response(b"1"))


async def test_what_a_stream_around_a_socket_has_read_ahead_is_seen_before_it_is_used_again() -> None:
    class Reading(SystemNetwork):
        async def connect(self, address: tuple[str, int]) -> Any:
            stream = await super().connect(address)
            assert isinstance(stream, SocketStream)
            return Around(stream)

    async def answer(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(response(b"1") + response(b"9"))
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, answer, listeners)
        url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/"
        async with open_client(network=Reading()) as client:
            for _ in range(2):
                assert (await client.get(url)).content == b"1"
            assert client.pool.statistics().dials == 2
        nursery.cancel_scope.cancel()


async def test_nobody_waits_for_a_socket_that_is_closed() -> None:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with open_pool() as pool:
        origin = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        async with pool.lease(origin) as connection:
            stream = connection.stream
            stream.close()
            for wait in (stream.wait_readable, stream.wait_writable):
                with pytest.raises(trio.ClosedResourceError):
                    await wait()
            assert stream.readable()
    await listeners[0].aclose()


async def test_nothing_is_sent_past_the_total_deadline(mock_clock: trio.testing.MockClock) -> None:
    network = ScriptedNetwork(lambda _: response(b"ok"))
    async with open_pool(network=network) as pool:
        (await pool.send(Request("GET", URL))).close()
        with pytest.raises(TotalTimeout):
            await pool.send(Request("GET", URL), deadline=trio.current_time())
        assert len(network.requests) == 1


async def test_a_large_head_is_read_fast_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_codec, "reference", None)
    async with open_client(network=ScriptedNetwork(lambda _: response(b"ok", f"X-Policy: {'x' * 10_000}"))) as client:
        assert (await client.get(URL)).content == b"ok"
