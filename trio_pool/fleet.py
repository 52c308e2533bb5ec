"""All upstreams of one client: what is made of what the program says of each.

A `Fleet` checks that they fit together, gives each its share of the pool and its place in the group that `turnstile.py`
guards, makes requests for them, and probes those that say where they can be probed, once their breaker has opened.
`failover.py` sends.
"""

from __future__ import annotations

import inspect
import logging
import math
import os
from collections.abc import Iterable
from functools import partial
from typing import Any, cast

import attrs
import trio

from ._core.breaker import BreakerState
from ._core.concurrency import AdaptiveLimit
from ._core.outcomes import Kind, Outcome, kind_of, read_wait
from ._core.permits import Member, Permit
from ._core.ratelimit import RateLimiter
from .calls import CREDENTIALS, Call
from .config import Limits, PoolConfig, Timeouts
from .errors import TrioPoolError, UsageError
from .headers import encode_headers
from .messages import Request
from .pool import Pool
from .tries import Prepare, prepared
from .turnstile import Turnstile
from .upstreams import Upstream, is_key
from .urls import Identity, Origin, folder, target_of

logger = logging.getLogger("trio_pool")

PROBE_AGAIN = 1.0
"""Seconds after which a probe is tried again that traffic was faster with."""

PROBE_PATIENCE = 30.0
"""Seconds that the answer to a probe may take to begin, however long the provider's answers may: it need not think."""


class Endpoint:
    """One upstream in the hands of a client. Its text is its name.

    :ivar upstream: what the program said.
    :ivar name: what it is called.
    :ivar base: its base URL, with a slash at its end.
    :ivar origin: where its connections lead; nobody else's lead there.
    """

    def __init__(self, upstream: Upstream, name: str) -> None:
        self.upstream = upstream
        self.provider = upstream.provider
        self.name = name
        self.base = folder(upstream.url)
        self.identity = Identity(name)
        self.origin: Origin = attrs.evolve(target_of(self.base).origin, upstream=self.identity)
        self._key = upstream.key if upstream.key is not None else _from_environment(upstream, name)

    def __str__(self) -> str:
        return self.name

    async def fields(self) -> list[tuple[bytes, bytes]]:
        """The header fields that its provider wants, the key among them. What a key's callable raises comes out."""
        provider = self.provider
        fields = encode_headers(provider.headers)
        key: Any = self._key
        if callable(key):
            key = key()
            key = await key if inspect.isawaitable(key) else key
            if not is_key(key):
                key = None  # not even the frame of the error has it
                raise UsageError(f"the key callable of the upstream {self.name} gave no text, or none that can be sent")
        if key is not None:
            fields += encode_headers([(provider.key_header, provider.key_prefix + key)])
        return fields

    def member(self, share: float) -> Member:
        """It, as the core knows it.

        :param share: the connections that it may have. What these cannot carry is not to wait for them: another
            upstream may be free, and if none is, there is one line for all.
        """
        upstream = self.upstream
        most = min(share, upstream.max_concurrency or math.inf)
        return Member(
            self,
            priority=upstream.priority,
            weight=upstream.weight,
            limiter=RateLimiter(
                requests_per_minute=upstream.requests_per_minute or math.inf,
                tokens_per_minute=upstream.tokens_per_minute or math.inf,
                headers=self.provider.limits,
            ),
            most=most,
            adaptive=AdaptiveLimit(most=min(most, 1000), target=upstream.first_byte_target)
            if upstream.adaptive
            else None,
        )

    def limits(self, config: PoolConfig, timeouts: Timeouts | None) -> Limits:
        """The seconds of one attempt. An answer may take as long to begin as the provider's may, unless it is said."""
        limits = config.limits_for(timeouts)
        said = config.first_byte_timeout if timeouts is None else timeouts.first_byte or config.first_byte_timeout
        return limits if said is not None else attrs.evolve(limits, first_byte=self.provider.first_byte_timeout)


def _from_environment(upstream: Upstream, name: str) -> str | None:
    variable = _variable_of(upstream)
    if variable is None:
        return None
    if not os.environ.get(variable):
        raise UsageError(f"the upstream {name} needs the environment variable {variable}, which is not set")
    if not is_key(os.environ[variable]):
        raise UsageError(f"the environment variable {variable} holds nothing that can be a key of the upstream {name}")
    return os.environ[variable]


def _variable_of(upstream: Upstream) -> str | None:
    """The environment variable that an upstream's key stands in, if it stands in one."""
    home = upstream.provider.base_url
    if upstream.key_env is not None:
        return upstream.key_env
    if home is None or target_of(home).origin != target_of(upstream.url).origin:
        return None  # another's key is nothing to be sent to an address of one's own
    return next((variable for variable in upstream.provider.key_env if os.environ.get(variable)), None)


