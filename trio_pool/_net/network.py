"""What resolves, connects, tells the wall time and supplies chance: the machine's own, or what looks like it."""

from __future__ import annotations

import ipaddress
import random
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import trio

from .streams import Stream, connect_tcp, connect_unix
from .tls import TLSStream

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

    async def secure(self, stream: Stream, context: ssl.SSLContext, name: str) -> Stream:
        """TLS on a connected stream, as its client.

        :param stream: carries the ciphertext; where this raises, the caller closes it.
        :param context: says what is trusted and shown.
        :param name: the host's, which is asked for and checked.
        :raises OSError: the handshake failed; an `ssl.SSLError` is one.
        """
        ...

    def random(self) -> float:
        """A number in [0, 1), by chance."""
        ...

    def time(self) -> float:
        """The wall time: seconds since 1970."""
        ...


AddressPolicy = Callable[[str, int], bool]
"""Whether an IP address and port may be dialled."""


class PolicyRefusal(OSError):
    """The address policy does not let an address be dialled."""


def only_public(host: str, port: int) -> bool:  # noqa: ARG001  # any port: it is a policy's signature
    """An address policy: only what is reachable on the public internet. Against requests forged by URLs from outside.

    It judges the address that is dialled, after the name was resolved, so a name that leads elsewhere the second time
    gains nothing. By a proxy it judges the proxy's address: what lies behind is the proxy's to judge.

    :param host: an IP address.
    :param port: does not matter.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = _ipv4_in(address)
        if inner is None:
            return address.is_global and address in _UNICAST and not any(address in net for net in _RESERVED)
        address = inner
    return address.is_global and not address.is_multicast and address not in _RELAYS


_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that has been handed out
_RESERVED = [ipaddress.IPv6Network("3fff::/20")]  # RFC 9637, which older Pythons do not know
_RELAYS = ipaddress.IPv4Network("192.88.99.0/24")  # RFC 7526
_COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291 section 2.5.5.1
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: a gateway makes IPv4 of it


def _ipv4_in(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, or None."""
    if address in _COMPATIBLE or address in _TRANSLATED:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


class SystemNetwork:
    """The machine's resolver, sockets and random numbers.

    :param address_policy: called with each IP address and port before it is dialled; whether it may be. None: all may.
    """

    _address_policy: AddressPolicy | None = None  # for subclasses that have an __init__ of their own

    def __init__(self, address_policy: AddressPolicy | None = None) -> None:
        self._address_policy = address_policy

    async def resolve(self, host: str, port: int) -> Sequence[Address]:
        """The addresses of a `host`, each with the `port`, in the system's order (RFC 6724)."""
        found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        return [(_with_zone(entry[4]), port) for entry in found]

    async def connect(self, address: Address) -> Stream:
        """A TCP connection, with TCP_NODELAY, and SO_KEEPALIVE at 60 s, 60 s, 5 probes.

        :raises OSError: it cannot be reached, refuses, or the address policy is against it.
        """
        if self._address_policy is not None and not self._address_policy(*address):
            raise PolicyRefusal(f"the address policy refuses {address[0]}")
        return await connect_tcp(*address)

    async def connect_unix(self, path: str) -> Stream:
        """A connection to the Unix socket at `path`."""
        return await connect_unix(path)

    async def secure(self, stream: Stream, context: ssl.SSLContext, name: str) -> Stream:
        """A handshake by Python's own `ssl`, on any kind of `stream`, by this `context`, for the host's `name`."""
        secure = TLSStream(stream, context, name)
        await secure.handshake()
        return secure

    def random(self) -> float:
        """A number in [0, 1) from the standard generator."""
        return random.random()

    def time(self) -> float:
        """The seconds since 1970 by the machine's clock."""
        return time.time()


def _with_zone(sockaddr: Any) -> str:
    host, zone = str(sockaddr[0]), sockaddr[3] if len(sockaddr) > 3 else 0
    return f"{host}%{zone}" if zone and "%" not in host else host
