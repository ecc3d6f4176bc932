"""The protocol on made-up ratings: nothing here takes the time of a real table."""

import json

import numpy
import pytest
from support.experiments import SMALL, TABLES, made_up, splits

from autorec import random_split
from autorec.cli import app as cli
from autorec.errors import DataUnavailableError
from autorec.experiments import protocol as experiments
from autorec.experiments import tables
from autorec.experiments.protocol import Row, markdown, movielens_splits, reproduce, run, summarise


def files(folder):
    return {path: path.read_text() for path in folder.rglob("*.json")}


def test_each_run_is_a_file_and_a_finished_run_is_not_repeated(tmp_path, monkeypatch):
    seen = []
    reproduce(TABLES, splits, tmp_path, "cpu", lambda *state: seen.append(state))
    assert seen[0] == ("films: Mean, made up 0", 0, 12)
    assert seen[-1] == ("done", 12, 12)
    before = files(tmp_path)
    assert len(before) == 12
    result = json.loads((tmp_path / "films" / "autorec-made-up-1.json").read_text())
    train, test = random_split(made_up(), 0.1, 1)
    assert result["row"]["parameters"] == {**SMALL, "patience": 2}
    assert (result["seed"], result["split"]) == (1, "made up 1")
    assert (result["sha256_train"], result["sha256_test"]) == (train.checksum(), test.checksum())
    assert result["count"] == len(test)
    assert result["seconds"] > 0
    assert result["versions"]["numpy"] == numpy.__version__

    monkeypatch.setattr(experiments, "run", lambda *arguments: pytest.fail("it was run again"))
    reproduce(TABLES, splits, tmp_path, "cpu")
    assert files(tmp_path) == before


