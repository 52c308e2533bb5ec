"""What a codec says about a response: its head, pieces of its body as `bytes`, and its end."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..headers import RawHeaders

PLAIN_FIELD = re.compile(rb"([^:]++):[\t ]*+([^\r]*+)\r\n")
"""A field in the lines of a plain head."""


class Head(NamedTuple):
    """A final response's status line and header fields.

    :ivar fields: the fields, or, where they are plain, their lines, which `headers` takes apart.
    :ivar closes: whether the server ends the connection with this response.
    :ivar keepalive: the seconds for which it says that it keeps the connection, or None.
    :ivar codings: the values of its Content-Encoding fields.
    """

    status_code: int
    reason: str
    http_version: str
    fields: RawHeaders | bytes
    closes: bool
    keepalive: float | None
    codings: list[str]

    @property
    def headers(self) -> RawHeaders:
        """The fields, in order: a list of the caller's own."""
        return PLAIN_FIELD.findall(self.fields) if isinstance(self.fields, bytes) else list(self.fields)


class Interim(NamedTuple):
    """An interim (1xx) response."""

    status_code: int
    headers: RawHeaders


class End(NamedTuple):
    """The response is complete.

    :ivar keeps: whether the connection may go on: nobody said close, and no byte is left over.
    """

    trailers: tuple[tuple[bytes, bytes], ...]
    keeps: bool


class Switched(NamedTuple):
    """From here on the connection speaks another protocol: after a 101, or a CONNECT that succeeded.

    :ivar surplus: the first bytes of it.
    """

    surplus: bytes


class Violation(NamedTuple):
    """What follows is not HTTP/1.1, or more than is taken, and the connection is lost."""

    what: str
    is_limit: bool = False


ENDED = End((), keeps=True)
ENDED_FOR_GOOD = End((), keeps=False)
"""The end of a response without trailers."""

Event = Head | Interim | bytes | End | Switched | Violation
