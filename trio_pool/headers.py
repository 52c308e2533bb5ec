"""Header fields: what is taken for them, and what is never shown of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self, cast

from .errors import LocalProtocolError, UsageError

HeaderTypes = Mapping[str, str] | Iterable[tuple[str, str]] | Iterable[tuple[bytes, bytes]] | None
"""What is taken for headers: a mapping, or pairs of text or of bytes."""

RawHeaders = list[tuple[bytes, bytes]]

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
"""Names, in lower case, of header fields whose values are credentials."""

_SECRET_WORDS = frozenset({"apikey", "auth", "authorization", "cookie", "key", "password", "secret", "token"})
_NO_SECRETS = frozenset({"idempotency-key", "sec-websocket-key"})


def is_secret(name: str) -> bool:
    """Whether the value of a header field of this name is never shown, nor sent to where a redirect leads away."""
    words = name.lower()
    return words in SECRET or (words not in _NO_SECRETS and not _SECRET_WORDS.isdisjoint(words.split("-")))


_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 5.6.2
_BAD_IN_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")  # RFC 9110 section 5.5, and not even obs-fold


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
    def of(cls, raw: RawHeaders) -> Self:
        """Headers over pairs of bytes, unchecked, such as a server sent.

        :param raw: the pairs; the list is kept, not copied.
        """
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
        return f"Headers({[(name, '…' if is_secret(name) else v) for name, v in self.multi_items()]})"


class CheckedHeaders(Headers):
    """Headers that went through `encode_headers` before, and are in nobody else's hands."""

    __slots__ = ()


def encode_headers(fields: HeaderTypes) -> RawHeaders:
    """Pairs of bytes, checked.

    :raises LocalProtocolError: for a name that is no token, or a character in a value that must not be there.
        The message has the name and where the character stands, never the value: secrets travel in headers.
    :raises UsageError: for what is neither a mapping nor pairs, of neither text nor bytes.
    """
    if fields is None:
        return []
    pairs = fields.raw if isinstance(fields, Headers) else pairs_of(fields, "headers")
    return [_encode_field(name, value) for name, value in pairs]


def pairs_of(given: Any, what: str) -> list[tuple[Any, Any]]:
    """The pairs in a mapping or an iterable.

    :raises UsageError: it is neither.
    """
    try:
        if isinstance(given, (str, bytes)):
            raise TypeError
        items: Iterable[Any] = cast("Any", given).items() if isinstance(given, Mapping) else given
        return [(name, value) for name, value in items]
    except (TypeError, ValueError):
        kind = type(cast("Any", given)).__name__
        raise UsageError(f"{what} must be a mapping or pairs, not {kind}") from None


def _encode_field(name: Any, value: Any) -> tuple[bytes, bytes]:
    raw_name = name.encode("utf-8", "replace") if isinstance(name, str) else name
    if not isinstance(raw_name, bytes) or not _TOKEN.fullmatch(raw_name):
        raise LocalProtocolError(f"the header name {name!r} is no token")
    raw_value = _encode_value(raw_name.decode(), value)
    bad = _BAD_IN_VALUE.search(raw_value)
    if bad is not None:
        where = f"the character {bad.group()!r} at position {bad.start()}"
        raise LocalProtocolError(f"the value of the header {raw_name.decode()!r} has {where}")
    return raw_name, raw_value.strip(b" \t")


def _encode_value(name: str, value: Any) -> bytes:
    """Bytes as they are; text as ISO-8859-1 where it can be, else as UTF-8."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise UsageError(f"the value of the header {name!r} must be text or bytes, not {type(value).__name__}")
    for charset in ("latin-1", "utf-8"):
        try:
            return value.encode(charset)
        except UnicodeEncodeError:
            continue
    raise LocalProtocolError(f"the value of the header {name!r} has half of a surrogate pair")
