"""The command line among terminals, pipes, devices and signals, whatever they do."""

from __future__ import annotations

import concurrent.futures
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy
import pandas as pd
import pytest
from support import times

from autorec import Recommender
from autorec import _output as output
from autorec._terminal import shown
from autorec.cli import app as cli
from autorec.cli import listing
from autorec.errors import ConfigurationError
from autorec.evaluation import top_items as scores
from autorec.recommender import estimator as recommender

RED, OVERRIDE = "\x1b[31m", "\u202e"
HOSTILE = f"{RED}é{OVERRIDE}\nfilm"
#: As it is shown.
HARMLESS = r"\x1b[31mé\u202e\nfilm"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, one of whose items has an id that is hostile, and pairs and titles."""
    folder = tmp_path_factory.mktemp("shell")
    rng = numpy.random.default_rng(0)
    item, user = (rng.random((12, 20)) < 0.5).nonzero()
    names = [HOSTILE, *(f"film {i}" for i in range(1, 12))]
    rows = pd.DataFrame(
        {"user": user + 1, "item": [names[i] for i in item], "rating": 1 + (item + user) % 5}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "autorec.recommender.saving.versions", lambda: {"numpy": HOSTILE}, raising=False
        )
        Recommender(num_hidden=4, num_epochs=2, devices="cpu").fit(rows).save(folder / "model")
    rows.to_csv(folder / "ratings.csv", index=False)
    rows[["user", "item"]][10:15].to_csv(folder / "pairs.csv", index=False)
    titles = pd.DataFrame({"item": names, "title": ["[bold]:heart:", *[HOSTILE] * 11]})
    titles.to_csv(folder / "titles.csv", index=False)
    return folder


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Run a command in that folder; return its exit code and what it wrote."""

    def run(*arguments):
        monkeypatch.chdir(place)
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["autorec", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:  # anything else would be a traceback
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


WRITING = [
    ("predict", "model", "--pairs", "pairs.csv"),
    ("recommend", "model", "--all", "-k", "3"),
]


def name_of(command):
    return command[0]


@pytest.mark.parametrize("command", WRITING, ids=name_of)
def test_a_file_is_replaced_whole_and_where_it_is_a_link_what_that_points_to(
    run, tmp_path, command
):
    (tmp_path / "inner").mkdir()
    file, link, new = tmp_path / "inner" / "file.csv", tmp_path / "link", tmp_path / "new link"
    file.write_text("old")
    link.symlink_to("inner/file.csv")
    new.symlink_to("inner/new.csv")
    _, expected, _ = run(*command)
    for path in (file, link, new):
        assert run(*command, "-o", path) == (0, "", "")
    assert link.is_symlink()
    assert new.is_symlink()
    assert sorted(each.name for each in tmp_path.rglob("*")) == [
        "file.csv", "inner", "link", "new link", "new.csv",
    ]  # fmt: skip
    assert file.read_text() == (tmp_path / "inner" / "new.csv").read_text() == expected


@pytest.mark.parametrize("command", WRITING, ids=name_of)
def test_a_device_is_written_into_and_stays(run, tmp_path, command):
    device = tmp_path / "null"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        device.write_text("")
    except PermissionError:
        pytest.skip("only root makes devices, and not everywhere")
    assert run(*command, "-o", device) == (0, "", "")
    assert device.is_char_device()
    assert os.listdir(tmp_path) == ["null"]


@pytest.mark.parametrize("command", WRITING, ids=name_of)
def test_a_full_device_is_what_the_machine_could_not_do(run, command):
    code, out, err = run(*command, "-o", "/dev/full")
    assert (code, out) == (1, "")
    assert "No space left on device" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("command", WRITING, ids=name_of)
def test_a_fifo_gives_its_reader_all_and_one_that_nobody_reads_is_refused(
    run, tmp_path, monkeypatch, command
):
    fifo, read = tmp_path / "fifo", []
    os.mkfifo(fifo)
    _, expected, _ = run(*command)
    reader = threading.Thread(target=lambda: read.append(fifo.read_text()))
    reader.start()
    assert run(*command, "-o", fifo) == (0, "", "")
    reader.join(timeout=60)
    assert read == [expected]
    monkeypatch.setattr(output, "PATIENCE", 0.0)
    code, _, err = run(*command, "-o", fifo)
    assert code == 2
    assert err == f"autorec: {fifo} is a FIFO that nobody reads; start its reader first.\n"
    assert fifo.is_fifo()


@pytest.mark.parametrize("command", WRITING, ids=name_of)
def test_what_cannot_be_written_is_refused_by_its_name(run, tmp_path, command):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("stays")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "astray").symlink_to("nowhere/file")
    refused = {
        "folder": "is a folder, which is not replaced",
        "socket": "is a socket, which is not replaced",
        "missing/file": f"There is no folder {tmp_path / 'missing'} for",
        "astray": f"There is no folder {tmp_path / 'nowhere'} for",
        "file/below": f"({tmp_path / 'file'} is no folder)",
        "loop": "cannot be written (Too many levels of symbolic links)",
        "long" * 64: "cannot be written (File name too long)",
    }
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(tmp_path, os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/socket")  # whose own path may be too long
        os.close(folder)
        before = sorted(tmp_path.rglob("*"))
        for name, complaint in refused.items():
            code, out, err = run(*command, "-o", tmp_path / name)
            assert (code, out) == (2, ""), name
            assert complaint in err
            assert str(tmp_path / name) in err
            assert ".csv" not in err, "a temporary name"
            assert len(err.splitlines()) == 1
            assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "stays"


def test_a_block_device_is_refused(tmp_path):
    try:
        os.mknod(tmp_path / "disk", 0o600 | stat.S_IFBLK, os.makedev(7, 250))
    except PermissionError:
        pytest.skip("only root makes devices, and not everywhere")
    with pytest.raises(ConfigurationError, match="a block device, which is not replaced"):
        output.written(tmp_path / "disk").__enter__()


def test_a_folder_that_cannot_be_one_is_refused_before_the_work(run, tmp_path):
    (tmp_path / "file").write_text("stays")
    for target in (tmp_path / "file", tmp_path / "file" / "below", "/dev/null"):
        for command in (
            ("export", "model", "--format", "numpy"),
            ("reproduce", "--quick", "--ml-100k", "nowhere", "--ml-1m", "nowhere"),
            ("train", "--ratings", "ratings.csv", "--epochs", "1", "--hidden", "2"),
        ):
            code, _, err = run(*command, "--output", target)
            assert code == 2, err
            assert str(target) in err.splitlines()[-1]
            assert "Traceback" not in err
    assert Path("/dev/null").is_char_device()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_export_replaces_what_its_links_point_to_and_no_device(run, tmp_path):
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "model.npz").symlink_to(tmp_path / "elsewhere.npz")
    assert run("export", "model", "--format", "numpy", "-o", folder)[0] == 0
    assert (folder / "model.npz").is_symlink()
    assert (tmp_path / "elsewhere.npz").stat().st_size > 100
    (folder / "ids.json").unlink()
    os.mkfifo(folder / "ids.json")
    code, _, err = run("export", "model", "--format", "numpy", "-o", folder)
    assert code == 2
    assert "ids.json is a FIFO, which is not replaced" in err
    assert (folder / "ids.json").is_fifo()


