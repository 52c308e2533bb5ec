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

import inspect
import math
import time
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import attrs
import trio

from . import events
from ._core.budget import RetryBudget
from ._core.dialects import Complaint, read_error
from ._core.outcomes import MEANINGS, Kind, Outcome, RetryRules, kind_of, read_should_retry, read_wait
from ._core.permits import Member, Permit, Refused
from ._core.retry import Again, Course, Repeatable, Stop
from ._net.exchange import DRAIN_LIMIT
from .config import Limits
from .errors import (
    PoolClosed,
    PoolFull,
    PoolTimeout,
    RateLimited,
    TotalTimeout,
    TrioPoolError,
)
from .events import Attempt, Event
from .headers import encode_headers
from .messages import Held, Request
from .places import closed
from .pool import Pool
from .providers import PROVIDERS
from .response import Response
from .turnstile import Turnstile
from .urls import Origin

PATIENCE = 2.0
"""Seconds that the body of a refusal may take to come, so that it can be judged; then it is judged without."""

MOST_PAUSES = 1024
"""Origins whose pauses are remembered."""

PLAIN_RULES = RetryRules(
    quota_codes=frozenset(chain.from_iterable(one.retry.quota_codes for one in PROVIDERS.values())),
    overload_codes=frozenset(chain.from_iterable(one.retry.overload_codes for one in PROVIDERS.values())),
)
"""For requests to no known provider: any provider's words are understood."""

Prepare = Callable[[Request], Any]
"""Gives header fields to be added to a request at the last moment, as taken by `Headers`, or an awaitable of them."""


class _Prevented(Exception):
    """There can be no further attempt: our own limits are against it."""

    def __init__(self, error: TrioPoolError) -> None:
        super().__init__()
        self.error = error


Result = TypeVar("Result", Response, TrioPoolError)

_NOTHING = Complaint(frozenset())


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
        return kind_of(self.outcome, self.rules)

    def record(self) -> Attempt:
        """What is told of it."""
        return Attempt(
            upstream=self.upstream,
            result=str(self.outcome.status) if self.error is None else type(self.error).__name__,
            kind=self.kind.value,
            started=self.started,
            ended=trio.current_time(),
            waited=self.waited,
        )


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
        network: Any = pool.network
        self.wall_time: Callable[[], float] = getattr(network, "time", time.time)

    async def send(self, request: Request, deadline: float | None = None) -> Response:
        """Send a plain request, from its first attempt on."""
        started = trio.current_time()
        self.requests += 1
        return await PlainWay(self, request, started, deadline).go(None)

    async def resume(
        self, request: Request, started: float, deadline: float | None, came: Response | TrioPoolError | Held
    ) -> Response:
        """Go on after a first attempt that went straight to the pool.

        :param came: what came of it; `Held`: it was not sent.
        """
        way = PlainWay(self, request, started, deadline)
        return await way.go(None if isinstance(came, Held) else came)

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


