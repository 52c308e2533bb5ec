"""Event streams: they end with their end mark, say how they failed, and cannot hang.

The server in memory sends what a test says when it says so, under a virtual clock that jumps to whatever is due next.
"""

from __future__ import annotations

import copy
import gzip
import json
import math
import pickle
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import chain, count, repeat
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trio.testing

import trio_pool
from trio_pool import (
    Client,
    LimitExceeded,
    Origin,
    PoolConfig,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    Response,
    ServerSentEvent,
    StreamFailed,
    StreamIncomplete,
    Timeouts,
    TotalTimeout,
    TrioPoolError,
    UsageError,
    open_client,
)
from trio_pool._core.dialects import Dialect
from trio_pool._core.outcomes import Kind
from trio_pool._core.permits import Permit
from trio_pool.event_streams import DRAIN_SECONDS, EVENT_TIMEOUT, KEPT, DialectName

from ..providers.server import Script, open_provider
from .network import MemoryStream, ScriptedNetwork, chunk, response
from .upstreams.world import Host, World, assert_at_rest, turnstile

URL = "http://h:8000/a?key=s3cret"
HERE = Origin("http", "h", 8000)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST = chunk(b"")
FIN = b""
COMMENT = chunk(b": still here\n\n")

Step = bytes | float | int


def sse(data: Any, kind: str = "") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return (f"event: {kind}\n" if kind else "").encode() + f"data: {text}\n\n".encode()


def typed(value: dict[str, Any]) -> bytes:
    return sse(value, value["type"])


@attrs.frozen
class Tongue:
    """How one protocol says things.

    :ivar text: an event that is a part of the answer.
    :ivar whole: the events that make the answer whole; the last is the one that says so.
    :ivar failure: an event that says that the stream failed, with this code and this status.
    :ivar has_mark: whether nothing can follow the last event.
    """

    dialect: DialectName
    text: bytes
    whole: list[bytes]
    failure: bytes
    code: str
    status: int
    has_mark: bool = True


