"""The way of a request to a URL of its own: there is nowhere else to try, and its origin may have asked for a pause."""

from __future__ import annotations

from itertools import chain

from ._core.outcomes import Outcome, RetryRules
from ._core.permits import Permit
from ._core.retry import Repeatable
from .attempts import Attempts
from .messages import IDEMPOTENCY_KEY, Request
from .providers import PROVIDERS
from .response import Response
from .tries import Try, prepared
from .turnstile import Turnstile
from .ways import Way

PLAIN_RULES = RetryRules(
    quota_codes=frozenset(chain.from_iterable(one.retry.quota_codes for one in PROVIDERS.values())),
    overload_codes=frozenset(chain.from_iterable(one.retry.overload_codes for one in PROVIDERS.values())),
)
"""For requests to no known provider: any provider's words are understood."""


class PlainWay(Way):
    """The way of a request to a URL of its own."""

    def __init__(self, attempts: Attempts, request: Request, started: float, deadline: float | None) -> None:
        is_allowed = request.retry_unsafe or any(name.lower() == IDEMPOTENCY_KEY for name, _ in request.raw_headers)
        allows = Repeatable(method=request.method, has_body_again=request.can_be_repeated, is_allowed=is_allowed)
        super().__init__(attempts, allows, attempts.pool.config.limits_for(request.timeouts), started, deadline)
        self._request = request
        self._where = request.origin
        self._gate = attempts.pauses.get(request.origin)

    @property
    def _turnstile(self) -> Turnstile | None:
        return self._gate

    async def _permit(self) -> Permit | None:
        self._gate = self._attempts.pauses.get(self._request.origin)  # which may have come or gone meanwhile
        self._elsewhere = False
        self._tried.clear()
        return await super()._permit()

    def _new_try(self, permit: Permit | None, now: float) -> Try:
        return Try(str(self._request.origin), PLAIN_RULES, permit, now, now - self._journal.idle_since)

    async def _ready(self, permit: Permit | None) -> Request:  # noqa: ARG002  # it is the same by any
        request = self._request.twin()
        request.guard = self._attempts.guard
        return await prepared(request, self._attempts.prepare)

    async def _look_at_events(self, done: Try, response: Response) -> Outcome:  # noqa: ARG002  # of no known dialect
        return Outcome(status=response.status_code)
