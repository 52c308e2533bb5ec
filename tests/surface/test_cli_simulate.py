"""`trio-pool simulate` and `trio-pool size` as their users see them: what is shown and written, and the exit status."""

from __future__ import annotations

import errno
import importlib.util
import io
import json
import multiprocessing
import os
import shlex
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import attrs
import pytest
from rich.console import Console

from trio_pool.cli import targets
from trio_pool.cli.__main__ import main
from trio_pool.cli.experiments import cores, played
from trio_pool.simulate import Experiment, InvariantBroken
from trio_pool.simulate.scenarios.scenario import load
from trio_pool.simulate.traffic.traces import CITATION
from trio_pool.sizing import servers_for

from .test_import_cost import imported_by

SCENARIO = """
title = "A small one"
seconds = 5
seeds = 2

[pool]
max_connections = 2
acquire_timeout = 0.2

[workload]
arrivals = { kind = "Poisson", rate = 6 }
service.first_byte = { kind = "Exponential", mean = 0.3 }

[expect]
answered_at_least = 0.5

[variants.large]
pool.max_connections = 20
expect = { answered_at_least = 1 }

[variants.hopeless]
pool.max_waiting = 0
expect = { answered_at_least = 1 }

[sweep]
pool.max_connections = [2, 20]
"""


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr("trio_pool.cli.experiments.cores", lambda: 1)  # where a test does not say how many
    (tmp_path / "small.toml").write_text(SCENARIO, encoding="utf-8")

    def run(*arguments: str) -> Outcome:
        status = main(list(arguments))
        return Outcome(status, *capfd.readouterr())

    return run


def table_in(text: str) -> dict[str, list[str]]:
    """The rows of what is shown, by their first word."""
    return {words[0]: words[1:] for line in text.splitlines() if (words := line.split())}


# ---- simulate ----


def test_the_shipped_scenarios_are_listed(run: Run) -> None:
    status, out, _ = run("simulate", "--list")
    assert status == 0
    assert "ten-connections    Ten connections at 100 requests a second" in out
    assert "One hour of conversations (needs --set workload.trace=PATH)" in out
    assert len(out.splitlines()) == 7


def test_the_base_is_run_and_shown(run: Run) -> None:
    status, out, err = run("simulate", "small.toml")
    assert (status, err) == (0, "")
    assert "A small one (means over 2 seeds)" in out
    assert {"answered", "timeout", "reuse", "PoolTimeout", "base"} <= set(table_in(out))
    assert "met  base: answered should be at least 50.00 %" in out
    assert "hopeless" not in out


def test_variants_are_compared_and_an_expectation_that_is_not_met_is_a_failure(run: Run) -> None:
    status, out, _ = run("simulate", "small.toml", "--compare", "--seed", "3", "--seeds", "1")
    assert status == 1
    assert "A small one (seed 3)" in out
    assert {"base", "large", "hopeless"} <= set(table_in(out))
    assert "met  large: answered should be at least 100.00 %, and it is 100.00 %" in out
    assert "NOT MET  hopeless: answered should be at least 100.00 %, and it is " in out


def test_a_grid_is_swept(run: Run) -> None:
    status, out, _ = run("simulate", "small.toml", "--sweep", "--json", "sweep.json")
    assert status == 0
    assert "pool.max_connections" in out
    assert {"2", "20"} <= set(table_in(out))
    assert "What the scenario expects is of its cases, and is not judged in a sweep." in out
    document = json.loads(Path("sweep.json").read_text(encoding="utf-8"))
    assert document["format"] == "trio_pool.simulate.sweep/1"
    assert [point["settings"] for point in document["points"]] == [{"pool.max_connections": n} for n in (2, 20)]


def test_one_run_is_a_document_of_its_own_on_stdout_and_nothing_else_is(run: Run) -> None:
    status, out, err = run("simulate", "small.toml", "--seeds", "1", "--json", "-")
    assert status == 0
    document = json.loads(out)
    assert document["format"] == "trio_pool.simulate.result/1"
    assert "A small one (seed 0)" in err
    assert f"history {document['history'][:12]}, which the same seed repeats" in err


NOTHING = [["--set", "workload.arrivals.rate=0.001"], ["--set", "seconds=2", "--set", "warm_up=1.99"]]


