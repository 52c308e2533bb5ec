"""The program around one real server: `python -m … KIND FOLDER`. It ends when its standard input does.

The folder has the certificate as `cert.pem`. The first line of output is JSON: the addresses, as soon as they
are known. They are listened on then or a little later.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

from .app import App

HOSTS = ("127.0.0.1", "::1")


def bind(host: str) -> socket.socket | None:
    """A socket of that address at a port of the system's choice, or None where there is no such address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio looks at the protocol
    except OSError:
        return None
    try:
        sock.bind((host, 0))
    except OSError:
        sock.close()
        return None
    return sock


def bind_unix(path: str) -> list[socket.socket]:
    """A Unix socket, where there are any."""
    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        return []
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.bind(path)
    return [sock]


def announce(plain: list[int], secure: list[int], uds: str | None) -> None:
    """Tell the parent where to connect: ports in the order of HOSTS."""
    print(json.dumps({"http": plain, "https": secure, "uds": uds}), flush=True)  # noqa: T201  # for the parent


class Sockets:
    """Bound sockets, plain and for TLS, on every host there is, and a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.plain = [sock for host in HOSTS if (sock := bind(host)) is not None]
        self.secure = [sock for host in HOSTS if (sock := bind(host)) is not None]
        path = str(folder / "socket")
        self.unix = bind_unix(path)
        self.uds = path if self.unix else None

    def announce(self) -> None:
        """Tell the parent."""
        announce([s.getsockname()[1] for s in self.plain], [s.getsockname()[1] for s in self.secure], self.uds)


def run_hypercorn(folder: Path) -> None:
    """Hypercorn on trio."""
    from hypercorn.config import Config
    from hypercorn.trio import serve

    sockets = Sockets(folder)
    config = Config()
    config.certfile = config.keyfile = str(folder / "cert.pem")
    sockets.announce()
    config.bind = [f"fd://{sock.detach()}" for sock in sockets.secure]
    config.insecure_bind = [f"fd://{sock.detach()}" for sock in [*sockets.plain, *sockets.unix]]
    config.keep_alive_timeout = 60
    config.loglevel = "ERROR"
    app: Any = App(trio.sleep, trio.Event)  # an application as any other
    trio.run(serve, app, config)


def run_uvicorn(folder: Path) -> None:
    """Uvicorn on asyncio, with h11."""
    import uvicorn

    sockets, app, cert = Sockets(folder), App(asyncio.sleep, asyncio.Event), folder / "cert.pem"
    sockets.announce()

    async def main() -> None:
        plain = uvicorn.Config(app, http="h11", loop="asyncio", lifespan="off", log_level="error")
        secure = uvicorn.Config(
            app, http="h11", loop="asyncio", lifespan="off", log_level="error", ssl_certfile=cert, ssl_keyfile=cert
        )
        for config in (plain, secure):
            config.timeout_keep_alive = 60
        await asyncio.gather(
            uvicorn.Server(plain).serve([*sockets.plain, *sockets.unix]), uvicorn.Server(secure).serve(sockets.secure)
        )

    asyncio.run(main())


def run_granian(folder: Path) -> None:
    """Granian, embedded: one process, a listener each. It binds by itself."""
    from granian.constants import Interfaces
    from granian.server.embed import Server

    plain, secure, uds = _free_ports(), _free_ports(), folder / "socket"
    cert = folder / "cert.pem"
    announce([port for _, port in plain], [port for _, port in secure], str(uds))

    async def main() -> None:
        app = App(asyncio.sleep, asyncio.Event)
        servers = [Server(app, uds=uds, interface=Interfaces.ASGINL, log_enabled=False)]
        for host, port in plain:
            servers.append(Server(app, host, port, interface=Interfaces.ASGINL, log_enabled=False))
        for host, port in secure:
            servers.append(
                Server(app, host, port, interface=Interfaces.ASGINL, log_enabled=False, ssl_cert=cert, ssl_key=cert)
            )
        await asyncio.gather(*(server.serve() for server in servers))

    asyncio.run(main())


def run_nginx(folder: Path) -> None:
    """nginx, in front of the server whose Unix socket is `upstream`."""
    plain, secure, uds = _free_ports(), _free_ports(), folder / "socket"
    listen = [*(_listen(*where) for where in plain), *(f"{_listen(*where)} ssl" for where in secure), f"unix:{uds}"]
    text = NGINX.format(listen="\n".join(f"listen {where};" for where in listen), folder=folder)
    (folder / "nginx.conf").write_text(text)
    command = [os.environ["NGINX"], "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr"]
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    announce([port for _, port in plain], [port for _, port in secure], str(uds))
    try:
        sys.stdin.buffer.read()
    finally:
        server.terminate()
        server.wait()


NGINX = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream application {{ server unix:{folder}/upstream; }}
    server {{
        {listen}
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/cert.pem;
        client_max_body_size 100m;
        keepalive_requests 1000000;
        location / {{
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header Connection "";
            proxy_set_header X-Peer "$remote_addr:$remote_port";
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
        location /refuse {{ client_max_body_size 1; proxy_pass http://application; }}
    }}
}}
"""


def _listen(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _free_ports() -> list[tuple[str, int]]:
    """Addresses that were free a moment ago, for servers that can only be told a number."""
    sockets = [(host, sock) for host in HOSTS if (sock := bind(host)) is not None]
    found = [(host, int(sock.getsockname()[1])) for host, sock in sockets]
    for _, sock in sockets:
        sock.close()
    return found


RUN: dict[str, Callable[[Path], None]] = {
    "hypercorn": run_hypercorn,
    "uvicorn": run_uvicorn,
    "granian": run_granian,
    "nginx": run_nginx,
}


def end_with_parent() -> None:
    """End this process when the parent closes our standard input, or ends in whatever way."""

    def watch() -> None:
        os.read(0, 1)
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    kind, where = sys.argv[1:]
    if kind != "nginx":
        end_with_parent()
    RUN[kind](Path(where))
