"""Making connections: names, addresses, handshakes, networks that fail, and making them for later."""

from __future__ import annotations

import errno
import math
from collections.abc import Sequence

import pytest
import trio

from trio_pool import ConnectError, PoolConfig, Request, TLSError, TrioPoolError, open_pool

from .network import Address, Dialling, MemoryNetwork, MemoryStream, Pipe
from .scheduling import settle, virtual
from .secure import client_context, over_tls
from .servers import Reply, Server, read_all, saying, stay
from .stories import Outcome, a_server, counts, fetch, get, pool_on

NEVER = Dialling(math.inf)
REFUSED = Dialling(0.1, errno.ECONNREFUSED)


@virtual
async def test_a_silent_address_is_left_behind_after_a_quarter_second(network: MemoryNetwork) -> None:
    server = Server()
    host = network.serve("a.test", server, addresses=["2001:db8::1", "2001:db8::2", "10.0.0.1"])
    host.by_address["2001:db8::1"] = NEVER
    async with pool_on(network) as pool:
        await fetch(pool, get())
        assert trio.current_time() == pytest.approx(0.25)
        assert network.attempts == ["2001:db8::1", "10.0.0.1"], "the families take turns"
        assert network.open == 1


@virtual
async def test_a_failed_address_is_left_behind_at_once(network: MemoryNetwork) -> None:
    host = network.serve("a.test", Server(), addresses=["2001:db8::1", "10.0.0.1"])
    host.by_address["2001:db8::1"] = REFUSED
    async with pool_on(network) as pool:
        await fetch(pool, get())
        assert trio.current_time() == pytest.approx(0.1)


class Gated(MemoryNetwork):
    """A network on which all attempts to connect succeed at the same moment."""

    gate: trio.Event

    async def connect(self, address: Address) -> MemoryStream:
        await self.gate.wait()
        return await super().connect(address)

    async def _take_time(self, how: Dialling) -> None:
        """None at all: not even a checkpoint."""


@virtual
async def test_two_addresses_that_answer_at_once_leave_one_connection(network: MemoryNetwork) -> None:
    network.__class__ = Gated
    assert isinstance(network, Gated)
    network.gate = trio.Event()
    network.serve("a.test", Server(), addresses=["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    fetched = Outcome()
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(fetched.of, fetch, pool, get())
        await trio.sleep(1)
        network.gate.set()
        await settle()
        assert fetched.error is None
        assert network.most >= 2, "a second attempt succeeded too"
        assert network.open == 1
        assert counts(pool) == (0, 1, 0, 0, 0)


@virtual
async def test_a_dial_cut_at_the_moment_of_its_success_leaves_no_connection(network: MemoryNetwork) -> None:
    network.__class__ = Gated
    assert isinstance(network, Gated)
    network.gate = trio.Event()
    network.serve("a.test", Server(), addresses=["10.0.0.1", "10.0.0.2"])
    waiting = Outcome()
    async with trio.open_nursery() as nursery:
        async with pool_on(network) as pool:
            nursery.start_soon(waiting.of, fetch, pool, get())
            await trio.sleep(1)
            network.gate.set()
        assert network.open == 0
    assert waiting.error is not None


@virtual
async def test_when_no_address_answers_the_error_is_one(network: MemoryNetwork) -> None:
    host = network.serve("a.test", Server(), addresses=["10.0.0.1", "10.0.0.2"])
    host.by_address["10.0.0.1"] = Dialling(0.1, errno.EHOSTUNREACH)
    host.by_address["10.0.0.2"] = REFUSED
    async with pool_on(network) as pool:
        with pytest.raises(ConnectError, match="No route to host"):
            await fetch(pool, get())


@virtual
async def test_the_error_speaks_for_the_preferred_address_whichever_failed_first(network: MemoryNetwork) -> None:
    host = network.serve("a.test", Server(), addresses=["10.0.0.1", "10.0.0.2"])
    host.by_address["10.0.0.1"] = Dialling(1.0, errno.EHOSTUNREACH)
    host.by_address["10.0.0.2"] = REFUSED
    async with pool_on(network) as pool:
        with pytest.raises(ConnectError, match="No route to host"):
            await fetch(pool, get())


@virtual
async def test_a_name_is_resolved_for_each_dial(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(then="say close"))
    async with pool_on(network) as pool:
        for _ in range(3):
            await fetch(pool, get())
    assert network.resolved["a.test"] == 3


@virtual
async def test_an_unknown_name_is_a_connect_error(network: MemoryNetwork) -> None:
    async with pool_on(network) as pool:
        with pytest.raises(ConnectError, match=r"nowhere\.test could be made: the name is not known"):
            await fetch(pool, get("nowhere.test"))


@virtual
async def test_a_name_without_addresses_is_a_connect_error(network: MemoryNetwork) -> None:
    network.serve("a.test", stay).addresses = []
    async with pool_on(network) as pool:
        with pytest.raises(ConnectError, match="no address"):
            await fetch(pool, get())


class Stubborn(MemoryNetwork):
    """A network that does not mind being cancelled."""

    async def connect(self, address: Address) -> MemoryStream:
        with trio.CancelScope(shield=True):
            await trio.sleep(3)
        return await super().connect(address)

    async def _take_time(self, how: Dialling) -> None:
        """None at all: not even a checkpoint."""


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["10.0.0.1", "10.0.0.2"]])
@pytest.mark.parametrize("way", ["leave", "drain", "time out"])
@virtual
async def test_a_network_that_does_not_mind_being_cancelled(
    network: MemoryNetwork, way: str, addresses: list[str]
) -> None:
    network.__class__ = Stubborn
    network.serve("a.test", Server(), addresses=addresses)
    waiting = Outcome()
    async with trio.open_nursery() as nursery:
        async with pool_on(network, connection_timeout=2 if way == "time out" else 5) as pool:
            nursery.start_soon(waiting.of, fetch, pool, get())
            await trio.sleep(1)
            if way == "drain":
                await pool.drain(0.5)
                assert network.open == 0
            elif way == "time out":
                await trio.sleep(9)
                assert network.open == pool.statistics().idle
        assert network.open == 0
        assert not pool._nursery.child_tasks
    assert waiting.at is not None


