"""Hosts in all their forms: what is resolved, what stands in Host, what TLS is asked for and checked against."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence

import pytest
import trustme

from trio_pool import PoolConfig, SystemNetwork, TLSError, open_client

from .peers import LOOPBACK, Visit, Wires, answer_all, fields_of, serving

CONFIG = PoolConfig(retry_attempts=1, max_connections=2)


def has_ipv6() -> bool:
    """Whether there is an IPv6 loopback address."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


IPV6_LITERALS = ["[::1]", "[0:0:0:0:0:0:0:1]", "[0000::0001]", "[::0.0.0.1]"] if has_ipv6() else []


class Asked(SystemNetwork):
    """Remembers the names, and what was dialled."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.dialled: list[str] = []

    async def resolve(self, host: str, port: int) -> Sequence[tuple[str, int]]:
        self.asked.append(host)
        found = await super().resolve(host, port)
        self.dialled += [address for address, _ in found]
        return found


@pytest.mark.parametrize("literal", IPV6_LITERALS)
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_ipv6_literals_are_dialled_named_and_checked(
    literal: str, scheme: str, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    names: list[str | None] = []

    async def serve(visit: Visit) -> None:
        if scheme == "https":
            names.append(await visit.secure(showing))
        await answer_all(visit)

    network = Asked()
    async with serving(serve, "::1") as origin, open_client(CONFIG, tls=trusting, network=network) as client:
        response = await client.get(f"{scheme}://{literal}:{origin.port}/x")
        assert response.content == b"GET /x HTTP/1.1"
        assert str(response.request.origin).startswith(f"{scheme}://[")
        again = await client.get(f"{scheme}://[::1]:{origin.port}/")
        assert again.timings.reused == (response.request.origin == again.request.origin)
    assert network.dialled[0] == "::1"
    assert fields_of(origin.heads[0])["host"].endswith(f"]:{origin.port}")
    assert all(name is None for name in names)  # an address is no name (RFC 6066 section 3)


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("literal", ["[::1%251]", "[::1%1]"] if has_ipv6() else [])
async def test_a_zone_is_for_dialling_alone(
    literal: str, scheme: str, showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """RFC 6874: it says by which interface, which is nobody else's business; and it stands in no certificate."""
    names: list[str | None] = []

    async def serve(visit: Visit) -> None:
        if scheme == "https":
            names.append(await visit.secure(showing))
        await answer_all(visit)

    network = Asked()
    async with serving(serve, "::1") as origin, open_client(CONFIG, tls=trusting, network=network) as client:
        response = await client.get(f"{scheme}://{literal}:{origin.port}/x")
        assert response.content == b"GET /x HTTP/1.1"
    assert network.asked == ["::1%1"]
    assert fields_of(origin.heads[0])["host"] == f"[::1]:{origin.port}"
    assert all(name is None for name in names)


async def test_a_zone_is_not_told_to_a_proxy(showing: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async def tunnel(visit: Visit) -> None:
        await visit.head()
        await visit.send(b"HTTP/1.1 200 OK\r\n\r\n")
        assert await visit.secure(showing) is None
        await answer_all(visit)

    async with (
        serving(tunnel) as proxy,
        open_client(CONFIG, proxy=f"http://proxy.test:{proxy.port}", tls=trusting, network=Wires()) as client,
    ):
        await client.get("https://[::1%25eth0]/x")
    assert proxy.heads[0] == b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"


IDNA = {
    "bücher.test": "xn--bcher-kva.test",
    "BÜCHER.Test": "xn--bcher-kva.test",
    "xn--bcher-kva.test": "xn--bcher-kva.test",
    "XN--BCHER-KVA.test": "xn--bcher-kva.test",
    "b\u0075\u0308cher.test": "xn--bcher-kva.test",  # the umlaut as two characters
    "faß.test": "xn--fa-hia.test",
    "παράδειγμα.test": "xn--hxajbheg2az3al.test",
    "例え.test": "xn--r8jz45g.test",
    "bücher。test": "xn--bcher-kva.test",  # another full stop
    "Origin.TEST": "origin.test",
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize(("host", "ascii_host"), IDNA.items())
async def test_international_names_are_asked_for_in_ascii_everywhere(
    host: str, ascii_host: str, scheme: str, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(ascii_host).configure_cert(context)
    names: list[str | None] = []

    async def serve(visit: Visit) -> None:
        if scheme == "https":
            names.append(await visit.secure(context))
        await answer_all(visit)

    wires = Wires()
    async with serving(serve) as origin, open_client(CONFIG, tls=trusting, network=wires) as client:
        response = await client.get(f"{scheme}://{host}:{origin.port}/x")
        assert response.content == b"GET /x HTTP/1.1"
        again = await client.get(f"{scheme}://{ascii_host}:{origin.port}/")
        assert again.timings.reused
    assert wires.asked == [ascii_host]
    assert fields_of(origin.heads[0])["host"] == f"{ascii_host}:{origin.port}"
    assert names in ([], [ascii_host])


@pytest.mark.parametrize("host", ["bücher.test", "xn--bcher-kva.test"])
async def test_a_name_that_only_looks_alike_is_another_name(
    host: str, authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("bucher.test", "xn--bcher-kva.test.evil.test").configure_cert(context)

    async def serve(visit: Visit) -> None:
        await visit.secure(context)
        await answer_all(visit)

    async with serving(serve) as origin, open_client(CONFIG, tls=trusting, network=Wires()) as client:
        with pytest.raises(TLSError, match=r"not valid for 'xn--bcher-kva\.test'"):
            await client.get(f"https://{host}:{origin.port}/x")
    assert origin.visits[0].received == b""


async def test_a_name_that_ends_in_a_dot_is_checked_without_it(
    showing: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """The dot is for the resolver; a certificate has none, nor has server_name (RFC 6066 section 3)."""
    names: list[str | None] = []

    async def serve(visit: Visit) -> None:
        names.append(await visit.secure(showing))
        await answer_all(visit)

    wires = Wires()
    async with serving(serve) as origin, open_client(CONFIG, tls=trusting, network=wires) as client:
        response = await client.get(f"https://origin.test.:{origin.port}/x")
        assert response.content == b"GET /x HTTP/1.1"
    assert names == ["origin.test"]
    assert wires.asked == ["origin.test."]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://origin.test:{port}/", "origin.test:{port}"),
        (f"http://{LOOPBACK}:{{port}}/", f"{LOOPBACK}:{{port}}"),
        ("http://user:word@origin.test:{port}/", "origin.test:{port}"),
        ("http://a_b.test:{port}/", "a_b.test:{port}"),
        ("http://origin.test.:{port}/", "origin.test.:{port}"),
    ],
)
async def test_host_is_what_the_url_says_and_nothing_besides(url: str, shown: str) -> None:
    async with serving(answer_all) as origin, open_client(CONFIG, network=Wires()) as client:
        await client.get(url.format(port=origin.port))
    assert fields_of(origin.heads[0])["host"] == shown.format(port=origin.port)
