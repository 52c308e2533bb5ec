"""The figures of a pool: frozen snapshots of what `Slots` counts."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import attrs


@attrs.frozen(kw_only=True)
class OriginStatistics:
    """One origin's slots and its line, now.

    :ivar leased: connections in use.
    :ivar idle: connections kept for reuse.
    :ivar dialling: connections being made.
    :ivar closing: connections whose socket is about to be closed.
    :ivar waiting: requests in line that no dial under way covers.
    """

    leased: int
    idle: int
    dialling: int
    closing: int
    waiting: int


@attrs.frozen(kw_only=True)
class PoolStatistics:
    """A pool's slots and line now, and what it has counted since it was opened.

    The first five are as in `OriginStatistics`, summed. All others only grow.

    :ivar requests: leases granted and asked for, refused ones included.
    :ivar dials: connections whose making was started: `dialling + opened + dial_failures`.
    :ivar dial_failures: dials that ended without a connection.
    :ivar opened: connections made: `leased + idle + closing + closed`.
    :ivar closed: connections closed.
    :ivar reuses: leases of a connection that had served before.
    :ivar evictions: connections closed, by reason.
    :ivar refusals: requests refused because the line was full.
    :ivar acquire_timeouts: requests whose wait for a connection ran out.
    :ivar stale_retries: requests sent once more because a reused connection turned out to be dead.
    :ivar leaks: responses and leases that were dropped without being closed, and reclaimed.
    :ivar origins: the figures of each origin that has a slot or a waiter now.
    """

    leased: int
    idle: int
    dialling: int
    closing: int
    waiting: int
    requests: int
    dials: int
    dial_failures: int
    opened: int
    closed: int
    reuses: int
    evictions: Mapping[str, int]
    refusals: int
    acquire_timeouts: int
    stale_retries: int
    leaks: int
    origins: Mapping[Hashable, OriginStatistics]
