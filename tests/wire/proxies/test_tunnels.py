"""Tunnels by CONNECT: what is asked of the proxy, what counts as consent, and what becomes of a slot if it fails."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import pytest
import trio

from trio_pool import ConnectError, PoolConfig, ProxyError, TLSError, open_client

from .peers import Peer, Visit, Wires, answer, answer_all, fields_of, in_turn, secured, serving, tunnelling
from .said import BASIC, CREDENTIALS, assert_silent, words_of

CONFIG = PoolConfig(retry_attempts=1, max_connections=2, max_connections_per_host=2)

CONSENT = b"HTTP/1.1 200 Connected\r\n\r\n"


# ---- what is asked ----


@pytest.mark.parametrize(
    ("url", "target", "name"),
    [
        ("https://origin.test/x", "origin.test:443", "origin.test"),
        ("https://origin.test:8443/x", "origin.test:8443", "origin.test"),
        ("https://user:word@origin.test/x", "origin.test:443", "origin.test"),
        ("https://bücher.test/x", "xn--bcher-kva.test:443", "xn--bcher-kva.test"),
        ("https://127.0.0.1/x", "127.0.0.1:443", None),
        ("https://[::1]/x", "[::1]:443", None),
        ("https://[::1]:8443/x", "[::1]:8443", None),
    ],
)
async def test_the_proxy_is_asked_for_host_and_port(
    url: str, target: str, name: str | None, wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    names: list[str | None] = []

    async def tunnel(visit: Visit) -> None:
        await visit.head()
        await visit.send(CONSENT)
        names.append(await visit.secure(showing))
        await answer_all(visit)

    async with (
        serving(tunnel) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        response = await client.get(url)
        assert response.content == b"GET /x HTTP/1.1"
    assert proxy.heads[0] == f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode()
    assert fields_of(proxy.heads[1])["host"] == target.removesuffix(":443")
    assert names == [name]  # an address is no name (RFC 6066 section 3)
    assert wires.asked == ["proxy.test"]  # the origin's name is the proxy's to resolve
    assert wires.open == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_password_goes_to_the_proxy_and_not_through_the_tunnel(
    scheme: str, wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """An https proxy is told over TLS; the origin's TLS is inside of that."""
    tunnel = tunnelling(showing)
    async with (
        serving(secured(showing, tunnel) if scheme == "https" else tunnel) as proxy,
        open_client(
            CONFIG, proxy=f"{scheme}://{CREDENTIALS}proxy.test:{proxy.port}", tls=trusting, network=wires
        ) as client,
    ):
        response = await client.get("https://origin.test/x")
        assert response.content == b"GET /x HTTP/1.1"
        assert_silent(client.pool, response, response.request, response.request.headers)
        assert [str(origin) for origin in client.pool.statistics().origins] == [
            f"https://origin.test:443 by {scheme}://proxy.test:{proxy.port}"
        ]
    connect, request = map(fields_of, proxy.heads)
    assert connect == {"host": "origin.test:443", "proxy-authorization": BASIC.decode()}
    assert "proxy-authorization" not in request
    assert proxy.lines[1] == "GET /x HTTP/1.1"


