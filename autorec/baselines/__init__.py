"""Baselines: what AutoRec has to beat, means and matrix factorisation.

Each is fitted and asked like `Recommender`: ``fit(ratings)``, then ``predict(users, items)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._lazy import imported_when_used

if TYPE_CHECKING:
    from .bayesian import BayesianMF as BayesianMF
    from .factorisation import BiasedMF as BiasedMF
    from .means import BiasedMeans as BiasedMeans
    from .means import Means as Means
    from .predictor import Predictor as Predictor

__all__ = ["BayesianMF", "BiasedMF", "BiasedMeans", "Means", "Predictor"]

__getattr__ = imported_when_used(
    __name__,
    {
        "bayesian": ("BayesianMF",),
        "factorisation": ("BiasedMF",),
        "means": ("BiasedMeans", "Means"),
        "predictor": ("Predictor",),
    },
)
