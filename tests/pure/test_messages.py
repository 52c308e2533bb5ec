"""What a caller may say, and what becomes of it: origins, headers, URLs, bodies, and what is refused."""

from __future__ import annotations

import base64
import copy
import math
import pickle
import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trio_pool import (
    Headers,
    LocalProtocolError,
    Origin,
    Request,
    Timeouts,
    TrioPoolError,
    UnsupportedProtocol,
    UsageError,
)
from trio_pool.messages import form
from trio_pool.urls import parse_url, redact

SECRET = "s3cr3t-t0k3n"


def shown(value: object) -> str:
    """The value, without the place in memory that some show."""
    return re.sub(r" at 0x[0-9a-f]+", "", repr(value))


async def pieces() -> AsyncIterator[bytes]:
    """A body that is made piece by piece."""
    yield b"piece"


def sent(request: Request, name: str) -> list[bytes]:
    """The values of a header as they are sent."""
    return [value for found, value in request.raw_headers if found.lower() == name.encode()]


# ---- origins ----


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (Origin("http", "example.com", 80), "http://example.com:80"),
        (Origin("https", "::1", 8443), "https://[::1]:8443"),
        (Origin("http", "h", 80, uds="/run/a.sock"), "http://h:80 over /run/a.sock"),
    ],
)
def test_an_origin_is_shown_as_a_url(origin: Origin, text: str) -> None:
    assert str(origin) == text


def test_origins_are_equal_when_their_connections_are_interchangeable() -> None:
    origin = Origin("https", "h", 443)
    others = [Origin("http", "h", 443), Origin("https", "g", 443), Origin("https", "h", 444)]
    assert origin == Origin("https", "h", 443)
    assert origin not in [*others, Origin("https", "h", 443, uds="/s")]
    assert hash(origin) == hash(Origin("https", "h", 443))
    assert pickle.loads(pickle.dumps(origin)) == origin
    assert hash(pickle.loads(pickle.dumps(origin))) == hash(origin)
    with pytest.raises(AttributeError):
        origin.port = 1  # type: ignore[misc]  # that it cannot be set is the test


# ---- headers ----


def test_headers_are_found_in_any_case() -> None:
    headers = Headers({"Content-Type": "text/plain", "X-One": "1"})
    assert headers["content-type"] == headers["CONTENT-TYPE"] == headers.get("Content-type") == "text/plain"
    assert "x-ONE" in headers
    assert "x-two" not in headers
    other: Any = 7
    assert other not in headers
    assert headers.get("x-two") is None
    with pytest.raises(KeyError):
        headers["x-two"]


def test_a_repeated_header_has_its_values_joined_or_apart() -> None:
    headers = Headers([("Via", "a"), ("X", "1"), ("via", "b, c")])
    assert headers["via"] == "a, b, c"
    assert headers.get_list("VIA") == ["a", "b, c"]
    assert headers.get_list("none") == []
    assert list(headers) == ["via", "x"]
    assert len(headers) == 2
    assert dict(headers) == {"via": "a, b, c", "x": "1"}


def test_headers_keep_their_order_and_their_names() -> None:
    fields = [("Via", "a"), ("X", "1"), ("via", "b")]
    assert Headers(fields).multi_items() == fields
    assert Headers(fields).raw == [(b"Via", b"a"), (b"X", b"1"), (b"via", b"b")]


def test_the_list_that_get_list_gives_is_the_callers() -> None:
    headers = Headers({"a": "1"})
    headers.get_list("a").append("2")
    assert headers["a"] == "1"


def test_headers_are_made_from_whatever_holds_them() -> None:
    assert Headers().raw == Headers(None).raw == Headers({}).raw == []
    assert Headers([(b"A", b"\xff")])["a"] == "ÿ"
    assert Headers({"A": "ÿ"}).raw == [(b"A", b"\xff")]
    assert Headers({"A": "€"}).raw == [(b"A", "€".encode())]
    assert Headers((name, "1") for name in "ab").raw == [(b"a", b"1"), (b"b", b"1")]
    original = Headers({"a": "1"})
    assert Headers(original).raw == original.raw
    assert Headers(original).raw is not original.raw
    assert copy.deepcopy(original).raw == pickle.loads(pickle.dumps(original)).raw == original.raw


def test_space_around_a_value_is_not_part_of_it() -> None:
    assert Headers({"A": " \t a \t b\t "}).raw == [(b"A", b"a \t b")]


