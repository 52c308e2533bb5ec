"""Real servers as subprocesses: started when first asked for, ended by their own process object."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any

import trustme

from .serve import HOSTS, bind

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
KINDS = [kind for kind in ("hypercorn", "uvicorn", "granian") if find_spec(kind)] + (["nginx"] if NGINX else [])
PATIENCE = 30.0
"""Seconds within which a server has to be there."""


class Authority:
    """A certificate authority of our own, and what its certificates are checked by."""

    def __init__(self) -> None:
        self.ca = trustme.CA()
        self.leaf = self.ca.issue_cert("localhost", "127.0.0.1", "::1")

    def client_context(self) -> ssl.SSLContext:
        """A context that trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ca.configure_trust(context)
        return context

    def server_context(self, leaf: trustme.LeafCert | None = None) -> ssl.SSLContext:
        """A context that shows a certificate of this authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (leaf or self.leaf).configure_cert(context)
        return context


class Child:
    """A module of this package, run as a process that tells its addresses in its first line.

    :ivar told: the addresses.
    """

    def __init__(self, module: str, *arguments: str, **environment: str) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        package = str(__package__)
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"{package}.{module}", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            cwd=Path(__file__).parents[package.count(".") + 1],
            env=os.environ | environment,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{module} {arguments} did not start: {self.end()}")
        self.told: dict[str, Any] = json.loads(line)

    def until(self, is_there: Callable[[], bool]) -> None:
        """Ask again and again, within bounds, until it is."""
        for _ in range(int(PATIENCE / 0.01)):
            if is_there():
                return
            if self._process.poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"a server is not there: {self.end()}")

    def end(self) -> str:
        """End the process; what it had to complain of."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        with self._errors:
            self._errors.seek(0)
            return self._errors.read().decode(errors="replace")


class Server:
    """One running server.

    :ivar kind: its name.
    :ivar uds: its Unix socket, or None.
    """

    def __init__(self, kind: str, child: Child) -> None:
        self.kind = kind
        self.child = child
        self.uds: str | None = child.told["uds"]
        child.until(self._listens)

    def url(self, scheme: str = "http", host: str = "localhost") -> str:
        """Its address. `localhost` stands for the IPv4 one."""
        port = self.child.told[scheme][1 if ":" in host else 0]
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def _listens(self) -> bool:
        told = (self.child.told["http"], self.child.told["https"])
        addresses = [address for ports in told for address in zip(HOSTS, ports, strict=False)]
        return all(_answers(*address) for address in addresses) and (self.uds is None or _answers_unix(self.uds))


class Fleet:
    """The servers of a session. Use as a context manager."""

    def __init__(self) -> None:
        self.authority = Authority()
        self._running: dict[str, Server] = {}
        self._folders = tempfile.TemporaryDirectory()

    def __getitem__(self, kind: str) -> Server:
        if kind not in self._running:
            self._running[kind] = self._start(kind)
        return self._running[kind]

    def folder(self, name: str) -> Path:
        """A new folder with the servers' certificate in it."""
        folder = Path(self._folders.name) / name
        folder.mkdir()
        self.authority.leaf.private_key_and_cert_chain_pem.write_to_path(folder / "cert.pem")
        return folder

    def _start(self, kind: str) -> Server:
        folder = self.folder(kind)
        if kind == "nginx":
            (folder / "upstream").symlink_to(str(self["uvicorn"].uds))
        return Server(kind, Child("serve", kind, str(folder), NGINX=NGINX or ""))

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for server in reversed(self._running.values()):
            server.child.end()
        self._folders.cleanup()


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1.0).close()
    except OSError:
        return False
    return True


def _answers_unix(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        return sock.connect_ex(path) == 0


def has_ipv6() -> bool:
    """Whether the machine has an IPv6 loopback address."""
    sock = bind("::1")
    if sock is not None:
        sock.close()
    return sock is not None
