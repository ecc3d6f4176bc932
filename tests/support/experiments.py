"""Tables of experiments on made-up ratings, and what some of their rows need."""

import importlib.util

import numpy
import pandas as pd
import pytest

from autorec import Ratings, random_split
from autorec.experiments.protocol import Row

needs_myfm = pytest.mark.skipif(
    importlib.util.find_spec("myfm") is None,
    reason="myFM's releases for NumPy 1 have wheels up to Python 3.11",
)

SMALL = {"num_hidden": 4, "num_epochs": 3, "loss": "sum", "learning_rate": 0.02, "batch_size": 16}

TABLES = {
    "films": (
        Row("Mean", "Means", "made up"),
        Row("AutoRec", "AutoRec", "made up", {**SMALL, "patience": 2},
            ({"dropout": 0.0}, {"dropout": 0.5}), published="0.5, nobody"),
        Row("MF", "BiasedMF", "made up", {"num_epochs": 2, "num_factors": 2}, choose_epoch=False),
    ),
    "users": (Row("Users, 2", "Means", "made up", {"of": "user"}),),
}  # fmt: skip


def made_up() -> Ratings:
    rng = numpy.random.default_rng(0)
    item, user = (rng.random((30, 20)) < 0.5).nonzero()
    values = rng.integers(1, 6, len(item))
    return Ratings.from_frame(pd.DataFrame({"user": user, "item": item, "rating": values}))


def splits(name):
    assert name == "made up"
    for seed in range(3):
        yield f"{name} {seed}", *random_split(made_up(), 0.1, seed)
