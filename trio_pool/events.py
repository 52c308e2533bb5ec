"""What observers are told: one frozen record for each thing that happened.

An observer is called synchronously, after the fact. What it raises is logged, and it is told nothing more.

Times are by trio's clock, in seconds; lengths of time are seconds too. An upstream is named, and never shown otherwise:
where a request went to a URL of its own, its origin stands for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .headers import Headers
from .urls import Origin


class Attempt(NamedTuple):
    """One try of one request.

    :ivar upstream: where it went.
    :ivar result: what came of it: a status such as "503", or the name of an error, such as "ConnectTimeout".
    :ivar kind: what that means, such as "served", "rate limited", "not connected" or "broken off".
    :ivar started: when it was begun.
    :ivar ended: when its result was known.
    :ivar waited: seconds from the end of the try before it (or the call) until it was begun.
    """

    upstream: str
    result: str
    kind: str
    started: float
    ended: float
    waited: float

    def __str__(self) -> str:
        waited = f" (having waited {self.waited:.3f} s)" if self.waited >= 0.001 else ""
        return f"{self.result} from {self.upstream} after {self.ended - self.started:.3f} s{waited}"


class InterimResponse(NamedTuple):
    """A server sent a 1xx response before the final one, such as 103 Early Hints.

    :ivar origin: who sent it.
    :ivar status_code: 100 to 199, but not 101.
    :ivar headers: its fields.
    """

    origin: Origin
    status_code: int
    headers: Headers


class AttemptStarted(NamedTuple):
    """A client begins a try of a request.

    :ivar upstream: where it goes.
    :ivar number: 1 for the first try of the request.
    :ivar is_hedge: whether the try before is still under way.
    :ivar is_probe: whether it tells if the upstream has recovered: its breaker lets nothing else pass.
    """

    upstream: str
    number: int
    is_hedge: bool = False
    is_probe: bool = False


class AttemptEnded(NamedTuple):
    """A try has failed, or its response has begun and is known to be one. Each that was started is ended once.

    :ivar attempt: all that is known of it. One that was given up has the result "cancelled": its caller was cancelled,
        its rival won, or a pause began before it was sent.
    """

    attempt: Attempt


class Retrying(NamedTuple):
    """There will be another try.

    :ivar after: the try that failed.
    :ivar wait: seconds until the next may begin.
    :ivar elsewhere: whether it goes to another upstream, at once: a failover.
    """

    after: Attempt
    wait: float
    elsewhere: bool


class FailedOver(NamedTuple):
    """A request whose last try failed on one upstream goes to another.

    :ivar before: where it failed.
    :ivar after: where it goes now.
    """

    before: str
    after: str


class GaveUp(NamedTuple):
    """A request has failed, or its answer is no success, and there will be no other try.

    :ivar reason: why not, such as "nothing to retry", "no tries left", "may have been processed" or "budget spent";
        or the name of the error that kept it from being tried, such as "RateLimited".
    :ivar attempts: all its tries.
    """

    reason: str
    attempts: tuple[Attempt, ...]


class Hedged(NamedTuple):
    """A second try was begun beside the first, whose first byte is late.

    :ivar first: where the first try went.
    :ivar second: where the second goes.
    :ivar after: seconds from the first to the second.
    """

    first: str
    second: str
    after: float


class WaitedForUpstream(NamedTuple):
    """A request has stood in the line before the upstreams.

    :ivar seconds: how long.
    :ivar upstream: which became free for it, or None: it left without.
    """

    seconds: float
    upstream: str | None


class UpstreamPaused(NamedTuple):
    """Nothing is sent to an upstream for a while: it said so, or answered 429.

    :ivar upstream: which.
    :ivar seconds: for how long.
    """

    upstream: str
    seconds: float


class BreakerChanged(NamedTuple):
    """An upstream's breaker went from one state to another: "closed", "open" or "half-open".

    :ivar upstream: whose.
    :ivar before: the state it had.
    :ivar after: the state it has.
    :ivar until: when an open one may be probed.
    """

    upstream: str
    before: str
    after: str
    until: float


class LimitChanged(NamedTuple):
    """An upstream's adaptive limit of concurrent requests is another number now.

    :ivar upstream: whose.
    :ivar before: the limit it had.
    :ivar after: the limit it has.
    """

    upstream: str
    before: int
    after: int


Event = (
    InterimResponse
    | AttemptStarted
    | AttemptEnded
    | Retrying
    | FailedOver
    | GaveUp
    | Hedged
    | WaitedForUpstream
    | UpstreamPaused
    | BreakerChanged
    | LimitChanged
)
"""Whatever an observer can be told."""

Observer = Callable[[Event], None]
"""Anything that can be called with an event. It must return at once."""
