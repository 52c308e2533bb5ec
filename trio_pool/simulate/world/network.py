"""A virtual network for the real client: names, dials and connections, with their delays and their faults.

Addresses are made up, one for each provider. Every origin is plain http: what TLS would cost is time in the dial, and
what it would add to each byte is left out.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from random import Random

import trio

from ..._net.network import Address, SystemNetwork
from ...errors import UsageError
from ..traffic.chances import chance
from .engine import Engine
from .faults import OF_DIALLING, OF_RESOLVING, OF_RESPONSES, Blackhole, Dice, Fault, Refuse, SlowResolve
from .pipes import Pipe
from .provider import VirtualProvider
from .servers import Server
from .streams import ServerEnd, VirtualStream, broken

EPOCH = 1_767_225_600.0
"""The wall time, in seconds since 1970, at which every virtual world begins: 2026-01-01."""


class VirtualNetwork(SystemNetwork):
    """What resolves, dials and carries bytes in one experiment.

    :param engine: has the agenda.
    :param providers: who is there.
    :param faults: what goes wrong.
    :param seed: of everything by chance: faults, outages, and what the client draws.
    :ivar servers: the providers at work, by name.
    :ivar open: client ends that are open now.
    :ivar most: the most that there were.
    :ivar dials: dials that were begun.
    :ivar connected: those that came to a connection, TLS included.
    """

    def __init__(
        self, engine: Engine, providers: Iterable[VirtualProvider], faults: Iterable[Fault] = (), *, seed: int = 0
    ) -> None:
        faults = tuple(faults)
        self._engine = engine
        self._seed = seed
        self._client_chance = chance(seed, "client")
        self._resolving: Dice[SlowResolve] = Dice(faults, OF_RESOLVING, chance(seed, "network: names"))
        self._dialling: Dice[Fault] = Dice(faults, OF_DIALLING, chance(seed, "network: dials"))
        self._responding: Dice[Fault] = Dice(faults, OF_RESPONSES, chance(seed, "network: responses"))
        self.servers: dict[str, Server] = {}
        for provider in providers:
            if provider.name in self.servers:
                raise UsageError(f"two providers are called {provider.name!r}")
            self.servers[provider.name] = Server(provider, engine, self._responding, self._chance_of(provider))
        self._by_host = {server.provider.host: server for server in self.servers.values()}
        self._by_address = {_address(place): server for place, server in enumerate(self.servers.values())}
        self.open = self.most = self.dials = self.connected = 0

    # ---- what a Network has ----

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """The one address of a provider's host.

        :raises OSError: there is no such provider.
        """
        server = self._by_host.get(host)
        if server is None:
            raise OSError(errno.ENOENT, "the name is not known")
        seconds = server.provider.resolve_seconds
        fault = self._resolving.draw(server.provider.name, self._engine.elapsed())
        await trio.sleep(seconds if fault is None else seconds + fault.seconds)
        place = list(self._by_host).index(host)
        return [(_address(place), port)]

    async def connect(self, address: Address) -> VirtualStream:
        """A connection, after its round trips.

        :raises OSError: it is refused, or nobody has that address.
        """
        server = self._by_address.get(address[0])
        if server is None:
            raise broken(errno.ENETUNREACH)
        name, provider = server.provider.name, server.provider
        self.dials += 1
        self._engine.note(f"{name} dial")
        fault = self._dialling.draw(name, self._engine.elapsed())
        if isinstance(fault, Blackhole):
            await trio.sleep_forever()
        await self._travel(server, provider.round_trip)
        if isinstance(fault, Refuse) or server.is_refusing:
            raise broken(errno.ECONNREFUSED)
        await self._travel(server, provider.secure_seconds)
        if server.is_refusing:
            raise broken(errno.ECONNRESET)
        return self._connected(server)

    async def connect_unix(self, path: str) -> VirtualStream:  # noqa: ARG002  # nobody listens on any
        """There are no Unix sockets here.

        :raises OSError: always.
        """
        raise broken(errno.ENOENT)

    def random(self) -> float:
        """A number in [0, 1), by the experiment's seed."""
        return self._client_chance.random()

    def time(self) -> float:
        """Virtual seconds since 1970."""
        return EPOCH + self._engine.elapsed()

    # ---- how ----

    def _chance_of(self, provider: VirtualProvider) -> Callable[[str | None], Random]:
        own = chance(self._seed, f"outage {provider.name}")
        return lambda shared: own if shared is None else chance(self._seed, f"shared outage {shared}")

    async def _travel(self, server: Server, seconds: float) -> None:
        """There and back: what is on its way when the network goes arrives when it comes back."""
        await trio.sleep_until(max(self._engine.now(), server.dark_until) + seconds)
        if server.dark_until > self._engine.now():
            await trio.sleep_until(server.dark_until)

    def _connected(self, server: Server) -> VirtualStream:
        self.connected += 1
        self.open += 1
        self.most = max(self.most, self.open)
        name = f"{server.provider.name} {self.connected}"
        up, down = Pipe(self._engine, server.way, f"{name} up"), Pipe(self._engine, server.way, f"{name} down")
        stream = VirtualStream(down, up, self._count_down)
        server.connected(ServerEnd(up, down))
        return stream

    def _count_down(self) -> None:
        self.open -= 1


def _address(place: int) -> str:
    return f"10.{place >> 16 & 255}.{place >> 8 & 255}.{place & 255}"
