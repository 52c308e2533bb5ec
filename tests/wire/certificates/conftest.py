"""What the tests of certificates share."""

from __future__ import annotations

import ssl

import pytest

from .gallery import Gallery


@pytest.fixture(scope="session")
def gallery() -> Gallery:
    """Certificates of every kind."""
    return Gallery()


@pytest.fixture
def trust(gallery: Gallery) -> ssl.SSLContext:
    """A client's context that trusts the gallery's roots."""
    return gallery.trust()
