"""The one loop in which a client tries, and tries again. Nothing else of this library retries.

Strategy
--------
Nearly every request of a plain client is served by its first try, which goes straight from `client.py` to the pool:
this module is entered when that try has failed, and for what needs more from the start (a group of upstreams, an origin
that asked for a pause, observers, a `prepare` hook). A `Way` is one request's way through its attempts. What to do
after each is decided by `_core/retry.py` (whether, and when) and `_core/balance.py` (where); here it is carried out:

    permit ── key, prepare ── the pool ── head ── a look at the body, where it says more ── judge ─┬─ response
      ▲                                                                                            │
      └──────────────────────────────── wait ◀── again ◀───────────────────────────────────────────┤
                                                                                                   └─ error

A permit is given back exactly once: at once when the attempt failed, else with the lease, at the end of the body
(`Loan`). To judge an answer, a bounded part of its body is read ahead and stays in place, so that the caller can still
read all of it when it is the last. Whatever ends a request's way, its last answer or error comes out with all attempts.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import attrs
import trio

from ._core.outcomes import MEANINGS, Kind, Outcome, read_should_retry, read_wait
from ._core.permits import Member, Permit
from ._core.retry import Again, Repeatable, Stop
from .attempts import Attempts
from .config import Limits
from .errors import PoolClosed, PoolFull, PoolTimeout, RateLimited, TotalTimeout, TrioPoolError
from .journal import Journal
from .messages import Held, Request
from .response import Response
from .tries import NO_COMPLAINT, Prevented, Try, complaint_of, refusal, too_late
from .turnstile import Turnstile
from .urls import Origin

_TELLING = frozenset({400, 401, 402, 403, 429})  # statuses that a spent quota may have
_OUR_LIMITS = (RateLimited, PoolFull, PoolTimeout, PoolClosed, TotalTimeout)


class Way(ABC):
    """One request's way through its attempts. What differs for a URL of its own and for a
    group of upstreams is said in `plain.py` and `failover.py`.

    :param attempts: the client's.
    :param repeatable: what the request allows.
    :param limits: the seconds that each attempt has, and `total` for all.
    :param started: when it was called, by trio's clock.
    :param deadline: of all of it, or None: by its total timeout.
    """

    def __init__(
        self, attempts: Attempts, repeatable: Repeatable, limits: Limits, started: float, deadline: float | None
    ) -> None:
        self._attempts = attempts
        self._limits = limits
        self._deadline = started + limits.total if deadline is None else deadline
        self._course = attempts.course(repeatable, self._deadline)
        self._journal = Journal(attempts.tell, started)
        self._tried: list[Member] = []
        self._never: list[Member] = []  # another try of this request is of no use there
        self._elsewhere = False
        self._last: Response | TrioPoolError | None = None

    async def go(self, came: Response | TrioPoolError | None = None) -> Response:
        """The way, to its end.

        :param came: what came of a first attempt that was made already, or None.
        """
        try:
            done = None if came is None else await self._first(came)
            while True:
                done = done or await self._try()
                if done.is_served:
                    return self._serve(done)
                step = self._judge(done)
                if isinstance(step, Stop):
                    return self._stop(done, step)
                await self._put_away(done)
                done = None
                if step.at > trio.current_time():
                    await trio.sleep_until(step.at)
        except Prevented as prevented:
            return self._fall_back(prevented.error)
        finally:
            self._course.close()

    # ---- what is different for each kind ----

    _rival_permit: Permit | None = None  # of an attempt beside another
    _tokens = 0.0  # about how many the request will use
    _where: Origin | None = None  # where it goes; None: to a group

    @property
    @abstractmethod
    def _turnstile(self) -> Turnstile | None:
        """What lets this request through, or None: nothing is in its way."""
        ...

    @abstractmethod
    def _new_try(self, permit: Permit | None, now: float) -> Try:
        """An attempt that is about to be made."""
        ...

    @abstractmethod
    async def _ready(self, permit: Permit | None) -> Request:
        """The request for one attempt."""
        ...

    @abstractmethod
    async def _look_at_events(self, done: Try, response: Response) -> Outcome:
        """An answer below 400 may be a stream of events that begins with an error."""
        ...

    # ---- one attempt ----

    async def _try(self) -> Try:
        """The next attempt.

        :raises Prevented: there can be none.
        """
        while True:
            done = await self._try_with(await self._permit())
            if done is not None:
                return done

    async def _permit(self) -> Permit | None:
        turnstile, now = self._turnstile, trio.current_time()
        if turnstile is None:
            return None
        wishes = {
            "tried": self._tried,
            "never": self._tried if self._elsewhere else self._never,
            "tokens": self._tokens,
        }
        answer = await turnstile.permit(min(now + self._limits.acquire, self._deadline), **wishes)
        if isinstance(answer, Permit):
            return answer
        raise Prevented(refusal(answer, self._where, now, self._deadline))

    async def _first(self, came: Response | TrioPoolError) -> Try:
        """A first attempt that was made already."""
        self._course.begin(self._journal.idle_since)
        done = self._new_try(None, self._journal.idle_since)
        if isinstance(came, TrioPoolError):
            return self._failed(done, None, None, came)
        return await self._examine(done, came)

    async def _try_with(self, permit: Permit | None) -> Try | None:
        """An attempt, or None: it was not sent, because a pause began before."""
        request: Request | None = None
        done: Try | None = None
        try:
            request = await self._ready_in_time(permit)
            if request.guard is not None:
                request.guard(request)
            done = self._begin(permit)
            response = await self._attempts.pool.send(request, deadline=self._deadline)
        except Held:
            self._withdraw(done, permit)
            return None
        except TrioPoolError as error:
            return self._failed(done, permit, request, error)
        except BaseException:
            self._cut(done, permit, was_sent=request is not None and request.was_sent)
            raise
        return await self._examine(done, response)

    async def _ready_in_time(self, permit: Permit | None) -> Request:
        if self._deadline == math.inf:
            return await self._ready(permit)
        with trio.CancelScope(deadline=self._deadline):
            return await self._ready(permit)
        raise too_late(self._where)

    def _begin(self, permit: Permit | None) -> Try:
        now = trio.current_time()
        if not self._course.begin(now):
            raise too_late(self._where)
        done = self._new_try(permit, now)
        is_hedge = permit is not None and permit is self._rival_permit
        self._journal.begun(done, self._course.tries, is_hedge=is_hedge)
        return done

    def _failed(self, done: Try | None, permit: Permit | None, request: Request | None, error: TrioPoolError) -> Try:
        """An error came of it, or kept it from being sent."""
        was_sent = request is not None and (request.was_sent or error.may_have_been_processed)
        if done is not None:
            done.error, done.outcome = error, Outcome(error=error)
        if done is None or (not was_sent and done.kind is Kind.OURS):
            self._withdraw(done, permit)
            raise Prevented(error)
        self._end(done)
        return done

    async def _examine(self, done: Try, response: Response) -> Try:
        """What an answer means."""
        done.response = response
        try:
            done.outcome = await self._outcome(done, response)
        except TrioPoolError as error:
            response.close()
            done.response, done.error, done.outcome = None, error, Outcome(error=error)
        except BaseException:
            response.close()
            self._cut(done, done.permit, was_sent=True)
            raise
        if not done.is_served:
            self._end(done)
        return done

    async def _outcome(self, done: Try, response: Response) -> Outcome:
        status, headers = response.status_code, response.headers
        wall = self._attempts.wall_time()
        if done.permit is not None and self._turnstile is not None:
            self._turnstile.answered(done.permit, headers, wall)
        if status < 400:
            return await self._look_at_events(done, response)
        is_telling = status in done.rules.statuses or status in _TELLING
        complaint = await complaint_of(response) if is_telling else NO_COMPLAINT
        waits = [wait for wait in (read_wait(headers, wall), complaint.wait) if wait is not None]
        return Outcome(
            status=status, codes=complaint.codes, wait=max(waits, default=None), should_retry=read_should_retry(headers)
        )

    # ---- giving back ----

    def _withdraw(self, done: Try | None, permit: Permit | None) -> None:
        """The attempt was not sent, and that says nothing of where it was to go."""
        if done is not None:
            self._course.withdraw()
        if permit is not None and self._turnstile is not None:
            self._turnstile.unsent(permit)
        if done is not None:
            self._journal.dropped(done)

    def _cut(self, done: Try | None, permit: Permit | None, *, was_sent: bool) -> None:
        """The caller was cancelled or has failed itself, or the attempt has lost against its rival."""
        if not was_sent:
            self._withdraw(done, permit)
            return
        if permit is not None and self._turnstile is not None:
            self._turnstile.ended(permit, Kind.OURS)
        if done is not None:
            self._journal.dropped(done)

    def _end(self, done: Try) -> None:
        """An attempt has failed."""
        kind, wait = done.kind, done.outcome.wait
        self._journal.ended(done)
        if done.permit is not None and self._turnstile is not None:
            self._tried.append(done.permit.member)
            if MEANINGS[kind].where == "elsewhere" and not done.outcome.should_retry:
                self._never.append(done.permit.member)
            self._turnstile.ended(done.permit, kind, wait)
        elif done.permit is None and done.response is not None:
            self._attempts.note_pause(done.response.request.origin, kind, wait, done.started)

    # ---- what follows ----

    def _judge(self, done: Try) -> Again | Stop:
        turnstile = self._turnstile
        now = trio.current_time()
        has_other = turnstile is not None and turnstile.group.has_other(self._tried, now, self._tokens)
        chance = self._attempts.pool.network.random()
        outcome = self._outcome_for(done, now)
        step = self._course.judge(outcome, done.rules, now=now, chance=chance, has_other=has_other)
        if isinstance(step, Again):
            self._elsewhere = step.elsewhere
            self._journal.goes_on(step, now)
        return step

    def _outcome_for(self, done: Try, now: float) -> Outcome:
        """What came of it, for this request: a wait that one upstream asks for is none for the others."""
        outcome, permit, turnstile = done.outcome, done.permit, self._turnstile
        if not outcome.wait or permit is None or turnstile is None:
            return outcome
        elsewhere = turnstile.group.free_at(now, [permit.member, *self._never]) - now
        return attrs.evolve(outcome, wait=min(outcome.wait, elsewhere))

    def _serve(self, done: Try) -> Response:
        """The answer is one: its permit goes back with its lease."""
        response, turnstile = done.response, self._turnstile
        assert response is not None
        if done.permit is not None and turnstile is not None:
            turnstile.serving(done.permit, trio.current_time() - done.started)
            turnstile.lend(done.permit, done.rules, response)
        self._journal.ended(done)
        return self._journal.with_attempts(response)

    def _stop(self, done: Try, step: Stop) -> Response:
        """The last answer, or error."""
        self._journal.gives_up(step.reason)
        if done.error is not None:
            raise self._journal.with_attempts(done.error)
        assert done.response is not None
        return self._journal.with_attempts(done.response)

    async def _put_away(self, done: Try) -> None:
        """Another attempt follows: the connection goes back. An answer that is there whole is kept in mind."""
        response = done.response
        self._last = response or done.error
        if response is None:
            return
        try:
            if response._is_at_hand:
                await response.read()
        except TrioPoolError:
            pass  # what makes no sense is no loss
        finally:
            response.close()

    def _fall_back(self, error: TrioPoolError) -> Response:
        """No further attempt could be made: what came of the last one, where our own limits were against it."""
        self._journal.gives_up(type(error).__name__)
        if self._last is None or not isinstance(error, _OUR_LIMITS):
            raise self._journal.with_attempts(error)
        if isinstance(self._last, TrioPoolError):
            raise self._journal.with_attempts(self._last) from error
        if not self._last._was_read:
            raise self._journal.with_attempts(error)
        return self._journal.with_attempts(self._last)
