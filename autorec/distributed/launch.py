"""Launch: the processes of a job on this machine, for trying it out; they live and end together."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO

from ..errors import ConfigurationError
from .roles import HEARTBEAT

#: Seconds that others get to end by themselves: workers after one failed, which may fail alike, or
#: after Ctrl-C, which has rank 0 write a checkpoint; servers after the workers.
_GRACE = {"failed": 5.0, "stopped": 60.0, "done": 60.0}

#: What MXNet's parameter server reads and a user may mean for this job, too.
_KEPT = (*HEARTBEAT, "PS_VERBOSE")

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def launch(arguments: Sequence[str], workers: int = 2, servers: int = 1) -> int:
    """Run ``autorec train`` as a job of several processes, over loopback only.

    Parameters
    ----------
    arguments : sequence of str
        Of the command line, from "train" on; --kvstore is dist_sync where they do not say.
    workers, servers : int
        At least 1 each; a scheduler comes in addition.

    Returns
    -------
    int
        The exit code: that of the first process that failed, 1 if a signal ended it; 128 + n if
        this process got SIGINT or SIGTERM.

    Raises
    ------
    ConfigurationError
        If it is not training that is asked for.
    """
    if not arguments or arguments[0] != "train":
        raise ConfigurationError("launch only runs train: autorec launch -- train ...")
    arguments = list(arguments)
    if not any(each.startswith(("--kvstore", "--resume")) for each in arguments):
        arguments[1:1] = ["--kvstore", "dist_sync"]
    scheduler, *ports = free_ports(1 + workers)
    environment = {
        **_inherited(),
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(scheduler),
        "DMLC_NUM_WORKER": str(workers),
        "DMLC_NUM_SERVER": str(servers),
        "DMLC_INTERFACE": "lo",
        "DMLC_NODE_HOST": "127.0.0.1",  # where servers and workers listen, and nowhere else
        "PYTHONUNBUFFERED": "1",
    }
    threads = str(max((os.cpu_count() or 1) // workers, 1))
    for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        environment.setdefault(variable, threads)
    serve, train = ["autorec.distributed.roles"], ["autorec", *arguments]
    job = _Job(environment)
    with _told_to_stop() as told:
        try:
            job.start("scheduler", "scheduler", serve)
            for number in range(servers):
                job.start(f"server {number}", "server", serve)
            for number, port in enumerate(ports):
                # The scheduler gives ranks in the order of ports, so that worker 0 is rank 0.
                job.start(f"worker {number}", "worker", train, PORT=str(port))
            job.hand_on()
            return _follow(job, told)
        finally:
            job.end()


def _inherited() -> dict[str, str]:
    """Return the environment without another job's: where it listens, who is who in it."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT or not (name.startswith(("DMLC_", "PS_")) or name == "PORT")
    }


class _Job:
    """Processes by name, and the threads that hand on what they print."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self.processes: dict[str, subprocess.Popen[str]] = {}
        self._readers: list[threading.Thread] = []

    def start(self, name: str, role: str, module: list[str], **environment: str) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            env={**self._environment, "DMLC_ROLE": role, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            # Ctrl-C in a terminal is this process's to hand on.
            start_new_session=True,
            preexec_fn=_prepare,
        )
        self.processes[name] = process

    def hand_on(self) -> None:
        """Hand on what all print; once all are started, for threads do not survive a fork."""
        for name, process in self.processes.items():
            for source, sink in ((process.stdout, sys.stdout), (process.stderr, sys.stderr)):
                reader = threading.Thread(target=_hand_on, args=(name, source, sink), daemon=True)
                reader.start()
                self._readers.append(reader)

    def running(self, kind: str = "") -> list[subprocess.Popen[str]]:
        return [
            process
            for name, process in self.processes.items()
            if name.startswith(kind) and process.poll() is None
        ]

    def failed(self) -> tuple[str, int] | None:
        codes = ((name, process.poll()) for name, process in self.processes.items())
        # One that a signal ended first: others that fail then do so for want of it.
        found = sorted((code, name) for name, code in codes if code)
        return (found[0][1], found[0][0]) if found else None

    def end(self) -> None:
        """End what still runs, and hand on its last words."""
        for process in self.running():
            process.kill()
        for process in self.processes.values():
            process.wait()
        for reader in self._readers:
            reader.join(timeout=5)


def _follow(job: _Job, told: list[int]) -> int:
    """Wait for the end of a job, and bring it about if a process fails or this one has to stop."""
    while job.running("worker") and not told and job.failed() is None:
        time.sleep(0.05)
    if told:
        for process in job.running("worker"):
            process.send_signal(signal.SIGINT)
        # Rank 0 has its say; the others wait for it until they are ended.
        _wait(
            lambda: len(told) > 1 or job.failed() is not None or not job.running("worker"),
            _GRACE["stopped"],
        )
        return 128 + told[0]
    if job.failed() is None:
        _wait(lambda: bool(told) or not job.running(), _GRACE["done"])
    failed = job.failed()
    if failed is None:
        return 128 + told[0] if told else 0
    name, code = failed
    if code > 0:
        _wait(lambda: bool(told) or not job.running("worker"), _GRACE["failed"])
    how = f"exit code {code}" if code > 0 else signal.Signals(-code).name
    job.end()
    print(
        f"autorec: {name} ended with {how}, and so the whole job has; a run with checkpoints goes "
        "on by train --resume.",
        file=sys.stderr,
    )
    return max(code, 1)


def _wait(done: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)


@contextmanager
def _told_to_stop() -> Iterator[list[int]]:
    """Give a list into which SIGINT and SIGTERM are written, instead of having their effect."""
    told: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: told.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _prepare() -> None:
    """Make a new process hear Ctrl-C, and die with the one that started it, whatever ends that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _hand_on(name: str, source: IO[str], sink: IO[str]) -> None:
    """Print a process's lines, with its name; also when nobody reads them it is not held up."""
    heard = True
    for line in source:  # a progress bar's, too, which end in \r
        if line.strip() and heard:
            try:
                print(f"[{name}] {line.rstrip()}", file=sink, flush=True)
            except OSError:
                heard = False


def free_ports(count: int) -> list[int]:
    """Return ports that are free on loopback, in ascending order."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return sorted(each.getsockname()[1] for each in sockets)
    finally:
        for each in sockets:
            each.close()
