"""Cancelling without end: 60 requests at a time on 10 connections, each cut after 0 to 30 ms.

`python -m tests.wire.churn --seconds 60` does it for longer than the tests do, over plain TCP and over TLS, and
prints what came of it. It fails as the tests do: if a connection, a place in line or a file descriptor is lost,
if the server ever sees more than ten sockets, or if a response carries another request's nonce.
"""

from __future__ import annotations

import argparse
import os
import random
import ssl
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import attrs
import trio

from trio_pool import Client, PoolConfig, PoolStatistics, Stream, SystemNetwork, open_client

from .servers import Authority, Child

LIMIT = 10
AT_ONCE = 60
LONGEST = 0.03
"""Seconds after which every request has been cut."""


@attrs.define
class Tally:
    """What came of a churn.

    :ivar cancelled: requests that were cut.
    :ivar answered: requests that got their own answer before that.
    :ivar most_streams: connections open at once, as the client counts them.
    :ivar most_sockets: connections open at once, as the server counts them, where it does.
    """

    cancelled: int = 0
    answered: int = 0
    most_streams: int = 0
    most_sockets: int = 0


class Counted:
    """A stream that reports its end."""

    def __init__(self, stream: Stream, network: CountingNetwork) -> None:
        self._stream = stream
        self._network: CountingNetwork | None = network
        self.recv_nowait = stream.recv_nowait
        self.send_nowait = stream.send_nowait
        self.readable = stream.readable
        self.wait_readable = stream.wait_readable
        self.wait_writable = stream.wait_writable

    def close(self) -> None:
        """Close, and count it once."""
        network, self._network = self._network, None
        if network is not None:
            network.open -= 1
        self._stream.close()


class CountingNetwork(SystemNetwork):
    """The machine's network; it counts the connections that are open.

    :ivar most: as many as ever were open at once, those included that were being made.
    """

    def __init__(self) -> None:
        self.open = 0
        self.most = 0

    async def connect(self, address: tuple[str, int]) -> Stream:
        """A connection that counts from before it is made."""
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            return Counted(await super().connect(address), self)
        except BaseException:
            self.open -= 1
            raise


