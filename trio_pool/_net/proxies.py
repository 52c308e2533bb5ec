"""Proxies: which one an origin is reached by. How a tunnel through it is opened stands in `tunnels.py`.

Plain http by an http proxy needs no tunnel: its requests name the whole URL (`through`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, cast

import yarl

from ..errors import UsageError
from ..messages import Request
from ..urls import Origin, Proxy, is_host, redact

PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


class Routes:
    """Which proxy, or Unix socket, each origin is reached by.

    :param proxy: a proxy's URL for every origin; "environment" for what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY
        say now; or None.
    :param uds: the path of a Unix socket for every origin, or None.
    :raises UsageError: for a URL that is no proxy's, for socks without its extra, and for both at once.
    """

    def __init__(self, proxy: str | None, uds: str | None) -> None:
        if proxy is not None and uds is not None:
            raise UsageError("a pool dials either a proxy or a Unix socket, not both")
        self.is_direct = proxy is None and uds is None
        self._uds = None if uds is None else os.fspath(uds)
        self._by_scheme: dict[str, Proxy | None] = {}
        self._no_proxy: dict[str, str] = {}
        self._bypass: Callable[[str, dict[str, str]], Any] = _never
        if proxy == "environment":
            import urllib.request as environment  # takes its time, and few need it

            found: dict[str, str] = environment.getproxies_environment()
            self._no_proxy = {"no": found.get("no", "")}
            self._bypass = environment.proxy_bypass_environment  # type: ignore[attr-defined]  # public, and untyped
            self._by_scheme = {scheme: _of_environment(scheme, url) for scheme, url in found.items() if url}
        elif proxy is not None:
            self._by_scheme = {"all": parse_proxy(proxy)}
        self.of = functools.lru_cache(maxsize=4096)(self._of)

    def _of(self, origin: Origin) -> Origin:
        """The origin with the way to it."""
        parts = origin.scheme, origin.host, origin.port
        if self._uds is not None:
            return Origin(*parts, uds=self._uds, sni=origin.sni)
        proxy = self._by_scheme.get(origin.scheme) or self._by_scheme.get("all")
        if proxy is None or self._is_exempt(origin):
            return Origin(*parts, sni=origin.sni)
        return Origin(*parts, proxy=proxy, sni=origin.sni)

    def _is_exempt(self, origin: Origin) -> bool:
        hosts = {origin.host, f"[{origin.host}]" if ":" in origin.host else _unicode(origin.host)}
        return any(self._bypass(f"{host}:{origin.port}", self._no_proxy) for host in hosts)


def _never(_host: str, _proxies: dict[str, str]) -> bool:
    return False


def _of_environment(scheme: str, url: str) -> Proxy | None:
    """The proxy in a variable of the environment, or None where the variable is for something else."""
    if scheme not in ("http", "https", "all"):
        return None
    try:
        return parse_proxy(url)
    except UsageError as error:
        raise UsageError(f"{scheme.upper()}_PROXY in the environment: {error.what}") from None


def _unicode(host: str) -> str:
    return yarl.URL.build(scheme="http", host=host).host or host


def parse_proxy(url: str) -> Proxy:
    """A proxy from its URL, such as "http://user:password@proxy.example:3128" or "socks5://localhost".

    :raises UsageError: it is none, or needs an extra that is not installed.
    """
    if not isinstance(cast("Any", url), str):
        raise UsageError(f'a proxy is given by the text of its URL, or by "environment", not by a {type(url).__name__}')
    try:
        parsed = yarl.URL(url if "://" in url else f"http://{url}")
        host, port = parsed.raw_host or "", parsed.explicit_port
    except ValueError:
        raise UsageError(f"{redact(url)!r} is no URL of a proxy") from None
    if parsed.scheme not in PORTS or port == 0 or not is_host(host):
        raise UsageError(f"{redact(url)!r} is no URL of a proxy: use http, https or socks5")
    scheme = parsed.scheme.removesuffix("h")
    if scheme == "socks5" and find_spec("socksio") is None:
        raise UsageError("a socks5 proxy needs an extra: pip install 'trio_pool[socks]'")
    user = parsed.user if parsed.password is None else parsed.user or ""
    if scheme == "socks5" and max(len((part or "").encode()) for part in (user, parsed.password)) > 255:
        raise UsageError("the user and the password of a socks5 proxy have at most 255 bytes each (RFC 1929)")
    return Proxy(scheme, host, port or PORTS[parsed.scheme], user, parsed.password or "")


def through(request: Request, route: Origin) -> Request:
    """The request as an http proxy wants it: with the whole URL and its own credentials (RFC 9112 section 3.2.2)."""
    proxy = route.proxy
    if proxy is None or proxy.scheme == "socks5" or route.scheme != "http":
        return request
    return request.to_proxy(proxy.authorization)
