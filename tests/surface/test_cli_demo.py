"""The command `trio-pool demo`: its load, its origin, and what it says; never how fast this machine is."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
import trio
from rich.console import Console

from trio_pool import PoolConfig, open_client
from trio_pool.cli import embedded, report
from trio_pool.cli.__main__ import main
from trio_pool.cli.demo import Arrangement, Result, arrangements
from trio_pool.cli.embedded import OriginError, embedded_origin, embedded_origins
from trio_pool.cli.load import Outcome, Sender
from trio_pool.cli.origin import Counter, Figures
from trio_pool.cli.schedule import Planned, Schedule, enough, percentile, plan

from .cli_server import read_terminal

COMMAND = [sys.executable, "-m", "trio_pool.cli", "demo"]


# ---- the schedule ----


def test_the_same_seed_plans_the_same_requests_and_another_seed_others() -> None:
    assert plan(100, 2, seed=7) == plan(100, 2, seed=7)
    assert plan(100, 2, seed=7) != plan(100, 2, seed=8)


def test_a_schedule_has_its_rate_and_its_times_in_order() -> None:
    schedule = plan(rate=50, seconds=4, seed=1)
    times = [planned.at for planned in schedule.requests]
    assert len(times) == 200
    assert schedule.rate == 50
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= 4


def test_a_schedule_is_never_empty() -> None:
    assert len(plan(rate=1, seconds=0.1, seed=1).requests) == 1


def test_the_service_times_are_those_of_a_chat_model() -> None:
    first = [planned.first_byte for planned in plan(rate=200, seconds=60, seed=1).requests]
    assert percentile(first, 50) == pytest.approx(0.25, rel=0.05)
    assert percentile(first, 95) == pytest.approx(0.7, rel=0.1)


def test_busy_connections_are_rate_times_service() -> None:
    schedule = Schedule(2.0, (Planned(0.5, 1.0, (0.25, 0.25)), Planned(1.0, 0.5, ())))
    assert schedule.rate == 1.0
    assert schedule.service == 1.0
    assert schedule.busy == 1.0


@pytest.mark.parametrize(("busy", "connections"), [(10, 18), (50, 67), (100, 124), (0.1, 1)])
def test_the_square_root_rule(busy: float, connections: int) -> None:
    assert enough(busy) == connections


def test_percentiles_are_by_nearest_rank() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert percentile(values, 50) == 50.0
    assert percentile(values, 99) == 99.0
    assert percentile([3.0], 99) == 3.0
    assert percentile([], 50) is None


# ---- the origin ----


async def ask(url: str, client: Any, body: Any) -> tuple[int, str]:
    async with client.stream("POST", url, json=body) as response:
        await response.read()
        return response.status_code, response.text


async def test_the_origin_answers_with_one_event_for_each_delay_and_counts() -> None:
    async with embedded_origin(round_trip=0.0) as origin, open_client(tls=origin.tls) as client:
        for _ in range(3):
            answer = await ask(origin.url, client, {"first_byte": 0, "pauses": [0.001, 0.001]})
            assert answer == (200, "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: [DONE]\n\n")
        assert await origin.take_figures() == Figures(handshakes=1, requests=3, reused=2)
        assert await origin.take_figures() == Figures()


NO_DELAYS: list[Any] = [
    [],
    "text",
    {},
    {"first_byte": 0},
    {"first_byte": -1, "pauses": []},
    {"first_byte": 1e9, "pauses": []},
    {"first_byte": "x", "pauses": []},
    {"first_byte": 0, "pauses": 1},
    {"first_byte": 0, "pauses": [0] * 2000},
]


async def test_the_origin_refuses_what_does_not_say_its_delays() -> None:
    async with embedded_origin(round_trip=0.0) as origin, open_client(tls=origin.tls) as client:
        answers = [(await ask(origin.url, client, body))[0] for body in NO_DELAYS]
        assert answers == [400] * len(NO_DELAYS)
        assert (await ask(origin.url, client, {"first_byte": 0, "pauses": []}))[0] == 200


async def test_an_origin_with_a_limit_refuses_what_comes_faster_and_says_when_to_come_back() -> None:
    config = PoolConfig(retry_attempts=1)
    async with embedded_origins(0.0, [3.0, 0.0]) as [limited, free], open_client(config, tls=limited.tls) as client:
        body = {"first_byte": 0, "pauses": []}
        answers = [await client.post(limited.url, json=body) for _ in range(5)]
        assert [answer.status_code for answer in answers][:3] == [200] * 3
        assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 429)
        refused = sum(answer.status_code == 429 for answer in answers)
        assert (await limited.take_figures()).limited == refused
        assert [(await client.post(free.url, json=body)).status_code for _ in range(5)] == [200] * 5
        assert (await free.take_figures()).limited == 0


@pytest.mark.parametrize(("limit", "passed"), [(2.0, [True, True, False, True, True, False]), (0.0, [True] * 6)])
def test_the_limit_is_for_each_second(limit: float, passed: list[bool]) -> None:
    counter = Counter(limit=limit)
    assert [counter.lets_through(now) for now in (5.0, 5.1, 5.9, 6.0, 6.5, 6.9)] == passed
    assert counter.take().limited == passed.count(False)


async def test_the_origin_closes_a_connection_when_asked_to() -> None:
    async with embedded_origin(round_trip=0.0) as origin, open_client(tls=origin.tls) as client:
        for _ in range(2):
            body = {"first_byte": 0, "pauses": []}
            async with client.stream("POST", origin.url, json=body, headers={"Connection": "close"}) as response:
                await response.read()
        assert await origin.take_figures() == Figures(handshakes=2, requests=2, reused=0)


async def test_the_origin_survives_clients_that_speak_no_tls_or_too_much() -> None:
    async with embedded_origin(round_trip=0.0) as origin, open_client(tls=origin.tls) as client:
        port = int(origin.url.rpartition(":")[2].partition("/")[0])
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
            await stream.receive_some()
        with pytest.raises(Exception, match=r"\S"):
            await ask(origin.url, client, "x" * 100_000)
        assert (await ask(origin.url, client, {"first_byte": 0, "pauses": []}))[0] == 200


async def test_the_origin_ends_with_the_block_even_when_that_is_cancelled() -> None:
    with trio.CancelScope() as scope:
        async with embedded_origin(round_trip=0.0) as origin:
            scope.cancel()
            await trio.sleep_forever()
    assert origin.process.returncode is not None


async def test_an_origin_that_has_ended_is_one_clear_error() -> None:
    async with embedded_origin(round_trip=0.0) as origin:
        origin.process.kill()
        await origin.process.wait()
        with pytest.raises(OriginError, match="ended"):
            await origin.take_figures()


async def test_an_origin_that_does_not_start_is_one_clear_error() -> None:
    with pytest.raises(OriginError, match="ended before it had answered"):
        async with embedded_origin(round_trip="no number"):  # type: ignore[arg-type]  # to make it fail at once
            pass


async def test_an_origin_that_says_nothing_in_time_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "PATIENCE", 0.0)
    with pytest.raises(OriginError, match="did not answer within 0 s"):
        async with embedded_origin(round_trip=0.0):
            pass


@pytest.mark.parametrize("python", ["/no/such/python", "false"])
def test_a_demo_without_its_origin_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], python: str
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    assert main(["demo"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: the demo's origin ")
    assert len(captured.err.splitlines()) == 1


def children_hold(process: subprocess.Popen[bytes]) -> bytes:
    """What is left on stderr; returns only when nobody, the origin included, holds it any more."""
    assert process.stderr is not None
    return process.stderr.read()


START_AND_TELL = """
import sys, trio
from trio_pool.cli.embedded import embedded_origin
async def main():
    async with embedded_origin(0.0):
        print("started", flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


def test_the_origin_does_not_outlive_a_parent_that_is_killed() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START_AND_TELL], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"started\n"
        process.kill()
        assert children_hold(process) == b""


