"""A request's way through a group of upstreams: what it does beside what any request does (`ways.py`).

Each attempt is made for the upstream that its permit names. A stream of events is looked at until its first event,
since providers say there, below a status of 200, that they are overloaded. Where the client hedges, an attempt whose
first byte is later than nineteen of twenty before is given a rival on another upstream: whoever brings the first answer
wins, and the loser's connection is closed.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import trio

from . import events
from ._core.dialects import Complaint, Dialect, StreamJudge
from ._core.outcomes import Outcome, outcome_of
from ._core.permits import Permit
from ._core.retry import Repeatable
from ._net.exchange import DRAIN_LIMIT
from .attempts import Attempts
from .calls import Call
from .errors import TrioPoolError
from .fleet import Fleet, endpoint_of
from .messages import Held, Request
from .response import Response
from .sse import EventParser
from .tries import Try
from .turnstile import Turnstile, name_of
from .ways import Way


class GroupWay(Way):
    """The way of a request to upstreams.

    :param attempts: the client's.
    :param fleet: the upstreams.
    :param call: the request.
    :param hedges: whether late attempts get a rival.
    """

    def __init__(self, attempts: Attempts, fleet: Fleet, call: Call, *, hedges: bool) -> None:
        allows = Repeatable(method=call.method, has_body_again=call.can_be_repeated, is_allowed=call.is_allowed)
        limits = attempts.pool.config.limits_for(call.timeouts)
        attempts.requests += 1
        super().__init__(attempts, allows, limits, trio.current_time(), None)
        self._fleet = fleet
        self._call = call
        self._hedges = hedges
        self._tokens = call.tokens if fleet.counts_tokens else 0.0

    @property
    def _turnstile(self) -> Turnstile:
        return self._fleet.turnstile

    def _new_try(self, permit: Permit | None, now: float) -> Try:
        assert permit is not None
        endpoint = endpoint_of(permit.member)
        return Try(endpoint.name, endpoint.provider.retry, permit, now, now - self._journal.idle_since)

    async def _ready(self, permit: Permit | None) -> Request:
        assert permit is not None
        request = await self._fleet.request(permit, self._call)
        request.guard = partial(_guard, self._turnstile, permit)
        return request

    async def _outcome(self, done: Try, response: Response) -> Outcome:
        assert done.permit is not None
        response._provider = endpoint_of(done.permit.member).provider  # whatever comes of it: its reader must know
        return await super()._outcome(done, response)

    async def _look_at_events(self, done: Try, response: Response) -> Outcome:
        status = response.status_code
        if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            return Outcome(status=status)
        assert done.permit is not None
        dialect = endpoint_of(done.permit.member).provider.dialect
        exchange = response._exchange
        due = (exchange.sent_at or done.started) + exchange.limits.first_byte
        seen = await response._foresee(lambda data: first_sign(dialect, data) is not None, DRAIN_LIMIT, due)
        complaint = first_sign(dialect, seen)
        return outcome_of(complaint) if isinstance(complaint, Complaint) else Outcome(status=status)

    def _serve(self, done: Try) -> Response:
        assert done.permit is not None
        response = super()._serve(done)
        if self._fleet.counts_tokens:
            response._report = partial(self._turnstile.used, done.permit)
        return response

    # ---- hedging ----

    async def _try_with(self, permit: Permit | None) -> Try | None:
        assert permit is not None
        at = permit.member.first_bytes.hedge_at(trio.current_time()) if self._hedges else None
        if at is None:
            return await super()._try_with(permit)
        return await _Race(self, permit, at).run()

    def _rival(self, permit: Permit, since: float) -> Permit | None:
        """A permit on another upstream, at once, if a second attempt may be sent."""
        now = trio.current_time()
        if not self._course.hedge(now):
            return None
        rival = self._turnstile.ask_now(never=[*self._tried, permit.member], tokens=self._tokens)
        if rival is None:
            return None  # the retry that was taken serves the next attempt, or goes back at the end
        self._rival_permit = rival
        first, second = name_of(permit.member), name_of(rival.member)
        self._attempts.tell(events.Hedged(first=first, second=second, after=now - since))
        return rival


class _Race:
    """Two attempts at once, the second a while after the first. All of it is inside one await."""

    def __init__(self, way: GroupWay, permit: Permit, at: float) -> None:
        self._way = way
        self._permit = permit
        self._at = at
        self._under_way = 0
        self._results: list[Try | None] = []
        self._failure: Exception | None = None

    async def run(self) -> Try | None:
        """The first answer that is one; else what came last. Raises as `Way._try_with`."""
        try:
            async with trio.open_nursery() as nursery:
                self._start(nursery, self._permit)
                nursery.start_soon(self._wait_for_rival, nursery, trio.current_time())
        except BaseException:
            self._leave(None)
            raise
        winner = next((done for done in self._results if done is not None and done.is_served), None)
        winner = winner or next((done for done in reversed(self._results) if done is not None), None)
        self._leave(winner)
        if winner is None and self._failure is not None:
            raise self._failure
        return winner

    def _start(self, nursery: trio.Nursery, permit: Permit) -> None:
        self._under_way += 1
        nursery.start_soon(self._attempt, nursery, permit)

    async def _wait_for_rival(self, nursery: trio.Nursery, since: float) -> None:
        await trio.sleep_until(self._at)
        rival = self._way._rival(self._permit, since)
        if rival is not None:
            self._start(nursery, rival)

    async def _attempt(self, nursery: trio.Nursery, permit: Permit) -> None:
        """One of the two; when it has won, or nobody is left, the race is over."""
        try:
            done = await Way._try_with(self._way, permit)
        except Exception as error:  # kept out of the nursery's group and raised as itself above
            self._failure = error
            done = None
        self._results.append(done)
        self._under_way -= 1
        if (done is not None and done.is_served) or not self._under_way:
            nursery.cancel_scope.cancel()

    def _leave(self, winner: Try | None) -> None:
        """The connections and permits of those who lost."""
        for done in self._results:
            if done is not None and done is not winner and done.response is not None:
                done.response._exchange.connection.stream.close()
                done.response.close()
                if done.is_served:  # what has failed has been told, and its permit is back
                    self._way._cut(done, done.permit, was_sent=True)


def _guard(turnstile: Turnstile, permit: Permit, _: Request) -> None:
    if turnstile.is_paused(permit):
        raise Held


def first_sign(dialect: Dialect, data: bytes) -> Complaint | bool | None:
    """What the first event of a stream says: an error, or (True) none; None: it is not there yet. Pings do not count.

    :param data: the stream's beginning.
    """
    judge = StreamJudge(dialect)
    found: Any = None
    try:
        for event in EventParser().feed(data):
            sign = judge.see(event)
            if not sign.is_ping:
                found = sign
                break
    except TrioPoolError:
        return True  # its reader will learn of it
    return None if found is None else found.complaint or True
