"""The network: connections whose other end gives the answers of routes, and what arrived on them."""

from __future__ import annotations

import errno
import math
import os
import random
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import h11
import trio

from .._net.network import Address, SystemNetwork
from .._net.streams import Stream
from ..headers import Headers
from ..urls import DEFAULT_PORTS, Origin, target_of
from .answers import Answer, Cut, Piece, Supply
from .routes import Route, SentRequest, UnexpectedRequest, explain


class CannedNetwork(SystemNetwork):
    """A network in memory that gives canned answers: for `network=` of `open_client` and `open_pool`.

    Every name resolves, and every host that was not told to refuse takes connections. For https there is no handshake:
    what it would protect never leaves the process.

    :ivar requests: every request that arrived whole, in order, those without an answer included.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[SentRequest] = []
        self._routes: list[Route] = []
        self._refusals: list[tuple[Origin, Supply, bool]] = []
        self._unexpected: list[SentRequest] = []
        self._chance = random.Random(0)

    # ---- what tests do ----

    def route(self, method: str, url: str) -> Route:
        """A route, to be given answers. Of several that match a request the first with an answer left has it.

        :param method: such as "GET"; methods are case-sensitive.
        :param url: absolute, or a path, which then matches at any host. In its path `*` stands for any text without a
            slash, `**` for any text. Its query matches in any order; without one, any query does.
        :raises UnsupportedProtocol, UsageError: `url` is neither, or `method` none that a request could have.
        """
        route = Route(method, url)
        self._routes.append(route)
        return route

    def get(self, url: str) -> Route:
        """`route` with GET."""
        return self.route("GET", url)

    def post(self, url: str) -> Route:
        """`route` with POST."""
        return self.route("POST", url)

    def put(self, url: str) -> Route:
        """`route` with PUT."""
        return self.route("PUT", url)

    def patch(self, url: str) -> Route:
        """`route` with PATCH."""
        return self.route("PATCH", url)

    def delete(self, url: str) -> Route:
        """`route` with DELETE."""
        return self.route("DELETE", url)

    def refuse(self, url: str, *, silently: bool = False, times: float = math.inf) -> None:
        """Let connections to a host fail.

        :param url: begins with the origin.
        :param silently: whether nothing comes back, so that `connection_timeout` acts, and not ECONNREFUSED (False).
        :param times: how many connections (`math.inf`); those after them are taken.
        :raises UnsupportedProtocol, UsageError: there is no origin in `url`, or `times` is no number.
        """
        self._refusals.append((target_of(url).origin, Supply(times), silently))

    def assert_all_used(self) -> None:
        """That every request had an answer, and that every answer and refusal was used as often as it is there.

        What is there without end must have been used at all. A route to which no answer was added counts as not used.
        For the end of a test.

        :raises AssertionError: it was otherwise; the text says what.
        """
        unused = [f"not used: {route!r}" for route in self._routes if route.is_owed]
        unmet = [f"no connection was refused by {origin}" for origin, supply, _ in self._refusals if supply.is_owed]
        asked = [f"no answer: {request}" for request in self._unexpected]
        if wrong := [*asked, *unused, *unmet]:
            raise AssertionError("\n".join(["The network was not used as it was made for:", *wrong]))

    # ---- what the pool does ----

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """The `host` itself, with the `port`: in this network names are addresses."""
        await trio.lowlevel.checkpoint()
        return [(host, port)]

    async def connect(self, address: Address) -> Stream:
        """A connection, unless the host at the `address` refuses.

        :raises OSError: it does.
        """
        await trio.lowlevel.checkpoint()
        for origin, supply, silently in self._refusals:
            if (origin.host, origin.port) == address and supply.is_left:
                supply.used += 1
                if silently:
                    await trio.sleep_forever()
                raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        return CannedStream(self, address)

    async def connect_unix(self, path: str) -> Stream:  # noqa: ARG002  # every path leads here
        """A connection; its requests are for whatever host they name."""
        await trio.lowlevel.checkpoint()
        return CannedStream(self, None)

    async def secure(self, stream: Stream, context: ssl.SSLContext, name: str) -> Stream:  # noqa: ARG002  # no handshake
        """The `stream` itself, from now on as one of https. Neither `context` nor `name` matter."""
        await trio.lowlevel.checkpoint()
        cast("CannedStream", stream).is_secure = True
        return stream

    def random(self) -> float:
        """A number in [0, 1): the same in every run."""
        return self._chance.random()

    def answer(self, request: SentRequest) -> Answer:
        """What a request is answered with.

        :raises UnexpectedRequest: there is nothing.
        """
        self.requests.append(request)
        for route in self._routes:
            if (answer := route.take(request)) is not None:
                return answer
        self._unexpected.append(request)
        raise UnexpectedRequest(explain(request, self._routes))


class CannedStream:
    """The client's end of a connection, and what stands at the other."""

    ends_waits = True

    def __init__(self, network: CannedNetwork, address: Address | None) -> None:
        self.is_secure = False
        self._network = network
        self._address = address
        self._server = h11.Connection(h11.SERVER)
        self._head: h11.Request | None = None
        self._body = b""
        self._due: deque[tuple[float, Piece]] = deque()  # what can be received, and from when on
        self._stirred: trio.Event | None = None  # while somebody waits
        self._is_closed = False

    # ---- what the client does ----

    def recv_nowait(self, max_bytes: int, /) -> bytes:
        """At most one piece."""
        self._check_open()
        if not self.readable():
            raise BlockingIOError
        at, piece = self._due[0]
        if not isinstance(piece, bytes):
            raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        if len(piece) > max_bytes:
            self._due[0] = at, piece[max_bytes:]
        elif piece:
            self._due.popleft()  # the end stays
        return piece[:max_bytes]

    def send_nowait(self, data: bytes | memoryview, /) -> int:
        """All of it goes at once."""
        self._check_open()
        self._server.receive_data(bytes(data))
        while (event := self._server.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            self._hear(event)
        if self._server.they_are_waiting_for_100_continue:
            self._lay_out([self._server.send(h11.InformationalResponse(status_code=100, headers=[])) or b""])
        return len(data)

    def readable(self) -> bool:
        """Whether a piece is due."""
        return self._is_closed or (bool(self._due) and self._due[0][0] <= trio.current_time())

    async def wait_readable(self) -> None:
        """Until a piece is due, or more are to come."""
        if self._stirred is not None:
            raise trio.BusyResourceError("another task waits already")
        self._stirred = trio.Event()
        try:
            with trio.CancelScope(deadline=self._due[0][0] if self._due else math.inf):
                await self._stirred.wait()
        finally:
            self._stirred = None
        if self._is_closed:
            raise trio.ClosedResourceError("the stream was closed")

    async def wait_writable(self) -> None:
        """It always is."""
        await trio.lowlevel.checkpoint()

    def close(self) -> None:
        """Let go of it, and wake whoever waits."""
        self._is_closed = True
        self._stir()

    def _check_open(self) -> None:
        if self._is_closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    # ---- what the server does ----

    def _hear(self, event: Any) -> None:
        if isinstance(event, h11.Request):
            self._head, self._body = event, b""
        elif isinstance(event, h11.Data):
            self._body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and self._head is not None:
            answer = self._network.answer(self._arrived(self._head))
            self._lay_out(answer.laid_out(self._server, self._head.method == b"HEAD"))
            if self._server.our_state is h11.DONE:
                self._server.start_next_cycle()

    def _arrived(self, head: h11.Request) -> SentRequest:
        fields = Headers(head.headers.raw_items())
        scheme = "https" if self.is_secure else "http"
        if self._address is None:
            authority = fields["host"]
        else:
            host, port = self._address
            shown = f"[{host}]" if ":" in host else host
            authority = shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}"
        target = head.target.decode()
        path = target if target.startswith("/") else f"/{target}"
        url = target if "://" in target else f"{scheme}://{authority}{path}"  # whole where a proxy is asked
        return SentRequest(head.method.decode(), url, fields, self._body, trio.current_time())

    def _lay_out(self, wire: Sequence[Piece]) -> None:
        """Let these pieces come, after those that are on their way."""
        at = max(trio.current_time(), self._due[-1][0] if self._due else -math.inf)
        for piece in wire:
            if isinstance(piece, (int, float)):
                at += piece
            elif piece is not Cut.SILENCE:
                self._due.append((at, b"" if piece is Cut.END else piece))
        self._stir()

    def _stir(self) -> None:
        if self._stirred is not None:
            self._stirred.set()
