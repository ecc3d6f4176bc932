"""Means: of all ratings, of the user's or the item's own, and biased means."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field

import numpy
from numpy.typing import NDArray

from .._arrays import Integers
from .._bounds import real
from .._fitted import Fitted
from ..data.biases import bias, biased_means
from ..data.ratings import Ratings
from ..errors import ConfigurationError
from .predictor import check_ratings


@dataclass(eq=False)
class Means(Fitted):
    """Predict means: r̂ = μ, or the user's or the item's own mean.

    Parameters
    ----------
    of : {"all", "user", "item"}
        Whose mean. A user or an item without ratings gets that of all.
    """

    of: str = "all"
    ratings_: Ratings = field(init=False, repr=False)
    means_: NDArray[numpy.float64] = field(init=False, repr=False)

    def fit(self, ratings: Ratings) -> Means:
        """Take the means."""
        if self.of not in ("all", "user", "item"):
            raise ConfigurationError(f"of must be 'all', 'user' or 'item', not {self.of!r}.")
        check_ratings(ratings)
        learned = copy.copy(self)
        learned.ratings_ = ratings
        codes, size = learned._codes(ratings.users, ratings.items)
        total = ratings.values.mean(dtype=numpy.float64)
        learned.means_ = total + bias(codes, ratings.values - total, size, 0.0)
        self._adopt(learned)
        return self

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids."""
        codes, _ = self._codes(*self.ratings_.codes(users, items))
        result: NDArray[numpy.float32] = self.means_[codes].astype(numpy.float32)
        return result

    def _codes(self, users: Integers, items: Integers) -> tuple[Integers, int]:
        if self.of == "user":
            return users, len(self.ratings_.user_ids)
        if self.of == "item":
            return items, len(self.ratings_.item_ids)
        return numpy.zeros_like(users), 1


@dataclass(eq=False)
class BiasedMeans(Fitted):
    """Predict r̂ = μ + b_u + b_i, the offsets of user and item regularised (Koren 2009).

    Minimises Σ (r - μ - b_u - b_i)² + λ_u Σ b_u² + λ_i Σ b_i² by alternating least squares.

    Parameters
    ----------
    user_regularisation, item_regularisation : float
        λ_u and λ_i, at least 0: each counts as so many ratings without an offset.
    num_sweeps : int
        Alternations of users and items.
    """

    user_regularisation: float = 5.0
    item_regularisation: float = 2.0
    num_sweeps: int = 20
    ratings_: Ratings = field(init=False, repr=False)
    mean_: float = field(init=False, repr=False)
    user_offsets_: NDArray[numpy.float64] = field(init=False, repr=False)
    item_offsets_: NDArray[numpy.float64] = field(init=False, repr=False)

    def fit(self, ratings: Ratings) -> BiasedMeans:
        """Find the offsets."""
        real("user_regularisation", self.user_regularisation, least=0)
        real("item_regularisation", self.item_regularisation, least=0)
        check_ratings(ratings)
        learned = copy.copy(self)
        learned.ratings_ = ratings
        learned.mean_, learned.user_offsets_, learned.item_offsets_ = biased_means(
            ratings.users,
            ratings.items,
            ratings.values,
            (ratings.num_users, ratings.num_items),
            (self.user_regularisation, self.item_regularisation),
            self.num_sweeps,
        )
        self._adopt(learned)
        return self

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids."""
        users, items = self.ratings_.codes(users, items)
        offsets = self.user_offsets_[users] + self.item_offsets_[items]
        result: NDArray[numpy.float32] = (self.mean_ + offsets).astype(numpy.float32)
        return result
