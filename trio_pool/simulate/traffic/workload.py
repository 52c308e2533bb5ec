"""What callers want: when each request comes, how long its answer takes, and how long its caller waits.

Everything about a request is drawn before anything runs, each part from its own stream of chance. So the same seed
gives the same requests whatever the pool's configuration, and a change of one part leaves the others as they were.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import attrs

from ...checks import POSITIVE, SHARE
from ...errors import UsageError
from ..checks import can, is_a
from .arrivals import ARE_ARRIVALS, Arrivals, ClosedLoop, OnOff, Poisson, length_of
from .chances import chance
from .distributions import IS_DISTRIBUTION, Constant, Distribution, Empirical, LogNormal, Uniform, draws
from .measured import AGENT_INPUT, CHAT_FIRST_BYTE, CHAT_INPUT, CHAT_OUTPUT, PACE
from .traces import Trace, read

Demand = tuple[float, int, float, int]
"""What one request asks of a server: `Job.first_byte`, `tokens`, `seconds_per_token` and `input_tokens`."""

BREATH = 0.001
"""Seconds that a user takes whose request has ended in no time, refused perhaps: else no time would ever pass."""

_NONE = Constant(0)


@attrs.frozen
class Job:
    """One request that a caller wants. Times in seconds.

    :ivar at: when it is meant to start, from the start of the experiment.
    :ivar first_byte: from a free server to the first byte of the answer.
    :ivar tokens: pieces of the answer after it; with 0 the answer is whole with its first byte.
    :ivar seconds_per_token: the pace of those pieces.
    :ivar input_tokens: the size of the question.
    :ivar patience: how long after `at` the caller cancels it; `math.inf`: never.
    """

    at: float
    first_byte: float
    tokens: int
    seconds_per_token: float
    input_tokens: int
    patience: float

    @property
    def service(self) -> float:
        """The seconds for which a server is busy with it."""
        return self.first_byte + self.tokens * self.seconds_per_token


class Demands(Protocol):
    """How much work answers are."""

    def drawn(self, seed: int, caller: str = "") -> Iterator[Demand]:
        """What a caller's requests ask of a server, one after the other.

        :param seed: the experiment's seed.
        :param caller: who asks, where the order in which several callers ask depends on the answers.
        """
        ...

    @property
    def mean(self) -> float:
        """The expected seconds for which a server is busy with a request."""
        ...

    @property
    def squared_cv(self) -> float:
        """The variance of those seconds over their squared mean."""
        ...

    @property
    def mean_tokens(self) -> float:
        """The expected tokens of a question and its answer together."""
        ...


def _draws(distribution: Distribution, seed: int, purpose: str) -> Iterator[float]:
    return draws(distribution, chance(seed, purpose))


@attrs.frozen
class Service:
    """Answers whose parts are drawn, each independently of the others.

    :ivar first_byte: seconds to the first byte.
    :ivar tokens: pieces after it, rounded to whole ones; none by default.
    :ivar seconds_per_token: from one to the next, the same for all of one answer; 0.012 by default.
    :ivar input_tokens: the question's tokens, rounded to whole ones; none by default.
    """

    first_byte: Distribution = attrs.field(validator=IS_DISTRIBUTION)
    tokens: Distribution = attrs.field(default=_NONE, validator=IS_DISTRIBUTION)
    seconds_per_token: Distribution = attrs.field(default=PACE, validator=IS_DISTRIBUTION)
    input_tokens: Distribution = attrs.field(default=_NONE, validator=IS_DISTRIBUTION)

    def drawn(self, seed: int, caller: str = "") -> Iterator[Demand]:
        """What a caller's requests ask of a server; endless."""
        return zip(
            _draws(self.first_byte, seed, f"service first_byte {caller}"),
            map(round, _draws(self.tokens, seed, f"service tokens {caller}")),
            _draws(self.seconds_per_token, seed, f"service seconds_per_token {caller}"),
            map(round, _draws(self.input_tokens, seed, f"service input_tokens {caller}")),
            strict=False,
        )

    @property
    def mean(self) -> float:
        """The expected seconds for which a server is busy with a request."""
        return self.first_byte.mean + self._streamed

    @property
    def squared_cv(self) -> float:
        """The variance of those seconds over their squared mean; the rounding of tokens left out."""
        tokens, pace = self.tokens.squared_cv, self.seconds_per_token.squared_cv
        streamed = self._streamed**2 * ((1 + tokens) * (1 + pace) - 1) if self._streamed else 0.0
        variance = self.first_byte.mean**2 * self.first_byte.squared_cv + streamed
        return variance / self.mean**2 if self.mean else 0.0

    @property
    def mean_tokens(self) -> float:
        """The expected tokens of a question and its answer together."""
        return self.tokens.mean + self.input_tokens.mean

    @property
    def _streamed(self) -> float:
        return self.tokens.mean * self.seconds_per_token.mean


