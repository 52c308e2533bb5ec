"""Who resolves, and what may be dialled: every address is judged after its name was resolved and before it is dialled.

All that leads anywhere leads to loopback here, whatever the address: what *would* have been dialled is written down.
"""

from __future__ import annotations

import math
import os
import ssl
from collections.abc import Callable, Sequence

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from trio_pool import (
    AddressRefused,
    ConnectError,
    ConnectTimeout,
    PoolConfig,
    Stream,
    SystemNetwork,
    only_public,
    open_client,
)
from trio_pool._net import network as network_module
from trio_pool._net.streams import connect_tcp

from .peers import LOOPBACK, Visit, answer, answer_all, serving, tunnelling

CONFIG = PoolConfig(retry_attempts=1, max_connections=2, max_connections_per_host=2)

PUBLIC, OTHER_PUBLIC, PUBLIC_6 = "1.2.3.4", "1.2.3.5", "2606:4700::1111"

Dialled = list[tuple[str, int]]


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> Dialled:
    """What was dialled below the policy, in order; in truth it was loopback."""
    found: Dialled = []

    async def connect(host: str, port: int) -> Stream:
        found.append((host, port))
        if host == OTHER_PUBLIC:
            raise OSError("nobody is there")
        return await connect_tcp(LOOPBACK, port)

    monkeypatch.setattr(network_module, "connect_tcp", connect)
    return found


class Book(SystemNetwork):
    """A resolver of the user's own: a book of names, each with its answers in turn; the last one stays.

    :ivar asked: the names that were looked up.
    """

    def __init__(self, policy: Callable[[str, int], bool] | None = None, **answers: Sequence[Sequence[str]]) -> None:
        super().__init__(policy)
        self._answers = {name.replace("_", "."): [list(each) for each in turns] for name, turns in answers.items()}
        self.asked: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        self.asked.append(host)
        turns = self._answers.get(host, [[host]])
        found = turns.pop(0) if len(turns) > 1 else turns[0]
        return [(address, port) for address in found]


INSIDE = [
    ["127.0.0.1"],
    ["127.8.8.8"],
    ["::1"],
    ["10.1.2.3"],
    ["192.168.1.1"],
    ["172.20.0.1"],
    ["169.254.169.254"],
    ["fe80::1"],
    ["fe80::1%2"],
    ["fd00::1"],
    ["0.0.0.0"],
    ["::"],
    ["224.0.0.251"],
    ["ff02::fb"],
    ["::ffff:127.0.0.1"],
    ["::ffff:10.0.0.1"],
    ["::ffff:224.0.0.1"],
    ["2002:7f00:1::"],
    ["64:ff9b::169.254.169.254"],
    ["100.64.0.1"],
    ["127.0.0.1", "10.0.0.1", "::1", "fe80::1%2"],
]


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("addresses", INSIDE, ids=" ".join)
async def test_an_address_inside_is_refused_and_not_dialled(
    scheme: str, addresses: list[str], dialled: Dialled
) -> None:
    network = Book(only_public, evil_test=[addresses])
    async with open_client(CONFIG, network=network) as client:
        for _ in range(3):  # more often than there are slots
            with pytest.raises(AddressRefused) as caught:
                await client.get(f"{scheme}://evil.test/secret")
            assert isinstance(caught.value, ConnectError)
            assert caught.value.phase == "connecting"
            assert not caught.value.may_have_been_processed
            assert "no address of evil.test" in str(caught.value)
        figures = client.pool.statistics()
        assert (figures.dial_failures, figures.opened, figures.leased, figures.dialling) == (3, 0, 0, 0)
    assert dialled == []
    assert network.asked == ["evil.test"] * 3


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[::]",
    ],
)
async def test_loopback_is_found_out_however_it_is_written(host: str, dialled: Dialled) -> None:
    """By the system's own resolver, which knows all of these without asking anybody."""
    async with open_client(CONFIG, network=SystemNetwork(only_public)) as client:
        with pytest.raises(AddressRefused):
            await client.get(f"http://{host}:8080/")
    assert dialled == []


@pytest.mark.parametrize(
    "addresses",
    [
        [PUBLIC],
        [PUBLIC, "127.0.0.1"],
        ["127.0.0.1", PUBLIC],
        ["::1", "10.0.0.1", PUBLIC, "fe80::1"],
        ["127.0.0.1", PUBLIC_6],
        ["::ffff:10.0.0.1", PUBLIC_6, "192.168.0.1"],
    ],
    ids=" ".join,
)
async def test_of_several_addresses_only_those_that_may_be_are_dialled(addresses: list[str], dialled: Dialled) -> None:
    async with (
        serving(answer_all) as origin,
        open_client(CONFIG, network=Book(only_public, mixed_test=[addresses])) as client,
    ):
        response = await client.get(f"http://mixed.test:{origin.port}/x")
        assert response.content == b"GET /x HTTP/1.1"
    assert dialled == [(next(address for address in addresses if address in (PUBLIC, PUBLIC_6)), origin.port)]


