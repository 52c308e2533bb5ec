"""Reading requests as a virtual server: with the least work that is right for what this library's own client sends."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..traffic import demands
from ..traffic.demands import Demand

_FIELD = re.compile(
    rb"\r\n(simulated-demand|simulated-nonce|content-length|transfer-encoding|connection):[ \t]*([^\r\n]*)",
    re.IGNORECASE,
)


class Asked(NamedTuple):
    """One request.

    :ivar demand: what it asks of the server.
    :ivar is_understood: whether that made sense.
    :ivar nonce: what its answer is to carry, or b"".
    :ivar is_head: whether its method is HEAD, so that its answer has no body.
    :ivar keeps: whether the connection may be used again.
    """

    demand: Demand
    is_understood: bool
    nonce: bytes
    is_head: bool
    keeps: bool


class Reader:
    """Reads the requests of one connection, one after another."""

    __slots__ = ("_asked", "_data", "_left", "_next_chunk")

    def __init__(self) -> None:
        self._data = b""
        self._asked: Asked | None = None  # whose body is still to come
        self._left = 0  # bytes of the body, or of the chunk, to come
        self._next_chunk = False  # whether another one follows

    def feed(self, data: bytes) -> None:
        """Bytes that came."""
        self._data = self._data + data if self._data else data

    def next(self) -> Asked | None:
        """The next request, once all of it has come."""
        if self._asked is None:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return None
            self._asked = self._begin(self._data[:end])
            self._data = self._data[end + 4 :]
        if not self._skip_body():
            return None
        asked, self._asked = self._asked, None
        return asked

    def _begin(self, head: bytes) -> Asked:
        fields = {name.lower(): value for name, value in _FIELD.findall(head)}
        self._next_chunk = b"transfer-encoding" in fields
        self._left = int(fields.get(b"content-length", 0))
        demand, is_understood = demands.NOTHING, True
        try:
            if b"simulated-demand" in fields:
                demand = demands.read(fields[b"simulated-demand"])
        except ValueError:
            is_understood = False
        return Asked(
            demand,
            is_understood,
            nonce=fields.get(b"simulated-nonce", b""),
            is_head=head.startswith(b"HEAD "),
            keeps=fields.get(b"connection", b"").lower() != b"close",
        )

    def _skip_body(self) -> bool:
        """Drop what has come of the body. Whether that was its end."""
        while True:
            taken = min(self._left, len(self._data))
            self._left -= taken
            self._data = self._data[taken:]
            if self._left:
                return False
            if not self._next_chunk:
                return True
            line, found, rest = self._data.partition(b"\r\n")
            if not found:
                return False
            size = int(line.partition(b";")[0], 16)
            self._next_chunk = size > 0
            self._left = size + 2  # its line end, or that of the empty trailers
            self._data = rest
