"""Upstreams over real sockets: every status, error code and header form that providers use, emulated."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any

import pytest
import trio

from trio_pool import Client, PoolConfig, ReadTimeout, StatusError, StreamFailed, Timeouts, Upstream, open_client
from trio_pool.providers import ANTHROPIC, DEEPSEEK, GOOGLE, HOLYSHEEP, OPENAI

from ...providers.server import Provider, Script, open_provider
from .world import assert_at_rest, results, turnstile

PLAIN = PoolConfig()
ASK: dict[str, Any] = {"model": "big", "messages": [{"role": "user", "content": "hello there"}]}
CHAT = "/chat/completions"
KINDS = {
    "openai": (OPENAI, CHAT, ASK),
    "anthropic": (ANTHROPIC, "/v1/messages", {**ASK, "max_tokens": 9}),
    "google": (GOOGLE, "/models/big:generateContent", {"contents": [{"parts": [{"text": "hello there"}]}]}),
    "deepseek": (DEEPSEEK, CHAT, ASK),
    "holysheep": (HOLYSHEEP, CHAT, ASK),
}


@asynccontextmanager
async def two(
    provider: Any = OPENAI,
    config: PoolConfig = PLAIN,
    **options: Any,
) -> AsyncGenerator[tuple[Provider, Provider, Client]]:
    """Two providers, the first of which is asked first, and a client on both."""
    async with open_provider() as a, open_provider() as b:
        upstreams = [
            Upstream(a.url, provider=provider, key="key-a", name="a", **options),
            Upstream(b.url, provider=provider, key="key-b", name="b", priority=1),
        ]
        async with open_client(config, upstreams=upstreams) as client:
            with trio.fail_after(20):
                yield a, b, client
            assert_at_rest(client)


def pause_of(client: Client) -> float:
    return turnstile(client).group.members[0].paused_until - trio.current_time()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 529])
async def test_a_retryable_status_fails_over(kind: str, status: int) -> None:
    provider, path, body = KINDS[kind]
    async with two(provider) as (a, b, client):
        a.script(Script(status))
        answer = await client.post(path, json=body)
        assert answer.status_code == 200
        assert "You said: hello there" in answer.text
        assert results(answer.attempts) == [("a", str(status)), ("b", "200")]
        assert a.seen[0].headers[provider.key_header.lower()] == f"{provider.key_prefix}key-a"
        assert b.seen[0].headers[provider.key_header.lower()] == f"{provider.key_prefix}key-b"
        assert a.seen[0].body == b.seen[0].body


@pytest.mark.parametrize(
    ("kind", "tries"), [("openai", 2), ("anthropic", 2), ("holysheep", 2), ("google", 1), ("deepseek", 1)]
)
@pytest.mark.parametrize("status", [409, 501, 520])
async def test_some_are_retried_by_those_whose_own_clients_do(kind: str, tries: int, status: int) -> None:
    provider, path, body = KINDS[kind]
    async with two(provider) as (a, _, client):
        a.script(Script(status))
        assert len((await client.post(path, json=body)).attempts) == tries


@pytest.mark.parametrize("status", [400, 403, 404, 413, 422])
async def test_an_answer_is_an_answer(status: int) -> None:
    async with two() as (a, b, client):
        a.script(Script(status, body={"error": {"code": "bad"}}))
        answer = await client.post(CHAT, json=ASK)
        assert (answer.status_code, answer.json()) == (status, {"error": {"code": "bad"}})
        with pytest.raises(StatusError) as caught:
            answer.raise_for_status()
        assert results(caught.value.attempts) == [("a", str(status))]
        assert b.seen == []


@pytest.mark.parametrize("status", [401, 402])
async def test_a_dead_account_is_left_for_another(status: int) -> None:
    async with two() as (a, _, client):
        a.script(Script(status))
        assert (await client.post(CHAT, json=ASK)).status_code == 200


WAITS = {
    "seconds": lambda: {"Retry-After": "30"},
    "milliseconds": lambda: {"retry-after-ms": "30000"},
    "milliseconds first": lambda: {"retry-after-ms": "30000", "Retry-After": "1"},
    "a date": lambda: {"Retry-After": formatdate(time.time() + 30, usegmt=True)},
}


@pytest.mark.parametrize("form", WAITS)
@pytest.mark.parametrize("status", [429, 503, 529])
async def test_a_wait_is_kept_for_the_whole_upstream(form: str, status: int) -> None:
    async with two() as (a, b, client):
        a.script(Script(status, WAITS[form]()))
        for _ in range(5):
            assert (await client.post(CHAT, json=ASK)).status_code == 200
        assert (len(a.seen), len(b.seen)) == (1, 5)
        assert 25 < pause_of(client) <= 31


ODD_WAITS: dict[str, tuple[Any, tuple[float, float]]] = {  # none that makes sense: as long as a retry would wait
    "a fraction": ("29.5", (25, 30)),
    "zero": ("0", (0, 0.5)),
    "below zero": ("-1", (0, 0.5)),
    "no number": ("NaN", (0, 0.5)),
    "an endless number": ("9" * 400, (86300, 86400)),
    "a duration": ("6m0s", (0, 0.5)),
    "a date long ago": ("Sun, 06 Nov 1994 08:49:37 GMT", (0, 0.5)),
    "an old form of a date": (
        lambda: time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(time.time() + 30)),
        (25, 31),
    ),
    "C's form of a date": (lambda: time.asctime(time.gmtime(time.time() + 30)), (25, 31)),
    "nothing": ("", (0, 0.5)),
}


@pytest.mark.parametrize("form", ODD_WAITS)
async def test_whatever_stands_in_retry_after_makes_a_pause_that_makes_sense(form: str) -> None:
    said, (least, most) = ODD_WAITS[form]
    async with two() as (a, b, client):
        a.script(Script(429, {"Retry-After": said() if callable(said) else said}))
        assert (await client.post(CHAT, json=ASK)).status_code == 200
        assert (len(a.seen), len(b.seen)) == (1, 1)
        assert least <= max(pause_of(client), 0) <= most


async def test_a_long_wait_counts_more_than_a_wish_to_be_asked_again() -> None:
    async with open_provider() as a, open_client(upstreams=[Upstream(a.url)]) as client:
        a.script(Script(503, {"Retry-After": "3600", "x-should-retry": "true"}))
        with trio.fail_after(5):
            assert len((await client.post(CHAT, json=ASK)).attempts) == 1


async def test_a_google_error_tells_its_wait_in_the_body() -> None:
    provider, path, body = KINDS["google"]
    info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "40s"}
    async with two(provider) as (a, _, client):
        a.script(Script(429, body={"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [info]}}))
        assert (await client.post(path, json=body)).status_code == 200
        assert 35 < pause_of(client) <= 40


@pytest.mark.parametrize("seconds", ["61", "3600"])
async def test_a_wait_over_the_ceiling_comes_out_where_there_is_no_other(seconds: str) -> None:
    async with open_provider() as a, open_client(upstreams=[Upstream(a.url)]) as client:
        a.script(Script(429, {"Retry-After": seconds}))
        with trio.fail_after(5):
            assert (await client.post(CHAT, json=ASK)).status_code == 429


@pytest.mark.parametrize(("status", "said", "tries"), [(503, "false", 1), (404, "true", 2), (429, "FALSE", 1)])
async def test_what_the_server_says_of_retrying_is_obeyed(status: int, said: str, tries: int) -> None:
    async with two() as (a, _, client):
        a.script(Script(status, {"x-should-retry": said}))
        assert len((await client.post(CHAT, json=ASK)).attempts) == tries


def said_by(kind: str, status: int, code: str) -> Any:
    """An error's body, as each protocol has it."""
    if kind == "anthropic":
        return {"type": "error", "error": {"type": code, "message": "no"}}
    if kind == "google":
        return {"error": {"code": status, "message": "no", "status": code}}
    return {"error": {"message": "no", "type": code, "param": None, "code": code}}


