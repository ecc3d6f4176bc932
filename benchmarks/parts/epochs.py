"""An epoch, the optimizer included: the sparse way, the dense way and PyTorch, side by side.

Each job is a process of its own with as many threads as cores, and the sides take turns. Where
whole rows would take too long they are measured on a few batches of the real width, and the epoch's
time is what so many batches would take.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from autorec.compute.choice import break_even
from autorec.data.interactions import Interactions
from autorec.errors import AutorecError
from benchmarks import synthetic
from benchmarks.jobs.epoch_job import BATCH, save
from benchmarks.machine import describe_machine, sentence
from benchmarks.markdown import quantity, reached, table, write
from benchmarks.process import JobError, measure
from benchmarks.real import interactions

PACKAGES = ("gluon-autorec", "mxnet", "numba", "torch", "numpy", "scipy")
SPARSE, DENSE, TORCH = WAYS = ("sparse", "dense", "torch")
NAMES = {SPARSE: "sparse", DENSE: "dense", TORCH: "PyTorch"}


@dataclass(frozen=True)
class Set:
    """A set of ratings and how it is measured.

    Parameters
    ----------
    name : str
    rows, columns, ratings : int
        Items, users and ratings of a synthetic set; 0 for MovieLens' own.
    epochs, rounds : int
        The first of several epochs is left out.
    batches : int
        How many batches stand for an epoch of whole rows; 0 for all.
    ways : sequence of str
        Those of `WAYS` that are measured.
    targets : mapping of str to float
        How many times as long as autorec's epoch another's is to take.
    megabytes : float, optional
        The peak memory to stay within.
    held_out : float
        The share of the ratings that the net is evaluated on after the last epoch.
    units : int
        Hidden units.
    """

    name: str
    rows: int = 0
    columns: int = 0
    ratings: int = 0
    epochs: int = 2
    rounds: int = 3
    batches: int = 0
    ways: Sequence[str] = WAYS
    targets: Mapping[str, float] | None = None
    megabytes: float | None = None
    held_out: float = 0.0
    units: int = 500


SETS = (
    Set("ML-100K", epochs=11, targets={TORCH: 1}),
    Set("ML-1M", epochs=4, targets={TORCH: 1}),
    Set(
        "ML-10M shape", 10_677, 69_878, 10_000_000,
        epochs=1, batches=3, targets={DENSE: 4, TORCH: 2.5},
    ),
    Set(
        "ML-25M shape", 59_047, 162_541, 25_000_000,
        epochs=1, rounds=2, batches=2, targets={DENSE: 8, TORCH: 4},
    ),
    Set(
        "Netflix shape", 17_770, 480_189, 100_000_000,
        epochs=1, rounds=1, ways=(SPARSE,), megabytes=20_000, held_out=0.014,
    ),
)  # fmt: skip

#: One that has everything the others have, in some seconds.
QUICK = (
    Set(
        "a small set", 520, 700, 10_000, epochs=1, rounds=1, batches=1, targets={DENSE: 4},
        megabytes=20_000, held_out=0.1, units=10,
    ),
)  # fmt: skip


def compare(folder: Path, sets: Iterable[Set], sources: Mapping[str, Path | None]) -> str:
    """Measure sets of ratings and write epochs.md and epochs.json to a folder.

    What the folder has of other sets from before stays, so a run that was stopped goes on with
    the sets that are missing.

    Parameters
    ----------
    folder : Path
    sets : iterable of Set
    sources : mapping of str to path
        Where the user's own copies of MovieLens are, see `benchmarks.real`.

    Returns
    -------
    str
        The tables, in Markdown.
    """
    path = folder / "epochs.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    text = ""
    for each in sets:
        try:
            results[each.name] = measure_set(each, sources)
        except JobError:
            raise
        except AutorecError as error:
            print(f"{each.name} is left out: {error}", file=sys.stderr)
            continue
        results = {name: results[name] for name in _order(results)}
        text = render(results)
        write(folder, "epochs", text, results)
    return text


def measure_set(each: Set, sources: Mapping[str, Path | None]) -> dict[str, Any]:
    """Return what a set's jobs took, with what they were measured on."""
    machine = describe_machine(PACKAGES)
    samples: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        print(f"{each.name}: ratings ...", file=sys.stderr, flush=True)
        train = _ratings(each, sources)
        if each.held_out:
            train, test = synthetic.hold_out(train, each.held_out)
            save(folder, "test", test)
        save(folder, "train", train)
        shape, count, rows = train.shape, len(train), len(train.rated_rows())
        del train
        for number in range(1, each.rounds + 1):
            for way in each.ways:
                if way == TORCH and importlib.util.find_spec("torch") is None:
                    continue
                print(
                    f"{each.name}, round {number} of {each.rounds}: {NAMES[way]} ...",
                    end="", file=sys.stderr, flush=True,
                )  # fmt: skip
                some = each.batches and way != SPARSE
                chosen = min(each.batches * BATCH, rows) if some else 0
                epochs = max(each.epochs, 2) if some else each.epochs
                module = ["benchmarks.jobs.epoch_job", way, place]
                module += [str(epochs), str(each.units), str(chosen)]
                of_way = samples.setdefault(way, defaultdict(list))
                for name, values in measure(module, folder, threads=True).items():
                    of_way[name].extend(values)
                print(f" {of_way['seconds'][-1]:.1f} s", file=sys.stderr)
    return {
        "set": {**asdict(each), "rows": shape[0], "columns": shape[1], "ratings": count},
        "steps": -(-rows // BATCH),
        "machine": machine,
        "samples": samples,
    }


def render(results: Mapping[str, Any]) -> str:
    """Return the tables of all sets, in Markdown."""
    times, ratios = [], []
    for name, result in results.items():
        each, samples, steps = result["set"], result["samples"], result["steps"]
        seconds = {way: epoch_seconds(result, way) for way in samples}
        for way, of_way in samples.items():
            some = each["batches"] and way != SPARSE
            optimizer = median(of_way["optimizer_step"]) * steps
            times.append([
                f"{name}: {NAMES[way]}",
                f"{quantity(seconds[way], 's')}{'*' * bool(some)}",
                quantity(optimizer, "s"),
                f"{optimizer / seconds[way]:.0%}",
                quantity(max(of_way["megabytes"]), "MB"),
            ])  # fmt: skip
        chosen = chosen_way(each)
        for way in (DENSE, TORCH):
            if way in seconds:
                target = (each["targets"] or {}).get(way)
                what = f"{name}: {NAMES[way]} / autorec ({chosen})"
                ratios.append([what, *reached(seconds[way] / seconds[chosen], target)])
        if each["megabytes"]:
            took = samples[SPARSE]
            ratio = each["megabytes"] / max(took["megabytes"])
            what = f"{name}: {each['megabytes'] / 1000:g} GB / peak memory"
            ratios.append([what, *reached(ratio, 1)])
    units = max(result["set"]["units"] for result in results.values())
    lines = [
        f"An epoch of AutoRec with {units} hidden units and batches of {BATCH} items, the "
        "optimizer (Adam, in PyTorch the fused one) included: medians. A time with * is that of a "
        "few batches of the real width, taken as often as the epoch has batches. The optimizer's "
        "time is that of its steps without the ratings.",
        "",
        *table(["", "an epoch", "of it the optimizer", "share", "peak memory"], times),
        "",
        "The way that autorec takes by itself is the one in brackets.",
        "",
        *table(["", "ratio", "to reach", "reached"], ratios),
        "",
        *_sizes(results),
        "",
        *dict.fromkeys(sentence(result["machine"]) for result in results.values()),
        "",
    ]
    return "\n".join(lines)


def epoch_seconds(result: Mapping[str, Any], way: str) -> float:
    """Return the median of an epoch's seconds, extrapolated where a few batches stand for it."""
    each, steps = result["set"], result["steps"]
    measured: float = median(result["samples"][way]["epoch"])
    some = each["batches"] and way != SPARSE
    return measured * steps / min(each["batches"], steps) if some else measured


def chosen_way(each: Mapping[str, Any]) -> str:
    """Return the way that autorec takes by itself on a set of ratings."""
    rows, columns = each["rows"], each["columns"]
    return (
        SPARSE if each["ratings"] <= break_even(columns, kernels=True) * rows * columns else DENSE
    )


def _sizes(results: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, result in results.items():
        each = result["set"]
        line = (
            f"- {name}: {each['rows']:,} items, {each['columns']:,} users, {each['ratings']:,} "
            f"ratings to train on; {result['steps']} steps an epoch."
        )
        if each["held_out"]:
            took = result["samples"][SPARSE]
            line += (
                f" An evaluation took {quantity(median(took['evaluation']), 's')}; test RMSE "
                f"{median(took['test_rmse']):.3f} after {each['epochs']} epoch, the ratings' noise "
                f"being {synthetic.NOISE}."
            )
        if each["batches"]:
            line += f" Whole rows were measured on {each['batches']} batches."
        lines.append(line)
    return lines


def _order(results: Mapping[str, Any]) -> list[str]:
    known = [each.name for each in SETS]
    return sorted(results, key=lambda name: known.index(name) if name in known else len(known))


def _ratings(each: Set, sources: Mapping[str, Path | None]) -> Interactions:
    if each.rows:
        return synthetic.interactions(each.rows, each.columns, each.ratings)
    return interactions(each.name, sources)
