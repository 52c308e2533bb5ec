"""The connection pool for trio: an HTTP/1.1 client whose pool is bounded, visible and proven.

`open_client` for requests, `open_pool` for the pool itself; every error stands under `TrioPoolError`.
"""

from __future__ import annotations

import importlib as _importlib
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ._core.figures import OriginStatistics, PoolStatistics
from ._net.network import Network, SystemNetwork, only_public
from ._net.streams import Stream
from ._version import __version__
from .client import Client, open_client
from .config import PoolConfig, Timeouts
from .errors import (
    AddressRefused,
    CertificateRefused,
    ConnectError,
    ConnectTimeout,
    DecodingError,
    LimitExceeded,
    LocalProtocolError,
    PoolClosed,
    PoolFull,
    PoolTimeout,
    ProxyError,
    QuotaExceeded,
    RateLimited,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    StatusError,
    StreamFailed,
    StreamIncomplete,
    TLSError,
    TooManyRedirects,
    TotalTimeout,
    TrioPoolError,
    UnsupportedProtocol,
    UsageError,
    WriteError,
    WriteTimeout,
)
from .events import InterimResponse
from .headers import Headers
from .messages import Request, Timings
from .pool import Pool, open_pool
from .response import Response
from .sse import ServerSentEvent
from .strategy import RetryStrategy
from .urls import Origin

if _TYPE_CHECKING:
    from .providers import Provider
    from .upstreams import Upstream

_LATE = {"Provider": "providers", "Upstream": "upstreams"}
"""What few programs need, by the module that has it: imported when somebody asks."""


def __getattr__(name: str) -> _Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_importlib.import_module(f".{_LATE[name]}", __name__), name)


__all__ = [
    "AddressRefused",
    "CertificateRefused",
    "Client",
    "ConnectError",
    "ConnectTimeout",
    "DecodingError",
    "Headers",
    "InterimResponse",
    "LimitExceeded",
    "LocalProtocolError",
    "Network",
    "Origin",
    "OriginStatistics",
    "Pool",
    "PoolClosed",
    "PoolConfig",
    "PoolFull",
    "PoolStatistics",
    "PoolTimeout",
    "Provider",
    "ProxyError",
    "QuotaExceeded",
    "RateLimited",
    "ReadError",
    "ReadTimeout",
    "RemoteProtocolError",
    "Request",
    "Response",
    "RetryStrategy",
    "ServerSentEvent",
    "StatusError",
    "Stream",
    "StreamFailed",
    "StreamIncomplete",
    "SystemNetwork",
    "TLSError",
    "Timeouts",
    "Timings",
    "TooManyRedirects",
    "TotalTimeout",
    "TrioPoolError",
    "UnsupportedProtocol",
    "Upstream",
    "UsageError",
    "WriteError",
    "WriteTimeout",
    "__version__",
    "only_public",
    "open_client",
    "open_pool",
]