@pytest.mark.parametrize("addresses", [[OTHER_PUBLIC, "10.0.0.1"], ["10.0.0.1", OTHER_PUBLIC], ["::1", OTHER_PUBLIC]])
async def test_where_one_may_be_dialled_its_failure_counts(addresses: list[str], dialled: Dialled) -> None:
    async with open_client(CONFIG, network=Book(only_public, mixed_test=[addresses])) as client:
        with pytest.raises(ConnectError, match="nobody is there") as caught:
            await client.get("http://mixed.test/")
        assert not isinstance(caught.value, AddressRefused)
    assert dialled == [(OTHER_PUBLIC, 80)]


async def test_a_failed_address_is_followed_by_the_next_that_may_be(dialled: Dialled) -> None:
    addresses = ["10.0.0.1", OTHER_PUBLIC, "127.0.0.1", PUBLIC]
    async with (
        serving(answer_all) as origin,
        open_client(CONFIG, network=Book(only_public, mixed_test=[addresses])) as client,
    ):
        await client.get(f"http://mixed.test:{origin.port}/")
    assert dialled == [(OTHER_PUBLIC, origin.port), (PUBLIC, origin.port)]


async def test_every_dial_resolves_and_judges_anew(dialled: Dialled) -> None:
    """A name that leads inside the second time (rebinding) gains nothing; what is connected stays connected."""
    async with (
        serving(answer_all) as origin,
        open_client(CONFIG, network=(network := Book(only_public, evil_test=[[PUBLIC], ["127.0.0.1"]]))) as client,
    ):
        url = f"http://evil.test:{origin.port}/"
        async with client.stream("GET", url) as response:
            with pytest.raises(AddressRefused):
                await client.get(url)
            await response.read()
        response = await client.get(url)
        assert response.timings.reused
    assert dialled == [(PUBLIC, origin.port)]
    assert network.asked == ["evil.test"] * 2


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "//10.0.0.1/",
        "http://inside.test:{port}/",
        "https://inside.test/",
    ],
)
async def test_a_redirect_leads_nowhere_that_may_not_be_dialled(location: str, dialled: Dialled) -> None:
    async def redirect(visit: Visit) -> None:
        while True:
            await visit.head()
            target = location.format(port=origin.port)
            await visit.send(answer(b"", f"Location: {target}", status="302 Found"))

    network = Book(only_public, outside_test=[[PUBLIC]], inside_test=[["192.168.0.1"]])
    async with serving(redirect) as origin, open_client(CONFIG, network=network, follow_redirects=True) as client:
        with pytest.raises(AddressRefused) as caught:
            await client.get(f"http://outside.test:{origin.port}/")
        assert caught.value.may_have_been_processed  # the first server has answered
        figures = client.pool.statistics()
        assert (figures.leased, figures.dialling) == (0, 0)
    assert dialled == [(PUBLIC, origin.port)]


async def test_a_policy_of_ones_own_is_asked_about_every_address_and_port(dialled: Dialled) -> None:
    judged: Dialled = []

    def judge(host: str, port: int) -> bool:
        judged.append((host, port))
        return host == PUBLIC

    async with (
        serving(answer_all) as origin,
        open_client(CONFIG, network=Book(judge, a_test=[["fe80::1%2", "10.0.0.1", PUBLIC]])) as client,
    ):
        await client.get(f"http://a.test:{origin.port}/")
        await client.get(f"http://a.test:{origin.port}/")  # on the same connection: nothing is dialled
    assert sorted(judged) == sorted((host, origin.port) for host in ("fe80::1%2", "10.0.0.1", PUBLIC))
    assert dialled == [(PUBLIC, origin.port)]


async def test_a_policy_can_go_by_the_port(dialled: Dialled) -> None:
    async with open_client(CONFIG, network=Book(lambda _, port: port in (80, 443))) as client:
        with pytest.raises(AddressRefused):
            await client.get(f"http://{PUBLIC}:22/")
    assert dialled == []


async def test_a_policy_that_fails_lets_nothing_pass(dialled: Dialled) -> None:
    def fail(host: str, port: int) -> bool:
        raise RuntimeError("out of order")

    async with open_client(CONFIG, network=Book(fail, a_test=[[PUBLIC], [PUBLIC, PUBLIC_6], [PUBLIC]])) as client:
        for _ in range(3):
            with pytest.raises(ConnectError):
                await client.get("http://a.test/")
        assert client.pool.statistics().dial_failures == 3
    assert dialled == []


