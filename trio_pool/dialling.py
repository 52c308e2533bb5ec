"""The dials of a pool: each a task in its nursery, whose time is its owner's. They report what came of it.

A dial may change hands, or be nobody's: see "Dials" in docs/architecture.md. Which, the core decides.
"""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable
from typing import Generic, TypeVar

import trio

from ._core.decisions import Slot
from ._net.dial import dial
from ._net.network import Network
from ._net.streams import Stream
from ._net.tls import system_trust
from .errors import ConnectError, ConnectTimeout, RemoteProtocolError, TrioPoolError
from .places import Place, closed
from .urls import Origin

ABANDONED = 60.0
"""Seconds that a dial has which is nobody's, where the pool's `connection_timeout` is None: it must end some day."""


M = TypeVar("M")


class Dials(Generic[M]):
    """What is being dialled.

    :param network: what resolves and connects.
    :param tls: what https connections are checked by, or None for the system's trust.
    :param own: the pool's own seconds, for a dial that is nobody's.
    :param make: makes what the pool keeps, of a stream and the seconds that the dial took.
    :param report: is told how each dial ended, with what was made or an error.
    """

    def __init__(
        self,
        network: Network,
        tls: ssl.SSLContext | None,
        own: float,
        make: Callable[[Stream, float], M],
        report: Callable[[Slot, M | TrioPoolError], None],
    ) -> None:
        self._network = network
        self._tls = tls
        self._own = own
        self._make = make
        self._report = report
        self._efforts: dict[Slot, Effort] = {}
        self._watched: dict[Slot, Watch] = {}
        self._is_over = False

    def begin(self, slot: Slot, place: Place | None) -> None:
        """A dial is to begin, for whoever has this place."""
        self._efforts[slot] = Effort(place, self._own)

    def hand_over(self, slot: Slot, place: Place | None) -> None:
        """A dial is for another now, or for nobody."""
        self._efforts[slot].hand_over(place)

    def watch(self, origin: Origin) -> list[Watch]:
        """What tells of the end of each dial that leads there."""
        return [self._watched.setdefault(slot, Watch()) for slot in self._efforts if slot.origin == origin]

    def end(self) -> None:
        """Give all of them up. They report that too."""
        self._is_over = True
        for effort in self._efforts.values():
            effort.scope.cancel()

    async def run(self, slot: Slot) -> None:
        """Make one connection and report it. Never raises."""
        started = trio.current_time()
        came: M | TrioPoolError = closed(slot.origin)
        effort = self._efforts[slot]
        try:
            stream = await self._strive(slot, effort)
            if stream is not None:
                came = self._made(slot, stream, trio.current_time() - started)
            elif not self._is_over:
                came = _slow_dial(slot.origin, effort.seconds)
        except TrioPoolError as failure:
            came = failure
        except Exception as failure:  # a network of the user's can raise anything
            came = ConnectError(f"the network failed: {failure!r}", origin=slot.origin, phase="connecting")
            came.__cause__ = failure
        finally:
            self._ended(slot, came)

    async def _strive(self, slot: Slot, effort: Effort) -> Stream | None:
        """A stream; None when the time is over."""
        while not self._is_over:
            place: Place | None = slot.demand.ticket if slot.demand is not None else None
            with effort.begin():
                return await dial(self._network, slot.origin, self._trust, None if place is None else place.note)
            if not effort.is_to_begin_again:
                break
        return None

    def _made(self, slot: Slot, stream: Stream, seconds: float) -> M:
        """What is made of a stream, or the stream is closed."""
        try:
            if stream.readable():  # RFC 9112 section 9.2: it is no response to anything
                raise _spoke_first(slot.origin, seconds)
            return self._make(stream, seconds)
        except BaseException:
            stream.close()
            raise

    def _ended(self, slot: Slot, came: M | TrioPoolError) -> None:
        del self._efforts[slot]
        watch = self._watched.pop(slot, None)
        if watch is not None:
            watch.error = came if isinstance(came, TrioPoolError) else None
            watch.ended.set()
        self._report(slot, came)

    def _trust(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = system_trust()
        return self._tls


class Effort:
    """The time of one dial, which is its owner's: a dial may change hands, or be nobody's.

    :param place: its owner's, or None.
    :param own: the pool's own seconds, for a dial that is nobody's.
    """

    def __init__(self, place: Place | None, own: float) -> None:
        self._own = own if own < math.inf else ABANDONED
        self.seconds = self._own if place is None else place.limits.connection
        self.scope = trio.CancelScope(shield=True)  # whose own cancellations it takes out, whatever comes with them
        self.is_to_begin_again = False
        self._began = trio.current_time()

    def begin(self) -> trio.CancelScope:
        """The scope around one try, which begins now."""
        if self.is_to_begin_again:
            self.is_to_begin_again, self.scope = False, trio.CancelScope(shield=True)
        self._began = trio.current_time()
        self.scope.deadline = self._began + self.seconds
        return self.scope

    def hand_over(self, place: Place | None) -> None:
        """It is for another now, who has the whole time; nobody has no more than was left.

        What is older than its new owner would have let it become, or has run out in this moment, begins anew: else
        those who come and go before their time is over would keep a try that is dead alive between them.

        :param place: the new owner's, or None.
        """
        now = trio.current_time()
        if place is None:
            self.seconds = self._own
            self.scope.deadline = min(self.scope.deadline, now + self._own)
            return
        self.seconds = place.limits.connection
        if now - self._began > self.seconds or self.scope.cancel_called:
            self.is_to_begin_again = True
            self.scope.cancel()
        else:
            self.scope.deadline = now + self.seconds


class Watch:
    """For whoever waits until a dial has ended."""

    def __init__(self) -> None:
        self.ended = trio.Event()
        self.error: TrioPoolError | None = None


def _slow_dial(origin: Origin, seconds: float) -> ConnectTimeout:
    """A dial took too long."""
    return ConnectTimeout(
        "the connection was not made in time",
        origin=origin,
        phase="connecting",
        elapsed=seconds,
        advice="Check that the server is up and near, or raise connection_timeout.",
    )


def _spoke_first(origin: Origin, elapsed: float) -> RemoteProtocolError:
    """A server said something, or ended the connection, before it was asked anything."""
    what = "the server spoke, or ended the connection, before it was asked"
    advice = "Check the port: it may speak another protocol."
    return RemoteProtocolError(what, origin=origin, phase="connecting", elapsed=elapsed, advice=advice)
