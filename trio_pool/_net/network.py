"""What resolves, connects and supplies chance: the machine's own network, or anything that looks like it."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from typing import Any, Protocol

import trio

from .streams import Stream, connect_tcp, connect_unix

Address = tuple[str, int]
"""An IP address, IPv4 or IPv6 (with its zone, where it has one), and a port."""


class Network(Protocol):
    """The one seam between the pool and the world. Subclass `SystemNetwork` to change a part of it."""

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a host, best first.

        :param host: a name in its ASCII form, or an IP address.
        :param port: comes back in each address.
        :raises OSError: it has none.
        """
        ...

    async def connect(self, address: Address) -> Stream:
        """A connected stream to one address.

        :raises OSError: it cannot be reached, or refuses.
        """
        ...

    async def connect_unix(self, path: str) -> Stream:
        """A connected stream to a Unix socket.

        :param path: of the socket.
        :raises OSError: nobody listens there.
        """
        ...

    def random(self) -> float:
        """A number in [0, 1), by chance."""
        ...


class SystemNetwork:
    """The machine's resolver, sockets and random numbers."""

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a `host`, each with the `port`, in the system's order (RFC 6724)."""
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        return [(_with_zone(entry[4]), port) for entry in found]

    async def connect(self, address: Address) -> Stream:
        """A TCP connection, with TCP_NODELAY, and SO_KEEPALIVE at 60 s, 60 s, 5 probes."""
        return await connect_tcp(*address)

    async def connect_unix(self, path: str) -> Stream:
        """A connection to the Unix socket at `path`."""
        return await connect_unix(path)

    def random(self) -> float:
        """A number in [0, 1) from the standard generator."""
        return random.random()


def _with_zone(sockaddr: Any) -> str:
    host, zone = str(sockaddr[0]), sockaddr[3] if len(sockaddr) > 3 else 0
    return f"{host}%{zone}" if zone and "%" not in host else host
