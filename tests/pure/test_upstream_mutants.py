"""A test of the tests: every bug planted in a decider is found, by checks that the decider itself passes."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis.errors import HypothesisException

from trio_pool._core import choice, foresight, ratelimit

from .upstream_mutants import CHECKS, HEADERS, MUTANTS, Mutant

SEEDS = 12  # so a mutant is caught always or never


@pytest.mark.parametrize("module", CHECKS, ids=lambda module: module.__name__.rpartition(".")[2])
def test_the_deciders_pass_the_checks_that_catch_the_mutants(module: ModuleType) -> None:
    is_part = module in (choice, foresight)  # of the groups, whose own check has all the seeds
    CHECKS[module](module, 2 if is_part else SEEDS)


def test_the_limiter_passes_the_check_of_headers() -> None:
    HEADERS(ratelimit, SEEDS)


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_the_checks_catch(mutant: Mutant) -> None:
    module = mutant.module()
    with pytest.raises(Exception) as caught:  # a bug shows as any exception
        mutant.check(module, SEEDS)
    assert not isinstance(caught.value, HypothesisException), "the check itself failed"
