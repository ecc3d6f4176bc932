"""Ratings in any unit: the same model, whatever their place and spread."""

import json

import numpy
import pandas as pd
import pytest
from scipy.sparse import coo_matrix, vstack
from scipy.sparse.linalg import lsqr
from support import ROUNDING
from support.command_line import command_line

from autorec import (
    AutoRec,
    BiasedMeans,
    Checkpoints,
    Interactions,
    Ratings,
    Recommender,
    accuracy,
    fit,
    random_split,
)
from autorec._mxnet import mx
from autorec.data.biases import biased_means
from autorec.data.scaling import SHIFT, Scaling
from autorec.errors import RatingsError

SMALL = {
    "num_hidden": 6,
    "num_epochs": 6,
    "loss": "rating",
    "learning_rate": 0.02,
    "batch_size": 16,
    "init_sigma": 0.1,
    "weight_decay": 1e-3,
    "dropout": 0.0,
    "devices": "cpu",
}
ANY_UNIT = [(i, o) for i in ("shifted", "mean", "biases") for o in ("mean", "biases")]


def table(rng, users=25, items=40) -> pd.DataFrame:
    """Ratings of 1 to 5 in half of the cells, of users and items who differ."""
    item, user = (rng.random((items, users)) < 0.5).nonzero()
    tastes = rng.normal(size=users)[user] + rng.normal(size=items)[item]
    rating = (3 + tastes + rng.normal(size=len(item))).clip(1, 5).round()
    return pd.DataFrame({"user": user, "item": item, "rating": rating})


def fitted(ratings, **parameters):
    return Recommender(**{**SMALL, **parameters}).fit(ratings)


def test_biased_means_are_those_of_least_squares(rng):
    frame = table(rng)
    shape, n = (40, 25), len(frame)
    values = frame["rating"].to_numpy()
    mean, rows, columns = biased_means(
        frame["item"].to_numpy(), frame["user"].to_numpy(), values, shape, (5.0, 2.0), 200
    )
    # The same as one system: a line for each rating, and one that holds each bias near 0.
    cells = coo_matrix(
        (
            numpy.ones(2 * n),
            (numpy.tile(numpy.arange(n), 2), numpy.r_[frame["item"], 40 + frame["user"]]),
        )
    )
    held = coo_matrix(numpy.diag(numpy.r_[numpy.full(40, 5.0), numpy.full(25, 2.0)] ** 0.5))
    right = numpy.r_[values - values.mean(), numpy.zeros(65)]
    expected = lsqr(vstack([cells, held]).tocsr(), right, atol=1e-12, btol=1e-12)[0]
    assert mean == pytest.approx(values.mean())
    numpy.testing.assert_allclose(numpy.r_[rows, columns], expected, atol=1e-8)


@pytest.mark.parametrize("view", ["item", "user"])
@pytest.mark.parametrize(("ratings_in", "ratings_out"), ANY_UNIT)
def test_another_unit_changes_predictions_by_just_that(ratings_in, ratings_out, view, rng):
    frame = table(rng)
    unit = {"ratings_in": ratings_in, "ratings_out": ratings_out, "view": view}
    model = fitted(frame, **unit)
    other = fitted(frame.assign(rating=20 * frame["rating"] + 7), **unit)
    pairs = frame["user"], frame["item"]
    expected = 20 * model.predict(*pairs) + 7
    spread = 20 * frame["rating"].std()
    # Sums in float32 round differently in each unit, and training carries that on.
    numpy.testing.assert_allclose(other.predict(*pairs), expected, atol=1e-3 * spread)
    errors, others = ([epoch.train_rmse for epoch in each.history_] for each in (model, other))
    numpy.testing.assert_allclose(others, 20 * numpy.array(errors), rtol=1e-3)
    assert numpy.ptp(model.predict(*pairs) - frame["rating"].mean()) > 0.5  # it has learned


