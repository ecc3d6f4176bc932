"""A job in a process of its own: its time, its memory, and what it notes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from autorec import AutorecError

from .machine import cores

#: What libraries read once, when they are loaded. Left alone, MXNet takes half of the cores, and
#: its threads and numba's get in each other's way.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

#: Python keeps the bytecode of modules, as it does where nobody says otherwise: to compile all of
#: them takes a process some seconds.
_FOUND = {name: os.environ[name] for name in os.environ if name != "PYTHONDONTWRITEBYTECODE"}


def use_all_cores() -> None:
    """Say to every library that is loaded from now on that there are as many threads as cores."""
    os.environ.update(dict.fromkeys(THREADS, str(cores())))


class JobError(AutorecError):
    """A job failed; the message ends with what it said."""


def measure(
    module: Sequence[str], folder: Path, *, threads: bool = False
) -> dict[str, list[float]]:
    """Run ``python -m`` with a module and its arguments; return what it took.

    Parameters
    ----------
    module : sequence of str
    folder : Path
        Where the job may have left notes.json, a mapping of str to numbers.
    threads : bool
        Whether every library is to compute with as many threads as there are cores; if not, with
        what it takes by itself.

    Returns
    -------
    dict
        "seconds", "cpu_seconds" and "megabytes", the peak of the job's largest process, each in a
        list; and the notes.

    Raises
    ------
    JobError
        If it fails.
    """
    # d2l draws the curve anew each epoch: here without a window, and through an IPython shell
    # that would otherwise write to the user's history.
    environment = {**_FOUND, "MPLBACKEND": "Agg", "IPYTHONDIR": str(folder)}
    if threads:
        environment.update(dict.fromkeys(THREADS, str(cores())))
    command = [sys.executable, "-m", *module]
    notes = folder / "notes.json"
    notes.unlink(missing_ok=True)
    with tempfile.TemporaryFile("w+") as log:
        started = time.perf_counter()
        with subprocess.Popen(
            command, cwd=Path(__file__).parents[1], env=environment, stdout=log, stderr=log
        ) as process:
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            raise JobError(
                f"{' '.join(command)} failed ({process.returncode}), having said:\n{log.read()}"
            )
    return {
        "seconds": [seconds],
        "cpu_seconds": [usage.ru_utime + usage.ru_stime],
        "megabytes": [usage.ru_maxrss * 1024 / 1e6],
        **(json.loads(notes.read_text()) if notes.exists() else {}),
    }
