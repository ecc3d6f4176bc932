"""Sparse: AutoRec computed at the rated cells alone, so that work follows the ratings.

The encoder's first product is that of a sparse matrix; the decoder, the loss and their gradients
are taken at rated cells and nowhere else. What lies between, biases, activations, inner layers and
dropout, is the net's own. The numbers are those of whole rows, to within rounding.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Literal

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ._mxnet import autograd, np
from .errors import ConfigurationError
from .interactions import Interactions
from .model import AutoRec
from .state import check_like
from .steps import encoder_layers, make_trainer, optimizer_state, restore_optimizer
from .workers import Workers

Compute = Literal["auto", "dense", "sparse"]


def has_kernels() -> bool:
    """Tell whether numba is installed, which compiles `kernels`; `operators` do without."""
    return importlib.util.find_spec("numba") is not None


def break_even(columns: int, kernels: bool) -> float:
    """Return the share of rated cells up to which the sparse way is the faster one.

    As measured by ``python -m benchmarks density``. With kernels: 0.19, 0.32 and 0.21 for 943,
    6,040 and 30,000 columns, and over several runs 0.19 to 0.29, 0.24 to 0.32 and 0.13 to 0.28.
    MXNet's operators never pay there; at 160,000 columns they do up to 0.03.

    Parameters
    ----------
    columns : int
        Of the interactions.
    kernels : bool
        Whether kernels compute, or MXNet's operators.
    """
    if kernels:
        return 0.25 if columns <= 10_000 else 0.15
    return 0.0 if columns <= 100_000 else 0.01


def is_sparse(compute: Compute, net: Any, inputs: Interactions, contexts: Sequence[Any]) -> bool:
    """Decide which way a net is computed.

    Parameters
    ----------
    compute : {"auto", "dense", "sparse"}
        "auto" is sparse on one CPU context where no more cells are rated than `break_even` says;
        on GPUs neither way was measured, and it is dense.
    net : Block
        A net that is not an `AutoRec` is computed densely.
    inputs : Interactions
    contexts : sequence of Context

    Raises
    ------
    ConfigurationError
        If there is no such way, or the sparse one is asked for and the net is not an `AutoRec`.
    """
    if compute not in ("auto", "dense", "sparse"):
        raise ConfigurationError(f"compute must be auto, dense or sparse, not {compute!r}.")
    known = type(net) is AutoRec
    if compute != "auto":
        if compute == "sparse" and not known:
            raise ConfigurationError(
                "compute='sparse' knows the layers of AutoRec alone; leave it at 'auto'."
            )
        return compute == "sparse"
    rows, columns = inputs.shape
    if not known or len(contexts) > 1 or contexts[0].device_type != "cpu":
        return False
    kernels, cells = has_kernels(), rows * columns
    if not kernels and len(inputs) <= break_even(columns, kernels=True) * cells:
        _recommend_numba()
    return len(inputs) <= break_even(columns, kernels) * cells


@cache
def _recommend_numba() -> None:  # once in a process
    warnings.warn("With numba installed this would be faster: pip install numba.", stacklevel=4)


def rated_cells(matrix: csr_matrix, context: Any) -> Any:
    """Return the cells of some rows with the products that the sparse way takes at them.

    Parameters
    ----------
    matrix : csr_matrix of float32, shape (rows, columns)
    context : Context

    Returns
    -------
    kernels.Cells or operators.Cells
        Kernels on the CPU, where numba is installed; else MXNet's operators.
    """
    if context.device_type == "cpu" and has_kernels():
        from .kernels import Cells
    else:
        from .operators import Cells  # type: ignore[assignment]
    return Cells(matrix, context)


class SparseSteps:
    """Steps that compute rated cells alone; the counterpart of `DenseSteps`.

    With kernels, Adam on one context updates the two large matrices in a pass of its own, which
    needs no array for the gradient; all else goes by the trainer.

    Parameters
    ----------
    net : AutoRec
        Initialised.
    train : Interactions
    contexts : sequence of Context
    scale : float
        What a squared error adds to the loss.
    optimizer, learning_rate, weight_decay, decays, workers
        As of `DenseSteps`.
    """

    def __init__(
        self,
        net: Any,
        train: Interactions,
        contexts: Sequence[Any],
        scale: float,
        optimizer: str,
        learning_rate: float,
        weight_decay: float,
        *,
        decays: NDArray[Any] | None = None,
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers or Workers()
        self.net, self.train, self.contexts, self.scale = net, train, contexts, scale
        self._decays = self._gradient = None
        if decays is not None:  # a line of the two matrices is what they hold for a column
            self._decays = np.array(decays[:, None], dtype="float32", ctx=contexts[0])
        for context in contexts:  # gives the parameters their shapes
            net(np.zeros((1, train.shape[1]), ctx=context))
        matrices = [encoder_layers(net)[0].weight, net.decoder.weight]
        parameters = list(net.collect_params().values())
        self._adam = None
        alone = self.workers.count == len(contexts) == 1 and contexts[0].device_type == "cpu"
        if alone and has_kernels() and optimizer.lower() == "adam":
            parameters = [each for each in parameters if all(each is not one for one in matrices)]
            columns = numpy.full(train.shape[1], weight_decay) if decays is None else decays
            self._adam = _Adam(*self._matrices(), columns.astype(numpy.float32))
        elif decays is not None:
            for matrix in matrices:
                matrix.wd_mult = 0.0  # _shared_step adds it to the gradient
        rates = optimizer, learning_rate, weight_decay
        self.trainer = make_trainer(parameters, *rates, self.workers)

    def step(self, rows: NDArray[Any]) -> list[Any]:
        """Update the weights from a batch of rows, as `DenseSteps.step` does."""
        if self._adam is None:
            return self._shared_step(rows)
        cells = rated_cells(self.train.matrix[rows], self.contexts[0])
        matrices = self._adam.encoder, self._adam.decoder
        errors, slopes = _backward(self.net, cells, *matrices, self.scale)
        rate = self.trainer.learning_rate
        self.trainer.step(len(rows))
        self._adam.step(cells, slopes, rate, len(rows))
        return [errors]

    def _shared_step(self, rows: NDArray[Any]) -> list[Any]:
        found = []
        own = numpy.array_split(self.workers.share(rows), len(self.contexts))
        for context, part in zip(self.contexts, own):
            if len(part) == 0:  # the trainer expects a gradient from each device all the same
                for parameter in self.trainer._params:
                    _give(parameter, context, 0)
                continue
            cells = rated_cells(self.train.matrix[part], context)
            encoder, decoder = _matrices(self.net, cells)
            errors, slopes = _backward(self.net, cells, encoder, decoder, self.scale)
            by_encoder, by_decoder = slopes
            by = self._summed(cells, by_encoder, encoder, len(rows))
            _give(encoder_layers(self.net)[0].weight, context, by.T)
            by = self._summed(cells, by_decoder, decoder, len(rows))
            _give(self.net.decoder.weight, context, by)
            found.append(errors)
        self.trainer.step(len(rows))
        return found

    def _summed(self, cells: Any, slopes: tuple[Any, Any], weight: Any, batch: int) -> Any:
        """Return the gradient of a matrix, with its decay where the optimizer does not add it."""
        self._gradient = gradient = cells.gradient(*slopes, self._gradient)
        # Gradients are added up over all devices of all workers, and the decay is due once.
        if (
            self._decays is not None
            and self.workers.rank == 0
            and cells.context == self.contexts[0]
        ):
            gradient += batch * cells.weight(self._decays) * weight
        return gradient

    def _matrices(self) -> tuple[Any, Any]:
        return _matrices(self.net, rated_cells(self.train.matrix[:0], self.contexts[0]))

    def settle(self) -> None:
        """Leave the net with the weights of the last step."""
        if self._adam is not None:
            context = self.contexts[0]
            encoder_layers(self.net)[0].weight.data(context)[:] = self._adam.encoder.T
            self.net.decoder.weight.data(context)[:] = self._adam.decoder

    def state(self) -> dict[str, Any]:
        """Return what the steps carry from one to the next, besides the net's weights."""
        state: dict[str, Any] = {"trainer": optimizer_state(self.trainer)}
        if self._adam is not None:
            state["adam"] = {"steps": self._adam.steps, "states": self._adam.states}
        return state

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, and from the weights that the net has."""
        restore_optimizer(self.trainer, state["trainer"])
        if self._adam is not None:
            self._adam.encoder, self._adam.decoder = self._matrices()
            check_like({"steps": 0, "states": self._adam.states}, state["adam"], "adam")
            self._adam.steps, self._adam.states = state["adam"]["steps"], state["adam"]["states"]


class _Adam:
    """The encoder's first matrix, transposed, and the decoder's, with Adam's state of both."""

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, encoder: Any, decoder: Any, decays: NDArray[Any]) -> None:
        self.encoder, self.decoder, self.decays = encoder, decoder, decays
        self.states = [
            (numpy.zeros_like(weight), numpy.zeros_like(weight)) for weight in (encoder, decoder)
        ]
        self.steps = 0

    def step(self, cells: Any, slopes: Any, rate: float, rows: int) -> None:
        self.steps += 1
        rate *= (1 - self.beta2**self.steps) ** 0.5 / (1 - self.beta1**self.steps)
        numbers = [rate, 1 / rows, self.beta1, self.beta2, self.epsilon]
        arguments = self.decays, *map(numpy.float32, numbers)
        for of_matrix, weight, state in zip(slopes, (self.encoder, self.decoder), self.states):
            cells.adam_step(*of_matrix, weight, *state, *arguments)


