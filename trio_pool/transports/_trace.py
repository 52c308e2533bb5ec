"""The `trace` extension: httpcore's names and payloads, since the ecosystem's tracing tools read them.

A request that is traced has this as its `Witness`. What happens in the request's own task is told there, and waited
for, as httpcore does. A dial happens in the pool's own task, which waits for nobody: its steps are put down, and told
by a task beside the request, inside the one await. Before the request goes on, all of them have been told.

A request without the extension never comes near this module.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import trio

from .._net.streams import Stream
from ..config import Limits
from ..errors import RemoteProtocolError, WriteError
from ..urls import Origin

CONNECT_TCP = "connection.connect_tcp"
CONNECT_UNIX = "connection.connect_unix_socket"
START_TLS = "connection.start_tls"
SEND_HEADERS = "http11.send_request_headers"
SEND_BODY = "http11.send_request_body"
RECEIVE_HEADERS = "http11.receive_response_headers"
RECEIVE_BODY = "http11.receive_response_body"
CLOSED = "http11.response_closed"

Answered = Callable[[Any], Any]


class Trace:
    """Tells one request's way to a callback.

    :param callback: the extension: awaited with a name and a mapping.
    :param request: the library's lower half's own request, for the payloads.
    :param origin: where it goes.
    :param limits: the seconds it has.
    :param look: makes a network stream of one of ours.
    :param translate: makes the library's own error of one of ours.
    """

    def __init__(
        self,
        callback: Callable[[str, dict[str, Any]], Awaitable[None]],
        request: Any,
        origin: Origin,
        limits: Limits,
        look: Callable[[Stream], Any],
        translate: Callable[[BaseException], BaseException],
    ) -> None:
        self._callback = callback
        self._payload = {"request": request}
        self._origin = origin
        self._limits = limits
        self._look = look
        self._translate = translate
        self.pieces: Pieces | None = None  # the body, where it is made piece by piece
        self.raised: BaseException | None = None  # by the callback
        self._under_way: str | None = None
        self._dials = 0
        self._failure: BaseException | None = None  # of the callback, beside the request
        self._caught_up = trio.Event()  # set once what was put down has been told, or never will be
        self._put_down, self._taken_up = trio.open_memory_channel[tuple[str, Any]](math.inf)

    # ---- telling ----

    async def tell(self, name: str, payload: dict[str, Any]) -> None:
        """Await the callback.

        :raises TypeError: it is none to be awaited.
        """
        told = self._callback(name, payload)
        if not inspect.isawaitable(told):
            raise TypeError("the `trace` extension of an asynchronous client must be an asynchronous function")
        try:
            await told
        except BaseException as error:
            self.raised = error
            raise

    async def start(self, name: str, payload: dict[str, Any] | None = None) -> None:
        """Something begins."""
        self._under_way = name
        await self.tell(f"{name}.started", self._payload if payload is None else payload)

    async def complete(self, result: Any = None) -> None:
        """What is under way has ended well."""
        name, self._under_way = self._under_way, None
        if name is not None:
            await self.tell(f"{name}.complete", {"return_value": result})

    async def fail(self, error: BaseException) -> None:
        """What is under way, if anything, has failed."""
        name, self._under_way = self._under_way, None
        if name is not None:
            await self.tell(f"{name}.failed", {"exception": self._translate(error)})

    async def closed(self) -> None:
        """The exchange is over."""
        await self.start(CLOSED, {})
        await self.complete()

    # ---- as a witness ----

    def waiting(self) -> Callable[[str, Any], None]:
        """Listen to a dial. If there has been an attempt, it was lost: its connection had died."""
        self._dials += 1
        number = self._dials
        self._put_down.send_nowait(("lost", None))

        def note(step: str, by: Any) -> None:
            if number == self._dials:
                self._put_down.send_nowait((step, by))

        return note

    async def sending(self, stream: Stream) -> None:
        """There is a connection: what a dial does from now on is for somebody else."""
        self._dials += 1
        await self._catch_up()
        await self.complete(self._look(stream))
        await self.start(SEND_HEADERS)

    async def sent(self) -> None:
        """The request is out, or what the server wanted of it."""
        await self.body_begins()
        if self.pieces is None or self.pieces.is_at_end:
            await self.complete()
        else:
            await self.fail(WriteError("the server answered before it had the whole body"))
        await self.start(RECEIVE_HEADERS)

    async def body_begins(self) -> None:
        """The head is out, if that has not been told."""
        if self._under_way == SEND_HEADERS:
            await self.complete()
            await self.start(SEND_BODY)

    # ---- the whole ----

    async def run(self, send: Callable[[], Awaitable[Any]], answered: Answered) -> Any:
        """Send, and tell of the dial meanwhile. Raises what sending raises, or the callback.

        :param send: sends the request.
        :param answered: what is told of its response's head.
        """
        response: Any = None
        failure: BaseException | None = None
        sending = trio.CancelScope()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tell_of_dials, sending)
            try:
                with sending:
                    response = await send()
                    await self.complete(answered(response))
            except BaseException as error:  # taken out of the nursery's group and raised as itself below
                failure = await self._failed(error)
            nursery.cancel_scope.shield = True  # the task beside ends at once, and only by this cancellation
            nursery.cancel_scope.cancel()
        failure = self._failure or failure
        if failure is None:
            return response
        if response is not None:
            response.close()
        raise failure

    async def _failed(self, error: BaseException) -> BaseException:
        """Tell of a failure. What is to be raised: it, or what the callback says to it."""
        try:
            if isinstance(error, Exception):
                await self._catch_up()
            if self._failure is None:
                await self._abandon(error)
        except BaseException as said:
            return error if _is_cancellation(said) else said  # the scope around will see to it that it ends
        return error

    async def _abandon(self, error: BaseException) -> None:
        """A try has failed; with it goes an exchange that had begun."""
        had_begun = self._under_way is not None and self._under_way.startswith("http11.")
        await self.fail(error)
        if had_begun:
            await self.closed()

    async def _catch_up(self) -> None:
        """Wait until all that was put down has been told, or the callback has failed."""
        if self._failure is None:
            self._caught_up = trio.Event()
            self._put_down.send_nowait(("done", self._caught_up))
            await self._caught_up.wait()

    async def _tell_of_dials(self, sending: trio.CancelScope) -> None:
        try:
            async for step, by in self._taken_up:
                await _STEPS[step](self, by)
        except BaseException as error:
            if _is_cancellation(error):
                raise
            self._failure = error
            sending.cancel()
            self._caught_up.set()  # nothing more is told

    # ---- the steps of a dial ----

    async def _lost(self, _: None) -> None:
        await self._abandon(RemoteProtocolError("the connection that was used again had died"))

    async def _connecting(self, route: Origin) -> None:
        seconds = {"timeout": _finite(self._limits.connection), "socket_options": None}
        if route.uds is not None:
            await self.start(CONNECT_UNIX, {"path": route.uds, **seconds})
            return
        place = route.proxy or route
        await self.start(CONNECT_TCP, {"host": place.host, "port": place.port, "local_address": None, **seconds})

    async def _securing(self, context: Any) -> None:
        name = self._origin.sni or self._origin.host
        payload = {"ssl_context": context, "server_hostname": name, "timeout": _finite(self._limits.connection)}
        await self.start(START_TLS, payload)

    async def _connected(self, stream: Stream) -> None:
        await self.complete(self._look(stream))

    async def _done(self, done: trio.Event) -> None:
        done.set()


class Pieces:
    """A request's body that is made piece by piece. What it raises is known for its own.

    :param stream: makes it.
    :ivar trace: is told, at its first piece, that the head is out; or None.
    :ivar raised: what the stream raised.
    :ivar is_at_end: whether all of it has been asked for.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._pieces: AsyncIterator[bytes] | None = None
        self.trace: Trace | None = None
        self.raised: BaseException | None = None
        self.is_at_end = False

    def __aiter__(self) -> Pieces:
        return self

    async def __anext__(self) -> bytes:
        if self._pieces is None and self.trace is not None:
            await self.trace.body_begins()
        try:
            if self._pieces is None:
                self._pieces = aiter(self._stream)
            return await anext(self._pieces)
        except StopAsyncIteration:
            self.is_at_end = True
            raise
        except BaseException as error:
            self.raised = error
            raise

    async def aclose(self) -> None:
        """Nothing more is asked for."""
        close = getattr(self._pieces, "aclose", None)
        if close is not None:
            await close()


_STEPS: dict[str, Callable[[Trace, Any], Awaitable[None]]] = {
    "lost": Trace._lost,
    "connecting": Trace._connecting,
    "connected": Trace._connected,
    "securing": Trace._securing,
    "secured": Trace._connected,
    "done": Trace._done,
}


def _is_cancellation(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return cast("BaseExceptionGroup[BaseException]", error).subgroup(trio.Cancelled) is not None
    return isinstance(error, trio.Cancelled)


def _finite(seconds: float) -> float | None:
    return None if seconds == math.inf else seconds
