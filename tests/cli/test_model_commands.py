"""The commands on a saved model, as a person or a pipe would use them."""

import io
import json
import sys
from dataclasses import replace

import numpy
import pandas as pd
import pytest
from support import ROUNDING

from autorec import Recommender
from autorec.cli import app as cli
from autorec.cli import model as model_commands
from autorec.data.movielens.releases import RELEASES
from autorec.data.movielens.tables import read_titles_file


def table() -> pd.DataFrame:
    rng = numpy.random.default_rng(0)
    item, user = (rng.random((30, 20)) < 0.5).nonzero()
    rating = 1 + (item + user) % 5
    return pd.DataFrame({"user": user + 1, "item": [f"film [{i}]" for i in item], "rating": rating})


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, its model, and files of ratings, pairs and titles."""
    folder = tmp_path_factory.mktemp("commands")
    rows = table().sample(frac=1, random_state=0)
    model = Recommender(num_hidden=4, num_epochs=3, devices="cpu").fit(rows[40:])
    (folder / "run").mkdir()
    model.save(folder / "run" / "model")
    rows[:40].to_csv(folder / "test.csv", index=False)
    rows[:5][["item", "user"]].to_csv(folder / "pairs.csv", index=False)
    (folder / "titles.csv").write_text('item,title\n"film [1]",Léon: The Professional\n')
    return folder


@pytest.fixture
def run(place, monkeypatch, capsys):
    """Run a command in that folder; return its exit code and what it wrote."""

    def run(*arguments):
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["autorec", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capsys.readouterr()
        return end.value.code or 0, out, err

    return run


@pytest.fixture(scope="module")
def model(place):
    return Recommender.load(place / "run" / "model")


def test_evaluate(run, model, place):
    code, out, err = run("evaluate", "run", "--ratings", "test.csv", "-k", 5)
    assert (code, err) == (0, "")
    found = pd.read_csv(io.StringIO(out)).set_index("measure")["value"]
    expected = model.evaluate(place / "test.csv", k=5)
    assert found["RMSE"] == pytest.approx(expected.errors.rmse, rel=1e-5)
    assert found["NDCG@5"] == pytest.approx(expected.ranking.ndcg, rel=1e-5)
    assert found["ratings"] == 40


def test_a_measure_has_the_length_that_its_lists_can_have(run):
    code, out, _ = run("evaluate", "run", "--ratings", "test.csv", "-k", 100_000)
    assert code == 0
    assert "precision@30," in out
    assert "100000" not in out


def test_one_text_among_the_pairs_leaves_the_others_known(run, place, model):
    (place / "mixed.csv").write_text("user,item\n3,film [1]\nx,film [2]\n0004,film [3]\n")
    arguments = "predict", "run", "--pairs", "mixed.csv", "--unknown", "fallback"
    code, out, err = run(*arguments, "--format", "json")
    assert code == 0
    assert "Row 2 asks for the user 'x', which cannot be in these ratings" in err
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["user"] for line in lines] == [3, "x", 4]
    expected = model.predict([3, 4], ["film [1]", "film [3]"])
    numpy.testing.assert_allclose([lines[0]["rating"], lines[2]["rating"]], expected, atol=1e-5)
    code, _, err = run("predict", "run", "--pairs", "mixed.csv")
    assert code == 2
    assert "no user 'x' in the ratings, whose user ids are whole numbers (row 2" in err


def test_predict_to_a_pipe_and_to_a_file(run, model, place):
    code, out, _ = run("predict", "run/model", "--pairs", "pairs.csv")
    found = pd.read_csv(io.StringIO(out))
    assert code == 0
    assert list(found.columns) == ["user", "item", "rating"]
    numpy.testing.assert_allclose(
        found["rating"], model.predict(found.user, found["item"]), atol=1e-4
    )
    code, out, _ = run(
        "predict", "run", "--pairs", "pairs.csv", "-o", "out.jsonl", "--format", "json"
    )
    assert (code, out) == (0, "")
    lines = [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()]
    assert [line["user"] for line in lines] == found["user"].tolist()


def test_recommend(run, model):
    code, out, _ = run(
        "recommend", "run", "--user", 3, "--user", 1, "-k", 4, "--titles", "titles.csv"
    )
    found = pd.read_csv(io.StringIO(out))
    assert code == 0
    assert list(found.columns) == ["user", "rank", "item", "rating", "title"]
    assert found["item"].tolist() == model.recommend([3, 1], k=4)["item"].tolist()
    code, out, _ = run("recommend", "run", "--all", "-k", 1, "--format", "json")
    assert [json.loads(line)["user"] for line in out.splitlines()] == list(range(1, 21))


def test_similar_on_a_terminal(run, monkeypatch):
    arguments = "similar", "run", "--item", "film [2]", "-k", 3, "--titles", "titles.csv"
    code, out, _ = run(*arguments, "--format", "table")
    assert code == 0
    assert "similarity" in out
    assert "film [" in out, "brackets are no markup"
    assert "nan" in out or "Léon" in out


def test_inspect(run):
    code, out, _ = run("inspect", "run")
    found = pd.read_csv(io.StringIO(out)).set_index("what")["value"]
    assert code == 0
    assert (found["users"], found["num_hidden"]) == ("20", "4")
    assert "mxnet version" in found
    # Trained on its own, it has neither.
    assert not {"validation RMSE", "test RMSE"} & set(found.index)


def facts(run, *arguments):
    """Inspect a model; return what it says, as JSON has it."""
    code, out, err = run("inspect", *arguments, "--format", "json")
    assert (code, err) == (0, "")
    return {line["what"]: line["value"] for line in map(json.loads, out.splitlines())}


@pytest.mark.parametrize("more", [[], ["--view", "both", "--user-weight", 0.25]])
def test_inspect_says_the_test_rmse_and_the_settings(run, place, more):
    output = f"inspected {len(more)}"
    code, _, err = run(
        "train", "--ratings", "test.csv", "--hidden", 3, "--epochs", 2, "--validation-ratio", 0.2,
        "--preset", "paper", "--devices", "cpu", "--output", output, *more,
    )  # fmt: skip
    assert code == 0, err
    found = facts(run, output)
    metrics = json.loads((place / output / "metrics.json").read_text())
    assert found["test RMSE"] == pytest.approx(metrics["test_rmse"], rel=ROUNDING)
    assert found["validation RMSE"] > 0
    wanted = Recommender.load(place / output / "model").get_params()
    assert {name: found[name] for name in wanted} == wanted
    assert facts(run, f"{output}/model") == found
    # Metrics of another run are not this model's.
    metrics["sha256_train"] = "another"
    (place / output / "metrics.json").write_text(json.dumps(metrics))
    assert ("test RMSE" in facts(run, output)) == (not more)
    _, out, _ = run("inspect", output, "--format", "table")
    assert "None" not in out
    assert "True" not in out


@pytest.fixture
def release(place, monkeypatch, cache):
    """MovieLens-100K, made up, in the cache, with titles; and a run on it."""
    folder = cache / "ml-100k"
    folder.mkdir(parents=True)
    rows = table()
    rows["item"] = rows["item"].str.extract(r"(\d+)").astype(int) + 1
    text = rows.to_csv(sep="\t", header=False, index=False)
    (folder / "u.data").write_text(text)
    (folder / "u.item").write_text("".join(f"{i}|Film {i} (1995)|\n" for i in range(1, 31)))
    monkeypatch.setitem(RELEASES, "100k", replace(RELEASES["100k"], sha1=None))
    return folder


def titles_of(out):
    return [row["title"] for row in map(json.loads, out.splitlines())]


def test_titles_of_the_release_that_a_model_is_of_need_not_be_named(
    run, release, tmp_path, monkeypatch
):
    train = "train", "--hidden", 3, "--epochs", 1, "--devices", "cpu", "--quiet", "--output"
    assert run(*train, tmp_path / "cached")[0] == 0
    moved = release.rename(tmp_path / "elsewhere")
    assert run(*train, tmp_path / "own", "--data", moved)[0] == 0
    recommend = "-k", 2, "--format", "json"
    own = run("recommend", tmp_path / "own", "--user", 3, *recommend)
    assert own[0] == 0
    assert all(title.startswith("Film ") for title in titles_of(own[1]))
    # Where the release is not on this machine any more, nothing is fetched, and nothing said.
    code, out, err = run("recommend", tmp_path / "cached", "--user", 3, *recommend)
    assert (code, err, "title" in out) == (0, "", False)
    moved.rename(release)
    for command in (("recommend", "--user", 3), ("similar", "--item", 3)):
        for folder in ("cached", "cached/model"):
            code, out, err = run(command[0], tmp_path / folder, *command[1:], *recommend)
            assert (code, err) == (0, "")
            assert all(title.startswith("Film ") for title in titles_of(out))
    # A damaged file of titles is no reason not to recommend.
    (release / "u.item").write_text("no title\n")
    code, out, err = run("recommend", tmp_path / "cached", "--user", 3, *recommend)
    assert (code, "title" in out) == (0, False)
    assert "no item id and title; titles are left out" in err


STRANGE = [
    "[",
    "[1]",
    '{"config": 3}',
    '{"config": {"dataset": [1]}}',
    '{"config": {"dataset": "100k", "data": "nowhere"}}',
]


@pytest.mark.parametrize("metrics", STRANGE)
def test_metrics_of_a_stranger_are_no_hindrance(run, place, cache, metrics):
    (place / "run" / "metrics.json").write_text(metrics)
    try:
        code, out, err = run("recommend", "run", "--user", 3, "-k", 2)
    finally:
        (place / "run" / "metrics.json").unlink()
    assert (code, err) == (0, "")
    assert out.startswith("user,rank,item,rating\n")


def test_the_file_of_titles_that_is_named_is_the_one_that_is_read(run, place, tmp_path):
    (tmp_path / "u.item").write_text("1|From u.item (1995)|\n")
    (tmp_path / "movies.csv").write_text('movieId,title,genres\nfilm [2],"Own, the",x\n')
    (tmp_path / "movies.dat").write_text("1::From movies.dat (1995)::x\n")
    similar = "similar", "run", "--item", "film [1]", "-k", 30, "--format", "csv", "--titles"
    code, out, err = run(*similar, tmp_path / "movies.csv")
    assert (code, err) == (0, "")
    found = pd.read_csv(io.StringIO(out))["title"].dropna()
    assert found.tolist() == ["Own, the"]
    for name in ("u.item", "movies.dat"):
        assert read_titles_file(tmp_path / name)[1] == f"From {name} (1995)"
    code, _, err = run(*similar, tmp_path / "none" / "u.item")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "u.item does not exist; name a file of titles" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["recommend", "run"], "Name a user with --user, or ask for everybody with --all"),
        (["recommend", "run", "--user", "99"], "There is no user 99 in the ratings"),
        (
            ["recommend", "run", "--user", "Ann"],
            "no user 'Ann' in the ratings, whose user ids are whole",
        ),
        (["similar", "run", "--item", "film"], "There is no item 'film' in the ratings"),
        (["inspect", "nowhere"], "nowhere holds no model"),
        (["predict", "run", "--pairs", "nowhere.csv"], "nowhere.csv does not exist"),
        (["predict", "run", "--pairs", "titles.csv"], "There is no user"),
        (
            ["evaluate", "run", "--ratings", "titles.csv"],
            "titles.csv: The first line has 2 fields, too few for user, item",
        ),
        (["evaluate", "run"], "Missing option '--ratings'"),
        (["data", "2m"], "2m"),
    ],
)
def test_the_wrong_thing_gets_one_sentence_and_exit_code_2(run, arguments, sentence):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert len(err.splitlines()) == 1


def test_data_describes_what_it_checked(run, ml_100k):
    code, out, _ = run("data", "100k", "--data", ml_100k)
    found = pd.read_csv(io.StringIO(out)).set_index("what")["value"]
    assert code == 0
    assert (found["ratings"], found["users"], found["items"]) == ("100000", "943", "1682")
    assert found["rated"] == "1997-09-20 to 1998-04-22"


def test_every_command_is_told_of_in_the_help(run):
    code, out, _ = run("--help")
    assert code == 0
    for name in ("train", "reproduce", "evaluate", "predict", "recommend", "similar", "inspect",
                 "export", "data"):  # fmt: skip
        assert f"  {name} " in out
    assert model_commands.__doc__
