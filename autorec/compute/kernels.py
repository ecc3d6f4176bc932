"""Kernels: products of a sparse matrix of ratings with dense weights, compiled by numba.

Weights have a line for each column of the matrix, so that what a rating touches lies together.
Lines are gone through four at a time: each sum is loaded and stored once for four products, and the
four lines come from memory together. Only `autorec.compute.sparse` imports this module; numba is an
extra. Threads share the lines, see `compiling`.
"""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .._arrays import Integers
from .._mxnet import Array, Context, to_mxnet
from ..data.interactions import places_by_column
from .compiling import compiled, kernel


class Cells:
    """The rated cells of some rows on the CPU; the counterpart of `operators.Cells`.

    Results for the net are MXNet's arrays; all that is taken, and gradients, are NumPy's.

    Parameters
    ----------
    matrix : csr_matrix of float32, shape (rows, columns)
    context : Context
        Of the results.
    """

    def __init__(self, matrix: csr_matrix, context: Context) -> None:
        self.matrix, self.context = matrix, context

    def given(self, values: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        """Return numbers of the cells, to give to the others: themselves."""
        return values

    @staticmethod
    def own(array: Array) -> NDArray[numpy.float32]:
        """Return a copy of an array of the net, to give to the others."""
        return array.asnumpy()

    weight = own

    @staticmethod
    def transposed(values: Array) -> NDArray[numpy.float32]:
        """Return a copy of a weight, transposed."""
        return numpy.ascontiguousarray(values.asnumpy().T)

    @cached_property
    def by_column(self) -> tuple[Integers, Integers, Integers]:
        """The start of each column's cells, and of each cell its row and its place."""
        columns = places_by_column(self.matrix)
        return columns.indptr, columns.indices, columns.data

    @cached_property
    def touched(self) -> tuple[Integers, Integers]:
        """The columns that have cells, and the start of the cells of each."""
        starts = self.by_column[0]
        columns = numpy.flatnonzero(numpy.diff(starts)).astype(starts.dtype)
        return columns, numpy.append(starts[columns], starts[-1:])

    def product(self, values: NDArray[numpy.float32], weight: NDArray[numpy.float32]) -> Array:
        """Return the matrix with these values times a weight: Σ_j values_bj weight_j for row b.

        Parameters
        ----------
        values : ndarray of float32, shape (cells,)
        weight : ndarray of float32, shape (columns, units)

        Returns
        -------
        ndarray of float32, shape (rows, units)
        """
        result = numpy.empty((self.matrix.shape[0], weight.shape[1]), dtype=numpy.float32)
        product(self.matrix.indptr, self.matrix.indices, values, weight, result)
        return to_mxnet(result, self.context)

    def at(
        self, code: NDArray[numpy.float32], weight: NDArray[numpy.float32], bias: Array
    ) -> Array:
        """Return W c + b at only the cells: code_b · weight_j + bias_j for each.

        Parameters
        ----------
        code : ndarray of float32, shape (rows, units)
        weight : ndarray of float32, shape (columns, units)
        bias : ndarray of float32, shape (columns,)

        Returns
        -------
        ndarray of float32, shape (cells,)
        """
        result = numpy.empty(self.matrix.nnz, dtype=numpy.float32)
        (columns, starts), (_, rows, order) = self.touched, self.by_column
        weights = weight, bias.asnumpy()
        at_cells(starts, columns, rows, order, code, *weights, result)
        return to_mxnet(result, self.context)

    def gradient(
        self,
        values: NDArray[numpy.float32],
        dense: NDArray[numpy.float32],
        result: NDArray[numpy.float32] | None = None,
    ) -> NDArray[numpy.float32]:
        """Return the transposed matrix times rows: Σ_b values_bj dense_b for each column j.

        Parameters
        ----------
        values : ndarray of float32, shape (cells,)
        dense : ndarray of float32, shape (rows, units)
        result : ndarray of float32, shape (columns, units), optional
            Where to write it: an array that was used before is several times faster than one
            whose memory the machine has yet to find.
        """
        starts, rows, order = self.by_column
        if result is None:
            result = numpy.empty((self.matrix.shape[1], dense.shape[1]), dtype=numpy.float32)
        product(starts, rows, values[order], dense, result)
        return result

    @staticmethod
    def total(dense: NDArray[numpy.float32]) -> NDArray[numpy.float32]:
        """Return the sum of rows: Σ_b dense_b, shape (units,)."""
        units = dense.shape[1]
        result = numpy.empty(units, dtype=numpy.float32)
        total(numpy.arange(units + 1), dense, result)
        return result

    def adam_step(
        self,
        values: NDArray[numpy.float32],
        dense: NDArray[numpy.float32],
        *arguments: NDArray[numpy.float32] | numpy.float32,
        lazy: bool = False,
    ) -> None:
        """Take a step of Adam with the gradient of `gradient`, see the function of that name.

        A lazy one leaves alone the lines of columns without cells.
        """
        starts, rows, order = self.by_column
        columns = numpy.arange(self.matrix.shape[1], dtype=starts.dtype)
        if lazy:
            columns, starts = self.touched
        gradient = rows, values[order], dense
        adam_step(starts, columns, *gradient, *arguments)


@njit(inline="always")
def _add_rows(
    sums: NDArray[numpy.float32],
    start: int,
    end: int,
    rows: Integers,
    values: NDArray[numpy.float32],
    dense: NDArray[numpy.float32],
) -> None:
    """Add values[i] * dense[rows[i]] for i from start to end."""
    tail = end - (end - start) % 4
    for i in range(start, tail, 4):
        a, b, c, d = dense[rows[i]], dense[rows[i + 1]], dense[rows[i + 2]], dense[rows[i + 3]]
        for_a, for_b, for_c, for_d = values[i], values[i + 1], values[i + 2], values[i + 3]
        for unit in range(len(sums)):
            sums[unit] += for_a * a[unit] + for_b * b[unit] + for_c * c[unit] + for_d * d[unit]
    for i in range(tail, end):
        row, factor = dense[rows[i]], values[i]
        for unit in range(len(sums)):
            sums[unit] += factor * row[unit]


@kernel
def product(
    first: int,
    end: int,
    starts: Integers,
    rows: Integers,
    values: NDArray[numpy.float32],
    dense: NDArray[numpy.float32],
    result: NDArray[numpy.float32],
) -> None:
    """Write Σ_i values_i dense_(rows_i), over i from a start to the next, to each row of a result.

    Parameters
    ----------
    starts, rows : ndarray of int
        A sparse matrix by row, or by column for the product with its transpose.
    values : ndarray of float32
    dense, result : ndarray of float32, shape (..., units)
    """
    for number in range(first, end):
        sums = result[number]
        sums[:] = 0
        _add_rows(sums, starts[number], starts[number + 1], rows, values, dense)


@partial(kernel, reordered=False)
def total(
    first: int,
    end: int,
    starts: Integers,
    dense: NDArray[numpy.float32],
    result: NDArray[numpy.float32],
) -> None:
    """Write Σ_b dense_b, of some units, to a result.

    By Kahan's compensated sum, whose bits are those of MXNet's own sums over rows.

    Parameters
    ----------
    starts : ndarray of int
        Of each unit in a row.
    dense : ndarray of float32, shape (rows, units)
    result : ndarray of float32, shape (units,)
    """
    sums = result[first:end]
    sums[:] = 0
    lost = numpy.zeros(len(sums), dtype=numpy.float32)
    for number in range(len(dense)):
        row = dense[number, first:end]
        for unit in range(len(sums)):
            added = row[unit] - lost[unit]
            found = sums[unit] + added
            lost[unit] = (found - sums[unit]) - added
            sums[unit] = found


@kernel
def at_cells(
    first: int,
    end: int,
    starts: Integers,
    columns: Integers,
    rows: Integers,
    order: Integers,
    code: NDArray[numpy.float32],
    weight: NDArray[numpy.float32],
    bias: NDArray[numpy.float32],
    result: NDArray[numpy.float32],
) -> None:
    """Write code_b · weight_j + bias_j of each cell to its place in a result.

    By column: the codes of a batch stay in the cache, and the weight is read once.

    Parameters
    ----------
    starts, columns, rows, order : ndarray of int
        Some columns, where the cells of each start, and of each cell its row and its place.
    code : ndarray of float32, shape (rows, units)
    weight : ndarray of float32, shape (columns, units)
    bias : ndarray of float32, shape (columns,)
    result : ndarray of float32, shape (cells,)
    """
    for number in range(first, end):
        column = columns[number]
        row = weight[column]
        start, stop = starts[number], starts[number + 1]
        tail = stop - (stop - start) % 4
        for i in range(start, tail, 4):
            a, b, c, d = code[rows[i]], code[rows[i + 1]], code[rows[i + 2]], code[rows[i + 3]]
            to_a = to_b = to_c = to_d = bias[column]
            for unit in range(len(row)):
                to_a += a[unit] * row[unit]
                to_b += b[unit] * row[unit]
                to_c += c[unit] * row[unit]
                to_d += d[unit] * row[unit]
            result[order[i]], result[order[i + 1]] = to_a, to_b
            result[order[i + 2]], result[order[i + 3]] = to_c, to_d
        for i in range(tail, stop):
            a = code[rows[i]]
            total = bias[column]
            for unit in range(len(row)):
                total += a[unit] * row[unit]
            result[order[i]] = total


@kernel
def adam_step(
    first: int,
    end: int,
    starts: Integers,
    columns: Integers,
    rows: Integers,
    values: NDArray[numpy.float32],
    dense: NDArray[numpy.float32],
    weight: NDArray[numpy.float32],
    mean: NDArray[numpy.float32],
    variance: NDArray[numpy.float32],
    decays: NDArray[numpy.float32],
    rate: numpy.float32,
    rescale: numpy.float32,
    beta1: numpy.float32,
    beta2: numpy.float32,
    epsilon: numpy.float32,
) -> None:
    """Take a step of Adam on some lines, with the gradient Σ_i values_i dense_(rows_i) of each.

    Each row of the weight is updated as soon as its gradient is known, while both are in the
    cache: a pass over weight, mean and variance is all the memory traffic there is.

    Parameters
    ----------
    columns : ndarray of int
        The lines, all of them for the whole step.
    starts, rows, values, dense
        See `product`, by column.
    weight, mean, variance : ndarray of float32, shape (columns, units)
        Changed in place.
    decays : ndarray of float32, shape (columns,)
    rate, rescale, beta1, beta2, epsilon : float32
        ``g = rescale * gradient + decays * weight``, then Kingma & Ba's Adam as MXNet writes it,
        the correction of the bias being in the rate.
    """
    units = weight.shape[1]
    one = numpy.float32(1)
    sums = numpy.empty(units, dtype=numpy.float32)
    for number in range(first, end):
        column = columns[number]
        sums[:] = 0
        _add_rows(sums, starts[number], starts[number + 1], rows, values, dense)
        w, m, v = weight[column], mean[column], variance[column]
        decay = decays[column]
        for unit in range(units):
            g = rescale * sums[unit] + decay * w[unit]
            m[unit] = beta1 * m[unit] + (one - beta1) * g
            v[unit] = beta2 * v[unit] + (one - beta2) * g * g
            w[unit] -= rate * m[unit] / (numpy.sqrt(v[unit]) + epsilon)


def cache_folder() -> Path | None:
    """Return the folder that compiled kernels are kept in; None, with a warning, for none."""
    dispatcher: Any = compiled(product.__wrapped__)  # type: ignore[attr-defined]
    path = dispatcher.stats.cache_path
    return None if path is None else Path(path)
