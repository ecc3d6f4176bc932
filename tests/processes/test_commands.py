"""The command line as a person uses it: in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy
import pytest
from support import ROUNDING

from autorec import AutoRec, Interactions, Recommender, evaluate, random_split, read_ratings
from autorec._mxnet import mx
from autorec.cli import app as cli


def autorec(*arguments, cwd, env=None):
    return subprocess.run(
        [sys.executable, "-m", "autorec", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100", **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_training_leaves_a_report_that_can_be_used(tmp_path, ratings_file):
    done = autorec("train", "--ratings", ratings_file, "--hidden", 8, "--epochs", 3, "--seed", 5,
                   "--devices", "cpu:2", "--output", "run", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "30 items by 20 users" in done.stdout
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["config"]["num_hidden"] == 8
    assert metrics["config"]["devices"] == "cpu:2"
    assert metrics["compute"] == "dense"
    assert "Computing whole rows (dense)" in done.stderr
    assert [epoch["epoch"] for epoch in metrics["history"]] == [1, 2, 3]
    assert metrics["epochs"] == 3
    last = metrics["history"][-1]
    # The last epoch's was measured in other batches than the finished net's.
    assert metrics["test_rmse"] == pytest.approx(last["test_rmse"], rel=ROUNDING)
    assert metrics["train_rmse"] == last["train_rmse"]
    assert metrics["seconds"] == sum(epoch["seconds"] for epoch in metrics["history"])
    assert metrics["versions"]["numpy"] == numpy.__version__
    assert f"Test RMSE {metrics['test_rmse']:.4f}" in done.stdout.splitlines()[-1]
    assert f"test RMSE {last['test_rmse']:.3f}" in done.stderr  # the progress bar
    assert (tmp_path / "run" / "curve.png").read_bytes().startswith(b"\x89PNG")

    parts = random_split(read_ratings(ratings_file), 0.1, seed=5)
    assert [metrics["sha256_train"], metrics["sha256_test"]] == [p.checksum() for p in parts]
    assert [metrics["num_train"], metrics["num_test"]] == [len(part) for part in parts]
    assert (metrics["num_users"], metrics["num_items"]) == (20, 30)
    train, test = map(Interactions.from_ratings, parts)
    net = AutoRec(8, 20)
    net.load_parameters(str(tmp_path / "run" / "model.params"), ctx=mx.cpu())
    result = evaluate(net, train, test, cold=2.75)  # the middle of the scale
    assert result.rmse == pytest.approx(metrics["test_rmse"], abs=1e-6)

    again = autorec("train", "--ratings", ratings_file, "--output", "run", cwd=tmp_path)
    assert again.returncode == 2
    assert "run is there already and not an empty folder; name a new folder" in again.stderr


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def train_quickly(*arguments, cwd, output="run"):
    """Train, and return what is in the metrics."""
    done = autorec("train", "--hidden", 2, "--epochs", 1, *arguments, "--output", output, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads((cwd / output / "metrics.json").read_text()), done


def test_two_files_give_the_split(tmp_path):
    (tmp_path / "u1.base").write_text("1\t1\t5\t9\n2\t1\t3\t9\n2\t3\t4\t9\n")
    (tmp_path / "u1.test").write_text("1\t2\t2\t9\n")
    metrics, done = train_quickly("--train", "u1.base", "--test", "u1.test", cwd=tmp_path)
    assert "4 ratings of 3 items by 2 users; 3 to train on, 1 held out" in done.stdout
    assert metrics["config"]["train"] == "u1.base"

    assert metrics["num_test_cold"] == 1
    assert "1 of the held-out ratings is of a user or an item without" in done.stdout
    assert "it was predicted 4" in done.stdout


@pytest.mark.parametrize("preset", ["section", "paper"])
def test_a_preset_gives_the_values_and_flags_override_them(tmp_path, ratings_file, preset):
    more = ["--preset", preset, "--view", "user", "--hidden", "6,3,6", "--pretrain-epochs", "1"]
    more += ["--validation-ratio", "0.2", "--no-clip", "--lr", "0.01"]
    metrics, done = train_quickly("--ratings", ratings_file, *more, cwd=tmp_path)
    expected = Recommender.preset(
        preset, view="user", num_hidden=[6, 3, 6], num_epochs=1, pretrain_epochs=1, clip=False,
        learning_rate=0.01,
    ).get_params()  # fmt: skip
    assert expected.items() <= metrics["config"].items()
    assert metrics["config"]["preset"] == preset
    assert metrics["history"][0]["validation_rmse"] > 0
    assert f"{metrics['num_validation']} to choose the epoch" in done.stdout


def test_the_last_rating_of_each_user_can_be_held_out(tmp_path):
    (tmp_path / "r.csv").write_text("1,1,5,10\n1,2,4,20\n2,1,1,20\n2,2,2,10\n2,3,3,5\n")
    metrics, _ = train_quickly("--ratings", "r.csv", "--split", "seq-aware", cwd=tmp_path)
    assert (metrics["num_train"], metrics["num_test"]) == (3, 2)


def test_repeated_ratings_keep_the_last_on_request(tmp_path):
    (tmp_path / "r.csv").write_text("1,1,5\n1,2,4\n2,1,1\n1,1,2\n")
    metrics, done = train_quickly("--ratings", "r.csv", "--duplicates", "last", cwd=tmp_path)
    assert metrics["num_train"] + metrics["num_test"] == 3
    assert "autorec: Dropped 1 of 4 ratings" in done.stderr


def test_the_default_folder_is_new_for_each_run(tmp_path, ratings_file):
    done = autorec("train", "--ratings", ratings_file, "--epochs", 1, "--hidden", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("films-")
    assert sorted(path.name for path in folder.iterdir()) == [
        "curve.png", "metrics.json", "model", "model.params",
    ]  # fmt: skip
    loaded = Recommender.load(folder / "model")
    assert loaded.net_.encoder.weight.shape[0] == 2
    assert len(loaded.history_) == 1


def test_quiet_prints_the_result_alone(tmp_path, ratings_file):
    done = autorec("train", "--ratings", ratings_file, "--epochs", 1, "--hidden", 2, "--quiet",
                   cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0
    (said,) = done.stderr.splitlines()
    assert said.startswith("autorec: That is worse than the mean")
    assert re.fullmatch(r"Test RMSE [\d.]+, MAE .*\n", done.stdout)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--ratings", "nothing.csv"], "nothing.csv does not exist"),
        (["--dataset", "2m"], "no MovieLens release '2m'"),
        (["--dataset", "1m", "--data", "elsewhere"], "elsewhere does not exist"),
        (["--ratings", "bad.csv"], "Row 2 has the rating 'five'"),
        (["--ratings", "zero.csv"], "Row 1 has the rating 0"),
        (["--ratings", "twice.csv"], "--duplicates last"),
        (["--ratings", "{file}", "--dataset", "1m"], "give one of them"),
        (["--train", "{file}"], "--train and --test go together"),
        (["--train", "{file}", "--test", "{file}"], "is in the training and in the test table"),
        (["--ratings", "{file}", "--split", "seq-aware"], "no times"),
        (["--ratings", "{file}", "--split", "odd"], "'seq-aware'"),
        (["--ratings", "{file}", "--epochs", "0"], "--epochs"),
        (["--ratings", "{file}", "--epochs", "many"], "--epochs"),
        (["--ratings", "{file}", "--devices", "abacus"], "'abacus' names no device"),
        (["--ratings", "{file}", "--test-ratio", "2"], "between 0 and 1"),
        (["--ratings", "{file}", "--preset", "worst"], "no preset 'worst'"),
        (["--ratings", "{file}", "--hidden", "5,x"], "--hidden 5,x is no size"),
        (
            ["--ratings", "{file}", "--encoder", "magic"],
            "encoder_activation (--encoder) must be 'identity', ",
        ),
        (
            ["--ratings", "{file}", "--optimizer", "magic"],
            "optimizer (--optimizer) must be 'adadelta', ",
        ),
        (["--ratings", "{file}", "--patience", "2"], "patience needs validation ratings"),
        (["--ratings", "{file}", "--output", "{file}"], "not an empty folder; name a new folder"),
        (["--ratings", "{file}", "--output", "{file}/x"], "cannot be written"),
        (["--ratings", "{file}", "--data", "."], "leave one out"),
        (["--ratings", "{file}", "--validation-ratio", "1.5"], "--validation-ratio must be"),
        (["--ratings", "{file}", "--cold-rating", "nan"], "must be a finite number"),
        (["--ratings", "{file}", "--lr", "1e30", "--epochs", "9"], "lower the learning rate"),
        (["--ratings", "{file}", "--columns", "userId,film,rating"], "no column 'film'"),
        (["--ratings", "."], "cannot be read"),
        (["fly"], "fly"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(
    tmp_path, ratings_file, monkeypatch, capsys, arguments, complaint
):
    (tmp_path / "bad.csv").write_text("1,2,5\n1,3,five\n")
    (tmp_path / "zero.csv").write_text("1,2,0\n1,3,5\n")
    (tmp_path / "twice.csv").write_text("1,2,5\n1,2,4\n")
    named = [argument.format(file=ratings_file) for argument in arguments]
    before = files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["autorec", "train", *named])
    with pytest.raises(SystemExit) as end:  # anything else would be a traceback
        cli.main()
    assert end.value.code == 2
    assert files(tmp_path) == before
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("autorec: ")
    assert complaint in said


def test_a_net_that_mxnet_cannot_hold_is_refused(tmp_path, ratings_file):
    done = autorec("train", "--ratings", ratings_file, "--hidden", 999_999_999_999, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("autorec: ")
    assert "Traceback" not in done.stderr


def test_ctrl_c_ends_the_run_without_a_traceback(tmp_path, ratings_file):
    command = [sys.executable, "-m", "autorec", "train", "--ratings", str(ratings_file)]
    command += ["--epochs", "1000000", "--hidden", "4", "--output", "run"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        # A shell in the background ignores SIGINT, and so would all that it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        seen = ""
        while "test RMSE" not in seen:  # until it trains
            seen += process.stderr.read(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("autorec: stopped")
    assert "Traceback" not in said
    assert not (tmp_path / "run").exists()


def test_columns_are_named_or_numbered(tmp_path):
    (tmp_path / "r.txt").write_text("stars|who|what\n5|1|1\n4|1|2\n1|2|1\n")
    for number, columns in enumerate(["who,what,stars", "1,2,0"]):
        metrics, _ = train_quickly(
            "--ratings", "r.txt", "--separator", "|", "--columns", columns,
            cwd=tmp_path, output=f"run-{number}",
        )  # fmt: skip
        assert (metrics["num_users"], metrics["num_items"]) == (2, 2)


def test_help_names_the_defaults(tmp_path):
    done = autorec("train", "--help", cwd=tmp_path)
    assert done.returncode == 0
    said = " ".join(done.stdout.split())
    presets = "section", "paper", "best"
    for named in ("dropout", "num_epochs", "learning_rate", "weight_decay"):
        section, paper, best = (getattr(Recommender.preset(name), named) for name in presets)
        others = f"paper, best: {best}" if paper == best else f"paper: {paper}; best: {best}"
        assert f"[section: {section}; {others}]" in said, named
    alone = autorec(cwd=tmp_path)
    assert "train" in alone.stdout + alone.stderr


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
        found.append(metrics["test_rmse"])
    print("test RMSE of seeds 0, 1, 2:", found)
    assert found[0] <= 0.905
    assert numpy.mean(found) <= 0.901
