"""Models: what can be compared, by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Union, get_args

import numpy
from numpy.typing import NDArray

from ..baselines.bayesian import BayesianMF
from ..baselines.factorisation import BiasedMF
from ..baselines.means import BiasedMeans, Means
from ..baselines.predictor import Predictor
from ..data.interactions import View
from ..data.ratings import Ratings
from ..data.splits import random_split
from ..errors import ConfigurationError
from ..recommender.estimator import Recommender
from ..recommender.presets import PRESETS, preset_parameters
from ..recommender.settings_file import read_settings

#: Those whose epochs can be chosen.
Trained = Union[Recommender, BiasedMF]

#: The share of the training ratings by which the epoch is chosen, and the epochs without a better
#: one that end that.
HELD_OUT, PATIENCE = 0.1, 10

VIEWS: tuple[str, ...] = get_args(View)

_MF: Mapping[str, Any] = {
    "num_factors": 50,
    "num_epochs": 60,
    "learning_rate": 0.005,
    "weight_decay": 2e-4,
}


@dataclass(eq=False)
class EpochChosen:
    """A model whose number of epochs is chosen on a tenth of the training ratings.

    Then it is trained anew on all of them.

    Parameters
    ----------
    model : Recommender or BiasedMF
        With the most epochs that there may be.
    seed : int
        Of the tenth.
    """

    model: Trained
    seed: int = 0

    def fit(self, ratings: Ratings) -> EpochChosen:
        """Choose the number of epochs, and train."""
        settings = vars(self.model)
        most, patience = settings["num_epochs"], settings["patience"]
        learned, held_out = random_split(ratings, HELD_OUT, 1000 + self.seed)
        try:
            self._set(most, PATIENCE if patience is None else patience)
            self.model.fit(learned, validation=held_out)
            self._set(self.model.history_.best.epoch, None)
            self.model.fit(ratings)
        finally:
            self._set(most, patience)
        return self

    def predict(self, users: object, items: object) -> NDArray[numpy.float32]:
        """Predict the rating of each pair of ids."""
        return self.model.predict(users, items)

    def _set(self, num_epochs: int, patience: int | None) -> None:
        vars(self.model).update(num_epochs=num_epochs, patience=patience)


def _autorec(preset: str, **changes: Any) -> Callable[[int, str], Predictor]:
    def build(seed: int, devices: str) -> Predictor:
        parameters = preset_parameters(preset, random_state=seed, devices=devices, **changes)
        return EpochChosen(Recommender(**vars(parameters)), seed)

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
