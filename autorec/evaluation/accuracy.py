"""Accuracy: how far predictions are from ratings."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy

from .._arrays import Floats
from .._terminal import counted
from ..errors import ConfigurationError


@dataclass(frozen=True)
class Accuracy:
    """Errors over `count` ratings."""

    rmse: float
    mae: float
    count: int


def accuracy(predictions: Floats, ratings: Floats) -> Accuracy:
    """Compare predictions with ratings.

    ``RMSE = sqrt(Σ (r - r̂)² / n)``, ``MAE = Σ |r - r̂| / n``.

    Parameters
    ----------
    predictions, ratings : ndarray of float, shape (n,)

    Raises
    ------
    ConfigurationError
        If there is nothing to compare, or the lengths differ.
    """
    if len(predictions) != len(ratings) or len(ratings) == 0:
        raise ConfigurationError(
            f"{counted(len(predictions), 'prediction')} cannot be compared with "
            f"{counted(len(ratings), 'rating')}; "
            "give as many of one as of the other, at least one."
        )
    errors = numpy.asarray(predictions, dtype=numpy.float64) - ratings
    rmse = math.sqrt(numpy.square(errors).mean())
    return Accuracy(rmse, float(numpy.abs(errors).mean()), len(errors))
