"""Plays stories in virtual time, with the scheduler shuffled by a seed that repeats a history."""

from __future__ import annotations

import inspect
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Concatenate, ParamSpec, TypeVar

import outcome
import trio

from trio_pool.simulate.world.scheduling import VirtualClock, run

from .network import MemoryNetwork

T = TypeVar("T")
P = ParamSpec("P")

PATIENCE = 100_000.0
"""Virtual seconds after which a run counts as hung."""

STEPS = 100_000
"""Task steps after which a run counts as turning in circles."""

SEEDS = (0, 1, 2)
"""The shuffles that each test of a single story is played under."""


def play(
    story: Callable[[MemoryNetwork], Awaitable[T]],
    *,
    seed: int = 0,
    instruments: Sequence[trio.abc.Instrument] = (),
) -> T:
    """Run the story on a network of its own, in virtual time. Nothing may be open on the network at its end."""
    patience = Patience()
    return run(partial(_play, story, seed, patience), seed=seed, instruments=[patience, *instruments])


class Patience(trio.abc.Instrument):
    """Ends a run that takes too many steps: time need not pass in it."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self._left = STEPS

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self._left -= 1
        if self._left == 0:
            self.scope.cancel()


async def _play(story: Callable[[MemoryNetwork], Awaitable[T]], seed: int, patience: Patience) -> T:
    result: outcome.Outcome[T] | None = None
    patience.scope.deadline = trio.current_time() + PATIENCE
    with patience.scope:
        async with trio.open_nursery() as nursery:
            network = MemoryNetwork(nursery, random.Random(seed))
            result = await outcome.acapture(story, network)
            await trio.lowlevel.checkpoint_if_cancelled()
            nursery.cancel_scope.cancel()
    assert not patience.scope.cancelled_caught, f"the story did not end within {PATIENCE:g} s and {STEPS} steps"
    assert result is not None
    told = result.unwrap()
    assert network.open == 0, f"{network.open} streams are open at the end"
    return told


def virtual(story: Callable[Concatenate[MemoryNetwork, P], Awaitable[None]]) -> Callable[P, None]:
    """A test from a story: it is played under each of `SEEDS`. What it takes beside the network are parameters."""

    def test(*args: P.args, **kwargs: P.kwargs) -> None:
        for seed in SEEDS:
            play(lambda network: story(network, *args, **kwargs), seed=seed)

    signature = inspect.signature(story)
    test.__name__, test.__doc__, test.__module__ = story.__name__, story.__doc__, story.__module__
    test.__signature__ = signature.replace(  # type: ignore[attr-defined]  # pytest looks here for parameters
        parameters=list(signature.parameters.values())[1:], return_annotation=None
    )
    return test


async def settle() -> None:
    """Wait until nothing moves any more but by time."""
    await trio.testing.wait_all_tasks_blocked()


def virtual_clock() -> VirtualClock:
    """The clock of the run."""
    clock: Any = trio.lowlevel.current_clock()
    assert isinstance(clock, VirtualClock)
    return clock