CODES = [  # whose, with which status, and what it means
    *(("anthropic", 400, "invalid_request_error", "answered"), ("anthropic", 401, "authentication_error", "unfit")),
    *(("anthropic", 402, "billing_error", "quota spent"), ("anthropic", 403, "permission_error", "answered")),
    *(("anthropic", 404, "not_found_error", "answered"), ("anthropic", 413, "request_too_large", "answered")),
    *(("anthropic", 429, "rate_limit_error", "rate limited"), ("anthropic", 500, "api_error", "failed")),
    *(("anthropic", 504, "timeout_error", "failed"), ("anthropic", 529, "overloaded_error", "overloaded")),
    *(("openai", 400, "invalid_request_error", "answered"), ("openai", 401, "invalid_api_key", "unfit")),
    *(
        ("openai", 403, "unsupported_country_region_territory", "answered"),
        ("openai", 404, "model_not_found", "answered"),
    ),
    *(("openai", 429, "rate_limit_exceeded", "rate limited"), ("openai", 429, "insufficient_quota", "quota spent")),
    *(("openai", 429, "organization_spend_limit_exceeded", "quota spent"), ("openai", 500, "server_error", "failed")),
    *(("openai", 503, "server_is_overloaded", "overloaded"), ("openai", 503, "slow_down", "overloaded")),
    *(("google", 400, "INVALID_ARGUMENT", "answered"), ("google", 400, "FAILED_PRECONDITION", "answered")),
    *(("google", 403, "PERMISSION_DENIED", "answered"), ("google", 404, "NOT_FOUND", "answered")),
    *(("google", 429, "RESOURCE_EXHAUSTED", "rate limited"), ("google", 500, "INTERNAL", "failed")),
    *(("google", 503, "UNAVAILABLE", "overloaded"), ("google", 504, "DEADLINE_EXCEEDED", "failed")),
    *(("deepseek", 401, "authentication_error", "unfit"), ("deepseek", 402, "unknown_error", "unfit")),
    *(("deepseek", 422, "invalid_request_error", "answered"), ("deepseek", 429, "rate_limit", "rate limited")),
    *(("deepseek", 500, "server_error", "failed"), ("deepseek", 503, "service_unavailable_error", "overloaded")),
]


