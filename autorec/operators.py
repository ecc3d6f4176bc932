"""Operators: the products of `kernels` by MXNet's own operators, for GPUs and without numba."""

from __future__ import annotations

from typing import Any

import numpy
from scipy.sparse import csr_matrix

from ._mxnet import mx, np

#: Numbers that are gathered at a time: 8 MB of codes and of weights, what a cache may hold.
GATHERED = 2_000_000


class Cells:
    """The rated cells of some rows on any device; the counterpart of `kernels.Cells`.

    All arrays are MXNet's.

    Parameters
    ----------
    matrix : csr_matrix of float32, shape (rows, columns)
    context : Context
    """

    def __init__(self, matrix: csr_matrix, context: Any) -> None:
        self.matrix, self.context = matrix, context

    @staticmethod
    def weight(values: Any) -> Any:
        """Return a weight as the others take it: itself."""
        return values

    @staticmethod
    def transposed(values: Any) -> Any:
        """Return a copy of a weight, transposed."""
        return values.T

    def product(self, values: Any, weight: Any) -> Any:
        """Return the matrix with these values times a weight, see `kernels.Cells.product`."""
        return _dot(self._with(values), weight)

    def at(self, code: Any, weight: Any, bias: Any) -> Any:
        """Return W c + b at the cells alone, see `kernels.Cells.at`."""
        indptr, columns = self.matrix.indptr, self.matrix.indices
        rows = numpy.repeat(numpy.arange(len(indptr) - 1, dtype=columns.dtype), numpy.diff(indptr))
        units = code.shape[1]
        ones = np.ones((units, 1), ctx=self.context)
        size = max(1, GATHERED // units)
        parts = [np.zeros(0, ctx=self.context)]
        for start in range(0, len(columns), size):
            row, column = (
                np.array(each[start : start + size], dtype="int32", ctx=self.context)
                for each in (rows, columns)
            )
            # A product with ones, since MXNet's sum over an axis takes four times as long.
            products = np.take(code, row, axis=0) * np.take(weight, column, axis=0)
            parts.append(np.dot(products, ones).reshape(-1) + np.take(bias, column))
        return np.concatenate(parts)

    def gradient(self, values: Any, of: Any, result: Any = None) -> Any:
        """Return the transposed matrix times rows, see `kernels.Cells.gradient`."""
        return _dot(self._with(values), of, transpose_a=True)

    def _with(self, values: Any) -> Any:
        parts = values.as_nd_ndarray(), self.matrix.indices, self.matrix.indptr
        return mx.nd.sparse.csr_matrix(parts, shape=self.matrix.shape, ctx=self.context)


def _dot(sparse: Any, dense: Any, **options: Any) -> Any:
    options["forward_stype"] = "default"
    return mx.nd.sparse.dot(sparse, dense.as_nd_ndarray(), **options).as_np_ndarray()
