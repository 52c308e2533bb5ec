"""What servers show: taken or refused, and if refused then with its reason and before a byte of the request."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from trio_pool import CertificateRefused, PoolConfig, TLSError, Upstream, open_client
from trio_pool._net import tls

from .doors import Everywhere, door
from .gallery import BAD, GOOD, HOST, OF_OPENSSL, Gallery, self_signed, showing
from .issuing import issue

CONFIG = PoolConfig(retry_attempts=1, max_connections=1)


@pytest.mark.parametrize("name", BAD)
async def test_what_is_bad_is_refused_before_a_byte_of_the_request(
    name: str, gallery: Gallery, trust: ssl.SSLContext
) -> None:
    """Three times over one slot; then the pool serves as if nothing had been."""
    exhibit, network = BAD[name], Everywhere()
    async with (
        door(
            *[exhibit.show(gallery) for _ in range(3)], showing(issue(HOST, exhibit.host.strip("[]"), by=gallery.root))
        ) as server,
        open_client(CONFIG, tls=trust, network=network) as client,
    ):
        url = f"https://{exhibit.host}:{server.port}/secret"
        for _ in range(3):
            with pytest.raises(TLSError, match=exhibit.words) as caught:
                await client.post(url, content=b"secret")
            assert str(caught.value).startswith("the TLS handshake failed: ")
            assert caught.value.phase == "connecting"
            assert not caught.value.may_have_been_processed
            assert not OF_OPENSSL.search(str(caught.value))
            assert network.open == 0
        figures = client.pool.statistics()
        assert (figures.dial_failures, figures.opened, figures.dialling, figures.leased) == (3, 0, 0, 0)
        response = await client.get(url)
        assert response.content == b"ok"
    assert [visit.received for visit in server.visits[:3]] == [b""] * 3
    assert all(visit.fault for visit in server.visits[:3])
    assert server.visits[3].received.startswith(b"GET /secret HTTP/1.1\r\n")


@pytest.mark.parametrize("name", GOOD)
async def test_what_is_good_is_taken(name: str, gallery: Gallery, trust: ssl.SSLContext) -> None:
    exhibit = GOOD[name]
    async with (
        door(exhibit.show(gallery)) as server,
        open_client(CONFIG, tls=trust, network=Everywhere()) as client,
    ):
        for _ in range(2):  # on two connections: a session need not resume
            response = await client.get(f"https://{exhibit.host}:{server.port}/x")
            assert response.content == b"ok"
    assert len(server.visits) == 2
    assert all(visit.received.startswith(b"GET /x HTTP/1.1\r\n") for visit in server.visits)


async def test_the_reason_comes_with_advice(gallery: Gallery, trust: ssl.SSLContext) -> None:
    async with door(self_signed(gallery)) as server, open_client(CONFIG, tls=trust, network=Everywhere()) as client:
        with pytest.raises(TLSError, match=f"to https://{HOST}:{server.port}") as caught:
            await client.get(f"https://{HOST}:{server.port}/")
        assert "tls=" in caught.value.advice
        assert isinstance(caught.value.__cause__, TLSError)
        assert isinstance(caught.value.__cause__.__cause__, ssl.SSLCertVerificationError)


async def test_a_certificate_that_does_not_verify_is_not_asked_for_again(
    gallery: Gallery, trust: ssl.SSLContext
) -> None:
    async with door(self_signed(gallery)) as server, open_client(tls=trust, network=Everywhere()) as client:
        with pytest.raises(CertificateRefused) as caught:
            await client.get(f"https://{HOST}:{server.port}/")
        assert [attempt.kind for attempt in caught.value.attempts] == ["refused"]
    assert len(server.visits) == 1


async def test_but_another_upstream_is_asked(gallery: Gallery, trust: ssl.SSLContext) -> None:
    async with door(self_signed(gallery)) as bad, door(gallery.good()) as good:
        upstreams = [
            Upstream(f"https://{HOST}:{server.port}", name=name, priority=priority)
            for priority, (name, server) in enumerate({"bad": bad, "good": good}.items())
        ]
        async with open_client(tls=trust, network=Everywhere(), upstreams=upstreams) as client:
            answer = await client.get("/x")
    assert [(attempt.upstream, attempt.result) for attempt in answer.attempts] == [
        ("bad", "CertificateRefused"),
        ("good", "200"),
    ]
    assert bad.visits[0].received == b""


async def test_the_server_is_told_why_we_left(gallery: Gallery, trust: ssl.SSLContext) -> None:
    """By an alert (RFC 8446 section 6.2), which its logs will show."""
    async with door(self_signed(gallery)) as server, open_client(CONFIG, tls=trust, network=Everywhere()) as client:
        with pytest.raises(TLSError):
            await client.get(f"https://{HOST}:{server.port}/")
    assert "ALERT" in server.visits[0].fault


# ---- whose trust counts ----


@pytest.fixture
def system(gallery: Gallery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system that trusts the gallery's roots."""
    path = tmp_path / "roots.pem"
    path.write_text(gallery.root.trust + gallery.old_root.trust)
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    tls.system_trust.cache_clear()
    yield
    tls.system_trust.cache_clear()


