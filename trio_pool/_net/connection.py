"""One connection: its stream, its codec, and what must be known of it between exchanges."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from .._wire.codec import Codec
from ..config import WireLimits
from ..events import Event
from .streams import Stream, ends_waits, poll_of

logger = logging.getLogger("trio_pool")


class Connection:
    """A stream that speaks HTTP/1.1, one exchange at a time.

    :ivar stream: carries the bytes.
    :ivar codec: speaks HTTP/1.1 for one exchange after another.
    :ivar is_dead: the freshness check: whatever can be received on an idle connection means that it is dead.
    :ivar limits: how much of a response is taken.
    :ivar observe: who is told of events, or None.
    :ivar dial_seconds: how long it took to make.
    :ivar due: when the present wait for the stream must end, or `math.inf`.
    :ivar armed: when the alarm clock will look, or `math.inf`.
    :ivar is_overdue: whether a wait has lasted too long, and ended the connection.
    :ivar watch: tells the alarm clock of a wait that is due before.
    :ivar now: trio's clock, without the way through its runner.
    :ivar ends_waits: whether the alarm clock can be relied on: see `SocketStream.ends_waits`.
    :ivar yielded_at: by trio's clock, when a task last yielded on it; see `Exchange.pace`.
    :ivar unyielded: the bytes that were received since then.
    """

    __slots__ = (
        "__weakref__",
        "armed",
        "codec",
        "dial_seconds",
        "due",
        "ends_waits",
        "is_dead",
        "is_overdue",
        "limits",
        "now",
        "observe",
        "stream",
        "unyielded",
        "watch",
        "yielded_at",
    )

    def __init__(
        self,
        stream: Stream,
        codec: Codec,
        dial_seconds: float,
        now: Callable[[], float],
        limits: WireLimits,
        observe: Callable[[Event], None] | None,
        watch: Callable[[Connection], None],
    ) -> None:
        self.stream = stream
        self.codec = codec
        self.limits = limits
        self.observe = observe
        self.watch = watch
        self.due = self.armed = math.inf
        self.is_overdue = False
        self.is_dead: Callable[[], object] = poll_of(stream) or stream.readable
        self.ends_waits = ends_waits(stream)
        self.dial_seconds = dial_seconds
        self.now = now
        self.yielded_at = now()
        self.unyielded = 0

    def strike(self) -> None:
        """The alarm clock says that the present wait has lasted too long: closing the stream ends it."""
        self.is_overdue = True
        self.close()

    def close(self) -> None:
        """Close the stream, whatever somebody's own does in that."""
        try:
            self.stream.close()
        except Exception:
            logger.exception("a stream could not be closed")
