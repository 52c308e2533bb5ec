"""What a reader needs to judge a run: the machine, the versions, the settings."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

from .rounds import Plan
from .server import Addresses

PACKAGES = ("trio", "h11", "httpx2", "httpcore2", "httpx", "httpcore", "aiohttp", "zapros", "pyreqwest")


def tell(plan: Plan, servers: Addresses) -> dict[str, Any]:
    """All of it, as plain values."""
    return {
        "when": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "server": servers.name,
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "events": servers.event_count,
        "packages": {name: version for name in PACKAGES if (version := installed(name))},
    }


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())


def installed(package: str) -> str | None:
    """The version of a package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
