"""``python -m benchmarks.network``: what two workers send a step, by the counter of loopback."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy
from scipy.sparse import csr_matrix

from autorec.launch import free_ports

from .tables import table

#: Hidden units and columns.
NETS = ((100, 5_000), (500, 5_000), (500, 20_000))
ROWS, BATCH, RATINGS, EPOCHS, WORKERS = 512, 128, 50, 4, 2


def main() -> None:
    """Run jobs with one server and with two, and print a table."""
    rows = []
    for servers in (1, 2):
        for line in job(servers).splitlines():
            hidden, columns, sent, seconds = line.split()
            weights = 2 * int(hidden) * int(columns) + int(hidden) + int(columns)
            expected = 8 * weights * WORKERS
            cells = [
                f"{int(each):,}" for each in (hidden, columns, weights, servers, expected, sent)
            ]
            rows.append([*cells, f"{int(sent) / expected:.3f}", f"{float(seconds):.2f} s"])
    head = ["k", "C", "P", "servers", "2 · 8P", "measured bytes a step", "ratio", "a step"]
    print("\n".join(table(head, rows)))


def job(servers: int) -> str:
    """Run a job over loopback; return what its rank 0 prints."""
    environment = {
        **os.environ,
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(free_ports(1)[0]),
        "DMLC_NUM_WORKER": str(WORKERS),
        "DMLC_NUM_SERVER": str(servers),
        "DMLC_INTERFACE": "lo",
        "DMLC_NODE_HOST": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }
    roles = ["scheduler", *["server"] * servers, *["worker"] * WORKERS]
    processes = []
    for role in roles:
        module = ["benchmarks.network", "work"] if role == "worker" else ["autorec.roles"]
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", *module],
                env={**environment, "DMLC_ROLE": role},
                stdout=subprocess.PIPE,
                text=True,
            )
        )
    try:
        said = [process.communicate(timeout=300)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(process.returncode for process in processes):
        sys.exit("The job failed.")
    return "".join(said)


def work() -> None:
    """Train each net as a worker; rank 0 prints its sizes, and bytes and seconds a step."""
    from autorec import AutoRec, Interactions, fit
    from autorec._mxnet import mx
    from autorec.workers import Workers

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
    work() if sys.argv[1:] == ["work"] else main()
