"""Law 5 on real sockets: a fast body neither starves other tasks nor escapes a cancellation.

Nothing here looks at a clock to judge: progress is counted in pieces, bytes, and turns of other tasks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
import trio

from trio_pool import Client
from trio_pool.bodies import BodyIterator
from trio_pool.response import Response

from .servers import KINDS, Fleet, Server

TURN_BYTES = 262_144
"""Bytes within which other tasks must have had a turn."""

TAKES: dict[str, Callable[[Response], BodyIterator[bytes] | BodyIterator[str]]] = {
    "bytes": Response.iter_bytes,
    "raw": Response.iter_raw,
}


@pytest.fixture
def server(fleet: Fleet) -> Server:
    """One that is fast: what is tested here is the client."""
    return fleet["granian" if "granian" in KINDS else KINDS[0]]


class Turns:
    """Counts the turns that another task gets."""

    def __init__(self) -> None:
        self.count = 0

    async def run(self) -> None:
        """Take a turn whenever there is one."""
        while True:
            await trio.lowlevel.checkpoint()
            self.count += 1


def quick(piece: bytes | str) -> None:
    """A consumer that costs nothing."""


def slow(piece: bytes | str) -> None:
    """A consumer that works some milliseconds on each piece without letting go."""
    data = piece if isinstance(piece, bytes) else piece.encode()
    for _ in range(max(1, 4_000_000 // (len(data) + 1))):
        hashlib.sha256(data)


@pytest.mark.parametrize("take", TAKES)
async def test_others_get_their_turn_beside_a_fast_body(client: Client, take: str) -> None:
    turns, size = Turns(), 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        async with client.stream("GET", "/endless") as response:
            before = turns.count
            async for piece in TAKES[take](response):
                size += len(piece)
                if size > 20_000_000:
                    break
        assert turns.count - before >= size // TURN_BYTES
        nursery.cancel_scope.cancel()


async def test_others_get_their_turn_beside_a_slow_consumer(client: Client) -> None:
    turns, pieces = Turns(), 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        async with client.stream("GET", "/endless") as response:
            before = turns.count
            async for piece in response.iter_bytes():
                slow(piece)
                pieces += 1
                if pieces == 20:
                    break
        assert turns.count - before >= pieces - 2  # all but the first and the last took more than a millisecond
        nursery.cancel_scope.cancel()


async def test_others_get_their_turn_beside_a_body_read_whole(client: Client) -> None:
    turns, size = Turns(), 20_000_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(turns.run)
        async with client.stream("GET", f"/bytes?size={size}") as response:
            before = turns.count
            assert len(await response.read()) == size
        assert turns.count - before >= size // TURN_BYTES
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("consume", [quick, slow])
async def test_a_cancellation_lets_no_piece_pass_but_one_that_was_there(
    client: Client, consume: Callable[[bytes | str], None]
) -> None:
    scope, started, after = trio.CancelScope(), trio.Event(), 0

    async def take() -> None:
        nonlocal after
        with scope:
            async with client.stream("GET", "/endless") as response:
                started.set()
                async for piece in response.iter_bytes():
                    consume(piece)
                    after += scope.cancel_called

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await started.wait()
        for _ in range(50):
            await trio.lowlevel.checkpoint()
        scope.cancel()
    assert after <= 1  # trio cancels no wait whose socket has become readable in the same turn
    figures = client.pool.statistics()
    assert (figures.leased, figures.idle, figures.evictions.get("unusable")) == (0, 0, 1)
    assert (await client.get("/status/200")).content == b"status"


@pytest.mark.parametrize("consume", [quick, slow])
async def test_a_deadline_reaches_a_consumer_at_its_next_turn(
    client: Client, consume: Callable[[bytes | str], None]
) -> None:
    late = 0
    with trio.move_on_after(0.05) as scope:
        async with client.stream("GET", "/endless") as response:
            async for piece in response.iter_bytes():
                late += len(piece) if trio.current_time() > scope.deadline else 0
                assert late <= TURN_BYTES
                consume(piece)
    assert scope.cancelled_caught
    assert (await client.get("/status/200")).content == b"status"


async def test_a_response_is_closed_from_another_task(client: Client) -> None:
    """The reader learns of it by an error, and at once."""
    outcome: list[BaseException] = []

    async def take(response: Response) -> None:
        try:
            async for _ in response.iter_bytes():
                pass
        except trio.Cancelled:
            raise
        except Exception as error:
            outcome.append(error)

    async with client.stream("GET", "/endless") as response, trio.open_nursery() as nursery:
        nursery.start_soon(take, response)
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        response.close()
    assert [type(error).__name__ for error in outcome] == ["ReadError"]
