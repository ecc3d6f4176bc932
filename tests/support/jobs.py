"""What each worker of a job on two machines does, in a process of its own."""

import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import numpy

from autorec.distributed.workers import Workers, leave
from autorec.errors import ConfigurationError, TrainingError
from autorec.recommender.estimator import Recommender
from autorec.training.checkpoints import Checkpoints
from support.training import (
    DROPOUT,
    TWO,
    VARIANTS,
    figures,
    learned,
    stopped,
    trained,
    weights,
)

CASES = {
    "dense": {"compute": "dense", "validate": True},
    "sparse": {"compute": "sparse", "validate": True},
    # 60 rows: the last batch has one, and so the second worker none.
    "a worker without rows": {"compute": "dense", "batch_size": 59, "loss": "sum"},
    "a worker without rows, sparse": {"compute": "sparse", "batch_size": 59, "loss": "sum"},
    "two devices each": {"compute": "dense", "contexts": TWO, "averaging": 0.5},
    "decay by column": {"compute": "dense", "decay_power": 0.5, "weight_decay": 0.05},
    "decay by column, sparse": {"compute": "sparse", "decay_power": 0.5, "weight_decay": 0.05},
    "rmsprop, normalised": {"optimizer": "rmsprop", "typical_count": 20.0, "compute": "dense"},
    "patience": {**VARIANTS["patience"], "compute": "dense"},
}
DEEP = {"num_hidden": [6, 3, 6], "pretrain_epochs": 2, "num_epochs": 3, "devices": "cpu"}
DEEP.update(dropout=0.0, compute="dense")


def run(case, **more):
    settings = {**CASES[case], **more}
    return trained(**{"num_epochs": 3, "dropout": 0.0, **settings})


def work(folder):
    """What each worker of `job` does: train, leave the results, and lose worker 1."""
    workers = Workers.join("dist_sync")
    results, arrays, said = {}, {}, {}

    def keep(name, history, values):
        results[name] = history
        arrays.update({f"{name}/{key}": value for key, value in values.items()})

    for case in CASES:
        if "sparse" not in case or importlib.util.find_spec("numba"):
            keep(case, *run(case, workers=workers))
    model = Recommender(**DEEP).fit(learned(), workers=workers)
    keep("deep", figures(model.history_), weights(model.net_))

    settings = {"compute": "dense", "batch_size": 16, **DROPOUT, "workers": workers}
    keep("dropout", *trained(**settings))
    checkpoints = Checkpoints(folder / "checkpoints")
    stopped(checkpoints, 2, **settings)
    workers.sums([0])  # rank 0 has written its checkpoint
    keep("dropout, resumed", *trained(checkpoints, True, **settings))

    for name, change in {
        "other seeds": {"seed": workers.rank},
        "diverging": {"optimizer": "sgd", "learning_rate": 1e6, "test": None, "num_epochs": 60},
    }.items():
        try:
            trained(**{**settings, **change})
        except (ConfigurationError, TrainingError) as error:
            said[name] = str(error)
    numbers = [0.1 * 10.0 ** (100 * workers.rank), 1 / 3]
    results["answered"] = workers._watchdog._answered
    results["sums"] = list(workers.sums(numbers))

    numpy.savez(folder / f"{workers.rank}.npz", **arrays)
    (folder / f"{workers.rank}.json").write_text(json.dumps([results, said]))
    workers.sums([0])  # both have written their results
    if workers.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        trained(workers=workers)
    finally:
        leave(9)  # it should not come to this


if __name__ == "__main__":
    work(Path(sys.argv[1]))
