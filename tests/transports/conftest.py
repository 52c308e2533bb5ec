"""What the tests of the transports share."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from trio_pool import Pool, PoolConfig, open_pool

from ..providers.server import Provider, open_provider
from .libraries import LIBRARIES, Library


@pytest.fixture(params=LIBRARIES, ids=lambda library: library.name)
def library(request: pytest.FixtureRequest) -> Library:
    """Each library in turn, with its adapter."""
    found: Library = request.param
    return found


@pytest.fixture
async def provider() -> AsyncGenerator[Provider]:
    """The providers' server."""
    async with open_provider() as provider:
        yield provider


@pytest.fixture
async def pool() -> AsyncGenerator[Pool]:
    """A pool of a few connections; after the test nothing is leased, nothing waits."""
    async with open_pool(PoolConfig(max_connections=4, max_connections_per_host=4)) as pool:
        yield pool
        figures = pool.statistics()
        assert (figures.leased, figures.waiting, figures.dialling) == (0, 0, 0)
        assert figures.leaks == 0
