"""What serves a virtual provider: who is let in, who waits, who is refused, and how an answer goes out in time.

A request that has arrived waits, is busy, or is over (`answering.py` has the steps). It is over with its answer, or
when its client has gone; either gives its place to whoever waits longest.
"""

from __future__ import annotations

import math
import random
from collections import Counter, OrderedDict
from collections.abc import Callable

import attrs

from ..._core.ratelimit import Bucket
from ..traffic.demands import Demand
from .answering import Answering, Refusal
from .answers import Script
from .conversations import Conversation
from .engine import Engine
from .faults import Dice, Fault
from .outages import Outage, in_order
from .pipes import Way
from .provider import VirtualProvider
from .requests import Asked
from .streams import ServerEnd


@attrs.frozen
class ServerStatistics:
    """What a provider has seen.

    :ivar requests: those that arrived whole.
    :ivar answered: those that got their answer.
    :ivar refused: those that were refused, by status.
    :ivar dropped: those whose connection ended before their answer did.
    :ivar connections: those that are open now, as far as the server knows.
    :ivar busy: requests being served now.
    :ivar waiting: requests that wait for a place now.
    :ivar most_busy: the most that there were.
    :ivar most_waiting: the most that waited.
    """

    requests: int
    answered: int
    refused: dict[int, int]
    dropped: int
    connections: int
    busy: int
    waiting: int
    most_busy: int
    most_waiting: int


