"""Requests: what none may be, and how the others have to arrive."""

from __future__ import annotations

from typing import Any, NamedTuple

from trio_pool import LocalProtocolError, TrioPoolError, UnsupportedProtocol, UsageError

from .cases_both import stream

METHOD = "CVE-2020-26116 (Python), CVE-2020-26137 (urllib3), CVE-2023-49082 (aiohttp): a method that ends the line"
TARGET = "CVE-2019-9740 and CVE-2019-11236 (Python, urllib3), CVE-2019-9741 (Go): a URL that ends the line"
VALUE = "RFC 9110 section 5.5, CVE-2022-31150 (undici): a value that ends the line"
NAME = "RFC 9110 section 5.1"
HOST = "CVE-2023-23936 (undici), CVE-2023-29406 (Go): a Host that ends the line"
FRAMING = "RFC 9112 section 6.3, GHSA-2mjp-6q6p-2qxm (undici)"


class Refusal(NamedTuple):
    """What no request may be."""

    name: str
    source: str
    options: dict[str, Any]
    error: type[TrioPoolError] = LocalProtocolError


def refused(name: str, source: str, error: type[TrioPoolError] = LocalProtocolError, **options: Any) -> Refusal:
    """What is refused; by default of a GET to /case."""
    return Refusal(name, source, options, error)


