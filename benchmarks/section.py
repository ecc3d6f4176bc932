"""The section's job on ML-100K, with d2l and with autorec, side by side.

Each job is a process of its own, and the sides take turns, so that what else the machine does
falls on both. Only the ratios carry over to another machine.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from autorec import movielens
from autorec.files import replacing

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PACKAGES = ("gluon-autorec", "d2l", "mxnet", "mxnet-cu112", "numpy", "pandas")

#: With d2l; with autorec's functions of the same names; and as the command does it.
D2L, CELLS, COMMAND = JOBS = ("d2l", "autorec", "autorec train")


@dataclass(frozen=True)
class Row:
    """What a row of the table compares: a quantity of d2l's job with that of one of autorec's.

    `target` is how many times less autorec is to need.
    """

    name: str
    quantity: str
    unit: str
    job: str
    target: float | None = None


ROWS = (
    Row("Loading: read, split, both matrices", "loading", "s", CELLS, 100),
    Row("An epoch of `train_recsys_rating`", "epoch", "s", CELLS, 1.4),
    Row("— its training", "training", "s", CELLS),
    Row("— its evaluation", "evaluation", "s", CELLS),
    Row("The whole job, a process: `autorec train`", "seconds", "s", COMMAND, 3),
    Row("— its time on the CPU", "cpu_seconds", "s", COMMAND),
    Row("— its peak memory", "megabytes", "MB", COMMAND, 1),
    Row("The whole job, a process: the section's cells", "seconds", "s", CELLS),
    Row("— its time on the CPU", "cpu_seconds", "s", CELLS),
    Row("— its peak memory", "megabytes", "MB", CELLS, 1),
)


def compare(rounds: int, epochs: int) -> str:
    """Measure, and write section.md and section.json to benchmarks/results/.

    Parameters
    ----------
    rounds : int
        How often each job is done.
    epochs : int
        At least 2, for a job's first epoch is left out of the epochs' medians.

    Returns
    -------
    str
        The table, in Markdown.
    """
    if importlib.util.find_spec("d2l") is None:
        sys.exit("benchmarks: d2l is not installed; it needs Python 3.9 to 3.11.")
    data = movielens.fetch("100k")
    machine = describe_machine()
    print("d2l takes 20 seconds to 2 minutes a time.", file=sys.stderr)
    samples: dict[str, dict[str, list[float]]] = {job: defaultdict(list) for job in JOBS}
    for number in range(1, rounds + 1):
        for job in JOBS:
            print(f"round {number} of {rounds}: {job} ...", end="", file=sys.stderr, flush=True)
            for quantity, values in measure(job, data, epochs).items():
                samples[job][quantity].extend(values)
            print(f" {samples[job]['seconds'][-1]:.1f} s", file=sys.stderr)
    results = [result(row, samples) for row in ROWS]
    settings = {"rounds": rounds, "epochs": epochs}
    table = render(results, settings, machine)
    RESULTS.mkdir(exist_ok=True)
    with replacing(RESULTS / "section.md") as path:
        path.write_text(table)
    with replacing(RESULTS / "section.json") as path:
        content = {**settings, "machine": machine, "results": results, "samples": samples}
        path.write_text(json.dumps(content, indent=2) + "\n")
    return table


def measure(job: str, data: Path, epochs: int) -> dict[str, list[float]]:
    """Do a job in a process of its own and return what it took, in seconds and megabytes.

    The memory is that of the job's largest process: what d2l's eight loader processes need
    besides is not counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.json"
        if job == COMMAND:
            module = ["autorec", "train", f"--epochs={epochs}", "--devices=cpu"]
            module += [f"--output={folder}/run"]
        else:
            module = ["benchmarks.section_job", job, str(data), str(epochs), str(notes)]
        command = [sys.executable, "-m", *module]
        # d2l draws the curve anew each epoch: here without a window, and through an IPython shell
        # that would otherwise write to the user's history.
        environment = {**os.environ, "MPLBACKEND": "Agg", "IPYTHONDIR": folder}
        with (Path(folder) / "log").open("w+") as log:
            started = time.perf_counter()
            with subprocess.Popen(
                command, cwd=HERE.parent, env=environment, stdout=log, stderr=log
            ) as process:
                _, status, usage = os.wait4(process.pid, 0)
                seconds = time.perf_counter() - started
                process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                log.seek(0)
                sys.exit(f"\n{log.read()}\nbenchmarks: {' '.join(command)} failed, see above.")
        return {
            "seconds": [seconds],
            "cpu_seconds": [usage.ru_utime + usage.ru_stime],
            "megabytes": [usage.ru_maxrss * 1024 / 1e6],
            **(json.loads(notes.read_text()) if notes.exists() else {}),
        }


def result(row: Row, samples: Mapping[str, Mapping[str, Sequence[float]]]) -> dict[str, Any]:
    """Return a row's medians, d2l's over autorec's, and whether that reaches the target."""
    d2l, autorec = (median(samples[job][row.quantity]) for job in (D2L, row.job))
    met = None if row.target is None else d2l / autorec >= row.target
    return {
        "name": row.name,
        "unit": row.unit,
        "d2l": d2l,
        "autorec": autorec,
        "ratio": d2l / autorec,
        "target": row.target,
        "met": met,
    }


def render(
    results: Sequence[Mapping[str, Any]], settings: Mapping[str, int], machine: Mapping[str, Any]
) -> str:
    """Return results as a Markdown table, with what they were measured on."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    lines = [
        "AutoRec on MovieLens-100K with the section's settings, on the CPU: medians of "
        f"{settings['rounds']} x {settings['epochs']} epochs on each side, in turn.",
        "",
        "| | d2l | autorec | d2l / autorec | to reach | reached |",
        "|:--|--:|--:|--:|--:|:--|",
    ]
    for each in results:
        target = "" if each["target"] is None else f"{each['target']:g}"
        met = {None: "", True: "yes", False: "**no**"}[each["met"]]
        d2l, autorec = (quantity(each[side], each["unit"]) for side in ("d2l", "autorec"))
        lines.append(
            f"| {each['name']} | {d2l} | {autorec} | {each['ratio']:.3g} | {target} | {met} |"
        )
    lines += [
        "",
        f"{machine['processor']}, {machine['cores']} cores, load {machine['load']:.1f} before the "
        f"start; Python {machine['python']}, {packages}; {machine['date']}.",
        "",
    ]
    return "\n".join(lines)


def quantity(value: float, unit: str) -> str:
    """Return a value to three digits with its unit."""
    return f"{value:.0f} {unit}" if value >= 100 else f"{value:#.3g} {unit}"


def describe_machine() -> dict[str, Any]:
    """Return what the results depend on: processor, cores, load, versions; and the date."""
    information = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in information if "model name" in line]
    packages = {}
    for name in PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "packages": packages,
        "date": f"{datetime.now(timezone.utc):%Y-%m-%d}",
    }
