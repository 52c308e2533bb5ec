"""The data set for tests of traces: Azure LLM inference traces 2023 (AzurePublicDataset, Microsoft), CC-BY 4.0.

It is no part of the project. Where it lies beside the project, in `../shared/data`, tests use it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from trio_pool.simulate.traffic.traces import Trace, read

FILE = Path(__file__).resolve().parents[3] / "shared" / "data" / "azure_llm_conv_2023.csv"


@pytest.fixture(scope="session")
def conversations() -> Trace:
    """One hour of a conversation service."""
    if not FILE.exists():
        pytest.skip(f"the Azure trace is not there: {FILE}")
    return read(FILE)
