"""Settings: every hyperparameter, declared once.

What `fit` and `Recommender` take, the flags of ``autorec train`` and their help, what a resumed run
is compared by, metrics.json and a model's manifest all come from the fields declared here and in
`presets`: to add a hyperparameter, declare it and use it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from typing import Literal, Optional, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy

from .._bounds import LARGEST, real, whole
from ..compute import Compute
from ..errors import ConfigurationError

Loss = Literal["mean", "sum", "rating", "total"]
Updates = Literal["exact", "lazy", "auto"]

Value = TypeVar("Value")

# Gluon's, by name.
_OPTIMIZERS = (
    *("adadelta", "adagrad", "adam", "adamax", "ccsgd", "dcasgd", "ftml", "ftrl", "lamb", "lars"),
    *("lbsgd", "nadam", "nag", "rmsprop", "sgd", "sgld", "signum"),
)
#: Of these, those that scale an update by norms of whole matrices, or draw, which workers that own
#: columns cannot.
NOT_BY_COLUMNS = ("lamb", "lars", "lbsgd", "sgld")

_BOUNDS = ("least", "most", "above", "below")


def setting(
    default: Value,
    help: str,
    *,
    flag: str | None = "",
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
    fingerprint: bool = True,
) -> Value:
    """Declare a hyperparameter, a field of a dataclass of settings.

    Parameters
    ----------
    default
    help : str
        One line, for the command line.
    flag : str, optional
        Its name on the command line; by default its own, with dashes. None for no flag.
    least, most, above, below : float, optional
        Bounds of a number, or of each of several: at least, at most, more than, less than.
    choices : sequence of str, optional
        The texts to choose from, in any case.
    fingerprint : bool
        Whether the weights depend on it, so that a run is resumed with the same value only.
    """
    bounds = {"least": least, "most": most, "above": above, "below": below}
    declared = {"help": help, "flag": flag, "choices": choices, "fingerprint": fingerprint}
    return field(default=default, metadata={**bounds, **declared})


@dataclass(frozen=True)
class Settings:
    """What `fit` trains by; the defaults are the section's.

    Parameters
    ----------
    num_epochs, batch_size : int
        Passes over the rows, and rows per step; the last step of a pass may have fewer.
    steps_per_epoch : int, optional
        Steps of a pass, in place of `batch_size`: a table of a hundred rows then gets as many as
        one of a hundred thousand.
    loss : {"mean", "sum", "rating", "total"}
        Each counts only the rated cells of a row, and they differ in what they divide by: "mean"
        is the section's, half the sum of squared errors over the number of all the row's cells,
        rated or not; "sum" is the paper's, the sum itself; "rating" is the sum over the mean
        number of ratings of a row, which makes the objective the mean squared error of a rating
        and the decay; "total" is the sum times the number of rows, which makes it the paper's
        objective and the decay its λ. Errors are in the unit of the net's outputs, spreads of the
        ratings where a `Scaling` makes them so. See the notes of `fit`.
    optimizer : str
        One of Gluon's, by name.
    learning_rate, learning_rate_decay : float
        Epoch n uses ``learning_rate * learning_rate_decay ** (n - 1)``.
    weight_decay : float
        The optimizer adds weight_decay times the parameter to its gradient. What it is in the
        paper's λ is in the notes of `fit`. With the loss "total" it is λ itself, and with "rating"
        λ for each rating: either means the same for any number of rows and, beside a `Scaling`,
        for any unit of the ratings.
    decay_growth : float
        With n training ratings the weight decay is ``weight_decay * (n / 100,000) **
        decay_growth``: with the loss "total", 0 is one λ for any number of ratings and 1 one for
        each rating.
    decay_biases : bool
        Whether biases decay too, as in the section, or only the weight matrices, as in the paper.
    decay_power : float
        The decay of what the two large matrices hold for a column with n ratings is multiplied by
        ``(n / mean n) ** decay_power``: 0 treats all alike, 1 is the weighted regularisation of
        Zhou et al. (2008).
    averaging : float
        At least 0, below 1: the net predicts, and ends, with an average of the weights after each
        epoch, in which an epoch counts `averaging` times as much as the next; 0 for the last
        weights. (Polyak & Juditsky 1992, with an exponential average.)
    patience : int, optional
        Stop after so many epochs without a better validation RMSE.
    compute : {"auto", "dense", "sparse"}
        Whole rows, or only the rated cells: the same numbers to within rounding, except with
        `input_dropout`, which each draws differently. See `is_sparse`.
    updates : {"exact", "lazy", "auto"}
        Which lines of the two large matrices a step updates; a line is what they hold for a column.
        "exact" is the optimizer's step on all; "lazy" leaves alone what no rating of the batch
        touches, as MXNet's Adam with ``lazy_update`` does: neither decay nor momentum moves it
        until it is touched again. It is for Adam on the rated cells, by kernels on one CPU context.
        "auto" is lazy where it can be and steps touch few lines, see `is_lazy`.

    Raises
    ------
    ConfigurationError
        If a value is out of its bounds or of another type.
    """

    num_epochs: int = setting(
        25, "Passes over the training ratings.", flag="--epochs", least=1, fingerprint=False
    )
    batch_size: int = setting(256, "Rows per step.", least=1)
    steps_per_epoch: Optional[int] = setting(
        None, "Steps of an epoch, whatever the number of rows; none for --batch-size.", least=1
    )
    loss: Loss = setting(
        "mean",
        "Squared errors at the rated cells of a row: half their sum over all its cells, as the "
        "section; their sum, as the paper; that over the mean number of ratings; or times the "
        "number of rows, which makes --wd the paper's lambda.",
    )
    optimizer: str = setting("adam", "One of Gluon's.", choices=_OPTIMIZERS)
    learning_rate: float = setting(0.002, "The learning rate.", flag="--lr", above=0)
    learning_rate_decay: float = setting(
        1.0, "The learning rate's factor after each epoch.", flag="--lr-decay", least=0
    )
    weight_decay: float = setting(1e-5, "Weight decay.", flag="--wd", least=0)
    decay_growth: float = setting(
        0.0, "More weight decay for more ratings: times (ratings / 100,000) to this power."
    )
    decay_biases: bool = setting(True, "Decay biases too, or only the weight matrices.")
    decay_power: float = setting(
        0.0, "More decay for frequent columns: times (count / mean) to this power.", least=0
    )
    averaging: float = setting(
        0.0, "Average the weights over epochs; 0 for the last ones.", least=0, below=1
    )
    patience: Optional[int] = setting(
        None, "Epochs without a better validation RMSE that end the training.", least=1
    )
    compute: Compute = setting(
        "auto",
        "Whole rows, or only the rated cells; the same numbers, except with --input-dropout.",
    )
    updates: Updates = setting(
        "exact",
        "Adam on all weights, or on those of a batch's columns alone; auto where they are few.",
        flag="--update",
    )

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for each in fields(self):
            value = checked(each, hints[each.name], getattr(self, each.name))
            object.__setattr__(self, each.name, value)
        growth = math.log(self.learning_rate_decay) if self.learning_rate_decay > 1 else 0.0
        if math.log(self.learning_rate) + (self.num_epochs - 1) * growth > math.log(LARGEST):
            raise ConfigurationError(
                f"learning_rate_decay {self.learning_rate_decay:g} takes the learning rate past "
                f"all bounds within {self.num_epochs} epochs; 1 or less lowers it."
            )


def checked(declared: Field[object], kind: object, value: object) -> object:
    """Return a value of a hyperparameter, a number of NumPy's as one of Python's.

    Parameters
    ----------
    declared : Field
        From `setting`.
    kind : type
        Its annotation.
    value

    Raises
    ------
    ConfigurationError
        If it is out of bounds or of another type.
    """
    rules = declared.metadata
    if kind == Optional[Mapping[str, object]]:
        if value is not None and not isinstance(value, Mapping):
            raise _refused(declared, "must be a mapping of names to values", value)
        return value
    if get_origin(kind) is Union:  # int | Sequence[int], or with None
        if value is None and type(None) in get_args(kind):
            return None
        several = Sequence[int] in get_args(kind) and not isinstance(value, str)
        if several and isinstance(value, Sequence) and len(value):
            return [checked(declared, int, each) for each in value]
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise _refused(declared, f"must be {_listed(get_args(kind))}", value)
        return value
    if kind is str:
        if not isinstance(value, str):
            raise _refused(declared, "must be text", value)
        if rules["choices"] and value.lower() not in rules["choices"]:
            raise _refused(declared, f"must be {_listed(rules['choices'])}", value)
        return value
    if kind is bool:
        if not isinstance(value, (bool, numpy.bool_)):
            raise _refused(declared, "must be True or False", value)
        return bool(value)
    check = whole if kind is int else real
    return check(_name(declared), value, **{each: rules[each] for each in _BOUNDS})


def _listed(names: Sequence[str]) -> str:
    *others, last = map(repr, names)
    return f"{', '.join(others)} or {last}" if others else last


def _refused(declared: Field[object], rule: str, value: object) -> ConfigurationError:
    return ConfigurationError(f"{_name(declared)} {rule}, not {value!r}.")


def _name(declared: Field[object]) -> str:
    flag = flag_of(declared)
    return f"{declared.name} ({flag})" if flag else declared.name


def flag_of(declared: Field[object]) -> str | None:
    """Return the flag of a hyperparameter on the command line; None if it has none."""
    flag: str | None = declared.metadata["flag"]
    return f"--{declared.name.replace('_', '-')}" if flag == "" else flag
