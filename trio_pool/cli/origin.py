"""The demo's origin: a small HTTPS server in a process of its own (`python -m trio_pool.cli.origin`).

It behaves like a hosted language model that is some way off. A request says in its JSON body how long the
answer takes, `{"first_byte": seconds, "pauses": [seconds, …]}`, so that a client can ask for the same times
again and again. The answer is an event stream: one event after `first_byte`, one after each pause. A new
connection costs two round trips more, as TCP and TLS 1.3 cost it over a distance. With a limit, what comes faster is
refused with 429 and a Retry-After of one second.

It is run by its parent over the standard streams. The first line out is JSON, the port and the certificate of
the authority to trust: `{"port": 40123, "ca": "-----BEGIN…"}`. Whatever comes in is answered by one line, the
figures since the last: `{"handshakes": 12, "requests": 100, "reused": 88, "limited": 0}`. The end of the input is
its end, so it never outlives its parent.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import os
import signal
import ssl
from typing import Any

import attrs
import h11
import trio
import trustme

HOST = "127.0.0.1"
MAX_BODY = 64 * 1024
MAX_PAUSES = 1000
MAX_SECONDS = 60.0


@attrs.define
class Figures:
    """What the origin counts: TLS handshakes, requests, those that came on a connection used before, and those that
    were refused by its limit."""

    handshakes: int = 0
    requests: int = 0
    reused: int = 0
    limited: int = 0


@attrs.define
class Counter:
    """The figures since somebody last asked for them, and the limit.

    :ivar limit: requests that are let through in each second, or 0 for no limit.
    """

    now: Figures = attrs.field(factory=Figures)
    limit: float = 0.0
    second: float = -math.inf
    passed: int = 0

    def lets_through(self, now: float) -> bool:
        """Whether one more request may pass; if not, it is counted."""
        if now - self.second >= 1.0:
            self.second, self.passed = now, 0
        self.passed += 1
        is_limited = 0 < self.limit < self.passed
        self.now.limited += is_limited
        return not is_limited

    def take(self) -> Figures:
        """Hand over what was counted, and count from nothing."""
        taken, self.now = self.now, Figures()
        return taken


def main(arguments: list[str] | None = None) -> None:
    """Serve until the standard input ends."""
    parser = argparse.ArgumentParser(prog="python -m trio_pool.cli.origin", description="The demo's origin.")
    parser.add_argument("--round-trip", type=float, default=0.0, help="seconds of distance to pretend")
    parser.add_argument("--limit", type=float, default=0.0, help="requests per second; 0 for no limit")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where there are no sessions, Ctrl-C arrives here too
    trio.run(serve, options.round_trip, options.limit)


async def serve(round_trip: float, limit: float = 0.0) -> None:
    """Announce the port and the authority, then serve connections and commands until the input ends."""
    authority = trustme.CA()
    tls = _server_context(authority)
    counter = Counter(limit=limit)
    async with trio.open_nursery() as nursery:
        [listener] = await trio.open_tcp_listeners(0, host=HOST, backlog=1024)
        handler = functools.partial(_welcome, tls=tls, round_trip=round_trip, counter=counter)
        nursery.start_soon(trio.serve_listeners, handler, [listener])
        _say({"port": listener.socket.getsockname()[1], "ca": authority.cert_pem.bytes().decode("ascii")})
        await _obey(counter)
        nursery.cancel_scope.cancel()


async def _obey(counter: Counter) -> None:
    # os.read and not sys.stdin: a thread abandoned inside a buffered reader is fatal when Python ends
    while await trio.to_thread.run_sync(os.read, 0, 1024, abandon_on_cancel=True):
        _say(attrs.asdict(counter.take()))


def _say(message: dict[str, Any]) -> None:
    print(json.dumps(message), flush=True)


def _server_context(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    authority.issue_cert(HOST).configure_cert(context)  # pyright: ignore[reportUnknownMemberType]  # trustme's
    return context


# ---- one connection ----


async def _welcome(transport: trio.SocketStream, *, tls: ssl.SSLContext, round_trip: float, counter: Counter) -> None:
    stream = trio.SSLStream(transport, tls, server_side=True, https_compatible=True)
    try:
        await trio.sleep(2 * round_trip)
        await stream.do_handshake()
        counter.now.handshakes += 1
        await _converse(stream, counter)
        await stream.aclose()
    except (trio.BrokenResourceError, h11.RemoteProtocolError):
        pass  # the client went away, or was none
    finally:
        await trio.aclose_forcefully(stream)


async def _converse(stream: trio.SSLStream[trio.SocketStream], counter: Counter) -> None:
    http = h11.Connection(h11.SERVER)
    used = False
    while (body := await _next_request(stream, http)) is not None:
        counter.now.requests += 1
        counter.now.reused += used
        used = True
        if counter.lets_through(trio.current_time()):
            await _answer(stream, http, body)
        else:
            await _send(stream, http, _LIMITED, h11.EndOfMessage())
        if http.our_state is h11.MUST_CLOSE:
            return
        http.start_next_cycle()


async def _next_request(stream: trio.SSLStream[trio.SocketStream], http: h11.Connection) -> bytes | None:
    """The body of the next request; None when the client has closed the connection."""
    body = b""
    while True:
        event = http.next_event()
        match event:
            case h11.NEED_DATA:
                http.receive_data(bytes(await stream.receive_some()))
            case h11.Data():
                body += event.data
                if len(body) > MAX_BODY:
                    raise h11.RemoteProtocolError("the body is too long")
            case h11.EndOfMessage():
                return body
            case h11.ConnectionClosed():
                return None
            case _:
                continue  # a head: every path is answered alike


_LIMITED = h11.Response(
    status_code=429, reason=b"Too Many Requests", headers=[("Retry-After", "1"), ("Content-Length", "0")]
)


async def _answer(stream: trio.SSLStream[trio.SocketStream], http: h11.Connection, body: bytes) -> None:
    delays = _delays(body)
    if delays is None:
        head = h11.Response(status_code=400, reason=b"Bad Request", headers=[("Content-Length", "0")])
        await _send(stream, http, head, h11.EndOfMessage())
        return
    await trio.sleep(delays[0])
    head = h11.Response(status_code=200, reason=b"OK", headers=[("Content-Type", "text/event-stream")])
    await _send(stream, http, head, _event("0"))
    for number, pause in enumerate(delays[1:], start=1):
        await trio.sleep(pause)
        await _send(stream, http, _event(str(number)))
    await _send(stream, http, _event("[DONE]"), h11.EndOfMessage())


def _event(data: str) -> h11.Data:
    return h11.Data(data=f"data: {data}\n\n".encode())


async def _send(
    stream: trio.SSLStream[trio.SocketStream],
    http: h11.Connection,
    *events: h11.Response | h11.Data | h11.EndOfMessage,
) -> None:
    await stream.send_all(b"".join(http.send(event) or b"" for event in events))


def _delays(body: bytes) -> list[float] | None:
    """The seconds before each event of the answer; None for a body that does not say them."""
    try:
        plan = json.loads(body)
        delays = [float(plan["first_byte"]), *map(float, plan["pauses"])]
    except (ValueError, TypeError, KeyError):
        return None
    sane = len(delays) <= MAX_PAUSES and all(math.isfinite(d) and 0 <= d <= MAX_SECONDS for d in delays)
    return delays if sane else None


if __name__ == "__main__":
    main()
