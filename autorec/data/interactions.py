"""Interactions: the item-by-user (or user-by-item) matrix of ratings, sparse, and its batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix, csr_matrix

from .._arrays import Integers
from .._bounds import whole
from ..errors import ConfigurationError
from . import View
from .ratings import Ratings


@dataclass(frozen=True)
class Interactions:
    """A sparse matrix of ratings with one row for each input of AutoRec.

    Parameters
    ----------
    matrix : csr_matrix of float32, shape (rows, columns)
        The stored cells are the rated ones, also where the rating is 0. Rows are items and
        columns users in the item view, the reverse in the user view.
    view : {"item", "user"}
        What a row is.
    """

    matrix: csr_matrix
    view: View = "item"

    @classmethod
    def from_ratings(cls, ratings: Ratings, view: View = "item") -> Interactions:
        """Return ratings as a matrix.

        Parameters
        ----------
        ratings : Ratings
            Its id maps give the shape, so parts of one table have matrices of one shape.
        view : {"item", "user"}
            "item" for I-AutoRec (num_items, num_users); "user" for U-AutoRec, its transpose.
        """
        if view not in ("item", "user"):
            raise ConfigurationError(f"view must be 'item' or 'user', not {view!r}.")
        cells = (ratings.items, ratings.users)
        shape = (ratings.num_items, ratings.num_users)
        if view == "user":
            cells, shape = cells[::-1], shape[::-1]
        return cls(csr_matrix((ratings.values, cells), shape=shape, dtype=np.float32), view)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.matrix.shape
        return rows, columns

    def __len__(self) -> int:
        """Return the number of rated cells."""
        return int(self.matrix.nnz)

    @property
    def positive(self) -> bool:
        """Whether every rating is above 0, so that the sign of a row is its mask."""
        return bool((self.matrix.data > 0).all())

    def only(self, rows: Integers) -> Interactions:
        """Return a matrix of the same shape with the ratings of only some rows.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
        """
        counts = np.diff(self.matrix.indptr)
        wanted = np.zeros(len(counts), dtype=bool)
        wanted[rows] = True
        cells = np.repeat(wanted, counts)
        indptr = np.concatenate([[0], np.cumsum(counts * wanted)])
        parts = self.matrix.data[cells], self.matrix.indices[cells], indptr
        return Interactions(csr_matrix(parts, self.matrix.shape), self.view)

    def rated_rows(self) -> NDArray[np.int64]:
        """Return the rows that have a rating, in order."""
        return np.flatnonzero(np.diff(self.matrix.indptr))

    def rated_columns(self) -> NDArray[np.bool_]:
        """Return for each column whether it has a rating."""
        rated = np.zeros(self.shape[1], dtype=bool)
        rated[self.matrix.indices] = True
        return rated

    def count(self, rows: Integers) -> int:
        """Return the number of rated cells in some rows."""
        return int((self.matrix.indptr[rows + 1] - self.matrix.indptr[rows]).sum())

    def column_frequencies(self) -> NDArray[np.float64]:
        """Return the number of ratings of each column, over its mean; one counts where none is."""
        counts = np.maximum(np.bincount(self.matrix.indices, minlength=self.shape[1]), 1)
        frequencies: NDArray[np.float64] = counts / counts.mean()
        return frequencies

    def dense(self, rows: Integers) -> NDArray[np.float32]:
        """Return some rows as an array (n, columns), 0 where there is no rating.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
        """
        dense: NDArray[np.float32] = self.matrix[rows].toarray()
        return dense

    def mask(self, rows: Integers) -> NDArray[np.float32]:
        """Return an array (n, columns) with 1 where some rows are rated, 0 elsewhere.

        It distinguishes a rating of 0 from none, which the sign of the ratings cannot.

        Parameters
        ----------
        rows : ndarray of int, shape (n,)
        """
        some = self.matrix[rows]
        ones = csr_matrix((np.ones_like(some.data), some.indices, some.indptr), some.shape)
        mask: NDArray[np.float32] = ones.toarray()
        return mask

    def known(self, rows: Integers, columns: Integers) -> NDArray[np.bool_]:
        """Return for each cell whether its row and its column each have a rating.

        Parameters
        ----------
        rows, columns : ndarray of int, shape (n,)
        """
        rated_rows = np.diff(self.matrix.indptr) > 0
        known: NDArray[np.bool_] = rated_rows[rows] & self.rated_columns()[columns]
        return known

    def batches(
        self, batch_size: int, shuffle: np.random.Generator | None = None
    ) -> Iterator[NDArray[np.int64]]:
        """Yield the rows that have a rating in batches, every row once.

        Parameters
        ----------
        batch_size : int
            Rows a batch; the last batch may be smaller.
        shuffle : Generator, optional
            Draws the order of the rows; in their own order without it.
        """
        return in_batches(self.rated_rows(), batch_size, shuffle)


class Extent(Protocol):
    """What training asks of a matrix of ratings, all of whose cells need not be at hand."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    def __len__(self) -> int:
        """Return the number of rated cells."""

    def rated_rows(self) -> NDArray[np.int64]:
        """Return the rows that have a rating, in order."""

    def count(self, rows: Integers) -> int:
        """Return the number of rated cells in some rows."""

    def column_frequencies(self) -> NDArray[np.float64]:
        """Return, for each column at hand, its ratings over the mean of all columns."""

    def batches(
        self, batch_size: int, shuffle: np.random.Generator | None = None
    ) -> Iterator[NDArray[np.int64]]:
        """Yield the rows that have a rating in batches, every row once."""


def in_batches(
    rows: NDArray[np.int64], batch_size: int, shuffle: np.random.Generator | None = None
) -> Iterator[NDArray[np.int64]]:
    """Yield rows in batches, see `Interactions.batches`; their order is changed in place."""
    whole("batch_size", batch_size, least=1)
    if shuffle is not None:
        shuffle.shuffle(rows)
    for start in range(0, len(rows), batch_size):
        yield rows[start : start + batch_size]


def rows_of(ratings: Ratings, like: Interactions) -> Interactions:
    """Return ratings as the rows that a net gets, which has only the columns of a matrix.

    Parameters
    ----------
    ratings : Ratings
        Whose id maps begin as those of the matrix.
    like : Interactions
    """
    every = Interactions.from_ratings(ratings, like.view)
    return Interactions(every.matrix[:, : like.shape[1]], like.view)


def places_by_column(matrix: csr_matrix) -> csc_matrix:
    """Return, where a matrix has its values, their places in ``matrix.data``, column by column."""
    places = np.arange(matrix.nnz, dtype=matrix.indices.dtype)
    return csr_matrix((places, matrix.indices, matrix.indptr), matrix.shape).tocsc()
