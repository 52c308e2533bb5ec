"""The breaker: five failures in a row open it, one probe goes through, and only the probe's verdict counts."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trio_pool._core import breaker as real
from trio_pool._core.breaker import Breaker, BreakerState

WHICH = st.integers(0, 30)
CHANCE = st.sampled_from([0.0, 0.3, 0.999])
WAITS = st.sampled_from([0.0, 0.1, 2.5, 5.0, 10.0, 40.0, 150.0, 300.0])


class Life:
    """What a breaker has to do, said by its history: what it was told since it last opened or closed."""

    def __init__(self) -> None:
        self.is_open = False
        self.row = 0
        self.openings = 0
        self.earliest = self.latest = 0.0  # between these an open one lets the probe pass
        self.current: set[Any] = set()  # the tickets of this chapter
        self.probe: Any = None

    def begin(self) -> None:
        self.current = set()
        self.probe = None
        self.row = 0

    def open(self, now: float) -> None:
        length = min(5.0 * 2**self.openings, 300.0)
        self.earliest, self.latest = now + length / 2, now + length
        self.is_open = True
        self.openings += 1
        self.begin()


def machine_for(module: ModuleType) -> type[RuleBasedStateMachine]:
    """The state machine over a module like `breaker`."""

    class BreakerMachine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.breaker: Breaker = module.Breaker()
            self.life = Life()
            self.now = 0.0
            self.tickets: list[Any] = []

        @rule(seconds=WAITS)
        def wait(self, seconds: float) -> None:
            self.now += seconds

        @rule(times=st.integers(1, 6))
        def admit(self, times: int) -> None:
            for _ in range(times):
                self.admit_one()

        def admit_one(self) -> None:
            allowed = self.breaker.allows(self.now)
            ticket = self.breaker.admit(self.now)
            self.tickets.append(ticket)
            self.life.current.add(ticket)
            assert self.breaker.is_probe(ticket) == (allowed and self.life.is_open)
            if self.breaker.is_probe(ticket):
                assert self.life.probe is None, "two probes"
                self.life.probe = ticket

        @rule(which=WHICH)
        def succeed(self, which: int) -> None:
            ticket = self.pick(which)
            self.breaker.succeeded(ticket)
            if ticket in self.life.current:
                self.life.row = 0
                if self.life.is_open:
                    self.life = Life()

        @rule(which=WHICH, chance=CHANCE, times=st.sampled_from([1, 1, 5]))
        def fail(self, which: int, chance: float, times: int) -> None:
            for number in range(times):
                ticket = self.pick(which + number)
                self.breaker.failed(ticket, self.now, chance)
                if ticket in self.life.current:
                    self.count_failure(ticket)

        def count_failure(self, ticket: Any) -> None:
            if not self.life.is_open:
                self.life.row += 1
            if self.life.row == 5 or (self.life.is_open and ticket is self.life.probe):
                self.life.open(self.now)

        @rule(which=WHICH)
        def abandon(self, which: int) -> None:
            ticket = self.pick(which)
            self.breaker.abandoned(ticket)
            if ticket is self.life.probe:
                self.life.probe = None
                assert self.breaker.allows(self.now), "the probe's place is not free again"

        def pick(self, which: int) -> Any:
            if not self.tickets:
                self.admit_one()
            return self.tickets[-1 - which % len(self.tickets)]

        @invariant()
        def is_as_its_life_says(self) -> None:
            life = self.life
            assert (self.breaker.state is not BreakerState.CLOSED) == life.is_open
            if not life.is_open:
                assert self.breaker.allows(self.now)
                return
            assert life.earliest <= self.breaker.until <= life.latest
            assert self.breaker.allows(self.now) == (life.probe is None and self.now >= self.breaker.until)
            assert life.probe is None or self.breaker.state is BreakerState.HALF_OPEN

    return BreakerMachine


TestBreaker = machine_for(real).TestCase


def opened(now: float = 0.0, chance: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(5):
        breaker.failed(breaker.admit(now), now, chance)
    return breaker


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    breaker = Breaker()
    for outcome in "ffffsffff":
        ticket = breaker.admit(0.0)
        if outcome == "f":
            breaker.failed(ticket, 0.0, 0.0)
        else:
            breaker.succeeded(ticket)
    assert breaker.allows(0.0)
    breaker.failed(breaker.admit(0.0), 0.0, 0.0)
    assert (breaker.state, breaker.until) == (BreakerState.OPEN, 5.0)


def test_a_hundred_failures_of_one_outage_open_it_once() -> None:
    breaker = Breaker()
    for ticket in [breaker.admit(0.0) for _ in range(100)]:
        breaker.failed(ticket, 1.0, 0.0)
    assert (breaker.openings, breaker.until) == (1, 6.0)


def check_openings(module: ModuleType) -> None:
    breaker: Breaker = module.Breaker()
    for _ in range(5):
        breaker.failed(breaker.admit(0.0), 0.0, 0.0)
    lengths = [breaker.until]
    for _ in range(8):
        now = breaker.until
        breaker.failed(breaker.admit(now), now, 0.0)
        lengths.append(breaker.until - now)
    assert lengths == [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
    now = breaker.until
    breaker.succeeded(breaker.admit(now))
    for _ in range(5):
        breaker.failed(breaker.admit(now), now, 0.0)
    assert breaker.until - now == 5.0


def test_openings_double_up_to_five_minutes() -> None:
    check_openings(real)


@given(st.floats(0, 1, exclude_max=True))
def test_chance_shortens_an_opening_by_up_to_half(chance: float) -> None:
    assert 2.5 <= opened(chance=chance).until <= 5.0


def test_one_probe_goes_through_when_the_time_is_over() -> None:
    breaker = opened()
    assert not breaker.allows(4.999)
    probe = breaker.admit(5.0)
    assert breaker.is_probe(probe)
    assert not breaker.allows(1000.0)
    assert not breaker.is_probe(breaker.admit(1000.0))


def test_a_cancelled_probe_neither_closes_nor_fails_and_makes_room_for_the_next() -> None:
    breaker = opened()
    breaker.abandoned(breaker.admit(5.0))
    assert breaker.state is BreakerState.HALF_OPEN
    assert (breaker.openings, breaker.until) == (1, 5.0)
    assert breaker.is_probe(breaker.admit(5.0))


def test_a_probe_that_succeeds_closes_it_and_the_next_opening_is_short_again() -> None:
    breaker = opened()
    breaker.failed(breaker.admit(5.0), 5.0, 0.0)
    breaker.succeeded(breaker.admit(breaker.until))
    assert breaker.state is BreakerState.CLOSED
    for _ in range(5):
        breaker.failed(breaker.admit(20.0), 20.0, 0.0)
    assert breaker.until == 25.0


def test_what_was_sent_before_it_opened_says_nothing_afterwards() -> None:
    breaker = Breaker()
    early = [breaker.admit(0.0) for _ in range(7)]
    for ticket in early[:5]:
        breaker.failed(ticket, 1.0, 0.0)
    breaker.succeeded(early[5])
    assert breaker.state is BreakerState.OPEN
    breaker.failed(early[6], 2.0, 0.0)
    assert breaker.until == 6.0


def test_a_try_out_of_despair_can_close_it_and_cannot_lengthen_its_opening() -> None:
    breaker = opened()
    desperate = [breaker.admit(1.0) for _ in range(20)]
    for ticket in desperate[:19]:
        breaker.failed(ticket, 1.5, 0.0)
    assert (breaker.state, breaker.until) == (BreakerState.OPEN, 5.0)
    breaker.succeeded(desperate[19])
    assert breaker.state is BreakerState.CLOSED
