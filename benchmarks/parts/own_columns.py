"""``python -m benchmarks.parts.own_columns sent|memory|hosts``: what workers that own columns take.

`sent` runs jobs whose processes are on hosts of their own, network namespaces that a bridge joins,
and counts what their interfaces carry; it needs Linux and the right to make namespaces. `memory`
needs that of one process at the given shape. `hosts` times the parts of a step here, and computes
from them what so many hosts take. The tables are those of docs/several-machines.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from autorec.distributed.launch import free_ports
from benchmarks.jobs.epoch_job import timed
from benchmarks.markdown import table
from benchmarks.stepping import sparse_step

JOB = "benchmarks.jobs.columns_job"
#: Rows, columns, ratings, units, batch: Netflix' items, users and ratings, as the paper trains.
NETFLIX = (17_770, 480_189, 100_480_507, 500, 256)
#: Workers, columns, hidden units and rows a batch.
SENT = ((2, 5_000, 500, 256), (2, 20_000, 500, 256), (4, 5_000, 500, 256), (2, 5_000, 100, 128))
HOSTS = (2, 4, 10, 16, 32, 64)
#: Bytes a second each way.
NETWORKS = {"1 Gb/s": 0.125e9, "10 Gb/s": 1.25e9, "25 Gb/s": 3.125e9}


def sent_table() -> list[str]:
    """Return what a worker sends and receives a step, beside the formula."""
    rows = []
    for workers, columns, units, batch in SENT:
        shape = (1_024, columns, 51_200, units, batch)
        found = namespaces_job(workers, shape, epochs=4)
        expected = 8 * batch * units
        for way in ("sent", "received"):
            most = max(each[way] for each in found)
            rows.append([
                *(f"{each:,}" for each in (workers, units, columns, batch)), way,
                f"{expected:,}", f"{most:,.0f}", f"{most / expected:.3f}",
            ])  # fmt: skip
    head = ["workers", "k", "C", "B", "", "8 · B · k", "measured bytes a step", "ratio"]
    return table(head, rows)


def namespaces_job(workers: int, shape: Sequence[int], epochs: int) -> list[dict[str, Any]]:
    """Run a job on hosts that are network namespaces: the workers', and one for all else."""
    run = subprocess.run(
        ["unshare", "--net", *([] if os.geteuid() == 0 else ["--map-root-user"]), "--",
         sys.executable, "-m", "benchmarks.parts.own_columns", "inside", str(workers),
         *map(str, shape), str(epochs)],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]


def inside(workers: int, *job: str) -> None:
    """Be in a namespace of its own: join hosts by a bridge, and run a job on them."""
    say = ["ip", "link", "add", "bridge", "type", "bridge"]
    subprocess.run(say, check=True)
    subprocess.run(["ip", "link", "set", "bridge", "up"], check=True)
    hosts = []
    try:
        for number in range(workers + 1):
            host = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
            hosts.append(host)
            _join(host.pid, number)
        environment = _environment("10.0.0.1", 9091, workers, 1)
        roles = [("scheduler", 0), ("server", 0), *(("worker", i + 1) for i in range(workers))]
        processes = []
        for role, number in roles:
            within = ["nsenter", f"--net=/proc/{hosts[number].pid}/ns/net"]
            own = {"DMLC_ROLE": role, "DMLC_NODE_HOST": f"10.0.0.{number + 1}"}
            processes.append(_start(role, [*job, "fit"], {**environment, **own}, within))
        _finish(processes)
    finally:
        for host in hosts:
            host.kill()


def _join(host: int, number: int) -> None:
    within = ["nsenter", f"--net=/proc/{host}/ns/net"]
    for _ in range(100):  # until it is in its namespace
        if os.readlink(f"/proc/{host}/ns/net") != os.readlink("/proc/self/ns/net"):
            break
        subprocess.run(["sleep", "0.05"], check=True)
    here, there = f"to{number}", "eth0"
    for command in [
        ["ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", str(host)],
        ["ip", "link", "set", here, "master", "bridge", "up"],
        [*within, "ip", "link", "set", "lo", "up"],
        [*within, "ip", "addr", "add", f"10.0.0.{number + 1}/24", "dev", there],
        [*within, "ip", "link", "set", there, "up"],
    ]:
        subprocess.run(command, check=True)


