"""Where chance comes from: one independent stream of random numbers for each purpose, all from one seed.

Two experiments with the same seed that differ in one thing draw the same numbers for everything else (common random
numbers): what then differs in their results comes of that one thing. A workload's numbers are drawn in the order of its
requests, whatever becomes of them. Those of faults and of the client are drawn in the order of events: they are the
same numbers, but where events come in another order they fall on other requests.
"""

from __future__ import annotations

import random


def chance(seed: int, purpose: str) -> random.Random:
    """The stream for one purpose. The same seed and purpose give the same numbers on every machine.

    :param seed: the experiment's seed.
    :param purpose: what the numbers are for, such as "arrivals" or "provider east".
    """
    return random.Random(f"{seed} {purpose}")
