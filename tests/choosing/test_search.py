"""A search for settings, by Optuna itself, on ratings that take no time."""

import json
import signal
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy
import pandas as pd
import pytest
from support.training import low_rank_ratings

from autorec import Recommender, accuracy, random_split, tune
from autorec.choosing.space import BASE, SPACE, STARTS, VIEWS, Between, OneOf
from autorec.choosing.studies import JOURNAL, Studies
from autorec.errors import ConfigurationError, DataCorruptError, TrainingError
from autorec.recommender.presets import Parameters

#: No trial takes more than a tenth of a second.
QUICK = {"num_epochs": 3, "batch_size": 16, "devices": "cpu"}
#: Which has a rate that learns nothing, and one that learns.
RATES = {"learning_rate": OneOf(1e-6, 0.02)}


@pytest.fixture(autouse=True)
def rubbish_stays(monkeypatch):
    """Taking out all rubbish after a trial takes longer than the trials here."""
    monkeypatch.setattr("autorec.choosing.trials.gc", SimpleNamespace(collect=lambda: 0))


def search(**options):
    return tune(low_rank_ratings(), **{"trials": 5, **QUICK, **options})


def test_the_best_trial_is_the_one_that_predicts_held_out_ratings_best():
    found = search(trials=6, space=RATES, view="user")
    assert len(found.trials) == 6
    assert found.parameters.learning_rate == 0.02
    complete = found.trials[found.trials["state"] == "complete"]
    assert found.validation_rmse == complete["validation_rmse"].min()
    assert found.trials["learning_rate"].nunique() == 2

    # Trained again by hand, on the same part, the settings give the score that was told.
    train, validation = random_split(low_rank_ratings(), 0.1, seed=1)
    model = found.recommender(devices="cpu", random_state=0).fit(train)
    assert scored(model, validation) == pytest.approx(found.validation_rmse, rel=1e-5)
    assert (model.view, model.patience) == ("user", None)
    assert model.num_epochs == found.trials["epochs"][found.best["user"]]


def scored(model, validation):
    return accuracy(model.predict(*validation.pairs()), validation.values).rmse


def test_the_best_of_both_views_are_tried_together():
    found = search(trials=4, num_epochs=12, learning_rate=0.02)
    assert list(found.trials.groupby("view").size()) == [2, 2]
    alone = found.trials.groupby("view")["validation_rmse"].min()
    assert found.validation_rmse <= alone.min()
    both = search(trials=4, num_epochs=12, learning_rate=0.02, view="both", members=2)
    assert both.parameters.view == "both"
    assert both.parameters.members == 2
    assert 0 <= both.parameters.user_weight <= 1
    for view, number in both.best.items():
        trials = both.trials[both.trials["view"] == view].set_index("trial")
        assert trials["validation_rmse"].idxmin() == number
        own = both.parameters.of_view(view)
        assert {name: getattr(own, name) for name in ("num_hidden", "num_epochs")} == {
            "num_hidden": trials["num_hidden"][number], "num_epochs": trials["epochs"][number]
        }  # fmt: skip
    train, validation = random_split(low_rank_ratings(), 0.1, seed=1)
    model = both.recommender(devices="cpu", members=1).fit(train)
    assert scored(model, validation) == pytest.approx(both.validation_rmse, rel=1e-5)


def test_what_does_well_on_most_ratings_is_tried_first_and_never_given_up():
    found = search(trials=2 * len(STARTS))
    for view in VIEWS:
        trials = found.trials[found.trials["view"] == view]
        for start, (_, trial) in zip(STARTS, trials.iterrows()):
            assert {name: trial[name] for name in SPACE} == start
    assert set(found.trials["state"]) == {"complete"}


def test_what_is_searched_are_hyperparameters_and_starts_lie_within():
    for name, searched in SPACE.items():
        assert all(start[name] in searched for start in STARTS), name
        for value in getattr(searched, "values", None) or (searched.low, searched.high):
            Parameters(**{**BASE, name: value})


def test_the_unit_of_the_ratings_changes_no_choice():
    ratings = low_rank_ratings()
    other = replace(ratings, values=20 * ratings.values + 7)
    one, two = tune(ratings, trials=6, **QUICK), tune(other, trials=6, **QUICK)
    searched = list(SPACE)
    pd.testing.assert_frame_equal(one.trials[searched], two.trials[searched])
    # Some thousand sums of float32, each rounded in another place: a thousandth of the spread.
    assert two.validation_rmse / 20 == pytest.approx(one.validation_rmse, abs=1e-3)


def test_what_is_given_is_not_searched():
    found = search(view="user", dropout=0.25)
    assert "dropout" not in found.trials
    assert set(found.trials["view"]) == {"user"}
    assert (found.parameters.view, found.parameters.dropout) == ("user", 0.25)
    found = tune(low_rank_ratings(), trials=5, num_epochs=2, space={"batch_size": Between(4, 8)})
    assert found.trials["batch_size"].between(4, 8).all()