def test_raw_ratings_do_not_bear_another_unit(rng):
    frame = table(rng)
    model, other = fitted(frame), fitted(frame.assign(rating=20 * frame["rating"] + 7))
    pairs = frame["user"], frame["item"]
    assert numpy.abs(other.predict(*pairs) - 20 * model.predict(*pairs) - 7).max() > 1


def test_ratings_of_one_value_have_no_spread(rng):
    model = fitted(table(rng).assign(rating=7), ratings_in="shifted", ratings_out="biases")
    assert model.predict([0], [0]) == pytest.approx(7, abs=0.1)


@pytest.mark.parametrize(("ratings_in", "ratings_out"), [*ANY_UNIT, ("raw", "biases")])
@pytest.mark.parametrize("view", ["item", "user"])
@pytest.mark.parametrize("compute", ["dense", "sparse"])
def test_predictions_are_those_of_numpy(ratings_in, ratings_out, view, compute, rng):
    frame = table(rng).assign(rating=lambda t: t["rating"] - 3)  # 0 and below among them
    unit = {"ratings_in": ratings_in, "ratings_out": ratings_out}
    ratings = Ratings.from_frame(frame, nonpositive="keep")
    model = fitted(ratings, view=view, compute=compute, **unit)
    matrix = numpy.full((40, 25), numpy.nan)
    matrix[frame["item"], frame["user"]] = frame["rating"]
    matrix = matrix if view == "item" else matrix.T
    rated = ~numpy.isnan(matrix)
    mean = numpy.nanmean(matrix)
    b, c = numpy.zeros((len(matrix), 1)), numpy.zeros((1, matrix.shape[1]))
    of_rows, of_columns = (2, 5) if view == "item" else (5, 2)
    for _ in range(10):
        c = numpy.nansum(matrix - mean - b, 0, keepdims=True) / (rated.sum(0) + of_columns)
        b = numpy.nansum(matrix - mean - c, 1, keepdims=True) / (rated.sum(1)[:, None] + of_rows)
    residual = numpy.nanstd(matrix - mean - b - c)
    x = {
        "raw": matrix,
        "shifted": (matrix - mean) / numpy.nanstd(matrix) + SHIFT,
        "mean": (matrix - mean) / numpy.nanstd(matrix),
        "biases": (matrix - mean - b - c) / residual,
    }[ratings_in]
    V, mu, W, bias = (
        each.list_data()[0].asnumpy()
        for layer in (model.net_.encoder, model.net_.decoder)
        for each in (layer.weight, layer.bias)
    )
    code, empty = (1 / (1 + numpy.exp(-each)) for each in (numpy.where(rated, x, 0) @ V.T + mu, mu))
    y = (code - empty) @ W.T + bias
    expected = {
        "mean": mean + numpy.nanstd(matrix) * y,
        "biases": mean + b + c + residual * y,
    }[ratings_out]
    users, items = numpy.divmod(numpy.arange(1000), 40)
    found = model.predict(users, items)
    places = (items, users) if view == "item" else (users, items)
    numpy.testing.assert_allclose(found, expected[places], atol=1e-4)
    best = model.recommend(3, k=40, exclude_seen=False)
    again = model.predict([3] * 40, best["item"])
    numpy.testing.assert_allclose(best["rating"], again, atol=1e-4)


