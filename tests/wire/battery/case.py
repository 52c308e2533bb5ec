"""What a case of the battery is: what a server does, and the verdict."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any, Literal, NamedTuple

import attrs

from trio_pool import PoolConfig, RemoteProtocolError, TrioPoolError

CONFIG = PoolConfig(max_connections=1, read_timeout=2.0, write_timeout=5.0, expect_timeout=5.0)

Fields = tuple[tuple[str, str], ...]
Reuse = Literal["must", "must not", "may"]


class Do(Enum):
    """What a server does beside sending."""

    END = auto()  # end the connection as one should: with close_notify over TLS
    CUT = auto()  # end the TCP connection; TLS is not told
    RESET = auto()  # break it
    GOODBYE = auto()  # end only our side, as one should
    HALF = auto()  # end only our side of the TCP connection; TLS is not told
    BODY = auto()  # read the body of a request of which only the head was read
    SILENCE = (
        auto()
    )  # see to it that nothing of the body has come and is about to; once the client has its verdict: ever comes
    LATER = auto()  # wait until the client has its verdict


END, CUT, RESET, GOODBYE, HALF, BODY, SILENCE, LATER = Do


class AtOnce(NamedTuple):
    """Pieces, and perhaps a goodbye, that arrive together; over TLS each is a record of its own."""

    pieces: tuple[bytes, ...]
    goodbye: bool = False


class Raw(NamedTuple):
    """Bytes that are sent as they are, over TLS too."""

    data: bytes


Step = bytes | Do | AtOnce | Raw


class Way(NamedTuple):
    """How a case is delivered."""

    tls: bool
    bytewise: bool

    def __str__(self) -> str:
        return f"{'tls' if self.tls else 'tcp'}-{'bytewise' if self.bytewise else 'whole'}"


WAYS = [Way(tls, bytewise) for tls in (False, True) for bytewise in (False, True)]


@attrs.frozen(kw_only=True)
class Case:
    """What a server does, and the verdict. Made by `good` and `bad`.

    :ivar source: the section of an RFC or the advisory that it comes from.
    :ivar steps: what the server does once it has read the request.
    :ivar content: the body of the request, or what makes it.
    :ivar early: whether the server plays once it has read the request's head; what it leaves unread it never reads.
    :ivar greeting: what it says on its first connection before it was asked.
    :ivar prewarmed: whether that connection is made before it is needed, and something has come on it.
    :ivar visit: the number of the connection on which the request comes.
    :ivar leaves: whether the client leaves the response without reading it.
    :ivar is_streamed: whether it reads in pieces; None: it does where the server sends byte by byte.
    :ivar headers: all header fields of the response, if they matter.
    :ivar interims: the interim responses that an observer is told of, as status and fields.
    :ivar error: exactly this, with these words in it; None: the response is delivered.
    :ivar tls_error: what it is over TLS instead, if that makes a difference.
    :ivar reuse: whether the probe comes on the same connection.
    """

    name: str
    source: str
    steps: tuple[Step, ...]
    method: str = "GET"
    fields: Fields = ()
    content: Any = None
    target: str | None = None
    early: bool = False
    greeting: bytes = b""
    prewarmed: bool = False
    visit: int = 0
    leaves: bool = False
    is_streamed: bool | None = None
    config: PoolConfig = CONFIG
    status: int = 200
    reason: str | None = None
    version: str = "HTTP/1.1"
    body: bytes = b""
    headers: Fields | None = None
    trailers: Fields = ()
    interims: tuple[tuple[int, Fields], ...] = ()
    error: type[TrioPoolError] | None = None
    says: str = ""
    tls_error: type[TrioPoolError] | None = None
    reuse: Reuse = "must"

    def error_by(self, way: Way) -> type[TrioPoolError] | None:
        """What is to be raised."""
        return self.tls_error if way.tls and self.tls_error is not None else self.error

    def says_by(self, way: Way) -> str:
        """What that has to say."""
        return "" if way.tls and self.tls_error is not None else self.says


def good(name: str, source: str, *steps: Step, **expected: Any) -> Case:
    """A response that is delivered; its connection must be used again, unless said otherwise."""
    return Case(name=name, source=source, steps=steps, **expected)


def bad(name: str, source: str, *steps: Step, **expected: Any) -> Case:
    """A reply that is an error, after which the connection must not be used again."""
    defaults: dict[str, Any] = {"error": RemoteProtocolError, "says": "the server broke HTTP/1.1", "reuse": "must not"}
    if "error" in expected:
        del defaults["says"]
    return Case(name=name, source=source, steps=steps, **(defaults | expected))


def head(*fields: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """The head of a response."""
    return b"\r\n".join([status, *fields, b"", b""])


def answer(body: bytes, *fields: bytes, status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """A whole response with a length."""
    return head(b"Content-Length: %d" % len(body), *fields, status=status) + body


def chunked(wire: bytes, *fields: bytes) -> bytes:
    """A response whose body is what stands on the wire."""
    return head(b"Transfer-Encoding: chunked", *fields) + wire


HELLO = answer(b"hello")
INTRUDER = answer(b"another's")