SECRET_NAMES = [
    *("Authorization", "Proxy-Authorization", "Cookie", "Set-Cookie"),
    *("X-Api-Key", "api-key", "X-Goog-Api-Key", "X-Auth-Token", "X-Gateway-Token", "Client-Secret"),
]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_the_repr_of_headers_hides_what_is_secret(name: str) -> None:
    others = [("Accept", "text/html"), ("Idempotency-Key", "k-1"), ("Monkey", "banana")]
    shown = repr(Headers([(name.lower(), SECRET), (name.upper(), SECRET), *others]))
    assert SECRET not in shown
    assert name.upper() in shown
    assert all(value in shown for _, value in others)


# ---- URLs ----

PLACES: list[tuple[str, Origin, bytes, bytes]] = [
    ("http://example.com", Origin("http", "example.com", 80), b"/", b"example.com"),
    ("http://example.com/", Origin("http", "example.com", 80), b"/", b"example.com"),
    ("HTTP://EXAMPLE.com:80/A", Origin("http", "example.com", 80), b"/A", b"example.com"),
    ("https://h:443/a?b=c", Origin("https", "h", 443), b"/a?b=c", b"h"),
    ("http://h:443", Origin("http", "h", 443), b"/", b"h:443"),
    ("https://h:80", Origin("https", "h", 80), b"/", b"h:80"),
    ("http://h?a", Origin("http", "h", 80), b"/?a", b"h"),
    ("http://h/?a=b&a=c&d", Origin("http", "h", 80), b"/?a=b&a=c&d", b"h"),
    ("http://h/a#fragment?b", Origin("http", "h", 80), b"/a", b"h"),
    ("http://h#fragment", Origin("http", "h", 80), b"/", b"h"),
    ("http://h/a b", Origin("http", "h", 80), b"/a%20b", b"h"),
    ("http://h/é?ü=ß", Origin("http", "h", 80), b"/%C3%A9?%C3%BC=%C3%9F", b"h"),
    ("http://h/a%2Fb%3Fc?d=%26%3D%2B", Origin("http", "h", 80), b"/a%2Fb%3Fc?d=%26%3D%2B", b"h"),
    ("http://h/%0d%0aX:y", Origin("http", "h", 80), b"/%0d%0aX:y", b"h"),
    ("http://h/a/../b/./c", Origin("http", "h", 80), b"/a/../b/./c", b"h"),
    ("http://bücher.example", Origin("http", "xn--bcher-kva.example", 80), b"/", b"xn--bcher-kva.example"),
    ("http://straße.example:8000", Origin("http", "xn--strae-oqa.example", 8000), b"/", b"xn--strae-oqa.example:8000"),
    ("http://xn--bcher-kva.example", Origin("http", "xn--bcher-kva.example", 80), b"/", b"xn--bcher-kva.example"),
    ("http://127.0.0.1:81", Origin("http", "127.0.0.1", 81), b"/", b"127.0.0.1:81"),
    ("http://[::1]", Origin("http", "::1", 80), b"/", b"[::1]"),
    ("https://[2001:DB8::1]:8443/a", Origin("https", "2001:db8::1", 8443), b"/a", b"[2001:db8::1]:8443"),
    ("http://my_service.internal./", Origin("http", "my_service.internal.", 80), b"/", b"my_service.internal."),
]


@pytest.mark.parametrize(("url", "origin", "target", "host"), PLACES, ids=[place[0] for place in PLACES])
def test_a_url_says_where_to_connect_and_what_to_ask(url: str, origin: Origin, target: bytes, host: bytes) -> None:
    request = Request("GET", url)
    assert request.origin == origin
    assert request.target == target
    assert request.raw_headers == [(b"Host", host)]
    assert request.url == url


@pytest.mark.parametrize("url", ["http://[fe80::1%25eth0]:8080/", "http://[fe80::1%eth0]:8080/"])
def test_the_zone_of_an_address_is_dialled_and_not_sent(url: str) -> None:
    request = Request("GET", url)
    assert request.origin.host == "fe80::1%eth0"
    assert sent(request, "host") == [b"[fe80::1]:8080"]


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("http://user:pass@h/", b"user:pass"),
        ("http://user@h/", b"user:"),
        ("http://:pass@h/", b":pass"),
        ("http://us%3Aer:p%40ss%2F@h/", b"us:er:p@ss/"),
        ("http://é:ü@h/", "é:ü".encode()),
    ],
)
def test_a_user_and_password_become_basic_authentication(url: str, secret: bytes) -> None:
    request = Request("GET", url)
    assert sent(request, "authorization") == [b"Basic " + base64.b64encode(secret)]
    assert sent(request, "host") == [b"h"]


