"""Scenarios: what a document makes, and what is said of one that is wrong."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import attrs
import pytest

from trio_pool import PoolConfig, RetryStrategy, UsageError
from trio_pool.simulate import (
    Brownout,
    Bursts,
    ClosedLoop,
    Constant,
    Experiment,
    LogNormal,
    OnOff,
    Poisson,
    ResetAt,
    Service,
    Slowed,
    VirtualProvider,
    Workload,
)
from trio_pool.simulate.reports.tables import verdicts
from trio_pool.simulate.scenarios.scenario import laid_over, load, parse, shipped
from trio_pool.simulate.sweep import compare
from trio_pool.simulate.traffic import workload as workloads
from trio_pool.simulate.traffic.workload import Replayed

TRACE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:47.9951690,396,10
2023-11-16 18:15:50.0000000,879,55
2023-11-16 18:15:51.5000000,91,16
"""

SIMPLE: dict[str, Any] = {"workload": {"arrivals": {"kind": "Poisson", "rate": 3}, "service": {"first_byte": 0.1}}}


def with_(**tables: Any) -> dict[str, Any]:
    return laid_over(SIMPLE, tables)


def experiment(document: dict[str, Any]) -> Experiment:
    [case] = parse(document).cases.values()
    return case.experiment


# ---- what it makes ----


def test_the_least_scenario() -> None:
    scenario = parse(SIMPLE, title="its name")
    assert (scenario.title, scenario.about, scenario.seeds, scenario.grid, scenario.points) == (
        "its name",
        "",
        1,
        {},
        (),
    )
    expected = Experiment(PoolConfig(), Workload(Poisson(3), Service(Constant(0.1))))
    assert scenario.cases["base"].experiment == expected
    assert scenario.cases["base"].expected == ()


def test_every_table_is_used() -> None:
    document = with_(
        seconds=30,
        warm_up=2,
        method="GET",
        hedging=True,
        grace=5,
        sample_every=1,
        pool={"max_waiting": math.inf, "retry_strategy": "linear", "codec": "h11"},
        workload={
            "arrivals": {"kind": "OnOff", "rate_on": 2, "rate_off": 1, "mean_on": 3, "mean_off": 4},
            "service": {"tokens": {"kind": "LogNormal", "median": 50, "sigma": 1}},
            "cancelled": 0.5,
            "patience": 3,
        },
        providers={
            "east": {
                "queue": 3,
                "brownouts": [{"start": 1, "seconds": 2, "slowdown": 3}],
                "outages": [{"kind": "Bursts", "mean_between": 9, "mean_seconds": 1}],
            },
            "west": {},
        },
        upstreams={"west": {"priority": 1, "adaptive": True}},
        faults=[{"kind": "ResetAt", "byte": 9, "provider": "east"}],
    )
    assert experiment(document) == Experiment(
        PoolConfig(max_waiting=math.inf, retry_strategy=RetryStrategy.LINEAR, codec="h11"),
        Workload(OnOff(2, 1, 3, 4), Service(Constant(0.1), LogNormal(50, 1)), 0.5, Constant(3)),
        [
            VirtualProvider("east", queue=3, brownouts=(Brownout(1, 2, 3),), outages=(Bursts(9, 1),)),
            VirtualProvider("west"),
        ],
        [ResetAt(byte=9, provider="east")],
        seconds=30,
        warm_up=2,
        upstream_options={"west": {"priority": 1, "adaptive": True}},
        method="GET",
        hedging=True,
        grace=5,
        sample_every=1,
    )


def test_users_of_a_closed_loop() -> None:
    loop = {"kind": "ClosedLoop", "users": 4, "think": {"kind": "Constant", "value": 1}}
    assert experiment(with_(workload={"arrivals": loop})).workload.arrivals == ClosedLoop(4, Constant(1))


def test_what_is_made_of_another() -> None:
    slowed = {"kind": "Slowed", "factor": 2, "arrivals": {"kind": "Poisson", "rate": 3}}
    assert experiment(with_(workload={"arrivals": slowed})).workload.arrivals == Slowed(Poisson(3), 2)


def test_presets() -> None:
    for name, preset in (("chat", workloads.chat), ("agent", workloads.agent)):
        made = experiment({"workload": {"preset": name, "rate": 2, "cancelled": 0.1, "patience": 5}}).workload
        assert made == attrs.evolve(preset(2), cancelled=0.1, patience=Constant(5))


