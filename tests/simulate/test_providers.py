"""What a virtual provider does, as the real client sees it."""

from __future__ import annotations

import functools
import gc
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
import pytest
import trio

from trio_pool import ConnectError, ConnectTimeout, PoolConfig, ReadError, Response, Timeouts, Upstream, UsageError
from trio_pool.errors import TrioPoolError
from trio_pool.simulate.traffic import demands
from trio_pool.simulate.traffic.demands import Demand
from trio_pool.simulate.world.conversations import Conversation
from trio_pool.simulate.world.faults import FinWhileIdle
from trio_pool.simulate.world.network import EPOCH
from trio_pool.simulate.world.outages import Brownout, Bursts, Outage
from trio_pool.simulate.world.provider import VirtualProvider
from trio_pool.simulate.world.streams import VirtualStream

from .world import ONCE, World, headers, play, together

SECOND = Demand(1.0)
STREAMED = Demand(0.5, tokens=100, seconds_per_token=0.02)


def several(count: int, demand: Demand = SECOND) -> Callable[[World], Any]:
    """So many requests at once: the status of each, and when it had come, by time."""

    async def story(world: World) -> list[tuple[float, int]]:
        async def one() -> tuple[float, int]:
            response = await world.ask(demand)
            return round(trio.current_time(), 6), response.status_code

        return sorted(await together(*[one] * count))

    return story


def statuses(world: World, times: Sequence[float], demand: Demand = demands.NOTHING) -> Any:
    """What requests at these times are answered."""

    async def ask_all() -> list[Response]:
        answers = []
        for when in times:
            await trio.sleep_until(when)
            answers.append(await world.ask(demand))
        return answers

    return ask_all()


# ---- time ----


def test_a_request_takes_its_round_trips_and_its_service() -> None:
    async def story(world: World) -> list[Any]:
        answers = [await world.ask(SECOND) for _ in range(2)]
        return [(answer.timings.dialled, answer.timings.first_byte) for answer in answers]

    provider = VirtualProvider(round_trip=0.1, tls_round_trips=2, tls_seconds=0.03, resolve_seconds=0.2)
    dial = pytest.approx(0.2 + 0.1 + 0.2 + 0.03)
    assert play(story, provider) == [(dial, pytest.approx(1.1)), (None, pytest.approx(1.1))]


def test_a_line_takes_its_time_for_many_bytes() -> None:
    async def story(world: World) -> float:
        response = await world.ask(content=bytes(50_000), method="POST")
        return response.timings.first_byte or 0.0

    provider = VirtualProvider(bandwidth=10_000.0)
    assert 5.0 < play(story, provider) < 5.1


def test_the_wall_time_is_virtual() -> None:
    async def story(world: World) -> float:
        await trio.sleep(100)
        return world.network.time()

    assert play(story) == EPOCH + 100


# ---- answers ----


def test_a_streamed_answer_comes_in_pieces_at_its_pace() -> None:
    async def story(world: World) -> list[tuple[float, str]]:
        async with world.client.stream("GET", "/", headers=headers(STREAMED)) as response:
            assert response.headers["content-type"] == "text/event-stream"
            return [(round(trio.current_time(), 6), event.data) async for event in response.iter_events()]

    events = play(story, VirtualProvider(coalesce=0.25, bytes_per_token=3))
    text = [(when, data.count("x")) for when, data in events if "content" in data]
    assert text == [*[(pytest.approx(0.74 + 0.24 * place), 36) for place in range(8)], (2.5, 12)]
    assert events[0][0] == 0.5
    assert [data for _, data in events[-2:]] == [
        '{"choices":[],"usage":{"prompt_tokens":0,"completion_tokens":100,"total_tokens":100}}',
        "[DONE]",
    ]


@pytest.mark.parametrize(("coalesce", "pieces"), [(0.0, 100), (0.1, 20), (10.0, 1)])
def test_tokens_of_so_many_seconds_travel_together(coalesce: float, pieces: int) -> None:
    async def story(world: World) -> int:
        return (await world.ask(STREAMED)).text.count("content")

    assert play(story, VirtualProvider(coalesce=coalesce)) == pieces


def test_other_streams_are_text_without_a_mark() -> None:
    async def story(world: World) -> str:
        return (await world.ask(Demand(0.0, 4, 0.1))).text

    assert play(story, VirtualProvider(dialect=None, coalesce=0.0, bytes_per_token=2)) == "data: xx\n\n" * 4


