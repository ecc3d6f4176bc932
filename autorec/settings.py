"""Settings: the numbers that can be used, and what a run's weights depend on, to compare runs by.

Nothing here needs MXNet, which takes a second to import: wrong settings are answered before.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy

from .errors import ConfigurationError
from .interactions import Interactions

#: Settings that are real numbers: the least that each may be, and what it has to stay below.
BOUNDS = {
    "learning_rate": (0.0, math.inf),
    "learning_rate_decay": (0.0, math.inf),
    "finetuning_rate": (0.0, math.inf),
    "weight_decay": (0.0, math.inf),
    "decay_power": (0.0, math.inf),
    "init_sigma": (0.0, math.inf),
    "user_regularisation": (0.0, math.inf),
    "item_regularisation": (0.0, math.inf),
    "averaging": (0.0, 1.0),
    "dropout": (0.0, 1.0),
    "input_dropout": (0.0, 1.0),
    "cold": (-math.inf, math.inf),
    "cold_rating": (-math.inf, math.inf),
}
#: MXNet computes in float32.
_LARGEST = float(numpy.finfo(numpy.float32).max)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse real numbers that no training can use.

    Parameters
    ----------
    settings : mapping
        By the names of `fit`'s, `Recommender`'s and the baselines' parameters; those that are None
        or have no `BOUNDS` are passed over.

    Raises
    ------
    ConfigurationError
        If one is no number, not finite or out of its bounds, or the learning rate grows past all
        bounds before the last epoch.
    """
    for name, (least, below) in BOUNDS.items():
        value = settings.get(name)
        if value is None:
            continue
        number = isinstance(value, (int, float, numpy.integer, numpy.floating))
        if not number or not (least <= value < below and abs(value) <= _LARGEST):
            wanted = f"from {least:g} up to {below:g}" if below < math.inf else "a finite number"
            if least == 0 and below == math.inf:
                wanted += " from 0"
            raise ConfigurationError(f"{name} must be {wanted}, not {value!r}.")
    rate, growth = settings.get("learning_rate"), settings.get("learning_rate_decay")
    if rate and growth and growth > 1:
        epochs = max(settings.get("num_epochs") or 1, 1)
        if math.log(rate) + (epochs - 1) * math.log(growth) > math.log(_LARGEST):
            raise ConfigurationError(
                f"learning_rate_decay {growth:g} takes the learning rate past all bounds within "
                f"{epochs} epochs; 1 or less lowers it."
            )


def run_settings(
    net: Any,
    train: Interactions,
    validation: Interactions | None,
    test: Interactions | None,
    init: Any,
    contexts: Sequence[Any],
    **choices: Any,
) -> dict[str, Any]:
    """Return what the weights of a run depend on, by name.

    Parameters
    ----------
    net, train, validation, test, init, contexts
        As of `fit`.
    choices
        Of `fit`'s other parameters, numbers and texts.

    Returns
    -------
    dict
        Of what JSON can hold; ratings are there as checksums.
    """
    return {
        **net_settings(net),
        "training ratings": ratings_checksum(train),
        "validation ratings": ratings_checksum(validation),
        "test ratings": ratings_checksum(test),
        "init": init.dumps() if hasattr(init, "dumps") else str(init),
        "devices": ", ".join(map(str, contexts)),
        **choices,
    }


def ratings_checksum(ratings: Interactions | None) -> str | None:
    """Return the SHA-256 of a matrix of ratings, as its cells lie in memory."""
    if ratings is None:
        return None
    matrix = ratings.matrix
    digest = hashlib.sha256(f"{matrix.shape} {ratings.view}".encode())
    for part, dtype in ((matrix.indptr, "<i8"), (matrix.indices, "<i8"), (matrix.data, "<f4")):
        digest.update(numpy.ascontiguousarray(part, dtype=dtype).data)
    return digest.hexdigest()


def net_settings(net: Any) -> dict[str, Any]:
    """Return what a net is made of, by name: sizes, activations, dropout.

    Without the sizes of what goes in, which a net learns with its first batch.
    """
    found = {
        f"net.{name}": " ".join(re.sub(r"(None|-?\d+) -> ", "", repr(child)).split())
        for name, child in net._children.items()
    }
    factors = {name: getattr(net, name, None) for name in ("typical_count", "_stretch")}
    return {"net": type(net).__name__, **found, **factors}