def test_bounds_of_whole_numbers_give_whole_numbers():
    found = search(space={"num_hidden": Between(2, 5)}, trials=6)
    assert set(found.trials["num_hidden"]) <= {2, 3, 4, 5}
    assert 3 in Between(2, 5)
    assert 3.0 not in Between(2, 5)
    assert 3.0 in Between(2.0, 5.0)
    assert 5.1 not in Between(2.0, 5.0)
    assert str(OneOf(True, False)) == "yes or no"
    assert str(Between(0.005, 0.5)) == "0.005 to 0.5"


def test_test_ratings_cannot_have_a_say(monkeypatch):
    """Each trial is fitted to, and judged by, parts of what is given, and nothing else."""
    given = low_rank_ratings()
    train, validation = random_split(given, 0.1, seed=1)
    seen = []
    fit = Recommender.fit

    def watched(self, ratings, *, validation=None, test=None, **options):
        seen.append((ratings.checksum(), validation.checksum(), test))
        return fit(self, ratings, validation=validation, **options)

    monkeypatch.setattr(Recommender, "fit", watched)
    tune(given, trials=3, **QUICK)
    assert len(seen) == 4  # the trials, and both views together
    assert set(seen) == {(train.checksum(), validation.checksum(), None)}


def test_folds_hold_each_rating_out_once(monkeypatch):
    held_out = []
    fit = Recommender.fit

    def watched(self, ratings, *, validation=None, **options):
        held_out.append(validation)
        return fit(self, ratings, validation=validation, **options)

    monkeypatch.setattr(Recommender, "fit", watched)
    found = search(trials=1, folds=3, view="item")
    assert sorted(part.size for part in [p.values for p in held_out]) == sorted(
        part.size for part in numpy.array_split(numpy.arange(len(low_rank_ratings())), 3)
    )
    cells = {pair for part in held_out for pair in zip(part.users, part.items)}
    assert len(cells) == len(low_rank_ratings())
    assert found.trials["state"][0] == "complete"


def test_the_same_seed_proposes_the_same(tmp_path):
    one, two, other = search(seed=3), search(seed=3), search(seed=4)
    same = [name for name in one.trials if name != "seconds"]
    pd.testing.assert_frame_equal(one.trials[same], two.trials[same])
    assert not one.trials["dropout"].equals(other.trials["dropout"])


def test_a_search_that_is_resumed_goes_on_as_if_it_had_never_stopped(tmp_path):
    search(trials=4, folder=tmp_path)
    resumed = search(trials=7, folder=tmp_path, resume=True)
    straight = search(trials=7)
    same = [name for name in straight.trials if name != "seconds"]
    pd.testing.assert_frame_equal(resumed.trials[same], straight.trials[same])
    assert resumed.validation_rmse == straight.validation_rmse


def test_ctrl_c_keeps_what_was_found_and_the_trial_is_made_again(tmp_path, monkeypatch):
    # Between two looks 0.2 s apart, more than one of these trials may end.
    monkeypatch.setattr("autorec.choosing.search.PAUSE", 0.0)

    def stop(progress):
        if progress.trials == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(folder=tmp_path, on_progress=stop)
    table = pd.read_csv(tmp_path / "trials.csv")
    assert (table["state"] == "complete").sum() == 2
    kept = Recommender.from_settings(tmp_path / "settings.json")
    assert kept.num_epochs == table["epochs"][table["validation_rmse"].idxmin()]
    found = search(folder=tmp_path, resume=True)
    assert (found.trials["state"] != "interrupted").sum() == 5


def test_a_trial_in_which_a_search_was_killed_is_made_again(tmp_path):
    search(folder=tmp_path, trials=3, space=RATES, view="item")
    journal = tmp_path / JOURNAL
    lines = journal.read_bytes().splitlines(keepends=True)
    # What was there when the second trial had told of its first epoch, but for half a line.
    told = [n for n, line in enumerate(lines) if b'"intermediate_value"' in line]
    cut = next(n for n in told if json.loads(lines[n])["trial_id"] == 1) + 1
    journal.write_bytes(b"".join(lines[:cut]) + lines[cut][:9])
    found = search(folder=tmp_path, trials=3, resume=True, space=RATES, view="item")
    states = list(found.trials["state"])
    assert states == ["complete", "interrupted", "complete", "complete"]
    again = found.trials.iloc[2]
    assert (again[list(SPACE)] == found.trials.iloc[1][list(SPACE)]).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, "begun with another seed"),
        ({"dropout": 0.5}, "begun with another base"),
        ({"view": "user"}, "begun with another view"),
        ({"space": RATES}, "begun with another space"),
        ({"folds": 2}, "begun with another held_out"),
    ],
)
def test_a_search_is_resumed_with_what_it_was_begun_with(tmp_path, change, said):
    search(folder=tmp_path, trials=1)
    with pytest.raises(ConfigurationError, match=said):
        search(folder=tmp_path, resume=True, **change)
    with pytest.raises(ConfigurationError, match="another sha256_ratings"):
        tune(low_rank_ratings(seed=1), folder=tmp_path, resume=True, **QUICK)
    with pytest.raises(ConfigurationError, match="has a search already; resume it"):
        search(folder=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nothing\n",
        b"[]\n",
        b'{"op_code": 99}\n',
        b"[" * 100_000 + b"\n",
        b'{"op_code":0,"worker_id":"w","study_name":"item","directions":[1]}\n',
    ],
)
def test_a_journal_of_a_stranger_is_refused(tmp_path, content):
    (tmp_path / JOURNAL).write_bytes(content)
    with pytest.raises(DataCorruptError, match="is no journal of a search, or damaged"):
        Studies.resume(tmp_path / JOURNAL, {"seed": 0}, ["item"], SPACE)