CONTROLS = {
    "CR LF": "\r\n",
    "CR": "\r",
    "LF": "\n",
    "NUL": "\0",
    "VT": "\x0b",
    "DEL": "\x7f",
}
METHODS = {
    "a space": "GET /",
    "a request": "GET / HTTP/1.1\r\nX: y\r\n\r\nGET",
    "nothing": "",
    "a tab": "GE\tT",
    "a colon": "GET:",
    "a slash": "G/T",
    "a letter beyond ASCII": "GÉT",
    "half a surrogate pair": "G\ud800T",
    "a space behind it": "GET ",
    **{name: f"GET{text}" for name, text in CONTROLS.items()},
}
HEADERS: dict[str, tuple[str, Any]] = {
    "no name": (NAME, [("", "y")]),
    "a space in the name": (NAME, [("X Y", "y")]),
    "a colon in the name": (NAME, [("X:", "y")]),
    "a space behind the name": (NAME, [("X ", "y")]),
    "a letter beyond ASCII in the name": (NAME, [("Xé", "y")]),
    "bytes beyond ASCII in the name": (NAME, [(b"X\xe9", b"y")]),
    "a header in the name": (NAME, [("X: y\r\nY", "z")]),
    "a header in the value": (VALUE, [("X", "y\r\nY: z")]),
    "a request in the value": (VALUE, [("X", "y\r\n\r\nGET /admin HTTP/1.1\r\nHost: h")]),
    "a folded value": (VALUE, [("X", "y\r\n z")]),
    "a header in bytes in the value": (VALUE, [(b"X", b"y\r\nY: z")]),
    "a header in the Host": (HOST, [("Host", "h\r\nX: y")]),
    "two Hosts": ("RFC 9112 section 3.2", [("Host", "h"), ("Host", "h")]),
    "two Hosts of different case": ("RFC 9112 section 3.2", [("Host", "h"), ("hOST", "g")]),
    **{f"{name} in the name": (NAME, [(f"X{text}", "y")]) for name, text in CONTROLS.items()},
    **{f"{name} in the value": (VALUE, [("X", f"y{text}z")]) for name, text in CONTROLS.items()},
    **{f"{name} at the end of the value": (VALUE, [("X", f"y{text}")]) for name, text in CONTROLS.items()},
    **{f"{name} in the Host": (HOST, [("Host", f"h{text}")]) for name, text in CONTROLS.items()},
}
FRAMINGS: dict[str, tuple[list[tuple[str, str]], Any]] = {
    "two lengths": ([("Content-Length", "5"), ("Content-Length", "5")], b"hello"),
    "two lengths of different case": ([("Content-Length", "5"), ("content-length", "6")], b"hello"),
    "a length and chunks": ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], b"hello"),
    "a length and chunks of a stream": ([("Content-Length", "5"), ("Transfer-Encoding", "chunked")], stream(b"hello")),
    "chunks twice": ([("Transfer-Encoding", "chunked"), ("transfer-encoding", "chunked")], b"hello"),
    "chunks without a body": ([("Transfer-Encoding", "chunked")], None),
    "gzip and chunks": ([("Transfer-Encoding", "gzip, chunked")], b"hello"),
    "identity": ([("Transfer-Encoding", "identity")], b"hello"),
    "a coding that is none": ([("Transfer-Encoding", "xchunked")], b"hello"),
    "an empty coding": ([("Transfer-Encoding", "")], b"hello"),
    "a length that is too long": ([("Content-Length", "6")], b"hello"),
    "a length that is too short": ([("Content-Length", "4")], b"hello"),
    "a length without a body": ([("Content-Length", "5")], None),
    "a length with a plus": ([("Content-Length", "+5")], b"hello"),
    "a length with an underscore": ([("Content-Length", "0_5")], b"hello"),
    "a length in Arabic digits": ([("Content-Length", "\u0665")], b"hello"),
    "a length in superscript": ([("Content-Length", "\u2075")], b"hello"),
    "a length in a list": ([("Content-Length", "5, 5")], b"hello"),
    "an empty length": ([("Content-Length", "")], b"hello"),
    "a length in words": ([("Content-Length", "five")], stream(b"hello")),
}
URLS: dict[str, tuple[str, type[TrioPoolError]]] = {
    **{f"{name} in the path": (f"/case{text}", LocalProtocolError) for name, text in CONTROLS.items()},
    **{f"{name} in the query": (f"/case?{text}", LocalProtocolError) for name, text in CONTROLS.items()},
    "a request in the path": ("/case HTTP/1.1\r\nX: y\r\n\r\nGET /", LocalProtocolError),
}
PLACES: dict[str, tuple[str, type[TrioPoolError]]] = {
    "a header in the host": ("http://h\r\nX: y/", LocalProtocolError),
    "a space in the host": ("http://h h/", UsageError),
    "a NUL in the host": ("http://h\0h/", LocalProtocolError),
    "a header in the user": ("http://u\r\nX: y@h/", LocalProtocolError),
    "no host": ("http:///case", UnsupportedProtocol),
    "no scheme": ("/case", UnsupportedProtocol),
    "a file": ("file:///etc/passwd", UnsupportedProtocol),
    "another scheme": ("ftp://h/", UnsupportedProtocol),
    "a port beyond 65535": ("http://h:65536/", UsageError),
    "port 0": ("http://h:0/", UsageError),
    "a port with a sign": ("http://h:+80/", UsageError),
    "a port that is none": ("http://h:http/", UsageError),
}
TARGETS = {
    "a space": "/case x",
    "a header": "/case HTTP/1.1\r\nX: y",
    "nothing": "",
    "a letter beyond ASCII": "/é",
    **{name: f"/case{text}" for name, text in CONTROLS.items()},
}
REFUSED: list[Refusal] = [
    *[refused(f"a method with {name}", METHOD, method=method) for name, method in METHODS.items()],
    *[refused(f"a header with {name}", source, headers=headers) for name, (source, headers) in HEADERS.items()],
    *[
        refused(f"a body with {name}", FRAMING, method="POST", headers=headers, content=content)
        for name, (headers, content) in FRAMINGS.items()
    ],
    *[refused(f"a URL with {name}", TARGET, error, path=path) for name, (path, error) in URLS.items()],
    *[refused(f"a URL with {name}", TARGET, error, url=url) for name, (url, error) in PLACES.items()],
    *[refused(f"a target with {name}", TARGET, target=target) for name, target in TARGETS.items()],
    refused("a CONNECT without a target", "RFC 9110 section 9.3.6", method="CONNECT"),
    refused("a CONNECT with a body", "RFC 9110 section 9.3.6", method="CONNECT", target="h:1", content=b"x"),
    refused(
        "a TRACE with a body", "RFC 9110 section 9.3.8: a client MUST NOT send content", method="TRACE", content=b"x"
    ),
    refused(
        "an Expect without a body",
        "RFC 9110 section 10.1.1: a client MUST NOT expect 100-continue without content",
        headers={"Expect": "100-continue"},
    ),
    refused("a Host with a space", "RFC 9112 section 3.2: a server MUST refuse it", headers={"Host": "a b"}),
]


class Arrival(NamedTuple):
    """What is asked, and how it has to arrive: its method, target, body, and fields beside the Host."""

    name: str
    options: dict[str, Any]
    method: str
    target: str
    body: bytes
    fields: list[tuple[str, str]]


def arrives(
    name: str, options: dict[str, Any], *fields: tuple[str, str], target: str = "/case", body: bytes = b""
) -> Arrival:
    """What arrives, by default from a GET to /case without fields."""
    return Arrival(name, options, options.get("method", "GET"), target, body, list(fields))


