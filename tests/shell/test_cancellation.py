"""A request cancelled at its every step, and at every step of anything: nothing may be left behind.

One story has a victim that stands in line behind others, is dialled for (happy eyeballs, TLS), sends a streamed
body through a narrow pipe, receives a body in pieces, and gives its connection back, while a rival stands in line
behind it for the same slot. It is played again and again, under another shuffle each time, with the cancellation
delivered after step 1, 2, 3, … until a play ends before its step has come.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal

import attrs
import pytest
import trio

from trio_pool import Pool, Request, TrioPoolError

from .auditor import Auditor
from .network import Channel, Dialling, MemoryNetwork
from .scheduling import play
from .secure import over_tls
from .servers import Asked, Reply, Server, Step
from .stories import Outcome, counts, fetch, pieces, pool_on

Counted = Literal["the victim's steps", "all steps"]
Hurt = Literal["the request", "the pool"]


class Cancellation(trio.abc.Instrument):
    """Cancels a scope after the k-th step of the victim, or of anybody."""

    def __init__(self, step: int, counted: Counted) -> None:
        self.scope = trio.CancelScope()
        self.victim: trio.lowlevel.Task | None = None
        self.is_on = False
        self.is_done = False
        self._left = step
        self._counted = counted

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        counts_now = self.is_on if self._counted == "all steps" else task is self.victim
        if not counts_now or self.is_done:
            return
        self._left -= 1
        if self._left == 0:
            self.is_done = True
            self.scope.cancel()


@attrs.frozen
class Plot:
    """What the victim does. `scheme` is that of the origin it wants."""

    act: Callable[[Pool, str], Awaitable[None]]
    scheme: str = "http"
    alone: bool = False  # whether nobody else uses the pool
    closes: bool = False  # whether it closes the pool


async def upload(pool: Pool, scheme: str) -> None:
    """A streamed body up, one in pieces down."""
    body = pieces(b"a" * 3000, 0.01, b"b" * 9000, 0.01)
    async with pool.stream(Request("POST", f"{scheme}://a.test/", content=body, headers={"nonce": "v"})) as response:
        received = [piece async for piece in response.iter_bytes()]
    assert b"".join(received).startswith(b"v:")


async def again(pool: Pool, scheme: str) -> None:
    """One request, and one more on its connection, which the server ends: a redial."""
    for path in ("/", "/vanish"):
        assert await fetch(pool, Request("GET", f"{scheme}://a.test{path}", headers={"nonce": "v"})) == b"v:"


async def leave_early(pool: Pool, scheme: str) -> None:
    """A response that is left before its end, then another request."""
    async with pool.stream(Request("GET", f"{scheme}://a.test/", headers={"nonce": "v"})):
        pass
    await fetch(pool, Request("GET", f"{scheme}://a.test/", headers={"nonce": "v"}))


async def experiment(pool: Pool, scheme: str) -> None:
    """A lease with two exchanges."""
    request = Request("GET", f"{scheme}://a.test/", headers={"nonce": "v"})
    async with pool.lease(request.origin) as connection:
        for _ in range(2):
            exchange = await connection.exchange(request)
            assert b"".join(await exchange.receive_all()) == b"v:"


async def prewarm(pool: Pool, scheme: str) -> None:
    """A dial for later."""
    await pool.prewarm(f"{scheme}://a.test", 1)


async def drain(pool: Pool, scheme: str) -> None:
    """A drain beside requests that are dialled for, under way, and in line."""
    outcomes = [Outcome() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        for outcome, name in zip(outcomes, ("b", "a", "b"), strict=True):
            request = Request("GET", f"{scheme}://{name}.test/", headers={"nonce": "v"})
            nursery.start_soon(outcome.of, fetch, pool, request)
            await trio.sleep(0.04)
        await pool.drain(0.5)
    assert all(outcome.error is None or isinstance(outcome.error, TrioPoolError) for outcome in outcomes)


PLOTS = {
    "upload": Plot(upload),
    "upload over TLS": Plot(upload, "https"),
    "stale": Plot(again),
    "left early": Plot(leave_early),
    "lease": Plot(experiment),
    "lease over TLS": Plot(experiment, "https"),
    "prewarm": Plot(prewarm, alone=True),
    "drain": Plot(drain, alone=True, closes=True),
}


def build(network: MemoryNetwork, scheme: str) -> None:
    """Host a has a first address that never answers, and reads slowly; host b is simple."""

    async def slowly(channel: Channel) -> None:
        await Server(answer)(Slow(channel))

    host = network.serve(
        "a.test",
        over_tls(slowly) if scheme == "https" else slowly,
        addresses=["2001:db8::1", "10.0.0.1"],
        capacity=4096,
    )
    host.resolving, host.dialling = Dialling(0.05), Dialling(0.1)
    host.by_address["2001:db8::1"] = Dialling(math.inf)
    network.serve("b.test", Server(answer))
    network.shreds = True


def answer(asked: Asked) -> Reply | None:
    """The nonce, in pieces; a reused connection is ended where the path says so."""
    if asked.target == "/vanish" and asked.number > 1:
        return None
    body: list[Step] = [asked.headers.get("nonce", "").encode(), 0.05, b":"]
    if asked.body:
        body += [0.05, b"x" * 3000]
    return Reply(delay=0.05, body=body)


class Slow:
    """A channel that takes its time to receive."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.send_all, self.send_eof = channel.send_all, channel.send_eof
        self.reset, self.close = channel.reset, channel.close

    async def receive(self, max_bytes: int = 1024) -> bytes:
        await trio.sleep(0.001)
        return await self._channel.receive(1024)


