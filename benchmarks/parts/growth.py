"""Scaling: an epoch of the sparse way against the number of ratings, and against users.

The first is to be linear; the second flat but for the optimizer, which passes over all weights.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy
from matplotlib.figure import Figure
from scipy.sparse import csr_matrix

from autorec._storage.files import replacing
from autorec.data.interactions import Interactions
from benchmarks import synthetic
from benchmarks.jobs.epoch_job import BATCH, DROPOUT, SETTINGS, timed
from benchmarks.machine import describe_machine, sentence
from benchmarks.markdown import quantity, table, write

PACKAGES = ("gluon-autorec", "mxnet", "numba", "numpy")


@dataclass(frozen=True)
class Sweep:
    """Shapes that differ in one number alone: the ratings, or the users."""

    rows: int = 10_000
    users: Sequence[int] = (20_000,)
    ratings: Sequence[int] = (2_000_000,)
    units: int = 500


BY_RATINGS = Sweep(ratings=(500_000, 1_000_000, 2_000_000, 4_000_000, 8_000_000))
BY_USERS = Sweep(users=(10_000, 20_000, 40_000, 80_000, 160_000))
QUICK = (
    Sweep(300, (200,), (2_000, 4_000), units=10),
    Sweep(300, (200, 400), (2_000,), units=10),
)


def compare(folder: Path, sweeps: Sequence[Sweep] = (BY_RATINGS, BY_USERS), rounds: int = 2) -> str:
    """Measure, and write scaling.md, scaling.json and scaling.png to a folder.

    Parameters
    ----------
    folder : Path
    sweeps : sequence of Sweep
        One over ratings, one over users.
    rounds : int
        How often each shape is measured, in turn.

    Returns
    -------
    str
        The tables, in Markdown.
    """
    machine = describe_machine(PACKAGES)
    found = [measure(sweep, rounds) for sweep in sweeps]
    text = render(sweeps, found, machine)
    content = {"machine": machine, "sweeps": [asdict(each) for each in sweeps], "results": found}
    write(folder, "scaling", text, content)
    with replacing(folder / "scaling.png") as path:
        draw(sweeps, found).savefig(path)
    return text


def measure(sweep: Sweep, rounds: int) -> list[dict[str, Any]]:
    """Return for each shape of a sweep an epoch's seconds, and the optimizer's in it."""
    shapes = [(users, ratings) for users in sweep.users for ratings in sweep.ratings]
    seconds: dict[tuple[int, int], list[tuple[float, float]]] = {shape: [] for shape in shapes}
    for number in range(1, rounds + 1):
        for users, ratings in shapes:
            print(
                f"scaling, round {number} of {rounds}: {users:,} users, {ratings:,} ratings ...",
                end="", file=sys.stderr, flush=True,
            )  # fmt: skip
            train = synthetic.interactions(sweep.rows, users, ratings)
            epoch, optimizer = _epoch(train, sweep.units)
            seconds[users, ratings].append((epoch, optimizer))
            print(f" {epoch:.1f} s, of it the optimizer {optimizer:.1f} s", file=sys.stderr)
    return [
        {"users": users, "ratings": ratings, "epoch": list(epochs), "optimizer": list(optimizers)}
        for (users, ratings), found in seconds.items()
        for epochs, optimizers in [zip(*found)]
    ]


def _epoch(train: Interactions, units: int) -> tuple[float, float]:
    """Return an epoch's seconds, and those of as many passes of Adam over the same arrays."""
    from autorec import AutoRec
    from autorec._mxnet import mx
    from autorec.compute.sparse import rated_cells
    from autorec.training.settings import Settings
    from autorec.training.sparse_steps import SparseSteps

    net, context = AutoRec(units, train.shape[1], DROPOUT), mx.cpu()
    net.initialize(mx.init.Normal(0.01))
    steps = SparseSteps(net, train, Settings(**SETTINGS), [context])
    shuffle = numpy.random.default_rng(0)

    def epoch() -> None:
        for rows in train.batches(BATCH, shuffle):
            steps.step(rows)
        mx.npx.waitall()

    (seconds,) = timed(epoch, 1)
    cells = rated_cells(csr_matrix((BATCH, train.shape[1]), dtype=numpy.float32), context)
    none = tuple(map(cells.own, (mx.np.zeros(0), mx.np.zeros((BATCH, units)))))
    passes = timed(lambda: steps._adam.step(cells, (none, none), 0.001, BATCH), 5)
    return seconds, -(-len(train.rated_rows()) // BATCH) * median(passes)


def render(
    sweeps: Sequence[Sweep],
    found: Sequence[Sequence[Mapping[str, Any]]],
    machine: Mapping[str, Any],
) -> str:
    """Return the tables of all sweeps, in Markdown."""
    first = sweeps[0]
    lines = [
        f"An epoch of the sparse way, {first.rows:,} items, {first.units} hidden units, batches of "
        f"{BATCH}: medians. The optimizer's time is that of its passes over the same weights "
        "without ratings. Plotted in scaling.png.",
        "",
    ]
    for results in found:
        rows = []
        for each in results:
            epoch, optimizer = median(each["epoch"]), median(each["optimizer"])
            rest = epoch - optimizer
            rows.append([
                f"{each['users']:,} users, {each['ratings']:,} ratings",
                quantity(epoch, "s"),
                quantity(optimizer, "s"),
                quantity(rest, "s"),
                quantity(1e6 * rest / each["ratings"], "µs"),
            ])  # fmt: skip
        lines += table(["", "an epoch", "the optimizer", "the rest", "the rest a rating"], rows)
        lines.append("")
    return "\n".join([*lines, sentence(machine), ""])


def draw(sweeps: Sequence[Sweep], found: Sequence[Sequence[Mapping[str, Any]]]) -> Figure:
    """Draw each sweep's epochs, the optimizer's share of them below."""
    figure = Figure(figsize=(9, 3.6), dpi=110, layout="constrained")
    for axes, sweep, results in zip(figure.subplots(1, len(sweeps)), sweeps, found):
        over = "ratings" if len(sweep.ratings) > 1 else "users"
        fixed = sweep.users[0] if over == "ratings" else sweep.ratings[0]
        places = [each[over] for each in results]
        optimizer = [median(each["optimizer"]) for each in results]
        axes.plot(
            places, [median(each["epoch"]) for each in results],
            color="#1f5fa8", marker="o", markersize=3, label="an epoch",
        )  # fmt: skip
        axes.plot(
            places, optimizer, color="#c8641e", marker="o", markersize=3, label="the optimizer"
        )
        axes.fill_between(places, optimizer, color="#c8641e", alpha=0.15, linewidth=0)
        axes.set(
            xlabel=over,
            ylabel="seconds",
            title=f"{fixed:,} {'users' if over == 'ratings' else 'ratings'}",
            xlim=(0, None),
            ylim=(0, None),
        )
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.locator_params(axis="x", nbins=5)
        axes.grid(axis="y", alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return figure
