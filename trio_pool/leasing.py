"""One connection in the hands of a caller, for experiments with the protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from ._net.exchange import Exchange, begin
from ._net.proxies import through
from ._net.streams import Stream
from .config import PoolConfig
from .errors import UsageError
from .messages import Request
from .urls import Origin

if TYPE_CHECKING:
    from .pool import Lease, Pool


class Leasing:
    """`async with` around a lease of one connection."""

    __slots__ = ("_held", "_lease", "_origin", "_pool")

    def __init__(self, pool: Pool, origin: Origin) -> None:
        self._pool = pool
        self._origin = origin

    async def __aenter__(self) -> LeasedConnection:
        self._lease = await self._pool.acquire(self._origin)
        self._held = LeasedConnection(self._lease, self._pool.config, self._lease.origin)
        return self._held

    async def __aexit__(self, *_: object) -> None:
        held = self._held
        held.is_over = True
        self._lease.release(reusable=held.is_clean, hint=held.keepalive)


class LeasedConnection:
    """One connection in the hands of a caller, for experiments with the protocol.

    :ivar is_reused: whether it had served before.
    :ivar is_over: whether the `async with` has been left: the connection is somebody else's then.
    """

    def __init__(self, lease: Lease, config: PoolConfig, route: Origin) -> None:
        self.is_reused = lease.is_reused
        self.is_over = False
        self._route = route
        self._connection = lease.connection
        self._config = config
        self._exchange: Exchange | None = None
        self._is_clean = True

    @property
    def stream(self) -> Stream:
        """The bytes themselves. Once they were touched the connection cannot be used again by the pool.

        :raises UsageError: the lease is over.
        """
        if self.is_over:
            raise UsageError("the lease is over")
        self._is_clean = False
        return self._connection.stream

    async def exchange(self, request: Request) -> Exchange:
        """Send a request and wait for the response's head; `receive` and `receive_all` read its body.

        :raises UsageError: the exchange before is not complete, the lease is over, or the request's streamed body was
            sent before.
        """
        if self.is_over:
            raise UsageError("the lease is over", origin=request.origin)
        if not self.is_clean:
            raise UsageError("the connection is not ready for another exchange", origin=request.origin)
        limits = self._config.limits_for(request.timeouts)
        await trio.lowlevel.checkpoint_if_cancelled()
        if request.is_streamed:
            request.begin()
        request = through(request, self._route)
        self._is_clean = False
        exchange = await begin(self._connection, request, limits, trio.current_time() + limits.total)
        self._exchange, self._is_clean = exchange, True
        return exchange

    @property
    def keepalive(self) -> float | None:
        """The seconds for which the server says that it keeps the connection, or None."""
        head = None if self._exchange is None else self._exchange.head
        return None if head is None else head.keepalive

    @property
    def is_clean(self) -> bool:
        """Whether the connection may be used again as it is now."""
        return self._is_clean and (self._exchange is None or self._exchange.is_reusable)
