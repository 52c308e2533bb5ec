"""When a second attempt is worth sending: after the first byte is later than 19 of 20 before it were."""

from __future__ import annotations

import bisect
import math
from collections import deque

QUANTILE = 0.95
WINDOW = 200  # so that an hour-old habit of the upstream does not count
ENOUGH = 20  # below, the quantile would be the maximum


class FirstByteTimes:
    """The running 95th percentile of the time to the first byte, exact over the last 200 answers."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, seconds: float) -> None:
        """An answer began to arrive this long after its request was sent."""
        if len(self._recent) == WINDOW:
            del self._sorted[bisect.bisect_left(self._sorted, self._recent.popleft())]
        self._recent.append(seconds)
        bisect.insort(self._sorted, seconds)

    def quantile(self, share: float = QUANTILE) -> float | None:
        """The least time that at least this share of the answers did not exceed; None below twenty answers."""
        if len(self._sorted) < ENOUGH:
            return None
        return self._sorted[max(math.ceil(share * len(self._sorted)) - 1, 0)]

    def hedge_at(self, sent: float) -> float | None:
        """When a request that was sent at this time deserves a second attempt; None: not known yet."""
        delay = self.quantile()
        return None if delay is None else sent + delay
