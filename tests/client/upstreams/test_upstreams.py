"""Requests to a group of upstreams: where they go, with whose key, and what becomes of them when an upstream fails."""

from __future__ import annotations

import gc
import json
import logging
import math
from functools import partial
from typing import Any

import attrs
import pytest
import trio
import trio.testing

from trio_pool import (
    Client,
    PoolConfig,
    PoolFull,
    PoolTimeout,
    RateLimited,
    ReadTimeout,
    StreamFailed,
    StreamIncomplete,
    Timeouts,
    TrioPoolError,
    Upstream,
    UsageError,
    open_client,
)
from trio_pool.events import (
    AttemptEnded,
    AttemptStarted,
    BreakerChanged,
    FailedOver,
    GaveUp,
    Hedged,
    LimitChanged,
    UpstreamPaused,
    WaitedForUpstream,
)
from trio_pool.providers import ANTHROPIC, GOOGLE, OPENAI

from ..network import Received, Reply, response
from .world import BUSY, OK, SILENCE, Host, World, assert_at_rest, error, results, turnstile

BODY = {"model": "big", "messages": []}
PATH = "/chat/completions"


# ---- where, with whose key, and in which words ----


async def test_a_relative_url_goes_to_an_upstream_with_its_key_and_its_name_for_the_model() -> None:
    world = World(Host())
    async with world.open({"models": {"big": "their-big"}}) as client:
        answer = await client.post(PATH, json=BODY, params={"a": "b"})
        assert answer.json()["usage"]["total_tokens"] == 10
        assert str(answer.request.origin) == "http://h:1 for a"
        assert results(answer.attempts) == [("a", "200")]
        assert_at_rest(client)
    received = world.hosts[0].seen[0]
    assert received.target == "/v1/chat/completions?a=b"
    assert received.header("authorization") == "Bearer s3cret-1"
    assert received.header("host") == "h:1"
    assert received.body == b'{"model":"their-big","messages":[]}'


async def test_a_model_is_renamed_only_in_json_bodies() -> None:
    world = World(Host())
    async with world.open({"models": {"big": "their-big"}}) as client:
        await client.post(PATH, content=b'{"model":"big"}')
        await client.post(PATH, json={"model": "other"})
        await client.post(PATH, json=[1])
    assert [received.body for received in world.hosts[0].seen] == [b'{"model":"big"}', b'{"model":"other"}', b"[1]"]


async def test_an_absolute_url_goes_its_own_way_without_any_key() -> None:
    world = World(Host(), Host())
    async with world.open() as client:
        await client.get("http://h:2/else")
    received = world.hosts[1].seen[0]
    assert (received.target, received.header("authorization")) == ("/else", None)


async def test_two_keys_at_one_address_never_share_a_connection() -> None:
    world = World(Host())
    both = [Upstream("http://h:1/v1", key="one"), Upstream("http://h:1/v1", key="two")]
    async with open_client(network=world, upstreams=both) as client:
        for _ in range(40):
            await client.get("/x")
        assert {str(origin) for origin in client.pool.statistics().origins} == {
            "http://h:1 for h",
            "http://h:1 for h#2",
        }
    for connection in world.connections:
        assert (b"Bearer one" in connection.raw) != (b"Bearer two" in connection.raw)
    assert len(world.connections) == 2


async def test_a_provider_says_how_its_key_is_sent() -> None:
    world = World(Host(), Host())
    async with world.open({"provider": ANTHROPIC}, {"provider": "anthropic"}) as client:
        await client.post("/v1/messages", json={})
    received = (world.hosts[0].seen + world.hosts[1].seen)[0]
    assert received.header("x-api-key") in ("s3cret-1", "s3cret-2")
    assert received.header("anthropic-version") == "2023-06-01"
    assert received.header("authorization") is None


async def test_a_key_can_be_an_async_callable_that_is_asked_before_each_try(
    autojump_clock: trio.testing.MockClock,
) -> None:
    made: list[str] = []

    async def key() -> str:
        await trio.sleep(0.1)
        made.append(f"token-{len(made)}")
        return made[-1]

    world = World(Host(BUSY))
    async with world.open({"key": key}) as client:
        await client.get("/x")
    assert [received.header("authorization") for received in world.hosts[0].seen] == [
        "Bearer token-0",
        "Bearer token-1",
    ]


async def test_what_a_keys_callable_raises_comes_out_and_leaves_nothing() -> None:
    async def key() -> str:
        raise LookupError("the vault is closed")

    world = World(Host())
    async with world.open({"key": key, "requests_per_minute": 5}) as client:
        with pytest.raises(LookupError, match="vault"):
            await client.get("/x")
        assert_at_rest(client)
        assert turnstile(client).group.members[0].limiter.requests.level == 5


async def test_a_key_that_is_slow_does_not_outlast_the_total_timeout(autojump_clock: trio.testing.MockClock) -> None:
    async def key() -> str:
        await trio.sleep_forever()
        raise AssertionError

    world = World(Host())
    async with world.open({"key": key}) as client:
        with pytest.raises(TimeoutError, match="total timeout"):
            await client.get("/x", timeouts=Timeouts(total=3))
        assert_at_rest(client)
    assert trio.current_time() == 3


async def test_a_key_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "from-env")
    world = World(Host())
    async with world.open({"key": None, "key_env": "MY_KEY"}) as client:
        await client.get("/x")
    assert world.hosts[0].seen[0].header("authorization") == "Bearer from-env"


async def test_a_variable_that_is_not_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_KEY", raising=False)
    with pytest.raises(UsageError, match="needs the environment variable MY_KEY"):
        async with World(Host()).open({"key": None, "key_env": "MY_KEY"}):
            pass


