"""Prediction: a net's predictions for any cells, and their errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy
from numpy.typing import NDArray

from .._arrays import Integers
from .._mxnet import Block, Context, from_any_thread
from ..compute import Compute
from ..compute.choice import is_sparse
from ..compute.devices import split_rows, try_all_gpus
from ..compute.sparse import predict_sparse
from ..data.interactions import Interactions
from ..errors import ConfigurationError
from ..model import AutoRec
from .accuracy import Accuracy, accuracy


@from_any_thread
def predict_cells(
    net: Block,
    inputs: Interactions,
    cells: Interactions,
    contexts: Sequence[Context] | None = None,
    batch_size: int = 1024,
    *,
    clip: tuple[float, float] | None = None,
    cold: float | None = None,
    compute: Compute = "auto",
) -> NDArray[numpy.float32]:
    """Predict some cells of the matrix from the rows of `inputs`.

    Parameters
    ----------
    net : Block
        Maps rows (batch, columns) to predictions of the same shape.
    inputs : Interactions
        The ratings that the model may see.
    cells : Interactions
        Of the same shape; its rated cells are those wanted, its ratings are not looked at.
    contexts : sequence of Context, optional
        Where the net's parameters are; every GPU, else the CPU, by default.
    batch_size : int
        Rows at a time.
    clip : tuple of float, optional
        Lowest and highest rating: predictions beyond them are brought back.
    cold : float, optional
        What is predicted where the row or the column has no rating in `inputs`; by default, for
        a net with a `Scaling`, what its outputs are added to: the mean, or the biased mean as far
        as it is known; else the net's own output, which no rating has trained.
    compute : {"auto", "dense", "sparse"}
        Whole rows, or only these cells, see `is_sparse`.

    Returns
    -------
    ndarray of float32, shape (len(cells),)
        In the order of ``cells.matrix.data``.
    """
    if inputs.shape != cells.shape:
        raise ConfigurationError(
            f"Inputs of shape {inputs.shape} cannot predict cells of shape {cells.shape}; make "
            "both from parts of one table of ratings and with one view."
        )
    contexts = contexts or try_all_gpus()
    if is_sparse(compute, net, inputs, contexts):
        batches = cells.batches(batch_size)
        predicted = predict_sparse(cast(AutoRec, net), inputs, cells, contexts[0], batches)
    else:
        predicted = _predict_dense(net, inputs, cells, contexts, batch_size)
    every = cells.matrix.tocoo()
    unknown = ~knows(net, inputs, every.row, every.col)
    scaling = net.scaling if isinstance(net, AutoRec) else None
    if scaling is not None and scaling.ratings_out != "raw":
        predicted[unknown] = scaling.baseline(inputs.matrix, cells.matrix)[unknown]
    if clip is not None:
        predicted = predicted.clip(*clip)
    if cold is not None:
        predicted[unknown] = cold
    return predicted


def trained_columns(net: Block, inputs: Interactions) -> NDArray[numpy.bool_]:
    """Tell of each column whether it had a rating in training, as far as is known."""
    scaling = net.scaling if isinstance(net, AutoRec) else None
    return inputs.rated_columns() if scaling is None else scaling.rated_columns > 0


def knows(
    net: Block, inputs: Interactions, rows: Integers, columns: Integers
) -> NDArray[numpy.bool_]:
    """Tell of cells whether their row has a rating, and their column had one in training."""
    rated_rows = numpy.diff(inputs.matrix.indptr) > 0
    found: NDArray[numpy.bool_] = rated_rows[rows] & trained_columns(net, inputs)[columns]
    return found


@from_any_thread
def evaluate(
    net: Block,
    inputs: Interactions,
    test: Interactions,
    contexts: Sequence[Context] | None = None,
    batch_size: int = 1024,
    *,
    clip: tuple[float, float] | None = None,
    cold: float | None = None,
    compute: Compute = "auto",
) -> Accuracy:
    """Compare a net's predictions from `inputs` with the ratings in `test`.

    Parameters as in `predict_cells`, with the ratings of `test` as the truth.
    """
    predicted = predict_cells(
        net, inputs, test, contexts, batch_size, clip=clip, cold=cold, compute=compute
    )
    return accuracy(predicted, test.matrix.data)


def _predict_dense(
    net: Block,
    inputs: Interactions,
    cells: Interactions,
    contexts: Sequence[Context],
    batch_size: int,
) -> NDArray[numpy.float32]:
    parts = []
    for rows in cells.batches(batch_size):
        arguments = [split_rows(inputs.dense(rows), contexts)]
        if isinstance(net, AutoRec) and not inputs.positive:
            arguments.append(split_rows(inputs.mask(rows), contexts))
        outputs = [net(*parts) for parts in zip(*arguments)]
        predictions = numpy.concatenate([output.asnumpy() for output in outputs])[: len(rows)]
        wanted = cells.matrix[rows].tocoo()
        parts.append(predictions[wanted.row, wanted.col])
    return numpy.concatenate(parts) if parts else numpy.empty(0, dtype=numpy.float32)
