"""What every predictor must do: the baselines, and AutoRec in all variants."""

import importlib.util

import numpy
import pandas as pd
import pytest
from scipy.sparse import csr_matrix, eye, vstack
from scipy.sparse.linalg import lsqr

from autorec import Ratings, accuracy, random_split
from autorec.baselines import BiasedMeans, BiasedMF, Means
from autorec.errors import ConfigurationError, RatingsError
from autorec.recommender.estimator import Recommender
from autorec.recommender.presets import PRESETS

QUICK = {
    "num_hidden": 10,
    "dropout": 0.0,
    "loss": "sum",
    "num_epochs": 100,
    "batch_size": 16,
    "learning_rate": 0.005,
    "learning_rate_decay": 0.98,
    "weight_decay": 0.03,
    "init_sigma": 0.02,
    "clip": True,
    "devices": "cpu",
}


def autorec(**parameters):
    return lambda: Recommender(**{**QUICK, **parameters})


LEARNERS = {
    "biased means": BiasedMeans,
    "biased MF": lambda: BiasedMF(5, 40, 256, 0.02, weight_decay=1e-3),
    "I-AutoRec": autorec(),
    "U-AutoRec": autorec(view="user"),
    "deep": autorec(num_hidden=(10, 5, 10), init_sigma=0),
    "deep, pretrained": autorec(num_hidden=(10, 5, 10), pretrain_epochs=40),
    "input dropout": autorec(input_dropout=0.1),
    "bounded decoder": autorec(decoder_activation="sigmoid"),
    "tanh": autorec(encoder_activation="tanh"),
    "identity": autorec(encoder_activation="identity"),
    "normalised": autorec(normalise=True),
    "averaged": autorec(averaging=0.8),
    "decay by frequency": autorec(decay_power=0.5),
    "sparse": autorec(compute="sparse"),
    "sparse, everything": autorec(
        compute="sparse", normalise=True, averaging=0.8, decay_power=0.5, input_dropout=0.05
    ),
    "two devices": autorec(devices="cpu:2"),
    "RMSprop": autorec(optimizer="rmsprop"),
}
if importlib.util.find_spec("numba") is None:
    LEARNERS = {name: each for name, each in LEARNERS.items() if not name.startswith("sparse")}
PREDICTORS = {
    "mean": Means,
    "user means": lambda: Means("user"),
    "item means": lambda: Means("item"),
    **LEARNERS,
}


def known_ratings() -> Ratings:
    """Ratings from 1.5 to 4.5, a film's worth and a user's mildness, four of five of them."""
    worth, mildness = numpy.linspace(-1, 1, 150), numpy.linspace(-0.5, 0.5, 100)
    truth = 3 + worth[:, None] + mildness[None, :]
    item, user = (numpy.random.default_rng(0).random(truth.shape) < 0.8).nonzero()
    return Ratings.from_frame(
        pd.DataFrame({"user": user + 100, "item": item * 7, "rating": truth[item, user]})
    )


def pairs(ratings):
    return ratings.user_ids[ratings.users], ratings.item_ids[ratings.items]


@pytest.fixture(scope="module")
def parts():
    return random_split(known_ratings(), 0.2, seed=1)


@pytest.mark.parametrize("name", LEARNERS)
def test_learning_beats_the_means(name, parts):
    train, test = parts
    predictor = LEARNERS[name]().fit(train)
    simple = Means("item").fit(train)  # whose error is what the users' mildness adds
    error, bound = (
        accuracy(each.predict(*pairs(test)), test.values).rmse for each in (predictor, simple)
    )
    print(f"{name}: {error:.3f}, item means {bound:.3f}")
    assert error < bound


@pytest.mark.parametrize("name", PREDICTORS)
def test_predictions_are_by_pair_and_the_same_each_time(name, parts):
    train, test = parts
    short = {"num_epochs": 2} if hasattr(PREDICTORS[name](), "num_epochs") else {}
    one, other = PREDICTORS[name](), PREDICTORS[name]()
    for predictor in (one, other):
        vars(predictor).update(short)
        assert predictor.fit(train) is predictor
    users, items = pairs(test)
    predicted = one.predict(users, items)
    assert predicted.shape == users.shape
    assert predicted.dtype == numpy.float32
    numpy.testing.assert_array_equal(predicted, other.predict(users, items))
    some = numpy.array([5, 0, 5, 3])  # in another order, one of them twice
    numpy.testing.assert_allclose(one.predict(users[some], items[some]), predicted[some], rtol=1e-5)
    with pytest.raises(RatingsError, match="no user 1 in the ratings"):
        one.predict([1], [0])
    with pytest.raises(RatingsError, match="no item 1 in the ratings"):
        one.predict([100], [1])
    with pytest.raises(ConfigurationError, match="no ratings to train on"):
        one.fit(train.take(numpy.arange(0)))