# What goes to a terminal, a pipe or a file.


def harmless(text: str) -> bool:
    return not any(each in text for each in (RED, "\x1b", OVERRIDE))


@pytest.mark.parametrize(
    "command",
    [
        ("recommend", "model", "--all", "--include-seen"),
        ("recommend", "model", "--user=3", "--include-seen", "-k12", "--titles", "titles.csv"),
        ("similar", "model", "--item", "film 3", "-k", "12", "--titles", "titles.csv"),
        ("predict", "model", "--pairs", "ratings.csv"),
        ("inspect", "model"),
    ],
    ids=name_of,
)  # fmt: skip
def test_a_terminal_is_shown_what_would_act_upon_it_and_data_stay_as_they_are(run, command):
    code, out, err = run(*command, "--format", "table")
    assert (code, err) == (0, "")
    assert harmless(out)
    assert HARMLESS in out
    assert "titles.csv" not in command or "[bold]:heart:" in out, "no markup either"
    code, out, _ = run(*command, "--format", "csv")
    assert code == 0
    assert HOSTILE in out
    code, out, _ = run(*command, "--format", "json")
    assert HOSTILE in {value for line in out.splitlines() for value in json.loads(line).values()}


@pytest.mark.parametrize(
    "command",
    [
        ("recommend", "model", "--user", HOSTILE),
        ("similar", "model", "--item", f"no {HOSTILE}"),
        ("predict", "model", "--pairs", HOSTILE),
        ("evaluate", "model", "--ratings", HOSTILE),
        ("inspect", HOSTILE),
        ("export", HOSTILE),
        ("data", HOSTILE),
        ("train", "--ratings", HOSTILE),
        ("train", "--dataset", HOSTILE),
        ("train", "--preset", HOSTILE),
        ("reproduce", "--table", HOSTILE),
        ("predict", "model", "--pairs", "pairs.csv", "-o", f"{HOSTILE}/x"),
        ("predict", "model", "--pairs", "pairs.csv", "--format", HOSTILE),
        ("launch", "--", HOSTILE),
        (HOSTILE,),
    ],
    ids=name_of,
)
def test_an_error_is_one_line_whatever_it_names(run, command):
    code, out, err = run(*command)
    assert (code, out) == (2, "")
    assert harmless(err)
    assert len(err.splitlines()) == 1


