"""Plain http by an http proxy: the proxy is asked for whole URLs, and keeps its own counsel with the origin."""

from __future__ import annotations

import ssl

import pytest
import trio

from trio_pool import PoolConfig, Request, TLSError, open_client, open_pool

from .peers import Visit, Wires, answer, answer_all, fields_of, in_turn, secured, serving
from .said import BASIC, CREDENTIALS, assert_silent

CONFIG = PoolConfig(retry_attempts=1, max_connections=2)


async def test_the_proxy_is_asked_for_the_whole_url(wires: Wires) -> None:
    async with (
        serving(answer_all) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", network=wires) as client,
    ):
        url = "http://origin.test:8080/a/b?c=d#e"
        response = await client.get(url)
        assert response.content == b"GET http://origin.test:8080/a/b?c=d HTTP/1.1"
        assert response.url == url
    assert fields_of(proxy.heads[0])["host"] == "origin.test:8080"
    assert "proxy-authorization" not in fields_of(proxy.heads[0])
    assert wires.asked == ["proxy.test"]
    assert wires.open == 0


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("http://origin.test", "GET http://origin.test/ HTTP/1.1"),
        ("http://origin.test:80/", "GET http://origin.test/ HTTP/1.1"),
        ("http://origin.test?q", "GET http://origin.test/?q HTTP/1.1"),
        ("http://user:word@origin.test/", "GET http://origin.test/ HTTP/1.1"),
        ("http://[2001:db8::1]:8080/", "GET http://[2001:db8::1]:8080/ HTTP/1.1"),
        ("http://[fe80::1%25eth0]/", "GET http://[fe80::1]/ HTTP/1.1"),
        ("http://bücher.test/ü", "GET http://xn--bcher-kva.test/%C3%BC HTTP/1.1"),
        ("http://origin.test//x", "GET http://origin.test//x HTTP/1.1"),
    ],
)
async def test_the_url_is_sent_without_what_is_not_the_proxys(url: str, line: str) -> None:
    async with (
        serving(answer_all) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", network=Wires()) as client,
    ):
        await client.get(url)
    assert proxy.lines == [line]
    assert fields_of(proxy.heads[0])["host"] == line.split("/")[2]


async def test_an_asterisk_becomes_a_url_without_a_path() -> None:
    """RFC 9112 section 3.2.4: the last proxy makes the asterisk of it again."""
    async with (
        serving(answer_all) as proxy,
        open_pool(CONFIG, proxy=f"http://proxy.test:{proxy.port}", network=Wires()) as pool,
    ):
        async with pool.stream(Request("OPTIONS", "http://origin.test:8080/", target="*")) as response:
            await response.read()
    assert proxy.lines == ["OPTIONS http://origin.test:8080 HTTP/1.1"]


async def test_the_proxys_password_goes_to_the_proxy_and_is_never_shown(wires: Wires) -> None:
    async with (
        serving(answer_all) as proxy,
        open_client(CONFIG, proxy=f"http://{CREDENTIALS}proxy.test:{proxy.port}", network=wires) as client,
    ):
        response = await client.get("http://origin.test/")
        assert_silent(client.pool, response, response.request, response.request.headers, response.request.origin)
        assert [str(origin) for origin in client.pool.statistics().origins] == [
            f"http://origin.test:80 by http://proxy.test:{proxy.port}"
        ]
    assert fields_of(proxy.heads[0])["proxy-authorization"] == BASIC.decode()


async def test_a_proxys_refusal_is_a_response_where_there_is_no_tunnel() -> None:
    async def refuse(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer(b"who are you?", status="407 Proxy Authentication Required"))
        await visit.until_gone()

    async with (
        serving(refuse) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", network=Wires()) as client,
    ):
        response = await client.get("http://origin.test/")
        assert (response.status_code, response.content) == (407, b"who are you?")


async def test_each_origin_has_connections_of_its_own_and_keeps_them(wires: Wires) -> None:
    async with (
        serving(answer_all) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", network=wires) as client,
    ):
        for host in ("origin.test", "other.test", "origin.test", "other.test"):
            response = await client.get(f"http://{host}/")
            assert response.content == f"GET http://{host}/ HTTP/1.1".encode()
        assert client.pool.statistics().dials == 2
    assert [len(visit.heads) for visit in proxy.visits] == [2, 2]


