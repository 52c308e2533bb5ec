"""TLS as a stream by itself, where it waits: large writes, both ways at once, and waits that are cut."""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from itertools import count

import pytest
import trio

from trio_pool._net.streams import connect_tcp
from trio_pool._net.tls import TLSStream

from .network import MemoryNetwork
from .scheduling import play, settle, virtual
from .secure import client_context, server_context
from .tls_ends import BODY, RECORD, VERSIONS, one_byte, receive, receive_exactly, send, take, tied


@VERSIONS
@virtual
async def test_a_large_write_to_a_slow_peer_keeps_little_in_memory(
    network: MemoryNetwork, version: ssl.TLSVersion
) -> None:
    ends = tied(version, up=10_000)
    await ends.shake_hands()
    data = BODY * 60
    digest = hashlib.sha256()

    async def read() -> None:
        left = len(data)
        while left:
            await trio.sleep(0.01)
            piece = await ends.channel.receive(5000)
            left -= len(piece)
            digest.update(piece)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[ends.stream.send_nowait(bytes(rest[:100_000])) :]  # other bytes each time, equal ones
            except BlockingIOError:
                await ends.stream.wait_writable()
            assert ends.stream._outgoing.pending + len(ends.stream._unsent) <= RECORD + 100
    assert digest.digest() == hashlib.sha256(data).digest()


@VERSIONS
@virtual
async def test_what_is_not_counted_as_sent_cannot_have_been_read(
    network: MemoryNetwork, version: ssl.TLSVersion
) -> None:
    ends = tied(version, up=5000)
    await ends.shake_hands()
    counted = 0
    for _ in range(2):
        try:
            counted += ends.stream.send_nowait(BODY[counted:])
        except BlockingIOError:
            pass
    ends.channel.incoming.write(await ends.channel.stream.receive())
    with pytest.raises(ssl.SSLWantReadError):
        ends.channel.ssl_object.read(1)
    assert counted == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, ends.stream, BODY)
        assert await take(ends.channel, len(BODY)) == BODY


@VERSIONS
@virtual
async def test_reading_pushes_out_what_is_unsent(network: MemoryNetwork, version: ssl.TLSVersion) -> None:
    """Nobody may be waiting to write: what is owed of a record must not wait for the next one."""
    ends = tied(version, up=5000)
    await ends.shake_hands()
    with pytest.raises(BlockingIOError):
        ends.stream.send_nowait(BODY[:RECORD])
    for _ in range(4):
        ends.channel.incoming.write(await ends.channel.stream.receive())
        with pytest.raises(BlockingIOError):
            ends.stream.recv_nowait(1)
    assert ends.channel.ssl_object.read(RECORD) == BODY[:RECORD]
    assert ends.stream.send_nowait(BODY[:RECORD]) == RECORD


@VERSIONS
@virtual
async def test_both_ways_at_once_through_narrow_pipes(network: MemoryNetwork, version: ssl.TLSVersion) -> None:
    """As in an upload whose response has begun: reading also pushes out what is unsent, and counts it once."""
    ends = tied(version, up=3000, down=3000)
    await ends.shake_hands()
    got: dict[str, bytes] = {}

    async def read() -> None:
        got["down"] = await receive_exactly(ends.stream, len(BODY), 700)

    async def echo() -> None:
        """The server's end: one task, as `SecureChannel` is for one."""
        channel, said = ends.channel, b""
        while len(said) < len(BODY):
            piece = await channel.receive(900)
            await channel.send_all(piece)
            said += piece
        got["up"] = said

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        nursery.start_soon(echo)
        await send(ends.stream, BODY)
    assert got == {"up": BODY, "down": BODY}


# ---- cancellation ----


async def cancelled(wait: Callable[[], Awaitable[None]]) -> None:
    """Wait in a scope that is cancelled already."""
    with trio.CancelScope() as scope:
        scope.cancel()
        await wait()


