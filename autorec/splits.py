"""Splits: ratings apart for training and for testing, none lost and none in both."""

from __future__ import annotations

import numpy as np

from .errors import ConfigurationError
from .ratings import Ratings


def random_split(
    ratings: Ratings, test_ratio: float = 0.1, seed: int = 0
) -> tuple[Ratings, Ratings]:
    """Hold out a random share of the ratings, as in the paper (section 3).

    Parameters
    ----------
    ratings : Ratings
        At least two ratings.
    test_ratio : float
        The share held out, between 0 and 1; rounded to whole ratings, at least one on each side.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    train, test : Ratings
        In the order of `ratings`, under its id maps.

    Raises
    ------
    ConfigurationError
        If the ratio is not between 0 and 1, or one part would be empty.
    """
    if not 0 < test_ratio < 1:
        raise ConfigurationError(f"test_ratio must be between 0 and 1, not {test_ratio}.")
    if len(ratings) < 2:
        raise ConfigurationError("A split needs at least two ratings.")
    size = min(max(round(test_ratio * len(ratings)), 1), len(ratings) - 1)
    held_out = np.zeros(len(ratings), dtype=bool)
    held_out[np.random.default_rng(seed).choice(len(ratings), size, replace=False)] = True
    return ratings.take(~held_out), ratings.take(held_out)
