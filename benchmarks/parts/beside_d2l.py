"""The section's job on ML-100K, with d2l and with autorec, side by side.

Each job is a process of its own, and the sides take turns, so that what else the machine does
falls on both. Only the ratios carry over to another machine.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from autorec.data.movielens import tables as movielens
from autorec.errors import ConfigurationError
from benchmarks.machine import describe_machine, sentence
from benchmarks.markdown import quantity, reached, table, write
from benchmarks.process import measure

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
    Row("An epoch of `train_recsys_rating`", "epoch", "s", CELLS, 1.5),
    Row("— its training", "training", "s", CELLS),
    Row("— its evaluation", "evaluation", "s", CELLS),
    Row("The whole job, a process: `autorec train`", "seconds", "s", COMMAND, 6),
    Row("— its time on the CPU", "cpu_seconds", "s", COMMAND),
    Row("— its peak memory", "megabytes", "MB", COMMAND, 1),
    Row("The whole job, a process: the section's cells", "seconds", "s", CELLS),
    Row("— its time on the CPU", "cpu_seconds", "s", CELLS),
    Row("— its peak memory", "megabytes", "MB", CELLS, 1),
)


def compare(folder: Path, rounds: int, epochs: int) -> str:
    """Measure, and write section.md and section.json to a folder.

    Parameters
    ----------
    folder : Path
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
        raise ConfigurationError("d2l is not installed; it needs Python 3.9 to 3.11.")
    data = movielens.fetch("100k")
    machine = describe_machine(PACKAGES)
    print("d2l takes 20 seconds to 2 minutes a time.", file=sys.stderr)
    samples: dict[str, dict[str, list[float]]] = {side: defaultdict(list) for side in JOBS}
    for number in range(1, rounds + 1):
        for side in JOBS:
            print(f"round {number} of {rounds}: {side} ...", end="", file=sys.stderr, flush=True)
            for name, values in job(side, data, epochs).items():
                samples[side][name].extend(values)
            print(f" {samples[side]['seconds'][-1]:.1f} s", file=sys.stderr)
    results = [result(row, samples) for row in ROWS]
    settings = {"rounds": rounds, "epochs": epochs}
    text = render(results, settings, machine)
    content = {**settings, "machine": machine, "results": results, "samples": samples}
    write(folder, "section", text, content)
    return text


def job(name: str, data: Path, epochs: int) -> dict[str, list[float]]:
    """Do a job in a process of its own and return what it took, in seconds and megabytes.

    The memory is that of the job's largest process: what d2l's eight loader processes need
    besides is not counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        if name == COMMAND:
            module = ["autorec", "train", f"--epochs={epochs}", "--devices=cpu"]
            module += [f"--output={folder}/run"]
        else:
            module = [
                "benchmarks.jobs.section_job",
                name,
                str(data),
                str(epochs),
                f"{folder}/notes.json",
            ]
        return measure(module, Path(folder))


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
    rows = []
    for each in results:
        sides = [quantity(each[side], each["unit"]) for side in ("d2l", "autorec")]
        rows.append([each["name"], *sides, *reached(each["ratio"], each["target"])])
    head = ["", "d2l", "autorec", "d2l / autorec", "to reach", "reached"]
    lines = [
        "AutoRec on MovieLens-100K with the section's settings, on the CPU: medians of "
        f"{settings['rounds']} x {settings['epochs']} epochs on each side, in turn.",
        "",
        *table(head, rows),
        "",
        sentence(machine),
        "",
    ]
    return "\n".join(lines)
