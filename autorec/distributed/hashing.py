"""Hashing: who of several workers owns which users or items; known without MXNet."""

from __future__ import annotations

import re

import numpy
import pandas
from numpy.typing import NDArray

from .._arrays import Ids

#: As `data.ids` reads whole numbers.
_WHOLE = re.compile(r"^[ \t]*([+-]?)0*([0-9]+)(?:\.0*)?[ \t]*$")


def owners(ids: Ids, workers: int) -> NDArray[numpy.int64]:
    """Return the rank of the worker that owns each of some users or items, by a hash of its id.

    The same for 7, 7.0 and the texts that may write it ("007", " +7", "7.0"), and on every machine.

    Parameters
    ----------
    ids : ndarray, shape (n,)
    workers : int
    """
    written = pandas.Series(numpy.asarray(ids).astype(str).astype(object))
    texts = written.str.replace(_WHOLE, _plain, regex=True).to_numpy(dtype=object)
    hashed = pandas.util.hash_array(texts, categorize=False)
    ranks: NDArray[numpy.int64] = (hashed % numpy.uint64(workers)).astype(numpy.int64)
    return ranks


def _plain(number: re.Match[str]) -> str:
    sign, digits = number.groups()
    return f"-{digits}" if sign == "-" and digits != "0" else digits