@pytest.mark.parametrize(("kind", "status", "code", "meaning"), CODES)
async def test_every_error_code_is_understood(kind: str, status: int, code: str, meaning: str) -> None:
    provider, path, body = KINDS[kind]
    said = said_by(kind, status, code)
    async with two(provider) as (a, b, client):
        a.script(Script(status, body=said))
        answer = await client.post(path, json=body)
        assert answer.attempts[0].kind == meaning
        if meaning == "answered":
            assert (answer.status_code, answer.json(), b.seen) == (status, said, [])
        else:
            assert results(answer.attempts) == [("a", str(status)), ("b", "200")]


QUOTAS = {
    "openai": ("openai", 429, {"error": {"type": "insufficient_quota", "code": "insufficient_quota"}}),
    "anthropic": ("anthropic", 400, {"type": "error", "error": {"type": "billing_error"}}),
    "google": (
        "google",
        429,
        {"error": {"status": "RESOURCE_EXHAUSTED", "details": [{"violations": [{"quotaId": "RequestsPerDay"}]}]}},
    ),
}


@pytest.mark.parametrize("name", QUOTAS)
async def test_a_spent_quota_is_told_from_a_rate_limit(name: str) -> None:
    kind, status, said = QUOTAS[name]
    provider, path, body = KINDS[kind]
    async with two(provider) as (a, b, client):
        a.script(Script(status, body=said))
        b.script(Script(status, body=said))
        answer = await client.post(path, json=body)
        assert answer.json() == said
        assert [attempt.kind for attempt in answer.attempts] == ["quota spent", "quota spent"]
        assert (len(a.seen), len(b.seen)) == (1, 1)


