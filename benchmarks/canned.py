"""A server of answers that no web server gives: `python -m benchmarks.canned '{"events": 20000, ...}'`.

/events is server-sent events, each in a chunk of its own, made beforehand. /held is begun, and ended for all who asked
for it once somebody asks for /release: so that a client has as many connections as it holds responses. Its argument is
a JSON object: `events`, how many; `origins`, on how many ports it listens; `certificate` and `key`, files for one port
more with TLS. It says its ports, as a JSON list, and ends with its input.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":" word"}}],"n":%06d}\n\n'
BEGUN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"
ENDED = b"k"
HELD_PATH, RELEASE_PATH = "/held", "/release"


def response(events: int) -> bytes:
    """The whole response of so many events."""
    return HEAD + b"".join(chunk(EVENT % number) for number in range(events)) + b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a body (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


@dataclass
class Answers:
    """What there is to say, and whom it is still owed.

    :ivar events: the response to /events.
    :ivar held: connections on which a response is begun.
    """

    events: bytes
    held: list[asyncio.WriteTransport] = field(default_factory=list)

    def answer(self, path: str, transport: asyncio.WriteTransport) -> None:
        """Answer one request."""
        if path == HELD_PATH:
            self.held.append(transport)
            transport.write(BEGUN)
        elif path == RELEASE_PATH:
            for waiting in self.held:
                waiting.write(ENDED)
            self.held.clear()
            transport.write(BEGUN + ENDED)
        else:
            transport.write(self.events)


class Answering(asyncio.Protocol):
    """One connection: an answer to each end of a head."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        *complete, self._seen = (self._seen + data).split(b"\r\n\r\n")
        for head in complete:
            self._answers.answer(head.split(b" ", 2)[1].decode(), self._transport)


async def serve(events: int, origins: int, certificate: str, key: str) -> None:
    """Serve until the input ends."""
    answers, loop = Answers(response(events)), asyncio.get_running_loop()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    ports: list[int] = []
    async with AsyncExitStack() as stack:
        for tls in [*[None] * origins, context]:
            made = await loop.create_server(lambda: Answering(answers), "127.0.0.1", 0, ssl=tls, backlog=4096)
            server = await stack.enter_async_context(made)
            ports.append(server.sockets[0].getsockname()[1])
        print(json.dumps(ports), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(**json.loads(sys.argv[1])))
