"""Blend: AutoRec and a Bayesian SVD++, averaged, for what neither finds alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy
from numpy.typing import NDArray

from ..baselines import BayesianMF
from ..data.ratings import Ratings
from ..data.splits import random_split
from ..evaluation.ensemble import best_weight
from ..recommender.estimator import Recommender


@dataclass
class Blend:
    """A weighted mean of AutoRec's predictions and those of a Bayesian SVD++, "flipped".

    Parameters
    ----------
    autorec : mapping
        Parameters of the `Recommender`.
    rank, num_samples : int
        Of the `BayesianMF`.
    devices : str
    random_state : int
        Of both, and of the part that chooses.

    Attributes
    ----------
    chosen_ : dict
        The "weight" of the SVD++ and the parameters of "autorec", which a tenth of the ratings
        chose; then both were trained on all of them.
    """

    autorec: Mapping[str, object]
    rank: int = 10
    num_samples: int = 512
    devices: str = "gpu"
    random_state: int = 0
    chosen_: dict[str, object] = field(init=False, repr=False)

    def fit(self, ratings: Ratings) -> Blend:
        """Choose on a tenth of the ratings, then train on all."""
        fitting, validation = random_split(ratings, 0.1, seed=1000 + self.random_state)
        autorec, bayesian = self._models()
        autorec.fit(fitting, validation=validation)
        bayesian.fit(fitting)
        pairs, chosen = validation.pairs(), autorec.chosen_
        weight = best_weight(autorec.predict(*pairs), bayesian.predict(*pairs), validation.values)
        self.chosen_, self._weight = {"weight": weight, "autorec": chosen}, numpy.float32(weight)
        self._autorec, self._bayesian = self._models(chosen)
        self._autorec.fit(ratings)
        self._bayesian.fit(ratings)
        return self

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids."""
        one, other = (each.predict(users, items) for each in (self._autorec, self._bayesian))
        return one + self._weight * (other - one)

    def _models(self, chosen: Mapping[str, object] | None = None) -> tuple[Recommender, BayesianMF]:
        common = {"devices": self.devices, "random_state": self.random_state}
        return (
            Recommender(**{**self.autorec, **(chosen or {}), **common}),
            BayesianMF(True, self.rank, self.num_samples, random_state=self.random_state),
        )
