"""Law 5: every public await looks for cancellation and its deadline, and lets others run; counted in task steps."""

from __future__ import annotations

import gzip
import math
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trio

from trio_pool import Response, Timeouts, TotalTimeout

from .network import Channel, MemoryNetwork, MemoryStream, Pipe
from .scheduling import settle, virtual, virtual_clock
from .servers import read_all, read_head, saying, stay
from .stories import fetch, get, pool_on, post

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


class Spring(MemoryStream):
    """A client's end at which there is always more to read: a body without end that is always ready."""

    tile = b"data: 0123456789\n\n" * 4096

    def __init__(self, incoming: Pipe, outgoing: Pipe, most: Callable[[int], int]) -> None:
        super().__init__(incoming, outgoing, most)
        self.drawn = 0
        self._is_open = False

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        if self.is_closed or not self._is_open:
            data = super().recv_nowait(max_bytes)
            self._is_open = data.startswith(HEAD)
            return data
        self.drawn += max_bytes
        assert self.drawn < 100_000_000, "nobody ever stopped it"
        return self.tile[:max_bytes]


class SpringNetwork(MemoryNetwork):
    """A network on which the clients' ends are springs."""

    def make(self, incoming: Pipe, outgoing: Pipe) -> MemoryStream:
        return Spring(incoming, outgoing, self._portion)


async def begin(channel: Channel) -> None:
    """Send the head; the rest springs up by itself."""
    await read_head(channel)
    await channel.send_all(HEAD)
    await read_all(channel)


async def drink(response: Response, way: str) -> None:
    """Read for ever."""
    if way == "read":
        await response.read()
    else:
        async for _ in getattr(response, way)():
            pass


WAYS = pytest.mark.parametrize("way", ["read", "iter_raw", "iter_bytes", "iter_lines", "iter_events"])


def drawn(network: MemoryNetwork) -> int:
    """Bytes that were drawn from the only spring."""
    spring = network.hosts["a.test"].served[0].peer
    assert isinstance(spring, Spring)
    return spring.drawn


@WAYS
@virtual
async def test_a_slow_consumer_of_an_endless_body_lets_others_run(network: MemoryNetwork, way: str) -> None:
    network.__class__ = SpringNetwork
    network.serve("a.test", begin)
    steps_at: list[int] = []

    async def others() -> None:
        while len(steps_at) < 12:
            await trio.lowlevel.checkpoint()
            steps_at.append(drawn(network))
        nursery.cancel_scope.cancel()

    async with pool_on(network, total_timeout=None) as pool, pool.stream(get()) as response:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            await drink(response, way)
    gaps = [after - before for before, after in zip(steps_at, steps_at[1:], strict=False)]
    assert max(gaps) <= 2 * 262_144, "at most 256 KiB without a yield, and a batch may turn the order"


@WAYS
@virtual
async def test_a_consumer_of_an_endless_body_can_be_cancelled(network: MemoryNetwork, way: str) -> None:
    network.__class__ = SpringNetwork
    network.serve("a.test", begin)
    async with pool_on(network) as pool, pool.stream(get()) as response, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:

            async def cancel() -> None:
                for _ in range(5):
                    await trio.lowlevel.checkpoint()
                scope.cancel()

            nursery.start_soon(cancel)
            await drink(response, way)
        assert scope.cancelled_caught
        assert drawn(network) < 5_000_000


@WAYS
@virtual
async def test_the_total_deadline_of_an_endless_body_is_seen(network: MemoryNetwork, way: str) -> None:
    network.__class__ = SpringNetwork
    network.serve("a.test", begin)
    async with pool_on(network) as pool, trio.open_nursery() as nursery:

        async def turn_the_clock() -> None:
            for _ in range(5):
                await trio.lowlevel.checkpoint()
            virtual_clock().jump(10)

        async with pool.stream(get(timeouts=Timeouts(total=5))) as response:
            nursery.start_soon(turn_the_clock)
            with pytest.raises(TotalTimeout):
                await drink(response, way)
        assert drawn(network) < 5_000_000


@WAYS
@virtual
async def test_a_cancelled_scope_is_seen_before_anything_is_read(network: MemoryNetwork, way: str) -> None:
    network.__class__ = SpringNetwork
    network.serve("a.test", begin)
    async with pool_on(network) as pool, pool.stream(get()) as response:
        await settle()
        with trio.CancelScope() as scope:
            scope.cancel()
            await drink(response, way)
        assert scope.cancelled_caught
        assert drawn(network) == 0


