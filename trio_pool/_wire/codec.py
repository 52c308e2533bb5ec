"""What every codec is, and which there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..config import CodecName, WireLimits
from ..messages import Request
from .events import Event
from .fast_codec import FastCodec, reference


class Codec(Protocol):
    """One connection's client end, for one exchange after another."""

    def encode(self, request: Request, /) -> list[bytes]:
        """The request as it goes on the wire: its head, and body and end unless the body is streamed.

        :raises LocalProtocolError: it would break HTTP/1.1, or the connection is not ready for it.
        """
        ...

    def encode_piece(self, piece: bytes, /) -> bytes:
        """A piece of a body, framed. An empty piece is nothing, and not the end.

        :raises LocalProtocolError: it goes beyond the Content-Length.
        """
        ...

    def encode_end(self) -> bytes:
        """The end of the request.

        :raises LocalProtocolError: the body falls short of the Content-Length.
        """
        ...

    def feed(self, data: bytes, /) -> list[Event]:
        """What bytes that arrived say; b"" stands for the end of the connection."""
        ...


CODECS: dict[CodecName, Callable[[WireLimits], Codec]] = {"fast": FastCodec, "h11": reference}
