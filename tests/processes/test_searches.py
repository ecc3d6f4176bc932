"""Searches of several processes, and those that are stopped."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd

QUICK = "--epochs", "2", "--hidden", "4", "--batch-size", "8", "--devices", "cpu"


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "autorec", "tune", *arguments],
        cwd=folder,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell in the background ignores SIGINT, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_ctrl_c_ends_all_processes_and_the_search_goes_on(tmp_path, ratings_file):
    began = "--ratings", "films.csv", *QUICK, "--output", "search"
    search = start(tmp_path, *began, "--jobs", "2", "--minutes", "20")
    settings = tmp_path / "search" / "settings.json"
    deadline = time.monotonic() + 120
    while not settings.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    # As a terminal does: to all processes of the group at once.
    os.killpg(search.pid, signal.SIGINT)
    _, err = search.communicate(timeout=120)
    assert search.returncode == 130, err
    assert "Traceback" not in err
    assert "to go on: autorec tune --resume search" in err
    assert gone(search.pid)

    table = pd.read_csv(tmp_path / "search" / "trials.csv")
    wanted = (table["state"] != "interrupted").sum() + 2
    search = start(tmp_path, "--resume", "search", "--jobs", "2", "--trials", str(wanted))
    out, err = search.communicate(timeout=300)
    assert search.returncode == 0, err
    table = pd.read_csv(tmp_path / "search" / "trials.csv")
    assert list(table["trial"]) == list(range(len(table)))
    assert (table["state"] != "interrupted").sum() == wanted
    assert f"in trial {table['validation_rmse'].idxmin()} of {wanted}" in out


def gone(group):
    """Return whether no process of a group is left, or soon is none."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False
