"""Certificates that trustme would never issue, made with cryptography: whatever can be wrong with one."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)

_SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")  # RFC 8017 appendix C, as DER has it
_SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")


def elliptic() -> Key:
    """A key that nobody objects to."""
    return ec.generate_private_key(ec.SECP256R1())


@attrs.frozen
class Issued:
    """A certificate with its key, and those between it and the root."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    def show(self, context: ssl.SSLContext) -> None:
        """Have the context show it, however weak it is."""
        context.set_ciphers("ALL:@SECLEVEL=0")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "shown.pem"
            path.write_bytes(self.pem)
            context.load_cert_chain(path)

    @property
    def pem(self) -> bytes:
        """All of it."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        return b"".join([key, *(each.public_bytes(Encoding.PEM) for each in (self.certificate, *self.chain))])

    @property
    def trust(self) -> str:
        """The certificate alone, to be trusted."""
        return self.certificate.public_bytes(Encoding.PEM).decode()


def issue(
    *names: str,
    by: Issued | None = None,
    key: Key | None = None,
    subject: str = "somebody",
    since: datetime.datetime = NOW - DAY,
    until: datetime.datetime = NOW + DAY,
    authority: bool = False,
    usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.SERVER_AUTH,
) -> Issued:
    """A certificate for these names and addresses.

    :param by: who signs it; None: it signs itself.
    :param subject: its common name.
    :param authority: whether it may sign others.
    """
    key = key or elliptic()
    issuer = _name(subject) if by is None else by.certificate.subject
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False
        )
    if not authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    signed = builder.sign((by.key if by else key), hashes.SHA256())
    return Issued(signed, key, () if by is None or is_root(by) else (by.certificate, *by.chain))


def is_root(issued: Issued) -> bool:
    """Whether it signed itself: a root is not shown, it is trusted or not."""
    return issued.certificate.issuer == issued.certificate.subject


def signed_by_sha1(issued: Issued, by: Issued) -> Issued:
    """The same with a signature of old, which cryptography does not make any more: by hand, in DER."""
    assert isinstance(by.key, rsa.RSAPrivateKey)
    signed = issued.certificate.tbs_certificate_bytes.replace(_SHA256_WITH_RSA, _SHA1_WITH_RSA)
    signature = by.key.sign(signed, padding.PKCS1v15(), hashes.SHA1())
    algorithm = _der(0x30, _SHA1_WITH_RSA + b"\x05\x00")
    whole = _der(0x30, signed + algorithm + _der(0x03, b"\x00" + signature))
    return attrs.evolve(issued, certificate=x509.load_der_x509_certificate(whole))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    return bytes([tag, 0x82]) + size.to_bytes(2, "big") + content


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _alternative(name: str) -> x509.GeneralName:
    """An address where it is one; "DNS:" before it makes a name of it all the same."""
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name.removeprefix("DNS:"))


def trusting(roots: Sequence[Issued]) -> ssl.SSLContext:
    """A client's context that trusts these alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata="".join(root.trust for root in roots))
    return context
