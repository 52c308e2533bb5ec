"""The shell of the pool: it carries out what `_core/slots.py` decides, and decides nothing.

Every visit to the core is synchronous and ends in `_carry_out`, so a cancellation can only fall between whole
steps. The pool's tasks, one a dial and one for the alarm clock, live in a nursery behind a shield; none of them ever
raises: they report to the core.

A waiter's undo stands beside its wait (`_wait`). Once a slot is granted the runner delivers it, whatever is
cancelled meanwhile, and the task that gets it owns it: a `Lease`, given back in a synchronous `finally`.

The module is longer than most: the parts share the one rule that nothing may be awaited between them.
"""

from __future__ import annotations

import logging
import math
import ssl
import warnings
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from operator import methodcaller
from threading import get_ident
from types import SimpleNamespace
from typing import Any, cast

import trio

from ._core.decisions import Close, Dial, Grant, Handed, Reason, Refuse, Slot, State, Waiter, Wake
from ._core.figures import PoolStatistics
from ._core.slots import Slots
from ._net.connection import Connection
from ._net.exchange import YIELD_SECONDS, Exchange
from ._net.network import Network, SystemNetwork
from ._net.proxies import Routes, through
from ._net.streams import Stream
from ._net.tls import prepare
from ._wire.codec import CODECS
from .alarm import AlarmClock
from .config import Limits, PoolConfig
from .dialling import Dials
from .errors import TrioPoolError, UsageError
from .events import Event, Observer
from .leasing import Leasing
from .messages import Request, Witness
from .places import Place, afresh, closed, full
from .response import Response, Streaming
from .urls import Identity, Origin, target_of

logger = logging.getLogger("trio_pool")


@asynccontextmanager
async def open_pool(
    config: PoolConfig = PoolConfig(),  # noqa: B008  # frozen
    *,
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
    uds: str | None = None,
    observers: Iterable[Observer] = (),
    network: Network | None = None,
) -> AsyncGenerator[Pool]:
    """A pool, open for the time of the `async with`.

    Leaving it closes every connection, fails waiters with `PoolClosed`, and leaves no task behind. What the body
    raises comes out as itself.

    :param config: limits and timeouts.
    :param tls: what https connections are checked by and shown; by default the system's trusted certificates.
        Its ALPN protocols are set to http/1.1, and names are looked for only where they belong, in a certificate's
        subjectAltName.
    :param proxy: the URL of a proxy (http, https or, with its extra, socks5), its user and password in it; or
        "environment" for what HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY say now.
    :param uds: the path of a Unix socket to which every connection is made, whatever the URL's host.
    :param observers: who is told of events; see `trio_pool.events`.
    :param network: what resolves, connects, tells the wall time and supplies chance; by default the machine's.
    :raises UsageError: `config` is no `PoolConfig`, or `proxy` is no proxy's URL.
    """
    pool = Pool(config, tls, proxy, uds, observers, network or SystemNetwork())
    failure: BaseException | None = None
    ready = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pool._keep_tasks, ready)
        try:
            with trio.CancelScope(shield=True):  # it comes at once, and whoever is cancelled must not miss it
                await ready.wait()
            yield pool
        except BaseException as error:  # taken out of the nursery's group and raised as itself below
            failure = error
        nursery.cancel_scope.shield = True  # nothing outside can reach in any more: the tasks end at once
        pool._shut()
    if failure is not None:
        raise failure


