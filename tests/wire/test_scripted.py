"""What no well-behaved server does: each case has its verdict, and afterwards a probe gets its own answer.

Each case is sent whole and byte by byte, over plain TCP and over TLS.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import attrs
import pytest
import trio

from trio_pool import (
    LimitExceeded,
    PoolConfig,
    ReadError,
    RemoteProtocolError,
    TrioPoolError,
    open_client,
)

from .scripted import Visit, answer, probing, scripted

Ending = Callable[[Visit], Awaitable[None]]

END, CUT, RESET = Visit.end, Visit.cut, Visit.reset
BROKEN = (ReadError, RemoteProtocolError)
CONFIG = PoolConfig(retry_attempts=1, max_connections=1, read_timeout=5.0, write_timeout=5.0)


@attrs.frozen(kw_only=True)
class Case:
    """What a server sends, and what a client has to make of it.

    :ivar sends: the server's bytes.
    :ivar ends: how it ends the connection then; None: it does not.
    :ivar body: what the client gets; None where it gets an error.
    :ivar error: one of these.
    :ivar keeps: whether the connection is used again.
    """

    sends: bytes
    ends: Ending | None = None
    method: str = "GET"
    body: bytes | None = None
    error: tuple[type[TrioPoolError], ...] = ()
    keeps: bool = False


OK = b"HTTP/1.1 200 OK\r\n"
LENGTH_10 = OK + b"Content-Length: 10\r\n\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
HINTED = INTERIM + b"HTTP/1.1 100 Continue\r\n\r\n"
INTRUDER = answer(b"another's")

SOUND = {
    "a body with a length": Case(sends=LENGTH_10 + b"0123456789", body=b"0123456789", keeps=True),
    "a body in chunks": Case(sends=CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", body=b"abcde", keeps=True),
    "chunks and trailers": Case(sends=CHUNKED + b"1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n", body=b"a", keeps=True),
    "interim responses": Case(sends=HINTED + LENGTH_10 + b"0123456789", body=b"0123456789", keeps=True),
    "a 204": Case(sends=b"HTTP/1.1 204 No Content\r\n\r\n", body=b"", keeps=True),
    "a 304 with a length": Case(sends=b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", body=b"", keeps=True),
    "a HEAD with a length": Case(sends=LENGTH_10, method="HEAD", body=b"", keeps=True),
    "a HEAD with chunks": Case(sends=CHUNKED, method="HEAD", body=b"", keeps=True),
    "no reason phrase": Case(sends=b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx", body=b"x", keeps=True),
    "HTTP/1.0 with a length": Case(sends=b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", body=b"x"),
    "HTTP/1.0 until the end": Case(sends=b"HTTP/1.0 200 OK\r\n\r\nall of it", ends=END, body=b"all of it"),
    "a body until the end": Case(sends=OK + b"\r\nall of it", ends=END, body=b"all of it"),
    "a length and close": Case(sends=OK + b"Connection: Foo, CLOSE\r\nContent-Length: 1\r\n\r\nx", body=b"x"),
}
SURPLUS = {
    "after a length": Case(sends=LENGTH_10 + b"0123456789" + INTRUDER, body=b"0123456789"),
    "after the last chunk": Case(sends=CHUNKED + b"1\r\na\r\n0\r\n\r\n" + INTRUDER, body=b"a"),
    "after a HEAD": Case(sends=LENGTH_10 + b"0123456789", method="HEAD", body=b""),
    "after a 204": Case(sends=b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\nsomething", body=b""),
    "after a 304": Case(sends=b"HTTP/1.1 304 Not Modified\r\n\r\n" + INTRUDER, body=b""),
    "after a length of nothing": Case(sends=OK + b"Content-Length: 0\r\n\r\n" + INTRUDER, body=b""),
    "a single line end": Case(sends=LENGTH_10 + b"0123456789\r\n", body=b"0123456789"),
    "an interim response": Case(sends=LENGTH_10 + b"0123456789" + INTERIM, body=b"0123456789"),
}
BAD = {
    "nothing": Case(sends=b"", ends=END, error=BROKEN),
    "a reset": Case(sends=b"", ends=RESET, error=(ReadError,)),
    "half a head": Case(sends=b"HTTP/1.1 200 OK\r\nContent-", ends=END, error=(RemoteProtocolError,)),
    "a head without its end": Case(sends=OK + b"Content-Length: 0\r\n", ends=END, error=(RemoteProtocolError,)),
    "an interim response alone": Case(sends=INTERIM, ends=END, error=(RemoteProtocolError,)),
    "half a length": Case(sends=LENGTH_10 + b"01234", ends=END, error=(RemoteProtocolError,)),
    "half a length, cut": Case(sends=LENGTH_10 + b"01234", ends=CUT, error=BROKEN),
    "half a length, reset": Case(sends=LENGTH_10 + b"01234", ends=RESET, error=(ReadError,)),
    "half a chunk": Case(sends=CHUNKED + b"5\r\nab", ends=END, error=(RemoteProtocolError,)),
    "no last chunk": Case(sends=CHUNKED + b"1\r\na\r\n", ends=END, error=(RemoteProtocolError,)),
    "half a last chunk": Case(sends=CHUNKED + b"1\r\na\r\n0\r\n", ends=END, error=(RemoteProtocolError,)),
    "no chunk at all": Case(sends=CHUNKED, ends=CUT, error=BROKEN),
    "a chunk size that is none": Case(sends=CHUNKED + b"xyz\r\nabc\r\n0\r\n\r\n", error=(RemoteProtocolError,)),
    "a length that is none": Case(sends=OK + b"Content-Length: +5\r\n\r\n01234", error=(RemoteProtocolError,)),
    "two lengths": Case(sends=OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab", error=(RemoteProtocolError,)),
    "an unsolicited 101": Case(
        sends=b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        error=(RemoteProtocolError,),
    ),
    "another protocol": Case(sends=b"SSH-2.0-OpenSSH_9.9\r\n", ends=END, error=(RemoteProtocolError,)),
    "no protocol": Case(sends=b"hello, world\r\n\r\n", error=(RemoteProtocolError,)),
    "a header without a colon": Case(sends=OK + b"Content-Length 0\r\n\r\n", error=(RemoteProtocolError,)),
    "more interim responses than anyone needs": Case(sends=INTERIM * 101 + INTRUDER, error=(LimitExceeded,)),
}
CASES = SOUND | SURPLUS | BAD


def playing(case: Case) -> Callable[[Visit], Awaitable[None]]:
    """The script of a case."""

    async def play(visit: Visit) -> None:
        await visit.send(case.sends)
        if case.ends is not None:
            await case.ends(visit)

    return probing(play)


@pytest.mark.parametrize("dripping", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("name", CASES)
async def test_every_reply_has_its_verdict(
    tls: ssl.SSLContext | None, trusting: ssl.SSLContext, name: str, *, dripping: bool
) -> None:
    case = CASES[name]
    async with (
        scripted(playing(case), tls, dripping=dripping) as server,
        open_client(CONFIG, base_url=server.url, tls=trusting) as client,
    ):
        with trio.fail_after(20):
            if case.error:
                with pytest.raises(case.error) as caught:
                    await client.request(case.method, "/case")
                assert caught.value.may_have_been_processed
                assert caught.value.origin is not None
            else:
                assert (await client.request(case.method, "/case")).content == case.body
            await trio.testing.wait_all_tasks_blocked()  # what the server still sends is on its way
            assert (await client.get("/probe/mine")).content == b"mine"
        figures = client.pool.statistics()
        assert (figures.leased, figures.idle, figures.waiting, figures.stale_retries) == (0, 1, 0, 0)
        assert len(server.visits) == (1 if case.keeps else 2)
