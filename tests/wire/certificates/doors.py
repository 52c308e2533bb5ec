"""Servers on loopback that speak TLS and remember what they saw, down to the last byte of plaintext.

Trio's own `SSLStream` sends no alert when a handshake fails, and real servers do: so the TLS object is driven here.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial

import attrs
import trio

from trio_pool import Stream, SystemNetwork

LOOPBACK = "127.0.0.1"


@attrs.define
class Visit:
    """One connection as the server saw it.

    :ivar received: the plaintext.
    :ivar asked: the server name that the client wanted.
    :ivar peer: the subject's common name of the client's certificate.
    :ivar version: of TLS, once it was agreed on.
    :ivar fault: what TLS said of its end, if it was no good one.
    """

    received: bytes = b""
    asked: str | None = None
    peer: str | None = None
    version: str | None = None
    fault: str = ""


class Door:
    """A server. Each connection gets the next context; the last one stays.

    :ivar port: where it listens.
    :ivar visits: the connections, in order.
    """

    def __init__(self, contexts: Sequence[ssl.SSLContext]) -> None:
        self.port = 0
        self.visits: list[Visit] = []
        self._contexts = list(contexts)

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection, until the client has left."""
        visit = Visit()
        self.visits.append(visit)
        context = self._contexts.pop(0) if len(self._contexts) > 1 else self._contexts[0]
        context.sni_callback = lambda _object, name, _context: setattr(visit, "asked", name)
        try:
            await _Session(stream, context, visit).run()
        except ssl.SSLError as error:
            visit.fault = str(error.reason or error)
            await _until_gone(stream)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            visit.fault = "broken"
        finally:
            stream.socket.close()


async def _until_gone(stream: trio.SocketStream) -> None:
    """End our side and read the rest: a close with unread bytes would break the connection under our alert."""
    await stream.send_eof()
    while await stream.receive_some():
        pass


class _Session:
    def __init__(self, stream: trio.SocketStream, context: ssl.SSLContext, visit: Visit) -> None:
        self._stream = stream
        self._visit = visit
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    async def run(self) -> None:
        await self._until_done(self._tls.do_handshake)
        self._visit.version = self._tls.version()
        shown = self._tls.getpeercert()
        if shown:
            self._visit.peer = dict(pair for part in shown["subject"] for pair in part)["commonName"]  # type: ignore[misc]  # pairs of text
        while not self._visit.received.endswith(b"\r\n\r\n"):
            self._visit.received += await self._until_done(partial(self._tls.read, 65536))
        self._tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        await self._stream.send_all(self._outgoing.read())
        await _until_gone(self._stream)

    async def _until_done(self, act: Callable[[], object]) -> bytes:
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError:
                await self._stream.send_all(self._outgoing.read())
                data = await self._stream.receive_some()
                self._incoming.write(data) if data else self._incoming.write_eof()
            except ssl.SSLError:
                await self._stream.send_all(self._outgoing.read())  # the alert
                raise
            else:
                await self._stream.send_all(self._outgoing.read())
                return result if isinstance(result, bytes) else b""


@asynccontextmanager
async def door(*contexts: ssl.SSLContext) -> AsyncIterator[Door]:
    """A server, for the time of the `async with`."""
    server = Door(contexts)
    listeners = await trio.open_tcp_listeners(0, host=LOOPBACK)
    server.port = listeners[0].socket.getsockname()[1]
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(trio.serve_listeners, server.serve, listeners, handler_nursery=nursery))
        yield server
        nursery.cancel_scope.cancel()


class Everywhere(SystemNetwork):
    """Every name and address leads to loopback.

    :ivar open: connections that are open.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open = 0

    async def resolve(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        return [(LOOPBACK, port)]

    async def connect(self, address: tuple[str, int]) -> Stream:
        return Counted(await super().connect(address), self)


class Counted:
    """A stream that is counted until it is closed."""

    def __init__(self, stream: Stream, network: Everywhere) -> None:
        self._stream = stream
        self._network = network
        self.recv_nowait = stream.recv_nowait
        self.send_nowait = stream.send_nowait
        self.readable = stream.readable
        self.wait_readable = stream.wait_readable
        self.wait_writable = stream.wait_writable
        self._is_open = True
        network.open += 1

    def close(self) -> None:
        self._network.open -= self._is_open
        self._is_open = False
        self._stream.close()
