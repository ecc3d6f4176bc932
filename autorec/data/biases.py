"""Biases: how far each user's and each item's ratings lie from the mean (Koren 2009)."""

from __future__ import annotations

import numpy
from numpy.typing import NDArray

from .._arrays import Floats, Integers


def biased_means(
    rows: Integers,
    columns: Integers,
    values: Floats,
    shape: tuple[int, int],
    damping: tuple[float, float],
    num_rounds: int,
) -> tuple[float, NDArray[numpy.float64], NDArray[numpy.float64]]:
    """Fit r ≈ m + b_row + c_column, with damped biases.

    Minimises Σ (r - m - b - c)² + damping_b Σ b² + damping_c Σ c² by turns, columns first and rows
    last, which is exact for each side given the other.

    Parameters
    ----------
    rows, columns : ndarray of int, shape (n,)
    values : ndarray of float, shape (n,)
    shape : tuple of int
        Numbers of rows and columns.
    damping : tuple of float
        Of rows and of columns, at least 0: about as many ratings of no bias added to each.
    num_rounds : int
        Turns of columns and rows.

    Returns
    -------
    mean : float
    row_biases : ndarray of float64, shape (shape[0],)
    column_biases : ndarray of float64, shape (shape[1],)
        0 where there is no rating.
    """
    mean = float(values.mean(dtype=numpy.float64))
    rest = values - mean
    row_biases, column_biases = map(numpy.zeros, shape)
    for _ in range(num_rounds):
        column_biases = bias(columns, rest - row_biases[rows], shape[1], damping[1])
        row_biases = bias(rows, rest - column_biases[columns], shape[0], damping[0])
    return mean, row_biases, column_biases


def bias(codes: Integers, rest: Floats, size: int, damping: float) -> NDArray[numpy.float64]:
    """Return for each code the sum of what is its over their number plus the damping."""
    sums = numpy.bincount(codes, weights=rest, minlength=size)
    counts = numpy.bincount(codes, minlength=size) + damping
    result: NDArray[numpy.float64] = sums / numpy.maximum(counts, 1e-12)
    return result
