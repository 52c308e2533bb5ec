"""Observers: who is told of what, in which order, and what becomes of what they raise."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from trio_pool import (
    InterimResponse,
    LimitExceeded,
    Origin,
    PoolConfig,
    RemoteProtocolError,
    Request,
    open_client,
    open_pool,
)
from trio_pool.events import Event, Observer

from .network import ScriptedNetwork, response

URL = "http://h:8000/"
HERE = Origin("http", "h", 8000)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PROCESSING = b"HTTP/1.1 102 Processing\r\nX-Step: 1\r\nX-Step: 2\r\n\r\n"
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nSet-Cookie: sid=s3cret\r\n\r\n"


def interim(tell: Callable[[InterimResponse], object]) -> Observer:
    """An observer of interim responses alone."""

    def observe(event: Event) -> None:
        if isinstance(event, InterimResponse):
            tell(event)

    return observe


def statuses(told: list[int]) -> Observer:
    return interim(lambda event: told.append(event.status_code))


def one_by_one(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "one by one"])
async def test_every_interim_response_is_told_in_order(whole: bool) -> None:
    wire = PROCESSING + CONTINUE + HINTS + response(b"done")
    told: list[InterimResponse] = []
    network = ScriptedNetwork([[wire] if whole else one_by_one(wire)])
    async with open_client(network=network, observers=[interim(told.append)]) as client:
        answer = await client.get(URL)
        assert (answer.status_code, answer.content) == (200, b"done")
        assert client.pool.statistics().idle == 1
    assert [(event.origin, event.status_code) for event in told] == [(HERE, 102), (HERE, 100), (HERE, 103)]
    assert told[0].headers.get_list("x-step") == ["1", "2"]
    assert told[1].headers.multi_items() == []
    assert told[2].headers["link"] == "</style.css>; rel=preload"


async def test_it_is_told_before_the_response_is_there() -> None:
    told: list[int] = []
    network = ScriptedNetwork([HINTS])
    async with open_client(network=network, observers=[statuses(told)]) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, URL)
            await wait_all_tasks_blocked()
            assert told == [103]
            network.connections[0].send(PROCESSING)
            await wait_all_tasks_blocked()
            assert told == [103, 102]
            network.connections[0].send(response(b"done"))
    assert told == [103, 102]  # a final response is none


async def test_who_was_named_first_is_told_first() -> None:
    told: list[tuple[str, int]] = []

    def note(name: str, event: InterimResponse) -> None:
        told.append((name, event.status_code))

    def observers() -> Iterator[Observer]:  # taken once, when the client is opened
        for name in ("a", "b", "c"):
            yield interim(partial(note, name))

    network = ScriptedNetwork([HINTS + PROCESSING + response(b""), CONTINUE + response(b"")])
    async with open_client(network=network, observers=observers()) as client:
        await client.get(URL)
        await client.get(URL)
    assert told == [(name, status) for status in (103, 102, 100) for name in ("a", "b", "c")]


async def test_what_an_observer_raises_is_logged_and_it_is_told_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    told: list[int] = []

    def fail(event: Event) -> None:
        raise RuntimeError(f"cannot bear {type(event).__name__}")

    network = ScriptedNetwork([HINTS + PROCESSING + response(b"done"), response(b"more")])
    async with open_client(network=network, observers=[fail, statuses(told)]) as client:
        answer = await client.get(URL)
        assert answer.content == b"done"
        assert client.pool.statistics().idle == 1
        again = await client.get(URL)
        assert again.timings.reused
    assert told == [103, 102]
    assert [(record.name, record.levelno) for record in caplog.records] == [("trio_pool", logging.ERROR)]
    assert "cannot bear AttemptStarted" in caplog.text
    assert "s3cret" not in caplog.text


async def test_what_is_no_exception_of_the_programs_goes_out_and_frees_the_slot() -> None:
    class Stop(BaseException):
        """Such as KeyboardInterrupt."""

    def stop(event: InterimResponse) -> None:
        raise Stop

    network = ScriptedNetwork([HINTS + response(b"done")], [response(b"more")])
    async with open_client(network=network, observers=[interim(stop)]) as client:
        with pytest.raises(Stop):
            await client.get(URL)
        figures = client.pool.statistics()
        assert (figures.leased, figures.idle) == (0, 0)
        assert (await client.get(URL)).content == b"more"


async def test_an_observer_may_look_at_the_pool() -> None:
    leased: list[int] = []
    network = ScriptedNetwork([HINTS + response(b"done")])

    def look(event: InterimResponse) -> None:
        leased.append(pool.statistics().origins[event.origin].leased)

    async with open_pool(network=network, observers=[interim(look)]) as pool:
        async with pool.stream(Request("GET", URL)) as answer:
            await answer.read()
    assert leased == [1]


async def test_what_is_told_shows_no_secret() -> None:
    told: list[InterimResponse] = []
    async with open_client(
        network=ScriptedNetwork([HINTS + response(b"")]), observers=[interim(told.append)]
    ) as client:
        await client.get(URL)
    assert "s3cret" not in repr(told) + str(told)
    assert told[0].headers["set-cookie"] == "sid=s3cret"


async def test_who_expects_100_continue_is_told_of_it() -> None:
    told: list[int] = []
    network = ScriptedNetwork([response(b"done")])
    async with open_client(network=network, observers=[statuses(told)]) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask_with_expectation, client.post)
            await wait_all_tasks_blocked()
            assert b"content" not in network.connections[0].raw
            network.connections[0].send(CONTINUE)
    assert told == [100]
    assert network.requests[0].body == b"content"


async def ask_with_expectation(post: object) -> None:
    answer = await post(URL, content=b"content", headers={"Expect": "100-continue"})  # type: ignore[operator]  # it is
    assert answer.content == b"done"


async def test_it_is_told_while_the_request_is_still_being_sent() -> None:
    told: list[int] = []
    network = ScriptedNetwork([response(b"done")])

    async def body() -> AsyncIterator[bytes]:
        yield b"half"
        network.connections[0].send(HINTS)
        await wait_all_tasks_blocked()
        assert told == [103]
        yield b"other half"

    async with open_client(network=network, observers=[statuses(told)]) as client:
        answer = await client.post(URL, content=body())
        assert answer.content == b"done"
    assert network.requests[0].body == b"halfother half"


async def test_it_is_told_to_who_holds_a_lease_too() -> None:
    told: list[int] = []
    network = ScriptedNetwork([HINTS + response(b"done")])
    async with open_pool(network=network, observers=[statuses(told)]) as pool:
        async with pool.lease(URL) as connection:
            exchange = await connection.exchange(Request("GET", URL))
            assert await exchange.receive_all() == [b"done"]
    assert told == [103]


async def test_what_is_too_much_is_not_told() -> None:
    told: list[int] = []
    network = ScriptedNetwork([CONTINUE * 101 + response(b"done")], [CONTINUE * 100 + response(b"done")])
    async with open_client(network=network, observers=[statuses(told)]) as client:
        with pytest.raises(LimitExceeded, match="more than 100 interim responses"):
            await client.get(URL)
        assert told == [100] * 100
        await client.get(URL)
    assert told == [100] * 200


async def test_what_was_told_stays_told_when_nonsense_follows() -> None:
    told: list[int] = []
    network = ScriptedNetwork([HINTS + b"nonsense\r\n\r\n"])
    async with open_client(PoolConfig(retry_attempts=1), network=network, observers=[statuses(told)]) as client:
        with pytest.raises(RemoteProtocolError):
            await client.get(URL)
    assert told == [103]


async def test_a_switch_of_protocol_is_no_interim_response() -> None:
    told: list[int] = []
    switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
    network = ScriptedNetwork([HINTS + switch])
    headers = {"Connection": "upgrade", "Upgrade": "x"}
    async with open_client(network=network, observers=[statuses(told)]) as client:
        async with client.stream("GET", URL, headers=headers) as answer:
            assert answer.status_code == 101
    assert told == [103]
