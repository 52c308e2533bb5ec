"""A virtual provider's description: what its servers can take, how far away they are, when they fail."""

from __future__ import annotations

import math
import re
from typing import Any, Literal

import attrs

from ...checks import COUNT, NOT_NEGATIVE, POSITIVE, Rule
from ...errors import UsageError
from ..checks import all_of, one_of, truth
from ..traffic.distributions import as_tuple
from .outages import ENDLESS, Brownout, Bursts, Outage

Dialect = Literal["openai"]

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123 section 2.1
_PLACES = Rule(
    "a whole number of at least 0, or math.inf",
    lambda value: value == math.inf or (value >= 0 and value % 1 == 0),
    endless=True,
)
_BYTES = Rule("a whole number from 1 to 1,000,000", lambda value: 1 <= value <= 1_000_000, whole=True)
_UP_TO_A_DAY = Rule("a number of seconds from 0 to 86,400", lambda value: 0 <= value <= 86_400)
_TRIPS = Rule("a whole number of at least 0", lambda value: value >= 0, whole=True)


def _is_name(instance: object, attribute: attrs.Attribute[str], value: object) -> None:
    if not (isinstance(value, str) and _NAME.fullmatch(value)):
        owner = type(instance).__name__
        raise UsageError(f"{owner}.{attribute.name} must be a host's name without dots, in lower case, not {value!r}")


def _optional(rule: Rule) -> Any:
    return attrs.field(default=None, validator=attrs.validators.optional(rule))


@attrs.frozen
class VirtualProvider:
    """A provider. Its base URL is `http://NAME.test`; what TLS would cost is added to each dial as time.

    What a request asks of it is in the request's own header, see `demands.py`. Nothing here is drawn by chance but
    `Bursts`. Times are in virtual seconds.

    :ivar name: its host is this and ".test" ("provider").
    :ivar concurrency: requests that it serves at once (None: any number).
    :ivar queue: requests that wait beyond that, first come first served (0); the next is refused.
    :ivar requests_per_minute: a bucket that holds one minute's worth and is full at first: in the first minute twice as
        many get through, if they come (None: no limit). A request beyond it is refused with 429.
    :ivar tokens_per_minute: the same for tokens, those of the input and of the answer together (None).
    :ivar overload_status: what is said to who is refused for want of a place: 429 (the default), 503 or 529.
    :ivar retry_after: whether a refusal says when to come back (None: it does not): by a limit per minute, when there
        is room; else after so many seconds. Sent in whole seconds, rounded up (RFC 9110 section 10.2.3).
    :ivar sends_rate_limit_headers: whether each answer tells the limits per minute, as OpenAI's do (False).
    :ivar brownouts: when it is slow (never).
    :ivar outages: when it is away (never), as given or by chance.
    :ivar round_trip: seconds from sending something to its echo (0.0).
    :ivar tls_round_trips: round trips of a dial beyond the one of TCP (0).
    :ivar tls_seconds: seconds of a dial that are computing (0.0).
    :ivar resolve_seconds: seconds of a dial that looking up the name takes (0.0).
    :ivar bandwidth: bytes a second of one connection in each direction (`math.inf`).
    :ivar capacity: bytes of one connection that may be on their way or unread in each direction (65536).
    :ivar keepalive_timeout: seconds for which a connection may be idle before the server closes it (None: any).
    :ivar announces_keepalive: whether responses say so (`Keep-Alive: timeout=`, in whole seconds) (False).
    :ivar bytes_per_token: of text, at most 1,000,000 (4).
    :ivar coalesce: tokens of so many seconds, at most 86,400, travel in one piece, as one event (0.25; 0: each alone).
    :ivar framing: how a streamed answer ends: "chunked" (the default) or by the connection's end, "close".
    :ivar dialect: "openai" (the default): `data:` events with an end mark and usage; None: events of mere text.
    :raises UsageError: for a nonsensical value; the message has the field's name.
    """

    name: str = attrs.field(default="provider", validator=_is_name)
    concurrency: int | None = _optional(COUNT)
    queue: float = attrs.field(default=0, validator=_PLACES)
    requests_per_minute: float | None = _optional(POSITIVE)
    tokens_per_minute: float | None = _optional(POSITIVE)
    overload_status: int = attrs.field(default=429, validator=one_of(429, 503, 529))
    retry_after: float | None = _optional(POSITIVE)
    sends_rate_limit_headers: bool = attrs.field(default=False, validator=truth)
    brownouts: tuple[Brownout, ...] = attrs.field(default=(), converter=as_tuple, validator=all_of(Brownout))
    outages: tuple[Outage | Bursts, ...] = attrs.field(default=(), converter=as_tuple, validator=all_of(Outage, Bursts))
    round_trip: float = attrs.field(default=0.0, validator=NOT_NEGATIVE)
    tls_round_trips: int = attrs.field(default=0, validator=_TRIPS)
    tls_seconds: float = attrs.field(default=0.0, validator=NOT_NEGATIVE)
    resolve_seconds: float = attrs.field(default=0.0, validator=NOT_NEGATIVE)
    bandwidth: float = attrs.field(default=math.inf, validator=ENDLESS)
    capacity: int = attrs.field(default=65536, validator=COUNT)
    keepalive_timeout: float | None = _optional(POSITIVE)
    announces_keepalive: bool = attrs.field(default=False, validator=truth)
    bytes_per_token: int = attrs.field(default=4, validator=_BYTES)
    coalesce: float = attrs.field(default=0.25, validator=_UP_TO_A_DAY)
    framing: Literal["chunked", "close"] = attrs.field(default="chunked", validator=one_of("chunked", "close"))
    dialect: Dialect | None = attrs.field(default="openai", validator=one_of("openai", None))

    def __attrs_post_init__(self) -> None:
        if self.announces_keepalive and self.keepalive_timeout is None:
            raise UsageError("VirtualProvider.announces_keepalive needs a keepalive_timeout")

    @property
    def host(self) -> str:
        """Its name on the network."""
        return f"{self.name}.test"

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{self.host}"

    @property
    def secure_seconds(self) -> float:
        """What TLS adds to a dial."""
        return self.round_trip * self.tls_round_trips + self.tls_seconds

    def slowdown(self, elapsed: float) -> float:
        """How many times as long everything takes at a time. Brownouts that overlap multiply."""
        now = [each.slowdown for each in self.brownouts if each.start <= elapsed < each.start + each.seconds]
        return math.prod(now)