async def test_by_a_proxy_it_is_the_proxys_address_that_is_judged(dialled: Dialled) -> None:
    """What lies behind is the proxy's to judge."""
    async with serving(answer_all) as proxy:
        network = Book(only_public, proxy_test=[[PUBLIC]], inside_test=[["10.0.0.1"]])
        async with open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", network=network) as client:
            await client.get("http://inside.test/")
        assert dialled == [(PUBLIC, proxy.port)]
        assert network.asked == ["proxy.test"]
        network = Book(only_public, proxy_test=[["10.0.0.1"]])
        async with open_client(CONFIG, proxy=f"http://a:b@proxy.test:{proxy.port}", network=network) as client:
            with pytest.raises(AddressRefused, match=r"no address of proxy\.test"):
                await client.get("https://outside.test/")
        assert dialled == [(PUBLIC, proxy.port)]


async def test_a_unix_socket_is_no_address(dialled: Dialled, tmp_path: os.PathLike[str]) -> None:
    """Its path comes from the program, not from a URL."""
    path = os.path.join(tmp_path, "socket")
    sock = trio.socket.socket(trio.socket.AF_UNIX)
    await sock.bind(path)
    sock.listen()

    async def serve_one() -> None:
        accepted, _ = await sock.accept()
        with accepted:
            await accepted.recv(65536)
            await accepted.send(answer(b"local"))

    with sock:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_one)
            async with open_client(CONFIG, uds=path, network=SystemNetwork(only_public)) as client:
                response = await client.get("http://127.0.0.1/")
                assert response.content == b"local"
    assert dialled == []


# ---- resolvers of the user's own ----


class Resolver(SystemNetwork):
    """Resolves by a function."""

    def __init__(self, resolve: Callable[[str, int], object], policy: Callable[[str, int], bool] | None = None) -> None:
        super().__init__(policy)
        self._resolve = resolve

    async def resolve(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        await trio.lowlevel.checkpoint()
        return self._resolve(host, port)  # type: ignore[return-value]  # whatever a user's own gives


def raise_error(error: Exception) -> Callable[[str, int], object]:
    def resolve(host: str, port: int) -> object:
        raise error

    return resolve


@pytest.mark.parametrize(
    "resolve",
    [
        lambda host, port: [],
        lambda host, port: (),
        lambda host, port: [("not an address", port)],
        lambda host, port: [("", port)],
        lambda host, port: [(PUBLIC, 0x12345)],
        lambda host, port: [(PUBLIC, port), ("nonsense", port), ("::nonsense", port)],
        lambda host, port: None,
        lambda host, port: [PUBLIC],
        raise_error(OSError("no such host")),
        raise_error(KeyError("host")),
        raise_error(UnicodeError("label too long")),
        raise_error(trio.TooSlowError()),
        raise_error(trio.BrokenResourceError()),
    ],
)
@pytest.mark.parametrize("policy", [None, lambda *_: False, only_public])
async def test_whatever_a_resolver_does_it_ends_in_an_error_of_ours_or_a_connection(
    resolve: Callable[[str, int], object], policy: Callable[[str, int], bool] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def connect(host: str, port: int) -> Stream:
        assert (host, port) != (LOOPBACK, 80), "nothing may be dialled for real"
        raise OSError("nobody is there")

    monkeypatch.setattr(network_module, "connect_tcp", connect)
    async with open_client(CONFIG, network=Resolver(resolve, policy)) as client:
        for _ in range(3):
            with pytest.raises(ConnectError):
                await client.get("http://a.test/")
        figures = client.pool.statistics()
        assert (figures.dial_failures, figures.dialling, figures.leased) == (3, 0, 0)


async def test_a_resolver_that_does_not_answer_is_a_connect_timeout(mock_clock: MockClock, dialled: Dialled) -> None:
    class Silent(SystemNetwork):
        async def resolve(self, host: str, port: int) -> Sequence[tuple[str, int]]:
            await trio.sleep(math.inf)
            return []

    async with open_client(CONFIG, network=Silent()) as client:

        async def ask() -> None:
            with pytest.raises(ConnectTimeout):
                await client.get("http://a.test/")

        for _ in range(3):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await wait_all_tasks_blocked()
                mock_clock.jump(5.1)
        assert client.pool.statistics().dialling == 0
    assert dialled == []


async def test_a_resolver_of_ones_own_leads_where_it_says(dialled: Dialled) -> None:
    """Service discovery, a hosts file, DNS over something else: the URL keeps its name, in Host too."""
    async with (
        serving(answer_all) as origin,
        open_client(CONFIG, network=Book(service_internal=[[PUBLIC]])) as client,
    ):
        await client.get(f"http://service.internal:{origin.port}/")
    assert b"\r\nHost: service.internal:" in origin.heads[0]
    assert dialled == [(PUBLIC, origin.port)]


async def test_a_resolver_of_ones_own_serves_proxies_too(
    dialled: Dialled, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async with serving(tunnelling(showing)) as proxy:
        network = Book(proxy_test=[[PUBLIC]])
        proxy_url = f"http://proxy.test:{proxy.port}"
        async with open_client(CONFIG, proxy=proxy_url, network=network, tls=trusting) as client:
            await client.get("https://origin.test/")
    assert network.asked == ["proxy.test"]
    assert dialled == [(PUBLIC, proxy.port)]
