"""The client: a pool, and what makes requests pleasant to send."""

from __future__ import annotations

import re
import secrets
import ssl
from collections.abc import AsyncGenerator, Awaitable, Iterable
from contextlib import asynccontextmanager
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Unpack

import trio
import yarl

from ._net.network import Network
from ._version import __version__
from ._wire.decoding import ACCEPT_ENCODING
from ._wire.fast_codec import plain_head
from .config import PoolConfig
from .errors import RemoteProtocolError, TooManyRedirects, TrioPoolError, UnsupportedProtocol, UsageError
from .events import Observer
from .headers import CheckedHeaders, HeaderTypes, RawHeaders, encode_headers, is_secret
from .messages import IDEMPOTENCY_KEY, Held, Request, RequestOptions
from .pool import Pool, open_pool
from .response import Response, Streaming
from .urls import Origin, folder, redact, target_of

if TYPE_CHECKING:  # what is there for retries and for groups is imported by whoever needs it first
    from .attempts import Attempts
    from .fleet import Fleet
    from .tries import Prepare
    from .upstreams import Upstream

MAX_REDIRECTS = 20

_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OF_A_BODY = frozenset(
    {
        b"content-length",
        b"content-type",
        b"content-encoding",
        b"content-language",
        b"content-location",
        b"transfer-encoding",
        b"trailer",
        b"expect",
    }
)


@asynccontextmanager
async def open_client(
    config: PoolConfig = PoolConfig(),  # noqa: B008  # frozen
    *,
    base_url: str | None = None,
    headers: HeaderTypes = None,
    tls: ssl.SSLContext | None = None,
    proxy: str | None = None,
    uds: str | None = None,
    observers: Iterable[Observer] = (),
    network: Network | None = None,
    follow_redirects: bool = False,
    upstreams: Iterable[Upstream] = (),
    prepare: Prepare | None = None,
    hedging: bool = False,
) -> AsyncGenerator[Client]:
    """A client on a pool of its own, open for the time of the `async with`.

    :param config: limits and timeouts.
    :param base_url: what a relative URL is appended to; its path counts as a folder.
    :param headers: sent with every request, unless the request has its own of the same name.
    :param tls: what https connections are checked by and shown; by default the system's trusted certificates.
    :param proxy: a proxy's URL, or "environment"; see `open_pool`.
    :param uds: the path of a Unix socket to which every connection is made, whatever the URL's host.
    :param observers: who is told of events; see `trio_pool.events`.
    :param network: what resolves, connects, tells the wall time and supplies chance; by default the machine's.
    :param follow_redirects: whether to follow up to 20 of them (False). Credentials never cross origins.
    :param upstreams: where requests with relative URLs go, to whichever serves them; see `Upstream`. They have keys of
        their own: a request to them with credentials is refused.
    :param prepare: is called with each `Request` at the last moment before each try; gives header fields that are added
        to it, in place of those of the same name, or an awaitable of them. What it raises comes out as it is.
    :param hedging: whether a request to upstreams that may be sent twice gets a second try beside the first, on another
        upstream, when its first byte is later than 19 of 20 before it were (False).
    :raises UnsupportedProtocol: `base_url` is not http or https, or has no host.
    :raises UsageError: it has a query or a fragment, `config` is no `PoolConfig`, or `proxy` is no proxy's URL; or the
        upstreams speak different dialects, do not fit into the pool, or stand beside a `base_url`.
    :raises LocalProtocolError: a header that would break HTTP/1.1.
    """
    async with open_pool(config, tls=tls, proxy=proxy, uds=uds, observers=observers, network=network) as pool:
        yield Client(
            pool,
            base_url=base_url,
            headers=headers,
            follow_redirects=follow_redirects,
            upstreams=upstreams,
            prepare=prepare,
            hedging=hedging,
        )