def test_a_trace_is_found_beside_the_scenario(tmp_path: Path) -> None:
    (tmp_path / "hour.csv").write_text(TRACE, encoding="utf-8")
    path = tmp_path / "own.toml"
    path.write_text('[workload]\ntrace = "hour.csv"\nfirst_byte = 0.5\nstart = 1\nend = 4', encoding="utf-8")
    scenario = load(str(path))
    assert scenario.title == "own"
    service = scenario.cases["base"].experiment.workload.service
    assert isinstance(service, Replayed)
    assert [row.output_tokens for row in service.trace.rows] == [10, 55]
    assert service.first_byte == Constant(0.5)


# ---- one over the other ----


def test_variants_are_laid_over_the_base() -> None:
    document = with_(base="small", pool={"max_connections": 5, "max_waiting": 3}, expect={"answered_at_least": 1})
    document["variants"] = {
        "large": {"pool": {"max_connections": 50}},
        "regular": {"workload": {"arrivals": {"kind": "Renewal", "rate": 3, "cv": 0}}, "expect": {"error_at_most": 0}},
    }
    before = copy.deepcopy(document)
    cases = parse(document).cases
    assert document == before
    assert list(cases) == ["small", "large", "regular"]
    small, large, regular = (case.experiment for case in cases.values())
    assert large == attrs.evolve(small, config=PoolConfig(max_connections=50, max_waiting=3))
    assert regular.workload.arrivals.rate == 3  # type: ignore[union-attr]  # no closed loop
    assert [len(case.expected) for case in cases.values()] == [1, 0, 1]


def test_a_grid_has_every_combination() -> None:
    document = with_(sweep={"pool": {"max_waiting": [1, 2]}, "workload": {"service": {"first_byte": [0.5, 0.7]}}})
    scenario = parse(document)
    assert scenario.grid == {"pool.max_waiting": (1, 2), "workload.service.first_byte": (0.5, 0.7)}
    base = scenario.cases["base"].experiment
    for settings, each in scenario.points:
        waiting, seconds = settings.values()
        service = Service(Constant(seconds))
        workload = attrs.evolve(base.workload, service=service)
        assert each == attrs.evolve(base, config=PoolConfig(max_waiting=waiting), workload=workload)
    assert len(scenario.points) == 4


def test_settings_take_the_place_of_what_the_file_says() -> None:
    scenario = load("ten-connections", {"pool.max_waiting": 7, "seconds": 31})
    assert {case.experiment.seconds for case in scenario.cases.values()} == {31}
    assert scenario.cases["0.989 s"].experiment.config.max_waiting == 7
    assert scenario.cases["0.989 s, queue"].experiment.config.max_waiting == math.inf


# ---- what is expected ----


def test_what_is_expected_is_judged_by_the_mean_of_the_seeds() -> None:
    expect = {"answered_at_least": 1, "latency_p50_at_most": 0.05, "requests_at_least": 10, "littles_law_at_most": 3}
    scenario = parse(with_(seconds=20, expect=expect))
    results = compare({name: case.experiment for name, case in scenario.cases.items()}, seeds=[0, 1]).results
    found = verdicts(scenario.cases, results)
    assert [each.is_met for each in found] == [True, False, True, True]
    assert str(found[1]) == "base: latency p50 should be at most 50 ms, and it is 100 ms"


def test_what_cannot_be_measured_is_not_as_expected() -> None:
    document = with_(seconds=5, expect={"latency_p99_at_most": 100}, workload={"cancelled": 1, "patience": 0.01})
    scenario = parse(document)
    results = compare({"base": scenario.cases["base"].experiment}, seeds=[1]).results
    [verdict] = verdicts(scenario.cases, results)
    assert (verdict.found, verdict.is_met) == ("-", False)


