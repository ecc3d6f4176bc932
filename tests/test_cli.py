"""The command line as a person uses it: in a process of its own."""

import json
import os
import subprocess
import sys

import numpy
import pytest

from autorec import AutoRec, Interactions, evaluate, random_split, read_ratings
from autorec._mxnet import mx


def autorec(*arguments, cwd, env=None):
    return subprocess.run(
        [sys.executable, "-m", "autorec", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def ratings_file(tmp_path, rng):
    path = tmp_path / "films.csv"
    item, user = (rng.random((30, 20)) < 0.5).nonzero()
    stars = rng.integers(1, 11, len(item)) / 2
    rows = "".join(f"u{u},{10 * i},{s}\n" for u, i, s in zip(user, item, stars))
    path.write_text("userId,movieId,rating\n" + rows)
    return path


def test_training_leaves_a_report_that_can_be_used(tmp_path, ratings_file):
    done = autorec("train", ratings_file, "--hidden", 8, "--epochs", 3, "--seed", 5,
                   "--devices", "cpu:0,1", "--output", "run", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "30 items by 20 users" in done.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["settings"]["hidden"] == 8
    assert metrics["settings"]["contexts"] == ["cpu(0)", "cpu(1)"]
    assert [epoch["epoch"] for epoch in metrics["history"]] == [1, 2, 3]
    assert metrics["versions"]["numpy"] == numpy.__version__
    assert f"Test RMSE {metrics['test']['rmse']:.4f}" in done.stdout
    assert (tmp_path / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")

    ratings = read_ratings(ratings_file)
    assert metrics["data"]["sha256"] == ratings.checksum()
    train, test = map(Interactions.from_ratings, random_split(ratings, 0.1, seed=5))
    net = AutoRec(8, 20)
    net.load_parameters(str(tmp_path / "run" / "autorec.params"), ctx=mx.cpu())
    assert evaluate(net, train, test).rmse == pytest.approx(metrics["test"]["rmse"], abs=1e-6)
    assert metrics["history"][-1]["test_rmse"] == pytest.approx(metrics["test"]["rmse"], abs=1e-6)

    again = autorec("train", ratings_file, "--output", "run", cwd=tmp_path)
    assert again.returncode == 2
    assert "run is not empty; name a new folder with --output" in again.stderr


def test_the_default_folder_is_new_for_each_run(tmp_path, ratings_file):
    done = autorec("train", ratings_file, "--epochs", 1, "--hidden", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("films-")
    assert sorted(path.name for path in folder.iterdir()) == [
        "autorec.params", "curve.png", "metrics.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "nothing.csv"], "nothing.csv is no file"),
        (["train", "bad.csv"], "Row 2 has the rating 'five'"),
        (["train", "{file}", "--epochs", "0"], "--epochs"),
        (["train", "{file}", "--epochs", "many"], "--epochs"),
        (["train", "{file}", "--devices", "abacus"], "'abacus' names no device"),
        (["train", "{file}", "--test-ratio", "2"], "between 0 and 1"),
        (["train", "{file}", "--optimizer", "magic"], "magic"),
        (["fly"], "No such command"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(tmp_path, ratings_file, arguments, complaint):
    (tmp_path / "bad.csv").write_text("1,2,5\n1,3,five\n")
    named = [argument.format(file=ratings_file) for argument in arguments]
    done = autorec(*named, cwd=tmp_path)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("runs/*/*"))


def test_missing_data_say_where_they_were_looked_for(tmp_path):
    done = autorec("train", "1m", "--data", "elsewhere", cwd=tmp_path)
    assert done.returncode == 1
    assert "elsewhere does not exist" in done.stderr


def test_help_names_the_defaults(tmp_path):
    done = autorec("train", "--help", cwd=tmp_path)
    assert done.returncode == 0
    assert "0.002" in done.stdout
    assert autorec(cwd=tmp_path).returncode in (0, 2)


def test_importing_autorec_imports_neither_mxnet_nor_d2l_nor_matplotlib(tmp_path):
    code = (
        "import sys, autorec; "
        "print([name for name in ('mxnet', 'd2l', 'matplotlib') if name in sys.modules]); "
        "autorec.AutoRec, autorec.fit, autorec.evaluator; "
        "print([name for name in ('mxnet', 'd2l', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "['mxnet']"], done.stderr


def test_the_main_job_reaches_the_sections_rmse(ml_100k, tmp_path):
    """``autorec train`` with its defaults, three seeds; the section's own run gave 0.898."""
    found = []
    for seed in (0, 1, 2):
        done = autorec("train", "--seed", seed, "--output", f"run-{seed}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        metrics = json.loads((tmp_path / f"run-{seed}" / "metrics.json").read_text())
        found.append(metrics["test"]["rmse"])
    print("test RMSE of seeds 0, 1, 2:", found)
    assert found[0] <= 0.905
    assert numpy.mean(found) <= 0.901
