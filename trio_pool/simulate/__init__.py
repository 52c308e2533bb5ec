"""Pool experiments: the real pool and client on a virtual network under a virtual clock."""

from .advisor.advise import Advice, advise
from .experiment import Experiment
from .result import Result
from .run import Progress
from .sweep import Comparison, Sweep, compare, sweep
from .traffic.arrivals import ClosedLoop, Diurnal, OnOff, Poisson, Recorded, Renewal, Slowed
from .traffic.distributions import (
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
from .traffic.workload import Service, Workload, agent, chat, trace
from .watch import InvariantBroken
from .world.faults import Blackhole, FinWhileIdle, HalfClose, Refuse, ResetAt, SlowResolve, Stall, Surplus
from .world.outages import Brownout, Bursts, Outage
from .world.provider import VirtualProvider

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
    "agent",
    "chat",
    "compare",
    "sweep",
    "trace",
]
