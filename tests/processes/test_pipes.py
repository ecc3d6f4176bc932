"""Ratings from pipes, devices and bombs, as other processes meet them."""

import gzip
import os
import resource
import subprocess
import sys

LINES = "".join(f"{n // 50},{n % 50},{1 + n % 5},{n}\n" for n in range(20_000))


def read_in_a_process(*paths, stdin=None):
    """Read files of ratings with 2 GB of memory; return for each the number, or the sentence."""
    code = (
        "import sys\nfrom autorec import read_ratings\nfrom autorec.errors import RatingsError\n"
        "for path in sys.argv[1:]:\n    try:\n        print(len(read_ratings(path)))\n"
        "    except RatingsError as error:\n        print(error)\n"
    )
    memory = 2 * 2**30
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)],
        stdin=stdin, capture_output=True, text=True,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"}, timeout=300, check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory)),
    )  # fmt: skip
    return done.stdout.splitlines()


def test_standard_input_is_read(tmp_path):
    (tmp_path / "ratings.csv").write_text(LINES)
    with open(tmp_path / "ratings.csv") as file:
        assert read_in_a_process("-", "-", stdin=file) == [
            "20000",
            "Standard input: The file is empty or begins with an empty line; give it ratings.",
        ]
    with subprocess.Popen(["cat", tmp_path / "ratings.csv"], stdout=subprocess.PIPE) as cat:
        assert read_in_a_process("/dev/stdin", stdin=cat.stdout) == ["20000"]


def test_devices_and_bombs_do_not_take_all_the_memory(tmp_path):
    bombs = {
        "a line of more than": b"1" * 2**20,
        "unpacks to more than 250 times its size": b"1,1,5\n" * 2**18,
        "NUL characters": b"\0" * 2**20,
    }
    for number, content in enumerate(bombs.values()):
        (tmp_path / f"{number}.gz").write_bytes(gzip.compress(content) * 50)
    paths = ["/dev/zero", *(tmp_path / f"{number}.gz" for number in range(3)), "-"]
    with subprocess.Popen(["cat", "/dev/zero"], stdout=subprocess.PIPE) as cat:
        said = read_in_a_process(*paths, stdin=cat.stdout)
        cat.stdout.close()
    for line, sentence in zip(said, ["is a device, which has no end", *bombs, "NUL characters"]):
        assert sentence in line
    assert len(said) == 5


def autorec(command, cwd):
    return subprocess.run(
        ["bash", "-c", command.replace("autorec", f"{sys.executable} -m autorec", 1)],
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_the_command_line_takes_pipes(tmp_path):
    (tmp_path / "r.csv").write_text("".join(LINES.splitlines(keepends=True)[:600]))
    train = "train --hidden 2 --devices cpu --checkpoint-every 1 --epochs 1 --output run"
    done = autorec(f"autorec {train} --ratings - < r.csv", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("stdin: 600 ratings")
    done = autorec("autorec train --resume run --epochs 2 < /dev/null", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Standard input: The file is empty" in done.stderr
    done = autorec("cat r.csv | autorec train --resume run --epochs 2", tmp_path)
    assert done.returncode == 0, done.stderr
    done = autorec("autorec predict run --pairs <(cat r.csv)", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 601
