"""What the core speaks of: slots, waiters, one origin's queue, and the decisions that come out.

These are records. Everything that changes them stands in `slots.py`, and nothing outside the core may.
"""

from __future__ import annotations

import enum
import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, Literal, NamedTuple

from .figures import OriginStatistics

Reason = Literal[
    "expired",  # idle for too long, by our own timeout or the server's hint
    "lifetime",  # as old as a connection may get
    "max_requests",  # used as often as a connection may be
    "dead",  # failed the freshness check, or died before the first byte of a response
    "evicted",  # idle, and room was needed for another origin
    "yielded",  # free, but an older waiter of another origin had been overtaken often enough
    "unusable",  # its exchange was cut, failed, or said close
    "leaked",  # its holder was dropped without releasing it
    "closed",  # the pool is closed or being drained
]
"""Why a connection is closed."""


class State(enum.Enum):
    """Where a slot is in its life."""

    DIALLING = "dialling"
    IDLE = "idle"
    LEASED = "leased"
    CLOSING = "closing"
    CLOSED = "closed"


class Slot:
    """Room for one connection, from its dial to its closing."""

    __slots__ = ("connection", "demand", "dies_at", "due", "exclusive", "expires_at", "queue", "state", "uses")

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.state = State.DIALLING
        self.connection: Any = None
        self.demand: Waiter | None = None  # while dialling: the waiter it was started for
        self.exclusive = False  # whether the dial serves that waiter alone
        self.uses = 0
        self.expires_at = math.inf  # when it is too old to be idle
        self.dies_at = math.inf  # when it is too old to be used
        self.due = math.inf  # when it will be looked at

    @property
    def origin(self) -> Any:
        """The origin that the slot's connection leads to, as it was given to the core."""
        return self.queue.origin


class Waiter:
    """A place in line. `ticket` is the caller's own, handed back untouched."""

    __slots__ = ("deadline", "dial", "number", "overtakes", "queue", "standing", "ticket")

    def __init__(self, queue: Queue, number: int, overtakes: int, deadline: float, ticket: Any) -> None:
        self.queue = queue
        self.number = number  # age: the lower, the older
        self.overtakes = overtakes  # the pool's count when this waiter came
        self.deadline = deadline
        self.ticket = ticket
        self.standing: OrderedDict[Waiter, None] | None = None  # the part of the queue it stands in
        self.dial: Slot | None = None  # the dial that its demand started


class Queue:
    """One origin's slots and waiters. What is not dialling, idle or closing is leased."""

    __slots__ = (
        "closing",
        "covered",
        "covering",
        "dialling",
        "idle",
        "in_line",
        "most",
        "origin",
        "slots",
        "uncovered",
    )

    def __init__(self, origin: Hashable, most: float) -> None:
        self.origin = origin
        self.most = most  # how many slots it may have
        self.slots = 0
        self.dialling = 0
        self.covering = 0  # those dials that may serve anyone
        self.closing = 0
        self.idle: dict[Slot, None] = {}  # a stack: the last is the most recently used
        self.covered: OrderedDict[Waiter, None] = OrderedDict()  # the oldest waiters, one a covering dial
        self.uncovered: OrderedDict[Waiter, None] = OrderedDict()
        self.in_line = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to remember of this origin."""
        return not (self.slots or self.covered or self.uncovered)

    def figures(self) -> OriginStatistics:
        """A snapshot."""
        return OriginStatistics(
            leased=self.slots - len(self.idle) - self.dialling - self.closing,
            idle=len(self.idle),
            dialling=self.dialling,
            closing=self.closing,
            waiting=len(self.uncovered),
        )


class Dial(NamedTuple):
    """Make a connection for this slot, then call `dialled` or `dial_failed`."""

    slot: Slot


class Grant(NamedTuple):
    """Hand the slot, which is leased now, to the waiter."""

    waiter: Waiter
    slot: Slot


class Refuse(NamedTuple):
    """Tell the waiter that it gets nothing, and why.

    :ivar covered: whether a dial was under way for it.
    """

    waiter: Waiter
    why: Literal["dial failed", "deadline", "closed"]
    covered: bool
    error: Exception | None = None


class Close(NamedTuple):
    """Close the slot's connection, then call `closed`."""

    slot: Slot
    reason: Reason


class Wake(NamedTuple):
    """Call `tick` at this time, and not only when it was last asked for."""

    at: float


Decision = Dial | Grant | Refuse | Close | Wake