def code_sparse(
    net: Any, inputs: Interactions, context: Any, batch_size: int = 1024
) -> NDArray[numpy.float32]:
    """Return the code of every row of `inputs`, shape (rows, hidden units)."""
    encoder = _encoder_matrix(net, rated_cells(inputs.matrix[:0], context))
    parts = []
    for start in range(0, inputs.shape[0], batch_size):
        known = rated_cells(inputs.matrix[start : start + batch_size], context)
        parts.append(_code(net, known.product(_inputs(net, known), encoder)).asnumpy())
    return numpy.concatenate(parts)


def predict_sparse(
    net: Any, inputs: Interactions, cells: Interactions, context: Any, batch_size: int
) -> NDArray[numpy.float32]:
    """Predict some cells from the rows of `inputs`, in the order of ``cells.matrix.data``."""
    encoder, decoder = _matrices(net, rated_cells(inputs.matrix[:0], context))
    bias = net.decoder.bias.data(context)
    parts = []
    for rows in cells.batches(batch_size):
        known = rated_cells(inputs.matrix[rows], context)
        code = _code(net, known.product(_inputs(net, known), encoder))
        outputs = rated_cells(cells.matrix[rows], context).at(code, decoder, bias)
        parts.append(net.rating(outputs).asnumpy())
    return numpy.concatenate(parts) if parts else numpy.empty(0, dtype=numpy.float32)


