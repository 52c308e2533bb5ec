"""The `network_stream` of a response: what is known of a connection, upgrades, CONNECT, and TLS on top of it."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from trio_pool import Pool, open_pool

from .libraries import Library
from .servers import answering, certificates, listening, ok, read_request

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\nfirst"
UPGRADE = {"Upgrade": "echo", "Connection": "Upgrade"}


async def echo(stream: Any) -> None:
    """Say back what comes, in capitals."""
    async for data in stream:
        await stream.send_all(bytes(data).upper())


async def upgrade(stream: Any) -> None:
    await read_request(stream)
    await stream.send_all(SWITCHED)
    await echo(stream)


async def test_a_connection_is_known_by_its_addresses_and_socket(library: Library, pool: Pool) -> None:
    async with answering(lambda _: ok()) as server:
        response = await library.client(pool).get(server.url)
        network = response.extensions["network_stream"]
        assert network.get_extra_info("server_addr") == ("127.0.0.1", int(server.url.rpartition(":")[2]))
        assert network.get_extra_info("client_addr") == network.get_extra_info("socket").getsockname()
        assert network.get_extra_info("ssl_object") is None
        assert network.get_extra_info("is_readable") is False
        assert network.get_extra_info("anything else") is None


async def test_a_connection_that_speaks_http_is_not_to_be_spoken_through(library: Library, pool: Pool) -> None:
    async with answering(lambda _: ok()) as server:
        async with library.client(pool).stream("GET", server.url) as response:
            network = response.extensions["network_stream"]
            with pytest.raises(library.core.ReadError):
                await network.read(1)
            with pytest.raises(library.core.WriteError):
                await network.write(b"x")
            await network.aclose()
            await response.aread()
        assert pool.statistics().idle == 1


async def test_an_upgrade_hands_the_connection_over(library: Library, pool: Pool) -> None:
    async with listening(upgrade) as url:
        async with library.client(pool).stream("GET", url, headers=UPGRADE) as response:
            assert response.status_code == 101
            network = response.extensions["network_stream"]
            assert await network.read(3) == b"fir"
            assert await network.read(100) == b"st"
            await network.write(b"hello")
            assert await network.read(100, timeout=5) == b"HELLO"
            assert pool.statistics().leased == 1
        assert pool.statistics().leased == 0
        with pytest.raises(library.core.ReadError):
            await network.read(1)
        with pytest.raises(library.core.WriteError):
            await network.write(b"x")


async def test_a_stream_that_was_handed_over_is_closed_once_by_whoever_is_first(library: Library, pool: Pool) -> None:
    async with listening(upgrade) as url:
        async with library.client(pool).stream("GET", url, headers=UPGRADE) as response:
            await response.extensions["network_stream"].aclose()
            assert pool.statistics().leased == 0
            await response.extensions["network_stream"].aclose()
        assert pool.statistics().opened == 1


async def test_an_upgraded_response_that_is_read_has_no_body(library: Library, pool: Pool) -> None:
    async with listening(upgrade) as url:
        response = await library.client(pool).get(url, headers=UPGRADE)
        assert (response.status_code, response.content) == (101, b"")
        assert pool.statistics().leased == 0


async def test_waits_have_the_timeout_that_is_given(library: Library, pool: Pool) -> None:
    async def deaf(stream: Any) -> None:
        await read_request(stream)
        await stream.send_all(SWITCHED.removesuffix(b"first"))
        await trio.sleep_forever()

    async with listening(deaf) as url, library.client(pool).stream("GET", url, headers=UPGRADE) as response:
        network = response.extensions["network_stream"]
        with pytest.raises(library.core.ReadTimeout):
            await network.read(1, timeout=0.01)
        with pytest.raises(library.core.WriteTimeout):
            await network.write(bytes(50_000_000), timeout=0.01)


async def tunnel(library: Library, pool: Pool, url: str) -> Any:
    client = library.client(pool)
    request = client.build_request("CONNECT", url, extensions={"target": b"far.test:443"})
    return await client.send(request, stream=True)


async def test_tls_goes_through_a_tunnel(library: Library, pool: Pool) -> None:
    papers = certificates("far.test")

    async def proxy(stream: trio.SocketStream) -> None:
        asked = await read_request(stream)
        assert asked is not None
        assert (asked.method, asked.target) == ("CONNECT", "far.test:443")
        await stream.send_all(b"HTTP/1.1 200 Fine\r\n\r\n")
        await echo(trio.SSLStream(stream, papers.server, server_side=True, https_compatible=True))

    async with listening(proxy) as url:
        response = await tunnel(library, pool, url)
        below = response.extensions["network_stream"]
        secure = await below.start_tls(papers.client, "far.test", timeout=5)
        await secure.write(b"hello")
        assert await secure.read(100, timeout=5) == b"HELLO"
        assert secure.get_extra_info("ssl_object").server_hostname == "far.test"
        assert secure.get_extra_info("server_addr") == below.get_extra_info("server_addr")
        assert pool.statistics().leased == 1
        await response.aclose()
        assert pool.statistics().leased == 0
        with pytest.raises(library.core.ReadError):
            await secure.read(1)


async def test_a_handshake_that_fails_is_a_connect_error_and_frees_the_slot(library: Library, pool: Pool) -> None:
    async def proxy(stream: trio.SocketStream) -> None:
        await read_request(stream)
        await stream.send_all(b"HTTP/1.1 200 Fine\r\n\r\nthis is no TLS at all")
        await trio.sleep_forever()

    papers = certificates("far.test")
    async with listening(proxy) as url:
        response = await tunnel(library, pool, url)
        with pytest.raises(library.core.ConnectError):
            await response.extensions["network_stream"].start_tls(papers.client, "far.test", timeout=5)
        assert pool.statistics().leased == 0
        await response.aclose()


async def test_a_handshake_may_time_out(library: Library, pool: Pool) -> None:
    async def proxy(stream: trio.SocketStream) -> None:
        await read_request(stream)
        await stream.send_all(b"HTTP/1.1 200 Fine\r\n\r\n")
        await trio.sleep_forever()

    papers = certificates("far.test")
    async with listening(proxy) as url:
        response = await tunnel(library, pool, url)
        with pytest.raises(library.core.ConnectTimeout):
            await response.extensions["network_stream"].start_tls(papers.client, "far.test", timeout=0.05)
        assert pool.statistics().leased == 0


async def test_what_the_far_end_says_first_goes_into_tls(library: Library) -> None:
    """A server whose first bytes come with the proxy's answer: they are the first bytes of what follows."""
    papers = certificates("far.test")

    async def proxy(stream: trio.SocketStream) -> None:
        await read_request(stream)
        await stream.send_all(b"HTTP/1.1 200 Fine\r\n\r\n\x15\x03\x03\x00\x02\x02\x28")  # an alert: handshake_failure
        await trio.sleep_forever()

    async with listening(proxy) as url, open_pool() as pool:
        response = await tunnel(library, pool, url)
        with pytest.raises(library.core.ConnectError, match=r"(?i)handshake.failure"):
            await response.extensions["network_stream"].start_tls(papers.client, "far.test", timeout=5)


async def test_what_a_switched_connection_cannot_do_is_refused_and_leaves_it_whole(
    library: Library, pool: Pool
) -> None:
    async with listening(upgrade) as url, library.client(pool).stream("GET", url, headers=UPGRADE) as response:
        network = response.extensions["network_stream"]
        calls: dict[str, list[tuple[Any, ...]]] = {
            "read": [(0,), (1, -1)],
            "write": [(b"x", -1)],
            "start_tls": [(None,)],
        }
        for name, arguments in ((name, each) for name, found in calls.items() for each in found):
            with pytest.raises(library.core.LocalProtocolError):
                await getattr(network, name)(*arguments)
        assert await network.read(3) == b"fir"
