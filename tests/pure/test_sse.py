"""The event parser against a reader that follows the standard's prose a character at a time."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trio_pool.errors import LimitExceeded, UsageError
from trio_pool.sse import EventParser, ServerSentEvent

BOM = b"\xef\xbb\xbf"


def lines_of(text: str) -> tuple[list[str], str]:
    """Lines that end with LF, CR or CRLF, and what is left without an end."""
    lines, line, position = [], "", 0
    while position < len(text):
        character = text[position]
        if character in "\r\n":
            lines.append(line)
            line = ""
            position += 2 if text[position : position + 2] == "\r\n" else 1
        else:
            line += character
            position += 1
    return lines, line


class Reference:
    """The standard's buffers and steps, with our bound; `failed` once something was longer than it."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.data = self.type = self.last_id = ""
        self.retry: int | None = None
        self.events: list[ServerSentEvent] = []
        self.failed = False

    def read(self, raw: bytes) -> None:
        lines, rest = lines_of(raw.decode("utf-8-sig", "replace"))
        for line in lines:
            self.failed = self.failed or len(line) > self.limit
            if not self.failed:
                self.process(line)
        self.failed = self.failed or len(rest) > self.limit

    def process(self, line: str) -> None:
        if line == "":
            self.dispatch()
        elif line.startswith(":"):
            pass
        elif ":" in line:
            name, value = line[: line.index(":")], line[line.index(":") + 1 :]
            self.process_field(name, value[1:] if value.startswith(" ") else value)
        else:
            self.process_field(line, "")

    def process_field(self, name: str, value: str) -> None:
        if name == "event":
            self.type = value
        elif name == "data":
            self.failed = len(self.data + value) > self.limit
            self.data += value + "\n"
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value and all(digit in "0123456789" for digit in value):
            self.retry = int(value)

    def dispatch(self) -> None:
        if self.data == "":
            self.type = ""
            return
        data = self.data[:-1] if self.data.endswith("\n") else self.data
        self.events.append(ServerSentEvent(self.type or "message", data, self.last_id, self.retry))
        self.data = self.type = ""


def expected(raw: bytes, limit: float = math.inf) -> tuple[list[ServerSentEvent], bool]:
    reference = Reference(limit)
    reference.read(raw)
    return reference.events, reference.failed


def parsed(chunks: list[bytes], limit: float = math.inf) -> tuple[list[ServerSentEvent], bool]:
    parser = EventParser(limit)
    events = []
    try:
        for chunk in chunks:
            events += parser.feed(chunk)
        parser.finish()
    except LimitExceeded:
        return events, True
    return events, False


def events_of(raw: bytes) -> list[ServerSentEvent]:
    return parsed([raw])[0]


