"""What a server says before it was asked, and the tickets that are no reason to part."""

from __future__ import annotations

import ssl

import pytest
import trio

from trio_pool import Pool, RemoteProtocolError, Request, TrioPoolError, open_pool
from trio_pool._net.network import Address
from trio_pool._net.streams import Stream

from .case import CONFIG, HELLO, INTRUDER, Way, good
from .cases_reuse import BEHIND
from .harness import PATIENCE, Server, TappedNetwork, probe, serving
from .peer import client_context, server_context

UNASKED = "RFC 9112 section 9.2: data without a request outstanding MUST NOT be taken for a valid response"


class PatientNetwork(TappedNetwork):
    """A network where the first connection is ready only when the server has said something."""

    async def connect(self, address: Address) -> Stream:
        """A connected stream."""
        stream = await super().connect(address)
        if len(self.taps) == 1:
            await self.until_something_is_there()
        return stream


async def body_of(pool: Pool, url: str) -> bytes | TrioPoolError:
    """The body of the response, or the error."""
    try:
        async with pool.stream(Request("GET", url)) as response:
            return await response.read()
    except TrioPoolError as error:
        return error


def own_answer_or_error(got: bytes | TrioPoolError) -> bool:
    """Whether the server's first words were not taken for the response."""
    return got == b"hello" or isinstance(got, RemoteProtocolError)


@pytest.mark.parametrize("what", BEHIND)
async def test_what_a_server_says_first_is_no_response(what: str) -> None:
    server = Server(good(what, UNASKED, HELLO, greeting=BEHIND[what]), Way(tls=False, bytewise=False))
    network = PatientNetwork()
    with trio.fail_after(PATIENCE):
        async with serving(server, tls=False), open_pool(CONFIG, network=network) as pool:
            got = await body_of(pool, f"{server.base}/case")
            assert own_answer_or_error(got), got
            assert (await probe(pool, server)).visit == 1


async def test_what_came_with_the_end_of_the_handshake_is_no_response() -> None:
    context = server_context(ssl.TLSVersion.TLSv1_2)  # where the server is the last to speak in a handshake
    server = Server(good("x", UNASKED, HELLO, greeting=INTRUDER), Way(tls=True, bytewise=False), context)
    with trio.fail_after(PATIENCE):
        async with serving(server, tls=True), open_pool(CONFIG, tls=client_context()) as pool:
            got = await body_of(pool, f"{server.base}/case")
            assert own_answer_or_error(got), got
            assert (await probe(pool, server)).visit == 1


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_session_tickets_are_no_reason_to_drop_a_connection(version: ssl.TLSVersion) -> None:
    server = Server(good("x", "RFC 8446 section 4.6.1", HELLO), Way(tls=True, bytewise=False), server_context(version))
    network = TappedNetwork()
    with trio.fail_after(PATIENCE):
        async with serving(server, tls=True), open_pool(CONFIG, tls=client_context(), network=network) as pool:
            await pool.prewarm(server.base, 1)
            if version is ssl.TLSVersion.TLSv1_3:
                await network.until_something_is_there()  # the tickets
            for _ in range(3):
                assert (await probe(pool, server)).visit == 0


@pytest.mark.parametrize("what", BEHIND)
async def test_plaintext_that_comes_with_the_tickets_is_a_reason(what: str) -> None:
    server = Server(good(what, UNASKED, HELLO, greeting=BEHIND[what]), Way(tls=True, bytewise=False))
    network = TappedNetwork()
    with trio.fail_after(PATIENCE):
        async with serving(server, tls=True), open_pool(CONFIG, tls=client_context(), network=network) as pool:
            await pool.prewarm(server.base, 1)
            await network.until_something_is_there()
            assert await body_of(pool, f"{server.base}/case") == b"hello"
            assert (await probe(pool, server)).visit == 1


async def test_one_bad_connection_of_many_spoils_no_other() -> None:
    case = good("x", UNASKED, HELLO, greeting=INTRUDER)
    server, network = Server(case, Way(tls=False, bytewise=False)), TappedNetwork()
    with trio.fail_after(PATIENCE):
        async with serving(server, tls=False), open_pool(network=network) as pool:
            await pool.prewarm(server.base, 4)
            while not any(tap.readable() for tap in network.taps):
                await trio.lowlevel.checkpoint()
            visits = {(await probe(pool, server)).visit for _ in range(8)}
            assert 0 not in visits
            assert pool.statistics().dials == 4
