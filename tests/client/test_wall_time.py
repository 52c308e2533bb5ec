"""A date is compared with the network's time, which need not be the machine's."""

from __future__ import annotations

from email.utils import formatdate

import trio

from trio_pool import open_client

from .network import ScriptedNetwork, response


class Past(ScriptedNetwork):
    """A network on which it is 1994."""

    def time(self) -> float:
        return 784_111_777.0 + trio.current_time()


async def test_a_pause_until_a_date_is_as_long_as_the_network_says(autojump_clock: trio.testing.MockClock) -> None:
    began = trio.current_time()
    date = formatdate(784_111_777.0 + began + 9, usegmt=True)
    network = Past([response(b"", f"Retry-After: {date}", status="503 Busy"), response(b"there")])
    async with open_client(network=network) as client:
        assert (await client.get("http://a.test/")).text == "there"
    assert 8 < trio.current_time() - began < 10
