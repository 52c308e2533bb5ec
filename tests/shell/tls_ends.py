"""Both ends of a TLS connection in memory, for tests of the client's end by itself."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import attrs
import pytest
import trio

from trio_pool._net.streams import Stream
from trio_pool._net.tls import TLSStream

from .network import CAPACITY, MemoryStream, Pipe
from .scheduling import settle
from .secure import SecureChannel, client_context, server_context

VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
RECORD = 16384
BODY = bytes(range(256)) * 200


@attrs.frozen
class Ends:
    """Both ends of a connection.

    :ivar stream: the client's.
    :ivar below: what that is made of.
    :ivar channel: the server's.
    """

    stream: TLSStream
    below: MemoryStream
    channel: SecureChannel

    async def shake_hands(self) -> None:
        """Both at once. The server's tickets are on their way then, and read only if they do not fit on it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.channel.handshake)
            await self.stream.handshake()
            await settle()
            while nursery.child_tasks:
                assert not self.stream.readable()
                await settle()


def everything(size: int) -> int:
    """All that could move moves at once."""
    return size


def one_byte(size: int) -> int:
    """It moves by bytes."""
    return 1


def tied(
    version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
    *,
    most: Callable[[int], int] = everything,
    up: int = CAPACITY,
    down: int = CAPACITY,
    context: ssl.SSLContext | None = None,
    name: str = "a.test",
) -> Ends:
    """A connection in memory.

    :param most: how much of what could move moves at once.
    :param up: bytes on the way to the server.
    :param down: bytes on the way from it.
    :param context: what the server shows.
    :param name: whom the client wants to speak to.
    """
    upwards, downwards = Pipe(up), Pipe(down)
    client, server = MemoryStream(downwards, upwards, most), MemoryStream(upwards, downwards, most)
    client.peer, server.peer = server, client
    channel = SecureChannel(server, context or server_context(version))
    return Ends(TLSStream(client, client_context(), name), client, channel)


async def receive(stream: Stream, max_bytes: int = CAPACITY) -> bytes:
    """Some bytes, or b"" at the end."""
    while True:
        try:
            return stream.recv_nowait(max_bytes)
        except BlockingIOError:
            await stream.wait_readable()


async def receive_exactly(stream: Stream, size: int, max_bytes: int = CAPACITY) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < size:
        piece = await receive(stream, max_bytes)
        assert piece, "the end came before"
        data += piece
    return data


async def send(stream: Stream, data: bytes) -> None:
    """All of it."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[stream.send_nowait(rest) :]
        except BlockingIOError:
            await stream.wait_writable()


async def take(channel: SecureChannel, size: int) -> bytes:
    """So many bytes, as the server reads them."""
    data = b""
    while len(data) < size:
        piece = await channel.receive()
        assert piece, "the end came before"
        data += piece
    return data