@pytest.mark.parametrize("view", ["item", "user"])
def test_cold_pairs_are_predicted_by_what_is_known(view, rng):
    frame = table(rng)
    every = Ratings.from_frame(frame)
    part = every.take((every.users != 4) & (every.items != 9))  # in the maps, without ratings
    model = fitted(part, ratings_in="shifted", ratings_out="biases", view=view)
    values, mean = part.values.astype(float), part.values.mean(dtype=float)
    b, c = numpy.zeros(40), numpy.zeros(25)
    for _ in range(10):
        sides = [(b, c, part.items, part.users), (c, b, part.users, part.items)]
        for own, other, codes, others in sides if view == "user" else sides[::-1]:
            rest, size = values - mean - other[others], len(own)
            counts = numpy.bincount(codes, minlength=size) + (2 if own is b else 5)
            own[:] = numpy.bincount(codes, rest, size) / counts
    pairs = [4, 3, 4], [2, 9, 9]
    expected = [mean + b[2], mean + c[3], mean]
    numpy.testing.assert_allclose(model.predict(*pairs), expected, atol=1e-4)
    unknown = model.predict([99, 3, 99], [2, 99, 99], unknown="fallback")
    numpy.testing.assert_allclose(unknown, expected, atol=1e-4)
    assert set(model.recommend(4, k=39)["item"]) == set(range(40)) - {9}
    first = model.recommend(4, k=1)
    assert first["rating"].item() == pytest.approx(mean + b.max(), abs=1e-4)
    named = fitted(part, ratings_out="biases", view=view, cold_rating=2.5)
    assert named.predict(*pairs).tolist() == [2.5] * 3


def test_new_ratings_are_folded_in(rng):
    frame = table(rng)
    model = fitted(frame, ratings_in="biases", ratings_out="biases")
    before = model.predict([5], [7])
    copied = frame[frame["item"] == 7].assign(item=1000)
    model.update(copied)
    # A row of the same ratings is the same row, and nothing else has changed.
    numpy.testing.assert_allclose(model.predict([5, 5], [7, 1000]), before.repeat(2), rtol=ROUNDING)


def test_zeros_and_ratings_below_need_no_flag_where_they_are_centred(rng, tmp_path):
    frame = table(rng).assign(rating=lambda t: t["rating"] - 3)
    with pytest.raises(RatingsError, match="--nonpositive keep"):
        fitted(frame)
    with pytest.raises(RatingsError, match="nonpositive='keep'"):
        fitted(frame, ratings_out="biases")
    model = fitted(frame, ratings_in="shifted", ratings_out="biases")
    assert model.evaluate(frame).errors.rmse < frame["rating"].std()
    model.update(frame.head(3).assign(rating=0))
    path = tmp_path / "ratings.csv"
    frame.to_csv(path, index=False)
    numpy.testing.assert_allclose(
        fitted(path, ratings_in="mean", ratings_out="mean").predict([1], [2]),
        fitted(frame, ratings_in="mean", ratings_out="mean").predict([1], [2]),
        rtol=ROUNDING,
    )


def test_the_command_line_trains_on_any_sign(rng, tmp_path, monkeypatch, capsys):
    path = tmp_path / "jokes.csv"
    table(rng).assign(rating=lambda t: t["rating"] - 3).to_csv(path, index=False)
    quick = ["--ratings", path, "--hidden", 3, "--epochs", 2, "--devices", "cpu"]

    def run(name, *flags):
        return command_line(monkeypatch, *quick, "--output", tmp_path / name, *flags)

    assert run("refused") == 2
    assert "--nonpositive keep" in capsys.readouterr().err
    assert run("kept", "--nonpositive", "keep") == 0
    assert run("centred", "--ratings-in", "shifted", "--ratings-out", "biases") == 0
    config = json.loads((tmp_path / "centred" / "metrics.json").read_text())["config"]
    assert (config["ratings_in"], config["nonpositive"]) == ("shifted", "keep")


@pytest.mark.parametrize("compute", ["dense", "sparse"])
def test_a_run_in_another_unit_is_resumed_to_the_bit(compute, rng, tmp_path):
    train, test = random_split(Ratings.from_frame(table(rng)), 0.2)
    unit = {"ratings_in": "shifted", "ratings_out": "biases", "compute": compute}
    expected = Recommender(**SMALL, **unit).fit(train, validation=test)
    half = Recommender(**{**SMALL, **unit, "num_epochs": 3})
    half.fit(train, validation=test, checkpoints=Checkpoints(tmp_path))
    found = Recommender(**SMALL, **unit)
    found.fit(train, validation=test, checkpoints=Checkpoints(tmp_path), resume=True)
    assert found.predict(*test.pairs()).tobytes() == expected.predict(*test.pairs()).tobytes()


