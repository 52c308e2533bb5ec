"""A connection that ends at any place of a reply: only a whole reply is a response."""

from __future__ import annotations

import pytest

from trio_pool import ReadError, RemoteProtocolError

from .case import CUT, END, GOODBYE, HALF, RESET, Case, Do, Way, answer, bad, chunked, good, head
from .harness import run_case

REPLIES: dict[str, bytes] = {
    "a length": answer(b"hello"),
    "chunks": chunked(b"5\r\nhello\r\n0\r\n\r\n"),
    "trailers": chunked(b"3;a\r\nabc\r\n0\r\nX: y\r\n\r\n"),
    "an interim response": head(status=b"HTTP/1.1 103 X") + answer(b"hi"),
    "a 204": head(status=b"HTTP/1.1 204 X"),
    "to the end": head() + b"hello",
}
EXPECTED: dict[str, dict[str, object]] = {
    "a length": {"body": b"hello"},
    "chunks": {"body": b"hello"},
    "trailers": {"body": b"abc", "trailers": (("X", "y"),)},
    "an interim response": {"body": b"hi", "interims": ((103, ()),)},
    "a 204": {"status": 204},
}
PROPER = (END, GOODBYE)


def cut_at(name: str, place: int, end: Do, *, tls: bool) -> Case:
    """A reply that ends at this place."""
    reply = REPLIES[name]
    source = "RFC 9112 section 8 and 9.8: truncated is not whole"
    body_at = reply.index(b"\r\n\r\n") + 4
    is_proper = end in PROPER or (end is not RESET and not tls)
    if name == "to the end" and place >= body_at and is_proper:
        return good(f"{name}, {place}", source, reply[:place], end, body=reply[body_at:place], reuse="must not")
    if name != "to the end" and place == len(reply):
        return good(f"{name}, {place}", source, reply[:place], end, reuse="must not", **EXPECTED[name])
    says = "the server ended the connection" if place < body_at and name != "an interim response" else ""
    if is_proper:
        return bad(f"{name}, {place}", source, reply[:place], end, error=RemoteProtocolError, says=says)
    return bad(f"{name}, {place}", source, reply[:place], end, error=ReadError, says="the connection broke")


STRIDES = {END: 1, RESET: 3, CUT: 1, GOODBYE: 7, HALF: 7}
"""Between the places where a reply ends so: what differs only in what comes after the end is looked at less often."""


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("end", STRIDES, ids=lambda end: end.name.lower())
@pytest.mark.parametrize("name", REPLIES)
async def test_only_a_whole_reply_is_a_response(name: str, end: Do, *, tls: bool) -> None:
    stride = STRIDES[HALF] if end is CUT and not tls else STRIDES[end]
    for place in range(len(REPLIES[name]), -1, -stride):
        await run_case(cut_at(name, place, end, tls=tls), Way(tls, bytewise=False))


@pytest.mark.parametrize("tls", [False, True], ids=["tcp", "tls"])
async def test_a_reply_may_come_in_two_parts_cut_anywhere(*, tls: bool) -> None:
    for name, expected in EXPECTED.items():
        reply = REPLIES[name]
        for place in range(1, len(reply)):
            case = good(f"{name}, {place}", "RFC 9112 section 2.2", reply[:place], reply[place:], **expected)
            await run_case(case, Way(tls, bytewise=False))
