"""TLS: whom the client trusts, what it shows, and that nothing is said before all is well."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Callable

import pytest
import trio
import trustme

from trio_pool import (
    Client,
    PoolConfig,
    ReadError,
    RemoteProtocolError,
    TLSError,
    open_client,
)

from .churn import descriptors
from .scripted import Script, Visit, answer, probing, scripted
from .servers import Authority, Server

CONFIG = PoolConfig(retry_attempts=1, max_connections=2, connection_timeout=5.0, read_timeout=5.0)
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
FAR_AHEAD = datetime.datetime(2090, 1, 1, tzinfo=datetime.UTC)


async def nothing(_: Visit) -> None:
    """The case of a server that is only probed."""


def expired(authority: Authority) -> ssl.SSLContext:
    leaf = authority.ca.issue_cert("localhost", not_before=LONG_AGO, not_after=LONG_AGO + datetime.timedelta(days=1))
    return authority.server_context(leaf)


def not_yet_valid(authority: Authority) -> ssl.SSLContext:
    return authority.server_context(authority.ca.issue_cert("localhost", not_before=FAR_AHEAD))


def wrong_host(authority: Authority) -> ssl.SSLContext:
    return authority.server_context(authority.ca.issue_cert("other.example", "127.0.0.1"))


def unknown_authority(authority: Authority) -> ssl.SSLContext:
    return authority.server_context(trustme.CA().issue_cert("localhost"))


def subject_only(authority: Authority) -> ssl.SSLContext:
    return authority.server_context(authority.ca.issue_cert("other.example", common_name="localhost"))


def old_version(authority: Authority) -> ssl.SSLContext:
    context = authority.server_context()
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


GALLERY: dict[Callable[[Authority], ssl.SSLContext], str] = {
    expired: "certificate has expired",
    not_yet_valid: "certificate is not yet valid",
    wrong_host: "Hostname mismatch",
    unknown_authority: "unable to get local issuer certificate|self-signed certificate",
    subject_only: "Hostname mismatch",
    old_version: "TLS handshake failed",
}


@pytest.mark.parametrize("bad", GALLERY)
async def test_a_bad_certificate_is_refused_before_a_byte_of_the_request(
    authority: Authority, trusting: ssl.SSLContext, bad: Callable[[Authority], ssl.SSLContext]
) -> None:
    async with (
        scripted(probing(nothing), bad(authority)) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        for _ in range(3):  # more often than there are slots
            with pytest.raises(TLSError, match=GALLERY[bad]) as caught:
                await client.get("/probe/secret")
            assert not caught.value.may_have_been_processed
            assert caught.value.phase == "connecting"
        await trio.testing.wait_all_tasks_blocked()
        assert all(not visit.received for visit in server.visits)
        figures = client.pool.statistics()
        assert (figures.dial_failures, figures.leased, figures.dialling, figures.opened) == (3, 0, 0, 0)


async def test_an_ip_address_must_be_in_the_certificate(authority: Authority, trusting: ssl.SSLContext) -> None:
    context = authority.server_context(authority.ca.issue_cert("localhost"))
    async with (
        scripted(probing(nothing), context, host="127.0.0.1") as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with pytest.raises(TLSError, match="IP address mismatch"):
            await client.get("/probe/secret")


async def test_the_system_does_not_trust_our_authority(server: Server) -> None:
    async with open_client(CONFIG, base_url=server.url("https")) as client:
        with pytest.raises(TLSError, match="certificate") as caught:
            await client.get("/echo")
        assert "tls=" in str(caught.value)


async def test_the_systems_certificates_are_loaded_once(
    server_context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are hundreds, and loading them holds up every task."""
    loads: list[None] = []
    load = ssl.SSLContext.set_default_verify_paths

    def count(context: ssl.SSLContext) -> None:
        loads.append(None)
        load(context)

    monkeypatch.setattr(ssl.SSLContext, "set_default_verify_paths", count)
    async with scripted(probing(nothing), server_context) as server, open_client(CONFIG) as client:
        for _ in range(4):
            with pytest.raises(TLSError):
                await client.get(server.url)
    assert len(loads) <= 1


