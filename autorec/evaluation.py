"""Evaluation: how far predictions are from ratings, at the rated cells alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy
from numpy.typing import NDArray

from ._mxnet import from_any_thread
from .devices import split_rows, try_all_gpus
from .errors import ConfigurationError
from .interactions import Interactions
from .model import AutoRec
from .sparse import Compute, is_sparse, predict_sparse
from .workers import Workers


@dataclass(frozen=True)
class Accuracy:
    """Errors over `count` ratings."""

    rmse: float
    mae: float
    count: int


def accuracy(
    predictions: NDArray[Any], ratings: NDArray[Any], workers: Workers | None = None
) -> Accuracy:
    """Compare predictions with ratings.

    RMSE = sqrt(Σ (r - r̂)² / n), MAE = Σ |r - r̂| / n.

    Parameters
    ----------
    predictions, ratings : ndarray of float, shape (n,)
    workers : Workers, optional
        Among whom the ratings are shared out; each returns the accuracy over those of all.

    Raises
    ------
    ConfigurationError
        If there is nothing to compare, or the lengths differ.
    """
    workers = workers or Workers()
    if len(predictions) != len(ratings) or workers.sums([len(ratings)])[0] == 0:
        raise ConfigurationError(
            f"{len(predictions)} predictions cannot be compared with {len(ratings)} ratings; "
            "give as many of one as of the other, at least one."
        )
    errors = numpy.asarray(predictions, dtype=numpy.float64) - ratings
    sums = workers.sums([(errors**2).sum(), numpy.abs(errors).sum(), len(errors)])
    squares, absolutes, count = map(float, sums)
    return Accuracy(math.sqrt(squares / count), absolutes / count, int(count))


@from_any_thread
def predict_cells(
    net: Any,
    inputs: Interactions,
    cells: Interactions,
    contexts: Sequence[Any] | None = None,
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
        What is predicted where the row or the column has no rating in `inputs`; by default what
        the net says, which it never learned.
    compute : {"auto", "dense", "sparse"}
        Whole rows, or these cells alone, see `is_sparse`.

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
        predicted = predict_sparse(net, inputs, cells, contexts[0], batch_size)
    else:
        predicted = _predict_dense(net, inputs, cells, contexts, batch_size)
    if clip is not None:
        predicted = predicted.clip(*clip)
    if cold is not None:
        every = cells.matrix.tocoo()
        predicted[~inputs.known(every.row, every.col)] = cold
    return predicted


@from_any_thread
def evaluate(
    net: Any,
    inputs: Interactions,
    test: Interactions,
    contexts: Sequence[Any] | None = None,
    batch_size: int = 1024,
    *,
    clip: tuple[float, float] | None = None,
    cold: float | None = None,
    compute: Compute = "auto",
    workers: Workers | None = None,
) -> Accuracy:
    """Compare a net's predictions from `inputs` with the ratings in `test`.

    Parameters as in `predict_cells`, with the ratings of `test` as the truth. Each of several
    `workers` predicts a share of the rows, and all return the accuracy over all.
    """
    if workers is not None and workers.count > 1:
        test = test.only(workers.share(test.rated_rows()))
    predicted = predict_cells(
        net, inputs, test, contexts, batch_size, clip=clip, cold=cold, compute=compute
    )
    return accuracy(predicted, test.matrix.data, workers)


def _predict_dense(
    net: Any, inputs: Interactions, cells: Interactions, contexts: Sequence[Any], batch_size: int
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