def test_the_decay_per_rating_is_the_papers_lambda(rng):
    # With plain gradient descent the objective is all that counts: see the notes of `fit`.
    train = Interactions.from_ratings(Ratings.from_frame(table(rng)))
    n, rows = len(train), train.shape[0]
    regularisation = 3.0
    weights = []
    for loss, decay, rate in (
        ("sum", regularisation / rows, 1e-3),
        ("rating", regularisation / n, 1e-3 * n / rows),
        ("total", regularisation, 1e-3 / rows),
    ):
        net = AutoRec(4, train.shape[1], 0.0)
        options = {"loss": loss, "weight_decay": decay, "learning_rate": rate, "optimizer": "sgd"}
        fit(net, train, num_epochs=5, contexts=[mx.cpu()], init=mx.init.Normal(0.1), **options)
        weights.append([each.data().asnumpy() for each in net.collect_params().values()])
    for found in weights[1:]:
        for one, expected in zip(found, weights[0]):
            numpy.testing.assert_allclose(one, expected, rtol=1e-3, atol=1e-6)


def test_a_scaling_is_of_the_training_ratings_alone(rng):
    train = Interactions.from_ratings(Ratings.from_frame(table(rng)))
    scaling = Scaling.learned(train, "shifted", "biases")
    assert scaling.mean == pytest.approx(train.matrix.data.mean())
    assert scaling.spread == pytest.approx(train.matrix.data.std(), rel=ROUNDING)
    assert scaling.inputs(train.matrix).mean() == pytest.approx(SHIFT, rel=ROUNDING)
    assert Scaling.learned(train, "raw", "raw") is None


def test_it_leaves_its_start_at_once_where_ratings_are_few(rng):
    # 300 x 300, 8 ratings a user, most of them but taste: nothing that biased means could tell.
    users, items = numpy.repeat(numpy.arange(300), 8), rng.integers(0, 300, 2400)
    tastes, kinds = rng.choice([-1.0, 1.0], 300), rng.choice([-1.0, 1.0], 300)
    rating = 3 + tastes[users] * kinds[items] + 0.1 * rng.normal(size=2400)
    frame = pd.DataFrame({"user": users, "item": items, "rating": rating})
    frame = frame.drop_duplicates(["user", "item"])
    unit = {"ratings_in": "shifted", "ratings_out": "biases", "num_epochs": 10, "normalise": True}
    quick = {**SMALL, **unit, "init_sigma": 0.01, "weight_decay": 1e-3, "num_hidden": 50}
    history = Recommender(**quick).fit(frame).history_
    start = frame["rating"].std()
    assert history[4].train_rmse < 0.8 * start
    assert history[9].train_rmse < 0.5 * start


@pytest.mark.parametrize("view", ["item", "user"])
def test_rare_columns_are_not_overfitted(view, rng):
    # Three ratings a row and a column, of pure noise: the means are all there is to know.
    users, items = rng.integers(0, 400, (2, 1200))
    frame = pd.DataFrame({"user": users, "item": items, "rating": rng.normal(size=1200)})
    ratings = Ratings.from_frame(frame.drop_duplicates(["user", "item"]), nonpositive="keep")
    train, test = random_split(ratings, 0.2)
    unit = {"ratings_in": "shifted", "ratings_out": "biases", "normalise": True, "view": view}
    quick = {**SMALL, **unit, "init_sigma": 0.01, "weight_decay": 3e-3, "decay_biases": True}
    model = Recommender(**{**quick, "num_hidden": 200, "learning_rate": 0.003}).fit(train)
    means = BiasedMeans().fit(train).predict(*test.pairs())
    found = accuracy(model.predict(*test.pairs()), test.values).rmse
    assert found < 1.02 * accuracy(means, test.values).rmse
