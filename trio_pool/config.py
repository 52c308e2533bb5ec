"""What a pool may do, and how long a request may take: values, checked when they are built."""

from __future__ import annotations

import math
from typing import Any, Literal

import attrs

from .errors import UsageError
from .strategy import RetryStrategy

CodecName = Literal["fast", "h11"]
"""What can speak HTTP/1.1; see `PoolConfig.codec`."""


def _refuse(owner: str, field: str, value: object, needed: str) -> UsageError:
    return UsageError(f"{owner}.{field} must be {needed}, not {value!r}", phase="preparing the request")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _seconds(instance: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    """Positive seconds, None, or math.inf."""
    if value is not None and not (_is_number(value) and value > 0):  # type: ignore[operator]  # _is_number told
        owner = type(instance).__name__
        raise _refuse(owner, attribute.name, value, "a positive number of seconds, math.inf or None")


def _count(minimum: int) -> Any:
    def check(instance: Any, attribute: attrs.Attribute[Any], value: object) -> None:
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not (whole or value == math.inf) or value < minimum:  # type: ignore[operator]  # a number by now
            owner = type(instance).__name__
            raise _refuse(owner, attribute.name, value, f"a whole number of at least {minimum}, or math.inf")

    return check


def _one_of(*choices: str) -> Any:
    def check(instance: Any, attribute: attrs.Attribute[Any], value: object) -> None:
        if value not in choices:
            raise _refuse(type(instance).__name__, attribute.name, value, " or ".join(map(repr, choices)))

    return check


def _strategy(instance: Any, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, RetryStrategy):
        raise _refuse(type(instance).__name__, attribute.name, value, "a RetryStrategy")


def _unbounded(value: float | None) -> float:
    return math.inf if value is None else value


@attrs.frozen(kw_only=True)
class Timeouts:
    """The time one request may take; what is left out is inherited from `PoolConfig`.

    Each field is in seconds, positive; `None` (the default) inherits, `math.inf` means no limit.

    :ivar acquire: the whole wait for a connection.
    :ivar connection: one dial: DNS, TCP and TLS together, for a dial that this request starts.
    :ivar write: the longest stall while sending.
    :ivar first_byte: the silence between the request's last byte and the response's head.
    :ivar read: the longest silence while reading.
    :ivar total: the whole request, from the call to the last byte of the body.
    :raises UsageError: for a value that is no positive number.
    """

    acquire: float | None = attrs.field(default=None, validator=_seconds)
    connection: float | None = attrs.field(default=None, validator=_seconds)
    write: float | None = attrs.field(default=None, validator=_seconds)
    first_byte: float | None = attrs.field(default=None, validator=_seconds)
    read: float | None = attrs.field(default=None, validator=_seconds)
    total: float | None = attrs.field(default=None, validator=_seconds)


@attrs.frozen
class Limits:
    """Timeouts after inheritance: every field is a number of seconds, perhaps `math.inf`.

    :ivar dials_apart: whether `acquire` is for the wait alone, and a dial for the request has its own time.
    """

    acquire: float
    connection: float
    write: float
    first_byte: float
    read: float
    total: float
    dials_apart: bool = False


@attrs.frozen(kw_only=True)
class WireLimits:
    """How much of a response is taken before it counts as an attack.

    :ivar head: bytes of a status line and header fields, of all interim responses together, or of trailers.
    :ivar fields: header fields, or trailers.
    :ivar chunk_line: bytes of a chunk's size and extensions.
    :ivar decoded: bytes that a body with a content coding may become when it is read whole.
    :ivar expect: seconds that a request with `Expect: 100-continue` waits before it sends its body.
    """

    head: float = 65536
    fields: float = 128
    chunk_line: float = 4096
    decoded: float = 268_435_456
    expect: float = 1.0


@attrs.frozen(kw_only=True)
class PoolConfig:
    """What a pool may do. Times are in seconds; `None` and `math.inf` mean no limit, except where said.

    :ivar max_connections: all slots (100): leased, idle, being dialled or closed.
    :ivar max_connections_per_host: slots of one origin (20).
    :ivar keepalive_timeout: how long a connection may be idle (30.0).
    :ivar connection_timeout: one dial: DNS, TCP and TLS together (5.0).
    :ivar read_timeout: the longest silence while reading (30.0).
    :ivar retry_attempts: the tries of one request in all (3), over all upstreams; 1 means that nothing is retried. Only
        a client retries: a pool sends what it is given once.
    :ivar retry_strategy: the wait between two tries (`RetryStrategy.EXPONENTIAL_BACKOFF`).
    :ivar acquire_timeout: the wait in line (10.0).
    :ivar write_timeout: the longest stall while sending (30.0).
    :ivar first_byte_timeout: the silence before the response head; `None` means as `read_timeout`.
    :ivar total_timeout: the whole request, body included (None).
    :ivar max_waiting: the queue's bound (1000): the next request gets `PoolFull` at once.
    :ivar max_lifetime: the age of a connection (1800.0), less up to 10 % by chance.
    :ivar max_requests_per_connection: the uses of a connection (None).
    :ivar expect_timeout: how long a request with `Expect: 100-continue` waits before it sends its body (1.0).
    :ivar max_head_size: bytes of a response's status line and header fields, of its trailers, or of all its interim
        responses together (65536).
    :ivar max_header_count: a response's header fields, or trailers (128).
    :ivar max_chunk_line: bytes of a chunk's size and extensions (4096).
    :ivar max_decoded_size: bytes that a body with a content coding may become when it is read whole (268435456).
    :ivar codec: what speaks HTTP/1.1: "fast" (the default) or "h11", the reference, of which the other is a proven
        shortcut.
    :raises UsageError: for a nonsensical value; the message has the field's name.
    """

    max_connections: float = attrs.field(default=100, converter=_unbounded, validator=_count(1))
    max_connections_per_host: float = attrs.field(default=20, converter=_unbounded, validator=_count(1))
    keepalive_timeout: float = attrs.field(default=30.0, converter=_unbounded, validator=_seconds)
    connection_timeout: float = attrs.field(default=5.0, converter=_unbounded, validator=_seconds)
    read_timeout: float = attrs.field(default=30.0, converter=_unbounded, validator=_seconds)
    retry_attempts: float = attrs.field(default=3, converter=_unbounded, validator=_count(1))
    retry_strategy: RetryStrategy = attrs.field(default=RetryStrategy.EXPONENTIAL_BACKOFF, validator=_strategy)
    acquire_timeout: float = attrs.field(default=10.0, converter=_unbounded, validator=_seconds)
    write_timeout: float = attrs.field(default=30.0, converter=_unbounded, validator=_seconds)
    first_byte_timeout: float | None = attrs.field(default=None, validator=_seconds)
    total_timeout: float = attrs.field(default=math.inf, converter=_unbounded, validator=_seconds)
    max_waiting: float = attrs.field(default=1000, converter=_unbounded, validator=_count(0))
    max_lifetime: float = attrs.field(default=1800.0, converter=_unbounded, validator=_seconds)
    max_requests_per_connection: float = attrs.field(default=math.inf, converter=_unbounded, validator=_count(1))
    expect_timeout: float = attrs.field(default=1.0, converter=_unbounded, validator=_seconds)
    max_head_size: float = attrs.field(default=65536, converter=_unbounded, validator=_count(1))
    max_header_count: float = attrs.field(default=128, converter=_unbounded, validator=_count(1))
    max_chunk_line: float = attrs.field(default=4096, converter=_unbounded, validator=_count(1))
    max_decoded_size: float = attrs.field(default=268_435_456, converter=_unbounded, validator=_count(1))
    codec: CodecName = attrs.field(default="fast", validator=_one_of("fast", "h11"))
    limits: Limits = attrs.field(
        default=attrs.Factory(lambda config: config._own_limits(), takes_self=True), init=False, repr=False, eq=False
    )

    def _own_limits(self) -> Limits:
        first_byte = self.read_timeout if self.first_byte_timeout is None else self.first_byte_timeout
        return Limits(
            acquire=self.acquire_timeout,
            connection=self.connection_timeout,
            write=self.write_timeout,
            first_byte=first_byte,
            read=self.read_timeout,
            total=self.total_timeout,
        )

    @property
    def wire(self) -> WireLimits:
        """How much of a response is taken."""
        return WireLimits(
            head=self.max_head_size,
            fields=self.max_header_count,
            chunk_line=self.max_chunk_line,
            decoded=self.max_decoded_size,
            expect=self.expect_timeout,
        )

    def limits_for(self, timeouts: Timeouts | Limits | None) -> Limits:
        """The seconds that hold for one request: its own timeouts, and this configuration's for the rest."""
        if timeouts is None or isinstance(timeouts, Limits):
            return timeouts or self.limits
        given = attrs.asdict(timeouts, filter=lambda _, value: value is not None)
        if "read" in given and self.first_byte_timeout is None:
            given.setdefault("first_byte", given["read"])
        return attrs.evolve(self.limits, **given)
