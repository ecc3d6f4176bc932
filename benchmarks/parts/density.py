"""Density: up to which share of rated cells the sparse way is the faster one.

With numba's kernels, and with MXNet's operators, which are what there is without numba.
"""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from autorec.compute.choice import break_even, has_kernels
from autorec.data.interactions import Interactions
from benchmarks import synthetic
from benchmarks.jobs.epoch_job import BATCH, train_mxnet
from benchmarks.machine import describe_machine, sentence
from benchmarks.markdown import quantity, table, write

PACKAGES = ("gluon-autorec", "mxnet", "numba", "numpy")
#: Items and users: those of ML-100K and ML-1M, and more users still.
SHAPES = ((1_682, 943), (3_706, 6_040), (512, 30_000), (512, 160_000))
DENSITIES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
BATCHES = 4
WAYS = ("sparse", "operators", "dense")
#: Not measured beyond, where it takes minutes: operators, and any way.
OPERATORS_UP_TO, MOST_RATINGS = 0.1, 7_000_000


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
            if density * rows * users > MOST_RATINGS:
                continue
            print(f"density: {rows} x {users}, {density:g} ...", file=sys.stderr, flush=True)
            train = synthetic.interactions(rows, users, int(density * rows * users))
            ways = [way for way in WAYS if way != "operators" or density <= OPERATORS_UP_TO]
            samples: dict[str, list[float]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way in samples:
                    samples[way].append(_epoch(way, train, units))
            ratios = {way: median(samples["dense"]) / median(samples[way]) for way in ways[:-1]}
            results.append(
                {"users": users, "density": density, "ratios": ratios, "samples": samples}
            )
    text = render(results, units, machine)
    write(folder, "density", text, {"machine": machine, "results": results})
    return text


def crossing(densities: Sequence[float], ratios: Sequence[float]) -> float | None:
    """Return the density at which both ways take as long, between two that were measured."""
    points = list(zip(densities, ratios))
    for (low, above), (high, below) in zip(points, points[1:]):
        if above > 1 >= below:
            share = math.log(above) / math.log(above / below)
            place: float = low * (high / low) ** share
            return place
    return None


def render(results: Sequence[Mapping[str, Any]], units: int, machine: Mapping[str, Any]) -> str:
    """Return the table, in Markdown."""
    rows = [
        [
            f"{each['users']:,} users, {each['density']:.1%}",
            *(_milliseconds(each["samples"].get(way)) for way in WAYS),
            *(f"{each['ratios'][way]:.3g}" if way in each["ratios"] else "" for way in WAYS[:2]),
        ]
        for each in results
    ]
    lines = [
        f"An epoch of {BATCHES} batches of {BATCH} items, or of fewer where there are not so many, "
        f"with {units} hidden units, by share of rated cells: medians.",
        "",
        *table(
            ["", "sparse", "without numba", "dense", "dense / sparse", "dense / without numba"],
            rows,
        ),
        "",
    ]
    for users in dict.fromkeys(each["users"] for each in results):
        for way, kernels in (("sparse", True), ("operators", False)):
            places = [each for each in results if each["users"] == users and way in each["ratios"]]
            place = crossing(
                [each["density"] for each in places], [each["ratios"][way] for each in places]
            )
            found = "is not among them" if place is None else f"is at about {place:.1%}"
            lines.append(
                f"- {users:,} users{'' if kernels else ', without numba'}: the density at which "
                f"both ways take as long {found}; `auto` is sparse up to "
                f"{break_even(users, kernels):.1%}."
            )
    lines += ["", sentence(machine), ""]
    return "\n".join(lines)


def _milliseconds(seconds: Sequence[float] | None) -> str:
    return "" if seconds is None else quantity(1e3 * median(seconds), "ms")


def _epoch(way: str, train: Interactions, units: int) -> float:
    """Return the seconds of the second epoch."""
    gc.collect()  # nets refer to themselves, and a wide one is gigabytes
    kernels = way == "sparse" and has_kernels()
    with patch("autorec.compute.choice.has_kernels", lambda: kernels):
        _, history = train_mxnet("dense" if way == "dense" else "sparse", train, 2, units)
    seconds: float = history[1].seconds
    return seconds
