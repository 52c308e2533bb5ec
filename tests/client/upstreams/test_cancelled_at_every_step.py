"""Cancelled at every step of a request that is retried, fails over, waits or is hedged, nothing stays behind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing

from trio_pool import Client, PoolConfig, Request, TrioPoolError

from ..network import response
from .world import BUSY, OK, Host, World, assert_at_rest, error, turnstile

MANY = 400
HEAD = response(b"", "Content-Type: text/event-stream", length=40)


class CancelAt(trio.abc.Instrument):
    """Cancels before one step of whatever task."""

    def __init__(self, scope: trio.CancelScope, step: int) -> None:
        self._scope = scope
        self._left = step

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self._left -= 1
        if self._left == 0:
            self._scope.cancel()


def retried() -> tuple[World, dict[str, Any]]:
    return World(Host(BUSY, error("x", "429 Slow", "Retry-After: 1"))), {}


def failed_over() -> tuple[World, dict[str, Any]]:
    world = World(Host(BUSY), Host([b""], BUSY), Host())
    return world, {"config": PoolConfig(retry_attempts=4)}


def refused() -> tuple[World, dict[str, Any]]:
    world = World(Host(), Host([HEAD, b'data: {"error": {"code": "server_error"}}\n\n']), Host())
    world.hosts[0].is_down = True
    return world, {}


def hedged() -> tuple[World, dict[str, Any]]:
    return World(Host(otherwise=[]), Host()), {"hedging": True}


def waiting() -> tuple[World, dict[str, Any]]:
    return World(Host()), {}


async def vault() -> str:
    """A key that takes its time."""
    await trio.sleep(0.1)
    return "s3cret"


async def signature(_: Request) -> dict[str, str]:
    """A hook that does."""
    await trio.sleep(0.1)
    return {"x-signature": "mine"}


def signed() -> tuple[World, dict[str, Any]]:
    return World(Host(BUSY), Host(error("x", "429 Slow"))), {"prepare": signature}


STORIES = [retried, failed_over, refused, hedged, waiting, signed]


def options_of(story: Callable[[], Any]) -> list[dict[str, Any]]:
    if story is waiting:
        return [{"requests_per_minute": 1}]
    key = {"key": vault} if story is signed else {}
    return [{"priority": priority, **key} for priority in range(3)]


async def prepare(client: Client, story: Callable[[], Any]) -> None:
    if story is hedged:
        for member in turnstile(client).group.members:
            for _ in range(30):
                member.first_bytes.add(0.5)
    if story is waiting:
        await client.get("/x")


async def ask(client: Client) -> None:
    try:
        async with client.stream("POST", "/x", json={}, retry_unsafe=True) as answer:
            await answer.read()
    except TrioPoolError:
        pass


async def cancelled_at(step: int, act: Callable[[], Awaitable[object]]) -> bool:
    """Whether it came to that step."""
    with trio.CancelScope() as scope:
        instrument = CancelAt(scope, step)
        trio.lowlevel.add_instrument(instrument)
        try:
            await act()
        finally:
            trio.lowlevel.remove_instrument(instrument)
    return instrument._left <= 0


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_nothing_stays_behind(story: Callable[[], Any], autojump_clock: trio.testing.MockClock) -> None:
    for step in range(1, MANY):
        world, options = story()
        async with world.open(
            *options_of(story)[: len(world.hosts)], **{"config": PoolConfig(acquire_timeout=100), **options}
        ) as client:
            await prepare(client, story)
            was_reached = await cancelled_at(step, lambda client=client: ask(client))  # type: ignore[misc]  # mypy infers no defaults
            await trio.testing.wait_all_tasks_blocked()
            assert_at_rest(client)
            world.assert_all_ended()
            await trio.sleep(70)
            for host in world.hosts:
                host.replies.clear()
                host.otherwise = OK
                host.is_down = False
            assert (await client.get("/x")).status_code == 200
            assert_at_rest(client)
        if not was_reached:
            break
    assert 4 < step < MANY - 1, f"{step} steps"
