"""The network in memory behaves like sockets where the pool can tell."""

from __future__ import annotations

import errno

import pytest
import trio

from .network import Dialling, MemoryNetwork, MemoryStream
from .scheduling import settle, virtual
from .servers import read_all, stay
from .stories import Outcome

PLACE = ("10.0.0.1", 80)


async def pair(network: MemoryNetwork, capacity: int = 65536) -> tuple[MemoryStream, MemoryStream]:
    """Both ends of a connection."""
    host = network.serve("a.test", stay, capacity=capacity)
    client = await network.connect(PLACE)
    return client, host.served[0]


@virtual
async def test_bytes_arrive_whole_and_in_order(network: MemoryNetwork) -> None:
    network.shreds = True
    client, server = await pair(network, capacity=100)
    sent = bytes(range(256)) * 40
    outcome = Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.of, read_all, server)
        await client.send_all(sent)
        client.close()
    assert outcome.result == sent


@virtual
async def test_a_full_pipe_blocks_until_somebody_reads(network: MemoryNetwork) -> None:
    client, server = await pair(network, capacity=10)
    assert client.send_nowait(b"x" * 15) == 10
    with pytest.raises(BlockingIOError):
        client.send_nowait(b"x")
    async with trio.open_nursery() as nursery:
        outcome = Outcome()
        nursery.start_soon(outcome.of, client.wait_writable)
        await settle()
        assert outcome.at is None
        server.recv_nowait(1)
    assert client.send_nowait(b"xx") == 1
    client.close()


@virtual
async def test_what_was_sent_is_read_before_the_end(network: MemoryNetwork) -> None:
    client, server = await pair(network)
    await server.send_all(b"last words")
    server.close()
    assert client.readable()
    assert client.recv_nowait(4) == b"last"
    assert client.recv_nowait(100) == b" words"
    assert client.recv_nowait(100) == b""
    with pytest.raises(BrokenPipeError):
        client.send_nowait(b"x")
    client.close()


@virtual
async def test_closing_with_unread_bytes_resets(network: MemoryNetwork) -> None:
    client, server = await pair(network)
    await client.send_all(b"unread")
    await server.send_all(b"a word")
    server.close()
    assert client.recv_nowait(100) == b"a word"
    with pytest.raises(ConnectionResetError):
        client.recv_nowait(100)
    client.close()


@virtual
async def test_a_half_close_leaves_the_other_half(network: MemoryNetwork) -> None:
    client, server = await pair(network)
    server.send_eof()
    assert await client.receive() == b""
    await client.send_all(b"still here")
    assert server.recv_nowait(100) == b"still here"
    client.close()


@pytest.mark.parametrize("kind", ["wait_readable", "wait_writable"])
@virtual
async def test_closing_wakes_who_waits(network: MemoryNetwork, kind: str) -> None:
    client, _ = await pair(network, capacity=1)
    client.send_nowait(b"x")
    outcome = Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.of, getattr(client, kind))
        await settle()
        client.close()
        client.close()
    assert isinstance(outcome.error, trio.ClosedResourceError)


@virtual
async def test_two_waits_of_one_kind_are_refused(network: MemoryNetwork) -> None:
    client, _ = await pair(network)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.wait_readable)
        await settle()
        with pytest.raises(trio.BusyResourceError):
            await client.wait_readable()
        nursery.cancel_scope.cancel()
    client.close()


@virtual
async def test_a_closed_end_is_a_bad_descriptor(network: MemoryNetwork) -> None:
    client, _ = await pair(network)
    client.close()
    for use in (lambda: client.recv_nowait(1), lambda: client.send_nowait(b"x")):
        with pytest.raises(OSError, match="descriptor") as caught:
            use()
        assert caught.value.errno == errno.EBADF


@virtual
async def test_open_ends_are_counted_now_and_at_most(network: MemoryNetwork) -> None:
    host = network.serve("a.test", stay)
    first, second = await network.connect(PLACE), await network.connect(PLACE)
    assert (network.open, host.open) == (2, 2)
    first.close()
    second.close()
    assert (network.open, network.most, host.open, host.most) == (0, 2, 0, 2)


@virtual
async def test_dials_take_their_time_and_fail_as_told(network: MemoryNetwork) -> None:
    host = network.serve("a.test", stay)
    host.resolving = Dialling(1.0)
    host.dials.append(Dialling(2.0, errno.ECONNREFUSED))
    started = trio.current_time()
    assert await network.resolve("a.test", 80) == [PLACE]
    with pytest.raises(ConnectionRefusedError):
        await network.connect(PLACE)
    assert trio.current_time() - started == pytest.approx(3.0)
    with pytest.raises(OSError, match="not known"):
        await network.resolve("nowhere.test", 80)
    with pytest.raises(OSError, match="unreachable"):
        await network.connect(("10.9.9.9", 80))
    assert network.open == 0


@virtual
async def test_reading_the_end_over_and_over_is_found_out(network: MemoryNetwork) -> None:
    client, server = await pair(network)
    server.close()
    with pytest.raises(AssertionError, match="over and over"):
        while True:
            client.recv_nowait(1)
    client.close()
