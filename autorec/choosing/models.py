"""Models: what can be compared, by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy
from numpy.typing import NDArray

from ..baselines.bayesian import BayesianMF
from ..baselines.factorisation import BiasedMF
from ..baselines.means import BiasedMeans, Means
from ..baselines.predictor import Predictor
from ..data.ratings import Ratings
from ..data.splits import random_split
from ..errors import ConfigurationError
from ..recommender.estimator import Recommender
from ..recommender.presets import PRESETS, Views
from ..recommender.settings_file import read_settings

#: The share of the training ratings by which the epoch is chosen, and the epochs without a better
#: one that end that.
HELD_OUT, PATIENCE = 0.1, 10

VIEWS: tuple[str, ...] = get_args(Views)

_MF: Mapping[str, Any] = {
    "num_factors": 50,
    "num_epochs": 60,
    "learning_rate": 0.005,
    "weight_decay": 2e-4,
}


@dataclass(eq=False)
class EpochChosen:
    """Matrix factorisation whose epochs are chosen on a tenth of the training ratings.

    Then it is trained anew on all of them, as `Recommender` is by its ``holdout``.

    Parameters
    ----------
    model : BiasedMF
        With the most epochs that there may be.
    seed : int
        Of the tenth.
    """

    model: BiasedMF
    seed: int = 0
    model_: BiasedMF = field(init=False, repr=False)

    def fit(self, ratings: Ratings) -> EpochChosen:
        """Choose the number of epochs, and train."""
        learned, held_out = random_split(ratings, HELD_OUT, self.seed)
        trial = replace(self.model, patience=PATIENCE).fit(learned, validation=held_out)
        model = replace(self.model, num_epochs=trial.history_.best.epoch)
        self.model_ = model.fit(ratings)
        return self

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids."""
        return self.model_.predict(users, items)


def _autorec(preset: str, **changes: Any) -> Callable[[int, str], Predictor]:
    def build(seed: int, devices: str) -> Predictor:
        run = {"random_state": seed, "devices": devices, "holdout": HELD_OUT, "patience": PATIENCE}
        return Recommender.preset(preset, **run, **changes)

    return build


#: What makes each, given a seed and devices.
MODELS: dict[str, Callable[[int, str], Predictor]] = {
    "mean": lambda seed, devices: Means(),
    "user-mean": lambda seed, devices: Means("user"),
    "item-mean": lambda seed, devices: Means("item"),
    "biased-means": lambda seed, devices: BiasedMeans(),
    "mf": lambda seed, devices: EpochChosen(
        BiasedMF(**_MF, random_state=seed, devices=devices), seed
    ),
    "bayesian-mf": lambda seed, devices: BayesianMF(random_state=seed),
    "bayesian-svd++": lambda seed, devices: BayesianMF(implicit=True, random_state=seed),
    **{view: _autorec("best", view=view) for view in VIEWS},
    **{preset: _autorec(preset) for preset in PRESETS},
}

BAYESIAN = ("bayesian-mf", "bayesian-svd++")

#: Those that are compared where none is named.
USUAL = ("item-mean", "biased-means", "mf", *BAYESIAN, *VIEWS)


def usual_models() -> list[str]:
    """Return the names of `USUAL`, the Bayesian ones left out where there is no myFM."""
    found = importlib.util.find_spec("myfm") is not None
    return [name for name in USUAL if found or name not in BAYESIAN]


def build_model(name: str, seed: int, devices: str) -> Predictor:
    """Return a model by its name, or by the path of a settings file.

    Parameters
    ----------
    name : str
        A key of `MODELS`, or a path that ends in ``.json``.
    seed : int
    devices : str
        See `contexts`.

    Raises
    ------
    ConfigurationError
        If there is none, or the settings cannot be used.
    """
    if name in MODELS:
        return MODELS[name](seed, devices)
    if name.endswith(".json"):
        parameters = read_settings(Path(name)).parameters
        return Recommender(**{**parameters, "random_state": seed, "devices": devices})
    raise ConfigurationError(
        f"There is no model {name!r}; choose from {', '.join(MODELS)}, or name a settings.json."
    )
