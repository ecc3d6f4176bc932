"""A worker of a small job over loopback, which counts what it and the others send.

``python -m benchmarks.jobs.network_job`` runs where the environment names the job; rank 0 prints.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy
from scipy.sparse import csr_matrix

#: Hidden units and columns.
NETS = ((100, 5_000), (500, 5_000), (500, 20_000))
ROWS, BATCH, RATINGS, EPOCHS, WORKERS = 512, 128, 50, 4, 2


def work() -> None:
    """Train each net as a worker; rank 0 prints its sizes, and bytes and seconds a step."""
    from autorec import AutoRec, Interactions, fit
    from autorec._mxnet import mx
    from autorec.distributed.workers import Workers

    with Workers.join("dist_sync") as workers:
        for hidden, columns in NETS:
            random = numpy.random.default_rng(0)
            cells = numpy.repeat(numpy.arange(ROWS), RATINGS)
            ratings = csr_matrix(
                (
                    random.integers(1, 6, len(cells)).astype("float32"),
                    (cells, random.integers(0, columns, len(cells))),
                ),
                shape=(ROWS, columns),
            )
            counts: list[tuple[int, float]] = []

            def note(_: object, counts: list[tuple[int, float]] = counts) -> None:
                workers.sums([0])  # the other has sent all that it had to send
                counts.append((received(), time.perf_counter()))
                workers.sums([0])

            fit(
                AutoRec(hidden, columns, 0.0),
                Interactions(ratings),
                num_epochs=EPOCHS,
                batch_size=BATCH,
                contexts=[mx.cpu()],
                on_epoch=note,
                workers=workers,
            )
            sent, seconds = numpy.median(numpy.diff(counts, axis=0), axis=0) / (ROWS / BATCH)
            if workers.rank == 0:
                print(hidden, columns, round(sent), seconds)


def received() -> int:
    """Return how many bytes loopback has carried since the machine started."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    (line,) = (each.strip() for each in lines if each.strip().startswith("lo:"))
    return int(line.split(":")[1].split()[0])


if __name__ == "__main__":
    work()