def _backward(
    net: Any, cells: Any, encoder: Any, decoder: Any, scale: float
) -> tuple[Any, tuple[Any, Any]]:
    """Follow the loss of some rows back to all parameters.

    The gradients of the net's small parameters are left in these. Returns the squared errors, and
    for the encoder's first matrix and the decoder's what `Cells.gradient` makes theirs from.
    """
    context = cells.context
    ratings = np.array(cells.matrix.data, ctx=context)
    with autograd.train_mode():
        inputs = net.input_dropout(_inputs(net, cells))
    sums = cells.product(inputs, encoder)
    sums.attach_grad()
    with autograd.record():
        code = _code(net, sums)
    outputs = cells.at(code, decoder, net.decoder.bias.data(context))
    outputs.attach_grad()
    with autograd.record():
        errors = np.square(net.rating(outputs) - ratings)
        loss = errors * scale
    loss.backward()
    code.backward(cells.product(outputs.grad, decoder))
    weights, columns = outputs.grad.asnumpy(), cells.matrix.shape[1]
    _give(net.decoder.bias, context, numpy.bincount(cells.matrix.indices, weights, columns))
    return errors, ((inputs, sums.grad), (outputs.grad, code))


def _give(parameter: Any, context: Any, gradient: Any) -> None:
    """Set a parameter's gradient, as autograd does."""
    parameter.grad(context)[:] = gradient
    parameter.data(context)._fresh_grad = True


def _matrices(net: Any, cells: Any) -> tuple[Any, Any]:
    """Return the encoder's first matrix, transposed, and the decoder's, a line for each column."""
    return _encoder_matrix(net, cells), cells.weight(net.decoder.weight.data(cells.context))


def _encoder_matrix(net: Any, cells: Any) -> Any:
    return cells.transposed(encoder_layers(net)[0].weight.data(cells.context))


def _inputs(net: Any, cells: Any) -> Any:
    """Return the ratings as they go in, normalised where the net says so."""
    ratings, counts = cells.matrix.data, numpy.diff(cells.matrix.indptr)
    if net.typical_count is not None:
        factors = net.row_factors(numpy.maximum(counts, 1)).astype(numpy.float32)
        ratings = ratings * numpy.repeat(factors, counts)
    return np.array(ratings, ctx=cells.context)


def _code(net: Any, sums: Any) -> Any:
    """Return the code from the sums V r of the first layer."""
    first, *others = encoder_layers(net)
    code = _activated(first, sums + first.bias.data(sums.ctx))
    for layer in others:
        code = layer(code)
    return net.dropout(code)


def _activated(layer: Any, sums: Any) -> Any:
    return sums if layer.act is None else layer.act(sums)
