"""The section's job as a process: load ML-100K, train AutoRec, and note what took how long.

``python -m benchmarks.jobs.section_job d2l|autorec FOLDER EPOCHS NOTES`` writes its times in
seconds to the file NOTES, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def job(library: Any, cells: Any, num_epochs: int) -> dict[str, list[float]]:
    """Do what the section does, with its settings, on the CPU.

    Parameters
    ----------
    library : module
        With the functions that the section takes from d2l.
    cells : module
        With ``AutoRec`` and ``evaluator``.
    num_epochs : int

    Returns
    -------
    dict
        Seconds: "loading", and for each epoch but the first, which has the net find its shapes,
        "training" (showing the progress included), "evaluation" and the sum of them, "epoch"; and
        "test_rmse", the last one.
    """
    import mxnet as mx

    mx.npx.set_np()
    mx.random.seed(0)
    started = time.perf_counter()
    data, *sizes = library.read_data_ml100k()
    train, test = library.split_data_ml100k(data, *sizes)
    train_matrix = library.load_data_ml100k(train, *sizes)[-1]
    test_matrix = library.load_data_ml100k(test, *sizes)[-1]
    mx.npx.waitall()
    loading = time.perf_counter() - started

    workers = library.get_dataloader_workers()
    train_iter = mx.gluon.data.DataLoader(
        train_matrix, batch_size=256, shuffle=True, last_batch="rollover", num_workers=workers
    )
    test_iter = mx.gluon.data.DataLoader(
        train_matrix, batch_size=1024, shuffle=False, last_batch="keep", num_workers=workers
    )
    devices = [mx.cpu()]  # d2l's try_all_gpus gives [] without GPUs
    net = cells.AutoRec(500, sizes[0])
    net.initialize(mx.init.Normal(0.01), ctx=devices, force_reinit=True)
    trainer = mx.gluon.Trainer(net.collect_params(), "adam", {"learning_rate": 0.002, "wd": 1e-5})

    marks = [time.perf_counter()]
    scores: list[float] = []

    def evaluator(*arguments: Any) -> float:
        mx.npx.waitall()  # what is left of the epoch's training
        marks.append(time.perf_counter())
        scores.append(cells.evaluator(*arguments))
        marks.append(time.perf_counter())
        return scores[-1]

    library.train_recsys_rating(
        net,
        train_iter,
        test_iter,
        mx.gluon.loss.L2Loss(),
        trainer,
        num_epochs,
        devices,
        evaluator,
        inter_mat=test_matrix,
    )
    seconds = [after - before for before, after in zip(marks, marks[1:])]
    training, evaluation = seconds[2::2], seconds[3::2]
    return {
        "loading": [loading],
        "training": training,
        "evaluation": evaluation,
        "epoch": [sum(parts) for parts in zip(training, evaluation)],
        "test_rmse": scores[-1:],
    }


def main(name: str, folder: str, num_epochs: str, notes: str) -> None:
    """Do the job with the library of that name."""
    if name == "d2l":
        from d2l import mxnet as library

        from benchmarks.jobs import section_cells as cells

        # d2l would fetch the data from the book's server: it gets the copy that autorec has.
        library.download_extract = lambda _: folder
    else:
        from autorec import section as library

        cells = library
    Path(notes).write_text(json.dumps(job(library, cells, int(num_epochs))))


if __name__ == "__main__":
    main(*sys.argv[1:])
