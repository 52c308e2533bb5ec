"""Canned answers for tests: a network in memory that says what a test told it to say, and keeps what it was sent.

Only the network is replaced: the pool, its timeouts, the codec and a client's retries are the real ones.
`docs/testing.md` shows how it is used.
"""

from .answers import Cut
from .network import CannedNetwork
from .routes import Route, SentRequest, UnexpectedRequest

__all__ = ["CannedNetwork", "Cut", "Route", "SentRequest", "UnexpectedRequest"]
