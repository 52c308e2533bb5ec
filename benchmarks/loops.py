"""The few things that the measurements need of an event loop, for trio and for asyncio alike."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeVar

import trio

T = TypeVar("T")
Act = Callable[[], Awaitable[Any]]


class Loop(Protocol):
    """An event loop."""

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a program to its end."""

    async def together(self, acts: list[Act]) -> None:
        """Do these side by side, until all are done; the first error ends them."""

    async def within(self, seconds: float, act: Act) -> bool:
        """Do this, cancelled after some time; whether it came to its end."""


class TrioLoop:
    """trio."""

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return trio.run(main)

    async def together(self, acts: list[Act]) -> None:
        async with trio.open_nursery() as nursery:
            for act in acts:
                nursery.start_soon(act)

    async def within(self, seconds: float, act: Act) -> bool:
        with trio.move_on_after(seconds) as scope:
            await act()
        return not scope.cancelled_caught


class AsyncioLoop:
    """asyncio."""

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(main())

    async def together(self, acts: list[Act]) -> None:
        async with asyncio.TaskGroup() as group:
            for act in acts:
                group.create_task(_coroutine(act))

    async def within(self, seconds: float, act: Act) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await act()
        except TimeoutError:
            return False
        return True


async def _coroutine(act: Act) -> None:
    await act()


LOOPS: dict[str, Loop] = {"trio": TrioLoop(), "asyncio": AsyncioLoop()}
