"""Updates: an epoch where steps touch few columns, with exact and with lazy updates."""

from __future__ import annotations

import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import median

from autorec.compute.choice import touched_share
from benchmarks import synthetic
from benchmarks.jobs.epoch_job import BATCH, save
from benchmarks.machine import describe_machine, sentence
from benchmarks.markdown import quantity, table, write
from benchmarks.process import measure

PACKAGES = ("gluon-autorec", "mxnet", "numba", "numpy", "scipy")
#: Shapes, and at most how many seconds an epoch is to take.
SHAPES = (
    ("CiaoDVD's shape", (16_121, 17_615, 65_000), 0.15),
    ("with a tenth of the ratings", (16_121, 17_615, 6_500), 0.05),
)
QUICK = (("a small set", (400, 300, 1_000), 0.05),)
WAYS = ("exact", "lazy")


def compare(
    folder: Path,
    shapes: tuple[tuple[str, tuple[int, int, int], float], ...] = SHAPES,
    rounds: int = 3,
    epochs: int = 6,
    units: int = 500,
) -> str:
    """Measure, and write updates.md and updates.json to a folder.

    Parameters
    ----------
    folder : Path
    shapes : tuple
        Names, items, users and ratings, and seconds to stay within.
    rounds, epochs : int
        How often each is trained, in turn, and for how long; the first epoch is left out.
    units : int
        Hidden units.

    Returns
    -------
    str
        The table, in Markdown.
    """
    machine = describe_machine(PACKAGES)
    results, rows = {}, []
    for name, shape, target in shapes:
        train = synthetic.interactions(*shape)
        share = touched_share(train, BATCH)
        samples: dict[str, list[float]] = defaultdict(list)
        with tempfile.TemporaryDirectory() as place:
            save(Path(place), "train", train)
            for number in range(1, rounds + 1):
                print(f"updates: {name}, round {number} ...", file=sys.stderr, flush=True)
                for way in WAYS:
                    job = ["benchmarks.jobs.epoch_job", "sparse", place, str(epochs), str(units)]
                    took = measure([*job, "0", way], Path(place), threads=True)
                    samples[way] += took["epoch"]
        exact, lazy = (median(samples[way]) for way in WAYS)
        results[name] = {"shape": shape, "touched": share, "samples": samples}
        rows.append([
            f"{name}: {shape[0]:,} x {shape[1]:,}, {shape[2]:,} ratings",
            f"{share:.1%}",
            quantity(exact, "s"),
            quantity(lazy, "s"),
            f"{exact / lazy:.3g}",
            quantity(target, "s"),
            "yes" if lazy <= target else "**no**",
        ])  # fmt: skip
    head = ["", "columns a step touches", "exact", "lazy", "exact / lazy", "at most", "reached"]
    lines = [
        f"An epoch with {units} hidden units and batches of {BATCH}: medians of {rounds} x "
        f"{epochs - 1} epochs, in turn.",
        "",
        *table(head, rows),
        "",
        sentence(machine),
        "",
    ]
    text = "\n".join(lines)
    write(folder, "updates", text, {"machine": machine, "results": results})
    return text