async def test_a_kept_connection_that_the_proxy_has_ended_is_replaced() -> None:
    gone = trio.Event()

    async def answer_once(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer(b"once"))
        await visit.stream.aclose()
        gone.set()

    async with (
        serving(in_turn(answer_once, answer_all)) as proxy,
        open_client(CONFIG, proxy=f"http://{CREDENTIALS}proxy.test:{proxy.port}", network=Wires()) as client,
    ):
        await client.get("http://origin.test/")
        await gone.wait()
        response = await client.get("http://origin.test/again")
        assert response.content == b"GET http://origin.test/again HTTP/1.1"
    assert [fields_of(head)["proxy-authorization"] for head in proxy.heads] == [BASIC.decode()] * 2


async def test_a_redirect_tells_another_origin_nothing_but_the_proxy_its_password(
    showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """From plain http to a tunnel, with credentials of every kind on the way."""
    inside: list[bytes] = []

    async def redirect(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer(b"", "Location: https://other.test/there", status="302 Found"))
        await visit.until_gone()

    async def tunnel(visit: Visit) -> None:
        await visit.head()
        await visit.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        await visit.secure(showing)
        inside.append(await visit.head())
        await visit.send(answer(b"there"))

    secrets = {"Authorization": "mine", "Cookie": "mine", "Proxy-Authorization": "mine"}
    async with (
        serving(in_turn(redirect, tunnel)) as proxy,
        open_client(
            CONFIG,
            proxy=f"http://{CREDENTIALS}proxy.test:{proxy.port}",
            tls=trusting,
            network=Wires(),
            follow_redirects=True,
        ) as client,
    ):
        response = await client.get("http://origin.test/", headers=secrets)
        assert response.content == b"there"
    asked, connect, there = (fields_of(head) for head in proxy.heads)
    assert asked["proxy-authorization"] == "mine"  # whoever sends his own means it
    assert connect["proxy-authorization"] == BASIC.decode()
    assert (
        secrets.keys() & {name.title() for name in (connect.keys() | there.keys()) - {"proxy-authorization"}} == set()
    )
    assert "proxy-authorization" not in there
    assert there == fields_of(inside[0])


async def test_a_redirect_by_the_same_proxy_takes_its_password_along() -> None:
    async def redirect(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer(b"", "Location: http://other.test/there", status="302 Found"))
        await visit.until_gone()

    async with (
        serving(in_turn(redirect, answer_all)) as proxy,
        open_client(
            CONFIG, proxy=f"http://{CREDENTIALS}proxy.test:{proxy.port}", network=Wires(), follow_redirects=True
        ) as client,
    ):
        response = await client.get("http://origin.test/")
        assert response.content == b"GET http://other.test/there HTTP/1.1"
    assert [fields_of(head)["proxy-authorization"] for head in proxy.heads] == [BASIC.decode()] * 2


async def test_a_leased_connection_speaks_to_its_proxy_too(wires: Wires) -> None:
    async with (
        serving(answer_all) as proxy,
        open_pool(CONFIG, proxy=f"http://{CREDENTIALS}proxy.test:{proxy.port}", network=wires) as pool,
    ):
        async with pool.lease("http://origin.test:8080") as connection:
            exchange = await connection.exchange(Request("GET", "http://origin.test:8080/x"))
            assert b"".join(await exchange.receive_all()) == b"GET http://origin.test:8080/x HTTP/1.1"
    assert fields_of(proxy.heads[0])["proxy-authorization"] == BASIC.decode()


async def test_a_proxy_can_be_spoken_to_over_tls(
    wires: Wires, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    names: list[str | None] = []

    async def over_tls(visit: Visit) -> None:
        names.append(await visit.secure(showing))
        await answer_all(visit)

    proxy_url = f"https://{CREDENTIALS}proxy.test:"
    async with (
        serving(over_tls) as proxy,
        open_client(CONFIG, proxy=f"{proxy_url}{proxy.port}", tls=trusting, network=wires) as client,
    ):
        for _ in range(2):
            response = await client.get("http://origin.test/")
            assert response.content == b"GET http://origin.test/ HTTP/1.1"
        assert_silent(client.pool, response)
    assert names == ["proxy.test"]
    assert fields_of(proxy.heads[0])["proxy-authorization"] == BASIC.decode()


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_is_not_trusted_hears_nothing(
    scheme: str, wires: Wires, unknown: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with (
        serving(secured(unknown)) as proxy,
        open_client(
            CONFIG, proxy=f"https://{CREDENTIALS}proxy.test:{proxy.port}", tls=trusting, network=wires
        ) as client,
    ):
        for _ in range(3):
            with pytest.raises(TLSError, match="certificate") as caught:
                await client.get(f"{scheme}://origin.test/")
            assert_silent(client.pool, caught.value)
            assert "proxy" in caught.value.what  # whose certificate it is
            assert wires.open == 0
    assert [bytes(visit.received) for visit in proxy.visits] == [b""] * 3
