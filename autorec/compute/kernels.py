"""Kernels: products of a sparse matrix of ratings with dense weights, compiled by numba.

Weights have a line for each column of the matrix, so that what a rating touches lies together. A
kernel goes through some of the lines; threads take others, and each writes places of its own: equal
inputs give equal bits, however many threads run. (Numba's own loops over threads say the same and
take six times as long to compile.) Lines are gone through four at a time: each sum is loaded and
stored once for four products, and the four lines come from memory together. Only `autorec.sparse`
imports this module; numba is an extra. In a process that was forked they run on one thread.
"""

from __future__ import annotations

import logging
import os
import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import Any

import numpy
from numba import njit
from numba.core.event import Event, Listener, register
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .._arrays import Integers
from .._mxnet import Array, Context, forked, np, processors
from ..data.interactions import places_by_column

_log = logging.getLogger("autorec")

# As many threads as MXNet has, see `_mxnet`.
_NAMED = os.environ.get("OMP_NUM_THREADS", "")
THREADS = max(1, int(_NAMED)) if _NAMED.isdigit() else processors()
_pool = ThreadPoolExecutor(THREADS, thread_name_prefix="autorec-kernels")
#: One thread is soonest through with fewer lines and cells than this. Of more, each takes some
#: pieces as they come, since processors may have other things to do.
_FEW, _PIECES = 2_000, 4

# Sums may be reordered, to go eight at a time; infinities and NaN stay what they are.
_FAST = {"reassoc", "contract"}
# What a cache of compiled kernels fails with: it cannot be written or read, or is damaged.
_UNUSABLE = (OSError, EOFError, pickle.UnpicklingError)


