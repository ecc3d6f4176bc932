"""Fitting: from ratings to the nets of a recommender, one or several."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Optional

import numpy as np

from .._mxnet import mx
from ..compute.devices import contexts
from ..data import View
from ..data.interactions import Interactions
from ..data.ratings import Ratings
from ..data.scaling import Scaling
from ..data.splits import random_split
from ..distributed.roles import Parallel
from ..distributed.workers import Workers
from ..errors import ConfigurationError
from ..evaluation.ensemble import Member, best_weight, known, predict_pairs
from ..model import AutoRec
from ..training.checkpoints import Checkpoint, Checkpoints
from ..training.history import Epoch, History
from ..training.loop import fit
from ..training.pretraining import pretrain
from .by_columns import train_by_columns
from .presets import Parameters
from .trial import best_trial

#: The validation and the test part of one view.
Parts = tuple[Optional[Interactions], Optional[Interactions]]


@dataclass(frozen=True)
class Learned:
    """What a fit leaves, and what is kept of it on disk.

    Parameters
    ----------
    ratings : Ratings
        Those to train on.
    scale : tuple of float
        Lowest and highest of these.
    members : tuple of Member
        Those of the item view first.
    histories : tuple of History
        Of each member.
    chosen : dict
        The hyperparameters that validation ratings chose, by name: with these, and without
        validation, a fit to all ratings is the one that was found best.
    """

    ratings: Ratings
    scale: tuple[float, float]
    members: tuple[Member, ...]
    histories: tuple[History, ...]
    chosen: dict[str, Any]


@dataclass(frozen=True)
class Fitting:
    """How nets are trained, whichever they are; see `Recommender.fit`."""

    on_epoch: Callable[[Epoch], None] | None = None
    checkpoints: Checkpoints | None = None
    resume: bool | Checkpoint = False
    workers: Workers | None = None
    parallel: Parallel = "rows"

    def part(self, name: str) -> Fitting:
        """Return the same for one of several runs, which has a folder of checkpoints of its own."""
        if self.checkpoints is None:
            return self
        folder = self.checkpoints.folder / name
        checkpoints = replace(self.checkpoints, folder=folder)
        return replace(self, checkpoints=checkpoints, resume=bool(self.resume))


def learn(
    parameters: Parameters,
    ratings: Ratings,
    validation: Ratings | None,
    test: Ratings | None,
    how: Fitting,
) -> Learned:
    """Train the nets of a recommender, after a run that chooses where one is asked for.

    Parameters
    ----------
    parameters : Parameters
    ratings : Ratings
    validation, test : Ratings, optional
        Under the same id maps.
    how : Fitting
    """
    if how.parallel == "columns":
        return _learn_by_columns(parameters, ratings, validation, test, how)
    if len(ratings) == 0:
        raise ConfigurationError("There are no ratings to train on; give at least one.")
    share = parameters.share_held_out
    if validation is not None or not share:
        return _train(parameters, ratings, validation, test, how)
    part, chooser = random_split(ratings, share, parameters.random_state)
    trial = _train(replace(parameters, members=1), part, chooser, None, how.part("choice"))
    settled = replace(parameters, **trial.chosen)
    final = _train(settled, ratings, None, test, how.part("all"))
    return replace(final, chosen=trial.chosen)


def _learn_by_columns(
    parameters: Parameters,
    ratings: Ratings,
    validation: Ratings | None,
    test: Ratings | None,
    how: Fitting,
) -> Learned:
    def build(columns: int, scale: tuple[float, float], typical: float | None) -> AutoRec:
        return build_net(parameters, columns, scale, typical, None)

    parts = {"train": ratings, "validation": validation, "test": test}
    found, scale, member, history = train_by_columns(
        parameters,
        parts,
        build,
        how.workers or Workers(),
        on_epoch=how.on_epoch,
        checkpoints=how.checkpoints,
        resume=how.resume,
    )
    chosen = {} if validation is None else _choice(parameters, [history], None, {})
    return Learned(found, scale, (member,), (history,), chosen)


def _train(
    parameters: Parameters,
    ratings: Ratings,
    validation: Ratings | None,
    test: Ratings | None,
    how: Fitting,
) -> Learned:
    scale = float(np.min(ratings.values)), float(np.max(ratings.values))
    runs = [(view, n) for view in parameters.views for n in range(parameters.members)]
    members, histories = [], []
    choices: dict[View, dict[str, Any]] = {}
    for view, n in runs:
        train = Interactions.from_ratings(ratings, view)
        held_out: Parts = (
            None if validation is None else Interactions.from_ratings(validation, view),
            None if test is None else Interactions.from_ratings(test, view),
        )
        own = replace(parameters.of_view(view), random_state=parameters.random_state + n)
        own = replace(own, **choices.get(view, {}))
        alone = how if len(runs) == 1 else how.part(f"{view}-{n}")

        def run(
            own: Parameters,
            trial: str = "",
            how: Fitting = alone,
            train: Interactions = train,
            parts: Parts = held_out,
        ) -> tuple[AutoRec, History]:
            return _train_net(own, train, *parts, scale, how.part(trial) if trial else how)

        if own.by_trial and validation is not None and view not in choices:
            trial = best_trial(own, run)
            choices[view] = {name: getattr(trial.parameters, name) for name in own.by_trial}
            net, history = trial.net, trial.history
            if own.choose_ratings_in:  # nets that read ratings alike average best
                going_in = trial.parameters.ratings_in
                parameters = replace(parameters, ratings_in=going_in, choose_ratings_in=False)
        else:
            net, history = run(own)
        members.append(Member(net, train, 1 / parameters.members))
        histories.append(history)
    weight = parameters.user_weight
    if parameters.view == "both" and weight is None:
        assert validation is not None
        weight = _weight(members, validation, parameters)
    shares = {"item": 1 - (weight or 0.0), "user": weight or 0.0}
    if parameters.view == "both":
        members = [replace(each, weight=each.weight * shares[each.inputs.view]) for each in members]
    chosen = {} if validation is None else _choice(parameters, histories, weight, choices)
    return Learned(ratings, scale, tuple(members), tuple(histories), chosen)


def _choice(
    parameters: Parameters,
    histories: list[History],
    weight: float | None,
    choices: Mapping[View, Mapping[str, object]],
) -> dict[str, Any]:
    """Return what the validation ratings chose; the epochs are those of each view's first net."""
    epochs = [each.best.epoch for each in histories[:: parameters.members]]
    chosen: dict[str, Any] = {"num_epochs": epochs[0], "patience": None, "holdout": 0.0}
    if choices:
        chosen.update(choose_decay=False, choose_ratings_in=False, **choices[parameters.views[0]])
    if parameters.view == "both":
        own = {**(parameters.user_view or {}), "num_epochs": epochs[1], "patience": None}
        own.update(choices.get("user", {}))
        chosen.update(user_view=own, user_weight=weight)
    return chosen


