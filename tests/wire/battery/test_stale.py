"""A connection that dies between two requests: who is sent again, and who never is."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any, NamedTuple

import attrs
import pytest
import trio

from trio_pool import ReadError, RemoteProtocolError, TrioPoolError, WriteError, open_pool
from trio_pool._net.network import Address
from trio_pool._net.streams import Stream

from .case import CONFIG, CUT, END, HELLO, RESET, Case, Do, Step, Way, answer, good, head
from .cases_both import stream
from .harness import PATIENCE, Server, Tap, TappedNetwork, Verdict, ask, probe, serving
from .peer import Gone, Peer, Received, client_context

SOURCE = "RFC 9112 section 9.3.1, RFC 9110 section 9.2.2: only what is idempotent, or was never sent, is sent again"
TRANSPORTS = [Way(tls, bytewise=False) for tls in (False, True)]
SAFE = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")
UNSAFE = ("POST", "PATCH", "BREW", "get", "CONNECTED")


class Forgetful(Server):
    """A server that answers everything but the case on its first connection: there it does the steps of the case."""

    async def _answer(self, peer: Peer, request: Received) -> None:
        if request.target != "/case" or peer.number > 0:
            self.received.append(request)
            await self._read_body(peer, request)
            reply = HELLO if request.target == "/case" else answer(request.target[7:].encode())
            return await peer.send(reply.removesuffix(b"hello") if request.method == "HEAD" else reply)
        return await super()._answer(peer, request)


class Story(NamedTuple):
    """What became of a request on a connection that had served before."""

    verdict: Verdict
    sent: list[Received]
    retries: int


async def second_request(case: Case, way: Way, network: TappedNetwork | None = None) -> Story:
    """Warm a connection up, send the case's request on it, and probe."""
    server = Forgetful(case, way)
    async with (
        serving(server, tls=way.tls),
        open_pool(CONFIG, tls=client_context(), network=network) as pool,
    ):
        with trio.fail_after(PATIENCE):
            assert (await probe(pool, server)).visit == 0
            verdict = await ask(pool, case, server, way)
            assert (await probe(pool, server)).visit == 1
        figures = pool.statistics()
        assert (figures.leased, figures.idle, figures.waiting) == (0, 1, 0)
    assert not server.faults, server.faults
    return Story(verdict, [request for request in server.received if request.target == "/case"], figures.stale_retries)


def case_of(method: str, *steps: Step, **more: Any) -> Case:
    """A request that meets a dying connection."""
    return good(method, SOURCE, *steps, method=method, **more)


ENDS = [END, CUT, RESET]


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name.lower())
@pytest.mark.parametrize("method", SAFE)
async def test_an_idempotent_request_is_sent_once_more(method: str, end: Do, way: Way) -> None:
    content = b"body" if method == "PUT" else None
    story = await second_request(case_of(method, end, content=content), way)
    assert story.verdict.response is not None, story.verdict.error
    assert story.verdict.body == (b"" if method == "HEAD" else b"hello")
    assert story.retries == 1
    first, second = story.sent
    assert (first.visit, second.visit) == (0, 1)
    assert attrs.evolve(first, visit=1) == second


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name.lower())
@pytest.mark.parametrize("method", UNSAFE)
async def test_any_other_request_reaches_the_wire_once(method: str, end: Do, way: Way) -> None:
    story = await second_request(case_of(method, end, content=b"body"), way)
    assert len(story.sent) == 1
    assert story.retries == 0
    check_error(story.verdict.error, (RemoteProtocolError, ReadError))


