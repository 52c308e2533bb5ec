"""How long a connection is kept, and the look at it before it is granted."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from trio_pool import Pool, Request

from .network import Channel, MemoryNetwork, MemoryStream
from .scheduling import settle, virtual
from .secure import SecureChannel, over_tls, server_context
from .servers import OK, Reply, Server, read_head, saying
from .stories import Outcome, a_server, counts, fetch, get, pool_on, post


def evictions(pool: Pool) -> dict[str, int]:
    """By reason."""
    return dict(pool.statistics().evictions)


# ---- expiry ----


@virtual
async def test_idle_connections_expire_without_traffic(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, keepalive_timeout=5) as pool:
        await fetch(pool, get())
        await trio.sleep(4.9)
        assert counts(pool) == (0, 1, 0, 0, 0)
        await trio.sleep(0.4)
        assert counts(pool) == (0, 0, 0, 0, 0)
        assert network.open == 0
        assert evictions(pool) == {"expired": 1}


@virtual
async def test_each_use_puts_the_expiry_off(network: MemoryNetwork) -> None:
    server = a_server(network)
    async with pool_on(network, keepalive_timeout=5) as pool:
        for _ in range(10):
            await fetch(pool, get())
            await trio.sleep(4)
        assert server.connections == 1
        await trio.sleep(1.3)
        assert network.open == 0


@virtual
async def test_a_later_connection_that_expires_earlier_is_closed_in_its_time(network: MemoryNetwork) -> None:
    a_server(network)
    a_server(network, "b.test", answer=lambda asked: Reply(headers=[("Keep-Alive", "timeout=4")]))
    async with pool_on(network, keepalive_timeout=50) as pool:
        await fetch(pool, get())
        await trio.sleep(1)
        await fetch(pool, get("b.test"))
        await trio.sleep(2.3)
        assert counts(pool) == (0, 1, 0, 0, 0)
        await trio.sleep(46.5)
        assert counts(pool) == (0, 1, 0, 0, 0)
        await trio.sleep(1)
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_an_unused_connection_expires_too(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, keepalive_timeout=5) as pool:
        await pool.prewarm("http://a.test", 3)
        await trio.sleep(5.3)
        assert network.open == 0
        assert evictions(pool) == {"expired": 3}


@virtual
async def test_nothing_is_granted_past_its_expiry(network: MemoryNetwork) -> None:
    server = a_server(network)
    async with pool_on(network, keepalive_timeout=5.01) as pool:
        await fetch(pool, get())
        await trio.sleep(5.02)  # expired, and the task that closes it has not looked yet
        assert counts(pool) == (0, 1, 0, 0, 0)
        await fetch(pool, get())
    assert server.connections == 2


@pytest.mark.parametrize(("hint", "kept"), [(60, 30.0), (10, 8.0), (4, 2.0), (2, 1.0), (1, 0.5)])
@virtual
async def test_the_servers_hint_less_a_margin_counts_when_it_is_shorter(
    network: MemoryNetwork, hint: int, kept: float
) -> None:
    server = a_server(network, answer=lambda asked: Reply(headers=[("Keep-Alive", f"timeout={hint}, max=100")]))
    async with pool_on(network) as pool:
        await fetch(pool, get())
        await trio.sleep(kept - 0.01)
        await fetch(pool, get())
        assert server.connections == 1
        await trio.sleep(kept + 0.01)
        await fetch(pool, get())
        assert server.connections == 2


@virtual
async def test_a_hint_of_nothing_keeps_nothing(network: MemoryNetwork) -> None:
    server = a_server(network, answer=lambda asked: Reply(headers=[("Keep-Alive", "timeout=0")]))
    async with pool_on(network) as pool:
        await fetch(pool, get())
        await fetch(pool, get())
    assert server.connections == 2


@virtual
async def test_a_connection_lives_as_long_as_it_may(network: MemoryNetwork) -> None:
    server = a_server(network)
    network.random = lambda: 0.5  # type: ignore[method-assign]  # the jitter takes 5 %
    async with pool_on(network, max_lifetime=100, keepalive_timeout=None) as pool:
        await fetch(pool, get())
        await trio.sleep(94.9)
        await fetch(pool, get())
        assert server.connections == 1
        await trio.sleep(0.2)
        await fetch(pool, get())
        assert server.connections == 2
        assert evictions(pool) == {"lifetime": 1}
        await trio.sleep(95.3)
        assert counts(pool) == (0, 0, 0, 0, 0), "its time comes without traffic too"


@virtual
async def test_a_life_that_ends_in_use_ends_when_it_comes_back(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(body=[b"x", 20.0, b"y"]))
    async with pool_on(network, max_lifetime=10) as pool:
        assert await fetch(pool, get()) == b"xy"
        assert evictions(pool) == {"lifetime": 1}


@virtual
async def test_a_connection_is_used_as_often_as_it_may(network: MemoryNetwork) -> None:
    server = a_server(network)
    async with pool_on(network, max_requests_per_connection=3) as pool:
        for _ in range(7):
            await fetch(pool, get())
        assert evictions(pool) == {"max_requests": 2}
    assert [asked.number for asked in server.asked] == [1, 2, 3, 1, 2, 3, 1]


@virtual
async def test_a_server_that_says_close_is_believed(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(then="say close"))
    async with pool_on(network) as pool:
        await fetch(pool, get())
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_without_limits_nothing_expires(network: MemoryNetwork) -> None:
    server = a_server(network)
    async with pool_on(network, keepalive_timeout=None, max_lifetime=None) as pool:
        await fetch(pool, get())
        await trio.sleep(90_000)
        await fetch(pool, get())
    assert server.connections == 1


@virtual
async def test_thousands_of_expiries_at_once_leave_nothing(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network, max_connections=500, max_connections_per_host=500, keepalive_timeout=1) as pool:
        await pool.prewarm("http://a.test", 500)
        await trio.sleep(1.3)
        assert network.open == 0


# ---- the look before the grant ----


@pytest.mark.parametrize("end", ["send_eof", "close", "reset"])
@virtual
async def test_a_connection_that_the_server_ended_is_not_granted(network: MemoryNetwork, end: str) -> None:
    server = a_server(network)
    async with pool_on(network) as pool:
        await fetch(pool, get())
        getattr(network.hosts["a.test"].served[0], end)()
        await settle()
        await fetch(pool, get())
        assert evictions(pool) == {"dead": 1}
        assert pool.statistics().stale_retries == 0
    assert server.connections == 2


@virtual
async def test_all_dead_connections_are_passed_over_at_once(network: MemoryNetwork) -> None:
    a_server(network)
    async with pool_on(network) as pool:
        await pool.prewarm("http://a.test", 5)
        for stream in network.hosts["a.test"].served:
            stream.close()
        await fetch(pool, get())
        assert evictions(pool) == {"dead": 5}
        assert counts(pool) == (0, 1, 0, 0, 0)


@virtual
async def test_a_connection_that_died_in_use_is_not_handed_to_a_waiter(network: MemoryNetwork) -> None:
    """Its last response is whole, so nobody else would notice; and a POST could not be sent again."""

    async def once(channel: Channel) -> None:
        await saying(OK)(channel)

    network.serve("a.test", once)
    second = Outcome()
    async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        nursery.start_soon(second.of, fetch, pool, post(content=b"x"))
        await settle()
        assert await response.read() == b"ok"
        await settle()
        assert second.result == b"ok"
        assert evictions(pool) == {"dead": 1}
        assert pool.statistics().stale_retries == 0, "it was found out before anything was sent"


@pytest.mark.parametrize("config", [{"max_requests_per_connection": 1}, {"max_lifetime": 0.5}])
@virtual
async def test_a_connection_at_its_end_is_not_handed_to_a_waiter(
    network: MemoryNetwork, config: dict[str, Any]
) -> None:
    server = a_server(network)
    second = Outcome()
    async with pool_on(network, max_connections=1, **config) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        nursery.start_soon(second.of, fetch, pool, get())
        await trio.sleep(1)
        await response.read()
    assert second.error is None
    assert server.connections == 2


Deed = Callable[[SecureChannel], Awaitable[None]]


async def send_tickets(channel: SecureChannel) -> None:
    """Nothing more: the tickets go out with the end of the handshake."""


async def send_plaintext(channel: SecureChannel) -> None:
    await channel.send_all(b"?")


async def send_part_of_a_record(channel: SecureChannel) -> None:
    channel.ssl_object.write(b"?" * 100)
    await channel.stream.send_all(channel.outgoing.read()[:50])


async def send_close_notify(channel: SecureChannel) -> None:
    await channel.stream.send_all(channel.say_goodbye())


async def end_without_a_word(channel: SecureChannel) -> None:
    channel.stream.send_eof()


async def send_nonsense(channel: SecureChannel) -> None:
    await channel.stream.send_all(b"\x17\x03\x03\x00\x20" + b"?" * 32)


@pytest.mark.parametrize(
    ("deed", "reused"),
    [
        (send_tickets, True),
        (send_part_of_a_record, True),
        (send_plaintext, False),
        (send_close_notify, False),
        (end_without_a_word, False),
        (send_nonsense, False),
    ],
)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@virtual
async def test_tls_is_alive_unless_it_has_something_to_say(
    network: MemoryNetwork, deed: Deed, reused: bool, version: ssl.TLSVersion
) -> None:
    channels: list[SecureChannel] = []

    async def serve(stream: MemoryStream) -> None:
        channel = SecureChannel(stream, server_context(version))
        channels.append(channel)
        await channel.handshake()
        await read_head(channel)
        await channel.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await trio.sleep(1)
        if channel is channels[0]:
            await deed(channel)
        await trio.sleep(10)

    network.serve("a.test", serve)
    async with pool_on(network, tls=True) as pool:
        await fetch(pool, Request("GET", "https://a.test/"))
        await trio.sleep(2)
        async with pool.lease("https://a.test") as connection:
            assert connection.is_reused is reused
        assert evictions(pool).get("dead", 0) == (0 if reused else 1)


@virtual
async def test_session_tickets_on_an_idle_connection_are_no_end(network: MemoryNetwork) -> None:
    assert server_context().num_tickets > 0
    network.serve("a.test", over_tls(Server()))
    async with pool_on(network, tls=True) as pool:
        await pool.prewarm("https://a.test", 1)
        await settle()
        assert network.hosts["a.test"].served[0].peer.readable(), "the tickets have come, and nobody has read them"
        for _ in range(3):
            await fetch(pool, Request("GET", "https://a.test/"))
        assert pool.statistics().dials == 1


@virtual
async def test_session_tickets_that_come_with_the_first_response(network: MemoryNetwork) -> None:
    async def serve(stream: MemoryStream) -> None:
        channel = SecureChannel(stream, server_context())
        while True:
            try:
                channel.ssl_object.do_handshake()
                break  # the tickets stay with us until the next bytes leave
            except ssl.SSLWantReadError:
                await channel.flush()
                channel.incoming.write(await stream.receive())
        await Server()(channel)

    network.serve("a.test", serve)
    async with pool_on(network, tls=True) as pool:
        for _ in range(3):
            await fetch(pool, Request("GET", "https://a.test/"))
        assert pool.statistics().dials == 1


@virtual
async def test_the_look_costs_a_waiter_nothing_when_the_connection_is_good(network: MemoryNetwork) -> None:
    server = a_server(network)
    async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(fetch, pool, get())
    assert server.connections == 1
    assert evictions(pool) == {"closed": 1}