class Pool:
    """A bounded pool of connections. Made by `open_pool`, which has the parameters.

    :param config: limits and timeouts.
    :param tls: what https connections are checked by, or None for the system's trust.
    :param proxy: the URL of a proxy, "environment", or None.
    :param uds: a Unix socket for every connection, or None.
    :param observers: who is told of events.
    :param network: what resolves, connects, tells the wall time and supplies chance.
    :ivar now: the clock of the trio run that the pool was opened in.
    :raises UsageError: `config` is no `PoolConfig`, or `proxy` is no proxy's URL.
    """

    now: Callable[[], float]

    def __init__(
        self,
        config: PoolConfig,
        tls: ssl.SSLContext | None,
        proxy: str | None,
        uds: str | None,
        observers: Iterable[Observer],
        network: Network,
    ) -> None:
        if not isinstance(cast("Any", config), PoolConfig):
            raise UsageError(f"config must be a PoolConfig, not {type(config).__name__}")
        self.config = config
        self._limits = config.limits
        self._wire = config.wire
        self._make_codec = CODECS[config.codec]
        self._routes = Routes(proxy, uds)
        self._is_direct = self._routes.is_direct
        self._observers = tuple(observers)
        self._network = network
        self._slots = Slots(
            max_connections=config.max_connections,
            max_connections_per_host=config.max_connections_per_host,
            max_waiting=config.max_waiting,
            keepalive_timeout=config.keepalive_timeout,
            max_lifetime=config.max_lifetime,
            max_requests_per_connection=config.max_requests_per_connection,
            is_dead=methodcaller("is_dead"),
            most_of=self._share_of,
        )
        self._shares: dict[Identity, float] = {}
        self._kept: list[Callable[[], None]] = []  # each ends a task that lives as long as the pool
        self._alarm = AlarmClock(self._slots, self._carry_out, self._run_out)
        self._dials = Dials(network, tls, self._limits.connection, self._make, self._report)
        self._tasks = trio.CancelScope(shield=True)  # around them all
        self._vacated: trio.Event | None = None
        self._acquire_timeouts = 0
        self._stale_retries = 0
        self._leaks = 0
        self._leased_at = self._streak_began_at = 0.0
        if tls is not None:
            if not isinstance(cast("Any", tls), ssl.SSLContext):
                raise UsageError(f"tls must be an ssl.SSLContext, not {type(tls).__name__}")
            prepare(tls)

    # ---- what callers do ----

    def stream(self, request: Request) -> Streaming:
        """`async with` this to send the request and read the response.

        :raises PoolFull, PoolTimeout, PoolClosed: there was no connection to be had.
        :raises TrioPoolError: everything else that can go wrong; see `trio_pool.errors`.
        """
        return Streaming(partial(self.send, request))

    async def send(self, request: Request, *, deadline: float | None = None) -> Response:
        """Send the request; the response, its body unread, is the caller's to close.

        If a reused connection proves to have died idle, and nothing can be done twice by it, the request is sent
        once more on a new one.

        :param deadline: of the whole request by trio's clock; by default its total timeout from now.
        :raises UsageError: it is no `Request`, or one whose streamed body was sent before.
        """
        if type(request) is not Request:
            _check_request(request)
        slots, origin = self._slots, request.origin
        if not slots.open or get_ident() != self._thread:
            self._check_run()
            raise await self._closed(origin)
        if request.is_streamed:
            request.check_body()
        asked = request
        if not self._is_direct:
            origin = self._routes.of(origin)
            request = through(request, origin)
        limits = self._limits if request.timeouts is None else self.config.limits_for(request.timeouts)
        now = asked_at = self.now()
        if deadline is None:
            deadline = now + limits.total
        await trio.lowlevel.checkpoint_if_cancelled()
        slot = slots.acquire_nowait(origin, now)
        if slots.decisions:
            self._carry_out()
        if slot is not None:
            lease = Lease(self, slot)
        else:
            lease = await self._queue(origin, limits, deadline, request.witness)
            if request.guard is not None:
                _ask(request.guard, request, lease)
            now = trio.current_time()
        if asked.is_streamed:
            _ask(Request.begin, asked, lease)
        exchange = Exchange(lease.connection, request, limits, deadline, now)
        try:
            await exchange.run_to_head()
        except BaseException as error:
            lease, exchange = await self._try_again(lease, exchange, error, asked)
        return Response(exchange, lease, asked_at)

    async def acquire(self, origin: Origin | str) -> Lease:
        """A lease of one connection, which is the caller's to release. Raises as `stream`.

        :param origin: where the connection leads: an `Origin`, or a URL that begins with one.
        """
        origin = _origin(origin)
        self._check_run()
        if not self._slots.open:
            raise await self._closed(origin)
        await self._pace()
        origin = origin if self._is_direct else self._routes.of(origin)
        return await self._acquire(origin, self._limits, math.inf)

    def lease(self, origin: Origin | str) -> Leasing:
        """`async with` this to hold one connection, for as many exchanges as you like.

        :param origin: an `Origin`, or a URL that begins with one.
        """
        return Leasing(self, _origin(origin))

    async def prewarm(self, origin: Origin | str, count: int) -> None:
        """Dial until the origin has `count` connections, and wait for it. Evicts nothing; room is the limit.

        :param origin: an `Origin`, or a URL that begins with one.
        :param count: from 1 to the pool's `max_connections_per_host`.
        :raises ConnectError, ConnectTimeout: one of the dials failed.
        :raises UsageError: `count` is out of its bounds.
        """
        if not isinstance(cast("Any", count), int) or not 1 <= count <= self.config.max_connections_per_host:
            most = self.config.max_connections_per_host
            raise UsageError(f"count must be from 1 to {most} (max_connections_per_host), not {count!r}")
        target = self._routes.of(_origin(origin))
        self._check_run()
        if not self._slots.open:
            raise await self._closed(target)
        self._slots.prewarm(target, count)
        self._carry_out()
        watches = self._dials.watch(target)
        await trio.lowlevel.checkpoint()
        for watch in watches:
            await watch.ended.wait()
        for watch in watches:
            if watch.error is not None:
                raise afresh(watch.error) from watch.error

    async def drain(self, timeout: float = math.inf) -> None:
        """Refuse new requests, let those that were accepted finish, then close everything.

        :param timeout: seconds (`math.inf`); what has not finished by then is cut.
        :raises UsageError: it is negative or no number.
        """
        self._check_run()
        if not isinstance(cast("Any", timeout), (int, float)) or not timeout >= 0:
            raise UsageError(f"timeout must be a number of seconds, not {timeout!r}")
        if self._vacated is None:
            self._vacated = trio.Event()
        vacated = self._vacated
        self._slots.drain()
        self._carry_out()
        try:
            with trio.move_on_after(timeout):
                await vacated.wait()
        finally:
            self._shut()
            with trio.CancelScope(shield=True):  # for dials, which end at once
                await vacated.wait()

    def statistics(self) -> PoolStatistics:
        """The figures now."""
        return self._slots.statistics(
            acquire_timeouts=self._acquire_timeouts, stale_retries=self._stale_retries, leaks=self._leaks
        )

    def __repr__(self) -> str:
        slots = self._slots
        return f"<Pool of {slots.slots} connections, {slots.dialling} being made, {slots.waiting} requests waiting>"

    # ---- acquiring ----

    async def _acquire(self, origin: Origin, limits: Limits, deadline: float) -> Lease:
        """A lease: at once and without a yield from an idle connection, else after one wait."""
        await trio.lowlevel.checkpoint_if_cancelled()
        slots = self._slots
        slot = slots.acquire_nowait(origin, trio.current_time())
        if slots.decisions:
            self._carry_out()
        return await self._queue(origin, limits, deadline, None) if slot is None else Lease(self, slot)

    async def _queue(self, origin: Origin, limits: Limits, deadline: float, witness: Witness | None) -> Lease:
        """Stand in line."""
        slots = self._slots
        place = Place(origin, limits, deadline, witness)
        waiter = slots.enqueue(origin, place.deadline, place)
        if waiter is None:
            refusal = full(origin, self.config.max_waiting, slots.crowd(origin))
            await trio.lowlevel.checkpoint()  # as in `_closed`
            raise refusal
        self._carry_out()
        return await self._wait(waiter, place)

    async def _redial(self, lease: Lease, exchange: Exchange) -> Lease:
        """A lease of the same slot with a new connection."""
        lease.connection.close()
        slot = lease.give_up()
        self._stale_retries += 1
        place = Place(slot.origin, exchange.limits, exchange.deadline, exchange.request.witness)
        waiter = self._slots.redial(slot, place.deadline, place)
        if waiter is None:
            raise closed(slot.origin)
        self._carry_out()
        return await self._wait(waiter, place)

    async def _try_again(
        self, lease: Lease, exchange: Exchange, error: BaseException, asked: Request
    ) -> tuple[Lease, Exchange]:
        """Once more on a new connection if this one was stale. Else the error, the lease given back."""
        asked.was_sent, asked.is_spent = exchange.sent > 0, exchange.used_body
        if not (lease.is_reused and isinstance(error, TrioPoolError) and exchange.may_be_sent_again):
            lease.release(reusable=exchange.is_too_late)
            raise error
        try:
            lease = await self._redial(lease, exchange)
            if asked.guard is not None:
                _ask(asked.guard, asked, lease)
            try:
                exchange = exchange.afresh(lease.connection)
                await exchange.run_to_head()
            except BaseException:
                asked.was_sent |= exchange.sent > 0
                asked.is_spent = exchange.used_body
                lease.release(reusable=exchange.is_too_late)
                raise
        except TrioPoolError as failure:
            failure.may_have_been_processed |= error.may_have_been_processed
            raise
        return lease, exchange

    async def _wait(self, waiter: Waiter, place: Place) -> Lease:
        def abort(_: Any) -> trio.lowlevel.Abort:
            self._alarm.let_go(waiter)
            self._give_up(waiter)
            return trio.lowlevel.Abort.SUCCEEDED

        place.task = trio.lowlevel.current_task()
        self._alarm.hold(waiter, place.deadline)
        await trio.lowlevel.wait_task_rescheduled(abort)
        if isinstance(place.result, Slot):
            if self._slots.is_shut:
                raise closed(place.origin)  # in the same step in which the slot was granted
            return await self._take(Lease(self, place.result))
        if place.result is None or place.result.why == "deadline":
            self._acquire_timeouts += 1
        raise place.refusal(self._slots.crowd(place.origin)) from getattr(place.result, "error", None)

    def _give_up(self, waiter: Waiter) -> None:
        waiter.ticket.is_covered = self._slots.is_covered(waiter)
        self._slots.cancel(waiter)
        self._carry_out()

    def _run_out(self, waiter: Waiter) -> None:
        """A waiter's time is over."""
        self._give_up(waiter)
        waiter.ticket.settle(None)

    async def _take(self, lease: Lease) -> Lease:
        """A lease that was waited for; if its holder was cancelled meanwhile, it goes back whole."""
        try:
            await trio.lowlevel.checkpoint_if_cancelled()
        except BaseException:
            lease.release(reusable=True)
            raise
        return lease

    def _share_of(self, origin: Origin) -> float:
        most = self.config.max_connections_per_host
        return most if origin.upstream is None else self._shares.get(origin.upstream, most)

    async def _closed(self, origin: Origin) -> TrioPoolError:
        await trio.lowlevel.checkpoint()  # whoever tries again and again must let others run
        return closed(origin)

    async def _pace(self) -> None:
        """Yield where leases have followed each other for a millisecond: none of them need have waited (law 5)."""
        now = trio.current_time()
        if now - self._leased_at >= YIELD_SECONDS:
            self._streak_began_at = now
        self._leased_at = now
        if now - self._streak_began_at >= YIELD_SECONDS:
            await trio.lowlevel.checkpoint()
            self._streak_began_at = trio.current_time()

    # ---- for a client ----

    def share(self, upstream: Identity, most: float) -> None:
        """Give an upstream's origins so many slots each, instead of `max_connections_per_host`.

        :param upstream: whose.
        :param most: how many.
        """
        self._shares[upstream] = most

    def keep(self, work: Callable[[], Awaitable[None]], end: Callable[[], None]) -> None:
        """Have a task run beside the pool. It must never raise, and end soon after `end` was called.

        :param work: the task.
        :param end: is called when the pool closes.
        """
        if not self._slots.is_shut:
            self._kept.append(end)
            self._nursery.start_soon(self._look_after, work, end)

    async def _look_after(self, work: Callable[[], Awaitable[None]], end: Callable[[], None]) -> None:
        try:
            await work()
        finally:
            if end in self._kept:
                self._kept.remove(end)

    @property
    def is_observed(self) -> bool:
        """Whether anybody is told of events."""
        return bool(self._observers)

    @property
    def network(self) -> Network:
        """What resolves, connects, tells the wall time and supplies chance."""
        return self._network

    def tell(self, event: Event) -> None:
        """Tell every observer of an event. One that raises is told nothing more."""
        for observer in self._observers:
            try:
                observer(event)
            except Exception:
                logger.exception("an observer failed, and is told nothing more")
                self._observers = tuple(each for each in self._observers if each is not observer)

    def _check_run(self) -> None:
        try:
            token = trio.lowlevel.current_trio_token()
        except RuntimeError:
            token = None
        if token is not self._token:
            raise UsageError("the pool belongs to another trio run: open one pool in each")

    # ---- giving back ----

    def _reclaim(self, slot: Slot, uses: int) -> None:
        """Take back the slot of a lease that was dropped; called by the runner, perhaps more than once."""
        if slot.state is State.LEASED and slot.uses == uses and not self._slots.is_shut:
            self._leaks += 1
            self._slots.release(slot, trio.current_time(), "leaked")
            self._carry_out()

    # ---- carrying out ----

    def _carry_out(self) -> None:
        decisions = self._slots.decisions
        while decisions:
            decision = decisions.popleft()
            _CARRY_OUT[type(decision)](self, decision)
        if self._vacated is not None and not self._slots.slots:
            self._vacated.set()

    def _do_dial(self, decision: Dial) -> None:
        waiter = decision.slot.demand
        self._dials.begin(decision.slot, _place_of(waiter))
        self._nursery.start_soon(self._dials.run, decision.slot)
        self._postpone(waiter)

    def _do_hand(self, decision: Handed) -> None:
        waiter = decision.waiter
        self._dials.hand_over(decision.slot, _place_of(waiter))
        self._postpone(waiter)

    def _postpone(self, waiter: Waiter | None) -> None:
        if waiter is not None and waiter.ticket.limits.dials_apart:
            until = waiter.ticket.postpone()
            self._slots.postpone(waiter, until)
            self._alarm.hold(waiter, until)

    def _do_grant(self, decision: Grant) -> None:
        self._settle(decision.waiter, decision.slot)

    def _do_refuse(self, decision: Refuse) -> None:
        self._settle(decision.waiter, decision)

    def _settle(self, waiter: Waiter, result: Slot | Refuse) -> None:
        self._alarm.let_go(waiter)
        waiter.ticket.settle(result)

    def _do_close(self, decision: Close) -> None:
        decision.slot.connection.close()
        self._slots.closed(decision.slot)

    def _do_wake(self, decision: Wake) -> None:
        self._alarm.wake(decision.at)

    # ---- the tasks ----

    async def _keep_tasks(self, ready: trio.Event) -> None:
        """Hold the pool's tasks, which only its end ends.

        So a body that shields itself, when what surrounds it is cancelled, has its requests dialled for and timed out.
        """
        self._token = trio.lowlevel.current_trio_token()
        self._thread = get_ident()  # has no other run while this one lasts, so it tells at less cost whose a task is
        self.now = trio.lowlevel.current_clock().current_time  # without the way through its runner
        with self._tasks:
            async with trio.open_nursery() as self._nursery:
                self._nursery.start_soon(self._alarm.ring)
                ready.set()

    def _shut(self) -> None:
        self._tasks.cancel()  # first of all: an interrupt in what follows must not leave them alive behind their shield
        self._dials.end()
        self._slots.shut()
        for end in self._kept:
            end()
        self._carry_out()

    def _make(self, stream: Stream, seconds: float) -> tuple[Connection, float]:
        """What a dial has come to, and the chance by which its lifetime is drawn."""
        codec = self._make_codec(self._wire)
        connection = Connection(stream, codec, seconds, self.now, self._wire, self.tell, self._alarm.watch)
        return connection, self._network.random()

    def _report(self, slot: Slot, came: tuple[Connection, float] | TrioPoolError) -> None:
        """A dial has ended."""
        if isinstance(came, TrioPoolError):
            self._slots.dial_failed(slot, came)
        else:
            connection, chance = came
            self._slots.dialled(slot, connection, trio.current_time(), chance)
        self._carry_out()


