"""How one attempt ended, and what that says of the upstream and of trying again.

An attempt ends with a status, or with an error. Either is of one *kind*, found in a table; a second table says what
the kind means: whether another try can help, and where; whether the upstream's breaker counts it; whether the
upstream has too much to do. Nothing here weighs one request against another: that is done in `attempts.py`.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Set
from typing import Literal

import attrs

from ..errors import (
    AddressRefused,
    CertificateRefused,
    ConnectError,
    ConnectTimeout,
    ReadError,
    ReadTimeout,
    RemoteProtocolError,
    StreamFailed,
    StreamIncomplete,
    TrioPoolError,
    WriteError,
    WriteTimeout,
)
from .dates import LONGEST_PAUSE, http_date, number
from .dialects import Complaint


class Kind(enum.Enum):
    """What came of an attempt."""

    SERVED = "served"  # below 400
    ANSWERED = "answered"  # 4xx: the request's own fault, or its answer
    UNFIT = "unfit"  # 401 and 402: this upstream's credentials or account, not the request
    CONTENDED = "contended"  # another 4xx that the provider says to try again
    LIMITED = "rate limited"  # 429
    SPENT = "quota spent"  # 429 and the like, with a code that says so
    OVERLOADED = "overloaded"  # 503, 529, or an error code that means the same
    FAILED = "failed"  # 408 and other 5xx
    UNSENT = "not connected"  # no byte of the request was sent
    REFUSED = "refused"  # by us: its addresses are forbidden, or its certificate does not verify
    BROKEN = "broken off"  # the request may have been processed
    OURS = "not the upstream's doing"  # our own limits, our own deadline, our own mistakes


class Health(enum.Enum):
    """What an attempt says of its upstream."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


Where = Literal["nowhere", "elsewhere", "anywhere"]
"""On which upstreams another try can help."""


@attrs.frozen
class Meaning:
    """What a kind means.

    :ivar where: where another try can help: not at all, only on another upstream, or on this one too.
    :ivar health: what the upstream's breaker is told.
    :ivar is_overload: whether the upstream has too much to do: its concurrency limit gets a cut.
    """

    where: Where
    health: Health
    is_overload: bool = False


MEANINGS: Mapping[Kind, Meaning] = {
    Kind.SERVED: Meaning("nowhere", Health.GOOD),
    Kind.ANSWERED: Meaning("nowhere", Health.GOOD),
    Kind.UNFIT: Meaning("elsewhere", Health.BAD),
    Kind.CONTENDED: Meaning("anywhere", Health.GOOD),
    Kind.LIMITED: Meaning("anywhere", Health.UNKNOWN, is_overload=True),  # alive, yet not to be asked now
    Kind.SPENT: Meaning("elsewhere", Health.BAD),
    Kind.OVERLOADED: Meaning("anywhere", Health.BAD, is_overload=True),
    Kind.FAILED: Meaning("anywhere", Health.BAD),
    Kind.UNSENT: Meaning("anywhere", Health.BAD),
    Kind.REFUSED: Meaning("elsewhere", Health.BAD),
    Kind.BROKEN: Meaning("anywhere", Health.BAD),
    Kind.OURS: Meaning("nowhere", Health.UNKNOWN),
}

RETRYABLE = frozenset({408, 429, 500, 502, 503, 504, 529})
"""Statuses after which another try can help, for every provider."""

_OF_STATUS = {401: Kind.UNFIT, 402: Kind.UNFIT, 429: Kind.LIMITED, 503: Kind.OVERLOADED, 529: Kind.OVERLOADED}

_OF_ERROR: Mapping[type[TrioPoolError], Kind] = {
    AddressRefused: Kind.REFUSED,
    CertificateRefused: Kind.REFUSED,
    ConnectError: Kind.UNSENT,  # the rest of TLS, and proxies, included
    ConnectTimeout: Kind.UNSENT,
    ReadError: Kind.BROKEN,
    ReadTimeout: Kind.BROKEN,
    RemoteProtocolError: Kind.BROKEN,
    StreamFailed: Kind.BROKEN,
    StreamIncomplete: Kind.BROKEN,
    WriteError: Kind.BROKEN,
    WriteTimeout: Kind.BROKEN,
}


