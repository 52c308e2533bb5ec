"""A connection in memory: bytes against a naive model, and TCP's manners."""

from __future__ import annotations

import errno
import math
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any, TypeVar

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool.simulate.world.engine import Engine
from trio_pool.simulate.world.pipes import End, Pipe, Way
from trio_pool.simulate.world.streams import ServerEnd, VirtualStream

from .test_engine import with_engine

T = TypeVar("T")

Receipt = tuple[float, bytes]


@attrs.define(eq=False)
class Recorder:
    """A server that keeps what it is told; and what it is told of."""

    engine: Engine
    received_at: list[Receipt] = attrs.Factory(list)
    left_at: list[float] = attrs.Factory(list)

    def received(self, data: bytes) -> None:
        self.received_at.append((self.engine.now(), data))

    def left(self) -> None:
        self.left_at.append(self.engine.now())

    @property
    def bytes(self) -> bytes:
        return b"".join(data for _, data in self.received_at)


@attrs.define(eq=False)
class Connection:
    """Both ends."""

    engine: Engine
    client: VirtualStream
    server: ServerEnd
    told: Recorder
    closed: list[float]


def connect(engine: Engine, way: Way) -> Connection:
    up, down, closed = Pipe(engine, way, "up"), Pipe(engine, way, "down"), list[float]()
    client = VirtualStream(down, up, lambda: closed.append(engine.now()))
    server, told = ServerEnd(up, down), Recorder(engine)
    server.handler = told
    return Connection(engine, client, server, told, closed)


def connected(story: Callable[[Connection], Awaitable[T]], way: Way = Way()) -> T:  # noqa: B008  # frozen
    return with_engine(lambda engine: story(connect(engine, way)))


async def read(client: VirtualStream, most: int = 65536) -> bytes:
    """Some bytes, or b"" at the end."""
    while True:
        try:
            return client.recv_nowait(most)
        except BlockingIOError:
            await client.wait_readable()


async def write(client: VirtualStream, data: bytes) -> None:
    while data:
        try:
            data = data[client.send_nowait(data) :]
        except BlockingIOError:
            await client.wait_writable()


# ---- against a model ----


def earliest(sent: list[tuple[float, int]], way: Way) -> list[float]:
    """When each byte can be there at the earliest: one after another on a line, then a journey."""
    line, times = -math.inf, []
    for when, size in sent:
        for _ in range(size):
            line = max(line, when) + 1 / way.bandwidth
            times.append(line + way.latency)
    return times


def check(sent: list[tuple[float, int]], content: bytes, receipts: list[Receipt], way: Way) -> None:
    assert b"".join(data for _, data in receipts) == content, "bytes are lost, or out of order"
    possible, place = earliest(sent, way), 0
    for when, data in receipts:
        place += len(data)
        assert when >= possible[place - 1] - 1e-6, "a byte was there before its time"


ways = st.builds(
    Way,
    latency=st.sampled_from([0.0, 0.05, 1.0]),
    bandwidth=st.sampled_from([math.inf, 1e3, 1e6]),
    capacity=st.sampled_from([1, 20, 200, 65536]),
)
gaps = st.sampled_from([0.0, 0.01, 0.5, 3.0])
sends = st.lists(st.tuples(gaps, st.integers(1, 300)), max_size=5)


def content_of(sizes: list[int]) -> bytes:
    return bytes(place * 7 % 251 for place in range(sum(sizes)))


@settings(max_examples=60, deadline=None)
@given(ways, sends, st.lists(gaps, max_size=5), st.sampled_from([7, 50, 65536]))
def test_what_a_server_sends_arrives_whole_in_order_and_in_time(
    way: Way, plan: list[tuple[float, int]], pauses: list[float], most: int
) -> None:
    async def story(connection: Connection) -> list[Receipt]:
        content, when = content_of([size for _, size in plan]), 0.0
        for gap, size in plan:
            when += gap
            sent.append((when, size))
            connection.engine.at(when, connection.server.send, content[:size])
            content = content[size:]
        connection.engine.at(when, connection.server.close)
        receipts: list[Receipt] = []
        while data := await read(connection.client, most):
            receipts.append((trio.current_time(), data))
            if pauses:
                await trio.sleep(pauses.pop())
        return receipts

    sent: list[tuple[float, int]] = []
    pauses = list(pauses)
    check(sent, content_of([size for _, size in plan]), connected(story, way), way)