# ---- what is wrong ----

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"secondes": 3}, r"^secondes is no key of a scenario: perhaps seconds is meant"),
    ({"zzz": 3}, r"^zzz is no key of a scenario: allowed are about, base, expect, faults, grace"),
    ({"pool": {"max_conections": 3}}, r"^pool\.max_conections is no key .* perhaps max_connections is meant"),
    (
        {"pool": {"max_connections": 0}},
        r"^pool\.max_connections must be a whole number of at least 1, or inf, not 0",
    ),
    (
        {"pool": {"acquire_timeout": True}},
        r"^pool\.acquire_timeout must be a positive number of seconds or inf, not true",
    ),
    ({"hedging": "math.inf"}, r"^hedging must be true or false, not 'math.inf'"),
    (
        {"upstreams": {"provider": {"max_concurrency": 0}}},
        r"max_concurrency must be a whole number of at least 1",
    ),
    ({"pool": {"retry_strategy": "never"}}, r"^pool\.retry_strategy must be 'exponential' or 'linear' or 'immediate'"),
    ({"pool": {"retry_strategy": [1]}}, r"^pool\.retry_strategy must be"),
    ({"pool": 3}, r"^pool must be a table, not 3"),
    ({"workload": 3}, r"^workload must be a table"),
    ({"workload": {"preset": "chat"}}, r"^workload\.arrivals is no key"),
    ({"workload": {"arrivals": {"rate": -3}}}, r"^workload\.arrivals\.rate must be a positive number, not -3"),
    (
        {"workload": {"arrivals": {"kind": "Poison", "rate": 1}}},
        r"^workload\.arrivals\.kind must be 'Poisson' or .*'Poison'",
    ),
    ({"workload": {"arrivals": {"kind": [1], "rate": 1}}}, r"^workload\.arrivals\.kind must be"),
    ({"workload": {"arrivals": {"kind": "Renewal", "rate": 1}}}, r"^workload\.arrivals needs cv"),
    ({"workload": {"service": {"first_byte": "x"}}}, r"^workload\.service\.first_byte must be a number, or a table"),
    (
        {"workload": {"service": {"first_byte": -1}}},
        r"^workload\.service\.first_byte\.value must be a number of at least 0",
    ),
    (
        {"workload": {"service": {"first_byte": {"kind": "Pareto", "minimum": 1, "shape": 1}}}},
        r"first_byte\.shape must be",
    ),
    (
        {"workload": {"service": {"first_byte": {"kind": "HyperExponential", "means": [1], "weights": []}}}},
        r"^workload\.service\.first_byte\.weights must be at least one number",
    ),
    ({"workload": {"cancelled": 2, "patience": 1}}, r"^workload\.cancelled must be a share"),
    ({"workload": {"cancelled": 0.5}}, r"^workload: a Workload of which a share is cancelled needs a patience"),
    ({"providers": {"East": {}}}, r"^providers\.East\.name must be a host's name"),
    ({"providers": {}}, r"^providers must be at least one"),
    ({"providers": {"east": {"queue": -1}}}, r"^providers\.east\.queue must be a whole number of at least 0"),
    ({"providers": {"east": {"name": "x"}}}, r"^providers\.east\.name is no key"),
    (
        {"providers": {"east": {"outages": [{"kind": "Outage", "start": 1}]}}},
        r"^providers\.east\.outages\[0\] needs seconds",
    ),
    ({"providers": {"east": {"outages": {"kind": "Outage"}}}}, r"^providers\.east\.outages must be a list"),
    ({"upstreams": {"east": {}}}, r"^upstreams\.east is no key of a scenario: allowed are provider"),
    ({"upstreams": {"provider": {"weight": -1}}}, r"^upstreams\.provider\.weight must be"),
    ({"upstreams": {"provider": {"key": "x"}}}, r"^upstreams\.provider\.key is no key"),
    ({"faults": [{"kind": "Refuse", "probability": 2}]}, r"^faults\[0\]\.probability must be a share"),
    (
        {"expect": {"answered": 1}},
        r"^expect\.answered is nothing that can be expected: perhaps answered_at_",
    ),
    ({"expect": {"latency_at_most": 1}}, r"^expect\.latency_at_most is nothing that can be expected"),
    ({"expect": {"answered_at_least": "all"}}, r"^expect\.answered_at_least must be a share"),
    ({"expect": {"answered_at_least": 2}}, r"^expect\.answered_at_least must be a share from 0 to 1, not 2"),
    ({"seconds": 1e12}, r"^workload has about 3e\+12 requests in 1e\+12 s, and 100,000,000 are the most"),
    ({"sample_every": 1e-9}, r"^sample_every must be at least 0\.0006 in 60 s"),
    (
        {"variants": {"a": {"pool": {"max_connections": 9}, "upstreams": {"provider": {"max_connections": 10}}}}},
        r"^variants\.a\.upstreams need 10 connections, more than the 9 of the pool",
    ),
    (
        {"sweep": {"providers": {"q": {"round_trip": [1]}}}},
        r"^sweep\.providers\.q is no key of a scenario: allowed are provider",
    ),
    ({"seconds": 0}, r"^seconds must be a positive number"),
    ({"warm_up": 60}, r"^warm_up must be less than seconds"),
    ({"seeds": 0}, r"^seeds must be a whole number of at least 1"),
    ({"title": 3}, r"^title must be text, not 3"),
    ({"variants": {"base": {}}}, r"^variants\.base has the name of the base"),
    ({"variants": {"a": 3}}, r"^variants\.a must be a table"),
    ({"variants": {"a": {"seeds": 3}}}, r"^variants\.a\.seeds is no key"),
    ({"variants": {"a": {"pool": {"max_waiting": -1}}}}, r"^variants\.a\.pool\.max_waiting must be"),
    ({"sweep": {"pool": {"max_waiting": 3}}}, r"^sweep\.pool\.max_waiting must be a list of values, not 3"),
    ({"sweep": {"pool": {"max_waiting": []}}}, r"^sweep\.pool\.max_waiting must be a list"),
    ({"sweep": {"pool": {"max_wating": [1]}}}, r"^sweep\.pool\.max_wating is no key"),
    ({"sweep": 3}, r"^sweep must be a table"),
]