def check_error(error: TrioPoolError | None, kinds: tuple[type[TrioPoolError], ...]) -> None:
    assert type(error) in kinds, error
    assert error is not None
    assert error.may_have_been_processed


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name.lower())
@pytest.mark.parametrize("early", [False, True])
async def test_a_streamed_body_is_not_sent_twice(end: Do, way: Way, *, early: bool) -> None:
    story = await second_request(case_of("PUT", end, content=stream(b"one", b"two"), early=early), way)
    assert len(story.sent) == 1
    check_error(story.verdict.error, (RemoteProtocolError, ReadError, WriteError))


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.name.lower())
@pytest.mark.parametrize("first", [b"H", HELLO[:-5], head(status=b"HTTP/1.1 100 X"), b"\r\n"], ids=repr)
async def test_nothing_is_sent_again_once_a_byte_has_come(first: bytes, end: Do, way: Way) -> None:
    story = await second_request(case_of("GET", first, end), way)
    assert len(story.sent) == 1
    check_error(story.verdict.error, (RemoteProtocolError, ReadError))


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
async def test_the_second_connection_is_the_last(way: Way) -> None:
    class Dying(Forgetful):
        async def _answer(self, peer: Peer, request: Received) -> None:
            if request.target != "/case":
                return await super()._answer(peer, request)
            self.received.append(request)
            await peer.end()
            raise Gone

    server = Dying(case_of("GET", END), way)
    async with serving(server, tls=way.tls), open_pool(CONFIG, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            await probe(pool, server)
            verdict = await ask(pool, case_of("GET"), server, way)
            assert (await probe(pool, server)).visit == 2
    check_error(verdict.error, (RemoteProtocolError,))
    assert [request.visit for request in server.received if request.target == "/case"] == [0, 1]


@pytest.mark.parametrize("way", TRANSPORTS, ids=str)
async def test_a_fresh_connection_that_dies_is_no_stale_one(way: Way) -> None:
    server = Server(case_of("GET", END), way)
    async with serving(server, tls=way.tls), open_pool(CONFIG, tls=client_context()) as pool:
        with trio.fail_after(PATIENCE):
            verdict = await ask(pool, case_of("GET"), server, way)
            await probe(pool, server)
        assert pool.statistics().stale_retries == 0
    check_error(verdict.error, (RemoteProtocolError,))


class Breaking(Tap):
    """A stream that breaks when a second request is sent, before a byte of it or after some."""

    def __init__(self, stream: Stream, taken: int) -> None:
        super().__init__(stream)
        self._send, self._taken = stream.send_nowait, taken
        self.send_nowait: Callable[[bytes | memoryview], int] = self._until_the_case

    def _until_the_case(self, data: bytes | memoryview) -> int:
        if b"/case" not in bytes(data):
            return self._send(data)
        self.send_nowait, self.recv_nowait = self._broken, self._reset
        return self._send(data[: self._taken]) if self._taken else self._broken(data)

    def _broken(self, _: bytes | memoryview) -> int:
        raise BrokenPipeError(errno.EPIPE, "broken pipe")

    def _reset(self, _: int) -> bytes:
        raise ConnectionResetError(errno.ECONNRESET, "connection reset by peer")


class BreakingNetwork(TappedNetwork):
    """A network whose first connection breaks after so many bytes of the request for the case."""

    def __init__(self, taken: int) -> None:
        super().__init__()
        self._taken = taken

    async def connect(self, address: Address) -> Stream:
        """A connected stream."""
        stream = await super().connect(address)
        return Breaking(stream, self._taken) if len(self.taps) == 1 else stream


PLAIN = Way(tls=False, bytewise=False)


@pytest.mark.parametrize("content", [b"body", stream(b"bo", b"dy")], ids=["whole", "streamed"])
@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH"])
async def test_what_was_provably_not_sent_is_sent_on_another_connection(method: str, content: Any) -> None:
    if method == "GET":
        content = None
    story = await second_request(case_of(method, END, content=content), PLAIN, BreakingNetwork(0))
    assert story.verdict.body == b"hello", story.verdict.error
    assert [request.visit for request in story.sent] == [1]
    assert story.sent[0].body == (b"" if method == "GET" else b"body")


@pytest.mark.parametrize("content", [b"body", stream(b"bo", b"dy")], ids=["whole", "streamed"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_was_sent_in_part_is_not_sent_again(method: str, content: Any) -> None:
    story = await second_request(case_of(method, END, content=content), PLAIN, BreakingNetwork(10))
    assert story.sent == []
    check_error(story.verdict.error, (WriteError,))


async def test_what_is_idempotent_and_was_sent_in_part_is_sent_again() -> None:
    story = await second_request(case_of("PUT", END, content=b"body"), PLAIN, BreakingNetwork(10))
    assert story.verdict.body == b"hello", story.verdict.error
    assert [request.visit for request in story.sent] == [1]
