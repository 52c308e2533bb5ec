"""One case of a scenario: the experiment that its tables make, and what is expected of it."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs

from ...checks import NOT_NEGATIVE, POSITIVE, SHARE
from ...config import PoolConfig
from ...errors import UsageError
from ...upstreams import Upstream
from ..checks import one_of as choice
from ..experiment import Experiment
from ..result import COUNTS, OF_ALL, QUANTILES, unit_of
from ..traffic import workload as workloads
from ..traffic.distributions import Distribution
from ..traffic.measured import CHAT_FIRST_BYTE, PACE
from ..traffic.traces import Trace, read
from ..traffic.workload import Workload
from ..world.provider import VirtualProvider
from .reading import FAULTS, below, build, check_keys, distribution, many, nearest, one_of, record, table_of
from .wording import said

FIGURES = {
    figure.lower().replace(" ", "_").replace("'", ""): figure
    for figure in [
        *COUNTS,
        *(f"{time} mean" for time in ("wait", "first byte", "latency")),
        *(f"{time} p{share * 100:g}" for time in ("wait", "first byte", "latency", OF_ALL) for share in QUANTILES),
    ]
}
"""The figures of a result, by their names in `[expect]`."""

_OWN = ("seconds", "warm_up", "method", "hedging", "grace", "sample_every")

KEYS = {*_OWN, "pool", "workload", "providers", "upstreams", "faults", "expect"}
"""Of the tables that make a case."""

ONE_PROVIDER: Mapping[str, Any] = {"provider": {}}
"""The providers of a scenario that says nothing of them."""

_NOT_VIRTUAL = ("name", "key", "key_env", "models")  # fields of an upstream that mean nothing here

_IN_TOML = {
    ", math.inf or None": " or inf",
    ", or None": "",
    " or None": "",
    "math.inf": "inf",
    "True or False": "true or false",
}
"""What refusals say to who writes Python, and to who writes TOML, which has no None."""

_PRESETS = {"chat": workloads.chat, "agent": workloads.agent}


@attrs.frozen
class Expectation:
    """What a figure should be, on average over the seeds.

    :ivar figure: its name in `Result.figures`.
    :ivar is_least: whether `bound` is the least that it may be, and not the most.
    :ivar bound: in the figure's unit.
    """

    figure: str
    is_least: bool
    bound: float

    def is_met(self, value: float) -> bool:
        """Whether it is so; of what could not be measured it is not."""
        return value >= self.bound if self.is_least else value <= self.bound

    def __str__(self) -> str:
        unit = unit_of(self.figure)
        bound = said(self.bound, unit) if unit else f"{self.bound:g}"
        return f"{self.figure} should be at {'least' if self.is_least else 'most'} {bound}"


@attrs.frozen
class Case:
    """One experiment of a scenario.

    :ivar experiment: what is run.
    :ivar expected: what should come of it.
    """

    experiment: Experiment
    expected: tuple[Expectation, ...]


def case_of(document: Mapping[str, Any], folder: Path, path: str) -> Case:
    """What a document's tables make.

    :param document: tables with `KEYS`.
    :param folder: where a trace's path begins.
    :param path: of the table that was laid over them, if one was; refusals begin with it.
    :raises UsageError: a key or a value is wrong; tells the key's path.
    """
    try:
        check_keys(document, KEYS, "")
        return Case(_experiment(document, folder), tuple(_expectations(document.get("expect", {}))))
    except UsageError as error:
        raise UsageError(below(path, in_toml(error.what))) from None


def in_toml(refusal: str) -> str:
    """A refusal as it is meant for who writes TOML.

    :param refusal: that says what is needed, and perhaps ", not " and what is there instead.
    """
    needed, parted, value = refusal.partition(", not ")
    for python, toml in _IN_TOML.items():
        needed = needed.replace(python, toml)
    return f"{needed}{parted}{value.lower() if value in ('True', 'False') else value}"


def _experiment(document: Mapping[str, Any], folder: Path) -> Experiment:
    if "workload" not in document:
        raise UsageError("workload is needed: it says who asks for what, and when")
    parts: dict[str, Any] = {
        "config": record(PoolConfig, document.get("pool", {}), "pool"),
        "workload": _workload(document["workload"], folder),
        "providers": _providers(document.get("providers", ONE_PROVIDER)),
        "faults": many(one_of(*FAULTS))(document.get("faults", []), "faults"),
    }
    parts["upstream_options"] = _upstreams(document.get("upstreams", {}), [each.name for each in parts["providers"]])
    return build(Experiment, {**parts, **{key: document[key] for key in _OWN if key in document}}, "")


def _providers(value: Any) -> list[VirtualProvider]:
    tables = table_of(value, "providers").items()
    return [record(VirtualProvider, table, f"providers.{name}", name=name) for name, table in tables]


def _upstreams(value: Any, providers: Sequence[str]) -> Mapping[str, Any]:
    tables = table_of(value, "upstreams")
    check_keys(tables, providers, "upstreams")
    for name, options in tables.items():  # each must make one, so that a refusal has its path
        record(Upstream, options, f"upstreams.{name}", hidden=_NOT_VIRTUAL, base_url="http://a.test")
    return tables


def _expectations(value: Any) -> Iterator[Expectation]:
    for key, bound in table_of(value, "expect").items():
        figure, _, side = key.rpartition("_at_")
        if figure not in FIGURES or side not in ("least", "most"):
            allowed = [f"{each}_at_{end}" for each in FIGURES for end in ("least", "most")]
            raise UsageError(f"expect.{key} is nothing that can be expected: {nearest(key, allowed)}")
        rule = SHARE if unit_of(FIGURES[figure]) == "share" else NOT_NEGATIVE
        rule.check(f"expect.{key}", bound)
        yield Expectation(FIGURES[figure], side == "least", bound)


# ---- who asks ----


class _Shape(Protocol):
    def made(self, folder: Path, /) -> Workload: ...


@attrs.frozen
class _Preset:
    """A workload with figures from elsewhere."""

    preset: str = attrs.field(validator=choice(*_PRESETS))
    rate: float = attrs.field(validator=POSITIVE)

    def made(self, _: Path) -> Workload:
        return _PRESETS[self.preset](self.rate)


@attrs.frozen
class _Recorded:
    """A workload that was recorded, or a part of it."""

    trace: str
    first_byte: Distribution = CHAT_FIRST_BYTE
    seconds_per_token: Distribution = PACE
    start: float = attrs.field(default=0.0, validator=NOT_NEGATIVE)
    end: float = math.inf

    def made(self, folder: Path) -> Workload:
        known = _read(folder / self.trace)
        part = known if (self.start, self.end) == (0.0, math.inf) else known.window(self.start, self.end)
        return workloads.trace(part, first_byte=self.first_byte, seconds_per_token=self.seconds_per_token)


@functools.lru_cache(maxsize=4)
def _read(path: Path) -> Trace:
    try:
        return read(path)
    except OSError as error:
        what = f"workload.trace: {path} cannot be read ({error.strerror}); it is the path of a CSV file"
        raise UsageError(
            f"{what}, such as the Azure LLM traces (https://github.com/Azure/AzurePublicDataset): give it in the "
            "scenario, or to the command with --set workload.trace=PATH"
        ) from None


@attrs.frozen
class _Drawn:
    """A workload that is described."""

    arrivals: Any
    service: Any

    def made(self, _: Path) -> Workload:
        return Workload(self.arrivals, self.service)


def _workload(value: Any, folder: Path) -> Workload:
    table = table_of(value, "workload")
    shape: type[_Shape] = _Preset if "preset" in table else _Recorded if "trace" in table else _Drawn
    callers = {key: table[key] for key in ("cancelled", "patience") if key in table}
    if "patience" in callers:
        callers["patience"] = distribution(callers["patience"], "workload.patience")
    rest = {key: each for key, each in table.items() if key not in callers}
    made = record(shape, rest, "workload").made(folder)
    return build(Workload, {"arrivals": made.arrivals, "service": made.service, **callers}, "workload")