def test_an_authorization_of_ones_own_counts() -> None:
    request = Request("GET", "http://user:pass@h/", headers={"authorization": "Bearer x"})
    assert sent(request, "authorization") == [b"Bearer x"]


NO_HTTP = ["", "h", "h/x", "/x", "?x", "//h/x", "ftp://h/", "ws://h/", "file:///x", "mailto:a@h", "javascript:0"]
NO_HOST = ["http:", "http:h", "http:/h", "http://", "http:///x", "https://?x", "https://#x"]


@pytest.mark.parametrize("url", NO_HTTP + NO_HOST)
def test_a_url_without_scheme_or_host_is_refused(url: str) -> None:
    with pytest.raises(UnsupportedProtocol) as caught:
        Request("GET", url)
    assert repr(redact(url)) in str(caught.value)


NO_URL = [
    *("http://h:0/", "http://h:x/", "http://h:99999/", "http://h:-1/", "http://[::1", "http://[::1]x/", "http://h\\g/"),
    *("http://u:p@/x", "http://[x]/", "http://h:80:80/"),
]


@pytest.mark.parametrize("url", NO_URL)
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises((UsageError, UnsupportedProtocol)):
        Request("GET", url)


@pytest.mark.parametrize("host", ["a b", "a<b", 'a"b', "a>b", "a{b", "a|b", "a^b", "a`b", "a\x85b", "a\u2028b"])
def test_a_host_that_cannot_be_is_refused(host: str) -> None:
    with pytest.raises((UsageError, UnsupportedProtocol, LocalProtocolError)):
        Request("GET", f"http://{host}/")


@pytest.mark.parametrize("port", ["+80", " 80", "8_0", "8\N{ARABIC-INDIC DIGIT ZERO}"])
def test_a_port_is_made_of_digits(port: str) -> None:
    with pytest.raises((UsageError, UnsupportedProtocol)):
        Request("GET", f"http://h:{port}/")


CONTROLS = [chr(code) for code in range(32)] + ["\x7f"]


@pytest.mark.parametrize("bad", CONTROLS, ids=shown)
@pytest.mark.parametrize("place", ["{}http://h/", "http://{}h/", "http://h/a{}b", "http://h/?a{}", "http://h/#{}"])
def test_a_control_character_in_a_url_is_refused(place: str, bad: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Request("GET", place.format(bad))
    assert f"{bad!r} at position {place.index('{')}" in str(caught.value)


@pytest.mark.parametrize("place", ["http://{}h/", "http://h/a{}b", "http://h/?a={}", "http://u:{}@h/"])
def test_what_cannot_be_encoded_in_a_url_is_refused_and_not_left_out(place: str) -> None:
    with pytest.raises(TrioPoolError):
        Request("GET", place.format("\ud800"))


# ---- parameters ----


@pytest.mark.parametrize(
    ("url", "params", "target"),
    [
        ("http://h", {"a": "b"}, b"/?a=b"),
        ("http://h/x?a=1", {"a": 2, "b": 3}, b"/x?a=1&a=2&b=3"),
        ("http://h/x?a=1#f", {"b": 3}, b"/x?a=1&b=3"),
        ("http://h", {"a": ["1", 2, 3.5]}, b"/?a=1&a=2&a=3.5"),
        ("http://h", {"a": (1, None, True)}, b"/?a=1&a=true"),
        ("http://h", {"a": True, "b": False, "c": None}, b"/?a=true&b=false"),
        ("http://h", [("a", 1), ("b", 2), ("a", 3)], b"/?a=1&b=2&a=3"),
        ("http://h", {"a": "x y&=+#"}, b"/?a=x+y%26%3D%2B%23"),
        ("http://h", {"é": "ü"}, b"/?%C3%A9=%C3%BC"),
        ("http://h", {"a": "\0\r\n"}, b"/?a=%00%0D%0A"),
        ("http://h", {"a": ""}, b"/?a="),
        ("http://h/?x", {"a": None}, b"/?x"),
        ("http://h/?x", {}, b"/?x"),
        ("http://h/?x", None, b"/?x"),
        ("http://h", {"a": []}, b"/"),
    ],
)
def test_parameters_are_added_to_those_of_the_url(url: str, params: Any, target: bytes) -> None:
    assert Request("GET", url, params=params).target == target


def test_parameters_may_come_from_a_generator() -> None:
    assert Request("GET", "http://h", params=((name, 1) for name in "ab")).target == b"/?a=1&b=1"


def test_a_user_and_password_outlive_parameters() -> None:
    request = Request("GET", "http://u:p@h/", params={"a": 1})
    assert sent(request, "authorization") == [b"Basic dTpw"]


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1), st.text()), max_size=4))
def test_parameters_and_forms_arrive_as_they_were(pairs: list[tuple[str, str]]) -> None:
    request = Request("POST", "http://h/", params=pairs, data=pairs)
    assert isinstance(request.content, bytes)
    for text in (request.target.partition(b"?")[2], request.content):
        assert parse_qsl(text.decode(), keep_blank_values=True, strict_parsing=bool(pairs)) == pairs


