"""Training: batches over one or several devices, a Gluon trainer, and the history of a run."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Callable, Literal

import numpy
import pandas as pd

from ._mxnet import autograd, gluon, mx, np
from .devices import split_rows, try_all_gpus
from .errors import ConfigurationError, TrainingError
from .evaluation import evaluate
from .interactions import Interactions

Loss = Literal["mean", "sum"]


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training ratings gave.

    `train_rmse` is over the rated cells, as met while training (with dropout, before each
    update). `validation_rmse` and `test_rmse` are taken after the epoch. `seconds` is training
    without evaluation.
    """

    epoch: int
    train_rmse: float
    validation_rmse: float | None
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

    @property
    def best(self) -> Epoch:
        """The epoch with the lowest validation RMSE, the last one where there is none.

        A test RMSE never decides.
        """

        def rmse(epoch: Epoch) -> float:
            return math.inf if epoch.validation_rmse is None else epoch.validation_rmse

        best = min(self.epochs, key=rmse)
        return self.epochs[-1] if best.validation_rmse is None else best

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
            validation_rmse=None,
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
    validation: Interactions | None = None,
    test: Interactions | None = None,
    num_epochs: int = 25,
    batch_size: int = 256,
    loss: Loss = "mean",
    optimizer: str = "adam",
    learning_rate: float = 0.002,
    learning_rate_decay: float = 1.0,
    weight_decay: float = 1e-5,
    decay_biases: bool = True,
    init: Any | None = None,
    start: Mapping[str, Any] | None = None,
    patience: int | None = None,
    clip: tuple[float, float] | None = None,
    cold: float | None = None,
    contexts: Sequence[Any] | None = None,
    seed: int = 0,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> History:
    """Train AutoRec; the defaults are the section's settings.

    Parameters
    ----------
    net : AutoRec
        Its parameters are initialised here, whatever they were.
    train : Interactions
        The only ratings that the weights depend on.
    validation : Interactions, optional
        Part of the ratings at hand, held out: the net ends with the weights of the epoch that
        predicts these best.
    test : Interactions, optional
        Reported after each epoch and used for nothing else.
    num_epochs, batch_size : int
        Passes over the rows, and rows a step; the last step of a pass may have fewer.
    loss : {"mean", "sum"}
        What a row adds: the section's half squared error over all cells of the row, rated or not,
        or the paper's sum of squared errors over the rated cells. See the notes.
    optimizer : str
        Any of Gluon's, by name.
    learning_rate, learning_rate_decay : float
        Epoch n goes at ``learning_rate * learning_rate_decay ** (n - 1)``.
    weight_decay : float
        The optimizer adds weight_decay times the parameter to its gradient.
    decay_biases : bool
        Whether biases decay too, as in the section, or the weight matrices alone, as in the paper.
    init : mx.init.Initializer, optional
        Of the weights; Normal(0.01), as in the section, by default. Biases start at 0.
    start : mapping of str to ndarray, optional
        Values to start from instead, by parameter name ("encoder.weight", ...); see `pretrain`.
    patience : int, optional
        Stop after so many epochs without a better validation RMSE.
    clip, cold : optional
        How the validation and test ratings are predicted, see `predict_cells`.
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
        If there is nothing to train on, Gluon has no such optimizer, or there is patience without
        validation.
    TrainingError
        If the training error is no longer finite.

    Notes
    -----
    The paper (equation 2) minimises ``Σ (r - r̂)² + λ/2 (|W|² + |V|²)``, summed over the ratings of
    all M rows. `fit` averages over rows: the same objective is the loss "sum" with
    ``weight_decay = λ / M``, and, for rows of N cells, the loss "mean" with
    ``weight_decay = λ / (2 M N)``. (The section writes λ for λ/2.)
    """
    if len(train) == 0:
        raise ConfigurationError("There are no ratings to train on; give at least one.")
    if loss not in ("mean", "sum"):
        raise ConfigurationError(f"loss must be 'mean' or 'sum', not {loss!r}.")
    contexts = list(contexts or try_all_gpus())
    mx.random.seed(seed)
    shuffle = numpy.random.default_rng(seed)
    parameters = net.collect_params()
    net.initialize(init or mx.init.Normal(0.01), ctx=contexts, force_reinit=True)
    for name, value in (start or {}).items():
        net._collect_params_with_prefix()[name].set_data(np.array(value))
    for name, parameter in parameters.items():
        parameter.wd_mult = 1.0 if decay_biases or not name.endswith("bias") else 0.0
    trainer = make_trainer(parameters, optimizer, learning_rate, weight_decay)
    scale = 1 / (2 * train.shape[1]) if loss == "mean" else 1.0
    signs_are_masks = train.positive

    def row_loss(predictions: Any, ratings: Any) -> Any:
        return squared_error(predictions, ratings) * scale

    def run_epoch(number: int) -> Epoch:
        sums = EpochSums()
        for rows in train.batches(batch_size, shuffle):
            ratings = split_rows(train.dense(rows), contexts)
            arguments = [ratings]
            if not signs_are_masks:
                arguments.append(split_rows(train.mask(rows), contexts))
            _, losses = update(net, trainer, row_loss, list(zip(*arguments)), ratings, len(rows))
            sums.add([part / scale for part in losses], train.count(rows), len(rows))
        return sums.close(number)

    def rmse(ratings: Interactions) -> float:
        return evaluate(net, train, ratings, contexts, clip=clip, cold=cold).rmse

    return repeat_epochs(
        run_epoch,
        trainer,
        num_epochs=num_epochs,
        learning_rate=learning_rate,
        learning_rate_decay=learning_rate_decay,
        validation_rmse=None if validation is None else lambda: rmse(validation),
        test_rmse=None if test is None else lambda: rmse(test),
        patience=patience,
        on_epoch=on_epoch,
    )