def cut(raw: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


def one_by_one(raw: bytes) -> list[bytes]:
    return [raw[i : i + 1] for i in range(len(raw))]


NAMES = [b"data", b"data", b"data", b"event", b"id", b"retry", b"", b"other", b" data"]
VALUES = [b"", b":", b": ", b": x", b":x", b":  yz", b": 7", b": a:b", b":\0"]
ENDS = [b"\n", b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\r"]
SCRAPS = [b"\n", b"\r", b"\r\n", b" ", b":", b"da", b"data: x\n\n"]
BEYOND = [BOM, BOM[:1], BOM[:2], "é".encode(), "\u2028\x85\u0661".encode(), b"\xff", b"\xf0\x9f\x98", b"\xc3"]
PLACES = st.lists(st.integers(0, 10_000), max_size=6)


def streams(scraps: list[bytes]) -> st.SearchStrategy[bytes]:
    whole_lines = st.tuples(*map(st.sampled_from, [NAMES, VALUES, ENDS])).map(b"".join)
    return st.lists(whole_lines | whole_lines | st.sampled_from(scraps), max_size=25).map(b"".join)


@settings(deadline=None)
@given(streams(SCRAPS + BEYOND), st.sampled_from([b"", b"", BOM, BOM + BOM, BOM[:2]]), PLACES)
@example(b"data: x\n\n\ndata: y\n\n", b"", [8])
@example(b"data: x\n\n", BOM, [1, 1])
@example(b"data: x\r\ndata: y\r\n\r\n", b"", [8, 8])
def test_every_stream_in_every_split_gives_the_events_of_the_standard(
    body: bytes, start: bytes, places: list[int]
) -> None:
    raw = start + body
    wanted = expected(raw)
    assert parsed([raw]) == wanted
    assert parsed(cut(raw, places)) == wanted
    assert parsed(one_by_one(raw)) == wanted


@settings(deadline=None)
@given(streams(SCRAPS), PLACES, st.integers(1, 24))
def test_every_split_ends_at_the_same_bound_after_the_same_events(raw: bytes, places: list[int], limit: int) -> None:
    wanted = expected(raw, limit)
    assert parsed([raw], limit) == wanted
    assert parsed(cut(raw, places), limit) == wanted
    assert parsed(one_by_one(raw), limit) == wanted


def test_a_data_line_and_an_empty_line_are_an_event() -> None:
    assert events_of(b'data: {"a": 1}\n\n') == [ServerSentEvent(event="message", data='{"a": 1}')]


def test_an_event_carries_its_type_and_only_its_own() -> None:
    raw = b"event: add\ndata: 1\n\ndata: 2\n\nevent: gone\n\ndata: 3\n\n"
    for chunks in [raw], one_by_one(raw):
        assert [event.event for event in parsed(chunks)[0]] == ["add", "message", "message"]


def test_data_lines_are_joined_with_a_line_feed() -> None:
    assert [event.data for event in events_of(b"data: YHOO\ndata:  +2\ndata\ndata: 10\n\n")] == ["YHOO\n +2\n\n10"]


def test_empty_data_is_dispatched_and_no_data_is_not() -> None:
    assert [event.data for event in events_of(b"data\n\ndata\ndata\n\n: x\n\nid: 1\n\n")] == ["", "\n"]


def test_the_last_id_and_the_retry_time_outlast_their_event() -> None:
    raw = b"retry: 3000\n\nid: 1\ndata: a\n\ndata: b\n\nid\nretry: 1e3\ndata: c\n\n"
    assert [(event.id, event.retry) for event in events_of(raw)] == [("1", 3000), ("1", 3000), ("", 3000)]


def test_an_id_with_nul_and_a_retry_of_other_digits_are_ignored() -> None:
    raw = "id: 1\nid: 2\0\nretry: \u0661\nretry\nretry: -1\nretry: +1\nretry: 1_0\ndata: a\n\n".encode()
    assert events_of(raw) == [ServerSentEvent(data="a", id="1", retry=None)]


def test_a_retry_of_thousands_of_digits_is_ignored() -> None:
    assert events_of(b"retry: " + b"9" * 10_000 + b"\ndata: a\n\n") == [ServerSentEvent(data="a")]


def test_an_event_comes_with_its_last_carriage_return_without_waiting_for_a_line_feed() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\r\n\r") == [ServerSentEvent(data="a")]
    assert parser.feed(b"\ndata: b\r\r") == [ServerSentEvent(data="b")]


def test_an_unfinished_event_is_discarded_at_the_end() -> None:
    parser = EventParser()
    assert parser.feed(b"data: a\n\ndata: b\nid: 7") == [ServerSentEvent(data="a")]
    parser.finish()


def test_malformed_text_is_replaced() -> None:
    assert events_of(b"data: a\xff\xe2\x82\n\n") == [ServerSentEvent(data="a\ufffd\ufffd")]


def test_bytes_may_come_in_any_bytes_like_object() -> None:
    raw = b"data: a\n\n"
    assert EventParser().feed(bytearray(raw)) == EventParser().feed(memoryview(raw)) == events_of(raw)


def test_events_before_the_bound_come_first_and_the_parser_stays_raised() -> None:
    parser = EventParser(max_event_bytes=10)
    assert parser.feed(b"data: a\n\ndata: 12345678\n\ndata: b\n\n") == [ServerSentEvent(data="a")]
    for _ in range(2):
        with pytest.raises(LimitExceeded, match="more than 10 bytes"):
            parser.feed(b"data: c\n\n")
    with pytest.raises(LimitExceeded, match="more than 10 bytes"):
        parser.finish()


def test_a_line_without_end_and_an_event_without_end_are_refused() -> None:
    with pytest.raises(LimitExceeded, match="a line of more than 1048576 bytes"):
        EventParser().feed(b"data: " + b"x" * 1_048_576)
    with pytest.raises(LimitExceeded, match="a data field of more than 100 bytes"):
        EventParser(100).feed(b"data: 1234\n" * 21)
    EventParser(100).feed(b"data: 1234\n" * 20)


def test_what_is_kept_is_bounded_by_the_bound_and_not_by_the_stream() -> None:
    parser = EventParser(max_event_bytes=16)
    for _ in range(1000):
        assert parser.feed(b": a comment\nignored: 1\nevent: e\nid: 4\nretry: 1\n") == []
    assert parser.feed(b"data: x\n\n") == [ServerSentEvent("e", "x", "4", 1)]


@pytest.mark.parametrize("bound", [0, -1, math.nan])
def test_a_bound_that_is_not_positive_is_refused(bound: float) -> None:
    with pytest.raises(UsageError, match="max_event_bytes"):
        EventParser(bound)


@pytest.mark.parametrize(
    ("body", "signs"),
    [
        (b"data: 1\n\ndata: 2\n\n", 0),
        (b": one\n\ndata: 1\n\n", 2),
        (b":\n:\ndata: 1\n\n", 2),
        (b"event: ping\n\n", 1),
        (b"data: 1\n", 0),
        (b"x: 1\n", 0),
    ],
)
def test_signs_of_life_are_counted_whatever_the_pieces(body: bytes, signs: int) -> None:
    for size in (1, 3, 100):
        parser = EventParser()
        for start in range(0, len(body), size):
            parser.feed(body[start : start + size])
        assert (parser.signs > 0) == (signs > 0)
        assert parser.signs >= signs
