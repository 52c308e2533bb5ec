"""How many retries a client may send: a share of its requests, and a few a second beside.

One bucket. Every request puts in a fifth of a retry and every second a whole one; a retry takes one out. So in any
span of time there are at most as many retries as the bucket held, a fifth of the requests, and one for each second.
The figures are Finagle's and Envoy's (20 %; https://twitter.github.io/finagle/guide/Clients.html#retries). The bucket
holds at most a hundred: what the default pool's connections can lose at once.
"""

from __future__ import annotations

SHARE = 0.2
PER_SECOND = 1.0
LARGEST = 100.0
AT_FIRST = 10.0


class RetryBudget:
    """The retries that are left. Never negative, never over its cap.

    :param share: retries earned by one request.
    :param per_second: retries earned by one second.
    :param largest: the most that is kept.
    :param at_first: what there is at the start.
    :param now: the start.
    """

    def __init__(
        self,
        *,
        share: float = SHARE,
        per_second: float = PER_SECOND,
        largest: float = LARGEST,
        at_first: float = AT_FIRST,
        now: float,
    ) -> None:
        self._share = share
        self._per_second = per_second
        self._largest = largest
        self._left = min(at_first, largest)
        self._at = now

    def left(self, now: float) -> float:
        """How many retries could be sent now, with fractions."""
        if now > self._at:
            self._add((now - self._at) * self._per_second)
            self._at = now
        return self._left

    def earn(self, now: float, requests: int = 1) -> None:
        """So many requests have come: new ones, not other tries. It does not matter when, but before the next retry."""
        self.left(now)
        self._add(self._share * requests)

    def spend(self, now: float) -> bool:
        """Take one retry out, or say that there is none."""
        if self.left(now) < 1:
            return False
        self._left -= 1
        return True

    def refund(self) -> None:
        """Put a retry back that was taken out and never sent."""
        self._add(1)

    def _add(self, amount: float) -> None:
        self._left = min(self._left + amount, self._largest)
