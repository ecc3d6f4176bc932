"""Steps: from a batch of rows to an update of the weights, over one or several devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Callable, Protocol

import numpy
from numpy.typing import NDArray

from .._arrays import Integers
from .._mxnet import Array, Block, Context, Trainer, autograd, np
from .._storage.state import State
from ..compute.devices import split_rows
from ..data.interactions import Extent, Interactions
from ..distributed.workers import Workers
from ..model import AutoRec
from .optimizer import make_trainer, optimizer_state, restore_optimizer
from .settings import Settings


def squared_error(predictions: Array, ratings: Array) -> Array:
    """Return each row's sum of squared errors.

    Parameters
    ----------
    predictions, ratings : ndarray of float32, shape (batch, columns)
        Masked: both 0 at unrated cells, which thus add nothing.

    Returns
    -------
    ndarray of float32, shape (batch,)
    """
    # np.square, since ** takes ten times as long in MXNet.
    return np.square(predictions - ratings).sum(axis=1)


def update(
    net: Block,
    trainer: Trainer,
    loss: Callable[[Array, Array], Array],
    inputs: Sequence[Sequence[Array]],
    labels: Sequence[Array],
    rows: int,
    penalty: Callable[[], Array] | None = None,
    batch: int | None = None,
) -> tuple[list[Array], list[Array]]:
    """Take one optimizer step on a batch that is spread over devices, and perhaps workers.

    The gradient is the sum over the rows of all devices, divided by `batch`: it does not depend on
    how the rows fall on the devices.

    Parameters
    ----------
    net : Block
    trainer : gluon.Trainer
        Over the net's parameters.
    loss : callable
        ``loss(output, label)`` is an array of shape (rows on the device,).
    inputs : sequence
        For each device the net's arguments, as `split_rows` shares them out.
    labels : sequence of ndarray
        For each device what its outputs are compared with.
    rows : int
        The batch's rows over all devices; 0 where other workers have them all, and the inputs
        count for nothing.
    penalty : callable, optional
        Returns what the objective has besides the losses' mean, from the first device's parameters.
    batch : int, optional
        The batch's rows over all workers; `rows` by default.

    Returns
    -------
    outputs, losses : list of ndarray
        One for each device that has rows of the batch.
    """
    batch = batch or rows
    with autograd.record():
        outputs = [net(*arguments) for arguments in inputs]
        losses = [loss(output, label) for output, label in zip(outputs, labels)]
        # With fewer rows than devices the rest hold copies: they send a gradient of zero, since
        # the trainer expects one from each device.
        weighted = losses[:rows] + [spare * 0 for spare in losses[rows:]]
        if penalty is not None:
            weighted.append(penalty() * batch)
    autograd.backward(weighted)
    trainer.step(batch)
    return outputs[:rows], losses[:rows]


class Steps(Protocol):
    """A way to take a step: from a batch of rows to an update of the weights.

    A row is what a net gets: in AutoRec an item's or a user's ratings.

    Attributes
    ----------
    trainer : gluon.Trainer
    """

    trainer: Trainer

    def batches(self, size: int, shuffle: numpy.random.Generator) -> Iterator[Integers]:
        """Yield the rows to train on in batches, in an order that is drawn."""

    def count(self, rows: Integers) -> int:
        """Return the number of ratings in some rows."""

    def step(self, rows: Integers) -> list[Array]:
        """Update the weights from a batch of rows.

        Returns
        -------
        list of ndarray
            Squared errors before the update, an array for each device; of this worker's share of
            the rows, where there are several workers.
        """

    def write_back(self) -> None:
        """Leave the net with the weights of the last step."""

    def state(self) -> State:
        """Return what goes from one step to the next besides the net's weights."""

    def restore(self, state: State) -> None:
        """Go on from a state, and from the weights that the net has."""