# ---- the load ----


async def test_each_request_has_exactly_one_outcome() -> None:
    quick, slow = Planned(0.0, 0.0, ()), Planned(0.5, 30.0, ())
    settled: list[None] = []
    async with embedded_origin(round_trip=0.0) as origin:
        config = PoolConfig(max_connections=1, max_waiting=1)
        async with open_client(config, tls=origin.tls) as client:
            sender = Sender(client, origin.url, 1.0, lambda: settled.append(None))
            tally = await sender.send_all(Schedule(1.0, (quick, slow, slow, slow)))
    assert tally.counts == {Outcome.ANSWERED: 1, Outcome.TIMED_OUT: 2, Outcome.REFUSED: 1, Outcome.FAILED: 0}
    assert (tally.sent, len(settled), len(tally.latencies)) == (4, 4, 1)


async def test_what_fails_is_counted_with_its_reason() -> None:
    async with embedded_origin(round_trip=0.0) as origin, open_client(tls=origin.tls) as client:
        sender = Sender(client, origin.url, 1.0, lambda: None)
        tally = await sender.send_all(Schedule(1.0, (Planned(0.0, -1.0, ()),)))
    assert tally.counts[Outcome.FAILED] == 1
    assert tally.error is not None
    assert tally.error.startswith("StatusError: ")


# ---- what it says ----


def test_the_arrangements_differ_in_one_thing_each() -> None:
    no_reuse, unbounded, bounded, well = arrangements(busy=40.0)
    assert (no_reuse.connections, no_reuse.queue, no_reuse.uses) == (math.inf, math.inf, 1)
    assert (unbounded.connections, unbounded.queue, unbounded.uses) == (20, math.inf, math.inf)
    assert (bounded.connections, bounded.queue, bounded.uses) == (20, 10, math.inf)
    assert (well.connections, well.queue, well.uses) == (56, 10, math.inf)
    assert bounded.config().max_connections_per_host == 20
    assert bounded.config().max_waiting == 10