# ---- methods ----


@pytest.mark.parametrize("method", ["GET", "POST", "get", "PROPFIND", "M-SEARCH", "!#$%&'*+-.^_`|~09"])
def test_a_method_is_any_token_and_sent_as_it_is(method: str) -> None:
    assert Request(method, "http://h/").method == method


NO_TOKENS = ["", " ", "GE T", "GET ", "GET\r\n", "GET\n", "G\0T", "GÉT", "G/T", "("]


@pytest.mark.parametrize("method", [*NO_TOKENS, b"GET", None, 5])
def test_a_method_that_is_no_token_is_refused(method: Any) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Request(method, "http://h/")
    assert repr(method) in str(caught.value)


def test_connect_is_refused() -> None:
    with pytest.raises((LocalProtocolError, UsageError), match="CONNECT"):
        Request("CONNECT", "http://h/")


# ---- header fields that are refused ----


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\r\n", "a\n", "a\0", "é", "(a)", "a\x7f"])
def test_a_header_name_that_is_no_token_is_refused(name: str) -> None:
    for fields in ({name: SECRET}, [(name, SECRET)], [(name.encode(), SECRET.encode())]):
        with pytest.raises(LocalProtocolError) as caught:
            Request("GET", "http://h/", headers=fields)
        assert SECRET not in str(caught.value)
        assert "header name" in str(caught.value)


BAD_IN_VALUES = [chr(code) for code in range(32) if code != 9] + ["\x7f"]


@pytest.mark.parametrize("bad", BAD_IN_VALUES, ids=shown)
def test_a_control_character_in_a_value_is_refused_without_telling_the_value(bad: str) -> None:
    value = f"{SECRET}{bad}Injected: yes"
    for fields in ({"X-Token": value}, [(b"X-Token", value.encode())]):
        with pytest.raises(LocalProtocolError) as caught:
            Request("GET", "http://h/", headers=fields)
        message = str(caught.value)
        assert "'X-Token'" in message
        assert f"{bad.encode()!r} at position {len(SECRET)}" in message
        assert SECRET not in message + repr(caught.value)
        assert "Injected" not in message + repr(caught.value)


@pytest.mark.parametrize("field", [(b"X-Token", f"{SECRET}\n".encode()), (b"X\r\nY", SECRET.encode())])
def test_headers_that_were_made_past_the_checks_are_checked(field: tuple[bytes, bytes]) -> None:
    changed = Headers({"A": "1"})
    changed.raw.append(field)
    for headers in (changed, Headers.of([field])):
        with pytest.raises(LocalProtocolError) as caught:
            Request("GET", "http://h/", headers=headers)
        assert SECRET not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("value", [None, 5, 1.5, True, [SECRET], {SECRET: 1}])
def test_a_value_that_is_no_text_is_refused_by_its_type(value: Any) -> None:
    with pytest.raises(UsageError) as caught:
        Request("GET", "http://h/", headers={"X-Token": value})
    assert "'X-Token'" in str(caught.value)
    assert type(value).__name__ in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_value_that_cannot_be_encoded_is_refused_without_telling_it() -> None:
    with pytest.raises((LocalProtocolError, UsageError)) as caught:
        Request("GET", "http://h/", headers={"X-Token": SECRET + "\ud800"})
    assert SECRET not in str(caught.value) + repr(caught.value.__cause__)
    with pytest.raises((LocalProtocolError, UsageError)):
        Request("GET", "http://h/", headers={"\ud800": "x"})


