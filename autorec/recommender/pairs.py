"""Pairs: what scikit-learn gives an estimator, users and items as X and their ratings as y."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .._arrays import AnyArray
from .._terminal import counted
from ..data.ratings import Nonpositive, Ratings
from ..errors import RatingsError

if TYPE_CHECKING:
    from sklearn.utils import Tags


def split_pairs(pairs: object) -> tuple[object, object]:
    """Return users and items, from an array-like of shape (n, 2) or a table of two columns.

    Raises
    ------
    RatingsError
        If it has another shape.
    """
    if isinstance(pairs, pd.DataFrame):
        if pairs.shape[1] == 2:
            return pairs.iloc[:, 0], pairs.iloc[:, 1]
    else:
        pairs = np.asarray(pairs)
        if pairs.ndim == 2 and pairs.shape[1] == 2:
            return pairs[:, 0], pairs[:, 1]
    raise RatingsError(
        f"Pairs must have two columns, users and items, not the shape {np.shape(pairs)}."
    )


def rated_pairs(pairs: object, values: object, nonpositive: Nonpositive) -> Ratings:
    """Return the ratings of pairs.

    Parameters
    ----------
    pairs
        See `split_pairs`.
    values : array-like of float, shape (n,)
    nonpositive
        See `Ratings.from_frame`.

    Raises
    ------
    RatingsError
        If there are not as many of both, or `Ratings` refuses them.
    """
    users, items = (pd.Series(np.asarray(each)) for each in split_pairs(pairs))
    ratings = pd.Series(one_each(values, len(users)))
    frame = pd.DataFrame({"user": users, "item": items, "rating": ratings})
    return Ratings.from_frame(frame, nonpositive=nonpositive)


def one_each(values: object, pairs: int) -> AnyArray:
    """Return the ratings of so many pairs, of shape (n,) or (n, 1), as shape (n,).

    Raises
    ------
    RatingsError
        If they are not as many, or of another shape.
    """
    ratings = np.asarray(values)
    if ratings.ndim != 1 and ratings.shape != (len(ratings), 1):
        raise RatingsError(f"Ratings must have one column, not the shape {ratings.shape}.")
    if len(ratings) != pairs:
        raise RatingsError(
            f"{counted(pairs, 'pair')} cannot have {counted(len(ratings), 'rating')}; give as many."
        )
    return ratings.reshape(-1)


def regressor_tags() -> Tags:
    """Return what scikit-learn asks of an estimator: that it predicts numbers, and needs them."""
    from sklearn.utils import InputTags, RegressorTags, Tags, TargetTags

    return Tags(
        estimator_type="regressor",
        target_tags=TargetTags(required=True),
        regressor_tags=RegressorTags(),
        input_tags=InputTags(string=True),
    )