def loss_scale(settings: Settings, train: Extent, net: AutoRec) -> float:
    """Return what a squared error adds to the loss of a row, in the unit of the net's outputs."""
    if settings.loss == "mean":
        scale = 1 / (2 * train.shape[1])
    elif settings.loss == "sum":
        scale = 1.0
    else:
        rows = len(train.rated_rows())
        scale = rows / len(train) if settings.loss == "rating" else float(rows)
    return scale / net.output_spread**2


def column_decays(settings: Settings, train: Extent) -> NDArray[numpy.float64] | None:
    """Return the weight decay of each column, shape (columns,); None where all are alike."""
    if settings.decay_power == 0:
        return None
    decays: NDArray[numpy.float64] = train.column_frequencies() ** settings.decay_power
    return settings.weight_decay * decays


class DenseSteps:
    """Steps that compute whole rows, rated or not.

    Parameters
    ----------
    net : AutoRec
    train : Interactions
    settings : Settings
    contexts : sequence of Context
    workers : Workers, optional
        Each takes a share of every batch; the step is that of one worker on the whole batch.
    """

    def __init__(
        self,
        net: AutoRec,
        train: Interactions,
        settings: Settings,
        contexts: Sequence[Context],
        workers: Workers | None = None,
    ) -> None:
        self.workers = workers or Workers()
        self.net, self.train, self.contexts = net, train, contexts
        self.scale = loss_scale(settings, train, net)
        self._signs_are_masks = train.positive
        self._decays: Array | None = None
        decays = column_decays(settings, train)
        if decays is not None:
            self._decays = np.array(decays, ctx=contexts[0])
            for matrix in (net.layers[0].weight, net.decoder.weight):
                matrix.wd_mult = 0.0  # _penalty takes its place
        # A list, in the net's order: Gluon sorts a dict by names, which count a process's layers.
        parameters = list(net.collect_params().values())
        self.trainer = make_trainer(
            parameters,
            settings.optimizer,
            settings.learning_rate,
            settings.weight_decay,
            self.workers,
        )

    def batches(self, size: int, shuffle: numpy.random.Generator) -> Iterator[Integers]:
        """Yield the rows that have a rating."""
        return self.train.batches(size, shuffle)

    def count(self, rows: Integers) -> int:
        """Return the number of rated cells in some rows."""
        return self.train.count(rows)

    def step(self, rows: Integers) -> list[Array]:
        """Update the weights from a batch of rows, of which each worker takes its share."""
        own = self.workers.share(rows)
        shown = own if len(own) else rows[:1]
        ratings = split_rows(self.train.dense(shown), self.contexts)
        arguments = [ratings]
        if not self._signs_are_masks:
            arguments.append(split_rows(self.train.mask(shown), self.contexts))
        inputs = list(zip(*arguments))
        decays = self._decays
        penalty = None if decays is None else partial(self._penalty, decays)
        batch = ratings, len(own), penalty, len(rows)
        _, losses = update(self.net, self.trainer, self._loss, inputs, *batch)
        return [loss / self.scale for loss in losses]

    def write_back(self) -> None:
        """Do nothing: the net's weights are those that steps change."""

    def state(self) -> State:
        """Return the optimizer's state."""
        return {"trainer": optimizer_state(self.trainer)}

    def restore(self, state: State) -> None:
        """Go on from a state, and from the weights that the net has."""
        restore_optimizer(self.trainer, state["trainer"])

    def _loss(self, predictions: Array, ratings: Array) -> Array:
        return squared_error(predictions, ratings) * self.scale

    def _penalty(self, decays: Array) -> Array:
        """Return this worker's part of the decay, Σ_j decay_j (|V_j|² + |W_j|²) / 2."""
        encoder = self.net.layers[0].weight.data(self.contexts[0])
        decoder = self.net.decoder.weight.data(self.contexts[0])
        squares = np.square(encoder).sum(axis=0) + np.square(decoder).sum(axis=1)
        return (decays * squares).sum() / (2 * self.workers.count)