@attrs.frozen(kw_only=True)
class RetryRules:
    """What one provider says by its statuses and error codes.

    :ivar statuses: those after which another try can help.
    :ivar quota_codes: error codes, in a body or an event, that mean a spent quota: waiting does not help.
    :ivar overload_codes: error codes that mean an overloaded provider, whatever the status.
    """

    statuses: frozenset[int] = RETRYABLE
    quota_codes: frozenset[str] = frozenset()
    overload_codes: frozenset[str] = frozenset()


@attrs.frozen(kw_only=True)
class Outcome:
    """How one attempt ended: with a status, or with an error.

    :ivar status: the answer's, or that of an event stream's first event where this is an error.
    :ivar error: what was raised instead of an answer.
    :ivar codes: the error codes in the answer's body; see `dialects.read_error`.
    :ivar wait: seconds for which the server asks not to be asked again, or None.
    :ivar should_retry: what the server says of trying again, or None.
    """

    status: int | None = None
    error: TrioPoolError | None = None
    codes: Set[str] = frozenset()
    wait: float | None = None
    should_retry: bool | None = None

    @property
    def may_have_been_processed(self) -> bool:
        """Whether the server may have acted on the request and nobody knows how."""
        return self.error is not None and self.error.may_have_been_processed


def outcome_of(complaint: Complaint) -> Outcome:
    """What an event says that tells of an error: as much as an answer of its status."""
    return Outcome(status=complaint.status or 500, codes=complaint.codes, wait=complaint.wait)


def kind_of(outcome: Outcome, rules: RetryRules) -> Kind:
    """What came of an attempt."""
    if outcome.error is not None:
        return _of_error(outcome.error)
    status = outcome.status or 0
    if status >= 400 or outcome.codes:
        if outcome.codes & rules.quota_codes:
            return Kind.SPENT
        if outcome.codes & rules.overload_codes:
            return Kind.OVERLOADED
    return _of_status(status, rules)


def _of_error(error: TrioPoolError) -> Kind:
    kind = next((_OF_ERROR[base] for base in type(error).__mro__ if base in _OF_ERROR), Kind.OURS)
    return Kind.UNSENT if kind is Kind.BROKEN and not error.may_have_been_processed else kind


def _of_status(status: int, rules: RetryRules) -> Kind:
    if status < 400:
        return Kind.SERVED
    known = _OF_STATUS.get(status)
    if known is not None:
        return known
    if status >= 500 or status == 408:
        return Kind.FAILED
    return Kind.CONTENDED if status in rules.statuses else Kind.ANSWERED


def read_wait(headers: Mapping[str, str], wall: float) -> float | None:
    """The seconds that `retry-after-ms` or `Retry-After` ask for, or None; what is malformed is ignored.

    A date that has passed is 0. `retry-after-ms` comes first, as OpenAI's and Anthropic's own clients have it.

    :param headers: fields by name, in lower case or compared without regard to case.
    :param wall: the seconds since 1970.
    """
    milliseconds = number(headers.get("retry-after-ms", "").strip())
    if milliseconds is not None:
        return min(milliseconds / 1000, LONGEST_PAUSE)
    text = headers.get("retry-after", "").strip()
    seconds = number(text)
    if seconds is None:
        at = http_date(text, wall)
        seconds = None if at is None else max(at - wall, 0.0)
    return None if seconds is None else min(seconds, LONGEST_PAUSE)


_SHOULD_RETRY = {"true": True, "false": False}


def read_should_retry(headers: Mapping[str, str]) -> bool | None:
    """What `x-should-retry` says, or None. It is OpenAI's and Anthropic's, and their own clients obey it."""
    return _SHOULD_RETRY.get(headers.get("x-should-retry", "").strip().lower())
