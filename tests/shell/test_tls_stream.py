"""TLS as a stream by itself: however its records arrive, whatever comes between them, and how it ends."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import trio

from .by_hand import DATA, HANDSHAKE, Hand, noting_context
from .network import CAPACITY, MemoryNetwork, MemoryStream
from .scheduling import play, settle, virtual
from .tls_ends import BODY, RECORD, VERSIONS, Ends, everything, one_byte, receive, receive_exactly, send, take, tied

# ---- records in pieces ----


@pytest.mark.parametrize(("most", "capacity"), [(one_byte, CAPACITY), (everything, 1), (everything, 50)])
@VERSIONS
@virtual
async def test_records_may_arrive_byte_by_byte(
    network: MemoryNetwork, version: ssl.TLSVersion, most: Callable[[int], int], capacity: int
) -> None:
    ends = tied(version, most=most, up=capacity, down=capacity)
    await ends.shake_hands()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send, ends.stream, BODY[:2000])
        assert await take(ends.channel, 2000) == BODY[:2000]
        nursery.start_soon(ends.channel.send_all, BODY[:2000])
        assert await receive_exactly(ends.stream, 2000) == BODY[:2000]
    ends.stream.close()


@VERSIONS
@virtual
async def test_a_record_is_read_in_pieces_without_a_wait(network: MemoryNetwork, version: ssl.TLSVersion) -> None:
    ends = tied(version)
    await ends.shake_hands()
    await ends.channel.send_all(BODY[:RECORD])
    assert await receive(ends.stream, 1) == BODY[:1]
    for position in range(1, RECORD, 1000):
        with trio.fail_after(1):
            await ends.stream.wait_readable()
        assert ends.stream.readable()
        size = min(1000, RECORD - position)
        assert ends.stream.recv_nowait(1000) == BODY[position : position + size]
    with pytest.raises(BlockingIOError):
        ends.stream.recv_nowait(1)
    assert not ends.stream.readable()


@VERSIONS
@virtual
async def test_records_that_arrive_together_are_read_without_a_wait(
    network: MemoryNetwork, version: ssl.TLSVersion
) -> None:
    ends = tied(version)
    await ends.shake_hands()
    for number in range(5):
        ends.channel.ssl_object.write(b"%d" % number)
    await ends.channel.flush()
    said = await receive(ends.stream, 1)
    while len(said) < 5:
        with trio.fail_after(1):
            await ends.stream.wait_readable()
        assert len(said) % 2 or ends.stream.readable()
        said += ends.stream.recv_nowait(100)
    assert said == b"01234"


@virtual
async def test_a_look_takes_nothing_away(network: MemoryNetwork) -> None:
    ends = tied()
    await ends.shake_hands()
    assert not ends.stream.readable()  # though there are tickets
    await ends.channel.send_all(b"abc")
    assert ends.stream.readable()
    assert ends.stream.readable()
    with trio.fail_after(1):
        await ends.stream.wait_readable()
    assert ends.stream.recv_nowait(2) == b"ab"
    assert ends.stream.readable()
    assert ends.stream.recv_nowait(2) == b"c"
    assert not ends.stream.readable()


# ---- ends ----


@VERSIONS
@virtual
async def test_close_notify_is_an_end_and_stays_one(network: MemoryNetwork, version: ssl.TLSVersion) -> None:
    ends = tied(version)
    await ends.shake_hands()
    ends.channel.ssl_object.write(b"last")
    await ends.channel.stream.send_all(ends.channel.outgoing.read() + ends.channel.say_goodbye())
    assert await receive_exactly(ends.stream, 4) == b"last"
    for _ in range(3):
        assert ends.stream.recv_nowait(10) == b""
        assert ends.stream.readable()


def in_a_record(record: bytes, version: ssl.TLSVersion) -> bytes:
    """All but its last byte."""
    return record[:-1]


def in_its_header(record: bytes, version: ssl.TLSVersion) -> bytes:
    """Its first three bytes."""
    return record[:3]


def between_records(record: bytes, version: ssl.TLSVersion) -> bytes:
    """Nothing of it."""
    return b""


def with_an_alert_cut(record: bytes, version: ssl.TLSVersion) -> bytes:
    """What could become an alert: its content type in TLS 1.2."""
    return b"\x15\x03\x03"


@pytest.mark.parametrize("cut", [in_a_record, in_its_header, between_records, with_an_alert_cut])
@VERSIONS
@virtual
async def test_an_end_without_close_notify_is_never_an_end(
    network: MemoryNetwork, version: ssl.TLSVersion, cut: Callable[[bytes, ssl.TLSVersion], bytes]
) -> None:
    ends = tied(version)
    await ends.shake_hands()
    await ends.channel.send_all(b"whole")
    ends.channel.ssl_object.write(b"cut off")
    await ends.channel.stream.send_all(cut(ends.channel.outgoing.read(), version))
    ends.channel.stream.send_eof()
    assert await receive_exactly(ends.stream, 5) == b"whole"
    for _ in range(3):
        with pytest.raises(ssl.SSLError):
            ends.stream.recv_nowait(10)
        assert ends.stream.readable()


@VERSIONS
@virtual
async def test_a_connection_that_breaks_is_an_error_behind_what_came_before(
    network: MemoryNetwork, version: ssl.TLSVersion
) -> None:
    ends = tied(version)
    await ends.shake_hands()
    await ends.channel.send_all(b"whole")
    ends.channel.stream.reset()
    assert await receive_exactly(ends.stream, 5) == b"whole"
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            ends.stream.recv_nowait(10)
    with pytest.raises(OSError, match="pipe") as caught:
        await send(ends.stream, b"x")
    assert caught.value.errno == errno.EPIPE


@VERSIONS
def test_a_handshake_that_is_cut_anywhere_fails(version: ssl.TLSVersion) -> None:
    """The server's part of it ends after so many bytes, with the connection or for ever broken."""

    async def story(network: MemoryNetwork, size: int, is_reset: bool) -> bool:
        ends = tied(version)

        async def serve(server: MemoryStream) -> None:
            channel = ends.channel
            left = size
            while left:
                channel.incoming.write(await server.receive())
                try:
                    channel.ssl_object.do_handshake()
                except ssl.SSLWantReadError:
                    pass
                part = channel.outgoing.read()[:left]
                left -= len(part)
                await server.send_all(part)
                if not left or not part:
                    break
            (server.reset if is_reset else server.send_eof)()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, ends.channel.stream)
            try:
                await ends.stream.handshake()
            except OSError:
                return False
            finally:
                ends.stream.close()
        return True

    for size in [*range(0, 200, 7), *range(200, 900, 50)]:
        for is_reset in (False, True):
            assert not play(partial(story, size=size, is_reset=is_reset)), size


