"""``autorec compare``: tables for a terminal and for a file, and what it leaves."""

import json
import sys

import pandas as pd
import pytest

from autorec import cross_validate, read_ratings
from autorec.cli import app as cli
from autorec.recommender.presets import Parameters
from autorec.recommender.settings_file import write_settings


@pytest.fixture
def run(tmp_path, ratings_file, monkeypatch, capsys):
    """Run a command where films.csv is; return its exit code and what it wrote."""

    def run(*arguments, terminal=False, columns=100):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", str(columns))
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr(sys, "argv", ["autorec", *map(str, arguments)])
        monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


@pytest.fixture(autouse=True)
def here(monkeypatch):
    """Have models compared in this process, which takes no seconds to begin."""
    from autorec.choosing import comparison

    def in_this_process(*arguments, processes, **options):
        return cross_validate(*arguments, **options)

    monkeypatch.setattr(comparison, "cross_validate", in_this_process)


MEANS = "--model", "mean", "--model", "item-mean", "--model", "biased-means"


def test_in_a_pipe_it_is_markdown_and_files_have_the_same(run, tmp_path, ratings_file):
    code, out, err = run(
        "compare", "--ratings", "films.csv", *MEANS, "--folds", 4, "--seed", 3, "--output", "c"
    )
    assert code == 0, err
    found = cross_validate(
        read_ratings(ratings_file), ["mean", "item-mean", "biased-means"], folds=4, seed=3
    )
    folder = tmp_path / "c"
    assert sorted(path.name for path in folder.iterdir()) == [
        "comparison.md", "comparison.png", "differences.csv", "scores.csv", "table.csv",
    ]  # fmt: skip
    table = pd.read_csv(folder / "table.csv")
    assert table["rmse"].tolist() == pytest.approx(found.table["rmse"].tolist())
    differences = pd.read_csv(folder / "differences.csv")
    assert differences["words"].tolist() == found.differences["words"].tolist()
    assert len(pd.read_csv(folder / "scores.csv")) == 12
    text = (folder / "comparison.md").read_text()
    assert out.endswith(text)
    assert "### films: 4 folds" in text
    assert (folder / "comparison.png").read_bytes().startswith(b"\x89PNG")
    assert "Comparing 12/12, biased-means" in err


@pytest.mark.parametrize("columns", [80, 160])
def test_on_a_terminal_it_is_tables_that_fit(run, columns):
    code, out, err = run(
        "compare", "--ratings", "films.csv", *MEANS, "--splits", 3, "--against", "item-mean",
        "--output", "c", "--quiet", terminal=True, columns=columns,
    )  # fmt: skip
    assert code == 0, err
    assert "| mean |" not in out
    tables = out[: out.index("Behind ±")]
    assert max(map(len, tables.splitlines())) <= columns
    assert sum(line.split()[:1] == ["biased-means"] for line in tables.splitlines()) == 2
    flat = " ".join(out.split())
    assert "RMSE less item-mean's" in flat
    assert "test RMSE" in flat


def test_settings_that_were_chosen_on_these_ratings_are_named(run, tmp_path, ratings_file):
    about = {"sha256_table": read_ratings(ratings_file).checksum()}
    write_settings(tmp_path / "mine.json", Parameters(num_hidden=2, num_epochs=1), about)
    arguments = "--ratings", "films.csv", "--splits", 1, "--devices", "cpu"
    code, out, err = run("compare", *arguments, "--model", "mine.json", "--model", "mean")
    assert code == 0, err
    assert "mine.json was chosen on ratings of this table, some of which test it here" in err
    assert "| mine |" in out
    assert json.loads((tmp_path / "mine.json").read_text())["about"] == about


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "svd"], "There is no model 'svd'; choose from mean"),
        (["--model", "mean", "--model", "mean"], "The model mean is named twice"),
        (["--model", "mean", "--against", "mf"], "'mf' is none of the models; they are mean."),
        (["--model", "none.json"], "none.json cannot be read"),
        (["--model", "films.csv.json"], "films.csv.json cannot be read"),
        ([*MEANS, "--splits", 0], "Invalid value for '--splits'"),
        ([*MEANS, "--test-ratio", 1], "test_ratio must be below 1"),
        ([*MEANS, "--folds", 10**6], "folds must be at most"),
        ([*MEANS, "--ratings", "none.csv"], "none.csv does not exist"),
    ],
)
def test_a_wrong_argument_is_one_line(run, tmp_path, arguments, said):
    code, _, err = run("compare", "--ratings", "films.csv", *arguments)
    assert code == 2, err
    (line,) = (each for each in err.splitlines() if each.startswith("autorec: "))
    assert said in line
    assert not [path for path in tmp_path.rglob("*") if path.name not in ("films.csv", "runs")]
