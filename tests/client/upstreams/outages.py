"""Outages under a virtual clock, with the real client: providers that fail in bursts, independently of each other.

`python -m tests.client.upstreams.outages --seeds 1000` runs as many histories as are asked for, and
says what came out.
"""

from __future__ import annotations

import argparse
import functools
import random
from dataclasses import dataclass, field
from typing import Any

import trio
import trio.testing

from trio_pool import Client, PoolConfig, TrioPoolError

from ..network import MemoryStream, Received, Reply
from .world import BUSY, OK, Host, World, assert_at_rest

FAST = 0.02  # seconds to an error


@dataclass
class Tally:
    """What came of all requests of some histories."""

    requests: int = 0
    served: int = 0
    attempts: int = 0
    ended: list[float] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        self.requests += other.requests
        self.served += other.served
        self.attempts += other.attempts

    @property
    def availability(self) -> float:
        return self.served / self.requests

    @property
    def attempts_each(self) -> float:
        return self.attempts / self.requests


class Flaky(Host):
    """Serves within a second or so; in its bursts it refuses connections, or answers 503."""

    def __init__(
        self, world: Weather, chance: random.Random, *, share: float, seconds: float, mean: float = 2.0
    ) -> None:
        super().__init__(otherwise=self._reply)
        self._world = world
        self._chance = chance
        self.bursts: list[tuple[float, float]] = []
        at = chance.expovariate(share / mean / (1 - share))
        while at < seconds:
            self.bursts.append((at, at + chance.expovariate(1 / mean)))
            at = self.bursts[-1][1] + chance.expovariate(share / mean / (1 - share))

    @property
    def has_outage(self) -> bool:
        now = trio.current_time()
        return any(start <= now < end for start, end in self.bursts)

    def _reply(self, _: Received) -> Reply:
        reply, seconds = (BUSY, FAST) if self.has_outage else (OK, 0.2 * self._chance.lognormvariate(0, 0.6))
        self._world.later(seconds, reply)
        return []


class Weather(World):
    """A world whose providers take their time."""

    nursery: trio.Nursery
    _sending: MemoryStream

    async def _connect(self, address: Any) -> MemoryStream:
        host = self.hosts[int(address[1]) - 1]
        host.is_down = isinstance(host, Flaky) and host.has_outage and self.random() < 0.5
        stream = await super()._connect(address)
        answer = stream._handler

        def remember(received: Received) -> Reply:
            self._sending = stream
            return answer(received)

        stream._handler = remember
        return stream

    def later(self, seconds: float, reply: Reply) -> None:
        """Answer on the connection that has just asked."""
        self.nursery.start_soon(self._send, self._sending, seconds, reply)

    @staticmethod
    async def _send(stream: MemoryStream, seconds: float, reply: Reply) -> None:
        await trio.sleep(seconds)
        if not stream.is_closed:
            stream.send(reply)


async def history(
    seed: int, *, seconds: float = 200.0, rate: float = 20.0, upstreams: int = 3, tries: int = 3
) -> Tally:
    """One history: requests that come by chance, over upstreams that are down one percent of the time."""
    chance = random.Random(seed)
    weather = Weather()
    weather.chance = chance.random
    weather.hosts = tuple(
        Flaky(weather, random.Random(f"{seed} {n}"), share=0.01, seconds=seconds) for n in range(upstreams)
    )
    tally = Tally()
    config = PoolConfig(retry_attempts=tries)
    async with trio.open_nursery() as weather.nursery:
        async with weather.open(config=config, observers=()) as client, trio.open_nursery() as nursery:
            while trio.current_time() < seconds:
                await trio.sleep(chance.expovariate(rate))
                nursery.start_soon(ask, client, tally)
            nursery.start_soon(rest, client, nursery)
        weather.nursery.cancel_scope.cancel()
    return tally


async def rest(client: Client, nursery: trio.Nursery) -> None:
    while len(nursery.child_tasks) > 1:  # noqa: ASYNC110  # the others tell nobody when they end
        await trio.sleep(0.5)
    assert_at_rest(client)


async def ask(client: Client, tally: Tally) -> None:
    tally.requests += 1
    try:
        answer = await client.post("/chat", json={"model": "m"})
    except TrioPoolError as error:
        tally.attempts += len(error.attempts)
        return
    tally.attempts += len(answer.attempts)
    tally.served += answer.status_code == 200


def run(seed: int, **options: Any) -> Tally:
    """A history in a run of its own."""
    return trio.run(functools.partial(history, seed, **options), clock=trio.testing.MockClock(autojump_threshold=0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=200.0, help="of each history, by the virtual clock")
    arguments = parser.parse_args()
    tally, failing = Tally(), 0
    for seed in range(arguments.first, arguments.first + arguments.seeds):
        one = run(seed, seconds=arguments.seconds)
        tally.add(one)
        failing += one.served < one.requests
    print(  # noqa: T201  # what it is run for
        f"{arguments.seeds} seeds, {tally.requests} requests: {100 * tally.availability:.4f} % served, "
        f"{tally.requests - tally.served} not, in {failing} histories; {tally.attempts_each:.4f} attempts each"
    )


if __name__ == "__main__":
    main()
