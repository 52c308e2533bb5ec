"""The providers' server: on a real socket, scripted request by request, and it counts what it saw.

By default every request is answered as its protocol has it. A `Script` changes what the next request gets: another
status with headers and a body, a death in the middle, a silence. Scripts are taken in the order in which requests come.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import h11
import trio

from .protocols import answer


@attrs.frozen
class Script:
    """What one request gets, where that is not the plain answer.

    :ivar status: of an answer that is an error; 200 for the protocol's own.
    :ivar headers: fields to add, such as Retry-After.
    :ivar body: of an error: what is sent as JSON.
    :ivar says_then: what is said after the second piece, such as an event that tells of an error; then the answer ends.
    :ivar dies_after: pieces of the answer that are sent before the connection is reset; 0: only the head; -1: nothing.
    :ivar hangs_after: pieces that are sent before nothing comes any more, until the client leaves; -1: nothing at all.
    """

    status: int = 200
    headers: dict[str, str] = attrs.Factory(dict)
    body: Any = None
    says_then: bytes | None = None
    dies_after: int | None = None
    hangs_after: int | None = None


@attrs.frozen
class Seen:
    """One request, as it came."""

    method: str
    target: str
    headers: dict[str, str]
    body: dict[str, Any]


@attrs.define(eq=False)
class Provider:
    """The server.

    :ivar url: where it is, without a slash at its end.
    :ivar scripts: what the next requests get.
    :ivar seen: the requests so far.
    :ivar open: connections that are open now, and `most`: the most there were at once.
    :ivar left: answers that a client left before their end.
    :ivar gate: closed (unset), an event stream stops after its first event until it is opened.
    """

    url: str = ""
    scripts: deque[Script] = attrs.Factory(deque)
    seen: list[Seen] = attrs.Factory(list)
    open: int = 0
    most: int = 0
    connections: int = 0
    left: int = 0
    streaming: int = 0
    gate: trio.Event = attrs.Factory(trio.Event)

    def script(self, *scripts: Script) -> None:
        """What the next requests get."""
        self.scripts += scripts

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        self.open += 1
        self.connections += 1
        self.most = max(self.most, self.open)
        try:
            await _Conversation(self, stream).run()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            pass  # the client has gone, as it may
        finally:
            self.open -= 1
            await trio.aclose_forcefully(stream)


class _Gone(Exception):
    """The script ends the connection."""


class _Conversation:
    def __init__(self, provider: Provider, stream: trio.SocketStream) -> None:
        self._provider = provider
        self._stream = stream
        self._codec = h11.Connection(h11.SERVER)

    async def run(self) -> None:
        while True:
            request = await self._event()
            if not isinstance(request, h11.Request):
                return
            body = b""
            while isinstance(event := await self._event(), h11.Data):
                body += event.data
            try:
                await self._answer(request, json.loads(body or b"{}"))
            except _Gone:
                return
            if self._codec.our_state is not h11.DONE or self._codec.their_state is not h11.DONE:
                return
            self._codec.start_next_cycle()

    async def _event(self) -> Any:
        while (event := self._codec.next_event()) is h11.NEED_DATA:
            self._codec.receive_data(bytes(await self._stream.receive_some(65536)))
        return event

    async def _send(self, event: Any) -> None:
        await self._stream.send_all(self._codec.send(event) or b"")

    async def _answer(self, request: h11.Request, body: dict[str, Any]) -> None:
        provider = self._provider
        headers = {name.decode().lower(): value.decode() for name, value in request.headers}
        target = request.target.decode()
        provider.seen.append(Seen(request.method.decode(), target, headers, body))
        script = provider.scripts.popleft() if provider.scripts else Script()
        await self._interrupt(script, -1)
        found = answer(target, body)
        pieces = [] if found is None else found.pieces
        status, media_type = (script.status, "application/json") if found is None else (200, found.media_type)
        if found is None or script.status != 200:
            status = script.status if script.status != 200 else 404
            media_type, pieces = "application/json", [json.dumps(script.body or {"error": {"message": "no"}}).encode()]
        if script.says_then is not None:
            pieces = [*pieces[:2], script.says_then]
        fields = [("content-type", media_type), ("x-request-id", f"req_{len(provider.seen)}"), *script.headers.items()]
        is_stream = media_type == "text/event-stream"
        fields.append(("transfer-encoding", "chunked") if is_stream else ("content-length", str(len(pieces[0]))))
        await self._send(h11.Response(status_code=status, headers=fields, reason="Emulated"))
        await self._send_pieces(pieces, script, is_stream)
        await self._send(h11.EndOfMessage())

    async def _send_pieces(self, pieces: list[bytes], script: Script, is_stream: bool) -> None:
        provider = self._provider
        provider.streaming += is_stream
        try:
            for number, piece in enumerate(pieces):
                await self._interrupt(script, number)
                await self._send(h11.Data(data=piece))
                if is_stream and number == 0:
                    await self._pass_the_gate()
            await self._interrupt(script, len(pieces))
        except (trio.BrokenResourceError, _Gone):
            provider.left += not isinstance(script.dies_after, int)
            raise
        finally:
            provider.streaming -= is_stream

    async def _pass_the_gate(self) -> None:
        """Wait for the gate, or for the client to leave."""
        provider = self._provider
        if provider.gate.is_set():
            return
        async with trio.open_nursery() as nursery:
            gone = trio.Event()

            async def watch() -> None:
                try:
                    await self._stream.receive_some(1)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    pass
                gone.set()
                nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            await provider.gate.wait()
            nursery.cancel_scope.cancel()
        if gone.is_set():
            raise _Gone

    async def _interrupt(self, script: Script, sent: int) -> None:
        if script.dies_after == sent:
            linger = trio.socket.SOL_SOCKET, trio.socket.SO_LINGER
            self._stream.setsockopt(*linger, b"\x01\0\0\0\0\0\0\0")  # so that closing resets the connection
            raise _Gone
        if script.hangs_after == sent:
            try:
                await self._stream.receive_some(1)
            except trio.BrokenResourceError:
                pass
            raise _Gone


@asynccontextmanager
async def open_provider() -> AsyncGenerator[Provider]:
    """A running server, its gate open."""
    provider = Provider()
    provider.gate.set()
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        provider.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.start_soon(trio.serve_listeners, provider.serve, listeners)
        try:
            yield provider
        finally:
            nursery.cancel_scope.cancel()
