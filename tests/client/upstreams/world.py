"""Providers in memory: one for each port, each with replies in turn or a function, and a door that can be shut."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import trio

from trio_pool import Client, Origin, PoolConfig, Upstream, open_client
from trio_pool.events import AttemptEnded, AttemptStarted, Event
from trio_pool.turnstile import Turnstile

from ..network import MemoryStream, Received, Reply, ScriptedNetwork, response

OK = response(b'{"usage": {"total_tokens": 10}}', "Content-Type: application/json")
BUSY = response(b"busy", status="503 Busy")
SILENCE: Reply = []

Answers = Callable[[Received], Reply]


class Host:
    """One provider.

    :ivar is_down: whether it refuses connections.
    :ivar seen: the requests that came, and when.
    """

    def __init__(self, *replies: Reply, otherwise: Reply | Answers = OK) -> None:
        self.is_down = False
        self.seen: list[Received] = []
        self.times: list[float] = []
        self.refused: list[float] = []
        self.connections: list[MemoryStream] = []
        self.replies = list(replies)
        self.otherwise = otherwise

    def answer(self, received: Received) -> Reply:
        self.seen.append(received)
        self.times.append(trio.current_time())
        if self.replies:
            return self.replies.pop(0)
        return self.otherwise(received) if callable(self.otherwise) else self.otherwise


class World(ScriptedNetwork):
    """A network of these providers: the first listens at port 1, and so on."""

    def __init__(self, *hosts: Host) -> None:
        super().__init__(lambda _: OK)
        self.hosts = hosts
        self.told: list[Event] = []
        self.chance: Callable[[], float] = random.Random(1).random
        self.dial_seconds: list[float] = []  # of the next connections; those after them are there at once

    def random(self) -> float:
        return self.chance()

    async def _connect(self, address: tuple[str, int] | str) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        if self.dial_seconds:
            await trio.sleep(self.dial_seconds.pop(0))
        host = self.hosts[int(address[1]) - 1]
        if host.is_down:
            host.refused.append(trio.current_time())
            raise ConnectionRefusedError(111, "Connection refused")
        stream = MemoryStream(self, host.answer, address)
        host.connections.append(stream)
        self.connections.append(stream)
        return stream

    def upstreams(self, *options: dict[str, Any]) -> list[Upstream]:
        """One for each provider, called a, b, c, …"""
        given = [*options, *({} for _ in self.hosts[len(options) :])]
        return [
            Upstream(f"http://h:{port}/v1", **{"name": "abcdef"[port - 1], "key": f"s3cret-{port}", **each})
            for port, each in enumerate(given, 1)
        ]

    def open(
        self,
        *options: dict[str, Any],
        config: PoolConfig = PoolConfig(),  # noqa: B008  # frozen
        **more: Any,
    ) -> AbstractAsyncContextManager[Client]:
        """A client on all of them, whose events are kept."""
        more = {"observers": [self.told.append], "upstreams": self.upstreams(*options), **more}
        return open_client(config, network=self, **more)

    def assert_all_ended(self) -> None:
        """Every attempt that was told to have started was told to have ended, once."""
        started = Counter(event.upstream for event in self.told if isinstance(event, AttemptStarted))
        ended = Counter(event.attempt.upstream for event in self.told if isinstance(event, AttemptEnded))
        assert started == ended

    def kinds(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]


def turnstile(client: Client) -> Turnstile:
    assert client._fleet is not None
    return client._fleet.turnstile


def assert_at_rest(client: Client) -> None:
    """Nothing is lent: no connection, no permit, no place, no charge."""
    figures = client.pool.statistics()
    assert (figures.leased, figures.waiting) == (0, 0)
    group = turnstile(client).group
    assert group.waiting == 0
    for member in group.members:
        assert member.in_flight == 0
        assert member.breaker._probe is None
        assert member.limiter._unanswered == 0
        assert member.adaptive is None or member.adaptive.in_flight == 0


def host_of(origin: Origin) -> str:
    assert origin.upstream is not None
    return origin.upstream.name


def error(code: str, status: str = "429 No", *fields: str) -> bytes:
    """A refusal in OpenAI's words."""
    return response(json.dumps({"error": {"type": code, "code": code}}).encode(), *fields, status=status)


def results(attempts: Sequence[Any]) -> list[tuple[str, str]]:
    return [(attempt.upstream, attempt.result) for attempt in attempts]
