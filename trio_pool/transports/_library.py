"""One library's classes: what its adapter brings, what our errors become, and which options are whose."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from .. import errors as ours
from ..config import PoolConfig
from ..errors import TrioPoolError, UsageError

Given = TypeVar("Given")

ERRORS: Mapping[type[TrioPoolError], str] = {
    ours.PoolTimeout: "PoolTimeout",
    ours.PoolFull: "PoolTimeout",
    ours.RateLimited: "PoolTimeout",
    ours.PoolClosed: "ConnectError",
    ours.ConnectTimeout: "ConnectTimeout",
    ours.ConnectError: "ConnectError",
    ours.TLSError: "ConnectError",
    ours.AddressRefused: "ConnectError",
    ours.ProxyError: "ProxyError",
    ours.ReadTimeout: "ReadTimeout",
    ours.TotalTimeout: "ReadTimeout",
    ours.WriteTimeout: "WriteTimeout",
    ours.ReadError: "ReadError",
    ours.WriteError: "WriteError",
    ours.RemoteProtocolError: "RemoteProtocolError",
    ours.LimitExceeded: "RemoteProtocolError",
    ours.StreamIncomplete: "RemoteProtocolError",
    ours.StreamFailed: "RemoteProtocolError",
    ours.LocalProtocolError: "LocalProtocolError",
    ours.UsageError: "LocalProtocolError",
    ours.UnsupportedProtocol: "UnsupportedProtocol",
    ours.DecodingError: "DecodingError",
    ours.TooManyRedirects: "TooManyRedirects",
    ours.TrioPoolError: "TransportError",
}
"""What each of our errors becomes: the name of the library's class. A kind that is not here becomes as its base."""

_OF_POOL = ("tls", "proxy", "uds", "observers", "network")
_UNHEEDED = {
    **dict.fromkeys(("verify", "cert", "ssl_context"), "tls="),
    **dict.fromkeys(("limits", "http1", "http2"), "config="),
    **dict.fromkeys(("transport", "mounts"), "a PoolTransport"),
}


@attrs.frozen
class Library:
    """The classes of one library.

    :ivar name: its package.
    :ivar errors: our errors, and what they become.
    :ivar response: makes a response.
    :ivar byte_stream: a body that is there whole.
    :ivar body: makes the body of a response, over a `Body` of ours.
    :ivar core: gives the library's lower half, imported when it is needed.
    """

    name: str
    errors: Mapping[type[TrioPoolError], type[Exception]]
    response: Callable[..., Any]
    byte_stream: type
    body: Callable[..., Any]
    core: Callable[[], Any]

    @classmethod
    def of(cls, module: Any, core: Callable[[], Any], body: Callable[..., Any]) -> Library:
        """The classes of a module such as httpx."""
        errors = {kind: getattr(module, name) for kind, name in ERRORS.items()}
        return cls(module.__name__, errors, module.Response, module.ByteStream, body, core)

    def translate(self, error: BaseException) -> BaseException:
        """The library's own error for one of ours; any other as it is."""
        for kind in type(error).__mro__:
            if kind in self.errors:
                return self.errors[kind](str(error))
        return error


def expect(given: Given, kind: type, what: str) -> Given:
    """What is given, if it is of that kind.

    :raises UsageError: it is not.
    """
    if not isinstance(given, kind):
        advice = ": enter it by `async with` first" if hasattr(given, "__aenter__") else ""
        raise UsageError(f"{what} must be a {kind.__name__}, not a {type(given).__name__}{advice}")
    return given


def split_options(
    config: PoolConfig, options: Mapping[str, Any], timeout: Callable[..., Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is the pool's of the options of `open_client`, and what the client's.

    :raises UsageError: one has no effect on a client over this pool, or `config` is no `PoolConfig`.
    """
    expect(config, PoolConfig, "config")
    for name in options.keys() & _UNHEEDED.keys():
        raise UsageError(f"the option {name!r} has no effect here: use {_UNHEEDED[name]}")
    limits = config.limits
    seconds = {"connect": limits.connection, "read": limits.read, "write": limits.write, "pool": limits.acquire}
    own = timeout(**{name: None if value == math.inf else value for name, value in seconds.items()})
    of_pool = {name: value for name, value in options.items() if name in _OF_POOL}
    return of_pool, {"timeout": own, **{name: value for name, value in options.items() if name not in _OF_POOL}}