async def test_a_providers_variable_is_for_its_own_address_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "home")
    world = World(Host())
    async with open_client(
        network=world, upstreams=[Upstream("http://h:1", provider=OPENAI), Upstream(provider=OPENAI)]
    ) as client:
        assert client._fleet is not None
        here, there = client._fleet.endpoints
    assert (b"Authorization", b"Bearer home") not in await here.fields()
    assert (b"Authorization", b"Bearer home") in await there.fields()


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"Authorization": "Bearer mine"}},
        {"headers": {"x-api-key": "mine"}},
        {"headers": {"Cookie": "a=mine"}},
        {"params": {"key": "mine"}},
        {"params": [("API_KEY", "mine")]},
    ],
)
async def test_a_callers_credentials_are_refused(options: dict[str, Any]) -> None:
    world = World(Host())
    async with world.open() as client:
        with pytest.raises(UsageError, match="each upstream has its own key") as caught:
            await client.get("/x", **options)
        with pytest.raises(UsageError, match="each upstream has its own key"):
            await client.get("/x?access_token=mine")
    assert "mine" not in str(caught.value)
    assert world.hosts[0].seen == []


CUSTOM = attrs.evolve(OPENAI, name="custom", base_url=None, key_header="X-Gateway-Token", key_prefix="")


async def test_what_one_of_them_calls_its_key_is_a_credential_too() -> None:
    world = World(Host(), Host())
    async with world.open({"provider": CUSTOM}) as client:
        with pytest.raises(UsageError, match="'X-Gateway-Token': each upstream has its own key"):
            await client.get("/x", headers={"X-Gateway-Token": "mine"})
    assert not world.hosts[0].seen


async def test_a_key_in_a_field_of_a_providers_own_is_shown_nowhere_and_follows_no_redirect_away() -> None:
    away = response(b"", "Location: http://h:2/away", status="302 Found")
    world = World(Host(away), Host())
    upstreams = world.upstreams({"provider": CUSTOM})[:1]
    async with open_client(network=world, upstreams=upstreams, follow_redirects=True) as client:
        answer = await client.get("/x")
    assert (answer.status_code, answer.url) == (200, "http://h:2/away")
    assert world.hosts[0].seen[0].header("x-gateway-token") == "s3cret-1"
    assert world.hosts[1].seen[0].header("x-gateway-token") is None
    async with open_client(network=world, upstreams=upstreams) as client:
        answer = await client.get("/x")
    assert "s3cret" not in repr(answer.request.headers)
    assert answer.request.headers["x-gateway-token"] == "s3cret-1"


