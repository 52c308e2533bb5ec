"""A virtual server reads what the real codec writes, in whatever pieces it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import Request
from trio_pool._wire.h11_codec import H11Codec
from trio_pool.simulate.traffic import demands
from trio_pool.simulate.traffic.demands import Demand
from trio_pool.simulate.world.requests import Asked, Reader

numbers = st.floats(0, 1e9)
counts = st.integers(0, 10**9)


@given(numbers, counts, numbers, counts)
def test_a_demand_is_read_as_it_was_written(first_byte: float, tokens: int, pace: float, asked: int) -> None:
    demand = Demand(first_byte, tokens, pace, asked)
    assert demands.read(demands.written(demand).encode()) == demand


def test_what_a_demand_leaves_out_is_nothing() -> None:
    assert demands.read(b"") == demands.NOTHING
    assert demands.read(b"tokens=3") == Demand(tokens=3)


MALFORMED = [b"tokens", b"first_byte=-1", b"tokens=1.5", b"first_byte=nan", b"first_byte=inf", b"tokens=1=2", b"n=1"]


@pytest.mark.parametrize("value", MALFORMED)
def test_a_malformed_demand_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        demands.read(value)


async def nothing() -> AsyncIterator[bytes]:
    """A body that is sent by hand."""
    yield b""


exchanges = st.tuples(
    st.sampled_from(["GET", "HEAD", "POST"]),
    st.booleans(),
    st.one_of(st.none(), st.binary(max_size=40), st.lists(st.binary(min_size=1, max_size=40), max_size=3)),
)


def sent(number: int, method: str, keeps: bool, body: bytes | list[bytes] | None) -> tuple[bytes, Asked]:
    """A request on the wire, and what is to be read."""
    demand = Demand(0.5, number, 0.25, 7)
    fields = {"simulated-demand": demands.written(demand), demands.NONCE: f"n{number}", "X": "content-length: 99"}
    if not keeps:
        fields["Connection"] = "close"
    request = Request(method, "http://a.test/", headers=fields, content=nothing() if isinstance(body, list) else body)
    codec = H11Codec()
    wire = b"".join(codec.encode(request))
    if isinstance(body, list):
        wire += b"".join([codec.encode_piece(piece) for piece in body]) + codec.encode_end()
    return wire, Asked(demand, True, b"n%d" % number, method == "HEAD", keeps)


@given(st.lists(exchanges, max_size=4), st.data())
def test_requests_are_read_one_after_another(
    plan: list[tuple[str, bool, bytes | list[bytes] | None]], data: st.DataObject
) -> None:
    requests = [sent(number, *each) for number, each in enumerate(plan)]
    wire, reader, found = b"".join(data for data, _ in requests), Reader(), list[Asked]()
    while wire:
        size = data.draw(st.integers(1, len(wire)))
        reader.feed(wire[:size])
        wire = wire[size:]
        while asked := reader.next():
            found.append(asked)
    assert found == [asked for _, asked in requests]


def test_a_request_that_is_not_whole_is_none_yet() -> None:
    wire, asked = sent(1, "POST", True, [b"abc", b"d"])
    reader = Reader()
    reader.feed(wire[:-1])
    assert reader.next() is None
    reader.feed(wire[-1:])
    assert reader.next() == asked


def test_a_demand_that_makes_no_sense_is_marked() -> None:
    reader = Reader()
    reader.feed(b"GET / HTTP/1.1\r\nHost: a\r\nSimulated-Demand: much\r\n\r\n")
    asked = reader.next()
    assert asked is not None
    assert not asked.is_understood