async def test_failed_handshakes_leave_no_descriptor(authority: Authority, trusting: ssl.SSLContext) -> None:
    async with (
        scripted(probing(nothing), unknown_authority(authority)) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        before = descriptors()
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(fail, client)
        await trio.testing.wait_all_tasks_blocked()
        assert descriptors() == before
        assert len(server.failed_handshakes) == 20


async def fail(client: Client) -> None:
    """Ask in vain."""
    with pytest.raises(TLSError):
        await client.get("/probe/secret")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_of_tls_serve(
    authority: Authority, trusting: ssl.SSLContext, version: ssl.TLSVersion
) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"x" * 300_000)])

    context = authority.server_context()
    context.minimum_version = context.maximum_version = version
    async with (
        scripted(probing(script), context) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        for _ in range(3):
            assert (await client.post("/case", content=bytes(300_000))).content == b"x" * 300_000
        assert len(server.visits) == 1
        await trio.testing.wait_all_tasks_blocked()
        await server.visits[0].end()
        await trio.testing.wait_all_tasks_blocked()
        assert (await client.post("/probe/mine")).content == b"mine"
        assert len(server.visits) == 2


@pytest.mark.parametrize(("host", "shown"), [("localhost", "localhost"), ("127.0.0.1", None)])
async def test_the_server_is_told_the_name_and_the_protocol(
    authority: Authority, trusting: ssl.SSLContext, host: str, shown: str | None
) -> None:
    names: list[str | None] = []
    protocols: list[str | None] = []

    def note(secured: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        names.append(name)

    async def script(visit: Visit) -> None:
        stream = visit._stream
        assert isinstance(stream, trio.SSLStream)
        protocols.append(stream.selected_alpn_protocol())
        await visit.send_pieces([answer(b"")])

    context = authority.server_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.sni_callback = note
    async with (
        scripted(probing(script), context, host=host) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        await client.get("/case")
    assert names == [shown]
    assert protocols == ["http/1.1"]


async def test_a_certificate_of_ours_is_shown_when_asked(authority: Authority) -> None:
    context, ours = authority.server_context(), authority.client_context()
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    authority.ca.issue_cert("me@example.org").configure_cert(ours)
    async with (
        scripted(probing(nothing), context) as server,
        open_client(CONFIG, base_url=server.url, tls=ours) as client,
    ):
        assert (await client.get("/probe/mine")).content == b"mine"


async def test_a_server_that_misses_our_certificate_ends_it_with_an_error(authority: Authority) -> None:
    """With TLS 1.3 the refusal comes after our side of the handshake has ended: when the response is awaited."""
    context = authority.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    authority.ca.configure_trust(context)
    async with (
        scripted(probing(nothing), context) as server,
        open_client(CONFIG, base_url=server.url, tls=authority.client_context()) as client,
    ):
        with trio.fail_after(5), pytest.raises((TLSError, ReadError)):
            await client.get("/probe/mine")
        assert client.pool.statistics().leased == 0


async def test_https_to_a_plain_server_is_a_tls_error(trusting: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await visit.more()
        await visit.send_pieces([answer(b"what?", status=b"400 Bad Request")])

    async with scripted(script) as server, open_client(CONFIG, tls=trusting) as client:
        with pytest.raises(TLSError):
            await client.get(server.url.replace("http:", "https:"))


async def test_http_to_a_tls_server_is_an_error(server_context: ssl.SSLContext) -> None:
    async with scripted(probing(nothing), server_context) as server, open_client(CONFIG) as client:
        with pytest.raises((RemoteProtocolError, ReadError)):
            await client.get(server.url.replace("https:", "http:"))


@pytest.mark.parametrize("how", [Visit.end, Visit.reset], ids=["end", "reset"])
async def test_a_server_that_leaves_during_the_handshake_is_a_tls_error(trusting: ssl.SSLContext, how: Script) -> None:
    async def script(visit: Visit) -> None:
        await visit.more()
        await how(visit)

    async with scripted(script) as server, open_client(CONFIG, tls=trusting) as client:
        with pytest.raises(TLSError):
            await client.get(server.url.replace("http:", "https:"))
        assert client.pool.statistics().dialling == 0


CLOSE_DELIMITED = b"HTTP/1.1 200 OK\r\n\r\nall of it"


async def test_a_body_until_the_end_needs_close_notify(
    server_context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces([CLOSE_DELIMITED])
        await (visit.end() if visit.number == 0 else visit.cut())

    async with (
        scripted(probing(script), server_context) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        assert (await client.get("/case")).content == b"all of it"
        with pytest.raises((ReadError, RemoteProtocolError)) as caught:
            await client.get("/case")
        assert caught.value.phase == "reading the response"
        assert (await client.get("/probe/mine")).content == b"mine"


async def test_a_complete_body_needs_no_close_notify(server_context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"all of it", b"Connection: close")])
        await visit.cut()

    async with (
        scripted(probing(script), server_context) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        assert (await client.get("/case")).content == b"all of it"


async def test_closing_says_close_notify(server_context: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Else the server could not tell an end from a cut."""
    ends: list[bytes] = []

    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"")])
        ends.append(bytes(await visit._stream.receive_some()))  # raises if it is a cut

    async with scripted(probing(script), server_context) as server:
        async with open_client(CONFIG, base_url=server.url, tls=trusting) as client:
            await client.get("/case")
        await trio.testing.wait_all_tasks_blocked()
    assert ends == [b""]


async def test_closing_does_not_wait_for_the_peers_close_notify(
    server_context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def script(visit: Visit) -> None:
        await visit.send_pieces([answer(b"")])
        await trio.sleep_forever()  # reads nothing, says nothing

    async with scripted(probing(script), server_context) as server:
        with trio.fail_after(5):
            async with open_client(CONFIG, base_url=server.url, tls=trusting) as client:
                await client.get("/case")
