"""Where a request goes, and its head: what has been found out about either is kept for the next request.

Programs send the same header fields again and again, but for the body's length. A head that the fast codec can write
is kept in two parts, around its Content-Length, with the fields that it was made of; a request with the same fields
and another length gets its head by joining them, and nothing is checked that was checked before. Keys and values stay
in memory as long as their transport; they are shown to nobody.
"""

from __future__ import annotations

import re
from functools import lru_cache

import attrs

from .._wire.fast_codec import plain_head
from ..config import Limits
from ..errors import LocalProtocolError, UnsupportedProtocol
from ..headers import RawHeaders, encode_headers
from ..messages import Content, Request
from ..urls import DEFAULT_PORTS, Origin, is_host

MOST = 256
"""Heads that are kept: where there are more, they begin anew."""

_SCHEMES = {b"http": "http", b"ws": "http", b"https": "https", b"wss": "https"}
_TARGET = re.compile(rb"[\x21-\x7e]+")
_NAMES = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?: [!#$%&'*+\-.^_`|~0-9A-Za-z]+)*")  # RFC 9110 section 5.6.2
_BAD_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5


@attrs.frozen
class Place:
    origin: Origin
    authority: bytes
    prefix: str


@lru_cache(maxsize=4096)
def place_of(scheme: bytes, host: bytes, port: int | None, sni: str | None) -> Place:
    """Where a request goes, from the parts of its URL."""
    if scheme not in _SCHEMES:
        raise UnsupportedProtocol(f"the URL's scheme {scheme.decode('ascii', 'replace')!r} is neither http nor https")
    kind, name = _SCHEMES[scheme], host.decode("ascii")
    if not is_host(name):
        raise UnsupportedProtocol(f"the URL's host {name!r} is none")
    origin = Origin(kind, name, port or DEFAULT_PORTS[kind], sni=sni if sni and kind == "https" else None)
    shown = f"[{name}]" if ":" in name else name
    authority = shown if origin.port == DEFAULT_PORTS[kind] else f"{shown}:{origin.port}"
    return Place(origin, authority.encode("ascii"), f"{kind}://{authority}")


def checked(raw: RawHeaders) -> RawHeaders:
    """Header fields, as they may go on the wire.

    :raises LocalProtocolError: one is illegal.
    """
    names = b" ".join([name for name, _ in raw])
    values = b"\t".join([value for _, value in raw])
    if names.count(b" ") != len(raw) - 1 or not _NAMES.fullmatch(names) or _BAD_IN_VALUE.search(values):
        return encode_headers(raw)  # which says what is wrong
    return [(name, value.strip(b" \t")) for name, value in raw]


class KnownHeads:
    """The heads of one transport's requests."""

    def __init__(self) -> None:
        self._known: dict[object, tuple[bytes, bytes]] = {}

    def prepare(
        self, method: str, place: Place, target: bytes, raw: RawHeaders, body: Content | None, limits: Limits, url: str
    ) -> Request:
        """A request, checked, or known to have been.

        :param raw: its fields; the list is taken.
        :raises LocalProtocolError: it would break HTTP/1.1.
        """
        position = _position_of_length(raw)
        if body is not None and (type(body) is not bytes or position < 0):
            return _checked_request(method, place, target, raw, body, limits, url)
        length = raw[position] if position >= 0 else None
        key = method, target, position, *(raw if length is None else raw[:position] + raw[position + 1 :])
        found = self._known.get(key)
        if found is not None and length is None:
            return Request.prepared(method, url, place.origin, target, raw, body, limits, found[0])
        if found is not None and length is not None and length[1] == b"%d" % len(body or b""):
            head = b"%b%b%b" % (found[0], length[1], found[1])
            return Request.prepared(method, url, place.origin, target, raw, body, limits, head)
        request = _checked_request(method, place, target, raw, body, limits, url)
        if request.raw_headers == raw:
            self._remember(key, plain_head(request), length)
        return request

    def _remember(self, key: object, head: bytes, length: tuple[bytes, bytes] | None) -> None:
        """Keep a head in two parts, around the length. One that the fast codec cannot write is empty, and not kept."""
        if len(self._known) >= MOST:
            self._known.clear()
        if length is None and head:
            self._known[key] = head, b""
        elif length is not None and head:
            name, value = length
            before, line, after = head.partition(b"\r\n%b: %b\r\n" % (name, value))
            self._known[key] = before + line[: len(name) + 4], b"\r\n" + after


def _position_of_length(raw: RawHeaders) -> int:
    """Where the Content-Length stands, or -1."""
    for position in range(len(raw) - 1, -1, -1):  # it mostly stands near the end
        name = raw[position][0]
        if len(name) == 14 and name.lower() == b"content-length":
            return position
    return -1


def _checked_request(
    method: str, place: Place, target: bytes, raw: RawHeaders, body: Content | None, limits: Limits, url: str
) -> Request:
    if not _TARGET.fullmatch(target):
        raise LocalProtocolError("the request's target has a character that must not be there")
    raw = checked(raw)
    if not any(name.lower() == b"host" for name, _ in raw):
        raw.insert(0, (b"Host", place.authority))
    return Request.prepared(method, url, place.origin, target, raw, body, limits)
