"""What can happen to a pool, as tables: each kind of event with its arguments, and when it is possible."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from .slots_books import ORIGINS, Limits

LIMITS = st.builds(
    Limits,
    total=st.integers(1, 4),
    per_host=st.sampled_from([1, 1, 2, 3, 4]),
    waiting=st.sampled_from([math.inf, math.inf, 0, 1, 2, 4]),
    keepalive=st.sampled_from([3.0, 0.5, math.inf]),
    lifetime=st.sampled_from([math.inf, math.inf, 10.0, 2.0]),
    uses=st.sampled_from([math.inf, math.inf, math.inf, 1, 3]),
)
WHICH = st.integers(0, 11)
ORIGIN = st.sampled_from(ORIGINS)
PATIENCE = st.sampled_from([math.inf, math.inf, 0.0, 0.75, 5.0])
AFTER = st.sampled_from([0.0, 0.0, 0.0, 0.3, 0.75, 3.0])
HOW_MANY = st.sampled_from(["one", "one", "one", "many"])
OUTCOMES = st.sampled_from(["good", "good", "kept briefly", "not kept", "dies", "dies", "unusable"])
HINTS = {"kept briefly": 0.7, "not kept": 0.0}

ARGUMENTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "acquire": {"origin": ORIGIN, "after": AFTER, "patience": PATIENCE, "how_many": HOW_MANY},
    "dial_ends": {"which": WHICH, "after": AFTER, "chance": st.sampled_from([0.0, 0.5, None])},
    "release": {"which": WHICH, "after": AFTER, "outcome": OUTCOMES},
    "redial": {"which": WHICH, "patience": PATIENCE, "is_cancelled": st.booleans()},
    "cancel": {"which": WHICH},
    "prewarm": {"origin": ORIGIN, "count": st.integers(0, 4)},
    "time_passes": {"seconds": st.sampled_from([0.1, 0.6, 3.0, 10.0])},
}
POSSIBLE: dict[str, Callable[[Any], Any]] = {
    "acquire": lambda self: self.model.open,
    "dial_ends": lambda self: self.model.slots_at("dialling"),
    "release": lambda self: self.model.slots_at("leased"),
    "redial": lambda self: self.model.slots_at("leased"),
    "cancel": lambda self: self.waiters(),
    "prewarm": lambda self: True,
    "time_passes": lambda self: True,
}
WEIGHTS = {
    "acquire": 3,
    "dial_ends": 2,
    "release": 2,
    "redial": 1,
    "cancel": 1,
    "prewarm": 1,
    "time_passes": 1,
}


def event(name: str) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    return st.tuples(st.just(name), st.fixed_dictionaries(ARGUMENTS[name]))


EVENT = st.one_of([event(name) for name, weight in WEIGHTS.items() for _ in range(weight)])
SHORT = st.lists(EVENT, max_size=20)
LONG = [st.lists(EVENT, min_size=20, max_size=size) for size in (30, 45, 60)]
TRAFFIC = st.one_of([SHORT, *LONG])  # mostly long; what fails shrinks to a short one


def happens(method: Callable[..., None]) -> Callable[..., None]:
    """Make a rule of the event, by the tables above."""
    make_rule: Any = rule  # its overloads take no arguments from a table
    name = method.__name__
    made: Callable[..., None] = make_rule(**ARGUMENTS[name])(precondition(POSSIBLE[name])(method))
    return made
