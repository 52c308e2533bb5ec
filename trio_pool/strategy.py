"""How long to wait before trying again: the choice that a configuration names."""

from __future__ import annotations

import enum


class RetryStrategy(enum.Enum):
    """The wait between two tries of one request. Each is a longest wait, of which chance takes a part (full jitter).

    A wait that the server asks for by `Retry-After` comes first: nothing is sent sooner, whatever the strategy.
    """

    EXPONENTIAL_BACKOFF = "exponential"
    """0.5 s, doubling with every try, at most 8 s."""

    LINEAR = "linear"
    """0.5 s, growing by 0.5 s with every try, at most 8 s."""

    IMMEDIATE = "immediate"
    """No wait of our own."""
