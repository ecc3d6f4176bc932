"""Runs, saves and tables of results whose process is killed: what was there stays whole."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
from support import times
from support.attacks import attack
from support.command_line import command_line
from support.experiments import TABLES, splits
from support.processes import python
from support.training import VARIANTS, assert_same, trained

from autorec import Recommender
from autorec._storage.folders import LOCK
from autorec.experiments.protocol import reproduce
from autorec.experiments.summary import summarise
from autorec.training.checkpoints import Checkpoints

# Trains, and kills itself: after epoch END, or while it writes the fourth checkpoint.
DYING = """
import os, signal, sys
from autorec._storage import folders
from support.training import VARIANTS, trained
from autorec.training.checkpoints import Checkpoints

folder, end = sys.argv[1:]
replace = os.replace

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def replace_or_die(old, new):
    if end == "writing" and new.parent.name == "epoch-0004" and new.name == "manifest.json":
        die()
    replace(old, new)

folders.os.replace = replace_or_die
stop = None if end == "writing" else int(end)
trained(Checkpoints(folder), True, stop=stop, then=die, **VARIANTS["all of it"])
"""


def test_a_run_that_is_killed_can_be_resumed(tmp_path):
    settings = VARIANTS["all of it"]
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    for end, latest in ((2, 2), ("writing", 3)):
        done = python("-c", DYING, checkpoints.folder, end)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert checkpoints.epochs()[-1] == latest
    assert list(checkpoints.path(4).glob("arrays-*"))  # half written, and in nobody's way
    history, expected = trained(**settings)
    resumed, result = trained(checkpoints, True, **settings)
    assert resumed == history
    assert_same(expected, result, 0)
    assert {path.name for path in checkpoints.folder.iterdir()} <= {
        LOCK,
        *(f"epoch-{epoch:04d}" for epoch in checkpoints.epochs()),
    }


@times(6, 100)
def test_killed_again_and_again_a_run_ends_in_the_same_bits(tmp_path, times, soaked):
    found = attack("kill_runs", tmp_path, times, 2)
    soaked("kills during training and resuming", found["kills"])
    print(f"resumed from {found['resumed from']}")
    assert found["same"] == found["runs"]
    assert sum(found["resumed from"]) > 0, "the kills came too early to mean anything"


def train(*arguments, cwd, until, number):
    """Run autorec train, and send a signal once there is a checkpoint of a later epoch."""
    command = [sys.executable, "-m", "autorec", "train", *map(str, arguments)]
    checkpoints = Checkpoints(cwd / "run" / "checkpoints")
    with (cwd / "stderr").open("w") as stderr:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stderr=stderr,
            # A shell in the background ignores SIGINT, and so would all that it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        deadline = time.monotonic() + 200
        while max(checkpoints.epochs(), default=0) <= until and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        code = process.wait(timeout=60)
    finally:
        process.kill()
    return code, (cwd / "stderr").read_text(), checkpoints.epochs()[-1]


def test_the_command_is_resumed_by_the_folder_alone(tmp_path, ratings_file, monkeypatch, capsys):
    given = ["--ratings", ratings_file.name, "--hidden", 4, "--dropout", 0.3, "--seed", 5]
    given += ["--validation-ratio", 0.2, "--preset", "best"]
    forever = ["--epochs", 1_000_000, "--checkpoint-every", 2, "--output", "run"]
    code, said, epoch = train(*given, *forever, cwd=tmp_path, until=1, number=signal.SIGINT)
    assert code == 130
    assert said.splitlines()[-1] == (
        f"autorec: stopped after epoch {epoch}; to go on: autorec train --resume run"
    )
    assert "Traceback" not in said
    code, _, later = train("--resume", "run", cwd=tmp_path, until=epoch, number=signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert later > epoch

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert command_line(monkeypatch, "--resume", "../run", "--epochs", later + 3, "--quiet") == 0
    monkeypatch.chdir(tmp_path)
    assert command_line(monkeypatch, *given, "--epochs", later + 3, "--output", "whole") == 0
    resumed, whole = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("run", "whole")
    )
    assert len(resumed["history"]) == later + 3
    assert resumed["config"].pop("ratings") == "../films.csv"
    assert whole["config"].pop("ratings") == "films.csv"
    assert resumed["config"] == whole["config"]
    for metrics in (resumed, whole):
        for epoch in metrics["history"]:
            for name in ("seconds", "ratings_per_second", "rows_per_second"):
                del epoch[name]
    assert resumed["history"] == whole["history"]
    assert resumed["test_rmse"] == whole["test_rmse"]
    params = [(tmp_path / name / "model.params").read_bytes() for name in ("run", "whole")]
    assert params[0] == params[1]

    for arguments, complaint in [
        (["--resume", "run", "--lr", "0.5"], "--resume goes on as the run began; leave out --lr"),
        (["--resume", "run", "--checkpoint-every", "1"], "leave out --checkpoint-every"),
        (["--resume", "run", "--epochs", "1"], "is past 1 epoch;"),
        (["--resume", "whole"], "whole has no checkpoint of autorec train to go on from"),
    ]:
        capsys.readouterr()
        assert command_line(monkeypatch, *arguments) == 2
        assert complaint in capsys.readouterr().err.splitlines()[-1]
    ratings_file.write_text(ratings_file.read_text() + "u0,99,5\n")
    assert command_line(monkeypatch, "--resume", "run") == 2
    assert "other training ratings" in capsys.readouterr().err


@times(12, 200)
def test_killed_while_saving_what_is_there_is_whole(saved, tmp_path, times, soaked):
    folder = Path(shutil.copytree(saved, tmp_path / "model"))
    found = attack("kill_saves", folder, times, 5)
    scales = found["scales"]
    soaked("kills during a save", times)
    print(f"saves between kills: {numpy.diff(scales)}")
    assert scales == sorted(scales)
    assert scales[-1] > scales[0], "no save was ever finished: the kills came too early"
    Recommender.load(folder).save(folder)
    assert len(list(folder.iterdir())) == 4, "what killed saves had left is still there"


@times(10, 100)
def test_two_writers_leave_a_model_and_readers_never_fail(saved, tmp_path, times, soaked):
    folder = Path(shutil.copytree(saved, tmp_path / "model"))
    found = attack("write_and_read", folder, times)
    soaked("rounds of two writers", times)
    soaked("models read beside two writers", found["read"])
    assert found["codes"] == [0, 0, 0], "a writer or the reader failed"
    assert found["read"] > 0
    assert found["scale"] > 5, "nothing was saved"
    assert len(list(folder.iterdir())) == 4


KILLED = """
import os, signal, sys
from pathlib import Path
from support.experiments import TABLES, splits
from autorec._storage import files
from autorec.experiments.protocol import reproduce
done = []
def replace_or_die(old, new):
    done.append(new)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    rename(old, new)
rename, files.os.replace = os.replace, replace_or_die
reproduce({"users": TABLES["users"]}, splits, Path(sys.argv[1]), "cpu")
"""


def test_a_reproduction_that_is_killed_between_write_and_rename_counts_nothing_twice(tmp_path):
    only = {"users": TABLES["users"]}
    done = python("-c", KILLED, tmp_path)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (left,) = (tmp_path / "users").glob(".*")
    assert json.loads(left.read_text())["split"] == "made up 1", "whole, but for its name"
    assert summarise(tmp_path, only)["users"]["splits"].tolist() == [1]
    ours = [tmp_path / "users" / name for name in ("copy of users-2-made-up-0.json", ".notes.json")]
    for each in ours:
        each.write_text((tmp_path / "users" / "users-2-made-up-0.json").read_text())
    reproduce(only, splits, tmp_path, "cpu")
    assert summarise(tmp_path, only)["users"]["splits"].tolist() == [3]
    expected = {f"users-2-made-up-{seed}.json" for seed in range(3)}
    assert set(os.listdir(tmp_path / "users")) == expected | {each.name for each in ours}