def result(**given: Any) -> Result:
    figures: dict[str, Any] = {
        "arrangement": Arrangement("9 connections", 9, 4),
        "sent": 100,
        "answered": 100,
        "refused": 0,
        "timed_out": 0,
        "failed": 0,
        "handshakes": 9,
        "begun": 100,
        "reuse": 0.91,
        "p50": 0.5,
        "p99": 1.25,
        "late": 0.001,
        "error": None,
    }
    return Result(**(figures | given))


SCHEDULE = plan(rate=25, seconds=4, seed=1)


def shown(*results: Result) -> str:
    console = Console(width=100, no_color=True)
    with console.capture() as capture:
        report.show(console, SCHEDULE, list(results))
    return " ".join(capture.get().split())


def test_the_table_has_a_row_of_figures_for_each_arrangement() -> None:
    text = shown(result(), result(), result(), result(answered=60, refused=30, timed_out=10))
    assert "handshakes reuse p50 p99" in text
    assert "9, at most 4 100 60 30 10 9 91% 0.50s 1.25s" in text
    assert "failed" not in text


def test_failures_have_a_column_and_a_reason_when_there_are_any() -> None:
    text = shown(result(), result(), result(), result(answered=99, failed=1, error="ReadError: it broke."))
    assert "p99 failed" in text
    assert "9, at most 4 100 99 0 0 9 91% 0.50s 1.25s 1" in text
    assert "the first of 1 failures was: ReadError: it broke." in text


def test_nothing_answered_is_shown_as_nothing() -> None:
    none = result(answered=0, timed_out=100, begun=0, handshakes=0, reuse=None, p50=None, p99=None)
    text = shown(none, none, none, none)
    assert "9, at most 4 100 0 0 100 0 - - -" in text
    assert "got no answer" in text
    assert "nothing to compare" in text


@pytest.mark.parametrize(
    ("p50", "words"),
    [
        (0.6, "the median answer came 0.10 s later"),
        (0.4, "the median answer came 0.10 s earlier"),
        (0.5, "the median answer took as long"),
    ],
)
def test_the_sentence_on_reuse_says_what_the_figures_say(p50: float, words: str) -> None:
    assert words in shown(result(p50=p50, handshakes=100), result(), result(), result())


@pytest.mark.parametrize(
    ("begun", "words"),
    [(100, "worked for nobody in vain"), (130, "began 30 answers that nobody waited for to the end")],
)
def test_the_sentence_on_the_queue_says_what_the_figures_say(begun: int, words: str) -> None:
    assert words in shown(result(), result(begun=begun), result(), result())


def test_a_sender_that_was_late_says_so() -> None:
    assert "This machine was busy" not in shown(*[result()] * 4)
    assert "sent 0.30 s late" in shown(result(), result(late=0.3), result(), result())


# ---- the command, whole ----


def conserved(row: dict[str, Any]) -> bool:
    return bool(row["sent"] == row["answered"] + row["refused"] + row["timed_out"] + row["failed"])


def test_the_demo_sends_the_same_load_through_four_arrangements() -> None:
    ended = subprocess.run(
        [*COMMAND, "--scene", "pool", "--seconds", "0.5", "--rate", "40", "--json"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    document = json.loads(ended.stdout)
    rows = document["arrangements"]
    assert ended.stderr == b""
    assert [row["sent"] for row in rows] == [20] * 4
    assert all(conserved(row) for row in rows)
    assert [row["failed"] for row in rows] == [0] * 4
    assert rows[0]["reuse"] == 0
    assert rows[0]["handshakes"] >= rows[0]["begun"]
    assert all(row["handshakes"] <= row["connections"] + row["timed_out"] for row in rows[1:])
    assert rows[0]["connections"] is None
    assert len(document["sentences"]) == 2


def test_the_demo_prints_a_table_and_sentences_for_each_scene() -> None:
    ended = subprocess.run(
        [*COMMAND, "--seconds", "0.1", "--rate", "20"], capture_output=True, check=True, timeout=60, text=True
    )
    assert ended.stderr == ""
    assert "no reuse" in ended.stdout
    assert ", unbounded" in ended.stdout
    assert "Sized by the square-root rule" in ended.stdout
    assert "alone, tried once" in ended.stdout
    assert "with failover" in ended.stdout


def test_an_interrupted_demo_ends_quietly_and_takes_its_origin_along() -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*COMMAND, "--seconds", "60"],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        read_terminal(ours, b"no reuse")  # the progress bar: the origin runs
        process.send_signal(signal.SIGINT)
        said = read_terminal(ours)  # the origin holds it too, so it has ended when this returns
    os.close(ours)
    assert process.returncode == 130
    assert b"Traceback" not in said