@VERSIONS
@pytest.mark.parametrize("place", [5, 7, 20, -1])
@virtual
async def test_a_damaged_record_is_refused_whole_and_the_peer_is_told(
    network: MemoryNetwork, version: ssl.TLSVersion, place: int
) -> None:
    ends = tied(version)
    await ends.shake_hands()
    ends.channel.ssl_object.write(b"secret" * 10)
    record = bytearray(ends.channel.outgoing.read())
    record[place] ^= 1
    await ends.channel.stream.send_all(bytes(record))
    with pytest.raises(ssl.SSLError):
        await receive(ends.stream)
    ends.stream.close()
    with pytest.raises(ssl.SSLError, match="(?i)alert"):
        ends.channel.incoming.write(await ends.channel.stream.receive())
        ends.channel.ssl_object.read(10)


@VERSIONS
@virtual
async def test_a_server_hears_why_its_certificate_is_refused(network: MemoryNetwork, version: ssl.TLSVersion) -> None:
    """At once, and not only when somebody closes."""
    ends = tied(version, name="wrong.test")

    async def serve() -> None:
        with pytest.raises(ssl.SSLError, match="(?i)alert bad certificate"):
            await ends.channel.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        with pytest.raises(ssl.SSLCertVerificationError):
            await ends.stream.handshake()


# ---- what comes between ----


