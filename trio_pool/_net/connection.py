"""One connection: its stream, its codec, and what must be known of it between exchanges."""

from __future__ import annotations

from collections.abc import Callable

from .._wire.codec import Codec
from ..config import WireLimits
from ..events import Event
from .streams import Stream


class Connection:
    """A stream that speaks HTTP/1.1, one exchange at a time.

    :ivar stream: carries the bytes.
    :ivar codec: speaks HTTP/1.1 for one exchange after another.
    :ivar is_dead: the freshness check: whatever can be received on an idle connection means that it is dead.
    :ivar limits: how much of a response is taken.
    :ivar observe: who is told of events, or None.
    :ivar dial_seconds: how long it took to make.
    :ivar yielded_at: by trio's clock, when a task last yielded on it; see `Exchange.pace`.
    :ivar unyielded: the bytes that were received since then.
    """

    __slots__ = ("codec", "dial_seconds", "is_dead", "limits", "observe", "stream", "unyielded", "yielded_at")

    def __init__(
        self,
        stream: Stream,
        codec: Codec,
        dial_seconds: float,
        now: float,
        limits: WireLimits,
        observe: Callable[[Event], None] | None,
    ) -> None:
        self.stream = stream
        self.codec = codec
        self.limits = limits
        self.observe = observe
        self.is_dead = stream.readable
        self.dial_seconds = dial_seconds
        self.yielded_at = now
        self.unyielded = 0
