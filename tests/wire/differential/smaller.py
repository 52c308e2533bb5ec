"""Making a conversation small, while two codecs still differ over it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import attrs

from trio_pool.config import WireLimits

from .harness import Ask, Conversation, Turn


def smallest(conversation: Conversation, differs: Callable[[Conversation], bool]) -> Conversation:
    """The smallest that is found by leaving out one thing after another."""
    while True:
        for candidate in _smaller(conversation):
            if candidate != conversation and differs(candidate):
                conversation = candidate
                break
        else:
            return conversation


def _smaller(conversation: Conversation) -> Iterator[Conversation]:
    turns = conversation.turns
    for number in range(len(turns)):
        if len(turns) > 1:
            yield attrs.evolve(conversation, turns=turns[:number] + turns[number + 1 :])
    if conversation.limits != WireLimits():
        yield attrs.evolve(conversation, limits=WireLimits())
    for number, turn in enumerate(turns):
        for smaller in _smaller_turns(turn):
            yield attrs.evolve(conversation, turns=(*turns[:number], smaller, *turns[number + 1 :]))


def _smaller_turns(turn: Turn) -> Iterator[Turn]:
    if turn.cuts != ():
        yield attrs.evolve(turn, cuts=())
    for number in range(len(turn.cuts or ())):
        assert turn.cuts is not None
        yield attrs.evolve(turn, cuts=turn.cuts[:number] + turn.cuts[number + 1 :])
    if turn.ends:
        yield attrs.evolve(turn, ends=False)
    if turn.stray:
        yield attrs.evolve(turn, stray=b"")
    if turn.early:
        yield attrs.evolve(turn, early=0)
    for ask in _smaller_asks(turn.ask):
        yield attrs.evolve(turn, ask=ask)
    ends = [0, *(found.end() for found in re.finditer(rb"\n", turn.wire)), len(turn.wire)]
    for lines in (2, 1):
        for start, end in zip(ends, ends[lines:], strict=False):
            if start < end:
                yield _without(turn, start, end)
    size = 2 * len(turn.wire)
    while size := size // 2:
        for at in range(0, len(turn.wire), size):
            yield _without(turn, at, min(at + size, len(turn.wire)))


def _without(turn: Turn, start: int, end: int) -> Turn:
    """Fewer bytes, cut where they were."""
    wire = turn.wire[:start] + turn.wire[end:]
    if turn.cuts is None:
        return attrs.evolve(turn, wire=wire)
    cuts = (cut % (len(turn.wire) + 1) for cut in turn.cuts)
    moved = (cut if cut <= start else max(start, cut - (end - start)) for cut in cuts)
    return attrs.evolve(turn, wire=wire, cuts=tuple(sorted(set(moved) - {0, len(wire)})))


def _smaller_asks(ask: Ask) -> Iterator[Ask]:
    if ask != Ask():
        yield Ask()
        yield Ask(method=ask.method, target=ask.target)
    for number in range(len(ask.headers)):
        yield attrs.evolve(ask, headers=ask.headers[:number] + ask.headers[number + 1 :])
    for number in range(len(ask.pieces or ())):
        assert ask.pieces is not None
        yield attrs.evolve(ask, pieces=ask.pieces[:number] + ask.pieces[number + 1 :])
    yield from (
        smaller
        for smaller in (
            attrs.evolve(ask, smuggled=()),
            attrs.evolve(ask, target=None),
            attrs.evolve(ask, content=None),
            attrs.evolve(ask, sent_as=None),
        )
        if smaller != ask
    )
