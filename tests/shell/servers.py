"""Servers that speak HTTP/1.1: one that follows a script by h11, and one that sends what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import attrs
import h11
import trio

from .network import Channel

Step = bytes | float
"""A piece of a body, or seconds to wait."""


@attrs.frozen
class Asked:
    """A request as the server saw it.

    :ivar connection: the number of the connection on this server, from 1.
    :ivar number: the number of the request on the connection, from 1.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    connection: int
    number: int


@attrs.frozen(kw_only=True)
class Reply:
    """What the server does with a request.

    :ivar delay: seconds before the head; `math.inf` for never.
    :ivar body: pieces and waits.
    :ivar then: what becomes of the connection: kept, closed after having said so, closed without, or reset.
        "cut" ends it in the middle: after the body's pieces, before the body's end.
    """

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    delay: float = 0.0
    body: Sequence[Step] = ()
    then: Literal["keep", "say close", "close", "reset", "cut"] = "keep"


Handler = Callable[[Channel], Awaitable[None]]
"""What serves one connection, plain or secured."""

Answer = Callable[[Asked], Reply | None]
"""What a server does with a request; None: it ends the connection without a word."""


def echo(asked: Asked) -> Reply:
    """The request's nonce in the head and in the body."""
    nonce = asked.headers.get("nonce", "")
    return Reply(headers=[("nonce", nonce)], body=[f"{nonce}:".encode(), asked.body])


class Server:
    """Serves connections by h11, and remembers the requests.

    :ivar answer: what it does with each.
    :ivar early: what it does as soon as it has a request's head; None: it waits for the body.
    :ivar patience: seconds for which it keeps an idle connection.
    """

    def __init__(self, answer: Answer = echo, *, early: Answer = lambda _: None, patience: float = 1e9) -> None:
        self.answer = answer
        self.early = early
        self.patience = patience
        self.asked: list[Asked] = []
        self.connections = 0
        self.at_once = 0  # connections that are being served
        self.most_at_once = 0

    async def __call__(self, channel: Channel) -> None:
        self.connections += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await _Session(self, channel, self.connections).run()
        finally:
            self.at_once -= 1


class _Session:
    def __init__(self, server: Server, channel: Channel, number: int) -> None:
        self._server = server
        self._channel = channel
        self._number = number
        self._h11 = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        count = 0
        while True:
            count += 1
            asked = await self._request(count)
            if asked is None:
                return
            self._server.asked.append(asked)
            reply = self._server.answer(asked)
            if reply is None:
                return
            await self._reply(reply, asked.method)
            if reply.then == "reset":
                self._channel.reset()
            if reply.then != "keep" or self._h11.their_state is not h11.DONE or self._h11.our_state is not h11.DONE:
                return
            self._h11.start_next_cycle()

    async def _request(self, count: int) -> Asked | None:
        head: h11.Request | None = None
        body = b""
        while True:
            event = await self._next(None if head is not None else self._server.patience)
            if event is None or isinstance(event, h11.ConnectionClosed):
                return None
            if isinstance(event, h11.Request):
                head = event
                early = self._server.early(self._asked(head, b"", count))
                if early is not None:
                    await self._reply(early, "")
                    return None
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                assert head is not None
                return self._asked(head, body, count)

    def _asked(self, head: h11.Request, body: bytes, count: int) -> Asked:
        fields = {name.decode(): value.decode() for name, value in head.headers}
        return Asked(head.method.decode(), head.target.decode(), fields, body, self._number, count)

    async def _next(self, patience: float | None) -> h11.Event | None:
        has_ended = False
        while True:
            try:
                event = self._h11.next_event()
            except h11.RemoteProtocolError:
                if not has_ended:
                    raise  # a client that breaks HTTP/1.1 fails the test
                return None
            if event is h11.PAUSED:
                return None
            if event is not h11.NEED_DATA:
                assert not isinstance(event, type)
                return event
            with trio.move_on_after(1e9 if patience is None else patience) as scope:
                data = await self._channel.receive()
                has_ended = not data
                self._h11.receive_data(data)
            if scope.cancelled_caught:
                return None

    async def _reply(self, reply: Reply, method: str) -> None:
        await trio.sleep(reply.delay)
        headers = [*reply.headers]
        if reply.then == "say close":
            headers.append(("Connection", "close"))
        size = sum(len(step) for step in reply.body if isinstance(step, bytes))
        if not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
            headers.append(("Content-Length", str(size + (1 if reply.then == "cut" else 0))))
        response = h11.Response(status_code=reply.status, headers=headers, reason=b"OK")
        await self._channel.send_all(self._h11.send(response) or b"")
        for step in reply.body if method != "HEAD" else ():
            if isinstance(step, bytes):
                await self._channel.send_all(self._h11.send(h11.Data(data=step)) or b"")
            else:
                await trio.sleep(step)
        if reply.then != "cut":
            await self._channel.send_all(self._h11.send(h11.EndOfMessage()) or b"")


async def read_head(channel: Channel) -> bytes:
    """Receive up to the end of a head, and a bit more where that comes along."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = await channel.receive()
        if not piece:
            return data
        data += piece
    return data


async def read_all(channel: Channel) -> bytes:
    """Receive until the peer's end."""
    data = b""
    while piece := await channel.receive():
        data += piece
    return data


def saying(*steps: Step, then: Callable[[Channel], Awaitable[object]] | None = None) -> Handler:
    """A handler that reads one head and sends these bytes, with these waits; then it closes, or does `then`."""

    async def say(channel: Channel) -> None:
        await read_head(channel)
        for step in steps:
            if isinstance(step, bytes):
                await channel.send_all(step)
            else:
                await trio.sleep(step)
        if then is not None:
            await then(channel)

    return say


async def stay(_: Channel) -> None:
    """Leave the connection open."""
    await trio.sleep_forever()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
