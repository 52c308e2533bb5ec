"""The ceiling: what trio and the socket cost by themselves.

A request is bytes made beforehand, sent at once; then one wait, and `recv`. The first row does not even parse: it
learns a response from the first one and then counts bytes. The second does what no client can do without: the head is
parsed by one compiled pattern as strict as h11's, its fields are listed, and each wait has a deadline.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

import trio

from .base import CannotError, Client, trust
from .channels import Plain, connect

TIMEOUT = 30.0

# RFC 9112 sections 4 and 5, RFC 9110 sections 5.5 and 5.6.2
_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_VALUE = rb"(?:[\x21-\x7e\x80-\xff](?:[\t \x21-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?"
_STATUS_LINE = rb"HTTP/1\.[01] ([0-9]{3})(?: ([\t \x21-\x7e\x80-\xff]*))?\r\n"
FIELD = re.compile(b"(" + _TOKEN + rb"):[ \t]*(" + _VALUE + rb")[ \t]*\r\n")
HEAD = re.compile(_STATUS_LINE + b"((?:" + _TOKEN + rb":[ \t]*" + _VALUE + rb"[ \t]*\r\n)*)\r\n")


@dataclass
class Plan:
    """What is known about a URL beforehand.

    :ivar request: what is sent.
    :ivar free: connections to its host; those of one host share the list.
    :ivar length: bytes of the response, its head included.
    :ivar body: bytes of the response's body.
    :ivar lines: lines in it.
    :ivar closes: whether the server closes the connection after it.
    """

    url: str
    request: bytes
    free: list[Plain]
    length: int = 0
    body: int = 0
    lines: int = 0
    closes: bool = False


@dataclass
class Hosts:
    """Free connections by host and port, all that are open, and how many there are or will be."""

    context: ssl.SSLContext | None
    free: dict[str, list[Plain]] = field(default_factory=dict)
    opened: set[Plain] = field(default_factory=set)
    count: int = 0


class Limit(Client):
    """Nothing but the socket and the wait."""

    package = "trio"
    notes: ClassVar[dict[str, str]] = {"chat": "no network at all"}
    _chat: Any = None

    async def open(self) -> None:
        self.hosts = Hosts(trust(self.setup) if self.setup.cafile else None)
        self.plans: dict[tuple[str, str], Plan] = {}
        self.stack.callback(self._close)

    def _close(self) -> None:
        for channel in list(self.hosts.opened):
            self._discard(channel)

    async def get(self, url: str) -> int:
        return (await self._exchange("GET", url)).body

    async def post(self, url: str, body: bytes) -> int:
        return (await self._exchange("POST", url, body)).body

    async def chat(self, url: str) -> int:
        if self._chat is None:
            import httpx2  # only here: what importing costs is measured too

            from .sdk import Chat, NoNetwork

            self._chat = Chat(url, httpx2.AsyncClient(transport=NoNetwork()))
        return int(await self._chat.ask())

    async def download(self, url: str) -> int:
        return (await self._exchange("GET", url)).body

    async def lines(self, url: str) -> int:
        return (await self._exchange("GET", url)).lines

    @asynccontextmanager
    async def held(self, url: str) -> AsyncGenerator[None]:
        await self._open(url)
        yield

    async def _exchange(self, method: str, url: str, body: bytes = b"") -> Plan:
        plan = self.plans.get((method, url)) or await self._learn(method, url, body)
        channel = plan.free.pop() if plan.free else await self._connect(plan)
        try:
            if not channel.push(plan.request):
                await _push_the_rest(channel)
            await trio.lowlevel.wait_readable(channel.sock)
            left = plan.length - len(channel.receive())
            while left:
                piece = channel.receive()
                if not piece:
                    await trio.lowlevel.wait_readable(channel.sock)
                left -= len(piece)
        except BaseException:
            self._discard(channel)
            raise
        self._release(plan, channel)
        return plan

    # ---- what is done once, or once a connection ----

    async def _learn(self, method: str, url: str, body: bytes = b"") -> Plan:
        """Do it once, and note what comes: from then on it is known."""
        parts = urlsplit(url)
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        head = f"{method} {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\n{length}\r\n"
        plan = Plan(url, head.encode() + body, self.hosts.free.setdefault(parts.netloc, []))
        channel = await self._connect(plan)
        if not channel.push(plan.request):
            await _push_the_rest(channel)
        await _measure(channel, plan)
        self._release(plan, channel)
        return self.plans.setdefault((method, url), plan)

    async def _connect(self, plan: Plan) -> Plain:
        if self.hosts.count >= self.setup.connections:
            raise CannotError("has no queue: a task for each connection")
        return await self._open(plan.url)

    async def _open(self, url: str) -> Plain:
        parts = urlsplit(url)
        self.hosts.count += 1
        try:
            channel = await connect(str(parts.hostname), parts.port or 0, self.hosts.context)
        except BaseException:
            self.hosts.count -= 1
            raise
        self.hosts.opened.add(channel)
        return channel

    def _release(self, plan: Plan, channel: Plain) -> None:
        if plan.closes:
            self._discard(channel)
        else:
            plan.free.append(channel)

    def _discard(self, channel: Plain) -> None:
        channel.sock.close()
        self.hosts.opened.remove(channel)
        self.hosts.count -= 1


class ParsedLimit(Limit):
    """The same, the head parsed and every wait with a deadline."""

    notes: ClassVar[dict[str, str]] = {}

    async def chat(self, url: str) -> int:
        raise CannotError("is under no SDK here")

    async def lines(self, url: str) -> int:
        raise CannotError("parses heads only")

    async def _exchange(self, method: str, url: str, body: bytes = b"") -> Plan:
        plan = self.plans.get((method, url)) or await self._learn(method, url, body)
        channel = plan.free.pop() if plan.free else await self._connect(plan)
        try:
            if not channel.push(plan.request):
                await _push_the_rest(channel)
            data = await _wait(channel)
            while (head := HEAD.match(data)) is None:
                data += await _wait(channel)
            fields = [(name.lower(), value) for name, value in FIELD.findall(data, head.start(3), head.end(3))]
            left = _content_length(fields) - (len(data) - head.end())
            while left:
                left -= len(channel.receive() or await _wait(channel))
        except BaseException:
            self._discard(channel)
            raise
        self._release(plan, channel)
        return plan


def _content_length(fields: list[tuple[bytes, bytes]]) -> int:
    for name, value in fields:
        if name == b"content-length":
            return int(value)
    raise CannotError("parses bodies with a Content-Length only")


async def _wait(channel: Plain) -> bytes:
    with trio.CancelScope(deadline=trio.current_time() + TIMEOUT):
        await trio.lowlevel.wait_readable(channel.sock)
        return channel.receive()
    raise TimeoutError


async def _push_the_rest(channel: Plain) -> None:
    while not channel.flush():
        await trio.lowlevel.wait_writable(channel.sock)


async def _more(channel: Plain) -> bytes:
    while not (piece := channel.receive()):
        await trio.lowlevel.wait_readable(channel.sock)
    return piece


async def _measure(channel: Plain, plan: Plan) -> None:
    """Read one response, its head included, and note what it is like."""
    data = bytearray()
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += await _more(channel)
    head = bytes(data[: end + 4]).lower()
    plan.closes = b"\r\nconnection: close\r\n" in head
    if length := re.search(rb"\r\ncontent-length: *([0-9]+)", head):
        plan.body, read = int(length[1]), len(data) - len(head)
        while read < plan.body:
            read += len(await _more(channel))
    else:
        while not data.endswith(b"\r\n0\r\n\r\n"):
            data += await _more(channel)
        plan.body, plan.lines = len(data) - len(head), 2 * data.count(b"\n\n")
    plan.length = len(head) + plan.body
