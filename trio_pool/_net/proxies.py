"""Proxies: which one an origin is reached by, and how a tunnel through it is opened.

A tunnel is a part of a dial, so everything here runs under the dial's one timeout, and whoever dials closes the
stream if it fails. Plain http by an http proxy needs no tunnel: its requests name the whole URL (`through`).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import h11
import yarl

from .._wire.h11_codec import plain_words
from ..errors import ProxyError, UsageError
from ..messages import Request
from ..urls import Origin, Proxy, is_host, redact
from .streams import Stream

PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}

MAX_ANSWER = 16384
"""Bytes of a proxy's answer to CONNECT."""


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


async def open_tunnel(stream: Stream, origin: Origin, proxy: Proxy) -> None:
    """Have the proxy connect to the origin, if it has to; from then on the stream leads there.

    :raises ProxyError: it refuses, or makes no sense.
    :raises OSError: the connection to it broke.
    """
    if proxy.scheme == "socks5":
        await _Socks(stream, origin, proxy).open()
    elif origin.scheme == "https":
        await _connect(stream, origin, proxy)


async def _connect(stream: Stream, origin: Origin, proxy: Proxy) -> None:
    """CONNECT (RFC 9110 section 9.3.6)."""
    name = origin.host.partition("%")[0]
    host = f"[{name}]" if ":" in name else name
    target = f"{host}:{origin.port}".encode("ascii")
    headers = [(b"Host", target)]
    if proxy.authorization is not None:
        headers.append((b"Proxy-Authorization", proxy.authorization))
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_ANSWER)
    request = h11.Request(method=b"CONNECT", target=target, headers=headers)
    await send(stream, (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    answer = await _answer(stream, connection, origin)
    if not 200 <= answer.status_code < 300:
        reason = answer.reason.decode("latin-1")
        check = (
            "Give its URL a user and a password." if proxy.user is None else "Check the user and password in its URL."
        )
        advice = check if answer.status_code == 407 else ""
        raise failure(origin, f"the proxy refused the tunnel: {answer.status_code} {reason}".rstrip(), advice)
    if connection.trailing_data[0]:
        raise failure(origin, "the proxy sent bytes into the tunnel before they could have been the server's")


async def _answer(stream: Stream, connection: h11.Connection, origin: Origin) -> h11.Response:
    """The proxy's final response to CONNECT."""
    taken = 0
    while True:
        try:
            event = connection.next_event()
        except h11.RemoteProtocolError as error:
            raise failure(origin, f"the proxy broke HTTP/1.1: {plain_words(error)}") from None
        if isinstance(event, h11.Response) and event.http_version in (b"1.1", b"1.0"):
            return event
        if isinstance(event, h11.Response):
            raise failure(origin, f"the proxy answered with HTTP/{event.http_version.decode()}")
        if event is not h11.NEED_DATA:
            continue  # an interim response, counted by its bytes
        data = await receive(stream)
        taken += len(data)
        if not data:
            raise failure(origin, "the proxy ended the connection without an answer")
        if taken > MAX_ANSWER:
            raise failure(origin, f"the proxy's answer has more than {MAX_ANSWER} bytes")
        connection.receive_data(data)


class _Socks:
    """SOCKS5 (RFC 1928), with a user and a password (RFC 1929) where there are any. The proxy resolves the name."""

    def __init__(self, stream: Stream, origin: Origin, proxy: Proxy) -> None:
        from socksio import socks5  # an extra

        self._socks: Any = socks5
        self._connection: Any = socks5.SOCKS5Connection()
        self._stream = stream
        self._origin = origin
        self._proxy = proxy

    async def open(self) -> None:
        """Shake hands, prove who we are if asked to, and have the origin connected."""
        methods = self._socks.SOCKS5AuthMethod
        offered = [methods.NO_AUTH_REQUIRED] + [methods.USERNAME_PASSWORD] * (self._proxy.user is not None)
        chosen = (await self._ask(self._socks.SOCKS5AuthMethodsRequest(offered))).method
        if chosen not in offered:
            raise failure(self._origin, "the proxy takes none of the ways to authenticate that it was offered")
        if chosen == methods.USERNAME_PASSWORD:
            await self._authenticate()
        command = self._socks.SOCKS5Command.CONNECT
        address = (self._origin.host.partition("%")[0], self._origin.port)
        reply = await self._ask(self._socks.SOCKS5CommandRequest.from_address(command, address), self._address_size)
        if reply.reply_code != self._socks.SOCKS5ReplyCode.SUCCEEDED:
            what = reply.reply_code.name.lower().replace("_", " ")
            raise failure(self._origin, f"the proxy could not connect: {what}")

    async def _authenticate(self) -> None:
        user, password = (self._proxy.user or "").encode(), self._proxy.password.encode()
        reply = await self._ask(self._socks.SOCKS5UsernamePasswordRequest(user, password))
        if not reply.success:
            raise failure(self._origin, "the proxy refused the user or the password")

    async def _ask(self, request: Any, rest: Any = None) -> Any:
        """Send a request; its reply has two bytes, and where `rest` is given, as many more as it says."""
        try:
            self._connection.send(request)
            await send(self._stream, self._connection.data_to_send())
            reply = await self._exactly(2)
            if rest is not None and reply[1] == 0:
                reply += await self._exactly(3)
                reply += await self._exactly(rest(reply))
            if rest is not None:
                reply = reply[:2] + b"\x00\x01" + bytes(6)  # of the rest only the code matters
            elif isinstance(request, self._socks.SOCKS5AuthMethodsRequest) and reply[0] != 5:
                raise failure(self._origin, f"the proxy broke SOCKS5: it answered with version {reply[0]}")
            return self._connection.receive_data(reply)
        except OverflowError:
            raise failure(self._origin, "the host is too long for SOCKS5") from None
        except (self._protocol_error, ValueError, KeyError) as error:
            raise failure(self._origin, f"the proxy broke SOCKS5: {error}") from None

    @property
    def _protocol_error(self) -> type[Exception]:
        import socksio

        return socksio.ProtocolError

    def _address_size(self, reply: bytes) -> int:
        """How many bytes of the address and port come after the first of it."""
        return {1: 3 + 2, 3: reply[4] + 2, 4: 15 + 2}[reply[3]]

    async def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = await receive(self._stream, size - len(data))
            if not piece:
                raise failure(self._origin, "the proxy ended the connection without an answer")
            data += piece
        return data


async def send(stream: Stream, data: bytes) -> None:
    """All of it."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[stream.send_nowait(rest) :]
        except BlockingIOError:
            await stream.wait_writable()


async def receive(stream: Stream, max_bytes: int = 4096) -> bytes:
    """Some bytes, or b"" at the end."""
    while True:
        try:
            return stream.recv_nowait(max_bytes)
        except BlockingIOError:
            await stream.wait_readable()


def failure(origin: Origin, what: str, advice: str = "") -> ProxyError:
    """An error of a tunnel."""
    return ProxyError(what, origin=origin, phase="connecting", advice=advice)
