"""Operators: the products of `kernels` by MXNet's own operators, for GPUs and without numba."""

from __future__ import annotations

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .._mxnet import Array, Context, mx, np, to_mxnet
from ..data.interactions import places_by_column


class Cells:
    """The rated cells of some rows on any device; the counterpart of `kernels.Cells`.

    All arrays are MXNet's.

    Parameters
    ----------
    matrix : csr_matrix of float32, shape (rows, columns)
    context : Context
    """

    def __init__(self, matrix: csr_matrix, context: Context) -> None:
        self.matrix, self.context = matrix, context

    def given(self, values: NDArray[numpy.float32]) -> Array:
        """Return numbers of the cells as the others take them."""
        return to_mxnet(values, self.context)

    @staticmethod
    def own(array: Array) -> Array:
        """Return an array of the net as the others take it: itself."""
        return array

    @staticmethod
    def weight(values: Array) -> Array:
        """Return a weight as the others take it: itself."""
        return values

    @staticmethod
    def transposed(values: Array) -> Array:
        """Return a copy of a weight, transposed."""
        return values.T

    def product(self, values: Array, weight: Array) -> Array:
        """Return the matrix with these values times a weight, see `kernels.Cells.product`."""
        return self._dot(values, self.matrix, weight)

    def at(self, code: Array, weight: Array, bias: Array) -> Array:
        """Return W c + b at only the cells, see `kernels.Cells.at`."""
        starts = self.matrix.indptr
        columns = np.array(self.matrix.indices, dtype="int32", ctx=self.context)
        products = [
            np.dot(np.take(weight, columns[start:end], axis=0), row)
            for row, start, end in zip(code, starts, starts[1:])
            if start < end
        ]
        if not products:
            return np.zeros(0, ctx=self.context)
        return np.concatenate(products) + np.take(bias, columns)

    def gradient(self, values: Array, dense: Array, result: Array | None = None) -> Array:
        """Return the transposed matrix times rows, see `kernels.Cells.gradient`."""
        # MXNet's own product with a transposed matrix takes 17 times as long on a CPU.
        transposed = places_by_column(self.matrix).T
        order = np.array(transposed.data, dtype="int32", ctx=self.context)
        return self._dot(np.take(values, order), transposed, dense)

    @staticmethod
    def total(dense: Array) -> Array:
        """Return the sum of rows, see `kernels.Cells.total`."""
        return dense.sum(axis=0)

    def _dot(self, values: Array, matrix: csr_matrix, dense: Array) -> Array:
        parts = values.as_nd_ndarray(), matrix.indices, matrix.indptr
        sparse = mx.nd.sparse.csr_matrix(parts, shape=matrix.shape, ctx=self.context)
        result: Array = mx.nd.sparse.dot(sparse, dense.as_nd_ndarray()).as_np_ndarray()
        return result