@pytest.mark.parametrize(
    "headers", ["text", 5, [("a",)], [("a", "b", SECRET)], ["ab", "cde"], {None: "x"}, [None], {1: "x"}]
)
def test_headers_of_no_usable_shape_are_refused(headers: Any) -> None:
    with pytest.raises((UsageError, LocalProtocolError)) as caught:
        Request("GET", "http://h/", headers=headers)
    assert SECRET not in str(caught.value)


# ---- bodies ----

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain; charset=utf-8"
BODIES: list[tuple[dict[str, Any], bytes, str | None]] = [
    ({"content": b""}, b"", None),
    ({"content": b"\0\xff"}, b"\0\xff", None),
    ({"content": bytearray(b"ab")}, b"ab", None),
    ({"content": memoryview(b"ab")}, b"ab", None),
    ({"content": "é"}, "é".encode(), TEXT),
    ({"json": {"a": ["é", 1, 1.5, None, True]}}, '{"a":["é",1,1.5,null,true]}'.encode(), JSON),
    ({"json": False}, b"false", JSON),
    ({"json": 0}, b"0", JSON),
    ({"json": ""}, b'""', JSON),
    ({"json": []}, b"[]", JSON),
    ({"data": {}}, b"", FORM),
    ({"data": {"a": "x y&é", "b": [1, 2]}}, b"a=x+y%26%C3%A9&b=1&b=2", FORM),
    ({"data": {"a": True, "b": False, "c": None}}, b"a=true&b=false", FORM),
    ({"data": [("a", 1), ("a", None), ("a", 2)]}, b"a=1&a=2", FORM),
]


@pytest.mark.parametrize(("given_body", "content", "media_type"), BODIES, ids=[shown(body[0]) for body in BODIES])
def test_a_body_is_encoded_and_framed(given_body: dict[str, Any], content: bytes, media_type: str | None) -> None:
    request = Request("POST", "http://h/", **given_body)
    assert request.content == content
    assert not request.is_streamed
    assert sent(request, "content-length") == [str(len(content)).encode()]
    assert sent(request, "content-type") == ([] if media_type is None else [media_type.encode()])
    assert sent(request, "transfer-encoding") == []


def test_a_content_type_of_ones_own_counts() -> None:
    request = Request("POST", "http://h/", json={}, headers={"content-TYPE": "application/vnd.x+json"})
    assert sent(request, "content-type") == [b"application/vnd.x+json"]


def test_a_body_that_is_made_piece_by_piece_goes_out_in_chunks() -> None:
    body = pieces()
    request = Request("POST", "http://h/", content=body)
    assert request.content is body
    assert request.is_streamed
    assert sent(request, "transfer-encoding") == [b"chunked"]
    assert sent(request, "content-length") == []


def test_a_streamed_body_may_have_a_length() -> None:
    request = Request("POST", "http://h/", content=pieces(), headers={"Content-Length": "5"})
    assert sent(request, "content-length") == [b"5"]
    assert sent(request, "transfer-encoding") == []


@pytest.mark.parametrize(("method", "length"), [("POST", [b"0"]), ("PUT", [b"0"]), ("PATCH", [b"0"]), ("GET", [])])
def test_no_body_has_a_length_only_where_one_is_expected(method: str, length: list[bytes]) -> None:
    request = Request(method, "http://h/")
    assert request.content is None
    assert sent(request, "content-length") == length
    assert sent(request, "transfer-encoding") == []


@pytest.mark.parametrize(
    "bodies",
    [
        {"content": b"", "json": {}},
        {"content": b"", "data": {}},
        {"json": {}, "data": {}},
        {"content": "", "json": 0, "data": {}},
    ],
)
def test_a_body_given_twice_is_refused(bodies: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="one body"):
        Request("POST", "http://h/", **bodies)


@pytest.mark.parametrize("content", [5, [b"a"], iter([b"a"]), {"a": 1}, object()])
def test_content_of_no_usable_type_is_refused(content: Any) -> None:
    with pytest.raises(UsageError, match=type(content).__name__):
        Request("POST", "http://h/", content=content)


