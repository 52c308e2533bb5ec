"""TLS over any `Stream`, as a `Stream`: an `ssl.SSLObject` between two memory buffers.

Strategy. Plaintext goes through the TLS object at once; only its ciphertext can block. A send is at most one record,
and *owed* while some of its ciphertext has not been taken by the network: nothing more is encrypted until it has,
and the caller, who was told to wait, offers the same bytes again and then learns how many were sent. So memory
stays bounded, what `send_nowait` has counted has left, and what it has not counted the peer cannot have decrypted:
of a record that is not there whole nothing can be read.

Receiving feeds the TLS object until it gives plaintext, says that the peer has ended its side properly (b""),
or an end without close_notify shows a cut (`ssl.SSLEOFError`). Session tickets and key updates are neither.
"""

from __future__ import annotations

import os
import re
import ssl
import sys
from collections.abc import Awaitable
from functools import lru_cache

import trio

from .streams import Stream, poll_of

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")

_RECORDS = 65536
"""Bytes of ciphertext taken from the network at a time: four records."""

_RECORD = 16384
"""Bytes of plaintext in a record at most (RFC 8446 section 5.1)."""


class TLSStream:
    """The client's end of a TLS connection. `handshake` comes first."""

    __slots__ = (
        "_decrypted",
        "_has_ended",
        "_has_more",
        "_incoming",
        "_is_readable",
        "_outgoing",
        "_owed",
        "_stream",
        "_unsent",
        "ssl_object",
    )

    def __init__(self, stream: Stream, context: ssl.SSLContext, server_hostname: str | None) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._unsent: bytes | memoryview = b""  # ciphertext that the network did not take yet
        self._owed = 0  # plaintext bytes in it, which the caller offers again
        self._has_ended = False  # whether the peer has said close_notify
        self._has_more = False  # whether a record may have held more plaintext than was asked for
        self._is_readable = poll_of(stream) or stream.readable
        self._decrypted = b""  # plaintext that a look at the stream has turned up
        self.ssl_object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)

    @property
    def below(self) -> Stream:
        """What carries the ciphertext."""
        return self._stream

    async def handshake(self) -> None:
        """Agree with the server on everything.

        :raises ssl.SSLError: it or we refused; the alert that says so has been offered to the network.
        :raises OSError: the connection broke.
        """
        while True:
            try:
                self.ssl_object.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except ssl.SSLError:
                self._try_to_flush()
                raise
            else:
                await self._flush()
                return

    def recv_nowait(self, max_bytes: int) -> bytes:
        """Up to `max_bytes` bytes of plaintext, or b"" after the peer's close_notify."""
        if self._decrypted:
            data, self._decrypted = self._decrypted[:max_bytes], self._decrypted[max_bytes:]
            return data
        if not (self._has_ended or self._has_more or self._incoming.pending):
            self._try_to_fill()  # to read from nothing would cost an exception
        while True:
            try:
                data = self.ssl_object.read(max_bytes)
            except ssl.SSLWantReadError:
                self._has_more = False
                self._fill_nowait()
                continue
            except ssl.SSLZeroReturnError:
                data = b""
            self._has_ended = not data
            self._has_more = len(data) == max_bytes
            return data

    def send_nowait(self, data: bytes | memoryview) -> int:
        """How many bytes of plaintext have left, encrypted."""
        if not self._owed:
            self._owed = self.ssl_object.write(data[:_RECORD])
        if not self._flush_nowait():
            raise BlockingIOError
        sent, self._owed = self._owed, 0
        return sent

    def readable(self) -> bool:
        """Whether plaintext, the end, or an error is there. Feeds on session tickets without minding them."""
        if self._decrypted:
            return True
        if not (self._has_ended or self._has_more or self._incoming.pending or self._is_readable()):
            return False
        try:
            self._decrypted = self.recv_nowait(_RECORDS)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True

    def wait_readable(self) -> Awaitable[None]:
        """Wait until more ciphertext is there, unless some or plaintext is."""
        if self._decrypted or self._has_more or self._incoming.pending:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105  # whoever waits awaits it
        return self._stream.wait_readable()

    def wait_writable(self) -> Awaitable[None]:
        """Wait until the network takes more ciphertext."""
        return self._stream.wait_writable()

    def close(self) -> None:
        """Say close_notify if the network takes it, and close without waiting for the peer's."""
        try:
            self.ssl_object.unwrap()
        except (OSError, ValueError):  # the peer's close_notify is not here, or ours makes no sense any more
            pass
        self._try_to_flush()
        self._stream.close()

    def _fill_nowait(self) -> None:
        """Take ciphertext from the network, or raise BlockingIOError."""
        if self._unsent or self._outgoing.pending:  # a key update may want an answer
            self._try_to_flush()  # what has arrived counts even if nothing can leave
        ciphertext = self._stream.recv_nowait(_RECORDS)
        if ciphertext:
            self._incoming.write(ciphertext)
        else:
            self._incoming.write_eof()

    def _try_to_fill(self) -> None:
        try:
            self._fill_nowait()
        except BlockingIOError:
            pass

    async def _fill(self) -> None:
        while True:
            try:
                return self._fill_nowait()
            except BlockingIOError:
                await self._stream.wait_readable()

    def _flush_nowait(self) -> bool:
        """Offer ciphertext to the network. Whether it took all there was."""
        while ciphertext := self._unsent or self._outgoing.read():
            self._unsent = ciphertext  # until the network has it
            try:
                taken = self._stream.send_nowait(ciphertext)
            except BlockingIOError:
                return False
            self._unsent = b"" if taken == len(ciphertext) else memoryview(ciphertext)[taken:]
        return True

    def _try_to_flush(self) -> None:
        try:
            self._flush_nowait()
        except OSError:
            pass

    async def _flush(self) -> None:
        while not self._flush_nowait():
            await self._stream.wait_writable()


@lru_cache(maxsize=1)
def system_trust() -> ssl.SSLContext:
    """A context that trusts what the system trusts. Cached: loading its certificates takes tens of milliseconds."""
    context = _default_trust() or _platform_trust()
    prepare(context)
    return context


def prepare(context: ssl.SSLContext) -> None:
    """Make a context offer HTTP/1.1, and look for names only where they belong."""
    context.set_alpn_protocols(["http/1.1"])
    if context.check_hostname:
        context.hostname_checks_common_name = False  # RFC 9110 section 4.3.4: a subject's common name is no name


def _default_trust() -> ssl.SSLContext | None:
    """OpenSSL's own certificates, loaded once, where the system keeps them as OpenSSL expects."""
    if sys.platform in ("win32", "darwin"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return (
        context if context.cert_store_stats()["x509_ca"] or _has_hashed(ssl.get_default_verify_paths().capath) else None
    )


def _has_hashed(folder: str | None) -> bool:
    """Whether a folder has certificates under the names by which OpenSSL finds them, one by one, when it needs them."""
    return folder is not None and any(_HASHED.fullmatch(name) for name in os.listdir(folder))


def _platform_trust() -> ssl.SSLContext:
    """The platform's own verifier, or its certificates wherever it keeps them; it loads them for each connection."""
    import truststore  # takes its time, and only https needs it

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
