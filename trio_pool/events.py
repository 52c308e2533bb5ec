"""What observers are told: one frozen record for each thing that happened.

An observer is called synchronously, after the fact. What it raises is logged and goes no further.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from .headers import Headers
from .urls import Origin


@attrs.frozen
class InterimResponse:
    """A server sent a 1xx response before the final one, such as 103 Early Hints.

    :ivar origin: who sent it.
    :ivar status_code: 100 to 199, but not 101.
    :ivar headers: its fields.
    """

    origin: Origin
    status_code: int
    headers: Headers


Event = InterimResponse
"""Whatever an observer can be told."""

Observer = Callable[[Event], None]
"""Anything that can be called with an event. It must return at once."""
