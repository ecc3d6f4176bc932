"""Presets: named sets of parameters for `Recommender`."""

from __future__ import annotations

from typing import Any

_PAPER: dict[str, Any] = {
    "dropout": 0.0,
    "loss": "sum",
    "learning_rate": 0.003,
    "learning_rate_decay": 0.97,
    "weight_decay": 0.05,
    "decay_biases": False,
    "num_epochs": 80,
    "clip": True,
    "cold_rating": 3.0,
}

#: Parameters by the name of what they are for; what is not named is `Recommender`'s default.
PRESETS: dict[str, dict[str, Any]] = {
    # The section's cells.
    "section": {},
    # The paper's model and objective; learning rate, its decay and epochs are ours.
    "paper": _PAPER,
    # The paper's model; rows, weights and their decay treated as predicts best.
    "best": {**_PAPER, "normalise": True, "decay_power": 0.5, "averaging": 0.9},
}
