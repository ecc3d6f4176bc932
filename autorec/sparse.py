"""Sparse: AutoRec computed at the rated cells alone, so that work follows the ratings.

The encoder's first product is that of a sparse matrix; the decoder, the loss and their gradients
are taken at rated cells and nowhere else. What lies between, biases, activations, inner layers and
dropout, is the net's own. The numbers are those of whole rows, to within rounding.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from ._mxnet import autograd, np
from .errors import ConfigurationError
from .interactions import Interactions
from .model import AutoRec
from .steps import encoder_layers, make_trainer, optimizer_state, restore_optimizer
from .workers import Workers

Compute = Literal["auto", "dense", "sparse"]


def break_even(columns: int) -> float:
    """Return the share of rated cells up to which the sparse way is the faster one.

    As measured by ``python -m benchmarks density``: 0.28, 0.24 and 0.13 for 943, 6,040 and 30,000
    columns. What is left of the weights in a cache from one row to the next makes the difference.

    Parameters
    ----------
    columns : int
        Of the interactions.
    """
    return 0.25 if columns <= 10_000 else 0.13


def is_sparse(compute: Compute, net: Any, inputs: Interactions, contexts: Sequence[Any]) -> bool:
    """Decide which way a net is computed.

    Parameters
    ----------
    compute : {"auto", "dense", "sparse"}
        "auto" is sparse on one CPU context where numba is installed and no more cells are rated
        than `break_even` says.
    net : Block
        A net that is not an `AutoRec` is computed densely.
    inputs : Interactions
    contexts : sequence of Context

    Raises
    ------
    ConfigurationError
        If there is no such way, or the sparse one is asked for where it cannot be had.
    """
    if compute not in ("auto", "dense", "sparse"):
        raise ConfigurationError(f"compute must be auto, dense or sparse, not {compute!r}.")
    if compute == "dense":
        return False
    installed = importlib.util.find_spec("numba") is not None
    on_cpu = all(context.device_type == "cpu" for context in contexts)
    if compute == "sparse":
        if not installed:
            raise ConfigurationError(
                "compute='sparse' needs numba: pip install numba, or leave compute at 'auto'."
            )
        if not on_cpu or type(net) is not AutoRec:
            raise ConfigurationError(
                "compute='sparse' is for AutoRec on the CPU; choose 'dense', or devices='cpu'."
            )
        return True
    rows, columns = inputs.shape
    pays = len(inputs) <= break_even(columns) * rows * columns
    if type(net) is not AutoRec or not on_cpu or len(contexts) > 1 or not pays:
        return False
    if not installed:
        warnings.warn("With numba installed this would be faster: pip install numba.", stacklevel=2)
    return installed


class SparseSteps:
    """Steps that compute rated cells alone; the counterpart of `DenseSteps`.

    Adam on one context updates the two large matrices by a kernel, which needs no array for the
    gradient; every other optimizer, several contexts and several workers go by the trainer.

    Parameters
    ----------
    net : AutoRec
        Initialised.
    train : Interactions
    contexts : sequence of Context
        On the CPU.
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
        self._decays = decays
        for context in contexts:  # gives the parameters their shapes
            net(np.zeros((1, train.shape[1]), ctx=context))
        matrices = [encoder_layers(net)[0].weight, net.decoder.weight]
        parameters = list(net.collect_params().values())
        self._adam = None
        alone = self.workers.count == len(contexts) == 1
        if alone and optimizer.lower() == "adam":
            parameters = [each for each in parameters if all(each is not one for one in matrices)]
            columns = numpy.full(train.shape[1], weight_decay) if decays is None else decays
            self._adam = _Adam(*_matrices(net, contexts[0]), columns.astype(numpy.float32))
        elif decays is not None:
            for matrix in matrices:
                matrix.wd_mult = 0.0  # _shared_step adds it to the gradient
        rates = optimizer, learning_rate, weight_decay
        self.trainer = make_trainer(parameters, *rates, self.workers)

    def step(self, rows: NDArray[Any]) -> list[Any]:
        """Update the weights from a batch of rows, as `DenseSteps.step` does."""
        if self._adam is not None:
            context = self.contexts[0]
            matrices = self._adam.encoder, self._adam.decoder
            errors, sums = _backward(
                self.net, self.train.matrix[rows], *matrices, context, self.scale
            )
            rate = self.trainer.learning_rate
            self.trainer.step(len(rows))
            self._adam.step(*sums, rate, len(rows))
            return [errors]
        return self._shared_step(rows)

    def _shared_step(self, rows: NDArray[Any]) -> list[Any]:
        from .kernels import gradient

        found = []
        own = numpy.array_split(self.workers.share(rows), len(self.contexts))
        # Gradients are added up over the devices of all workers, and the decay is due once.
        decays = self._decays if self.workers.rank == 0 else None
        for context, part in zip(self.contexts, own):
            encoder, decoder = encoder_layers(self.net)[0].weight, self.net.decoder.weight
            if len(part) == 0:  # the trainer expects a gradient from each device all the same
                for parameter in self.trainer._params:
                    _give(parameter, context, 0)
                continue
            matrices = _matrices(self.net, context)
            errors, sums = _backward(
                self.net, self.train.matrix[part], *matrices, context, self.scale
            )
            by_encoder, by_decoder = (gradient(*each) for each in sums)
            if decays is not None and context is self.contexts[0]:
                for by, weight in zip((by_encoder, by_decoder), matrices):
                    by += len(rows) * decays[:, None].astype(numpy.float32) * weight
            _give(encoder, context, by_encoder.T)
            _give(decoder, context, by_decoder)
            found.append(errors)
        self.trainer.step(len(rows))
        return found

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
            self._adam.encoder, self._adam.decoder = _matrices(self.net, self.contexts[0])
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

    def step(self, encoder_sums: Any, decoder_sums: Any, rate: float, rows: int) -> None:
        from .kernels import adam_step

        self.steps += 1
        rate *= (1 - self.beta2**self.steps) ** 0.5 / (1 - self.beta1**self.steps)
        numbers = rate, 1 / rows, self.beta1, self.beta2, self.epsilon
        weights = self.encoder, self.decoder
        for sums, weight, state in zip((encoder_sums, decoder_sums), weights, self.states):
            arguments: list[Any] = [*sums, weight, *state, self.decays]
            arguments += map(numpy.float32, numbers)
            adam_step(*arguments)