@pytest.mark.parametrize(("framing", "connections"), [("chunked", 1), ("close", 3)])
def test_a_streamed_answer_ends_by_itself_or_with_its_connection(framing: Any, connections: int) -> None:
    async def story(world: World) -> tuple[int, set[str]]:
        bodies = {(await world.ask(STREAMED)).text for _ in range(3)}
        return world.network.connected, bodies

    seen, bodies = play(story, VirtualProvider(framing=framing, round_trip=0.01))
    assert seen == connections
    assert len(bodies) == 1
    assert bodies.pop().endswith("data: [DONE]\n\n")


def test_whole_answers_heads_and_bodies() -> None:
    async def story(world: World) -> None:
        assert (await world.ask(Demand(1.0, input_tokens=7))).json()["usage"]["prompt_tokens"] == 7
        for demand in (SECOND, STREAMED):
            assert (await world.ask(demand, method="HEAD")).content == b""
        assert (await world.ask(content=bytes(200_000), method="POST")).status_code == 200
        assert world.network.connected == 1

    play(story)


def test_a_demand_that_makes_no_sense_is_a_bad_request() -> None:
    async def story(world: World) -> int:
        return (await world.client.get("/", headers={demands.DEMAND: "lots"})).status_code

    assert play(story) == 400


def test_only_providers_have_names_and_addresses() -> None:
    async def story(world: World) -> None:
        with pytest.raises(ConnectError, match="not known"):
            await world.client.get("http://elsewhere.test/")
        with pytest.raises(ConnectError):
            await world.client.get("http://192.0.2.1/")
        for attempt in (world.network.connect(("192.0.2.1", 80)), world.network.connect_unix("/socket")):
            with pytest.raises(OSError):
                await attempt

    play(story)


# ---- places ----


def test_requests_beyond_the_cap_wait_and_those_beyond_the_queue_are_refused_at_once() -> None:
    provider = VirtualProvider(concurrency=2, queue=3)
    assert play(several(6), provider) == [(0.0, 429), (1.0, 200), (1.0, 200), (2.0, 200), (2.0, 200), (3.0, 200)]
    assert play(several(3), VirtualProvider(concurrency=1)) == [(0.0, 429), (0.0, 429), (1.0, 200)]
    assert play(several(20), VirtualProvider()) == [(1.0, 200)] * 20
    assert play(several(5), VirtualProvider(concurrency=1, queue=math.inf)) == [(n + 1.0, 200) for n in range(5)]


def test_a_streamed_answer_has_its_place_to_its_end() -> None:
    assert play(several(2, STREAMED), VirtualProvider(concurrency=1, queue=1)) == [(2.5, 200), (5.0, 200)]


def test_who_waits_is_served_in_order() -> None:
    async def story(world: World) -> list[int]:
        async def one(number: int) -> None:
            await trio.sleep(number / 100)
            await world.ask(SECOND)
            order.append(number)

        order: list[int] = []
        await together(*[functools.partial(one, number) for number in range(6)])
        return order

    assert play(story, VirtualProvider(concurrency=1, queue=9)) == [0, 1, 2, 3, 4, 5]


def test_a_server_tells_what_it_has_seen() -> None:
    async def story(world: World) -> None:
        await several(6)(world)
        seen = world.server()
        assert (seen.requests, seen.answered, seen.refused, seen.dropped) == (6, 4, {503: 2}, 0)
        assert (seen.busy, seen.waiting, seen.most_busy, seen.most_waiting) == (0, 0, 1, 3)
        assert seen.connections == world.network.open == world.network.most == 6

    play(story, VirtualProvider(concurrency=1, queue=3, overload_status=503))


@pytest.mark.parametrize(("patience", "expected"), [((0.5, 99), 11.7), ((99, 1.0), 11.4)], ids=["served", "waiting"])
def test_who_goes_frees_its_place(patience: tuple[float, float], expected: float) -> None:
    """The first is served, the second waits; one of them is cancelled; the third comes last, and each wants 10 s."""

    async def story(world: World) -> float:
        async def ask(after: float, patience: float) -> None:
            await trio.sleep(after)
            with trio.move_on_at(patience):
                await world.ask(SECOND if after == 2 else Demand(10.0))
            ended.append(trio.current_time())

        ended: list[float] = []
        first, second = patience
        await together(*[functools.partial(ask, *each) for each in ((0, first), (0.1, second), (2, 99))])
        seen = world.server()
        assert (seen.requests, seen.answered, seen.dropped, seen.busy, seen.waiting) == (3, 2, 1, 0, 0)
        return max(ended)

    assert play(story, VirtualProvider(concurrency=1, queue=9, round_trip=0.2)) == pytest.approx(expected)


