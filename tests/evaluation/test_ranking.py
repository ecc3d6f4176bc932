"""The order of predictions beside scikit-learn's NDCG."""

import math

import numpy
import pytest
from sklearn.metrics import ndcg_score

from autorec.evaluation.ranking import held_out_ndcg


@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize("ties", [False, True])
def test_ndcg_is_the_mean_of_scikit_learns(rng, k, ties):
    users = rng.integers(0, 12, 90)
    ratings = rng.integers(1, 6, 90).astype(numpy.float32)
    predictions = rng.integers(0, 3, 90) if ties else rng.normal(size=90)
    scores = []
    for user in range(12):
        own = users == user
        if len(set(ratings[own])) > 1:
            gains = ratings[own] - ratings.min()
            scores.append(ndcg_score([gains], [predictions[own]], k=k))
    assert scores
    assert held_out_ndcg(users, predictions, ratings, k) == pytest.approx(numpy.mean(scores))


def test_ratings_below_0_are_gains_as_good():
    users, ratings = numpy.array([0, 0, 0]), numpy.array([-9.0, -5.0, 10.0])
    assert held_out_ndcg(users, numpy.array([1.0, 2.0, 3.0]), ratings) == pytest.approx(1)
    assert held_out_ndcg(users, numpy.array([3.0, 2.0, 1.0]), ratings) < 0.8


def test_nobody_with_two_ratings_that_differ_tells_nothing():
    assert math.isnan(held_out_ndcg(numpy.array([0, 1]), numpy.ones(2), numpy.array([1.0, 2.0])))
