"""Experiments for tests: small ones, in which much happens."""

from __future__ import annotations

from trio_pool import PoolConfig
from trio_pool.simulate import (
    Blackhole,
    Constant,
    Experiment,
    Exponential,
    FinWhileIdle,
    HalfClose,
    OnOff,
    Poisson,
    Refuse,
    ResetAt,
    Service,
    Surplus,
    VirtualProvider,
    Workload,
)

BURSTS = Workload(OnOff(120, 5, 0.5, 1.5), Service(Exponential(0.04)), cancelled=0.1, patience=Exponential(0.1))
"""More than is served at once, and callers without patience."""

FAULTS = (
    ResetAt(probability=0.02, byte=10),
    FinWhileIdle(probability=0.05),
    Surplus(probability=0.02, after=0.05),
    Refuse(probability=0.1),
    Blackhole(probability=0.05),
    HalfClose(probability=0.01, byte=50),
)

QUIET = Experiment(PoolConfig(), Workload(Poisson(50.0), Service(Exponential(0.1))), seconds=10.0)
"""Enough of everything, and nothing goes wrong."""

STORMY = Experiment(
    PoolConfig(
        max_connections=8,
        max_connections_per_host=6,
        max_waiting=12,
        keepalive_timeout=1.0,
        acquire_timeout=0.4,
        connection_timeout=0.3,
        read_timeout=1.0,
        max_lifetime=4.0,
        max_requests_per_connection=20,
    ),
    BURSTS,
    (VirtualProvider(round_trip=0.01, tls_round_trips=1, keepalive_timeout=2.0, announces_keepalive=True),),
    FAULTS,
    seconds=20.0,
)
"""Too little of everything, and everything goes wrong."""

CROWDED = Experiment(
    PoolConfig(
        max_connections=5,
        max_connections_per_host=3,
        max_waiting=15,
        keepalive_timeout=0.4,
        acquire_timeout=0.2,
        max_lifetime=1.0,
    ),
    BURSTS,
    tuple(VirtualProvider(name, round_trip=0.01) for name in ("red", "green", "blue")),
    seconds=20.0,
    spread=True,
)
"""Three hosts that compete for the pool's connections. Nothing goes wrong."""

LONG = Experiment(
    PoolConfig(keepalive_timeout=0.5, max_lifetime=1.0),
    Workload(Poisson(20.0), Service(Exponential(1.0))),
    seconds=10.0,
)
"""Answers that take longer than a connection may be idle, or live. Nothing goes wrong."""

RIVALS = Experiment(
    PoolConfig(max_connections=2),
    Workload(Poisson(50.0), Service(Constant(0.06))),
    tuple(VirtualProvider(name) for name in ("red", "green", "blue")),
    seconds=10.0,
    spread=True,
)
"""More than two connections can serve, and three hosts that want them. Nothing goes wrong."""
