"""SOCKS5: every byte that is said and understood (RFC 1928, RFC 1929), and what becomes of a slot if it fails."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import pytest

from trio_pool import ConnectError, PoolConfig, ProxyError, TLSError, UsageError, open_client

from .peers import Peer, Visit, Wires, answer_all, fields_of, in_turn, serving
from .said import CREDENTIALS, PASSWORD, USER, assert_silent

CONFIG = PoolConfig(retry_attempts=1, max_connections=2, max_connections_per_host=2)

NO_PASSWORD, BY_PASSWORD, NOTHING_DOES = b"\x05\x00", b"\x05\x02", b"\x05\xff"

CONNECTED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"

GREETING = b"\x05\x01\x00"
GREETING_WITH_PASSWORD = b"\x05\x02\x00\x02"
WHO = bytes([1, len(USER)]) + USER.encode() + bytes([len(PASSWORD)]) + PASSWORD.encode()


def command(address: bytes, port: int = 443) -> bytes:
    """The request for a connection."""
    return b"\x05\x01\x00" + address + port.to_bytes(2, "big")


def name(host: bytes) -> bytes:
    """An address that is a name."""
    return bytes([3, len(host)]) + host


COMMAND = command(name(b"origin.test"))


def script(*turns: tuple[bytes, bytes], then: Peer | None = None) -> Peer:
    """A proxy that expects these bytes and answers with those, turn by turn; then it ends, or is the origin."""

    async def talk(visit: Visit) -> None:
        for expected, reply in turns:
            assert await visit.exactly(len(expected)) == expected
            await visit.send(reply)
        if then is not None:
            await then(visit)

    return talk


def over_tls(context: ssl.SSLContext) -> Peer:
    """The origin behind the proxy."""

    async def serve(visit: Visit) -> None:
        await visit.secure(context)
        await answer_all(visit)

    return serve


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("origin.test", name(b"origin.test")),
        ("bücher.test", name(b"xn--bcher-kva.test")),
        ("127.0.0.1", b"\x01\x7f\x00\x00\x01"),
        ("[::1]", b"\x04" + bytes(15) + b"\x01"),
    ],
)
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_the_proxy_is_told_the_name_and_resolves_it(
    scheme: str, host: str, address: bytes, wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    turns = (GREETING, NO_PASSWORD), (command(address), CONNECTED)
    async with (
        serving(script(*turns, then=over_tls(showing))) as proxy,
        open_client(CONFIG, proxy=f"{scheme}://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        for number in range(2):
            response = await client.get(f"https://{host}/x")
            assert response.content == b"GET /x HTTP/1.1"
            assert response.timings.reused == (number == 1)
    assert wires.asked == ["proxy.test"]
    assert wires.open == 0
    assert len(proxy.visits) == 1


async def test_plain_http_goes_through_too_as_the_origin_wants_it(wires: Wires) -> None:
    turns = (GREETING, NO_PASSWORD), (command(name(b"origin.test"), 8080), CONNECTED)
    async with (
        serving(script(*turns, then=answer_all)) as proxy,
        open_client(CONFIG, proxy=f"socks5://proxy.test:{proxy.port}", network=wires) as client,
    ):
        response = await client.get("http://origin.test:8080/x")
        assert response.content == b"GET /x HTTP/1.1"
        assert [str(origin) for origin in client.pool.statistics().origins] == [
            f"http://origin.test:8080 by socks5://proxy.test:{proxy.port}"
        ]
    assert fields_of(proxy.heads[0])["host"] == "origin.test:8080"


async def test_the_password_is_told_to_a_proxy_that_wants_it_and_to_nobody_else(
    wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    turns = (GREETING_WITH_PASSWORD, BY_PASSWORD), (WHO, b"\x01\x00"), (COMMAND, CONNECTED)
    async with (
        serving(script(*turns, then=over_tls(showing))) as proxy,
        open_client(
            CONFIG, proxy=f"socks5://{CREDENTIALS}proxy.test:{proxy.port}", tls=trusting, network=wires
        ) as client,
    ):
        response = await client.get("https://origin.test/x")
        assert response.content == b"GET /x HTTP/1.1"
        assert_silent(client.pool, response, response.request, response.request.headers)
    assert "proxy-authorization" not in fields_of(proxy.heads[0])


async def test_a_proxy_that_wants_no_password_is_not_told_it(wires: Wires) -> None:
    turns = (GREETING_WITH_PASSWORD, NO_PASSWORD), (command(name(b"origin.test"), 80), CONNECTED)
    async with (
        serving(script(*turns, then=answer_all)) as proxy,
        open_client(CONFIG, proxy=f"socks5://{CREDENTIALS}proxy.test:{proxy.port}", network=wires) as client,
    ):
        await client.get("http://origin.test/x")
    assert PASSWORD.encode() not in proxy.visits[0].received


@pytest.mark.parametrize(
    "bound",
    [
        b"\x01\x7f\x00\x00\x01\x1f\x90",
        b"\x03\x0bproxy.inner\x1f\x90",
        b"\x03\x00\x00\x00",
        b"\x03\xff" + b"a" * 255 + b"\x00\x00",
        b"\x04" + bytes(range(16)) + b"\x1f\x90",
    ],
)
async def test_whatever_address_the_proxy_connects_from_its_length_is_understood(
    bound: bytes, wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    turns = (GREETING, NO_PASSWORD), (COMMAND, b"\x05\x00\x00" + bound)
    async with (
        serving(script(*turns, then=over_tls(showing))) as proxy,
        open_client(CONFIG, proxy=f"socks5://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        response = await client.get("https://origin.test/x")
        assert response.content == b"GET /x HTTP/1.1"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1, "general server failure"),
        (2, "connection not allowed by ruleset"),
        (3, "network unreachable"),
        (4, "host unreachable"),
        (5, "connection refused"),
        (6, "ttl expired"),
        (7, "command not supported"),
        (8, "address type not supported"),
    ],
)
@pytest.mark.parametrize("rest", [b"", b"\x00", b"\x00\x01" + bytes(6), b"\x00\x03\x01a\x00\x00"])
async def test_a_refusal_is_told_in_words(code: int, words: str, rest: bytes, trusting: ssl.SSLContext) -> None:
    """However much of the reply comes after the code, which is all that counts."""
    turns = (GREETING, NO_PASSWORD), (COMMAND, bytes([5, code]) + rest)
    async with (
        serving(script(*turns)) as proxy,
        open_client(CONFIG, proxy=f"socks5://proxy.test:{proxy.port}", tls=trusting, network=Wires()) as client,
    ):
        with pytest.raises(ProxyError, match=words) as caught:
            await client.get("https://origin.test/")
        assert f"to https://origin.test:443 by socks5://proxy.test:{proxy.port}" in str(caught.value)
        assert not caught.value.may_have_been_processed


async def test_a_password_that_the_proxy_does_not_take_is_not_shown(wires: Wires, trusting: ssl.SSLContext) -> None:
    turns = (GREETING_WITH_PASSWORD, BY_PASSWORD), (WHO, b"\x01\x01")
    async with (
        serving(script(*turns)) as proxy,
        open_client(
            CONFIG, proxy=f"socks5://{CREDENTIALS}proxy.test:{proxy.port}", tls=trusting, network=wires
        ) as client,
    ):
        with pytest.raises(ProxyError, match="refused the user or the password") as caught:
            await client.get("https://origin.test/")
        assert_silent(client.pool, caught.value)
        assert wires.open == 0


NONSENSE: dict[str, list[tuple[bytes, bytes]]] = {
    "nothing at all": [(GREETING, b"")],
    "half a choice": [(GREETING, b"\x05")],
    "another version's choice": [(GREETING, b"\x04\x00")],
    "a choice by HTTP": [(GREETING, b"HTTP/1.1 400 Bad Request\r\n\r\n")],
    "a method that was not offered": [(GREETING, BY_PASSWORD)],
    "GSSAPI": [(GREETING, b"\x05\x01")],
    "a method that there is not": [(GREETING, b"\x05\x80")],
    "no method": [(GREETING, NOTHING_DOES)],
    "no reply": [(GREETING, NO_PASSWORD), (COMMAND, b"")],
    "the version alone": [(GREETING, NO_PASSWORD), (COMMAND, b"\x05")],
    "another version's reply": [(GREETING, NO_PASSWORD), (COMMAND, b"\x04" + CONNECTED[1:])],
    "another version's refusal": [(GREETING, NO_PASSWORD), (COMMAND, b"\x04\x05")],
    "a code that there is not": [(GREETING, NO_PASSWORD), (COMMAND, b"\x05\x09\x00\x01" + bytes(6))],
    "no address": [(GREETING, NO_PASSWORD), (COMMAND, CONNECTED[:3])],
    "a kind of address that there is not": [(GREETING, NO_PASSWORD), (COMMAND, b"\x05\x00\x00\x02" + bytes(20))],
    "half an address": [(GREETING, NO_PASSWORD), (COMMAND, CONNECTED[:-3])],
    "half a port": [(GREETING, NO_PASSWORD), (COMMAND, CONNECTED[:-1])],
    "half a name": [(GREETING, NO_PASSWORD), (COMMAND, b"\x05\x00\x00\x03\x05ab")],
    "silence": [(b"", b"")],
}
WITH_PASSWORD: dict[str, list[tuple[bytes, bytes]]] = {
    "no verdict": [(GREETING_WITH_PASSWORD, BY_PASSWORD), (WHO, b"")],
    "half a verdict": [(GREETING_WITH_PASSWORD, BY_PASSWORD), (WHO, b"\x01")],
    "another version's verdict": [(GREETING_WITH_PASSWORD, BY_PASSWORD), (WHO, b"\x05\x00")],
}


@pytest.mark.parametrize("nonsense", [*NONSENSE, *WITH_PASSWORD])
async def test_nonsense_connects_nothing(nonsense: str, wires: Wires, trusting: ssl.SSLContext) -> None:
    turns = NONSENSE.get(nonsense) or WITH_PASSWORD[nonsense]
    before = CREDENTIALS if nonsense in WITH_PASSWORD else ""
    async with (
        serving(script(*turns)) as proxy,
        open_client(CONFIG, proxy=f"socks5://{before}proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        for _ in range(3):
            with pytest.raises(ConnectError) as caught:
                await client.get("https://origin.test/secret")
            assert isinstance(caught.value, ProxyError) or nonsense == "silence"  # whose end may be a reset
            assert_silent(client.pool, caught.value)
            assert wires.open == 0
    assert all(b"secret" not in visit.received for visit in proxy.visits)
    assert all(len(visit.received) <= sum(len(expected) for expected, _ in turns) for visit in proxy.visits)


async def test_bytes_behind_the_reply_are_the_origins(
    wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """They begin the handshake, which they cannot: the client begins it."""
    turns = (GREETING, NO_PASSWORD), (COMMAND, CONNECTED + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    async with (
        serving(in_turn(script(*turns), script(*turns), script(*turns, then=over_tls(showing)))) as proxy,
        open_client(CONFIG, proxy=f"socks5://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        for _ in range(3):
            with pytest.raises(TLSError):
                await client.get("https://origin.test/secret")
    assert all(b"secret" not in visit.received for visit in proxy.visits)


async def refuse(visit: Visit) -> None:
    await script((GREETING, NO_PASSWORD), (COMMAND, b"\x05\x05\x00\x01" + bytes(6)))(visit)


async def end_at_once(visit: Visit) -> None:
    """Nothing is read and nothing is said."""


async def connect_and_end(visit: Visit) -> None:
    await script((GREETING, NO_PASSWORD), (COMMAND, CONNECTED))(visit)


@pytest.mark.parametrize("fail", [refuse, end_at_once, connect_and_end])
async def test_every_failure_frees_its_slot(
    fail: Callable[[Visit], Awaitable[None]], wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    serve = script((GREETING, NO_PASSWORD), (COMMAND, CONNECTED), then=over_tls(showing))
    async with (
        serving(in_turn(*[fail] * 5, serve)) as proxy,
        open_client(CONFIG, proxy=f"socks5://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        for _ in range(5):
            with pytest.raises(ConnectError):
                await client.get("https://origin.test/")
            assert wires.open == 0
        response = await client.get("https://origin.test/x")
        assert response.content == b"GET /x HTTP/1.1"
        figures = client.pool.statistics()
        assert (figures.dial_failures, figures.opened, figures.idle) == (5, 1, 1)


async def test_a_failed_handshake_behind_the_proxy_frees_its_slot(
    wires: Wires, showing: ssl.SSLContext, unknown: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    turns = (GREETING, NO_PASSWORD), (COMMAND, CONNECTED)
    fail, serve = script(*turns, then=over_tls(unknown)), script(*turns, then=over_tls(showing))
    async with (
        serving(in_turn(*[fail] * 5, serve)) as proxy,
        open_client(CONFIG, proxy=f"socks5://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        for _ in range(5):
            with pytest.raises(TLSError, match="certificate"):
                await client.get("https://origin.test/secret")
            assert wires.open == 0
        response = await client.get("https://origin.test/x")
        assert response.content == b"GET /x HTTP/1.1"
    assert not any(b"secret" in visit.received for visit in proxy.visits)


@pytest.mark.parametrize("credentials", ["a" * 256, f"{'a' * 256}:b", f"a:{'b' * 256}", f"a:{'ü' * 128}"])
async def test_what_is_too_long_for_the_protocol_is_refused_at_once(credentials: str) -> None:
    """RFC 1929: 255 bytes each."""
    with pytest.raises(UsageError) as caught:
        async with open_client(CONFIG, proxy=f"socks5://{credentials}@proxy.test"):
            raise AssertionError("it was opened")
    assert "bbb" not in str(caught.value)


async def test_a_host_that_is_too_long_for_the_protocol_is_an_error_that_says_so(wires: Wires) -> None:
    host = ".".join(["a" * 60] * 5)
    async with (
        serving(script((GREETING, NO_PASSWORD))) as proxy,
        open_client(CONFIG, proxy=f"socks5://proxy.test:{proxy.port}", network=wires) as client,
    ):
        for _ in range(3):
            with pytest.raises(ConnectError, match="255|too long"):
                await client.get(f"http://{host}/")
        assert wires.open == 0