@pytest.mark.parametrize("mode", [[], ["--seeds", "1"], ["--compare"], ["--sweep"]], ids=str)
@pytest.mark.parametrize("settings", NOTHING, ids=str)
def test_where_no_request_counts_that_is_said_and_the_files_are_written(
    run: Run, settings: list[str], mode: list[str]
) -> None:
    status, out, err = run("simulate", "small.toml", *settings, *mode, "--html", "a.html", "--json", "a.json")
    assert (status, err) == (0 if "--sweep" in mode else 1, "")
    assert "No request counts: none was meant to begin after the warm-up and before the end." in out
    assert Path("a.html").read_text(encoding="utf-8").endswith("</html>\n")
    assert json.loads(Path("a.json").read_text(encoding="utf-8"))["format"]


def test_settings_take_the_place_of_the_files(run: Run) -> None:
    settings = ["--set", "pool.max_connections=7", "--set", "pool.codec=h11", "--set", "title=Another"]
    status, out, err = run("simulate", "small.toml", *settings, "--seeds", "1", "--json", "-")
    config = json.loads(out)["experiment"]["config"]
    assert (status, config["max_connections"], config["codec"]) == (0, 7, "h11")
    assert "Another" in err


def test_a_report_is_written_and_its_command_does_the_same(run: Run) -> None:
    assert run("simulate", "small.toml", "--compare", "--set", "seconds = 4", "--html", "a.html").status == 1
    first = Path("a.html").read_text(encoding="utf-8")
    command = "trio-pool simulate small.toml --set &#x27;seconds = 4&#x27; --compare --seeds 2 --seed 0"
    assert f"<code>{command}</code>" in first
    [_, *arguments] = shlex.split(command.replace("&#x27;", "'"))
    assert run(*arguments, "--html", "b.html").status == 1
    second = Path("b.html").read_text(encoding="utf-8")
    assert without_time(first) == without_time(second)


def without_time(page: str) -> list[str]:
    return [line for line in page.replace("<p>", "\n<p>").splitlines() if "processor time" not in line]


def test_where_recorded_traffic_comes_from_is_told(run: Run) -> None:
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:15:46.0,374,44", "2023-11-16 18:15:47.0,1,2"]
    Path("hour.csv").write_text("\n".join(rows), encoding="utf-8")
    _, out, _ = run("simulate", "azure-hour", "--set", "workload.trace=hour.csv", "--set", "seconds=5")
    assert CITATION in " ".join(out.split())
    assert CITATION not in run("simulate", "small.toml").out


