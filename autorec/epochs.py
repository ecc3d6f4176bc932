"""Epochs: one after the other, with what is done after each, until there are enough."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Callable

from ._mxnet import mx
from .errors import ConfigurationError, TrainingError
from .history import Epoch, History
from .progress import Progress, load_weights

#: The product of the weights' norms from which on float32 may not hold what is predicted.
_MOST = 1e30


def repeat_epochs(
    run_epoch: Callable[[int], Epoch],
    trainer: Any,
    net: Any,
    *,
    num_epochs: int,
    learning_rate: float,
    learning_rate_decay: float,
    validation_rmse: Callable[[], float] | None = None,
    test_rmse: Callable[[], float] | None = None,
    averaging: float = 0.0,
    patience: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    progress: Progress | None = None,
    after_epoch: Callable[[], None] | None = None,
) -> History:
    """Run epochs, lower the learning rate after each, and keep the best weights.

    Parameters
    ----------
    run_epoch : callable
        Trains for the epoch of that number, from 1.
    trainer : gluon.Trainer
        Gets the learning rate of each epoch.
    net : Block
    validation_rmse, test_rmse : callable, optional
        Taken after each epoch. The weights of the epoch with the lowest validation RMSE are those
        that the net ends with; the test RMSE is reported alone.
    num_epochs, learning_rate, learning_rate_decay, averaging, patience, on_epoch
        As of `fit`.
    progress : Progress, optional
        What to go on from, the net having its last weights; kept up to date.
    after_epoch : callable, optional
        Called after each epoch, before `on_epoch`.

    Raises
    ------
    ConfigurationError
        If there is patience without validation.
    TrainingError
        If predictions, or the weights that the net would end with, are no longer finite.
    """
    if patience is not None and validation_rmse is None:
        raise ConfigurationError("patience needs validation ratings; hold some out.")
    parameters = list(net.collect_params().values())

    def weights() -> list[Any]:
        return [parameter.list_data()[0].copy() for parameter in parameters]

    progress = progress or Progress()
    history = progress.history
    for number in range(len(history) + 1, num_epochs + 1):
        if patience is not None and history.epochs and number > history.best.epoch + patience:
            break
        trainer.set_learning_rate(learning_rate * learning_rate_decay ** (number - 1))
        epoch = run_epoch(number)
        if averaging:
            progress.last = weights()
            share = (1 - averaging) / (1 - averaging**number)
            means = zip(progress.mean or progress.last, progress.last)
            progress.mean = [old + share * (new - old) for old, new in means]
            load_weights(net, progress.mean)
        epoch = replace(
            epoch,
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
        if validation_rmse is None or history.best is epoch:
            progress.best = progress.mean or ([] if validation_rmse is None else weights())
        if after_epoch is not None:
            after_epoch()
        if on_epoch is not None:
            on_epoch(epoch)
        if averaging:
            load_weights(net, progress.last)
    load_weights(net, progress.best)
    # The training error was taken before the last step.
    if history.epochs:
        _check_weights(net, history.best.epoch if progress.best else len(history))
    return history


def _check_weights(net: Any, epoch: int) -> None:
    """Refuse weights that are not finite, or so large that predictions need not be."""
    bound = 1.0
    for parameter in net.collect_params().values():
        norm = float(mx.nd.norm(parameter.list_data()[0].as_nd_ndarray()).asscalar())
        bound *= norm if norm > 1 or math.isnan(norm) else 1.0
    if not bound < _MOST:
        raise TrainingError(
            f"The weights are no longer finite after epoch {epoch}; lower the learning rate."
        )
