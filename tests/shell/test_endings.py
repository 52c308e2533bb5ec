"""Ends of bodies that are none, and connections that are not clean after one."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator

import pytest
import trio

from trio_pool import DecodingError, ReadError, RemoteProtocolError, Request, Response, UsageError

from .network import Channel, Dialling, MemoryNetwork
from .scheduling import settle, virtual
from .secure import over_tls
from .servers import OK, Reply, saying, stay
from .stories import Outcome, a_server, counts, fetch, get, pool_on

BOTH = pytest.mark.parametrize("scheme", ["http", "https"])


@pytest.mark.parametrize("head", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
@BOTH
@virtual
async def test_a_body_that_is_cut_is_a_protocol_error(network: MemoryNetwork, scheme: str, head: bytes) -> None:
    handler = saying(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n\r\n2\r\nab\r\n")
    network.serve("a.test", over_tls(handler) if scheme == "https" else handler)
    async with pool_on(network, tls=scheme == "https") as pool:
        with pytest.raises((RemoteProtocolError, ReadError)) as caught:
            await fetch(pool, Request("GET", f"{scheme}://a.test/"))
        assert caught.value.may_have_been_processed
        assert caught.value.phase == "reading the response"
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_body_that_ends_with_its_connection_is_whole_and_not_reused(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(b"HTTP/1.1 200 OK\r\n\r\nall ", 1.0, b"of it"))
    async with pool_on(network) as pool:
        assert await fetch(pool, get()) == b"all of it"
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_tls_body_that_ends_with_its_connection_must_end_properly(network: MemoryNetwork) -> None:
    async def end_properly(channel: Channel) -> None:
        await saying(b"HTTP/1.1 200 OK\r\n\r\nall of it")(channel)
        channel.send_eof()

    network.serve("a.test", over_tls(end_properly))
    network.serve("b.test", over_tls(saying(b"HTTP/1.1 200 OK\r\n\r\nsome of it")))
    async with pool_on(network, tls=True) as pool:
        assert await fetch(pool, Request("GET", "https://a.test/")) == b"all of it"
        with pytest.raises((ReadError, RemoteProtocolError)):
            await fetch(pool, Request("GET", "https://b.test/"))


@pytest.mark.parametrize(
    "surplus",
    [OK + b"surplus", OK + OK, OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), OK.replace(b"1.1", b"1.0")],
)
@virtual
async def test_a_connection_that_is_not_clean_is_not_reused(network: MemoryNetwork, surplus: bytes) -> None:
    network.serve("a.test", saying(surplus, then=stay))
    async with pool_on(network) as pool:
        assert await fetch(pool, get()) == b"ok"
        assert counts(pool) == (0, 0, 0, 0, 0)


@virtual
async def test_a_surplus_response_is_never_taken_for_the_next_requests(network: MemoryNetwork) -> None:
    """What arrives on an idle connection is no answer to a request that is sent later."""
    network.serve("a.test", saying(OK, 0.5, OK.replace(b"ok", b"no"), then=stay))
    async with pool_on(network) as pool:
        for _ in range(3):
            assert await fetch(pool, get()) == b"ok"
            await trio.sleep(1)
        assert pool.statistics().evictions["dead"] == 2


@virtual
async def test_a_surplus_response_is_never_taken_for_a_waiters(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(OK + OK.replace(b"ok", b"no"), then=stay))
    second = Outcome()
    async with pool_on(network, max_connections=1) as pool, trio.open_nursery() as nursery:
        response = await pool.send(get())
        nursery.start_soon(second.of, fetch, pool, get())
        await settle()
        response.close()
    assert second.result == b"ok"


@virtual
async def test_a_corrupt_body_closes_its_connection(network: MemoryNetwork) -> None:
    data = gzip.compress(b"x" * 10_000)
    a_server(network, answer=lambda asked: Reply(headers=[("Content-Encoding", "gzip")], body=[data[:-8], b"\0" * 8]))
    async with pool_on(network) as pool:
        with pytest.raises(DecodingError):
            await fetch(pool, get())
        async with pool.stream(get()) as response:
            with pytest.raises(DecodingError):
                async for _ in response.iter_bytes():
                    pass
        assert counts(pool)[0] == 0


@virtual
async def test_a_body_that_could_not_be_decoded_does_not_end_well_on_a_second_try(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(headers=[("Content-Encoding", "gzip")], body=[b"nonsense", 1.0, b"x"]))
    async with pool_on(network) as pool, pool.stream(get()) as response:
        body = response.iter_bytes()
        for _ in range(2):
            with pytest.raises((DecodingError, ReadError, UsageError)):
                await anext(body)


@virtual
async def test_what_was_cut_stays_cut_on_a_second_try(network: MemoryNetwork) -> None:
    network.serve("a.test", saying(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"))
    async with pool_on(network) as pool, pool.stream(get()) as response:
        body = response.iter_bytes()
        assert await anext(body) == b"abc"
        for _ in range(2):
            with pytest.raises((RemoteProtocolError, ReadError, UsageError)):
                await anext(body)


@virtual
async def test_trailers_are_there_after_the_body(network: MemoryNetwork) -> None:
    network.serve(
        "a.test",
        saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSum: 5\r\n\r\n", then=stay),
    )
    async with pool_on(network) as pool, pool.stream(get()) as response:
        assert "sum" not in response.trailers
        assert await response.read() == b"ok"
        assert response.trailers["sum"] == "5"
        assert counts(pool) == (0, 1, 0, 0, 0)


@virtual
async def test_timings_say_what_took_how_long(network: MemoryNetwork) -> None:
    a_server(network, answer=lambda asked: Reply(delay=0.5, body=[b"x", 0.25, b"y"]))
    network.hosts["a.test"].dialling = Dialling(2)
    async with pool_on(network) as pool:
        for is_reused in (False, True):
            async with pool.stream(get()) as response:
                await response.read()
            timings = response.timings
            assert timings.reused is is_reused
            assert timings.dialled == (None if is_reused else pytest.approx(2))
            assert timings.waited == pytest.approx(0 if is_reused else 2)
            assert timings.sent == 0
            assert timings.first_byte == pytest.approx(0.5)
            assert timings.total == pytest.approx(0.75 + timings.waited)


async def lines(response: Response) -> AsyncIterator[str]:
    """The lines, by way of a generator of the caller's."""
    async for line in response.iter_lines():
        yield line


@virtual
async def test_shredded_bodies_are_put_together(network: MemoryNetwork) -> None:
    network.shreds = True
    text = "".join(f"line {number} äöü\r\n" for number in range(2000))
    fields = [("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")]
    a_server(network, answer=lambda asked: Reply(headers=fields, body=[gzip.compress(text.encode())]))
    async with pool_on(network) as pool, pool.stream(get()) as response:
        assert [line async for line in lines(response)] == text.splitlines()
