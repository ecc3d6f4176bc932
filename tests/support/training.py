"""Small trainings that several tests compare, and how they are compared."""

from dataclasses import asdict

import numpy
import pandas as pd
import pytest

from autorec import AutoRec, Interactions, Ratings, fit, random_split
from autorec._mxnet import mx


def low_rank_ratings(items=60, users=40, seed=0) -> Ratings:
    """Ratings of 1 to 5 that two taste factors explain, two thirds of the cells rated."""
    rng = numpy.random.default_rng(seed)
    truth = rng.normal(size=(items, 2)) @ rng.normal(size=(2, users))
    values = numpy.clip(numpy.round(3 + truth), 1, 5)
    item, user = (rng.random((items, users)) < 0.66).nonzero()
    return Ratings.from_frame(
        pd.DataFrame({"user": user, "item": item, "rating": values[item, user]})
    )


def fitted(contexts=None, *, dropout=0.0, seed=3, shift=0.0, test=True, validate=False, **settings):
    train, held_out = random_split(low_rank_ratings(), 0.1, seed=1)
    train, validation = random_split(train, 0.1, seed=2)
    inputs, choice, targets = map(Interactions.from_ratings, (train, validation, held_out))
    targets.matrix.data += shift
    net = AutoRec(8, inputs.shape[1], dropout)
    history = fit(
        net,
        inputs,
        validation=choice if validate else None,
        test=targets if test else None,
        contexts=contexts or [mx.cpu()],
        seed=seed,
        **{"num_epochs": 2, "batch_size": 16, "learning_rate": 0.01, **settings},
    )
    return history, weights(net)


def learned() -> Ratings:
    """The ratings that `fitted` trains on."""
    return random_split(random_split(low_rank_ratings(), 0.1, seed=1)[0], 0.1, seed=2)[0]


def weights(net):
    parameters = net._collect_params_with_prefix()
    return {name: value.list_data()[0].asnumpy() for name, value in parameters.items()}


def assert_same(one, other, tolerance):
    for name, weight in one.items():
        numpy.testing.assert_allclose(weight, other[name], rtol=0, atol=tolerance, err_msg=name)


CPU, TWO = [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]

DROPOUT = {"dropout": 0.3, "input_dropout": 0.2}

VARIANTS = {
    "section": {},
    "dropout": DROPOUT,
    "dropout, two devices": {**DROPOUT, "contexts": TWO},
    "decay": {"learning_rate_decay": 0.7, "loss": "sum", "weight_decay": 0.05},
    "averaging": {"averaging": 0.8, "decay_biases": False},
    "averaging, two devices": {"averaging": 0.8, "contexts": TWO},
    # The second epoch is the best of these, and stays so.
    "the best epoch": {"learning_rate": 0.05, "validate": True},
    "patience": {"learning_rate": 0.05, "validate": True, "patience": 2, "num_epochs": 40},
    "averaged, the best, patience": {
        "averaging": 0.5, "learning_rate": 0.1, "validate": True, "patience": 2, "num_epochs": 40,
    },
    "decay by column": {"decay_power": 0.5, "weight_decay": 0.05},
    "normalised, deep": {"typical_count": 20.0, "num_hidden": (8, 4, 8), **DROPOUT},
    "rmsprop": {"optimizer": "rmsprop"},
    "rmsprop, two devices": {"optimizer": "rmsprop", "contexts": TWO},
    "nadam, which counts for all": {"optimizer": "nadam", "contexts": TWO},
    "sgld, which draws": {"optimizer": "sgld"},
    "all of it": {
        **DROPOUT, "averaging": 0.9, "learning_rate_decay": 0.9, "decay_power": 0.5,
        "validate": True, "patience": 9, "contexts": TWO,
    },
}  # fmt: skip


class StopError(Exception):
    """What a callback raises to end a run."""


def halt(error=StopError):
    raise error


def trained(
    checkpoints=None,
    resume=False,
    *,
    stop=None,
    then=None,
    validate=False,
    num_hidden=8,
    dropout=0.0,
    input_dropout=0.0,
    typical_count=None,
    **settings,
):
    """Train on a small matrix; what `then` does after the epoch `stop`, else StopError, ends it."""
    train, test = random_split(low_rank_ratings(), 0.1, seed=1)
    train, validation = random_split(train, 0.1, seed=2)
    inputs, choice, targets = map(Interactions.from_ratings, (train, validation, test))
    net = AutoRec(
        num_hidden,
        inputs.shape[1],
        dropout,
        input_dropout=input_dropout,
        typical_count=typical_count,
    )

    def on_epoch(epoch):
        if epoch.epoch == stop:
            (then or halt)()

    defaults = {"num_epochs": 5, "batch_size": 16, "learning_rate": 0.01, "contexts": CPU}
    options = {**defaults, "seed": 3, "init": mx.init.Normal(0.1), "test": targets, **settings}
    history = fit(
        net,
        options.pop("train", inputs),
        validation=choice if validate else None,
        on_epoch=on_epoch,
        checkpoints=checkpoints,
        resume=resume,
        **options,
    )
    return figures(history), weights(net)


def figures(history):
    timed = ("seconds", "ratings_per_second", "rows_per_second")
    return [
        {name: value for name, value in asdict(epoch).items() if name not in timed}
        for epoch in history
    ]


def stopped(checkpoints, epoch, resume=False, **settings):
    with pytest.raises(StopError):
        trained(checkpoints, resume, stop=epoch, **settings)


RESUMED = {
    "num_hidden": [5, 3, 5], "num_epochs": 4, "learning_rate": 0.02, "devices": "cpu",
    "batch_size": 4, "dropout": 0.1, "averaging": 0.5, "decay_power": 0.5, "normalise": True,
    "clip": True, "random_state": 3, "compute": "dense",
}  # fmt: skip

SMALL = {"num_hidden": 4, "num_epochs": 2, "learning_rate": 0.02, "devices": "cpu"}


def films(kind="text") -> pd.DataFrame:
    rng = numpy.random.default_rng(0)
    item, user = (rng.random((12, 9)) < 0.6).nonzero()
    ids = {
        "text": [f"film {i} ☂" for i in item],
        "numbers": item * 7,
        "halves": item / 2,
        "mixed": [i if i % 2 else f"film {i}" for i in item],
    }[kind]
    return pd.DataFrame({"user": user, "item": ids, "rating": rng.integers(1, 6, len(item))})