CIRCULAR: list[Any] = []
CIRCULAR.append(CIRCULAR)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {1, 2}, b"bytes", object(), CIRCULAR, "\ud800"],
    ids=lambda value: shown(value).encode("ascii", "backslashreplace").decode(),
)
def test_what_is_no_json_is_refused(value: Any) -> None:
    with pytest.raises(UsageError, match=r"(?i)json"):
        Request("POST", "http://h/", json=value)


UNFIT: list[dict[str, Any]] = [{"content": "\ud800"}, {"data": {"a": "\ud800"}}, {"data": "abc"}, {"data": 5}]


@pytest.mark.parametrize("body", UNFIT, ids=ascii)
def test_what_cannot_be_encoded_is_refused(body: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Request("POST", "http://h/", **body)


# ---- framing ----


NO_LENGTHS = ["+2", "-2", "2.0", "0x2", "2_0", "2, 2", "two", "", "\N{SUPERSCRIPT TWO}", "2 2", "9" * 21, "9" * 5000]


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("body", [b"ab", None], ids=shown)
@pytest.mark.parametrize("value", NO_LENGTHS, ids=lambda value: value[:22])
def test_a_content_length_that_is_no_number_is_refused(method: str, body: bytes | None, value: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"Content-Length .* is no number"):
        Request(method, "http://h/", content=body, headers={"Content-Length": value})


@pytest.mark.parametrize(("body", "value"), [(b"ab", "1"), (b"ab", "3"), (b"", "1"), (b"ab", "0"), (None, "1")])
def test_a_content_length_that_is_not_the_bodys_is_refused(body: bytes | None, value: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        Request("POST", "http://h/", content=body, headers={"Content-Length": value})
    assert f"the Content-Length is {value} and the body has {len(body or b'')} bytes" in str(caught.value)


@pytest.mark.parametrize(("body", "value"), [(b"ab", "2"), (b"ab", "02"), (b"", "0"), (None, "0")])
def test_a_content_length_of_ones_own_is_sent_once(body: bytes | None, value: str) -> None:
    request = Request("POST", "http://h/", content=body, headers={"content-length": value})
    assert sent(request, "content-length") == [value.encode()]


@pytest.mark.parametrize("body", [b"ab", pieces()], ids=["whole", "streamed"])
def test_both_framings_at_once_are_refused(body: Any) -> None:
    headers = {"Content-Length": "2", "Transfer-Encoding": "chunked"}
    with pytest.raises(LocalProtocolError, match="both Content-Length and Transfer-Encoding"):
        Request("POST", "http://h/", content=body, headers=headers)


NO_CODINGS = ["gzip", "gzip, chunked", "chunked, chunked", "identity", "", "xchunked", "chunked;a"]


@pytest.mark.parametrize("coding", NO_CODINGS)
def test_a_transfer_encoding_other_than_chunked_is_refused(coding: str) -> None:
    with pytest.raises(LocalProtocolError, match="chunked"):
        Request("POST", "http://h/", content=b"ab", headers={"Transfer-Encoding": coding})


def test_a_transfer_encoding_without_a_body_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="no body"):
        Request("GET", "http://h/", headers={"Transfer-Encoding": "chunked"})


def test_a_body_may_be_sent_in_chunks_by_ones_own_wish() -> None:
    request = Request("POST", "http://h/", content=b"ab", headers={"transfer-encoding": "Chunked"})
    assert sent(request, "transfer-encoding") == [b"Chunked"]
    assert sent(request, "content-length") == []


@pytest.mark.parametrize("name", ["Host", "Content-Length", "Transfer-Encoding"])
def test_a_header_that_can_only_be_once_is_refused_twice(name: str) -> None:
    with pytest.raises(LocalProtocolError, match="twice"):
        Request("POST", "http://h/", headers=[(name, "0"), (name.upper(), "0")])


def test_a_host_of_ones_own_counts() -> None:
    request = Request("GET", "http://127.0.0.1:8000/", headers={"host": "virtual.example"})
    assert sent(request, "host") == [b"virtual.example"]
    assert request.origin == Origin("http", "127.0.0.1", 8000)


def test_the_callers_headers_are_left_alone() -> None:
    fields = [("A", "1")]
    headers = Headers(fields)
    Request("POST", "http://u:p@h/", headers=headers, json={})
    Request("POST", "http://u:p@h/", headers=fields, json={})
    assert headers.multi_items() == fields == [("A", "1")]


def test_the_host_comes_first_and_other_headers_in_their_order() -> None:
    request = Request("POST", "http://h/", headers=[("B", "1"), ("A", "2"), ("b", "3")], content=b"")
    names = [name for name, _ in request.headers.multi_items()]
    assert names == ["Host", "B", "A", "b", "Content-Length"]


def test_timeouts_of_another_kind_are_refused() -> None:
    assert Request("GET", "http://h/", timeouts=Timeouts(read=1)).timeouts == Timeouts(read=1)
    bad: Any
    for bad in (5, 5.0, {"read": 1}, (1, 2)):
        with pytest.raises(UsageError, match="timeouts"):
            Request("GET", "http://h/", timeouts=bad)


# ---- what is never shown ----


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://h/a", "http://h/a"),
        ("http://h/a?b=c", "http://h/a"),
        ("http://h?b", "http://h"),
        ("http://u:p@h:1/a?b", "http://…@h:1/a"),
        ("http://u@h", "http://…@h"),
        ("http://u:p@q@h/", "http://…@h/"),
        ("/a?b", "/a"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_user_and_query(url: str, shown: str) -> None:
    assert redact(url) == shown


def test_a_url_is_shown_without_its_fragment() -> None:
    assert redact(f"http://h/a#access_token={SECRET}") == "http://h/a"
    assert SECRET not in redact(f"http://h/a#{SECRET}?b")


WITH_SECRETS = [
    f"http://user:{SECRET}@h/",
    f"http://{SECRET}@h/",
    f"http://user:{SECRET}@h:99999/",
    f"http://user:{SECRET}@/",
    f"http://user:{SECRET}/x@h/",
    f"http://user:x/{SECRET}@h/",
    f"http://user:x?{SECRET}@h/",
    f"http://user:x#{SECRET}@h/",
    f"http://user:{SECRET}\n@h/",
    f"ftp://user:{SECRET}@h/",
    f"user:{SECRET}@h",
    f"http://h/?key={SECRET}",
    f"http://h:x/?key={SECRET}",
    f"http://[::1/?key={SECRET}",
    f"ftp://h/?key={SECRET}",
    f"?key={SECRET}",
    f"http://h/#key={SECRET}",
    f"http://h/?key={SECRET}\r\n",
    f"http://h:0/?key={SECRET}",
]


@pytest.mark.parametrize("url", WITH_SECRETS, ids=ascii)
def test_no_error_and_no_repr_tells_what_is_secret_in_a_url(url: str) -> None:
    try:
        shown = repr(Request("GET", url, headers={"Authorization": SECRET, "Cookie": SECRET}, json=SECRET))
    except TrioPoolError as error:
        shown = f"{error} {error!r} {error.__cause__!r}"
    assert SECRET not in shown


@settings(deadline=None)
@given(
    user=st.text(max_size=5),
    host=st.sampled_from(["h", "h:99999", "", "[::1", "h:0", "a b"]),
    path=st.text(max_size=5),
    scheme=st.sampled_from(["http", "https", "ftp", ""]),
)
def test_a_query_is_never_told_whatever_is_wrong_with_the_url(user: str, host: str, path: str, scheme: str) -> None:
    try:
        shown = repr(Request("GET", f"{scheme}://{user}@{host}/{path}?key={SECRET}"))
    except TrioPoolError as error:
        shown = f"{error} {error!r} {error.__cause__!r}"
    assert SECRET not in shown


# ---- whatever comes, it is checked ----


@settings(deadline=None)
@given(st.text(max_size=20) | st.text(max_size=12).map(lambda text: f"http://{text}"))
def test_a_url_is_understood_or_refused(url: str) -> None:
    try:
        parsed = parse_url(url)
    except TrioPoolError:
        return
    assert parsed.scheme in ("http", "https")
    assert parsed.raw_host
    assert parsed.raw_host.isascii()


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
VALUES = SCALARS | st.lists(SCALARS, max_size=2)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=3), VALUES, max_size=3))
def test_a_form_leaves_out_nothing_but_none(data: dict[str, Any]) -> None:
    listed = {name: value if isinstance(value, list) else [value] for name, value in data.items()}
    expected = [(name, value) for name, values in listed.items() for value in values if value is not None]
    found = form(data)
    assert [name for name, _ in found] == [name for name, _ in expected]
    for (_, text), (_, value) in zip(found, expected, strict=True):
        assert text == (str(value).lower() if isinstance(value, bool) else str(value))
