"""Each fault as the real client sees it: the right error, and what it does about it."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import trio

from trio_pool import ConnectError, ConnectTimeout, PoolConfig, ReadError, ReadTimeout, RemoteProtocolError, UsageError
from trio_pool.errors import TrioPoolError
from trio_pool.simulate.traffic.demands import Demand
from trio_pool.simulate.world.faults import (
    Blackhole,
    Fault,
    FinWhileIdle,
    HalfClose,
    Refuse,
    ResetAt,
    SlowResolve,
    Stall,
    Surplus,
)
from trio_pool.simulate.world.provider import VirtualProvider

from .world import World, headers, play

FAR = VirtualProvider(round_trip=0.1)
STREAMED = Demand(0.5, tokens=200, seconds_per_token=0.01)


def error_of(*faults: Fault, demand: Demand = STREAMED, provider: VirtualProvider = FAR) -> Any:
    """What a request ends with, and when."""

    async def story(world: World) -> tuple[type, float]:
        with pytest.raises(TrioPoolError) as caught:
            await world.ask(demand)
        await trio.sleep(1)  # what was sent has arrived
        assert world.server().busy == 0, "a place is not free"
        return type(caught.value), trio.current_time() - 1

    return play(story, provider, faults=faults)


def test_a_refused_dial() -> None:
    assert error_of(Refuse()) == (ConnectError, pytest.approx(0.1))


def test_a_dial_into_a_black_hole() -> None:
    assert error_of(Blackhole()) == (ConnectTimeout, pytest.approx(5.0))


def test_a_name_that_resolves_too_slowly_and_one_that_does_so_in_time() -> None:
    async def story(world: World) -> float | None:
        return (await world.ask()).timings.dialled

    assert error_of(SlowResolve(seconds=6)) == (ConnectTimeout, pytest.approx(5.0))
    provider = VirtualProvider(round_trip=0.1, resolve_seconds=0.2)
    assert play(story, provider, faults=(SlowResolve(seconds=2),)) == pytest.approx(2.3)
    assert play(story, provider) == pytest.approx(0.3)


def test_a_reset_before_the_answer() -> None:
    assert error_of(ResetAt()) == (ReadError, pytest.approx(0.1 + 0.1 + 0.5))


def test_a_reset_in_the_middle_of_an_answer() -> None:
    async def story(world: World) -> int:
        received = 0
        with pytest.raises(ReadError):
            async with world.client.stream("GET", "/", headers=headers(STREAMED)) as response:
                async for piece in response.iter_bytes():
                    received += len(piece)
        assert world.server().dropped == 1
        return received

    assert 0 < play(story, FAR, faults=(ResetAt(byte=500),)) < 500


def test_an_end_before_the_answer_and_in_the_middle_of_it() -> None:
    assert error_of(HalfClose())[0] is RemoteProtocolError
    assert error_of(HalfClose(byte=500))[0] is RemoteProtocolError


def test_a_server_that_ends_an_answer_is_done_with_it() -> None:
    async def story(world: World) -> None:
        with pytest.raises(RemoteProtocolError):
            await world.ask(STREAMED)
        assert (world.server().busy, world.server().connections) == (0, 1), "it has not heard of the client yet"

    play(story, FAR, faults=(HalfClose(byte=500),))


def test_a_stream_that_stalls() -> None:
    assert error_of(Stall()) == (ReadTimeout, pytest.approx(0.1 + 30))
    error, when = error_of(Stall(byte=500))
    assert error is ReadTimeout
    assert 30.7 < when < 30.7 + STREAMED.tokens * STREAMED.seconds_per_token


def test_a_stream_that_stalls_for_a_while_comes_whole() -> None:
    async def story(world: World) -> tuple[bytes, float, int]:
        response = await world.ask(STREAMED)
        now = trio.current_time()
        await world.ask()
        return response.content, now, world.network.connected

    whole, when, _ = play(story, FAR)
    stalled, later, connections = play(story, FAR, faults=(Stall(byte=500, seconds=20, end=1),))
    assert (stalled, connections) == (whole, 1)
    assert when < 5 < 20 < later < when + 20


def test_an_answer_that_stalls_is_not_cut_by_the_time_for_idle_connections() -> None:
    async def story(world: World) -> float:
        await world.ask(STREAMED)
        return trio.current_time()

    provider = VirtualProvider(keepalive_timeout=5.0)
    assert 20 < play(story, provider, faults=(Stall(byte=500, seconds=20),)) < 22


def test_a_fault_beyond_the_end_of_an_answer_spares_it() -> None:
    async def story(world: World) -> int:
        return (await world.ask()).status_code

    for fault in (ResetAt(byte=10_000), HalfClose(byte=10_000), Stall(byte=10_000)):
        assert play(story, faults=(fault,)) == 200


@pytest.mark.parametrize("fault", [FinWhileIdle(), FinWhileIdle(after=1), Surplus(), Surplus(after=1)], ids=repr)
def test_a_connection_that_died_while_idle_is_not_used_again(fault: Fault) -> None:
    async def story(world: World) -> tuple[int, int]:
        for _ in range(3):
            assert (await world.ask()).status_code == 200
            await trio.sleep(2)
        return world.network.connected, world.client.pool.statistics().stale_retries

    assert play(story, FAR, faults=(fault,)) == (3, 0)


def test_surplus_bytes_are_there_to_be_read_and_then_the_end() -> None:
    async def story(world: World) -> list[bytes]:
        (address,) = await world.network.resolve("provider.test", 80)
        stream = await world.network.connect(address)
        stream.send_nowait(b"GET / HTTP/1.1\r\nHost: provider.test\r\n\r\n")
        await trio.sleep(5)
        received = [stream.recv_nowait(65536) for _ in range(2)]
        stream.close()
        return received

    answer, end = play(story, FAR, faults=(Surplus(after=1),))
    assert (answer.count(b"HTTP/1.1 200 "), answer.count(b"HTTP/1.1 408 "), end) == (1, 1, b"")


def test_a_connection_that_is_asked_again_in_time_is_spared() -> None:
    async def story(world: World) -> int:
        for _ in range(5):
            await world.ask()
            await trio.sleep(0.5)
        return world.network.connected

    for fault in (FinWhileIdle(after=1), Surplus(after=1)):
        assert play(story, FAR, faults=(fault,)) == 1


def test_an_end_that_crosses_with_a_request_is_tried_again() -> None:
    async def story(world: World) -> tuple[int, int, int]:
        for _ in range(2):
            assert (await world.ask()).status_code == 200
        return world.network.connected, world.client.pool.statistics().stale_retries, world.server().requests

    assert play(story, FAR, faults=(FinWhileIdle(after=0.07),)) == (2, 1, 2)


# ---- when, whom, how often ----


def refused_at(*faults: Fault, providers: tuple[str, ...] = ("provider",), seed: int = 0) -> list[tuple[int, str]]:
    """The seconds of a minute in which a dial was refused, and whose."""

    async def story(world: World) -> list[tuple[int, str]]:
        found = []
        for second in range(60):
            for name in providers:
                try:
                    await world.ask(url=f"http://{name}.test/")
                except ConnectError:
                    found.append((second, name))
            await trio.sleep_until(second + 1)
        return found

    config = PoolConfig(retry_attempts=1, max_requests_per_connection=1)
    return play(story, *[VirtualProvider(name) for name in providers], faults=faults, seed=seed, config=config)


def test_a_fault_has_a_window() -> None:
    assert refused_at(Refuse(start=10, end=13)) == [(10, "provider"), (11, "provider"), (12, "provider")]


def test_a_fault_may_be_for_one_provider() -> None:
    assert {name for _, name in refused_at(Refuse(provider="b"), providers=("a", "b"))} == {"b"}


def test_a_fault_strikes_by_chance_and_a_seed_repeats_it() -> None:
    faults = Refuse(probability=0.3)
    counts = [len(refused_at(faults, seed=seed)) for seed in range(5)]
    assert all(5 < count < 35 for count in counts), counts
    assert refused_at(faults, seed=1) == refused_at(faults, seed=1) != refused_at(faults, seed=2)
    assert refused_at(Refuse(probability=0.0)) == []


def test_the_first_fault_that_strikes_is_the_only_one() -> None:
    assert error_of(ResetAt(), HalfClose())[0] is ReadError
    assert error_of(HalfClose(), ResetAt())[0] is RemoteProtocolError


def test_faults_of_one_moment_leave_the_chance_of_others_alone() -> None:
    with_more = refused_at(Refuse(probability=0.3), Stall(probability=0.5, seconds=0.001))
    assert with_more == refused_at(Refuse(probability=0.3))


def test_the_share_of_strikes_is_the_probability() -> None:
    chance, fault = random.Random(1), Refuse(probability=0.2)
    strikes = Counter(fault.strikes("a", 0.0, chance) for _ in range(10_000))
    assert 1850 < strikes[True] < 2150


NONSENSE: dict[str, Callable[[], Any]] = {
    "Refuse.probability": lambda: Refuse(probability=1.5),
    "Blackhole.start": lambda: Blackhole(start=-1),
    "Refuse.end": lambda: Refuse(start=5, end=5),
    "Stall.seconds": lambda: Stall(seconds=0),
    "ResetAt.byte": lambda: ResetAt(byte=-1),
    "HalfClose.byte": lambda: HalfClose(byte=1.5),  # type: ignore[arg-type]  # that is the point
    "SlowResolve.seconds": lambda: SlowResolve(seconds=math.inf),
    "Surplus.after": lambda: Surplus(after=math.nan),
    "FinWhileIdle.provider": lambda: FinWhileIdle(provider=""),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_a_nonsensical_fault_is_refused_when_it_is_built(name: str) -> None:
    with pytest.raises(UsageError, match=name.replace(".", r"\.")):
        NONSENSE[name]()