@attrs.frozen
class Replayed:
    """Answers of the lengths in a trace, in its order; their times, of which a trace has none, are drawn.

    Each user of a closed loop begins at another place in it.

    :ivar trace: whose tokens they are.
    :ivar first_byte: seconds to the first byte.
    :ivar seconds_per_token: from one token to the next, the same for all of one answer.
    """

    trace: Trace = attrs.field(validator=is_a(Trace))
    first_byte: Distribution = attrs.field(validator=IS_DISTRIBUTION)
    seconds_per_token: Distribution = attrs.field(validator=IS_DISTRIBUTION)

    def drawn(self, seed: int, caller: str = "") -> Iterator[Demand]:
        """What a caller's requests ask of a server; endless: after the last the first again."""
        first_bytes = _draws(self.first_byte, seed, f"service first_byte {caller}")
        paces = _draws(self.seconds_per_token, seed, f"service seconds_per_token {caller}")
        rows = self.trace.rows
        start = chance(seed, f"service place {caller}").randrange(len(rows)) if caller else 0
        endless = itertools.islice(itertools.cycle(rows), start, None)
        for row, first_byte, pace in zip(endless, first_bytes, paces, strict=False):
            yield first_byte, row.output_tokens, pace, row.input_tokens

    @functools.cached_property
    def _as_drawn(self) -> Service:
        outputs, inputs = (Empirical(row[column] for row in self.trace.rows) for column in (2, 1))
        return Service(self.first_byte, outputs, self.seconds_per_token, inputs)

    @property
    def mean(self) -> float:
        """The expected seconds for which a server is busy with a request."""
        return self._as_drawn.mean

    @property
    def squared_cv(self) -> float:
        """The variance of those seconds over their squared mean."""
        return self._as_drawn.squared_cv

    @property
    def mean_tokens(self) -> float:
        """The mean tokens of a question and its answer together."""
        return self._as_drawn.mean_tokens


def _arrivals_or_users(instance: object, attribute: attrs.Attribute[Any], value: object) -> None:
    if not isinstance(value, ClosedLoop):
        ARE_ARRIVALS(instance, attribute, value)


