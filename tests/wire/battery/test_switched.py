"""A connection that goes over to another protocol: what was read already is handed over, and nothing is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

from trio_pool import LocalProtocolError, Pool, ReadError, Request, Response, UsageError, open_pool

from .case import (
    BODY,
    CONFIG,
    CUT,
    END,
    HELLO,
    INTRUDER,
    WAYS,
    AtOnce,
    Case,
    Step,
    Way,
    answer,
    bad,
    chunked,
    good,
    head,
)
from .cases_both import LARGE, stream
from .cases_interim import HINTS, LINK, SWITCHING, interim
from .harness import PATIENCE, Server, probe, run_case, serving
from .peer import Gone, Peer, Received, client_context

UPGRADE = (("Connection", "upgrade"), ("Upgrade", "x"))
OPENED = head(status=b"HTTP/1.1 200 Connection established")
KINDS: dict[str, tuple[dict[str, Any], bytes, int]] = {
    "upgrade": ({"method": "GET", "fields": UPGRADE}, SWITCHING, 101),
    "upgrade of a POST": ({"method": "POST", "fields": UPGRADE, "content": b"hello"}, SWITCHING, 101),
    "connect": ({"method": "CONNECT", "target": "far.example:443"}, OPENED, 200),
}


class Echoing(Server):
    """A server that, after the steps of its case, gives every byte back."""

    async def _answer(self, peer: Peer, request: Received) -> None:
        await super()._answer(peer, request)
        if request.target.startswith("/probe/"):
            return
        await peer.send(bytes(peer.unread))
        while data := await peer.receive():
            await peer.send(data)
        raise Gone


@asynccontextmanager
async def switched(case: Case, way: Way, server: Server | None = None) -> AsyncIterator[tuple[Pool, Server, Response]]:
    """The response of a case, and then a probe."""
    server = server or Echoing(case, way)
    async with serving(server, tls=way.tls), open_pool(CONFIG, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            url, content = f"{server.base}/case", case.content
            body = content() if callable(content) else content
            request = Request(case.method, url, headers=case.fields, content=body, target=case.target)
            async with pool.stream(request) as response:
                yield pool, server, response
            assert (await probe(pool, server)).visit == 1
            assert not server.faults, server.faults


async def exactly(stream: trio.abc.ReceiveStream, size: int) -> bytes:
    """So many bytes."""
    data = b""
    while len(data) < size:
        more = await stream.receive_some(size - len(data))
        assert more, f"the stream ended after {data!r}"
        data += more
    return data


def first_words(wire: bytes, words: bytes) -> dict[str, tuple[Step, ...]]:
    """How the first words of the new protocol may come with the answer."""
    return {
        "none": (wire,),
        "in the same read": (wire + words,),
        "in the same segment": (AtOnce((wire, words)),),
        "split in the answer": (AtOnce((wire[:-2], wire[-2:] + words[:3], words[3:])),),
        "in another read": (wire, words),
    }


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("how", first_words(b"....", b""))
@pytest.mark.parametrize("kind", KINDS)
async def test_the_stream_is_handed_over_with_what_was_read(kind: str, how: str, way: Way) -> None:
    request, wire, status = KINDS[kind]
    words = b"first words\r\n\r\n" if how != "none" else b""
    case = good(kind, "RFC 9110 sections 7.8 and 9.3.6", *first_words(wire, words)[how], **request)
    async with switched(case, way) as (pool, _, response):
        assert response.status_code == status
        async with response.take_stream() as taken:
            assert await exactly(taken, len(words)) == words
            await taken.send_all(b"ping")
            assert await exactly(taken, 4) == b"ping"
            figures = pool.statistics()
            assert (figures.leased, figures.idle) == (1, 0)


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_switched_connection_that_nobody_takes_is_closed(kind: str, way: Way) -> None:
    request, wire, status = KINDS[kind]
    async with switched(good(kind, "RFC 9110", wire + INTRUDER, **request), way) as (_, _, response):
        assert response.status_code == status


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("kind", KINDS)
async def test_the_body_of_a_switched_response_is_empty(kind: str, way: Way) -> None:
    request, wire, _ = KINDS[kind]
    async with switched(good(kind, "RFC 9110", wire + INTRUDER, **request), way) as (_, _, response):
        assert await response.read() == b""


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("ending", [END, CUT], ids=lambda end: end.name.lower())
async def test_the_end_of_the_other_protocol_is_seen(ending: Step, way: Way) -> None:
    request, wire, _ = KINDS["connect"]
    case = good("x", "RFC 9110 section 9.3.6", wire + b"bye", ending, **request)
    async with switched(case, way) as (_, _, response), response.take_stream() as taken:
        assert await exactly(taken, 3) == b"bye"
        if ending is CUT and way.tls:
            with pytest.raises(trio.BrokenResourceError):
                await taken.receive_some()
        else:
            assert await taken.receive_some() == b""


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize(
    "fields",
    [(b"Content-Length: 5",), (b"Transfer-Encoding: chunked",), (b"Connection: close",), (b"Content-Encoding: gzip",)],
    ids=repr,
)
async def test_a_tunnel_is_open_whatever_its_fields_say(fields: tuple[bytes, ...], way: Way) -> None:
    wire = head(*fields) + b"words"
    case = good(
        "x", "RFC 9110 section 9.3.6: a client MUST ignore them", wire, method="CONNECT", target="far.example:443"
    )
    async with switched(case, way) as (_, _, response), response.take_stream() as taken:
        assert await exactly(taken, 5) == b"words"


BODIES: dict[str, Any] = {"large": LARGE, "streamed": stream(*[LARGE[:100_000]] * 80)}


@pytest.mark.parametrize("way", [way for way in WAYS if not way.bytewise], ids=str)
@pytest.mark.parametrize("name", BODIES)
async def test_a_101_before_the_end_of_the_request_loses_nothing(name: str, way: Way) -> None:
    """RFC 9110 section 7.8: a client goes over once its request has been sent; the server may speak before."""
    case = good(
        "x",
        "RFC 9110 section 7.8",
        SWITCHING + b"first",
        b" words",
        BODY,
        b", more",
        method="POST",
        fields=UPGRADE,
        content=BODIES[name],
        early=True,
    )
    async with switched(case, way) as (_, server, response), response.take_stream() as taken:
        assert await exactly(taken, 17) == b"first words, more"
        await taken.send_all(b"ping")
        assert await exactly(taken, 4) == b"ping"
        assert [len(request.body or b"") for request in server.received] == [8_000_000]


REFUSED: list[Case] = [
    good("an upgrade that is not taken up", "RFC 9110 section 7.8", HELLO, fields=UPGRADE, body=b"hello"),
    good(
        "an upgrade that is required",
        "RFC 9110 section 15.5.22",
        answer(b"no", b"Upgrade: y", status=b"HTTP/1.1 426 X"),
        fields=UPGRADE,
        status=426,
        body=b"no",
    ),
    good(
        "an upgrade of a POST that is not taken up",
        "RFC 9110 section 7.8",
        HELLO,
        method="POST",
        content=b"x",
        fields=UPGRADE,
        body=b"hello",
    ),
    good(
        "a 103 and an upgrade that is not taken up",
        "RFC 9110 section 7.8",
        HINTS + HELLO,
        fields=UPGRADE,
        body=b"hello",
        interims=((103, LINK),),
    ),
    *[
        good(
            f"a tunnel that is answered by {code}",
            "RFC 9110 section 9.3.6",
            answer(b"no", status=b"HTTP/1.1 %d X" % code),
            method="CONNECT",
            target="far.example:443",
            status=code,
            body=b"no",
        )
        for code in (300, 302, 400, 403, 407, 502)
    ],
    good(
        "a tunnel that is refused in chunks",
        "RFC 9110 section 9.3.6",
        chunked(b"2\r\nno\r\n0\r\n\r\n").replace(b"200", b"407"),
        method="CONNECT",
        target="far.example:443",
        status=407,
        body=b"no",
    ),
    bad("a 101 to a CONNECT", "RFC 9110 section 15.2.2", SWITCHING, method="CONNECT", target="far.example:443"),
    bad("a 101 by HTTP/2.0", "RFC 9110 section 2.5", SWITCHING.replace(b"1.1", b"2.0"), fields=UPGRADE),
    bad(
        "a tunnel by HTTP/2.0",
        "RFC 9110 section 2.5",
        OPENED.replace(b"1.1", b"2.0"),
        method="CONNECT",
        target="far.example:443",
    ),
    bad(
        "a tunnel that ends before it opens",
        "RFC 9112 section 8",
        OPENED[:-2],
        END,
        method="CONNECT",
        target="far.example:443",
        says="the server ended",
    ),
    bad("a 101 that is cut", "RFC 9112 section 8", SWITCHING[:-2], CUT, fields=UPGRADE, says="", tls_error=ReadError),
    bad("a 101 with an illegal field", "RFC 9112 section 5", SWITCHING[:-2] + b"X : y\r\n\r\n", fields=UPGRADE),
]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
async def test_what_is_not_switched_goes_on_as_http(case: Case, way: Way) -> None:
    await run_case(case, way)


@pytest.mark.parametrize("way", WAYS, ids=str)
async def test_interim_responses_before_a_switch_are_told(way: Way) -> None:
    case = good("x", "RFC 9110 section 15.2", interim(103) + SWITCHING + b"words", fields=UPGRADE)
    async with switched(case, way) as (_, _, response), response.take_stream() as taken:
        assert await exactly(taken, 5) == b"words"


async def test_an_ordinary_response_has_no_stream_to_give() -> None:
    async with open_pool(CONFIG) as pool:
        server = Server(good("x", "trio_pool", HELLO), WAYS[0])
        async with serving(server, tls=False):
            async with pool.stream(Request("GET", f"{server.base}/case")) as response:
                with pytest.raises(UsageError, match="does not speak another protocol"):
                    response.take_stream()


def test_a_tunnel_needs_a_target() -> None:
    with pytest.raises(LocalProtocolError, match="needs a target"):
        Request("CONNECT", "http://far.example")
