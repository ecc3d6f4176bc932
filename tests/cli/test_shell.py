"""The command line among terminals, pipes, devices and signals, whatever they do."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import stat
import sys
import threading
from pathlib import Path

import pandas as pd
import pytest
from support import ROUNDING
from support.command_line import ENCODED, HARMLESS, HOSTILE, OVERRIDE, RED, hostile_folder

from autorec import Recommender
from autorec import _output as output
from autorec._terminal import shown
from autorec.cli import app as cli
from autorec.cli import listing
from autorec.errors import ConfigurationError
from autorec.evaluation import top_items as scores
from autorec.recommender import estimator as recommender


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return hostile_folder(tmp_path_factory.mktemp("shell"))


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
def test_a_dash_is_stdout(run, place, command):
    assert run(*command, "-o", "-") == run(*command)
    assert not (place / "-").exists()


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
    for again, first in ((run(*command)[1], whole), (run(*predict)[1], predicted)):
        words, ratings = split_at_numbers(again)
        assert (words, ratings) == (
            split_at_numbers(first)[0], pytest.approx(split_at_numbers(first)[1], rel=ROUNDING)
        )  # fmt: skip
    batches = list(model.recommend_batches(k=5, exclude_seen=not seen))
    assert len(batches) == 7  # of three users
    for table in (
        pd.concat(batches, ignore_index=True),
        model.recommend(k=5, exclude_seen=not seen),
    ):
        pd.testing.assert_frame_equal(table, expected, rtol=ROUNDING)


def split_at_numbers(text):
    """Return what stands between a text's decimal numbers, and the numbers."""
    parts = re.split(r"(-?\d+\.\d+(?:e-?\d+)?)", text)
    return parts[::2], [float(number) for number in parts[1::2]]


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


# Sends itself Ctrl-C at the import whose number it is given; 0 for none, and their number.
