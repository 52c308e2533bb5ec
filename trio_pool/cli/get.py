"""The command `trio-pool get`: one exchange, shown as far as was asked for, its body streamed as it comes."""

from __future__ import annotations

import json
import os
import ssl
import sys
from collections.abc import Generator, Iterable
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import BinaryIO

import attrs
import click

from .. import Client, Request, Response, Timeouts, TrioPoolError, Upstream, UsageError, open_client
from . import show

STDOUT = "-"
CUT_OFF = 141  # 128 + SIGPIPE, as shells have it: whoever read our output wanted no more


@attrs.frozen(kw_only=True)
class Order:
    """What `get` was asked for, option by option."""

    method: str
    url: str
    headers: list[tuple[str, str]]
    data: bytes | None
    timeouts: Timeouts
    upstreams: list[Upstream]
    as_json: bool
    verbose: bool
    include: bool
    quiet: bool
    location: bool
    output: str
    fail: bool
    insecure: bool


async def run(order: Order) -> int:
    """Do what was asked.

    :returns: the exit status.
    :raises click.UsageError: for a request that cannot be.
    :raises click.ClickException: when there is no answer, or not all of it.
    """
    _check(order)
    try:
        async with open_client(tls=_tls(order), follow_redirects=order.location, upstreams=order.upstreams) as client:
            return await _exchange(client, order)
    except UsageError as error:
        raise click.UsageError(str(error)) from None
    except TrioPoolError as error:
        raise click.ClickException(str(error)) from None
    except BrokenPipeError:
        _discard_output()
        return CUT_OFF


def _check(order: Order) -> None:
    """Build the request once before anything is opened: what is wrong with it now was asked for."""
    url = order.url
    if order.upstreams:
        if "://" in url.partition("?")[0]:
            raise click.UsageError(
                "with --upstream, URL is a path such as models: it is appended to the upstream's own"
            )
        url = f"{order.upstreams[0].url.rstrip('/')}/{url.lstrip('/')}"
    try:
        Request(order.method, url, headers=order.headers, content=order.data)
    except TrioPoolError as error:
        raise click.UsageError(str(error)) from None


def _headers(order: Order) -> list[tuple[str, str]]:
    given = {name.lower() for name, _ in order.headers}
    if order.data is None or "content-type" in given:
        return order.headers
    return [*order.headers, ("Content-Type", "application/x-www-form-urlencoded")]  # what curl -d says too


def _tls(order: Order) -> ssl.SSLContext | None:
    if not order.insecure:
        return None
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _exchange(client: Client, order: Order) -> int:
    async with client.stream(
        order.method, order.url, headers=_headers(order), content=order.data, timeouts=order.timeouts
    ) as response:
        _show_heads(response, order)
        with _output(order.output) as output:
            if order.as_json:
                await _write_document(response, output)
            else:
                await _write_body(response, order, output)
    if order.verbose:
        _say(show.attempt_lines(response.attempts), "* ")
        _say([show.timing_line(response.timings), show.pool_line(client.pool.statistics())], "* ")
    if order.fail and response.status_code >= 400:
        raise click.ClickException(f"the server answered {show.status_line(response)}")
    return 0


# ---- stderr ----


def _show_heads(response: Response, order: Order) -> None:
    head = show.response_lines(response, show.masked(response.headers))
    if order.verbose:
        _say([*show.request_lines(response.request), ""], "> ")
        _say([*head, ""], "< ")
    elif not (order.quiet or order.include or order.as_json):
        _say([*head, ""], "")


def _say(lines: Iterable[str], prefix: str) -> None:
    for line in lines:
        click.echo(f"{prefix}{line}".rstrip(), err=True)


# ---- stdout, or the file that stands for it ----


@contextmanager
def _output(path: str) -> Generator[BinaryIO]:
    try:
        with _opened(path) as output:
            yield output
    except (TrioPoolError, BrokenPipeError):  # a timeout is an OSError too
        raise
    except OSError as error:
        if path == STDOUT:
            _discard_output()
        raise click.ClickException(f"cannot write {path!r}: {error.strerror}") from None


def _opened(path: str) -> AbstractContextManager[BinaryIO]:
    return nullcontext(sys.stdout.buffer) if path == STDOUT else open(path, "wb")


async def _write_body(response: Response, order: Order, output: BinaryIO) -> None:
    if order.include:
        lines = show.response_lines(response, response.headers.multi_items())
        output.write("".join(f"{click.unstyle(line)}\n" for line in [*lines, ""]).encode("utf-8"))
    last = b"\n"
    async for chunk in response.iter_bytes():
        if b"\0" in chunk and output.isatty():
            raise click.ClickException("the body is binary; send it to a pipe, or to a file with -o FILE")
        output.write(chunk)
        output.flush()  # an event stream is wanted as it comes
        last = chunk[-1:]
    if last != b"\n" and output.isatty():
        output.write(b"\n")
    output.flush()


async def _write_document(response: Response, output: BinaryIO) -> None:
    body = await response.read()
    document = json.dumps(show.document(response, body), indent=2)
    output.write(document.encode("ascii") + b"\n")
    output.flush()


def _discard_output() -> None:
    """Nobody takes it any more; what is still buffered must not be complained about when Python ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