def test_who_leaves_a_stream_frees_its_place() -> None:
    async def story(world: World) -> None:
        async with world.client.stream("GET", "/", headers=headers(STREAMED)) as response:
            async for _ in response.iter_bytes():
                break
        assert world.server().busy == 1
        await trio.sleep(0.1)
        assert (world.server().busy, world.server().dropped, world.server().connections) == (0, 1, 0)

    play(story, VirtualProvider(concurrency=1, round_trip=0.1))


def test_a_timeout_of_the_client_frees_its_place() -> None:
    async def story(world: World) -> None:
        with pytest.raises(TrioPoolError):
            await world.ask(Demand(100.0), timeouts=Timeouts(total=1))
        assert (world.server().busy, world.server().dropped) == (0, 1)

    play(story, VirtualProvider(concurrency=1))


# ---- limits ----


@pytest.mark.parametrize("status", [429, 503, 529])
@pytest.mark.parametrize(("retry_after", "told"), [(None, None), (7.0, "7"), (0.2, "1")])
def test_a_full_provider_says_so(status: int, retry_after: float | None, told: str | None) -> None:
    async def story(world: World) -> Any:
        first, second = await together(lambda: world.ask(SECOND), lambda: world.ask(SECOND))
        refused = first if first.status_code >= 400 else second
        return refused.status_code, refused.headers.get("retry-after"), "error" in refused.json()

    provider = VirtualProvider(concurrency=1, overload_status=status, retry_after=retry_after)
    assert play(story, provider) == (status, told, True)


def test_a_bucket_of_requests_refills_evenly() -> None:
    async def story(world: World) -> list[tuple[int, str | None]]:
        times = [0.0] * 7 + [9.9, 10.1, 10.2, 30.2, 30.2, 30.2, 1000.0]
        answers = await statuses(world, times)
        return [(answer.status_code, answer.headers.get("retry-after")) for answer in answers]

    ok = (200, None)
    expected = [*[ok] * 6, (429, "10"), (429, "1"), ok, (429, "10"), ok, ok, (429, "10"), ok]
    assert play(story, VirtualProvider(requests_per_minute=6, retry_after=1)) == expected
    assert play(story, VirtualProvider(requests_per_minute=6))[6] == (429, None)


def test_a_bucket_of_tokens_counts_input_and_answer() -> None:
    async def story(world: World) -> list[int]:
        answers = await statuses(world, [0, 1, 25, 26], Demand(0.0, tokens=100, input_tokens=300))
        return [answer.status_code for answer in answers]

    assert play(story, VirtualProvider(tokens_per_minute=600)) == [200, 429, 200, 429]


def test_what_is_larger_than_a_bucket_goes_when_it_is_full() -> None:
    async def story(world: World) -> list[int]:
        answers = await statuses(world, [0, 60, 119, 121], Demand(0.0, input_tokens=1200))
        return [answer.status_code for answer in answers]

    assert play(story, VirtualProvider(tokens_per_minute=600)) == [200, 429, 429, 200]


def test_limits_are_told_as_openai_tells_them() -> None:
    async def story(world: World) -> dict[str, str]:
        answer = await world.ask(Demand(0.0, input_tokens=150))
        return {name: value for name, value in answer.headers.items() if name.startswith("x-ratelimit")}

    provider = VirtualProvider(requests_per_minute=60, tokens_per_minute=600, sends_rate_limit_headers=True)
    assert play(story, provider) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-reset-requests": "1.000s",
        "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-tokens": "450",
        "x-ratelimit-reset-tokens": "15.000s",
    }
    assert play(story, VirtualProvider(requests_per_minute=60)) == {}


def test_the_real_client_believes_what_it_is_told() -> None:
    async def story(world: World) -> tuple[set[int], dict[int, int], float]:
        answers = [await world.ask() for _ in range(12)]
        return {answer.status_code for answer in answers}, world.server().refused, trio.current_time()

    provider = VirtualProvider(requests_per_minute=6, sends_rate_limit_headers=True)
    patient = PoolConfig(retry_attempts=1, acquire_timeout=100.0)
    seen, refused, took = play(story, provider, config=patient, upstreams=[Upstream(provider.url, key="k")])
    assert (seen, refused) == ({200}, {})
    assert 50 < took < 80


