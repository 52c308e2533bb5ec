"""Why a target is not met, in words. Where there is no reason, it is met: this is the verdict's rule, and the only one.

1. The provider's limits per minute let all of the traffic through, but for `FAILING` (one in a thousand) in its bursts.
2. With the advised size the share of requests that wait too long, or are refused or give up, is at most the target, in
   simulation of the pool's line, with 95 % confidence. For a target near 3/N, N requests are too few to tell.
3. Where the whole client was tried: of its requests at most `FAILING` failed otherwise than for want of a connection.
4. And its own share in the long run is at most the target, those that failed included, with 95 % confidence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from .cautions import FAILING, Case, other_ends


def reasons(case: Case) -> tuple[str, ...]:
    """The reasons, the first first; none where the target is met."""
    return tuple(sentence for look in _LOOKS for sentence in look(case))


def _limits_per_minute(case: Case) -> Iterator[str]:
    if case.traffic.rate < case.offered.rate:
        through = f"{case.traffic.rate:.3g}"
        asked = "request" if through == "1" else "requests"
        yield (
            f"The provider's limits per minute let {through} {asked} per second through, of {case.offered.rate:.3g}. "
            "The others are refused or wait for the limits, whatever the size is; it is for those that are let through."
        )


def _bursts(case: Case) -> Iterator[str]:
    if case.over_limit > FAILING:
        yield (
            f"The provider's limits per minute are enough on average, but {case.over_limit:.2%} of requests come in "
            "bursts when they are spent, and are refused or wait for them, whatever the size is."
        )


def _line(case: Case) -> Iterator[str]:
    if case.simulated.high <= case.target:
        return
    if case.size < case.needed:
        who = "the provider serves" if case.size < case.files else "the files that this process may open allow"
        yield (
            f"The target needs {case.needed} connections, and {who} {case.size} at once. With those "
            f"{case.simulated.estimate:.2%} of requests wait too long or get no connection, not {case.target:.2%}."
        )
    else:
        yield (
            f"The samples are too few to tell whether {100 * case.target:.2g}% is met: out of about "
            f"{case.traffic.counted:,} requests it is only known that at most {100 * case.simulated.high:.2g}% wait "
            "too long or get no connection."
        )


def _failing(case: Case) -> Iterator[str]:
    if case.trial and case.trial.failing > FAILING:
        yield from other_ends(case.trial)


def _whole_client(case: Case) -> Iterator[str]:
    trial = case.trial
    if trial is None or trial.failing > FAILING or case.simulated.high > case.target:
        return  # there is a better reason
    checked = trial.corrected(case.simulated)
    if checked.high <= case.target:
        return
    if trial.more.low > 0:
        yield (
            f"The line alone meets the target, and the whole client does not: with the same {trial.requests} requests "
            f"{trial.client:.2%} wait too long or fail, and {trial.alone:.2%} in the line alone. A larger pool may do."
        )
    else:
        yield (
            f"It is not certain: with the whole client up to {checked.high:.2%} of requests may wait too long or fail, "
            f"not {case.target:.2%}. A check with more seeds tells more."
        )


_LOOKS: tuple[Callable[[Case], Iterator[str]], ...] = (_limits_per_minute, _bursts, _line, _failing, _whole_client)
