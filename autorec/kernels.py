"""Kernels: products of a sparse matrix of ratings with dense weights, compiled by numba.

Weights have a row for each column of the matrix, so that what a rating touches lies together. Each
loop over threads writes rows of its own: equal inputs give equal bits, however many threads run.
Only `autorec.sparse` imports this module; numba is an extra.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

# Sums may be reordered, to go eight at a time; infinities and NaN stay what they are.
_FAST = {"reassoc", "contract"}


@njit(parallel=True, fastmath=_FAST, cache=True)
def product(indptr: Any, indices: Any, values: Any, weight: Any) -> NDArray[np.float32]:
    """Return the rows of a CSR matrix times a weight: Σ_j values_bj weight_j for each row b.

    Parameters
    ----------
    indptr, indices, values : ndarray
        The matrix (rows, columns), values of float32.
    weight : ndarray of float32, shape (columns, units)

    Returns
    -------
    ndarray of float32, shape (rows, units)
    """
    units = weight.shape[1]
    result = np.empty((len(indptr) - 1, units), dtype=np.float32)
    for row in prange(len(indptr) - 1):
        sums = result[row]
        sums[:] = 0
        for cell in range(indptr[row], indptr[row + 1]):
            value, line = values[cell], weight[indices[cell]]
            for unit in range(units):
                sums[unit] += value * line[unit]
    return result


@njit(parallel=True, fastmath=_FAST, cache=True)
def at_cells(indptr: Any, indices: Any, code: Any, weight: Any, bias: Any) -> NDArray[np.float32]:
    """Return W c + b at the cells of a CSR matrix alone: code_b · weight_j + bias_j for each.

    Parameters
    ----------
    indptr, indices : ndarray
        Of the matrix (rows, columns).
    code : ndarray of float32, shape (rows, units)
    weight : ndarray of float32, shape (columns, units)
    bias : ndarray of float32, shape (columns,)

    Returns
    -------
    ndarray of float32, shape (cells,)
    """
    result = np.empty(len(indices), dtype=np.float32)
    for row in prange(len(indptr) - 1):
        unit_values = code[row]
        for cell in range(indptr[row], indptr[row + 1]):
            column = indices[cell]
            line = weight[column]
            total = bias[column]
            for unit in range(len(line)):
                total += unit_values[unit] * line[unit]
            result[cell] = total
    return result


@njit(inline="always")
def _add_column(
    sums: Any, start: int, end: int, rows: Any, order: Any, values: Any, of: Any
) -> None:
    for place in range(start, end):
        value, line = values[order[place]], of[rows[place]]
        for unit in range(len(sums)):
            sums[unit] += value * line[unit]


@njit(parallel=True, fastmath=_FAST, cache=True)
def gradient(starts: Any, rows: Any, order: Any, values: Any, of: Any) -> NDArray[np.float32]:
    """Return the transposed matrix times rows: Σ_b values_bj of_b for each column j.

    Parameters
    ----------
    starts, rows, order : ndarray of int
        The cells by column: where each column starts, and for each of its cells the row and the
        place in `values`. See `by_column`.
    values : ndarray of float32, shape (cells,)
    of : ndarray of float32, shape (rows, units)

    Returns
    -------
    ndarray of float32, shape (columns, units)
    """
    result = np.empty((len(starts) - 1, of.shape[1]), dtype=np.float32)
    for column in prange(len(starts) - 1):
        sums = result[column]
        sums[:] = 0
        _add_column(sums, starts[column], starts[column + 1], rows, order, values, of)
    return result


@njit(parallel=True, fastmath=_FAST, cache=True)
def adam_step(
    starts: Any,
    rows: Any,
    order: Any,
    values: Any,
    of: Any,
    weight: Any,
    mean: Any,
    variance: Any,
    decays: Any,
    rate: Any,
    rescale: Any,
    beta1: Any,
    beta2: Any,
    epsilon: Any,
) -> None:
    """Take a step of Adam on a weight with the gradient of `gradient`, which is not kept.

    Each line of the weight is updated as soon as its gradient is known, while both are in the
    cache: a pass over weight, mean and variance is all the memory traffic there is.

    Parameters
    ----------
    starts, rows, order, values, of
        As of `gradient`.
    weight, mean, variance : ndarray of float32, shape (columns, units)
        Changed in place.
    decays : ndarray of float32, shape (columns,)
    rate, rescale, beta1, beta2, epsilon : float32
        ``g = rescale * gradient + decays * weight``, then Kingma & Ba's Adam as MXNet writes it,
        the correction of the bias being in the rate.
    """
    units = weight.shape[1]
    one = np.float32(1)
    for column in prange(len(starts) - 1):
        sums = np.zeros(units, dtype=np.float32)
        _add_column(sums, starts[column], starts[column + 1], rows, order, values, of)
        w, m, v = weight[column], mean[column], variance[column]
        decay = decays[column]
        for unit in range(units):
            g = rescale * sums[unit] + decay * w[unit]
            m[unit] = beta1 * m[unit] + (one - beta1) * g
            v[unit] = beta2 * v[unit] + (one - beta2) * g * g
            w[unit] -= rate * m[unit] / (np.sqrt(v[unit]) + epsilon)
