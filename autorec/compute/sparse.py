"""Sparse: AutoRec computed at only the rated cells, so that work follows the ratings.

The encoder's first product is that of a sparse matrix; the decoder, the loss and their gradients
are taken at rated cells and nowhere else. What lies between, biases, activations, inner layers and
dropout, is the net's own. The numbers are those of whole rows, to within rounding; only what
`input_dropout` drops is drawn only for rated cells, and so other ratings by the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from .._arrays import Integers
from .._mxnet import Array, Context, to_mxnet
from ..data.interactions import Interactions
from ..model import AutoRec
from . import choice

#: An array as the cells take it: of NumPy for kernels, of MXNet for operators.
Weight = TypeVar("Weight", NDArray[numpy.float32], Array)


class Cells(Protocol[Weight]):
    """The rated cells of some rows, and the products that are taken at them.

    `product` and `gradient` are products of a sparse matrix with a dense one (SpMM), `at` is a
    product of dense matrices that is taken only at the cells (SDDMM).

    Attributes
    ----------
    matrix : csr_matrix of float32, shape (rows, columns)
    context : Context
    """

    matrix: csr_matrix
    context: Context

    def given(self, values: NDArray[numpy.float32]) -> Weight:
        """Return numbers of the cells as the others take them."""

    def own(self, array: Array) -> Weight:
        """Return an array of the net as the others take it."""

    def weight(self, values: Array) -> Weight:
        """Return a weight as the others take it."""

    def transposed(self, values: Array) -> Weight:
        """Return a copy of a weight, transposed."""

    def product(self, values: Weight, weight: Weight) -> Array:
        """Return the matrix with these values times a weight."""

    def at(self, code: Weight, weight: Weight, bias: Array) -> Array:
        """Return W c + b at only the cells."""

    def gradient(self, values: Weight, dense: Weight, result: Weight | None = None) -> Weight:
        """Return the transposed matrix with these values times rows."""

    def total(self, dense: Weight) -> Weight:
        """Return the sum of rows."""


def rated_cells(matrix: csr_matrix, context: Context) -> Cells[Any]:
    """Return the cells of some rows with the products that are taken at them.

    Parameters
    ----------
    matrix : csr_matrix of float32, shape (rows, columns)
    context : Context

    Returns
    -------
    Cells
        Kernels on the CPU, where numba is installed; else MXNet's operators.
    """
    if context.device_type == "cpu" and choice.has_kernels():
        from .kernels import Cells as KernelCells

        return KernelCells(matrix, context)
    from .operators import Cells as OperatorCells

    return OperatorCells(matrix, context)


def code_sparse(
    net: AutoRec, inputs: Interactions, context: Context, batch_size: int = 1024
) -> NDArray[numpy.float32]:
    """Return the code of every row of `inputs`, shape (rows, hidden units)."""
    encoder = encoder_matrix(net, rated_cells(inputs.matrix[:0], context))
    parts = []
    for start in range(0, inputs.shape[0], batch_size):
        known = rated_cells(inputs.matrix[start : start + batch_size], context)
        parts.append(
            net.code(known.product(known.given(input_values(net, known)), encoder)).asnumpy()
        )
    return numpy.concatenate(parts)


def predict_sparse(
    net: AutoRec,
    inputs: Interactions,
    cells: Interactions,
    context: Context,
    batches: Iterable[Integers],
    add: Callable[[Array], Array] | None = None,
    counts: Integers | None = None,
) -> NDArray[numpy.float32]:
    """Predict some cells from the rows of `inputs`, in the order of ``cells.matrix.data``.

    Parameters
    ----------
    net, inputs, cells, context
    batches : iterable of ndarray of int
        Rows, in order, all that have a cell among them.
    add : callable, optional
        Completes the sums V r, where the columns at hand are not all.
    counts : ndarray of int, shape (rows,), optional
        Then, the ratings of each row in all columns.
    """
    encoder, decoder = matrices(net, rated_cells(inputs.matrix[:0], context))
    bias = net.decoder.bias.data(context)
    parts = []
    for rows in batches:
        known = rated_cells(inputs.matrix[rows], context)
        values = input_values(net, known, None if counts is None else counts[rows])
        sums = known.product(known.given(values), encoder)
        code = net.code(sums if add is None else add(sums))
        wanted = rated_cells(cells.matrix[rows], context)
        outputs = wanted.at(wanted.own(code), decoder, bias)
        parts.append(net.rating(outputs, baseline(net, known, wanted)).asnumpy())
    return numpy.concatenate(parts) if parts else numpy.empty(0, dtype=numpy.float32)


def matrices(net: AutoRec, cells: Cells[Weight]) -> tuple[Weight, Weight]:
    """Return the encoder's first matrix, transposed, and the decoder's, a row for each column."""
    return encoder_matrix(net, cells), cells.weight(net.decoder.weight.data(cells.context))


def encoder_matrix(net: AutoRec, cells: Cells[Weight]) -> Weight:
    return cells.transposed(net.layers[0].weight.data(cells.context))


def input_values(
    net: AutoRec, cells: Cells[Any], counts: Integers | None = None
) -> NDArray[numpy.float32]:
    """Return the ratings as they go in, scaled and normalised where the net says so.

    Parameters
    ----------
    net : AutoRec
    cells : Cells
    counts : ndarray of int, shape (rows,), optional
        The ratings of each row, where those of the cells are not all.
    """
    ratings: NDArray[numpy.float32] = cells.matrix.data
    here = numpy.diff(cells.matrix.indptr)
    if net.scaling is not None:
        ratings = net.scaling.inputs(cells.matrix)
    if net.typical_count is not None:
        every = numpy.maximum(here if counts is None else counts, 1)
        factors = numpy.asarray(net.row_factors(every), numpy.float32)
        ratings = ratings * numpy.repeat(factors, here)
    return ratings


def baseline(net: AutoRec, known: Cells[Any], cells: Cells[Any]) -> Array | None:
    """Return what the net's outputs are added to at some cells, from the ratings that go in."""
    if net.scaling is None:
        return None
    return to_mxnet(net.scaling.baseline(known.matrix, cells.matrix), cells.context)
