"""Making one connection: resolve, connect by happy eyeballs (RFC 8305), and the TLS handshake."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from typing import Any

import trio

from ..errors import AddressRefused, CertificateRefused, ConnectError, TLSError, TrioPoolError
from ..urls import Origin, Proxy
from .network import Address, Network, PolicyRefusal
from .streams import Stream

Trust = Callable[[], ssl.SSLContext]

ATTEMPT_DELAY = 0.25
"""Seconds before the next address is tried beside the one that has not answered (RFC 8305 section 5)."""


Note = Callable[[str, Any], None]
"""Is told of each step of a dial: "connecting" and "securing" with what is used, the others with the stream."""


async def dial(network: Network, origin: Origin, trust: Trust, note: Note | None = None) -> Stream:
    """A stream to the origin, by its proxy if it has one, over TLS if its scheme is https.

    :param trust: gives the context for TLS.
    :param note: is told of each step, or None.
    :raises ConnectError: the name does not resolve, or no address answers.
    :raises AddressRefused: the address policy lets none of its addresses be dialled.
    :raises ProxyError: the proxy refused.
    :raises TLSError: the handshake failed.
    :raises CertificateRefused: it did, because of the peer's certificate.
    """
    started, note = trio.current_time(), note or _ignore
    note("connecting", origin)
    try:
        stream = await _connect(network, origin)
    except OSError as error:
        raise _connect_error(origin, error, trio.current_time() - started) from error
    note("connected", stream)
    proxy = origin.proxy
    if proxy is not None:
        stream = await _by_proxy(network, stream, origin, proxy, trust, started)
    if origin.scheme == "http":
        return stream
    context = trust()
    note("securing", context)
    secure = await _secure(network, stream, origin.sni or origin.host, origin, context, started)
    note("secured", secure)
    return secure


def _ignore(_step: str, _by: object) -> None:
    pass


async def _by_proxy(
    network: Network, stream: Stream, origin: Origin, proxy: Proxy, trust: Trust, started: float
) -> Stream:
    from .tunnels import open_tunnel  # takes its time, and few need it

    if proxy.scheme == "https":
        stream = await _secure(network, stream, proxy.host, origin, trust(), started, " with the proxy")
    try:
        await open_tunnel(stream, origin, proxy)
    except OSError as error:
        stream.close()
        raise _connect_error(origin, error, trio.current_time() - started) from error
    except BaseException:
        stream.close()
        raise
    return stream


async def _connect(network: Network, origin: Origin) -> Stream:
    if origin.uds is not None:
        return await network.connect_unix(origin.uds)
    place = origin.proxy or origin
    addresses = await network.resolve(place.host, place.port)
    if not addresses:
        raise OSError("the name has no address")
    return await _first_to_answer(network, interleave(addresses))


def interleave(addresses: Sequence[Address]) -> list[Address]:
    """Addresses with their families taking turns, the first one's first, otherwise in order (section 4)."""
    is_first_family = [(":" in host) == (":" in addresses[0][0]) for host, _ in addresses]
    first = [address for address, is_first in zip(addresses, is_first_family, strict=True) if is_first]
    second = [address for address, is_first in zip(addresses, is_first_family, strict=True) if not is_first]
    turns = [pair for turn in zip(first, second, strict=False) for pair in turn]
    return turns + first[len(second) :] + second[len(first) :]


async def _first_to_answer(network: Network, addresses: Sequence[Address]) -> Stream:
    """Try the addresses in turn, the next one when the one before has failed or is slow; the first wins."""
    if len(addresses) == 1:
        return await network.connect(addresses[0])
    race = _Race(network)
    try:
        async with trio.open_nursery() as nursery:
            for place, address in enumerate(addresses):
                failed = trio.Event()
                nursery.start_soon(race.run, place, address, failed, nursery.cancel_scope)
                with trio.move_on_after(ATTEMPT_DELAY):
                    await failed.wait()
    except BaseException:
        race.abandon()
        raise
    return race.result()


class _Race:
    """Attempts side by side, of which one wins."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._winner: Stream | None = None
        self._errors: dict[int, OSError | TrioPoolError] = {}  # by the address's place

    async def run(self, place: int, address: Address, failed: trio.Event, others: trio.CancelScope) -> None:
        """One attempt: on success everything else is cancelled."""
        try:
            stream = await self._network.connect(address)
        except (OSError, TrioPoolError) as error:  # a network of the user's may refuse in our own words
            self._errors[place] = error
            failed.set()
            return
        if self._winner is not None:
            stream.close()
            return
        self._winner = stream
        others.cancel()

    def abandon(self) -> None:
        """The race was cut: nobody takes the prize."""
        if self._winner is not None:
            self._winner.close()

    def result(self) -> Stream:
        """The winner's stream, or the error of the preferred address that was dialled at all."""
        if self._winner is None:
            refused = {place for place, error in self._errors.items() if isinstance(error, PolicyRefusal)}
            raise self._errors[min(self._errors.keys() - refused, default=min(self._errors))]
        return self._winner


async def _secure(
    network: Network,
    stream: Stream,
    name: str,
    origin: Origin,
    context: ssl.SSLContext,
    started: float,
    whose: str = "",
) -> Stream:
    name = name.partition("%")[0].rstrip(".")  # neither zone nor root dot is a name
    try:
        return await network.secure(stream, context, name)
    except (OSError, ValueError) as error:
        stream.close()
        raise _tls_error(origin, error, trio.current_time() - started, whose) from error
    except BaseException:
        stream.close()
        raise


def _connect_error(origin: Origin, error: OSError, elapsed: float) -> ConnectError:
    place = origin.proxy or origin
    where = f"the Unix socket {origin.uds}" if origin.uds is not None else place.host
    if isinstance(error, PolicyRefusal):
        what = f"the address policy lets no address of {where} be dialled"
        return AddressRefused(what, origin=origin, phase="connecting", elapsed=elapsed)
    return ConnectError(
        f"no connection to {where} could be made: {error.strerror or error}",
        origin=origin,
        phase="connecting",
        elapsed=elapsed,
        advice="Check the address, and that the server is up.",
    )


def _tls_error(origin: Origin, error: OSError | ValueError, elapsed: float, whose: str) -> TLSError:
    kind, advice = TLSError, ""
    if isinstance(error, ssl.SSLCertVerificationError):
        kind, reason = CertificateRefused, error.verify_message
        advice = "Check the server's certificate and the clock, or give the pool a tls= context that trusts it."
    elif isinstance(error, ssl.SSLEOFError):
        reason = "the server ended the connection during the handshake"
    elif isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).lower().replace("_", " ")
    else:
        reason = str(error)
    return kind(
        f"the TLS handshake{whose} failed: {reason}", origin=origin, phase="connecting", elapsed=elapsed, advice=advice
    )