async def test_a_tunnel_is_kept_and_used_again(wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with (
        serving(tunnelling(showing)) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        for number in range(3):
            response = await client.get(f"https://origin.test/{number}")
            assert response.timings.reused == (number > 0)
        await client.get("https://other.test/")
        figures = client.pool.statistics()
        assert (figures.dials, figures.reuses, figures.idle) == (2, 2, 2)
    assert [len(visit.heads) for visit in proxy.visits] == [4, 2]


async def test_a_tunnel_that_ended_while_it_was_kept_is_replaced(
    showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    ended = trio.Event()

    async def answer_once(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer(b"once"))
        await visit.stream.aclose()
        ended.set()

    async with (
        serving(in_turn(tunnelling(showing, answer_once), tunnelling(showing))) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", tls=trusting, network=Wires()) as client,
    ):
        await client.get("https://origin.test/")
        await ended.wait()
        response = await client.get("https://origin.test/again")
        assert response.content == b"GET /again HTTP/1.1"
        assert client.pool.statistics().evictions == {"dead": 1}


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_large_bodies_go_both_ways(scheme: str, showing: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """An https proxy's is TLS inside TLS: records that fit in no record."""
    body = bytes(range(256)) * 4096

    async def echo(visit: Visit) -> None:
        while True:
            await visit.head()
            await visit.send(answer(await visit.exactly(len(body))))

    tunnel = tunnelling(showing, echo)
    async with (
        serving(secured(showing, tunnel) if scheme == "https" else tunnel) as proxy,
        open_client(CONFIG, proxy=f"{scheme}://proxy.test:{proxy.port}", tls=trusting, network=Wires()) as client,
    ):
        for _ in range(2):
            response = await client.put("https://origin.test/", content=body)
            assert response.content == body
        assert client.pool.statistics().dials == 1


# ---- what counts as consent ----


@pytest.mark.parametrize(
    "consent",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.0 200 Connection established\r\nProxy-agent: Apache\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 299 Well\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",  # RFC 9110 section 9.3.6: to be ignored
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
async def test_any_2xx_opens_the_tunnel(
    consent: bytes, wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with (
        serving(tunnelling(showing, reply=consent)) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        for _ in range(2):
            response = await client.get("https://origin.test/x")
            assert response.content == b"GET /x HTTP/1.1"
        assert client.pool.statistics().dials == 1


def saying(reply: bytes) -> Peer:
    """A proxy that answers any CONNECT so, and ends the connection."""

    async def reply_and_end(visit: Visit) -> None:
        await visit.head()
        await visit.send(reply)

    return reply_and_end


REFUSALS = {
    "401": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
    "403": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
    "407": b'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="x"\r\n\r\nwho?',
    "502": b"HTTP/1.1 502 Bad Gateway\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    "302": b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.test/\r\nContent-Length: 0\r\n\r\n",
    "503": b"HTTP/1.0 503\r\n\r\n",
}


@pytest.mark.parametrize("status", REFUSALS)
async def test_any_other_status_is_a_refusal_that_is_named(status: str, wires: Wires, trusting: ssl.SSLContext) -> None:
    async with (
        serving(saying(REFUSALS[status])) as proxy,
        open_client(
            CONFIG, proxy=f"http://{CREDENTIALS}proxy.test:{proxy.port}", tls=trusting, network=wires
        ) as client,
    ):
        with pytest.raises(ProxyError, match=f"refused the tunnel: {status}") as caught:
            await client.get("https://origin.test/")
        assert caught.value.phase == "connecting"
        assert not caught.value.may_have_been_processed
        assert f"to https://origin.test:443 by http://proxy.test:{proxy.port}" in str(caught.value)
        assert "elsewhere" not in words_of(caught.value)
        assert_silent(client.pool, caught.value)


async def test_a_proxy_that_asks_for_a_password_is_to_be_given_one(trusting: ssl.SSLContext) -> None:
    async with (
        serving(saying(REFUSALS["407"])) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", tls=trusting, network=Wires()) as client,
    ):
        with pytest.raises(ProxyError) as caught:
            await client.get("https://origin.test/")
        assert "Give its URL a user and a password" in caught.value.advice


async def test_a_proxy_that_takes_no_password_is_not_to_be_given_one_again(trusting: ssl.SSLContext) -> None:
    async with (
        serving(saying(REFUSALS["407"])) as proxy,
        open_client(
            CONFIG, proxy=f"http://{CREDENTIALS}proxy.test:{proxy.port}", tls=trusting, network=Wires()
        ) as client,
    ):
        with pytest.raises(ProxyError) as caught:
            await client.get("https://origin.test/")
        assert "Give its URL" not in caught.value.advice
        assert "password" in caught.value.advice  # that was given


NONSENSE = {
    "nothing": b"",
    "a line end": b"\r\n",
    "a version alone": b"HTTP/1.1",
    "half a status": b"HTTP/1.1 20",
    "no end of the head": b"HTTP/1.1 200 OK\r\n",
    "half a field": b"HTTP/1.1 200 OK\r\nVia",
    "a space too many": b"HTTP/1.1  200 OK\r\n\r\n",
    "a status of two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "a status of four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 2oo OK\r\n\r\n",
    "a negative status": b"HTTP/1.1 -20 OK\r\n\r\n",
    "no version": b"200 OK\r\n\r\n",
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "HTTP/0.9": b"<html>welcome</html>\r\n\r\n",
    "a field without a colon": b"HTTP/1.1 200 OK\r\nVia\r\n\r\n",
    "a name that is none": b"HTTP/1.1 200 OK\r\nVi a: x\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nVia: \0\r\n\r\n",
    "another protocol's turn": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "interim responses alone": b"HTTP/1.1 100 Continue\r\n\r\n",
    "interim responses that are too large": (b"HTTP/1.1 102 P\r\nA: " + bytes([65]) * 12000 + b"\r\n\r\n") * 9
    + CONSENT,
    "a head that is too large": b"HTTP/1.1 200 OK\r\nA: " + bytes([65]) * 70000 + b"\r\n\r\n",
}


@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_nonsense_opens_no_tunnel(nonsense: str, wires: Wires, trusting: ssl.SSLContext) -> None:
    async with (
        serving(saying(NONSENSE[nonsense])) as proxy,
        open_client(
            CONFIG, proxy=f"http://{CREDENTIALS}proxy.test:{proxy.port}", tls=trusting, network=wires
        ) as client,
    ):
        with pytest.raises(ProxyError) as caught:
            await client.get("https://origin.test/")
        assert_silent(client.pool, caught.value)
        assert wires.open == 0
    assert proxy.lines == ["CONNECT origin.test:443 HTTP/1.1"]  # and nothing after it


@pytest.mark.parametrize("piece", [b"A: a\r\n", b"a", b"HTTP/1.1 100 Continue\r\n\r\n"])
async def test_an_endless_answer_is_not_listened_to_for_long(
    piece: bytes, wires: Wires, trusting: ssl.SSLContext
) -> None:
    async def never_end(visit: Visit) -> None:
        await visit.head()
        await visit.send(b"" if piece.startswith(b"HTTP") else b"HTTP/1.1 200 OK\r\n")
        while True:
            await visit.send(piece * 1000)

    async with (
        serving(never_end) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        with pytest.raises(ProxyError):
            await client.get("https://origin.test/")
        assert wires.taken <= 65536
        assert wires.open == 0


async def test_a_proxy_that_speaks_before_it_is_spoken_to_is_not_believed(
    wires: Wires, trusting: ssl.SSLContext
) -> None:
    async def speak(visit: Visit) -> None:
        await visit.send(b"HTTP/1.1 421 No\r\n\r\n")
        await visit.until_gone()

    async with (
        serving(speak) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        with pytest.raises(ProxyError, match="421"):
            await client.get("https://origin.test/")


async def test_bytes_that_come_with_the_consent_are_not_the_origins(trusting: ssl.SSLContext) -> None:
    """The server cannot have said anything yet: in TLS the client begins."""
    async with (
        serving(saying(CONSENT + b"\x16")) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", tls=trusting, network=Wires()) as client,
    ):
        with pytest.raises(ProxyError, match="sent bytes into the tunnel"):
            await client.get("https://origin.test/")


# ---- every failure frees its slot ----


async def refuse(visit: Visit) -> None:
    await saying(REFUSALS["403"])(visit)


async def end_at_once(visit: Visit) -> None:
    """Not even the question is read."""


async def consent_and_end(visit: Visit) -> None:
    await saying(CONSENT)(visit)


async def consent_and_babble(visit: Visit) -> None:
    await saying(CONSENT)(visit)
    await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    await visit.until_gone()


async def consent_with_surplus(visit: Visit) -> None:
    await saying(CONSENT + b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(visit)
    await visit.until_gone()


async def consent_and_leave_in_the_handshake(visit: Visit) -> None:
    await saying(CONSENT)(visit)
    await visit.more()
    await visit.send(b"\x16\x03\x03\x00\x7a\x02")


FAILURES: dict[Callable[[Visit], Awaitable[None]], type[ConnectError]] = {
    refuse: ProxyError,
    end_at_once: ConnectError,
    consent_and_end: ConnectError,
    consent_and_babble: ConnectError,
    consent_with_surplus: ConnectError,
    consent_and_leave_in_the_handshake: TLSError,
}


@pytest.mark.parametrize("fail", FAILURES)
async def test_every_failed_tunnel_frees_its_slot(
    fail: Peer, wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """More failures than slots, one after another and then at once; then everything is as if nothing had been."""
    async with (
        serving(in_turn(*[fail] * 9, tunnelling(showing))) as proxy,
        open_client(
            CONFIG, proxy=f"http://{CREDENTIALS}proxy.test:{proxy.port}", tls=trusting, network=wires
        ) as client,
    ):

        async def ask_in_vain() -> None:
            with pytest.raises(FAILURES[fail]) as caught:
                await client.get("https://origin.test/")
            assert not caught.value.may_have_been_processed
            assert_silent(client.pool, caught.value)

        for _ in range(5):
            await ask_in_vain()
            assert wires.open == 0
        async with trio.open_nursery() as nursery:
            for _ in range(4):
                nursery.start_soon(ask_in_vain)
        assert wires.open == 0
        figures = client.pool.statistics()
        assert (figures.dial_failures, figures.opened, figures.waiting, figures.dialling) == (9, 0, 0, 0)
        assert figures.origins == {}
        response = await client.get("https://origin.test/x")
        assert response.content == b"GET /x HTTP/1.1"
        assert client.pool.statistics().idle == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_failed_handshake_in_a_tunnel_frees_its_slot(
    scheme: str, wires: Wires, showing: ssl.SSLContext, unknown: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    fail, serve = tunnelling(unknown), tunnelling(showing)
    if scheme == "https":
        fail, serve = secured(showing, fail), secured(showing, serve)
    async with (
        serving(in_turn(*[fail] * 5, serve)) as proxy,
        open_client(CONFIG, proxy=f"{scheme}://proxy.test:{proxy.port}", tls=trusting, network=wires) as client,
    ):
        for _ in range(5):
            with pytest.raises(TLSError, match="certificate") as caught:
                await client.get("https://origin.test/secret")
            assert "with the proxy" not in caught.value.what
            assert wires.open == 0
        response = await client.get("https://origin.test/x")
        assert response.content == b"GET /x HTTP/1.1"
    assert not any(b"secret" in visit.received for visit in proxy.visits)


async def test_the_proxys_certificate_is_no_origins(showing: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async with (
        serving(secured(showing, tunnelling(showing))) as proxy,
        open_client(CONFIG, proxy=f"https://proxy.test:{proxy.port}", tls=trusting, network=Wires()) as client,
    ):
        with pytest.raises(TLSError, match=r"not valid for 'stranger\.test'"):
            await client.get("https://stranger.test/")


async def test_a_proxy_that_is_not_there_is_named(trusting: ssl.SSLContext) -> None:
    async with serving(answer_all) as gone:
        pass
    async with open_client(
        CONFIG, proxy=f"http://{CREDENTIALS}proxy.test:{gone.port}", tls=trusting, network=Wires()
    ) as client:
        for _ in range(3):
            with pytest.raises(ConnectError, match=r"no connection to proxy\.test could be made") as caught:
                await client.get("https://origin.test/")
            assert_silent(client.pool, caught.value)
