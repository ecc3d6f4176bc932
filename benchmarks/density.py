"""Density: up to which share of rated cells the sparse way is the faster one."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from autorec.interactions import Interactions
from autorec.sparse import break_even

from . import synthetic
from .epoch_job import BATCH, train_mxnet
from .machine import describe_machine, sentence
from .tables import quantity, table, write

PACKAGES = ("gluon-autorec", "mxnet", "numba", "numpy")
#: Items and users: those of ML-100K and ML-1M, and more users still.
SHAPES = ((1_682, 943), (3_706, 6_040), (512, 30_000))
DENSITIES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
BATCHES = 4


def compare(
    folder: Path,
    shapes: Sequence[tuple[int, int]] = SHAPES,
    densities: Sequence[float] = DENSITIES,
    rounds: int = 2,
    units: int = 500,
) -> str:
    """Measure, and write density.md and density.json to a folder.

    Parameters
    ----------
    folder : Path
    shapes : sequence of tuple
        Items and users.
    densities : sequence of float
        Shares of rated cells, rising.
    rounds, units : int
        How often each way is measured, in turn; hidden units.

    Returns
    -------
    str
        The table, in Markdown.
    """
    machine = describe_machine(PACKAGES)
    results = []
    for items, users in shapes:
        rows = min(items, BATCHES * BATCH)
        for density in densities:
            print(f"density: {rows} x {users}, {density:g} ...", file=sys.stderr, flush=True)
            train = synthetic.interactions(rows, users, int(density * rows * users))
            samples: dict[str, list[float]] = {"sparse": [], "dense": []}
            for _ in range(rounds):
                for way in samples:
                    samples[way].append(_epoch(way, train, units))
            ratio = median(samples["dense"]) / median(samples["sparse"])
            results.append({"users": users, "density": density, "ratio": ratio, "samples": samples})
    text = render(results, units, machine)
    write(folder, "density", text, {"machine": machine, "results": results})
    return text


def crossing(results: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the density at which both ways take as long, between two that were measured."""
    for low, high in zip(results, results[1:]):
        if low["ratio"] > 1 >= high["ratio"]:
            share = math.log(low["ratio"]) / math.log(low["ratio"] / high["ratio"])
            place: float = low["density"] * (high["density"] / low["density"]) ** share
            return place
    return None


def render(results: Sequence[Mapping[str, Any]], units: int, machine: Mapping[str, Any]) -> str:
    """Return the table, in Markdown."""
    rows = [
        [
            f"{each['users']:,} users, {each['density']:.0%}",
            *(quantity(1e3 * median(each["samples"][way]), "ms") for way in ("sparse", "dense")),
            f"{each['ratio']:.3g}",
        ]
        for each in results
    ]
    lines = [
        f"An epoch of {BATCHES} batches of {BATCH} items, or of fewer where there are not so many, "
        f"with {units} hidden units, by share of rated cells: medians.",
        "",
        *table(["", "sparse", "dense", "dense / sparse"], rows),
        "",
    ]
    for users in dict.fromkeys(each["users"] for each in results):
        place = crossing([each for each in results if each["users"] == users])
        found = "is not among them" if place is None else f"is at about {place:.0%}"
        lines.append(
            f"- {users:,} users: the density at which both take as long {found}; `auto` is sparse "
            f"up to {break_even(users):.0%}."
        )
    lines += ["", sentence(machine), ""]
    return "\n".join(lines)


def _epoch(way: str, train: Interactions, units: int) -> float:
    """Return the seconds of the second epoch."""
    _, history = train_mxnet(way, train, 2, units)
    seconds: float = history[1].seconds
    return seconds