def test_processes_give_the_same(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    documents: list[Any] = []
    for jobs in (["--jobs", "1"], ["--jobs", "2"], []):
        monkeypatch.setattr("trio_pool.cli.experiments.cores", lambda: 3)
        assert run("simulate", "small.toml", *jobs, "--json", "a.json").status == 0
        documents.append(json.loads(Path("a.json").read_text(encoding="utf-8")))
    histories = [[each["history"] for each in document["results"]["base"]] for document in documents]
    assert histories[0] == histories[1] == histories[2]


@pytest.mark.parametrize(("jobs", "runs", "expected"), [(None, 9, 5), (None, 3, 3), (7, 9, 7), (7, 2, 2)])
def test_there_is_a_process_for_each_core_but_no_more_than_runs(
    monkeypatch: pytest.MonkeyPatch, run: Run, jobs: int | None, runs: int, expected: int
) -> None:
    def made(processes: int, *_: object) -> NoReturn:
        raise KeyError(processes)

    monkeypatch.setattr("trio_pool.cli.experiments.cores", lambda: 5)
    monkeypatch.setattr("trio_pool.cli.experiments.ProcessPoolExecutor", made)
    experiment = next(iter(load("small.toml").cases.values())).experiment
    with pytest.raises(KeyError, match=str(expected)):
        played([experiment] * runs, jobs, Console(file=io.StringIO()))


def test_the_cores_are_those_that_this_process_may_use() -> None:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert cores() == len(before)


@pytest.mark.parametrize("jobs", [1, 2])
def test_on_a_terminal_a_bar_says_how_far_it_is(run: Run, jobs: int) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    experiment = next(iter(load("small.toml").cases.values())).experiment
    results = played([attrs.evolve(experiment, seed=seed) for seed in (0, 1)], jobs, terminal)
    assert [result.experiment.seed for result in results] == [0, 1]
    shown: Any = terminal.file
    assert "2 of 2 runs" in shown.getvalue()


def test_on_a_terminal_the_pool_is_seen_meanwhile(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=120)
    monkeypatch.setattr("rich.progress.Progress.update", lambda _, __, **fields: said.append(fields))
    said: list[dict[str, Any]] = []
    played([next(iter(load("small.toml").cases.values())).experiment], 1, terminal)
    assert any("2 leased, 0 idle" in each["description"] for each in said)
    assert said[-1] == {"completed": 5, "description": ""}


WRONG: list[tuple[list[str], str]] = [
    ([], "which SCENARIO? --list shows those that come with the library"),
    (["nowhere"], "'nowhere' is no file that can be read"),
    (["small.toml", "--set", "pool.max_waiting=-1"], "pool.max_waiting must be a whole number of at least 0"),
    (["small.toml", "--set", "pool.max_waitin=1"], "perhaps max_waiting is meant"),
    (["small.toml", "--set", "pool"], "--set is written KEY=VALUE"),
    (["small.toml", "--set", "variants = 3"], "variants must be a table"),
    (["kept-connections", "--set", "variants = 3"], "variants must be a table"),
    (["small.toml", "--seeds", "0"], "Invalid value for '--seeds'"),
    (["small.toml", "--jobs", "0"], "Invalid value for '--jobs'"),
    (["small.toml", "--seed", "-1"], "Invalid value for '--seed'"),
    (["small.toml", "--html", "nowhere/a.html"], "there is no folder 'nowhere'"),
    (["small.toml", "--json", "nowhere/a.json"], "there is no folder 'nowhere'"),
    (["small.toml", "--json", "."], "'.' is a folder; a file is needed"),
    (["small.toml", "--json", "new/"], "'new/' is a folder; a file is needed"),
    (["small.toml", "--json", "new/."], "'new/.' is a folder; a file is needed"),
    (["small.toml", "--json", "x" * 300], "xxx': File name too long"),
    (["small.toml", "--html", f"{'x' * 300}/a.html"], "x/a.html': File name too long"),
    (["small.toml", "--html", ""], "--html needs the name of a file, or - for stdout"),
    (["small.toml", "--json", ""], "--json needs the name of a file, or - for stdout"),
    (["small.toml", "--html", "-", "--json", "-"], "cannot both go to '-'"),
    (["small.toml", "--html", "a.html", "--json", "./a.html"], "cannot both go to './a.html'"),
    (["small.toml", "--html", "a.html", "--json", "link"], "cannot both go to 'link'"),
    (["small.toml", "--html", "one name", "--json", "another"], "cannot both go to 'another'"),
    (["small.toml", "--json", "/dev/full"], "cannot write '/dev/full': No space left on device"),
    (["small.toml", "--json", "/proc/x.json"], "cannot write '/proc/x.json': No such file or directory"),
    (["small.toml", "--json", "loop"], "cannot write 'loop': Too many levels of symbolic links"),
    (["small.toml", "--compare", "--sweep"], "give one of the two"),
    (["small.toml", "--set", "pool.max_waiting=true"], "a whole number of at least 0, or inf, not true"),
    (["azure-hour"], "to the command with --set workload.trace=PATH"),
    (["brownout", "--sweep"], "the scenario has nothing to sweep"),
    (["bare.toml", "--compare"], "the scenario has no variants to compare"),
]


@pytest.mark.parametrize(("arguments", "what"), WRONG)
def test_what_cannot_be_is_refused(run: Run, arguments: list[str], what: str) -> None:
    bare = '[workload]\npreset = "chat"\nrate = 1'
    Path("bare.toml").write_text(bare, encoding="utf-8")
    Path("link").symlink_to("a.html")
    Path("loop").symlink_to("loop")
    Path("one name").touch()
    Path("another").hardlink_to("one name")
    status, out, err = run("simulate", *arguments)
    assert (status, out) == (2, "")
    assert what in " ".join(err.replace("│", " ").split())
    assert not Path("a.html").exists()


def test_what_a_file_has_stays_until_there_is_more(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        assert not Path("new.html").exists()
        raise BrokenProcessPool

    monkeypatch.setattr("trio_pool.cli.simulate.played", fail)
    Path("old.json").write_text("as it was", encoding="utf-8")
    assert run("simulate", "small.toml", "--json", "old.json", "--html", "new.html").status == 1
    assert Path("old.json").read_text(encoding="utf-8") == "as it was"
    assert not Path("new.html").exists()


@pytest.mark.parametrize(("function", "really"), [("os.stat", os.stat), ("os.path.realpath", os.path.realpath)])
def test_what_another_command_writes_meanwhile_stays(
    run: Run, monkeypatch: pytest.MonkeyPatch, function: str, really: Callable[..., Any]
) -> None:
    def look(*arguments: Any, **options: Any) -> Any:
        if function != "os.stat" or os.path.lexists("a.json"):
            Path("a.json").write_text("of another", encoding="utf-8")
        return really(*arguments, **options)

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(function, look)
        targets.check(None, "a.json")
    assert Path("a.json").read_text(encoding="utf-8") == "of another"


def test_who_reads_from_a_pipe_gets_the_document(run: Run) -> None:
    os.mkfifo("pipe")
    with ThreadPoolExecutor() as threads:
        text = threads.submit(Path("pipe").read_text, encoding="utf-8")
        assert run("simulate", "small.toml", "--json", "pipe").status == 0
        assert json.loads(text.result())["seeds"] == [0, 1]


def test_a_pipe_of_the_shell_is_a_file_too(run: Run) -> None:
    reading, writing = os.pipe()
    with open(reading, encoding="utf-8") as file, ThreadPoolExecutor() as threads:
        text = threads.submit(file.read)
        status = run("simulate", "small.toml", "--json", f"/dev/fd/{writing}").status
        os.close(writing)
        assert (status, json.loads(text.result())["seeds"]) == (0, [0, 1])


def test_a_link_to_nothing_stays_and_then_leads_to_the_document(run: Run) -> None:
    Path("link").symlink_to("a.json")
    assert run("simulate", "small.toml", "--json", "link").status == 0
    assert Path("link").readlink() == Path("a.json")
    assert json.loads(Path("a.json").read_text(encoding="utf-8"))["seeds"] == [0, 1]


def test_a_report_needs_its_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trio_pool.cli.simulate.find_spec", lambda _: None)
    status, _, err = run("simulate", "small.toml", "--html", "a.html")
    assert status == 2
    assert "pip install 'trio_pool[plot]'" in err
    assert importlib.util.find_spec("matplotlib") is not None


def test_a_report_on_stdout_has_it_alone(run: Run) -> None:
    status, out, err = run("simulate", "small.toml", "--seeds", "1", "--html", "-")
    assert status == 0
    assert out.startswith("<!doctype html>")
    assert "answered" in table_in(err)


def test_a_file_that_cannot_be_written_is_a_failure(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("click.open_file", refuse)
    status, _, err = run("simulate", "small.toml", "--json", "a.json")
    assert status == 1
    assert f"cannot write 'a.json': {os.strerror(errno.ENOSPC)}" in err


def test_a_process_that_was_ended_is_a_failure_in_words(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object) -> NoReturn:
        raise BrokenProcessPool

    monkeypatch.setattr("trio_pool.cli.simulate.played", end)
    status, out, err = run("simulate", "small.toml", "--jobs", "2")
    assert (status, out) == (1, "")
    assert "a process that ran experiments was ended" in err


def test_processes_end_with_the_interrupt(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without that the command would run for the hours that its experiments take."""
    long = attrs.evolve(next(iter(load("small.toml").cases.values())).experiment, seconds=1e7)
    short = attrs.evolve(long, seconds=1)

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("trio_pool.cli.experiments._Bar.have_run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        played([short, long, long, long], 2, Console(file=io.StringIO()))
    assert multiprocessing.active_children() == []


def test_a_broken_invariant_is_a_failure_that_tells_its_command(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_it(experiment: Experiment, progress: object = None) -> NoReturn:
        raise InvariantBroken("a slot was lost", 1.5, experiment.seed, experiment.command)

    monkeypatch.setattr(Experiment, "run", break_it)
    status, _, err = run("simulate", "small.toml", "--compare", "--set", "seconds=3", "--seed", "5")
    assert status == 1
    assert "a slot was lost" in err
    assert "trio-pool simulate small.toml --set seconds=3 --compare --seeds 1 --seed 5" in err


def test_the_command_of_a_broken_invariant_has_what_was_given_as_it_was(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_it(experiment: Experiment, progress: object = None) -> NoReturn:
        raise InvariantBroken("a slot was lost", 1.5, experiment.seed, experiment.command)

    monkeypatch.setattr(Experiment, "run", break_it)
    Path("-s {seed}.toml").write_text(SCENARIO, encoding="utf-8")
    _, _, first = run("simulate", "--set", "title={seed}", "--seed", "5", "--", "-s {seed}.toml")
    assert "trio-pool simulate './-s {seed}.toml' --set 'title={seed}' --seeds 1 --seed 5" in first
    [_, *arguments] = shlex.split(first.partition("Replay: ")[2])
    assert run(*arguments).err == first


def test_an_interrupt_is_told_by_the_status(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("trio_pool.cli.simulate.played", interrupt)
    status, out, err = run("simulate", "small.toml")
    assert (status, out, err.strip()) == (130, "", "")


def test_other_commands_do_not_import_experiments() -> None:
    assert not [name for name in imported_by("import trio_pool.cli.app") if name.startswith("trio_pool.simulate")]


# ---- size ----

TRAFFIC = ["--rate", "4", "--service-time", "0.5", "--check", "0"]


def test_a_size_is_advised(run: Run) -> None:
    status, out, err = run("size", *TRAFFIC[:-2], "--check", "2")
    assert (status, err) == (0, "")
    assert "4 requests a second, each for 500 ms on average: 2 connections are busy on average." in out
    assert str(servers_for(2, 0.01)) in table_in(out)
    assert "The target is met." in out
    assert "difference of the whole client, in the same" in out
    assert "PoolConfig(max_connections=" in out


def test_the_answer_as_a_document(run: Run) -> None:
    status, out, _ = run("size", *TRAFFIC, "--target", "5%", "--json")
    document = json.loads(out)
    assert (status, document["target"], document["is_met"], document["checked"]) == (0, 0.05, True, None)
    assert document["size"] == document["config"]["max_connections"] >= servers_for(2, 0.05)


def test_bursts_need_more_and_patience_needs_less(run: Run) -> None:
    sizes = [
        json.loads(run("size", *TRAFFIC, *more, "--json").out)["size"]
        for more in (["--burstiness", "3"], [], ["--wait", "1"])
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


def test_a_target_that_no_size_can_meet_is_a_failure(run: Run) -> None:
    status, out, _ = run("size", *TRAFFIC, "--concurrency", "3", "--wait", "0.1")
    assert status == 1
    assert "Advised: 3 connections. The target is NOT MET." in out
    assert "wait longer than 100 ms" in out
    assert "the provider serves 3 at once" in out
    status, out, _ = run("size", *TRAFFIC, "--requests-per-minute", "60")
    assert status == 1
    assert "The target is NOT MET.\nThe provider's limits per minute let 1 request per second through, of 4." in out


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--rate", "4"], "Missing option '--service-time'"),
        ([*TRAFFIC, "--rate", "0"], "Invalid value for '--rate'"),
        ([*TRAFFIC, "--rate", "nan"], "'nan' is not a number"),
        ([*TRAFFIC, "--target", "0"], "Invalid value for '--target'"),
        ([*TRAFFIC, "--target", "120%"], "Invalid value for '--target'"),
        ([*TRAFFIC, "--target", "some%"], "Invalid value for '--target'"),
        ([*TRAFFIC, "--rate", "1e-300"], "Invalid value for '--rate'"),
        ([*TRAFFIC, "--rate", "inf"], "Invalid value for '--rate'"),
        ([*TRAFFIC, "--service-time", "1e-310"], "Invalid value for '--service-time'"),
        ([*TRAFFIC, "--burstiness", "1000"], "Invalid value for '--burstiness'"),
        ([*TRAFFIC, "--burstiness", "-1"], "Invalid value for '--burstiness'"),
        ([*TRAFFIC, "--wait", "20"], "wait must be from 0 to acquire_timeout (10)"),
        ([*TRAFFIC, "--check", "1"], "one run tells nothing of chance"),
        ([*TRAFFIC, "--concurrency", "0"], "Invalid value for '--concurrency'"),
    ],
)
def test_traffic_that_cannot_be_is_refused(run: Run, arguments: list[str], what: str) -> None:
    status, out, err = run("size", *arguments)
    assert (status, out) == (2, "")
    assert what in " ".join(err.split())


def test_a_broken_invariant_of_its_check_is_a_failure_in_words(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_it(*_: object, **__: object) -> NoReturn:
        raise InvariantBroken("a slot was lost", 1.5, 0, "the command")

    monkeypatch.setattr("trio_pool.cli.size.advise", break_it)
    status, out, err = run("size", *TRAFFIC)
    assert (status, out) == (1, "")
    assert "a slot was lost" in err
