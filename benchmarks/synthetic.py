"""Synthetic ratings of any size: long-tailed rows and columns, low rank, noise of a known size."""

from __future__ import annotations

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from autorec.data.interactions import Interactions

#: The standard deviation of what no model can know: the RMSE that training can come near to.
NOISE = 0.4
RANK = 3
#: Popularity by rank is 1 / (rank + TAIL * size), so that the first has 22 times the mean.
TAIL = 0.01


def interactions(rows: int, columns: int, count: int, seed: int = 0) -> Interactions:
    """Draw ratings from 1 to 5: 3, plus a product of three factors each, plus noise.

    Rows and columns are long-tailed, in an order of their own. Memory is that of the ratings, 8
    bytes each.

    Parameters
    ----------
    rows, columns : int
    count : int
        Of ratings, at most nine tenths of the cells. Every row has some if there are enough.
    seed : int
    """
    rng = numpy.random.default_rng(seed)
    counts = rng.permutation(_counts(rows, count, most=int(0.95 * columns)))
    order = rng.permutation(columns).astype(numpy.int32)  # of popularity
    factors = rng.normal(0, 1, (columns, RANK)).astype(numpy.float32)
    indptr = numpy.concatenate([[0], numpy.cumsum(counts)])
    indices = numpy.empty(count, dtype=numpy.int32)
    ratings = numpy.empty(count, dtype=numpy.float32)
    for start, end in zip(indptr, indptr[1:]):
        cells = numpy.sort(order[_distinct(rng, end - start, columns)])
        weights = rng.normal(0, 0.6 / RANK**0.5, RANK).astype(numpy.float32)
        noise = rng.standard_normal(end - start, dtype=numpy.float32)
        indices[start:end] = cells
        ratings[start:end] = 3 + factors[cells] @ weights + NOISE * noise
    ratings.clip(1, 5, out=ratings)
    return Interactions(csr_matrix((ratings, indices, indptr), shape=(rows, columns)))


def hold_out(
    ratings: Interactions, share: float, seed: int = 0
) -> tuple[Interactions, Interactions]:
    """Split ratings at random into those to train on and a share to test on."""
    held = numpy.random.default_rng(seed).random(len(ratings), dtype=numpy.float32) < share
    return _part(ratings, ~held), _part(ratings, held)


def _part(ratings: Interactions, chosen: NDArray[numpy.bool_]) -> Interactions:
    matrix = ratings.matrix
    ends = numpy.concatenate([[0], numpy.cumsum(chosen, dtype=matrix.indptr.dtype)])
    cells = matrix.data[chosen], matrix.indices[chosen], ends[matrix.indptr]
    return Interactions(csr_matrix(cells, shape=matrix.shape))


def _counts(size: int, total: int, most: int) -> NDArray[numpy.int64]:
    """Share a total out by popularity, at most so much to each."""
    weights = 1 / (numpy.arange(size) + TAIL * size)
    left = weights[::-1].cumsum()[::-1]
    # What a weight of 1 gets if the first n have the most they may: the first n that suffices.
    factors = (total - most * numpy.arange(size)) / left
    factor = factors[numpy.argmax(factors * weights <= most)]
    ends = numpy.minimum(factor * weights, most).cumsum()
    return numpy.diff(numpy.rint(ends).astype(numpy.int64), prepend=0)


def _distinct(rng: numpy.random.Generator, count: int, size: int) -> NDArray[numpy.int64]:
    """Draw so many numbers below size, each at most once, the small ones more often."""
    if 4 * count > size:
        # Weighted sampling without replacement: the smallest of exponentials over the weights.
        keys = rng.standard_exponential(size) * (numpy.arange(size) + TAIL * size)
        return numpy.argpartition(keys, count - 1)[:count]
    found = numpy.empty(0, dtype=numpy.int64)
    while len(found) < count:
        uniform = rng.random(count + count // 4 + 8)
        places = TAIL * ((1 / TAIL + 1) ** uniform - 1)  # the inverse of the distribution
        found = numpy.unique(numpy.concatenate([found, (size * places).astype(numpy.int64)]))
    return rng.permutation(found)[:count]