def test_a_folder_is_made_or_refused(tmp_path):
    search(trials=1, folder=tmp_path / "some" / "search")
    assert (tmp_path / "some" / "search" / "settings.json").is_file()
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="lies below, a file; name"):
        search(folder=tmp_path / "file")


def test_a_folder_is_that_of_one_search_at_a_time(tmp_path):
    def another(_):
        with pytest.raises(ConfigurationError, match="Another search writes to"):
            search(folder=tmp_path / "search", resume=True)
        tried.append(True)

    tried = []
    search(trials=1, folder=tmp_path / "search", on_progress=another)
    assert tried


def test_there_is_a_search_to_go_on_with(tmp_path):
    with pytest.raises(ConfigurationError, match="has no search to go on with"):
        search(folder=tmp_path, resume=True)
    with pytest.raises(ConfigurationError, match="resume needs the folder"):
        search(resume=True)


def test_settings_that_diverge_are_a_trial_that_failed(tmp_path):
    rates = {"learning_rate": OneOf(1e30, 0.02)}
    found = search(trials=6, space=rates, folder=tmp_path, view="item")
    failed = found.trials[found.trials["state"] == "failed"]
    assert len(failed)
    assert failed["error"].str.contains("lower the learning rate").all()
    assert found.parameters.learning_rate == 0.02
    with pytest.raises(TrainingError, match="No trial came to an end; the last one: .* no longer"):
        search(trials=2, learning_rate=1e30)


def test_time_ends_a_search_and_its_last_trial():
    found = search(trials=None, minutes=0.02, num_epochs=10**6)
    assert 1 <= len(found.trials) < 200
    assert found.parameters.num_epochs < 10**6
    with pytest.raises(TrainingError, match="give the search more minutes"):
        search(trials=None, minutes=1e-9)


def test_trials_that_learn_no_more_end():
    found = search(
        trials=1, view="item", num_epochs=10**6, learning_rate=0.02, learning_rate_decay=0.5
    )
    assert found.parameters.num_epochs < 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trials": 0}, "trials must be at least 1"),
        ({"minutes": 0}, "minutes must be above 0"),
        ({"jobs": 0}, "jobs must be at least 1"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"validation_ratio": 1}, "validation_ratio must be below 1"),
        ({"hidden": 3}, "There is no hyperparameter 'hidden'"),
        ({"space": {"hidden": OneOf(1)}}, "There is no hyperparameter 'hidden'"),
        ({"space": {"dropout": OneOf(0.5)}, "dropout": 0.1}, "dropout is given a value, and"),
        ({"space": {"view": OneOf("item")}}, "view is not searched so; give it a value"),
        ({"space": {"clip": OneOf(True, False)}}, "clip is not searched so; give it a value"),
        ({"choose_decay": True}, "has its own way with choose_decay"),
        ({"user_view": {"dropout": 0.1}}, "has its own way with user_view"),
        ({"random_state": 3}, "has its own way with random_state"),
        ({"space": {"dropout": (0, 1)}}, r"dropout must be searched in OneOf\(...\) or Between"),
        ({"dropout": 3}, "dropout .* must be below 1"),
        ({"loss": "rating"}, "With another loss weight_decay means something else"),
        ({"space": {"decay_growth": OneOf(0.0, 1.0)}}, "With another decay_growth weight_decay"),
        ({name: getattr(Parameters(), name) for name in SPACE}, "nothing is left to search"),
    ],
)
def test_what_cannot_be_searched_is_said(options, said):
    with pytest.raises(ConfigurationError, match=said):
        search(**options)


def test_progress_counts_up_to_the_end():
    seen = []
    found = search(on_progress=seen.append, trials=4)
    assert [p.trials for p in seen] == sorted(p.trials for p in seen)
    assert (seen[0].trials, seen[0].best, seen[-1].trials) == (0, None, 4)
    best = " and ".join(f"{view} {number}" for view, number in found.best.items())
    assert (seen[-1].best, seen[-1].best_rmse) == (best, found.validation_rmse)


def test_what_mattered_is_told_by_shares():
    found = search(trials=10, space=RATES, view="item")
    shares = found.importances["item"]
    assert sum(shares.values()) == pytest.approx(1)
    assert set(shares) <= set(SPACE)
    assert search(trials=3).importances == {"item": {}, "user": {}}


def test_ctrl_c_is_heard_again_after_a_search():
    before = signal.getsignal(signal.SIGINT)
    search(trials=1)
    assert signal.getsignal(signal.SIGINT) is before


def test_without_optuna_it_is_said_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("autorec.choosing.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'gluon-autorec\[tune\]'"):
        import autorec.choosing.studies  # noqa: F401