@VERSIONS
@virtual
async def test_waits_that_are_cancelled_lose_nothing(network: MemoryNetwork, version: ssl.TLSVersion) -> None:
    """Every wait to read and to write is cut once before it may be."""
    ends = tied(version, most=one_byte, up=500, down=500)
    await ends.shake_hands()

    async def send_disturbed() -> None:
        rest = memoryview(BODY[:4000])
        while rest:
            try:
                rest = rest[ends.stream.send_nowait(rest) :]
            except BlockingIOError:
                await cancelled(ends.stream.wait_writable)
                await ends.stream.wait_writable()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_disturbed)
        assert await take(ends.channel, 4000) == BODY[:4000]
        nursery.start_soon(ends.channel.send_all, BODY[:4000])
        got = b""
        while len(got) < 4000:
            try:
                got += ends.stream.recv_nowait(300)
            except BlockingIOError:
                await cancelled(ends.stream.wait_readable)
                await ends.stream.wait_readable()
    assert got == BODY[:4000]


class After(trio.abc.Instrument):
    """Cancels its scope after so many steps of a task."""

    def __init__(self, steps: int) -> None:
        self.scope = trio.CancelScope()
        self.victim: trio.lowlevel.Task | None = None
        self._left = steps

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.victim:
            self._left -= 1
            if self._left == 0:
                self.scope.cancel()


@VERSIONS
def test_a_handshake_can_be_cancelled_at_every_step(version: ssl.TLSVersion) -> None:
    async def story(network: MemoryNetwork, after: After) -> bool:
        ends = tied(version, up=100, down=100)

        async def serve() -> None:
            try:
                await ends.channel.handshake()
            except OSError:
                pass  # the client has gone

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            after.victim = trio.lowlevel.current_task()
            with after.scope:
                await ends.stream.handshake()
            after.victim = None
            ends.stream.close()
            nursery.cancel_scope.cancel()
        assert ends.below.is_closed
        return after.scope.cancelled_caught

    for steps in count(1):
        after = After(steps)
        if not play(partial(story, after=after), instruments=[after]):
            break
    assert steps > 5


# ---- closing ----


@VERSIONS
@virtual
async def test_closing_says_goodbye_once_and_waits_for_nothing(network: MemoryNetwork, version: ssl.TLSVersion) -> None:
    ends = tied(version)
    await ends.shake_hands()
    ends.stream.close()
    ends.stream.close()
    ends.channel.incoming.write(await ends.channel.stream.receive())
    assert ends.channel.ssl_object.read(1) == b""
    with pytest.raises(OSError, match="descriptor"):
        ends.stream.recv_nowait(1)
    with pytest.raises(trio.ClosedResourceError):
        await ends.stream.wait_readable()


@VERSIONS
@virtual
async def test_closing_in_the_middle_of_a_record_is_no_end_to_the_peer(
    network: MemoryNetwork, version: ssl.TLSVersion
) -> None:
    ends = tied(version, up=5000)
    await ends.shake_hands()
    assert not ends.stream.readable()
    with pytest.raises(BlockingIOError):
        ends.stream.send_nowait(BODY)
    ends.stream.close()
    while data := await ends.channel.stream.receive():
        ends.channel.incoming.write(data)
    ends.channel.incoming.write_eof()
    with pytest.raises(ssl.SSLEOFError):
        ends.channel.ssl_object.read(1)


@pytest.mark.parametrize("wait", ["read", "write"])
@virtual
async def test_closing_wakes_who_waits(network: MemoryNetwork, wait: str) -> None:
    ends = tied(up=5000)
    await ends.shake_hands()
    ends.stream.readable()  # takes the tickets
    with pytest.raises(BlockingIOError):
        ends.stream.send_nowait(BODY)
    woken: list[str] = []

    async def stand() -> None:
        with pytest.raises(trio.ClosedResourceError):
            await (ends.stream.wait_readable() if wait == "read" else ends.stream.wait_writable())
        woken.append(wait)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stand)
        await settle()
        ends.stream.close()
    assert woken == [wait]


async def test_a_connection_that_is_closed_before_its_handshake() -> None:
    ends = tied()
    ends.stream.close()
    assert ends.below.is_closed


