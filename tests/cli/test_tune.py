"""``autorec tune``, and ``autorec train`` with what it leaves."""

import json
import shlex
import sys

import pandas as pd
import pytest

from autorec import random_split, read_ratings
from autorec.cli import app as cli

QUICK = "--epochs", 2, "--hidden", 4, "--batch-size", 8, "--devices", "cpu"


@pytest.fixture
def run(tmp_path, ratings_file, monkeypatch, capsys):
    """Run a command where films.csv is; return its exit code and what it wrote."""

    def run(*arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "argv", ["autorec", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


def searched(run, *arguments, output="search"):
    code, out, err = run(
        "tune", "--ratings", "films.csv", *QUICK, "--output", output, "--trials", 4, *arguments
    )
    assert code == 0, err
    return out, err


def test_a_search_leaves_settings_that_train_takes(run, tmp_path, ratings_file):
    out, err = searched(run, "--seed", 3)
    folder = tmp_path / "search"
    assert sorted(path.name for path in folder.iterdir()) == [
        ".lock", "journal.jsonl", "options.json", "settings.json", "trials.csv", "tuning.png",
    ]  # fmt: skip
    assert (folder / "tuning.png").read_bytes().startswith(b"\x89PNG")
    table = pd.read_csv(folder / "trials.csv")
    settings = json.loads((folder / "settings.json").read_text())
    best = table.loc[table["validation_rmse"].idxmin()]
    about = settings["about"]
    assert about["validation_rmse"] <= best["validation_rmse"] + 1e-9
    assert about["best_trials"][best["view"]] == best["trial"]
    assert "4 trials" in err
    names = " and ".join(f"{view} {number}" for view, number in about["best_trials"].items())
    assert f"best {about['validation_rmse']:.4f} ({names})" in err

    last = out.splitlines()[-1]
    assert f"Validation RMSE {about['validation_rmse']:.4f}" in last
    _, _, command = last.partition("to train: autorec ")
    code, _, err = run(
        *shlex.split(command), "--ratings", "films.csv", "--seed", 3, "--dropout", 0.125,
        "--devices", "cpu", "--output", "run",
    )  # fmt: skip
    assert code == 0, err
    assert "too good" not in err
    config = json.loads((tmp_path / "run" / "metrics.json").read_text())["config"]
    wanted = {**settings["parameters"], "dropout": 0.125, "random_state": 3, "devices": "cpu"}
    assert {name: config[name] for name in wanted} == wanted
    assert config["settings"] == "search/settings.json"


def test_what_train_would_hold_out_has_no_say(run, tmp_path, ratings_file):
    searched(run, "--seed", 5, "--test-ratio", 0.3)
    about = json.loads((tmp_path / "search" / "settings.json").read_text())["about"]
    train, _ = random_split(read_ratings(ratings_file), 0.3, seed=5)
    assert about["sha256_ratings"] == train.checksum()
    assert about["data"] == "films"

    # Settings are not judged by ratings that chose them, without a word.
    train = "train", "--ratings", "films.csv", "--settings", "search/settings.json", *QUICK
    _, _, err = run(*train, "--seed", 5, "--test-ratio", 0.3, "--output", "same")
    assert "too good" not in err
    _, _, err = run(*train, "--seed", 6, "--test-ratio", 0.3, "--output", "other")
    assert "some are held out here: the test RMSE will be too good" in err


def test_given_files_are_kept_apart(run, tmp_path, ratings_file):
    for part, name in zip(random_split(read_ratings(ratings_file), 0.2), ("base", "test")):
        part.frame().to_csv(tmp_path / f"{name}.csv", index=False)
    code, _, err = run(
        "tune", "--train", "base.csv", "--test", "test.csv", *QUICK, "--trials", 3, "--output", "s"
    )
    assert code == 0, err
    about = json.loads((tmp_path / "s" / "settings.json").read_text())["about"]
    assert about["data"] == "base"


def test_a_search_is_resumed_with_its_own_options(run, tmp_path, ratings_file, monkeypatch):
    searched(run, "--view", "user", "--seed", 2)
    before = pd.read_csv(tmp_path / "search" / "trials.csv")
    (tmp_path / "elsewhere").mkdir()
    code, _, err = run("tune", "--resume", "search", "--trials", 6, "--quiet")
    assert code == 0, err
    after = pd.read_csv(tmp_path / "search" / "trials.csv")
    pd.testing.assert_frame_equal(after[:4], before)
    assert len(after) == 6
    assert set(after["view"]) == {"user"}
    assert json.loads((tmp_path / "search" / "settings.json").read_text())["about"]["seed"] == 2
    code, _, err = run("tune", "--resume", "search", "--view", "item")
    assert (code, "leave out --view" in err) == (2, True)
    code, _, err = run("tune", "--resume", "elsewhere")
    assert (code, "has no search of autorec tune to go on with" in err) == (2, True)


@pytest.mark.parametrize(("so_far", "said"), [(0, "0 trials"), (2, "2 trials, best")])
def test_ctrl_c_says_how_to_go_on(run, tmp_path, monkeypatch, so_far, said):
    from autorec.choosing import search

    tune = search.tune

    def stopped(*arguments, on_progress, **options):
        def stop(progress):
            on_progress(progress)
            if progress.trials == so_far:
                raise KeyboardInterrupt

        return tune(*arguments, on_progress=stop, **options)

    monkeypatch.setattr(search, "tune", stopped)
    monkeypatch.setattr(search, "PAUSE", 0.0)  # or more than one trial may end between two looks
    code, _, err = run(
        "tune", "--ratings", "films.csv", *QUICK, "--output", "my search", "--trials", 9
    )
    assert code == 130
    assert f"autorec: stopped after {said}" in err
    assert "to go on: autorec tune --resume 'my search'" in err
    assert (tmp_path / "my search" / "settings.json").is_file() == (so_far > 0)
    monkeypatch.setattr(search, "tune", tune)
    assert run("tune", "--resume", "my search", "--trials", 3)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ratings", "none.csv"], "none.csv does not exist"),
        (["--ratings", "films.csv", "--test-ratio", 2], "--test-ratio must be between 0 and 1"),
        (["--ratings", "films.csv", "--validation-ratio", 1], "validation_ratio must be below 1"),
        (["--ratings", "films.csv", "--minutes", 0], "minutes must be above 0"),
        (["--ratings", "films.csv", "--trials", 0], "Invalid value for '--trials'"),
        (["--ratings", "films.csv", "--dropout", 7], "dropout (--dropout) must be below 1"),
        (["--ratings", "films.csv", "--output", "films.csv"], "not an empty folder"),
        (["--ratings", "films.csv", "--dataset", "100k"], "each name the data"),
    ],
)
def test_a_wrong_argument_is_one_line(run, tmp_path, arguments, said):
    code, _, err = run("tune", *arguments)
    assert code == 2
    line = [each for each in err.splitlines() if each.startswith("autorec: ")]
    assert len(line) == 1, err
    assert said in line[0]
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("films.csv", "runs")]


def test_train_takes_settings_or_a_preset(run, tmp_path):
    code, _, err = run(
        "train", "--settings", "x.json", "--preset", "best", "--ratings", "films.csv"
    )
    assert (code, "leave one out" in err) == (2, True)
    code, _, err = run("train", "--settings", "films.csv", "--ratings", "films.csv")
    assert (code, "films.csv is no settings file" in err) == (2, True)


def test_the_help_says_what_is_searched(run):
    _, out, _ = run("tune", "--help")
    text = " ".join(out.split())
    assert "[searched: shifted, mean or biases]" in text
    assert "[searched: 50 to 600]" in text
    assert "[default: total]" in text
    assert "[default: 0.3333]" in text
