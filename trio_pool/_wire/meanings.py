"""What both codecs must say in the same way."""

from __future__ import annotations

import re

from .events import Violation

_TIMEOUT = re.compile(rb"(?:^|[,;\s])timeout\s*=\s*(\d{1,9})", re.IGNORECASE)

NOT_READY = "the connection is not ready for another request: the response before has not ended, or has not ended well"


def says_close(connection: bytes) -> bool:
    """Whether a Connection field has the option "close" (RFC 9110 section 7.6.1)."""
    return b"close" in [option.strip() for option in connection.lower().split(b",")]


def keepalive_of(value: bytes) -> float | None:
    """The seconds in a Keep-Alive field, or None (RFC 2068 section 19.7.1.1)."""
    found = _TIMEOUT.search(value)
    return None if found is None else float(found[1])


def cut_short(received: int, expected: int) -> Violation:
    """The connection ended in a body of so many bytes, after fewer: in h11's words."""
    counts = f"received {received} bytes, expected {expected}"
    what = f"peer closed connection without sending complete message body ({counts})"
    return Violation(f"the server broke HTTP/1.1: {what}")
