"""Several processes that fetch a release, some of which are killed."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from support import times
from support.movielens import FILES, Server, contents, release_zip

from autorec._storage import leftovers
from autorec.data.movielens import releases
from autorec.data.movielens.tables import (
    RELEASES,
    fetch,
)

FETCH = """
import dataclasses, sys
from autorec.data.movielens import tables as movielens
from autorec.data.movielens import releases
releases.GROUPLENS, md5, sha1 = sys.argv[1:]
release = dataclasses.replace(movielens.RELEASES["100k"], md5=md5, sha1=sha1)
movielens.RELEASES["100k"] = release
print(movielens.ratings_file(movielens.fetch("100k"), release))
"""


def test_two_processes_may_fetch_at_once(cache: Path, server: Server) -> None:
    release = RELEASES["100k"]
    server.answers, server.together = [release_zip("100k")], threading.Barrier(2)
    command = [sys.executable, "-c", FETCH, releases.GROUPLENS, str(release.md5)]
    command.append(str(release.sha1))
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [run.communicate()[0] for run in runs] == [f"{cache}/ml-100k/u.data\n"] * 2
    assert contents(cache) == {f"ml-100k/{file}": data for file, data in FILES["100k"].items()}


def fetching_100k(cache: Path) -> tuple[subprocess.Popen[str], Path]:
    """A process that fetches 100k, once bytes have come, and the folder that it puts them in."""
    release, before = RELEASES["100k"], set(cache.glob(".*"))
    command = [sys.executable, "-c", FETCH, releases.GROUPLENS, str(release.md5)]
    process = subprocess.Popen([*command, str(release.sha1)], stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and process.poll() is None:
        for folder in set(cache.glob(".*")) - before:
            if any(file.stat().st_size for file in folder.glob("*.zip")):
                return process, folder
        time.sleep(0.01)
    raise AssertionError("no download has begun")


@times(1, 20)
def test_what_a_killed_download_left_is_removed_by_the_next_and_no_other(
    cache: Path,
    tmp_path: Path,
    server: Server,
    times: int,
    soaked: Callable[[str, int], None],
) -> None:
    notes = cache / ".incoming-notes"  # not a name of ours
    notes.mkdir(parents=True)
    (tmp_path / "1m.zip").write_bytes(release_zip("1m"))
    for _ in range(times):
        server.answers, server.missing = [bytes(300_000)], 9  # and then no more
        server.after.clear()
        killed, abandoned = fetching_100k(cache)
        killed.send_signal(signal.SIGKILL)
        killed.communicate()
        assert abandoned.is_dir()
        busy, scratch = fetching_100k(cache)
        assert not abandoned.exists()
        unpacked = fetch("1m", tmp_path / "1m.zip")
        assert scratch.is_dir()
        server.answers, server.missing = [release_zip("100k")], 0  # to its second try
        server.after.set()
        assert busy.communicate(timeout=200)[0] == f"{cache}/ml-100k/u.data\n"
        assert sorted(os.listdir(cache)) == [notes.name, "ml-100k", unpacked.name]
        for folder in (cache / "ml-100k", unpacked):
            shutil.rmtree(folder)
    soaked("kills during a download", times)


def test_a_folder_is_held_by_one_and_let_go_by_the_dead(tmp_path: Path) -> None:
    hold = (
        "import sys, time; from pathlib import Path; from autorec._storage.leftovers import held\n"
    )
    hold += "with held(Path(sys.argv[1])) as yes: print(yes, flush=True); time.sleep(100)"
    command = [sys.executable, "-c", hold, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    with leftovers.held(tmp_path, wait=False) as mine:
        assert not mine
    process.kill()
    process.communicate()
    with leftovers.held(tmp_path, wait=False) as mine:
        assert mine
    assert os.listdir(tmp_path) == []
