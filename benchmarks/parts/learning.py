"""Learning: how near training comes to the noise of synthetic ratings, epoch by epoch.

No model can come nearer than the noise; the ratings' spread is what the mean of all comes to. So
the times of the other parts are those of a model that learns.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy
from matplotlib.figure import Figure

from autorec._storage.files import replacing
from benchmarks import synthetic
from benchmarks.jobs.epoch_job import BATCH
from benchmarks.machine import describe_machine, sentence
from benchmarks.markdown import table, write

PACKAGES = ("gluon-autorec", "mxnet", "numba", "numpy")
#: Items, users, ratings and epochs.
SHAPES = {
    "ML-1M shape": (3_706, 6_040, 1_000_209, 30),
    "ML-10M shape": (10_677, 69_878, 10_000_000, 30),
}
QUICK = {"a small shape": (300, 400, 5_000, 2)}
#: Columns decay as in the preset `best`; the rate is higher than there, and falls sooner.
SETTINGS: dict[str, Any] = {
    "batch_size": BATCH,
    "loss": "sum",
    "learning_rate": 0.01,
    "learning_rate_decay": 0.9,
    "weight_decay": 0.03,
    "decay_power": 0.5,
}


def compare(
    folder: Path,
    shapes: Mapping[str, tuple[int, int, int, int]] = SHAPES,
    units: int = 500,
) -> str:
    """Train, and write learning.md, learning.json and learning.png to a folder.

    Parameters
    ----------
    folder : Path
    shapes : mapping
        Items, users, ratings and epochs, by name.
    units : int
        Hidden units.

    Returns
    -------
    str
        The table, in Markdown.
    """
    machine = describe_machine(PACKAGES)
    results = {}
    for name, (*shape, epochs) in shapes.items():
        print(f"learning: {name} ...", file=sys.stderr, flush=True)
        results[name] = learn(*shape, epochs, units)
    text = render(results, units, machine)
    write(folder, "learning", text, {"machine": machine, "results": results})
    with replacing(folder / "learning.png") as path:
        draw(results).savefig(path)
    return text


def learn(rows: int, columns: int, ratings: int, epochs: int, units: int) -> dict[str, Any]:
    """Return the test RMSE after each epoch, and the spread of the ratings that are tested on."""
    from autorec import AutoRec, fit
    from autorec._mxnet import mx

    train, test = synthetic.hold_out(synthetic.interactions(rows, columns, ratings), 0.02)
    net = AutoRec(units, columns, 0.0, typical_count=len(train) / rows)
    init = mx.init.Xavier()
    options = {"num_epochs": epochs, "init": init, "contexts": [mx.cpu()], **SETTINGS}
    history = fit(net, train, test=test, on_epoch=_say, **options)
    return {
        "test_rmse": [epoch.test_rmse for epoch in history],
        "spread": float(numpy.std(test.matrix.data)),
    }


def render(results: Mapping[str, Any], units: int, machine: Mapping[str, Any]) -> str:
    """Return the table, in Markdown."""
    rows = []
    for name, each in results.items():
        rmse = each["test_rmse"]
        middle = len(rmse) // 2
        known = (each["spread"] ** 2 - rmse[-1] ** 2) / (each["spread"] ** 2 - synthetic.NOISE**2)
        rows.append([
            name,
            f"{each['spread']:.3f}",
            f"{rmse[0]:.3f}",
            f"{rmse[middle - 1]:.3f} ({middle})",
            f"{rmse[-1]:.3f} ({len(rmse)})",
            f"{synthetic.NOISE}",
            f"{known:.0%}",
        ])  # fmt: skip
    head = ["", "spread", "1 epoch", "half the epochs", "all", "noise", "explained"]
    return "\n".join([
        f"Test RMSE on synthetic ratings (2 % of them held out), {units} hidden units, batches of "
        f"{BATCH} items, rows and decay treated as in the preset `best`, a weight decay of "
        f"{SETTINGS['weight_decay']}, and a rate of {SETTINGS['learning_rate']} that falls by "
        f"{SETTINGS['learning_rate_decay']} an epoch. "
        "Explained is the share of the variance beyond the noise. Plotted in learning.png.",
        "",
        *table(head, rows),
        "",
        sentence(machine),
        "",
    ])  # fmt: skip


def draw(results: Mapping[str, Any]) -> Figure:
    """Draw the test RMSE of each shape over its epochs, and the noise below."""
    figure = Figure(figsize=(6, 3.6), dpi=110, layout="constrained")
    axes = figure.subplots()
    for (name, each), colour in zip(results.items(), ("#1f5fa8", "#c8641e", "#3a7d44")):
        rmse = each["test_rmse"]
        axes.plot(range(1, len(rmse) + 1), rmse, color=colour, label=name)
    axes.axhline(synthetic.NOISE, color="#555555", linestyle=":", label="noise")
    axes.set(xlabel="epoch", ylabel="test RMSE")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(axis="y", alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def _say(epoch: Any) -> None:
    print(f"  epoch {epoch.epoch}: {epoch.test_rmse:.3f}", file=sys.stderr, flush=True)