def _named(upstreams: Iterable[Upstream]) -> list[Endpoint]:
    """Endpoints, each with a name of its own."""
    taken: dict[str, int] = {}
    found: list[Endpoint] = []
    for upstream in upstreams:
        if not isinstance(cast("Any", upstream), Upstream):
            raise UsageError(f"upstreams are Upstream objects, not {type(upstream).__name__}")
        name = upstream.name or target_of(upstream.url).origin.host
        taken[name] = taken.get(name, 0) + 1
        if upstream.name is not None and taken[name] > 1:
            raise UsageError(f"two upstreams are called {name!r}")
        found.append(Endpoint(upstream, name if taken[name] == 1 else f"{name}#{taken[name]}"))
    return found


class Fleet:
    """All upstreams of one client.

    :param pool: what carries.
    :param upstreams: at least one.
    :param prepare: the hook for each request, or None.
    :ivar turnstile: lets requests through to them.
    :ivar credentials: the names, in lower case, of header fields that are theirs and no caller's.
    :raises UsageError: they do not fit together, or do not fit into the pool.
    """

    def __init__(self, pool: Pool, upstreams: Iterable[Upstream], prepare: Prepare | None = None) -> None:
        self.pool = pool
        self._prepare = prepare
        self.endpoints = _named(upstreams)
        dialects = sorted({endpoint.provider.dialect.value for endpoint in self.endpoints})
        if len(dialects) != 1:
            raise UsageError(f"upstreams of one group speak one dialect, not {' and '.join(dialects) or 'none'}")
        shares = self._shares(pool.config)
        for endpoint, share in zip(self.endpoints, shares, strict=True):
            pool.share(endpoint.identity, share)
        members = [endpoint.member(share) for endpoint, share in zip(self.endpoints, shares, strict=True)]
        self.turnstile = Turnstile(pool, members, max_waiting=pool.config.max_waiting, opened=self._opened)
        self.credentials = CREDENTIALS | {one.provider.key_header.lower().encode() for one in self.endpoints}
        self._probed: set[Member] = set()
        self.turnstile.start()

    @property
    def counts_tokens(self) -> bool:
        """Whether it matters how many tokens a request will use."""
        return any(member.limiter.tokens.is_known for member in self.turnstile.group.members)

    def _shares(self, config: PoolConfig) -> list[float]:
        """How many connections each may have: together no more than the pool."""
        claimed = [endpoint.upstream.max_connections for endpoint in self.endpoints]
        left = config.max_connections - sum(share or 0 for share in claimed)
        others = claimed.count(None)
        part = left if left == math.inf or not others else left // others
        if left < 0 or (others and part < 1):
            raise UsageError(f"the upstreams need more than the {config.max_connections} connections of the pool")
        return [share or min(config.max_connections_per_host, part) for share in claimed]

    async def request(self, permit: Permit, call: Call) -> Request:
        """The request for the upstream that the permit is for, with its key and with what the hook gives."""
        endpoint = endpoint_of(permit.member)
        limits = endpoint.limits(self.pool.config, call.timeouts)
        request = call.request(endpoint.base, await endpoint.fields(), endpoint.upstream.models, endpoint.provider)
        request.origin = endpoint.origin
        request.timeouts = limits
        return await prepared(request, self._prepare)

    # ---- active probes ----

    def _opened(self, member: Member, _: float) -> None:
        if endpoint_of(member).upstream.probe is not None and member not in self._probed:
            self._probed.add(member)
            scope = trio.CancelScope()
            self.pool.keep(partial(self._probe, member, scope), scope.cancel)

    async def _probe(self, member: Member, scope: trio.CancelScope) -> None:
        """Ask an upstream, when its breaker lets one pass, until it is closed."""
        try:
            with scope:
                while member.breaker.state is not BreakerState.CLOSED:
                    await trio.sleep_until(member.breaker.until)
                    permit = self.turnstile.probe(member)
                    if permit is None:
                        await trio.sleep(PROBE_AGAIN)
                    else:
                        await self._ask(permit)
        finally:
            self._probed.discard(member)

    async def _ask(self, permit: Permit) -> None:
        kind, wait = Kind.OURS, None
        try:
            with trio.move_on_after(2 * PROBE_PATIENCE):  # a key's callable or a hook can hang
                outcome = await self._answer(permit)
                kind, wait = kind_of(outcome, endpoint_of(permit.member).provider.retry), outcome.wait
        except TrioPoolError as error:
            kind = kind_of(Outcome(error=error), endpoint_of(permit.member).provider.retry)
        except Exception:
            logger.exception("a probe could not be made")
        finally:
            self.turnstile.ended(permit, kind, wait)
        if kind is Kind.OURS:
            await trio.sleep(PROBE_AGAIN)

    async def _answer(self, permit: Permit) -> Outcome:
        path = endpoint_of(permit.member).upstream.probe or ""
        timeouts = Timeouts(first_byte=min(self.pool.config.limits.read, PROBE_PATIENCE))
        request = await self.request(permit, Call("GET", path, {"timeouts": timeouts}, []))
        response = await self.pool.send(request)
        try:
            wait = read_wait(response.headers, self.pool.network.time())
            return Outcome(status=response.status_code, wait=wait)
        finally:
            response.close()


def endpoint_of(member: Member) -> Endpoint:
    """The upstream of a member."""
    return cast("Endpoint", member.upstream)