@virtual
async def test_a_warm_request_in_a_cancelled_scope_sends_nothing(network: MemoryNetwork) -> None:
    received = bytearray()

    async def listen(channel: Channel) -> None:
        while True:
            received.extend(await channel.receive())
            await channel.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    network.serve("a.test", listen)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        size = len(received)
        with trio.CancelScope() as scope:
            scope.cancel()
            await pool.send(get())
        assert scope.cancelled_caught
        await settle()
        assert len(received) == size


class Sink(MemoryStream):
    """A client's end that takes whatever is sent, 64 KiB at a time."""

    taken = 0

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        size = min(len(data), 65536)
        self.taken += size
        assert self.taken < 50_000_000, "nobody ever stopped it"
        return size


class SinkNetwork(MemoryNetwork):
    """A network on which the clients' ends are sinks."""

    def make(self, incoming: Pipe, outgoing: Pipe) -> MemoryStream:
        return Sink(incoming, outgoing, self._portion)


async def endless(size: int) -> AsyncIterator[bytes]:
    """A body that never waits."""
    while True:
        yield b"x" * size


@pytest.mark.parametrize("content", [lambda: endless(100), lambda: endless(200_000), lambda: b"x" * 20_000_000])
@virtual
async def test_an_upload_that_never_waits_lets_others_run(network: MemoryNetwork, content: Callable[[], Any]) -> None:
    network.__class__ = SinkNetwork
    network.serve("a.test", read_all)
    steps_at = [0]

    async def others() -> None:
        while len(steps_at) < 20:
            await trio.lowlevel.checkpoint()
            stream = network.hosts["a.test"].served[0].peer
            assert isinstance(stream, Sink)
            steps_at.append(stream.taken)
        nursery.cancel_scope.cancel()

    async with pool_on(network) as pool:
        await pool.prewarm("http://a.test", 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            await pool.send(post(content=content()))
    gaps = [after - before for before, after in zip(steps_at, steps_at[1:], strict=False)]
    assert max(gaps) <= 2 * (262_144 + 200_000)


@pytest.mark.parametrize("way", ["read", "iter_bytes", "iter_lines"])
@virtual
async def test_a_bomb_of_a_body_lets_others_run_and_can_be_cancelled(network: MemoryNetwork, way: str) -> None:
    """A few bytes that become very many: the waits between them are ours to make."""
    bomb = gzip.compress(b"x" * 20_000_000 + b"\n", 9)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb)

    async def explode(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(head + bomb)
        await read_all(channel)

    network.serve("a.test", explode)
    steps = 0

    async def others() -> None:
        nonlocal steps
        while steps < 20:
            await trio.lowlevel.checkpoint()
            steps += 1
        nursery.cancel_scope.cancel()

    async with pool_on(network) as pool, pool.stream(get()) as response:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            await drink(response, way)
            nursery.cancel_scope.cancel()
        assert steps == 20


PUBLIC: dict[str, Callable[[Any], Any]] = {
    "send": lambda pool: pool.send(get()),
    "acquire": lambda pool: pool.acquire(get().origin),
    "prewarm": lambda pool: pool.prewarm("http://a.test", 1),
    "drain": lambda pool: pool.drain(math.inf),
}


@pytest.mark.parametrize("name", PUBLIC)
@virtual
async def test_every_public_await_of_a_pool_looks_for_a_cancellation(network: MemoryNetwork, name: str) -> None:
    async def answer(channel: Channel) -> None:
        while await read_head(channel):
            await channel.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    network.serve("a.test", answer)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        with trio.CancelScope() as scope:
            scope.cancel()
            await PUBLIC[name](pool)
        assert scope.cancelled_caught


class Meals(trio.abc.Instrument):
    """The most bytes that were received in one step of a task."""

    def __init__(self, network: MemoryNetwork) -> None:
        self.largest = 0
        self._network = network
        self._before = 0

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        served = self._network.hosts["a.test"].served
        received = served[0].peer.received if served else 0
        self.largest = max(self.largest, received - self._before)
        self._before = received


@pytest.mark.parametrize("way", ["read", "iter_raw", "iter_bytes", "iter_lines"])
@virtual
async def test_no_step_takes_more_than_256_kib_of_a_body_with_a_length(network: MemoryNetwork, way: str) -> None:
    body = b"0123456\n" * 500_000
    network.serve("a.test", saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body, then=stay))
    meals = Meals(network)
    trio.lowlevel.add_instrument(meals)
    async with pool_on(network) as pool, pool.stream(get()) as response:
        await drink(response, way)
    assert 65_000 < meals.largest <= 262_144
