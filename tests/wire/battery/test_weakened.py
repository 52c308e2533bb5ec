"""The tests of the tests: a client that is weakened in one place fails the case that is there for it."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable
from typing import Any

import attrs
import h11
import pytest

from trio_pool import PoolConfig, TrioPoolError, response
from trio_pool._net import exchange, upload
from trio_pool._net.connection import Connection
from trio_pool._net.exchange import Exchange
from trio_pool._net.tls import TLSStream
from trio_pool._wire import decoding, fast_codec, h11_codec
from trio_pool._wire.chunks import ChunkGuard
from trio_pool._wire.events import ENDED, End, Violation
from trio_pool._wire.fast_codec import FastCodec
from trio_pool._wire.h11_codec import H11Codec

from . import harness, test_ends, test_stale
from .case import CONFIG, CUT, END, Case, Way
from .harness import run_case
from .test_battery import CASES

NAMED = {case.name: case for case in CASES}
TCP, TLS = Way(tls=False, bytewise=False), Way(tls=True, bytewise=False)
DRIP = Way(tls=False, bytewise=True)
HURRY = PoolConfig(max_connections=1, read_timeout=0.2, write_timeout=0.2)
"""Many a weakness is seen by an answer that never comes."""
Weaken = Callable[[pytest.MonkeyPatch], None]


def always_keeps(patch: pytest.MonkeyPatch) -> None:
    """No codec minds what is left over, or that somebody said close."""
    whole = H11Codec._end

    def fast_end(self: FastCodec, has_surplus: bool) -> End:
        ended(self, False)
        self._is_ready = True
        return ENDED

    ended = FastCodec._end
    patch.setattr(FastCodec, "_end", fast_end)

    def end(self: H11Codec, event: h11.EndOfMessage) -> End | Violation:
        found = whole(self, event)
        return End(found.trailers, keeps=True) if isinstance(found, End) else found

    patch.setattr(H11Codec, "_end", end)


def minds_no_chunk_line(patch: pytest.MonkeyPatch) -> None:
    """h11 alone reads chunks."""
    patch.setattr(ChunkGuard, "check", lambda *_: None)


def takes_any_version(patch: pytest.MonkeyPatch) -> None:
    """h11 alone reads heads."""
    patch.setattr(H11Codec, "_fault", lambda *_: None)


def looks_at_no_idle_connection(patch: pytest.MonkeyPatch) -> None:
    """No freshness check."""
    create = Connection.__init__

    def init(self: Connection, *arguments: Any) -> None:
        create(self, *arguments)
        self.is_dead = lambda: False

    patch.setattr(Connection, "__init__", init)


def sees_no_ambiguity(patch: pytest.MonkeyPatch) -> None:
    """Two framings are as good as one."""
    read = h11_codec._read_head

    def read_head(*arguments: Any) -> Any:
        found, _, *rest = read(*arguments)
        return (found, False, *rest)

    patch.setattr(h11_codec, "_read_head", read_head)


def hears_no_close(patch: pytest.MonkeyPatch) -> None:
    """Nobody's close is heard."""
    patch.setattr(fast_codec, "says_close", lambda _: False)
    patch.setattr("h11._connection._keep_alive", lambda _: True)


def listens_for_ever(patch: pytest.MonkeyPatch) -> None:
    """Interim responses without bound."""
    patch.setattr(exchange, "MAX_INTERIM", math.inf)


def takes_any_end_of_tls(patch: pytest.MonkeyPatch) -> None:
    """An end without close_notify is an end."""
    receive = TLSStream.recv_nowait

    def recv_nowait(self: TLSStream, max_bytes: int) -> bytes:
        try:
            return receive(self, max_bytes)
        except ssl.SSLEOFError:
            return b""

    patch.setattr(TLSStream, "recv_nowait", recv_nowait)


def undoes_any_number(patch: pytest.MonkeyPatch) -> None:
    """Codings without bound."""
    patch.setattr(decoding, "MAX_CODINGS", 1000)


def undoes_what_is_not_there(patch: pytest.MonkeyPatch) -> None:
    """A truncated body is a body."""
    patch.setattr(decoding.Decoder, "finish", lambda _: None)


def undoes_without_bound(patch: pytest.MonkeyPatch) -> None:
    """A bomb is a body."""

    async def decode(self: response.Response, decoder: decoding.Decoder, raw: bytes) -> bytes:
        return b"".join(decoder.feed(raw))

    patch.setattr(response.Response, "_decode", decode)


