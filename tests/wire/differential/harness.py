"""Two codecs, one conversation: what each of them says, and where they first differ.

A `Conversation` is one connection: requests one after another, every byte that the server sends for each, and how
these bytes are cut into arrivals. `play` has one codec speak it as the shell would, and notes what it says at each
step: pieces of a body that come together are joined, everything else is noted as it is, with the types of all its
parts. Two codecs are equal if their notes are: the same events out of the same arrivals, the same bytes sent, the same
refusals. Whoever is a byte earlier or later is not equal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from copy import copy
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import NamedTuple, Protocol

import attrs
import h11

from trio_pool import LocalProtocolError, Request
from trio_pool._wire.events import End, Event, Head, Switched, Violation
from trio_pool.config import WireLimits


class Codec(Protocol):
    """What both codecs are."""

    def encode(self, request: Request, /) -> list[bytes]: ...
    def encode_piece(self, piece: bytes, /) -> bytes: ...
    def encode_end(self) -> bytes: ...
    def feed(self, data: bytes, /) -> list[Event]: ...


MakeCodec = Callable[[WireLimits], Codec]


class Said(NamedTuple):
    """What a codec said at one step.

    :ivar step: which step of the conversation it was.
    :ivar what: the event, or the bytes it would send, or how it refused.
    """

    step: str
    what: str


# ---- conversations ----


async def _nothing() -> AsyncIterator[bytes]:
    """A streamed body; its pieces are handed to the codec by `play`."""
    pieces: list[bytes] = []
    for piece in pieces:
        yield piece


@attrs.frozen
class Ask:
    """A request.

    :ivar content: a body sent whole.
    :ivar pieces: a body sent piece by piece, or None.
    :ivar smuggled: header fields put in behind the request's own checks.
    :ivar sent_as: a method put in behind them.
    """

    method: str = "GET"
    headers: tuple[tuple[bytes, bytes], ...] = ()
    content: bytes | None = None
    pieces: tuple[bytes, ...] | None = None
    target: str | None = None
    smuggled: tuple[tuple[bytes, bytes], ...] = ()
    sent_as: str | None = None

    def request(self) -> Request:
        """The request.

        :raises LocalProtocolError: no codec will ever see it.
        """
        content = self.content if self.pieces is None else _nothing()
        request = Request(self.method, "http://h/", headers=list(self.headers), content=content, target=self.target)
        request.raw_headers.extend(self.smuggled)
        request.method = self.sent_as or request.method
        return request


@attrs.frozen
class Turn:
    """One request and what comes back.

    :ivar wire: every byte that the server sends for it.
    :ivar cuts: where these are cut into arrivals; None: everywhere.
    :ivar ends: whether the connection ends behind them.
    :ivar stray: bytes that come when the exchange is over and the connection idle.
    :ivar early: how many arrivals come before the first piece of a streamed request body goes; then they take turns.
    """

    wire: bytes
    ask: Ask = Ask()
    cuts: tuple[int, ...] | None = ()
    ends: bool = False
    stray: bytes = b""
    early: int = 0

    def arrivals(self) -> Iterator[bytes]:
        """The bytes as they arrive."""
        size = len(self.wire)
        places: Iterable[int]
        places = range(size + 1) if self.cuts is None else sorted({0, size, *(cut % (size + 1) for cut in self.cuts)})
        for start, end in pairwise(places):
            yield self.wire[start:end]
        if self.ends:
            yield b""


@attrs.frozen
class Conversation:
    """One connection."""

    turns: tuple[Turn, ...]
    limits: WireLimits = attrs.Factory(WireLimits)


# ---- playing them ----


def play(make: MakeCodec, conversation: Conversation) -> list[Said]:
    """What a codec says, step by step, as far as the shell would let it, and a little further."""
    codec = make(conversation.limits)
    notes: list[Said] = []
    requests: dict[Ask, Request] = {}
    for number, turn in enumerate(conversation.turns):
        request = requests.get(turn.ask) or _request(turn.ask)
        if request is None:
            break  # no codec ever sees it
        requests[turn.ask] = request
        if not _Exchange(codec, turn, f"{number}:", notes).run(request):
            break
    return notes


@lru_cache(maxsize=1000)
def _built(ask: Ask) -> Request | None:
    try:
        return ask.request()
    except LocalProtocolError:
        return None


def _request(ask: Ask) -> Request | None:
    """A request that no codec has seen, or None: it is refused before."""
    built = _built(ask)
    if built is None:
        return None
    request = copy(built)
    request.encoded = b""
    return request


class _Exchange:
    """One exchange with one codec, noted."""

    def __init__(self, codec: Codec, turn: Turn, label: str, notes: list[Said]) -> None:
        self._codec = codec
        self._turn = turn
        self._label = label
        self._notes = notes
        self._pieces: list[bytes | None] = []

    def run(self, request: Request) -> bool:
        """Whether the connection may go on."""
        turn = self._turn
        before = list(request.raw_headers)
        if not self._send("head", lambda: sent(self._codec, request)):
            return False
        assert request.raw_headers == before, "a codec changed the request"
        self._pieces = [] if turn.ask.pieces is None else [*turn.ask.pieces, None]
        last = self._arrive()
        if isinstance(last, Switched):
            return False
        while self._pieces and not isinstance(last, Violation):
            if not self._send_piece():
                return False
        if isinstance(last, End) and last.keeps and turn.stray:
            self._feed("stray", turn.stray)
            return self._send_again()
        return self._send_again() if not isinstance(last, End) or not last.keeps else True

    def _send_again(self) -> bool:
        """See that the codec refuses another request on a connection that is not ready for it."""
        if self._pieces:
            return False
        try:
            self._codec.encode(Request("GET", "http://h/again"))
        except (LocalProtocolError, h11.LocalProtocolError):
            return False
        self._notes.append(Said(self._label + "again", "sent"))
        return False

    def _arrive(self) -> Event | None:
        """Everything that the server sends, up to the end. The last event."""
        last: Event | None = None
        for number, data in enumerate(self._turn.arrivals()):
            if self._pieces and number >= self._turn.early and not self._send_piece():
                return None
            last = self._feed(str(number), data)
            if isinstance(last, (End, Switched, Violation)):
                break
        return last

    def _feed(self, step: str, data: bytes) -> Event | None:
        step = self._label + step
        try:
            events = self._codec.feed(data)
        except Exception as error:  # a codec only tells
            self._notes.append(Said(step, f"crash: {error!r}"))
            return Violation("a crash")
        for what in shown(events):
            self._notes.append(Said(step, what))
        return events[-1] if events else None

    def _send_piece(self) -> bool:
        piece = self._pieces.pop(0)
        if piece is None:
            return self._send("end", self._codec.encode_end)
        return self._send("piece", lambda: self._codec.encode_piece(piece))

    def _send(self, what: str, act: Callable[[], bytes]) -> bool:
        """Whether the codec did not refuse."""
        try:
            self._notes.append(Said(self._label + what, repr(bytes(act()))))
        except LocalProtocolError as error:
            self._notes.append(Said(self._label + what, f"refused: {error.what}"))
            self._pieces.clear()
            return False
        except Exception as error:
            self._notes.append(Said(self._label + what, f"crash: {error!r}"))
            self._pieces.clear()
            return False
        return True


def sent(codec: Codec, request: Request) -> bytes:
    """A request's first bytes; where the body must wait for the server's word, a mark stands behind the head."""
    wire = codec.encode(request)
    if request.expects_continue:
        return wire[0] + b"<wait>" + b"".join(wire[1:])
    return b"".join(wire)


def shown(events: Sequence[Event]) -> Iterator[str]:
    """The events in words that tell their types; pieces of a body that stand together are one."""
    body = bytearray()
    for event in events:
        if type(event) is bytes and event:
            body += event
            continue
        if body:
            yield repr(bytes(body))
            body.clear()
        if isinstance(event, Head):
            yield repr(event._replace(fields=event.headers))  # which a codec may leave as they stood
            continue
        yield f"illegal piece: {event!r}" if isinstance(event, (bytes, bytearray, memoryview)) else repr(event)
    if body:
        yield repr(bytes(body))


# ---- comparing ----


def difference(conversation: Conversation, one: MakeCodec, other: MakeCodec) -> str | None:
    """In words, where two codecs first say different things, or crash; or None."""
    return first_difference(play(one, conversation), play(other, conversation))


def first_difference(ours: Sequence[Said], theirs: Sequence[Said]) -> str | None:
    """In words, where two notes first differ, or tell of a crash; or None."""
    nothing = Said("the end", "nothing")
    for one, other in zip_longest(ours, theirs, fillvalue=nothing):
        if one != other or one.what.startswith("crash"):
            return f"at {one.step}: {one.what}\nat {other.step}: {other.what}"
    return None


def in_four_ways(conversation: Conversation) -> Iterator[Conversation]:
    """The conversation as it is; with every turn byte by byte behind its head; whole; and all byte by byte."""
    ways = (conversation, *(_cut(conversation, cut) for cut in (_behind_the_head, _nowhere, _everywhere)))
    yield from dict.fromkeys(ways)


def _cut(conversation: Conversation, cut: Callable[[Turn], Turn]) -> Conversation:
    return attrs.evolve(conversation, turns=tuple(cut(turn) for turn in conversation.turns))


def _nowhere(turn: Turn) -> Turn:
    return attrs.evolve(turn, cuts=())


def _everywhere(turn: Turn) -> Turn:
    return attrs.evolve(turn, cuts=None)


def _behind_the_head(turn: Turn) -> Turn:
    return attrs.evolve(turn, cuts=tuple(range(end_of_head(turn.wire), len(turn.wire))))


def end_of_head(wire: bytes) -> int:
    """Where the first head ends, if it is a usual one."""
    return wire.find(b"\r\n\r\n") + 4