_CARRY_OUT: dict[type, Callable[[Pool, Any], None]] = {
    Dial: Pool._do_dial,
    Handed: Pool._do_hand,
    Grant: Pool._do_grant,
    Refuse: Pool._do_refuse,
    Close: Pool._do_close,
    Wake: Pool._do_wake,
}


class Lease:
    """One holder's use of one connection. It is given back once; if it is dropped instead, it is reclaimed.

    :ivar connection: what is leased.
    :ivar is_reused: whether the connection had served before.
    """

    __slots__ = ("__weakref__", "_pool", "_slot", "connection", "is_reused")

    def __init__(self, pool: Pool, slot: Slot) -> None:
        self._pool: Pool | None = pool
        self._slot = slot
        self.connection: Connection = slot.connection
        self.is_reused = slot.uses > 1

    @property
    def origin(self) -> Origin:
        """Where the connection leads, and by what."""
        origin: Origin = self._slot.origin
        return origin

    def release(self, *, reusable: bool, hint: float | None = None, now: float | None = None) -> None:
        """Give the connection back, at once.

        :param reusable: whether it may be used again.
        :param hint: the seconds for which the server says that it keeps it.
        :param now: by trio's clock, for whoever has just looked.
        :raises UsageError: it was given back before.
        """
        pool, self._pool = self._pool, None
        if pool is None:
            raise UsageError("the lease was released before", origin=self._slot.origin)
        slots = pool._slots
        if slots.is_shut:  # perhaps with its whole run
            return  # the connection was closed under its holder
        if now is None:
            now = pool.now()
        unusable: Reason | None = None if reusable else "unusable"
        if hint is None:
            slots.release(self._slot, now, unusable)
        else:
            slots.release(self._slot, now, unusable, hint - min(2.0, hint / 2))  # less a margin: the news travels
        if slots.decisions:
            pool._carry_out()

    def give_up(self) -> Slot:
        """Hand the slot over; the lease is over."""
        self._pool = None
        return self._slot

    def __del__(self) -> None:
        pool = self._pool
        if pool is None or pool._slots.is_shut:
            return
        try:
            pool._token.run_sync_soon(pool._reclaim, self._slot, self._slot.uses, idempotent=True)
        except trio.RunFinishedError:
            return
        self._pool = _RECLAIMED  # the collector of garbage may yet bring its holder back, who then gives it back
        what = f"a response or lease of {self._slot.origin} was dropped without being closed: use `async with`"
        warnings.warn(what, ResourceWarning, stacklevel=2, source=self)


def _check_request(given: Any) -> None:
    if not isinstance(given, Request):
        raise UsageError(f"a pool sends a Request, not {type(given).__name__}")


def _ask(guard: Callable[[Request], None], request: Request, lease: Lease) -> None:
    """Whether the request may be sent, now that there is a connection; which is whole."""
    try:
        guard(request)
    except BaseException:
        lease.release(reusable=True)
        raise


def _place_of(waiter: Waiter | None) -> Place | None:
    return None if waiter is None else waiter.ticket


_RECLAIMED: Any = SimpleNamespace(_slots=SimpleNamespace(is_shut=True))
"""In place of a lease's pool: nothing is left to be given back."""


def _origin(given: Origin | str) -> Origin:
    return given if isinstance(given, Origin) else target_of(given).origin