@pytest.mark.parametrize("name", BAD)
async def test_the_systems_trust_is_as_strict(name: str, gallery: Gallery, system: None) -> None:
    exhibit = BAD[name]
    async with door(exhibit.show(gallery)) as server, open_client(CONFIG, network=Everywhere()) as client:
        with pytest.raises(TLSError, match=exhibit.words):
            await client.get(f"https://{exhibit.host}:{server.port}/")
    assert server.visits[0].received == b""


@pytest.mark.parametrize("name", GOOD)
async def test_the_systems_trust_is_enough(name: str, gallery: Gallery, system: None) -> None:
    exhibit = GOOD[name]
    async with door(exhibit.show(gallery)) as server, open_client(CONFIG, network=Everywhere()) as client:
        response = await client.get(f"https://{exhibit.host}:{server.port}/")
        assert response.content == b"ok"


async def test_nobody_trusts_the_gallery_unasked(gallery: Gallery) -> None:
    async with door(gallery.good()) as server, open_client(CONFIG, network=Everywhere()) as client:
        for _ in range(3):
            with pytest.raises(TLSError, match="certificate"):
                await client.get(f"https://{HOST}:{server.port}/")
    assert [visit.received for visit in server.visits] == [b""] * 3


@pytest.mark.parametrize(
    "name", ["expired", "for another host", "signed by itself", "for the host in its subject alone"]
)
async def test_who_gives_a_context_that_checks_nothing_has_nothing_checked(name: str, gallery: Gallery) -> None:
    """That is the caller's own decision, and his words are taken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    async with (
        door(BAD[name].show(gallery)) as server,
        open_client(CONFIG, tls=context, network=Everywhere()) as client,
    ):
        response = await client.get(f"https://{HOST}:{server.port}/")
        assert response.content == b"ok"


async def test_who_gives_a_context_that_checks_no_name_has_the_rest_checked(
    gallery: Gallery, trust: ssl.SSLContext
) -> None:
    trust.check_hostname = False
    async with (
        door(BAD["for another host"].show(gallery), BAD["expired"].show(gallery)) as server,
        open_client(CONFIG, tls=trust, network=Everywhere()) as client,
    ):
        response = await client.get(f"https://{HOST}:{server.port}/")
        assert response.content == b"ok"
        with pytest.raises(TLSError, match="expired"):
            await client.get(f"https://{HOST}:{server.port}/")


async def test_the_name_is_asked_for_and_http_1_1_is(gallery: Gallery, trust: ssl.SSLContext) -> None:
    """ALPN: who speaks HTTP/2 too must not choose it."""
    context = gallery.good()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with door(context) as server, open_client(CONFIG, tls=trust, network=Everywhere()) as client:
        await client.get(f"https://{HOST}:{server.port}/")
        await client.get(f"https://127.0.0.1:{server.port}/")
    assert [visit.asked for visit in server.visits] == [HOST, None]
    assert all(visit.received for visit in server.visits)


async def test_a_server_that_knows_no_http_1_1_is_no_server(gallery: Gallery, trust: ssl.SSLContext) -> None:
    """OpenSSL's servers go on without a protocol then: that is no reason to refuse."""
    context = gallery.good()
    context.set_alpn_protocols(["h2"])
    async with door(context) as server, open_client(CONFIG, tls=trust, network=Everywhere()) as client:
        response = await client.get(f"https://{HOST}:{server.port}/")
        assert response.content == b"ok"


@pytest.mark.parametrize("tickets", [0, 1, 5])
async def test_sessions_need_not_resume(tickets: int, gallery: Gallery, trust: ssl.SSLContext) -> None:
    context = gallery.good()
    context.num_tickets = tickets
    async with door(context) as server, open_client(CONFIG, tls=trust, network=Everywhere()) as client:
        for _ in range(3):
            response = await client.get(f"https://{HOST}:{server.port}/")
            assert response.content == b"ok"
    assert len(server.visits) == 3