TONGUES = {
    "chat": Tongue(
        "openai",
        sse({"choices": [{"delta": {"content": "x"}}]}),
        [sse({"choices": [], "usage": {"total_tokens": 12}}), sse("[DONE]")],
        sse({"error": {"code": "rate_limit_exceeded", "message": "tell nobody"}}),
        "rate_limit_exceeded",
        429,
    ),
    "responses": Tongue(
        "openai",
        typed({"type": "response.output_text.delta", "delta": "x"}),
        [typed({"type": "response.completed", "response": {"usage": {"total_tokens": 12}}})],
        typed({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "tell nobody"}}}),
        "server_error",
        500,
    ),
    "messages": Tongue(
        "anthropic",
        typed({"type": "content_block_delta", "delta": {"text": "x"}}),
        [typed({"type": "message_delta", "usage": {"output_tokens": 12}}), typed({"type": "message_stop"})],
        typed({"type": "error", "error": {"type": "overloaded_error", "message": "tell nobody"}}),
        "overloaded_error",
        529,
    ),
    "gemini": Tongue(
        "google",
        sse({"candidates": [{"content": {"parts": [{"text": "x"}]}}]}),
        [sse({"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"totalTokenCount": 12}})],
        sse({"error": {"status": "UNAVAILABLE", "code": 503, "message": "tell nobody"}}),
        "UNAVAILABLE",
        503,
        has_mark=False,
    ),
}
CHAT, MESSAGES, GEMINI = TONGUES["chat"], TONGUES["messages"], TONGUES["gemini"]
PING = typed({"type": "ping"})
MARKED = [name for name, tongue in TONGUES.items() if tongue.has_mark]
every_tongue = pytest.mark.parametrize("name", TONGUES)
every_mark = pytest.mark.parametrize("name", MARKED)


class Streamed:
    """A response, the client that asked for it, and the server's end of its connection."""

    def __init__(self, client: Client, network: ScriptedNetwork, answer: Response) -> None:
        self.client = client
        self.answer = answer
        self.server: MemoryStream = network.connections[0]
        self.events: list[ServerSentEvent] = []

    async def read(self, *arguments: Any, **options: Any) -> None:
        """Take all events."""
        async for event in self.answer.iter_events(*arguments, **options):
            self.events.append(event)

    @property
    def is_kept(self) -> bool:
        """Whether the connection was kept; it must have been given back."""
        statistics = self.client.pool.statistics()
        assert statistics.leased == 0
        assert (statistics.idle == 1) != self.server.is_closed
        return statistics.idle == 1


async def _serve(stream: MemoryStream, steps: Iterator[Step]) -> None:
    for step in steps:
        if isinstance(step, bytes):
            stream.send(step)
        else:
            await trio.sleep(step)


@asynccontextmanager
async def streamed(
    *steps: Step, head: bytes = HEAD, then: Iterable[Step] = (), config: PoolConfig | None = None, **options: Any
) -> AsyncIterator[Streamed]:
    """A response whose head is there. The steps are what arrives, and seconds in between; each bytes apart."""
    network = ScriptedNetwork([head])
    async with open_client(config or PoolConfig(), network=network) as client:
        async with client.stream("GET", URL, **options) as answer, trio.open_nursery() as nursery:
            nursery.start_soon(_serve, network.connections[0], chain(steps, then))
            yield Streamed(client, network, answer)
            nursery.cancel_scope.cancel()


def chunks(*events: bytes) -> list[bytes]:
    return [chunk(event) for event in events]


def again(times: int, *steps: Step) -> list[Step]:
    return list(steps) * times


# ---- how a stream ends ----


@every_tongue
@pytest.mark.parametrize("cut", [1, 7, 10_000])
async def test_a_stream_is_read_to_its_end_mark_and_its_connection_kept(name: str, cut: int) -> None:
    tongue = TONGUES[name]
    body = tongue.text * 3 + b"".join(tongue.whole)
    pieces = chunks(*(body[start : start + cut] for start in range(0, len(body), cut)))
    async with streamed(*pieces, LAST) as it:
        await it.read(tongue.dialect)
        assert len(it.events) == 3 + len(tongue.whole)
        assert it.is_kept
    async with streamed(*pieces, LAST) as it:
        await it.read(Dialect(tongue.dialect))
        assert it.is_kept


@every_mark
async def test_who_leaves_at_the_end_mark_keeps_the_connection_if_the_rest_is_there(name: str) -> None:
    tongue = TONGUES[name]
    async with streamed(chunk(tongue.text), chunk(tongue.whole[-1]) + LAST) as it:
        events = it.answer.iter_events(tongue.dialect)
        await anext(events)
        await anext(events)
        assert it.is_kept
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        with pytest.raises(StopAsyncIteration):
            await anext(events)


@every_mark
async def test_after_the_end_mark_silence_is_not_waited_for(name: str, autojump_clock: trio.testing.MockClock) -> None:
    tongue = TONGUES[name]
    async with streamed(*chunks(tongue.text, *tongue.whole)) as it:
        await it.read(tongue.dialect, first_event=50, between_events=50)
        assert trio.current_time() == pytest.approx(DRAIN_SECONDS)
        assert it.events[-1].data in tongue.whole[-1].decode()
        assert not it.is_kept


@pytest.mark.parametrize(("seconds", "is_kept"), [(0.09, True), (0.11, False)])
async def test_the_rest_has_a_tenth_of_a_second_to_come(
    seconds: float, is_kept: bool, autojump_clock: trio.testing.MockClock
) -> None:
    async with streamed(*chunks(*CHAT.whole), seconds, LAST) as it:
        await it.read("openai")
        assert it.is_kept == is_kept
        assert trio.current_time() == pytest.approx(min(seconds, DRAIN_SECONDS))


async def test_the_tenth_of_a_second_is_for_all_of_the_rest(autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(*chunks(*CHAT.whole), *again(9, 0.04, chunk(b":\n"))) as it:
        await it.read("openai")
        assert trio.current_time() == pytest.approx(DRAIN_SECONDS)
        assert not it.is_kept


AFTERWARDS = {
    "the end of the connection": [FIN],
    "bytes that mean nothing": [b"nonsense\r\n\r\n"],
    "more than anybody wants": [chunk(b"x" * 50_000)] * 4,
}


@every_mark
@pytest.mark.parametrize("case", AFTERWARDS)
async def test_whatever_follows_the_end_mark_the_stream_was_whole(
    name: str, case: str, autojump_clock: trio.testing.MockClock
) -> None:
    tongue = TONGUES[name]
    async with streamed(*chunks(tongue.text, *tongue.whole), 0.01, *AFTERWARDS[case]) as it:
        await it.read(tongue.dialect)
        assert len(it.events) == 1 + len(tongue.whole)
        assert not it.is_kept


async def test_events_after_the_end_mark_are_nobodys() -> None:
    async with streamed(chunk(b"".join(CHAT.whole) + CHAT.text * 200 + CHAT.failure), chunk(CHAT.text), LAST) as it:
        await it.read("openai")
        assert [event.data for event in it.events[1:]] == ["[DONE]"]
        assert it.is_kept


async def test_a_coding_that_breaks_off_after_the_end_mark_harms_nobody() -> None:
    coder = gzip.compress(b"".join(CHAT.whole))
    head = HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    async with streamed(chunk(coder[:-3]), LAST, head=head) as it:
        await it.read("openai")
        assert len(it.events) == 2
        assert it.is_kept


async def test_google_has_no_end_mark_so_the_end_of_the_body_is_waited_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with streamed(*chunks(GEMINI.text, *GEMINI.whole), 5, chunk(GEMINI.text), LAST) as it:
        await it.read("google")
        assert len(it.events) == 3
        assert it.is_kept
    async with streamed(*chunks(GEMINI.text, *GEMINI.whole), 5, FIN) as it:
        await it.read("google")
        assert not it.is_kept


# ---- streams that are not whole ----


@every_tongue
async def test_a_stream_without_its_end_mark_is_incomplete(name: str) -> None:
    tongue = TONGUES[name]
    async with streamed(*chunks(tongue.text, tongue.text), LAST) as it:
        with pytest.raises(StreamIncomplete, match="ended without its end mark, after 2 events") as caught:
            await it.read(tongue.dialect)
        error = caught.value
        assert (error.count, list(error.received)) == (2, it.events)
        assert (error.origin, error.phase) == (HERE, "reading the response")
        assert error.may_have_been_processed
        assert it.is_kept


@every_tongue
async def test_a_connection_that_ends_before_the_end_mark_is_the_same_with_its_cause(name: str) -> None:
    tongue = TONGUES[name]
    async with streamed(chunk(tongue.text), FIN) as it:
        events = it.answer.iter_events(tongue.dialect)
        it.events.append(await anext(events))
        for _ in range(2):
            with pytest.raises(StreamIncomplete, match="broke off before its end mark: .*, after 1 event ") as caught:
                await anext(events)
            assert list(caught.value.received) == it.events
            assert isinstance(caught.value.__cause__, TrioPoolError)
        assert not it.is_kept


async def test_a_body_that_its_connection_ends_must_have_its_end_mark_too() -> None:
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    async with streamed(CHAT.text, *CHAT.whole, FIN, head=head) as it:
        await it.read("openai")
    async with streamed(CHAT.text, FIN, head=head) as it:
        with pytest.raises(StreamIncomplete):
            await it.read("openai")


async def test_an_event_that_has_only_begun_does_not_count() -> None:
    async with streamed(chunk(CHAT.text), chunk(b"data: [DONE]\n"), LAST) as it:
        with pytest.raises(StreamIncomplete, match="after 1 event "):
            await it.read("openai")


async def test_an_incomplete_stream_of_a_refusal_says_which() -> None:
    head = HEAD.replace(b"200 OK", b"404 Not Found")
    async with streamed(LAST, head=head) as it:
        with pytest.raises(StreamIncomplete, match=r"after 0 events .* It was the answer 404\."):
            await it.read("openai")


async def test_without_a_dialect_no_end_mark_is_asked_for() -> None:
    for arguments in ([], [None], ["upstream"]):
        async with streamed(*chunks(CHAT.text, *CHAT.whole, CHAT.failure), LAST) as it:
            await it.read(*arguments)
            assert len(it.events) == 4
            assert it.is_kept
        async with streamed(chunk(CHAT.text), FIN) as it:
            with pytest.raises(RemoteProtocolError):
                await it.read(*arguments)


async def test_a_stream_that_is_closed_from_elsewhere_is_not_incomplete() -> None:
    async with streamed(chunk(CHAT.text)) as it:
        events = it.answer.iter_events("openai")
        await anext(events)
        it.answer.close()
        with pytest.raises(ReadError, match="closed"):
            await anext(events)


async def test_an_error_carries_a_bounded_part_of_what_came() -> None:
    large = sse("x" * 999)
    async with streamed(*chunks(*[large] * 200), chunk(sse("last")), LAST) as it:
        with pytest.raises(StreamIncomplete) as caught:
            await it.read("openai")
        error = caught.value
        assert error.count == 201
        assert list(error.received) == it.events[-len(error.received) :]
        assert KEPT - 2 * len(large) < len(error.received) * len(large) <= KEPT + len(large)


async def test_the_last_event_is_carried_however_large_it_is() -> None:
    async with streamed(chunk(CHAT.text), chunk(sse("x" * 3 * KEPT)), LAST) as it:
        with pytest.raises(StreamIncomplete) as caught:
            await it.read("openai")
        assert (caught.value.count, list(caught.value.received)) == (2, it.events[1:])


# ---- streams that say that they failed ----


@every_tongue
@pytest.mark.parametrize("rest", ["there", "missing"])
async def test_a_failure_is_told_after_the_events_before_it_and_without_a_wait(
    name: str, rest: str, autojump_clock: trio.testing.MockClock
) -> None:
    tongue = TONGUES[name]
    batch = chunk(tongue.text * 2 + tongue.failure + tongue.text)
    async with streamed(batch + LAST if rest == "there" else batch) as it:
        events = it.answer.iter_events(tongue.dialect)
        it.events += [await anext(events), await anext(events)]
        for _ in range(2):
            with pytest.raises(StreamFailed, match=f"failed with {tongue.code}, after 2 events") as caught:
                await anext(events)
        error = caught.value
        assert error.event is not None
        assert "tell nobody" in error.event.data
        assert "tell nobody" not in str(error) + repr(error)
        assert error.codes == {tongue.code}
        assert (error.status_code, error.retry_after) == (tongue.status, None)
        assert (error.count, list(error.received)) == (2, it.events)
        assert error.origin == HERE
        assert trio.current_time() == 0
        assert it.is_kept == (rest == "there")


async def test_a_failure_tells_when_to_come_back() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "22s"}]
    failure = sse({"error": {"status": "RESOURCE_EXHAUSTED", "code": 429, "details": details}})
    async with streamed(chunk(failure)) as it:
        with pytest.raises(StreamFailed) as caught:
            await it.read("google")
        assert caught.value.retry_after == 22


async def test_a_failure_without_words_is_a_failure() -> None:
    async with streamed(chunk(sse("oops", "error"))) as it:
        with pytest.raises(StreamFailed, match="failed with an error, after 0 events"):
            await it.read("anthropic")


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
async def test_a_copy_of_the_error_carries_the_same(duplicate: Any) -> None:
    async with streamed(chunk(CHAT.text + CHAT.failure)) as it:
        with pytest.raises(StreamFailed) as caught:
            await it.read("openai")
    assert vars(duplicate(caught.value)) == vars(caught.value)


# ---- a body that was read before ----


async def test_a_body_that_was_read_is_judged_too_again_and_again() -> None:
    def fetched(*events: bytes) -> ScriptedNetwork:
        return ScriptedNetwork([response(b"".join(events))])

    async with open_client(network=fetched(CHAT.text, *CHAT.whole, CHAT.text)) as client:
        answer = await client.get(URL)
        for _ in range(2):
            assert len([event async for event in answer.iter_events("openai", first_event=1)]) == 3
    async with open_client(network=fetched(CHAT.text)) as client:
        answer = await client.get(URL)
        for _ in range(2):
            with pytest.raises(StreamIncomplete, match="after 1 event "):
                _ = [event async for event in answer.iter_events("openai")]
    async with open_client(network=fetched(CHAT.text, CHAT.failure)) as client:
        answer = await client.get(URL)
        for _ in range(2):
            with pytest.raises(StreamFailed, match="after 1 event "):
                _ = [event async for event in answer.iter_events("openai")]


# ---- time ----


async def late(it: Streamed, *arguments: Any, **options: Any) -> tuple[float, ReadTimeout]:
    """When reading timed out, and with what; the connection must be gone."""
    with pytest.raises(ReadTimeout) as caught:
        await it.read(*arguments, **options)
    assert caught.value.origin == HERE
    assert not it.is_kept
    return trio.current_time(), caught.value


ALIVE: dict[str, bytes] = {
    "nothing": b"",
    "comments": COMMENT,
    "pings": chunk(PING),
    "events without data": chunk(b"event: a\n\n"),
    "an event that does not end": chunk(b"data: 1\n"),
}
every_sign = pytest.mark.parametrize("sign", ALIVE)


def ever(sign: str) -> Iterator[Step]:
    steps: tuple[Step, ...] = (3.0, ALIVE[sign]) if ALIVE[sign] else (3.0,)
    return chain.from_iterable(repeat(steps))


@every_sign
async def test_the_first_event_must_come_in_time(sign: str, autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(then=ever(sign)) as it:
        at, error = await late(it, "anthropic", first_event=40, between_events=2)
        assert at == pytest.approx(40, abs=0.01)
        assert str(error).startswith(
            "no first event came within 40 s, pings and comments not counted (to http://h:8000"
        )
        assert "Raise first_event" in str(error)


@every_sign
async def test_each_further_event_must_come_in_time(sign: str, autojump_clock: trio.testing.MockClock) -> None:
    events: list[Step] = [20, chunk(MESSAGES.text), 35, chunk(MESSAGES.text)]
    async with streamed(*events, then=ever(sign)) as it:
        at, error = await late(it, "anthropic", first_event=25, between_events=40)
        assert at == pytest.approx(20 + 35 + 40, abs=0.01)
        assert str(error).startswith("no further event came within 40 s")
        assert "Raise between_events" in str(error)


@pytest.mark.parametrize("sign", ["comments", "pings", "events without data"])
async def test_pings_and_comments_count_where_asked_for(sign: str, autojump_clock: trio.testing.MockClock) -> None:
    signs = again(100, 3.0, ALIVE[sign])
    steps: list[Step] = [*signs, chunk(MESSAGES.text), *signs, *chunks(*MESSAGES.whole), LAST]
    async with streamed(*steps) as it:
        await it.read("anthropic", first_event=4, between_events=4, pings_count=True)
        assert it.is_kept
    assert trio.current_time() == pytest.approx(600)
    async with streamed(*signs, 100) as it:
        at, error = await late(it, "anthropic", first_event=4, pings_count=True)
        assert at == pytest.approx(600 + 300 + 4)
        assert str(error).startswith("no first event came within 4 s (")


async def test_an_event_that_does_not_end_counts_in_no_case(autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(then=ever("an event that does not end")) as it:
        at, _ = await late(it, "anthropic", first_event=10, pings_count=True)
        assert at == pytest.approx(10, abs=0.01)


async def test_without_a_dialect_comments_are_told_from_events_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with streamed(*again(5, 4, chunk(PING)), then=ever("comments")) as it:
        at, _ = await late(it, first_event=5, between_events=5)
        assert at == pytest.approx(25)
        assert len(it.events) == 5


async def test_the_time_that_the_caller_takes_is_not_counted(autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(then=ever("pings")) as it:
        with pytest.raises(ReadTimeout):
            async for event in it.answer.iter_events("anthropic", first_event=10):
                it.events.append(event)
                await trio.sleep(2)
        waited = trio.current_time() - 2 * len(it.events)
        assert waited == pytest.approx(10)
        assert len(it.events) > 3


async def test_what_came_while_the_caller_was_busy_is_there_however_late(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with streamed(*chunks(CHAT.text, CHAT.text), 1, *chunks(*CHAT.whole), LAST) as it:
        async for event in it.answer.iter_events("openai", first_event=0.5, between_events=0.5):
            it.events.append(event)
            await trio.sleep(20)
        assert len(it.events) == 4
        assert it.is_kept


async def test_the_clock_begins_anew_after_each_event(autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(*again(20, 9, chunk(CHAT.text)), 9, *chunks(*CHAT.whole), LAST) as it:
        await it.read("openai", first_event=10, between_events=10)
        assert len(it.events) == 22
    assert trio.current_time() == pytest.approx(189)


async def test_a_flood_of_pings_that_never_blocks_is_no_event(mock_clock: trio.testing.MockClock) -> None:
    async with streamed() as it:

        def recv_nowait(_: int) -> bytes:
            mock_clock.jump(0.5)
            return COMMENT

        it.server.recv_nowait = recv_nowait  # type: ignore[method-assign]  # this server never lets go
        at, _ = await late(it, "openai", first_event=20)
        assert 20 <= at <= 22


@pytest.mark.parametrize("dialect", ["openai", "anthropic", "google"])
async def test_with_a_dialect_no_stream_hangs_for_ever(dialect: str, autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(then=ever("comments")) as it:
        at, _ = await late(it, dialect)
        assert at == pytest.approx(EVENT_TIMEOUT)
    async with streamed(chunk(sse("1")), then=ever("comments")) as it:
        at, _ = await late(it, dialect)
        assert at == pytest.approx(2 * EVENT_TIMEOUT)


async def test_without_one_a_stream_may_be_quiet_as_long_as_its_connection_lives(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with streamed(*again(500, 20, COMMENT), chunk(CHAT.text), LAST) as it:
        await it.read()
        assert len(it.events) == 1
    async with streamed(*again(500, 20, COMMENT), chunk(CHAT.text), *chunks(*CHAT.whole), LAST) as it:
        await it.read("openai", first_event=math.inf)
        assert len(it.events) == 3


@pytest.mark.parametrize("arguments", [(), ("openai",)])
async def test_silence_is_bound_by_the_read_timeout(
    arguments: tuple[str, ...], autojump_clock: trio.testing.MockClock
) -> None:
    async with streamed() as it:
        at, error = await late(it, *arguments)
        assert at == pytest.approx(30)
        assert "was silent for 30 s" in str(error)


async def test_what_is_said_for_events_replaces_the_pools_read_timeout(autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(100, chunk(CHAT.text), 20, chunk(CHAT.text)) as it:
        at, error = await late(it, "openai", first_event=200)
        assert at == pytest.approx(100 + 20 + 30)  # of further events nothing was said
        assert "was silent for 30 s" in str(error)


async def test_and_not_the_requests_own(autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(chunk(CHAT.text), timeouts=Timeouts(read=7, total=500)) as it:
        at, error = await late(it, "openai", first_event=200, between_events=200)
        assert at == pytest.approx(7)
        assert "was silent for 7 s" in str(error)
    async with streamed(chunk(CHAT.text), timeouts=Timeouts(total=500)) as it:
        at, _ = await late(it, "openai", first_event=200, between_events=200)
        assert at == pytest.approx(207)


@every_sign
async def test_the_total_timeout_is_over_everything(sign: str, autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(chunk(MESSAGES.text), then=ever(sign), timeouts=Timeouts(total=17)) as it:
        with pytest.raises(TotalTimeout):
            await it.read("anthropic", first_event=math.inf, between_events=math.inf)
        assert trio.current_time() == pytest.approx(17, abs=0.01)
        assert not it.is_kept


async def test_a_total_timeout_after_the_end_mark_harms_nobody(autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(*chunks(*CHAT.whole), timeouts=Timeouts(total=0.05)) as it:
        await it.read("openai")
        assert trio.current_time() == pytest.approx(0.05)
        assert not it.is_kept


async def test_an_event_timeout_again_is_the_same(autojump_clock: trio.testing.MockClock) -> None:
    async with streamed() as it:
        events = it.answer.iter_events("openai", first_event=5)
        for _ in range(2):
            with pytest.raises(ReadTimeout, match="no first event"):
                await anext(events)


# ---- bounds, and what cannot be ----


@pytest.mark.parametrize("arguments", [(), ("openai",)])
async def test_an_event_has_the_bound_that_was_asked_for(arguments: tuple[str, ...]) -> None:
    async with streamed(chunk(sse("x" * 100)), *chunks(*CHAT.whole), LAST) as it:
        await it.read(*arguments, max_event_bytes=120)
        assert len(it.events) == 3
    async with streamed(chunk(sse("1")), chunk(sse("x" * 130)), LAST) as it:
        with pytest.raises(LimitExceeded, match="more than 120 bytes"):
            await it.read(*arguments, max_event_bytes=120)
        assert len(it.events) == 1
    async with streamed(then=repeat(chunk(b"data: " + b"x" * 1000 + b"\n"), 5000)) as it:
        with pytest.raises(LimitExceeded):
            await it.read(*arguments)
        assert not it.is_kept


NONSENSE: list[tuple[dict[str, Any], str]] = [
    (
        {"dialect": "klingon"},
        "dialect must be one of 'openai', 'anthropic', 'google', 'upstream' or None, not 'klingon'",
    ),
    ({"first_event": 0}, "first_event must be a positive number"),
    ({"first_event": math.nan}, "first_event must be"),
    ({"between_events": -1}, "between_events must be"),
    ({"between_events": "5"}, "between_events must be"),
    ({"between_events": True}, "between_events must be"),
    ({"max_event_bytes": 0}, "max_event_bytes must be"),
]


@pytest.mark.parametrize(("options", "words"), NONSENSE, ids=[words for _, words in NONSENSE])
async def test_nonsense_is_refused_before_the_body_is_touched(options: dict[str, Any], words: str) -> None:
    async with streamed(*chunks(CHAT.text, *CHAT.whole), LAST) as it:
        with pytest.raises(UsageError, match=words):
            it.answer.iter_events(**options)
        await it.read("openai")
        assert len(it.events) == 3


# ---- leaving ----


async def test_a_break_in_the_middle_costs_the_connection_unless_the_rest_is_there() -> None:
    async with streamed(chunk(CHAT.text)) as it:
        async for _ in it.answer.iter_events("openai"):
            break
        it.answer.close()
        assert not it.is_kept
    async with streamed(*chunks(CHAT.text, *CHAT.whole), LAST) as it:
        async for _ in it.answer.iter_events("openai"):
            await trio.testing.wait_all_tasks_blocked()
            break
        it.answer.close()
        assert it.is_kept


SCENES: dict[str, list[Step]] = {
    "a whole stream": [
        1,
        chunk(PING),
        1,
        chunk(MESSAGES.text * 2),
        1,
        COMMENT,
        1,
        *chunks(*MESSAGES.whole),
        0.05,
        LAST,
    ],
    "silence after the end mark": [1, chunk(MESSAGES.text), 1, *chunks(*MESSAGES.whole), 50],
    "a failure": [1, chunk(MESSAGES.text), 1, chunk(MESSAGES.failure), 50],
    "an end without an end mark": [1, chunk(MESSAGES.text), 1, FIN],
    "pings for ever": [1, chunk(MESSAGES.text), *again(30, 1, chunk(PING))],
}


class CancelAt(trio.abc.Instrument):
    """Cancels a scope after the reader's k-th step."""

    def __init__(self, step: int) -> None:
        self.scope = trio.CancelScope()
        self.reader: trio.lowlevel.Task | None = None
        self.left = step

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self.reader:
            self.left -= 1
            if self.left == 0:
                self.scope.cancel()


async def _read_under(instrument: CancelAt, scene: str) -> None:
    async with streamed(*SCENES[scene]) as it:
        instrument.reader = trio.lowlevel.current_task()
        try:
            with instrument.scope:
                await it.read("anthropic", first_event=5, between_events=5)
        except TrioPoolError:
            pass
        instrument.reader = None
        it.answer.close()
        statistics = it.client.pool.statistics()
        assert (statistics.leased, statistics.dialling) == (0, 0)
        assert (statistics.idle == 1) != it.server.is_closed
        if instrument.scope.cancelled_caught:
            assert statistics.idle == 0


@pytest.mark.parametrize("scene", SCENES)
def test_a_reader_that_is_cancelled_at_any_step_leaves_nothing(scene: str) -> None:
    cancelled = 0
    for step in count(1):
        instrument = CancelAt(step)
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(_read_under, instrument, scene, clock=clock, instruments=[instrument])
        if instrument.left > 0:
            break
        cancelled += instrument.scope.cancelled_caught
    assert cancelled >= 2


async def test_a_cancellation_in_the_drain_is_a_cancellation(autojump_clock: trio.testing.MockClock) -> None:
    async with streamed(*chunks(*CHAT.whole)) as it:
        with trio.move_on_after(0.05) as scope:
            await it.read("openai")
        assert scope.cancelled_caught
        assert len(it.events) == 2
        assert not it.is_kept


async def test_two_tasks_cannot_read_one_stream() -> None:
    async with streamed(chunk(CHAT.text)) as it:
        events = it.answer.iter_events("openai")
        await anext(events)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(anext, events)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(UsageError, match="two tasks"):
                await anext(events)
            nursery.cancel_scope.cancel()


# ---- upstreams ----


def reply(*events: bytes) -> list[bytes]:
    """A stream of these events, with a proper end."""
    return [HEAD, *chunks(*events), LAST]


@pytest.mark.parametrize(("provider", "name"), [("openai", "chat"), ("anthropic", "messages"), ("google", "gemini")])
async def test_a_stream_from_an_upstream_is_judged_by_its_providers_dialect(provider: str, name: str) -> None:
    tongue = TONGUES[name]
    world = World(Host(reply(tongue.text, *tongue.whole), reply(tongue.text), reply(tongue.text)))
    async with world.open({"provider": provider}) as client:
        async with client.stream("POST", "x") as answer:
            assert len([event async for event in answer.iter_events()]) == 1 + len(tongue.whole)
        async with client.stream("POST", "x") as answer:
            with pytest.raises(StreamIncomplete) as caught:
                _ = [event async for event in answer.iter_events()]
            assert [attempt.upstream for attempt in caught.value.attempts] == ["a"]
        async with client.stream("POST", "x") as answer:
            assert len([event async for event in answer.iter_events(None)]) == 1
        assert_at_rest(client)


ENDINGS: dict[str, tuple[list[bytes], Kind]] = {
    "whole": (reply(CHAT.text, *CHAT.whole), Kind.SERVED),
    "abandoned after its end": ([HEAD, *chunks(CHAT.text, *CHAT.whole)], Kind.SERVED),
    "broken after its end": ([HEAD, *chunks(CHAT.text, *CHAT.whole), FIN], Kind.SERVED),
    "without its end mark": (reply(CHAT.text), Kind.BROKEN),
    "broken off": ([HEAD, chunk(CHAT.text), FIN], Kind.BROKEN),
    "failed": (reply(CHAT.text, CHAT.failure), Kind.LIMITED),
    "overloaded": (reply(CHAT.text, b'data: {"error": {"code": "server_is_overloaded"}}\n\n'), Kind.OVERLOADED),
    "left": ([HEAD, *[chunk(CHAT.text)] * 3], Kind.OURS),
    "silent": ([HEAD, chunk(CHAT.text)], Kind.BROKEN),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_what_came_of_a_stream_is_told_to_its_upstream(
    ending: str, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces, kind = ENDINGS[ending]
    world = World(Host(pieces))
    async with world.open({"provider": "openai"}) as client:
        kinds: list[Kind] = []
        ended = turnstile(client).ended

        def note(permit: Permit, kind: Kind, wait: float | None = None) -> None:
            kinds.append(kind)
            ended(permit, kind, wait)

        monkeypatch.setattr(turnstile(client), "ended", note)
        async with client.stream("POST", "x") as answer:
            try:
                async for _ in answer.iter_events():
                    if ending == "left":
                        break
            except TrioPoolError:
                pass
        assert kinds == [kind]
        assert_at_rest(client)


@pytest.mark.parametrize("name", TONGUES)
async def test_the_tokens_that_a_stream_used_are_charged(name: str, autojump_clock: trio.testing.MockClock) -> None:
    tongue = TONGUES[name]
    world = World(Host(reply(tongue.text, *tongue.whole)))
    async with world.open({"provider": tongue.dialect, "tokens_per_minute": 6000.0}) as client:
        bucket = turnstile(client).group.members[0].limiter.tokens
        before = bucket.level
        async with client.stream("POST", "x", json={"messages": "y" * 4000}) as answer:
            assert bucket.level < before - 100
            _ = [event async for event in answer.iter_events()]
        assert bucket.level == pytest.approx(before - 12)


# ---- over real sockets ----

ASKED: dict[str, tuple[str, dict[str, Any], DialectName]] = {
    "chat": ("/chat/completions", {"messages": [{"role": "user", "content": "a b c"}]}, "openai"),
    "responses": ("/responses", {"input": "a b c"}, "openai"),
    "messages": ("/messages", {"messages": [{"role": "user", "content": "a b c"}]}, "anthropic"),
    "gemini": ("/m:streamGenerateContent", {"contents": [{"parts": [{"text": "a b c"}]}]}, "google"),
}


@every_tongue
async def test_over_real_sockets_each_protocol_ends_and_dies_as_it_does(name: str) -> None:
    path, body, dialect = ASKED[name]
    async with open_provider() as server, open_client() as client:
        server.script(Script(), Script(dies_after=3), Script(dies_after=0))
        url = server.url + path
        async with client.stream("POST", url, json={**body, "stream": True}) as answer:
            events = [event async for event in answer.iter_events(dialect, first_event=60)]
        assert "a" in "".join(event.data for event in events)
        assert client.pool.statistics().idle == 1
        for most in (3, 0):
            async with client.stream("POST", url, json={**body, "stream": True}) as answer:
                with pytest.raises(StreamIncomplete) as caught:
                    _ = [event async for event in answer.iter_events(dialect)]
                assert caught.value.count <= most
                assert list(caught.value.received) == events[: caught.value.count]
        assert client.pool.statistics().leased == 0


# ---- docs/streams.md ----


async def test_the_page_on_streams_does_what_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(trio_pool.__file__).parent.parent / "docs" / "streams.md").read_text(encoding="utf-8")
    space: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        exec(compile(block, "docs/streams.md", "exec"), space)
    async with open_provider() as server, open_client() as client:
        server.script(Script(), Script(dies_after=3))
        url = server.url + "/chat/completions"
        said = await space["answer"](client, url, "who is there")
        assert said[-1] == "[DONE]"
        assert capsys.readouterr().out == ""
        assert len(await space["answer"](client, url, "who is there")) <= 3
        assert capsys.readouterr().out.startswith("cut off after ")
    network = ScriptedNetwork([[HEAD, chunk(CHAT.failure)]])
    async with open_client(network=network) as client:
        assert await space["answer"](client, URL, "who is there") == []
    assert "tell nobody" in capsys.readouterr().out
