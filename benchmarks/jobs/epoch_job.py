"""Epochs as a process: train AutoRec on a matrix one way, and note what took how long.

``python -m benchmarks.jobs.epoch_job WAY FOLDER EPOCHS UNITS ROWS [UPDATES]`` trains on the ratings
that `save` left in the folder and writes notes.json there. The way is sparse, dense or torch; with
ROWS above 0 it trains on so many rows alone, drawn at random; else, where the folder has test
ratings, too, it is evaluated.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
from scipy.sparse import csr_matrix

from autorec.data.interactions import Interactions
from benchmarks.machine import cores

BATCH = 256
#: The paper's objective; what the numbers are does not matter to the time.
SETTINGS: dict[str, Any] = {
    "batch_size": BATCH,
    "learning_rate": 0.003,
    "weight_decay": 0.03,
}
DROPOUT = 0.05
ARRAYS = ("data", "indices", "indptr")


def save(folder: Path, name: str, ratings: Interactions) -> None:
    """Leave ratings in a folder, array by array."""
    for array in ARRAYS:
        numpy.save(folder / f"{name}-{array}.npy", getattr(ratings.matrix, array))
    numpy.save(folder / f"{name}-shape.npy", ratings.shape)


def load(folder: Path, name: str) -> Interactions:
    """Return what `save` left there."""
    arrays = tuple(numpy.load(folder / f"{name}-{array}.npy") for array in ARRAYS)
    return Interactions(csr_matrix(arrays, shape=tuple(numpy.load(folder / f"{name}-shape.npy"))))


def train_torch(train: Interactions, epochs: int, units: int) -> dict[str, Any]:
    """Train in PyTorch; return the seconds of each epoch, and of the optimizer in a step."""
    import torch

    from benchmarks.jobs import torch_model

    torch.set_num_threads(cores())
    net = torch_model.AutoRec(units, train.shape[1], DROPOUT)
    found = torch_model.fit(net, train, num_epochs=epochs, **SETTINGS)
    steps = -(-len(train.rated_rows()) // BATCH)
    return {
        "epoch": [each["seconds"] for each in found],
        "optimizer_step": [each["optimizer"] / steps for each in found[1:] or found],
    }


def train_mxnet(
    way: str, train: Interactions, epochs: int, units: int, updates: str = "exact"
) -> tuple[Any, Any]:
    """Train with autorec, one way; return the net and the history."""
    from autorec import AutoRec, fit
    from autorec._mxnet import mx

    options: dict[str, Any] = {**SETTINGS, "loss": "sum", "compute": way, "contexts": [mx.cpu()]}
    options["updates"] = updates
    # Kernels are compiled, or read from their cache, once in a process: here, on a few cells.
    few = Interactions(csr_matrix(numpy.ones((2, 3), dtype=numpy.float32)))
    fit(AutoRec(units, 3, DROPOUT), few, num_epochs=1, **options)
    net = AutoRec(units, train.shape[1], DROPOUT)
    return net, fit(net, train, num_epochs=epochs, **options)


def sparse_optimizer(columns: int, units: int, repeats: int = 5) -> list[float]:
    """Return the seconds of Adam's pass over the two large matrices, without any rating."""
    from autorec.compute.kernels import adam_step

    none = numpy.empty(0, dtype=numpy.int32)
    starts = numpy.zeros(columns + 1, dtype=numpy.int32)
    of_all = numpy.arange(columns, dtype=numpy.int32)
    values, of = numpy.empty(0, dtype=numpy.float32), numpy.zeros((1, units), dtype=numpy.float32)
    weights = [numpy.full((columns, units), 0.01, dtype=numpy.float32) for _ in range(3)]
    decays = numpy.full(columns, 0.03, dtype=numpy.float32)
    numbers = map(numpy.float32, (0.003, 1 / BATCH, 0.9, 0.999, 1e-8))
    arguments = starts, of_all, none, values, of, *weights, decays, *numbers
    return [2 * seconds for seconds in timed(lambda: adam_step(*arguments), repeats)]


def dense_optimizer(columns: int, units: int, repeats: int = 5) -> list[float]:
    """Return the seconds that Gluon's trainer takes for a step, given the gradients."""
    from autorec import AutoRec
    from autorec._mxnet import mx, np
    from autorec.training.optimizer import make_trainer

    net = AutoRec(units, columns)
    net.initialize(mx.init.Normal(0.01))
    net(np.zeros((1, columns)))
    parameters = list(net.collect_params().values())
    trainer = make_trainer(parameters, "adam", 0.003, 0.03)
    for parameter in parameters:
        parameter.grad()[:] = 0

    def step() -> None:
        for parameter in parameters:
            parameter.data()._fresh_grad = True  # as after a backward pass
        trainer.step(BATCH)
        mx.npx.waitall()

    return timed(step, repeats)


def timed(step: Callable[[], Any], repeats: int) -> list[float]:
    """Return the seconds of each of so many calls, after one that is not counted."""
    step()
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        step()
        found.append(time.perf_counter() - started)
    return found


def main(way: str, place: str, epochs: str, units: str, rows: str, updates: str = "exact") -> None:
    """Train one way and write what was found to notes.json."""
    folder = Path(place)
    train = load(folder, "train")
    columns, chosen = train.shape[1], int(rows)
    if chosen:
        sample = numpy.random.default_rng(0).choice(train.rated_rows(), chosen, replace=False)
        train = Interactions(train.matrix[sample])
    notes: dict[str, Any]
    if way == "torch":
        notes = train_torch(train, int(epochs), int(units))
    else:
        net, history = train_mxnet(way, train, int(epochs), int(units), updates)
        notes = {"epoch": [epoch.seconds for epoch in history]}
        if (folder / "test-data.npy").exists() and not chosen:
            from autorec import evaluate
            from autorec._mxnet import mx

            started = time.perf_counter()
            result = evaluate(
                net, train, load(folder, "test"), [mx.cpu()], clip=(1, 5), compute=way
            )
            notes["evaluation"] = [time.perf_counter() - started]
            notes["test_rmse"] = [result.rmse]
        del net
        optimizer = sparse_optimizer if way == "sparse" else dense_optimizer
        notes["optimizer_step"] = optimizer(columns, int(units))
    # The first epoch of several is the one that meets its arrays for the first time.
    notes["epoch"] = notes["epoch"][1:] or notes["epoch"]
    (folder / "notes.json").write_text(json.dumps(notes))


if __name__ == "__main__":
    main(*sys.argv[1:])
