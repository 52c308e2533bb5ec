"""What is sent and where: origins, headers, requests, and the figures of one exchange.

A `Request` is checked when it is built, so that nothing illegal is ever near the wire.
"""

from __future__ import annotations

import base64
import functools
import json as json_module
import re
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from typing import Any, TypedDict
from urllib.parse import urlencode

import attrs
import yarl

from .config import Timeouts
from .errors import LocalProtocolError, RemoteProtocolError, UnsupportedProtocol, UsageError

HeaderTypes = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]] | None
"""What is taken for headers: a mapping, or pairs of text or of bytes."""

ParamTypes = Mapping[str, Any] | Iterable[tuple[str, Any]] | None
"""What is taken for query parameters and forms: a mapping (a list stands for several values), or pairs."""

Content = bytes | AsyncIterable[bytes]
"""A body: all of it at once, which can be sent again, or piece by piece, which cannot."""

RawHeaders = list[tuple[bytes, bytes]]

DEFAULT_PORTS = {"http": 80, "https": 443}
IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110 section 9.2.2

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_TOKEN_BYTES = re.compile(_TOKEN.pattern.encode())
_BAD_IN_URL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_IN_TARGET = re.compile(rb"[^\x21-\x7e\x80-\xff]")
_BAD_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5, and not even obs-fold


@attrs.frozen(cache_hash=True)
class Origin:
    """Where a connection leads: whatever makes two connections not interchangeable.

    :ivar scheme: "http" or "https".
    :ivar host: a name in its ASCII form, or an IP address without brackets; lower case.
    :ivar port: the TCP port.
    :ivar uds: the path of a Unix socket that is dialled instead of host and port, or None.
    """

    scheme: str
    host: str
    port: int
    uds: str | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        via = f" over {self.uds}" if self.uds is not None else ""
        return f"{self.scheme}://{host}:{self.port}{via}"


