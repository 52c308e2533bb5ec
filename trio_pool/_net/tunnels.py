"""How a tunnel through a proxy is opened: by CONNECT, or by SOCKS5.

A tunnel is a part of a dial, so everything here runs under the dial's one timeout, and whoever dials closes the
stream if it fails. Imported by the first dial that needs it.
"""

from __future__ import annotations

from typing import Any

import h11

from .._wire.h11_codec import plain_words
from ..errors import ProxyError
from ..urls import Origin, Proxy
from .streams import Stream

MAX_ANSWER = 16384
"""Bytes of a proxy's answer to CONNECT."""


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
