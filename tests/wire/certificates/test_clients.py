"""What clients show: a certificate, where the server wants one; and what is said where it is missing or no good."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from trio_pool import PoolConfig, TLSError, TrioPoolError, open_client

from .doors import Everywhere, door
from .gallery import HOST, OF_OPENSSL, Gallery
from .issuing import DAY, NOW, Issued, issue

CONFIG = PoolConfig(retry_attempts=1, max_connections=1)

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]

every_version = pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)


def demanding(gallery: Gallery, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A server that serves those alone who show a certificate of the root's."""
    context = gallery.good()
    context.minimum_version = context.maximum_version = version
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=gallery.root.trust)
    return context


def of_a_client(by: Issued, **options: object) -> Issued:
    """A client's certificate."""
    return issue("client.test", by=by, subject="a client", usage=ExtendedKeyUsageOID.CLIENT_AUTH, **options)  # type: ignore[arg-type]  # options of `issue`


def carrying(gallery: Gallery, issued: Issued, folder: Path) -> ssl.SSLContext:
    """A client's context with a certificate."""
    path = folder / "client.pem"
    path.write_bytes(issued.pem)
    context = gallery.trust()
    context.load_cert_chain(path)
    return context


@every_version
async def test_a_client_that_shows_its_certificate_is_served(
    version: ssl.TLSVersion, gallery: Gallery, tmp_path: Path
) -> None:
    context = carrying(gallery, of_a_client(gallery.root), tmp_path)
    async with (
        door(demanding(gallery, version)) as server,
        open_client(CONFIG, tls=context, network=Everywhere()) as client,
    ):
        for _ in range(2):
            response = await client.get(f"https://{HOST}:{server.port}/x")
            assert response.content == b"ok"
    assert [visit.peer for visit in server.visits] == ["a client"] * 2
    assert {visit.version for visit in server.visits} == {f"TLSv1.{2 if version is VERSIONS[0] else 3}"}


@every_version
async def test_a_client_is_served_whose_authority_is_between(
    version: ssl.TLSVersion, gallery: Gallery, tmp_path: Path
) -> None:
    context = carrying(gallery, of_a_client(gallery.intermediate), tmp_path)
    async with (
        door(demanding(gallery, version)) as server,
        open_client(CONFIG, tls=context, network=Everywhere()) as client,
    ):
        response = await client.get(f"https://{HOST}:{server.port}/x")
        assert response.content == b"ok"


MISSING = {  # in TLS 1.2 there is no alert of its own for it; in 1.3 the verdict comes behind the handshake
    ssl.TLSVersion.TLSv1_2: "(?i)handshake.failure|certificate",
    ssl.TLSVersion.TLSv1_3: "(?i)certificate.required",
}
UNTRUSTED = "(?i)unknown.ca|bad.certificate|certificate.unknown"
EXPIRED = "(?i)certificate.expired"


async def refused(
    gallery: Gallery, version: ssl.TLSVersion, context: ssl.SSLContext, good: ssl.SSLContext, words: str
) -> None:
    """The client is refused three times over one slot, with these words; then, with a good one, it is served."""
    network = Everywhere()
    async with door(demanding(gallery, version)) as server:
        url = f"https://{HOST}:{server.port}/secret"
        async with open_client(CONFIG, tls=context, network=network) as client:
            for _ in range(3):
                with pytest.raises(TrioPoolError, match=words) as caught:
                    await client.get(url)
                assert not OF_OPENSSL.search(str(caught.value))
                assert isinstance(caught.value, TLSError) or version is ssl.TLSVersion.TLSv1_3
                assert network.open == 0
            figures = client.pool.statistics()
            assert (figures.leased, figures.idle, figures.dialling) == (0, 0, 0)
        assert all(visit.received == b"" for visit in server.visits)
        assert len(server.visits) == 3
        async with open_client(CONFIG, tls=good, network=network) as client:
            response = await client.get(url)
            assert response.content == b"ok"


@every_version
async def test_a_client_that_shows_none_is_told_so(version: ssl.TLSVersion, gallery: Gallery, tmp_path: Path) -> None:
    good = carrying(gallery, of_a_client(gallery.root), tmp_path)
    await refused(gallery, version, gallery.trust(), good, MISSING[version])


@every_version
async def test_a_client_whose_authority_is_not_trusted_is_told_so(
    version: ssl.TLSVersion, gallery: Gallery, tmp_path: Path
) -> None:
    good = carrying(gallery, of_a_client(gallery.root), tmp_path)
    await refused(gallery, version, carrying(gallery, of_a_client(gallery.untrusted), tmp_path), good, UNTRUSTED)


@every_version
async def test_a_client_whose_certificate_has_expired_is_told_so(
    version: ssl.TLSVersion, gallery: Gallery, tmp_path: Path
) -> None:
    good = carrying(gallery, of_a_client(gallery.root), tmp_path)
    late = of_a_client(gallery.root, since=NOW - 3 * DAY, until=NOW - DAY)
    await refused(gallery, version, carrying(gallery, late, tmp_path), good, EXPIRED)
