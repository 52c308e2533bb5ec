"""What the two adapters share: a library's request becomes one of ours, our response and errors become the library's.

Strategy. The contract of httpx's transports is kept to the letter, and nothing is done twice: header fields are
checked in two searches over all of them, origins and timeouts are remembered, a body that is there whole goes on as
bytes, and a response's body is handed on as it comes, still encoded. Tracing (`_trace.py`) costs nothing unless asked
for. `trio.Cancelled` and what a caller's own body raises pass through as they are.

Nothing here imports a library: each adapter brings its own classes (`Library`).
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import lru_cache, partial
from typing import Any, cast

from ..config import Limits, PoolConfig
from ..errors import PoolFull, TrioPoolError, UsageError
from ..headers import RawHeaders
from ..messages import Content, Request
from ..response import Response
from ._heads import KnownHeads, place_of
from ._library import Library
from ._network import NetworkStream
from ._trace import RECEIVE_BODY, Trace, TracedContent

RETRY_COUNT = b"x-stainless-retry-count"
"""The header in which the OpenAI and Anthropic SDKs count their own retries."""

_VERSIONS = {"HTTP/1.1": b"HTTP/1.1", "HTTP/1.0": b"HTTP/1.0"}


class Adapter:
    """Carries a library's requests over a pool or a client.

    :param library: whose.
    :param send: sends one of our requests.
    :param config: the pool's.
    :param full_as_response: whether `PoolFull` is a response.
    :param retries: whether what `send` does retries, so that a caller that does so too is told.
    """

    def __init__(
        self,
        library: Library,
        send: Callable[[Request], Awaitable[Response]],
        config: PoolConfig,
        *,
        full_as_response: bool,
        retries: bool = False,
    ) -> None:
        self._library = library
        self._send = send
        self._config = config
        self._full_as_response = full_as_response
        self._is_to_warn = retries
        self._heads = KnownHeads()
        self._limits_of = lru_cache(maxsize=256)(self._make_limits)

    async def handle(self, request: Any) -> Any:
        """The library's response to a library's request. What it raises is the library's too."""
        callback = request.extensions.get("trace")
        trace: Trace | None = None
        try:
            mine = self._request(request)
            if callback is None:
                response = await self._send(mine)
            else:
                trace = self._trace(callback, request, mine)
                response = await trace.run(partial(self._send, mine), _told)
            return self._answer(response, trace)
        except TrioPoolError as error:
            if self._full_as_response and isinstance(error, PoolFull):
                return self._full(error)
            raise self._library.translate(error) from error

    # ---- the request ----

    def _request(self, request: Any) -> Request:
        url, extensions = request.url, request.extensions
        place = place_of(url.raw_scheme, url.raw_host, url.port, _text(extensions.get("sni_hostname")))
        path: bytes = url.raw_path
        target = extensions.get("target", path)
        if type(target) is not bytes:
            raise UsageError("the extension `target` is bytes")
        raw: RawHeaders = request.headers.raw
        if self._is_to_warn:
            self._look_for_retries(raw)
        limits = self._limits(extensions.get("timeout"))
        body = self._content(request.stream, raw)
        return self._heads.prepare(
            request.method, place, target, raw, body, limits, place.prefix + path.decode("ascii")
        )

    def _content(self, stream: Any, raw: RawHeaders) -> Content | None:
        """The body: bytes where it is there whole, so that it can be sent again."""
        if type(stream) is self._library.byte_stream:
            content = b"".join(cast("Iterable[bytes]", stream))
            return content if content or any(name.lower() == b"transfer-encoding" for name, _ in raw) else None
        if not hasattr(stream, "__aiter__"):
            raise UsageError("the request's body must be an asynchronous stream")
        return cast("Content", stream)

    def _limits(self, timeout: Any) -> Limits:
        if timeout is None:
            return self._config.limits
        try:
            get = timeout.get
            return self._limits_of(get("connect"), get("read"), get("write"), get("pool"))
        except (AttributeError, TypeError):
            raise UsageError("the extension `timeout` is a mapping of seconds") from None

    def _make_limits(
        self, connect: float | None, read: float | None, write: float | None, pool: float | None
    ) -> Limits:
        """Seconds for one request. What the library leaves out has no limit; what it cannot say is the pool's."""
        given = [math.inf if seconds is None else seconds for seconds in (connect, read, write, pool)]
        if not all(isinstance(cast("Any", seconds), (int, float)) and seconds >= 0 for seconds in given):
            raise UsageError("the extension `timeout` has seconds that are negative or no number")
        own = self._config
        return Limits(
            connection=given[0],
            read=given[1],
            first_byte=given[1] if own.first_byte_timeout is None else own.first_byte_timeout,
            write=given[2],
            acquire=given[3],
            total=own.total_timeout,
            dials_apart=True,
        )

    def _look_for_retries(self, raw: RawHeaders) -> None:
        if any(name.lower() == RETRY_COUNT and value != b"0" for name, value in raw):
            self._is_to_warn = False
            what = "an SDK retries above a trio_pool client, which retries by itself: give the SDK max_retries=0"
            warnings.warn(what, RuntimeWarning, stacklevel=2)

    def _trace(self, callback: Any, request: Any, mine: Request) -> Trace:
        core, url = self._library.core(), request.url
        place = core.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=mine.target)
        theirs = core.Request(
            method=request.method,
            url=place,
            headers=mine.raw_headers,
            content=request.stream,
            extensions=request.extensions,
        )
        limits = self._config.limits_for(mine.timeouts)
        look = partial(NetworkStream, errors=self._library.core)
        mine.witness = trace = Trace(callback, theirs, mine.origin, limits, look, self._library.translate)
        if mine.is_streamed:
            mine.content = TracedContent(mine.content, trace)
        return trace

    # ---- the response ----

    def _answer(self, response: Response, trace: Trace | None) -> Any:
        exchange = response._exchange
        core, stream = self._library.core, exchange.connection.stream
        switched = None if exchange.surplus is None else response.take_stream()
        network = NetworkStream(stream, core, switched)
        return self._library.response(
            response.status_code,
            headers=response._head.headers,
            stream=self._library.body(response, self._library, network, trace),
            extensions={
                "http_version": _VERSIONS[response.http_version],
                "reason_phrase": response.reason.encode("latin-1"),
                "network_stream": network,
            },
        )

    def _full(self, error: PoolFull) -> Any:
        """A response that tells SDKs not to try again."""
        content = json.dumps({"error": {"message": str(error), "type": "pool_full", "code": "pool_full"}})
        return self._library.response(
            503,
            headers=[(b"content-type", b"application/json"), (b"x-should-retry", b"false")],
            content=content.encode(),
            extensions={"http_version": b"HTTP/1.1", "reason_phrase": b"Service Unavailable"},
        )


