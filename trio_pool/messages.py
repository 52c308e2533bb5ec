"""What is sent, and the figures of one exchange.

A `Request` is checked when it is built, so that nothing illegal is ever near the wire.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from copy import copy
from typing import Any, NamedTuple, Protocol, TypedDict, cast
from urllib.parse import urlencode

import attrs

from .config import Limits, Timeouts
from .errors import LocalProtocolError, UsageError
from .headers import CheckedHeaders, Headers, HeaderTypes, RawHeaders, encode_headers, pairs_of
from .urls import Origin, check_characters, parse_url, redact, target_of

ParamTypes = Mapping[str, Any] | Iterable[tuple[str, Any]] | None
"""What is taken for query parameters and forms: a mapping (a list stands for several values), or pairs."""

Content = bytes | AsyncIterable[bytes]
"""A body: all of it at once, which can be sent again, or piece by piece, which cannot."""

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110 section 9.2.2

IDEMPOTENCY_KEY = b"idempotency-key"  # draft-ietf-httpapi-idempotency-key-header

_HOST = re.compile(rb"[\x21-\x2b\x2d-\x7e\x80-\xff]*")  # neither space nor comma
_TARGET = re.compile(r"[\x21-\x7e]+")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2


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


def iter_once(body: Any) -> bool:
    """Whether an async iterable is its own iterator, so that it can be iterated over once only."""
    return aiter(body) is body


def _check_method(method: Any) -> None:
    if not isinstance(method, str) or not _TOKEN.fullmatch(method):
        raise LocalProtocolError(f"the method {method!r} is no token")


def _check_target(target: Any) -> bytes:
    if not isinstance(target, str) or not _TARGET.fullmatch(target):
        raise LocalProtocolError(f"the target {target!r} has a character that must not be there")
    return target.encode("ascii")


def _expects_continue(raw: RawHeaders) -> bool:
    return any(name.lower() == b"expect" and value.lower() == b"100-continue" for name, value in raw)


def form(data: ParamTypes) -> list[tuple[str, str]]:
    """Pairs of text from what is taken for query parameters and forms; None values are left out."""
    return [
        (str(name), _form_value(value))
        for name, given in pairs_of(data or (), "parameters and forms")
        for value in (cast("list[Any]", given) if isinstance(given, (list, tuple)) else [given])
        if value is not None
    ]


def _with_params(url: str, params: list[tuple[str, str]]) -> str:
    added = urlencode([(_encode_text(name, "params"), _encode_text(value, "params")) for name, value in params])
    parse_url(url)
    base = url.partition("#")[0]
    return f"{base}{'&' if '?' in base else '?'}{added}" if added else url


def _form_value(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


class Held(Exception):
    """A request's guard says that it is not to be sent after all. Its connection goes back whole."""


class Witness(Protocol):
    """Who is told how far one request has come; what it awaits, the request waits for."""

    def waiting(self) -> Callable[[str, Any], None]:
        """The request waits for a connection. What is given back is called with each step of its dial."""
        ...

    async def sending(self, stream: Any) -> None:
        """It has a connection, over this stream, and will be sent."""
        ...

    async def sent(self) -> None:
        """It has been sent; its response is awaited."""
        ...


class RequestOptions(TypedDict, total=False):
    """What a request may have beside its method and URL.

    :ivar params: query parameters, added to those of the URL. A list stands for several values.
    :ivar headers: header fields, as a mapping or as pairs.
    :ivar content: a body: bytes, text (sent as UTF-8), or an async iterable of bytes.
    :ivar json: a body: a value, sent as JSON.
    :ivar data: a body: a form, sent URL-encoded.
    :ivar timeouts: this request's own; what they leave out is inherited from the pool's configuration.
    :ivar target: what stands in the request line instead of the URL's path and query.
    :ivar retry_unsafe: whether a client may send it again although the server may have acted on it (False).
    :ivar idempotency_key: sent as `Idempotency-Key`, the same with every try, which allows as much; True makes one.
    """

    params: ParamTypes
    headers: HeaderTypes
    content: Content | str | None
    json: Any
    data: ParamTypes
    timeouts: Timeouts | None
    target: str | None
    retry_unsafe: bool
    idempotency_key: str | bool | None


class Kept(NamedTuple):
    """A request's head on the wire, and what it was made of: once the request is changed, it counts no more."""

    head: bytes
    method: str
    target: bytes
    content: Content | None
    fields: RawHeaders


