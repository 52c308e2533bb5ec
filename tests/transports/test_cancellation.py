"""A request over the transport, cancelled at its every step and at every step of anybody: nothing is left behind.

The story is that of the pool's own tests (`shell/test_cancellation.py`), in memory and in virtual time; its victim
comes through each library.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio

from trio_pool import Pool

from ..shell.stories import pieces
from ..shell.test_cancellation import Plot, play_every_step
from .libraries import LIBRARIES, Library

# A library's own generators, and with httpx a caller's, may be left to the garbage collector where a request is cut.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator '(httpx2?|tests\\.shell)\\.:ResourceWarning")

HEADERS = {"nonce": "v"}


async def upload(library: Library, pool: Pool, scheme: str) -> None:
    """A body in pieces up, and one in pieces down."""
    body = pieces(b"a" * 3000, 0.01, b"b" * 9000, 0.01)
    client = library.client(pool, timeout=None)
    async with client.stream("POST", f"{scheme}://a.test/", content=body, headers=HEADERS) as response:
        received = [piece async for piece in response.aiter_bytes()]
    assert b"".join(received).startswith(b"v:")


async def again(library: Library, pool: Pool, scheme: str) -> None:
    """One request, and one more on its connection, which the server ends: a redial."""
    for path in ("/", "/vanish"):
        response = await library.client(pool, timeout=None).get(f"{scheme}://a.test{path}", headers=HEADERS)
        assert response.content == b"v:"


async def leave_early(library: Library, pool: Pool, scheme: str) -> None:
    """A response that is left before its end, then another request."""
    client = library.client(pool, timeout=None)
    async with client.stream("GET", f"{scheme}://a.test/", headers=HEADERS) as response:
        async for _ in response.aiter_raw():
            break
    await client.get(f"{scheme}://a.test/", headers=HEADERS)


async def traced(library: Library, pool: Pool, scheme: str) -> None:
    """A request of which everything is told, twice: the second time its connection has gone."""

    async def callback(_name: str, _payload: dict[str, Any]) -> None:
        await trio.lowlevel.checkpoint()

    client = library.client(pool, timeout=None)
    for path in ("/", "/vanish"):
        response = await client.get(f"{scheme}://a.test{path}", headers=HEADERS, extensions={"trace": callback})
        assert response.content == b"v:"


Act = Callable[[Library, Pool, str], Awaitable[None]]
ACTS: list[tuple[Act, str]] = [
    (upload, "http"),
    (again, "http"),
    (leave_early, "https"),
    (traced, "http"),
    (traced, "https"),
]


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
@pytest.mark.parametrize(("act", "scheme"), ACTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_request_cancelled_after_each_of_its_steps_leaves_nothing_behind(
    library: Library, act: Act, scheme: str
) -> None:
    plot = Plot(partial(act, library), scheme)
    assert play_every_step(plot, "the victim's steps", "the request") > 2


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
@pytest.mark.parametrize(("act", "scheme"), ACTS, ids=lambda value: getattr(value, "__name__", value))
def test_a_request_cancelled_after_each_step_of_anybody_leaves_nothing_behind(
    library: Library, act: Act, scheme: str
) -> None:
    plot = Plot(partial(act, library), scheme)
    assert play_every_step(plot, "all steps", "the request", stride=3) > 10