async def perform(network: MemoryNetwork, plot: Plot, hurt: Hurt, cancellation: Cancellation, auditor: Auditor) -> None:
    """Play the story, with the cancellation in it. Raises if anything is left behind."""
    build(network, plot.scheme)
    outer = cancellation.scope if hurt == "the pool" else trio.CancelScope()
    with outer:
        async with pool_on(
            network, tls=plot.scheme == "https", max_connections=1, keepalive_timeout=None, acquire_timeout=60
        ) as pool:
            auditor.watch(pool, network)
            rival_is_served = trio.Event()
            async with trio.open_nursery() as nursery:
                if not plot.alone:
                    nursery.start_soon(hold, pool)
                    nursery.start_soon(compete, pool, plot.scheme, rival_is_served)
                nursery.start_soon(suffer, pool, plot, cancellation if hurt == "the request" else None)
                cancellation.is_on = True
            cancellation.is_on = False
            assert plot.alone or rival_is_served.is_set()
            if not plot.closes:
                await afterwards(pool, plot)
    assert not pool._nursery.child_tasks
    leased, idle, dialling, closing, waiting = counts(pool)
    assert (leased, idle, dialling, closing, waiting) == (0, 0, 0, 0, 0)
    auditor.verdict()


async def afterwards(pool: Pool, plot: Plot) -> None:
    """Nothing is leased and nobody waits; what is dialled comes into the pool; the slot is there to be used."""
    leased, _, _, closing, waiting = counts(pool)
    assert (leased, closing, waiting) == (0, 0, 0)
    await trio.sleep(10)
    assert counts(pool)[2] == 0
    await fetch(pool, Request("GET", f"{plot.scheme}://a.test/", headers={"nonce": "z"}))
    await fetch(pool, Request("GET", "http://b.test/"))


async def hold(pool: Pool) -> None:
    """Have the only slot first, and stand in line for it once more."""
    for _ in range(2):
        async with pool.stream(Request("GET", "http://b.test/")) as response:
            await trio.sleep(0.5)
            await response.read()


async def suffer(pool: Pool, plot: Plot, cancellation: Cancellation | None) -> None:
    """Be the victim."""
    if not plot.alone:
        await trio.sleep(0.1)
    if cancellation is None:
        return await plot.act(pool, plot.scheme)
    cancellation.victim = trio.lowlevel.current_task()
    with cancellation.scope:
        await plot.act(pool, plot.scheme)
    cancellation.victim = None


async def compete(pool: Pool, scheme: str, is_served: trio.Event) -> None:
    """Want the slot too, later than the victim, and get it."""
    await trio.sleep(0.2)
    assert await fetch(pool, Request("GET", f"{scheme}://a.test/", headers={"nonce": "r"})) == b"r:"
    is_served.set()


def play_every_step(plot: Plot, counted: Counted, hurt: Hurt, stride: int = 1) -> int:
    """Play the story until it ends before its step; the number of plays."""
    step = 0
    while True:
        step += stride
        cancellation, auditor = Cancellation(step, counted), Auditor()
        story = partial(perform, plot=plot, hurt=hurt, cancellation=cancellation, auditor=auditor)
        try:
            play(story, seed=step, instruments=[cancellation, auditor])
        except BaseException as error:
            error.add_note(f"cancelled after step {step}, {counted}")
            raise
        if not cancellation.is_done:
            return step


@pytest.mark.parametrize("name", PLOTS)
def test_a_request_cancelled_after_each_of_its_steps_leaves_nothing_behind(name: str) -> None:
    assert play_every_step(PLOTS[name], "the victim's steps", "the request") > 2


@pytest.mark.parametrize("name", PLOTS)
def test_a_request_cancelled_after_each_step_of_anybody_leaves_nothing_behind(name: str) -> None:
    assert play_every_step(PLOTS[name], "all steps", "the request") > 10


@pytest.mark.parametrize("name", PLOTS)
def test_a_pool_cancelled_after_each_step_of_anybody_leaves_nothing_behind(name: str) -> None:
    assert play_every_step(PLOTS[name], "all steps", "the pool") > 10
