"""The machine that results were measured on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any


def describe_machine(packages: Sequence[str]) -> dict[str, Any]:
    """Return what results depend on: processor, cores, load, versions of packages; and the date."""
    information = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in information if "model name" in line]
    versions = {}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": cores(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": versions,
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
    }


def sentence(machine: Mapping[str, Any]) -> str:
    """Return a machine's description as the line below a table."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load']:.1f} before the "
        f"start; Python {machine['python']}, {packages}; {machine['date']}."
    )


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))
