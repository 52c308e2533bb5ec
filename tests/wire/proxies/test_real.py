"""Through real proxies: what is asked for comes back, by whatever way it went."""

from __future__ import annotations

import ssl
from urllib.parse import quote

import pytest

from trio_pool import ConnectError, PoolConfig, ProxyError, open_client

from .peers import LOOPBACK, Visit, Wires, answer, answer_all, fields_of, secured, serving
from .real import PASSWORD, USER, Proxies

CONFIG = PoolConfig(retry_attempts=1, max_connections=2)

CREDENTIALS = f"{quote(USER)}:{quote(PASSWORD)}@"

WAYS = {  # the proxy's kind, then its URL's scheme and what stands before the host
    "http": ("http", "http://"),
    "http with password": ("http with password", f"http://{CREDENTIALS}"),
    "https": ("https", "https://"),
    "another http": ("another http", "http://"),
    "socks5": ("socks5", "socks5://"),
    "socks5h": ("socks5", "socks5h://"),
    "socks5 with a password that it does not want": ("socks5", f"socks5://{CREDENTIALS}"),
    "socks5 with password": ("socks5 with password", f"socks5://{CREDENTIALS}"),
}


def url_of(proxies: Proxies, way: str) -> str:
    """The proxy's URL; its name is resolved by the test's own network."""
    kind, before = WAYS[way]
    return f"{before}proxy.test:{proxies.port(kind)}"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", ["localhost", LOOPBACK])
async def test_requests_reach_the_origin_and_connections_are_kept(
    proxies: Proxies, way: str, scheme: str, host: str, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    wires = Wires()
    async with (
        serving(secured(showing) if scheme == "https" else answer_all) as origin,
        open_client(CONFIG, proxy=url_of(proxies, way), tls=trusting, network=wires) as client,
    ):
        for number in range(3):
            response = await client.get(f"{scheme}://{host}:{origin.port}/{number}?q=1")
            assert response.content == f"GET /{number}?q=1 HTTP/1.1".encode()
        assert client.pool.statistics().dials == 1
    assert wires.asked == ["proxy.test"]
    assert wires.open == 0
    assert len(origin.visits) == 1
    for head in origin.heads:
        assert fields_of(head)["host"] == f"{host}:{origin.port}"
        is_tunnel = scheme == "https" or way.startswith("socks5")
        assert not is_tunnel or "proxy-authorization" not in fields_of(head)  # without one it is the proxy's business


@pytest.mark.parametrize("way", WAYS)
async def test_bodies_of_some_size_go_both_ways(
    proxies: Proxies, way: str, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    body = bytes(range(256)) * 2048

    async def echo(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer(await visit.exactly(len(body))))
        await visit.until_gone()

    async with (
        serving(secured(showing, echo)) as origin,
        open_client(CONFIG, proxy=url_of(proxies, way), tls=trusting, network=Wires()) as client,
    ):
        response = await client.post(f"https://localhost:{origin.port}/", content=body)
        assert response.content == body


@pytest.mark.parametrize("before", ["", f"{quote(USER)}:wrong@"])
@pytest.mark.parametrize(("kind", "scheme"), [("http with password", "http"), ("socks5 with password", "socks5")])
async def test_who_has_no_password_gets_no_tunnel(
    proxies: Proxies, kind: str, scheme: str, before: str, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    proxy, wires = f"{scheme}://{before}proxy.test:{proxies.port(kind)}", Wires()
    async with (
        serving(secured(showing)) as origin,
        open_client(CONFIG, proxy=proxy, tls=trusting, network=wires) as client,
    ):
        for _ in range(4):  # more often than there are slots
            with pytest.raises(ProxyError) as caught:
                await client.get(f"https://localhost:{origin.port}/")
            assert "wrong" not in str(caught.value)
            assert wires.open == 0
        assert client.pool.statistics().dial_failures == 4
    assert origin.visits == []


@pytest.mark.parametrize("way", ["http", "http with password", "https", "another http", "socks5"])
async def test_an_origin_that_is_not_there_frees_its_slot(
    proxies: Proxies, way: str, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """Some proxies refuse the tunnel, some open it and close it then."""
    async with serving(answer_all) as gone:
        pass
    async with (
        serving(secured(showing)) as origin,
        open_client(CONFIG, proxy=url_of(proxies, way), tls=trusting, network=Wires()) as client,
    ):
        for _ in range(4):
            with pytest.raises(ConnectError):
                await client.get(f"https://localhost:{gone.port}/")
        response = await client.get(f"https://localhost:{origin.port}/there")
        assert response.content == b"GET /there HTTP/1.1"
        assert client.pool.statistics().dial_failures == 4


@pytest.mark.parametrize("way", WAYS)
async def test_what_is_not_trusted_behind_a_proxy_gets_no_request(
    proxies: Proxies, way: str, unknown: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    wires = Wires()
    async with (
        serving(secured(unknown)) as origin,
        open_client(CONFIG, proxy=url_of(proxies, way), tls=trusting, network=wires) as client,
    ):
        for _ in range(3):
            with pytest.raises(ConnectError, match="TLS handshake failed.*certificate"):
                await client.get(f"https://localhost:{origin.port}/")
        assert wires.open == 0
    assert [bytes(visit.received) for visit in origin.visits] == [b""] * 3
