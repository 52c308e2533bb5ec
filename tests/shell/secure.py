"""The servers' end of TLS, on a stream in memory, and the certificates."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from functools import lru_cache

import trustme

from .network import CAPACITY, Channel, Handler, MemoryStream

NAMES = ("a.test", "b.test", "c.test")


@lru_cache(maxsize=1)
def authority() -> trustme.CA:
    """Who signs the tests' certificates."""
    return trustme.CA()


@lru_cache(maxsize=4)
def server_context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """What servers show: a certificate for each of `NAMES`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    _certificate().configure_cert(context)
    return context


@lru_cache(maxsize=1)
def _certificate() -> trustme.LeafCert:
    return authority().issue_cert(*NAMES)


def client_context() -> ssl.SSLContext:
    """What a pool is given to trust those servers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


class SecureChannel:
    """The server's end of a TLS connection. Its parts are open to tests that misbehave."""

    def __init__(self, stream: MemoryStream, context: ssl.SSLContext) -> None:
        self.stream = stream
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.ssl_object = context.wrap_bio(self.incoming, self.outgoing, server_side=True)

    async def handshake(self) -> None:
        """Agree with the client; in TLS 1.3 the session tickets go out with the end of it."""
        await self._until_done(self.ssl_object.do_handshake)

    async def receive(self, max_bytes: int = CAPACITY) -> bytes:
        try:
            return await self._until_done(lambda: self.ssl_object.read(max_bytes))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    async def send_all(self, data: bytes) -> None:
        self.ssl_object.write(data)
        await self.flush()

    async def flush(self) -> None:
        """Send the ciphertext there is."""
        await self.stream.send_all(self.outgoing.read())

    def say_goodbye(self) -> bytes:
        """The close_notify, for the test to send."""
        try:
            self.ssl_object.unwrap()
        except ssl.SSLError:
            pass
        return self.outgoing.read()

    def send_eof(self) -> None:
        self.stream.send_nowait(self.say_goodbye())

    def reset(self) -> None:
        self.stream.reset()

    def close(self) -> None:
        self.stream.close()

    async def _until_done(self, act: Callable[[], object]) -> bytes:
        while True:
            try:
                result = act()
            except ssl.SSLWantReadError:
                await self.flush()
                data = await self.stream.receive()
                if data:
                    self.incoming.write(data)
                else:
                    self.incoming.write_eof()
            else:
                await self.flush()
                return result if isinstance(result, bytes) else b""


def over_tls(
    handler: Callable[[Channel], Awaitable[None]], version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Handler:
    """The handler, over TLS."""

    async def secured(stream: MemoryStream) -> None:
        channel = SecureChannel(stream, server_context(version))
        try:
            await channel.handshake()
        except ssl.SSLError:
            return
        await handler(channel)

    return secured