class Way:
    """One request's way through its attempts. What a group of upstreams does differently is said in `failover.py`.

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
        self._log: list[Attempt] = []
        self._tried: list[Member] = []
        self._elsewhere = False
        self._idle_since = started  # the end of the attempt before, or the call
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
        except _Prevented as prevented:
            return self._fall_back(prevented.error)
        finally:
            self._course.close()

    # ---- what is different for a group ----

    @property
    def _turnstile(self) -> Turnstile | None:
        """What lets this request through, or None: nothing is in its way."""
        raise NotImplementedError

    def _new_try(self, permit: Permit | None, now: float) -> Try:
        raise NotImplementedError

    async def _ready(self, permit: Permit | None) -> Request:
        """The request for one attempt."""
        raise NotImplementedError

    async def _look_at_events(self, done: Try, response: Response) -> Outcome:
        """An answer below 400 may be a stream of events that begins with an error."""
        raise NotImplementedError

    # ---- one attempt ----

    async def _try(self) -> Try:
        """The next attempt.

        :raises _Prevented: there can be none.
        """
        while True:
            done = await self._try_with(await self._permit())
            if done is not None:
                return done

    async def _permit(self) -> Permit | None:
        turnstile, now = self._turnstile, trio.current_time()
        if now >= self._deadline:
            raise _Prevented(self._too_late())
        if turnstile is None:
            return None
        wishes = {"tried": self._tried, "is_strict": self._elsewhere, "tokens": self._tokens}
        answer = await turnstile.permit(min(now + self._limits.acquire, self._deadline), **wishes)
        if isinstance(answer, Permit):
            return answer
        raise _Prevented(self._refusal(answer, now))

    async def _first(self, came: Response | TrioPoolError) -> Try:
        """A first attempt that was made already."""
        self._course.begin(self._idle_since)
        done = self._new_try(None, self._idle_since)
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
        raise self._too_late()

    def _begin(self, permit: Permit | None) -> Try:
        now = trio.current_time()
        if not self._course.begin(now):
            raise self._too_late()
        done = self._new_try(permit, now)
        number, is_probe = self._course.tries, permit is not None and permit.is_probe
        if self._log and self._log[-1].upstream != done.upstream:
            self._attempts.tell(events.FailedOver(before=self._log[-1].upstream, after=done.upstream))
        self._attempts.tell(events.AttemptStarted(upstream=done.upstream, number=number, is_probe=is_probe))
        return done

    def _failed(self, done: Try | None, permit: Permit | None, request: Request | None, error: TrioPoolError) -> Try:
        """An error came of it, or kept it from being sent."""
        was_sent = request is not None and (request.was_sent or error.may_have_been_processed)
        outcome = Outcome(error=error)
        if done is None or (not was_sent and kind_of(outcome, done.rules) is Kind.OURS):
            self._withdraw(done, permit)
            raise _Prevented(error)
        done.error, done.outcome = error, outcome
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
        complaint = await _complaint(response) if is_telling else _NOTHING
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

    def _cut(self, done: Try | None, permit: Permit | None, *, was_sent: bool) -> None:
        """The caller was cancelled, or has failed itself."""
        if not was_sent:
            self._withdraw(done, permit)
        elif permit is not None and self._turnstile is not None:
            self._turnstile.ended(permit, Kind.OURS)

    def _end(self, done: Try) -> None:
        """An attempt has failed."""
        kind, wait = done.kind, done.outcome.wait
        self._note(done)
        if done.permit is not None and self._turnstile is not None:
            self._tried.append(done.permit.member)
            self._turnstile.ended(done.permit, kind, wait)
        elif done.permit is None and done.response is not None:
            self._attempts.note_pause(done.response.request.origin, kind, wait, done.started)

    def _note(self, done: Try) -> None:
        record = done.record()
        self._log.append(record)
        self._idle_since = record.ended
        self._attempts.tell(events.AttemptEnded(attempt=record))

    # ---- what follows ----

    def _judge(self, done: Try) -> Again | Stop:
        turnstile = self._turnstile
        now = trio.current_time()
        has_other = turnstile is not None and turnstile.group.has_other(self._tried, now, self._tokens)
        chance = self._attempts.pool.network.random()
        step = self._course.judge(done.outcome, done.rules, now=now, chance=chance, has_other=has_other)
        if isinstance(step, Again):
            self._elsewhere = step.elsewhere
            wait = max(step.at - now, 0.0)
            self._attempts.tell(events.Retrying(after=self._log[-1], wait=wait, elsewhere=step.elsewhere))
        return step

    def _serve(self, done: Try) -> Response:
        """The answer is one: its permit goes back with its lease."""
        response, turnstile = done.response, self._turnstile
        assert response is not None
        self._note(done)
        if done.permit is not None and turnstile is not None:
            turnstile.serving(done.permit, trio.current_time() - done.started)
            turnstile.lend(done.permit, response)
        return self._told(response)

    def _stop(self, done: Try, step: Stop) -> Response:
        """The last answer, or error."""
        self._attempts.tell(events.GaveUp(reason=step.reason, attempts=tuple(self._log)))
        if done.error is not None:
            raise self._told(done.error)
        assert done.response is not None
        return self._told(done.response)

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
        if self._last is None or not isinstance(error, _OUR_LIMITS):
            raise self._told(error)
        if isinstance(self._last, TrioPoolError):
            raise self._told(self._last) from error
        if not self._last._was_read:
            raise self._told(error)
        return self._told(self._last)

    def _told(self, result: Result) -> Result:
        """With the list of attempts."""
        if isinstance(result, Response):
            result._attempts = tuple(self._log)
        else:
            result.attempts = tuple(self._log)
        return result

    # ---- words ----

    @property
    def _where(self) -> Origin | None:
        """Where the request goes, or None: to a group."""
        return None

    def _too_late(self) -> TotalTimeout:
        what, advice = "the request's total timeout ran out", "Raise total_timeout if the request may take longer."
        return TotalTimeout(what, origin=self._where, phase="waiting for a connection", advice=advice)

    def _refusal(self, answer: Refused | None, since: float) -> TrioPoolError:
        """The sentence for who gets no permit."""
        now = trio.current_time()
        if answer is None:
            return closed(self._where)
        if answer.why == "full":
            what, kind = "as many requests as may wait already wait before the upstreams", PoolFull
            return kind(what, origin=self._where, phase="waiting for a connection", elapsed=now - since)
        if answer.at != math.inf:
            what = f"nothing may be sent for {answer.at - now:.3f} s, which is longer than the request would wait"
            limited = RateLimited(what, origin=self._where, phase="waiting for a connection", advice=_LATER)
            limited.retry_after = answer.at - now
            return limited
        if now >= self._deadline:
            return self._too_late()
        what = "no upstream became free in time"
        return PoolTimeout(what, origin=self._where, phase="waiting for a connection", elapsed=now - since)

    _tokens = 0.0


_LATER = "Come back then, or raise acquire_timeout."
_TELLING = frozenset({400, 401, 402, 403, 429})  # statuses that a spent quota may have
_OUR_LIMITS = (RateLimited, PoolFull, PoolTimeout, PoolClosed, TotalTimeout)


class PlainWay(Way):
    """The way of a request to a URL of its own."""

    def __init__(self, attempts: Attempts, request: Request, started: float, deadline: float | None) -> None:
        allows = Repeatable(
            method=request.method, has_body_again=request.can_be_repeated, is_allowed=request.retry_unsafe
        )
        super().__init__(attempts, allows, attempts.pool.config.limits_for(request.timeouts), started, deadline)
        self._request = request
        self._gate = attempts.pauses.get(request.origin)

    @property
    def _turnstile(self) -> Turnstile | None:
        return self._gate

    @property
    def _where(self) -> Origin:
        return self._request.origin

    async def _permit(self) -> Permit | None:
        self._gate = self._attempts.pauses.get(self._request.origin)  # which may have come or gone meanwhile
        self._elsewhere = False
        self._tried.clear()
        return await super()._permit()

    def _new_try(self, permit: Permit | None, now: float) -> Try:
        return Try(str(self._request.origin), PLAIN_RULES, permit, now, now - self._idle_since)

    async def _ready(self, permit: Permit | None) -> Request:  # noqa: ARG002  # it is the same by any
        request = self._request.twin()
        request.guard = self._attempts.guard
        return await prepared(request, self._attempts.prepare)

    async def _look_at_events(self, done: Try, response: Response) -> Outcome:  # noqa: ARG002  # of no known dialect
        return Outcome(status=response.status_code)


async def prepared(request: Request, prepare: Prepare | None) -> Request:
    """The request, with what the caller's hook gives."""
    if prepare is not None:
        given = prepare(request)
        added = encode_headers(await given if inspect.isawaitable(given) else given)
        names = {name.lower() for name, _ in added}
        request.raw_headers = [field for field in request.raw_headers if field[0].lower() not in names] + added
        request.encoded = b""
    return request


async def _complaint(response: Response) -> Complaint:
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
