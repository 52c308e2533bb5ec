"""What the tests of proxies share: certificates, a network that counts, and real proxies."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from .peers import Wires
from .real import Proxies

NAMES = ("origin.test", "other.test", "proxy.test", "localhost", "bücher.test", "127.0.0.1", "::1")


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who signs the certificates."""
    return trustme.CA()


@pytest.fixture(scope="session")
def leaf(authority: trustme.CA) -> trustme.LeafCert:
    """One certificate for every peer."""
    return authority.issue_cert(*NAMES)


@pytest.fixture
def showing(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """What peers show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    return context


@pytest.fixture
def unknown() -> ssl.SSLContext:
    """What a peer shows whom nobody trusts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(*NAMES).configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """What the client checks peers by."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


@pytest.fixture(params=[sys.maxsize, 1], ids=["whole", "one by one"])
def wires(request: pytest.FixtureRequest) -> Wires:
    """A network over which bytes arrive as they come, then one by one."""
    return Wires(request.param)


@pytest.fixture(scope="session")
def proxies(leaf: trustme.LeafCert, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxies]:
    """Real proxies, started when they are first asked for."""
    folder: Path = tmp_path_factory.mktemp("proxies")
    with Proxies(folder, leaf) as running:
        yield running
