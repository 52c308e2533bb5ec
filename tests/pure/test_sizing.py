"""The closed forms: published values, exact sums for small queues, and what must grow or fall with what."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trio_pool import UsageError
from trio_pool.simulate import Pareto
from trio_pool.sizing import (
    FiniteQueue,
    erlang_b,
    erlang_c,
    finite_queue,
    general_wait,
    mean_wait,
    servers_for,
    wait_exceeds,
)

SERVERS = st.integers(1, 30)
LOADS = st.integers(1, 400).map(lambda tenths: tenths / 10)
TARGETS = st.floats(1e-6, 1.0)


# ---- exact sums: the definition, without a recursion ----


def chances(servers: int, places: int, load: Fraction) -> list[Fraction]:
    """How probable each number in M/M/c/K is: balance of the flows up and down, then the sum made 1."""
    weights = [Fraction(1)]
    for number in range(1, places + 1):
        weights.append(weights[-1] * load / min(number, servers))
    return [weight / sum(weights) for weight in weights]


def naive_c(servers: int, load: Fraction) -> Fraction:
    """Erlang's C as it stands in books, with powers and factorials."""
    tail = load**servers / math.factorial(servers) / (1 - load / servers)
    return tail / (sum(load**number / math.factorial(number) for number in range(servers)) + tail)


def naive_queue(servers: int, places: int, load: Fraction) -> list[Fraction]:
    probable = chances(servers, places, load)
    in_system = sum((number * chance for number, chance in enumerate(probable)), Fraction(0))
    in_line = sum((max(number - servers, 0) * chance for number, chance in enumerate(probable)), Fraction(0))
    return [probable[-1], in_system, in_line, in_line / (load * (1 - probable[-1]))]


@given(SERVERS, LOADS)
def test_erlang_b_is_the_exact_sum(servers: int, load: float) -> None:
    assert erlang_b(servers, load) == pytest.approx(float(chances(servers, servers, Fraction(load))[-1]), rel=1e-12)


@given(SERVERS, LOADS)
def test_erlang_c_is_the_exact_sum(servers: int, load: float) -> None:
    expected = naive_c(servers, Fraction(load)) if load < servers else 1
    assert erlang_c(servers, load) == pytest.approx(float(expected), rel=1e-10)


@given(SERVERS, st.integers(0, 20), LOADS)
def test_the_finite_queue_is_the_exact_sum(servers: int, more: int, load: float) -> None:
    expected = [float(value) for value in naive_queue(servers, servers + more, Fraction(load))]
    assert list(finite_queue(servers, servers + more, load)) == pytest.approx(expected, rel=1e-10, abs=1e-300)


# ---- published values ----


@pytest.mark.parametrize(
    ("load", "sizes"), [(10, (14, 17, 19)), (50, (58, 64, 68)), (100, (111, 119, 125)), (400, (422, 436, 449))]
)
def test_sizes_for_three_targets(load: float, sizes: tuple[int, ...]) -> None:
    assert tuple(servers_for(load, target) for target in (0.2, 0.05, 0.01)) == sizes


SECONDS_AND_REFUSED = [
    (0.05, 0.018),
    (0.1, 0.215),
    (0.2, 0.538),
    (0.5, 0.805),
    (0.989, 0.900),
    (1, 0.901),
    (2, 0.950),
    (10, 0.990),
]


@pytest.mark.parametrize(("seconds", "refused"), SECONDS_AND_REFUSED)
def test_ten_connections_at_a_hundred_requests_per_second(seconds: float, refused: float) -> None:
    assert erlang_b(10, 100 * seconds) == pytest.approx(refused, abs=0.0005)


def test_ninety_servers_with_a_load_of_eighty() -> None:
    assert erlang_c(90, 80) == pytest.approx(0.195, abs=0.0005)


