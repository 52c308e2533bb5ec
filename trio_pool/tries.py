"""One attempt of a request: what came of it, what its answer says, and the sentences for one that cannot be made."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import attrs
import trio

from ._core.dialects import Complaint, read_error
from ._core.outcomes import Kind, Outcome, RetryRules, kind_of
from ._core.permits import Permit, Refused
from ._net.exchange import DRAIN_LIMIT
from .errors import PoolFull, PoolTimeout, RateLimited, TotalTimeout, TrioPoolError, UsageError
from .events import Attempt
from .headers import encode_headers
from .messages import Request
from .places import closed
from .response import Response
from .urls import Origin

PATIENCE = 2.0
"""Seconds that the body of a refusal may take to come, so that it can be judged; then it is judged without."""

Prepare = Callable[[Request], Any]
"""Gives header fields to be added to a request at the last moment, as taken by `Headers`, or an awaitable of them."""

_FRAMING = frozenset({b"content-length", b"transfer-encoding"})

NO_COMPLAINT = Complaint(frozenset())


class Prevented(Exception):
    """There can be no further attempt: our own limits are against it."""

    def __init__(self, error: TrioPoolError) -> None:
        super().__init__()
        self.error = error


@attrs.define(eq=False)
class Try:
    """One attempt, and what came of it.

    :ivar upstream: where it went, as it is told.
    :ivar rules: what the provider's statuses and codes mean.
    :ivar permit: what it was sent by, or None: to an origin that had asked for no pause.
    :ivar started: when, by trio's clock.
    :ivar waited: seconds from the end of the attempt before, or from the call.
    """

    upstream: str
    rules: RetryRules
    permit: Permit | None
    started: float
    waited: float
    response: Response | None = None
    error: TrioPoolError | None = None
    outcome: Outcome = Outcome()  # noqa: RUF009  # frozen

    @property
    def is_served(self) -> bool:
        """Whether there is an answer below 400."""
        return self.error is None and (self.outcome.status or 400) < 400

    @property
    def kind(self) -> Kind:
        """What its outcome means."""
        return kind_of(self.outcome, self.rules) if self._has_result else Kind.OURS

    @property
    def _has_result(self) -> bool:
        return self.error is not None or self.outcome.status is not None

    def record(self) -> Attempt:
        """What is told of it."""
        answer = str(self.outcome.status) if self._has_result else "cancelled"
        return Attempt(
            upstream=self.upstream,
            result=answer if self.error is None else type(self.error).__name__,
            kind=self.kind.value,
            started=self.started,
            ended=trio.current_time(),
            waited=self.waited,
        )


async def prepared(request: Request, prepare: Prepare | None) -> Request:
    """The request, with what the caller's hook gives."""
    if prepare is not None:
        given = prepare(request)
        added = encode_headers(await given if inspect.isawaitable(given) else given)
        framing = sorted(name.decode() for name, _ in added if name.lower() in _FRAMING)
        if framing:
            raise UsageError(
                f"the prepare hook gave the header {framing[0]!r}, which is the body's", origin=request.origin
            )
        names = {name.lower() for name, _ in added}
        request.raw_headers = [field for field in request.raw_headers if field[0].lower() not in names] + added
        request.encoded = b""
    return request


async def complaint_of(response: Response) -> Complaint:
    """What the body of a refusal says, as far as it comes soon. It stays in place."""
    seen = b""
    try:
        with trio.move_on_after(PATIENCE):
            seen = await response._foresee(_never, DRAIN_LIMIT)
    except TrioPoolError:
        pass  # its reader will learn of it
    return read_error(seen)


def _never(_: bytes) -> bool:
    return False


# ---- sentences ----

SOON = 0.001
"""Seconds: who would have been served so soon has stood in line, and is told that instead."""


def too_late(origin: Origin | None) -> TotalTimeout:
    """The total timeout has run out before an attempt."""
    what, advice = "the request's total timeout ran out", "Raise total_timeout if the request may take longer."
    return TotalTimeout(what, origin=origin, phase="waiting for a connection", advice=advice)


def refusal(answer: Refused | None, origin: Origin | None, since: float, deadline: float) -> TrioPoolError:
    """For who gets no permit.

    :param answer: why; None: the pool is closed.
    :param origin: where the request was to go, or None: to a group.
    :param since: when it asked.
    :param deadline: of the whole request.
    """
    now = trio.current_time()
    if answer is None:
        return closed(origin)
    if now >= deadline:
        return too_late(origin)
    if answer.why == "full":
        before = "the upstreams" if origin is None else "the origin, which asked for a pause"
        what = f"as many requests as may wait already wait before {before}"
        return PoolFull(what, origin=origin, phase="waiting for a connection", elapsed=now - since)
    if now + SOON < answer.at < math.inf:
        what = f"nothing may be sent for {answer.at - now:.3f} s, which is longer than the request would wait"
        advice = "Come back then, or raise acquire_timeout."
        limited = RateLimited(what, origin=origin, phase="waiting for a connection", advice=advice)
        limited.retry_after = answer.at - now
        return limited
    what, advice = "no upstream became free in time", "Send less at once, or add an upstream."
    if origin is not None:
        what = "the origin asked for a pause, after which this request's turn did not come in time"
        advice = "Send less at once: perhaps the origin serves fewer at a time than max_connections_per_host."
    return PoolTimeout(what, origin=origin, phase="waiting for a connection", elapsed=now - since, advice=advice)
