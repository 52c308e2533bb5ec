"""A dial that is cut at whatever stage: it ends, says so in time, and leaves no socket."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_pool import ConnectTimeout, PoolClosed, PoolConfig, open_client

from .peers import Visit, Wires, answer_all, serving

CONFIG = PoolConfig(retry_attempts=1, max_connections=2, max_connections_per_host=2, connection_timeout=5.0)

CONSENT = b"HTTP/1.1 200 Connected\r\n\r\n"


@attrs.define
class Staged:
    """A proxy that stops at one stage of a dial, and goes on when it is told to.

    :ivar reached: set when it has stopped; whatever is to be sent at that stage has been sent.
    :ivar go_on: whether to go on.
    """

    showing: ssl.SSLContext
    reached: trio.Event = attrs.Factory(trio.Event)
    go_on: trio.Event = attrs.Factory(trio.Event)

    async def stop(self) -> None:
        self.reached.set()
        await self.go_on.wait()


Stage = Callable[[Staged, Visit], Awaitable[None]]


async def asked(stage: Staged, visit: Visit) -> None:
    await visit.head()
    await stage.stop()
    await visit.send(CONSENT)
    await visit.secure(stage.showing)
    await answer_all(visit)


async def half_answered(stage: Staged, visit: Visit) -> None:
    await visit.head()
    await visit.send(CONSENT[:10])
    await stage.stop()
    await visit.send(CONSENT[10:])
    await visit.secure(stage.showing)
    await answer_all(visit)


async def inner_handshake_not_begun(stage: Staged, visit: Visit) -> None:
    await visit.head()
    await visit.send(CONSENT)
    await stage.stop()
    await visit.secure(stage.showing)
    await answer_all(visit)


async def outer_handshake_not_begun(stage: Staged, visit: Visit) -> None:
    await stage.stop()
    await visit.secure(stage.showing)
    await inner_handshake_in_tls(stage, visit)


async def asked_over_tls(stage: Staged, visit: Visit) -> None:
    await visit.secure(stage.showing)
    await visit.head()
    await stage.stop()
    await visit.send(CONSENT)
    await visit.secure(stage.showing)
    await answer_all(visit)


async def inner_handshake_in_tls(stage: Staged, visit: Visit) -> None:
    if not stage.reached.is_set():
        await visit.secure(stage.showing)
    await visit.head()
    await visit.send(CONSENT)
    await stage.stop()
    await visit.secure(stage.showing)
    await answer_all(visit)


async def greeted(stage: Staged, visit: Visit) -> None:
    await visit.exactly(4)
    await stage.stop()
    await visit.send(b"\x05\x00")
    await connect_by_socks(stage, visit)


async def authenticating(stage: Staged, visit: Visit) -> None:
    await visit.exactly(4)
    await visit.send(b"\x05\x02")
    await visit.exactly(5)
    await stage.stop()
    await visit.send(b"\x01\x00")
    await connect_by_socks(stage, visit)


async def half_connected(stage: Staged, visit: Visit) -> None:
    await visit.exactly(4)
    await visit.send(b"\x05\x00")
    await visit.exactly(4 + 1 + len("origin.test") + 2)
    await visit.send(b"\x05\x00\x00")
    await stage.stop()
    await visit.send(b"\x01" + bytes(6))
    await visit.secure(stage.showing)
    await answer_all(visit)


async def connect_by_socks(stage: Staged, visit: Visit) -> None:
    await visit.exactly(4 + 1 + len("origin.test") + 2)
    await visit.send(b"\x05\x00\x00\x01" + bytes(6))
    await visit.secure(stage.showing)
    await answer_all(visit)


STAGES: dict[Stage, str] = {
    asked: "http",
    half_answered: "http",
    inner_handshake_not_begun: "http",
    outer_handshake_not_begun: "https",
    asked_over_tls: "https",
    inner_handshake_in_tls: "https",
    greeted: "socks5",
    authenticating: "socks5",
    half_connected: "socks5",
}

every_stage = pytest.mark.parametrize("stage", STAGES)


def proxy_url(stage: Stage, port: int) -> str:
    return f"{STAGES[stage]}://a:b@proxy.test:{port}"


@every_stage
async def test_a_proxy_that_falls_silent_is_a_connect_timeout(
    stage: Stage, showing: ssl.SSLContext, trusting: ssl.SSLContext, mock_clock: MockClock
) -> None:
    wires, errors = Wires(), list[ConnectTimeout]()

    async with (
        serving(lambda visit: stage(stages[-1], visit)) as proxy,
        open_client(CONFIG, proxy=proxy_url(stage, proxy.port), tls=trusting, network=wires) as client,
    ):

        async def ask() -> None:
            with pytest.raises(ConnectTimeout) as caught:
                await client.get("https://origin.test/")
            errors.append(caught.value)

        stages = list[Staged]()
        for _ in range(3):  # more often than there are slots
            stages.append(Staged(showing))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await stages[-1].reached.wait()
                await wait_all_tasks_blocked()
                mock_clock.jump(4.9)
                await wait_all_tasks_blocked()
                assert wires.open == 1
                mock_clock.jump(0.2)
            assert wires.open == 0
        stages.append(Staged(showing))
        stages[-1].go_on.set()
        response = await client.get("https://origin.test/x")
        assert response.content == b"GET /x HTTP/1.1"
    assert wires.open == 0
    for error in errors:
        assert f"by {STAGES[stage]}://proxy.test:{proxy.port}" in str(error)
        assert "connection_timeout" in error.advice


@every_stage
async def test_leaving_the_pool_in_the_middle_of_a_dial_leaves_no_socket(
    stage: Stage, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    wires, staged = Wires(), Staged(showing)
    async with serving(lambda visit: stage(staged, visit)) as proxy, trio.open_nursery() as nursery:
        async with open_client(CONFIG, proxy=proxy_url(stage, proxy.port), tls=trusting, network=wires) as client:

            async def ask() -> None:
                with pytest.raises(PoolClosed):
                    await client.get("https://origin.test/")

            nursery.start_soon(ask)
            await staged.reached.wait()
            await wait_all_tasks_blocked()
            assert wires.open == 1
        assert wires.open == 0


@every_stage
async def test_a_dial_whose_requester_went_away_finishes_into_the_pool(
    stage: Stage, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    wires, staged = Wires(), Staged(showing)
    async with (
        serving(lambda visit: stage(staged, visit)) as proxy,
        open_client(CONFIG, proxy=proxy_url(stage, proxy.port), tls=trusting, network=wires) as client,
    ):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, "https://origin.test/")
            await staged.reached.wait()
            nursery.cancel_scope.cancel()
        staged.go_on.set()
        response = await client.get("https://origin.test/x")
        assert response.content == b"GET /x HTTP/1.1"
        assert len(proxy.visits) == 1
        assert client.pool.statistics().dials == 1
    assert wires.open == 0
