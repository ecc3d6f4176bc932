"""Waiting: imports and the help, the first epoch of all, and everybody's recommendations."""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from benchmarks.machine import describe_machine, sentence
from benchmarks.markdown import quantity, table, write
from benchmarks.process import measure

PACKAGES = ("gluon-autorec", "mxnet", "numba", "numpy", "pandas", "scipy")
JOB = "benchmarks.jobs.waiting_job"
#: What is waited for, in which of a job's samples, and beside which, or alone in seconds; at most.
ROWS = (
    ("`import autorec`", "autorec", "numpy", 1.2),
    ("`autorec --help`", "help", "numpy", 3.0),
    ("The first epoch of all, less the others", "compiling", None, 3.0),
    ("Everybody's 10 best to a file, ML-1M's size", "recommendations", "products", 1.5),
)
NAMES = {"numpy": "`import numpy`", "products": "codes and products alone"}


def compare(folder: Path, rounds: int = 5, *, quick: bool = False) -> str:
    """Measure, and write waiting.md and waiting.json to a folder.

    Parameters
    ----------
    folder : Path
    rounds : int
        How often each is done, in turn.
    quick : bool
        Of small sets of ratings.

    Returns
    -------
    str
        The table, in Markdown.
    """
    machine = describe_machine(PACKAGES)
    samples: dict[str, list[float]] = defaultdict(list)
    small = ["quick"] * quick
    for number in range(1, rounds + 1):
        print(f"waiting: round {number} of {rounds} ...", file=sys.stderr, flush=True)
        for what in ("numpy", "autorec", "help", "first", "recommend"):
            with tempfile.TemporaryDirectory() as place:
                job = ["autorec", "--help"] if what == "help" else [JOB, what, place, *small]
                took = measure(job, Path(place))
                if what in ("numpy", "autorec", "help"):
                    samples[what] += took["seconds"]
                for name in ("compiling", "products", "recommendations"):
                    samples[name] += took.get(name, [])
    rows = []
    for name, what, beside, target in ROWS:
        seconds = median(samples[what])
        other = median(samples[beside]) if beside else 1.0
        rows.append([
            name,
            quantity(seconds, "s"),
            f"{NAMES[beside]}, {quantity(other, 's')}" if beside else "",
            f"{seconds / other:.3g}" if beside else "",
            f"{target:g}" + " s" * (beside is None),
            "yes" if seconds / other <= target else "**no**",
        ])  # fmt: skip
    lines = [
        f"Medians of {rounds} rounds, in turn; imports and the help are whole processes.",
        "",
        *table(["", "time", "beside", "ratio", "at most", "reached"], rows),
        "",
        sentence(machine),
        "",
    ]
    text = "\n".join(lines)
    write(folder, "waiting", text, {"machine": machine, "samples": samples})
    return text
