"""Fitted models of every kind that can be exported, and what they predict."""

import copy
from functools import cache

import numpy
import pandas as pd
import pytest

from autorec import Ratings
from autorec.recommender.estimator import Recommender

VARIANTS = {
    "one layer": {},
    "deep": {"num_hidden": (7, 4, 7), "encoder_activation": "tanh"},
    "normalised": {"normalise": True, "encoder_activation": "softsign", "clip": True},
    "bounded decoder": {"decoder_activation": "sigmoid", "encoder_activation": "relu"},
    "user view": {"view": "user", "normalise": True, "encoder_activation": "softrelu"},
    "zeros": {"encoder_activation": "identity", "decoder_activation": "softsign"},
    "zeros, normalised": {"normalise": True, "decoder_activation": "tanh", "cold_rating": 1.0},
    "raw to biased means": {"ratings_out": "biases", "normalise": True, "clip": True},
    "shifted to biased means": {"ratings_in": "shifted", "ratings_out": "biases", "view": "user"},
    "zeros, centred": {"ratings_in": "mean", "ratings_out": "mean"},
    "zeros, residuals": {"ratings_in": "biases", "ratings_out": "biases", "normalise": True},
    "bounded residuals": {
        "ratings_in": "biases",
        "ratings_out": "biases",
        "decoder_activation": "softrelu",
    },
    "centred to raw": {"ratings_in": "mean", "ratings_out": "raw"},
    "both views": {
        "view": "both",
        "user_weight": 0.3,
        "clip": True,
        "user_view": {"num_hidden": 4},
    },
    "both, any unit": {
        "view": "both",
        "user_weight": 0.6,
        "members": 2,
        "normalise": True,
        "ratings_in": "shifted",
        "ratings_out": "biases",
    },
    "zeros, three": {"members": 3, "ratings_in": "mean", "ratings_out": "mean"},
}

USERS, ITEMS = 12, 17


def some_ratings(lowest: int = 1) -> Ratings:
    """Ratings of half the pairs; the last user and the last item have none."""
    rng = numpy.random.default_rng(0)
    user, item = (rng.random((USERS - 1, ITEMS - 1)) < 0.5).nonzero()
    frame = pd.DataFrame({"user": user + 100, "item": [f"film {n}" for n in item]})
    frame["rating"] = rng.integers(lowest, lowest + 5, len(frame))
    rest = {"user": 999, "item": "a film nobody saw", "rating": lowest or 1}
    every = Ratings.from_frame(pd.concat([frame, pd.DataFrame([rest])]), nonpositive="keep")
    return every.take(numpy.arange(len(every) - 1))


@cache
def recommenders():
    """Each variant, fitted."""
    quick = {"num_hidden": 6, "init_sigma": 0, "num_epochs": 15, "learning_rate": 0.02}
    fitted = {}
    for name, parameters in VARIANTS.items():
        ratings = some_ratings(lowest=-1 if "zeros" in name else 1)
        assert (ratings.values <= 0).any() == ("zeros" in name)
        fitted[name] = Recommender(**{**quick, "devices": "cpu", **parameters}).fit(ratings)
    return fitted


def need(format):
    if format == "onnx":
        for name in ("onnx", "onnxruntime"):
            pytest.importorskip(name)


def answer(recommender):
    """Return predictions of every pair, and the scores that rank what is new to a user."""
    ratings = recommender.ratings_
    shape = ratings.num_users, ratings.num_items
    pairs = numpy.repeat(ratings.user_ids, shape[1]), numpy.tile(ratings.item_ids, shape[0])
    predictions = recommender.predict(*pairs).reshape(shape)
    unclipped = copy.copy(recommender)
    unclipped.clip = False  # predictions that were clipped have no order
    scores = unclipped.predict(*pairs).reshape(shape)
    scores[ratings.users, ratings.items] = -numpy.inf
    scores[recommender.is_cold(*pairs).reshape(shape)] = -numpy.inf
    return predictions, scores
