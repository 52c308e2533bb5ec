"""What is noted while an experiment runs: one line a request, and the pool's figures at fixed intervals."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import trio

from .._core.outcomes import Kind
from ..client import Client
from ..events import Attempt
from ..turnstile import Turnstile
from .estimates import LittlesLaw
from .traffic.workload import Job

ANSWERED = "answered"
"""The outcome of a request whose answer came whole, with a status below 400. Other outcomes are a status ("503"), the
name of an error ("PoolFull"), or one of the next two."""

CANCELLED = "cancelled"
"""The caller lost patience."""

UNFINISHED = "unfinished"
"""It was still under way when the experiment's time was over."""

LEFT = math.nan
"""Stands for the latency of a request that its caller gave up: nobody knows what it would have been."""

SERVED = Kind.SERVED.value


class Load(NamedTuple):
    """One upstream at one moment.

    :ivar name: which.
    :ivar in_flight: its requests under way.
    :ivar limit: how many it may have (`math.inf`: any number); with `adaptive`, what was found out so far.
    """

    name: str
    in_flight: int
    limit: float


class Moment(NamedTuple):
    """The pool at one moment.

    :ivar at: virtual seconds from the start.
    :ivar leased: connections in use.
    :ivar idle: connections kept for reuse.
    :ivar dialling: connections being made.
    :ivar waiting: requests in the pool's line that no dial covers.
    :ivar held: requests that the client holds back before they come to the pool: in the line for an upstream, or until
        a pause is over. (What waits between two tries of a request is only under way.)
    :ivar under_way: requests begun and not ended.
    :ivar begun: requests until now.
    :ivar answered: those of them that were.
    :ivar upstreams: each upstream, where there are several.
    """

    at: float
    leased: int
    idle: int
    dialling: int
    waiting: int
    held: int
    under_way: int
    begun: int
    answered: int
    upstreams: tuple[Load, ...]


class Visit:
    """One request of one caller, until it ends.

    :ivar job: what it wants.
    :ivar number: its number in the experiment, from 0.
    :ivar scope: around all of it.
    :ivar place: among all that count; -1 for one that does not.
    :ivar wait: seconds until the exchange began that has its answer.
    :ivar first_byte: when its answer began, by trio's clock.
    :ivar is_reused: whether its answer came on a connection that had served before.
    :ivar attempts: those that were made, as far as they are known.
    :ivar host: that answered; "" until it does.
    """

    __slots__ = ("attempts", "first_byte", "host", "is_reused", "job", "number", "place", "scope", "wait")

    def __init__(self, job: Job, number: int, place: int, scope: trio.CancelScope) -> None:
        self.job = job
        self.number = number
        self.place = place
        self.scope = scope
        self.wait = self.first_byte = 0.0
        self.is_reused = False
        self.attempts: tuple[Attempt, ...] = ()
        self.host = ""


class Record:
    """The notes of one run.

    :param window: from when to when a request must be meant to begin to count, by trio's clock, which begins at 0.0.
    :ivar visits: the requests under way.
    :ivar now: when something was last noted.
    :ivar area: under the curve of the requests under way, inside the window: their mean number times its length.
    :ivar times: of all requests that count, together, from the intended start to the end.
    """

    def __init__(self, window: tuple[float, float]) -> None:
        self.outcomes: Counter[str] = Counter()
        self.failed_attempts: Counter[str] = Counter()
        self.answered_by: Counter[str] = Counter()
        self.waits, self.first_bytes, self.latencies = array("d"), array("d"), array("d")
        self._ends = array("d")  # by place: the latency, or what stands for it
        self.moments: list[Moment] = []
        self.visits: dict[Visit, None] = {}
        self.begun = self.answered = self.responses = self.reused = self.tried = self.tries = 0
        self.area = self.times = self.now = 0.0
        self._window = window
        self._history = hashlib.blake2b(digest_size=16)

    def begin(self, job: Job) -> Visit:
        """A request begins."""
        self._grow()
        place = -1
        if job.at >= self._window[0]:
            place = len(self._ends)
            self._ends.append(LEFT)
        visit = Visit(job, self.begun, place, trio.CancelScope(deadline=job.at + job.patience))
        self.visits[visit] = None
        self.begun += 1
        return visit

    def end(self, visit: Visit, outcome: str) -> None:
        """It has ended."""
        now = self._grow()
        del self.visits[visit]
        self._history.update(f"{visit.number} {outcome} {now!r} {visit.first_byte!r} {visit.host}\n".encode())
        self.answered += outcome == ANSWERED
        if visit.place >= 0:
            self.times += now - visit.job.at
            self.outcomes[outcome] += 1
            self._count_attempts(visit, outcome)
            if outcome == ANSWERED:
                self._count_answer(visit, now)
            elif outcome != CANCELLED:
                self._ends[visit.place] = math.inf

    def history(self, of_world: str) -> str:
        """A digest of all that happened.

        :param of_world: the virtual world's own.
        """
        history = self._history.copy()
        history.update(of_world.encode())
        return history.hexdigest()

    def latencies_of_all(self) -> array[float]:
        """See `Result`."""
        return array("d", (end for end in self._ends if not math.isnan(end)))

    def little(self) -> LittlesLaw:
        """The mean number under way inside the window, and the rate of those that count times their mean time."""
        seconds = self._window[1] - self._window[0]
        return LittlesLaw(self.area / seconds, self.times / seconds)

    def look(self, client: Client) -> Moment:
        """Note the client and its pool as they are."""
        figures = client.pool.statistics()
        members = () if client._fleet is None else client._fleet.turnstile.group.members
        moment = Moment(
            at=trio.current_time(),
            leased=figures.leased,
            idle=figures.idle,
            dialling=figures.dialling,
            waiting=figures.waiting,
            held=sum(turnstile.group.waiting for turnstile in _turnstiles(client)),
            under_way=len(self.visits),
            begun=self.begun,
            answered=self.answered,
            upstreams=tuple(Load(str(member.upstream), member.in_flight, member.limit) for member in members),
        )
        self.moments.append(moment)
        return moment

    def _grow(self) -> float:
        """The area grows up to now, before the number under way changes."""
        now = trio.current_time()
        first, last = self._window
        if self.now < last and now > first:
            self.area += len(self.visits) * (min(now, last) - max(self.now, first))
        self.now = now
        return now

    def _count_attempts(self, visit: Visit, outcome: str) -> None:
        if visit.host:
            self.responses += 1
            self.reused += visit.is_reused
        if visit.attempts and outcome not in (CANCELLED, UNFINISHED):
            self.tried += 1
            self.tries += len(visit.attempts)
            self.failed_attempts.update(each.result for each in visit.attempts if each.kind != SERVED)
            if outcome != ANSWERED and visit.attempts[-1].kind == SERVED:
                self.failed_attempts[outcome] += 1  # its answer began, and broke off

    def _count_answer(self, visit: Visit, now: float) -> None:
        self.answered_by[visit.host] += 1
        self.waits.append(visit.wait)
        self.first_bytes.append(visit.first_byte - visit.job.at)
        latency = self._ends[visit.place] = now - visit.job.at
        self.latencies.append(latency)


def _turnstiles(client: Client) -> Iterator[Turnstile]:
    """Where requests wait before they come to the pool: before upstreams, and before plain origins in a pause."""
    if client._fleet is not None:
        yield client._fleet.turnstile
    if client._loop is not None:
        yield from client._loop.pauses.values()
