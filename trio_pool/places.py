"""A request's place in the pool's line, the time of a dial, and the sentences for those who get nothing there."""

from __future__ import annotations

import copy

import trio

from ._core.decisions import Refuse, Slot
from .config import Limits
from .errors import (
    ConnectTimeout,
    PoolClosed,
    PoolFull,
    PoolTimeout,
    TotalTimeout,
    TrioPoolError,
)
from .messages import Witness
from .urls import Origin


class Place:
    """One request's place in line, and what became of it."""

    __slots__ = (
        "deadline",
        "is_covered",
        "limits",
        "note",
        "origin",
        "result",
        "since",
        "task",
        "total_deadline",
    )

    def __init__(self, origin: Origin, limits: Limits, total_deadline: float, witness: Witness | None = None) -> None:
        self.origin = origin
        self.limits = limits
        self.since = trio.current_time()
        self.deadline = min(self.since + limits.acquire, total_deadline)
        self.total_deadline = total_deadline
        self.is_covered = False  # whether a dial was under way for it when it gave up
        self.result: Slot | Refuse | None = None
        self.task: trio.lowlevel.Task | None = None
        self.note = None if witness is None else witness.waiting()  # is told how the dial for it goes

    def postpone(self) -> float:
        """A dial begins for it, which has its own time: how long it waits now."""
        until = trio.current_time() + self.limits.connection
        self.deadline = min(max(self.deadline, until), self.total_deadline)
        return self.deadline

    @property
    def is_total(self) -> bool:
        """Whether it is the request's own deadline that ends the wait."""
        return self.deadline == self.total_deadline

    def settle(self, result: Slot | Refuse | None) -> None:
        """Wake the waiter with what it gets; None: its time is over."""
        self.result = result
        assert self.task is not None
        trio.lowlevel.reschedule(self.task)

    def refusal(self, crowd: str) -> TrioPoolError:
        """The error for a request that left without a slot."""
        if isinstance(self.result, Refuse) and self.result.why == "closed":
            return closed(self.origin)
        if isinstance(self.result, Refuse) and isinstance(self.result.error, TrioPoolError):
            return afresh(self.result.error)
        is_covered = self.is_covered if self.result is None else isinstance(self.result, Refuse) and self.result.covered
        kind, what, advice = _DIALLING if is_covered else _WAITING
        return (TotalTimeout if self.is_total else kind)(
            f"{what} (the pool has {crowd})",
            origin=self.origin,
            phase="waiting for a connection",
            elapsed=trio.current_time() - self.since,
            advice="Raise total_timeout if the request may take longer." if self.is_total else advice,
        )


_DIALLING: tuple[type[TrioPoolError], str, str] = (
    ConnectTimeout,
    "the connection was not made in time",
    "Check that the server is up and near.",
)
_WAITING: tuple[type[TrioPoolError], str, str] = (
    PoolTimeout,
    "no connection became free in time",
    "Give connections back sooner, or raise max_connections, max_connections_per_host or acquire_timeout.",
)


def full(origin: Origin, bound: float, crowd: str) -> PoolFull:
    """The line is full."""
    return PoolFull(
        f"{bound} requests wait already (the pool has {crowd})",
        origin=origin,
        phase="waiting for a connection",
        elapsed=0.0,
        advice="Send less at once, or raise max_connections, max_connections_per_host or max_waiting.",
    )


def closed(origin: Origin | None) -> PoolClosed:
    """The pool takes no requests any more."""
    return PoolClosed("the pool is closed", origin=origin, phase="waiting for a connection")


def afresh(error: TrioPoolError) -> TrioPoolError:
    """The same error again, to be raised in another task."""
    twin = copy.copy(error)
    twin.__traceback__ = None
    return twin
