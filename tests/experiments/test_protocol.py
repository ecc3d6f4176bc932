"""The protocol on made-up ratings: nothing here takes the time of a real table."""

import json
from dataclasses import replace

import numpy
import pytest
from support.experiments import SMALL, TABLES, made_up, needs_myfm, splits

from autorec import Recommender, accuracy, random_split
from autorec.cli import app as cli
from autorec.errors import DataUnavailableError
from autorec.experiments import protocol as experiments
from autorec.experiments import tables
from autorec.experiments.data import data_splits
from autorec.experiments.protocol import Row, reproduce, run
from autorec.experiments.summary import differences, edges, markdown, results, summarise


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
    # Until then, what it had stands in and is called so.
    before = summarise(tmp_path, TABLES)["users"].iloc[0]
    meanwhile = summarise(tmp_path, changed)["users"].iloc[0]
    assert (before["note"], meanwhile["note"]) == ("", "of earlier settings")
    assert meanwhile["rmse"] == before["rmse"]
    reproduce(changed, splits, tmp_path, "cpu")
    line = summarise(tmp_path, changed)["users"].iloc[0]
    assert (line["splits"], line["note"]) == (3, "")
    assert line["rmse"] != before["rmse"]
    another = {"users": (replace(changed["users"][0], model="BiasedMeans", parameters={}),)}
    assert summarise(tmp_path, another)["users"]["splits"].tolist() == [0]


def test_what_was_not_run_is_called_so(tmp_path):
    reproduce({"films": TABLES["films"][:1]}, splits, tmp_path, "cpu")
    summary = summarise(tmp_path, TABLES)
    assert summary["films"]["splits"].tolist() == [3, 0, 0]
    pairs = {"films": [("Mean", "MF", ""), ("Mean", "Mean", "")]}
    compared = differences(tmp_path, TABLES, pairs)
    assert compared["films"]["second"].tolist() == ["Mean"]
    text = markdown(summary, compared=compared)
    assert "| MF | not run | 0 |  |  |" in text
    assert "Not reached" not in text


def test_a_difference_is_taken_split_by_split(tmp_path):
    reproduce(TABLES, splits, tmp_path, "cpu")
    pairs = {"films": [("Mean", "AutoRec", "a claim")]}
    compared = differences(tmp_path, TABLES, pairs)
    one, two = (
        [each["rmse"] for each in results(tmp_path / "films", row)[0]]
        for row in TABLES["films"][:2]
    )
    each = numpy.subtract(one, two)
    line = compared["films"].iloc[0]
    assert line["difference"] == pytest.approx(each.mean())
    width = 4.3027 * each.std(ddof=1) * (1 / 3 + 1 / 9) ** 0.5
    assert line["interval"] == pytest.approx(width, rel=1e-4)
    cells = f"| Mean | AutoRec | {each.mean():+.4f} ± {width:.4f} | 3 | a claim |"
    assert cells in markdown(summarise(tmp_path, TABLES), compared=compared)


def test_a_choice_at_the_edge_of_what_was_offered_is_marked():
    candidates = tuple({"weight_decay": decay} for decay in (0.1, 0.2, 0.4))
    row = Row("A row", "AutoRec", "made up", {"num_epochs": 9}, candidates)
    chosen = [(0.1, 9), (0.2, 4), (0.4, 9), (0.4, 3)]
    found = [{"chosen": {"weight_decay": decay, "num_epochs": epoch}} for decay, epoch in chosen]
    assert edges(row, found) == (
        "at the edge: weight_decay 0.1 (1 of 4), epoch 9 (2 of 4), weight_decay 0.4 (2 of 4)"
    )
    assert edges(row, found[1:2]) == ""
    assert edges(replace(row, candidates=candidates[:1], choose_epoch=False), found) == ""


def test_both_views_and_members_are_chosen_on_validation_ratings_and_trained_on_all():
    train, test = random_split(made_up(), 0.1, 0)
    own = {**SMALL, "view": "both", "members": 2, "choose_decay": True, "holdout": 0.2}
    result = run(Row("Both", "AutoRec", "made up", own), train, test, 0, "cpu")
    chosen = result["chosen"]
    assert 0 <= chosen["user_weight"] <= 1
    assert {"num_epochs", "user_view", "weight_decay"} <= set(chosen)
    settled = {**own, **chosen, "random_state": 0, "devices": "cpu"}
    again = Recommender(**settled).fit(train)
    assert len(again.members_) == 4
    rmse = accuracy(again.predict(*test.pairs()), test.values).rmse
    assert result["rmse"] == pytest.approx(rmse, rel=1e-6)


@needs_myfm
def test_a_bayesian_row_has_the_seed_of_its_split():
    train, test = random_split(made_up(), 0.1, 0)
    row = Row("Bayesian MF", "BayesianMF", "made up", {"rank": 2, "num_samples": 10})
    results = [run(row, train, test, seed, "cpu")["rmse"] for seed in (0, 0, 1)]
    assert results[0] == pytest.approx(results[1], rel=1e-6)
    assert results[0] != pytest.approx(results[2], rel=1e-6)


def test_sets_without_a_download_are_read_from_files(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text("user,item,rating\n1,1,-9.5\n1,2,0\n2,1,3\n2,2,9.9\n")
    parts = list(data_splits({"jester": path}, 2)("jester"))
    assert [(name, len(train), len(test)) for name, train, test in parts] == [
        ("jester-0", 3, 1),
        ("jester-1", 3, 1),
    ]
    path.write_text("user,item,rating\n1,1,5\n1,1,4\n2,1,3\n2,2,1\n")
    with pytest.warns(UserWarning, match="1 of 4 ratings"):
        ((_, train, test),) = data_splits({"ciao-dvd": path}, 1)("ciao-dvd")
    assert len(train) + len(test) == 3
    with pytest.raises(DataUnavailableError, match="name a file of them with --jester"):
        list(data_splits({})("jester"))


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
    cells = f"| {line['rmse']:.4f} ± {line['interval']:.4f} | 3 | 0.5, nobody |"
    assert f"| AutoRec {cells} {line['note']} |" in text
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
    found = list(data_splits({"100k": tmp_path})("u1-u5"))
    assert [name for name, *_ in found] == ["u1", "u2", "u3", "u4", "u5"]
    assert [len(part) for part in found[0][1:]] == [2, 1]
    (tmp_path / "u5.test").unlink()
    with pytest.raises(DataUnavailableError, match=r"has no u5\.test.*--ml-100k"):
        list(data_splits({"100k": tmp_path})("u1-u5"))


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
