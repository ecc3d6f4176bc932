"""Models on the same splits, beside what is computed by hand for each of them."""

import math
import os
import signal
import warnings

import numpy
import pandas as pd
import pytest
from support.training import low_rank_ratings

from autorec import BiasedMeans, Means, Recommender, accuracy, cross_validate, k_fold, random_split
from autorec.choosing import models
from autorec.choosing.comparison import PLACES, Splits, short_names
from autorec.choosing.plots import comparison
from autorec.errors import ConfigurationError, TrainingError
from autorec.evaluation.intervals import corrected_interval
from autorec.evaluation.ranking import held_out_ndcg
from autorec.recommender.presets import preset_parameters
from autorec.recommender.settings_file import write_settings

RATINGS = low_rank_ratings()
MEANS = ["mean", "item-mean", "biased-means"]


def rmse(model, train, test):
    return accuracy(model.fit(train).predict(*test.pairs()), test.values).rmse


@pytest.mark.parametrize(
    ("options", "splits", "test_to_train"),
    [
        ({"repeats": 3}, [random_split(RATINGS, 0.1, s) for s in (0, 1, 2)], 1 / 9),
        ({"repeats": 2, "test_ratio": 0.25, "seed": 7},
         [random_split(RATINGS, 0.25, s) for s in (7, 8)], 1 / 3),
        ({"folds": 4, "seed": 2}, list(k_fold(RATINGS, 4, 2)), 1 / 3),
    ],
)  # fmt: skip
def test_each_model_meets_the_same_splits(options, splits, test_to_train):
    found = cross_validate(RATINGS, MEANS, **options)
    assert list(found.scores["model"]) == [name for name in MEANS for _ in splits]
    for name, build in {"mean": Means, "biased-means": BiasedMeans}.items():
        own = found.scores[found.scores["model"] == name]
        by_hand = [rmse(build(), *parts) for parts in splits]
        assert list(own["rmse"]) == pytest.approx(by_hand)
        row = found.table.set_index("model").loc[name]
        interval = corrected_interval(by_hand, test_to_train)
        assert (row["rmse"], row["interval"]) == pytest.approx((interval.mean, interval.half_width))
    train, test = splits[0]
    predicted = BiasedMeans().fit(train).predict(*test.pairs())
    first = found.scores[found.scores["model"] == "biased-means"].iloc[0]
    assert first["mae"] == pytest.approx(numpy.abs(predicted - test.values).mean())
    assert first["ndcg"] == held_out_ndcg(test.users, predicted, test.values, PLACES)
    assert (found.scores[["fit_seconds", "predict_seconds"]] >= 0).all(axis=None)
    assert found.scores["peak_mb"].isna().all()


def test_differences_are_paired_and_say_what_they_mean():
    found = cross_validate(RATINGS, MEANS, repeats=4)
    by_split = found.scores.pivot(index="split", columns="model", values="rmse")
    assert found.against == by_split.mean().idxmin() == found.table["model"][0]
    for each in found.differences.itertuples():
        interval = corrected_interval(by_split[each.model] - by_split[found.against], 1 / 9)
        assert (each.difference, each.low, each.high) == pytest.approx(
            (interval.mean, interval.low, interval.high)
        )
        if each.low > 0:
            assert each.words == f"worse than {found.against} by {each.low:.4f} to {each.high:.4f}"
        else:
            assert each.words == f"not told apart from {found.against}"
    assert "mean" not in {each.model for each in found.differences.itertuples() if each.low <= 0}

    other = cross_validate(RATINGS, MEANS, repeats=4, against="biased-means")
    words = other.differences.set_index("model")["words"]  # two tastes, and nobody has a bias
    assert words["mean"].startswith("better than biased-means by 0.")
    assert (
        cross_validate(RATINGS, MEANS, repeats=1).differences["words"].tolist()
        == ["one split tells no interval"] * 2
    )


def test_models_alike_are_not_told_apart():
    found = cross_validate(RATINGS, {"one": "mean", "two": Means()}, repeats=3)
    assert found.differences["words"].tolist() == ["not told apart from one"]


def test_markdown_and_plot_have_every_model(tmp_path):
    found = cross_validate(RATINGS, MEANS, repeats=2, data="films")
    text = found.markdown()
    assert text.startswith("### films: 2 random splits, 10% held out\n")
    for name in MEANS:
        assert text.count(f"| {name} |") == 2 - (name == found.against)
    best = found.table.iloc[0]
    assert f"| {best['model']} | {best['rmse']:.4f} ± {best['interval']:.4f} |" in text
    assert "peak MB" not in text
    figure = comparison(found)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == list(found.table["model"])
    drawn = figure.axes[0].containers[0][0].get_xdata()
    assert list(drawn) == list(found.table["rmse"])