def test_what_training_tells_is_harmless_too(run, place):
    name = f"{RED}x{OVERRIDE}"
    (place / name).write_bytes((place / "ratings.csv").read_bytes())
    code, out, err = run(
        "train", "--ratings", name, "--epochs", 1, "--hidden", 2, "--output", f"run {name}"
    )  # fmt: skip
    assert code == 0, err
    assert harmless(out)
    assert harmless(err.replace("\x1b[A", ""))  # by which the bar goes up a line
    assert shown(name) in out


def test_a_terminal_is_given_so_many_rows_and_told_how_to_have_all(run, monkeypatch):
    monkeypatch.setattr(listing, "MOST_SHOWN", 7)
    code, out, err = run("recommend", "model", "--all", "--include-seen", "--format", "table")
    assert code == 0
    assert err == "These are the first 7 rows; -o FILE or --format csv writes all.\n"
    assert len([row for row in out.splitlines() if row.strip()[:1].isdigit()]) == 7


@pytest.mark.parametrize("format", ["csv", "json"])
@pytest.mark.parametrize("seen", [False, True])
def test_batches_make_the_same_file_and_the_same_table(run, place, monkeypatch, format, seen):
    command = ("recommend", "model", "--all", "-k", 5, "--format", format, "--titles", "titles.csv")
    command += ("--include-seen",) * seen
    predict = ("predict", "model", "--pairs", "ratings.csv", "--format", format)
    _, whole, _ = run(*command)
    _, predicted, _ = run(*predict)
    model = Recommender.load(place / "model")
    expected = model.recommend(k=5, exclude_seen=not seen)
    monkeypatch.setattr(scores, "BEST", 15)
    monkeypatch.setattr(listing, "BATCH", 7)
    assert run(*command)[1] == whole
    assert run(*predict)[1] == predicted
    batches = list(model.recommend_batches(k=5, exclude_seen=not seen))
    assert len(batches) == 7  # of three users
    pd.testing.assert_frame_equal(pd.concat(batches, ignore_index=True), expected)
    pd.testing.assert_frame_equal(model.recommend(k=5, exclude_seen=not seen), expected)


def test_a_table_of_nobody_has_its_columns(place):
    model = Recommender.load(place / "model")
    for table in (model.recommend([]), *model.recommend_batches([])):
        assert (len(table), list(table.columns)) == (0, ["user", "rank", "item", "rating"])


def test_a_table_that_would_not_fit_is_refused_with_a_way_out(place, monkeypatch):
    model = Recommender.load(place / "model")
    monkeypatch.setattr(recommender, "MOST_ROWS", 20 * 12 - 1)
    with pytest.raises(ConfigurationError, match=r"up to 240 rows, .* take recommend_batches"):
        model.recommend(k=10**9)
    assert sum(map(len, model.recommend_batches(k=10**9, exclude_seen=False))) == 240
    assert len(model.recommend(k=11)) < 220
    monkeypatch.setattr(recommender, "MOST_ROWS", 9)
    with pytest.raises(ConfigurationError, match=r"more than 9; lower k\."):
        model.evaluate(place / "ratings.csv", k=10)


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
    "nobody reads the rest": ("autorec recommend model --all --include-seen | head -1", 0, ""),
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


ENCODED = "recommend", "model", "--user", "1", "--include-seen", "-k", "12", "--format"


def test_ids_are_not_altered_by_an_encoding_that_lacks_a_character(run, monkeypatch):
    written = io.BytesIO()
    stdout = io.TextIOWrapper(written, "ascii", errors="backslashreplace", write_through=True)
    monkeypatch.setattr(sys, "stdout", stdout)
    code, _, err = run(*ENCODED, "csv")
    assert (code, written.getvalue()) == (2, b"")
    assert "'\\xe9' cannot be written in ascii; set PYTHONIOENCODING=utf-8" in err
    assert len(err.splitlines()) == 1
    assert run(*ENCODED, "json")[0] == 0
    lines = written.getvalue().decode("ascii").splitlines()
    assert HOSTILE in {json.loads(line)["item"] for line in lines}


def test_a_terminal_whose_encoding_lacks_a_character_is_shown_its_number(place):
    done = shell(f"autorec {' '.join(ENCODED)} table", place, PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, "")
    assert HARMLESS.replace("é", r"\xe9") in done.stdout


def test_a_locale_without_letters_is_no_hindrance(place):
    done = shell(f"autorec {' '.join(ENCODED)} csv", place, LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")
    assert HOSTILE in pd.read_csv(io.StringIO(done.stdout))["item"].tolist()


# Sends itself Ctrl-C at the import whose number it is given; 0 for none, and their number.
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