CHUNKED, FIVE, NONE = ("Transfer-Encoding", "chunked"), ("Content-Length", "5"), ("Content-Length", "0")
POST = {"method": "POST"}
ARRIVING: list[Arrival] = [
    arrives("a GET", {}),
    arrives("a HEAD", {"method": "HEAD"}),
    arrives("a method of its own", {"method": "BREW"}),
    arrives("a method in small letters", {"method": "get"}),
    arrives("every character of a method", {"method": "!#$%&'*+-.^_`|~aZ09"}),
    arrives("an OPTIONS of everything", {"method": "OPTIONS", "target": "*"}, target="*"),
    arrives("a whole URL as the target", {"target": "http://far.example/x?y"}, target="http://far.example/x?y"),
    arrives("a space in the path", {"path": "/a b"}, target="/a%20b"),
    arrives("letters beyond ASCII in the path", {"path": "/bücher?ä=ö"}, target="/b%C3%BCcher?%C3%A4=%C3%B6"),
    arrives("an encoded line end in the path", {"path": "/a%0d%0aX:%20y"}, target="/a%0d%0aX:%20y"),
    arrives("no fragment", {"path": "/a#b"}, target="/a"),
    arrives("no path", {"path": ""}, target="/"),
    arrives("only a query", {"path": "?a=b"}, target="/?a=b"),
    arrives("a parameter with a line end", {"params": {"a": "b\r\nc"}}, target="/case?a=b%0D%0Ac"),
    arrives("fields in order", {"headers": [("b", "1"), ("A", "2"), ("B", "3")]}, ("b", "1"), ("A", "2"), ("B", "3")),
    arrives("a value with spaces around", {"headers": {"X": "  y \t"}}, ("X", "y")),
    arrives("an empty value", {"headers": {"X": ""}}, ("X", "")),
    arrives("a value beyond ASCII", {"headers": {"X": "é"}}, ("X", "\xe9")),
    arrives("a value beyond ISO-8859-1", {"headers": {"X": "€"}}, ("X", "\xe2\x82\xac")),
    arrives("a POST without a body", POST, NONE),
    arrives("a body", POST | {"content": b"hello"}, FIVE, body=b"hello"),
    arrives("an empty body", POST | {"content": b""}, NONE),
    arrives("a body with its own length", POST | {"content": b"hello", "headers": [FIVE]}, FIVE, body=b"hello"),
    arrives("a body of a GET", {"content": b"hello"}, FIVE, body=b"hello"),
    arrives(
        "a body in chunks of its own will", POST | {"content": b"hello", "headers": [CHUNKED]}, CHUNKED, body=b"hello"
    ),
    arrives("a large body", POST | {"content": b"x" * 1_000_000}, ("Content-Length", "1000000"), body=b"x" * 1_000_000),
    arrives(
        "a body like a request",
        POST | {"content": b"\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"},
        ("Content-Length", "25"),
        body=b"\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    ),
    arrives("a stream", POST | {"content": stream(b"he", b"llo")}, CHUNKED, body=b"hello"),
    arrives(
        "a stream with empty pieces",
        POST | {"content": stream(b"", b"he", b"", b"", b"llo", b"")},
        CHUNKED,
        body=b"hello",
    ),
    arrives("a stream of empty pieces alone", POST | {"content": stream(b"", b"")}, CHUNKED),
    arrives("a stream of nothing", POST | {"content": stream()}, CHUNKED),
    arrives(
        "a stream like chunks", POST | {"content": stream(b"0\r\n\r\n", b"5\r\n")}, CHUNKED, body=b"0\r\n\r\n5\r\n"
    ),
    arrives(
        "a stream with a length", POST | {"content": stream(b"he", b"", b"llo"), "headers": [FIVE]}, FIVE, body=b"hello"
    ),
    arrives("a stream with a length of nothing", POST | {"content": stream(b""), "headers": [NONE]}, NONE),
    arrives("many pieces", POST | {"content": stream(*[b"x"] * 2000)}, CHUNKED, body=b"x" * 2000),
    arrives(
        "a form",
        POST | {"data": {"a": "b\r\nc&d"}},
        ("Content-Type", "application/x-www-form-urlencoded"),
        ("Content-Length", "14"),
        body=b"a=b%0D%0Ac%26d",
    ),
    arrives(
        "JSON",
        POST | {"json": {"a": "\r\n"}},
        ("Content-Type", "application/json"),
        ("Content-Length", "12"),
        body=b'{"a":"\\r\\n"}',
    ),
]
