"""Whole conversations by chance, over one pool: legal, slightly illegal, damaged, cut, with a surplus, in any pieces.

Whatever the servers send:

- what is delivered for a request was sent for it (every exchange has a nonce, and each byte that matters carries it);
- what is delivered as whole is what the oracle reads in these bytes, and nothing that it cannot read is;
- a connection serves again only if the oracle finds it in order behind the reply before;
- a request is sent again only if nothing came back, and nothing can be done twice by it;
- everything ends by its deadline, in a response or in an error of ours, which quotes nothing of what was sent;
- all of it is the same in whatever pieces it arrives.

And where nothing is wrong everything is delivered, and connections are kept: or else all this would be worth nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import attrs
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from trio_pool import InterimResponse, Pool, PoolConfig, Request, Response, Timeouts, TrioPoolError, open_pool
from trio_pool.events import Event

from .canned import CannedNetwork
from .grammar import Exchange, Reply, exchanges, nonce_of
from .oracle import Reading, reading_of

TOTAL = 10.0
"""Seconds that one exchange may take."""

THINKING = 60.0
"""Seconds between two exchanges in a row: more than any reply takes to arrive, and less than a connection is kept."""

CONFIG = PoolConfig(max_connections=2, read_timeout=2.0, keepalive_timeout=1000.0, max_lifetime=None)

play_on = partial(settings, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@attrs.define
class Outcome:
    """What became of an exchange.

    :ivar error: the error that it ended in, or None.
    :ivar body: what was delivered of it.
    :ivar is_whole: whether the body was delivered to its end.
    :ivar told: what else was delivered: reason, fields, trailers, interim responses.
    """

    error: TrioPoolError | None = None
    status: int | None = None
    body: bytes = b""
    is_whole: bool = False
    told: list[tuple[str, str]] = attrs.Factory(list)
    trailers: list[tuple[bytes, bytes]] = attrs.Factory(list)
    seconds: float = 0.0

    def words(self) -> bytes:
        """All that was delivered."""
        return self.body + repr(self.told).encode()

    def summary(self) -> tuple[object, ...]:
        """What must not depend on the pieces. What comes before an error may."""
        if self.error is not None:
            return (type(self.error),)
        return self.status, self.is_whole, self.body if self.is_whole else None, self.trailers


@attrs.define
class Record:
    """What became of a conversation.

    :ivar reuses: the pairs of exchanges of which one followed the other on a connection.
    """

    outcomes: list[Outcome]
    reuses: list[tuple[int, int]]
    retried: set[int]


async def have(pool: Pool, number: int, exchange: Exchange, outcome: Outcome) -> None:
    """One exchange."""
    content = b"content" if exchange.method == "POST" else None
    request = Request(exchange.method, f"http://h/{number}", content=content, timeouts=Timeouts(total=TOTAL))
    started = trio.current_time()
    try:
        async with pool.stream(request) as response:
            outcome.status = response.status_code
            outcome.told += [("reason", response.reason), *response.headers.multi_items()]
            await take(response, exchange, outcome)
    except TrioPoolError as error:
        outcome.error = error
    outcome.seconds = trio.current_time() - started


async def take(response: Response, exchange: Exchange, outcome: Outcome) -> None:
    """The body, or as much of it as is wanted."""
    if exchange.doing == "leave":
        return
    if exchange.doing == "read":
        outcome.body = await response.read()
    else:
        async for piece in response.iter_raw():
            outcome.body += piece
            if exchange.doing == "leave in the middle":
                return
    outcome.is_whole = True
    outcome.trailers = [(name.lower(), value) for name, value in response.trailers.raw]
    outcome.told += response.trailers.multi_items()


async def converse(lanes: Sequence[Sequence[Exchange]], thinking: float) -> Record:
    """Play all lanes at once, each exchange after the one before."""
    everything = [exchange for lane in lanes for exchange in lane]
    outcomes, network = [Outcome() for _ in everything], CannedNetwork(everything)
    present: list[Outcome] = []  # where only one exchange is under way, it

    def observe(event: Event) -> None:
        if len(lanes) == 1 and isinstance(event, InterimResponse):
            present[-1].told += event.headers.multi_items()

    async def play(first: int, lane: Sequence[Exchange]) -> None:
        for number, exchange in enumerate(lane, first):
            present.append(outcomes[number])
            await have(pool, number, exchange, outcomes[number])
            if thinking:
                await trio.sleep(thinking)

    async with open_pool(CONFIG, network=network, observers=[observe]) as pool:
        async with trio.open_nursery() as nursery:
            first = 0
            for lane in lanes:
                nursery.start_soon(play, first, lane)
                first += len(lane)
        figures = pool.statistics()
        assert (figures.leased, figures.waiting, figures.leaks) == (0, 0, 0)
    assert network.open == 0
    assert network.most <= CONFIG.max_connections
    reuses = [pair for stream in network.streams for pair in pairwise(stream.asked)]
    return Record(outcomes, reuses, {number for number, times in network.answered.items() if times > 1})


def run(lanes: Sequence[Sequence[Exchange]], thinking: float = 0.0) -> Record:
    """Play them in virtual time."""
    return trio.run(converse, lanes, thinking, clock=MockClock(autojump_threshold=0))


# ---- what must be true ----


def check(lanes: Sequence[Sequence[Exchange]], record: Record) -> None:
    """Everything that must be true of any conversation."""
    everything = [exchange for lane in lanes for exchange in lane]
    readings = [
        reading_of(exchange.method, exchange.sent(number), exchange.reply.ending)
        for number, exchange in enumerate(everything)
    ]
    for number, (outcome, reading) in enumerate(zip(record.outcomes, readings, strict=True)):
        assert outcome.seconds <= TOTAL + 1e-6
        check_nonces(number, outcome, len(everything))
        if number not in record.retried:
            check_delivery(outcome, reading)
    for number in record.retried:
        exchange = everything[number]
        assert exchange.method != "POST", "a POST reached the wire twice"
        assert exchange.sent(number) == b"", "a request was sent again though it had been answered"
    for before, _ in record.reuses:
        reading = readings[before]
        assert before in record.retried or (reading is not None and reading.keeps), f"reused behind {before}"


def check_nonces(number: int, outcome: Outcome, count: int) -> None:
    """Nothing of another exchange was delivered, and errors quote nothing at all."""
    for other in range(count):
        assert other == number or nonce_of(other) not in outcome.words()
    if outcome.error is not None:
        assert nonce_of(number) not in (str(outcome.error) + repr(outcome.error)).encode()


def check_delivery(outcome: Outcome, reading: Reading | None) -> None:
    """What was delivered is what was sent."""
    if outcome.error is None and outcome.status is not None and reading is not None:
        assert outcome.status == reading.status
    if outcome.is_whole:
        assert reading is not None
        assert (outcome.body, outcome.trailers) == (reading.body, reading.trailers)
    elif reading is not None:
        assert reading.body.startswith(outcome.body)


# ---- the properties ----


@play_on(max_examples=120)
@given(lane=st.lists(exchanges(is_legal=True), min_size=2, max_size=5))
def test_where_nothing_is_wrong_everything_is_delivered_and_connections_are_kept(lane: list[Exchange]) -> None:
    lanes = [[attrs.evolve(exchange, doing="read") for exchange in lane]]
    record = run(lanes)
    check(lanes, record)
    for outcome in record.outcomes:
        assert outcome.error is None
        assert outcome.is_whole
    assert record.reuses == [(number, number + 1) for number, exchange in enumerate(lane[:-1]) if exchange.reply.keeps]
    assert record.retried == set()


@play_on(max_examples=350)
@given(lane=st.lists(exchanges(has_gaps=True), min_size=1, max_size=4))
@example(
    lane=[
        Exchange("GET", "read", Reply(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na", keeps=True)),
        Exchange("GET", "read", Reply(b"", keeps=False, ending="end")),
        Exchange("POST", "read", Reply(b"", keeps=False, ending="reset")),
    ]
)
def test_whatever_comes_one_after_another_keeps_to_the_rules(lane: list[Exchange]) -> None:
    check([lane], run([lane], THINKING))


@play_on(max_examples=120)
@given(lanes=st.lists(st.lists(exchanges(), min_size=1, max_size=3), min_size=2, max_size=4))
def test_whatever_comes_side_by_side_keeps_to_the_rules(lanes: list[list[Exchange]]) -> None:
    check(lanes, run(lanes))


@play_on(max_examples=180)
@given(lane=st.lists(exchanges(), min_size=1, max_size=3), cuts=st.lists(st.integers(0, 700), max_size=6))
def test_what_comes_of_it_does_not_depend_on_the_pieces(lane: list[Exchange], cuts: list[int]) -> None:
    summaries, reuses = [], []
    for pieces in ((), None, tuple(cuts)):
        played = [[attrs.evolve(exchange, cuts=pieces) for exchange in lane if exchange.doing in ("read", "iterate")]]
        record = run(played)
        check(played, record)
        summaries.append([outcome.summary() for outcome in record.outcomes])
        reuses.append(record.reuses)
    assert summaries[0] == summaries[1] == summaries[2]
    assert reuses[0] == reuses[1] == reuses[2]


def test_chance_reaches_what_it_is_there_for() -> None:
    """The properties above are about something: errors of several kinds, deliveries, reuse, retries."""
    seen: Counter[str] = Counter()

    @play_on(max_examples=100, database=None, derandomize=True)
    @given(lane=st.lists(exchanges(has_gaps=True), min_size=2, max_size=4))
    def look(lane: list[Exchange]) -> None:
        record = run([lane], THINKING)
        seen.update(type(outcome.error).__name__ for outcome in record.outcomes)
        seen["reused"] += len(record.reuses)
        seen["retried"] += len(record.retried)
        seen["not reused"] += len(lane) - 1 - len(record.reuses)
        seen["late"] += sum(outcome.seconds > 1 for outcome in record.outcomes)

    look()
    for wanted in (
        "NoneType",
        "RemoteProtocolError",
        "ReadTimeout",
        "ReadError",
        "reused",
        "retried",
        "not reused",
        "late",
    ):
        assert seen[wanted] > 0, seen
