"""Where requests go: origins, and URLs in the parts that a request needs.

URLs are taken apart by yarl; what yarl lets pass and a client must not send is refused before. No error here shows
a URL's user information, query or fragment: secrets travel there.
"""

from __future__ import annotations

import base64
import functools
import re
from typing import Any, cast

import attrs
import yarl

from .errors import LocalProtocolError, UnsupportedProtocol, UsageError

DEFAULT_PORTS = {"http": 80, "https": 443}

_BAD = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # control characters, and what is no character at all
_AUTHORITY = re.compile(r"[^:/?#]+://(?:[^/?#]*@)?(\[[^/?#@\]]*\]|[^/?#@\[\]:]*)(?::([0-9]*))?(?=[/?#]|$)")
_UP_TO_PATH = re.compile(r"[^:/?#]+://[^/?#]*")
_LEGAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]|]|%[0-9A-Fa-f]{2})*")
_HOST = re.compile(r"[A-Za-z0-9\-._~]+|[0-9A-Fa-f:.]+(?:%[A-Za-z0-9\-._~%]+)?")


def _lower(text: str) -> str:
    return text.lower()


@attrs.frozen(cache_hash=True)
class Proxy:
    """A proxy. Its credentials are never shown.

    :ivar scheme: "http", "https" (TLS to the proxy itself) or "socks5".
    """

    scheme: str
    host: str
    port: int
    user: str | None = attrs.field(default=None, repr=False)
    password: str = attrs.field(default="", repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def authorization(self) -> bytes | None:
        """The value of Proxy-Authorization, or None."""
        return None if self.user is None else basic(self.user, self.password)


@attrs.frozen(eq=False)
class Identity:
    """Whose credentials travel on a connection. It equals nothing but itself, whatever it is called.

    :ivar name: what it is called.
    """

    name: str


@attrs.frozen(cache_hash=True)
class Origin:
    """Where a connection leads: whatever makes two connections not interchangeable.

    :ivar scheme: "http" or "https".
    :ivar host: a name in its ASCII form, or an IP address without brackets; lower case.
    :ivar port: the TCP port.
    :ivar uds: the path of a Unix socket that is dialled instead of host and port, or None.
    :ivar proxy: what is dialled instead of host and port, or None.
    :ivar sni: the name that TLS asks for and checks instead of the host, or None.
    :ivar upstream: the upstream of a client that it belongs to, shown by its name, or None.
    """

    scheme: str = attrs.field(converter=_lower, validator=attrs.validators.in_(DEFAULT_PORTS))
    host: str = attrs.field(converter=_lower)
    port: int = attrs.field(validator=[attrs.validators.ge(1), attrs.validators.le(65535)])
    uds: str | None = None
    proxy: Proxy | None = None
    sni: str | None = None
    upstream: Identity | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        via = f" over {self.uds}" if self.uds is not None else f" by {self.proxy}" if self.proxy is not None else ""
        alias = "" if self.sni is None else f" as {self.sni}"
        owner = "" if self.upstream is None else f" for {self.upstream.name}"
        return f"{self.scheme}://{host}:{self.port}{alias}{via}{owner}"


class Target:
    """A URL in the parts that a request needs."""

    __slots__ = ("authority", "authorization", "origin", "path")

    def __init__(self, origin: Origin, path: bytes, authority: bytes, authorization: bytes | None) -> None:
        self.origin = origin
        self.path = path
        self.authority = authority
        self.authorization = authorization


def parse_url(url: str) -> yarl.URL:
    """A URL with a scheme and a host.

    :raises UnsupportedProtocol: without scheme or host, or with a scheme other than http and https.
    :raises LocalProtocolError: with a control character.
    :raises UsageError: with a host or port that cannot be.
    """
    check_characters(url, "URL")
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in DEFAULT_PORTS:
        raise UnsupportedProtocol(f"the URL {redact(url)!r} must start with http:// or https://")
    parts = _AUTHORITY.match(url)
    if parts is not None and not parts[1]:
        raise UnsupportedProtocol(f"the URL {redact(url)!r} has no host")
    try:
        parsed = yarl.URL(url)
        if parts is not None and parsed.explicit_port != 0 and _HOST.fullmatch(parsed.raw_host or ""):
            return parsed
    except ValueError:
        pass
    raise UsageError(f"the URL {redact(url)!r} has a host or port that cannot be")


def folder(base_url: str) -> str:
    """A base URL, to which relative ones are appended.

    :raises UsageError: it has a query or a fragment.
    :raises UnsupportedProtocol: it is not http or https, or has no host.
    """
    parsed = parse_url(base_url)
    if parsed.raw_query_string or parsed.raw_fragment:
        raise UsageError(f"the base URL {redact(base_url)!r} must have neither query nor fragment")
    return base_url.rstrip("/?#") + "/"


def is_host(host: str) -> bool:
    """Whether this can be the name or address of a host."""
    return _HOST.fullmatch(host) is not None


def check_characters(text: str, what: str) -> None:
    """Refuse what must not be in a URL in any form.

    :raises LocalProtocolError: a control character or half of a surrogate pair.
    :raises UsageError: it is no text.
    """
    if not isinstance(cast("Any", text), str):
        raise UsageError(f"a {what} is text, not {type(text).__name__}")
    bad = _BAD.search(text)
    if bad is not None:
        raise LocalProtocolError(f"the {what} has the character {bad.group()!r} at position {bad.start()}")


def redact(url: str) -> str:
    """The URL without what may be user information, and without its query and fragment."""
    return re.sub(r"^([^:/?#]*://)?.*@", r"\1…@", url, flags=re.DOTALL).partition("?")[0].partition("#")[0]


def basic(user: str, password: str) -> bytes:
    """A user and password as HTTP has them (RFC 7617)."""
    return b"Basic " + base64.b64encode(f"{user}:{password}".encode())


@functools.lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    """What `parse_url` finds, in the parts that a request needs. Cached: programs ask the same URLs again."""
    parsed = parse_url(url)
    host, scheme = (parsed.raw_host or "").replace("%25", "%"), parsed.scheme
    port = parsed.port or DEFAULT_PORTS[scheme]
    shown = f"[{host.partition('%')[0]}]" if ":" in host else host  # a zone is nobody else's business (RFC 6874)
    authority = shown if port == DEFAULT_PORTS[scheme] else f"{shown}:{port}"
    authorization = None
    if parsed.user is not None or parsed.password is not None:
        authorization = basic(parsed.user or "", parsed.password or "")
    rest = url[len(_UP_TO_PATH.match(url)[0]) :].partition("#")[0]  # type: ignore[index]  # it has been parsed
    path = rest if _LEGAL.fullmatch(rest) else parsed.raw_path_qs  # what is legal goes as it is: it may be signed
    path = path if path.startswith("/") else f"/{path}"
    return Target(Origin(scheme, host, port), path.encode("ascii"), authority.encode("ascii"), authorization)
