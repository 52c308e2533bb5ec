"""Every error that leaves trio_pool, in one tree under `TrioPoolError`.

An error is a sentence that a tired person can act on: what happened, to which origin, in which phase,
after how long, and where there is something to try, what. The parts are attributes too, so that a program
need not parse the sentence. Names follow httpx where httpx has one.

No error tells a header's value, a body, or a URL's user information, query or fragment: secrets travel there. Only the
two errors of event streams have events of the body among their attributes, and neither their text nor their repr does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .events import Attempt
    from .sse import ServerSentEvent
    from .urls import Origin

Phase = Literal[
    "preparing the request",
    "waiting for a connection",
    "connecting",
    "sending the request",
    "waiting for the response",
    "reading the response",
]
"""Where in a request's way an error happened."""


class TrioPoolError(Exception):
    """Base of every error of this library.

    :ivar what: what happened, as a sentence without the circumstances.
    :ivar origin: the origin it happened to, or None where none was involved.
    :ivar phase: the part of the request's way, or None.
    :ivar elapsed: seconds from the start of that phase, or None.
    :ivar advice: what to try, or an empty string.
    :ivar may_have_been_processed: whether the server may have acted on the request. False only where
        that is certain: no byte of it was sent.
    :ivar attempts: every try of the request, in order, where a client sent it.
    """

    attempts: tuple[Attempt, ...] = ()

    def __init__(
        self,
        what: str,
        *,
        origin: Origin | None = None,
        phase: Phase | None = None,
        elapsed: float | None = None,
        advice: str = "",
        may_have_been_processed: bool = False,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.origin = origin
        self.phase: Phase | None = phase
        self.elapsed = elapsed
        self.advice = advice
        self.may_have_been_processed = may_have_been_processed

    def __str__(self) -> str:
        where = [
            f"to {self.origin}" if self.origin is not None else "",
            f"while {self.phase}" if self.phase is not None else "",
            f"after {self.elapsed:.3f} s" if self.elapsed is not None else "",
        ]
        circumstances = ", ".join(part for part in where if part)
        processed = "The server may have processed the request." if self.may_have_been_processed else ""
        sentence = f"{self.what} ({circumstances})." if circumstances else f"{self.what}."
        tries = "; ".join(map(str, self.attempts)) if len(self.attempts) > 1 else ""
        tried = f"It was the last of {len(self.attempts)} attempts: {tries}." if tries else ""
        return " ".join(part for part in (sentence, tried, processed, self.advice) if part)


class UsageError(TrioPoolError, ValueError):
    """The caller asked for something that cannot be: a nonsensical value, or a call at the wrong time."""


class UnsupportedProtocol(TrioPoolError):
    """The URL has no scheme or no host, or its scheme is neither http nor https."""


class PoolTimeout(TrioPoolError, TimeoutError):
    """No connection became free within `acquire_timeout`, and none was being dialled for this request."""


class PoolFull(TrioPoolError):
    """The line was already `max_waiting` long; refused at once, before anything was sent."""


class PoolClosed(TrioPoolError):
    """The pool is closed or being drained."""


class ConnectTimeout(TrioPoolError, TimeoutError):
    """Resolving, connecting or the TLS handshake did not end in time."""


class ConnectError(TrioPoolError):
    """No connection could be made: the name did not resolve, or no address answered."""


class TLSError(ConnectError):
    """The TLS handshake failed: the certificate, the version, or the peer's refusal."""


class CertificateRefused(TLSError):
    """The peer's certificate does not verify. It will not at the next try either: a client tries another upstream."""


class AddressRefused(ConnectError):
    """The address policy refused every address of the host."""


class ProxyError(ConnectError):
    """The proxy refused or failed to open the tunnel."""


class ReadTimeout(TrioPoolError, TimeoutError):
    """The server was silent for longer than `read_timeout` (`first_byte_timeout` before the head)."""


class WriteTimeout(TrioPoolError, TimeoutError):
    """The server took nothing for longer than `write_timeout`."""


class TotalTimeout(TrioPoolError, TimeoutError):
    """The whole request, its body included, took longer than `total_timeout`."""


class ReadError(TrioPoolError):
    """The connection broke while the response was awaited or read, or it was closed from elsewhere."""


class WriteError(TrioPoolError):
    """The connection broke while the request was being sent, and no response had arrived."""


class RemoteProtocolError(TrioPoolError):
    """The server broke HTTP/1.1: illegal bytes, or an end before the response was complete."""


class LocalProtocolError(TrioPoolError):
    """The request would break HTTP/1.1: an illegal method, target, header or length."""


class DecodingError(TrioPoolError, ValueError):
    """The body is not what it says: a corrupt or unknown content coding, text or JSON."""


class LimitExceeded(TrioPoolError):
    """A head, body or event grew over its bound."""


class TooManyRedirects(TrioPoolError):
    """The server redirected more often than the client follows."""


class StatusError(TrioPoolError):
    """`raise_for_status` was called on a response of 400 or more.

    :ivar status_code: the response's status.
    """

    def __init__(self, what: str, *, status_code: int, **circumstances: Any) -> None:
        super().__init__(what, **circumstances)
        self.status_code = status_code

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_status_error, (type(self), self.what, self.status_code), self.__dict__


def _rebuild_status_error(kind: type[StatusError], what: str, status_code: int) -> StatusError:
    return kind(what, status_code=status_code)


class QuotaExceeded(StatusError):
    """`raise_for_status` was called on an answer that says that a quota is spent; trying again does not help."""


class RateLimited(TrioPoolError):
    """A provider's rate limit would be exceeded: it asked for a pause, or its limit is used up for longer than the
    request would wait.

    :ivar retry_after: seconds after which to come back, as far as is known, else None.
    """

    retry_after: float | None = None


class StreamIncomplete(TrioPoolError):
    """An event stream ended, or broke off, without its provider's end mark: the answer in it is not whole.

    :ivar count: the events that came, all of which the caller has had.
    :ivar received: the last of them: as many as 64 KiB of the stream hold, or those that came together with the last.
    """

    count: int = 0
    received: Sequence[ServerSentEvent] = ()


class StreamFailed(TrioPoolError):
    """An event stream said that it failed.

    :ivar event: the event that said so, whole; what the provider says in words stands in its data.
    :ivar codes: the error codes in it, such as "overloaded_error".
    :ivar status_code: the status that such an error has as an answer, or None where that is not known.
    :ivar retry_after: seconds after which to try again, as far as the event tells them, else None.
    :ivar count: the events that came before it, all of which the caller has had.
    :ivar received: the last of these: as many as 64 KiB of the stream hold, or those that came together with the last.
    """

    event: ServerSentEvent | None = None
    codes: frozenset[str] = frozenset()
    status_code: int | None = None
    retry_after: float | None = None
    count: int = 0
    received: Sequence[ServerSentEvent] = ()