def descriptors() -> int:
    """How many file descriptors this process has open."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return len(os.listdir(folder))
    return sum(_is_open(number) for number in range(1024))


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


class Churn:
    """One churn on one client.

    :param rounds: it ends after so many rounds of 60 requests, or when the time is over.
    """

    def __init__(self, client: Client, chance: random.Random, *, seconds: float, rounds: float) -> None:
        self.tally = Tally()
        self._client = client
        self._chance = chance
        self._deadline = trio.current_time() + seconds
        self._rounds = rounds

    async def run(self) -> None:
        """60 requests at a time, again and again: at once, and then again one by one as others are cut."""
        done, times = 0, 1
        while trio.current_time() < self._deadline and done < self._rounds:
            async with trio.open_nursery() as nursery:
                for _ in range(AT_ONCE):
                    nursery.start_soon(self._ask_and_cut, times)
            done += times
            times = 4 - times

    async def _ask_and_cut(self, times: int) -> None:
        for _ in range(times):
            nonce = uuid4().hex
            with trio.move_on_after(self._chance.uniform(0, LONGEST)) as scope:
                await self._ask(nonce)
                self.tally.answered += 1
            self.tally.cancelled += scope.cancelled_caught
            check(self._client.pool.statistics())

    async def _ask(self, nonce: str) -> None:
        """One request: read whole, in pieces, left in the middle, or with a body."""
        chance = self._chance
        size = chance.choice((0, 100, 300_000))
        url = f"/slow?nonce={nonce}&ms={chance.choice((0, 0, 0, 1, 5))}&size={size}"
        kind = chance.randrange(4)
        if kind == 0:
            response = await self._client.post(url, content=bytes(chance.choice((10, 200_000))))
            assert response.content[:32] == nonce.encode()
        elif kind == 1:
            response = await self._client.get(url)
            assert response.content[:32] == nonce.encode()
        else:
            await self._stream(url, nonce, leaves=kind == 2)

    async def _stream(self, url: str, nonce: str, *, leaves: bool) -> None:
        start = b""
        async with self._client.stream("GET", url) as response:
            async for piece in response.iter_bytes():
                start = (start + piece)[:32] if len(start) < 32 else start
                if leaves and len(start) == 32:
                    break
        assert start == nonce.encode()


def check(figures: PoolStatistics) -> None:
    """What holds at every moment."""
    slots = figures.leased + figures.idle + figures.dialling + figures.closing
    assert min(figures.leased, figures.idle, figures.dialling, figures.closing, figures.waiting) >= 0, figures
    assert slots <= LIMIT, figures
    assert figures.dials == figures.dialling + figures.opened + figures.dial_failures, figures
    assert figures.opened == figures.leased + figures.idle + figures.closing + figures.closed, figures
    assert not figures.leaks, figures


async def settle(client: Client) -> None:
    """Until the dials that nobody waits for any more have ended: they go on by themselves."""
    with trio.fail_after(10):
        while client.pool.statistics().dialling:  # noqa: ASYNC110  # the pool tells nobody
            await trio.sleep(0.001)


async def pass_gate(client: Client) -> None:
    """Ten requests at once: none is answered before all ten are at the server."""

    name = uuid4().hex

    async def ask(nonce: str) -> None:
        response = await client.get(f"/gate?name={name}&count={LIMIT}&nonce={nonce}")
        assert response.content == nonce.encode()

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for _ in range(LIMIT):
                nursery.start_soon(ask, uuid4().hex)


async def churn(base: str, tls: ssl.SSLContext, *, seconds: float, rounds: float, seed: int) -> Tally:
    """Cancel and cancel on any server, then check that nothing has been lost.

    :raises AssertionError: something has.
    """
    config, network = PoolConfig(max_connections=LIMIT, acquire_timeout=30.0), CountingNetwork()
    before = descriptors()
    async with open_client(config, base_url=base, tls=tls, network=network) as client:
        work = Churn(client, random.Random(seed), seconds=seconds, rounds=rounds)
        await work.run()
        await settle(client)
        figures = client.pool.statistics()
        assert (figures.leased, figures.dialling, figures.closing, figures.waiting) == (0, 0, 0, 0), figures
        await pass_gate(client)
        check(client.pool.statistics())
    assert network.open == 0
    assert descriptors() == before
    assert network.most <= LIMIT
    work.tally.most_streams = network.most
    return work.tally


async def counted_churn(base: str, tls: ssl.SSLContext, *, seconds: float, rounds: float, seed: int) -> Tally:
    """The same on the origin that counts its sockets.

    :raises AssertionError: something has been lost, or the server saw more than ten sockets.
    """
    async with open_client(base_url=base, tls=tls) as reporter:
        await reporter.get("/report")  # the accounts start here; this socket is one of them
        tally = await churn(base, tls, seconds=seconds, rounds=rounds, seed=seed)
        told = (await reporter.get("/report")).json()
    assert LIMIT / 2 < told["most"] - 1 <= LIMIT, told
    tally.most_sockets = told["most"] - 1
    return tally


def main(arguments: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Cancel requests without end and look for what is lost.")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, plain and over TLS each (60)")
    parser.add_argument("--seed", type=int, default=0, help="of the random choices (0)")
    options = parser.parse_args(arguments)
    authority = Authority()
    with TemporaryDirectory() as folder:
        authority.leaf.private_key_and_cert_chain_pem.write_to_path(Path(folder) / "cert.pem")
        child = Child("counting", folder)
        try:
            for scheme in ("http", "https"):
                tally = trio.run(_churn, child, scheme, authority.client_context(), options)
                print(  # noqa: T201  # a command's output
                    f"{scheme}: {tally.cancelled} requests were cancelled and {tally.answered} answered; the server "
                    f"saw {tally.most_sockets} sockets at most; nothing was lost"
                )
        finally:
            child.end()


async def _churn(child: Child, scheme: str, tls: ssl.SSLContext, options: argparse.Namespace) -> Tally:
    base = f"{scheme}://localhost:{child.told[scheme][0]}"
    return await counted_churn(base, tls, seconds=options.seconds, rounds=float("inf"), seed=options.seed)


if __name__ == "__main__":
    main()