def forgets_what_it_did_not_send(patch: pytest.MonkeyPatch) -> None:
    """A connection is good when the response was."""
    note = Exchange._note_end

    def note_end(self: Exchange, end: End) -> None:
        self._sent_all = True
        note(self, end)

    patch.setattr(Exchange, "_note_end", note_end)


def asks_nobody(patch: pytest.MonkeyPatch) -> None:
    """A body goes out whatever the server is expected to say."""

    async def may_continue(_: Exchange) -> bool:
        return True

    patch.setattr(Exchange, "_may_continue", may_continue)


def sends_to_the_end(patch: pytest.MonkeyPatch) -> None:
    """An early answer stops nothing."""
    take = upload._Upload._take

    async def take_on(self: Any, data: bytes) -> bool:
        return await take(self, data) and not data

    patch.setattr(upload._Upload, "_take", take_on)


def tells_nobody(patch: pytest.MonkeyPatch) -> None:
    """Observers hear of nothing."""
    patch.setattr(Exchange, "_note_interim", lambda *_: None)


def repeats_anything(patch: pytest.MonkeyPatch) -> None:
    """Every method is idempotent."""
    patch.setattr(exchange, "IDEMPOTENT_METHODS", {"POST", "PATCH"})


WEAKNESSES: list[tuple[Weaken, str, Way]] = [
    (always_keeps, "a length, and a response behind it", TCP),
    (always_keeps, "a length, and a letter behind it", TCP),
    (always_keeps, "a HEAD and a body behind it", TLS),
    (always_keeps, "chunks, and a line end behind it", TLS),
    (minds_no_chunk_line, "a chunk size with a bare CR in an extension", TCP),
    (minds_no_chunk_line, "a chunk size with a NUL in an extension", DRIP),
    (minds_no_chunk_line, "a chunk size with 17 digits that overflow", TCP),
    (minds_no_chunk_line, "an extension over 4,096 bytes", TCP),
    (takes_any_version, "version 'HTTP/2.0'", TCP),
    (takes_any_version, "version 'HTTP/1.2'", TLS),
    (looks_at_no_idle_connection, "a length, and a response later", TCP),
    (looks_at_no_idle_connection, "a length, and a response later", TLS),
    (looks_at_no_idle_connection, "a 204 and a last chunk later", TCP),
    (looks_at_no_idle_connection, "a response and another in one segment", TLS),
    (looks_at_no_idle_connection, "before the first request: a response", TCP),
    (sees_no_ambiguity, "chunked and a length", TCP),
    (hears_no_close, "the server says close between others", TCP),
    (hears_no_close, "we say close", TCP),
    (listens_for_ever, "101 interim responses", TCP),
    (undoes_any_number, "refused: thirty codings", TCP),
    (undoes_any_number, "refused: six codings by six fields", TCP),
    (undoes_what_is_not_there, "refused: gzip without its checksum", TCP),
    (undoes_what_is_not_there, "refused: half of gzip", DRIP),
    (undoes_without_bound, "refused: a bomb", TCP),
    (forgets_what_it_did_not_send, "a 413 before the end of a large body", TCP),
    (forgets_what_it_did_not_send, "a body is answered by 417, a small body", TCP),
    (asks_nobody, "a body is answered by 417, a small body", TCP),
    (asks_nobody, "a body is asked for, a small streamed body", TLS),
    (sends_to_the_end, "a 413 before the end of a large body", TCP),
    (tells_nobody, "a 103 with links", TCP),
]


@pytest.mark.parametrize(
    ("weaken", "name", "way"), WEAKNESSES, ids=[f"{weaken.__name__}-{name}" for weaken, name, _ in WEAKNESSES]
)
async def test_a_weakened_client_is_caught(
    weaken: Weaken, name: str, way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    weaken(monkeypatch)
    await caught(NAMED[name], way, monkeypatch)


async def caught(case: Case, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    """See the case fail: by a wrong verdict, or because the probe got no answer."""
    monkeypatch.setattr(harness, "SETTLING", 0.05)
    hurried = attrs.evolve(case, config=HURRY) if case.config is CONFIG else case
    with pytest.raises((AssertionError, TrioPoolError)):
        await run_case(hurried, way)


async def test_a_truncated_body_over_tls_is_missed_by_a_client_that_takes_any_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    takes_any_end_of_tls(monkeypatch)
    place = len(test_ends.REPLIES["to the end"]) - 2
    await caught(test_ends.cut_at("to the end", place, CUT, tls=True), TLS, monkeypatch)


async def test_a_request_that_is_done_twice_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    repeats_anything(monkeypatch)
    story = await test_stale.second_request(test_stale.case_of("POST", END, content=b"body"), TCP)
    assert len(story.sent) == 2