def code_sparse(
    net: Any, inputs: Interactions, context: Any, batch_size: int = 1024
) -> NDArray[numpy.float32]:
    """Return the code of every row of `inputs`, shape (rows, hidden units)."""
    from .kernels import product

    encoder = _encoder_matrix(net, context)
    parts = []
    for start in range(0, inputs.shape[0], batch_size):
        known = inputs.matrix[start : start + batch_size]
        sums = product(known.indptr, known.indices, _inputs(net, known), encoder)
        parts.append(_code(net, np.array(sums, ctx=context), context).asnumpy())
    return numpy.concatenate(parts)


def predict_sparse(
    net: Any, inputs: Interactions, cells: Interactions, context: Any, batch_size: int
) -> NDArray[numpy.float32]:
    """Predict some cells from the rows of `inputs`, in the order of ``cells.matrix.data``."""
    from .kernels import at_cells, product

    encoder, decoder = _matrices(net, context)
    bias = net.decoder.bias.data(context).asnumpy()
    parts = []
    for rows in cells.batches(batch_size):
        known, wanted = inputs.matrix[rows], cells.matrix[rows]
        sums = product(known.indptr, known.indices, _inputs(net, known), encoder)
        code = _code(net, np.array(sums, ctx=context), context).asnumpy()
        outputs = at_cells(wanted.indptr, wanted.indices, code, decoder, bias)
        parts.append(net.rating(np.array(outputs, ctx=context)).asnumpy())
    return numpy.concatenate(parts) if parts else numpy.empty(0, dtype=numpy.float32)


def _backward(
    net: Any, matrix: csr_matrix, encoder: Any, decoder: Any, context: Any, scale: float
) -> tuple[Any, tuple[Any, Any]]:
    """Follow the loss of some rows back to all parameters.

    The gradients of the net's small parameters are left in these. Returns the squared errors, and
    for the encoder's first matrix and the decoder's what `gradient` makes theirs from.
    """
    from .kernels import at_cells, product

    indptr, indices = matrix.indptr, matrix.indices
    ratings = np.array(matrix.data, ctx=context)
    with autograd.train_mode():
        inputs = net.input_dropout(np.array(_inputs(net, matrix), ctx=context)).asnumpy()
    sums = np.array(product(indptr, indices, inputs, encoder), ctx=context)
    sums.attach_grad()
    with autograd.record():
        code = _code(net, sums, context)
    codes = code.asnumpy()
    bias = net.decoder.bias.data(context).asnumpy()
    outputs = np.array(at_cells(indptr, indices, codes, decoder, bias), ctx=context)
    outputs.attach_grad()
    with autograd.record():
        errors = np.square(net.rating(outputs) - ratings)
        loss = errors * scale
    loss.backward()
    slopes = outputs.grad.asnumpy()
    code.backward(np.array(product(indptr, indices, slopes, decoder), ctx=context))
    of_bias = numpy.bincount(indices, weights=slopes, minlength=matrix.shape[1])
    _give(net.decoder.bias, context, of_bias)
    columns = _by_column(matrix)
    return errors, ((*columns, inputs, sums.grad.asnumpy()), (*columns, slopes, codes))


def _give(parameter: Any, context: Any, gradient: Any) -> None:
    """Set a parameter's gradient, as autograd does."""
    parameter.grad(context)[:] = gradient
    parameter.data(context)._fresh_grad = True


def _by_column(matrix: csr_matrix) -> tuple[Any, Any, Any]:
    """Return the start of each column's cells, and of each cell its row and its place."""
    places = numpy.arange(matrix.nnz, dtype=matrix.indices.dtype)
    columns = csr_matrix((places, matrix.indices, matrix.indptr), matrix.shape).tocsc()
    return columns.indptr, columns.indices, columns.data


def _matrices(net: Any, context: Any) -> tuple[Any, Any]:
    """Return the encoder's first matrix, transposed, and the decoder's, a row for each column."""
    return _encoder_matrix(net, context), net.decoder.weight.data(context).asnumpy()


def _encoder_matrix(net: Any, context: Any) -> Any:
    encoder = encoder_layers(net)[0].weight.data(context).asnumpy()
    return numpy.ascontiguousarray(encoder.T)


def _inputs(net: Any, matrix: csr_matrix) -> Any:
    """Return the ratings as they go in, normalised where the net says so."""
    if net.typical_count is None:
        return matrix.data
    counts = numpy.diff(matrix.indptr)
    factors = net.row_factors(numpy.maximum(counts, 1)).astype(numpy.float32)
    return matrix.data * numpy.repeat(factors, counts)


def _code(net: Any, sums: Any, context: Any) -> Any:
    """Return the code from the sums V r of the first layer."""
    first, *others = encoder_layers(net)
    code = _activated(first, sums + first.bias.data(context))
    for layer in others:
        code = layer(code)
    return net.dropout(code)


def _activated(layer: Any, sums: Any) -> Any:
    return sums if layer.act is None else layer.act(sums)
