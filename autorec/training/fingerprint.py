"""Fingerprint: what a run's weights depend on, by which runs are compared."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy

from ..data.interactions import Interactions
from .settings import Settings

if TYPE_CHECKING:
    from .._mxnet import Block, Context


def fingerprint(
    net: Block,
    train: Interactions,
    validation: Interactions | None,
    test: Interactions | None,
    settings: Settings,
    init: object,
    contexts: Sequence[Context],
    more: Mapping[str, object],
) -> dict[str, object]:
    """Return what the weights of a run depend on, by name.

    Parameters
    ----------
    net, train, validation, test, settings, init, contexts
        See `fit`.
    more : mapping
        Of `fit`'s other arguments, numbers and texts.

    Returns
    -------
    dict
        Of what JSON can hold; ratings are there as checksums.
    """
    choices = {
        each.name: getattr(settings, each.name)
        for each in fields(settings)
        if each.metadata["fingerprint"]
    }
    return {
        **net_settings(net),
        "training ratings": ratings_checksum(train),
        "validation ratings": ratings_checksum(validation),
        "test ratings": ratings_checksum(test),
        "init": init.dumps() if hasattr(init, "dumps") else str(init),
        "devices": ", ".join(map(str, contexts)),
        **choices,
        "optimizer": settings.optimizer.lower(),
        **more,
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


def net_settings(net: Block) -> dict[str, object]:
    """Return what a net is made of, by name: sizes, activations, dropout.

    Without the sizes of what goes in, which a net learns with its first batch.
    """
    found = {
        f"net.{name}": " ".join(re.sub(r"(None|-?\d+) -> ", "", repr(child)).split())
        for name, child in net._children.items()
    }
    stretch = getattr(net, "stretch", None)
    factors = {
        "typical_count": getattr(net, "typical_count", None),
        "_stretch": None if stretch == (0.0, 1.0) else stretch,  # as 0.1.0 wrote it
    }
    scaling = getattr(net, "scaling", None)
    if scaling is not None:  # its numbers are those of the training ratings
        factors.update(ratings_in=scaling.ratings_in, ratings_out=scaling.ratings_out)
    return {"net": type(net).__name__, **found, **factors}