def memory_table(shape: Sequence[int] = NETFLIX, ways: Sequence[str] = ("peak",)) -> list[str]:
    """Return the peak memory of one process, and of a worker of two and of four, at a shape."""
    rows = []
    for way in ways:
        alone: list[float] = []
        for workers in (0, 2, 4):
            found = loopback_job(workers, shape, epochs=2, way=way)
            peaks = [each["peak"] for each in found]
            alone = alone or [max(peaks)]
            rows.append([
                way, str(workers or "one process"), f"{max(peaks) / 1e9:.2f} GB",
                f"{max(peaks) / alone[0]:.0%}",
            ])  # fmt: skip
            print(*rows[-1], file=sys.stderr, flush=True)
    return table(["", "workers", "peak of the largest", "of one process"], rows)


def loopback_job(
    workers: int, shape: Sequence[int], epochs: int, way: str = "fit"
) -> list[dict[str, Any]]:
    """Run a job over loopback, or one process for no workers; return what each printed."""
    job = [*map(str, shape), str(epochs), way]
    if workers == 0:
        processes = [_start("worker", job, dict(os.environ))]
        return [json.loads(line) for line in _finish(processes)]
    environment = _environment("127.0.0.1", free_ports(1)[0], workers, 1)
    roles = ["scheduler", "server", *["worker"] * workers]
    own = {"DMLC_NODE_HOST": "127.0.0.1"}
    processes = [_start(role, job, {**environment, **own, "DMLC_ROLE": role}) for role in roles]
    return [json.loads(line) for line in _finish(processes)]


def _environment(scheduler: str, port: int, workers: int, servers: int) -> dict[str, str]:
    return {
        **os.environ,
        "DMLC_PS_ROOT_URI": scheduler,
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NUM_WORKER": str(workers),
        "DMLC_NUM_SERVER": str(servers),
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }


def _start(
    role: str, job: Sequence[str], environment: dict[str, str], within: Sequence[str] = ()
) -> subprocess.Popen[str]:
    module = [JOB, *job] if role == "worker" else ["autorec.distributed.roles"]
    command = [*within, sys.executable, "-m", *module]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def _finish(processes: Sequence[subprocess.Popen[str]]) -> list[str]:
    """Wait for all, and return the lines of figures, which are also printed."""
    try:
        said = [process.communicate(timeout=1_800)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(process.returncode for process in processes):
        sys.exit("The job failed.")
    lines = [line for text in said for line in text.splitlines() if line.startswith("{")]
    print(*lines, sep="\n", flush=True)
    return lines


def step_costs(columns: int = 20_000, units: int = 500, a_row: int = 1_000) -> tuple[float, float]:
    """Return the seconds that a rating and a weight cost a worker's step, without its sums."""
    few, many = 64, 256
    step = sparse_step(many, a_row, columns, units, 0.05)
    seconds = [min(timed(lambda size=size: step(size), 15)) for size in (few, many)]
    of_rating = (seconds[1] - seconds[0]) / ((many - few) * a_row)
    return of_rating, (seconds[0] - few * a_row * of_rating) / (2 * units * columns)


def hosts_table(costs: tuple[float, float], a_sum: float) -> list[str]:
    """Return what a step takes at the Netflix shape, on so many hosts, by the page's formula.

    Parameters
    ----------
    costs : tuple of float
        From `step_costs`.
    a_sum : float
        Seconds that a sum takes besides what the network carries.
    """
    rows, columns, ratings, units, batch = NETFLIX
    work = batch * ratings / rows * costs[0] + 2 * units * columns * costs[1]
    lines = []
    for hosts in HOSTS:
        cells = []
        for network in NETWORKS.values():
            seconds = work / hosts + 16 * batch * units / network + 2 * a_sum
            cells.append(f"{1e3 * seconds:.0f} ms ({work / seconds:.2g})")
        lines.append([str(hosts), f"{1e3 * work / hosts:.0f} ms", *cells])
    head = ["hosts", "compute of a slice", *NETWORKS]
    return [
        f"One process: {1e3 * work:.0f} ms a step, by {costs[0] * 1e6:.3f} µs a rating and "
        f"{costs[1] * 1e9:.2f} ns a weight; {1e3 * a_sum:.1f} ms a sum.",
        "",
        *table(head, lines),
    ]


def main(what: str, *arguments: str) -> None:
    """Measure one of the tables, and print it."""
    if what == "inside":
        inside(int(arguments[0]), *arguments[1:])
    elif what == "sent":
        print("\n".join(sent_table()))
    elif what == "memory":
        shape = tuple(map(int, arguments[:5])) or NETFLIX
        print("\n".join(memory_table(shape, arguments[5:] or ("peak",))))
    elif what == "hosts":
        print("\n".join(hosts_table(step_costs(), float(arguments[0]))))
    else:
        sys.exit(f"There is no table {what}; ask for sent, memory or hosts.")


if __name__ == "__main__":
    main(*sys.argv[1:])