def test_one_server_needs_no_tables() -> None:
    assert erlang_b(1, 0.5) == pytest.approx(1 / 3)
    assert erlang_c(1, 0.5) == pytest.approx(0.5)
    assert mean_wait(1, 0.5, 2.0) == pytest.approx(2.0)
    assert wait_exceeds(1, 0.5, 4.0, 2.0) == pytest.approx(0.5 * math.exp(-1))


def test_one_server_with_constant_service_waits_half_as_long() -> None:
    assert general_wait(1, 0.8, 3.0, service=0.0) == pytest.approx(mean_wait(1, 0.8, 3.0) / 2)
    assert general_wait(1, 0.8, 3.0, service=5.0) == pytest.approx(0.8 * 3.0 * (1 + 5) / (2 * (1 - 0.8)))


def test_service_without_a_variance_keeps_waiting_without_end() -> None:
    assert general_wait(1, 0.5, service=Pareto(1.0, 1.5).squared_cv) == math.inf
    assert general_wait(1, 0.0, service=math.inf) == 0


def test_too_much_load_waits_without_end_however_regular() -> None:
    assert general_wait(3, 3.0, arrivals=0.0, service=0.0) == math.inf
    assert general_wait(3, 2.9, arrivals=0.0, service=0.0) == 0


# ---- what must grow or fall ----


@given(SERVERS, LOADS)
def test_more_servers_refuse_and_keep_waiting_fewer(servers: int, load: float) -> None:
    assert erlang_b(servers + 1, load) < erlang_b(servers, load)
    assert erlang_c(servers + 1, load) <= erlang_c(servers, load)
    assert mean_wait(servers + 1, load) <= mean_wait(servers, load)


@given(SERVERS, LOADS, st.floats(0.01, 10))
def test_more_load_is_worse(servers: int, load: float, more: float) -> None:
    assert erlang_b(servers, load + more) > erlang_b(servers, load)
    assert erlang_c(servers, load + more) >= erlang_c(servers, load)
    assert finite_queue(servers, servers + 5, load + more) > finite_queue(servers, servers + 5, load)


@given(SERVERS, LOADS, st.floats(0, 10), st.floats(0.01, 10))
def test_long_waits_are_rarer_than_short_ones(servers: int, load: float, wait: float, more: float) -> None:
    assert wait_exceeds(servers, load, 0) == erlang_c(servers, load)
    assert wait_exceeds(servers, load, wait + more) <= wait_exceeds(servers, load, wait)


@given(SERVERS, LOADS)
def test_erlang_c_is_never_less_than_erlang_b(servers: int, load: float) -> None:
    assert erlang_b(servers, load) <= erlang_c(servers, load) <= 1


@given(SERVERS, LOADS, st.floats(0.01, 100))
def test_the_mean_wait_is_the_sum_of_the_tail(servers: int, load: float, service_time: float) -> None:
    """The mean of a time that is not negative is the integral of the probability that it is longer."""
    if load < servers:
        scale = service_time / (servers - load)
        steps = [wait_exceeds(servers, load, scale * (step + 0.5) / 100, service_time) for step in range(4000)]
        assert mean_wait(servers, load, service_time) == pytest.approx(scale / 100 * sum(steps), rel=1e-4)
    else:
        assert mean_wait(servers, load, service_time) == math.inf


@given(LOADS, TARGETS, st.floats(0, 3), st.floats(0.1, 10))
def test_the_size_is_the_least_that_meets_the_target(
    load: float, target: float, wait: float, service_time: float
) -> None:
    servers = servers_for(load, target, wait, service_time)
    assert load < servers
    assert wait_exceeds(servers, load, wait, service_time) <= target
    if servers - 1 > load:
        assert wait_exceeds(servers - 1, load, wait, service_time) > target


# ---- the finite queue between its two neighbours ----


@given(SERVERS, LOADS)
def test_without_a_line_the_finite_queue_is_erlang_b(servers: int, load: float) -> None:
    queue = finite_queue(servers, servers, load)
    assert queue.refused == erlang_b(servers, load)
    assert queue.in_system == pytest.approx(load * (1 - queue.refused))
    assert (queue.in_line, queue.wait) == (0, 0)


