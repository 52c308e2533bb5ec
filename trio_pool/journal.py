"""What became of the attempts of one request so far, and what observers are told of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from . import events
from ._core.retry import Again
from .errors import TrioPoolError
from .events import Attempt, Event
from .response import Response
from .tries import Try

Result = TypeVar("Result", Response, TrioPoolError)


class Journal:
    """The attempts of one request. Each that has `begun` either `ended`, and counts, or was `dropped`.

    :param tell: tells the observers of an event.
    :param called: when the request was, by trio's clock.
    :ivar idle_since: the end of the attempt before, or the call.
    """

    def __init__(self, tell: Callable[[Event], None], called: float) -> None:
        self.idle_since = called
        self._tell = tell
        self._ended: list[Attempt] = []

    def begun(self, done: Try, number: int, *, is_hedge: bool) -> None:
        """An attempt is about to be sent.

        :param number: 1 for the first.
        :param is_hedge: whether another is still under way.
        """
        before = self._ended[-1].upstream if self._ended and not is_hedge else done.upstream
        if before != done.upstream:
            self._tell(events.FailedOver(before=before, after=done.upstream))
        is_probe = done.permit is not None and done.permit.is_probe
        self._tell(events.AttemptStarted(upstream=done.upstream, number=number, is_hedge=is_hedge, is_probe=is_probe))

    def ended(self, done: Try) -> None:
        """An attempt has failed, or its answer is one."""
        record = done.record()
        self._ended.append(record)
        self.idle_since = record.ended
        self._tell(events.AttemptEnded(attempt=record))

    def dropped(self, done: Try) -> None:
        """An attempt was not sent after all, or is of no interest any more."""
        self._tell(events.AttemptEnded(attempt=done.record()))

    def goes_on(self, step: Again, now: float) -> None:
        """There will be another attempt."""
        wait = max(step.at - now, 0.0)
        self._tell(events.Retrying(after=self._ended[-1], wait=wait, elsewhere=step.elsewhere))

    def gives_up(self, reason: str) -> None:
        """There will be none."""
        self._tell(events.GaveUp(reason=reason, attempts=tuple(self._ended)))

    def with_attempts(self, result: Result) -> Result:
        """What comes out, with the list of attempts."""
        if isinstance(result, Response):
            result._attempts = tuple(self._ended)
        else:
            result.attempts = tuple(self._ended)
        return result
