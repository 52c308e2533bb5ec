"""Nothing illegal reaches the wire: it is refused before anything is sent, or it arrives as exactly one request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

from trio_pool import (
    LocalProtocolError,
    PoolConfig,
    Request,
    TrioPoolError,
    UsageError,
    open_client,
    open_pool,
)

from .case import BODY, CONFIG, HELLO, Case, Way, good
from .cases_both import stream
from .cases_outgoing import ARRIVING, FIVE, REFUSED, Arrival, Refusal
from .harness import PATIENCE, Server, probe, serving
from .peer import Received, client_context

TRANSPORTS = [Way(tls, bytewise=False) for tls in (False, True)]


def request_of(options: dict[str, Any], base: str) -> Request:
    """The request that these options ask for."""
    rest = dict(options)
    url = rest.pop("url", base + rest.pop("path", "/case"))
    content = rest.pop("content", None)
    return Request(rest.pop("method", "GET"), url, content=content() if callable(content) else content, **rest)


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda refusal: refusal.name)
async def test_what_is_illegal_is_refused_before_anything_is_sent(refusal: Refusal) -> None:
    server = Server(good("x", refusal.source, HELLO), TRANSPORTS[0])
    async with serving(server, tls=False), open_pool(CONFIG) as pool:
        with trio.fail_after(PATIENCE):
            with pytest.raises(TrioPoolError) as caught:
                async with pool.stream(request_of(refusal.options, server.base)):
                    pass
            assert type(caught.value) is refusal.error
            assert not caught.value.may_have_been_processed
            assert (await probe(pool, server)).visit == 0
        assert len(server.received) == 1
        assert pool.statistics().dials == 1


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
@pytest.mark.parametrize("arrival", ARRIVING, ids=lambda arrival: arrival.name)
async def test_what_is_legal_arrives_as_one_request(arrival: Arrival, way: Way) -> None:
    received = (await sent(arrival.options, way))[0]
    assert (received.method, received.target) == (arrival.method, arrival.target)
    assert received.body == arrival.body
    assert [field for field in received.fields if field[0].lower() != "host"] == arrival.fields
    assert received.fields[0] == ("Host", received.values("host")[0])


async def sent(options: dict[str, Any], way: Way) -> list[Received]:
    """What arrived of a request and of the probe that follows it, on one connection."""
    reply = HELLO.removesuffix(b"hello") if options.get("method") == "HEAD" else HELLO
    server = Server(good("x", "RFC 9112 section 3", reply), way)
    async with serving(server, tls=way.tls), open_pool(CONFIG, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            async with pool.stream(request_of(options, server.base)) as response:
                await response.read()
            assert (await probe(pool, server)).visit == 0
    assert not server.faults, server.faults
    assert len(server.received) == 2
    return server.received


async def failing() -> AsyncIterator[bytes]:
    """A body whose maker fails."""
    yield b"he"
    raise ZeroDivisionError


BREAKING: dict[str, tuple[Any, list[tuple[str, str]], type[Exception]]] = {
    "a stream longer than its length": (stream(b"hello", b"!"), [FIVE], LocalProtocolError),
    "a piece longer than its length": (stream(b"hello!"), [FIVE], LocalProtocolError),
    "a stream shorter than its length": (stream(b"he", b""), [FIVE], LocalProtocolError),
    "a stream of nothing with a length": (stream(), [FIVE], LocalProtocolError),
    "a stream of text": (stream("hello"), [], UsageError),  # type: ignore[arg-type]  # what it is about
    "a stream of numbers": (stream(104), [], UsageError),  # type: ignore[arg-type]  # what it is about
    "a stream of nothings": (stream(None), [], UsageError),  # type: ignore[arg-type]  # what it is about
    "a stream that fails": (failing, [], ZeroDivisionError),
    "a stream with a length that fails": (failing, [FIVE], ZeroDivisionError),
}


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
@pytest.mark.parametrize("name", BREAKING)
async def test_a_body_that_breaks_its_word_is_an_error_and_the_end_of_its_connection(name: str, way: Way) -> None:
    content, headers, error = BREAKING[name]
    case: Case = good("x", "RFC 9112 section 8", BODY, HELLO, early=True)
    server = Server(case, way)
    async with serving(server, tls=way.tls), open_pool(CONFIG, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            with pytest.raises(error):
                async with pool.stream(Request("POST", f"{server.base}/case", headers=headers, content=content())):
                    pass
            assert (await probe(pool, server)).visit == 1
        assert pool.statistics().leased == 0
    went_before_it_was_known = b"hello" if name == "a stream longer than its length" else None
    assert [request.body for request in server.received if request.target == "/case"] == [went_before_it_was_known]
    assert not server.faults, server.faults


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
async def test_a_client_puts_in_one_of_each_field(way: Way) -> None:
    server = Server(good("x", "RFC 9110 section 5.3", HELLO), way)
    async with (
        serving(server, tls=way.tls),
        open_client(PoolConfig(read_timeout=2.0), tls=client_context(), headers={"accept": "a/b", "X": "y"}) as client,
    ):
        with trio.fail_after(PATIENCE):
            await client.post(f"{server.base}/case", content=b"x", headers={"user-agent": "own", "x": "z"})
    names = [name.lower() for name, _ in server.received[0].fields]
    assert sorted(names) == sorted(set(names))
    assert server.received[0].values("x") == ["z"]
    assert server.received[0].values("user-agent") == ["own"]
    assert server.received[0].values("accept") == ["a/b"]
