"""Sparse steps: the update of the weights from only the rated cells of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy
from numpy.typing import NDArray

from .._arrays import Integers
from .._mxnet import Array, Context, Parameter, autograd, np, to_mxnet
from .._storage.state import State, check_like
from ..compute import choice
from ..compute.sparse import Cells, Weight, baseline, input_values, matrices, rated_cells
from ..data.interactions import Extent, Interactions
from ..distributed.columns import Columns
from ..distributed.workers import Workers
from ..errors import ConfigurationError
from ..model import AutoRec
from .optimizer import make_trainer, optimizer_state, restore_optimizer
from .settings import Settings
from .steps import column_decays, loss_scale

if TYPE_CHECKING:
    from ..compute.kernels import Cells as KernelCells

#: What `Cells.gradient` makes a matrix's gradient from: values at the cells, and rows.
Factors = tuple[Weight, Weight]


def has_own_adam(settings: Settings, contexts: Sequence[Context], workers: Workers) -> bool:
    """Return whether `SparseSteps` update the two large matrices themselves, see there."""
    single = workers.count == len(contexts) == 1 and contexts[0].device_type == "cpu"
    return single and choice.has_kernels() and settings.optimizer.lower() == "adam"


def is_lazy(
    settings: Settings, train: Interactions, contexts: Sequence[Context], workers: Workers
) -> bool:
    """Return whether steps leave alone the lines that no rating of their batch touches.

    With ``updates="auto"`` where a batch touches no more than the share `choice.RARE` of them:
    there Adam's pass over all is most of the time, and on CiaoDVD what is learned was as good.

    Raises
    ------
    ConfigurationError
        If ``updates`` is "lazy", and these are no steps that can be.
    """
    possible = settings.compute == "sparse" and has_own_adam(settings, contexts, workers)
    if settings.updates == "lazy" and not possible:
        raise ConfigurationError(
            "updates='lazy' is for Adam on the rated cells of one CPU context, with numba; set "
            "compute='sparse', or leave updates at 'auto'."
        )
    few = settings.updates == "auto" and possible
    return settings.updates == "lazy" or (
        few and choice.touched_share(train, settings.batch_size) <= choice.RARE
    )


class SparseSteps:
    """Steps that compute only the rated cells; the counterpart of `DenseSteps`.

    With kernels, Adam on one context updates the two large matrices in a pass of its own, which
    needs no array for the gradient; all else goes by the trainer.

    Parameters
    ----------
    net : AutoRec
        Initialised.
    train, settings, contexts, workers
        See `DenseSteps`.
    columns : Columns, optional
        Which of the whole matrix' columns the net and `train` have, the others being those of
        other workers: a step is that of one worker with all of them.
    """

    def __init__(
        self,
        net: AutoRec,
        train: Interactions,
        settings: Settings,
        contexts: Sequence[Context],
        workers: Workers | None = None,
        columns: Columns | None = None,
    ) -> None:
        self.workers = workers or Workers()
        self._add: Callable[[Array], Array] = _alone
        self.whole: Extent = train
        self._row_counts: Integers | None = None
        if columns is not None:
            # All that workers have in common are two sums a step; each updates what it owns.
            self._add, self.whole, self.workers = self.workers.add, columns, Workers()
            self._row_counts = columns.row_counts
        self.net, self.train, self.contexts = net, train, contexts
        self.scale = loss_scale(settings, self.whole, net)
        self._gradient: Any = None  # an array to use again, of the kind that the cells make
        self._decays: Array | None = None
        self._adam: _Adam | None = None
        for context in contexts:  # gives the parameters their shapes
            net(np.zeros((1, train.shape[1]), ctx=context))
        large = [net.layers[0].weight, net.decoder.weight]
        parameters = list(net.collect_params().values())
        decays = column_decays(settings, self.whole)
        if has_own_adam(settings, contexts, self.workers):
            parameters = [each for each in parameters if all(each is not one for one in large)]
            if decays is None:
                decays = numpy.full(train.shape[1], settings.weight_decay)
            lazy = settings.updates == "lazy"
            self._adam = _Adam(*self._matrices(), decays.astype(numpy.float32), lazy)
        elif decays is not None:
            # A row of the two matrices is what they hold for a column.
            self._decays = np.array(decays[:, None], dtype="float32", ctx=contexts[0])
            for matrix in large:
                matrix.wd_mult = 0.0  # _summed adds it to the gradient
        self._ahead = False  # of the net's weights
        self.trainer = make_trainer(
            parameters,
            settings.optimizer,
            settings.learning_rate,
            settings.weight_decay,
            self.workers,
        )

    def batches(self, size: int, shuffle: numpy.random.Generator) -> Iterator[Integers]:
        """Yield the rows that have a rating."""
        return self.whole.batches(size, shuffle)

    def count(self, rows: Integers) -> int:
        """Return the number of rated cells in some rows."""
        return self.whole.count(rows)

    def step(self, rows: Integers) -> list[Array]:
        """Update the weights from a batch of rows, as `DenseSteps.step` does."""
        if self._adam is None:
            return self._shared_step(rows)
        cells = rated_cells(self.train.matrix[rows], self.contexts[0])
        large = self._adam.encoder, self._adam.decoder
        errors, factors = self._backward(cells, *large, rows)
        rate = self.trainer.learning_rate
        self.trainer.step(len(rows))
        self._adam.step(cast("KernelCells", cells), factors, rate, len(rows))
        self._ahead = True
        return [errors]

    def _shared_step(self, rows: Integers) -> list[Array]:
        found = []
        own = numpy.array_split(self.workers.share(rows), len(self.contexts))
        for context, part in zip(self.contexts, own):
            if len(part) == 0:  # the trainer expects a gradient from each device all the same
                for parameter in self.trainer._params:
                    _set_gradient(parameter, context, 0)
                continue
            cells = rated_cells(self.train.matrix[part], context)
            encoder, decoder = matrices(self.net, cells)
            errors, factors = self._backward(cells, encoder, decoder, part)
            for_encoder, for_decoder = factors
            gradient = self._summed(cells, for_encoder, encoder, len(rows))
            _set_gradient(self.net.layers[0].weight, context, gradient.T)
            gradient = self._summed(cells, for_decoder, decoder, len(rows))
            _set_gradient(self.net.decoder.weight, context, gradient)
            found.append(errors)
        self.trainer.step(len(rows))
        return found

    def _backward(
        self, cells: Cells[Weight], encoder: Weight, decoder: Weight, rows: Integers
    ) -> tuple[Array, tuple[Factors[Weight], Factors[Weight]]]:
        """Follow the loss of some rows back to all parameters.

        The gradients of the net's small parameters are left in these. Returns the squared errors,
        and for the encoder's first matrix and the decoder's what `Cells.gradient` makes theirs
        from. The sums over columns, of V r and of the code's gradient, are those of all workers.
        """
        net, context = self.net, cells.context
        bias = net.layers[0].bias
        counts = None if self._row_counts is None else self._row_counts[rows]
        ratings = to_mxnet(cells.matrix.data, context)
        values = input_values(net, cells, counts)
        inputs = cells.given(values)
        if net.drops_input:
            with autograd.train_mode():
                inputs = cells.own(net.input_dropout(to_mxnet(values, context)))
        sums = self._add(cells.product(inputs, encoder)) + bias.data(context)
        sums.attach_grad()
        bias.data(context)._fresh_grad = False
        with autograd.record():
            code = net.activated(sums)
        taken = cells.own(code)
        outputs = cells.at(taken, decoder, net.decoder.bias.data(context))
        outputs.attach_grad()
        added = baseline(net, cells, cells)
        with autograd.record():
            errors = np.square(net.rating(outputs, added) - ratings)
            loss = errors * self.scale
        loss.backward()
        of_cells = cells.own(outputs.grad)
        code.backward(self._add(cells.product(of_cells, decoder)))
        of_sums = cells.own(sums.grad)
        # By autograd, a sum over broadcast rows takes MXNet twenty times as long.
        gradient = cells.total(of_sums)
        if bias.data(context)._fresh_grad:  # that of the empty row's code, see `empty_code`
            gradient = gradient + cells.own(bias.grad(context))
        _set_gradient(bias, context, gradient)
        weights, columns = outputs.grad.asnumpy(), cells.matrix.shape[1]
        _set_gradient(
            net.decoder.bias, context, numpy.bincount(cells.matrix.indices, weights, columns)
        )
        return errors, ((inputs, of_sums), (of_cells, taken))

    def _summed(
        self, cells: Cells[Weight], factors: Factors[Weight], weight: Weight, batch: int
    ) -> Weight:
        """Return the gradient of a matrix, with its decay where the optimizer does not add it."""
        self._gradient = gradient = cells.gradient(*factors, self._gradient)
        # Gradients are added up over all devices of all workers, and the decay is due once.
        if (
            self._decays is not None
            and self.workers.rank == 0
            and cells.context == self.contexts[0]
        ):
            gradient += batch * cells.weight(self._decays) * weight
        return gradient

    def _matrices(self) -> tuple[Any, Any]:
        return matrices(self.net, rated_cells(self.train.matrix[:0], self.contexts[0]))

    def write_back(self) -> None:
        """Leave the net with the weights of the last step."""
        if self._adam is not None and self._ahead:
            context = self.contexts[0]
            self.net.layers[0].weight.data(context)[:] = self._adam.encoder.T
            self.net.decoder.weight.data(context)[:] = self._adam.decoder
            self._ahead = False

    def state(self) -> State:
        """Return what the steps carry from one to the next, besides the net's weights."""
        state: State = {"trainer": optimizer_state(self.trainer)}
        if self._adam is not None:
            state["adam"] = {"steps": self._adam.steps, "states": self._adam.states}
        return state

    def restore(self, state: State) -> None:
        """Go on from a state, and from the weights that the net has."""
        restore_optimizer(self.trainer, state["trainer"])
        if self._adam is not None:
            self._adam.encoder, self._adam.decoder = self._matrices()
            check_like({"steps": 0, "states": self._adam.states}, state["adam"], "adam")
            self._adam.steps, self._adam.states = state["adam"]["steps"], state["adam"]["states"]