class Server:
    """A provider at work.

    :param provider: its description.
    :param engine: has the agenda.
    :param faults: strike its responses.
    :param chance: the stream of chance for outages of a shared name, or with None for its own.
    :ivar dark_until: when its network comes back, by trio's clock.
    """

    def __init__(
        self,
        provider: VirtualProvider,
        engine: Engine,
        faults: Dice[Fault],
        chance: Callable[[str | None], random.Random],
    ) -> None:
        self.provider = provider
        self.faults = faults
        self.script = Script(provider)
        self.dark_until = -math.inf
        self.way = Way(
            latency=provider.round_trip / 2,
            bandwidth=provider.bandwidth,
            capacity=provider.capacity,
            dark_until=lambda: self.dark_until,
        )
        self._engine = engine
        self._fields = _fields_of(provider)
        self._requests = Bucket(provider.requests_per_minute or math.inf)
        self._tokens = Bucket(provider.tokens_per_minute or math.inf)
        self._busy: dict[Answering, None] = {}
        self._waiting: OrderedDict[Answering, None] = OrderedDict()
        self._conversations: dict[Conversation, None] = {}
        self._outages = in_order(provider.outages, chance)
        self._away: Counter[str] = Counter()  # outages that go on, by how
        self._figures: Counter[str] = Counter()
        self._refused: Counter[int] = Counter()
        self._await_next_outage()

    # ---- for the network ----

    @property
    def is_refusing(self) -> bool:
        """Whether nobody listens."""
        return self._away["refuse"] > 0

    def connected(self, end: ServerEnd) -> None:
        """A connection has been made."""
        self._conversations[Conversation(self, end, self._engine)] = None

    def statistics(self) -> ServerStatistics:
        """What it has seen."""
        figures = self._figures
        return ServerStatistics(
            requests=figures["requests"],
            answered=figures["answered"],
            refused=dict(self._refused),
            dropped=figures["dropped"],
            connections=len(self._conversations),
            busy=len(self._busy),
            waiting=len(self._waiting),
            most_busy=figures["most_busy"],
            most_waiting=figures["most_waiting"],
        )

    # ---- for its conversations ----

    def answering(self, asked: Asked, conversation: Conversation) -> Answering:
        """A request that has arrived."""
        return Answering(self, asked, conversation, self._engine)

    def forget(self, conversation: Conversation) -> None:
        """A connection is over."""
        self._conversations.pop(conversation, None)

    def admit(self, answering: Answering) -> None:
        """Serve a request, have it wait, or refuse it."""
        self._figures["requests"] += 1
        refused = self._objection(answering.asked)
        if refused is not None:
            self._refused[refused[0]] += 1
            answering.refuse(*refused)
            return
        self._charge(answering.asked.demand)
        self._waiting[answering] = None
        self._fill()
        self._note_most("most_waiting", len(self._waiting))

    def finish(self, answering: Answering) -> None:
        """It has its answer."""
        self._figures["answered"] += 1
        del self._busy[answering]
        self._fill()

    def drop(self, answering: Answering) -> None:
        """Nobody wants its answer any more: its place is free."""
        if answering in self._busy:
            del self._busy[answering]
        elif answering in self._waiting:
            del self._waiting[answering]
        else:
            return
        answering.stop()
        self._figures["dropped"] += 1
        self._fill()

    def slowdown(self) -> float:
        """How many times as long everything takes now."""
        return self.provider.slowdown(self._engine.elapsed())

    def fields(self, nonce: bytes, retry_after: float | None = None) -> bytes:
        """The header fields of an answer beside those that frame it."""
        told = b"Simulated-Nonce: %b\r\n%b" % (nonce, self._fields)
        if retry_after is not None:
            told += b"Retry-After: %d\r\n" % math.ceil(retry_after)
        if self.provider.sends_rate_limit_headers:
            now = self._engine.now()
            told += _limit_fields("requests", self._requests, now) + _limit_fields("tokens", self._tokens, now)
        return told

    # ---- who is let in ----

    def _objection(self, asked: Asked) -> Refusal | None:
        now, provider = self._engine.now(), self.provider
        if not asked.is_understood:
            return 400, None
        if self._away["503"]:
            return 503, provider.retry_after
        ready = max(self._requests.ready_at(1, now), self._tokens.ready_at(_tokens_of(asked.demand), now))
        if ready > now:
            return 429, None if provider.retry_after is None else ready - now
        if not self._has_room and len(self._waiting) >= provider.queue:
            return provider.overload_status, provider.retry_after
        return None

    def _charge(self, demand: Demand) -> None:
        now = self._engine.now()
        self._requests.add(-1, now)
        self._tokens.add(-_tokens_of(demand), now)

    @property
    def _has_room(self) -> bool:
        return self.provider.concurrency is None or len(self._busy) < self.provider.concurrency

    def _fill(self) -> None:
        """Serve those who wait, as long as there is room."""
        while self._waiting and self._has_room:
            answering, _ = self._waiting.popitem(last=False)
            self._busy[answering] = None
            answering.begin()
        self._note_most("most_busy", len(self._busy))

    def _note_most(self, name: str, count: int) -> None:
        self._figures[name] = max(self._figures[name], count)

    # ---- outages ----

    def _await_next_outage(self) -> None:
        outage = next(self._outages, None)
        if outage is None:
            return
        if outage.start:
            self._engine.at(self._engine.started + outage.start, self._begin_outage, outage)
        else:  # it goes on before any task takes a step
            self._begin_outage(outage)

    def _begin_outage(self, outage: Outage) -> None:
        end = self._engine.started + outage.start + outage.seconds
        self._engine.note(f"{self.provider.name} {outage.how}")
        self._away[outage.how] += 1
        self._engine.at(end, self._end_outage, outage)
        if outage.how == "blackhole":
            self.dark_until = max(self.dark_until, end)
        elif outage.how == "refuse":
            for conversation in list(self._conversations):
                conversation.reset()
        self._await_next_outage()

    def _end_outage(self, outage: Outage) -> None:
        self._away[outage.how] -= 1


def _tokens_of(demand: Demand) -> int:
    return demand.input_tokens + demand.tokens


def _fields_of(provider: VirtualProvider) -> bytes:
    """Those that every answer has."""
    if not provider.announces_keepalive or provider.keepalive_timeout is None:
        return b""
    return b"Keep-Alive: timeout=%d\r\n" % max(provider.keepalive_timeout, 1)


def _limit_fields(of: str, bucket: Bucket, now: float) -> bytes:
    """One limit, as OpenAI's tell it: https://platform.openai.com/docs/guides/rate-limits#rate-limits-in-headers"""
    if not bucket.is_known:
        return b""
    bucket.refill(now)
    left, reset = max(bucket.level, 0), (bucket.capacity - bucket.level) / bucket.rate
    fields = {"limit": f"{bucket.capacity:.0f}", "remaining": f"{math.floor(left)}", "reset": f"{reset:.3f}s"}
    return "".join([f"x-ratelimit-{name}-{of}: {value}\r\n" for name, value in fields.items()]).encode()