# ---- bad days ----


def test_in_a_brownout_everything_takes_longer() -> None:
    async def story(world: World) -> list[float]:
        took = []
        for when in (0, 10, 20, 40):
            await trio.sleep_until(when)
            await world.ask(STREAMED)
            took.append(trio.current_time() - when)
        return took

    slow = (Brownout(10, 20, slowdown=2), Brownout(20, 100, slowdown=1.5))
    assert play(story, VirtualProvider(brownouts=slow)) == [pytest.approx(2.5 * factor) for factor in (1, 2, 3, 1.5)]


def test_a_provider_that_is_gone_resets_and_refuses_and_comes_back() -> None:
    async def story(world: World) -> list[Any]:
        async def at(when: float) -> str:
            await trio.sleep_until(when)
            try:
                return str((await world.ask(Demand(0.5), method="POST")).status_code)
            except TrioPoolError as error:
                return type(error).__name__

        told = [await at(when) for when in (0, 4.8, 6, 14.8, 15.1)]
        assert world.server().dropped == 1
        return told

    provider = VirtualProvider(round_trip=0.1, outages=(Outage(5, 10),))
    assert play(story, provider) == ["200", "ReadError", "ConnectError", "ConnectError", "200"]


def test_a_dial_to_a_provider_that_is_gone_takes_one_round_trip() -> None:
    async def story(world: World) -> float:
        with pytest.raises(ConnectError, match="refused"):
            await world.ask()
        return trio.current_time()

    provider = VirtualProvider(round_trip=0.1, tls_round_trips=3, tls_seconds=1, outages=(Outage(0, 10),))
    assert play(story, provider) == pytest.approx(0.1)


def test_a_provider_that_goes_during_a_handshake_breaks_it_off() -> None:
    async def story(world: World) -> None:
        with pytest.raises(ConnectError, match="reset"):
            await world.ask()

    play(story, VirtualProvider(tls_seconds=1, outages=(Outage(0.5, 10),)))


def test_a_provider_may_answer_with_503_instead() -> None:
    async def story(world: World) -> tuple[list[tuple[int, str | None]], int]:
        answers = await statuses(world, [0, 5, 14.9, 15.1])
        return [(each.status_code, each.headers.get("retry-after")) for each in answers], world.network.connected

    provider = VirtualProvider(outages=(Outage(5, 10, "503"),), retry_after=3.0)
    assert play(story, provider) == ([(200, None), (503, "3"), (503, "3"), (200, None)], 1)


def test_in_a_black_hole_nothing_arrives_until_it_is_over() -> None:
    async def story(world: World) -> list[Any]:
        async def at(when: float, demand: Demand) -> Any:
            await trio.sleep_until(when)
            await world.ask(demand)
            return trio.current_time()

        await world.ask()
        return await together(
            lambda: at(4, Demand(2.0)), lambda: at(6, demands.NOTHING), lambda: at(12, demands.NOTHING)
        )

    provider = VirtualProvider(round_trip=0.1, outages=(Outage(5, 10, "blackhole"),))
    under_way, dialled, dialled_later = play(story, provider)
    assert under_way == pytest.approx(15.0, abs=0.1)
    assert isinstance(dialled, ConnectTimeout)
    assert dialled_later == pytest.approx(15.2, abs=0.1)


def test_a_black_hole_holds_a_handshake_that_it_finds_under_way() -> None:
    async def story(world: World) -> float:
        await world.ask()
        return trio.current_time()

    outages = (Outage(0.5, 3.0, "blackhole"),)
    provider = VirtualProvider(round_trip=0.1, tls_seconds=1.0, outages=outages)
    assert play(story, provider) == pytest.approx(3.5 + 0.1)
    provider = VirtualProvider(round_trip=1.0, outages=outages)
    assert play(story, provider) == pytest.approx(3.5 + 1.0)


def test_an_outage_from_the_beginning_holds_for_the_first_step() -> None:
    async def story(world: World) -> None:
        with pytest.raises(ConnectError):
            await world.ask()
        assert world.network.connected == 0

    play(story, VirtualProvider(outages=(Outage(0.0, 1.0),)))


def test_the_open_connections_of_a_black_hole_are_silent() -> None:
    async def story(world: World) -> type:
        await world.ask()
        await trio.sleep_until(6)
        with pytest.raises(TrioPoolError) as caught:
            await world.ask(timeouts=Timeouts(read=5))
        return type(caught.value)

    provider = VirtualProvider(outages=(Outage(5, math.inf, "blackhole"),))
    assert play(story, provider).__name__ == "ReadTimeout"


