"""A test of the tests: the state machine finds every planted bug, in the same bounded run the core passes."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from trio_pool._core import slots

from .mutants import MUTANTS, Mutant
from .slots_machine import machine_for

RUN = settings(
    max_examples=250,
    stateful_step_count=40,
    derandomize=True,  # a mutant is caught always or never
    database=None,
    deadline=None,
    phases=[Phase.generate],  # to know that it fails is enough: no shrinking, no explaining
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def test_the_core_passes_the_run_that_catches_the_mutants() -> None:
    run_state_machine_as_test(machine_for(slots), settings=RUN)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: str(mutant.name))
def test_the_state_machine_catches(mutant: Mutant) -> None:
    with pytest.raises(Exception) as caught:
        run_state_machine_as_test(machine_for(mutant.module()), settings=RUN)
    assert caught.value is not None
