"""Columns: which of a matrix' columns each worker of a job owns, and what all know of the others'.

AutoRec's large matrices have a line for each column (users, in the item view), so the owner of some
columns holds their ratings, their lines of V, W and b, and the optimizer's state of these, and
nobody else does. Two sums over the columns are left in a step (equation 1 and its gradient)::

    V r = Σ_j r_j V_j                     going forward: each worker adds up its own columns,
    ∂L/∂c = Σ_j ∂L/∂ŷ_j W_j               and so it does coming back;

both are (batch, hidden) numbers, which `Workers.add` completes. μ and the layers between are the
same on all workers, since what they are updated by is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy
from numpy.typing import NDArray

from .._arrays import Integers
from .._mxnet import np
from ..data.interactions import Interactions, in_batches
from .hashing import owners as owners
from .workers import Number, Workers

#: Counts are added up in float32, which is exact up to 2^24, in two parts of so many.
_PART = 1 << 12


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns that a worker owns of a matrix of training ratings, and facts of the whole.

    It is an `Extent`: what training asks of the whole matrix.

    Parameters
    ----------
    own : ndarray of int64, shape (columns at hand,)
        Their places among all, ascending.
    shape : tuple of int
        Rows and columns of the whole matrix.
    row_counts : ndarray of int64, shape (rows,)
        Ratings of each row, in all columns.
    column_counts : ndarray of int64, shape (columns at hand,)
        Ratings of each column at hand; one counts where none is.
    mean_count : float
        The mean of these over all columns.
    """

    own: NDArray[numpy.int64]
    shape: tuple[int, int]
    row_counts: NDArray[numpy.int64]
    column_counts: NDArray[numpy.int64] = field(repr=False)
    mean_count: float

    @classmethod
    def of(
        cls, train: Interactions, own: NDArray[numpy.int64], count: int, workers: Workers
    ) -> Columns:
        """Learn from all workers what each has to know of the others' columns.

        Parameters
        ----------
        train : Interactions
            The ratings of this worker's columns, and no others.
        own : ndarray of int64
        count : int
            Of all columns.
        workers : Workers
        """
        counts = numpy.maximum(numpy.bincount(train.matrix.indices, minlength=len(own)), 1)
        (total,) = workers.sums([float(counts.sum())])
        rows = added_counts(numpy.diff(train.matrix.indptr), workers)
        return cls(own, (train.shape[0], count), rows, counts, float(total) / count)

    def __len__(self) -> int:
        """Return the number of ratings of all columns."""
        return int(self.row_counts.sum())

    def rated_rows(self) -> NDArray[numpy.int64]:
        """Return the rows that have a rating in any column, in order."""
        return numpy.flatnonzero(self.row_counts)

    def count(self, rows: Integers) -> int:
        """Return the number of ratings of some rows, in all columns."""
        return int(self.row_counts[rows].sum())

    def column_frequencies(self) -> NDArray[numpy.float64]:
        """Return the number of ratings of each column at hand, over the mean of all columns."""
        frequencies: NDArray[numpy.float64] = self.column_counts / self.mean_count
        return frequencies

    def batches(
        self, batch_size: int, shuffle: numpy.random.Generator | None = None
    ) -> Iterator[NDArray[numpy.int64]]:
        """Yield the rows that have a rating in batches, the same on all workers."""
        return in_batches(self.rated_rows(), batch_size, shuffle)

    def of_these(self, whole: Interactions) -> Interactions:
        """Return the columns at hand of a matrix that has all."""
        return Interactions(whole.matrix[:, self.own], whole.view)


def added_counts(counts: Integers, workers: Workers) -> NDArray[numpy.int64]:
    """Return the sum over the workers of each of some counts, exactly; they are below 2^36."""
    parts = numpy.concatenate([counts % _PART, counts // _PART]).astype(numpy.float32)
    low, high = numpy.split(workers.add(np.array(parts)).asnumpy().astype(numpy.int64), 2)
    total: NDArray[numpy.int64] = low + _PART * high
    return total


def in_blocks(
    own: NDArray[numpy.float32], columns: Columns, workers: Workers, lines: int = 1024
) -> Iterator[tuple[slice, NDArray[numpy.float32]]]:
    """Yield an array with a line for each column of the whole, so many lines at a time.

    All workers take all blocks, together; what is done with them is each one's own affair.

    Parameters
    ----------
    own : ndarray of float32, shape (columns at hand, units)
    columns : Columns
    workers : Workers
    lines : int
    """
    for start in range(0, columns.shape[1], lines):
        end = min(start + lines, columns.shape[1])
        first, last = numpy.searchsorted(columns.own, [start, end])
        block = numpy.zeros((end - start, own.shape[1]), dtype=numpy.float32)
        block[columns.own[first:last] - start] = own[first:last]
        yield slice(start, end), workers.add(np.array(block)).asnumpy()


def collected(own: NDArray[Number], workers: Workers, length: int = 1 << 20) -> NDArray[Number]:
    """Return on rank 0 what all workers have, in the order of ranks; on others what they had.

    Parameters
    ----------
    own : ndarray, shape (n,)
        Of numbers of one type on all workers.
    workers : Workers
    length : int
        Bytes at a time, an even number.
    """
    sizes = workers.gather(numpy.array([own.nbytes])).ravel()
    found: list[NDArray[Number]] = []
    for rank, size in enumerate(sizes):
        mine = numpy.zeros(int(size) + int(size) % 2, dtype=numpy.uint8)
        if rank == workers.rank:
            mine[: int(size)] = numpy.ascontiguousarray(own).view(numpy.uint8)
        for start in range(0, len(mine), length):
            # Two bytes go into a float32 without loss, and so does their sum with zeros.
            part = mine[start : start + length].view(numpy.uint16).astype(numpy.float32)
            whole = workers.add(np.array(part)).asnumpy().astype(numpy.uint16)
            if workers.rank == 0:
                mine[start : start + length] = whole.view(numpy.uint8)
        if workers.rank == 0:
            found.append(mine[: int(size)].view(own.dtype))
    return numpy.concatenate(found) if workers.rank == 0 else own