@settings(max_examples=60, deadline=None)
@given(ways, sends)
def test_what_a_client_sends_arrives_whole_in_order_and_in_time(way: Way, plan: list[tuple[float, int]]) -> None:
    async def story(connection: Connection) -> tuple[list[tuple[float, int]], list[Receipt]]:
        sent: list[tuple[float, int]] = []
        content, taken = content_of([size for _, size in plan]), 0
        for gap, size in plan:
            await trio.sleep(gap)
            rest, content = content[:size], content[size:]
            while rest:
                try:
                    size = connection.client.send_nowait(rest)
                except BlockingIOError:
                    await connection.client.wait_writable()
                    continue
                sent.append((trio.current_time(), size))
                rest, taken = rest[size:], taken + size
                assert taken - len(connection.told.bytes) <= way.capacity, "more is on its way than there is room for"
        connection.client.close()
        assert not connection.told.left_at or way.latency == 0
        await trio.sleep(1e5)
        assert len(connection.told.left_at) == 1
        return sent, connection.told.received_at

    sent, receipts = connected(story, way)
    check(sent, content_of([size for _, size in plan]), receipts, way)


def test_a_line_is_used_to_the_full() -> None:
    async def story(connection: Connection) -> list[Any]:
        connection.server.send(bytes(10_000))
        connection.server.send(bytes(100_000))
        receipts: list[Any] = []
        while sum(len(data) for _, data in receipts) < 110_000:
            data = await read(connection.client)
            receipts.append((trio.current_time(), data))
        return receipts

    receipts = connected(story, Way(latency=0.5, bandwidth=10_000.0, capacity=200_000))
    assert receipts[-1][0] == pytest.approx(0.5 + 11)
    assert receipts[0] == (pytest.approx(0.5 + 1), bytes(10_000))
    assert max(after - before for (before, _), (after, _) in pairwise(receipts)) < 2, "a send arrives bit by bit"


# ---- manners ----


def test_bytes_come_before_the_end_which_stays_and_the_other_side_goes_on() -> None:
    async def story(connection: Connection) -> None:
        connection.server.send(b"last words")
        connection.server.send_end()
        assert [await read(connection.client) for _ in range(3)] == [b"last words", b"", b""]
        await write(connection.client, b"still here")
        await trio.sleep(1)
        assert connection.told.bytes == b"still here"

    connected(story, Way(latency=0.1))


def test_bytes_come_before_a_reset_which_breaks_both_directions() -> None:
    async def story(connection: Connection) -> None:
        connection.server.send(b"last words")
        connection.server.reset()
        assert await read(connection.client) == b"last words"
        with pytest.raises(OSError) as caught:
            await read(connection.client)
        assert caught.value.errno == errno.ECONNRESET
        with pytest.raises(OSError) as caught:
            await write(connection.client, b"too late")
        assert caught.value.errno == errno.EPIPE

    connected(story, Way(latency=0.1))


def test_who_sends_to_an_end_that_was_closed_learns_of_it_a_round_trip_later() -> None:
    async def story(connection: Connection) -> None:
        connection.server.close()
        await trio.sleep(0.5)
        await write(connection.client, b"is anybody there?")
        assert await read(connection.client) == b""
        await trio.sleep(0.19)
        await write(connection.client, b"?")
        await trio.sleep(0.02)
        with pytest.raises(OSError) as caught:
            await write(connection.client, b"!")
        assert caught.value.errno == errno.EPIPE
        assert connection.told.bytes == b""

    connected(story, Way(latency=0.1))


@pytest.mark.parametrize(("unread", "expected"), [(b"", "fin"), (b"x", "reset")])
def test_who_closes_with_unread_bytes_resets(unread: bytes, expected: End) -> None:
    class Ears:
        def arrived(self, data: bytes) -> None:
            raise AssertionError

        def ended(self, how: End) -> None:
            ends.append(how)

    async def story(engine: Engine) -> None:
        up, down = Pipe(engine, Way(), "up"), Pipe(engine, Way(), "down")
        up.receiver = Ears()
        client = VirtualStream(down, up, lambda: None)
        if unread:
            down.put(unread)
        client.close()

    ends: list[End] = []
    with_engine(story)
    assert ends == [expected]


def test_a_server_learns_that_its_client_has_gone_and_sends_nothing_more() -> None:
    async def story(connection: Connection) -> None:
        await write(connection.client, b"hello")
        connection.client.close()
        connection.client.close()
        await trio.sleep(1)
        assert connection.told.received_at == [(0.1, b"hello")]
        assert connection.told.left_at == [0.1]
        assert connection.closed == [0.0]
        before = connection.engine.digest()
        connection.server.send(b"anybody?")
        connection.server.close()
        assert connection.engine.digest() == before

    connected(story, Way(latency=0.1))


def test_a_server_that_has_closed_is_not_told_that_its_client_goes() -> None:
    async def story(connection: Connection) -> None:
        connection.server.close()
        connection.client.close()
        await trio.sleep(1)
        assert connection.told.left_at == []

    connected(story)


def test_a_server_is_held_up_by_a_client_that_does_not_read() -> None:
    async def story(connection: Connection) -> None:
        for _ in range(5):
            connection.server.send(bytes(100))
        connection.server.close()
        await trio.sleep(100)
        assert [await read(connection.client, 1000) for _ in range(6)] == [bytes(250), bytes(250), *4 * [b""]]

    connected(story, Way(capacity=250, latency=0.1))


