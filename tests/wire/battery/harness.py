"""One case of the battery: what a server sends, what a client has to make of it, and a probe afterwards.

Strategy. Server and client are tasks of the test's own run, on real loopback sockets. The server reads the request
strictly, plays the steps of the case, and then waits for the next request; any request for `/probe/NONCE` it answers
with the nonce. The client asks for `/case`, gets its verdict, waits until the server has played to the end and what it
sent has arrived, and asks for a nonce. On which connection the probe came, as the server saw it, tells whether the
first one was used again. Nothing sleeps: all waiting is for events of the other side.
"""

from __future__ import annotations

import itertools
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import NamedTuple

import attrs
import trio
import trio.testing

from trio_pool import Pool, Request, Response, TrioPoolError, open_pool
from trio_pool._net.network import Address, SystemNetwork
from trio_pool._net.streams import Stream
from trio_pool.events import Event, InterimResponse

from .case import (
    BODY,
    CUT,
    END,
    GOODBYE,
    HALF,
    LATER,
    SILENCE,
    AtOnce,
    Case,
    Do,
    Raw,
    Step,
    Way,
    answer,
)
from .peer import Gone, Illegal, Peer, Received, client_context, server_context

PATIENCE = 20.0
"""Seconds after which a test is stuck. Nothing that passes ever comes near."""
SETTLING = 0.5
"""Seconds that a connection may take to be found unusable by what came late. What passes takes none of them."""
_nonces = itertools.count()


# ---- the server ----


class Server:
    """What a case's server does with its connections.

    :ivar received: the requests in order; with bodies where those were read.
    :ivar faults: what was illegal in them.
    :ivar go_on: to be set when the client has its verdict.
    :ivar played: set when the case has been played to its end.
    """

    def __init__(self, case: Case, way: Way, tls: ssl.SSLContext | None = None) -> None:
        self.base = ""
        self.received: list[Received] = []
        self.faults: list[str] = []
        self.peers: list[Peer] = []
        self.go_on = trio.Event()
        self.played = trio.Event()
        self._case = case
        self._bytewise = way.bytewise
        self._tls = tls or (server_context() if way.tls else None)

    async def serve(self, sock: trio.socket.SocketType) -> None:
        """One connection."""
        peer = Peer(sock, len(self.peers), self._tls, bytewise=self._bytewise)
        self.peers.append(peer)
        try:
            await peer.open(b"" if peer.number else self._case.greeting)
            while True:
                await self._answer(peer, await peer.head())
        except Illegal as fault:
            self.faults.append(str(fault))
            self.played.set()
        except (Gone, OSError):
            pass
        finally:
            peer.cut()

    async def _answer(self, peer: Peer, request: Received) -> None:
        self.received.append(request)
        if request.target.startswith("/probe/"):
            return await peer.send_at_once([answer(request.target.removeprefix("/probe/").encode())])
        try:
            if not self._case.early:
                await self._read_body(peer, request)
            for step in self._case.steps:
                await self._do(peer, request, step)
        finally:
            self.played.set()
        if self._case.early and BODY not in self._case.steps:
            await peer.until_gone()
            raise Gone

    async def _read_body(self, peer: Peer, request: Received) -> None:
        place = self.received.index(request)
        self.received[place] = attrs.evolve(request, body=await peer.body(request))

    async def _do(self, peer: Peer, request: Received, step: Step) -> None:
        if isinstance(step, bytes):
            await peer.send(step)
        elif isinstance(step, AtOnce):
            await peer.send_at_once(list(step.pieces), goodbye=step.goodbye)
        elif isinstance(step, Raw):
            await peer.send_raw(step.data)
        elif step is LATER:
            await self.go_on.wait()
        elif step is BODY:
            await self._read_body(peer, request)
        else:
            await self._misbehave(peer, step)

    async def _misbehave(self, peer: Peer, step: Do) -> None:
        if step is SILENCE:
            await self._expect_silence(peer)
        elif step is GOODBYE:
            await peer.goodbye()
        elif step is HALF:
            await peer.half()
        else:
            await self._leave(peer, step)

    async def _expect_silence(self, peer: Peer) -> None:
        if self.go_on.is_set():
            is_silent = False
            with trio.move_on_after(SETTLING):  # a client that stays does not keep silent
                is_silent = not await peer.until_gone()
        else:
            await trio.testing.wait_all_tasks_blocked()
            is_silent = not peer.has_more()
        if not is_silent:
            self.faults.append("the body came though nobody asked for it")

    async def _leave(self, peer: Peer, step: Step) -> None:
        if step is END:
            await peer.end()
        elif step is CUT:
            peer.cut()
        else:
            peer.reset()
        raise Gone


@asynccontextmanager
async def serving(server: Server, *, tls: bool) -> AsyncIterator[None]:
    """The server on a loopback port, for the time of the `async with`."""
    with trio.socket.socket() as listener:
        await listener.bind(("127.0.0.1", 0))
        listener.listen()
        server.base = f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}"
        failure: BaseException | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_accept, server, listener, nursery)
            try:
                yield
            except BaseException as error:  # raised as itself below
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure


async def _accept(server: Server, listener: trio.socket.SocketType, nursery: trio.Nursery) -> None:
    while True:
        sock, _ = await listener.accept()
        nursery.start_soon(server.serve, sock)


# ---- the client ----


