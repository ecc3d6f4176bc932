"""Commands on a terminal, narrow and wide: what is drawn there fits, and nothing is cut off."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy
import pandas as pd
import pytest
from support import ROOT


def on_a_terminal(columns: int, cwd: Path, *arguments: object, **environment: str) -> str:
    """Run a command on a terminal of so many columns; return what it wrote there."""
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    own = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    with subprocess.Popen(
        [sys.executable, "-m", "autorec", *map(str, arguments)],
        cwd=cwd, stdin=terminal, stdout=terminal, stderr=terminal,
        env={**own, "TERM": "xterm", "OMP_NUM_THREADS": "1", **environment},
    ) as process:  # fmt: skip
        os.close(terminal)
        written = b""
        while True:
            try:
                written += os.read(master, 1 << 16) or b""
            except OSError:  # nobody writes any more
                break
    os.close(master)
    assert process.returncode == 0, written
    return written.decode()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with ratings that users of two tastes gave."""
    folder = tmp_path_factory.mktemp("terminal")
    rng = numpy.random.default_rng(0)
    item, user = (rng.random((60, 40)) < 0.3).nonzero()
    rating = 1 + 4 * ((item + user) % 2)
    pd.DataFrame({"user": user, "item": item, "rating": rating}).to_csv(
        folder / "ratings.csv", index=False
    )
    return folder


SURROUNDINGS = {
    "narrow": (80, {"NO_COLOR": "1"}),
    "wide": (160, {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
}


@pytest.mark.parametrize("what", SURROUNDINGS)
def test_a_run_fits(place, what):
    columns, environment = SURROUNDINGS[what]
    output = what.split()[0]
    text = on_a_terminal(
        columns, place, "train", "--ratings", "ratings.csv", "--hidden", 20, "--epochs", 20,
        "--lr", 0.01, "--devices", "cpu", "--output", output, **environment,
    )  # fmt: skip
    bars = [line for line in re.split(r"[\r\n]+", text) if line.startswith("Training ")]
    assert max(map(len, bars)) <= columns
    first, *_, last = bars
    assert re.match(r"Training 0/20 \|", first)
    assert re.match(r"Training 20/20, train RMSE \d\.\d{3}, test RMSE \d\.\d{3} \|", last)
    assert all(re.search(r"\| +\d\d:\d\d<(\?|\d\d:\d\d)$", line) for line in bars)
    assert text.isascii() == ("LC_ALL" in environment)
    assert "\x1b[3" not in text, "no colours where none are wanted"

    if what == "narrow":
        table = on_a_terminal(columns, place, "inspect", "narrow", **environment)
        assert max(map(len, re.sub(r"\x1b\[[0-9;]*m", "", table).splitlines())) <= columns
        assert re.search(r"test RMSE +\d\.\d{4} ", table)
        assert "\x1b[3" not in table


def test_in_a_pipe_the_bar_has_what_it_has_on_a_terminal(place):
    done = subprocess.run(
        [sys.executable, "-m", "autorec", "train", "--ratings", "ratings.csv", "--hidden", "3",
         "--epochs", "2", "--devices", "cpu", "--output", "piped"],
        cwd=place, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    last = re.split(r"[\r\n]+", done.stderr.split("autorec:")[0].strip())[-1]
    assert re.fullmatch(
        r"Training 2/2, train RMSE \d\.\d{3}, test RMSE \d\.\d{3} \|█{10}\| [\d:]+<[\d:]+ *", last
    )
    assert "\x1b[3" not in done.stderr + done.stdout


def test_brackets_in_the_help_of_benchmarks_are_not_eaten():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "pip install 'gluon-autorec[bench]'" in " ".join(done.stdout.split())