class _Adam:
    """The encoder's first matrix, transposed, and the decoder's, with Adam's state of both."""

    beta1, beta2, epsilon = 0.9, 0.999, 1e-8

    def __init__(
        self,
        encoder: NDArray[numpy.float32],
        decoder: NDArray[numpy.float32],
        decays: NDArray[numpy.float32],
        lazy: bool = False,
    ) -> None:
        self.encoder, self.decoder, self.decays, self.lazy = encoder, decoder, decays, lazy
        self.states = [
            (numpy.zeros_like(weight), numpy.zeros_like(weight)) for weight in (encoder, decoder)
        ]
        self.steps = 0

    def step(
        self,
        cells: KernelCells,
        factors: tuple[Factors[NDArray[numpy.float32]], ...],
        rate: float,
        rows: int,
    ) -> None:
        self.steps += 1
        rate *= (1 - self.beta2**self.steps) ** 0.5 / (1 - self.beta1**self.steps)
        numbers = [rate, 1 / rows, self.beta1, self.beta2, self.epsilon]
        arguments: list[NDArray[numpy.float32] | numpy.float32]
        arguments = [self.decays, *map(numpy.float32, numbers)]
        for factor, weight, state in zip(factors, (self.encoder, self.decoder), self.states):
            cells.adam_step(*factor, weight, *state, *arguments, lazy=self.lazy)


def _alone(sums: Array) -> Array:
    """Return sums that are over all columns as they are."""
    return sums


def _set_gradient(parameter: Parameter, context: Context, gradient: object) -> None:
    """Set a parameter's gradient, as autograd does."""
    if isinstance(gradient, numpy.ndarray):
        gradient = to_mxnet(gradient, context)
    parameter.grad(context)[:] = gradient
    parameter.data(context)._fresh_grad = True
