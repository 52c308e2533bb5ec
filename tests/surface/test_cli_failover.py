"""The failover scene of `trio-pool demo`: three providers of which one dies and one refuses; never how fast it is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from trio_pool.cli import failover_report
from trio_pool.cli.failover import WAYS, Availability, limit_for
from trio_pool.cli.load import Outcome, Tally
from trio_pool.cli.schedule import plan

COMMAND = [sys.executable, "-m", "trio_pool.cli", "demo", "--scene", "failover"]
SCHEDULE = plan(rate=25, seconds=6, seed=1)


def tally(answered: int, timed_out: int = 0, failed: int = 0, refused: int = 0, attempts: int = 0) -> Tally:
    sent = answered + timed_out + failed + refused
    counts = {
        Outcome.ANSWERED: answered,
        Outcome.TIMED_OUT: timed_out,
        Outcome.FAILED: failed,
        Outcome.REFUSED: refused,
    }
    return Tally(counts, [0.5] * answered, [0.0] * sent, None, attempts or sent)


def results(*tallies: Tally) -> list[Availability]:
    return [Availability.of(way, each, limited) for way, each, limited in zip(WAYS, tallies, (7, 8, 2), strict=True)]


def shown(*tallies: Tally) -> str:
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        failover_report.show(console, SCHEDULE, results(*tallies))
    return " ".join(capture.get().split())


def test_the_table_has_a_row_for_each_way_and_the_sentence_compares_them() -> None:
    text = shown(tally(60, failed=39, refused=1), tally(50, 20, 30, attempts=130), tally(100, attempts=110))
    assert "alone, tried once 100 60 60.0% 1.00 0 40 0.50s 0.50s" in text
    assert "alone, retried 100 50 50.0% 1.30 20 30 0.50s 0.50s" in text
    assert "failover 100 100 100% 1.10 0 0 0.50s 0.50s" in text
    assert "60.0% of the requests were answered, and 50.0% with up to 3 tries; with failover 100%" in text
    assert "refused 2 of them, and 7 when" in text
    assert "killed after 2.0 s, one lets 3 requests/s through" in text


def test_nearly_all_is_not_all_and_nothing_is_nothing() -> None:
    text = shown(tally(0, failed=5), tally(0, failed=5), tally(9_999, failed=1))
    assert "tried once 5 0 0.0% 1.00 0 5 - -" in text
    assert "failover 10000 9999 99.9% " in text


@pytest.mark.parametrize(("rate", "limit"), [(100, 10), (1, 1), (25, 3)])
def test_the_second_provider_lets_a_tenth_through(rate: float, limit: int) -> None:
    assert limit_for(plan(rate, 4, seed=1)) == limit


def test_with_failover_more_is_answered_than_without() -> None:
    ended = subprocess.run(
        [*COMMAND, "--seconds", "1.5", "--rate", "40", "--json"], capture_output=True, check=True, timeout=60
    )
    assert ended.stderr == b""
    document: dict[str, Any] = json.loads(ended.stdout)
    assert list(document) == ["failover"]
    once, retried, failover = document["failover"]["ways"]
    for way in (once, retried, failover):
        assert way["sent"] == way["answered"] + way["timed_out"] + way["failed"] == 60
        assert way["available"] == way["answered"] / 60
    assert once["attempts"] == 1
    assert failover["answered"] > once["answered"]
    assert document["failover"]["lets_through"] == 4
    assert failover["limited"] < once["limited"]
