"""Scaling: ratings of any unit, place and spread on one scale, on their way into a net and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .._arrays import Integers
from . import RatingsIn, RatingsOut, View
from .biases import bias, biased_means
from .interactions import Interactions

#: Where "shifted" puts the mean, in spreads above 0: about where MovieLens' stars have theirs.
SHIFT = 3.0
#: Ratings of no bias that each user and item counts besides its own, as in `BiasedMeans`, and
#: rounds of the fit.
DAMPING: Mapping[View, float] = {"user": 5.0, "item": 2.0}
ROUNDS = 10


@dataclass(frozen=True, eq=False)
class Scaling:
    """What a net needs to know of the training ratings to read and to write any unit.

    With the biased means m + b + c of row and column (b follows from the row that goes in and c,
    see `row_biases`), a rating r goes in, and the net's output y comes out, as ::

        x = (r - m_in - k_in (b + c)) / s_in + shift          r̂ = m_out + k_out (b + c) + s_out y

    The numbers are those of `going_in` and `coming_out`. All are of the training ratings, so an
    affine change of all ratings changes the predictions by just that, unless one of the two is raw.

    Parameters
    ----------
    ratings_in : {"raw", "shifted", "mean", "biases"}
        What goes in: ratings as they are; less their mean, over their spread, plus `SHIFT`, which
        is what "raw" is to stars but in any unit, and lets the pattern of rated cells speak; less
        their mean, over their spread; or less the biased means, over the spread of what is left.
    ratings_out : {"raw", "mean", "biases"}
        What comes out: the output itself; in spreads from the mean; or from the biased means.
    mean, spread, residual_spread : float
        Of the training ratings; the last is the spread about their biased means.
    damping : float
        Ratings of no bias that a row counts besides its own.
    column_biases : ndarray of float32, shape (columns,)
        c; 0 for a column without ratings.
    rated_columns : ndarray of float32, shape (columns,)
        1 for a column with ratings, 0 for one without, to which the output adds nothing.
    """

    ratings_in: RatingsIn
    ratings_out: RatingsOut
    mean: float
    spread: float
    residual_spread: float
    damping: float
    column_biases: NDArray[numpy.float32]
    rated_columns: NDArray[numpy.float32]

    @classmethod
    def learned(
        cls, train: Interactions, ratings_in: RatingsIn, ratings_out: RatingsOut
    ) -> Scaling | None:
        """Return the scaling that training ratings give; None where both ways are raw."""
        if ratings_in == ratings_out == "raw":
            return None
        cells = train.matrix.tocoo()
        values = cells.data.astype(numpy.float64)
        other: View = "user" if train.view == "item" else "item"
        damping = DAMPING[train.view], DAMPING[other]
        mean, row_biases, column_biases = biased_means(
            cells.row, cells.col, values, train.shape, damping, ROUNDS
        )
        rest = values - mean - row_biases[cells.row] - column_biases[cells.col]
        return cls(
            ratings_in,
            ratings_out,
            mean,
            _spread(values),
            _spread(rest),
            damping[0],
            column_biases.astype(numpy.float32),
            (numpy.bincount(cells.col, minlength=train.shape[1]) > 0).astype(numpy.float32),
        )

    @property
    def going_in(self) -> tuple[float, float, float, float]:
        """m_in, k_in, s_in and the shift."""
        return {
            "raw": (0.0, 0.0, 1.0, 0.0),
            "shifted": (self.mean, 0.0, self.spread, SHIFT),
            "mean": (self.mean, 0.0, self.spread, 0.0),
            "biases": (self.mean, 1.0, self.residual_spread, 0.0),
        }[self.ratings_in]

    @property
    def coming_out(self) -> tuple[float, float, float]:
        """m_out, k_out and s_out."""
        return {
            "raw": (0.0, 0.0, 1.0),
            "mean": (self.mean, 0.0, self.spread),
            "biases": (self.mean, 1.0, self.residual_spread),
        }[self.ratings_out]

    @property
    def biased(self) -> bool:
        """Whether the biased means have a part in it."""
        return "biases" in (self.ratings_in, self.ratings_out)

    def outputs(self, scale: tuple[float, float]) -> tuple[float, float]:
        """Return the range of the net's outputs y that predictions within a scale take."""
        offset, by_biases, spread = self.coming_out
        low, high = scale
        if by_biases:  # which themselves may be anywhere in the scale
            return (low - high) / spread, (high - low) / spread
        return (low - offset) / spread, (high - offset) / spread

    def row_biases(self, matrix: csr_matrix) -> NDArray[numpy.float32]:
        """Return the bias b of each row: the damped mean of r - m - c over its ratings r.

        Parameters
        ----------
        matrix : csr_matrix of float32, shape (rows, columns)
        """
        rest = matrix.data - numpy.float32(self.mean) - self.column_biases[matrix.indices]
        count = matrix.shape[0]
        return bias(_rows(matrix), rest, count, self.damping).astype(numpy.float32)

    def inputs(self, matrix: csr_matrix) -> NDArray[numpy.float32]:
        """Return the ratings of some rows as they go in, shape (cells,)."""
        offset, by_biases, spread, shift = map(numpy.float32, self.going_in)
        values = matrix.data - offset
        if by_biases:
            values -= self.row_biases(matrix)[_rows(matrix)] + self.column_biases[matrix.indices]
        found: NDArray[numpy.float32] = values / spread + shift
        return found

    def baseline(self, known: csr_matrix, cells: csr_matrix) -> NDArray[numpy.float32]:
        """Return what the output is added to at some cells, shape (cells,).

        Parameters
        ----------
        known : csr_matrix of float32, shape (rows, columns)
            The ratings that go in.
        cells : csr_matrix, of the same shape
            Whose stored cells are those wanted.
        """
        return self.without_net(known, _rows(cells), cells.indices)

    def without_net(
        self, known: csr_matrix, rows: Integers, columns: Integers
    ) -> NDArray[numpy.float32]:
        """Return what is predicted of cells where the net has no say, shape (n,).

        Parameters
        ----------
        known : csr_matrix of float32, shape (rows, columns)
            The ratings that go in.
        rows, columns : ndarray of int, shape (n,)
            -1 where it is not known which.
        """
        # Whoever is not known is the last, who is of no bias.
        by_row, by_column = (numpy.append(each, 0) for each in self.biases_out(known))
        found: NDArray[numpy.float32] = self.coming_out[0] + by_row[rows] + by_column[columns]
        return found.astype(numpy.float32)

    def biases_out(
        self, known: csr_matrix
    ) -> tuple[NDArray[numpy.float32], NDArray[numpy.float32]]:
        """Return what rows and columns each add to outputs, besides m_out: biases, or 0."""
        if self.coming_out[1]:
            return self.row_biases(known), self.column_biases
        rows, columns = known.shape
        return numpy.zeros(rows, numpy.float32), numpy.zeros(columns, numpy.float32)


def _rows(matrix: csr_matrix) -> NDArray[numpy.int64]:
    """Return the row of each stored cell."""
    return numpy.repeat(numpy.arange(matrix.shape[0]), numpy.diff(matrix.indptr))


def _spread(values: NDArray[numpy.float64]) -> float:
    """Return the standard deviation; 1 where there is none to speak of."""
    spread = float(values.std())
    return spread if spread > 1e-6 * float(numpy.abs(values).max(initial=0.0)) else 1.0