@given(SERVERS, st.floats(0.05, 0.9), st.floats(0.1, 10))
def test_with_a_long_line_the_finite_queue_is_erlang_c(servers: int, busy: float, service_time: float) -> None:
    load = servers * busy
    queue = finite_queue(servers, servers + 400, load, service_time)
    assert queue.refused < 1e-15
    assert queue.wait == pytest.approx(mean_wait(servers, load, service_time), rel=1e-9)
    assert queue.in_system - queue.in_line == pytest.approx(load)


@given(SERVERS, LOADS, st.integers(0, 8))
def test_a_longer_line_refuses_fewer_and_keeps_waiting_longer(servers: int, load: float, line: int) -> None:
    shorter, longer = (finite_queue(servers, servers + places, load) for places in (line, line + 1))
    assert longer.refused < shorter.refused
    assert longer.wait > shorter.wait or longer.refused < 1e-6
    assert longer.wait >= shorter.wait * (1 - 1e-12)


# ---- large and strange numbers ----


def test_ten_thousand_servers_overflow_nothing() -> None:
    assert erlang_c(10_000, 9_900) == pytest.approx(0.2228, abs=0.0001)
    for load in (1e-300, 1.0, 9_900.0, 2e4, 1e300):
        results: list[Any] = [erlang_b(10_000, load), erlang_c(10_000, load), *finite_queue(10_000, 11_000, load)]
        assert all(math.isfinite(value) and value >= 0 for value in results)
    assert finite_queue(10_000, 11_000, 1e300) == FiniteQueue(1.0, 11_000.0, 1_000.0, 0.1)
    assert servers_for(9_900, 0.2228) == 10_000


def test_nothing_to_do_needs_one_server() -> None:
    assert (erlang_b(1, 0), erlang_c(1, 0), mean_wait(1, 0)) == (0, 0, 0)
    assert servers_for(0, 0.01) == 1


REFUSED: dict[str, tuple[Callable[..., object], tuple[Any, ...]]] = {
    "servers must be a whole number of at least 1, not 0": (erlang_b, (0, 1)),
    "servers must be a whole number of at least 1, not 1.5": (erlang_c, (1.5, 1)),
    "servers must be a whole number of at least 1, not True": (erlang_c, (True, 1)),
    "load must be a number of at least 0, not -1": (erlang_b, (1, -1)),
    "load must be a number of at least 0, not nan": (mean_wait, (1, math.nan)),
    "load must be a number of at least 0, not inf": (servers_for, (math.inf, 0.1)),
    "load must be a number of at least 0, not '5'": (servers_for, ("5", 0.1)),
    "load must be at most 10000000, not 1e+30": (servers_for, (1e30, 0.1)),
    "target must be a probability over 0, at most 1, not 0": (servers_for, (1, 0)),
    "target must be a probability over 0, at most 1, not 1.5": (servers_for, (1, 1.5)),
    "wait must be a number of at least 0, not -1": (wait_exceeds, (1, 0.5, -1)),
    "service_time must be a positive number, not 0": (mean_wait, (1, 0.5, 0)),
    "places must be a whole number of at least 5 (servers), not 4": (finite_queue, (5, 4, 1)),
    "servers must be at most 10000000, not 1000000000000": (erlang_b, (10**12, 1)),
    "places must be at most 10000000, not 1000000000000": (finite_queue, (1, 10**12, 1)),
    "load must be a positive number, not 0": (finite_queue, (5, 6, 0)),
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_nonsense_is_refused_with_the_name_of_it(sentence: str) -> None:
    function, arguments = REFUSED[sentence]
    with pytest.raises(UsageError) as caught:
        function(*arguments)
    assert str(caught.value) == f"{sentence}."


@pytest.mark.parametrize("name", ["arrivals", "service"])
def test_variation_is_never_negative(name: str) -> None:
    nonsense: dict[str, Any] = {name: -0.1}
    with pytest.raises(UsageError, match=f"{name} must be"):
        general_wait(1, 0.5, **nonsense)
