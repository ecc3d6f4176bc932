"""Splits: ratings apart for training and for testing, none lost and none in both."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._bounds import real, whole
from .._terminal import counted
from ..errors import ConfigurationError
from . import ids
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
        In the order of `ratings`, under its id maps; so with every split of this module.

    Raises
    ------
    ConfigurationError
        If the ratio is not between 0 and 1, or one part would be empty.
    """
    real("test_ratio", test_ratio, above=0, below=1)
    whole("seed", seed, least=0)
    if len(ratings) < 2:
        raise ConfigurationError("A split needs at least two ratings.")
    size = min(max(round(test_ratio * len(ratings)), 1), len(ratings) - 1)
    order = np.random.default_rng(seed).choice(len(ratings), size, replace=False)
    return _hold_out(ratings, order)


def last_split(ratings: Ratings) -> tuple[Ratings, Ratings]:
    """Hold out each user's last rating, d2l's split mode "seq-aware".

    Of several at the user's latest time, the first in the table counts as the last. A user's only
    rating is held out too.

    Raises
    ------
    ConfigurationError
        If the ratings have no times, or nothing would be left to train on.
    """
    if ratings.times is None:
        raise ConfigurationError(
            "The ratings have no times, so no rating is a user's last; give a time column, or "
            "split at random."
        )
    last = pd.Series(ratings.times).groupby(ratings.users).idxmax().to_numpy()
    if len(last) == len(ratings):
        raise ConfigurationError("Every user has one rating; holding it out leaves none to train.")
    return _hold_out(ratings, last)


def leave_k_split(ratings: Ratings, k: int = 1, seed: int = 0) -> tuple[Ratings, Ratings]:
    """Hold out k random ratings of each user who has more than k.

    Raises
    ------
    ConfigurationError
        If k is below 1 or no user has more than k ratings.
    """
    whole("k", k, least=1)
    whole("seed", seed, least=0)
    order = np.random.default_rng(seed).permutation(len(ratings))
    users = ratings.users[order]
    position = pd.Series(users).groupby(users).cumcount().to_numpy()
    held_out = order[(position < k) & (np.bincount(users)[users] > k)]
    if len(held_out) == 0:
        raise ConfigurationError(f"No user has more than {counted(k, 'rating')}; hold out fewer.")
    return _hold_out(ratings, held_out)


def k_fold(ratings: Ratings, k: int = 5, seed: int = 0) -> Iterator[tuple[Ratings, Ratings]]:
    """Yield k splits whose test parts are disjoint and together all the ratings.

    Raises
    ------
    ConfigurationError
        If k is below 2 or above the number of ratings.
    """
    whole("k", k, least=2, most=len(ratings))
    whole("seed", seed, least=0)
    for part in np.array_split(np.random.default_rng(seed).permutation(len(ratings)), k):
        yield _hold_out(ratings, part)


def given_split(train: Ratings, test: Ratings) -> tuple[Ratings, Ratings]:
    """Bring two tables, of two files for example, under common id maps.

    Parameters
    ----------
    train, test : Ratings
        Each may have users and items that the other lacks. Ids of `test` are taken in the type
        that those of `train` have, see `ids.places`.

    Returns
    -------
    train, test : Ratings
        The same rows, under id maps that have all users and all items.

    Raises
    ------
    ConfigurationError
        If a rating is in both.
    RatingsError
        If `test` has an id that cannot be of the type of those of `train`.
    """
    frames = [train.frame(), test.frame()]
    for kind, known in (("user", train.user_ids), ("item", train.item_ids)):
        ids.joined(kind, known, frames[1][kind])  # refuses what cannot be in one map
        frames[1][kind] = ids.in_type(frames[1][kind], known)
    both = frames[0].merge(frames[1], on=["user", "item"])
    if not both.empty:
        user, item = both.user[0], both.item[0]
        raise ConfigurationError(
            f"User {user}'s rating of item {item} is in the training and in the test table "
            f"({len(both):,} such ratings); take it out of one."
        )
    times = None if train.times is None or test.times is None else "time"
    table = pd.concat(frames, ignore_index=True)
    whole = Ratings.from_frame(table, time=times, nonpositive="keep")
    return _hold_out(whole, np.arange(len(train), len(whole)))


def _hold_out(ratings: Ratings, rows: NDArray[np.int64]) -> tuple[Ratings, Ratings]:
    held_out = np.zeros(len(ratings), dtype=bool)
    held_out[rows] = True
    return ratings.take(~held_out), ratings.take(held_out)
