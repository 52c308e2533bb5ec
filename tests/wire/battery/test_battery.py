"""Every reply a server can send has its verdict, and afterwards a probe gets its own answer."""

from __future__ import annotations

from collections import Counter

import pytest

from .case import WAYS, Case, Way
from .cases_bodyless import CASES as BODYLESS
from .cases_both import CASES as BOTH
from .cases_chunks import CASES as CHUNKS
from .cases_decoding import CASES as DECODING
from .cases_fields import CASES as FIELDS
from .cases_interim import CASES as INTERIM
from .cases_length import CASES as LENGTH
from .cases_reuse import CASES as REUSE
from .cases_status import CASES as STATUS
from .cases_transfer import CASES as TRANSFER
from .harness import run_case

CASES = [*STATUS, *FIELDS, *LENGTH, *TRANSFER, *CHUNKS, *BODYLESS, *REUSE, *INTERIM, *DECODING, *BOTH]


@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_every_reply_has_its_verdict(case: Case, way: Way) -> None:
    await run_case(case, way)


def test_every_case_has_a_name_of_its_own_and_a_source() -> None:
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []
    assert [case.name for case in CASES if not case.source] == []
