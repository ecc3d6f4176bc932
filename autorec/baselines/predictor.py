"""Predictor: what the baselines and `Recommender` have in common."""

from __future__ import annotations

from typing import Protocol

import numpy
from numpy.typing import NDArray

from ..data.ratings import Ratings
from ..errors import ConfigurationError


class Predictor(Protocol):
    """A model of ratings: fitted, then asked."""

    def fit(self, ratings: Ratings) -> object:
        """Learn from ratings; return itself."""

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids."""


def check_ratings(ratings: Ratings) -> None:
    """Refuse to train on nothing."""
    if len(ratings) == 0:
        raise ConfigurationError("There are no ratings to train on; give at least one.")