def test_a_process_of_its_own_gives_the_same_and_tells_memory():
    apart = cross_validate(RATINGS, ["item-mean"], repeats=2, processes=True)
    here = cross_validate(RATINGS, ["item-mean"], repeats=2)
    same = ["model", "split", "rmse", "mae", "ndcg"]
    pd.testing.assert_frame_equal(apart.scores[same], here.scores[same])
    assert (apart.scores["peak_mb"] >= 0).all()
    assert "peak MB" in apart.markdown()


class Broken:
    def __init__(self, error):
        self.error = error

    def fit(self, ratings):
        raise self.error

    def predict(self, users, items):
        raise AssertionError


def test_a_model_that_fails_is_left_out_with_a_warning():
    some = {"broken": Broken(TrainingError("It does not learn.")), "mean": "mean"}
    with pytest.warns(UserWarning, match="broken is left out: It does not learn."):
        found = cross_validate(RATINGS, some, repeats=2)
    assert set(found.scores["model"]) == {"mean"}
    assert "broken is left out: It does not learn." in found.markdown()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(TrainingError, match="No model could be compared; the last one: It"):
            cross_validate(RATINGS, {"broken": some["broken"]}, repeats=2)
        with pytest.raises(ZeroDivisionError):  # of one's own code, which is to be seen
            cross_validate(RATINGS, {"broken": Broken(ZeroDivisionError())}, repeats=2)


class Killed:
    def fit(self, ratings):
        os.kill(os.getpid(), signal.SIGKILL)

    def predict(self, users, items):
        raise AssertionError


def test_a_model_whose_process_is_killed_is_left_out():
    with pytest.warns(UserWarning, match="killed is left out: Its process was killed by signal 9"):
        found = cross_validate(
            RATINGS, {"killed": Killed(), "mean": "mean"}, repeats=1, processes=True
        )
    assert set(found.scores["model"]) == {"mean"}


def test_settings_files_are_named_by_their_folder(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        chosen = preset_parameters("best", num_hidden=3, num_epochs=2)
        write_settings(tmp_path / name / "settings.json", chosen, {})
    files = [str(tmp_path / name / "settings.json") for name in ("one", "two")]
    assert list(short_names([*files, "mine.json", "mf"])) == ["one", "two", "mine", "mf"]
    found = cross_validate(RATINGS, [*files, "mean"], repeats=1, devices="cpu")
    assert set(found.scores["model"]) == {"one", "two", "mean"}
    train, test = random_split(RATINGS, 0.1, 0)
    model = Recommender.from_settings(files[0], devices="cpu")
    own = found.scores[found.scores["model"] == "one"]["rmse"]
    assert own.item() == pytest.approx(rmse(model, train, test), rel=1e-5)


def test_presets_choose_their_epochs_on_the_training_ratings():
    for name in ("best", "paper", *models.VIEWS):
        model = models.build_model(name, 3, "cpu")
        assert (model.holdout, model.random_state) == (models.HELD_OUT, 3)
    assert models.build_model("both", 0, "cpu").view == "both"
    mf = models.build_model("mf", 0, "cpu")
    mf.model.num_epochs, mf.model.num_factors, mf.model.learning_rate = 30, 8, 0.05
    train, _ = random_split(RATINGS, 0.1, 0)
    assert mf.fit(train).model_.num_epochs < 30
    assert mf.model.num_epochs == 30  # for the next split


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"models": ["mean", "svd"]}, "There is no model 'svd'; choose from mean, user-mean"),
        ({"models": ["mean", "mean"]}, "The model mean is named twice"),
        ({"models": "mean"}, "must be several"),
        ({"models": []}, "no models to compare"),
        ({"models": ["none.json"]}, "none.json cannot be read"),
        ({"models": MEANS, "against": "mf"}, "'mf' is none of the models"),
        ({"models": MEANS, "folds": 1}, "folds must be at least 2"),
        ({"models": MEANS, "folds": 10**6}, "folds must be at most"),
        ({"models": MEANS, "repeats": 0}, "repeats must be at least 1"),
        ({"models": MEANS, "test_ratio": 1.0}, "test_ratio must be below 1"),
    ],
)
def test_what_cannot_be_compared_is_said(arguments, said):
    with pytest.raises(ConfigurationError, match=said):
        cross_validate(RATINGS, **arguments)


def test_scores_so_far_are_told():
    seen = []
    cross_validate(
        RATINGS, ["mean", "item-mean"], repeats=2, on_score=lambda s: seen.append(len(s))
    )
    assert seen == [1, 2, 3, 4]


def test_splits_say_what_they_are():
    assert str(Splits(folds=5)) == "5 folds"
    assert str(Splits(repeats=1, test_ratio=0.2)) == "a random split, 20% held out"
    assert math.isclose(Splits(folds=5).test_to_train, 0.25)
    assert len(Splits(repeats=7)) == 7


def test_without_myfm_the_bayesian_models_are_not_usual(monkeypatch):
    assert set(models.usual_models()) <= set(models.USUAL)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not set(models.BAYESIAN) & set(models.usual_models())