@attrs.frozen
class Workload:
    """What callers want.

    :ivar arrivals: when requests come.
    :ivar service: how long their answers take.
    :ivar cancelled: the share of requests whose caller has a patience (None: all, if there is one).
    :ivar patience: seconds from the intended start to the cancellation (None: nobody cancels).
    """

    arrivals: Arrivals | ClosedLoop = attrs.field(validator=_arrivals_or_users)
    service: Demands = attrs.field(validator=can("drawn", "a Service"))
    cancelled: float | None = attrs.field(default=None, validator=attrs.validators.optional(SHARE))
    patience: Distribution | None = attrs.field(default=None, validator=attrs.validators.optional(IS_DISTRIBUTION))

    def __attrs_post_init__(self) -> None:
        if self.cancelled and self.patience is None:
            raise UsageError("a Workload of which a share is cancelled needs a patience: seconds, as a Distribution")

    def jobs(self, seed: int, seconds: float = math.inf) -> Iterator[Job]:
        """The requests of an open loop in the order in which they come; endless unless recorded, or bounded.

        :param seed: the experiment's seed.
        :param seconds: only those that come before this.
        :raises UsageError: for a closed loop, where the answers say when a user asks next: see `draw`.
        """
        if isinstance(self.arrivals, ClosedLoop):
            raise UsageError(
                "the requests of a ClosedLoop cannot be known beforehand: its answers decide when they come"
            )
        times = self.arrivals.times(chance(seed, "arrivals"))
        return map(self.draw(seed), itertools.takewhile(lambda at: at < seconds, times))

    def expected(self, seconds: float) -> float:
        """About how many requests come in so many seconds; 0 where they are recorded, and so have an end.

        Users in a closed loop are taken to be served at once, each in the mean time of its answer.
        """
        arrivals = self.arrivals
        if isinstance(arrivals, ClosedLoop):
            return arrivals.users * (1 + seconds / max(arrivals.think.mean + self.service.mean, BREATH))
        return arrivals.rate * seconds if length_of(arrivals) is None else 0.0

    def draw(self, seed: int, caller: str = "") -> Callable[[float], Job]:
        """What makes of an intended start the next request of a caller.

        :param seed: the experiment's seed.
        :param caller: which user of a closed loop asks; each has streams of chance of its own.
        """
        demands = self.service.drawn(seed, caller)
        patience = self._patiences(seed, caller)
        return lambda at: Job(at, *next(demands), next(patience))

    def _patiences(self, seed: int, caller: str) -> Iterator[float]:
        if self.patience is None:
            return itertools.repeat(math.inf)
        share = 1.0 if self.cancelled is None else self.cancelled
        lots = _draws(Uniform(0.0, 1.0), seed, f"cancellations {caller}")
        patiences = _draws(self.patience, seed, f"patience {caller}")
        return (patience if lot < share else math.inf for lot, patience in zip(lots, patiences, strict=False))


def trace(
    recorded: Trace | str | os.PathLike[str],
    *,
    first_byte: Distribution = CHAT_FIRST_BYTE,
    seconds_per_token: Distribution = PACE,
) -> Workload:
    """The requests of a trace when they came, with the tokens that they had; the seconds of answers are drawn.

    :param recorded: a `Trace`, or the path of a file in the format of `traces`.
    :param first_byte: seconds to the first byte; by default as in `chat`.
    :param seconds_per_token: from one token to the next; by default as in `chat`.
    :raises UsageError: for a file that is no such trace, with the line and the column.
    :raises OSError: for a file that cannot be read, such as one that is not there.
    """
    known = recorded if isinstance(recorded, Trace) else read(recorded)
    return Workload(known.arrivals(), Replayed(known, first_byte, seconds_per_token))


def chat(rate: float) -> Workload:
    """Conversations with a hosted model, at this many requests per second.

    - Arrivals: Poisson; the gaps of the Azure conversation trace have a coefficient of variation of 1.09.
    - Tokens: quantiles of the same trace (Azure LLM inference traces 2023, AzurePublicDataset, CC-BY 4.0).
    - First byte and pace: `CHAT_FIRST_BYTE` and `PACE`.
    """
    return Workload(Poisson(rate), Service(CHAT_FIRST_BYTE, CHAT_OUTPUT, PACE, CHAT_INPUT))


def agent(rate: float) -> Workload:
    """Agents that call a hosted model in bursts, at this many requests per second on average.

    - Arrivals: bursts of 8 s at six times the mean rate, 40 s of silence between them on average. At 2.57 requests per
      second that gives gaps with a coefficient of variation of 13.1 and counts per second with an index of dispersion
      of 13.2: what the Azure code trace has (AzurePublicDataset, CC-BY 4.0).
    - Tokens: lognormal, median 13, sigma 1.27, and the input's quantiles, fitted to the same trace.
    - First byte: lognormal, median 4.3 s, sigma 1.28, so its 99th percentile is 84 s. Users of one agent measured
      4.3 and 85 s (https://github.com/griffinwork40/agent-afk/issues/584).
    - Pace: `PACE`.
    """
    POSITIVE.check("rate", rate)
    bursts = OnOff(rate_on=6 * rate, rate_off=0.0, mean_on=8.0, mean_off=40.0)
    return Workload(bursts, Service(LogNormal(4.3, 1.28), LogNormal(13, 1.27), PACE, AGENT_INPUT))
