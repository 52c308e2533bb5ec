"""One direction of a connection in memory: what is put in comes out later, whole and in order.

Bytes arrive after the way's latency, and when the line has had the time to send them. What is on its way or unread
counts against a bound; room comes back as soon as something is read (the news of that would take half a round trip in
the world). What would arrive at once is handed over at once, without the agenda.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, Protocol

import attrs

from .engine import Engine

End = Literal["fin", "reset"]

SEGMENT = 16384
"""Bytes that arrive together at most where the line has a bandwidth."""


@attrs.frozen(kw_only=True)
class Way:
    """What lies between two ends.

    :ivar latency: seconds in each direction.
    :ivar bandwidth: bytes a second in each direction.
    :ivar capacity: bytes that may be on their way or unread in each direction.
    :ivar dark_until: until when nothing arrives, by trio's clock, as things stand.
    """

    latency: float = 0.0
    bandwidth: float = math.inf
    capacity: int = 65536
    dark_until: Callable[[], float] = lambda: -math.inf


class Receiver(Protocol):
    """Who is told of what comes out of a pipe."""

    def arrived(self, data: bytes) -> None:
        """Some bytes, at least one."""
        ...

    def ended(self, how: End) -> None:
        """Nothing follows."""
        ...


class Pipe:
    """One direction of a connection.

    :param way: how long everything takes.
    :param name: what it is called in the history.
    :ivar engine: has the agenda.
    :ivar receiver: is told of what comes out.
    :ivar when_writable: is called when there is room again after there was none.
    :ivar room: bytes that it still takes.
    """

    __slots__ = ("_free_at", "_name", "_on_the_way", "_way", "engine", "receiver", "room", "when_writable")

    def __init__(self, engine: Engine, way: Way, name: str) -> None:
        self.receiver: Receiver
        self.when_writable: Callable[[], None]
        self.room = way.capacity
        self.engine = engine
        self._way = way
        self._name = name
        self._free_at = -math.inf  # when the line has sent what was put in
        self._on_the_way = 0

    def put(self, data: bytes) -> None:
        """Send all of it; it is not more than there is room for."""
        self.engine.note(f"{self._name} {len(data)}")
        self.room -= len(data)
        if self._way.bandwidth == math.inf or len(data) <= SEGMENT:
            self._send(len(data), self._arrive, data)
            return
        for start in range(0, len(data), SEGMENT):
            piece = data[start : start + SEGMENT]
            self._send(len(piece), self._arrive, piece)

    def end(self, how: End) -> None:
        """Nothing follows."""
        self.engine.note(f"{self._name} {how}")
        self._send(0, self._end, how)

    def took(self, size: int) -> None:
        """The receiver has read so many bytes."""
        was_full = self.room <= 0
        self.room += size
        if was_full:
            self.when_writable()

    def _send(self, size: int, arrive: Callable[..., None], what: bytes | End) -> None:
        way, now = self._way, self.engine.now()
        self._free_at = max(self._free_at, now) + size / way.bandwidth
        due = max(self._free_at + way.latency, way.dark_until())
        self._on_the_way += 1
        if due <= now and self._on_the_way == 1:
            self._hand_over(arrive, what)
        else:
            self.engine.at(due, arrive, what)

    def _hand_over(self, arrive: Callable[..., None], what: bytes | End) -> None:
        """Now; whoever sends it does not suffer from what goes wrong with who gets it."""
        try:
            arrive(what)
        except Exception as error:
            self.engine.fail(error)

    def _arrive(self, data: bytes) -> None:
        self._on_the_way -= 1
        self.receiver.arrived(data)

    def _end(self, how: End) -> None:
        self._on_the_way -= 1
        self.receiver.ended(how)
