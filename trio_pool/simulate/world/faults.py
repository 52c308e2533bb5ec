"""What goes wrong on a network: frozen kinds, each by chance, in a window of time, for one provider or for all.

Each kind has its moment: when a name is looked up, when a connection is dialled, when a response is about to be sent.
At each such moment the faults of an experiment are asked in the order in which they are given, and the first that
strikes is the only one. What is drawn for one moment does not depend on the others.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import Generic, TypeVar

import attrs

from ...checks import NOT_NEGATIVE, POSITIVE, SHARE, Rule
from ...errors import UsageError
from ..checks import name_or_none
from .outages import ENDLESS

BYTES = Rule("a whole number of bytes, at least 0", lambda value: value >= 0, whole=True)


@attrs.frozen(kw_only=True)
class Fault:
    """What all faults have.

    :ivar probability: how likely it strikes, each time that it could (1.0).
    :ivar start: when it begins to be possible, in virtual seconds from the experiment's start (0.0).
    :ivar end: when it no longer is (`math.inf`: never).
    :ivar provider: the name of the provider that it is for, or None (the default): for all.
    """

    probability: float = attrs.field(default=1.0, validator=SHARE)
    start: float = attrs.field(default=0.0, validator=NOT_NEGATIVE)
    end: float = attrs.field(default=math.inf, validator=ENDLESS)
    provider: str | None = attrs.field(default=None, validator=name_or_none)

    def __attrs_post_init__(self) -> None:
        if self.end <= self.start:
            raise UsageError(f"{type(self).__name__}.end must be after its start ({self.start!r}), not {self.end!r}")

    def strikes(self, provider: str, elapsed: float, chance: random.Random) -> bool:
        """Whether it does, this time."""
        if not self.start <= elapsed < self.end or self.provider not in (None, provider):
            return False
        return self.probability == 1 or chance.random() < self.probability


# ---- when a name is looked up ----


@attrs.frozen(kw_only=True)
class SlowResolve(Fault):
    """Looking a provider's name up takes longer.

    :ivar seconds: by so much.
    """

    seconds: float = attrs.field(validator=POSITIVE)


# ---- when a connection is dialled ----


@attrs.frozen(kw_only=True)
class Refuse(Fault):
    """A dial is refused, after one round trip."""


@attrs.frozen(kw_only=True)
class Blackhole(Fault):
    """A dial is never answered."""


# ---- when a response is sent ----


@attrs.frozen(kw_only=True)
class AtByte(Fault):
    """What happens to a response after some of its bytes, its head included. A shorter one is spared.

    :ivar byte: after how many (0: before the first).
    """

    byte: int = attrs.field(default=0, validator=BYTES)


@attrs.frozen(kw_only=True)
class ResetAt(AtByte):
    """The connection is reset."""


@attrs.frozen(kw_only=True)
class HalfClose(AtByte):
    """The server ends its side (FIN), and goes on listening."""


@attrs.frozen(kw_only=True)
class Stall(AtByte):
    """Nothing comes for a while.

    :ivar seconds: for how long (`math.inf`: for ever).
    """

    seconds: float = attrs.field(default=math.inf, validator=ENDLESS)


@attrs.frozen(kw_only=True)
class FinWhileIdle(Fault):
    """After the response the server closes the connection, without having said so, unless another request comes first.

    :ivar after: seconds from the response's end (0.0).
    """

    after: float = attrs.field(default=0.0, validator=NOT_NEGATIVE)


@attrs.frozen(kw_only=True)
class Surplus(Fault):
    """After the response come bytes that belong to none, unless another request comes first.

    :ivar after: seconds from the response's end (0.0).
    """

    after: float = attrs.field(default=0.0, validator=NOT_NEGATIVE)


OF_RESOLVING = (SlowResolve,)
OF_DIALLING = (Refuse, Blackhole)
OF_RESPONSES = (ResetAt, HalfClose, Stall, FinWhileIdle, Surplus)
KINDS: tuple[type[Fault], ...] = (*OF_RESOLVING, *OF_DIALLING, *OF_RESPONSES)
"""All that can strike; `Fault` and `AtByte` alone do nothing."""

F = TypeVar("F", bound=Fault)


class Dice(Generic[F]):
    """Draws the faults of one moment.

    :param faults: all faults of the experiment.
    :param kinds: those that belong to the moment, such as `OF_DIALLING`.
    :param chance: its own stream.
    """

    def __init__(self, faults: Iterable[Fault], kinds: tuple[type[F], ...], chance: random.Random) -> None:
        self._faults = [fault for fault in faults if isinstance(fault, kinds)]
        self._chance = chance

    def draw(self, provider: str, elapsed: float) -> F | None:
        """The fault that strikes now, or None."""
        for fault in self._faults:
            if fault.strikes(provider, elapsed, self._chance):
                return fault
        return None
