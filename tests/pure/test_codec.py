"""What goes on the wire, read back by h11's server side; and what the codec says about what comes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trio_pool import LocalProtocolError, Request, TrioPoolError
from trio_pool._wire.events import End, Event, Head, Interim, Switched, Violation
from trio_pool._wire.h11_codec import H11Codec


class Received(NamedTuple):
    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes
    surplus: bytes


def receive(wire: bytes) -> Received:
    """One request as a server reads it."""
    server = h11.Connection(h11.SERVER)
    server.receive_data(wire)
    head = server.next_event()
    assert isinstance(head, h11.Request)
    body = b""
    while isinstance(event := server.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    return Received(head.method.decode(), head.target, head.headers.raw_items(), body, server.trailing_data[0])


async def nothing() -> AsyncIterator[bytes]:
    """A streamed body; the pieces are handed to the codec by the test."""
    pieces: list[bytes] = []
    for piece in pieces:
        yield piece


def wire_of(request: Request, pieces: Sequence[bytes] = ()) -> bytes:
    """A request as it is sent, a streamed body included."""
    codec = H11Codec()
    wire = b"".join(codec.encode(request))
    if request.is_streamed:
        wire += b"".join(map(codec.encode_piece, pieces)) + codec.encode_end()
    return wire


def values(headers: list[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for found, value in headers if found.lower() == name]


# ---- whatever is asked, the server understands the same, or nothing is sent ----

TOKENS = st.text("abcXYZ019!#$%&'*+-.^_`|~", min_size=1, max_size=8)
NASTY = st.text(st.sampled_from("aZ9 \t\r\n\0\x0b\x7f:;,=é€\x85\u2028\ud800%?#/@[]()"), max_size=8)
METHODS = st.sampled_from(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "brew"]) | TOKENS | NASTY
HOSTS = st.sampled_from(["h", "h:8000", "bücher.example", "[::1]", "[::1]:81", "127.0.0.1", "u:p@h", "h."]) | NASTY
PATHS = st.text(max_size=10) | NASTY
FRAMING = st.sampled_from(["Host", "host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Upgrade"])
LENGTHS = st.sampled_from(["0", "1", "02", "5", "+5", "chunked", "gzip, chunked", "close", "100-continue", "h"])
HEADERS = st.lists(
    st.tuples(TOKENS, st.text(max_size=8)) | st.tuples(FRAMING, LENGTHS | NASTY) | st.tuples(NASTY, NASTY), max_size=4
)
BODIES = st.one_of(
    st.just({}),
    st.builds(lambda content: {"content": content}, st.binary(max_size=12) | NASTY),
    st.builds(lambda value: {"json": value}, st.recursive(st.floats() | NASTY | st.none(), st.lists, max_leaves=4)),
    st.builds(lambda data: {"data": data}, st.dictionaries(NASTY, NASTY | st.booleans() | st.none(), max_size=3)),
    st.just({"content": None}),
)


def check_the_framing(received: Received) -> None:
    """One host, one framing at most, and a body only where one is announced."""
    assert len(values(received.headers, b"host")) == 1
    lengths = values(received.headers, b"content-length")
    codings = values(received.headers, b"transfer-encoding")
    assert len(lengths) + len(codings) <= 1
    assert received.surplus == b""
    if lengths:
        assert int(lengths[0]) == len(received.body)
    elif codings:
        assert codings[0].lower() == b"chunked"
    else:
        assert received.body == b""


def check_what_arrives(request: Request, method: str, headers: list[tuple[str, str]], wire: bytes) -> None:
    """The server reads what the request says, and everything that the caller asked for."""
    received = receive(wire)
    assert received.method == method
    assert received.target == request.target
    is_host = [name.lower() == b"host" for name, _ in request.raw_headers]
    first = is_host.index(True)  # it goes first (RFC 9112 section 3.2); the others keep their order
    expected = [request.raw_headers[first], *request.raw_headers[:first], *request.raw_headers[first + 1 :]]
    assert received.headers == expected
    assert received.body == (request.content or b"")
    check_the_framing(received)
    for name, value in headers:
        encoded = value.strip(" \t").encode("latin-1" if all(character <= "\xff" for character in value) else "utf-8")
        assert (name.encode(), encoded) in received.headers


@settings(deadline=None, max_examples=200)
@given(
    method=METHODS,
    host=HOSTS,
    path=PATHS,
    params=st.none() | st.dictionaries(NASTY, NASTY, max_size=2),
    headers=HEADERS,
    body=BODIES,
)
@example(method="GET", host="h", path="", params=None, headers=[("Host", "a\r\nX: y")], body={})
@example(method="GET", host="h", path="", params=None, headers=[("A", "1"), ("host", "g"), ("B", "2")], body={})
@example(method="POST", host="h", path="", params=None, headers=[("content-length", "1")], body={"content": b"ab"})
@example(method="GET / HTTP/1.1\r\nX:", host="h", path="", params=None, headers=[], body={})
@example(method="GET", host="h", path="a HTTP/1.1\r\nX: y", params=None, headers=[], body={})
def test_a_server_understands_what_was_asked_or_nothing_is_sent(
    method: str, host: str, path: str, params: Any, headers: list[tuple[str, str]], body: dict[str, Any]
) -> None:
    try:
        request = Request(method, f"http://{host}/{path}", params=params, headers=headers, **body)
        wire = wire_of(request)
    except TrioPoolError:
        return
    check_what_arrives(request, method, headers, wire)


PRINTABLE = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=9)
NAMES = PRINTABLE.filter(lambda text: not set(text) & {" ", ","})
MEANT = st.fixed_dictionaries({}, optional={"Host": NAMES, "Connection": st.just("close"), "Expect": PRINTABLE})


@settings(deadline=None, max_examples=200)
@given(
    method=TOKENS.filter(lambda method: method != "CONNECT"),
    host=st.sampled_from(["h", "h:8000", "bücher.example", "[::1]:81", "u:p@h"]),
    path=PRINTABLE,
    params=st.none() | st.dictionaries(PRINTABLE, PRINTABLE | st.lists(PRINTABLE, max_size=2), max_size=2),
    others=st.lists(st.tuples(TOKENS.map(lambda name: f"x-{name}"), PRINTABLE), max_size=4),
    meant=MEANT,
    body=st.binary(max_size=9) | st.none(),
    chunked=st.booleans(),
)
def test_what_is_legal_is_sent_and_understood(
    method: str,
    host: str,
    path: str,
    params: Any,
    others: list[tuple[str, str]],
    meant: dict[str, str],
    body: bytes | None,
    chunked: bool,
) -> None:
    framing = {"transfer-encoding": "chunked"} if chunked and body is not None else {}
    headers = [*others, *meant.items(), *framing.items()]
    request = Request(method, f"http://{host}/{path}", params=params, headers=headers, content=body)
    check_what_arrives(request, method, headers, wire_of(request))


@settings(deadline=None)
@given(pieces=st.lists(st.binary(max_size=6), max_size=5), length=st.none() | st.integers(0, 20))
def test_a_streamed_body_arrives_whole_or_the_codec_refuses(pieces: list[bytes], length: int | None) -> None:
    headers = {} if length is None else {"Content-Length": str(length)}
    request = Request("POST", "http://h/", headers=headers, content=nothing())
    whole = b"".join(pieces)
    if length is not None and length != len(whole):
        with pytest.raises(LocalProtocolError):
            wire_of(request, pieces)
        return
    received = receive(wire_of(request, pieces))
    assert received.body == whole
    check_the_framing(received)


def test_an_empty_piece_is_nothing_and_not_the_end() -> None:
    codec = H11Codec()
    codec.encode(Request("POST", "http://h/", content=nothing()))
    assert codec.encode_piece(b"") == b""
    assert codec.encode_piece(b"ab") == b"2\r\nab\r\n"
    assert codec.encode_piece(b"") == b""
    assert codec.encode_end() == b"0\r\n\r\n"


def test_a_small_request_is_one_piece_of_bytes() -> None:
    assert H11Codec().encode(Request("GET", "http://h/a", headers={"A": "1"})) == [
        b"GET /a HTTP/1.1\r\nHost: h\r\nA: 1\r\n\r\n"
    ]


def test_one_codec_serves_one_exchange_after_another() -> None:
    codec = H11Codec()
    for number in range(3):
        [wire] = codec.encode(Request("GET", f"http://h/{number}"))
        assert receive(wire).target == b"/%d" % number
        events = codec.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)
        assert events[1:] == [b"%d" % number, End((), keeps=True)]


# ---- what comes ----


def told(*arrivals: bytes, request: Request | None = None) -> list[Event]:
    """What a codec says about these arrivals after a request."""
    codec = H11Codec()
    codec.encode(request or Request("GET", "http://h/"))
    return [event for data in arrivals for event in codec.feed(data)]


def head_of(fields: str, version: str = "1.1") -> Head:
    event = told(f"HTTP/{version} 200 OK\r\n{fields}Content-Length: 0\r\n\r\n".encode("latin-1"))[0]
    assert isinstance(event, Head)
    return event


def test_a_head_has_its_parts() -> None:
    head = head_of("Server: x\r\nSERVER: y\r\n")
    assert (head.status_code, head.reason, head.http_version) == (200, "OK", "HTTP/1.1")
    assert head.headers == [(b"Server", b"x"), (b"SERVER", b"y"), (b"Content-Length", b"0")]
    assert (head.closes, head.keepalive, head.codings) == (False, None, [])


@pytest.mark.parametrize(
    ("fields", "version", "closes"),
    [
        ("", "1.1", False),
        ("", "1.0", True),
        ("Connection: close\r\n", "1.1", True),
        ("Connection: CLOSE\r\n", "1.1", True),
        ("Connection: foo , Close\r\n", "1.1", True),
        ("Connection: foo\r\nConnection: close\r\n", "1.1", True),
        ("Connection: keep-alive\r\n", "1.1", False),
        ("Connection: closed\r\n", "1.1", False),
        ("Connection: keep-alive\r\n", "1.0", True),
    ],
)
def test_who_says_close_closes(fields: str, version: str, closes: bool) -> None:
    assert head_of(fields, version).closes is closes
    end = told(f"HTTP/{version} 200 OK\r\n{fields}Content-Length: 0\r\n\r\n".encode())[-1]
    assert isinstance(end, End)
    assert end.keeps is not closes


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("timeout=5", 5.0),
        ("max=100, timeout = 7", 7.0),
        ("Timeout=0", 0.0),
        ("timeout=5;max=3", 5.0),
        ("timeout=x", None),
        ("timeout=-1", None),
        ("xtimeout=5", None),
        ("max=5", None),
        ("", None),
    ],
)
def test_the_servers_patience_is_read(value: str, seconds: float | None) -> None:
    assert head_of(f"Keep-Alive: {value}\r\n").keepalive == seconds


def test_codings_are_told_in_the_order_of_their_fields() -> None:
    assert head_of("Content-Encoding: gzip\r\nContent-Encoding: br, zstd\r\n").codings == ["gzip", "br, zstd"]


def test_trailers_come_with_the_end() -> None:
    events = told(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n0\r\n", b"Checksum: 1\r\n\r\n")
    assert events[1:] == [b"a", End(((b"Checksum", b"1"),), keeps=True)]


def test_interim_responses_are_told_apart() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
    events = told(hints + b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 204 No\r\n\r\n")
    assert events[:2] == [Interim(103, [(b"Link", b"a")]), Interim(100, [])]
    assert isinstance(events[2], Head)
    assert events[3:] == [End((), keeps=True)]


@pytest.mark.parametrize(
    ("method", "status", "fields"),
    [
        ("HEAD", "200 OK", "Content-Length: 5\r\n"),
        ("HEAD", "200 OK", "Transfer-Encoding: chunked\r\n"),
        ("GET", "204 No Content", ""),
        ("GET", "304 Not Modified", "Content-Length: 5\r\n"),
    ],
)
def test_a_response_that_has_no_body_ends_with_its_head(method: str, status: str, fields: str) -> None:
    events = told(f"HTTP/1.1 {status}\r\n{fields}\r\n".encode(), request=Request(method, "http://h/"))
    assert events[1:] == [End((), keeps=True)]


def test_surplus_bytes_are_no_reason_to_go_on() -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    assert told(response + b"aHTTP/1.1 200")[1:] == [b"a", End((), keeps=False)]


def test_a_request_that_says_close_is_the_last() -> None:
    request = Request("GET", "http://h/", headers={"Connection": "close"})
    events = told(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", request=request)
    assert events[-1] == End((), keeps=False)


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    assert told(b"HTTP/1.1 200 OK\r\n\r\n", b"ab", b"c", b"")[1:] == [b"ab", b"c", End((), keeps=False)]


OK = b"HTTP/1.1 200 OK\r\n"
BROKEN = [
    [b"SSH-2.0-OpenSSH\r\n\r\n"],
    [b"HTTP/1.1 20 OK\r\n\r\n"],
    [OK + b"Content-Length: +5\r\n\r\n"],
    [OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n"],
    [OK + b"Content-Length: 5\r\n\r\nab", b""],
    [OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
    [OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", b""],
    [OK + b"no colon\r\n\r\n"],
    [OK + b"A: " + b"a" * 70_000],
    [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"],
]


@pytest.mark.parametrize("arrivals", BROKEN, ids=[repr(arrivals[0][:40]) for arrivals in BROKEN])
def test_what_breaks_the_rules_is_a_violation(arrivals: list[bytes]) -> None:
    last = told(*arrivals)[-1]
    assert isinstance(last, Violation)
    assert last.what


def test_a_switch_of_protocols_that_was_offered_hands_over_what_follows() -> None:
    request = Request("GET", "http://h/", headers={"Upgrade": "x", "Connection": "upgrade"})
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    [first, second] = told(head + b"of x", request=request)
    assert isinstance(first, Head)
    assert first.status_code == 101
    assert second == Switched(b"of x")


def test_a_tunnel_that_opens_hands_over_what_follows_and_one_that_is_refused_is_a_response() -> None:
    request = Request("CONNECT", "http://proxy/", target="h:443")
    [head, switched] = told(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly", request=request)
    assert isinstance(head, Head)
    assert switched == Switched(b"early")
    refused = told(b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno", request=request)
    assert [type(event) for event in refused] == [Head, bytes, End]


def test_the_end_of_an_idle_connection_is_not_the_end_of_a_response() -> None:
    for data in (b"", b"HTTP/1.1 200 OK\r\n\r\n"):
        codec = H11Codec()
        codec.encode(Request("GET", "http://h/"))
        codec.feed(OK + b"Content-Length: 0\r\n\r\n")
        assert not any(isinstance(event, (Head, End, bytes)) for event in codec.feed(data))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=20) | st.sampled_from([OK, b"\r\n", b"Content-Length: 3\r\n\r\n", b""]), max_size=5))
def test_whatever_comes_the_codec_only_tells(arrivals: list[bytes]) -> None:
    codec = H11Codec()
    codec.encode(Request("GET", "http://h/"))
    for data in arrivals:
        events = codec.feed(data)
        if any(isinstance(event, (End, Violation)) for event in events):
            break


@settings(deadline=None)
@given(cuts=st.lists(st.integers(0, 120), max_size=5))
def test_how_bytes_are_cut_makes_no_difference(cuts: list[int]) -> None:
    wire = OK + b"Transfer-Encoding: chunked\r\nA: 1\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nB: 2\r\n\r\n"
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    arrivals = [wire[start:end] for start, end in pairwise(places) if end > start]
    events = told(*arrivals)
    body = b"".join(event for event in events if isinstance(event, bytes))
    assert [type(event) for event in events if not isinstance(event, bytes)] == [Head, End]
    assert body == b"abcde"
    assert events[-1] == End(((b"B", b"2"),), keeps=True)


@pytest.mark.parametrize("value", [b"s3cret\n", b"s3cret\r\nX: y", b"s3cret\0"])
def test_a_value_that_only_the_codec_finds_is_not_told_either(value: bytes) -> None:
    codec = H11Codec()
    request = Request("GET", "http://h/")
    request.raw_headers.append((b"X-Token", value))  # past every check
    with pytest.raises(LocalProtocolError) as caught:
        codec.encode(request)
    assert "s3cret" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


def test_no_secret_is_told_when_a_codec_refuses() -> None:
    codec = H11Codec()
    headers = {"Authorization": "s3cret", "Content-Length": "1"}
    request = Request("POST", "http://h/?s3cret", headers=headers, content=nothing())
    codec.encode(request)
    with pytest.raises(LocalProtocolError) as caught:
        codec.encode_piece(b"s3cret")
    assert not re.search("s3cret", f"{caught.value} {caught.value!r} {caught.value.__cause__!r}")
