"""The pool's line alone: no client, no network, no bytes. Exact, and some hundred times faster than the whole stack.

Servers that take requests first come first served, with a bound on the line and on the wait, as the pool has them. When
a request is served follows from when the servers become free (Kiefer and Wolfowitz, "On the theory of queues with many
servers", 1955). One that will give up before its turn takes nobody's turn: it only holds a place in line until then.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable, Iterator

from ...checks import COUNT


def waits(
    requests: Iterable[tuple[float, float]], servers: int, *, places: float = math.inf, patience: float = math.inf
) -> Iterator[float]:
    """How long each request waits; `math.inf` for one that is refused or gives up.

    :param requests: when each comes, never decreasing and never before 0, and for how long it needs a server.
    :param servers: at least 1, all free at the beginning.
    :param places: how many may wait; the next is refused (`PoolConfig.max_waiting`).
    :param patience: how long each waits before it gives up (`PoolConfig.acquire_timeout`).
    :raises UsageError: for servers that cannot be.
    """
    COUNT.check("servers", servers)
    free = [0.0] * servers  # a heap: when each will be
    leaving: deque[float] = deque()  # when each in line will leave it; never decreasing, as all are equally patient
    for at, hold in requests:
        turn = free[0]
        if turn <= at:
            heapq.heapreplace(free, at + hold)
            yield 0.0
            continue
        while leaving and leaving[0] <= at:
            leaving.popleft()
        if len(leaving) >= places:
            yield math.inf
            continue
        leaving.append(min(turn, at + patience))
        if turn - at > patience:
            yield math.inf
        else:
            heapq.heapreplace(free, turn + hold)
            yield turn - at