# ---- over real sockets ----


class SlowServer:
    """Speaks TLS by trio's own means on a real socket; its script is what it does with one connection."""

    def __init__(self, script: Callable[[trio.SSLStream[trio.SocketStream]], Awaitable[None]]) -> None:
        self._script = script
        self.is_done = trio.Event()

    async def __call__(self, below: trio.SocketStream) -> None:
        secured = trio.SSLStream(below, server_context(), server_side=True)
        try:
            await self._script(secured)
        finally:
            await trio.aclose_forcefully(secured)
            self.is_done.set()


@asynccontextmanager
async def connected(server: SlowServer) -> AsyncIterator[TLSStream]:
    """The client's end, after its handshake."""
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, server, 0, host="127.0.0.1"))
        below = await connect_tcp("127.0.0.1", listeners[0].socket.getsockname()[1])
        stream = TLSStream(below, client_context(), "a.test")
        with trio.fail_after(20):
            try:
                await stream.handshake()
                yield stream
            finally:
                stream.close()
            await server.is_done.wait()
        nursery.cancel_scope.cancel()


async def read_all(stream: trio.SSLStream[trio.SocketStream], size: int) -> bytes:
    """So many bytes."""
    data = bytearray()
    while len(data) < size:
        piece = await stream.receive_some()
        assert piece, "the end came before"
        data += piece
    return bytes(data)


async def test_megabytes_both_ways_at_once_over_a_real_socket() -> None:
    data = BODY * 80

    async def script(secured: trio.SSLStream[trio.SocketStream]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(secured.send_all, data)
            assert await read_all(secured, len(data)) == data

    async with connected(SlowServer(script)) as stream, trio.open_nursery() as nursery:
        nursery.start_soon(send, stream, data)
        assert await receive_exactly(stream, len(data)) == data


async def test_megabytes_to_a_peer_that_does_not_read_yet_over_a_real_socket() -> None:
    data, may_read = BODY * 160, trio.Event()

    async def script(secured: trio.SSLStream[trio.SocketStream]) -> None:
        await secured.do_handshake()
        await may_read.wait()
        assert await read_all(secured, len(data)) == data
        await secured.send_all(b"all of it")

    async with connected(SlowServer(script)) as stream:
        rest = memoryview(data)
        with pytest.raises(BlockingIOError):
            while rest:
                rest = rest[stream.send_nowait(rest) :]
        await cancelled(stream.wait_writable)
        may_read.set()
        await send(stream, bytes(rest))
        assert await receive_exactly(stream, 9) == b"all of it"


async def test_a_proper_end_over_a_real_socket() -> None:
    async def script(secured: trio.SSLStream[trio.SocketStream]) -> None:
        await secured.send_all(b"last")
        await secured.aclose()

    async with connected(SlowServer(script)) as stream:
        assert await receive_exactly(stream, 4) == b"last"
        assert await receive(stream) == b""


@pytest.mark.parametrize("is_reset", [False, True])
async def test_a_cut_over_a_real_socket(is_reset: bool) -> None:
    async def script(secured: trio.SSLStream[trio.SocketStream]) -> None:
        await secured.send_all(b"last")
        below = secured.transport_stream
        if is_reset:
            below.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await below.aclose()

    async with connected(SlowServer(script)) as stream:
        with pytest.raises(OSError, match="EOF|reset"):
            assert await receive_exactly(stream, 4) == b"last"
            await receive(stream)


@VERSIONS
@virtual
async def test_a_read_of_just_what_was_there_does_not_make_the_next_wait_spin(
    network: MemoryNetwork, version: ssl.TLSVersion
) -> None:
    ends = tied(version)
    await ends.shake_hands()
    await ends.channel.send_all(b"hello")
    await ends.stream.wait_readable()
    assert await receive_exactly(ends.stream, 5) == b"hello"
    with pytest.raises(BlockingIOError):
        ends.stream.recv_nowait(5)
    with trio.move_on_after(1) as scope:
        await ends.stream.wait_readable()
    assert scope.cancelled_caught
