"""A fit that fails or is interrupted leaves the model as it was; numbers that no fit can use."""

import copy
import inspect
import itertools
import math
import re
from dataclasses import fields

import numpy
import pandas as pd
import pytest
from support.command_line import command_line
from support.training import fitted, low_rank_ratings

from autorec import AutoRec, Interactions, Recommender, fit
from autorec._mxnet import mx
from autorec.baselines import BiasedMeans, BiasedMF, Means
from autorec.errors import ConfigurationError, NotFittedError, TrainingError
from autorec.recommender.presets import Parameters
from autorec.training.settings import Settings

QUICK = {"num_epochs": 2, "batch_size": 16, "learning_rate": 0.01, "devices": "cpu"}
MODELS = {
    "I-AutoRec": lambda: Recommender(num_hidden=4, **QUICK),
    "sparse": lambda: Recommender(num_hidden=4, compute="sparse", **QUICK),
    "deep": lambda: Recommender(num_hidden=(4, 2, 4), pretrain_epochs=1, **QUICK),
    "biased MF": lambda: BiasedMF(num_factors=3, **QUICK),
    "biased means": BiasedMeans,
    "means": lambda: Means("user"),
}
TRAINED = ["I-AutoRec", "sparse", "deep", "biased MF"]
PAIRS = low_rank_ratings().pairs()


def state(model):
    """All that a fitted model has, to be compared with `is`, and what it answers."""
    learned = {name: value for name, value in vars(model).items() if name.endswith("_")}
    return {name: id(value) for name, value in learned.items()}, model.predict(*PAIRS)


def assert_unchanged(model, before):
    now = state(model)
    assert now[0] == before[0]
    numpy.testing.assert_array_equal(now[1], before[1])


@pytest.mark.parametrize("name", TRAINED)
def test_a_re_fit_that_diverges_leaves_the_model_that_there_was(name, tmp_path):
    if name == "sparse":
        pytest.importorskip("numba")
    model = MODELS[name]().fit(low_rank_ratings())
    before = state(model)
    model.learning_rate = 1e30
    with pytest.raises(TrainingError, match="no longer finite .*; lower the learning rate"):
        model.fit(low_rank_ratings(seed=1))
    assert_unchanged(model, before)
    if isinstance(model, Recommender):
        model.save(tmp_path / "model")
        loaded = Recommender.load(tmp_path / "model")
        numpy.testing.assert_array_equal(loaded.predict(*PAIRS), before[1])


@pytest.mark.parametrize("name", TRAINED)
def test_a_re_fit_that_is_interrupted_leaves_the_model_that_there_was(name):
    if name == "sparse":
        pytest.importorskip("numba")
    model = MODELS[name]().fit(low_rank_ratings())
    before = state(model)

    def interrupt(epoch):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.fit(low_rank_ratings(seed=1), on_epoch=interrupt)
    assert_unchanged(model, before)


@pytest.mark.parametrize("name", MODELS)
def test_a_re_fit_that_is_refused_leaves_the_model_that_there_was(name):
    if name == "sparse":
        pytest.importorskip("numba")
    model = MODELS[name]().fit(low_rank_ratings())
    before = state(model)
    with pytest.raises(ConfigurationError, match="no ratings to train on"):
        model.fit(low_rank_ratings().take(numpy.arange(0)))
    assert_unchanged(model, before)


def test_an_update_that_fails_leaves_the_model_that_there_was(monkeypatch):
    model = Recommender(num_hidden=4, **QUICK).fit(low_rank_ratings())
    before = state(model)

    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr(Interactions, "from_ratings", full)
    with pytest.raises(MemoryError):
        model.update(pd.DataFrame({"user": [1], "item": [999], "rating": [3]}))
    monkeypatch.undo()
    assert_unchanged(model, before)


@pytest.mark.parametrize("name", MODELS)
def test_what_was_not_fitted_to_the_end_is_not_fitted(name):
    model = MODELS[name]()
    with pytest.raises(NotFittedError, match=f"This {type(model).__name__} is not fitted yet; cal"):
        model.predict([1], [1])
    if "on_epoch" in inspect.signature(model.fit).parameters:
        model.learning_rate = 1e30
        with pytest.raises(TrainingError):
            model.fit(low_rank_ratings())
    assert not hasattr(model, "ratings_")
    assert not hasattr(copy.deepcopy(model), "net_")


# The last step.


@pytest.mark.parametrize("compute", ["dense", "sparse"])
@pytest.mark.parametrize("rate", [1e20, 1e35], ids=["too large", "not finite"])
def test_the_last_update_is_checked_without_held_out_ratings(compute, rate):
    if compute == "sparse":
        pytest.importorskip("numba")
    # One batch: its error is taken before the only step, and is finite.
    options = {"batch_size": 100, "num_epochs": 1, "test": False, "compute": compute}
    with pytest.raises(
        TrainingError, match="The weights are no longer finite after epoch 1; lower"
    ):
        fitted(optimizer="sgd", learning_rate=rate, weight_decay=1e3, **options)


