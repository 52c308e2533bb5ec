"""The benchmark suite: that it runs, cleans up after itself, and that its arithmetic and its words are right."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import h11
import psutil
import pytest
import sniffio
import trio
from rich.console import Console

from benchmarks import canned, chart, compare, measures, noise, report, rounds
from benchmarks.clients import CLIENTS, limit, load_client
from benchmarks.clients.base import CannotError, Client, Setup
from benchmarks.jobs import Job, Sample, decode_job, decode_sample, encode
from benchmarks.loops import LOOPS, Loop
from benchmarks.processes import cores, on_core
from benchmarks.report import Result, Run
from benchmarks.rounds import Plan, Workers, order, run
from benchmarks.scenarios import SCENARIOS, make_job
from benchmarks.server import LARGE, Addresses
from benchmarks.worker import reason

ROOT = Path(report.__file__).parent.parent
SMALLEST = ["--quick", "--scenario", "get", "--client", "trio_pool", "--client", "limit", "--rounds", "1"]


def row(*figures: float, client: str = "trio_pool", scenario: str = "get", variant: str = "20 concurrent") -> Result:
    """A row whose rounds took so many CPU microseconds per request."""
    samples = tuple(Sample(units=1000, wall=0.5, cpu=figure / 1000, server=0.05) for figure in figures)
    return Result(scenario=scenario, variant=variant, client=client, samples=samples)


def a_run(*rows: Result) -> Run:
    return Run(about={"when": "then"}, results=rows)


def steady(middle: float) -> list[float]:
    """Five rounds within 2 % of the middle."""
    return [middle * (1 + deviation / 100) for deviation in (-2, -1, 0, 1, 2)]


# ---- the whole ----


def start(folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """The command, in a folder of its own; its temporary files are there too."""
    (folder / "tmp").mkdir()
    paths = {"PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")}
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=folder,
        env=os.environ | paths | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """What it printed, having ended well."""
    output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    return output


def test_the_smallest_scenario_runs_from_end_to_end(tmp_path: Path) -> None:
    output = finish(start(tmp_path, *SMALLEST, "--seconds", "0.01", "--output", "out.json"))
    saved = report.load(tmp_path / "out.json")
    assert [result.client for result in saved.results] == ["trio_pool", "limit"]
    for result in saved.results:
        assert result.cannot is None
        assert len(result.samples) == 1
        assert result.samples[0].units >= 20
        assert result.cost
        assert result.cost > 0
    assert "GET of 1 kB, 20 concurrent" in output
    assert os.listdir(tmp_path / "tmp") == []


def test_without_nginx_it_asks_granian(tmp_path: Path) -> None:
    options = ["--seconds", "0.01", "--scenario", "tls", "--scenario", "post", "--output", "out.json"]
    finish(start(tmp_path, *SMALLEST, *options, PATH=str(tmp_path)))
    saved = report.load(tmp_path / "out.json")
    assert saved.about["server"].startswith("granian ")
    assert [result.cannot for result in saved.results] == [None] * 6


def is_worker(process: psutil.Process) -> bool:
    try:
        return "benchmarks.worker" in process.cmdline()
    except psutil.Error:  # it has ended
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_neither_process_nor_file(tmp_path: Path, number: signal.Signals) -> None:
    process = start(tmp_path, *SMALLEST, "--seconds", "600")
    children: list[psutil.Process] = []
    try:
        while not any(map(is_worker, children)):
            assert process.poll() is None
            children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode != 0
    assert [child for child in children if child.is_running()] == []
    assert os.listdir(tmp_path / "tmp") == []
    assert os.listdir(tmp_path) == ["tmp"]


# ---- the rounds ----


def test_each_round_begins_one_client_further() -> None:
    assert [order(["a", "b", "c"], number) for number in range(4)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]


ADDRESSES = Addresses(
    name="none",
    plain="http://h:1",
    secure="https://h:2",
    canned=["http://h:3", "http://h:4"],
    canned_secure="https://h:5",
    event_count=7,
    cafile="ca.pem",
    pids={"web": [1], "canned": [2]},
)


class Scripted(Workers):
    """Workers that answer without any process."""

    def __init__(self, unable: str | None = None) -> None:
        super().__init__(None)
        self.asked: list[str] = []
        self.dismissed: list[str] = []
        self.unable = unable

    def ask(self, client: str, job: Job, patience: float) -> Sample:
        self.asked.append(client)
        return Sample(cannot="cannot") if client == self.unable else Sample(units=1, wall=1, cpu=len(self.asked))

    def dismiss(self, client: str) -> None:
        self.dismissed.append(client)


def a_plan(scenario: str) -> Plan:
    known = SCENARIOS[scenario]
    variants = [(known, known.variants[0])]
    return Plan(clients=["a", "b"], variants=variants, rounds=3, value_rounds=2, seconds=1.0, patience=1.0)


def test_rounds_are_interleaved_and_reported_by_client() -> None:
    workers, told = Scripted(), list[str]()
    results = run(a_plan("get"), ADDRESSES, workers, told.append)
    assert workers.asked == ["a", "b", "b", "a", "a", "b"]
    assert [(result.client, [sample.cpu for sample in result.samples]) for result in results] == [
        ("a", [1, 4, 5]),
        ("b", [2, 3, 6]),
    ]
    assert len(told) == a_plan("get").steps == 6


def test_a_client_that_cannot_is_not_asked_again() -> None:
    workers = Scripted(unable="a")
    results = run(a_plan("get"), ADDRESSES, workers, lambda _: None)
    assert workers.asked.count("a") == 1
    assert (results[0].cannot, results[1].cannot) == ("cannot", None)


def test_a_client_whose_round_takes_too_long_has_no_more_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "SLOW", -600.0)
    workers = Scripted()
    results = run(a_plan("get"), ADDRESSES, workers, lambda _: None)
    assert workers.asked == ["a", "b"]
    assert [len(result.samples) for result in results] == [1, 1]


def test_memory_is_measured_in_a_new_process_each_round() -> None:
    workers = Scripted()
    run(a_plan("memory"), ADDRESSES, workers, lambda _: None)
    assert workers.dismissed == workers.asked == ["a", "b", "b", "a"]


def test_a_worker_that_ends_or_hangs_is_one_row_without_figures_and_is_replaced(tmp_path: Path) -> None:
    hanging = Job(measure="load", url="http://127.0.0.1:9/", seconds=600.0, server_pids=[])
    with Workers(None) as workers:
        failed = workers.ask("limit", hanging, 60.0)
        assert failed.cannot is not None
        assert failed.cannot.startswith("failed: ")
        late = workers.ask("no such client", hanging, 0.0)
        assert late.cannot == "failed: no answer within 0 s, or its process ended"
        again = workers.ask("no such client", hanging, 60.0)
        assert again.cannot == "failed: KeyError: 'no such client'"


def test_jobs_and_samples_come_out_of_their_line_as_they_went_in() -> None:
    for scenario in SCENARIOS.values():
        for variant in scenario.variants:
            job = make_job(scenario, variant, ADDRESSES, 1.0)
            assert decode_job(encode(job)) == job
    assert decode_sample(encode(Sample(cpu=1.5, cannot="x"))) == Sample(cpu=1.5, cannot="x")


def test_a_job_says_what_a_call_returns_and_counts_for() -> None:
    def of(scenario: str, index: int = 0) -> tuple[int, float]:
        job = make_job(SCENARIOS[scenario], SCENARIOS[scenario].variants[index], ADDRESSES, 1.0)
        return job.expected, job.units

    assert of("get") == (1024, 1.0)
    assert of("post") == (2, 1.0)
    assert of("large") == (LARGE, LARGE / 1e6)
    assert (of("events", 0), of("events", 1)) == ((7, 7.0), (14, 7.0))


def test_every_row_has_its_client_and_every_scenario_a_quick_variant_or_a_reason_not_to() -> None:
    assert {"trio_pool", "limit", "parsed-limit"} <= set(CLIENTS)
    assert issubclass(load_client("parsed-limit"), load_client("limit"))
    slow = {name for name, scenario in SCENARIOS.items() if not any(variant.quick for variant in scenario.variants)}
    assert slow == {"memory"}


def test_reasons_are_short_and_say_what_failed() -> None:
    group = ExceptionGroup("many", [ExceptionGroup("deep", [ConnectionError("gone")])])
    assert reason(group) == "failed: ConnectionError: gone"
    assert reason(CannotError("has no queue")) == "has no queue"
    assert reason(ImportError("No module named 'x'")).startswith("is not installed")
    assert len(reason(ValueError("x" * 1000))) <= 200


def test_a_core_is_chosen_for_what_is_started_inside_only() -> None:
    found = cores()
    if found is not None:
        before = os.sched_getaffinity(0)
        with on_core(found[0]):
            assert os.sched_getaffinity(0) == {found[0]}
        assert os.sched_getaffinity(0) == before
    with on_core(None):
        pass


# ---- the measurements ----

BOTH = pytest.mark.parametrize("loop", LOOPS.values(), ids=LOOPS)
ONE_CALL = Job(measure="load", concurrency=3, expected=1024, seconds=0.0)


def counted(loop: Loop, operation: measures.Operation) -> int:
    return loop.run(lambda: measures.spin(loop, operation, ONE_CALL, 0.0))


async def kilobyte() -> int:
    return 1024


@BOTH
def test_each_task_calls_at_least_once(loop: Loop) -> None:
    assert counted(loop, kilobyte) == 3


@BOTH
def test_a_call_that_gives_something_else_is_no_figure(loop: Loop) -> None:
    async def cut_short() -> int:
        return 1023

    with pytest.raises(ExceptionGroup) as caught:
        counted(loop, cut_short)
    assert reason(caught.value) == "a call gave 1023 instead of 1024"


async def never() -> int:
    await (asyncio.Event().wait() if sniffio.current_async_library() == "asyncio" else trio.sleep_forever())
    raise AssertionError


@BOTH
def test_what_takes_too_long_is_cancelled(loop: Loop) -> None:
    assert loop.run(lambda: loop.within(0.0, never)) is False
    assert loop.run(lambda: loop.within(600.0, kilobyte)) is True


class Losing(Client):
    """A client whose pool serves three requests, and none after."""

    served = 0

    async def get(self, url: str) -> int:
        self.served += 1
        return 1024 if self.served <= 3 else await never()


@BOTH
def test_a_pool_that_was_lost_in_the_churn_is_said_to_be(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "PROBE_SECONDS", 0.0)
    client = Losing(Setup(connections=1))
    with pytest.raises(CannotError, match="lost its connections: 0 of 10 requests were served afterwards"):
        loop.run(lambda: measures.churn(loop, client, ONE_CALL))


class Failing(Losing):
    """A client that fails while it is cancelled."""

    async def get(self, url: str) -> int:
        self.served += 1
        if 3 < self.served <= 3 + measures.BURST:
            raise ConnectionError
        return 1024


@BOTH
def test_the_churn_counts_what_fails_otherwise_than_by_being_cancelled(loop: Loop) -> None:
    client = Failing(Setup(connections=1))
    sample = loop.run(lambda: measures.churn(loop, client, ONE_CALL))
    assert (sample.units, sample.failed) == (measures.BURST, measures.BURST)


def test_a_row_that_is_no_library_has_nothing_to_import() -> None:
    with pytest.raises(CannotError):
        measures.imports(limit.Limit)


def test_what_a_client_has_not_is_said() -> None:
    client = Client(Setup(connections=1))
    with pytest.raises(CannotError, match="has no server-sent events"):
        trio.run(client.events, "http://h")


# ---- the arithmetic ----


def test_a_row_has_its_median_its_spread_and_its_rates() -> None:
    result = row(30, 10, 20)
    assert result.cost == pytest.approx(20)
    assert result.spread == pytest.approx(0.5)
    assert result.rate == pytest.approx(2000)
    assert result.client_busy == pytest.approx(0.04)
    assert result.server_busy == pytest.approx(0.1)


def test_shares_are_of_all_rounds_together() -> None:
    samples = (Sample(units=1, wall=1, server=0.0), Sample(units=1, wall=3, server=2.0))
    assert replace(row(1), samples=samples).server_busy == pytest.approx(0.5)


def test_a_value_decides_where_there_is_one() -> None:
    result = Result(
        scenario="traced", variant="plain", client="a", samples=tuple(Sample(value=kb) for kb in (3.0, 1.0, 2.0))
    )
    assert (result.cost, result.rate, result.server_busy) == (2.0, None, None)


def test_one_failed_round_leaves_no_figures() -> None:
    result = replace(row(1, 2), samples=(*row(1, 2).samples, Sample(cannot="failed")))
    assert (result.cost, result.figures, result.cannot) == (None, [], "failed")


def test_ratios_are_to_trio_pool() -> None:
    subject = row(20)
    assert report.ratio(row(50, client="x"), subject) == pytest.approx(2.5)
    assert report.ratio(row(50, client="x"), None) is None


@pytest.mark.parametrize(
    ("number", "text"), [(None, ""), (0.034, "0.03"), (9.876, "9.88"), (98.76, "98.8"), (1234.5, "1,234")]
)
def test_figures_have_three_that_count(number: float | None, text: str) -> None:
    assert report.figure(number) == text


def test_a_file_comes_back_as_it_was_written(tmp_path: Path) -> None:
    written = a_run(row(1, 2, 3), Result(scenario="get", variant="v", client="x", samples=(Sample(cannot="no"),)))
    report.save(written, tmp_path / "run.json")
    assert report.load(tmp_path / "run.json") == written


@pytest.mark.parametrize("content", ["[]", "{", '{"format": 0}', '{"format": 1}'])
def test_a_file_of_another_kind_is_one_clear_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.json").write_text(content, encoding="utf-8")
    with pytest.raises(click.ClickException, match="cannot read"):
        compare.read(tmp_path / "other.json")


# ---- the words ----


def words(*rows: Result) -> str:
    return " ".join(report.footnotes(rows))


def test_whoever_needs_less_than_trio_pool_is_named_with_its_figures() -> None:
    said = words(row(*steady(50)), row(*steady(20), client="x"), row(*steady(90), client="y"))
    assert said == "Less than trio_pool: x (20.0 against 50.0)."


def test_whoever_may_need_less_is_named_too() -> None:
    assert words(row(*steady(50)), row(*steady(49.9), client="x")) == "Perhaps less, within the noise: x."


def test_with_too_few_rounds_nobody_is_said_to_be_better() -> None:
    said = words(row(50, 50, 50), row(20, 20, 20, client="x"))
    assert said == "Perhaps less, but the rounds are too few to tell: x."


def test_who_took_so_long_that_rounds_were_left_out_is_said() -> None:
    assert words(row(*steady(50)), row(90, client="x")).startswith("x: 1 of 5 rounds, so long did they take.")


def test_line_ends_that_are_only_counted_are_said_to_be() -> None:
    rows = [row(*steady(50), variant="as lines"), row(*steady(90), client="httpcore", variant="as lines")]
    assert words(*rows).startswith("Pieces, whose line ends are only counted, instead of lines: httpcore.")


def test_memory_is_given_above_the_bare_socket_too() -> None:
    rows = [row(50), row(20, client="limit")]
    assert report.above(rows[0], rows) == pytest.approx(30)
    assert report.above(rows[0], rows[:1]) is None
    assert report.cells(rows[0], rows, "kB") == ["50.0", "±0%", "1.00", "30.0"]


def test_neither_ceilings_nor_own_rows_are_rivals() -> None:
    rows = [row(*steady(50)), *(row(*steady(1), client=name) for name in ("limit", "parsed-limit", "trio_pool-h11"))]
    assert words(*rows) == "No other client gave a figure."
    assert words(*rows, row(*steady(60), client="x")) == "No other client needs as little as trio_pool."


def test_who_cannot_and_a_busy_server_are_said() -> None:
    unable = Result(scenario="get", variant="v", client="x", samples=(Sample(cannot="has no queue"),))
    busy = replace(row(1, client="y"), samples=(Sample(units=1, wall=1, cpu=1, server=0.95, failed=2),))
    said = words(unable, busy)
    assert "x has no queue." in said
    assert "y: 2 requests failed" in said
    assert "may have limited the rate" in said
    assert "y." in said


def printed(shown: Run) -> str:
    console = Console(width=120, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    with console.file:
        report.show(shown, console)
        return console.export_text()


def test_the_table_has_a_row_for_each_that_can_the_least_needy_first() -> None:
    text = printed(a_run(row(50), row(20, client="x"), row(100, client="y")))
    places = [text.index(f"\n {client} ") for client in ("x", "trio_pool", "y")]
    assert places == sorted(places)
    assert "0.40" in text
    assert "2.00" in text


# ---- what has changed ----


def findings(old: Sequence[Result], new: Sequence[Result]) -> list[compare.Finding]:
    return [change.finding for change in compare.changes(a_run(*old), a_run(*new))]


def test_rounds_that_fall_apart_are_a_change_and_others_noise() -> None:
    assert findings([row(*steady(50))], [row(*steady(60))]) == [compare.Finding.WORSE]
    assert findings([row(*steady(50))], [row(*steady(40))]) == [compare.Finding.BETTER]
    assert findings([row(*steady(50))], [row(*steady(50.5))]) == [compare.Finding.NOISE]
    wide = [30.0, 40.0, 50.0, 60.0, 70.0]
    assert findings([row(*wide)], [row(*(figure * 1.2 for figure in wide))]) == [compare.Finding.NOISE]


def test_a_change_too_small_to_matter_is_noise_however_clear() -> None:
    exact, hardly_more = [50.0, 50.01, 50.02, 50.03, 50.04], [51.0, 51.01, 51.02, 51.03, 51.04]
    assert findings([row(*exact)], [row(*hardly_more)]) == [compare.Finding.NOISE]


def test_with_few_rounds_nothing_can_be_told() -> None:
    assert findings([row(1, 2, 3)], [row(10, 20, 30)]) == [compare.Finding.UNKNOWN]


def test_what_the_ceiling_changed_by_too_is_the_machine() -> None:
    then = [row(*steady(50)), row(*steady(10), client="limit")]
    slower = [row(*steady(60)), row(*steady(12.5), client="limit")]
    assert findings(then, slower) == [compare.Finding.NOISE, compare.Finding.WORSE]
    alone = [row(*steady(60)), row(*steady(10), client="limit")]
    assert findings(then, alone) == [compare.Finding.WORSE, compare.Finding.NOISE]


def test_rows_of_one_run_only_and_rows_without_figures_are_left_out() -> None:
    unable = Result(scenario="get", variant="20 concurrent", client="trio_pool", samples=(Sample(cannot="no"),))
    assert findings([row(*steady(1))], [unable]) == []
    assert findings([row(*steady(1))], [row(*steady(1), variant="another")]) == []


def test_the_chance_is_that_of_the_exact_test() -> None:
    assert noise.chance([1, 2, 3, 4, 5], [6, 7, 8, 9, 10]) == pytest.approx(2 / 252)
    assert noise.chance([1, 2, 3], [4, 5, 6]) == pytest.approx(0.1)
    assert noise.chance([1, 1, 2], [2, 2, 3]) == pytest.approx(0.3)  # equal ones share the mean of their places
    assert noise.chance([1, 1], [1, 1]) == 1.0
    assert noise.chance([1, 4], [2, 3]) == 1.0


def test_many_rounds_are_compared_in_no_time() -> None:
    assert noise.apart(list(range(1000)), list(range(2000, 3000)))
    assert not noise.apart(list(range(1000)), list(range(1000)))


def test_compare_tells_two_files_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    then = a_run(row(*steady(50)), row(*steady(70), client="x"), row(1, client="y"))
    report.save(then, tmp_path / "old.json")
    now = a_run(row(*steady(40)), row(*steady(70.1), client="x"), row(2, client="y"))
    compare.show(compare.read(tmp_path / "old.json"), now, Console(width=200))
    said = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert said == [
        "Compared with the run of then:",
        "get, 20 concurrent: trio_pool needs less: 40.0 against 50.0 (-20%)",
        "1 row: no change beyond the noise",
        "1 row: too few rounds to tell",
    ]


# ---- the chart's figures ----


def test_a_panel_has_a_bar_for_each_figure_with_its_rounds_around_it() -> None:
    [panel] = chart.panels(a_run(row(10, 20, 30), row(5, 6, 7, client="limit"), row(1, variant="1", scenario="sweep")))
    assert [bar.client for bar in panel.bars] == ["limit", "trio_pool"]
    figures = [figure for bar in panel.bars for figure in (bar.low, bar.middle, bar.high)]
    assert figures == pytest.approx([5, 6, 7, 10, 20, 30])
    assert len({bar.colour for bar in panel.bars}) == 2


def test_the_sweep_is_a_line_where_it_has_more_than_one_point() -> None:
    sweep: dict[str, Any] = {"scenario": "sweep"}
    points = [row(10, variant="1", **sweep), row(30, variant="100", **sweep), row(5, variant="1", client="x", **sweep)]
    [(client, line)] = chart.lines(a_run(*points)).items()
    assert (client, [concurrency for concurrency, _ in line]) == ("trio_pool", [1, 100])
    assert [cost for _, cost in line] == pytest.approx([10, 30])


# ---- the servers' and the ceiling's words ----


def test_the_events_are_a_response_each_in_a_chunk_of_its_own() -> None:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(canned.response(3))
    events = [connection.next_event() for _ in range(5)]
    assert isinstance(events[0], h11.Response)
    assert isinstance(events[-1], h11.EndOfMessage)
    assert [event.data for event in events if isinstance(event, h11.Data)] == [canned.EVENT % n for n in range(3)]


def is_taken_by_h11(head: bytes) -> bool:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "h")]))
    connection.receive_data(head)
    try:
        return isinstance(connection.next_event(), h11.Response)
    except h11.RemoteProtocolError:
        return False


GOOD_HEADS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
    b"HTTP/1.1 200 \r\nA:\r\nB:  \t\r\nC: x y\t \r\n\r\n",
    b"HTTP/1.0 404 Not \xff found\r\nx!#$%&'*+-.^_`|~9: \x80\r\n\r\n",
    b"HTTP/1.1 200\r\n\r\n",
]
BAD_HEADS = [
    b"HTTP/1.1 200 OK\nContent-Length: 2\n\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"HTTP/1.1 200 O\x00K\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent Length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: x\x01\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nA: \x01x\r\n\r\n",
]


@pytest.mark.parametrize(
    ("head", "good"), [(head, True) for head in GOOD_HEADS] + [(head, False) for head in BAD_HEADS]
)
def test_the_ceilings_pattern_is_at_least_as_strict_as_h11(head: bytes, good: bool) -> None:
    assert (limit.HEAD.fullmatch(head) is not None) is good
    assert is_taken_by_h11(head) or not good


def test_the_ceiling_lists_the_fields() -> None:
    head = limit.HEAD.match(GOOD_HEADS[1])
    assert head is not None
    assert limit.FIELD.findall(head[0], head.start(3), head.end(3)) == [(b"A", b""), (b"B", b""), (b"C", b"x y")]


def test_the_saved_file_is_plain_json(tmp_path: Path) -> None:
    report.save(a_run(row(1)), tmp_path / "run.json")
    record = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert record["results"][0]["samples"][0]["units"] == 1000
