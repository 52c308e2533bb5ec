"""Heads that are known: what goes out is what would go out if nothing were known."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool import LocalProtocolError, PoolConfig, Request
from trio_pool._wire.fast_codec import FastCodec
from trio_pool.transports import _heads
from trio_pool.transports._heads import KnownHeads, place_of

LIMITS = PoolConfig().limits
PLACE = place_of(b"http", b"h", 8080, None)
Raw = list[tuple[bytes, bytes]]

HOST = (b"Host", b"h:8080")
FIELDS = st.sampled_from(
    [
        *([[], [(b"X-A", b"1"), (b"X-B", b"2")]] * 4),
        [(b"X-A", b" 1 "), (b"X-B", b"2")],
        [(b"X-A", b"1\r\nX-B: 2")],
        [(b"X-A", b"1\r\nContent-Length: 3")],
        [(b"Content-Length: 3\r\nX-A", b"1")],
        [(b"x-a", b"1"), (b"x-b", b"2")],
        [(b"Connection", b"keep-alive")],
        [(b"Connection", b"close")],
        [(b"Expect", b"100-continue")],
        [(b"Transfer-Encoding", b"chunked")],
        [(b"bad name", b"1")],
        [(b"Host", b"other")],
        [(b"X-A", b"\xff")],
    ]
)
BODIES = st.sampled_from([None, b"abc", b"xyz", b"x" * 12])
LENGTHS = st.sampled_from(["right", "right", "right", "wrong", "none", "twice", "padded"])


def with_length(fields: Raw, body: bytes | None, how: str, at: int) -> Raw:
    """The fields with a Content-Length among them."""
    value = b"%d" % len(body or b"")
    values = {"right": [value], "wrong": [b"%d7" % len(body or b"")], "twice": [value] * 2, "padded": [b"0" + value]}
    for each in values.get(how, []):
        fields = [*fields[:at], (b"Content-Length", each), *fields[at:]]
    return fields


def sent(heads: KnownHeads, method: str, target: bytes, raw: Raw, body: bytes | None) -> Any:
    """What goes on the wire, or what is said against it."""
    try:
        request = heads.prepare(method, PLACE, target, list(raw), body, LIMITS, "http://h:8080/")
        return b"".join(FastCodec().encode(request)), request.raw_headers, request.expects_continue
    except LocalProtocolError as error:
        return str(error)


ASKED = st.tuples(
    st.sampled_from(["POST", "POST", "PUT", "GET", "G T"]),
    st.sampled_from([b"/", b"/", b"/b", b"/ b"]),
    FIELDS,
    BODIES,
    LENGTHS,
    st.integers(0, 3),
)


@settings(max_examples=300, deadline=None)
@given(ASKED, st.lists(st.tuples(st.integers(0, 5), ASKED), min_size=4, max_size=12))
def test_a_known_head_is_the_one_that_would_be_made(first: Any, changes: list[Any]) -> None:
    heads = KnownHeads()
    others = [(*first[:place], other[place], *first[place + 1 :]) for place, other in changes]
    for method, target, fields, body, how, at in [first, *others, first]:
        raw = with_length([HOST, *fields], body, how, at)
        assert sent(heads, method, target, raw, body) == sent(KnownHeads(), method, target, raw, body)


@pytest.mark.parametrize(
    "field",
    [
        (b"bad name", b"1"),
        (b"", b"1"),
        (b"a:b", b"1"),
        (b"a", b"1\r\nb: 2"),
        (b"a", b"1\n"),
        (b"a", b"\x00"),
        (b"a\r", b"1"),
    ],
)
def test_an_illegal_field_is_found_among_others(field: tuple[bytes, bytes]) -> None:
    for raw in ([field], [HOST, field], [field, HOST], [HOST, field, HOST]):
        with pytest.raises(LocalProtocolError):
            _heads.checked(raw)


def test_legal_fields_are_as_they_were() -> None:
    raw = [HOST, (b"X-A", b"a\tb \xff"), (b"x-a", b""), (b"~!", b"\"'()")]
    assert _heads.checked(raw) == raw
    assert _heads.checked([]) == []


def test_a_head_with_another_length_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    heads, checks = KnownHeads(), 0
    check = _heads.checked

    def counted(raw: Raw) -> Raw:
        nonlocal checks
        checks += 1
        return check(raw)

    monkeypatch.setattr(_heads, "checked", counted)
    for body in (b"a", b"bb", b"c" * 100):
        raw = [HOST, (b"X-A", b"1"), (b"Content-Length", b"%d" % len(body)), (b"X-B", b"2")]
        wire = sent(heads, "POST", b"/", raw, body)[0]
        assert wire == b"POST / HTTP/1.1\r\nHost: h:8080\r\nX-A: 1\r\nContent-Length: %d\r\nX-B: 2\r\n\r\n%b" % (
            len(body),
            body,
        )
    assert checks == 1


def test_few_heads_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_heads, "MOST", 3)
    heads = KnownHeads()
    for number in range(10):
        sent(heads, "GET", b"/%d" % number, [HOST], None)
        assert len(heads._known) <= 3


def test_what_is_kept_is_not_shown() -> None:
    heads = KnownHeads()
    sent(heads, "GET", b"/", [HOST, (b"Authorization", b"hidden")], None)
    assert heads._known
    assert "hidden" not in repr(heads)


def test_a_streamed_body_has_its_head_made_each_time() -> None:
    class Body:
        def __aiter__(self) -> Any:
            raise AssertionError("nobody reads it")

    heads = KnownHeads()
    request: Request = heads.prepare("POST", PLACE, b"/", [HOST], Body(), LIMITS, "http://h:8080/")
    assert request.is_streamed
    assert (b"Transfer-Encoding", b"chunked") in request.raw_headers
    assert heads._known == {}