def test_weights_that_the_held_out_ratings_do_not_touch_are_checked_too():
    pytest.importorskip("numba")  # whose kernels look only at rated cells
    ratings = low_rank_ratings()
    test = Interactions.from_ratings(ratings.take(ratings.users == 0))
    start = {"decoder.bias": numpy.array([0.0] * 39 + [numpy.nan])}
    rated = Interactions.from_ratings(ratings.take(ratings.users < 39))
    options = {"num_epochs": 1, "start": start, "contexts": [mx.cpu()], "compute": "sparse"}
    with pytest.raises(TrainingError, match="weights are no longer finite after epoch 1"):
        fit(AutoRec(2, rated.shape[1]), rated, validation=test, **options)


def test_ordinary_weights_pass_and_are_counted_as_they_were():
    history, learned = fitted(num_epochs=3, test=False)
    assert len(history) == 3
    assert all(numpy.isfinite(weight).all() for weight in learned.values())


# Numbers that no fit can use.

WRONG = {
    each.name: [math.nan, math.inf, -math.inf, "0.1", 1e39]
    + [-0.1] * (each.metadata["least"] == 0 or each.metadata["above"] == 0)
    + [1.0] * (each.metadata["below"] == 1)
    for each in fields(Parameters)
    if "float" in str(each.type)
}
WRONG.update({f"{side}_regularisation": [math.nan, -0.1] for side in ("user", "item")})
WRONG["cold"] = [math.nan, math.inf]
CASES = [(name, value) for name, values in WRONG.items() for value in values]


def with_setting(name, value):
    """Fit with a setting, by whatever has it."""
    if name in ("user_regularisation", "item_regularisation"):
        BiasedMeans(**{name: value}).fit(low_rank_ratings())
    elif name == "cold":
        fitted(cold=value)
    else:
        Recommender(**{**QUICK, "num_hidden": 2, name: value}).fit(low_rank_ratings())


@pytest.mark.parametrize(("name", "value"), CASES, ids=map(str, CASES))
def test_a_number_that_cannot_be_used_is_refused_in_one_sentence(name, value):
    with pytest.raises(ConfigurationError) as refused:
        with_setting(name, value)
    assert re.fullmatch(rf"{name}( \(--[a-z-]+\))? must be .*, not .*\.", str(refused.value))


@pytest.mark.parametrize("name", ["learning_rate", "learning_rate_decay", "weight_decay"])
def test_fit_and_biased_mf_refuse_it_too(name):
    with pytest.raises(ConfigurationError, match=f"{name} .* must be a finite number, not inf"):
        fitted(**{name: math.inf})
    with pytest.raises(ConfigurationError, match=f"{name} .* must be a finite number, not nan"):
        BiasedMF(**{**QUICK, name: math.nan}).fit(low_rank_ratings())


def test_a_net_refuses_dropout_that_leaves_nothing():
    for name, value in itertools.product(("dropout", "input_dropout"), (1.0, -0.1, math.nan)):
        with pytest.raises(ConfigurationError, match=f"{name} must be"):
            AutoRec(2, 3, **{name: value})


def test_clipping_to_no_scale_is_refused():
    for clip in ((5.0, 1.0), (math.nan, 5.0), (1.0, math.inf)):
        with pytest.raises(ConfigurationError, match="clip must be"):
            fitted(clip=clip)


def test_a_learning_rate_that_grows_past_all_bounds_is_refused_before_the_first_epoch():
    with pytest.raises(ConfigurationError, match="1e\\+30 takes the learning rate past all bounds"):
        fitted(learning_rate_decay=1e30, num_epochs=3)
    Settings(learning_rate=0.01, learning_rate_decay=1.05, num_epochs=100)
    Settings(learning_rate=0.01, learning_rate_decay=1e30, num_epochs=1)
    Settings(learning_rate=0.01, learning_rate_decay=0.0, num_epochs=10**6)
    history, _ = fitted(learning_rate_decay=1.05)
    assert len(history) == 2


FLAGS = {
    "--lr": "learning_rate",
    "--lr-decay": "learning_rate_decay",
    "--finetuning-lr": "finetuning_rate",
    "--wd": "weight_decay",
    "--decay-power": "decay_power",
    "--averaging": "averaging",
    "--dropout": "dropout",
    "--input-dropout": "input_dropout",
    "--cold-rating": "cold_rating",
}


@pytest.mark.parametrize("flag", FLAGS)
def test_the_command_refuses_it_before_the_data_are_read(flag, monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    for value in ("nan", "inf", "-inf"):
        assert command_line(monkeypatch, "--ratings", "nowhere.csv", flag, value) == 2
        said = capsys.readouterr().err
        assert "nowhere.csv" not in said
        assert FLAGS[flag] in said or flag in said  # ours, or the command line's own range
    assert command_line(monkeypatch, "--ratings", "nowhere.csv", "--test-ratio", "nan") == 2
    assert "--test-ratio must be between 0 and 1, not nan" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
