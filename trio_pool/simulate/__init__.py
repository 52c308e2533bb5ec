"""Pool experiments: the real pool and client on a virtual network under a virtual clock."""

from .advise import Advice, advise
from .arrivals import ClosedLoop, Diurnal, OnOff, Poisson, Recorded, Renewal, Slowed
from .distributions import (
    Constant,
    Distribution,
    Empirical,
    Exponential,
    Gamma,
    HyperExponential,
    LogNormal,
    Pareto,
    Uniform,
)
from .experiment import Experiment
from .faults import Blackhole, FinWhileIdle, HalfClose, Refuse, ResetAt, SlowResolve, Stall, Surplus
from .outages import Brownout, Bursts, Outage
from .provider import VirtualProvider
from .result import Result
from .run import Progress
from .sweep import Comparison, Sweep, compare, sweep
from .watch import InvariantBroken
from .workload import Service, Workload

__all__ = [
    "Advice",
    "Blackhole",
    "Brownout",
    "Bursts",
    "ClosedLoop",
    "Comparison",
    "Constant",
    "Distribution",
    "Diurnal",
    "Empirical",
    "Experiment",
    "Exponential",
    "FinWhileIdle",
    "Gamma",
    "HalfClose",
    "HyperExponential",
    "InvariantBroken",
    "LogNormal",
    "OnOff",
    "Outage",
    "Pareto",
    "Poisson",
    "Progress",
    "Recorded",
    "Refuse",
    "Renewal",
    "ResetAt",
    "Result",
    "Service",
    "SlowResolve",
    "Slowed",
    "Stall",
    "Surplus",
    "Sweep",
    "Uniform",
    "VirtualProvider",
    "Workload",
    "advise",
    "compare",
    "sweep",
]
