"""How many connections traffic needs, in closed form: the queues of Erlang and of those who followed. All is pure.

A connection is a *server*, and is busy for a request from the lease to the end of its answer. The *load* is the arrival
rate times the mean of that time: the mean number of busy servers, if there were enough (Little's law). It has no unit,
though telephony calls it erlangs. Times are in whatever unit the service time has; 1.0 by default, so that they are in
service times.

M/M/c stands for Poisson arrivals (M), exponential service times (M) and c servers with one line before them; a K after
it bounds those in service and in line together; G is any distribution. Real traffic is burstier and its service times
have longer tails: `trio_pool.simulate` tells what that does.

The formulas are in Kleinrock, "Queueing Systems" volume 1 (1975), chapter 3, and Cooper, "Introduction to Queueing
Theory" (1981), chapter 3, unless another source is named.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .checks import COUNT, NOT_NEGATIVE, POSITIVE, Rule
from .errors import UsageError

_TARGET = Rule("a probability over 0, at most 1", lambda value: 0 < value <= 1)
_SQUARED_CV = Rule("at least 0", lambda value: value >= 0, endless=True)
_MOST = 10_000_000  # servers: some seconds of looking


def _bound(name: str, value: float) -> None:
    if value > _MOST:
        raise UsageError(f"{name} must be at most {_MOST}, not {value!r}")


def erlang_b(servers: int, load: float) -> float:
    """The probability that a request finds all servers busy and is refused, where nobody can wait (M/G/c/c).

    Erlang's loss formula. Only the mean of the service time matters, not its distribution. Computed by recursion over
    the servers, which neither overflows nor loses precision.

    :param servers: c, from 1 to ten millions.
    :param load: at least 0.
    :raises UsageError: for what is no such number.
    """
    COUNT.check("servers", servers)
    _bound("servers", servers)
    NOT_NEGATIVE.check("load", load)
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = _one_more(blocked, load / count)
    return blocked


def _one_more(full: float, ratio: float) -> float:
    """The probability of the last state of a birth-death process when it gets one more.

    :param full: that of the last state so far.
    :param ratio: the rate into the new state over the rate out of it.
    """
    return ratio * full / (1 + ratio * full)


def erlang_c(servers: int, load: float) -> float:
    """The probability that a request has to wait, where everybody can (M/M/c). Where the load is too much, it is 1.

    :param servers: c, from 1 to ten millions.
    :param load: at least 0; stable below `servers`.
    :raises UsageError: for what is no such number.
    """
    return _waits(erlang_b(servers, load), servers, load)


def _waits(blocked: float, servers: int, load: float) -> float:
    """Erlang's C out of his B."""
    return 1.0 if load >= servers else blocked / (1 - load / servers * (1 - blocked))


def mean_wait(servers: int, load: float, service_time: float = 1.0) -> float:
    """The mean wait in M/M/c, over all requests, those that need not wait included; infinite if the load is too much.

    :param servers: c, from 1 to ten millions.
    :param load: at least 0.
    :param service_time: the mean, positive.
    :raises UsageError: for what is no such number.
    """
    POSITIVE.check("service_time", service_time)
    waits = erlang_c(servers, load)
    return math.inf if load >= servers else waits * service_time / (servers - load)


def wait_exceeds(servers: int, load: float, wait: float, service_time: float = 1.0) -> float:
    """The probability that a request waits longer than a time in M/M/c, first come first served.

    :param servers: c, from 1 to ten millions.
    :param load: at least 0.
    :param wait: the time, at least 0; with 0 this is `erlang_c`.
    :param service_time: the mean, positive.
    :raises UsageError: for what is no such number.
    """
    NOT_NEGATIVE.check("wait", wait)
    POSITIVE.check("service_time", service_time)
    return _exceeds(erlang_c(servers, load), servers - load, wait / service_time)