def away(*providers: VirtualProvider, seed: int = 0) -> dict[str, list[int]]:
    """The seconds of ten minutes in which each provider refused."""

    async def story(world: World) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {provider.name: [] for provider in providers}
        for second in range(600):
            await trio.sleep_until(second)
            for provider in providers:
                try:
                    await world.ask(url=provider.url)
                except (ConnectError, ReadError):
                    found[provider.name].append(second)
        return found

    return play(story, *providers, seed=seed)


def test_outages_by_chance_are_a_providers_own_or_shared() -> None:
    own, shared = (Bursts(30, 10),), (Bursts(30, 10, shared="region"),)
    outages = {"a": own, "b": own, "c": shared, "d": shared}
    seen = away(*[VirtualProvider(name, outages=given) for name, given in outages.items()])
    assert seen["c"] == seen["d"]
    assert len({tuple(seconds) for seconds in seen.values()}) == 3
    assert all(60 < len(seconds) < 300 for seconds in seen.values()), "about a quarter of the time"
    assert away(VirtualProvider("a", outages=own))["a"] == seen["a"], "who else is there makes no difference"
    assert away(VirtualProvider("a", outages=own), seed=1)["a"] != seen["a"]


def test_given_outages_and_those_by_chance_may_stand_together() -> None:
    both = (Bursts(1000, 1), Outage(100, 5), Outage(50, 5))
    seen = set(away(VirtualProvider(outages=both))["provider"])
    assert seen >= {*range(50, 55), *range(100, 105)}
    assert len(seen) < 100


# ---- keepalive ----


def reused(*pauses: float, provider: VirtualProvider, config: PoolConfig = ONCE) -> tuple[list[bool], dict[str, int]]:
    """Whether each further request, after a pause, found its connection alive; why connections were closed."""

    async def story(world: World) -> tuple[list[bool], dict[str, int]]:
        await world.ask()
        reuses = []
        for pause in pauses:
            await trio.sleep(pause)
            reuses.append((await world.ask(SECOND)).timings.reused)
        return reuses, dict(world.client.pool.statistics().evictions)

    return play(story, provider, config=config)


def test_a_server_closes_what_was_idle_for_its_time_and_no_sooner() -> None:
    reuses, evictions = reused(4.9, 4.9, 5.1, 0.1, provider=VirtualProvider(keepalive_timeout=5))
    assert reuses == [True, True, False, True]
    assert set(evictions) == {"dead"}


def test_a_server_forgets_a_connection_that_is_over() -> None:
    async def story(world: World) -> int:
        for _ in range(20):
            await world.ask()
        gc.collect()
        return sum(isinstance(each, Conversation) for each in gc.get_objects())

    config = attrs.evolve(ONCE, max_requests_per_connection=1)
    assert play(story, VirtualProvider(keepalive_timeout=600.0), config=config) <= 1


REQUEST = b"GET / HTTP/1.1\r\nHost: provider.test\r\n\r\n"


def accused(story: Callable[[VirtualStream], Awaitable[None]], **options: Any) -> list[str]:
    """What the servers say of a client that does this with its connection."""

    async def listen(world: World) -> list[str]:
        told: list[str] = []
        world.engine.accuse = told.append
        stream = await world.network.connect((await world.network.resolve("provider.test", 80))[0])
        await story(stream)
        stream.close()
        return told

    return play(listen, **options)


async def answered(stream: VirtualStream) -> None:
    stream.send_nowait(REQUEST)
    await stream.wait_readable()
    stream.recv_nowait(65536)


def test_a_second_request_before_the_answer_to_the_first_is_told_of() -> None:
    async def patient(stream: VirtualStream) -> None:
        await answered(stream)
        await answered(stream)

    async def hasty(stream: VirtualStream) -> None:
        stream.send_nowait(REQUEST)
        await answered(stream)

    assert accused(patient) == []
    assert accused(hasty) == ["two requests were under way at once on one connection"]


def test_a_request_on_a_connection_that_has_ended_is_told_of() -> None:
    async def careful(stream: VirtualStream) -> None:
        await answered(stream)
        await stream.wait_readable()

    async def careless(stream: VirtualStream) -> None:
        await careful(stream)
        stream.send_nowait(REQUEST)

    faults = (FinWhileIdle(after=1.0),)
    assert accused(careful, faults=faults) == []
    assert accused(careless, faults=faults) == ["a request was sent on a connection that was known to have ended"]