def _kernel(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a function of some lines when it is first called; let threads share all lines.

    It takes the first line, the one after the last, and where the cells of each start.
    """
    compiled: list[Callable[..., None]] = []

    @wraps(function)
    def run(starts: Integers, *arguments: object) -> None:
        if not compiled:
            compiled.append(_compiled(function))
        try:  # with no line: it is compiled, or read from the cache, before threads need it
            compiled[0](0, 0, starts, *arguments)
        except _UNUSABLE as error:  # the cache's: the function itself opens nothing
            _say_uncached(str(error) or type(error).__name__)
            compiled[0] = _compiled(function, cached=False)

        def lines(first: int, end: int) -> None:
            compiled[0](first, end, starts, *arguments)

        bounds = _shared(starts)
        if len(bounds) == 2:
            lines(*bounds)
        else:
            list(_pool.map(lines, bounds, bounds[1:]))

    return run


def _shared(starts: Integers) -> list[int]:
    """Return the bounds of pieces that have as many lines and cells, one piece for one thread."""
    lines = len(starts) - 1
    work = starts + numpy.arange(lines + 1)
    if THREADS == 1 or work[-1] < _FEW or forked():
        return [0, lines]
    even = numpy.linspace(0, work[-1], THREADS * _PIECES + 1)[1:-1]
    return [0, *numpy.searchsorted(work, even).tolist(), lines]


def _compiled(function: Callable[..., None], cached: bool = True) -> Callable[..., None]:
    compiling = partial(njit, nogil=True, fastmath=_FAST, error_model="numpy")
    if cached:
        try:
            return compiling(cache=True)(function)
        except RuntimeError:  # numba found no place for it
            _say_uncached("no folder can be written")
    return compiling()(function)


def cache_folder() -> Path | None:
    """Return the folder that compiled kernels are kept in; None, with a warning, for none."""
    kernel: Any = product
    compiled: Any = _compiled(kernel.__wrapped__)
    path = compiled.stats.cache_path
    return None if path is None else Path(path)


class _SaysOnce(Listener):
    """Says, once in a process, that kernels are compiled and not found in the cache."""

    said = False

    def on_start(self, event: Event) -> None:
        if not self.said and event.data["dispatcher"].py_func.__module__ == __name__:
            self.said = True
            _log.info("Compiling kernels, which takes a few seconds, once.")

    def on_end(self, event: Event) -> None:
        pass


register("numba:compile", _SaysOnce())  # type: ignore[no-untyped-call]


_said_uncached = False


def _say_uncached(reason: str) -> None:
    global _said_uncached
    if not _said_uncached:
        _said_uncached = True
        warnings.warn(
            f"Compiled kernels cannot be kept ({reason}), so every process compiles its own, which "
            "takes some seconds; to keep them, name a folder in the environment's NUMBA_CACHE_DIR.",
            stacklevel=4,
        )


class Cells:
    """The rated cells of some rows on the CPU; the counterpart of `operators.Cells`.

    Values, codes and results are MXNet's arrays; weights and gradients are NumPy's.

    Parameters
    ----------
    matrix : csr_matrix of float32, shape (rows, columns)
    context : Context
        Of the results.
    """

    def __init__(self, matrix: csr_matrix, context: Context) -> None:
        self.matrix, self.context = matrix, context

    @staticmethod
    def weight(values: Array) -> NDArray[numpy.float32]:
        """Return a copy of a weight, to give to the others."""
        return values.asnumpy()

    @staticmethod
    def transposed(values: Array) -> NDArray[numpy.float32]:
        """Return a copy of a weight, transposed."""
        return numpy.ascontiguousarray(values.asnumpy().T)

    @cached_property
    def by_column(self) -> tuple[Integers, Integers, Integers]:
        """The start of each column's cells, and of each cell its row and its place."""
        columns = places_by_column(self.matrix)
        return columns.indptr, columns.indices, columns.data

    def product(self, values: Array, weight: NDArray[numpy.float32]) -> Array:
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
        product(self.matrix.indptr, self.matrix.indices, values.asnumpy(), weight, result)
        return np.array(result, ctx=self.context)

    def at(self, code: Array, weight: NDArray[numpy.float32], bias: Array) -> Array:
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
        at_cells(*self.by_column, code.asnumpy(), weight, bias.asnumpy(), result)
        return np.array(result, ctx=self.context)

    def gradient(
        self, values: Array, dense: Array, result: NDArray[numpy.float32] | None = None
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
        product(starts, rows, values.asnumpy()[order], dense.asnumpy(), result)
        return result

    def adam_step(
        self,
        values: Array,
        dense: Array,
        *arguments: NDArray[numpy.float32] | numpy.float32,
    ) -> None:
        """Take a step of Adam with the gradient of `gradient`, see the function of that name."""
        starts, rows, order = self.by_column
        adam_step(starts, rows, values.asnumpy()[order], dense.asnumpy(), *arguments)


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


@_kernel
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


@_kernel
def at_cells(
    first: int,
    end: int,
    starts: Integers,
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
    starts, rows, order : ndarray of int
        Where each column's cells start, and of each cell its row and its place.
    code : ndarray of float32, shape (rows, units)
    weight : ndarray of float32, shape (columns, units)
    bias : ndarray of float32, shape (columns,)
    result : ndarray of float32, shape (cells,)
    """
    for column in range(first, end):
        row = weight[column]
        start, stop = starts[column], starts[column + 1]
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


@_kernel
def adam_step(
    first: int,
    end: int,
    starts: Integers,
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
    """Take a step of Adam on a weight with the gradient Σ_i values_i dense_(rows_i) of each column.

    Each row of the weight is updated as soon as its gradient is known, while both are in the
    cache: a pass over weight, mean and variance is all the memory traffic there is.

    Parameters
    ----------
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
    for column in range(first, end):
        sums[:] = 0
        _add_rows(sums, starts[column], starts[column + 1], rows, values, dense)
        w, m, v = weight[column], mean[column], variance[column]
        decay = decays[column]
        for unit in range(units):
            g = rescale * sums[unit] + decay * w[unit]
            m[unit] = beta1 * m[unit] + (one - beta1) * g
            v[unit] = beta2 * v[unit] + (one - beta2) * g * g
            w[unit] -= rate * m[unit] / (numpy.sqrt(v[unit]) + epsilon)