class Request:
    """One request, checked and ready to be sent: `method`, `url`, `headers`, `content`, `timeouts`.

    `is_streamed` tells whether the body is made piece by piece, so that it cannot be sent again.

    :param method: a token, such as "GET"; sent as it is.
    :param url: absolute, http or https. A user and password in it become Basic authentication.
    :param params: query parameters, added to those of the URL.
    :param headers: beside those that are put in: Host, and Content-Length or Transfer-Encoding.
    :param content: bytes (or text, sent as UTF-8), or an async iterable of bytes, sent as it comes.
    :param json: a value to be sent as JSON; excludes `content` and `data`.
    :param data: a form to be sent URL-encoded; excludes `content` and `json`.
    :param timeouts: this request's own; what they leave out is inherited.
    :param target: what stands in the request line instead of the URL's path and query, such as "*", or "host:port"
        for CONNECT.
    :param retry_unsafe: whether a client may send it again although the server may have acted on it (False).
    :param idempotency_key: sent as `Idempotency-Key`, the same with every try, which allows as much.
    :raises UnsupportedProtocol: for a URL without host, or with a scheme other than http and https.
    :raises LocalProtocolError: for a method, target or header that would break HTTP/1.1, and for a
        Content-Length that is not the body's.
    :raises UsageError: for a body given twice, or of no usable type.
    """

    __slots__ = (
        "content",
        "expects_continue",
        "guard",
        "is_spent",
        "is_streamed",
        "kept",
        "method",
        "origin",
        "raw_headers",
        "retry_unsafe",
        "target",
        "timeouts",
        "url",
        "was_sent",
        "witness",
    )

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
        target: str | None = None,
        retry_unsafe: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        _check_method(method)
        if timeouts is not None and not isinstance(cast("Any", timeouts), Timeouts):
            raise UsageError(f"timeouts must be Timeouts, not {type(timeouts).__name__}")
        if type(cast("Any", url)) is not str:
            check_characters(url, "URL")
        if params:
            url = _with_params(url, form(params))
        parts = target_of(url)
        raw = list(headers.raw) if type(headers) is CheckedHeaders else encode_headers(headers)
        given = {name.lower() for name, _ in raw}
        if idempotency_key and IDEMPOTENCY_KEY not in given:
            raw += encode_headers([("Idempotency-Key", idempotency_key)])
            given.add(IDEMPOTENCY_KEY)
        body, media_type = _body(content, json, data)
        if media_type is not None and b"content-type" not in given:
            raw.append((b"Content-Type", media_type))
        if parts.authorization is not None and b"authorization" not in given:
            raw.append((b"Authorization", parts.authorization))
        if b"host" not in given:
            raw.insert(0, (b"Host", parts.authority))
        self.method = method
        self.url = url
        self.origin = parts.origin
        self.target = parts.path if target is None else _check_target(target)
        self.content = body
        self.is_streamed = body is not None and not isinstance(body, bytes)
        self.timeouts: Timeouts | Limits | None = timeouts
        self.witness: Witness | None = None
        self.guard: Callable[[Request], None] | None = None
        self.retry_unsafe = retry_unsafe
        self.was_sent = False  # whether a byte of it went out, where that ended in no response
        self.kept: Kept | None = None
        self.is_spent = False  # whether something was taken of a body that is made piece by piece
        self.raw_headers = raw
        self.expects_continue = b"expect" in given and _expects_continue(raw)
        if self.expects_continue and body is None:
            raise LocalProtocolError("the request expects to continue, and has no body")  # RFC 9110 section 10.1.1
        _check_framing(raw, given, body, method)
        if method == "CONNECT" and (target is None or body is not None):
            raise LocalProtocolError("a CONNECT request needs a target, such as 'example.org:443', and has no body")

    @classmethod
    def prepared(
        cls,
        method: str,
        url: str,
        origin: Origin,
        target: bytes,
        raw: RawHeaders,
        body: Content | None,
        limits: Limits,
        encoded: bytes = b"",
    ) -> Request:
        """A request of parts that another library took apart: only its method and framing are checked here.

        :param method: such as "GET".
        :param url: absolute, without user information and fragment.
        :param origin: where the URL leads.
        :param target: what stands in the request line.
        :param raw: header fields that are legal; the list is kept.
        :param body: bytes, or an async iterable of bytes, or None.
        :param limits: stand for its timeouts, and inherit nothing.
        :param encoded: its head on the wire, where one of the same fields was made before: then nothing is checked.
        :raises LocalProtocolError: the method is no token, or the fields do not frame the body.
        """
        self = cls.__new__(cls)
        self.method, self.url, self.origin, self.target, self.raw_headers = method, url, origin, target, raw
        self.content = body
        self.is_streamed = body is not None and not isinstance(body, bytes)
        self.timeouts = limits
        self.witness = self.guard = None
        self.retry_unsafe = self.was_sent = False
        self.encoded = encoded
        self.expects_continue = self.is_spent = False
        if not encoded:
            _check_method(method)
            given = {name.lower() for name, _ in raw}
            self.expects_continue = b"expect" in given and body is not None and _expects_continue(raw)
            _check_framing(raw, given, body, method)
        return self

    @property
    def encoded(self) -> bytes:
        """The request's head on the wire, once a codec has made it; else b"". See `Kept`."""
        return b"" if self.kept is None else self.kept.head

    @encoded.setter
    def encoded(self, head: bytes) -> None:
        self.kept = Kept(head, self.method, self.target, self.content, self.raw_headers.copy()) if head else None

    def check_body(self) -> None:
        """Whether there is a body to be sent.

        :raises UsageError: it was sent before, and its body, which can be iterated over once only, is spent.
        """
        if self.is_spent and iter_once(self.content):
            raise UsageError("the request's streamed body was sent before", origin=self.origin)

    def begin(self) -> None:
        """Note that the body is being sent. Raises as `check_body`."""
        self.check_body()
        self.is_spent = True

    @property
    def can_be_repeated(self) -> bool:
        """Whether its body, if it has one, can be sent a second time."""
        return not self.is_streamed or not iter_once(self.content)

    @property
    def headers(self) -> Headers:
        """The header fields as they are sent."""
        return Headers.of(self.raw_headers)

    def twin(self) -> Request:
        """The same request again, for whoever sends many."""
        twin = Request.__new__(Request)
        twin.method, twin.url, twin.origin, twin.target = self.method, self.url, self.origin, self.target
        twin.content, twin.is_streamed, twin.timeouts = self.content, self.is_streamed, self.timeouts
        twin.witness, twin.guard = self.witness, self.guard
        twin.retry_unsafe, twin.was_sent = self.retry_unsafe, False
        twin.kept, twin.expects_continue, twin.is_spent = self.kept, self.expects_continue, False
        twin.raw_headers = self.raw_headers.copy()
        return twin

    def to_proxy(self, authorization: bytes | None) -> Request:
        """The same for a proxy that is sent plain http: with the whole URL, and the proxy's own credentials.

        :param authorization: the value of Proxy-Authorization, or None.
        """
        twin = copy(self)
        twin.kept = None
        if self.target == b"*" or self.target.startswith(b"/"):
            path = b"" if self.target == b"*" else self.target  # RFC 9112 section 3.2.4
            twin.target = b"http://" + target_of(self.url).authority + path
        if authorization is not None and not any(n.lower() == b"proxy-authorization" for n, _ in self.raw_headers):
            twin.raw_headers = [*self.raw_headers, (b"Proxy-Authorization", authorization)]
        return twin

    def __repr__(self) -> str:
        return f"<Request {self.method} {redact(self.url)}>"