class Body:
    """A response's body as it comes. It may be closed early, twice, and by whoever is being cancelled."""

    def __init__(self, response: Response, library: Library, network: NetworkStream, trace: Trace | None) -> None:
        self._response = response
        self._library = library
        self._network = network
        self._trace = trace
        self._next = response.next_raw if network.speaks_http else self._no_more
        self._is_told = False  # of a trace, that it begins

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            if self._trace is not None:
                return await self._traced(self._trace)
            piece = await self._next()
        except TrioPoolError as error:
            raise self._library.translate(error) from error
        if piece:
            return piece
        raise StopAsyncIteration

    async def _no_more(self) -> bytes:
        return b""

    async def aclose(self) -> None:
        """Leave the response: its connection is kept if the rest is there already, else closed."""
        trace, self._trace = self._trace, None
        try:
            if trace is not None:
                await trace.fail(GeneratorExit())  # as httpcore says it of a body that is left before its end
        finally:
            self._response.close()
            await self._network.aclose()
        if trace is not None:
            await trace.closed()

    async def _traced(self, trace: Trace) -> bytes:
        if not self._is_told:
            self._is_told = True
            await trace.start(RECEIVE_BODY)
        try:
            piece = await self._next()
        except BaseException as error:
            await trace.fail(error)
            raise
        if piece:
            return piece
        await trace.complete()
        raise StopAsyncIteration


def _text(name: Any) -> str | None:
    if isinstance(name, bytes):
        return name.decode("ascii", "replace")
    if name is not None and not isinstance(name, str):
        raise UsageError("the extension `sni_hostname` is the name of a host")
    return name


def _told(response: Response) -> tuple[bytes, int, bytes, RawHeaders]:
    """What is told of a response's head."""
    version = _VERSIONS[response.http_version]
    return version, response.status_code, response.reason.encode("latin-1"), response.headers.raw
