"""The two libraries, each with its adapter: the tests of the contract run for both."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import attrs
import httpcore
import httpcore2
import httpx
import httpx2

from trio_pool.transports import httpx as over_httpx
from trio_pool.transports import httpx2 as over_httpx2


@attrs.frozen
class Library:
    """One library.

    :ivar api: httpx2 or httpx; `core` its lower half; `adapter` our module for it.
    """

    name: str
    api: Any
    core: Any
    adapter: Any

    def client(self, pool: Any, **options: Any) -> Any:
        """A client over the pool, which is never entered."""
        return self.api.AsyncClient(transport=self.adapter.PoolTransport(pool), **options)


def _of(api: ModuleType, core: ModuleType, adapter: ModuleType) -> Library:
    return Library(api.__name__, api, core, adapter)


LIBRARIES = [_of(httpx2, httpcore2, over_httpx2), _of(httpx, httpcore, over_httpx)]
