"""The same request over a library's own transport and over ours gives the same response.

Hypothesis makes up what the server sends, byte by byte and in what portions; whatever is legal HTTP/1.1 must come out
the same: status, headers in order and case, body, and the extensions that both have.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool import open_pool

from .libraries import LIBRARIES, Library
from .servers import listening, read_request

STATUSES = [200, 201, 203, 204, 206, 226, 299, 300, 302, 304, 400, 401, 404, 418, 429, 500, 503, 529, 599]
TOKEN = st.text("abcXYZ019-_.!~", min_size=1, max_size=12)
VALUE = st.text("abc XYZ;,=\"/\\'()\té\xff", max_size=30).map(str.strip)
NAMES = TOKEN.map(lambda name: f"X-{name}") | st.sampled_from(
    ["Server", "ETag", "content-type", "Cache-Control", "Link", "VARY", "Retry-After"]
)


@attrs.frozen
class Sent:
    """What the server sends.

    :ivar framing: how the end of the body is told: "length", "chunked" or "close".
    :ivar chunks: the body, in pieces.
    :ivar cuts: after how many bytes there is a pause, each counted from the one before.
    """

    method: str
    interim: list[int]
    version: str
    status: int
    reason: str
    fields: list[tuple[str, str]]
    framing: str
    chunks: list[bytes]
    extension: str
    trailers: list[tuple[str, str]]
    cuts: list[int]

    @property
    def has_body(self) -> bool:
        return self.method != "HEAD" and self.status not in (204, 304)

    @property
    def is_closing(self) -> bool:
        return self.framing == "close" or self.version == "1.0"

    def raw(self) -> bytes:
        """All of it."""
        lines = [f"HTTP/{self.version} {self.status} {self.reason}", *_lines(self.fields), *self._framing_fields()]
        head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
        before = b"".join(b"HTTP/1.1 %d Wait\r\nX-Interim: 1\r\n\r\n" % status for status in self.interim)
        return before + head + (self._body() if self.has_body else b"")

    def _framing_fields(self) -> list[str]:
        if self.framing == "length":
            return [f"Content-Length: {sum(map(len, self.chunks))}"] if self.status != 204 else []
        if self.framing == "chunked" and self.version == "1.1" and self.has_body:
            return ["Transfer-Encoding: chunked"]
        return ["Connection: close"]

    def _body(self) -> bytes:
        if self.framing != "chunked" or self.version == "1.0":
            return b"".join(self.chunks)
        chunks = b"".join(
            b"%x%s\r\n%s\r\n" % (len(chunk), self.extension.encode(), chunk) for chunk in self.chunks if chunk
        )
        trailers = "".join(f"{line}\r\n" for line in _lines(self.trailers)).encode("latin-1")
        return chunks + b"0\r\n" + trailers + b"\r\n"


def _lines(fields: list[tuple[str, str]]) -> list[str]:
    return [f"{name}: {value}" for name, value in fields]


FIELDS = st.lists(st.tuples(NAMES, VALUE), max_size=6)
ANSWERS = st.builds(
    Sent,
    method=st.sampled_from(["GET", "GET", "GET", "POST", "HEAD", "DELETE"]),
    interim=st.lists(st.sampled_from([100, 102, 103]), max_size=2),
    version=st.sampled_from(["1.1", "1.1", "1.1", "1.0"]),
    status=st.sampled_from(STATUSES),
    reason=st.sampled_from(["OK", "", "Not At All", "Gr\xfc\xdfe"]),
    fields=FIELDS,
    framing=st.sampled_from(["length", "chunked", "close"]),
    chunks=st.lists(st.binary(max_size=40) | st.just(b"x" * 5000) | st.just(b"y" * 70_000), max_size=5),
    extension=st.sampled_from(["", "", ";a", ";a=b", '; a="b c"']),
    trailers=st.lists(st.tuples(TOKEN.map(lambda name: f"X-{name}"), VALUE), max_size=2),
    cuts=st.lists(st.integers(1, 300), max_size=6),
)


async def send(answer: Sent, stream: trio.SocketStream) -> None:
    """Once, and again while the client asks."""
    while await read_request(stream) is not None:
        raw, start = answer.raw(), 0
        for cut in [*answer.cuts, len(raw)]:
            if raw[start : start + cut]:
                await stream.send_all(raw[start : start + cut])
            start += cut
            await trio.lowlevel.checkpoint()
        if answer.is_closing or (not answer.has_body and "Connection: close" in answer._framing_fields()):
            break
    await stream.aclose()


def outcome(response: Any) -> tuple[Any, ...]:
    """What must be equal. Bodies are compared as they came, since both are decoded by the same code."""
    extensions = {name: response.extensions[name] for name in ("http_version", "reason_phrase")}
    return response.status_code, response.headers.raw, response.content, extensions, set(response.extensions)


async def compare(library: Library, answer: Sent) -> None:
    async with listening(lambda stream: send(answer, stream)) as url, open_pool() as pool:
        found = []
        for transport in (library.api.AsyncHTTPTransport(verify=False), library.adapter.PoolTransport(pool)):
            async with library.api.AsyncClient(transport=transport) as client:
                for _ in range(2):
                    with trio.fail_after(10):
                        found.append(outcome(await client.request(answer.method, url)))
        figures = pool.statistics()
        assert (figures.leased, figures.waiting, figures.leaks) == (0, 0, 0)
    assert found[2:] == found[:2]
    assert found[0][0] == answer.status
    assert found[0][2] == (b"".join(answer.chunks) if answer.has_body else b"")


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
@settings(max_examples=150, deadline=None)
@given(answer=ANSWERS)
def test_a_response_is_what_the_default_transport_gives(library: Library, answer: Sent) -> None:
    trio.run(compare, library, answer)


BROKEN = {
    "an end in the middle of a chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    "an end before the length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
    "an end after an interim response": b"HTTP/1.1 103 Early Hints\r\n\r\n",
    "no chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "a length that is no number": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\n",
    "a name with a space": b"HTTP/1.1 200 OK\r\nX Y: 1\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "nothing": b"",
}


@pytest.mark.parametrize("raw", BROKEN.values(), ids=BROKEN)
async def test_what_is_broken_is_the_same_error(library: Library, raw: bytes) -> None:
    async def serve(stream: trio.SocketStream) -> None:
        await read_request(stream)
        if raw:
            await stream.send_all(raw)
        await stream.aclose()

    async with listening(serve) as url, open_pool() as pool:
        kinds = []
        for transport in (library.api.AsyncHTTPTransport(verify=False), library.adapter.PoolTransport(pool)):
            async with library.api.AsyncClient(transport=transport) as client:
                with pytest.raises(library.api.TransportError) as caught:
                    await client.get(url)
                kinds.append(type(caught.value))
        assert pool.statistics().leased == 0
    assert kinds == [library.api.RemoteProtocolError] * 2