class Odd(MemoryNetwork):
    """A network of a user's, which raises what it likes."""

    error: Exception

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        return [("10.0.0.1", port), ("10.0.0.2", port)]

    async def connect(self, address: Address) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        raise self.error


@pytest.mark.parametrize("error", [ZeroDivisionError("oh"), TrioPoolError("ours"), ExceptionGroup("two", [OSError()])])
@virtual
async def test_whatever_a_users_network_raises_is_a_connect_error_or_ours(
    network: MemoryNetwork, error: Exception
) -> None:
    network.__class__ = Odd
    network.error = error  # type: ignore[attr-defined]  # it is odd now
    async with pool_on(network) as pool:
        with pytest.raises(TrioPoolError) as caught:
            await fetch(pool, get())
        assert isinstance(caught.value, ConnectError) or isinstance(error, TrioPoolError)
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_certificate_for_another_name_is_a_tls_error(network: MemoryNetwork) -> None:
    network.serve("wrong.test", over_tls(stay))
    async with pool_on(network, tls=True) as pool:
        with pytest.raises(TLSError, match=r"handshake failed: Hostname mismatch.*tls= context") as caught:
            await fetch(pool, Request("GET", "https://wrong.test/"))
        assert isinstance(caught.value, ConnectError)
        assert network.open == 0
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_server_that_ends_the_handshake_is_a_tls_error(network: MemoryNetwork) -> None:
    async def hang_up(channel: MemoryStream) -> None:
        await channel.receive()

    network.serve("a.test", hang_up)
    async with pool_on(network, tls=True) as pool:
        with pytest.raises(TLSError, match="handshake"):
            await fetch(pool, Request("GET", "https://a.test/"))


@virtual
async def test_a_server_that_speaks_no_tls_is_a_tls_error(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(b"what?"))
    network.hosts["a.test"].handler = talk_plain
    async with pool_on(network, tls=True) as pool:
        with pytest.raises(TLSError, match="handshake failed: WRONG_VERSION_NUMBER|wrong version"):
            await fetch(pool, Request("GET", "https://a.test/"))


async def talk_plain(stream: MemoryStream) -> None:
    """Answer anything as a plain server would."""
    await stream.receive()
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    await read_all(stream)


