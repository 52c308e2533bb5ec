"""The churn: see `churn.py`, which can also be run by itself for longer."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest

from .churn import churn, counted_churn, main
from .conftest import SCHEMES, Place
from .servers import Child, Fleet


@pytest.fixture(scope="module")
def counting(fleet: Fleet) -> Iterator[Child]:
    """The origin that counts its sockets."""
    child = Child("counting", str(fleet.folder("counting")))
    try:
        yield child
    finally:
        child.end()


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_cancelling_without_end_loses_nothing(counting: Child, trusting: ssl.SSLContext, scheme: str) -> None:
    base = f"{scheme}://localhost:{counting.told[scheme][0]}"
    tally = await counted_churn(base, trusting, seconds=3.0, rounds=200, seed=1)
    assert tally.cancelled > 100, "a slow machine cancels fewer, and none may do without"


async def test_cancelling_without_end_loses_nothing_with_real_servers(place: Place, trusting: ssl.SSLContext) -> None:
    tally = await churn(place.base, trusting, seconds=0.7, rounds=50, seed=2)
    assert tally.cancelled > 100


def test_the_churn_runs_as_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--seconds", "0.2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["http", "https"]
    assert all(line.endswith("nothing was lost") for line in lines)