@pytest.mark.parametrize("key", ["s3cret\n", " s3cret", "s3cret\r\nX: y", "s3cr\u00e9t", "\0s3cret"])
async def test_a_key_that_cannot_be_sent_is_refused_where_it_is_given(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = ""
    with pytest.raises(UsageError, match=r"Upstream\.key") as caught:
        Upstream("http://h", key=key)
    shown += repr(caught.value)

    async def give() -> str:
        return key

    async with World(Host()).open({"key": give}) as client:
        with pytest.raises(UsageError, match="key callable of the upstream a") as caught:
            await client.get("/x")
        assert_at_rest(client)
    frames = [frame for frame in caught.traceback if frame.name == "fields"]
    shown += repr(caught.value) + repr([{**frame.locals, "self": None} for frame in frames])
    if "\0" not in key:  # no variable can hold that
        monkeypatch.setenv("MY_KEY", key)
        with pytest.raises(UsageError, match="MY_KEY holds nothing that can be a key of the upstream a") as caught:
            async with World(Host()).open({"key": None, "key_env": "MY_KEY"}):
                pass
        shown += repr(caught.value)
    assert frames
    assert "s3cr" not in shown


async def test_an_option_that_there_is_not_is_refused() -> None:
    world = World(Host())
    async with world.open() as client:
        with pytest.raises(TypeError, match="no option 'jsn'"):
            await client.post("/x", jsn={"model": "big"})  # type: ignore[call-arg]  # that is the point
    assert not world.hosts[0].seen


async def test_parameters_and_forms_that_are_made_once_are_sent_with_every_try(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(Host(BUSY))
    async with world.open() as client:
        await client.post("/x", params=iter([("a", "1")]), data=iter([("b", "2")]))
    assert [(received.target, received.body) for received in world.hosts[0].seen] == [("/v1/x?a=1", b"b=2")] * 2


@pytest.mark.parametrize("field", ["Content-Length", "Transfer-Encoding"])
async def test_a_hook_cannot_change_how_a_body_is_framed(field: str) -> None:
    world = World(Host())
    async with world.open(prepare=lambda _: {field: "chunked"}) as client:
        with pytest.raises(UsageError, match="prepare hook"):
            await client.post("/x", content=b"ab")
        assert_at_rest(client)
    assert not world.hosts[0].seen


async def test_credentials_of_the_whole_client_are_refused_when_it_is_opened() -> None:
    with pytest.raises(UsageError, match="each upstream has its own key"):
        async with World(Host()).open(headers={"Authorization": "Bearer mine"}):
            pass


async def test_what_the_caller_sets_beside_credentials_comes_first() -> None:
    world = World(Host())
    async with world.open({"provider": ANTHROPIC}) as client:
        await client.post("/x", headers={"anthropic-version": "2030-01-01"})
    assert world.hosts[0].seen[0].values("anthropic-version") == ["2030-01-01"]


async def test_a_hook_may_sign_at_the_last_moment(autojump_clock: trio.testing.MockClock) -> None:
    def prepare(request: Any) -> dict[str, str]:
        return {"X-Signed-For": request.headers["host"]}

    world = World(Host(BUSY), Host(BUSY))
    async with world.open(prepare=prepare) as client:
        await client.get("/x")
    for port, host in enumerate(world.hosts, 1):
        assert {received.header("x-signed-for") for received in host.seen} <= {f"h:{port}"}
        assert host.seen


@pytest.mark.parametrize(
    "options", [{"timeouts": 5}, {"json": {}, "content": b""}, {"idempotency_key": 5}, {"headers": {"a b": "c"}}]
)
async def test_nonsense_is_refused_before_anything_is_sent(options: dict[str, Any]) -> None:
    world = World(Host())
    async with world.open({"requests_per_minute": 5}) as client:
        with pytest.raises(TrioPoolError) as caught:
            await client.post("/x", **options)
        assert caught.value.attempts == ()
        assert_at_rest(client)
        assert turnstile(client).group.members[0].limiter.requests.level == 5
    assert world.hosts[0].seen == []


# ---- what is refused when the client is opened ----


async def test_different_dialects_are_refused() -> None:
    with pytest.raises(UsageError, match="one dialect, not anthropic and openai"):
        async with World(Host(), Host()).open({"provider": ANTHROPIC}):
            pass


async def test_a_base_url_beside_upstreams_is_refused() -> None:
    with pytest.raises(UsageError, match="base_url or upstreams"):
        async with World(Host()).open(base_url="http://h/"):
            pass


@pytest.mark.parametrize(
    ("pool", "shares", "expected"),
    [
        (100, [None, None], [20, 20]),
        (10, [None, None, None], [3, 3, 3]),
        (100, [90, None], [90, 10]),
        (10, [7, 3], [7, 3]),
    ],
)
async def test_each_has_its_share_of_the_pool(pool: int, shares: list[int | None], expected: list[int]) -> None:
    world = World(*(Host(otherwise=SILENCE) for _ in shares))
    options = [{"max_connections": share} for share in shares]
    config = PoolConfig(max_connections=pool)
    async with world.open(*options, config=config) as client, trio.open_nursery() as nursery:
        for _ in range(3 * pool):
            nursery.start_soon(client.get, "/x")
        await trio.testing.wait_all_tasks_blocked()
        leased = {origin.upstream.name: each.leased for origin, each in client.pool.statistics().origins.items()}  # type: ignore[attr-defined]  # an Origin
        assert [leased[name] for name in "abcdef"[: len(shares)]] == expected
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("pool", "shares"), [(10, [7, 4]), (10, [10, None]), (1, [None, None])])
async def test_shares_that_exceed_the_pool_are_refused(pool: int, shares: list[int | None]) -> None:
    options = [{"max_connections": share} for share in shares]
    with pytest.raises(UsageError, match=f"more than the {pool} connections"):
        async with World(Host(), Host()).open(*options, config=PoolConfig(max_connections=pool)):
            pass


@pytest.mark.parametrize(
    "options",
    [
        {"weight": 0},
        {"weight": -1},
        {"weight": True},
        {"priority": 0.5},
        {"max_connections": 0},
        {"max_concurrency": 0},
        {"requests_per_minute": 0},
        {"tokens_per_minute": "5"},
        {"models": {"a": 1}},
        {"models": ["a"]},
        {"key": b"bytes"},
        {"key": ""},
        {"key_env": ""},
        {"provider": "nobody"},
        {"name": ""},
        {"adaptive": 1},
        {"first_byte_target": 1.0},
        {"adaptive": True, "first_byte_target": 0},
        {"key": "a", "key_env": "B"},
    ],
)
def test_nonsense_is_refused_with_the_fields_name(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(reversed(options))):
        Upstream("http://h", **options)


@pytest.mark.parametrize("url", ["http://user:s3cret@h/", "http://h/?key=s3cret", "ftp://h", "http://h/#x", 5, None])
def test_an_address_that_cannot_be_is_refused_and_shows_nothing(url: Any) -> None:
    with pytest.raises(TrioPoolError) as caught:
        Upstream(url)
    assert "s3cret" not in str(caught.value)


def test_a_key_is_never_shown() -> None:
    upstream = Upstream("http://h", key="s3cret", models={"a": "b"})
    assert "s3cret" not in repr(upstream) + str(upstream)


async def test_no_key_reaches_an_error_an_event_or_a_log(
    caplog: pytest.LogCaptureFixture, autojump_clock: trio.testing.MockClock
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World(Host(b"", BUSY), Host(error("invalid_api_key", "401 No")))
    for host in world.hosts:
        host.otherwise = [b""]
    shown = ""
    async with world.open() as client:
        for _ in range(5):
            try:
                answer = await client.get("/x")
                shown += repr(answer) + repr(answer.attempts) + repr(answer.request)
            except TrioPoolError as caught:
                shown += str(caught) + repr(caught) + repr(caught.__dict__)
        shown += repr(client.pool.statistics()) + repr(client._fleet)
    assert "s3cret" not in shown + repr(world.told) + caplog.text


# ---- failover ----


async def test_another_healthy_upstream_is_asked_at_once() -> None:
    world = World(Host(BUSY, BUSY), Host())
    async with world.open({}, {"priority": 1}) as client:
        answer = await client.post(PATH, json=BODY)
        assert results(answer.attempts) == [("a", "503"), ("b", "200")]
        assert answer.attempts[1].waited == pytest.approx(0, abs=0.1)
        assert_at_rest(client)
    assert [(event.before, event.after) for event in world.kinds(FailedOver)] == [("a", "b")]
    assert world.hosts[1].seen[0].header("authorization") == "Bearer s3cret-2"


async def test_the_lower_priority_number_is_asked_first() -> None:
    world = World(Host(), Host(), Host())
    async with world.open({"priority": 2}, {"priority": 1}, {"priority": 1}) as client:
        for _ in range(20):
            await client.get("/x")
    assert not world.hosts[0].seen
    assert world.hosts[1].seen or world.hosts[2].seen


async def test_a_refused_connection_fails_over_whatever_the_method() -> None:
    world = World(Host(), Host())
    world.hosts[0].is_down = True
    async with world.open({}, {"priority": 1}) as client:
        for _ in range(10):
            assert (await client.post(PATH, json=BODY)).status_code == 200
        assert_at_rest(client)
    assert len(world.hosts[0].refused) == 5
    assert [(event.before, event.after) for event in world.kinds(BreakerChanged)] == [("closed", "open")]


@pytest.mark.parametrize("status", ["401 No", "402 Pay"])
async def test_an_upstream_whose_key_is_dead_is_failed_over_and_not_asked_twice(status: str) -> None:
    world = World(Host(otherwise=error("x", status)), Host())
    async with world.open({}, {"priority": 1}) as client:
        answer = await client.post(PATH, json=BODY)
    assert results(answer.attempts) == [("a", status[:3]), ("b", "200")]


async def test_alone_it_is_the_answer() -> None:
    world = World(Host(otherwise=error("x", "401 No")))
    async with world.open() as client:
        assert (await client.post(PATH, json=BODY)).status_code == 401
    assert [event.reason for event in world.kinds(GaveUp)] == ["no other upstream"]


async def test_a_spent_quota_goes_elsewhere_or_comes_out() -> None:
    world = World(Host(otherwise=error("insufficient_quota")), Host(otherwise=error("insufficient_quota")))
    async with world.open({}, {"priority": 1}) as client:
        answer = await client.post(PATH, json=BODY)
        assert answer.json()["error"]["code"] == "insufficient_quota"
    assert results(answer.attempts) == [("a", "429"), ("b", "429")]
    assert [attempt.kind for attempt in answer.attempts] == ["quota spent"] * 2


async def test_all_tries_count_over_all_upstreams(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(otherwise=BUSY), Host(otherwise=BUSY))
    async with world.open(config=PoolConfig(retry_attempts=5)) as client:
        answer = await client.get("/x")
        assert (answer.status_code, answer.content) == (503, b"busy")
        assert_at_rest(client)
    assert len(answer.attempts) == 5
    assert len({attempt.upstream for attempt in answer.attempts[:2]}) == 2


@pytest.mark.parametrize("seconds", [30, 90])
async def test_a_wait_is_for_the_upstream_that_asks_for_it_and_not_for_the_request(
    seconds: int, autojump_clock: trio.testing.MockClock
) -> None:
    world = World(Host(BUSY), Host(error("x", "429 Slow", f"Retry-After: {seconds}")))
    async with world.open({}, {"priority": 1}) as client:
        answer = await client.get("/x")
        assert results(answer.attempts) == [("a", "503"), ("b", "429"), ("a", "200")]
        assert trio.current_time() < 1
        assert_at_rest(client)


async def test_where_the_others_are_no_use_the_wait_is_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(otherwise=error("x", "401 No")), Host(error("x", "429 Slow", "Retry-After: 5")))
    async with world.open({}, {"priority": 1}) as client:
        answer = await client.get("/x")
        assert results(answer.attempts) == [("a", "401"), ("b", "429"), ("b", "200")]
        assert trio.current_time() >= 5
        assert_at_rest(client)


async def test_a_refusal_that_the_server_wants_tried_again_is(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(error("x", "401 No", "x-should-retry: true")))
    async with world.open() as client:
        assert results((await client.get("/x")).attempts) == [("a", "401"), ("a", "200")]
        assert_at_rest(client)


async def test_what_the_provider_adds_is_retried_too() -> None:
    world = World(Host(error("conflict", "409 Conflict")), Host(error("conflict", "409 Conflict")))
    async with world.open({"provider": OPENAI}, {"provider": OPENAI}) as client:
        assert (await client.post(PATH, json=BODY)).status_code == 200


# ---- streams ----

EVENTS = "Content-Type: text/event-stream"


async def test_a_stream_that_begins_with_an_error_is_an_answer_of_that_status() -> None:
    bad = b'data: {"error": {"type": "server_error", "code": "server_is_overloaded"}}\n\n'
    world = World(Host(response(bad, EVENTS, chunked=True)), Host(response(b"data: 1\n\ndata: [DONE]\n\n", EVENTS)))
    async with world.open({}, {"priority": 1}) as client:
        async with client.stream("POST", PATH, json=BODY) as answer:
            assert [event.data async for event in answer.iter_events()][:1] == ["1"]
            assert results(answer.attempts) == [("a", "503"), ("b", "200")]
        assert_at_rest(client)


async def test_a_stream_that_begins_with_an_error_fails_where_there_is_no_other_try(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bad = response(b'data: {"error": {"code": "server_is_overloaded"}}\n\n', EVENTS)
    world = World(Host(otherwise=bad))
    async with world.open(config=PoolConfig(retry_attempts=2)) as client:
        async with client.stream("POST", PATH, json=BODY) as answer:
            assert answer.status_code == 200
            with pytest.raises(StreamFailed, match="server_is_overloaded") as caught:
                _ = [event async for event in answer.iter_events()]
            assert results(caught.value.attempts) == [("a", "503"), ("a", "503")]
        assert_at_rest(client)


@pytest.mark.parametrize("coding", ["", "gzip"])
async def test_a_stream_that_begins_well_is_given_whole(coding: str) -> None:
    import gzip

    body = b": hello\n\ndata: 1\n\ndata: 2\n\ndata: [DONE]\n\n"
    fields = [EVENTS, "Content-Encoding: gzip"] if coding else [EVENTS]
    head, body = (
        response(b"", *fields, length=len(gzip.compress(body) if coding else body)),
        gzip.compress(body) if coding else body,
    )
    world = World(Host([head, *(body[at : at + 1] for at in range(len(body)))]))
    async with world.open() as client:
        async with client.stream("POST", PATH, json=BODY) as answer:
            assert [event.data async for event in answer.iter_events()][:2] == ["1", "2"]
            assert answer._provider is not None
        assert_at_rest(client)


async def test_pings_are_no_first_event(autojump_clock: trio.testing.MockClock) -> None:
    head = response(b"", EVENTS, length=1000)
    ping = b'event: ping\ndata: {"type": "ping"}\n\n'
    bad = b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n'
    world = World(Host([head, ping, ping, bad]), Host())
    async with world.open({"provider": ANTHROPIC}, {"provider": ANTHROPIC, "priority": 1}) as client:
        answer = await client.post("/messages", json=BODY)
    assert results(answer.attempts) == [("a", "529"), ("b", "200")]
    assert world.hosts[0].connections[0].is_closed


async def test_a_stream_without_a_first_event_is_a_silence(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host([response(b"", EVENTS, length=100), b": alive\n\n"]))
    async with world.open() as client:
        with pytest.raises(ReadTimeout):
            await client.post(PATH, json=BODY)
        assert_at_rest(client)
    assert trio.current_time() == pytest.approx(600)


async def test_an_upstream_may_take_as_long_to_begin_as_its_provider_says(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(Host(otherwise=SILENCE))
    async with world.open(config=PoolConfig(retry_attempts=1)) as client:
        with pytest.raises(ReadTimeout, match="within 600 s"):
            await client.get("/x")
        with pytest.raises(ReadTimeout, match="within 7 s"):
            await client.get("/x", timeouts=Timeouts(first_byte=7))
    async with world.open(config=PoolConfig(retry_attempts=1, first_byte_timeout=9)) as client:
        with pytest.raises(ReadTimeout, match="within 9 s"):
            await client.get("/x")


# ---- pauses and limits ----


@pytest.mark.parametrize("body", [b"x" * 200_000, b"short"])
async def test_a_last_answer_that_was_looked_at_can_be_read_whole(
    body: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    world = World(Host(otherwise=response(body, status="503 Busy")))
    async with world.open() as client:
        async with client.stream("GET", "/x") as answer:
            assert b"".join([piece async for piece in answer.iter_raw()]) == body
        assert_at_rest(client)


async def test_a_refusal_whose_body_never_comes_is_judged_without(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(response(b"{", length=100, status="503 Busy")), Host())
    async with world.open({}, {"priority": 1}) as client:
        assert (await client.get("/x")).status_code == 200
        assert_at_rest(client)
    assert trio.current_time() == pytest.approx(2)


async def test_nothing_is_sent_in_a_pause(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(error("rate_limit_exceeded", "429 Slow", "Retry-After: 9")))
    async with world.open(config=PoolConfig(acquire_timeout=20)) as client, trio.open_nursery() as nursery:
        for _ in range(30):
            nursery.start_soon(client.get, "/x")
            await trio.sleep(0.01)
        with pytest.raises(RateLimited) as caught:
            await client.get("/x", timeouts=Timeouts(acquire=3))
        assert caught.value.retry_after == pytest.approx(9 - 0.3, abs=1)
        assert [event.reason for event in world.kinds(GaveUp)] == ["RateLimited"]
    host = world.hosts[0]
    first = host.times[0]
    assert all(at == first or at >= first + 9 for at in host.times)
    assert len(set(host.times)) > 5, "they came back together"
    assert [event.upstream for event in world.kinds(UpstreamPaused)] == ["a"]


class Nineties(World):
    """Its clock stands in RFC 9110's own examples."""

    def time(self) -> float:
        return 784111777.0 + trio.current_time()


async def test_dates_are_told_by_the_networks_own_clock(autojump_clock: trio.testing.MockClock) -> None:
    names = {"limit": "60", "remaining": "0", "reset": "1994-11-06T10:50:37Z"}
    limits = [f"anthropic-ratelimit-requests-{name}: {value}" for name, value in names.items()]
    slow = error("rate_limit_error", "429 Slow", "Retry-After: Sun, 06 Nov 1994 08:49:57 GMT")
    world = Nineties(Host(slow, response(b"", *limits)), Host(slow))
    upstreams = world.upstreams({"provider": ANTHROPIC})[:1]
    async with world.open(upstreams=upstreams, config=PoolConfig(retry_attempts=1)) as client:
        await client.get("/x")
        assert [event.seconds for event in world.kinds(UpstreamPaused)] == [20]
        await trio.sleep(60)
        await client.get("/x")
        assert turnstile(client).group.members[0].limiter.requests.rate == pytest.approx(60 / 7200, rel=0.01)
    async with open_client(network=world) as client:
        world.hosts[1].replies = [error("x", "429 Slow", "Retry-After: Sun, 06 Nov 1994 08:51:37 GMT")]
        await client.get("http://h:2/")
        assert 120 <= trio.current_time() <= 140


async def test_a_request_in_the_pools_line_is_not_sent_in_a_pause(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(SILENCE))
    config = PoolConfig(acquire_timeout=30, retry_attempts=2)
    async with world.open({"max_connections": 1}, config=config) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.get, "/x")
        await trio.sleep(1)
        nursery.start_soon(client.get, "/x")
        await trio.sleep(1)
        world.connections[0].send(error("rate_limit_exceeded", "429 Slow", "Retry-After: 5"))
    times = world.hosts[0].times
    assert len(times) == 3
    assert min(times[1:]) >= 7
    assert len(world.connections) == 1, "a connection that was whole was not kept"
    assert_at_rest(client)


async def test_a_request_whose_connection_is_being_made_is_not_sent_in_a_pause(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(Host(SILENCE))
    world.dial_seconds = [0, 3]
    config = PoolConfig(acquire_timeout=30, retry_attempts=2)
    async with world.open(config=config) as client, trio.open_nursery() as nursery:
        nursery.start_soon(client.get, "/x")
        await trio.sleep(1)
        nursery.start_soon(client.get, "/x")
        await trio.sleep(1)
        world.connections[0].send(error("rate_limit_exceeded", "429 Slow", "Retry-After: 5"))
    times = world.hosts[0].times
    assert len(times) == 3
    assert min(times[1:]) >= 7
    assert_at_rest(client)


async def test_what_its_connections_cannot_carry_goes_to_another_at_once() -> None:
    world = World(Host(otherwise=SILENCE), Host())
    async with world.open({"max_connections": 2}, {"priority": 1}) as client, trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(client.get, "/x")
        await trio.testing.wait_all_tasks_blocked()
        assert results((await client.get("/x")).attempts) == [("b", "200")]
        nursery.cancel_scope.cancel()


async def test_requests_wait_in_line_for_the_minute_instead_of_drawing_refusals(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(Host())
    config = PoolConfig(acquire_timeout=30)
    async with world.open({"requests_per_minute": 60}, config=config) as client, trio.open_nursery() as nursery:
        outcomes: list[str] = []

        async def ask() -> None:
            try:
                outcomes.append(str((await client.get("/x")).status_code))
            except RateLimited as limited:
                assert limited.retry_after is not None
                outcomes.append(f"limited {limited.retry_after > 29}")

        for _ in range(100):
            nursery.start_soon(ask)
    assert outcomes.count("200") == pytest.approx(90, abs=1)
    assert set(outcomes) == {"200", "limited True"}
    times = world.hosts[0].times
    assert sum(at < 1e-6 for at in times) == 60
    assert times[-1] == pytest.approx(30, abs=1.1)
    assert all(sum(a <= b < a + 1 for b in times[60:]) <= 2 for a in times[60:])
    waits = world.kinds(WaitedForUpstream)
    assert len(waits) >= 29


async def test_what_was_sent_is_charged_and_what_was_not_is_not(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(otherwise=SILENCE))
    world.dial_seconds = [0, 0, *[math.inf] * 4]
    async with world.open({"requests_per_minute": 10}) as client, trio.open_nursery() as nursery:
        for _ in range(6):
            nursery.start_soon(client.get, "/x")
        await trio.sleep(1e-9)
        assert len(world.hosts[0].seen) == 2
        assert turnstile(client).group.members[0].limiter.requests.level == pytest.approx(4)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            await trio.testing.wait_all_tasks_blocked()
        assert_at_rest(client)
        assert turnstile(client).group.members[0].limiter.requests.level == pytest.approx(8)


async def test_tokens_are_charged_by_estimate_and_corrected_by_usage(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host())
    async with world.open({"tokens_per_minute": 1000}) as client:
        level = turnstile(client).group.members[0].limiter.tokens
        await client.post(PATH, json={"max_tokens": 600})
        assert level.level == pytest.approx(1000 - 10)
        async with client.stream("POST", PATH, json={"max_tokens": 600}):
            assert level.level == pytest.approx(1000 - 10 - 600 - 4, abs=2)


@pytest.mark.parametrize(
    ("options", "charged"),
    [
        ({"json": {"max_tokens": 10**400}}, 10**7),
        ({"json": {"max_tokens": -5000}}, 5),
        ({"json": {"max_tokens": "many"}}, 5),
        ({"content": b"x" * 400}, 100),
        ({"json": {"generationConfig": {"maxOutputTokens": 90}}}, 90 + 12),
    ],
)
async def test_no_body_whatever_makes_an_estimate_that_is_nonsense(options: dict[str, Any], charged: float) -> None:
    world = World(Host(otherwise=SILENCE))
    async with world.open({"tokens_per_minute": 1000}) as client, trio.open_nursery() as nursery:
        nursery.start_soon(partial(client.post, PATH, **options))
        await trio.testing.wait_all_tasks_blocked()
        assert turnstile(client).group.members[0].limiter.tokens.level == pytest.approx(1000 - charged, rel=1e-3, abs=2)
        nursery.cancel_scope.cancel()


async def test_a_providers_own_header_fields_are_believed(autojump_clock: trio.testing.MockClock) -> None:
    fields = ["x-ratelimit-limit-requests: 60", "x-ratelimit-remaining-requests: 0", "x-ratelimit-reset-requests: 60s"]
    world = World(Host(response(b"", *fields)))
    async with world.open() as client:
        await client.get("/x")
        await client.get("/x")
    assert world.hosts[0].times[1] == pytest.approx(1, abs=0.01)


async def test_a_concurrency_bound_lasts_to_the_end_of_the_body(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(response(b"a", length=2)))
    config = PoolConfig(acquire_timeout=2)
    async with world.open({"max_concurrency": 1}, config=config) as client:
        async with client.stream("GET", "/x") as first:
            with pytest.raises(PoolTimeout, match="no upstream became free"):
                await client.get("/x")
            assert len(world.hosts[0].seen) == 1
            world.hosts[0].connections[0].send(b"b")
            assert await first.read() == b"ab"
            assert (await client.get("/x")).status_code == 200
        assert_at_rest(client)


async def test_the_line_before_the_upstreams_has_a_bound() -> None:
    world = World(Host(otherwise=SILENCE))
    config = PoolConfig(max_waiting=2)
    async with world.open({"max_concurrency": 1}, config=config) as client, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(client.get, "/x")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(PoolFull):
            await client.get("/x")
        nursery.cancel_scope.cancel()


async def test_the_adaptive_limit_is_cut_by_an_overload_and_tells(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(BUSY))
    async with world.open({"adaptive": True, "max_concurrency": 50}) as client:
        await client.get("/x")
        assert turnstile(client).group.members[0].limit == 18
    assert [(event.before, event.after) for event in world.kinds(LimitChanged)] == [(20, 18)]


async def test_an_overload_in_the_middle_of_a_stream_cuts_the_limit_and_makes_the_pause_it_asks_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}
    failure = {"error": {"code": 503, "status": "UNAVAILABLE", "details": [info]}}
    world = World(Host(response(b"data: {}\n\ndata: " + json.dumps(failure).encode() + b"\n\n", EVENTS)))
    async with world.open({"adaptive": True, "provider": GOOGLE}) as client:
        async with client.stream("POST", PATH, json=BODY) as answer:
            with pytest.raises(StreamFailed):
                _ = [event async for event in answer.iter_events()]
        assert turnstile(client).group.members[0].limit == 18
        assert_at_rest(client)
    assert [event.seconds for event in world.kinds(UpstreamPaused)] == [7]


# ---- breakers and probes ----


async def test_streams_that_always_break_off_open_the_breaker(autojump_clock: trio.testing.MockClock) -> None:
    """That their heads are fine serves nobody."""
    world = World(Host(otherwise=[response(b"", EVENTS, length=100), b"data: 1\n\n", b""]), Host())
    async with world.open({}, {"priority": 1}) as client:
        for _ in range(6):
            async with client.stream("POST", PATH, json=BODY) as answer:
                if answer.attempts[-1].upstream == "a":
                    with pytest.raises(StreamIncomplete):
                        _ = [event async for event in answer.iter_events()]
        assert_at_rest(client)
    assert (len(world.hosts[0].seen), len(world.hosts[1].seen)) == (5, 1)


async def test_what_is_left_in_the_middle_was_served_well(autojump_clock: trio.testing.MockClock) -> None:
    """A program that never reads to the end must not add up failures of different days."""
    begun: Reply = [response(b"", EVENTS, length=100), b"data: 1\n\n"]
    world = World(Host(*[begun, [b""]] * 10))
    async with world.open() as client:
        for _ in range(10):
            async with client.stream("POST", PATH, json=BODY) as answer:
                assert answer.status_code == 200
            with pytest.raises(TrioPoolError):
                await client.post(PATH, json=BODY)
        assert turnstile(client).group.members[0].breaker._failures == 1
    assert not world.kinds(BreakerChanged)


async def test_a_recovering_upstream_gets_one_probe(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(), Host())
    world.hosts[0].is_down = True
    async with world.open({}, {"priority": 1}) as client, trio.open_nursery() as nursery:
        for _ in range(6):
            await client.get("/x")
        world.hosts[0].is_down = False
        world.hosts[0].otherwise = SILENCE
        await trio.sleep(6)
        for _ in range(20):
            nursery.start_soon(client.get, "/x")
        await trio.testing.wait_all_tasks_blocked()
        assert len(world.hosts[0].seen) == 1
        world.hosts[0].otherwise = OK
        world.hosts[0].connections[0].send(OK)
        await trio.testing.wait_all_tasks_blocked()
        await client.get("/x")
    assert len(world.hosts[0].seen) == 2
    assert [event.after for event in world.kinds(BreakerChanged)] == ["open", "half-open", "closed"]


async def test_a_probe_that_is_cancelled_does_not_close_the_breaker(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(), Host())
    world.hosts[0].is_down = True
    async with world.open({}, {"priority": 1}) as client:
        for _ in range(6):
            await client.get("/x")
        world.hosts[0].is_down = False
        world.hosts[0].otherwise = SILENCE
        await trio.sleep(6)
        with trio.move_on_after(1):
            await client.get("/x")
        assert turnstile(client).group.members[0].breaker.state.value == "half-open"
        assert_at_rest(client)
        world.hosts[0].otherwise = OK
        await client.get("/x")
        assert turnstile(client).group.members[0].breaker.state.value == "closed"
    assert len(world.hosts[0].seen) == 2


async def test_when_all_are_open_the_least_bad_is_tried() -> None:
    world = World(Host(), Host())
    for host in world.hosts:
        host.is_down = True
    async with world.open(config=PoolConfig(retry_attempts=1)) as client:
        for _ in range(30):
            with pytest.raises(TrioPoolError):
                await client.get("/x")
        for host in world.hosts:
            host.is_down = False
        assert (await client.get("/x")).status_code == 200


async def test_an_upstream_can_be_probed_without_traffic(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(), Host())
    world.hosts[0].is_down = True
    async with world.open({"probe": "/health"}, {"priority": 1}) as client:
        for _ in range(6):
            await client.get("/x")
        await trio.sleep(30)
        world.hosts[0].is_down = False
        await trio.sleep(60)
        assert turnstile(client).group.members[0].breaker.state.value == "closed"
        assert_at_rest(client)
        (probe,) = world.hosts[0].seen
        refused = len(world.hosts[0].refused)
        world.hosts[0].is_down = True
        for connection in world.hosts[0].connections:
            connection.send(b"")
        for _ in range(6):
            await client.get("/x")
        world.hosts[0].is_down = False
        await trio.sleep(60)
        assert turnstile(client).group.members[0].breaker.state.value == "closed"
        assert len(world.hosts[0].seen) == 2
    assert (probe.method, probe.target, probe.header("authorization")) == ("GET", "/v1/health", "Bearer s3cret-1")
    assert 2 <= refused - 5 <= 5


async def broken(world: World, client: Client) -> None:
    """The first upstream is down until its breaker is open."""
    world.hosts[0].is_down = True
    for _ in range(6):
        await client.get("/x")
    world.hosts[0].is_down = False
    assert turnstile(client).group.members[0].breaker.state.value == "open"


async def test_a_probe_is_signed_as_any_request_is(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(), Host())
    async with world.open({"probe": "/health"}, {"priority": 1}, prepare=lambda _: {"X-Signed": "yes"}) as client:
        await broken(world, client)
        await trio.sleep(30)
    assert [received.header("x-signed") for received in world.hosts[0].seen] == ["yes"]


async def test_a_probe_that_is_not_answered_has_failed(autojump_clock: trio.testing.MockClock) -> None:
    """And does not wait as long as an answer may be thought about."""
    world = World(Host(otherwise=SILENCE), Host())
    async with world.open({"probe": "/health"}, {"priority": 1}) as client:
        await broken(world, client)
        await trio.sleep(60)
        assert [event.after for event in world.kinds(BreakerChanged)][:3] == ["open", "half-open", "open"]


async def test_a_probe_whose_key_never_comes_keeps_nobody_out(autojump_clock: trio.testing.MockClock) -> None:
    hangs = False

    async def key() -> str:
        if hangs:
            await trio.sleep_forever()
        return "s3cret"

    world = World(Host(), Host())
    async with world.open({"probe": "/health", "key": key}, {"priority": 1}) as client:
        await broken(world, client)
        hangs = True
        await trio.sleep(20)
        assert turnstile(client).group.members[0].breaker._probe is not None
        hangs = False
        await trio.sleep(60)
        assert turnstile(client).group.members[0].breaker.state.value == "closed"
        assert_at_rest(client)


# ---- hedging ----


def hedged(world: World, **options: Any) -> Any:
    """A client that hedges."""
    return world.open({}, {"priority": 1}, hedging=True, **options)


def learn(client: Client, seconds: float = 0.5) -> None:
    """It has learnt how fast its upstreams are."""
    for member in turnstile(client).group.members:
        for _ in range(30):
            member.first_bytes.add(seconds)


async def test_a_late_first_byte_gets_a_rival_and_the_loser_is_closed(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(), Host())
    async with hedged(world) as client:
        learn(client)
        world.hosts[0].otherwise = SILENCE
        answer = await client.get("/x")
        assert results(answer.attempts) == [("b", "200")]
        assert_at_rest(client)
    assert trio.current_time() == pytest.approx(0.5)
    assert all(connection.is_closed for connection in world.hosts[0].connections)
    assert [(event.first, event.second) for event in world.kinds(Hedged)] == [("a", "b")]
    assert [(event.upstream, event.is_hedge) for event in world.kinds(AttemptStarted)] == [("a", False), ("b", True)]
    ended = [(event.attempt.upstream, event.attempt.result) for event in world.kinds(AttemptEnded)]
    assert ended == [("a", "cancelled"), ("b", "200")]
    assert turnstile(client).group.members[0].breaker._failures == 0


async def test_a_post_is_hedged_only_where_the_caller_allows_it(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(), Host())
    async with hedged(world, config=PoolConfig(total_timeout=5)) as client:
        learn(client)
        world.hosts[0].otherwise = SILENCE
        with pytest.raises(TimeoutError):
            await client.post(PATH, json=BODY)
        assert (await client.post(PATH, json=BODY, idempotency_key="k")).status_code == 200
        assert_at_rest(client)
    assert len(world.kinds(Hedged)) == 1


async def test_where_no_other_is_free_there_is_no_rival_and_nobody_waits_for_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(Host(), Host(otherwise=SILENCE))
    async with (
        world.open({}, {"priority": 1, "max_concurrency": 1}, hedging=True) as client,
        trio.open_nursery() as nursery,
    ):
        learn(client)
        world.hosts[0].is_down = True
        nursery.start_soon(client.get, "/x")
        await trio.sleep(0.1)
        world.hosts[0].is_down = False
        world.hosts[0].otherwise = SILENCE
        nursery.start_soon(client.get, "/x")
        await trio.sleep(2)
        assert (len(world.hosts[0].seen), len(world.hosts[1].seen)) == (1, 1)
        assert turnstile(client).group.waiting == 0
        nursery.cancel_scope.cancel()
    assert not world.kinds(Hedged)


async def test_a_rival_that_fails_leaves_the_first_in_the_race(autojump_clock: trio.testing.MockClock) -> None:
    world = World(Host(), Host(otherwise=BUSY))
    async with hedged(world) as client, trio.open_nursery() as nursery:
        learn(client)
        world.hosts[0].otherwise = SILENCE
        answers = []

        async def ask() -> None:
            answers.append(await client.get("/x"))

        nursery.start_soon(ask)
        await trio.sleep(1)
        assert not answers
        world.hosts[0].connections[0].send(OK)
        await trio.sleep(0.1)
        assert results(answers[0].attempts) == [("b", "503"), ("a", "200")]
        assert_at_rest(client)


# ---- the end ----


async def test_who_waits_when_the_pool_closes_is_told() -> None:
    world = World(Host(otherwise=SILENCE))
    failures: list[str] = []

    async def ask(client: Any) -> None:
        try:
            await client.get("/x")
        except TrioPoolError as caught:
            failures.append(type(caught).__name__)

    async with trio.open_nursery() as nursery:
        async with world.open({"max_concurrency": 1}) as client:
            for _ in range(3):
                nursery.start_soon(ask, client)
            await trio.testing.wait_all_tasks_blocked()
    assert sorted(failures) == ["PoolClosed", "PoolClosed", "ReadError"]


async def test_a_response_that_is_dropped_gives_its_permit_back() -> None:
    world = World(Host(response(b"a", length=2)))
    async with world.open({"max_concurrency": 1}) as client:
        with pytest.warns(ResourceWarning, match="for a was dropped"):
            await client.stream("GET", "/x").__aenter__()
            gc.collect()
        await trio.testing.wait_all_tasks_blocked()
        assert_at_rest(client)
        assert (await client.get("/x")).status_code == 200


async def test_who_waits_for_a_pause_to_end_is_told_at_once_when_the_pool_closes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    world = World(Host(error("rate_limit_exceeded", "429 Slow", "Retry-After: 9")))
    failures: list[str] = []

    async def ask(client: Client) -> None:
        try:
            await client.get("/x", timeouts=Timeouts(acquire=30))
        except TrioPoolError as caught:
            failures.append(type(caught).__name__)

    async with trio.open_nursery() as nursery:
        async with world.open(config=PoolConfig(retry_attempts=1)) as client:
            await ask(client)
            for _ in range(3):
                nursery.start_soon(ask, client)
            await trio.sleep(1)
        assert trio.current_time() == 1
    assert failures == ["PoolClosed"] * 3
    assert trio.current_time() == 1


async def test_a_redirect_within_an_upstream_keeps_its_key_and_elsewhere_loses_it() -> None:
    def answer(received: Received) -> Reply:
        if received.target == "/v1/here":
            return response(b"", "Location: /v1/there", status="302 Found")
        if received.target == "/v1/there":
            return response(b"", "Location: http://h:2/away", status="302 Found")
        return OK

    world = World(Host(otherwise=answer), Host())
    async with open_client(network=world, upstreams=world.upstreams()[:1], follow_redirects=True) as client:
        assert (await client.get("/here")).status_code == 200
        assert_at_rest(client)
    assert [received.header("authorization") for received in world.hosts[0].seen] == ["Bearer s3cret-1"] * 2
    assert world.hosts[1].seen[0].header("authorization") is None
    assert len(world.hosts[0].connections) == 1


async def test_google_keeps_its_model_in_the_path() -> None:
    world = World(Host())
    async with world.open({"provider": GOOGLE, "models": {"big": "other"}}) as client:
        await client.post("/models/big:generateContent", json={"model": "big", "contents": []})
    assert world.hosts[0].seen[0].body == b'{"model":"big","contents":[]}'
    assert world.hosts[0].seen[0].header("x-goog-api-key") == "s3cret-1"
