"""A test of the invariants: bugs that are planted in the pool are found, twice at the same place, and replayed."""

from __future__ import annotations

import gc
import shlex
from collections.abc import Iterator

import attrs
import pytest

import trio_pool.pool
from trio_pool import PoolConfig
from trio_pool.simulate import Experiment, InvariantBroken
from trio_pool.simulate.traffic import workload

from ..pure.mutants import MUTANTS
from .plans import CROWDED, LONG, QUIET, RIVALS, STORMY

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def _no_rest() -> Iterator[None]:
    """Some bugs end trio's run in the middle. Of what is left behind, trio complains here and not in other tests."""
    yield
    gc.collect()


DEFAULT = Experiment(PoolConfig(), workload.chat(10.0))
"""All that is not said is as it is by default."""

PATIENT = attrs.evolve(CROWDED, config=attrs.evolve(CROWDED.config, acquire_timeout=None, read_timeout=None))
"""Nobody's time is ever over, so the pool looks at the clock for the sake of idle connections alone."""

BY_NAME = {mutant.name: mutant for mutant in MUTANTS}

FOUND = [
    (CROWDED, "closing connections do not count: they are taken for leased", "was to be closed and was not"),
    (
        DEFAULT,
        "double grant: a granted connection is pooled as well",
        "the connection is not ready for another request",
    ),
    (DEFAULT, "statistics drift: a covered waiter that goes was counted as waiting", "a count is negative"),
    (STORMY, "barging: last come, first served", "overtook another"),
    (CROWDED, "empty origins are not forgotten", "was not forgotten"),
    (STORMY, "lost wake-up: a slot that has gone wakes nobody", "somebody waits although there is room"),
    (STORMY, "a cancelled waiter's coverage is not passed on", "a dial covers nobody although somebody waits"),
    (STORMY, "a failed dial fails its requester although that one has gone", "no error of this library: KeyError"),
    (STORMY, "leaked slot: a dial whose requester was cancelled is dropped", "the books do not have the connections"),
    (STORMY, "leaked slot: a failed dial that failed a waiter", "the books do not have the connections"),
    (STORMY, "the limit of one origin is ignored", "an origin has more slots than it may"),
    (STORMY, "unbounded queue", "more requests wait than max_waiting"),
    (STORMY, "the queue's bound is off by one", "more requests wait than max_waiting"),
    (STORMY, "the count of uses is ignored", "was used 21 times"),
    (STORMY, "an unusable connection is kept", "the connection is not ready for another request"),
    (
        STORMY,
        "over-dial: a newcomer does not notice a dial that covers nobody",
        "a dial covers nobody although somebody",
    ),
    (STORMY, "statistics drift: failed dials", "dials are lost from the books"),
    (CROWDED, "lost wake-up: nothing is ever evicted", "an idle connection could be evicted"),
    (CROWDED, "grant past the expiry", "the pool turns in circles"),
    (CROWDED, "an expired connection is granted", "was used after its lifetime"),
    (PATIENT, "nobody is asked to look at what expires", "should have been closed"),
    (
        CROWDED,
        "lost wake-up: an idle connection is not evicted for a waiter of another origin",
        "an idle connection could be evicted",
    ),
    (STORMY, "lost wake-up: an origin below its own limit again does not join the line", "although there is room"),
    (STORMY, "a dial that is handed over is nobody's in the books", "no error of this library: KeyError"),
    (LONG, "a leased connection is closed by maintenance", "no error of this library: ValueError"),
    (STORMY, "a dead idle connection is granted", "a connection that was known to have ended"),
    (STORMY, "a dead connection is handed on", "a connection that was known to have ended"),
    (QUIET, "the least recently used is reused", "in two places, or in none"),
    (RIVALS, "starvation: reuse never yields", "was overtaken more than 8 times"),
    (RIVALS, "starvation: overtaken once too often", "was overtaken more than 8 times"),
    (QUIET, "statistics drift: reuses", "the books have 527 reuses, and there were from 515 to 515"),
]


@pytest.mark.parametrize(("experiment", "name", "words"), FOUND, ids=[name for _, name, _ in FOUND])
def test_a_planted_bug_is_found_twice_at_the_same_place(
    experiment: Experiment, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio_pool.pool, "Slots", BY_NAME[name].module().Slots)
    with pytest.raises(InvariantBroken, match=words) as first:
        experiment.run()
    with pytest.raises(InvariantBroken) as second:
        experiment.run()
    assert first.value.args == second.value.args


@pytest.mark.parametrize("experiment", [DEFAULT, QUIET, STORMY, CROWDED, LONG, RIVALS])
def test_without_a_bug_nothing_is_found(experiment: Experiment) -> None:
    assert experiment.run().requests > 200


@pytest.mark.parametrize(
    ("experiment", "bug"),
    [(STORMY, "unbounded queue"), (DEFAULT, "double grant: a granted connection is pooled as well")],
    ids=["a storm", "by default"],
)
def test_the_error_tells_what_and_when_and_a_command_that_replays_it(
    experiment: Experiment, bug: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trio_pool.pool, "Slots", BY_NAME[bug].module().Slots)
    with pytest.raises(InvariantBroken) as first:
        attrs.evolve(experiment, seed=3).run()
    broken = first.value
    assert (
        str(broken)
        == f"{broken.what} (after {broken.at:.6f} s of virtual time, with the seed 3). Replay: {broken.replay}"
    )
    program, option, code = shlex.split(broken.replay)
    assert (program, option) == ("python", "-c")
    with pytest.raises(InvariantBroken) as second:
        exec(code, {})  # in this process, which has the bug
    assert second.value.args == broken.args


def test_a_scenario_has_a_command_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_pool.pool, "Slots", BY_NAME["unbounded queue"].module().Slots)
    with pytest.raises(InvariantBroken, match="Replay: trio-pool simulate storm.toml --seed 3"):
        attrs.evolve(STORMY, seed=3, replay="trio-pool simulate storm.toml --seed").run()


def test_another_seed_finds_a_bug_at_another_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio_pool.pool, "Slots", BY_NAME["unbounded queue"].module().Slots)
    places = set()
    for seed in range(3):
        with pytest.raises(InvariantBroken) as caught:
            attrs.evolve(STORMY, seed=seed).run()
        places.add(caught.value.at)
    assert len(places) == 3
