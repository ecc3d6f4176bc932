"""Bayesian factorisation by myFM: it learns, in any unit, and says what is missing."""

import sys
from dataclasses import replace

import numpy
import pytest
from support.experiments import needs_myfm
from support.training import low_rank_ratings

from autorec import BayesianMF, BiasedMeans, accuracy, random_split
from autorec.baselines.bayesian import _features
from autorec.errors import ConfigurationError, RatingsError

FEW = {"rank": 3, "num_samples": 60}


def rmse(model, train, test):
    return accuracy(model.fit(train).predict(*test.pairs()), test.values).rmse


@needs_myfm
@pytest.mark.parametrize(
    "options", [{}, {"implicit": True}, {"likelihood": "probit"}], ids=["MF", "SVD++", "probit"]
)
def test_it_finds_what_biased_means_cannot(options):
    train, test = random_split(low_rank_ratings(), 0.1, seed=1)
    assert rmse(BayesianMF(**FEW, **options), train, test) < 0.8 * rmse(BiasedMeans(), train, test)


@needs_myfm
def test_the_same_seed_gives_the_same_samples():
    train, test = random_split(low_rank_ratings(), 0.1, seed=1)
    one, two, other = (
        BayesianMF(**FEW, random_state=seed).fit(train).predict(*test.pairs()) for seed in (3, 3, 4)
    )
    assert (one == two).all()
    assert (one != other).any()


@needs_myfm
def test_the_unit_of_the_ratings_changes_predictions_by_just_that():
    train, test = random_split(low_rank_ratings(), 0.1, seed=1)
    other = replace(train, values=20 * train.values + 7)
    one, two = (BayesianMF(**FEW).fit(each).predict(*test.pairs()) for each in (train, other))
    # A chain of samples in float64, from targets that differ by the rounding of float32.
    assert two == pytest.approx(20 * one + 7, abs=20e-3)


@needs_myfm
def test_predictions_stay_within_the_scale_and_know_the_ids():
    ratings = low_rank_ratings()
    model = BayesianMF(**FEW).fit(ratings)
    every = model.predict(*ratings.pairs())
    assert every.min() >= ratings.values.min()
    assert every.max() <= ratings.values.max()
    assert model.predict([], []).shape == (0,)
    with pytest.raises(RatingsError, match="12345"):
        model.predict([0], [12345])


@needs_myfm
def test_it_says_nothing_on_stderr(capfd):
    BayesianMF(rank=2, num_samples=3).fit(low_rank_ratings())
    assert capfd.readouterr().err == ""


def test_the_features_of_svd_plus_plus_are_weighted_lists():
    ratings = low_rank_ratings(items=7, users=5)
    rated = numpy.zeros((5, 7))
    rated[ratings.users, ratings.items] = 1
    users, items = (each.toarray() for each in _features(ratings, implicit=True))
    numpy.testing.assert_allclose(
        users, numpy.hstack([numpy.eye(5), rated / numpy.sqrt(rated.sum(1, keepdims=True))])
    )
    numpy.testing.assert_allclose(
        items, numpy.hstack([numpy.eye(7), rated.T / numpy.sqrt(rated.T.sum(1, keepdims=True))])
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rank": 0}, "rank must be at least 1"),
        ({"num_samples": 0}, "num_samples must be at least 1"),
        ({"likelihood": "poisson"}, "likelihood must be 'regression' or 'probit'"),
    ],
)
def test_parameters_are_checked(options, said):
    with pytest.raises(ConfigurationError, match=said):
        BayesianMF(**options).fit(low_rank_ratings())


def test_a_probit_is_for_few_levels():
    ratings = low_rank_ratings()
    many = replace(ratings, values=numpy.arange(len(ratings), dtype=numpy.float32))
    with pytest.raises(ConfigurationError, match="choose the likelihood 'regression'"):
        BayesianMF(likelihood="probit").fit(many)


def test_without_myfm_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "myfm", None)
    way_out = r"gluon-autorec\[compare\]" if sys.version_info < (3, 12) else "Python 3.11"
    with pytest.raises(ConfigurationError, match=f"need myFM .*{way_out}"):
        BayesianMF().fit(low_rank_ratings())