def _body(content: Any, json: Any, data: ParamTypes) -> tuple[Content | None, bytes | None]:
    if sum(part is not None for part in (content, json, data)) > 1:
        raise UsageError("a request has one body: content, json or data, not several of them")
    if json is not None:
        return _encode_json(json), b"application/json"
    if data is not None:
        return urlencode(_encodable(form(data))).encode("ascii"), b"application/x-www-form-urlencoded"
    if isinstance(content, str):
        return _encode_text(content, "content"), b"text/plain; charset=utf-8"
    if isinstance(content, (bytearray, memoryview)):
        return bytes(cast("bytes", content)), None
    if content is None or isinstance(content, bytes) or hasattr(content, "__aiter__"):
        return content, None
    raise UsageError(f"content must be bytes, text or an async iterable of bytes, not {type(content).__name__}")


def _encode_json(value: Any) -> bytes:
    import json as json_module  # takes its time

    try:
        text = json_module.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"the value cannot be sent as JSON: {type(error).__name__}") from None
    return _encode_text(text, "json")


def _encode_text(text: str, what: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # which holds the text: it must not come along
        raise UsageError(f"{what} has half of a surrogate pair") from None


def _encodable(pairs: list[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(_encode_text(name, "data"), _encode_text(value, "data")) for name, value in pairs]


def _check_framing(raw: RawHeaders, given: set[bytes], body: Content | None, method: str) -> None:
    """See to it that exactly one framing goes out, and that it is the body's (RFC 9112 section 6)."""
    by_name = {name.lower(): value for name, value in raw}
    if len(by_name) < len(raw):
        names = [name.lower() for name, _ in raw]
        for name in (b"host", b"content-length", b"transfer-encoding"):
            if names.count(name) > 1:
                raise LocalProtocolError(f"the request has the header {name.decode()!r} twice")
    if b"host" in given and not _HOST.fullmatch(by_name[b"host"]):
        raise LocalProtocolError("the request's Host has a character that must not be there")
    if method == "TRACE" and body is not None:
        raise LocalProtocolError("a TRACE request has no body")  # RFC 9110 section 9.3.8
    if b"transfer-encoding" in given:
        _check_transfer_encoding(raw, given, body)
    elif b"content-length" in given:
        _check_content_length(by_name[b"content-length"], body)
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
