"""What one waits for, as a process: ``python -m benchmarks.jobs.waiting_job WHAT FOLDER``.

numpy and autorec import that; first trains an epoch of ML-100K's size where no kernel was compiled
before, and others after it; recommend makes the recommendations of all users of a set of ML-1M's
size, or a small one. The last two write notes.json to the folder.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ML_100K = (1_682, 943, 90_000)
ML_1M = (3_706, 6_040, 1_000_000)
SMALL = (60, 80, 900)
EPOCHS = 6
ROUNDS = 7
K = 10


def first(folder: Path, shape: tuple[int, int, int]) -> dict[str, list[float]]:
    """Return the seconds by which the first epoch is longer, with an empty cache of kernels."""
    os.environ["NUMBA_CACHE_DIR"] = str(folder / "kernels")
    from autorec import AutoRec, fit
    from autorec._mxnet import mx
    from benchmarks import synthetic

    train = synthetic.interactions(*shape)
    net = AutoRec(500, train.shape[1], 0.05)
    history = fit(net, train, num_epochs=EPOCHS, compute="sparse", contexts=[mx.cpu()])
    start, *others = (epoch.seconds for epoch in history)
    return {"compiling": [start - sorted(others)[len(others) // 2]]}


def recommend(folder: Path, shape: tuple[int, int, int]) -> dict[str, list[float]]:
    """Return the seconds of codes and products alone, and of recommendations in a file."""
    import numpy

    from autorec import Recommender
    from autorec._mxnet import mx
    from autorec.cli.listing import write_listing
    from autorec.data.ratings import Ratings
    from autorec.evaluation.top_items import BLOCK, hidden_codes
    from benchmarks import synthetic

    matrix = synthetic.interactions(*shape).matrix.T.tocsr()  # users by items
    model = Recommender(num_epochs=1, devices="cpu").fit(Ratings.from_sparse(matrix))
    (member,) = model.members_
    weight = member.net.decoder.weight.data().asnumpy()
    size = BLOCK // matrix.shape[1]

    def products() -> None:
        code = hidden_codes(member.net, member.inputs, [mx.cpu()])
        for start in range(0, len(weight), size):
            numpy.dot(weight[start : start + size], code.T)

    def recommendations() -> None:
        with open(folder / "recommendations.csv", "w") as file:
            write_listing(model.recommend_batches(None, K), file, "csv")

    notes: dict[str, list[float]] = {"products": [], "recommendations": []}
    for _ in range(ROUNDS + 1):
        for name, action in (("products", products), ("recommendations", recommendations)):
            notes[name].append(_seconds(action))
    return {name: each[1:] for name, each in notes.items()}


def _seconds(action: Callable[[], Any]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main(what: str, place: str, quick: str = "") -> None:
    """Do one of them."""
    if what in ("numpy", "autorec"):
        importlib.import_module(what)
        return
    folder = Path(place)
    if what == "first":
        notes = first(folder, SMALL if quick else ML_100K)
    else:
        notes = recommend(folder, SMALL if quick else ML_1M)
    (folder / "notes.json").write_text(json.dumps(notes))


if __name__ == "__main__":
    main(*sys.argv[1:])