async def held_back(ends: Ends) -> bytes:
    """Shake hands, but for the server's tickets, which are left to be sent."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ends.stream.handshake)
        while True:
            try:
                ends.channel.ssl_object.do_handshake()
                return ends.channel.outgoing.read()
            except ssl.SSLWantReadError:
                await ends.channel.flush()
                ends.channel.incoming.write(await ends.channel.stream.receive())


@pytest.mark.parametrize("piece", [1, 100, 10_000])
@virtual
async def test_session_tickets_are_no_plaintext_and_no_end(network: MemoryNetwork, piece: int) -> None:
    """While the connection is idle, and while somebody reads, in pieces."""
    ends = tied()
    tickets = await held_back(ends)
    assert tickets
    got: list[bytes] = []

    async def read() -> None:
        got.append(await receive(ends.stream))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        for start in range(0, len(tickets), piece):
            await ends.channel.stream.send_all(tickets[start : start + piece])
            await settle()
            assert not got
        await ends.channel.send_all(b"at last")
    assert got == [b"at last"]
    assert not ends.stream.readable()


@virtual
async def test_session_tickets_between_records_change_nothing(network: MemoryNetwork) -> None:
    ends = tied()
    tickets = await held_back(ends)
    ends.channel.ssl_object.write(b"a")
    first = ends.channel.outgoing.read()
    ends.channel.ssl_object.write(b"b")
    await ends.channel.stream.send_all(tickets + first + ends.channel.outgoing.read())
    assert await receive_exactly(ends.stream, 2) == b"ab"


# ---- key updates ----


async def shaken_by_hand(secrets: Path) -> tuple[Ends, Hand]:
    """Both ends after a handshake, the server's in our hands."""
    ends = tied(context=noting_context(secrets))
    await ends.shake_hands()
    return ends, Hand(ends.channel.stream, secrets, ends.channel.ssl_object)


@virtual
async def test_a_key_update_is_no_plaintext_and_what_follows_it_is_read(network: MemoryNetwork, tmp_path: Path) -> None:
    ends, hand = await shaken_by_hand(tmp_path / str(network.random()))
    for number in range(3):
        await hand.say(b"before")
        assert await receive_exactly(ends.stream, 6) == b"before"
        await ends.channel.stream.send_all(hand.updated(wants_answer=False))
        assert not ends.stream.readable()
        with pytest.raises(BlockingIOError):
            ends.stream.recv_nowait(10)
        await hand.say(b"after %d" % number)
        assert await receive_exactly(ends.stream, 7) == b"after %d" % number


@pytest.mark.parametrize("cut", [1, 10, 26])
@virtual
async def test_a_key_update_that_wants_an_answer_gets_one(network: MemoryNetwork, tmp_path: Path, cut: int) -> None:
    """Before anything else that we say (RFC 8446 section 4.6.3); the update itself may arrive in two parts."""
    ends, hand = await shaken_by_hand(tmp_path / str(network.random()))
    record = hand.updated(wants_answer=True)
    await ends.channel.stream.send_all(record[:cut])
    assert not ends.stream.readable()
    await ends.channel.stream.send_all(record[cut:])
    assert not ends.stream.readable()
    await hand.say(b"after")
    assert await receive_exactly(ends.stream, 5) == b"after"
    await send(ends.stream, b"with new keys")
    assert await hand.hear() == (HANDSHAKE, bytes([24, 0, 0, 1, 0]))
    assert await hand.hear() == (DATA, b"with new keys")


@virtual
async def test_a_key_update_in_the_middle_of_a_large_write(network: MemoryNetwork, tmp_path: Path) -> None:
    """What was encrypted by the old keys leaves before the answer, and nothing is lost or doubled."""
    ends, hand = await shaken_by_hand(tmp_path / str(network.random()))
    got = b""

    async def read() -> None:
        nonlocal got
        kinds: list[int] = []
        while len(got) < len(BODY):
            kind, content = await hand.hear()
            kinds.append(kind)
            got += content if kind == DATA else b""
            if len(kinds) == 1:
                await ends.channel.stream.send_all(hand.updated(wants_answer=True))
        assert kinds.count(HANDSHAKE) == 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        rest = memoryview(BODY)
        while rest:
            try:
                rest = rest[ends.stream.send_nowait(rest) :]
            except BlockingIOError:
                await ends.stream.wait_writable()
            with pytest.raises(BlockingIOError):
                ends.stream.recv_nowait(10)
            await settle()
    assert got == BODY
