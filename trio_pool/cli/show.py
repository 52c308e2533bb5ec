"""How `trio-pool get` shows an exchange: heads, timings and pool figures as text, and the JSON document.

A server chooses what stands in its headers, so nothing unprintable of them reaches a terminal.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import click
from yarl import URL

from .. import Headers, PoolStatistics, Request, Response, Timings
from ..events import Attempt
from ..headers import is_secret

MASK = "(not shown)"
STATUS_COLOURS = {1: "cyan", 2: "green", 3: "cyan", 4: "yellow", 5: "red"}


def printable(text: str) -> str:
    """The text with escapes for whatever a terminal would not print."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def masked(headers: Headers) -> Iterator[tuple[str, str]]:
    """The fields in order, without the values that are secrets."""
    for name, value in headers.multi_items():
        yield name, MASK if is_secret(name) else value


def status_line(response: Response) -> str:
    """Such as "HTTP/1.1 200 OK"."""
    return f"{response.http_version} {response.status_code} {response.reason}".rstrip()


def request_lines(request: Request) -> Iterator[str]:
    """The head of a request, secrets masked."""
    yield click.style(f"{request.method} {request.target.decode('ascii')} HTTP/1.1", bold=True)
    yield from _fields(masked(request.headers))


def response_lines(response: Response, fields: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The head of a response."""
    colour = STATUS_COLOURS.get(response.status_code // 100)
    yield click.style(printable(status_line(response)), fg=colour, bold=True)
    yield from _fields(fields)


def _fields(fields: Iterable[tuple[str, str]]) -> Iterator[str]:
    for name, value in fields:
        yield f"{click.style(printable(name), fg='blue')}: {printable(value)}"


def timing_line(timings: Timings) -> str:
    """How long the parts of the exchange took."""
    parts = {
        "waited": timings.waited,
        "dialled": timings.dialled,
        "sent": timings.sent,
        "first byte": timings.first_byte,
        "total": timings.total,
    }
    known = ", ".join(f"{name} {1000 * value:.1f} ms" for name, value in parts.items() if value is not None)
    return f"{known}; {'reused' if timings.reused else 'new'} connection"


def attempt_lines(attempts: Sequence[Attempt]) -> list[str]:
    """Every try, where there was more than one."""
    return [f"attempt {number}: {one}" for number, one in enumerate(attempts, 1)] if len(attempts) > 1 else []


def pool_line(figures: PoolStatistics) -> str:
    """What the pool has counted, leaving out what is zero."""
    counted = {
        "leased": figures.leased,
        "idle": figures.idle,
        "dialling": figures.dialling,
        "closing": figures.closing,
        "waiting": figures.waiting,
        "requests": figures.requests,
        "dials": figures.dials,
        "failed dials": figures.dial_failures,
        "reuses": figures.reuses,
    }
    counted |= {f"closed ({reason})": number for reason, number in figures.evictions.items()}
    return "pool: " + ", ".join(f"{name} {number}" for name, number in counted.items() if number)


def _without_user(url: str) -> str:
    return str(URL(url).with_user(None))


def document(response: Response, body: bytes) -> dict[str, Any]:
    """The exchange as a JSON document. Headers are pairs, times are seconds, the request has no secrets."""
    request = response.request
    text, encoding = _as_text(body)
    return {
        "request": {
            "method": request.method,
            "url": _without_user(request.url),
            "headers": list(masked(request.headers)),
        },
        "status": response.status_code,
        "reason": response.reason,
        "http_version": response.http_version,
        "headers": response.headers.multi_items(),
        "trailers": response.trailers.multi_items(),
        "timings": attrs.asdict(response.timings),
        "attempts": [attempt._asdict() for attempt in response.attempts],
        "body": text,
        "body_encoding": encoding,
    }


def _as_text(body: bytes) -> tuple[str, str]:
    try:
        return body.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return base64.b64encode(body).decode("ascii"), "base64"
