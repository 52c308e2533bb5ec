"""The clients that are compared: a row of the table each, a module for each library."""

from __future__ import annotations

import importlib
from typing import cast

from .base import Client, Setup

CLIENTS: dict[str, str] = {
    "trio_pool": "trio_pool:TrioPool",
    "trio_pool-stream": "trio_pool:TrioPoolStream",
    "trio_pool-h11": "trio_pool:TrioPoolH11",
    "limit": "limit:Limit",
    "parsed-limit": "limit:ParsedLimit",
    "pyreqwest": "pyreqwest:Pyreqwest",
    "aiohttp": "aiohttp:Aiohttp",
    "httpx2": "httpx2:Httpx2",
    "httpcore2": "httpcore2:Httpcore2",
    "httpx": "httpx2:Httpx",
    "httpcore": "httpcore2:Httpcore",
    "zapros": "zapros:Zapros",
}
"""By name, the module and class, which are imported by the worker alone."""

PIECES = ("httpcore2", "httpcore", "zapros", "pyreqwest")
"""Clients without lines: what they hand out are pieces, whose line ends are counted."""

SUBJECT = "trio_pool"
CEILING = "limit"


def load_client(name: str) -> type[Client]:
    """The client of a name.

    :raises ImportError: its library is not installed.
    """
    module, _, attribute = CLIENTS[name].partition(":")
    return cast("type[Client]", getattr(importlib.import_module(f".{module}", __name__), attribute))


__all__ = ["CEILING", "CLIENTS", "PIECES", "SUBJECT", "Client", "Setup", "load_client"]