def test_a_server_may_keep_no_connection_for_any_time() -> None:
    assert reused(1.0, provider=VirtualProvider(keepalive_timeout=1e-17))[0] == [False]


def test_a_server_that_says_so_is_taken_at_its_word() -> None:
    provider = VirtualProvider(keepalive_timeout=5, announces_keepalive=True)
    reuses, evictions = reused(2.5, 4.9, provider=provider)
    assert reuses == [True, False]
    assert set(evictions) == {"expired"}


def test_a_server_without_a_time_closes_nothing() -> None:
    patient = PoolConfig(retry_attempts=1, keepalive_timeout=None)
    assert reused(500, 500, provider=VirtualProvider(), config=patient)[0] == [True, True]


def test_a_connection_on_which_nothing_was_asked_is_closed_too() -> None:
    async def story(world: World) -> int:
        await world.client.pool.prewarm(VirtualProvider().url, 3)
        assert world.server().connections == 3
        await trio.sleep(6)
        return world.server().connections

    assert play(story, VirtualProvider(keepalive_timeout=5)) == 0


# ---- descriptions ----


NONSENSE: dict[str, Callable[[], Any]] = {
    "VirtualProvider.name": lambda: VirtualProvider("East.example"),
    "VirtualProvider.concurrency": lambda: VirtualProvider(concurrency=0),
    "VirtualProvider.queue": lambda: VirtualProvider(queue=1.5),
    "VirtualProvider.requests_per_minute": lambda: VirtualProvider(requests_per_minute=0),
    "VirtualProvider.tokens_per_minute": lambda: VirtualProvider(tokens_per_minute=-1),
    "VirtualProvider.overload_status": lambda: VirtualProvider(overload_status=200),
    "VirtualProvider.retry_after": lambda: VirtualProvider(retry_after=math.nan),
    "VirtualProvider.brownouts": lambda: VirtualProvider(brownouts=(Outage(1, 1),)),
    "VirtualProvider.outages": lambda: VirtualProvider(outages=Outage(1, 1)),
    "VirtualProvider.bytes_per_token": lambda: VirtualProvider(bytes_per_token=10**20),
    "VirtualProvider.coalesce": lambda: VirtualProvider(coalesce=1e308),
    "VirtualProvider.round_trip": lambda: VirtualProvider(round_trip=-0.1),
    "VirtualProvider.tls_round_trips": lambda: VirtualProvider(tls_round_trips=0.5),  # type: ignore[arg-type]  # the point
    "VirtualProvider.bandwidth": lambda: VirtualProvider(bandwidth=0),
    "VirtualProvider.keepalive_timeout": lambda: VirtualProvider(keepalive_timeout=0),
    "VirtualProvider.announces_keepalive": lambda: VirtualProvider(announces_keepalive=True),
    "VirtualProvider.framing": lambda: VirtualProvider(framing="length"),  # type: ignore[arg-type]  # the point
    "VirtualProvider.dialect": lambda: VirtualProvider(dialect="latin"),  # type: ignore[arg-type]  # the point
    "Outage.how": lambda: Outage(1, 1, "nicely"),  # type: ignore[arg-type]  # the point
    "Outage.seconds": lambda: Outage(1, 0),
    "Brownout.slowdown": lambda: Brownout(1, 1, 0.5),
    "Bursts.mean_between": lambda: Bursts(0, 1),
    "Bursts.shared": lambda: Bursts(1, 1, shared=""),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_a_nonsensical_description_is_refused_when_it_is_built(name: str) -> None:
    with pytest.raises(UsageError, match=name.replace(".", r"\.")):
        NONSENSE[name]()


def test_what_goes_wrong_may_come_in_any_sequence() -> None:
    outage, brownout = Outage(1, 1), Brownout(2, 1, 3)
    provider = VirtualProvider(outages=[outage], brownouts=iter([brownout]))
    assert provider == VirtualProvider(outages=(outage,), brownouts=(brownout,))


def test_two_providers_must_not_have_one_name() -> None:
    with pytest.raises(UsageError, match="two providers"):
        play(several(1), VirtualProvider("a"), VirtualProvider("a"))


def test_a_provider_can_be_a_key_and_is_equal_to_its_like() -> None:
    assert {VirtualProvider("a"), VirtualProvider("a")} == {VirtualProvider("a")}
