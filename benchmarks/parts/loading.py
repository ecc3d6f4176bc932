"""Loading: ML-1M's ratings from CSV to batches, beside pandas.read_csv of the same file."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import numpy
import pandas as pd

from autorec.data.interactions import Interactions
from autorec.data.reading import read_ratings
from benchmarks import synthetic
from benchmarks.jobs.epoch_job import BATCH
from benchmarks.machine import describe_machine, sentence
from benchmarks.markdown import quantity, table, write
from benchmarks.real import ratings

PACKAGES = ("gluon-autorec", "pandas", "numpy", "scipy")
#: How many times as long as pandas.read_csv it may take.
TARGET = 1.5


def compare(
    folder: Path, sources: Mapping[str, Path | None], rounds: int = 15, *, quick: bool = False
) -> str:
    """Measure, and write loading.md and loading.json to a folder.

    Parameters
    ----------
    folder : Path
    sources : mapping of str to path
        Where the user's own copies of MovieLens are, see `benchmarks.real`.
    rounds : int
        How often each reads the file, in turn.
    quick : bool
        Read a small synthetic file instead.

    Returns
    -------
    str
        The table, in Markdown.
    """
    machine = describe_machine(PACKAGES)
    frame = _small() if quick else ratings("ML-1M", sources).frame()
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "ratings.csv"
        columns = frame[["user", "item", "rating"]]
        columns.astype({"rating": int}).to_csv(path, index=False)
        print(f"loading: {rounds} rounds ...", file=sys.stderr, flush=True)
        samples: dict[str, list[float]] = {"pandas": [], "autorec": []}
        for _ in range(rounds):
            samples["pandas"].append(_seconds(lambda: pd.read_csv(path)))
            samples["autorec"].append(_seconds(lambda: load(path)))
    by_pandas, by_autorec = (median(samples[side]) for side in ("pandas", "autorec"))
    ratio = by_autorec / by_pandas
    rows = [
        ["pandas.read_csv", quantity(by_pandas, "s"), "", "", ""],
        [
            "autorec: read, checked, a matrix, batches",
            quantity(by_autorec, "s"),
            f"{ratio:.3g}",
            f"{TARGET:g}",
            "yes" if ratio <= TARGET else "**no**",
        ],
    ]
    lines = [
        f"{len(frame):,} ratings from an uncompressed CSV file to batches ready: medians of "
        f"{rounds} times each, in turn.",
        "",
        *table(["", "time", "of pandas' time", "at most", "reached"], rows),
        "",
        sentence(machine),
        "",
    ]
    text = "\n".join(lines)
    content = {"machine": machine, "ratings": len(frame), "ratio": ratio, "samples": samples}
    write(folder, "loading", text, content)
    return text


def load(path: Path) -> Interactions:
    """Read a file of ratings and arrange them, up to the rows of the first batch."""
    matrix = Interactions.from_ratings(read_ratings(path))
    next(matrix.batches(BATCH, numpy.random.default_rng(0)))
    return matrix


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def _small() -> pd.DataFrame:
    cells = synthetic.interactions(300, 400, 5_000).matrix.tocoo()
    return pd.DataFrame({"user": cells.col, "item": cells.row, "rating": cells.data})
