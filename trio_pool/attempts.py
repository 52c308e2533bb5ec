"""What all attempts of one client share: the budget of retries, and the pauses that plain origins have asked for."""

from __future__ import annotations

from functools import partial

import trio

from ._core.budget import RetryBudget
from ._core.outcomes import MEANINGS, Kind
from ._core.permits import Member
from ._core.retry import Course, Repeatable
from .events import Event
from .messages import Held, Request
from .pool import Pool
from .tries import Prepare
from .turnstile import Turnstile
from .urls import Origin

MOST_PAUSES = 1024
"""Origins whose pauses are remembered."""


class Attempts:
    """What a client retries by: its budget, and the pauses that plain origins asked for.

    :param pool: sends.
    :param prepare: the hook for each attempt, or None.
    :ivar requests: those that were served by their first try since the budget was last told.
    :ivar is_needed: whether a plain request must come here from the start.
    """

    def __init__(self, pool: Pool, prepare: Prepare | None) -> None:
        self.pool = pool
        self.prepare = prepare
        self.requests = 0
        self.is_needed = prepare is not None or pool.is_observed
        self.pauses: dict[Origin, Turnstile] = {}
        self.is_retrying = pool.config.retry_attempts > 1
        self._always = self.is_needed
        self._budget = RetryBudget(now=trio.current_time())

    def course(self, request: Repeatable, deadline: float) -> Course:
        """A new request's."""
        config, now = self.pool.config, trio.current_time()
        self._budget.earn(now, self.requests)
        self.requests = 0
        return Course(
            strategy=config.retry_strategy,
            most=config.retry_attempts,
            budget=self._budget,
            request=request,
            deadline=deadline,
        )

    def wall_time(self) -> float:
        """The seconds since 1970, as the pool's network has them."""
        return self.pool.network.time()

    def tell(self, event: Event) -> None:
        """Tell the observers."""
        if self.pool.is_observed:
            self.pool.tell(event)

    # ---- pauses of plain origins ----

    def guard(self, request: Request) -> None:
        """A plain request waited for its connection: is its origin still to be asked?

        :raises Held: it is not.
        """
        turnstile = self.pauses.get(request.origin)
        if turnstile is not None and trio.current_time() < turnstile.group.members[0].paused_until:
            raise Held

    def note_pause(self, origin: Origin, kind: Kind, wait: float | None, sent: float) -> None:
        """An attempt at a plain origin was told to wait, by a time or by a 429."""
        if MEANINGS[kind].where == "nowhere" or not (wait or kind is Kind.LIMITED):
            return
        turnstile = self.pauses.get(origin)
        if turnstile is None and self.is_retrying and len(self.pauses) < MOST_PAUSES:
            turnstile = self._new_pause(origin)
        if turnstile is not None:
            turnstile.pause(kind, wait, sent)

    def _new_pause(self, origin: Origin) -> Turnstile:
        config = self.pool.config
        turnstile = self.pauses[origin] = Turnstile(self.pool, [Member(origin)], max_waiting=config.max_waiting)
        self.is_needed = True
        self.pool.keep(partial(self._pass, origin, turnstile), turnstile.end)
        return turnstile

    async def _pass(self, origin: Origin, turnstile: Turnstile) -> None:
        """Wait until the pause is over, and forget it."""
        try:
            await turnstile.run_through()
        finally:
            del self.pauses[origin]
            self.is_needed = self._always or bool(self.pauses)
