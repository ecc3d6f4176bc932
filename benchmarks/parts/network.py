"""``python -m benchmarks.parts.network``: what two workers send a step, by the counter of loopback.

And from that, and from what ratings and weights cost a step here, how far a job scales. The tables
are those of docs/several-machines.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
from statistics import median
from unittest.mock import patch

from autorec.distributed.launch import free_ports
from benchmarks.jobs.epoch_job import timed
from benchmarks.jobs.network_job import WORKERS
from benchmarks.markdown import table
from benchmarks.stepping import sparse_step

#: Of the net and the users that the scaling is computed for, and bytes a second each way.
HIDDEN, COLUMNS, OF_A_USER, NETWORK = 500, 20_000, 100, 1.25e9
USERS, BATCHES, NODES = (1_000_000, 10_000_000, 100_000_000), (8_192, 65_536), (10, 100)


def main() -> None:
    """Run jobs with one server and with two, time steps, and print tables."""
    print("\n".join([*sent_table(), "", *scaling_table(step_costs(False), step_costs(True))]))


def sent_table() -> list[str]:
    """Return what two workers send a step, beside the formula."""
    rows = []
    for servers in (1, 2):
        for line in job(servers).splitlines():
            hidden, columns, sent, seconds = line.split()
            weights = _weights(int(hidden), int(columns))
            expected = 8 * weights * WORKERS
            cells = [
                f"{int(each):,}" for each in (hidden, columns, weights, servers, expected, sent)
            ]
            rows.append([*cells, f"{int(sent) / expected:.3f}", f"{float(seconds):.2f} s"])
    head = ["k", "C", "P", "servers", "2 · 8P", "measured bytes a step", "ratio", "a step"]
    return table(head, rows)


def step_costs(shared: bool) -> tuple[float, float]:
    """Return the seconds that a rating and that a weight cost a step on this machine.

    From steps of 256 and of 2,048 rows.

    Parameters
    ----------
    shared : bool
        Whether the step is that of a worker in a job, without what it sends; or that of a process
        which trains alone, and needs no array for the gradient.
    """
    few, many = 256, 2_048
    # Without kernels it makes no pass of its own over the weights.
    with patch("autorec.compute.choice.has_kernels", lambda: not shared):
        step = sparse_step(many, OF_A_USER, COLUMNS, HIDDEN)

    seconds = [median(timed(lambda size=size: step(size), 7)) for size in (few, many)]
    of_rating = (seconds[1] - seconds[0]) / ((many - few) * OF_A_USER)
    return of_rating, (seconds[0] - few * OF_A_USER * of_rating) / _weights(HIDDEN, COLUMNS)


def scaling_table(alone: tuple[float, float], shared: tuple[float, float]) -> list[str]:
    """Return what an epoch takes one process, and so many nodes, by the formula of the page.

    Parameters
    ----------
    alone, shared : tuple of float
        From `step_costs`.
    """
    weights = _weights(HIDDEN, COLUMNS)
    rows = []
    for batch in BATCHES:
        one = batch * OF_A_USER * alone[0] + weights * alone[1]
        parts = [batch / nodes * OF_A_USER * shared[0] + weights * shared[1] for nodes in NODES]
        times = [part + 8 * weights / NETWORK for part in parts]
        for users in USERS:
            steps = users / batch
            found = [f"{_time(steps * each)} ({one / each:.2g})" for each in times]
            rows.append([f"{users:,}", f"{batch:,}", _time(steps * one), *found])
    head = ["rows (users)", "batch", "1 process", *(f"{nodes} nodes" for nodes in NODES)]
    return [
        f"Alone: {alone[0] * 1e6:.2f} µs a rating, {alone[1] * 1e9:.1f} ns a weight; in a job: "
        f"{shared[0] * 1e6:.2f} µs and {shared[1] * 1e9:.1f} ns.",
        "",
        *table(head, rows),
    ]


def _weights(hidden: int, columns: int) -> int:
    return 2 * hidden * columns + hidden + columns


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


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
        module = "benchmarks.jobs.network_job" if role == "worker" else "autorec.distributed.roles"
        processes.append(
            subprocess.Popen(
                [sys.executable, "-m", module],
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


if __name__ == "__main__":
    main()