class Tap:
    """A stream that tells whether it was closed."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self.is_closed = False
        self.recv_nowait = stream.recv_nowait
        self.send_nowait = stream.send_nowait
        self.readable = stream.readable
        self.wait_readable = stream.wait_readable
        self.wait_writable = stream.wait_writable

    def close(self) -> None:
        """Close the stream."""
        self.is_closed = True
        self._stream.close()


class TappedNetwork(SystemNetwork):
    """The machine's network; what it connects is in `taps`."""

    def __init__(self) -> None:
        super().__init__()
        self.taps: list[Tap] = []

    async def connect(self, address: Address) -> Stream:
        """A connected stream, which is remembered."""
        tap = Tap(await super().connect(address))
        self.taps.append(tap)
        return tap

    async def until_something_is_there(self) -> None:
        """Wait until the connection that was made last was closed, or has something to be received."""
        tap = self.taps[-1]
        while not (tap.is_closed or tap.readable()):
            await trio.lowlevel.checkpoint()


class Verdict(NamedTuple):
    """What came of a request: a response and its body, or an error."""

    response: Response | None = None
    body: bytes = b""
    error: TrioPoolError | None = None


async def ask(pool: Pool, case: Case, server: Server, way: Way) -> Verdict:
    """Send the request of a case."""
    try:
        content = case.content() if callable(case.content) else case.content
        request = Request(case.method, f"{server.base}/case", headers=case.fields, content=content, target=case.target)
        async with pool.stream(request) as response:
            if case.leaves:
                return Verdict(response)
            if way.bytewise if case.is_streamed is None else case.is_streamed:
                return Verdict(response, b"".join([piece async for piece in response.iter_bytes()]))
            return Verdict(response, await response.read())
    except TrioPoolError as error:
        return Verdict(error=error)


async def probe(pool: Pool, server: Server) -> Received:
    """Ask for a nonce, get it, and tell how the request arrived."""
    target = f"/probe/{next(_nonces)}"
    async with pool.stream(Request("GET", server.base + target)) as response:
        body = await response.read()
    assert (response.status_code, body.decode()) == (200, target.removeprefix("/probe/")), (
        "a probe got another's answer"
    )
    arrived = [request for request in server.received if request.target == target]
    assert len(arrived) == 1, "a probe was sent more than once"
    return arrived[0]


class Outcome(NamedTuple):
    """All there is to judge."""

    verdict: Verdict
    probe: Received
    interims: list[Event]
    server: Server


async def play(case: Case, way: Way) -> Outcome:
    """Play a case and probe; what is wrong after that has been judged already."""
    server, network = Server(case, way), TappedNetwork()
    interims: list[Event] = []
    async with (
        serving(server, tls=way.tls),
        open_pool(case.config, tls=client_context(), observers=[interims.append], network=network) as pool,
    ):
        with trio.fail_after(PATIENCE):
            if case.prewarmed:
                await pool.prewarm(server.base, 1)
                await network.until_something_is_there()
            verdict = await ask(pool, case, server, way)
            server.go_on.set()
            await server.played.wait()
        if case.reuse == "must not":
            with trio.move_on_after(SETTLING):  # a client that keeps the connection fails below
                await network.until_something_is_there()
        probed = await probe(pool, server)
        figures = pool.statistics()
        assert (figures.leased, figures.idle, figures.dialling, figures.waiting) == (0, 1, 0, 0), figures
        assert figures.stale_retries == 0
    return Outcome(verdict, probed, interims, server)


# ---- the judge ----


def judge(case: Case, way: Way, outcome: Outcome) -> None:
    """Compare what came with what had to come."""
    assert not outcome.server.faults, outcome.server.faults
    assert [request.target for request in outcome.server.received][1:] == [outcome.probe.target]
    asked = outcome.server.received[0]
    assert asked.visit == case.visit
    is_same = outcome.probe.visit == asked.visit
    assert case.reuse == "may" or is_same == (case.reuse == "must"), f"reused: {is_same}, and it {case.reuse} be"
    told = [(event.status_code, tuple(event.headers.multi_items())) for event in _interims(outcome.interims)]
    assert tuple(told) == case.interims or case.error is not None
    kind = case.error_by(way)
    if kind is None:
        _judge_response(case, outcome.verdict)
    else:
        _judge_error(kind, case.says_by(way), outcome.verdict)


def _interims(events: list[Event]) -> Iterator[InterimResponse]:
    for event in events:
        if isinstance(event, InterimResponse):
            yield event


def _judge_response(case: Case, verdict: Verdict) -> None:
    response = verdict.response
    assert response is not None, f"an error instead of a response: {verdict.error!r}"
    assert (response.status_code, response.http_version) == (case.status, case.version)
    assert case.reason is None or response.reason == case.reason
    assert case.headers is None or tuple(response.headers.multi_items()) == case.headers
    if not case.leaves:
        assert verdict.body == case.body
        assert tuple(response.trailers.multi_items()) == case.trailers


def _judge_error(kind: type[TrioPoolError], says: str, verdict: Verdict) -> None:
    error = verdict.error
    assert error is not None, f"a response instead of an error: {verdict.response!r} {verdict.body[:100]!r}"
    assert type(error) is kind, f"not {kind.__name__}: {error!r}"
    assert says in error.what
    assert error.may_have_been_processed
    assert (error.origin is None, error.phase is None, error.elapsed is None) == (False, False, False)
    assert "s3cret" not in str(error), "an error quotes what a server sent"


async def run_case(case: Case, way: Way) -> None:
    """Play a case and judge."""
    judge(case, way, await play(case, way))