class Headers(Mapping[str, str]):
    """Header fields in the order they came, their names compared without regard to case.

    `headers[name]` joins the values of a repeated field by `", "` (RFC 9110 section 5.3); `get_list` keeps
    them apart. Values are text by ISO-8859-1, which loses nothing; `raw` has the bytes.

    :param fields: a mapping, or pairs of text or of bytes.
    """

    __slots__ = ("_index", "raw")

    def __init__(self, fields: HeaderTypes = None) -> None:
        self.raw: RawHeaders = encode_headers(fields)
        self._index: dict[str, list[str]] | None = None

    @classmethod
    def of(cls, raw: RawHeaders) -> Headers:
        """Headers over pairs of bytes that are known to be well formed; the list is kept, not copied."""
        headers = cls.__new__(cls)
        headers.raw = raw
        headers._index = None
        return headers

    def _values(self) -> dict[str, list[str]]:
        if self._index is None:
            self._index = {}
            for name, value in self.raw:
                self._index.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        return self._index

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._values()[name.lower()])

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values()

    def get_list(self, name: str) -> list[str]:
        """The values of each field of this name, in order; none gives an empty list."""
        return list(self._values().get(name.lower(), ()))

    def multi_items(self) -> list[tuple[str, str]]:
        """All fields in order, repeated ones apart, names as they came."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw]

    def __repr__(self) -> str:
        return f"Headers({[(name, '…' if name.lower() in SECRET else v) for name, v in self.multi_items()]})"


SECRET = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
        "api-key",
        "x-api-key",
        "x-goog-api-key",
        "x-auth-token",
    }
)
"""Names, in lower case, of header fields whose values are never shown."""


@attrs.frozen
class Timings:
    """How long the parts of one exchange took, in seconds; None where it has not come to that.

    :ivar waited: for a connection, the dial included.
    :ivar dialled: the dial of this connection, if it was made for this request's origin just now, else None.
    :ivar sent: from having a connection to having sent the whole request.
    :ivar first_byte: from having sent the request to the response's head.
    :ivar total: from the call to the end of the body.
    :ivar reused: whether the connection had served before.
    """

    waited: float
    dialled: float | None
    sent: float | None
    first_byte: float | None
    total: float | None
    reused: bool


@attrs.frozen
class Target:
    """A URL in the parts that a request needs."""

    origin: Origin
    path: bytes
    authority: bytes
    authorization: bytes | None = attrs.field(repr=False)
    url: yarl.URL = attrs.field(repr=False)


def parse_url(url: str) -> yarl.URL:
    """A URL with a scheme and a host.

    :raises UnsupportedProtocol: without scheme or host, or with a scheme other than http and https.
    :raises LocalProtocolError: with a control character.
    """
    bad = _BAD_IN_URL.search(url)
    if bad is not None:
        raise LocalProtocolError(f"the URL has the control character {bad.group()!r} at position {bad.start()}")
    try:
        parsed = yarl.URL(url)
        host, port = parsed.raw_host, parsed.explicit_port
    except ValueError as error:
        raise UsageError(f"{redact(url)!r} is no URL: {error.__class__.__name__}") from None
    if parsed.scheme not in DEFAULT_PORTS:
        raise UnsupportedProtocol(f"the URL {redact(url)!r} must start with http:// or https://")
    if not host or port == 0:
        raise UnsupportedProtocol(f"the URL {redact(url)!r} has no {'port' if host else 'host'}")
    return parsed


def parse_reference(location: str) -> yarl.URL:
    """A URL that may be relative, as a redirect has it.

    :raises RemoteProtocolError: it is none.
    """
    try:
        if _BAD_IN_URL.search(location) is None:
            return yarl.URL(location)
    except ValueError:
        pass
    raise RemoteProtocolError("the server redirected to something that is no URL", may_have_been_processed=True)


def redact(url: str) -> str:
    """The URL without user information and query, where secrets travel."""
    return re.sub(r"//[^/?#]*@", "//…@", url).partition("?")[0]


@functools.lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    """What `parse_url` finds, in the parts that a request needs. Cached: programs ask the same URLs again."""
    parsed = parse_url(url)
    host, scheme = parsed.raw_host or "", parsed.scheme
    port = parsed.port or DEFAULT_PORTS[scheme]
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}"
    authorization = None
    if parsed.user is not None or parsed.password is not None:
        secret = f"{parsed.user or ''}:{parsed.password or ''}".encode()
        authorization = b"Basic " + base64.b64encode(secret)
    path = parsed.raw_path_qs or "/"
    return Target(Origin(scheme, host, port), path.encode("ascii"), authority.encode("ascii"), authorization, parsed)


def encode_headers(fields: HeaderTypes) -> RawHeaders:
    """Pairs of bytes, checked.

    :raises LocalProtocolError: for a name that is no token, or a control character in a value. The message
        has the name and where the character stands, never the value: secrets travel in headers.
    """
    if fields is None:
        return []
    if isinstance(fields, Headers):
        return list(fields.raw)
    pairs = fields.items() if isinstance(fields, Mapping) else fields
    return [_encode_field(name, value) for name, value in pairs]


def _encode_field(name: str | bytes, value: Any) -> tuple[bytes, bytes]:
    raw_name = name.encode("utf-8") if isinstance(name, str) else bytes(name)
    if not _TOKEN_BYTES.fullmatch(raw_name):
        raise LocalProtocolError(f"the header name {name!r} is no token")
    if not isinstance(value, (str, bytes)):
        raise UsageError(f"the value of the header {name!r} must be text or bytes, not {type(value).__name__}")
    raw_value = value if isinstance(value, bytes) else _encode_value(value)
    bad = _BAD_IN_VALUE.search(raw_value)
    if bad is not None:
        where = f"the character {bad.group()!r} at position {bad.start()}"
        raise LocalProtocolError(f"the value of the header {raw_name.decode()!r} has {where}")
    return raw_name, raw_value.strip(b" \t")


def _encode_value(value: str) -> bytes:
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        return value.encode("utf-8")


def _check_method(method: str) -> None:
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise LocalProtocolError(f"the method {method!r} is no token")


def form(data: ParamTypes) -> list[tuple[str, str]]:
    """Pairs of text from what is taken for query parameters and forms; None values are left out."""
    pairs = data.items() if isinstance(data, Mapping) else (data or ())
    flat = []
    for name, value in pairs:
        values = value if isinstance(value, (list, tuple)) else [value]
        flat += [(str(name), _form_value(v)) for v in values if v is not None]
    return flat


def _form_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class RequestOptions(TypedDict, total=False):
    """What a request may have beside its method and URL.

    :ivar params: query parameters, added to those of the URL. A list stands for several values.
    :ivar headers: header fields, as a mapping or as pairs.
    :ivar content: a body: bytes, text (sent as UTF-8), or an async iterable of bytes.
    :ivar json: a body: a value, sent as JSON.
    :ivar data: a body: a form, sent URL-encoded.
    :ivar timeouts: this request's own; what they leave out is inherited from the pool's configuration.
    """

    params: ParamTypes
    headers: HeaderTypes
    content: Content | str | None
    json: Any
    data: ParamTypes
    timeouts: Timeouts | None


class Request:
    """One request, checked and ready to be sent: `method`, `url`, `headers`, `content`, `timeouts`.

    :param method: a token, such as "GET"; sent as it is.
    :param url: absolute, http or https. A user and password in it become Basic authentication.
    :param params: query parameters, added to those of the URL.
    :param headers: beside those that are put in: Host, and Content-Length or Transfer-Encoding.
    :param content: bytes (or text, sent as UTF-8), or an async iterable of bytes, sent as it comes.
    :param json: a value to be sent as JSON; excludes `content` and `data`.
    :param data: a form to be sent URL-encoded; excludes `content` and `json`.
    :param timeouts: this request's own; what they leave out is inherited.
    :raises UnsupportedProtocol: for a URL without host, or with a scheme other than http and https.
    :raises LocalProtocolError: for a method, target or header that would break HTTP/1.1, and for a
        Content-Length that is not the body's.
    :raises UsageError: for a body given twice, or of no usable type.
    """

    __slots__ = ("content", "method", "origin", "raw_headers", "target", "timeouts", "url")

    def __init__(
        self,
        method: str,
        url: str,
        *,
        params: ParamTypes = None,
        headers: HeaderTypes = None,
        content: Content | str | None = None,
        json: Any = None,
        data: ParamTypes = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        _check_method(method)
        if params:
            url = str(parse_url(url).extend_query(form(params)))
        target = target_of(url)
        raw = encode_headers(headers)
        given = {name.lower() for name, _ in raw}
        body, media_type = _body(content, json, data)
        if media_type is not None and b"content-type" not in given:
            raw.append((b"Content-Type", media_type))
        if target.authorization is not None and b"authorization" not in given:
            raw.append((b"Authorization", target.authorization))
        if b"host" not in given:
            raw.insert(0, (b"Host", target.authority))
        self.method = method
        self.url = url
        self.origin = target.origin
        self.target = target.path
        self.content = body
        self.timeouts = timeouts
        self.raw_headers = raw
        _check_framing(raw, given, body, method)

    @property
    def headers(self) -> Headers:
        """The header fields as they are sent."""
        return Headers.of(self.raw_headers)

    @property
    def is_streamed(self) -> bool:
        """Whether the body is made piece by piece, so that it cannot be sent again."""
        return self.content is not None and not isinstance(self.content, bytes)

    def __repr__(self) -> str:
        return f"<Request {self.method} {redact(self.url)}>"


def _body(content: Any, json: Any, data: ParamTypes) -> tuple[Content | None, bytes | None]:
    if sum(part is not None for part in (content, json, data)) > 1:
        raise UsageError("a request has one body: content, json or data, not several of them")
    if json is not None:
        text = json_module.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode("utf-8"), b"application/json"
    if data is not None:
        return urlencode(form(data)).encode("ascii"), b"application/x-www-form-urlencoded"
    if isinstance(content, str):
        return content.encode("utf-8"), b"text/plain; charset=utf-8"
    if isinstance(content, (bytearray, memoryview)):
        return bytes(content), None
    if content is None or isinstance(content, (bytes, AsyncIterable)):
        return content, None
    raise UsageError(f"content must be bytes, text or an async iterable of bytes, not {type(content).__name__}")


def _check_framing(raw: RawHeaders, given: set[bytes], body: Content | None, method: str) -> None:
    """See to it that exactly one framing goes out, and that it is the body's (RFC 9112 section 6)."""
    names = [name.lower() for name, _ in raw]
    for name in (b"host", b"content-length", b"transfer-encoding"):
        if names.count(name) > 1:
            raise LocalProtocolError(f"the request has the header {name.decode()!r} twice")
    if b"transfer-encoding" in given:
        _check_transfer_encoding(raw, given, body)
    elif b"content-length" in given:
        _check_content_length(dict(zip(names, (value for _, value in raw), strict=True))[b"content-length"], body)
    elif isinstance(body, bytes):
        raw.append((b"Content-Length", b"%d" % len(body)))
    elif body is not None:
        raw.append((b"Transfer-Encoding", b"chunked"))
    elif method in ("POST", "PUT", "PATCH"):
        raw.append((b"Content-Length", b"0"))  # RFC 9110 section 8.6: expected where the method has a body


def _check_transfer_encoding(raw: RawHeaders, given: set[bytes], body: Content | None) -> None:
    value = next(value for name, value in raw if name.lower() == b"transfer-encoding")
    if b"content-length" in given:
        raise LocalProtocolError("the request has both Content-Length and Transfer-Encoding")
    if value.lower() != b"chunked":
        raise LocalProtocolError("the request's Transfer-Encoding can only be 'chunked'")
    if body is None:
        raise LocalProtocolError("the request has a Transfer-Encoding and no body")


def _check_content_length(value: bytes, body: Content | None) -> None:
    if not (value.isdigit() and len(value) <= 20):
        raise LocalProtocolError(f"the Content-Length {value!r} is no number")
    actual = len(body) if isinstance(body, bytes) else 0
    if int(value) != actual and (body is None or isinstance(body, bytes)):
        raise LocalProtocolError(f"the Content-Length is {int(value)} and the body has {actual} bytes")
