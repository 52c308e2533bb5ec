"""`docs/testing.md` does what it says: the tests on it are run as a user would run them, and pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import trio_pool
from trio_pool.testing import CannedNetwork, UnexpectedRequest

pytest_plugins = ["pytester"]

PAGE = (Path(trio_pool.__file__).parent.parent / "docs" / "testing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run(pytester: pytest.Pytester, text: str) -> dict[str, int]:
    """How the tests in a file came out."""
    pytester.makeini("[pytest]\ntrio_mode = true\nfilterwarnings = error\n")
    pytester.makepyfile(text)
    return pytester.runpytest_inprocess().parseoutcomes()


def test_its_tests_pass(pytester: pytest.Pytester) -> None:
    assert run(pytester, "\n".join(BLOCKS)) == {"passed": 4}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [(".respond(503)", ".respond(503, times=3)"), ('*WORDS, "[DONE]"', "*WORDS"), ('"5"', '"6"'), ("/7", "/8")],
)
def test_they_can_fail(pytester: pytest.Pytester, right: str, wrong: str) -> None:
    assert "failed" in run(pytester, "\n".join(BLOCKS).replace(right, wrong))


async def test_the_message_on_it_is_the_message() -> None:
    network = CannedNetwork()
    network.get("https://api.example/users/7").respond(json={"name": "Ada"})
    async with trio_pool.open_client(network=network) as client:
        with pytest.raises(UnexpectedRequest) as caught:
            await client.get("https://api.example/user/7")
    assert f"```\n{caught.value}\n```" in PAGE
