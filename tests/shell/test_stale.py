"""A reused connection that died idle: what is sent once more, and what is not."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

import pytest
import trio

from trio_pool import ConnectError, PoolTimeout, ReadError, RemoteProtocolError, Request, Timeouts, TrioPoolError

from .network import Channel, Dialling, MemoryNetwork, MemoryStream, Pipe
from .scheduling import settle, virtual
from .secure import over_tls
from .servers import OK, Asked, Reply, Server, read_head
from .stories import Outcome, a_server, counts, fetch, get, pieces, pool_on, post


def once_each(asked: Asked) -> Reply | None:
    """A server that answers one request on each connection, and ends it without a word at the next."""
    return Reply(body=[asked.target.encode()]) if asked.number == 1 else None


@virtual
async def test_a_get_is_sent_once_more_on_a_fresh_connection(network: MemoryNetwork) -> None:
    server = a_server(network, answer=once_each)
    async with pool_on(network) as pool:
        assert await fetch(pool, get(path="/one")) == b"/one"
        async with pool.stream(get(path="/two")) as response:
            assert await response.read() == b"/two"
            assert not response.timings.reused
        assert [asked.target for asked in server.asked] == ["/one", "/two", "/two"]
        statistics = pool.statistics()
        assert (statistics.stale_retries, statistics.dials, statistics.requests) == (1, 2, 2)
        assert statistics.evictions == {"dead": 1}
        assert counts(pool) == (0, 1, 0, 0, 0)


@pytest.mark.parametrize("end", ["close", "send_eof", "reset"])
@virtual
async def test_a_get_over_tls_is_sent_once_more_however_the_connection_ended(network: MemoryNetwork, end: str) -> None:
    async def once(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(OK)
        await read_head(channel)
        getattr(channel, end)()

    network.serve("a.test", over_tls(once))
    async with pool_on(network, tls=True) as pool:
        for _ in range(3):
            assert await fetch(pool, Request("GET", "https://a.test/")) == b"ok"
        assert pool.statistics().stale_retries == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
@virtual
async def test_every_idempotent_method_is_sent_once_more(network: MemoryNetwork, method: str) -> None:
    server = a_server(network, answer=once_each)
    async with pool_on(network) as pool:
        for _ in range(2):
            await fetch(pool, Request(method, "http://a.test/", content=b"body" if method == "PUT" else None))
    assert len(server.asked) == 3


@pytest.mark.parametrize("method", ["POST", "PATCH", "UNKNOWN"])
@virtual
async def test_a_post_that_was_sent_is_not_sent_again(network: MemoryNetwork, method: str) -> None:
    server = a_server(network, answer=once_each)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        with pytest.raises(RemoteProtocolError, match="without a response.*may have processed the request") as caught:
            await fetch(pool, Request(method, "http://a.test/", content=b"x"))
        assert caught.value.may_have_been_processed
        assert counts(pool) == (0, 0, 0, 0, 0)
    assert len(server.asked) == 2


class Rotten(MemoryNetwork):
    """A network on which the end of a connection is only noticed by sending."""

    def make(self, incoming: Pipe, outgoing: Pipe) -> MemoryStream:
        return RottenStream(incoming, outgoing, self._portion)


class RottenStream(MemoryStream):
    """One end of such a connection."""

    is_noticed = False

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        if not self._incoming.buffer and not self.is_noticed:
            raise BlockingIOError
        return super().recv_nowait(max_bytes)

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        self.is_noticed = self._outgoing.refused
        return super().send_nowait(data)

    def readable(self) -> bool:
        return self.is_noticed or bool(self._incoming.buffer)


@pytest.mark.parametrize("scheme", ["http", "https"])
@virtual
async def test_a_post_of_which_nothing_was_sent_is_sent_again(network: MemoryNetwork, scheme: str) -> None:
    network.__class__ = Rotten
    server = Server(once_each)
    host = network.serve("a.test", over_tls(server) if scheme == "https" else server)
    async with pool_on(network, tls=scheme == "https") as pool:
        await fetch(pool, Request("GET", f"{scheme}://a.test/one"))
        host.served[0].close()
        assert await fetch(pool, Request("POST", f"{scheme}://a.test/two", content=b"x")) == b"/two"
        assert pool.statistics().stale_retries == 1
    assert [asked.target for asked in server.asked] == ["/one", "/two"]


@virtual
async def test_a_post_of_which_some_records_have_left_is_not_sent_again(network: MemoryNetwork) -> None:
    heads: list[bytes] = []

    async def break_off(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(OK)
        heads.append(await read_head(channel))
        channel.reset()

    network.serve("a.test", over_tls(break_off), capacity=20_000)
    async with pool_on(network, tls=True) as pool:
        await fetch(pool, Request("GET", "https://a.test/"))
        with pytest.raises(TrioPoolError) as caught:
            await fetch(pool, Request("POST", "https://a.test/", content=b"x" * 60_000))
        assert caught.value.may_have_been_processed
    assert len(heads) == 1
    assert heads[0].startswith(b"POST")


@pytest.mark.parametrize("size", [10, 15_000, 17_000, 60_000, 100_000])
@pytest.mark.parametrize("scheme", ["http", "https"])
@virtual
async def test_what_the_server_has_seen_of_a_post_is_never_denied(
    network: MemoryNetwork, scheme: str, size: int
) -> None:
    """Whatever of a POST has left and can be read: it is not sent again, and the error says so."""
    seen: list[bytes] = []

    async def look_and_reset(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(OK)
        await trio.sleep(1)
        seen.append(await channel.receive(10))
        channel.reset()

    for capacity in (100, 16_000, 16_500, 40_000):
        name = f"{'abc'[capacity % 3]}.test"
        network.serve(name, over_tls(look_and_reset) if scheme == "https" else look_and_reset, capacity=capacity)
        async with pool_on(network, tls=scheme == "https") as pool:
            await fetch(pool, Request("GET", f"{scheme}://{name}/"))
            with pytest.raises(TrioPoolError) as caught:
                await fetch(pool, Request("POST", f"{scheme}://{name}/", content=b"x" * size))
            assert caught.value.may_have_been_processed
            assert pool.statistics().stale_retries == 0
        network.hosts.clear()
    assert len(seen) == 4


@virtual
async def test_a_streamed_body_is_not_sent_again(network: MemoryNetwork) -> None:
    server = a_server(network, answer=once_each)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        with pytest.raises(TrioPoolError):
            await fetch(pool, Request("PUT", "http://a.test/", content=pieces(b"x")))
        assert pool.statistics().stale_retries == 0
    assert len(server.asked) == 2


@virtual
async def test_a_streamed_body_of_which_nothing_was_taken_is_sent_again(network: MemoryNetwork) -> None:
    network.__class__ = Rotten
    server = Server(once_each)
    host = network.serve("a.test", server)
    async with pool_on(network) as pool:
        await fetch(pool, get(path="/one"))
        host.served[0].close()
        assert await fetch(pool, post(path="/two", content=pieces(b"x"))) == b"/two"
    assert server.asked[-1].body == b"x"


@virtual
async def test_there_is_exactly_one_resend(network: MemoryNetwork) -> None:
    server = a_server(network, answer=lambda asked: Reply() if (asked.connection, asked.number) == (1, 1) else None)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        with pytest.raises(RemoteProtocolError):
            await fetch(pool, get())
        assert pool.statistics().stale_retries == 1
        assert counts(pool) == (0, 0, 0, 0, 0)
    assert len(server.asked) == 3


@virtual
async def test_a_fresh_connection_that_dies_is_no_reason_to_try_again(network: MemoryNetwork) -> None:
    server = a_server(network, answer=lambda asked: None)
    async with pool_on(network) as pool:
        with pytest.raises(RemoteProtocolError):
            await fetch(pool, get())
    assert len(server.asked) == 1


@virtual
async def test_a_resend_never_takes_another_stale_connection(network: MemoryNetwork) -> None:
    server = a_server(network, answer=once_each)
    async with pool_on(network) as pool:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(fetch, pool, get())
        assert counts(pool) == (0, 3, 0, 0, 0)
        await fetch(pool, get())
        assert counts(pool) == (0, 3, 0, 0, 0)
    assert server.connections == 4


@virtual
async def test_a_resend_overtakes_nobody_and_is_not_overtaken(network: MemoryNetwork) -> None:
    server = a_server(network, answer=once_each)
    waiting = Outcome()
    async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
        await fetch(pool, get(path="/one"))
        network.hosts["a.test"].dialling = Dialling(1)
        nursery.start_soon(fetch, pool, get(path="/two"))
        await settle()
        nursery.start_soon(waiting.of, fetch, pool, get(path="/three"))
        await settle()
        assert counts(pool) == (0, 0, 1, 0, 1)
    assert [asked.target for asked in server.asked] == ["/one", "/two", "/two", "/three", "/three"]


@virtual
async def test_a_response_that_had_begun_is_not_asked_for_again(network: MemoryNetwork) -> None:
    async def begin(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(OK)
        await read_head(channel)
        await channel.send_all(b"HTTP/1.1 20")

    network.serve("a.test", begin)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        with pytest.raises(RemoteProtocolError, match="in the middle of the response's head"):
            await fetch(pool, get())
        assert pool.statistics().stale_retries == 0


@virtual
async def test_a_timeout_on_a_reused_connection_is_not_staleness(network: MemoryNetwork) -> None:
    server = a_server(network, answer=lambda asked: Reply(delay=0 if asked.number == 1 else 9))
    async with pool_on(network, read_timeout=1) as pool:
        await fetch(pool, get())
        with pytest.raises(TimeoutError):
            await fetch(pool, get())
    assert len(server.asked) == 2


@virtual
async def test_a_connection_that_was_reset_is_stale_too(network: MemoryNetwork) -> None:
    async def reset(channel: Channel) -> None:
        await read_head(channel)
        await channel.send_all(OK)
        await read_head(channel)
        channel.reset()

    network.serve("a.test", reset)
    async with pool_on(network) as pool:
        for _ in range(4):
            assert await fetch(pool, get()) == b"ok"
        assert pool.statistics().stale_retries == 3


def refused(network: MemoryNetwork) -> None:
    network.hosts["a.test"].dialling = Dialling(0.1, errno.ECONNREFUSED)


def silent(network: MemoryNetwork) -> None:
    network.hosts["a.test"].dialling = Dialling(50)


@pytest.mark.parametrize(("trouble", "kind"), [(refused, ConnectError), (silent, TimeoutError)])
@virtual
async def test_an_error_of_the_second_try_knows_of_the_first(
    network: MemoryNetwork, trouble: Callable[[MemoryNetwork], None], kind: type[Exception]
) -> None:
    a_server(network, answer=once_each)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        trouble(network)
        with pytest.raises(kind) as caught:
            await fetch(pool, get())
        assert caught.value.may_have_been_processed  # type: ignore[attr-defined]  # each kind here is one of ours
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_redial_whose_requester_goes_away_serves_who_waits(network: MemoryNetwork) -> None:
    a_server(network, answer=once_each)
    waiting = Outcome()
    async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
        await fetch(pool, get())
        network.hosts["a.test"].dialling = Dialling(1)
        with trio.move_on_after(0.5):
            await fetch(pool, get())
        nursery.start_soon(waiting.of, fetch, pool, get())
        await settle()
        assert counts(pool) == (0, 0, 1, 0, 0)
        await trio.sleep(0.6)
        assert pool.statistics().dials == 2
    assert waiting.error is None


@virtual
async def test_a_redial_waits_no_longer_than_the_acquire_timeout(network: MemoryNetwork) -> None:
    a_server(network, answer=once_each)
    async with pool_on(network, acquire_timeout=2) as pool:
        await fetch(pool, get())
        network.hosts["a.test"].dialling = Dialling(4)
        with pytest.raises(TimeoutError) as caught:
            await fetch(pool, get(timeouts=Timeouts(connection=9)))
        assert not isinstance(caught.value, PoolTimeout), "a dial was under way"
        assert trio.current_time() == pytest.approx(2)
        await trio.sleep(3)
        assert counts(pool) == (0, 1, 0, 0, 0)


@virtual
async def test_a_lease_does_not_send_again(network: MemoryNetwork) -> None:
    a_server(network, answer=once_each)
    async with pool_on(network) as pool, pool.lease("http://a.test") as connection:
        exchange = await connection.exchange(get())
        await exchange.receive_all()
        with pytest.raises((ReadError, RemoteProtocolError)):
            await connection.exchange(get())


@virtual
async def test_a_server_that_closes_as_the_request_leaves(network: MemoryNetwork) -> None:
    """The race that every client meets: the end of the connection crosses the request on its way."""

    def answer(asked: Asked) -> Reply:
        return Reply(body=[asked.target.encode()])

    server = a_server(network, answer=answer, patience=1.0)
    async with pool_on(network) as pool:
        for number in range(10):
            assert await fetch(pool, get(path=f"/{number}")) == b"/%d" % number
            await trio.sleep(1.0)
    assert server.connections == 10


@virtual
async def test_a_stale_connection_among_many_requests(network: MemoryNetwork) -> None:
    server = a_server(network, answer=once_each)
    results: dict[str, Any] = {}

    async def ask(path: str) -> None:
        results[path] = await fetch(pool, get(path=path))

    async with pool_on(network, max_connections=2) as pool:
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, f"/{number}")
        assert results == {f"/{number}": b"/%d" % number for number in range(20)}
        assert network.most <= 2
    assert server.most_at_once <= 3
