"""A connection that speaks another protocol: after a 101, or a CONNECT that succeeded. Over real sockets."""

from __future__ import annotations

import gc
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from socket import SO_LINGER, SOL_SOCKET

import pytest
import trio
import trustme
from trio.testing import MockClock, check_two_way_stream, wait_all_tasks_blocked

from trio_pool import Client, PoolConfig, RemoteProtocolError, UsageError, open_client
from trio_pool._net.switched import SwitchedStream

CONFIG = PoolConfig(max_connections=1)

UPGRADE = {"Connection": "Upgrade", "Upgrade": "echo"}
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n"
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno"

BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)

Handler = Callable[["Guest"], Awaitable[None]]


class Guest:
    """A client as the server sees it.

    :ivar stream: what is spoken over.
    :ivar transport: the socket below.
    """

    def __init__(self, stream: trio.abc.Stream, transport: trio.SocketStream) -> None:
        self.stream = stream
        self.transport = transport

    async def head(self) -> bytes:
        """The request's head. The client says no more before it is answered."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            data = await self.stream.receive_some()
            if not data:
                raise trio.ClosedResourceError("the client has left")
            head += data
        return head

    async def echo(self) -> None:
        """Send back what comes."""
        while data := await self.stream.receive_some():
            await self.stream.send_all(data)

    async def end(self) -> None:
        """End our side as one should: over TLS with close_notify."""
        if isinstance(self.stream, trio.SSLStream):
            await self.stream.unwrap()
        await self.transport.send_eof()

    async def until_gone(self) -> bytes:
        """All that comes until the client has left."""
        received = b""
        try:
            while data := await self.stream.receive_some():
                received += data
        except BROKEN:
            pass
        return received


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None) -> AsyncIterator[str]:
    """A server, plain or over TLS; its URL."""

    async def serve(transport: trio.SocketStream) -> None:
        stream: trio.abc.Stream = transport
        if context is not None:
            stream = trio.SSLStream(transport, context, server_side=True)
        try:
            await handler(Guest(stream, transport))
        except BROKEN:
            pass
        finally:
            transport.socket.close()

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, serve, listeners, handler_nursery=nursery))
        yield f"{'http' if context is None else 'https'}://127.0.0.1:{port}/"
        nursery.cancel_scope.cancel()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(params=["http", "https"])
def context(request: pytest.FixtureRequest, authority: trustme.CA) -> ssl.SSLContext | None:
    """What the server speaks: plain, then TLS."""
    if request.param == "http":
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


async def switch_and_echo(guest: Guest) -> None:
    await guest.head()
    await guest.stream.send_all(SWITCH)
    await guest.echo()


async def switched(client: Client, url: str) -> SwitchedStream:
    """A connection that has switched; out of the `async with` of its response."""
    async with client.stream("GET", url, headers=UPGRADE) as response:
        assert response.status_code == 101
        return response.take_stream()


# ---- what comes over it ----


async def test_the_bytes_that_came_with_the_answer_come_first(
    context: ssl.SSLContext | None, trust: ssl.SSLContext
) -> None:
    async def switch_with_surplus(guest: Guest) -> None:
        await guest.head()
        await guest.stream.send_all(SWITCH + b"first ")
        await guest.stream.send_all(b"second ")
        await guest.echo()

    async with serving(switch_with_surplus, context) as url, open_client(CONFIG, tls=trust) as client:
        async with client.stream("GET", url, headers=UPGRADE) as response:
            assert response.headers["upgrade"] == "echo"
            stream = response.take_stream()
        async with stream:
            await stream.send_all(b"third")
            received = b""
            while len(received) < len(b"first second third"):
                received += await stream.receive_some(4)
            assert received == b"first second third"


async def test_the_surplus_is_given_out_in_the_pieces_that_are_asked_for(
    context: ssl.SSLContext | None, trust: ssl.SSLContext
) -> None:
    async def switch_with_surplus(guest: Guest) -> None:
        await guest.head()
        await guest.stream.send_all(SWITCH + b"abcdef")
        await guest.until_gone()

    async with serving(switch_with_surplus, context) as url, open_client(CONFIG, tls=trust) as client:
        async with await switched(client, url) as stream:
            assert [await stream.receive_some(size) for size in (1, 2, 100)] == [b"a", b"bc", b"def"]
            with pytest.raises(ValueError, match="at least 1"):
                await stream.receive_some(0)


async def test_an_answer_that_comes_byte_by_byte_switches_where_it_ends(
    context: ssl.SSLContext | None, trust: ssl.SSLContext
) -> None:
    async def drip(guest: Guest) -> None:
        await guest.head()
        wire = b"HTTP/1.1 103 Early Hints\r\n\r\n" + SWITCH + b"\r\nHTTP/1.1 200 OK\r\n\r\n"
        for at in range(len(wire)):
            await guest.stream.send_all(wire[at : at + 1])
            await trio.lowlevel.checkpoint()
        await guest.end()

    async with serving(drip, context) as url, open_client(CONFIG, tls=trust) as client:
        async with await switched(client, url) as stream:
            received = b"".join([piece async for piece in stream])
            assert received == b"\r\nHTTP/1.1 200 OK\r\n\r\n"  # whatever it looks like


async def test_much_goes_both_ways_at_once(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    data = bytes(range(256)) * 8192

    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        async with await switched(client, url) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, data)
            received = bytearray()
            while len(received) < len(data):
                received += await stream.receive_some()
            assert received == data


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_it_obeys_the_contract_of_trios_streams(
    scheme: str, authority: trustme.CA, trust: ssl.SSLContext
) -> None:
    """By trio's own test of it, with the server's end as the other one."""
    context = None
    if scheme == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
    ends: list[trio.abc.Stream] = []
    done = trio.Event()

    async def hand_over(guest: Guest) -> None:
        await guest.head()
        ends.append(guest.stream)
        await guest.stream.send_all(SWITCH)
        await done.wait()

    async with (
        serving(hand_over, context) as url,
        open_client(PoolConfig(max_connections=None, max_connections_per_host=None), tls=trust) as client,
    ):

        async def make() -> tuple[trio.abc.Stream, trio.abc.Stream]:
            stream = await switched(client, url)
            return stream, ends[-1]

        await check_two_way_stream(make, None)
        assert client.pool.statistics().leased == 0
        done.set()


# ---- whose it is ----


async def test_closing_it_frees_its_slot_and_its_connection_is_gone(
    context: ssl.SSLContext | None, trust: ssl.SSLContext
) -> None:
    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        for number in range(1, 4):
            stream = await switched(client, url)
            figures = client.pool.statistics()
            assert (figures.leased, figures.idle, figures.opened) == (1, 0, number)
            await stream.aclose()
            figures = client.pool.statistics()
            assert (figures.leased, figures.idle, figures.closed, figures.reuses) == (0, 0, number, 0)
            await stream.aclose()  # does nothing
        assert client.pool.statistics().closed == 3


async def test_it_holds_its_slot_until_then(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    served = trio.Event()

    async def ask() -> None:
        await (await switched(client, url)).aclose()
        served.set()

    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        stream = await switched(client, url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await wait_all_tasks_blocked()
            assert not served.is_set()
            assert client.pool.statistics().waiting == 1
            await stream.aclose()
        assert served.is_set()


async def test_an_answer_that_nobody_takes_the_stream_of_frees_its_slot(
    context: ssl.SSLContext | None, trust: ssl.SSLContext
) -> None:
    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        for _ in range(3):
            async with client.stream("GET", url, headers=UPGRADE) as response:
                assert response.status_code == 101
            assert client.pool.statistics().leased == 0
            response = await client.get(url, headers=UPGRADE)  # which reads a body that there is not
            assert response.content == b""
            with pytest.raises(UsageError):
                response.take_stream()
        assert client.pool.statistics().reuses == 0


async def test_dropping_it_warns_and_frees_its_slot(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        stream = await switched(client, url)
        await stream.send_all(b"x")
        with pytest.warns(ResourceWarning, match=f"of {url[:-1]} was dropped"):
            del stream
            gc.collect()
        await wait_all_tasks_blocked()
        figures = client.pool.statistics()
        assert (figures.leased, figures.leaks) == (0, 1)
        await (await switched(client, url)).aclose()


async def test_a_cancelled_wait_leaves_it_as_it_was(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        async with await switched(client, url) as stream:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.receive_some)
                await wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            await stream.send_all(b"still there")
            assert await stream.receive_some() == b"still there"
        assert client.pool.statistics().leased == 0


async def test_to_close_it_when_cancelled_closes_it(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        stream = await switched(client, url)
        with trio.CancelScope() as scope:
            scope.cancel()
            await stream.aclose()
        assert scope.cancelled_caught
        assert client.pool.statistics().leased == 0


async def test_after_it_was_closed_it_says_so(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    async def switch_with_surplus(guest: Guest) -> None:
        await guest.head()
        await guest.stream.send_all(SWITCH + b"surplus")
        await guest.until_gone()

    async with serving(switch_with_surplus, context) as url, open_client(CONFIG, tls=trust) as client:
        stream = await switched(client, url)
        await stream.aclose()
        for act in (stream.receive_some, partial(stream.send_all, b"x"), stream.wait_send_all_might_not_block):
            with pytest.raises(trio.ClosedResourceError):
                await act()


async def test_closing_it_wakes_whoever_waits_for_it(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    async def wait() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await stream.receive_some()

    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        stream = await switched(client, url)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await wait_all_tasks_blocked()
            await stream.aclose()


async def test_two_tasks_do_not_receive_at_once(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        async with await switched(client, url) as stream, trio.open_nursery() as nursery:
            nursery.start_soon(stream.receive_some)
            await wait_all_tasks_blocked()
            with pytest.raises(trio.BusyResourceError):
                await stream.receive_some()
            await stream.send_all(b"x")


async def test_leaving_the_pool_ends_it(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    async with serving(switch_and_echo, context) as url:
        async with open_client(CONFIG, tls=trust) as client:
            stream = await switched(client, url)
        with pytest.raises(BROKEN):
            await stream.receive_some()
        with pytest.raises(BROKEN):
            await stream.send_all(b"x")
        await stream.aclose()


async def test_no_timeout_of_the_request_holds_for_it(
    context: ssl.SSLContext | None, trust: ssl.SSLContext, mock_clock: MockClock
) -> None:
    config = PoolConfig(
        max_connections=1, total_timeout=5.0, read_timeout=1.0, keepalive_timeout=1.0, max_lifetime=10.0
    )
    async with serving(switch_and_echo, context) as url, open_client(config, tls=trust) as client:
        async with await switched(client, url) as stream:
            mock_clock.jump(1000.0)
            await wait_all_tasks_blocked()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(stream.receive_some)
                await wait_all_tasks_blocked()
                mock_clock.jump(1000.0)
                await wait_all_tasks_blocked()
                await stream.send_all(b"x")
            await stream.send_all(b"still there")
            assert await stream.receive_some() == b"still there"


# ---- the other end ----


async def test_the_peers_end_is_an_end(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    async def switch_and_end(guest: Guest) -> None:
        await guest.head()
        await guest.stream.send_all(SWITCH + b"bye")
        await guest.end()

    async with serving(switch_and_end, context) as url, open_client(CONFIG, tls=trust) as client:
        async with await switched(client, url) as stream:
            assert [piece async for piece in stream] == [b"bye"]
            assert await stream.receive_some() == b""
        assert client.pool.statistics().leased == 0


async def test_a_connection_that_breaks_is_broken(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    async def switch_and_reset(guest: Guest) -> None:
        await guest.head()
        await guest.stream.send_all(SWITCH)
        await guest.stream.receive_some()
        guest.transport.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))

    async with serving(switch_and_reset, context) as url, open_client(CONFIG, tls=trust) as client:
        async with await switched(client, url) as stream:
            await stream.send_all(b"go")
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()
            with pytest.raises(trio.BrokenResourceError):
                await stream.send_all(b"x" * 10_000_000)
        assert client.pool.statistics().leased == 0


async def test_over_tls_an_end_without_close_notify_is_a_break(authority: trustme.CA, trust: ssl.SSLContext) -> None:
    async def switch_and_cut(guest: Guest) -> None:
        await guest.head()
        await guest.stream.send_all(SWITCH + b"half a mess")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    async with serving(switch_and_cut, context) as url, open_client(CONFIG, tls=trust) as client:
        async with await switched(client, url) as stream:
            assert await stream.receive_some() == b"half a mess"
            with pytest.raises(trio.BrokenResourceError):
                await stream.receive_some()


# ---- when there is none ----


async def test_it_is_taken_once(context: ssl.SSLContext | None, trust: ssl.SSLContext) -> None:
    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        async with client.stream("GET", url, headers=UPGRADE) as response:
            stream = response.take_stream()
            with pytest.raises(UsageError):
                response.take_stream()
        with pytest.raises(UsageError):
            response.take_stream()
        assert response.is_closed
        await stream.send_all(b"mine")
        assert await stream.receive_some() == b"mine"
        await stream.aclose()


@pytest.mark.parametrize("status", [b"400 Bad Request", b"426 Upgrade Required", b"200 OK"])
async def test_an_upgrade_that_is_not_taken_up_is_an_ordinary_response(
    status: bytes, context: ssl.SSLContext | None, trust: ssl.SSLContext
) -> None:
    async def refuse(guest: Guest) -> None:
        while True:
            await guest.head()
            await guest.stream.send_all(b"HTTP/1.1 " + status + b"\r\nUpgrade: echo\r\nContent-Length: 2\r\n\r\nno")

    async with serving(refuse, context) as url, open_client(CONFIG, tls=trust) as client:
        for reused in (False, True, True):
            async with client.stream("GET", url, headers=UPGRADE) as response:
                with pytest.raises(UsageError):
                    response.take_stream()
                assert await response.read() == b"no"
                assert response.timings.reused == reused
        assert client.pool.statistics().idle == 1


async def test_a_switch_that_nobody_asked_for_is_an_error(
    context: ssl.SSLContext | None, trust: ssl.SSLContext
) -> None:
    async with serving(switch_and_echo, context) as url, open_client(CONFIG, tls=trust) as client:
        for _ in range(3):
            with pytest.raises(RemoteProtocolError):
                await client.get(url)
            assert client.pool.statistics().leased == 0


@pytest.mark.parametrize("status", [b"200 Connection established", b"204 No Content", b"299 X\r\nContent-Length: 5"])
async def test_a_connect_that_succeeds_hands_the_connection_over(
    status: bytes, context: ssl.SSLContext | None, trust: ssl.SSLContext
) -> None:
    """Whatever its headers say of a body (RFC 9110 section 9.3.6)."""

    async def connect(guest: Guest) -> None:
        assert (await guest.head()).startswith(b"CONNECT origin.test:443 HTTP/1.1\r\n")
        await guest.stream.send_all(b"HTTP/1.1 " + status + b"\r\n\r\nhello")
        await guest.echo()

    async with serving(connect, context) as url, open_client(CONFIG, tls=trust) as client:
        async with client.stream("CONNECT", url, target="origin.test:443") as response:
            stream = response.take_stream()
        async with stream:
            assert await stream.receive_some() == b"hello"
            await stream.send_all(b"world")
            assert await stream.receive_some() == b"world"
        assert client.pool.statistics().leased == 0


async def test_a_connect_that_fails_is_an_ordinary_response(
    context: ssl.SSLContext | None, trust: ssl.SSLContext
) -> None:
    async def refuse(guest: Guest) -> None:
        while True:
            await guest.head()
            await guest.stream.send_all(REFUSAL)

    async with serving(refuse, context) as url, open_client(CONFIG, tls=trust) as client:
        for _ in range(2):
            response = await client.request("CONNECT", url, target="origin.test:443")
            assert (response.status_code, response.content) == (400, b"no")
            with pytest.raises(UsageError):
                response.take_stream()
        assert client.pool.statistics().dials == 1
