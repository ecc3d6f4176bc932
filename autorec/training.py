"""Training: batches over one or several devices, a Gluon trainer, and the history of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Callable

import numpy
import pandas as pd

from ._mxnet import autograd, gluon, mx, np
from .devices import split_rows, try_all_gpus
from .errors import ConfigurationError, TrainingError
from .evaluation import evaluate
from .interactions import Interactions


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training ratings gave.

    `train_rmse` is over the rated cells, as met while training (with dropout, before each
    update). `test_rmse` is taken after the epoch. `seconds` is training without evaluation.
    """

    epoch: int
    train_rmse: float
    test_rmse: float | None
    seconds: float
    ratings_per_second: float
    rows_per_second: float


@dataclass
class History:
    """The epochs of a run, in order."""

    epochs: list[Epoch] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[Epoch]:
        return iter(self.epochs)

    def __getitem__(self, index: int) -> Epoch:
        return self.epochs[index]

    def frame(self) -> pd.DataFrame:
        """Return a table with one row an epoch."""
        return pd.DataFrame([asdict(epoch) for epoch in self.epochs])


class EpochSums:
    """Squared error, ratings and rows, summed over the batches of an epoch."""

    def __init__(self) -> None:
        self.squared_error = 0.0
        self.ratings = self.rows = 0
        self._pending: list[Any] = []
        self._started = time.perf_counter()

    def add(self, squared_errors: list[Any], ratings: int, rows: int) -> None:
        """Add a batch; its errors, one array a device, are awaited when the next batch is added.

        MXNet computes in the background: waiting one batch late lets the next one be prepared
        meanwhile, and still keeps no more than two in memory.
        """
        self._settle()
        self._pending = squared_errors
        self.ratings += ratings
        self.rows += rows

    def _settle(self) -> None:
        self.squared_error += sum(float(errors.sum()) for errors in self._pending)
        self._pending = []

    def close(self, epoch: int) -> Epoch:
        """Wait for the last batch and return the epoch.

        Raises
        ------
        TrainingError
            If the error is not finite.
        """
        self._settle()
        seconds = time.perf_counter() - self._started
        if not math.isfinite(self.squared_error):
            raise TrainingError(
                f"The training error is no longer finite in epoch {epoch}; lower the learning rate."
            )
        return Epoch(
            epoch=epoch,
            train_rmse=math.sqrt(self.squared_error / max(self.ratings, 1)),
            test_rmse=None,
            seconds=seconds,
            ratings_per_second=self.ratings / seconds,
            rows_per_second=self.rows / seconds,
        )


def squared_error(predictions: Any, ratings: Any) -> Any:
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
    net: Any,
    trainer: Any,
    loss: Callable[[Any, Any], Any],
    inputs: Sequence[Sequence[Any]],
    labels: Sequence[Any],
    rows: int,
) -> tuple[list[Any], list[Any]]:
    """Take one optimizer step on a batch that is spread over devices.

    The gradient is the sum over the rows of all devices, divided by `rows`: it does not depend on
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
        The batch's rows over all devices.

    Returns
    -------
    outputs, losses : list of ndarray
        One for each device that has rows of the batch.
    """
    with autograd.record():
        outputs = [net(*arguments) for arguments in inputs]
        losses = [loss(output, label) for output, label in zip(outputs, labels)]
        # With fewer rows than devices the rest hold copies: they send a gradient of zero, since
        # the trainer expects one from each device.
        weighted = losses[:rows] + [spare * 0 for spare in losses[rows:]]
    autograd.backward(weighted)
    trainer.step(rows)
    return outputs[:rows], losses[:rows]


def fit(
    net: Any,
    train: Interactions,
    *,
    test: Interactions | None = None,
    num_epochs: int = 25,
    batch_size: int = 256,
    optimizer: str = "adam",
    learning_rate: float = 0.002,
    weight_decay: float = 1e-5,
    init: Any | None = None,
    contexts: Sequence[Any] | None = None,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> History:
    """Train a new AutoRec; the defaults are the section's settings.

    Minimises the section's loss, half the squared error over the rated cells divided by all
    cells of a row, averaged over the batch.

    Parameters
    ----------
    net : AutoRec
        Its parameters are initialised here.
    train : Interactions
        The only ratings that the weights depend on.
    test : Interactions, optional
        Reported after each epoch and used for nothing else.
    num_epochs, batch_size : int
        Passes over the rows, and rows a step; the last step of a pass may have fewer.
    optimizer : str
        Any of Gluon's, by name.
    learning_rate, weight_decay : float
        The weight decay is on all parameters, biases too.
    init : mx.init.Initializer, optional
        Of the weights; Normal(0.01), as in the section, by default. Biases start at 0.
    contexts : sequence of Context, optional
        Every GPU, else the CPU, by default.
    seed : int
        Of weights, order and dropout. It seeds MXNet's generators.
    on_epoch : callable, optional
        Called with each `Epoch`.

    Returns
    -------
    History

    Raises
    ------
    ConfigurationError
        If there is nothing to train on, or Gluon has no such optimizer.
    TrainingError
        If the training error is no longer finite.
    """
    if len(train) == 0:
        raise ConfigurationError("There are no ratings to train on; give at least one.")
    if optimizer.lower() not in mx.optimizer.Optimizer.opt_registry:
        known = ", ".join(sorted(mx.optimizer.Optimizer.opt_registry))
        raise ConfigurationError(f"There is no optimizer {optimizer!r}; choose one of {known}.")
    contexts = list(contexts or try_all_gpus())
    mx.random.seed(seed)
    shuffle = numpy.random.default_rng(seed)
    net.initialize(init or mx.init.Normal(0.01), ctx=contexts, force_reinit=True)
    trainer = gluon.Trainer(
        net.collect_params(), optimizer, {"learning_rate": learning_rate, "wd": weight_decay}
    )
    scale = 1 / (2 * train.shape[1])

    def loss(predictions: Any, ratings: Any) -> Any:
        return squared_error(predictions, ratings) * scale

    history = History()
    for number in range(1, num_epochs + 1):
        sums = EpochSums()
        for rows in train.batches(batch_size, shuffle):
            ratings = split_rows(train.dense(rows), contexts)
            masks = split_rows(train.mask(rows), contexts)
            _, losses = update(net, trainer, loss, list(zip(ratings, masks)), ratings, len(rows))
            sums.add([part / scale for part in losses], train.count(rows), len(rows))
        epoch = sums.close(number)
        if test is not None:
            epoch = replace(epoch, test_rmse=evaluate(net, train, test, contexts).rmse)
        history.epochs.append(epoch)
        if on_epoch is not None:
            on_epoch(epoch)
    return history
