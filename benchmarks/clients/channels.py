"""Non-blocking sockets for the ceiling's rows: plain, and TLS over memory BIOs."""

from __future__ import annotations

import socket
import ssl

import trio

PIECE = 131_072  # bytes taken from the socket at once


class Plain:
    """A connected socket: every call does what can be done now."""

    __slots__ = ("sock", "unsent")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.unsent: bytes | memoryview = b""

    def push(self, data: bytes) -> bool:
        """Send; whether all of it was sent."""
        self.unsent = data
        return self.flush()

    def flush(self) -> bool:
        """Send more of what was pushed; whether that was the last."""
        try:
            sent = self.sock.send(self.unsent)
        except BlockingIOError:
            return False
        self.unsent = memoryview(self.unsent)[sent:] if sent < len(self.unsent) else b""
        return not self.unsent

    def receive(self) -> bytes:
        """What is there now, perhaps nothing."""
        try:
            return self._receive()
        except BlockingIOError:
            return b""

    def _receive(self) -> bytes:
        data = self.sock.recv(PIECE)
        if not data:
            raise ConnectionError("the server closed the connection")
        return data


class Secure(Plain):
    """The same with TLS."""

    __slots__ = ("incoming", "outgoing", "tls")

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, host: str) -> None:
        super().__init__(sock)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=host)

    def push(self, data: bytes) -> bool:
        self.tls.write(data)
        return super().push(self.outgoing.read())

    def receive(self) -> bytes:
        try:
            return self.tls.read(PIECE)
        except ssl.SSLWantReadError:
            self.incoming.write(super().receive())
        try:
            return self.tls.read(PIECE)
        except ssl.SSLWantReadError:
            return b""

    async def shake_hands(self) -> None:
        """Until both sides are content."""
        while not self._is_shaken():
            await trio.lowlevel.wait_readable(self.sock)
            self.incoming.write(self._receive())

    def _is_shaken(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        finally:
            if data := self.outgoing.read():
                super().push(data)  # a few hundred bytes into an empty buffer
        return True


async def connect(host: str, port: int, context: ssl.SSLContext | None) -> Plain:
    """A channel to an address; with TLS if there is a context."""
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        try:
            sock.connect((host, port))
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)
        if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, "cannot connect")
        if context is None:
            return Plain(sock)
        channel = Secure(sock, context, host)
        await channel.shake_hands()
    except BaseException:
        sock.close()
        raise
    return channel
