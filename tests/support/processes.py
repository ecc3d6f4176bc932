"""Fresh interpreters, which find the tests' helpers."""

from __future__ import annotations

import os
import subprocess
import sys

from support import TESTS


def python(
    *arguments: object, timeout: float = 300, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run an interpreter to its end; return its exit code and what it wrote."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=with_helpers(**environment),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def with_helpers(**environment: str) -> dict[str, str]:
    """Return this process's environment with variables changed, where `support` is importable."""
    places = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places), **environment}
