"""Presets: the hyperparameters of `Recommender`, and named sets of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Optional, Union

from .._bounds import MOST_SEED
from ..data import RatingsIn, RatingsOut, View
from ..errors import ConfigurationError
from ..training.settings import NOT_BY_COLUMNS, Settings, setting

Views = Literal["item", "user", "both"]

#: What both views have in common.
SHARED = {
    *("view", "user_view", "user_weight", "members", "holdout", "choose_decay"),
    *("choose_ratings_in", "clip", "cold_rating", "devices", "random_state"),
}

_ACTIVATIONS = ("identity", "relu", "softrelu", "sigmoid", "softsign", "tanh")


@dataclass(frozen=True)
class Parameters(Settings):
    """The hyperparameters of a `Recommender`: those of `fit`, and these; defaults as the section.

    Parameters
    ----------
    view : {"item", "user", "both"}
        What a row is: "item" for I-AutoRec, "user" for U-AutoRec; "both" for one of each, whose
        predictions are averaged.
    user_view : mapping of str to object, optional
        In the view "both": hyperparameters of the U-AutoRec that differ, by name. (All but view,
        members, holdout, choose_decay, choose_ratings_in, clip, cold_rating, devices and
        random_state may.)
    user_weight : float, optional
        In the view "both": how much the U-AutoRec's predictions count, from 0 to 1. By default the
        weight that is best on the validation ratings, or on those that `holdout` sets aside.
    members : int
        Nets of each view, trained from the seeds random_state, random_state + 1, ..., whose
        predictions are averaged.
    holdout : float
        The share of the training ratings, drawn at random, that is set aside to choose by: a first
        run without them finds the number of epochs, at most `num_epochs`, and the weight of the
        views; then all are trained on. 0 for no such run, except that a weight which is left open
        takes a tenth. With validation ratings these choose instead, and there is one run.
    choose_decay : bool
        Whether ratings that are held out choose the weight decay of each view, too: it is doubled
        for as long as that lowers the validation RMSE, or else halved; each try is a run.
    choose_ratings_in : bool
        Whether ratings that are held out choose `ratings_in`, before the decay: "shifted" or
        "mean", where they predict better than what it is. In the view "both" the I-AutoRec
        chooses, and the U-AutoRec takes the same, unless `user_view` names its own.
    num_hidden, encoder_activation, decoder_activation, dropout, input_dropout
        See `AutoRec`.
    ratings_in, ratings_out
        In which unit ratings go into the net and come out of it, see `Scaling`. Unless it is raw,
        a rating may be 0 or below, and a user or an item without training ratings is predicted
        the mean, or the biased mean with what is known, where `cold_rating` names nothing else.
    normalise : bool
        Whether rows are normalised to the mean number of ratings a row has, see `AutoRec`.
    pretrain_epochs : int
        Epochs of pretraining, in which the layers of a deep net are trained in pairs; 0 for none.
        See `pretrain`.
    finetuning_rate : float, optional
        The learning rate of the whole net after pretraining; `learning_rate` by default.
    clip : bool
        Whether predictions are kept within the scale of the training ratings.
    cold_rating : float, optional
        What is predicted for a user or an item without training ratings; by default what
        `ratings_out` says, and where that is raw the middle of the scale of the training ratings.
    init_sigma : float
        Standard deviation of the first weights; 0 for Xavier's rule, which deep nets need.
    devices : str
        See `contexts`.
    random_state : int
        The seed of weights, order and dropout.
    """

    view: Views = setting("item", "What a row is; both for a net of each view, averaged.")
    user_view: Optional[Mapping[str, object]] = setting(
        None, "For --view both: what differs in the user view, such as lr=0.005,epochs=60."
    )
    user_weight: Optional[float] = setting(
        None, "For --view both: the share of the user view; none to choose it.", least=0, most=1
    )
    members: int = setting(1, "Nets of each view, from seeds in a row, averaged.", least=1)
    holdout: float = setting(
        0.0,
        "The share of the training ratings that first chooses epochs and --user-weight, before "
        "all are trained on.",
        least=0,
        below=1,
    )
    choose_decay: bool = setting(
        False, "Double or halve --wd for as long as ratings that are held out are predicted better."
    )
    choose_ratings_in: bool = setting(
        False, "Let ratings that are held out choose --ratings-in, shifted or mean."
    )
    num_hidden: Union[int, Sequence[int]] = setting(
        500, "Hidden units: 500, or 500,250,500 for a deep net.", flag="--hidden", least=1
    )
    encoder_activation: str = setting(
        "sigmoid", "The encoder's activation.", flag="--encoder", choices=_ACTIVATIONS
    )
    decoder_activation: str = setting(
        "identity", "The decoder's activation.", flag="--decoder", choices=_ACTIVATIONS
    )
    ratings_in: RatingsIn = setting(
        "raw", "Ratings go in as they are, in spreads from 3, from the mean, or from biased means."
    )
    ratings_out: RatingsOut = setting(
        "raw", "The net gives ratings as they are, or in spreads from the mean or biased means."
    )
    dropout: float = setting(0.05, "Dropout on the code.", least=0, below=1)
    input_dropout: float = setting(0.0, "Dropout on the input ratings.", least=0, below=1)
    normalise: bool = setting(False, "Scale rows to the mean number of ratings.")
    pretrain_epochs: int = setting(
        0, "Epochs of layer-wise pretraining, for a deep net; 0 for none.", least=0
    )
    finetuning_rate: Optional[float] = setting(
        None,
        "The learning rate after pretraining; none for --lr.",
        flag="--finetuning-lr",
        above=0,
    )
    clip: bool = setting(False, "Keep predictions within the rating scale.")
    cold_rating: Optional[float] = setting(
        None,
        "The prediction where a user or item has no training rating; none for the middle of the "
        "scale, or what --ratings-out says.",
    )
    init_sigma: float = setting(
        0.01, "Standard deviation of the first weights; 0 for Xavier's rule.", flag=None, least=0
    )
    devices: str = setting(
        "gpu",
        "cpu; cpu:N for N contexts on the CPU; gpu for all GPUs, or the CPU without one; gpu:0,1.",
    )
    random_state: int = setting(
        0,
        "The seed of split, weights, order and dropout.",
        flag="--seed",
        least=0,
        most=MOST_SEED,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.user_view is None:
            return
        allowed = {each.name for each in fields(self)} - SHARED
        for name in self.user_view:
            if name not in allowed:
                raise ConfigurationError(
                    f"user_view has {name!r}, which is no hyperparameter of its own; it may have "
                    f"{', '.join(sorted(allowed))}."
                )
        own: dict[str, Any] = {**self.user_view, "user_view": None}
        checked = replace(self, **own)
        kept = {name: getattr(checked, name) for name in self.user_view}
        object.__setattr__(self, "user_view", kept)

    def of_view(self, view: View) -> Parameters:
        """Return the hyperparameters of the nets of one view."""
        own: dict[str, Any] = {"view": view, "user_view": None}
        if view == "user" and self.view == "both":
            own.update(self.user_view or {})
        return replace(self, **own)

    @property
    def views(self) -> list[View]:
        """The views that have nets."""
        return ["item", "user"] if self.view == "both" else [self.view]

    @property
    def share_held_out(self) -> float:
        """The share of the training ratings that is set aside to choose by."""
        open_weight = self.view == "both" and self.user_weight is None
        return self.holdout or (0.1 if open_weight else 0.0)

    @property
    def by_trial(self) -> list[str]:
        """What ratings that are held out choose for each view by a run for each value."""
        asked = {"ratings_in": self.choose_ratings_in, "weight_decay": self.choose_decay}
        return [name for name in asked if asked[name]]

    @property
    def any_sign(self) -> bool:
        """Whether ratings of 0 and below are as good as any, since the net is given no raw one."""
        return self.ratings_in != "raw"

    @property
    def sizes(self) -> list[int]:
        """The hidden units of each layer."""
        several = isinstance(self.num_hidden, Sequence)
        return list(self.num_hidden) if several else [self.num_hidden]  # type: ignore[list-item, arg-type]

    def settings(self) -> Settings:
        """Return those that `fit` takes."""
        return Settings(**{each.name: getattr(self, each.name) for each in fields(Settings)})


_PAPER: dict[str, Any] = {
    "dropout": 0.0,
    "loss": "sum",
    "learning_rate": 0.003,
    "learning_rate_decay": 0.97,
    "weight_decay": 0.05,
    "decay_biases": False,
    "num_epochs": 80,
    "clip": True,
    "cold_rating": 3.0,
}

#: Parameters by the name of what they are for; what is not named has its default.
PRESETS: dict[str, dict[str, Any]] = {
    # The section's cells.
    "section": {},
    # The paper's model and objective; learning rate, its decay and epochs are ours.
    "paper": _PAPER,
    # Made for any table: no unit of the ratings, and no number of them, changes what it means.
    "best": {
        **_PAPER,
        "ratings_in": "shifted",
        "ratings_out": "biases",
        "normalise": True,
        "loss": "total",
        # λ, from which the run's own choice begins: 2.64 n ** (1 / 3) was near the best on the
        # validation ratings of ML-100K's u1, ML-latest-small and ML-1M.
        "weight_decay": 122.5,
        "decay_growth": 1 / 3,
        "decay_power": 0.5,
        "decay_biases": True,
        "choose_decay": True,
        "choose_ratings_in": True,
        "averaging": 0.9,
        "steps_per_epoch": 8,
        "holdout": 0.1,
        "patience": 10,
        "cold_rating": None,
    },
}


def planned_epochs(parameters: Parameters) -> int:
    """Return the epochs of all runs that a fit makes; of those that choose a decay, mostly 3."""
    tries = 1 + 2 * parameters.choose_decay + parameters.choose_ratings_in
    choice = tries if parameters.share_held_out else 0
    epochs = [parameters.of_view(view).num_epochs for view in parameters.views]
    return sum(epochs) * (parameters.members + choice)


def preset_parameters(name: str, **changes: Any) -> Parameters:
    """Return the parameters of a preset, and others in their place.

    Raises
    ------
    ConfigurationError
        If there is no such preset, or a value is out of its bounds.
    """
    if name not in PRESETS:
        raise ConfigurationError(
            f"There is no preset {name!r}; choose one of {', '.join(PRESETS)}."
        )
    return Parameters(**{**PRESETS[name], **changes})


def why_not_by_columns(parameters: Parameters) -> str | None:
    """Return what workers that own columns train instead of what is asked for; None if that."""
    reasons = {
        "one view; choose item or user": parameters.view == "both",
        "one net; leave --members at 1": parameters.members > 1,
        "all given ratings at once; leave out --holdout": bool(parameters.share_held_out),
        "with the weight decay that is given; leave out --choose-decay": parameters.choose_decay,
        "what goes in as given; leave out --choose-ratings-in": parameters.choose_ratings_in,
        "a net without pretraining; leave out --pretrain-epochs": parameters.pretrain_epochs > 0,
        "ratings as they are; leave --ratings-in and --ratings-out at raw": (
            (parameters.ratings_in, parameters.ratings_out) != ("raw", "raw")
        ),
        "only the rated cells; leave out --compute dense": parameters.compute == "dense",
        "without dropout on the input; leave out --input-dropout": parameters.input_dropout > 0,
        "by an optimizer that takes each line by itself; choose another one than "
        f"{parameters.optimizer}": parameters.optimizer.lower() in NOT_BY_COLUMNS,
    }
    return next((reason for reason, asked in reasons.items() if asked), None)


def check_by_columns(parameters: Parameters) -> None:
    """Refuse, before any rating is read, what workers that own columns cannot train.

    Raises
    ------
    ConfigurationError
        If it is asked for.
    """
    reason = why_not_by_columns(parameters)
    if reason is not None:
        raise ConfigurationError(
            f"Workers that own columns train {reason}, or train with --parallel rows."
        )
