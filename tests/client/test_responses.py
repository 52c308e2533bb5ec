"""What a caller reads: the head, the body whole and in pieces, and what happens to the connection."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from trio_pool import (
    Client,
    DecodingError,
    Headers,
    LimitExceeded,
    Origin,
    PoolConfig,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    Response,
    ServerSentEvent,
    StatusError,
    Timeouts,
    TotalTimeout,
    TrioPoolError,
    UsageError,
    open_client,
)

from .network import Reply, ScriptedNetwork, chunk, response

URL = "http://h:8000/a?key=secret"
HERE = Origin("http", "h", 8000)
ONCE = PoolConfig(retry_attempts=1)  # what comes is shown as it is


class Asked:
    """A response, the client that asked for it, and the connection that it came over."""

    def __init__(self, client: Client, network: ScriptedNetwork, answer: Response) -> None:
        self.client = client
        self.network = network
        self.answer = answer

    @property
    def connection_is_kept(self) -> bool:
        statistics = self.client.pool.statistics()
        assert statistics.leased == 0
        assert (statistics.idle == 1) != self.network.connections[0].is_closed
        return statistics.idle == 1


@asynccontextmanager
async def asked(reply: Reply, method: str = "GET", **options: Any) -> AsyncIterator[Asked]:
    network = ScriptedNetwork([reply])
    async with open_client(ONCE, network=network) as client, client.stream(method, URL, **options) as answer:
        yield Asked(client, network, answer)


async def fetch(reply: Reply, method: str = "GET", **options: Any) -> Response:
    """A response that was read whole."""
    async with open_client(ONCE, network=ScriptedNetwork([reply])) as client:
        return await client.request(method, URL, **options)


# ---- the head ----


async def test_the_head_is_there_before_the_body() -> None:
    async with asked(response(b"", "X-One: 1", "x-one: 2", status="201 Made", length=5)) as it:
        answer = it.answer
        assert (answer.status_code, answer.reason, answer.http_version) == (201, "Made", "HTTP/1.1")
        assert answer.headers.multi_items() == [("Content-Length", "5"), ("X-One", "1"), ("x-one", "2")]
        assert answer.headers["x-ONE"] == "1, 2"
        assert answer.request.method == "GET"
        assert answer.url == URL
        assert not answer.is_closed
        assert repr(answer) == "<Response 201 Made from http://h:8000>"


async def test_a_reason_may_be_missing() -> None:
    answer = await fetch(b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n")
    assert (answer.status_code, answer.reason) == (200, "")


async def test_an_old_version_is_told_and_its_connection_not_kept() -> None:
    async with asked([b"HTTP/1.0 200 OK\r\n\r\nabc", b""]) as it:
        assert it.answer.http_version == "HTTP/1.0"
        assert await it.answer.read() == b"abc"
        assert not it.connection_is_kept


@pytest.mark.parametrize("status", ["200 OK", "204 No Content", "301 Moved", "304 Not Modified", "399 Odd"])
async def test_a_status_below_400_is_no_error(status: str) -> None:
    reply = f"HTTP/1.1 {status}\r\n{'' if status[:3] in ('204', '304') else 'Content-Length: 0'}\r\n\r\n".encode()
    answer = await fetch(reply.replace(b"\r\n\r\n\r\n", b"\r\n\r\n"))
    assert answer.raise_for_status() is answer


@pytest.mark.parametrize("status", ["400 Bad", "404 Not Found", "500 Oh", "599 Odd", "429"])
async def test_a_status_from_400_is_an_error_when_asked_for(status: str) -> None:
    answer = await fetch(response(b"the body", status=status))
    with pytest.raises(StatusError) as caught:
        answer.raise_for_status()
    error = caught.value
    assert error.status_code == answer.status_code == int(status[:3])
    assert str(error).startswith(f"the server answered {status} (to http://h:8000)")
    assert error.origin == HERE
    assert error.may_have_been_processed
    assert "secret" not in str(error)
    assert answer.content == b"the body"


async def test_interim_responses_are_passed_over() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
    answer = await fetch([hints, b"HTTP/1.1 100 Continue\r\n\r\n" + hints, response(b"abc")])
    assert answer.content == b"abc"
    assert "link" not in answer.headers


# ---- the body, whole ----


async def test_a_body_is_read_once_and_kept() -> None:
    async with asked([response(b"ab", length=5), b"cde"]) as it:
        assert await it.answer.read() == b"abcde"
        assert it.connection_is_kept
        assert it.answer.is_closed
        assert await it.answer.read() == b"abcde"
        assert it.answer.content == b"abcde"
        it.answer.close()
        assert await it.answer.read() == b"abcde"


async def test_what_get_gives_was_read() -> None:
    answer = await fetch(response(b"abc"))
    assert answer.is_closed
    assert (answer.content, answer.text) == (b"abc", "abc")


@pytest.mark.parametrize("ask_for", ["content", "text", "json"])
async def test_a_body_that_was_not_read_cannot_be_had(ask_for: str) -> None:
    async with asked(response(b"{}")) as it:
        with pytest.raises(UsageError, match=r"has not been read: await response\.read\(\) first"):
            _ = it.answer.json() if ask_for == "json" else getattr(it.answer, ask_for)


@pytest.mark.parametrize(
    ("media_type", "body", "charset", "text"),
    [
        (None, "é€".encode(), "utf-8", "é€"),
        ("text/plain", b"\xff", "utf-8", "\ufffd"),
        ("text/plain; charset=iso-8859-1", b"\xe9", "iso8859-1", "é"),
        ("text/plain; charset=LATIN1", b"\xe9", "iso8859-1", "é"),
        ('text/plain; charset="utf-16"', "é".encode("utf-16"), "utf-16", "é"),
        ("text/plain;Charset = utf-8", "é".encode(), "utf-8", "é"),
        ("text/plain; charset=utf-8; x=y", "é".encode(), "utf-8", "é"),
        ("text/plain; charset=klingon", "é".encode(), "utf-8", "é"),
        ("text/plain; charset=hex", b"ab", "utf-8", "ab"),
        ("text/plain; charset=", b"ab", "utf-8", "ab"),
    ],
)
async def test_text_is_decoded_by_its_charset(media_type: str | None, body: bytes, charset: str, text: str) -> None:
    fields = [] if media_type is None else [f"Content-Type: {media_type}"]
    answer = await fetch(response(body, *fields))
    assert answer.charset == charset
    assert answer.text == text


@pytest.mark.parametrize("body", [b'{"a":[1,null,"\xc3\xa9"]}', '{"a":[1,null,"é"]}'.encode("utf-16"), b"5", b'"x"'])
async def test_json_is_read_in_every_encoding_that_it_may_have(body: bytes) -> None:
    answer = await fetch(response(body))
    assert answer.json() in ({"a": [1, None, "é"]}, 5, "x")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"secret", b"\xff\xfe\xfd", b"[1] 2", b"1" * 5000, b"[" * 200_000], ids=lambda body: body[:9]
)
async def test_what_is_no_json_is_a_decoding_error_that_does_not_tell_the_body(body: bytes) -> None:
    answer = await fetch(response(body))
    with pytest.raises(DecodingError, match=f"in {len(body)} bytes") as caught:
        answer.json()
    assert isinstance(caught.value, ValueError)
    assert caught.value.origin == HERE
    assert "secret" not in str(caught.value)


# ---- the body, piece by piece ----

PIECES = [response(b"ab", length=6), b"cd", b"ef"]
Iterate = Callable[[Response], Any]
WAYS: dict[str, tuple[Iterate, list[Any]]] = {
    "raw": (Response.iter_raw, [b"ab", b"cd", b"ef"]),
    "bytes": (Response.iter_bytes, [b"ab", b"cd", b"ef"]),
    "lines": (Response.iter_lines, ["abcdef"]),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_body_comes_as_it_is_received_and_the_connection_is_kept(way: str) -> None:
    iterate, expected = WAYS[way]
    async with asked(PIECES) as it:
        assert [piece async for piece in iterate(it.answer)] == expected
        assert it.connection_is_kept


@pytest.mark.parametrize("way", ["bytes", "lines"])
async def test_a_body_that_was_read_can_be_iterated_again_and_again(way: str) -> None:
    iterate, _ = WAYS[way]
    answer = await fetch(PIECES)
    for _ in range(2):
        assert [piece async for piece in iterate(answer)] == (["abcdef"] if way == "lines" else [b"abcdef"])


async def test_an_empty_body_has_no_pieces() -> None:
    for iterate, _ in WAYS.values():
        async with asked(response()) as it:
            assert [piece async for piece in iterate(it.answer)] == []
            assert it.connection_is_kept
    answer = await fetch(response())
    assert [piece async for piece in answer.iter_bytes()] == []


async def test_lines_end_in_every_way_and_anywhere() -> None:
    body = "a\r\nb\rc\n\né\u2028f".encode()
    replies = [response(b"", length=len(body)), *(bytes([byte]) for byte in body)]
    async with asked(replies) as it:
        assert [line async for line in it.answer.iter_lines()] == ["a", "b", "c", "", "é\u2028f"]
        assert it.connection_is_kept


async def test_lines_have_the_charset_of_the_body() -> None:
    async with asked(response("é\nü".encode("utf-16"), "Content-Type: text/plain; charset=utf-16")) as it:
        assert [line async for line in it.answer.iter_lines()] == ["é", "ü"]


EVENTS = b": hello\n\nevent: a\ndata: 1\ndata: 2\nid: 7\n\ndata: 3\nretry: 50\n\ndata: never ended"
EXPECTED = [ServerSentEvent("a", "1\n2", "7", None), ServerSentEvent("message", "3", "7", 50)]


async def test_events_come_whole_however_they_are_cut() -> None:
    async with asked([response(b"", length=len(EVENTS)), *(bytes([byte]) for byte in EVENTS)]) as it:
        assert [event async for event in it.answer.iter_events()] == EXPECTED
        assert it.connection_is_kept
    answer = await fetch(response(EVENTS))
    assert [event async for event in answer.iter_events()] == EXPECTED


async def test_an_event_that_is_too_large_is_an_error_with_its_origin_and_the_connection_is_gone() -> None:
    body = b"data: 1\n\ndata: " + b"x" * 1_100_000
    async with asked([response(b"", length=2_000_000), body]) as it:
        events = it.answer.iter_events()
        assert (await anext(events)).data == "1"
        with pytest.raises(LimitExceeded) as caught:
            await anext(events)
        assert caught.value.origin == HERE
        assert not it.connection_is_kept


async def test_an_event_that_is_too_large_is_the_same_error_after_reading() -> None:
    answer = await fetch(response(b"data: 1\n\ndata: " + b"x" * 1_100_000))
    events = answer.iter_events()
    assert (await anext(events)).data == "1"
    with pytest.raises(LimitExceeded) as caught:
        await anext(events)
    assert caught.value.origin == HERE


async def test_trailers_are_there_at_the_end_and_apart() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Sum\r\n\r\n"
    async with asked([head, chunk(b"abc"), b"0\r\nSum: 5\r\nSum: 6\r\n\r\n"]) as it:
        assert it.answer.trailers.raw == []
        assert await it.answer.read() == b"abc"
        assert it.answer.trailers.multi_items() == [("Sum", "5"), ("Sum", "6")]
        assert isinstance(it.answer.trailers, Headers)
        assert "sum" not in it.answer.headers


async def test_a_large_body_comes_in_bounded_pieces() -> None:
    body = bytes(range(256)) * 8192
    async with asked(response(body)) as it:
        pieces = [piece async for piece in it.answer.iter_bytes()]
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= 262_144


# ---- used wrongly ----

READ = "was read already"
CLOSED = "is closed"


async def consume(iterator: Any) -> list[Any]:
    return [piece async for piece in iterator]


AGAIN: dict[str, Callable[[Response], Any]] = {
    "read": lambda answer: answer.read(),
    "iter_raw": lambda answer: consume(answer.iter_raw()),
    "iter_bytes": lambda answer: consume(answer.iter_bytes()),
    "iter_lines": lambda answer: consume(answer.iter_lines()),
    "iter_events": lambda answer: consume(answer.iter_events()),
}


@pytest.mark.parametrize("again", AGAIN)
@pytest.mark.parametrize("first", ["iter_raw", "iter_bytes", "iter_lines", "iter_events"])
async def test_a_body_that_was_streamed_is_gone(first: str, again: str) -> None:
    async with asked(PIECES) as it:
        await AGAIN[first](it.answer)
        with pytest.raises(UsageError, match=READ) as caught:
            await AGAIN[again](it.answer)
        assert caught.value.origin == HERE
        assert it.connection_is_kept


@pytest.mark.parametrize("again", AGAIN)
async def test_a_response_that_was_closed_is_gone(again: str) -> None:
    async with asked(PIECES) as it:
        it.answer.close()
        with pytest.raises(UsageError, match=CLOSED):
            await AGAIN[again](it.answer)
        assert it.answer.status_code == 200
        assert it.answer.headers["content-length"] == "6"


async def test_the_body_as_it_came_cannot_be_had_after_reading() -> None:
    answer = await fetch(PIECES)
    with pytest.raises(UsageError, match=READ):
        await consume(answer.iter_raw())


@pytest.mark.parametrize("again", AGAIN)
async def test_a_body_that_broke_is_gone(again: str) -> None:
    async with asked([response(b"ab", length=5), b""]) as it:
        with pytest.raises(RemoteProtocolError):
            await it.answer.read()
        with pytest.raises(UsageError):
            await AGAIN[again](it.answer)
        assert not it.connection_is_kept


async def test_two_tasks_cannot_read_one_response() -> None:
    async with asked(response(b"ab", length=5)) as it:
        pieces = it.answer.iter_bytes()
        assert await anext(pieces) == b"ab"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(anext, pieces)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(UsageError, match="two tasks"):
                await anext(pieces)
            it.network.connections[0].send(b"cde")
        assert await consume(pieces) == []


# ---- leaving ----


async def test_leaving_a_body_that_is_there_keeps_the_connection() -> None:
    async with asked(response(b"abc")) as it:
        it.answer.close()
        assert it.connection_is_kept
        it.answer.close()
        assert it.connection_is_kept


async def test_leaving_a_body_that_is_not_there_closes_the_connection() -> None:
    async with asked(response(b"abc", length=5)) as it:
        it.answer.close()
        assert not it.connection_is_kept
        assert it.answer.is_closed


async def test_leaving_a_body_that_is_too_much_to_drain_closes_the_connection() -> None:
    async with asked(response(b"x" * 300_000)) as it:
        it.answer.close()
        assert not it.connection_is_kept


async def test_a_break_out_of_a_loop_and_the_block_ends_in_time() -> None:
    network = ScriptedNetwork([[*PIECES]])
    async with open_client(network=network) as client:
        async with client.stream("GET", URL) as answer:
            async for piece in answer.iter_bytes():
                assert piece == b"ab"
                break
        assert answer.is_closed
        assert client.pool.statistics().idle == 1  # the rest was there


class Broken(Exception):
    pass


async def test_what_the_callers_block_raises_comes_out_as_itself() -> None:
    network = ScriptedNetwork([response(b"abc", length=5)])
    async with open_client(network=network) as client:
        with pytest.raises(Broken):
            async with client.stream("GET", URL):
                raise Broken
        assert client.pool.statistics().leased == 0
        assert network.connections[0].is_closed


# ---- content codings ----

TEXT = b"the quick brown fox " * 5000


@pytest.mark.parametrize("size", [1, 7, 1000, 10**6])
@pytest.mark.parametrize(
    ("coding", "encoded"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT)),
        ("GZIP", gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)[2:-4]),
        ("deflate, gzip", gzip.compress(zlib.compress(TEXT))),
        ("identity", TEXT[:500]),
    ],
    ids=["gzip", "x-gzip", "members", "zlib", "deflate", "twice", "identity"],
)
async def test_a_coded_body_is_decoded_whole_and_in_pieces(coding: str, encoded: bytes, size: int) -> None:
    expected = encoded if coding == "identity" else TEXT
    cuts = [encoded[start : start + size] for start in range(0, len(encoded), size)]
    reply = [response(b"", f"Content-Encoding: {coding}", length=len(encoded)), *cuts]
    answer = await fetch(reply)
    assert answer.content == expected
    async with asked(reply) as it:
        pieces = await consume(it.answer.iter_bytes())
        assert b"".join(pieces) == expected
        assert all(pieces)
        assert it.connection_is_kept
    async with asked(reply) as it:
        assert b"".join(await consume(it.answer.iter_raw())) == encoded


async def test_a_body_that_expands_comes_in_bounded_pieces() -> None:
    encoded = gzip.compress(bytes(20_000_000))
    async with asked(response(encoded, "Content-Encoding: gzip")) as it:
        sizes = [len(piece) async for piece in it.answer.iter_bytes()]
    assert sum(sizes) == 20_000_000
    assert max(sizes) <= 262_144


@pytest.mark.parametrize(
    ("method", "reply"),
    [
        ("HEAD", response(b"", "Content-Encoding: gzip", length=50)),
        ("HEAD", response(b"", "Content-Encoding: klingon", length=50)),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Encoding: klingon\r\nContent-Length: 50\r\n\r\n"),
        ("GET", response(b"", "Content-Encoding: gzip")),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n"),
    ],
)
async def test_where_there_is_no_body_there_is_nothing_to_decode(method: str, reply: bytes) -> None:
    async with asked(reply, method) as it:
        assert await it.answer.read() == b""
        assert it.connection_is_kept
    async with asked(reply, method) as it:
        assert await consume(it.answer.iter_bytes()) == []


GZIPPED = gzip.compress(b"abcdef")
CORRUPT: dict[str, tuple[str, bytes]] = {
    "not gzip": ("gzip", b"abcdef"),
    "truncated": ("gzip", GZIPPED[:-3]),
    "wrong checksum": ("gzip", GZIPPED[:-8] + bytes(8)),
    "more after the end": ("deflate", zlib.compress(b"abcdef") + b"surplus"),
    "an unknown coding": ("klingon", b"abcdef"),
    "a coding nobody needs": ("gzip, " * 5 + "gzip", GZIPPED),
}


@pytest.mark.parametrize("way", ["read", "iter_bytes", "iter_lines", "iter_events"])
@pytest.mark.parametrize("case", CORRUPT)
async def test_a_body_that_is_not_what_it_says_is_a_decoding_error(case: str, way: str) -> None:
    coding, body = CORRUPT[case]
    async with asked(response(body, f"Content-Encoding: {coding}")) as it:
        with pytest.raises(DecodingError) as caught:
            await AGAIN[way](it.answer)
        assert caught.value.origin == HERE
        assert caught.value.phase == "reading the response"
        assert caught.value.may_have_been_processed
        it.answer.close()
        assert it.client.pool.statistics().leased == 0


@pytest.mark.parametrize("way", ["iter_bytes", "iter_lines"])
async def test_a_body_that_proves_corrupt_before_its_end_costs_the_connection(way: str) -> None:
    async with asked([response(b"", "Content-Encoding: gzip", length=500), b"no gzip"]) as it:
        with pytest.raises(DecodingError):
            await AGAIN[way](it.answer)
        assert it.answer.is_closed
        assert not it.connection_is_kept


# ---- what fails on the way ----


@pytest.mark.parametrize("way", AGAIN)
async def test_a_body_that_ends_early_is_an_error(way: str) -> None:
    for reply in (
        [response(b"ab", length=5), b""],
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"ab"), b""],
    ):
        async with asked(reply) as it:
            with pytest.raises(RemoteProtocolError) as caught:
                await AGAIN[way](it.answer)
            assert caught.value.origin == HERE
            assert caught.value.may_have_been_processed
            assert "secret" not in str(caught.value)
            assert not it.connection_is_kept


async def test_a_server_that_says_nothing_is_an_error() -> None:
    with pytest.raises(RemoteProtocolError, match="ended the connection without a response"):
        await fetch([b""], "POST")
    with pytest.raises(RemoteProtocolError, match="in the middle of the response's head"):
        await fetch([b"HTTP/1.1 200 OK\r\nContent-", b""])


async def test_silence_in_a_body_times_out(autojump_clock: trio.testing.MockClock) -> None:
    async with asked(response(b"ab", length=5), timeouts=Timeouts(read=3)) as it:
        with pytest.raises(ReadTimeout, match="silent for 3 s"):
            await it.answer.read()
        assert trio.current_time() == pytest.approx(3)
        assert not it.connection_is_kept


async def test_the_total_timeout_spans_the_body(autojump_clock: trio.testing.MockClock) -> None:
    async with asked(response(b"ab", length=5), timeouts=Timeouts(total=3)) as it:
        pieces = it.answer.iter_bytes()
        assert await anext(pieces) == b"ab"
        await trio.sleep(2)
        with pytest.raises(TotalTimeout):
            await anext(pieces)
        assert trio.current_time() == pytest.approx(3)


async def test_the_total_timeout_is_over_when_the_body_has_been_read(autojump_clock: trio.testing.MockClock) -> None:
    answer = await fetch(response(b"a\nb"), timeouts=Timeouts(total=1))
    await trio.sleep(2)
    assert await answer.read() == b"a\nb"
    assert await consume(answer.iter_lines()) == ["a", "b"]
    assert await consume(answer.iter_bytes()) == [b"a\nb"]


async def test_a_response_outlives_its_client_only_as_far_as_it_was_read() -> None:
    network = ScriptedNetwork([response(b"abc"), response(b"ab", length=5)])
    async with open_client(network=network) as client:
        read = await client.get(URL)
        unread = await client.stream("GET", URL).__aenter__()
    assert read.content == b"abc"
    with pytest.raises(TrioPoolError):
        await unread.read()


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async with asked([b"HTTP/1.1 200 OK\r\n\r\nab", b"c", b""]) as it:
        assert await it.answer.read() == b"abc"
        assert not it.connection_is_kept


# ---- timings ----


async def test_timings_say_how_long_the_parts_took(autojump_clock: trio.testing.MockClock) -> None:
    network = ScriptedNetwork([[], response(b"x")])
    async with open_client(network=network) as client, trio.open_nursery() as nursery:

        async def serve() -> None:
            await trio.sleep(2)
            network.connections[0].send(response(b"a", length=2))
            await trio.sleep(3)
            network.connections[0].send(b"b")

        nursery.start_soon(serve)
        async with client.stream("GET", URL) as answer:
            timings = answer.timings
            assert (timings.waited, timings.dialled, timings.sent) == (0, 0, 0)
            assert timings.first_byte == pytest.approx(2)
            assert timings.total is None
            assert not timings.reused
            await answer.read()
            assert answer.timings.total == pytest.approx(5)
        again = await client.get(URL)
    assert again.timings.reused
    assert again.timings.dialled is None
    assert again.timings.total == 0


async def test_errors_carry_the_origin_the_phase_and_the_seconds(autojump_clock: trio.testing.MockClock) -> None:
    network = ScriptedNetwork([[]], [[response(b"ab", length=5)]])
    async with open_client(ONCE, network=network) as client:
        with pytest.raises(ReadTimeout) as caught:
            await client.get(URL, timeouts=Timeouts(first_byte=4))
        error = caught.value
        assert (error.origin, error.phase) == (HERE, "waiting for the response")
        assert error.elapsed == pytest.approx(4)
        assert "(to http://h:8000, while waiting for the response, after 4.000 s)" in str(error)
        with pytest.raises(ReadTimeout) as caught:
            await client.get(URL, timeouts=Timeouts(read=5))
        error = caught.value
        assert (error.origin, error.phase) == (HERE, "reading the response")
        assert error.elapsed == pytest.approx(5)
    assert "secret" not in str(error) + repr(error)


async def test_a_reader_whose_connection_is_closed_by_the_pool_gets_a_read_error() -> None:
    network = ScriptedNetwork([response(b"ab", length=5)])
    async with trio.open_nursery() as nursery, open_client(network=network) as client:
        answer = await client.stream("GET", URL).__aenter__()

        async def read() -> None:
            with pytest.raises(ReadError):
                await answer.read()

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        await client.pool.drain(0)
