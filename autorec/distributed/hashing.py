"""Hashing: who of several workers owns which users or items; known without MXNet."""

from __future__ import annotations

import numpy
import pandas
from numpy.typing import NDArray

from .._arrays import Ids


def owners(ids: Ids, workers: int) -> NDArray[numpy.int64]:
    """Return the rank of the worker that owns each of some users or items, by a hash of its id.

    The same for 7, "7" and "007", and on every machine.

    Parameters
    ----------
    ids : ndarray, shape (n,)
    workers : int
    """
    texts = pandas.Series(numpy.asarray(ids).astype(str).astype(object))
    texts = texts.str.replace(r"^0+(?=[0-9]+$)", "", regex=True).to_numpy(dtype=object)
    hashed = pandas.util.hash_array(texts, categorize=False)
    ranks: NDArray[numpy.int64] = (hashed % numpy.uint64(workers)).astype(numpy.int64)
    return ranks
