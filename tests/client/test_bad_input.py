"""What cannot be sent is one clear error, and the network hears nothing of it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest

from trio_pool import (
    LocalProtocolError,
    PoolConfig,
    Request,
    Timeouts,
    UnsupportedProtocol,
    UsageError,
    open_client,
    open_pool,
)

from .network import ScriptedNetwork, response

SECRET = "s3cret"


async def pieces() -> AsyncIterator[bytes]:
    raise AssertionError("the body was asked for")
    yield b""  # type: ignore[unreachable]  # makes this a generator


BAD: dict[str, tuple[str, str, dict[str, Any], type[Exception], str]] = {
    "no scheme": ("GET", "h/path", {}, UnsupportedProtocol, "http://"),
    "no host": ("GET", "http:///path", {}, UnsupportedProtocol, "no host"),
    "another scheme": ("GET", "ftp://h/", {}, UnsupportedProtocol, "ftp://h/"),
    "a port that is none": ("GET", "http://h:99999/", {}, UsageError, "99999"),
    "a host with a space": ("GET", "http://h g/", {}, UsageError, "h g"),
    "a line end in the URL": ("GET", "http://h/\r\nX: y", {}, LocalProtocolError, r"'\\r'"),
    "a NUL in the URL": ("GET", "http://h/\0", {}, LocalProtocolError, r"\\x00"),
    "a space in the method": ("GE T", "http://h/", {}, LocalProtocolError, "'GE T'"),
    "a line end in the method": ("GET\r\n", "http://h/", {}, LocalProtocolError, r"'GET\\r\\n'"),
    "no method": ("", "http://h/", {}, LocalProtocolError, "''"),
    "a tunnel": ("CONNECT", "http://h/", {}, Exception, "CONNECT"),
    "a line end in a header": ("GET", "http://h/", {"headers": {"A": f"{SECRET}\n"}}, LocalProtocolError, "'A'"),
    "a NUL in a header": ("GET", "http://h/", {"headers": {"A": f"{SECRET}\0"}}, LocalProtocolError, "'A'"),
    "a header without a name": ("GET", "http://h/", {"headers": {"": SECRET}}, LocalProtocolError, "''"),
    "a header that is a number": ("GET", "http://h/", {"headers": {"A": 5}}, UsageError, "int"),
    "a line end in the Host": ("GET", "http://h/", {"headers": {"Host": "h\r\n"}}, LocalProtocolError, "'Host'"),
    "two hosts": ("GET", "http://h/", {"headers": [("Host", "a"), ("host", "b")]}, LocalProtocolError, "twice"),
    "a length that is not the body's": (
        "POST",
        "http://h/",
        {"content": b"abc", "headers": {"Content-Length": "2"}},
        LocalProtocolError,
        "2 and the body has 3 bytes",
    ),
    "a length that is no number": (
        "POST",
        "http://h/",
        {"content": b"abc", "headers": {"Content-Length": "x3"}},
        LocalProtocolError,
        "x3",
    ),
    "both framings": (
        "POST",
        "http://h/",
        {"content": pieces(), "headers": {"Content-Length": "2", "Transfer-Encoding": "chunked"}},
        LocalProtocolError,
        "both",
    ),
    "another coding than chunked": (
        "POST",
        "http://h/",
        {"content": pieces(), "headers": {"Transfer-Encoding": "gzip"}},
        LocalProtocolError,
        "chunked",
    ),
    "two bodies": ("POST", "http://h/", {"content": b"", "json": {}}, UsageError, "one body"),
    "a body of no usable type": ("POST", "http://h/", {"content": 5}, UsageError, "int"),
    "what is no JSON": ("POST", "http://h/", {"json": math.nan}, UsageError, "(?i)json"),
    "timeouts that are a number": ("GET", "http://h/", {"timeouts": 5}, UsageError, "timeouts"),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_be_sent_is_refused_before_anything_reaches_the_network(case: str) -> None:
    method, url, options, kind, told = BAD[case]
    network = ScriptedNetwork([response()])
    async with open_client(network=network) as client:
        with pytest.raises(kind, match=told) as caught:
            await client.request(method, url, **options)
        with pytest.raises(kind, match=told):
            async with client.stream(method, url, **options):
                raise AssertionError("it was sent")
        statistics = client.pool.statistics()
    assert network.attempts == []
    assert statistics.requests == statistics.dials == 0
    assert not getattr(caught.value, "may_have_been_processed", None)
    assert SECRET not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("name", ["acquire", "connection", "write", "first_byte", "read", "total"])
@pytest.mark.parametrize("value", [-1, 0, math.nan])
def test_a_timeout_that_cannot_be_is_refused_where_it_is_written(name: str, value: float) -> None:
    with pytest.raises(UsageError, match=rf"Timeouts\.{name} .*{value!r}"):
        Timeouts(**{name: value})


@pytest.mark.parametrize("config", [{}, 5, None, PoolConfig])
async def test_a_configuration_that_is_none_is_refused(config: Any) -> None:
    with pytest.raises(UsageError, match="PoolConfig"):
        async with open_client(config, network=ScriptedNetwork()):
            raise AssertionError("it was opened")
    with pytest.raises(UsageError, match="PoolConfig"):
        async with open_pool(config, network=ScriptedNetwork()):
            raise AssertionError("it was opened")


async def test_a_count_to_prewarm_that_cannot_be_is_refused() -> None:
    network = ScriptedNetwork()
    async with open_pool(network=network) as pool:
        count: Any
        for count in (0, -1, 21):
            with pytest.raises(UsageError, match=f"{count}"):
                await pool.prewarm("http://h/", count)
        with pytest.raises(UnsupportedProtocol):
            await pool.prewarm("h", 1)
        with pytest.raises(UnsupportedProtocol):
            pool.lease("ftp://h")
    assert network.attempts == []


async def test_a_request_that_was_refused_leaves_the_client_as_it_was() -> None:
    network = ScriptedNetwork([response(b"a"), response(b"b")])
    async with open_client(network=network) as client:
        assert (await client.get("http://h/")).content == b"a"
        with pytest.raises(LocalProtocolError):
            await client.get("http://h/", headers={"A": "\n"})
        answer = await client.get("http://h/")
        assert answer.content == b"b"
        assert answer.timings.reused


async def test_a_request_can_be_sent_twice_if_its_body_is_whole() -> None:
    network = ScriptedNetwork([response(b"a"), response(b"b")])
    request = Request("POST", "http://h/", json={"a": 1})
    async with open_pool(network=network) as pool:
        for expected in (b"a", b"b"):
            async with pool.stream(request) as answer:
                assert await answer.read() == expected
    assert network.requests[0] == network.requests[1]
