"""What a response that came by an upstream gives back at its end: its connection, and the permit of the attempt."""

from __future__ import annotations

from collections.abc import Callable

import trio

from ._core.dialects import Complaint
from ._core.outcomes import Kind, Outcome, RetryRules, kind_of, outcome_of
from ._core.permits import Permit
from .response import Response

GiveBack = Callable[[Permit, Kind, float | None], None]
"""Takes a permit back, with what came of its attempt and the seconds that the upstream asks for, or None."""


class Loan:
    """A response's lease, and with it the permit of the attempt that brought the response."""

    __slots__ = (
        "__weakref__",
        "_exchange",
        "_give_back",
        "_lease",
        "_permit",
        "_rules",
        "_said",
        "_token",
        "is_reused",
    )

    def __init__(self, give_back: GiveBack, permit: Permit, rules: RetryRules, response: Response) -> None:
        lease = response._lease
        assert lease is not None
        self._give_back = give_back
        self._permit: Permit | None = permit
        self._lease = lease
        self._exchange = response._exchange
        self._rules = rules
        self._said: Outcome | None = None
        self._token = trio.lowlevel.current_trio_token()
        self.is_reused = lease.is_reused

    def release(self, *, reusable: bool, hint: float | None = None, now: float | None = None) -> None:
        """Give both back. Parameters as in `Lease.release`."""
        permit, self._permit = self._permit, None
        try:
            self._lease.release(reusable=reusable, hint=hint, now=now)
        finally:
            if permit is not None:
                self._give_back(permit, *self._result())

    def complain(self, complaint: Complaint) -> None:
        """An event of the body says that the attempt has failed after all."""
        self._said = outcome_of(complaint)

    def _result(self) -> tuple[Kind, float | None]:
        if self._said is not None:
            return kind_of(self._said, self._rules), self._said.wait
        return self._kind(), None

    def _kind(self) -> Kind:
        if self._exchange.was_broken_off:
            return Kind.BROKEN
        return Kind.SERVED if self._exchange.complete or self._exchange.is_whole else Kind.OURS

    def __del__(self) -> None:
        permit, self._permit = self._permit, None
        if permit is None:
            return
        try:
            self._token.run_sync_soon(self._give_back, permit, Kind.OURS, None)
        except trio.RunFinishedError:
            return