UNCLEAR = {
    "invalid_api_key",
    "model_not_found",
    "organization_spend_limit_exceeded",
    "unsupported_country_region_territory",
}
"""Codes that name no status; they come before a stream begins."""

FIRST_EVENTS = [row for row in CODES if row[0] in ("openai", "anthropic", "google") and row[2] not in UNCLEAR]


@pytest.mark.parametrize(("kind", "status", "code", "meaning"), FIRST_EVENTS)
async def test_every_error_code_is_understood_as_the_first_event_of_a_stream(
    kind: str, status: int, code: str, meaning: str
) -> None:
    """What would have been the answer's status decides, whatever the stream's own is."""
    provider, path, body = KINDS[kind]
    event = "event: error\ndata: " if kind == "anthropic" else "data: "
    said = f"{event}{json.dumps(said_by(kind, status, code))}\n\n".encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(said)
    async with canned(head + said) as bad, open_provider() as good:
        upstreams = [Upstream(bad, provider=provider), Upstream(good.url, provider=provider, priority=1)]
        async with open_client(upstreams=upstreams) as client:
            path = path.replace("generateContent", "streamGenerateContent")
            async with client.stream("POST", path, json={**body, "stream": True}) as answer:
                assert answer.attempts[0].kind == meaning
                if meaning == "answered":
                    with pytest.raises(StreamFailed, match=code) as caught:
                        _ = [event async for event in answer.iter_events()]
                    assert caught.value.status_code == status
                else:
                    assert answer.attempts[1].result == "200"
            assert_at_rest(client)


STREAMS = {
    "openai": b'data: {"error": {"type": "server_error", "code": "server_is_overloaded"}}\n\n',
    "anthropic": b'event: error\ndata: {"type": "error", "error": {"type": "overloaded_error"}}\n\n',
    "google": b'data: {"error": {"code": 503, "status": "UNAVAILABLE"}}\n\n',
}


@asynccontextmanager
async def canned(reply: bytes) -> AsyncGenerator[str]:
    """A server that says the same to everybody."""

    async def serve(stream: trio.SocketStream) -> None:
        async for _ in stream:
            await stream.send_all(reply)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", STREAMS)
async def test_an_overload_inside_a_200_is_an_overload(name: str) -> None:
    provider, path, body = KINDS[name]
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(STREAMS[name])
    async with canned(head + STREAMS[name]) as bad, open_provider() as good:
        upstreams = [Upstream(bad, provider=provider), Upstream(good.url, provider=provider, priority=1)]
        async with open_client(upstreams=upstreams) as client:
            path = path.replace("generateContent", "streamGenerateContent")
            async with client.stream("POST", path, json={**body, "stream": True}) as answer:
                text = "".join([event.data async for event in answer.iter_events()])
            assert "hello" in text
            assert [attempt.kind for attempt in answer.attempts] == ["overloaded", "served"]
            assert_at_rest(client)


LIMITS = {
    "openai": (
        "openai",
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "7",
            "x-ratelimit-reset-requests": "53s",
            "x-ratelimit-limit-tokens": "1000",
            "x-ratelimit-remaining-tokens": "700",
            "x-ratelimit-reset-tokens": "18s",
        },
        (7, 700),
    ),
    "openai, by the minute and the millisecond": (
        "openai",
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "7",
            "x-ratelimit-reset-requests": "6m0s",
            "x-ratelimit-limit-tokens": "1000",
            "x-ratelimit-remaining-tokens": "999",
            "x-ratelimit-reset-tokens": "60ms",
        },
        (7, 999),
    ),
    "anthropic": (
        "anthropic",
        {
            "anthropic-ratelimit-requests-limit": "60",
            "anthropic-ratelimit-requests-remaining": "7",
            "anthropic-ratelimit-requests-reset": "2026-01-27T12:00:30Z",
            "anthropic-ratelimit-tokens-limit": "1000",
            "anthropic-ratelimit-tokens-remaining": "700",
            "anthropic-ratelimit-tokens-reset": "2026-01-27T12:00:30Z",
        },
        (7, 700),
    ),
}


