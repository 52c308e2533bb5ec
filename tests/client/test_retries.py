"""Retries of a plain client: what is tried again, when, and what is told of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
import trio.testing

from trio_pool import (
    ConnectError,
    PoolConfig,
    PoolTimeout,
    QuotaExceeded,
    RateLimited,
    ReadTimeout,
    RemoteProtocolError,
    RetryStrategy,
    Timeouts,
    TotalTimeout,
    open_client,
)
from trio_pool.events import AttemptEnded, AttemptStarted, Event, GaveUp, Retrying, UpstreamPaused

from .network import MemoryStream, Received, Reply, ScriptedNetwork, response

URL = "http://h:8000/a?key=s3cret"
BUSY = response(b"busy", status="503 Busy")
OK = response(b"done")
RETRYABLE = [408, 429, 500, 502, 503, 504, 529]


class Server:
    """One server: its replies in turn, whatever the connection, and the times at which it was asked.

    What stands for a reply can be an error of the network too.
    """

    def __init__(self, *replies: Reply) -> None:
        self.times: list[float] = []
        self._replies = list(replies)
        self.network = ScriptedNetwork(self._answer)

    def _answer(self, received: Received) -> Reply:
        self.times.append(trio.current_time())
        return self._replies.pop(0) if self._replies else OK


@pytest.mark.parametrize("status", RETRYABLE)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_retryable_status_is_tried_again(
    status: int, method: str, autojump_clock: trio.testing.MockClock
) -> None:
    server = Server(response(b"no", status=f"{status} No"))
    async with open_client(network=server.network) as client:
        answer = await client.request(method, URL, content=b"body" if method == "POST" else None)
        assert client.pool.statistics().leased == 0
    assert (answer.status_code, answer.content) == (200, b"done")
    assert [attempt.result for attempt in answer.attempts] == [str(status), "200"]
    assert [received.body for received in server.network.requests] == [b"body" if method == "POST" else b""] * 2


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 409, 410, 413, 418, 422, 501, 505, 520, 599])
async def test_another_status_is_an_answer(status: int) -> None:
    server = Server(response(b"no", status=f"{status} No"))
    async with open_client(network=server.network) as client:
        assert (await client.get(URL)).status_code == status
    assert len(server.times) == 1


async def test_when_tries_are_exhausted_the_last_response_is_returned(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(BUSY, BUSY, response(b"busy still", status="502 Bad"))
    async with open_client(network=server.network) as client:
        answer = await client.get(URL)
    assert (answer.status_code, answer.content) == (502, b"busy still")
    assert [attempt.result for attempt in answer.attempts] == ["503", "503", "502"]
    assert [attempt.kind for attempt in answer.attempts] == ["overloaded", "overloaded", "failed"]
    assert all(attempt.upstream == "http://h:8000" for attempt in answer.attempts)


async def test_the_last_response_can_be_streamed_whatever_was_read_of_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    body = b"x" * 200_000
    server = Server(BUSY, BUSY, response(body, status="503 Busy"))
    async with open_client(network=server.network) as client:
        async with client.stream("GET", URL) as answer:
            assert b"".join([piece async for piece in answer.iter_bytes()]) == body
        assert client.pool.statistics().idle >= 1


async def test_the_waits_are_full_jitter_and_double(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(*[BUSY] * 7)
    async with open_client(PoolConfig(retry_attempts=7), network=server.network) as client:
        answer = await client.get(URL)
    waits = [later - sooner for sooner, later in zip(server.times, server.times[1:], strict=False)]
    assert waits == pytest.approx([0.25, 0.5, 1, 2, 4, 4])  # chance is always a half
    assert [attempt.waited for attempt in answer.attempts] == pytest.approx([0, *waits])


@pytest.mark.parametrize(
    ("strategy", "waits"), [(RetryStrategy.LINEAR, [0.25, 0.5, 0.75]), (RetryStrategy.IMMEDIATE, [0, 0, 0])]
)
async def test_the_strategy_is_the_configured_one(
    strategy: RetryStrategy, waits: list[float], autojump_clock: trio.testing.MockClock
) -> None:
    server = Server(*[BUSY] * 3)
    config = PoolConfig(retry_attempts=4, retry_strategy=strategy)
    async with open_client(config, network=server.network) as client:
        assert (await client.get(URL)).status_code == 200
    assert [b - a for a, b in zip(server.times, server.times[1:], strict=False)] == pytest.approx(waits)


async def test_with_one_attempt_nothing_is_retried() -> None:
    server = Server(BUSY)
    async with open_client(PoolConfig(retry_attempts=1), network=server.network) as client:
        assert (await client.get(URL)).status_code == 503
    assert len(server.times) == 1


# ---- what may have been processed ----


async def test_a_get_whose_connection_breaks_is_sent_again(autojump_clock: trio.testing.MockClock) -> None:
    server = Server([b""])
    async with open_client(network=server.network) as client:
        answer = await client.get(URL)
    assert [attempt.result for attempt in answer.attempts] == ["RemoteProtocolError", "200"]
    assert [attempt.kind for attempt in answer.attempts] == ["broken off", "served"]


async def test_a_post_that_may_have_been_processed_is_not_sent_again() -> None:
    server = Server([b""])
    async with open_client(network=server.network) as client:
        with pytest.raises(RemoteProtocolError) as caught:
            await client.post(URL, content=b"body")
    assert caught.value.may_have_been_processed
    assert [attempt.result for attempt in caught.value.attempts] == ["RemoteProtocolError"]
    assert len(server.times) == 1


@pytest.mark.parametrize(
    "options",
    [
        {"retry_unsafe": True},
        {"idempotency_key": "k1"},
        {"idempotency_key": True},
        {"headers": {"idempotency-key": "x"}},
    ],
    ids=["unsafe", "key", "made key", "own field"],
)
async def test_a_post_is_sent_again_where_the_caller_allows_it(
    options: dict[str, Any], autojump_clock: trio.testing.MockClock
) -> None:
    server = Server([b""], BUSY)
    async with open_client(network=server.network) as client:
        assert (await client.post(URL, content=b"body", **options)).status_code == 200
    keys = [received.header("idempotency-key") for received in server.network.requests]
    assert len(keys) == 3
    assert len(set(keys)) == 1
    assert (keys[0] is None) == ("retry_unsafe" in options)


async def test_two_requests_get_two_keys() -> None:
    server = Server()
    async with open_client(network=server.network) as client:
        for _ in range(2):
            await client.post(URL, idempotency_key=True)
    assert len({received.header("idempotency-key") for received in server.network.requests}) == 2


async def test_a_post_that_was_not_sent_is_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    network = ScriptedNetwork()
    network._everywhere = None
    async with open_client(network=network) as client:
        with pytest.raises(ConnectError) as caught:
            await client.post(URL, content=b"body")
    assert len(caught.value.attempts) == 3
    assert "It was the last of 3 attempts: ConnectError from http://h:8000" in str(caught.value)
    assert "s3cret" not in str(caught.value)


async def test_a_body_that_is_made_once_is_not_sent_twice(autojump_clock: trio.testing.MockClock) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    server = Server(BUSY)
    async with open_client(network=server.network) as client:
        assert (await client.put(URL, content=body())).status_code == 503
    assert len(server.times) == 1


async def test_a_body_that_was_not_begun_can_still_be_sent(autojump_clock: trio.testing.MockClock) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    network = RefusingOnce(lambda _: OK)
    async with open_client(network=network) as client:
        assert (await client.post(URL, content=body())).status_code == 200
    assert [received.body for received in network.requests] == [b"once"]


class RefusingOnce(ScriptedNetwork):
    """Its first connection is refused."""

    async def connect(self, address: tuple[str, int]) -> MemoryStream:
        if len(self.attempts) < 2:
            self.attempts.append(address)
            raise ConnectionRefusedError(111, "Connection refused")
        return await super().connect(address)


async def test_a_body_that_can_be_made_again_is(autojump_clock: trio.testing.MockClock) -> None:
    class Body:
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b"again"

    server = Server(BUSY)
    async with open_client(network=server.network) as client:
        assert (await client.put(URL, content=Body())).status_code == 200
    assert [received.body for received in server.network.requests] == [b"again"] * 2


async def test_a_silent_server_is_asked_again_only_where_that_is_safe(autojump_clock: trio.testing.MockClock) -> None:
    server = Server([], [], [])
    async with open_client(network=server.network) as client:
        with pytest.raises(ReadTimeout) as caught:
            await client.get(URL, timeouts=Timeouts(read=2))
        assert len(caught.value.attempts) == 3
        with pytest.raises(ReadTimeout) as caught:
            server._replies.append([])
            await client.post(URL, timeouts=Timeouts(read=2))
        assert len(caught.value.attempts) == 1


# ---- what the server says ----


@pytest.mark.parametrize("field", ["x-should-retry: false"])
async def test_the_server_can_forbid_it(field: str) -> None:
    server = Server(response(b"no", field, status="503 Busy"))
    async with open_client(network=server.network) as client:
        assert (await client.get(URL)).status_code == 503
    assert len(server.times) == 1


async def test_the_server_can_ask_for_it(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(response(b"no", "X-Should-Retry: true", status="404 No"))
    async with open_client(network=server.network) as client:
        assert (await client.get(URL)).status_code == 200


@pytest.mark.parametrize("field", ["Retry-After: 5", "retry-after-ms: 5000"])
@pytest.mark.parametrize("status", ["429 Slow", "503 Busy"])
async def test_a_wait_that_is_asked_for_is_a_floor_for_the_whole_origin(
    field: str, status: str, autojump_clock: trio.testing.MockClock
) -> None:
    server = Server(response(b"no", field, status=status))
    async with open_client(network=server.network) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, URL)
            await trio.sleep(1)
            for _ in range(5):
                nursery.start_soon(client.get, URL)
        assert min(server.times[1:]) >= 5
        assert len(server.times) == 7
        assert len(set(server.times[1:])) > 3, "they came back together"
        await trio.sleep(60)
        assert not client._attempts.pauses
        assert not client._attempts.is_needed


async def test_who_would_wait_for_too_long_is_told_at_once(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(response(b"no", "Retry-After: 30", status="429 Slow"))
    async with open_client(network=server.network) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.get, URL)
        await trio.sleep(1)
        with pytest.raises(RateLimited) as caught:
            await client.get(URL)
        assert trio.current_time() == 1
        assert caught.value.retry_after == pytest.approx(29, abs=2)
        assert caught.value.attempts == ()


async def test_who_is_held_by_a_pause_for_too_long_is_told_of_the_pause(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(response(b"no", "Retry-After: 1", status="429 Slow"))
    errors: list[PoolTimeout] = []
    async with open_client(PoolConfig(acquire_timeout=1.5), network=server.network) as client:

        async def ask() -> None:
            try:
                await client.get(URL)
            except PoolTimeout as error:
                errors.append(error)
            except RateLimited as error:  # the next turn is after their time
                assert error.retry_after is not None
                assert error.retry_after > 0.001

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.sleep(0.1)
            for _ in range(20):
                nursery.start_soon(ask)
    assert errors
    assert {error.what for error in errors} == {
        "the origin asked for a pause, after which this request's turn did not come in time"
    }


async def test_a_wait_over_the_ceiling_surfaces_at_once(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(response(b"later", "Retry-After: 61", status="429 Slow"))
    async with open_client(network=server.network) as client:
        answer = await client.get(URL)
        assert (answer.status_code, answer.content) == (429, b"later")
        assert trio.current_time() == 0


async def test_a_wait_over_the_total_timeout_surfaces_at_once(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(response(b"later", "Retry-After: 20", status="503 Busy"))
    async with open_client(PoolConfig(total_timeout=10), network=server.network) as client:
        assert (await client.get(URL)).status_code == 503
    assert trio.current_time() == 0


async def test_a_spent_quota_is_not_retried() -> None:
    body = b'{"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}'
    server = Server(response(body, status="429 Too Many Requests"))
    async with open_client(network=server.network) as client:
        answer = await client.get(URL)
    assert answer.json()["error"]["type"] == "insufficient_quota"
    with pytest.raises(QuotaExceeded, match="429"):
        answer.raise_for_status()
    assert [attempt.kind for attempt in answer.attempts] == ["quota spent"]
    assert len(server.times) == 1


async def test_a_request_in_the_pools_line_is_not_sent_in_a_pause(autojump_clock: trio.testing.MockClock) -> None:
    server = Server([], OK, OK)
    config = PoolConfig(max_connections=1, retry_attempts=2)
    async with open_client(config, network=server.network) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.get, URL)
        await trio.sleep(1)
        nursery.start_soon(client.get, URL)
        await trio.sleep(1)
        server.network.connections[0].send(response(b"no", "Retry-After: 5", status="429 Slow"))
    assert len(server.times) == 3
    assert min(server.times[1:]) >= 7


# ---- deadlines, and our own limits ----


async def test_no_attempt_and_no_wait_passes_the_total_timeout(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(*[BUSY] * 50)
    config = PoolConfig(total_timeout=3, retry_attempts=50)
    async with open_client(config, network=server.network) as client:
        assert (await client.get(URL)).status_code == 503
    assert trio.current_time() < 3
    assert max(server.times) < 3


async def test_the_total_timeout_of_a_silent_attempt_comes_out(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(BUSY, [])
    async with open_client(PoolConfig(total_timeout=3), network=server.network) as client:
        with pytest.raises(TotalTimeout) as caught:
            await client.get(URL)
    assert trio.current_time() == pytest.approx(3)
    assert [attempt.result for attempt in caught.value.attempts] == ["503", "TotalTimeout"]


async def test_our_own_fullness_is_not_retried_and_hides_no_answer(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(BUSY, [])
    config = PoolConfig(max_connections=1, acquire_timeout=2)
    async with open_client(config, network=server.network) as client, trio.open_nursery() as nursery:
        answers = []

        async def ask() -> None:
            answers.append(await client.get(URL))

        nursery.start_soon(ask)
        await trio.sleep(0.1)  # it waits for its second try, the connection free
        nursery.start_soon(client.get, URL)
        await trio.sleep(0.1)
        with pytest.raises(PoolTimeout) as caught:
            await client.get(URL)
        assert caught.value.attempts == ()
        await trio.sleep(1)
        assert [(answer.status_code, answer.content) for answer in answers] == [(503, b"busy")]
        nursery.cancel_scope.cancel()


async def test_retries_stay_within_the_budget(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(*[BUSY] * 1000)
    config = PoolConfig(max_connections_per_host=100, max_connections=100)
    async with open_client(config, network=server.network) as client, trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(client.get, URL)
    seconds = trio.current_time()
    assert 100 + 10 < len(server.times) <= 100 + 10 + 0.2 * 100 + seconds + 1


async def test_what_went_well_counts_for_the_budget(autojump_clock: trio.testing.MockClock) -> None:
    server = Server(*[OK] * 400, *[BUSY] * 1000)
    config = PoolConfig(max_connections_per_host=100, max_connections=100, retry_strategy=RetryStrategy.IMMEDIATE)
    async with open_client(config, network=server.network) as client:
        for _ in range(400):
            await client.get(URL)
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(client.get, URL)
    assert len(server.times) == 400 + 100 + 100  # the bucket holds a hundred


async def test_a_retry_that_is_cancelled_before_it_begins_goes_back_to_the_budget(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server = Server(*[BUSY] * 100)
    async with open_client(network=server.network) as client:
        for _ in range(50):
            with trio.move_on_after(0.001):
                await client.get(URL)
        assert client._attempts._budget.left(trio.current_time()) >= 10
        await client.get(URL)
    assert len(server.times) == 50 + 3


# ---- what is told ----


async def test_every_decision_is_told(autojump_clock: trio.testing.MockClock) -> None:
    told: list[Event] = []
    server = Server(response(b"", "Retry-After: 1", status="503 Busy"), BUSY, BUSY)
    async with open_client(network=server.network, observers=[told.append]) as client:
        await client.get(URL)
    kinds = [type(event) for event in told if not isinstance(event, UpstreamPaused)]
    again = [AttemptStarted, AttemptEnded, Retrying]
    assert [kind for kind in kinds if kind.__name__ != "WaitedForUpstream"] == [*again, *again, *again[:2], GaveUp]
    gave_up = told[-1]
    assert isinstance(gave_up, GaveUp)
    assert (gave_up.reason, len(gave_up.attempts)) == ("no tries left", 3)
    assert sum(isinstance(event, UpstreamPaused) for event in told) == 1
    assert "s3cret" not in repr(told)


async def test_a_served_request_is_told_too() -> None:
    told: list[Event] = []
    async with open_client(network=Server().network, observers=[told.append]) as client:
        await client.get(URL)
    assert [type(event) for event in told] == [AttemptStarted, AttemptEnded]


async def test_a_hook_adds_fields_to_each_attempt(autojump_clock: trio.testing.MockClock) -> None:
    seen = []

    async def prepare(request: Any) -> dict[str, str]:
        seen.append(request.method)
        return {"traceparent": f"00-{len(seen)}"}

    server = Server(BUSY)
    async with open_client(network=server.network, prepare=prepare) as client:
        await client.get(URL)
    assert [received.header("traceparent") for received in server.network.requests] == ["00-1", "00-2"]


async def test_what_a_hook_raises_comes_out_as_it_is() -> None:
    def prepare(_: object) -> None:
        raise KeyError("mine")

    server = Server()
    async with open_client(network=server.network, prepare=prepare) as client:
        with pytest.raises(KeyError, match="mine"):
            await client.get(URL)
        assert client.pool.statistics().leased == 0
    assert server.times == []
