"""A local HTTP/1.1 server in a thread, for the command line's tests: each path is one behaviour."""

from __future__ import annotations

import json
import os
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar


class Handler(BaseHTTPRequestHandler):
    """Answers by the first part of the path."""

    protocol_version = "HTTP/1.1"
    released: threading.Event
    """Set when the server ends: whoever was kept waiting need wait no longer."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except OSError:  # the client went away, as it may
            self.close_connection = True

    def do_GET(self) -> None:
        name = self.path.split("/")[1].partition("?")[0]
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.behaviours[name](self)

    do_POST = do_PUT = do_HEAD = do_GET  # noqa: N815  # the names are the base class's

    def reply(self, body: bytes, *headers: tuple[str, str], status: int = 200, missing: int = 0) -> None:
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body) + missing))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def hello(self) -> None:
        self.reply(b"hello\n", ("Content-Type", "text/plain"), ("Set-Cookie", "session=secret"), ("X-Odd", "a\x9bb"))

    def echo(self) -> None:
        seen = {
            "method": self.command,
            "path": self.path,
            "headers": dict(self.headers),
            "body": self.body.decode(),
        }
        self.reply(json.dumps(seen).encode())

    def brief(self) -> None:
        self.reply(b"no newline")

    def status(self) -> None:
        self.reply(b"no\n", status=int(self.path.split("/")[2]))

    def redirect(self) -> None:
        self.reply(b"", ("Location", "/hello"), status=302)

    def binary(self) -> None:
        self.reply(bytes(range(256)))

    def large(self) -> None:
        count = int(self.path.split("/")[2])
        self.send_response(200)
        self.send_header("Content-Length", str(count * 65536))
        self.end_headers()
        for _ in range(count):
            self.wfile.write(b"x" * 65536)

    def cut(self) -> None:
        self.reply(b"abc", missing=7)
        self.close_connection = True

    def stuck(self) -> None:
        self.reply(b"begun\n", missing=100)
        self.released.wait()
        self.close_connection = True

    def endless(self) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        while not self.released.is_set():
            self.wfile.write(b"line\n" * 1000)

    behaviours: ClassVar[dict[str, Callable[[Handler], None]]] = {
        "hello": hello,
        "brief": brief,
        "echo": echo,
        "status": status,
        "redirect": redirect,
        "binary": binary,
        "large": large,
        "cut": cut,
        "stuck": stuck,
        "endless": endless,
    }

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the base class's
        pass


class Server(ThreadingHTTPServer):
    """Waits for its threads when it is closed, and keeps quiet about clients that go away."""

    daemon_threads = False

    def handle_error(self, request: object, client_address: object) -> None:
        pass


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The base URL of a server that runs for as long as the block."""
    released = threading.Event()
    server = Server(("127.0.0.1", 0), type("Bound", (Handler,), {"released": released}))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    finally:
        released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def read_terminal(terminal: int, mark: bytes | None = None) -> bytes:
    """What is shown until the mark; without one, until no process holds the other end any more."""
    said = b""
    while mark is None or mark not in said:
        try:
            received = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            received = b""
        if not received:
            return said
        said += received
    return said