def test_a_closed_stream_is_refused_and_readable() -> None:
    async def story(connection: Connection) -> None:
        assert not connection.client.readable()
        connection.client.close()
        assert connection.client.readable()
        for attempt in (lambda: connection.client.recv_nowait(1), lambda: connection.client.send_nowait(b"x")):
            with pytest.raises(OSError) as caught:
                attempt()
            assert caught.value.errno == errno.EBADF
        for wait in (connection.client.wait_readable, connection.client.wait_writable):
            with pytest.raises(trio.ClosedResourceError):
                await wait()

    connected(story)


Wait = Callable[[VirtualStream], Awaitable[None]]
WAITS: dict[str, Wait] = {"readable": VirtualStream.wait_readable, "writable": VirtualStream.wait_writable}
FULL = Way(capacity=1, latency=1e6)  # nothing is ever there, and after one byte nothing is taken


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_to_close_ends_a_wait(wait: Wait) -> None:
    async def story(connection: Connection) -> None:
        connection.client.send_nowait(b"x")
        async with trio.open_nursery() as nursery:
            connection.engine.at(1, connection.client.close)
            with pytest.raises(trio.ClosedResourceError):
                await wait(connection.client)
            nursery.cancel_scope.cancel()

    connected(story, FULL)


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_wait_that_was_cancelled_leaves_room_for_the_next_and_two_at_once_are_refused(wait: Wait) -> None:
    async def story(connection: Connection) -> None:
        connection.client.send_nowait(b"x")
        with trio.move_on_after(1) as scope:
            await wait(connection.client)
        assert scope.cancelled_caught
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, connection.client)
            await trio.sleep(1)
            with pytest.raises(trio.BusyResourceError):
                await wait(connection.client)
            nursery.cancel_scope.cancel()

    connected(story, FULL)


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_wait_always_yields(wait: Wait) -> None:
    async def story(connection: Connection) -> None:
        connection.server.send(b"here")
        for _ in range(3):
            with trio.testing.assert_checkpoints():
                await wait(connection.client)

    connected(story)


def test_a_stream_that_is_closed_while_a_wait_yields_ends_it() -> None:
    async def story(connection: Connection) -> None:
        connection.server.send(b"here")

        async def close() -> None:
            connection.client.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            with pytest.raises(trio.ClosedResourceError):
                await connection.client.wait_readable()

    connected(story)


def test_nothing_arrives_in_the_dark_and_all_of_it_after() -> None:
    async def story(connection: Connection) -> None:
        connection.server.send(b"a")
        await trio.sleep(1)
        until[0] = 10.0
        connection.server.send(b"b")
        connection.client.send_nowait(b"c")
        await trio.sleep(8.9)
        assert (await read(connection.client), connection.told.bytes) == (b"a", b"")
        await trio.sleep(0.2)
        connection.server.send(b"d")
        assert (await read(connection.client), connection.told.bytes) == (b"b", b"c")
        await trio.sleep(0.2)
        assert await read(connection.client) == b"d"

    until = [-math.inf]
    connected(story, Way(latency=0.1, dark_until=lambda: until[0]))


def test_nothing_overtakes_what_arrives_when_the_dark_ends() -> None:
    async def story(connection: Connection) -> bytes:
        connection.engine.at(10, connection.server.send, b"d")
        connection.server.send(b"b")
        await trio.sleep(11)
        return await read(connection.client)

    assert connected(story, Way(dark_until=lambda: 10.0)) == b"bd"


def test_the_rest_of_a_request_may_be_sent_after_the_end() -> None:
    async def story(connection: Connection) -> list[str]:
        told: list[str] = []
        connection.engine.accuse = told.append
        taken = connection.client.send_nowait(b"request")
        connection.server.send(b"stop")
        connection.server.send_end()
        await trio.sleep(1)
        assert await read(connection.client) == b"stop"
        connection.client.send_nowait(b"request"[taken:])
        return told

    assert connected(story, Way(latency=0.1, capacity=4)) == []


def test_nothing_can_always_be_sent() -> None:
    async def story(connection: Connection) -> int:
        connection.client.send_nowait(b"x")
        return connection.client.send_nowait(b"")

    assert connected(story, FULL) == 0


def test_a_reset_wakes_who_waits_for_room() -> None:
    async def story(connection: Connection) -> float:
        connection.client.send_nowait(b"x")
        connection.engine.at(1, connection.server.reset)
        await connection.client.wait_writable()
        with pytest.raises(OSError) as caught:
            connection.client.send_nowait(b"y")
        assert caught.value.errno == errno.EPIPE
        return trio.current_time()

    assert connected(story, Way(capacity=1, bandwidth=1e-3)) == 1