@pytest.mark.parametrize("scheme", ["http", "https"])
@virtual
async def test_a_pool_on_a_unix_socket_dials_nothing_else(network: MemoryNetwork, scheme: str) -> None:
    server = Server()
    network.serve("/run/a.sock", over_tls(server) if scheme == "https" else server)
    config, tls = PoolConfig(max_connections_per_host=1), client_context() if scheme == "https" else None
    async with open_pool(config, tls=tls, uds="/run/a.sock", network=network) as pool:
        await pool.prewarm(f"{scheme}://a.test", 1)
        for name in ("a.test", "b.test", "a.test"):
            await fetch(pool, Request("GET", f"{scheme}://{name}/"))
        async with pool.lease(f"{scheme}://a.test") as connection:
            assert connection.is_reused
        assert server.connections == 2
        assert not network.resolved
        server.answer = lambda asked: None
        with pytest.raises(TrioPoolError, match=r"c\.test"):
            await fetch(pool, Request("GET", f"{scheme}://c.test/"))


@virtual
async def test_a_unix_socket_where_nobody_listens(network: MemoryNetwork) -> None:
    async with open_pool(uds="/run/nobody.sock", network=network) as pool:
        with pytest.raises(ConnectError, match="Unix socket /run/nobody.sock"):
            await fetch(pool, get())


# ---- prewarming ----


@virtual
async def test_prewarming_waits_until_the_connections_are_there(network: MemoryNetwork) -> None:
    a_server(network)
    network.hosts["a.test"].dialling = Dialling(0.5)
    async with pool_on(network, max_connections=3) as pool:
        await pool.prewarm("http://a.test/ignored", 2)
        assert trio.current_time() == pytest.approx(0.5)
        assert counts(pool) == (0, 2, 0, 0, 0)
        await pool.prewarm("http://a.test", 2)
        assert pool.statistics().dials == 2, "they are there already"
        await pool.prewarm(get().origin, 20)
        assert counts(pool) == (0, 3, 0, 0, 0), "room is the limit"


@virtual
async def test_prewarming_raises_what_a_dial_failed_with(network: MemoryNetwork) -> None:
    network.serve("a.test", stay).dialling = REFUSED
    async with pool_on(network) as pool:
        with pytest.raises(ConnectError, match="refused"):
            await pool.prewarm("http://a.test", 2)
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_prewarming_waits_for_dials_that_are_under_way_already(network: MemoryNetwork) -> None:
    a_server(network)
    network.hosts["a.test"].dialling = Dialling(0.5)
    async with pool_on(network) as pool, trio.open_nursery() as nursery:
        nursery.start_soon(pool.prewarm, "http://a.test", 2)
        await settle()
        await pool.prewarm("http://a.test", 2)
        assert counts(pool) == (0, 2, 0, 0, 0)


@virtual
async def test_requests_take_what_prewarming_dials(network: MemoryNetwork) -> None:
    a_server(network)
    network.hosts["a.test"].dialling = Dialling(0.5)
    async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
        outcome = Outcome()
        nursery.start_soon(pool.prewarm, "http://a.test", 1)
        await settle()
        nursery.start_soon(outcome.of, fetch, pool, get())
        await settle()
        assert counts(pool) == (0, 0, 1, 0, 0)
    assert outcome.error is None


@virtual
async def test_a_shielded_request_is_dialled_for_in_cancelled_surroundings(
    network: MemoryNetwork,
) -> None:
    server = a_server(network)
    network.hosts["a.test"].dialling = Dialling(1)
    with trio.CancelScope() as surroundings:
        async with pool_on(network) as pool:
            surroundings.cancel()
            with trio.CancelScope(shield=True):
                await fetch(pool, get())
    assert len(server.asked) == 1


class Unreadable(MemoryStream):
    """A stream of somebody's own that cannot say whether there is something to be read."""

    def readable(self) -> bool:
        raise RuntimeError("no")


class Unlucky(MemoryNetwork):
    """A network without chance."""

    def random(self) -> float:
        raise RuntimeError("no")


class Untold(MemoryNetwork):
    """A network whose streams are unreadable."""

    def make(self, incoming: Pipe, outgoing: Pipe) -> MemoryStream:
        return Unreadable(incoming, outgoing, self._portion)


@pytest.mark.parametrize("kind", [Unlucky, Untold])
@virtual
async def test_what_was_dialled_is_closed_where_the_rest_of_the_network_fails(
    network: MemoryNetwork, kind: type[MemoryNetwork]
) -> None:
    network.__class__ = kind
    network.serve("a.test", stay)
    async with pool_on(network) as pool:
        with pytest.raises(ConnectError, match="the network failed: RuntimeError"):
            await fetch(pool, get())
        assert network.open == 0
        assert counts(pool) == (0, 0, 0, 0, 0)
