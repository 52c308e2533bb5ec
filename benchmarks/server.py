"""The servers: nginx where there is one, else granian; and one of our own for events, each in a chunk.

All answers are made beforehand, so that the servers cost as little as they can: how much they did is in the table.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from .app import CHAT, CHAT_PATH
from .processes import family, free_ports, running

LARGE = 64_000_000  # bytes
LARGE_PATH = "/large"
EVENTS_PATH = "/events"
ORIGINS = 10
START = 20.0  # seconds within which a server must be there
ROOT = Path(__file__).parent.parent

NGINX = """
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 16384;
pid nginx.pid;
error_log stderr crit;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type application/octet-stream;
    sendfile on;
    open_file_cache max=16;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_max_body_size 1m;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    ssl_protocols TLSv1.3;
    ssl_certificate server.pem;
    ssl_certificate_key server.key;
    ssl_session_tickets off;
    server {{
        {listen}
        root files;
        location = /1k {{ return 200 "{kilobyte}"; }}
        location = /close {{ keepalive_timeout 0; return 200 "{kilobyte}"; }}
        location = /post {{ return 200 "ok"; }}
        location = {chat_path} {{ default_type application/json; return 200 '{chat}'; }}
    }}
}}
"""


class ServerError(Exception):
    """A server did not start. Its text is a sentence for the user."""


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the servers are.

    :ivar name: the web server and its version.
    :ivar plain: its URL without a path.
    :ivar secure: the same over TLS.
    :ivar canned: URLs without paths of the server of events and held responses, of as many origins.
    :ivar canned_secure: the same over TLS.
    :ivar event_count: events in one of its answers.
    :ivar cafile: the authority of the TLS certificate.
    :ivar pids: processes, by "web" and "canned".
    """

    name: str
    plain: str
    secure: str
    canned: list[str]
    canned_secure: str
    event_count: int
    cafile: str
    pids: dict[str, list[int]]


@contextmanager
def servers(core: int | None, events: int) -> Iterator[Addresses]:
    """All servers, running.

    :param core: where, or None.
    :param events: how many events an answer of the events' server has.
    :raises ServerError: one does not start, or there is none.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="trio_pool-benchmarks-")))
        _write_certificates(folder)
        nginx = shutil.which("nginx")
        web = _nginx(folder, nginx, core) if nginx else _granian(folder, core)
        name, plain, secure, pids = stack.enter_context(web)
        ports, canned_pids = stack.enter_context(_canned(folder, core, events))
        yield Addresses(
            name=name,
            plain=f"http://127.0.0.1:{plain}",
            secure=f"https://127.0.0.1:{secure}",
            canned=[f"http://127.0.0.1:{port}" for port in ports[:-1]],
            canned_secure=f"https://127.0.0.1:{ports[-1]}",
            event_count=events,
            cafile=str(folder / "ca.pem"),
            pids={"web": pids, "canned": canned_pids},
        )


Web = tuple[str, int, int, list[int]]  # name, plain port, secure port, processes


@contextmanager
def _canned(folder: Path, core: int | None, events: int) -> Iterator[tuple[list[int], list[int]]]:
    """Ports, the last one with TLS, and processes."""
    files = {"certificate": str(folder / "server.pem"), "key": str(folder / "server.key")}
    arguments = json.dumps({"events": events, "origins": ORIGINS, **files})
    command = [sys.executable, "-m", "benchmarks.canned", arguments]
    with running(command, core=core, env=environment()) as process:
        assert process.stdout is not None
        ports = process.stdout.readline()
        if not ports:
            raise ServerError("the server of events did not start")
        yield json.loads(ports), family(process)


@contextmanager
def _nginx(folder: Path, program: str, core: int | None) -> Iterator[Web]:
    plain, secure = ports = free_ports(2)
    (folder / "files").mkdir()
    with (folder / "files" / "large").open("wb") as large:
        large.truncate(LARGE)
    listen = f"listen 127.0.0.1:{plain} backlog=4096; listen 127.0.0.1:{secure} ssl backlog=4096;"
    user = f"user {_owner()};" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""
    config = NGINX.format(user=user, listen=listen, kilobyte="x" * 1024, chat_path=CHAT_PATH, chat=CHAT.decode())
    (folder / "nginx.conf").write_text(config, encoding="utf-8")
    command = [program, "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    with running(command, core=core) as process:
        _await_ports(process, ports, "nginx")
        version = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr
        yield version.strip().rpartition(": ")[2].replace("/", " "), plain, secure, family(process)


@contextmanager
def _granian(folder: Path, core: int | None) -> Iterator[Web]:
    """The same of granian, at one origin."""
    try:
        version = importlib.metadata.version("granian")
    except importlib.metadata.PackageNotFoundError:
        raise ServerError("there is neither nginx nor granian to ask; install one of them") from None
    plain, secure = free_ports(2)
    command = [sys.executable, "-m", "granian", "--interface", "rsgi", "--host", "127.0.0.1", "--no-access-log"]
    application = ["--workers", "1", "--port"]
    tls = ["--ssl-certificate", str(folder / "server.pem"), "--ssl-keyfile", str(folder / "server.key")]
    settings = environment() | {"BENCHMARKS_LARGE": str(LARGE)}
    with ExitStack() as stack:
        pids: list[int] = []
        for port, options in ((plain, []), (secure, tls)):
            whole = [*command, *application, str(port), *options, "benchmarks.app:app"]
            process = stack.enter_context(running(whole, core=core, env=settings))
            _await_ports(process, [port], "granian")
            pids += family(process)
        yield f"granian {version}", plain, secure, pids


def _write_certificates(folder: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(folder / "server.pem")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), password=None)
    kind, shape = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (folder / "server.key").write_bytes(key.private_bytes(kind, shape, serialization.NoEncryption()))


def _await_ports(process: subprocess.Popen[str], ports: list[int], name: str) -> None:
    """Until somebody listens on all of them."""
    end = time.monotonic() + START
    for port in ports:
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > end:
                raise ServerError(f"{name} did not start")
            time.sleep(0.02)


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def _owner() -> str:
    import pwd

    return pwd.getpwuid(os.geteuid()).pw_name


def environment() -> dict[str, str]:
    """This process's, with this package to be found whatever the current directory."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
