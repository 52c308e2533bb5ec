"""Real proxies as subprocesses: proxy.py for HTTP, plain and over TLS; pproxy for SOCKS5, and for HTTP once more.

Each listens on a port of the system's choice and tells it: proxy.py in a file, pproxy in its output.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import trustme

PATIENCE = 30.0
"""Seconds within which a proxy has to be there."""

USER, PASSWORD = "user", "open sesame"


class Proxies:
    """The proxies of a session. Use as a context manager.

    :param folder: for what they write.
    :param leaf: what the one that speaks TLS shows.
    """

    def __init__(self, folder: Path, leaf: trustme.LeafCert) -> None:
        self._folder = folder
        self._leaf = leaf
        self._ports: dict[str, int] = {}
        self._processes: list[subprocess.Popen[bytes]] = []

    def port(self, kind: str) -> int:
        """Where the proxy of this kind (see `_START`) listens, on IPv4 loopback. It is started if need be."""
        if kind not in self._ports:
            _START[kind](self, kind)
        return self._ports[kind]

    def __enter__(self) -> Proxies:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.terminate()
        for process in self._processes:
            process.wait()

    def _http(self, kind: str) -> None:
        self._run_proxy_py(kind)

    def _http_with_password(self, kind: str) -> None:
        self._run_proxy_py(kind, "--basic-auth", f"{USER}:{PASSWORD}")

    def _https(self, kind: str) -> None:
        key, certificate = self._folder / "key.pem", self._folder / "certificate.pem"
        self._leaf.private_key_pem.write_to_path(key)
        certificate.write_bytes(b"".join(blob.bytes() for blob in self._leaf.cert_chain_pems))
        self._run_proxy_py(kind, "--key-file", str(key), "--cert-file", str(certificate))

    def _run_proxy_py(self, kind: str, *options: str) -> None:
        port = self._folder / f"port of {kind}"
        common = ["--hostname", "127.0.0.1", "--port", "0", "--port-file", str(port), "--log-level", "ERROR"]
        small = ["--num-workers", "1", "--num-acceptors", "1", "--data-dir", str(self._folder / f"data of {kind}")]
        output = self._run("proxy", *common, *small, *options)
        self._ports[kind] = self._numbers(port, r"^(\d+)\n", 1, output)[0]

    def _pproxy(self, _: str) -> None:
        """One process for all kinds. `--auth 0`: who has shown a password once is asked again."""
        listen = {"another http": "http", "socks5": "socks5", "socks5 with password": "socks5"}
        urls = [f"{scheme}://127.0.0.1:0" for scheme in listen.values()]
        urls[-1] += f"#{USER}:{PASSWORD}"
        output = self._run("pproxy", "--auth", "0", *(part for url in urls for part in ("-l", url)))
        ports = self._numbers(output, r"^Serving on .*127\.0\.0\.1:(\d+) by", len(urls), output)
        self._ports |= dict(zip(listen, ports, strict=True))

    def _run(self, module: str, *options: str) -> Path:
        """Start one; the file with what it says."""
        output = self._folder / f"output of {len(self._processes)}"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", module, *options],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
            )
        self._processes.append(process)
        return output

    def _numbers(self, path: Path, pattern: str, count: int, output: Path) -> list[int]:
        """Look into a file again and again, within bounds, until all the numbers are there."""
        for _ in range(int(PATIENCE / 0.01)):
            found = re.findall(pattern, path.read_text() if path.exists() else "", re.MULTILINE)
            if len(found) >= count:
                return [int(number) for number in found]
            if self._processes[-1].poll() is not None:
                break
            time.sleep(0.01)
        raise RuntimeError(f"a proxy is not there: {output.read_text()}")


_START: dict[str, Callable[[Proxies, str], None]] = {
    "http": Proxies._http,
    "http with password": Proxies._http_with_password,
    "https": Proxies._https,
    "another http": Proxies._pproxy,
    "socks5": Proxies._pproxy,
    "socks5 with password": Proxies._pproxy,
}
