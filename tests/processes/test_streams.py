"""Commands among a shell's streams, limits and signals."""

from __future__ import annotations

import concurrent.futures
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy
import pandas as pd
import pytest
from support import times
from support.command_line import ENCODED, HARMLESS, HOSTILE, hostile_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return hostile_folder(tmp_path_factory.mktemp("shell"))


MEMORY = """
import re, resource, sys
import numpy
from autorec import Ratings, Recommender
from autorec.cli import app as cli
import pandas as pd

def peak(what):
    return int(re.search(what + r":\\s+(\\d+) kB", open("/proc/self/status").read())[1]) << 10

def recommend(users):
    rng = numpy.random.default_rng(0)
    rows = pd.DataFrame({"user": numpy.repeat(numpy.arange(users), 20)})
    rows["item"] = (rows.user * 7 + numpy.tile(numpy.arange(20), users) * 61) % 1220
    rows["rating"] = 1 + rng.integers(5, size=len(rows))
    rows = rows.drop_duplicates(["user", "item"])
    model = Recommender(num_hidden=2, num_epochs=1, devices="cpu").fit(rows)
    cli.model_commands._load = lambda *_: model
    sys.argv = ["autorec", "recommend", "model", "--all", "-k", "1000", "-o", "/dev/null"]
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code, end.code
    return peak("VmHWM")

small = recommend(600)
_, hard = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (peak("VmPeak") + (200 << 20), hard))
print(small, recommend(6000))
"""


def test_memory_does_not_grow_with_the_users_that_are_recommended_to(tmp_path):
    """3,600,000 rows more, some 100 MB as a table and more as text, under a limit."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    small, large = map(int, done.stdout.split())
    print(f"peak memory: {small >> 20} MB for 600 users, {large >> 20} MB for 6,000")
    assert large < small + (60 << 20)


def shell(command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash, in which `autorec` is this package's."""
    autorec = f'set -o pipefail; autorec() {{ "{sys.executable}" -m autorec "$@"; }}'
    return subprocess.run(
        ["bash", "-c", f"{autorec}\n{command}"],
        cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True,
        encoding="utf-8", errors="replace", timeout=600, check=False,
    )  # fmt: skip


STREAMS = {
    "stdout closed": ("autorec inspect model >&-", 1, "stdout is closed, so the result"),
    "stdout closed, and another file": (
        "autorec recommend model --user 3 -o other.csv >&- && grep -q 'user,rank' other.csv", 0, ""
    ),
    "stderr closed": ("autorec recommend model --user 3 2>&- | grep -q ^3,1,", 0, ""),
    "stderr closed, and an error": ("autorec recommend model --user 99 2>&-", 2, ""),
    "both closed": ("autorec train --ratings ratings.csv --epochs 1 --hidden 2 --output closed "
                    ">&- 2>&- && [ -e closed/metrics.json ]", 0, ""),
    "all closed": ("autorec inspect nowhere <&- >&- 2>&-", 2, ""),
    "nobody reads": ("autorec recommend model --all | true", 0, ""),
    "nobody reads the help": ("autorec --help | true", 0, ""),
    "nobody reads the rest": ("autorec recommend model --all --include-seen | head -1 | "
                              "grep -qx user,rank,item,rating", 0, ""),
    "nobody reads a run": ("autorec train --ratings ratings.csv --epochs 3 --hidden 2 --output "
                           "unread 2>&1 | true; [ -e unread/metrics.json ]", 0, ""),
    "full": ("autorec inspect model > /dev/full", 1, "No space left on device"),
    "full of help": ("autorec --help > /dev/full", 1, "No space left on device"),
    "full of errors": ("autorec inspect nowhere 2> /dev/full", 2, ""),
    "descriptors": ("{ echo first; autorec recommend model --user 3 -o /dev/stdout; "
                    "echo last; } > f; head -1 f | grep -q first && grep -q last f && "
                    "grep -q ^3,1, f", 0, ""),
    "another descriptor": ("autorec recommend model --user 3 -o /dev/fd/7 7> seven; "
                           "grep -q ^3,1, seven", 0, ""),
}  # fmt: skip


@pytest.mark.parametrize("what", STREAMS)
def test_streams_that_take_nothing_are_no_tracebacks(place, what):
    command, code, said = STREAMS[what]
    done = shell(command, place)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert said in done.stderr
    if "train" not in command:
        assert len(done.stderr.splitlines()) == bool(said)


def test_a_terminal_whose_encoding_lacks_a_character_is_shown_its_number(place):
    done = shell(f"autorec {' '.join(ENCODED)} table", place, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert HARMLESS.replace("é", r"\xe9") in done.stdout


def test_a_locale_without_letters_is_no_hindrance(place):
    done = shell(f"autorec {' '.join(ENCODED)} csv", place, LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")
    assert HOSTILE in pd.read_csv(io.StringIO(done.stdout))["item"].tolist()


INTERRUPTED = """
import atexit, os, runpy, signal, sys
wanted, count = int(sys.argv.pop(1)), -1
def hook(event, arguments):
    global count
    if event == "import":
        if count >= 0 or arguments[0] == "autorec.cli.app":
            count += 1
        if count == wanted > 0:
            os.kill(os.getpid(), signal.SIGINT)
sys.addaudithook(hook)
if not wanted:
    atexit.register(lambda: print(count))
sys.argv[0] = "autorec"
runpy.run_module("autorec", run_name="__main__", alter_sys=True)
"""


@times(6, 60)
def test_ctrl_c_at_any_moment_is_130_and_a_line(place, times, soaked):
    """While the command line is imported, the model's part of it, and while the command runs."""

    def interrupted(number: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", INTERRUPTED, str(number), "recommend", "model", "--user", "3"],
            cwd=place, capture_output=True, text=True, timeout=600, check=False,
            # A shell in the background ignores SIGINT, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip

    imports = int(interrupted(0).stdout.split()[-1])
    moments = sorted({int(each) for each in numpy.linspace(2, imports - 1, times)})
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for number, done in zip(moments, pool.map(interrupted, moments)):
            assert done.returncode == 130, (number, done)
            assert done.stdout == ""
            assert done.stderr.split() == ["autorec:", "stopped"], number
    soaked("Ctrl-C at any moment of a command", len(moments))
