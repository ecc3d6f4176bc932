"""A worker that owns columns, or one process alone: what a step takes, sends and needs of memory.

``python -m benchmarks.jobs.columns_job ROWS COLUMNS RATINGS UNITS BATCH EPOCHS WAY`` trains on
made-up ratings, of which a worker draws its own columns' only, and prints what it found as JSON.
The way is "fit"; "peak", which ends after a few steps; or "model", which ends with the whole model
on rank 0.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy


def work(
    rows: int, columns: int, ratings: int, units: int, batch: int, epochs: int, way: str
) -> None:
    """Train, as a worker where the environment says so, and print figures."""
    from autorec import Interactions, Ratings, Recommender
    from autorec.distributed.columns import Columns, owners
    from autorec.distributed.workers import Workers

    if way == "peak":
        _end_after(3)
    shared = "DMLC_ROLE" in os.environ
    with Workers.join("dist_sync" if shared else None) as workers:
        users, items = numpy.arange(columns), numpy.arange(rows)
        own = numpy.flatnonzero(owners(users, workers.count) == workers.rank)
        random = numpy.random.default_rng(workers.rank)
        size = round(ratings * len(own) / columns)
        table = Ratings(
            users=own[random.integers(0, len(own), size, dtype=numpy.int32)].astype(numpy.int32),
            items=random.integers(0, rows, size, dtype=numpy.int32),
            values=random.integers(1, 6, size, dtype=numpy.int32).astype(numpy.float32),
            user_ids=users,
            item_ids=items,
        )
        notes: list[tuple[float, int, int, int]] = []

        def note(_: object) -> None:
            workers.sums([0])  # the others have sent all that they had to send
            notes.append((time.perf_counter(), *carried(), peak()))
            workers.sums([0])

        before = peak()
        if way != "model":
            from scipy.sparse import csr_matrix

            from autorec import AutoRec, fit
            from autorec._mxnet import mx

            places = numpy.searchsorted(own, table.users)
            shape = rows, len(own)
            matrix = csr_matrix((table.values, (table.items, places)), shape=shape)
            inputs = Interactions(matrix)
            del table, places
            more: dict[str, Any] = {}
            if shared:
                more = {"columns": Columns.of(inputs, own, columns, workers), "workers": workers}
            with suppress(EnoughError):
                fit(
                    AutoRec(units, len(own), 0.05),
                    inputs,
                    num_epochs=epochs,
                    batch_size=batch,
                    compute="sparse",
                    contexts=[mx.cpu()],
                    on_epoch=note,
                    **more,
                )
        else:
            more = {"workers": workers, "parallel": "columns"} if shared else {}
            model = Recommender(
                num_hidden=units, num_epochs=epochs, batch_size=batch, compute="sparse",
                devices="cpu",
            )  # fmt: skip
            model.fit(table, on_epoch=note, **more)
        found = numpy.diff([each[:3] for each in notes], axis=0) if notes else []
        steps = -(-rows // batch)
        middle = numpy.median(found, axis=0) / steps if len(found) else numpy.zeros(3)
        figures = {
            "rank": workers.rank, "seconds": middle[0], "received": middle[1], "sent": middle[2],
            "before": before, "trained": notes[-1][3] if notes else peak(), "peak": peak(),
        }  # fmt: skip
    print(json.dumps(figures), flush=True)


class EnoughError(Exception):
    """Raised when there were enough steps."""


def _end_after(steps: int) -> None:
    from autorec.training.sparse_steps import SparseSteps

    step, left = SparseSteps.step, iter(range(steps))

    def counted(self: Any, rows: Any) -> Any:
        if next(left, None) is None:
            raise EnoughError
        return step(self, rows)

    SparseSteps.step = counted  # type: ignore[method-assign]


def carried() -> tuple[int, int]:
    """Return the bytes that this host has received and sent, on all interfaces but loopback."""
    received = sent = 0
    for line in Path("/proc/net/dev").read_text().splitlines()[2:]:
        name, numbers = line.split(":")
        if name.strip() != "lo":
            received += int(numbers.split()[0])
            sent += int(numbers.split()[8])
    return received, sent


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    work(*map(int, sys.argv[1:7]), sys.argv[7])  # type: ignore[arg-type]
