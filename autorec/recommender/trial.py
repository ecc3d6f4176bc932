"""Trial: a run whose hyperparameters are kept if it predicts ratings that are held out best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..data import RatingsIn
from ..model import AutoRec
from ..training.history import History
from .presets import Parameters

#: Doublings or halvings of the weight decay, at most, and the share by which a trial has to lower
#: the validation RMSE for it to count.
MOST_STEPS, LEAST_GAIN = 8, 1e-4
#: What may go in where that is chosen: with the pattern of the rated cells, and without.
GOING_IN: tuple[RatingsIn, ...] = ("shifted", "mean")


@dataclass(frozen=True)
class Trial:
    """A net that was trained with some hyperparameters, and how that went."""

    parameters: Parameters
    net: AutoRec
    history: History

    @property
    def rmse(self) -> float:
        """The lowest validation RMSE."""
        return self.history.best.validation_rmse or 0.0

    def beats(self, other: Trial) -> bool:
        """Whether it is better than another by enough to count."""
        return self.rmse < (1 - LEAST_GAIN) * other.rmse


def best_trial(
    parameters: Parameters, run: Callable[[Parameters, str], tuple[AutoRec, History]]
) -> Trial:
    """Choose what goes in, then the weight decay, where that is asked for.

    Parameters
    ----------
    parameters : Parameters
        The first to try.
    run : callable
        Trains a net; also gets a name, by which the trial is resumed.
    """

    def tried(own: Parameters) -> Trial:
        other = "" if own.ratings_in == parameters.ratings_in else f"{own.ratings_in}-"
        return Trial(own, *run(own, f"{other}decay-{own.weight_decay:.3g}"))

    best = tried(parameters)
    if parameters.choose_ratings_in:
        for going_in in GOING_IN:
            if going_in != parameters.ratings_in:
                other = tried(replace(best.parameters, ratings_in=going_in))
                best = other if other.beats(best) else best
    if parameters.choose_decay:
        first = best
        for factor in (2.0, 0.5):
            for _ in range(MOST_STEPS):
                decay = factor * best.parameters.weight_decay
                other = tried(replace(best.parameters, weight_decay=decay))
                if not other.beats(best):
                    break
                best = other
            if best is not first:
                break
    return best
