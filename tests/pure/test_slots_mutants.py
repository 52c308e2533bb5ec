"""A test of the tests: the state machine finds every planted bug, in runs that the core itself passes."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.errors import HypothesisException
from hypothesis.stateful import run_state_machine_as_test

from trio_pool._core import slots

from .mutants import MUTANTS, Mutant
from .slots_machine import machine_for

SEEDS = range(30)  # so a mutant is caught always or never
RUN = settings(
    max_examples=10,
    stateful_step_count=15,
    derandomize=False,  # the seeds are given
    database=None,
    deadline=None,
    phases=[Phase.generate],  # that it fails is enough to know: no shrinking, no explaining
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def run(core_module: ModuleType) -> None:
    for number in SEEDS:
        run_state_machine_as_test(seed(number)(machine_for(core_module)), settings=RUN)


def test_the_core_passes_the_runs_that_catch_the_mutants() -> None:
    run(slots)


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_the_state_machine_catches(mutant: Mutant) -> None:
    core_module = mutant.module()
    with pytest.raises(Exception) as caught:  # a bug shows as any exception
        run(core_module)
    assert not isinstance(caught.value, HypothesisException), "the machine itself failed"