def test_means_by_hand():
    ratings = Ratings.from_frame(
        pd.DataFrame({"user": [1, 1, 2, 3], "item": [1, 2, 1, 3], "rating": [1.0, 2.0, 3.0, 4.0]})
    )
    part = ratings.take(numpy.arange(3))  # user 3 and item 3 have no rating
    expected = {"all": [2, 2, 2], "user": [1.5, 3, 2], "item": [2, 2, 2]}
    for of, means in expected.items():
        assert Means(of).fit(part).predict([1, 2, 3], [1, 2, 3]).tolist() == means
    with pytest.raises(ConfigurationError, match="'all', 'user' or 'item'"):
        Means("film").fit(part)


def test_biased_means_are_the_least_squares_of_scipy(parts):
    train, test = parts
    model = BiasedMeans(3.0, 1.5, num_sweeps=200).fit(train)
    n, users, items = len(train), train.num_users, train.num_items
    rows = numpy.arange(n)
    design = csr_matrix(
        (numpy.ones(2 * n), (numpy.r_[rows, rows], numpy.r_[train.users, users + train.items])),
        shape=(n, users + items),
    )
    penalty = eye(users + items).tocsr()
    penalty.data = numpy.sqrt(numpy.r_[numpy.full(users, 3.0), numpy.full(items, 1.5)])
    mean = train.values.mean(dtype="float64")
    target = numpy.r_[train.values - mean, numpy.zeros(users + items)]
    offsets = lsqr(vstack([design, penalty]), target, atol=1e-12, btol=1e-12)[0]
    expected = mean + offsets[test.users] + offsets[users + test.items]
    numpy.testing.assert_allclose(model.predict(*pairs(test)), expected, atol=1e-5)


def test_users_and_items_without_ratings_get_the_middle_of_the_scale_or_what_is_chosen(parts):
    whole = known_ratings()
    train = whole.take((whole.users > 0) & (whole.items > 0))
    asked = [100, 105, 100, 105], [0, 0, 14, 14]  # only the last is of a known user and item
    for view in ("item", "user"):
        model = Recommender(**{**QUICK, "view": view, "num_epochs": 1}).fit(train)
        assert model.is_cold(*asked).tolist() == [True, True, True, False]
        middle = (train.values.min() + train.values.max()) / 2
        assert model.predict(*asked)[:3].tolist() == pytest.approx([middle] * 3)
        assert model.predict(*asked)[3] != pytest.approx(middle)
        model.cold_rating = 3.0
        assert model.predict(*asked)[:3].tolist() == [3.0] * 3


@pytest.mark.parametrize("preset", PRESETS)
def test_predictions_are_clipped_in_every_preset_but_the_sections(preset, parts):
    train, test = parts
    # One step at a rate this high throws the predictions far off the scale.
    model = Recommender.preset(
        preset, num_hidden=4, num_epochs=1, learning_rate=10.0, devices="cpu"
    ).fit(train)
    predicted = model.predict(*pairs(test))
    inside = (predicted >= train.values.min()) & (predicted <= train.values.max())
    assert inside.all() == (preset != "section")


@pytest.mark.parametrize("name", ["mean", "biased means", "biased MF", "I-AutoRec"])
def test_no_pairs_have_no_predictions_and_are_in_nobodys_way(name, parts):
    train, test = parts
    predictor = PREDICTORS[name]()
    vars(predictor).update({"num_epochs": 1} if hasattr(predictor, "num_epochs") else {})
    predictor.fit(train)
    before = predictor.predict(*pairs(test))
    assert predictor.predict([], []).shape == (0,)
    numpy.testing.assert_array_equal(predictor.predict(*pairs(test)), before)


def test_an_unknown_preset_is_refused():
    with pytest.raises(ConfigurationError, match="no preset 'worst'; choose one of section, paper"):
        Recommender.preset("worst")


def test_sizes_that_cannot_be_paired_are_not_pretrained(parts):
    with pytest.raises(ConfigurationError, match="read the same backwards"):
        Recommender(num_hidden=(8, 4, 2), pretrain_epochs=1, devices="cpu").fit(parts[0])


def test_scrambled_test_ratings_change_no_weight_and_no_prediction(parts):
    train, test = parts
    train, validation = random_split(train, 0.1, seed=2)
    scrambled = test.take(numpy.arange(len(test)))
    numpy.random.default_rng(3).shuffle(scrambled.values)
    nets, predictions = [], []
    for held_out in (test, scrambled, None):
        model = Recommender(**{**QUICK, "num_epochs": 5, "patience": 2})
        model.fit(train, validation=validation, test=held_out)
        nets.append([p.data().asnumpy() for p in model.net_.collect_params().values()])
        predictions.append(model.predict(*pairs(test)))
    for net, predicted in zip(nets[1:], predictions[1:]):
        for one, other in zip(nets[0], net):
            numpy.testing.assert_array_equal(one, other)
        numpy.testing.assert_array_equal(predictions[0], predicted)