def test_an_interrupted_reproduction_goes_on_where_it_stopped(tmp_path, monkeypatch):
    calls = []

    def interrupted(row, *arguments):
        calls.append(row.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return run(row, *arguments)

    monkeypatch.setattr(experiments, "run", interrupted)
    only = {"users": TABLES["users"], "films": TABLES["films"][:1]}
    with pytest.raises(KeyboardInterrupt):
        reproduce(only, splits, tmp_path, "cpu")
    assert len(files(tmp_path)) == 2
    reproduce(only, splits, tmp_path, "cpu")
    assert len(files(tmp_path)) == 6
    assert len(calls) == 3 + 4  # the third is taken up again, the first two are not


def test_a_row_that_has_changed_is_run_again(tmp_path):
    reproduce({"users": TABLES["users"]}, splits, tmp_path, "cpu")
    changed = {"users": (Row("Users, 2", "Means", "made up", {"of": "item"}),)}
    assert summarise(tmp_path, changed)["users"].empty
    reproduce(changed, splits, tmp_path, "cpu")
    assert summarise(tmp_path, changed)["users"]["splits"].tolist() == [3]
    assert summarise(tmp_path, {"users": TABLES["users"]})["users"].empty


@pytest.mark.parametrize("row", TABLES["films"], ids=lambda row: row.name)
def test_the_test_ratings_choose_nothing(row):
    train, test = random_split(made_up(), 0.1, 0)
    scrambled = test.take(numpy.arange(len(test)))
    scrambled.values[:] = 6 - scrambled.values
    one, other = (run(row, train, held_out, 0, "cpu") for held_out in (test, scrambled))
    assert (one["trials"], one["chosen"]) == (other["trials"], other["chosen"])
    assert one["rmse"] != other["rmse"]


def test_the_best_candidate_and_epoch_by_validation_are_chosen():
    train, test = random_split(made_up(), 0.1, 0)
    result = run(TABLES["films"][1], train, test, 0, "cpu")
    assert [trial["parameters"]["dropout"] for trial in result["trials"]] == [0.0, 0.5]
    assert all(1 <= trial["parameters"]["num_epochs"] <= 3 for trial in result["trials"])
    best = min(result["trials"], key=lambda trial: trial["validation_rmse"])
    assert result["chosen"] == best["parameters"]


def test_the_table_has_means_and_intervals(tmp_path):
    reproduce(TABLES, splits, tmp_path, "cpu")
    summary = summarise(tmp_path, TABLES)
    scores = [
        json.loads((tmp_path / "films" / f"autorec-made-up-{seed}.json").read_text())["rmse"]
        for seed in range(3)
    ]
    line = summary["films"].iloc[1]
    assert line["rmse"] == pytest.approx(numpy.mean(scores))
    # Student's t for 2 degrees of freedom at 97.5 %, from any statistics book; a test rating for
    # nine to train on.
    width = 4.3027 * numpy.std(scores, ddof=1) * (1 / 3 + 1 / 9) ** 0.5
    assert line["interval"] == pytest.approx(width, rel=1e-4)
    text = markdown(summary, {"films": "Tried: all."})
    above = f"AutoRec (by {line['rmse'] - 0.5:.4f})"
    assert f"Not reached: {above}. Tried: all." in text.splitlines()
    assert f"| AutoRec | {line['rmse']:.4f} ± {line['interval']:.4f} | 3 | 0.5, nobody |" in text
    assert text.count("###") == 2


def test_every_row_has_a_name_of_its_own_and_a_model_that_takes_its_parameters():
    for rows in tables.TABLES.values():
        assert len({row.name for row in rows}) == len(rows)
        for row in rows:
            for candidate in row.candidates:
                experiments.MODELS[row.model](**{**row.parameters, **candidate})


def test_the_splits_that_come_with_the_release_are_read(ml_100k, tmp_path):
    for number in range(1, 6):
        (tmp_path / f"u{number}.base").write_text("1\t1\t5\t9\n2\t1\t3\t9\n")
        (tmp_path / f"u{number}.test").write_text("1\t2\t2\t9\n")
    (tmp_path / "u.data").write_bytes((ml_100k / "u.data").read_bytes())
    found = list(movielens_splits({"100k": tmp_path})("u1-u5"))
    assert [name for name, *_ in found] == ["u1", "u2", "u3", "u4", "u5"]
    assert [len(part) for part in found[0][1:]] == [2, 1]
    (tmp_path / "u5.test").unlink()
    with pytest.raises(DataUnavailableError, match=r"has no u5\.test.*--ml-100k"):
        list(movielens_splits({"100k": tmp_path})("u1-u5"))


def test_the_command_prints_the_table(tmp_path, monkeypatch, capsys):
    path = tmp_path / "ratings.csv"
    made_up().frame().to_csv(path, index=False)
    rows = tuple(
        Row(f"{size} hidden units", "AutoRec", "1m", {**SMALL, "num_hidden": size})
        for size in (2, 4)
    )
    monkeypatch.setattr(tables, "TABLES", {"hidden-units": rows})
    output = tmp_path / "results"
    arguments = ["reproduce", "--ml-1m", str(path), "--splits", "2", "--output", str(output)]
    monkeypatch.setattr("sys.argv", ["autorec", *arguments, "--devices", "cpu"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    out, err = capsys.readouterr()
    assert "| 4 hidden units | " in out
    assert "4/4" in err
    assert (output / "tables.md").read_text() == out
    assert (output / "hidden-units.png").read_bytes().startswith(b"\x89PNG")
    assert len(files(output)) == 4

    monkeypatch.setattr("sys.argv", ["autorec", *arguments, "--devices", "cpu", "--quiet"])
    with pytest.raises(SystemExit):
        cli.main()
    assert capsys.readouterr() == (out, ""), "all is there, and nothing else is said"

    monkeypatch.setattr("sys.argv", ["autorec", "reproduce", "--table", "ml-2m"])
    with pytest.raises(SystemExit, match="2"):
        cli.main()
    assert "no table 'ml-2m'; choose from hidden-units" in capsys.readouterr().err
