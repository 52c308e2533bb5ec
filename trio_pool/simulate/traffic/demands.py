"""What a request says to a virtual server, in header fields: what it asks of it, and by what it knows its answer.

So the work that a request makes is drawn with the request, and not by the server: whichever server gets it, and however
often, it asks the same.

    Simulated-Demand: first_byte=0.25 tokens=130 seconds_per_token=0.012 input_tokens=900
    Simulated-Nonce: 17

A part that is left out is 0. The nonce comes back in the answer's head.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

DEMAND = "Simulated-Demand"
NONCE = "Simulated-Nonce"


class Asks(Protocol):
    """What has a demand, such as a `Job`. See `Demand`."""

    @property
    def first_byte(self) -> float:
        """Seconds."""
        ...

    @property
    def tokens(self) -> int:
        """How many."""
        ...

    @property
    def seconds_per_token(self) -> float:
        """Seconds."""
        ...

    @property
    def input_tokens(self) -> int:
        """How many."""
        ...


class Demand(NamedTuple):
    """What one request asks of a server.

    :ivar first_byte: seconds from a free server to the first byte of the answer.
    :ivar tokens: pieces of the answer after it; with 0 the answer is whole with its first byte.
    :ivar seconds_per_token: the pace of those pieces.
    :ivar input_tokens: the size of the question.
    """

    first_byte: float = 0.0
    tokens: int = 0
    seconds_per_token: float = 0.0
    input_tokens: int = 0


NOTHING = Demand()
"""What a request without the field asks for: an answer at once, with nothing in it."""


def written(demand: Asks) -> str:
    """The field's value."""
    return (
        f"first_byte={demand.first_byte!r} tokens={demand.tokens} "
        f"seconds_per_token={demand.seconds_per_token!r} input_tokens={demand.input_tokens}"
    )


def read(value: bytes) -> Demand:
    """What a field's value says.

    :raises ValueError: it is malformed.
    """
    parts = dict([part.split(b"=") for part in value.split()])  # pairs, or a ValueError
    demand = Demand(
        float(parts.pop(b"first_byte", 0)),
        int(parts.pop(b"tokens", 0)),
        float(parts.pop(b"seconds_per_token", 0)),
        int(parts.pop(b"input_tokens", 0)),
    )
    if parts or min(demand) < 0 or not sum(demand) < math.inf:
        raise ValueError(f"{value!r} is no demand")
    return demand
