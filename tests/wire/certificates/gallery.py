"""The gallery: what servers can show that a client must not take, each with the words that say what is wrong.

OpenSSL's words differ a little from version to version, so they are patterns. Where it cannot tell two faults apart
(a root that nobody trusts, and an intermediate that was not sent: in both the issuer is not to be found) nobody can.
"""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Callable
from functools import cached_property

import attrs
import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from .issuing import DAY, NOW, Issued, issue, signed_by_sha1, trusting

HOST = "origin.test"

OF_OPENSSL = re.compile(r"_ssl\.c|[A-Z]_[A-Z]")
"""What OpenSSL says to itself: where in its source, and by which constant."""


def server_context() -> ssl.SSLContext:
    """A server's context that shows nothing yet."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)


def showing(issued: Issued) -> ssl.SSLContext:
    """A server's context that shows this."""
    context = server_context()
    issued.show(context)
    return context


class Gallery:
    """The authorities, and what is on show."""

    def __init__(self) -> None:
        self.root = issue(authority=True, subject="root")

    @cached_property
    def old_root(self) -> Issued:
        """A trusted root whose signatures are by RSA."""
        return issue(authority=True, subject="old root", key=rsa.generate_private_key(65537, 2048))

    @cached_property
    def intermediate(self) -> Issued:
        """Between the root and others."""
        return issue(authority=True, subject="intermediate", by=self.root)

    @cached_property
    def untrusted(self) -> Issued:
        """A root that nobody trusts."""
        return issue(authority=True, subject="untrusted root")

    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts the roots."""
        return trusting([self.root, self.old_root])

    def good(self) -> ssl.SSLContext:
        """What is to be taken."""
        return showing(issue(HOST, "127.0.0.1", "::1", by=self.root))


Show = Callable[[Gallery], ssl.SSLContext]


@attrs.frozen
class Exhibit:
    """What a server shows, the host that is asked for, and the words of the refusal."""

    show: Show
    words: str
    host: str = HOST


def leaf(*names: str, **options: object) -> Show:
    """A certificate by the root."""
    return lambda gallery: showing(issue(*names, by=gallery.root, **options))  # type: ignore[arg-type]  # options of `issue`


def self_signed(gallery: Gallery) -> ssl.SSLContext:
    return showing(issue(HOST))


def self_signed_authority(gallery: Gallery) -> ssl.SSLContext:
    return showing(issue(HOST, authority=True))


def of_an_untrusted_root(gallery: Gallery) -> ssl.SSLContext:
    return showing(issue(HOST, by=gallery.untrusted))


def of_an_untrusted_root_that_is_sent(gallery: Gallery) -> ssl.SSLContext:
    issued = issue(HOST, by=gallery.untrusted)
    return showing(attrs.evolve(issued, chain=(gallery.untrusted.certificate,)))


def of_trustme(gallery: Gallery) -> ssl.SSLContext:
    context = server_context()
    trustme.CA().issue_cert(HOST).configure_cert(context)
    return context


def of_a_namesake(gallery: Gallery) -> ssl.SSLContext:
    """A root of the same name as the trusted one, with another key."""
    return showing(issue(HOST, by=issue(authority=True, subject="root")))


def without_the_intermediate(gallery: Gallery) -> ssl.SSLContext:
    return showing(attrs.evolve(issue(HOST, by=gallery.intermediate), chain=()))


def with_another_intermediate(gallery: Gallery) -> ssl.SSLContext:
    other = issue(authority=True, subject="another intermediate", by=gallery.root)
    return showing(attrs.evolve(issue(HOST, by=gallery.intermediate), chain=(other.certificate,)))


def of_an_expired_intermediate(gallery: Gallery) -> ssl.SSLContext:
    return showing(issue(HOST, by=issue(authority=True, subject="late", by=gallery.root, until=NOW - DAY / 2)))


def of_one_that_may_not_sign(gallery: Gallery) -> ssl.SSLContext:
    return showing(issue(HOST, by=issue("other.test", subject="upstart", by=gallery.root)))


def with_a_short_key(gallery: Gallery) -> ssl.SSLContext:
    return showing(issue(HOST, by=gallery.root, key=rsa.generate_private_key(65537, 1024)))


def of_a_short_intermediate(gallery: Gallery) -> ssl.SSLContext:
    short = issue(authority=True, subject="short", by=gallery.root, key=rsa.generate_private_key(65537, 1024))
    return showing(issue(HOST, by=short))


def with_a_sha1_signature(gallery: Gallery) -> ssl.SSLContext:
    return showing(signed_by_sha1(issue(HOST, by=gallery.old_root), gallery.old_root))


def capped(version: ssl.TLSVersion) -> Show:
    """A server that knows nothing newer."""

    def show(gallery: Gallery) -> ssl.SSLContext:
        context = gallery.good()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = version
        return context

    return show


def of_old_ciphers(gallery: Gallery) -> ssl.SSLContext:
    """TLS 1.2 without a certificate at all (RFC 5246 appendix F.1.1.1)."""
    context = gallery.good()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("aNULL:@SECLEVEL=0")
    return context


MISMATCH = r"Hostname mismatch, certificate is not valid for 'origin\.test'"
WRONG_ADDRESS = r"IP address mismatch, certificate is not valid for '127\.0\.0\.1'"
NO_ISSUER = "unable to get local issuer certificate"
SELF_SIGNED = "self.signed certificate"
OLD_VERSION = "(?i)protocol.version|unsupported.protocol"

BAD: dict[str, Exhibit] = {
    "expired": Exhibit(leaf(HOST, since=NOW - 3 * DAY, until=NOW - DAY), "certificate has expired"),
    "not yet valid": Exhibit(leaf(HOST, since=NOW + DAY, until=NOW + 2 * DAY), "certificate is not yet valid"),
    "of an expired intermediate": Exhibit(of_an_expired_intermediate, "certificate has expired"),
    "for another host": Exhibit(leaf("other.test"), MISMATCH),
    "for a host above": Exhibit(leaf("test"), MISMATCH),
    "for a host below": Exhibit(leaf("www.origin.test"), MISMATCH),
    "for a host that begins like it": Exhibit(leaf("origin.test.evil.test"), MISMATCH),
    "for a host that ends like it": Exhibit(leaf("notorigin.test"), MISMATCH),
    "for a host with a NUL": Exhibit(leaf("origin.test\0.evil.test"), f"{MISMATCH}|malformed|[Cc]ertificate"),
    "for nobody": Exhibit(leaf(), MISMATCH),
    "for its address alone": Exhibit(leaf("127.0.0.1"), MISMATCH),
    "for the host in its subject alone": Exhibit(leaf(subject=HOST), MISMATCH),
    "for the host in its subject and another": Exhibit(leaf("other.test", subject=HOST), MISMATCH),
    "for another address": Exhibit(leaf("127.0.0.2", HOST), WRONG_ADDRESS, "127.0.0.1"),
    "for the address as a name": Exhibit(leaf("DNS:127.0.0.1"), WRONG_ADDRESS, "127.0.0.1"),
    "for the address in its subject alone": Exhibit(leaf(HOST, subject="127.0.0.1"), WRONG_ADDRESS, "127.0.0.1"),
    "for addresses by a wildcard": Exhibit(leaf("*.0.0.1"), WRONG_ADDRESS, "127.0.0.1"),
    "by a wildcard, two labels": Exhibit(leaf("*.origin.test"), "Hostname mismatch", "a.b.origin.test"),
    "by a wildcard, no label": Exhibit(leaf("*.origin.test"), MISMATCH),
    "by a wildcard below the top": Exhibit(leaf("*.test"), MISMATCH),
    "by a wildcard for everything": Exhibit(leaf("*"), MISMATCH),
    "by a wildcard in the middle": Exhibit(leaf("www.*.test"), "Hostname mismatch", "www.origin.test"),
    "by a wildcard in part of a label": Exhibit(leaf("w*.origin.test"), "Hostname mismatch", "www.origin.test"),
    "by two wildcards": Exhibit(leaf("*.*.test"), "Hostname mismatch", "www.origin.test"),
    "signed by itself": Exhibit(self_signed, SELF_SIGNED),
    "signed by itself, an authority": Exhibit(self_signed_authority, SELF_SIGNED),
    "of an untrusted root": Exhibit(of_an_untrusted_root, NO_ISSUER),
    "of an untrusted root that is sent": Exhibit(of_an_untrusted_root_that_is_sent, SELF_SIGNED),
    "of trustme": Exhibit(of_trustme, NO_ISSUER),
    "of a namesake of the root": Exhibit(of_a_namesake, f"certificate signature failure|{NO_ISSUER}"),
    "without its intermediate": Exhibit(without_the_intermediate, NO_ISSUER),
    "with another intermediate": Exhibit(with_another_intermediate, NO_ISSUER),
    "of one that may not sign": Exhibit(of_one_that_may_not_sign, f"invalid CA certificate|{NO_ISSUER}"),
    "for clients alone": Exhibit(leaf(HOST, usage=ExtendedKeyUsageOID.CLIENT_AUTH), "uns.+ certificate purpose"),
    "with a key of 1024 bits": Exhibit(with_a_short_key, "(?i)key too (weak|small)"),
    "of an intermediate with a key of 1024 bits": Exhibit(of_a_short_intermediate, "(?i)key too (weak|small)"),
    "signed by SHA-1": Exhibit(with_a_sha1_signature, "(?i)digest algorithm too weak|md too weak"),
    "by TLS 1.1": Exhibit(capped(ssl.TLSVersion.TLSv1_1), OLD_VERSION),
    "by TLS 1.0": Exhibit(capped(ssl.TLSVersion.TLSv1), OLD_VERSION),
    "by no certificate": Exhibit(of_old_ciphers, "(?i)handshake.failure|no.shared.cipher"),
}

GOOD: dict[str, Exhibit] = {
    "for the host": Exhibit(leaf(HOST), ""),
    "for the host in capitals": Exhibit(leaf("ORIGIN.Test"), ""),
    "for the host among others": Exhibit(leaf("a.test", "origin.test", "127.0.0.1", subject="x.test"), ""),
    "for the address": Exhibit(leaf("127.0.0.1"), "", "127.0.0.1"),
    "for the address in IPv6": Exhibit(leaf("::1"), "", "[::1]"),
    "for the address in IPv6, written out": Exhibit(leaf("::1"), "", "[0:0:0:0:0:0:0:1]"),
    "by a wildcard": Exhibit(leaf("*.origin.test"), "", "www.origin.test"),
    "by a wildcard, for an A-label": Exhibit(leaf("*.origin.test"), "", "xn--bcher-kva.origin.test"),
    "for an A-label": Exhibit(leaf("xn--bcher-kva.test"), "", "bücher.test"),
    "with its intermediate": Exhibit(lambda gallery: showing(issue(HOST, by=gallery.intermediate)), ""),
    "of RSA": Exhibit(lambda gallery: showing(issue(HOST, by=gallery.old_root)), ""),
    "by TLS 1.2": Exhibit(capped(ssl.TLSVersion.TLSv1_2), ""),
    "by TLS 1.3": Exhibit(capped(ssl.TLSVersion.TLSv1_3), ""),
}
