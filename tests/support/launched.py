"""Jobs that `autorec launch` starts, and the processes of which they are."""

import subprocess
import sys
import time
from pathlib import Path


def launched(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-m", "autorec", "launch", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children(process):
    """Return the processes that a process has started, by role, in order."""
    found = {"scheduler": [], "server": [], "worker": []}
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    for pid in map(int, tasks.split()):
        variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
        for role in [each[10:] for each in variables if each.startswith("DMLC_ROLE=")]:
            found[role].append(pid)
    return found


def wait_for(condition, process=None):
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def end_of(process, started):
    """Return the exit code and what was printed; nothing that was started is left."""
    said, _ = process.communicate(timeout=400)
    assert all(is_gone(pid) for pids in started.values() for pid in pids)
    return process.returncode, said.splitlines()