def repeat_epochs(
    run_epoch: Callable[[int], Epoch],
    trainer: Any,
    *,
    num_epochs: int,
    learning_rate: float,
    learning_rate_decay: float,
    validation_rmse: Callable[[], float] | None = None,
    test_rmse: Callable[[], float] | None = None,
    patience: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> History:
    """Run epochs, lower the learning rate after each, and keep the best weights.

    Parameters
    ----------
    run_epoch : callable
        Trains for the epoch of that number, from 1.
    trainer : gluon.Trainer
        Over all parameters of the net.
    validation_rmse, test_rmse : callable, optional
        Taken after each epoch. The weights of the epoch with the lowest validation RMSE are those
        that the net ends with; the test RMSE is reported alone.
    num_epochs, learning_rate, learning_rate_decay, patience, on_epoch
        As of `fit`.

    Raises
    ------
    ConfigurationError
        If there is patience without validation.
    """
    if patience is not None and validation_rmse is None:
        raise ConfigurationError("patience needs validation ratings; hold some out.")
    parameters = trainer._params
    best: list[Any] = []
    history = History()
    for number in range(1, num_epochs + 1):
        trainer.set_learning_rate(learning_rate * learning_rate_decay ** (number - 1))
        epoch = replace(
            run_epoch(number),
            validation_rmse=validation_rmse and validation_rmse(),
            test_rmse=test_rmse and test_rmse(),
        )
        for score in (epoch.validation_rmse, epoch.test_rmse):
            if score is not None and not math.isfinite(score):
                raise TrainingError(
                    f"The predictions are no longer finite in epoch {number}; lower the learning "
                    "rate."
                )
        history.epochs.append(epoch)
        if validation_rmse is not None and history.best is epoch:
            best = [parameter.list_data()[0].copy() for parameter in parameters]
        if on_epoch is not None:
            on_epoch(epoch)
        if patience is not None and number - history.best.epoch >= patience:
            break
    for parameter, value in zip(parameters, best):
        parameter.set_data(value)
    return history


def make_trainer(parameters: Any, optimizer: str, learning_rate: float, weight_decay: float) -> Any:
    """Return a `gluon.Trainer`.

    Raises
    ------
    ConfigurationError
        If Gluon has no optimizer of that name.
    """
    # "test" is MXNet's own, and GroupAdaGrad works on row-sparse gradients alone.
    known = sorted(set(mx.optimizer.Optimizer.opt_registry) - {"test", "groupadagrad"})
    if optimizer.lower() not in known:
        raise ConfigurationError(
            f"There is no optimizer {optimizer!r}; choose one of {', '.join(known)}."
        )
    options = {"learning_rate": learning_rate, "wd": weight_decay}
    return gluon.Trainer(parameters, optimizer, options)