@pytest.mark.parametrize("name", LIMITS)
async def test_the_limits_in_header_fields_are_believed(name: str) -> None:
    kind, fields, (requests, tokens) = LIMITS[name]
    provider, path, body = KINDS[kind]
    async with two(provider) as (a, _, client):
        a.script(Script(200, fields))
        await client.post(path, json=body)
        limiter = turnstile(client).group.members[0].limiter
        assert limiter.requests.level == pytest.approx(requests, abs=2)
        assert limiter.tokens.level == pytest.approx(tokens, abs=60)


async def test_limits_that_are_none_are_not_believed() -> None:
    """Azure has sent -1 and 0."""
    async with two() as (a, _, client):
        for limit, remaining in [("0", "0"), ("-1", "-1"), ("60", "-1"), ("", ""), ("many", "few")]:
            a.script(Script(200, {"x-ratelimit-limit-requests": limit, "x-ratelimit-remaining-requests": remaining}))
            await client.post(CHAT, json=ASK)
        assert len(a.seen) == 5
        assert not turnstile(client).group.members[0].limiter.requests.is_known


async def test_a_provider_that_dies_in_the_middle_is_no_reason_to_send_a_post_again() -> None:
    async with two() as (a, b, client):
        a.script(Script(dies_after=-1))
        with pytest.raises(Exception, match="may have processed") as caught:
            await client.post(CHAT, json=ASK)
        assert len(caught.value.attempts) == 1  # type: ignore[attr-defined]  # one of ours
        a.script(Script(dies_after=-1))
        assert (await client.post(CHAT, json=ASK, idempotency_key=True)).status_code == 200
        assert a.seen[-1].headers["idempotency-key"] == b.seen[-1].headers["idempotency-key"]


@pytest.mark.parametrize("pieces", [-1, 0])
async def test_a_provider_that_is_silent_is_left_for_another_where_that_is_safe(pieces: int) -> None:
    """Before its head, and before the first event of its stream."""
    config, soon = PoolConfig(), Timeouts(first_byte=0.2)
    body = {**ASK, "stream": True}
    async with two(OPENAI, config) as (a, b, client):
        a.script(Script(hangs_after=pieces), Script(hangs_after=pieces))
        with pytest.raises(ReadTimeout):
            await client.post(CHAT, json=body, timeouts=soon)
        assert b.seen == []
        answer = await client.post(CHAT, json=body, timeouts=soon, retry_unsafe=True)
        assert results(answer.attempts) == [("a", "ReadTimeout"), ("b", "200")]


async def test_after_a_byte_was_delivered_nothing_is_sent_again() -> None:
    async with two() as (a, b, client):
        a.script(Script(dies_after=2))
        with pytest.raises(Exception, match="connection") as caught:
            async with client.stream("POST", CHAT, json={**ASK, "stream": True}, retry_unsafe=True) as answer:
                async for _ in answer.iter_events():
                    pass
        assert results(caught.value.attempts) == [("a", "200")]  # type: ignore[attr-defined]  # one of ours
        assert b.seen == []
        assert turnstile(client).group.members[0].breaker._failures == 1


async def test_an_upstream_that_is_gone_is_failed_over() -> None:
    async with open_provider() as gone:
        nobody = gone.url
    async with open_provider() as b:
        upstreams = [Upstream(nobody, name="a"), Upstream(b.url, name="b", priority=1)]
        async with open_client(upstreams=upstreams) as client:
            answer = await client.post(CHAT, json=ASK)
            assert results(answer.attempts) == [("a", "ConnectError"), ("b", "200")]
            assert_at_rest(client)