class Client:
    """Sends requests over a pool. Made by `open_client`, or around a pool that is open already.

    :ivar pool: the pool.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        base_url: str | None = None,
        headers: HeaderTypes = None,
        follow_redirects: bool = False,
        upstreams: Iterable[Upstream] = (),
        prepare: Prepare | None = None,
        hedging: bool = False,
    ) -> None:
        self.pool = pool
        self._base_url = None if base_url is None else folder(base_url)
        self._headers = CheckedHeaders.of(_merge(_defaults(), encode_headers(headers)))
        self._follows = follow_redirects
        self._hook = prepare
        self._is_needed = prepare is not None or pool.is_observed  # whether the attempt loop has each request
        self._loop: Attempts | None = None  # once it was needed
        self._served = 0  # requests until then
        self._hedges = hedging
        self._fleet = self._assemble(list(upstreams)) if upstreams else None
        self._bare = lru_cache(maxsize=1024)(self._prepare)  # programs ask the same URLs again

    def stream(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Streaming:
        """`async with` this to send a request and read the response as it comes.

        :param method: such as "GET".
        :param url: absolute, or relative to the client's `base_url`.
        :param options: see `RequestOptions`.
        :raises TrioPoolError: on entering; see `trio_pool.errors`.
        """
        return Streaming(partial(self._send, method, url, options))

    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Send a request and read the whole response. Parameters and errors are those of `stream`."""
        response = await self._send(method, url, options)
        if not response.read_nowait():
            await response.read()
        return response

    async def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request` with GET."""
        return await self.request("GET", url, **options)

    async def head(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request` with HEAD."""
        return await self.request("HEAD", url, **options)

    async def options(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request` with OPTIONS."""
        return await self.request("OPTIONS", url, **options)

    async def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request` with POST."""
        return await self.request("POST", url, **options)

    async def put(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request` with PUT."""
        return await self.request("PUT", url, **options)

    async def patch(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request` with PATCH."""
        return await self.request("PATCH", url, **options)

    async def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request` with DELETE."""
        return await self.request("DELETE", url, **options)

    # ---- building and sending ----

    async def send(self, request: Request) -> Response:
        """Send a request as it is, without the client's own headers, and follow where it leads if the client does.

        The response, its body unread, is the caller's to close. Raises as `stream`.

        :param request: the request.
        """
        if type(request) is not Request:
            return await self.pool.send(request)  # which says what is wrong with it
        return await (self._follow(request) if self._follows else self._try(request))

    def _send(self, method: str, url: str, options: RequestOptions) -> Awaitable[Response]:
        """Send a request, follow where it leads; the response is open."""
        if self._fleet is not None and not _ABSOLUTE.match(url):
            return self._send_to_group(self._fleet, method, url, options)
        is_bare = not options and type(method) is type(url) is str and len(url) <= 512 and "@" not in url
        request = self._bare(method, url).twin() if is_bare else self._build(method, url, options)
        return self._follow(request) if self._follows else self._try(request)

    async def _try(self, request: Request, deadline: float | None = None) -> Response:
        """Send a request, and again where that helps. Nearly all are served by a first try straight to the pool."""
        if self._loop is None and not self._is_needed:
            self._served += 1
        else:
            self._attempts.requests += 1
            if self._attempts.is_needed:
                return await self._persist(request, trio.current_time(), deadline)
        request.guard = self._guard
        started = self.pool.now()
        came: Response | TrioPoolError | Held
        try:
            came = await self.pool.send(request, deadline=deadline)
            if came.status_code < 400:
                return came
        except (TrioPoolError, Held) as error:
            came = error
        try:
            return await self._persist(request, started, deadline, None if isinstance(came, Held) else came)
        finally:
            del came  # an error holds this frame

    async def _persist(
        self, request: Request, started: float, deadline: float | None, came: Response | TrioPoolError | None = None
    ) -> Response:
        """The attempt loop, perhaps with what came of the first try."""
        from .plain import PlainWay

        return await PlainWay(self._attempts, request, started, deadline).go(came)

    @property
    def _attempts(self) -> Attempts:
        """What all attempts share."""
        if self._loop is None:
            from .attempts import Attempts

            self._loop = Attempts(self.pool, self._hook)
            self._loop.requests = self._served
        return self._loop

    def _guard(self, request: Request) -> None:
        """A request waited for its connection: its origin may have asked for a pause meanwhile."""
        if self._loop is not None:
            self._loop.guard(request)

    async def _send_to_group(self, fleet: Fleet, method: str, url: str, options: RequestOptions) -> Response:
        from .calls import Call
        from .failover import GroupWay

        started = trio.current_time()
        own = encode_headers(options.get("headers"))
        key = _key_of(options)
        if key is not None and not any(name.lower() == IDEMPOTENCY_KEY for name, _ in own):
            own += encode_headers([("Idempotency-Key", key)])
        call = Call(method, url, options, _merge(self._headers.raw, own), fleet.credentials)
        response = await GroupWay(self._attempts, fleet, call, hedges=self._hedges).go()
        if not self._follows:
            return response
        return await self._follow_on(response, started + self.pool.config.limits_for(call.timeouts).total)

    def _assemble(self, upstreams: list[Upstream]) -> Fleet | None:
        if self._base_url is not None:
            raise UsageError("a client has a base_url or upstreams, not both")
        from .calls import check_credentials
        from .fleet import Fleet

        if not upstreams:
            return None
        fleet = Fleet(self.pool, upstreams, self._hook)
        check_credentials(self._headers.raw, fleet.credentials, "a client with upstreams")
        return fleet

    def _prepare(self, method: str, url: str) -> Request:
        """A request without any options, to be sent again and again."""
        request = self._build(method, url, {})
        plain_head(request)
        return request

    def _build(self, method: str, url: str, options: RequestOptions) -> Request:
        if self._base_url is not None and not _ABSOLUTE.match(url):
            url = self._base_url + url.lstrip("/")
        own = options.get("headers")
        headers = self._headers if own is None else CheckedHeaders.of(_merge(self._headers.raw, encode_headers(own)))
        complete: Any = {**options, "headers": headers}
        if "idempotency_key" in options:
            complete["idempotency_key"] = _key_of(options)
        return Request(method, url, **complete)

    async def _follow(self, request: Request) -> Response:
        deadline = trio.current_time() + self.pool.config.limits_for(request.timeouts).total
        return await self._follow_on(await self._try(request, deadline), deadline)

    async def _follow_on(self, response: Response, deadline: float) -> Response:
        request = response.request
        for _ in range(MAX_REDIRECTS):
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or location is None:
                return response
            try:
                await response.leave()
                request = redirected(request, response.status_code, location)
                response = await self._try(request, deadline)
            except TrioPoolError as error:
                error.may_have_been_processed = True  # a server has answered by now
                raise
        if response.status_code not in _REDIRECTS or "location" not in response.headers:
            return response
        response.close()
        what = f"the server redirected more than {MAX_REDIRECTS} times"
        raise TooManyRedirects(what, origin=request.origin, may_have_been_processed=True)


def redirected(request: Request, status_code: int, location: str) -> Request:
    """The request that a redirect asks for (RFC 9110 section 15.4).

    :raises UnsupportedProtocol: it leads to something that is neither http nor https.
    :raises RemoteProtocolError: it leads to no URL at all.
    :raises UsageError: the body, which was streamed, would have to be sent again.
    """
    url = _join(request, location)
    method, content, dropped = request.method, request.content, {b"host"}
    if status_code == 303 or (status_code in (301, 302) and method == "POST"):
        method, content = ("HEAD" if method == "HEAD" else "GET"), None
        dropped |= _OF_A_BODY
    if request.is_streamed and content is not None:
        raise UsageError(f"the redirect to {redact(url)} needs the streamed body again", origin=request.origin)
    is_at_home = _address(target_of(url).origin) == _address(request.origin)
    if not is_at_home:
        dropped |= {name.lower() for name, _ in request.raw_headers if is_secret(name.decode())}
    kept = [(name, value) for name, value in request.raw_headers if name.lower() not in dropped]
    onward = Request(method, url, headers=kept, content=content)
    onward.timeouts = request.timeouts
    if is_at_home:
        onward.origin = request.origin  # with the name that TLS asks for
    return onward


def _address(origin: Origin) -> tuple[str, str, int]:
    return origin.scheme, origin.host, origin.port


def _join(request: Request, location: str) -> str:
    """Where a redirect leads. Many servers send UTF-8 as it is, which reaches us as ISO-8859-1."""
    try:
        location = location.encode("latin-1").decode("utf-8")
    except ValueError:
        pass
    try:
        url = str(yarl.URL(request.url).join(yarl.URL(location)))
        target_of(url)
    except (TrioPoolError, ValueError) as error:
        what = getattr(error, "what", "its Location is no URL")
        kind = UnsupportedProtocol if isinstance(error, UnsupportedProtocol) else RemoteProtocolError
        raise kind(f"the redirect cannot be followed: {what}", origin=request.origin) from None
    return url


def _key_of(options: RequestOptions) -> str | None:
    """The idempotency key that is asked for."""
    key: Any = options.get("idempotency_key")
    if key is not None and not isinstance(key, (str, bool)):
        raise UsageError(f"idempotency_key must be text or True, not {type(key).__name__}")
    return secrets.token_hex(16) if key is True else key or None


@lru_cache(maxsize=1)
def _defaults() -> RawHeaders:
    agent = f"trio_pool/{__version__}".encode()
    return [(b"User-Agent", agent), (b"Accept", b"*/*"), (b"Accept-Encoding", ACCEPT_ENCODING.encode())]


def _merge(base: RawHeaders, own: RawHeaders) -> RawHeaders:
    """The fields of both; the own ones replace those of the same name."""
    replaced = {name.lower() for name, _ in own}
    return [field for field in base if field[0].lower() not in replaced] + own
