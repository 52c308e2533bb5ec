"""An origin that counts its sockets exactly: `python -m … FOLDER`. It ends when its standard input does.

One thread, one selector. Before a connection is accepted every other one is read dry, so that a client that has
closed a socket before it opened the next is never counted twice. Over TLS what counts is the TCP connection,
from before the handshake.

Paths: `/slow?nonce=N&ms=M&size=S` answers after M milliseconds with the nonce and S bytes; `/gate?nonce=N&count=C`
waits until C such requests are there on C sockets; `/report` tells the counts and starts them afresh.
"""

from __future__ import annotations

import heapq
import json
import re
import selectors
import socket
import ssl
import sys
import time
from collections.abc import Callable
from itertools import count as counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .serve import announce, bind, end_with_parent

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Peer:
    """One client's socket.

    :ivar ended: whether it has closed its side, or broken off.
    """

    def __init__(self, sock: socket.socket, context: ssl.SSLContext | None) -> None:
        sock.setblocking(False)
        self.sock = sock
        self.ended = False
        self._inbox = bytearray()
        self._outbox = bytearray()
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        if context is not None:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._take: Callable[[bytes], object] = self._incoming.write if self._tls else self._inbox.extend

    def read_dry(self) -> None:
        """Take everything that is there."""
        try:
            while data := self.sock.recv(262_144):
                self._take(data)
        except BlockingIOError:
            return
        except OSError:
            pass
        self.ended = True

    def requests(self) -> list[tuple[str, dict[str, str]]]:
        """The requests that are complete: path and query."""
        self._decrypt()
        found = []
        while (end := self._inbox.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(self._inbox, 0, end + 2)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._inbox) < whole:
                break
            target = urlsplit(bytes(self._inbox).split(b" ", 2)[1].decode("ascii"))
            found.append((target.path, dict(parse_qsl(target.query))))
            del self._inbox[:whole]
        return found

    def _decrypt(self) -> None:
        if self._tls is None:
            return
        try:
            self._tls.do_handshake()
            while data := self._tls.read(262_144):
                self._inbox += data
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self.ended = True
        self.flush()

    def answer(self, body: bytes) -> None:
        """Send a response."""
        data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        if self._tls is None:
            self._outbox += data
        else:
            self._tls.write(data)
        self.flush()

    def flush(self) -> None:
        """Send what the network takes."""
        self._outbox += self._outgoing.read()
        try:
            while self._outbox:
                del self._outbox[: self.sock.send(self._outbox)]
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    @property
    def is_behind(self) -> bool:
        """Whether there is something to send."""
        return bool(self._outbox)


class Origin:
    """The origin: its sockets, what is due, and its accounts."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.listeners = {"http": self._listen(), "https": self._listen()}
        self._contexts = {self.listeners["http"]: None, self.listeners["https"]: context}
        self._selector = selectors.DefaultSelector()
        self._peers: dict[socket.socket, Peer] = {}
        self._due: list[tuple[float, int, Peer, bytes]] = []
        self._order = counter()
        self._gates: list[tuple[Peer, bytes]] = []
        self._most = self._accepted = self._answered = 0
        for listener in self._contexts:
            self._selector.register(listener, selectors.EVENT_READ)

    def _listen(self) -> socket.socket:
        listener = bind("127.0.0.1")
        assert listener is not None
        listener.listen(256)
        listener.setblocking(False)
        return listener

    def run(self) -> None:
        """Serve, for ever."""
        while True:
            wait = self._due[0][0] - time.monotonic() if self._due else None
            events = self._selector.select(None if wait is None else max(0.0, wait))
            ready: list[Any] = [key.fileobj for key, _ in events]  # sockets, as all that is registered
            for sock in ready:
                if sock in self._peers:
                    self._serve(self._peers[sock])
            self._answer_what_is_due()
            for sock in ready:
                if sock in self._contexts:
                    self._accept(sock)

    # ---- sockets ----

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            for peer in list(self._peers.values()):
                self._serve(peer)
            self._peers[sock] = Peer(sock, self._contexts[listener])
            self._selector.register(sock, selectors.EVENT_READ)
            self._accepted += 1
            self._most = max(self._most, len(self._peers))

    def _serve(self, peer: Peer) -> None:
        peer.read_dry()
        for path, query in peer.requests():
            BEHAVIOURS[path](self, peer, query)
        peer.flush()
        self._look_at(peer)

    def _look_at(self, peer: Peer) -> None:
        if peer.ended:
            if self._peers.pop(peer.sock, None) is not None:
                self._selector.unregister(peer.sock)
                peer.sock.close()
            return
        interest = selectors.EVENT_READ | (selectors.EVENT_WRITE if peer.is_behind else 0)
        if self._selector.get_key(peer.sock).events != interest:
            self._selector.modify(peer.sock, interest)

    # ---- answers ----

    def _answer_what_is_due(self) -> None:
        while self._due and self._due[0][0] <= time.monotonic():
            _, _, peer, body = heapq.heappop(self._due)
            self._reply(peer, body)

    def _reply(self, peer: Peer, body: bytes) -> None:
        if not peer.ended:
            self._answered += 1
            peer.answer(body)
            self._look_at(peer)

    def do_slow(self, peer: Peer, query: dict[str, str]) -> None:
        """The nonce and so many bytes, after a while."""
        body = query["nonce"].encode() + b"." * int(query.get("size", "0"))
        due = time.monotonic() + int(query.get("ms", "0")) / 1000
        heapq.heappush(self._due, (due, next(self._order), peer, body))

    def do_gate(self, peer: Peer, query: dict[str, str]) -> None:
        """The nonce, once there are enough to pass."""
        self._gates = [(other, its) for other, its in self._gates if not other.ended]
        self._gates.append((peer, query["nonce"].encode()))
        if len({other.sock for other, _ in self._gates}) >= int(query["count"]):
            for other, its in self._gates:
                self._reply(other, its)
            self._gates.clear()

    def do_report(self, peer: Peer, query: dict[str, str]) -> None:
        """The accounts."""
        told: dict[str, Any] = {"most": self._most, "accepted": self._accepted, "answered": self._answered}
        self._most, self._accepted, self._answered = len(self._peers), 0, 0
        self._reply(peer, json.dumps(told).encode())


BEHAVIOURS: dict[str, Callable[[Origin, Peer, dict[str, str]], None]] = {
    "/slow": Origin.do_slow,
    "/gate": Origin.do_gate,
    "/report": Origin.do_report,
}


def main(folder: Path) -> None:
    """Serve with the certificate in the folder."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem")
    origin = Origin(context)
    plain, secure = ([origin.listeners[scheme].getsockname()[1]] for scheme in ("http", "https"))
    announce(plain, secure, None)
    origin.run()


if __name__ == "__main__":
    end_with_parent()
    main(Path(sys.argv[1]))
