"""Space: what a search varies, and between which bounds, by hyperparameter.

To have another hyperparameter searched, name its field of `Parameters` here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Union

from ..data import View
from ..recommender.presets import PRESETS, Parameters


@dataclass(frozen=True)
class OneOf:
    """Some values, in no order."""

    values: tuple[Any, ...]

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "values", values)

    def __contains__(self, value: Any) -> bool:
        return value in self.values

    @property
    def words(self) -> list[str]:
        """The values as a person reads them."""
        return [_shown(value) for value in self.values]

    def __str__(self) -> str:
        *others, last = self.words
        return f"{', '.join(others)} or {last}"


@dataclass(frozen=True)
class Between:
    """Numbers from `low` to `high`, whole ones if these are whole; proposed evenly, or by size.

    Parameters
    ----------
    low, high : int or float
    log : bool
        Whether doubling a number is a step as large anywhere.
    """

    low: float
    high: float
    log: bool = False

    @property
    def whole(self) -> bool:
        """Whether these are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def __contains__(self, value: Any) -> bool:
        number = isinstance(value, int if self.whole else (int, float))
        return number and not isinstance(value, bool) and bool(self.low <= value <= self.high)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


Searched = Union[OneOf, Between]

#: Epochs that a trial may have, and those after which it ends if its validation RMSE has not fallen
#: by this share in them.
MOST_EPOCHS, PATIENCE, LEAST_GAIN = 200, 10, 5e-4

#: Epochs after which a trial may be given up.
LEAST_EPOCHS = 8

#: Minutes that a search has where it is told no end.
MINUTES = 10.0

#: What is not searched: as "best" has it, without what that chooses by ratings that it holds out.
BASE: Mapping[str, Any] = {
    **PRESETS["best"],
    "choose_decay": False,
    "choose_ratings_in": False,
    "holdout": 0.0,
    "patience": None,
    "num_epochs": MOST_EPOCHS,
}

#: No choice depends on the unit of the ratings; the decay grows with their number by itself.
SPACE: Mapping[str, Searched] = {
    "ratings_in": OneOf("shifted", "mean", "biases"),
    "ratings_out": OneOf("mean", "biases"),
    "num_hidden": Between(50, 600, log=True),
    "weight_decay": Between(5.0, 2000.0, log=True),
    "learning_rate": Between(0.001, 0.02, log=True),
    "learning_rate_decay": Between(0.94, 1.0),
    "dropout": Between(0.0, 0.5),
    "input_dropout": Between(0.0, 0.4),
    "normalise": OneOf(False, True),
    "decay_power": Between(0.0, 1.0),
    "averaging": OneOf(0.0, 0.9),
}

#: The views that are searched, each for itself; the best of both are tried together in the end.
VIEWS: tuple[View, ...] = ("item", "user")

_BEST: Mapping[str, Any] = {name: getattr(Parameters(**BASE), name) for name in SPACE}

#: The first trials of each view: "best", with either of what it chooses to go in.
STARTS: tuple[Mapping[str, Any], ...] = (_BEST, {**_BEST, "ratings_in": "mean"})