def _weight(members: list[Member], validation: Ratings, parameters: Parameters) -> float:
    where, users, items = contexts(parameters.devices), validation.users, validation.items
    asked = known(members, users, items)
    item, user = (
        predict_pairs(
            [each for each in members if each.inputs.view == view],
            users[asked],
            items[asked],
            where,
            cold=0.0,
            compute=parameters.compute,
        )
        for view in ("item", "user")
    )
    return best_weight(item, user, validation.values[asked])


def _train_net(
    parameters: Parameters,
    train: Interactions,
    validation: Interactions | None,
    test: Interactions | None,
    scale: tuple[float, float],
    how: Fitting,
) -> tuple[AutoRec, History]:
    """Train one net, its layers in pairs before where that is asked for."""
    typical = len(train) / len(train.rated_rows()) if parameters.normalise else None
    scaling = Scaling.learned(train, parameters.ratings_in, parameters.ratings_out)
    sigma, settings = parameters.init_sigma, parameters.settings()
    common: dict[str, Any] = {
        "init": mx.init.Normal(sigma) if sigma else mx.init.Xavier(),
        "contexts": contexts(parameters.devices),
        "seed": parameters.random_state,
        "workers": how.workers,
    }
    checkpoints, resume = how.checkpoints, how.resume
    if checkpoints is not None:
        names = ("pretrain_epochs", "learning_rate") if parameters.pretrain_epochs else ()
        before = {name: getattr(parameters, name) for name in names}
        checkpoints = replace(checkpoints, facts={**checkpoints.facts, "pretraining": before})
        resume = checkpoints.begin(resume) or False
    start = None
    if parameters.pretrain_epochs:
        if not resume:
            start = pretrain(
                parameters.sizes,
                train,
                num_epochs=parameters.pretrain_epochs,
                encoder_activation=parameters.encoder_activation,
                decoder_activation=parameters.decoder_activation,
                scale=scale,
                typical_count=typical,
                scaling=scaling,
                settings=settings,
                **common,
            )
        settings = replace(
            settings, learning_rate=parameters.finetuning_rate or parameters.learning_rate
        )
    net = build_net(parameters, train.shape[1], scale, typical, scaling)
    history = fit(
        net,
        train,
        settings,
        validation=validation,
        test=test,
        clip=scale if parameters.clip else None,
        cold=cold_rating(parameters, scale),
        start=start,
        on_epoch=how.on_epoch,
        checkpoints=checkpoints,
        resume=resume,
        **common,
    )
    return net, history


def build_net(
    parameters: Parameters,
    columns: int,
    scale: tuple[float, float],
    typical_count: float | None,
    scaling: Scaling | None,
) -> AutoRec:
    """Return a net as hyperparameters and training ratings say, not yet initialised."""
    return AutoRec(
        parameters.num_hidden,
        columns,
        parameters.dropout,
        input_dropout=parameters.input_dropout,
        encoder_activation=parameters.encoder_activation,
        decoder_activation=parameters.decoder_activation,
        scale=scale,
        typical_count=typical_count,
        scaling=scaling,
    )


def cold_rating(parameters: Parameters, scale: tuple[float, float]) -> float | None:
    """Return what is predicted of all that is cold; None where what is known of it counts."""
    if parameters.cold_rating is not None:
        return parameters.cold_rating
    return sum(scale) / 2 if parameters.ratings_out == "raw" else None
