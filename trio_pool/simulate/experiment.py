"""One experiment: the real client and pool on a virtual network, asked by virtual callers, in virtual time.

`Experiment` is a value: all that decides what will happen, its seed included. `run.py` lets it happen.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import attrs

from .. import checks
from ..config import PoolConfig
from ..errors import UsageError
from ..upstreams import Upstream
from .checks import all_of, is_a, one_of, truth
from .describe import NoSource, source
from .paths import no_such
from .result import Result
from .run import Progress, Run
from .traffic.arrivals import length_of
from .traffic.distributions import as_tuple
from .traffic.workload import Workload
from .world.faults import KINDS, Fault
from .world.provider import VirtualProvider

SECONDS = 60.0
"""For how long requests begin where nothing says so."""

LONGEST_COMMAND = 10_000
"""Characters: what replays an experiment is a command up to here."""

MOST_REQUESTS = 100_000_000
"""Of one experiment, as far as its rate tells: many hours of computing."""

MOST_SAMPLES = 100_000

WHOLE = checks.Rule("a whole number", lambda _: True, whole=True)

METHODS = ("POST", "GET", "PUT", "PATCH", "DELETE")

OPTIONS = frozenset(field.name for field in attrs.fields(Upstream)) - {"base_url", "name", "key", "key_env"}
"""What may be said of an upstream: where it is and what it is called are known, and nobody asks for keys."""


class Options(Mapping[str, Any]):
    """A mapping that stays as it is, so that it can be part of a value.

    :param members: what is in it; mappings among them become such ones too.
    """

    __slots__ = ("_members",)

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = {
            key: Options(cast("Mapping[str, Any]", each)) if isinstance(each, Mapping) else each
            for key, each in members.items()
        }

    def __getitem__(self, key: str) -> Any:
        return self._members[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __hash__(self) -> int:
        return hash(frozenset(self._members))  # what they are may have no hash

    def __repr__(self) -> str:
        return repr(self._members)


def _as_options(options: Any) -> Any:
    return Options(cast("Mapping[str, Any]", options)) if isinstance(options, Mapping) else options


def _are_options(_: object, attribute: attrs.Attribute[Any], options: object) -> None:
    if not isinstance(options, Options):
        raise UsageError(f"Experiment.{attribute.name} must be a mapping, not {options!r}")
    for name, each in options.items():
        if not isinstance(each, Options):
            raise UsageError(
                f"Experiment.{attribute.name}[{name!r}] must be a mapping of Upstream's fields, not {each!r}"
            )


@attrs.frozen
class Experiment:
    """What is asked of which pool, and of which providers behind it. Times are in seconds, virtual ones.

    Experiments that differ only in `config`, `providers` or `faults` have the same requests, at the same times. Users
    in a closed loop ask for the same, but when they do depends on the answers.

    :ivar config: the pool's.
    :ivar workload: who asks for what, and when.
    :ivar providers: who answers (one without limits). Of several, the client makes a group of upstreams.
    :ivar faults: what goes wrong on the network (nothing).
    :ivar seed: decides everything that is left to chance (0).
    :ivar seconds: for how long requests begin (None: the whole of a recording, 60.0 of other traffic); those under way
        then may end. `length` tells it.
    :ivar warm_up: requests that are meant to begin before this do not count in the result (0.0).
    :ivar upstream_options: by a provider's name, fields of its `Upstream`, such as `{"east": {"priority": 1}}` (none).
        A single provider with options is an upstream too.
    :ivar spread: whether requests go to the providers in turn, as to hosts that have nothing in common, instead of to a
        group of upstreams (False).
    :ivar method: of the requests ("POST", as for language models; "GET" can be sent again whatever happens).
    :ivar hedging: as of `open_client` (False).
    :ivar grace: how long the last requests may take after `seconds`; then they are cancelled (600.0).
    :ivar sample_every: between two looks at the pool's figures (None: 200 of them in `length`).
    :ivar replay: a command that runs it, without the seed, which is put behind it: "trio-pool simulate a.toml --seed".
        It is told when an invariant breaks (empty: Python that makes the experiment).
    :raises UsageError: for a nonsensical value, with the field's name; for upstreams that do not fit into the pool; for
        more than `MOST_REQUESTS` or `MOST_SAMPLES`.
    """

    config: PoolConfig = attrs.field(validator=is_a(PoolConfig))
    workload: Workload = attrs.field(validator=is_a(Workload))
    providers: tuple[VirtualProvider, ...] = attrs.field(
        default=(VirtualProvider(),), converter=as_tuple, validator=all_of(VirtualProvider)
    )
    faults: tuple[Fault, ...] = attrs.field(default=(), converter=as_tuple, validator=all_of(*KINDS))
    seed: int = attrs.field(default=0, validator=WHOLE)
    seconds: float | None = attrs.field(default=None, validator=attrs.validators.optional(checks.POSITIVE))
    warm_up: float = attrs.field(default=0.0, validator=checks.NOT_NEGATIVE)
    upstream_options: Mapping[str, Mapping[str, Any]] = attrs.field(
        factory=cast("Any", dict), converter=_as_options, validator=_are_options, kw_only=True
    )
    spread: bool = attrs.field(default=False, validator=truth, kw_only=True)
    method: str = attrs.field(default="POST", validator=one_of(*METHODS), kw_only=True)
    hedging: bool = attrs.field(default=False, validator=truth, kw_only=True)
    grace: float = attrs.field(default=600.0, validator=checks.NOT_NEGATIVE, kw_only=True)
    sample_every: float | None = attrs.field(
        default=None, validator=attrs.validators.optional(checks.POSITIVE), kw_only=True
    )
    replay: str = attrs.field(default="", validator=is_a(str), eq=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        names = [provider.name for provider in self.providers]
        if not names or len(set(names)) < len(names):
            raise UsageError(f"Experiment.providers must be at least one, each with a name of its own, not {names}")
        for place, fault in enumerate(self.faults):
            if fault.provider not in (None, *names):
                path = f"faults.{place}.provider"
                raise UsageError(
                    f"Experiment.{path} must be a provider's name ({', '.join(names)}), not {fault.provider!r}"
                )
        if self.warm_up >= self.length:
            raise UsageError(f"Experiment.warm_up must be less than seconds ({self.length:g}), not {self.warm_up:g}")
        unknown = sorted(self.upstream_options.keys() - set(names))
        if unknown:
            raise UsageError(
                f"Experiment.upstream_options has {unknown[0]!r}, which is no provider: {', '.join(names)}"
            )
        if self.spread and self.upstream_options:
            raise UsageError("Experiment.spread leaves no upstreams to which upstream_options could apply")
        self._check_upstreams()
        self._check_size()

    def _check_upstreams(self) -> None:
        needed, most = sum(upstream.max_connections or 1 for upstream in self.upstreams()), self.config.max_connections
        if needed > most:
            raise UsageError(f"Experiment.upstreams need {needed} connections, more than the {most} of the pool")

    def _check_size(self) -> None:
        """What would run for days is a mistake."""
        requests = self.workload.expected(self.length)
        if requests > MOST_REQUESTS:
            raise UsageError(
                f"Experiment.workload has about {requests:.3g} requests in {self.length:g} s, and "
                f"{MOST_REQUESTS:,} are the most: a lower rate is needed, or fewer seconds"
            )
        least = self.length / MOST_SAMPLES
        if self.sample_every is not None and self.sample_every < least:
            raise UsageError(
                f"Experiment.sample_every must be at least {least:.3g} in {self.length:g} s, not "
                f"{self.sample_every:g}: {MOST_SAMPLES:,} samples are the most"
            )

    @property
    def length(self) -> float:
        """For how many seconds requests begin."""
        return self.seconds or length_of(self.workload.arrivals) or SECONDS

    def upstreams(self) -> list[Upstream]:
        """The client's upstreams; none, where there is one provider and nothing more is said of it.

        :raises UsageError: their options make none.
        """
        if self.spread or (len(self.providers) == 1 and not self.upstream_options):
            return []
        return [self._upstream(provider, self.upstream_options.get(provider.name, {})) for provider in self.providers]

    def _upstream(self, provider: VirtualProvider, options: Mapping[str, Any]) -> Upstream:
        for option in options:
            if option not in OPTIONS:
                path = f"upstream_options.{provider.name}.{option}"
                raise UsageError(no_such(path, option, "no upstream of an experiment", OPTIONS))
        return Upstream(provider.url, name=provider.name, **options)

    @property
    def command(self) -> str:
        """What runs this experiment again: a command line, where there is one that is not too long."""
        if self.replay:
            return f"{self.replay} {self.seed}"
        imports: set[str] = set()
        try:
            made = source(self, imports)
        except NoSource:
            made = ""
        code = "; ".join([*sorted(imports), f"print({made}.run())"])
        if not made or len(code) > LONGEST_COMMAND:
            return f"run() of the same Experiment, whose seed is {self.seed}"
        return f"python -c {shlex.quote(code)}"

    def run(self, *, progress: Callable[[Progress], None] | None = None) -> Result:
        """Run it, and give what came of it. In other threads others may run, of trio too.

        :param progress: is called at every sample; what it raises ends the run.
        :raises InvariantBroken: the pool did what it never may; it tells the command that replays the run.
        :raises RuntimeError: this thread is in a run of trio already.
        """
        return Run(self, progress).go()
