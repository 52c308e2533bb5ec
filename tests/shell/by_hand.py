"""A server's end of TLS 1.3 whose records are made by hand, for what `ssl` cannot be told to do: updating its keys.

The handshake is `ssl`'s; it writes down the secrets that it agrees on (SSLKEYLOGFILE). From there each record is made
and read here, by RFC 8446: keys by section 7.3, updates by sections 4.6.3 and 7.2, records by section 5.2.
"""

from __future__ import annotations

import ssl
import struct
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from .network import MemoryStream
from .secure import NAMES, authority

CIPHER = "TLS_AES_256_GCM_SHA384"
HANDSHAKE, DATA = 22, 23


def noting_context(secrets: Path) -> ssl.SSLContext:
    """What a server shows that writes its secrets there, and sends no tickets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    context.keylog_filename = str(secrets)
    authority().issue_cert(*NAMES).configure_cert(context)
    return context


def _expand(secret: bytes, label: bytes, length: int) -> bytes:
    name = b"tls13 " + label
    info = struct.pack("!HB", length, len(name)) + name + b"\x00"
    return HKDFExpand(SHA384(), length, info).derive(secret)


class Direction:
    """The keys of one direction, and how often they were used."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._take_keys()

    def _take_keys(self) -> None:
        self._key = AESGCM(_expand(self._secret, b"key", 32))
        self._iv = int.from_bytes(_expand(self._secret, b"iv", 12), "big")
        self._number = 0

    def update(self) -> None:
        """Go on with the next keys."""
        self._secret = _expand(self._secret, b"traffic upd", 48)
        self._take_keys()

    def _nonce(self) -> bytes:
        self._number += 1
        return (self._iv ^ (self._number - 1)).to_bytes(12, "big")

    def seal(self, kind: int, content: bytes) -> bytes:
        """A record."""
        inner = content + bytes([kind])
        header = struct.pack("!BHH", DATA, 0x0303, len(inner) + 16)
        return header + self._key.encrypt(self._nonce(), inner, header)

    def open(self, record: bytes) -> tuple[int, bytes]:
        """What kind a record is, and its content."""
        inner = self._key.decrypt(self._nonce(), record[5:], record[:5])
        return inner[-1], inner[:-1]


class Hand:
    """A server's end after its handshake.

    :ivar down: what we say.
    :ivar up: what the client says.
    """

    def __init__(self, stream: MemoryStream, secrets: Path, shaken: ssl.SSLObject) -> None:
        cipher = shaken.cipher()
        assert cipher is not None
        assert cipher[0] == CIPHER
        found = {line.split()[0]: bytes.fromhex(line.split()[2]) for line in secrets.read_text().splitlines()[1:]}
        self._stream = stream
        self._received = b""
        self.down = Direction(found["SERVER_TRAFFIC_SECRET_0"])
        self.up = Direction(found["CLIENT_TRAFFIC_SECRET_0"])

    async def say(self, content: bytes) -> None:
        """Plaintext."""
        await self._stream.send_all(self.down.seal(DATA, content))

    def updated(self, *, wants_answer: bool) -> bytes:
        """The record that says that our keys change; they have changed then."""
        record = self.down.seal(HANDSHAKE, bytes([24, 0, 0, 1, wants_answer]))
        self.down.update()
        return record

    async def hear(self) -> tuple[int, bytes]:
        """The client's next record. A key update is followed."""
        while len(self._received) < 5 or len(self._received) < 5 + int.from_bytes(self._received[3:5], "big"):
            self._received += await self._stream.receive()
        end = 5 + int.from_bytes(self._received[3:5], "big")
        record, self._received = self._received[:end], self._received[end:]
        kind, content = self.up.open(record)
        if kind == HANDSHAKE and content[0] == 24:
            self.up.update()
        return kind, content
