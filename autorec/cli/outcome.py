"""Outcome: whether a run has learned anything, and what to say where it has not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..errors import TrainingError

if TYPE_CHECKING:
    from ..training.history import History


def check_converged(histories: Sequence[History], scale: tuple[float, float]) -> None:
    """Refuse a run whose errors have grown beyond all ratings.

    Parameters
    ----------
    histories : sequence of History
        Of each net.
    scale : tuple of float
        Lowest and highest training rating.

    Raises
    ------
    TrainingError
        If a net ends with a larger training error than that of its first epoch, and than zeros in
        place of predictions would have.
    """
    for history in histories:
        first, last = history[0].train_rmse, history.best.train_rmse
        if last > max(first, _largest(scale)):
            raise TrainingError(
                f"Training diverges: the training RMSE grew from {first:.4g} in epoch 1 to "
                f"{last:.4g} in epoch {history.best.epoch}; lower the learning rate (--lr)."
            )


def doubt(
    histories: Sequence[History],
    scale: tuple[float, float],
    test_rmse: float,
    test_rmse_of_mean: float,
) -> str | None:
    """Return what to say of a run that has learned nothing; None of any other.

    Parameters
    ----------
    histories, scale
        See `check_converged`.
    test_rmse, test_rmse_of_mean : float
        Of the model, and of the mean of all training ratings.
    """
    low, high = scale
    worst = max(test_rmse, *(history.best.train_rmse for history in histories))
    if worst > _largest(scale):
        return (
            f"The net ends far outside the scale of the ratings, {low:g} to {high:g} (RMSE "
            f"{worst:.4g}): lower the learning rate (--lr)."
        )
    if test_rmse > test_rmse_of_mean:
        return (
            f"That is worse than the mean of all training ratings, whose test RMSE is "
            f"{test_rmse_of_mean:.4f}: try more epochs (--epochs) or another learning rate (--lr)."
        )
    return None


def _largest(scale: tuple[float, float]) -> float:
    low, high = scale
    return max(abs(low), abs(high), high - low)