def _exceeds(waits: float, spare: float, wait: float) -> float:
    """A wait of this many service times, if there is one, is exponential with the spare servers as its rate."""
    return waits * math.exp(-spare * wait) if spare > 0 else waits


def servers_for(load: float, target: float, wait: float = 0.0, service_time: float = 1.0) -> int:
    """The least number of servers in M/M/c with which a request waits longer than a time with at most this probability.

    :param load: at least 0, at most ten millions.
    :param target: the probability, over 0.
    :param wait: the time, at least 0.
    :param service_time: the mean, positive.
    :raises UsageError: for what is no such number.
    """
    NOT_NEGATIVE.check("load", load)
    _TARGET.check("target", target)
    NOT_NEGATIVE.check("wait", wait)
    POSITIVE.check("service_time", service_time)
    _bound("load", load)
    servers, blocked = 0, 1.0
    while servers <= load or _exceeds(_waits(blocked, servers, load), servers - load, wait / service_time) > target:
        servers += 1
        blocked = _one_more(blocked, load / servers)
    return servers


class FiniteQueue(NamedTuple):
    """What M/M/c/K comes to in the long run.

    :ivar refused: the probability that a request finds all places taken, and is refused.
    :ivar in_system: the mean number in service and in line.
    :ivar in_line: the mean number in line.
    :ivar wait: the mean wait of those who were not refused, those who need not wait included.
    """

    refused: float
    in_system: float
    in_line: float
    wait: float


def finite_queue(servers: int, places: int, load: float, service_time: float = 1.0) -> FiniteQueue:
    """M/M/c/K: a line with a bound, which has an answer for any load.

    :param servers: c, from 1 to ten millions.
    :param places: K, those in service and in line together, from `servers` to ten millions.
    :param load: positive.
    :param service_time: the mean, positive.
    :raises UsageError: for what is no such number.

    Computed by recursion over the places: with one more, the system is full with a probability that follows from the
    one before, and else as it was with one fewer. So nothing overflows.
    """
    COUNT.check("servers", servers)
    Rule(f"a whole number of at least {servers} (servers)", lambda value: value >= servers, whole=True).check(
        "places", places
    )
    _bound("places", places)
    POSITIVE.check("load", load)
    POSITIVE.check("service_time", service_time)
    full, in_system, in_line = 1.0, 0.0, 0.0
    for place in range(1, places + 1):
        full = _one_more(full, load / min(place, servers))
        in_system += full * (place - in_system)
        in_line += full * (max(place - servers, 0) - in_line)
    return FiniteQueue(full, in_system, in_line, in_line * service_time / (in_system - in_line))


def general_wait(
    servers: int, load: float, service_time: float = 1.0, *, arrivals: float = 1.0, service: float = 1.0
) -> float:
    """The mean wait in G/G/c, roughly: that of M/M/c times the mean of the two squared coefficients of variation.

    Allen and Cunneen's extension (Allen, "Probability, Statistics, and Queueing Theory", 1990) of Kingman's formula
    ("The single server queue in heavy traffic", 1961). Exact for M/M/c, and for M/G/1, where it is the formula of
    Pollaczek and Khinchine. Elsewhere it is **rough**: it has been seen to be wrong by half in either direction with
    bursty arrivals or heavy tails. Simulate before you rely on it.

    :param servers: c, from 1 to ten millions.
    :param load: at least 0.
    :param service_time: the mean, positive.
    :param arrivals: the squared coefficient of variation of the gaps between arrivals; 1 for Poisson.
    :param service: that of the service time; 1 for an exponential, 0 for a constant, `math.inf` where there is no
        variance, and then no mean wait either.
    :raises UsageError: for what is no such number.
    """
    _SQUARED_CV.check("arrivals", arrivals)
    _SQUARED_CV.check("service", service)
    wait = mean_wait(servers, load, service_time)
    return wait * (arrivals + service) / 2 if 0 < load < servers else wait