@pytest.mark.parametrize(("tables", "what"), WRONG, ids=lambda value: value[:50] if isinstance(value, str) else "")
def test_what_is_wrong_is_told_with_its_path(tables: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        parse(with_(**tables))


@pytest.mark.parametrize(
    ("source", "key", "what"),
    [
        ("rate-limit", "providers.q.round_trip", r"^providers\.q is no key of a scenario: allowed are "),
        ("kept-connections", "variants.q.seconds", r"^variants\.q is no key of a scenario: allowed are "),
    ],
)
def test_a_setting_adds_nothing_by_a_slip(source: str, key: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        load(source, {key: 1})


def test_a_scenario_without_a_workload_asks_for_nothing() -> None:
    with pytest.raises(UsageError, match="^workload is needed"):
        parse({})


@pytest.mark.parametrize(
    ("workload", "what"),
    [
        ({"preset": "video", "rate": 1}, "workload.preset must be 'chat' or 'agent', not 'video'"),
        ({"preset": "chat", "rate": 0}, "workload.rate must be a positive number"),
        ({"preset": "chat"}, "workload needs rate"),
        ({"trace": "nowhere.csv"}, "nowhere.csv cannot be read .*AzurePublicDataset"),
    ],
)
def test_a_workload_of_another_shape_that_cannot_be(workload: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        parse({"workload": workload})


def test_files_that_are_no_scenarios(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'nowhere' is no file that can be read .* and none of azure-hour, brownout"):
        load("nowhere")
    with pytest.raises(UsageError, match="is no file that can be read"):
        load(str(tmp_path))
    for content in (b"a = ", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(UsageError, match="is no TOML"):
            load(str(tmp_path / "bad.toml"))


# ---- those that are shipped ----

NAMES = ["azure-hour", "brownout", "failover", "kept-connections", "rate-limit", "stale-keepalive", "ten-connections"]


def test_which_are_shipped() -> None:
    assert list(shipped()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_scenario_loads_and_runs_shortened(name: str, tmp_path: Path) -> None:
    (tmp_path / "trace.csv").write_text(TRACE, encoding="utf-8")
    settings = {"seconds": 40 if name == "rate-limit" else 4, "warm_up": 0}  # whose bursts come seldom
    scenario = load(name, settings | ({"workload.trace": str(tmp_path / "trace.csv")} if name == "azure-hour" else {}))
    assert scenario.about
    assert len(scenario.cases) > 1
    assert all(case.expected for case in list(scenario.cases.values())[:1])
    experiments = {name: case.experiment for name, case in scenario.cases.items()}
    experiments |= {str(settings): experiment for settings, experiment in scenario.points[:1]}
    for results in compare(experiments, seeds=[0]).results.values():
        assert results[0].requests > 0


def test_the_trace_of_a_shipped_one_must_be_given() -> None:
    what = r"workload\.trace: azure_llm_conv_2023.csv cannot be read .* --set workload\.trace=PATH"
    with pytest.raises(UsageError, match=what):
        load("azure-hour")
