"""A server of server-sent events, each in a chunk of its own: `python -m benchmarks.canned EVENTS`.

It says its port, then answers whatever it is asked with the same bytes, made beforehand. It ends with its input.
"""

from __future__ import annotations

import asyncio
import sys

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":" word"}}],"n":%06d}\n\n'


def response(events: int) -> bytes:
    """The whole response."""
    return HEAD + b"".join(chunk(EVENT % number) for number in range(events)) + b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk of a body (RFC 9112 section 7.1)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Answering(asyncio.Protocol):
    """One connection: an answer to each end of a head."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep where answers go."""
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer what is complete."""
        *complete, self._seen = (self._seen + data).split(b"\r\n\r\n")
        for _ in complete:
            self._transport.write(self._answer)


async def main(events: int) -> None:
    """Serve until the input ends."""
    answer, loop = response(events), asyncio.get_running_loop()
    async with await loop.create_server(lambda: Answering(answer), "127.0.0.1", 0) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
