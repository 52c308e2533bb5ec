"""A virtual world with the real client in it, for tests."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import attrs
import trio

from trio_pool import Client, PoolConfig, Response, open_client
from trio_pool.simulate.traffic import demands
from trio_pool.simulate.traffic.demands import Asks, Demand
from trio_pool.simulate.world.engine import Engine, open_engine
from trio_pool.simulate.world.faults import Fault
from trio_pool.simulate.world.network import VirtualNetwork
from trio_pool.simulate.world.provider import VirtualProvider
from trio_pool.simulate.world.scheduling import run
from trio_pool.simulate.world.servers import ServerStatistics

T = TypeVar("T")

ONCE = PoolConfig(retry_attempts=1)
"""Nothing is tried again, so that what a provider says is seen."""

PATIENCE = 100_000.0
"""Virtual seconds after which a story counts as hung: an agenda may be endless."""


@attrs.define(eq=False)
class World:
    """What a story has at hand; its client asks the first provider unless told otherwise."""

    engine: Engine
    network: VirtualNetwork
    client: Client
    nonces: itertools.count[int] = attrs.Factory(itertools.count)

    async def ask(self, demand: Demand = demands.NOTHING, url: str = "/", **options: Any) -> Response:
        """The answer, read to its end; it is that of this request."""
        nonce = str(next(self.nonces))
        options["headers"] = headers(demand, nonce)
        response = await self.client.request(options.pop("method", "GET"), url, **options)
        assert response.headers["simulated-nonce"] == nonce, "the answer is another's"
        return response

    def server(self, name: str = "provider") -> ServerStatistics:
        return self.network.servers[name].statistics()


def headers(demand: Asks = demands.NOTHING, nonce: str = "0") -> dict[str, str]:
    return {demands.DEMAND: demands.written(demand), demands.NONCE: nonce}


def play(
    story: Callable[[World], Awaitable[T]],
    *providers: VirtualProvider,
    faults: tuple[Fault, ...] = (),
    seed: int = 0,
    config: PoolConfig = ONCE,
    **options: Any,
) -> T:
    """Run the story in a world of these providers. At its end no connection is left open."""
    there = providers or (VirtualProvider(),)

    async def main() -> T:
        with trio.fail_after(PATIENCE):
            async with open_engine() as engine:
                network = VirtualNetwork(engine, there, faults, seed=seed)
                if not options.get("upstreams"):
                    options["base_url"] = there[0].url
                async with open_client(config, network=network, **options) as client:
                    result = await story(World(engine, network, client))
                assert network.open == 0, "a connection is open at the end"
                return result

    return run(main, seed=seed)


async def together(*work: Callable[[], Awaitable[Any]]) -> list[Any]:
    """What they give, or raise, each in its place."""
    results: list[Any] = [None] * len(work)

    async def do(place: int) -> None:
        try:
            results[place] = await work[place]()
        except Exception as error:
            results[place] = error

    async with trio.open_nursery() as nursery:
        for place in range(len(work)):
            nursery.start_soon(do, place)
    return results
