"""Search: settings for one's own ratings, by Optuna, on ratings held out of those at hand."""

from __future__ import annotations

import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from .._bounds import MOST_SEED, real, whole
from .._environment import versions
from .._storage.files import replacing
from ..data.ratings import Ratings
from ..data.reading import as_ratings
from ..data.splits import k_fold, random_split
from ..errors import ConfigurationError, TrainingError
from ..recommender.estimator import Recommender
from ..recommender.presets import Parameters
from ..recommender.settings_file import write_settings
from .space import BASE, MINUTES, SPACE, Searched
from .study import (
    JOURNAL,
    FrozenTrial,
    TrialState,
    begin_study,
    best,
    ended,
    importances,
    optuna,
    quiet,
    resume_study,
    trials_table,
)
from .trials import Task, make_trials, make_trials_beside

#: In a search's folder, beside the journal.
TRIALS, SETTINGS = "trials.csv", "settings.json"


@dataclass(frozen=True)
class Progress:
    """How far a search is: its trials that have ended, and the best of them so far."""

    trials: int
    pruned: int
    failed: int
    best_trial: int | None
    best_rmse: float
    seconds: float


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Parameters
    ----------
    parameters : Parameters
        Those of the best trial, with the number of epochs that was best; no patience, since nothing
        is to be held out any more.
    validation_rmse : float
        Of the best trial; the lowest of many, and so a little better than new ratings will have it.
    trial : int
        The number of the best trial, from 0.
    trials : DataFrame
        A row a trial: trial, state ("complete", "pruned", "failed" or "interrupted"),
        validation_rmse, epochs, seconds, error, and what was searched.
    importances : dict of str to float
        How much of the differences between good and other trials each hyperparameter explains, by
        PED-ANOVA (Watanabe, Bansal and Hutter 2023); they add up to 1. Empty where there were too
        few trials to tell.
    about : dict
        What the settings were chosen on, as `settings.json` has it.
    """

    parameters: Parameters
    validation_rmse: float
    trial: int
    trials: pd.DataFrame
    importances: dict[str, float]
    about: dict[str, Any]

    def recommender(self, **parameters: Any) -> Recommender:
        """Return a recommender with these settings, and others on top; it is not fitted."""
        return Recommender(**{**vars(self.parameters), **parameters})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the settings to a file that `Recommender.from_settings` reads."""
        write_settings(Path(path), self.parameters, self.about)


def tune(
    ratings: Any,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    jobs: int = 1,
    validation_ratio: float = 0.1,
    folds: int | None = None,
    space: Mapping[str, Searched] | None = None,
    folder: str | os.PathLike[str] | None = None,
    resume: bool = False,
    seed: int = 0,
    devices: str = "gpu",
    about: Mapping[str, Any] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    **fixed: Any,
) -> Tuning:
    """Search for the settings that predict ratings best which were held out of those given.

    The first trials are `STARTS`, then Optuna proposes (TPE, Bergstra et al. 2011). A trial ends
    once the validation RMSE falls no more. It is pruned, given up early, if after 8, 16, 32, ...
    epochs it is not in the better half of those that came as far (successive halving, Li et al.
    2020).

    Parameters
    ----------
    ratings : Ratings, DataFrame, sparse matrix or path
        Those to train on. Ratings that are to test the outcome must not be among them.
    trials : int, optional
        How many there are to be, with those before a search was resumed.
    minutes : float, optional
        After which the search ends, the last trial with the epochs that it had. `MINUTES` where
        `trials` is not given either.
    jobs : int
        Processes that train, each with its share of the processors. More than one start anew, as
        `multiprocessing` does by "spawn": a script's own code stands below
        ``if __name__ == "__main__":`` then.
    validation_ratio : float
        The share of the ratings that is held out.
    folds : int, optional
        Train each trial so many times instead, each fold being held out once: slower, and sure
        where ratings are few.
    space : mapping of str to OneOf or Between, optional
        What is searched, in place of that of the same name in `SPACE`, or beside it.
    folder : path, optional
        Gets the journal of trials (Optuna's, JSON lines), ``trials.csv`` and ``settings.json``, the
        last two after each trial, so that nothing is lost if the search is ended.
    resume : bool
        Whether to go on with the search of the folder.
    seed : int
        Of what is held out, of the proposals and of the models. Jobs that run side by side, and
        minutes, make proposals depend on which trial ends first.
    devices : str
        See `contexts`.
    about : mapping, optional
        More to say of the ratings in ``settings.json``.
    on_progress : callable, optional
        Called with a `Progress`, a few times a second at most.
    **fixed
        Hyperparameters by name that are not searched, but have a value; see `Parameters`.

    Returns
    -------
    Tuning

    Raises
    ------
    ConfigurationError
        If an argument cannot be used, or a search is resumed with others than it began with.
    DataCorruptError
        If the journal of a search that is resumed cannot be read.
    TrainingError
        If no trial came to an end.

    Examples
    --------
    >>> found = tune(ratings, minutes=10)  # doctest: +SKIP
    >>> model = found.recommender().fit(ratings)  # doctest: +SKIP
    """
    if trials is not None:
        whole("trials", trials, least=1)
    if minutes is not None:
        real("minutes", minutes, above=0)
    whole("jobs", jobs, least=1)
    whole("seed", seed, least=0, most=MOST_SEED)
    real("validation_ratio", validation_ratio, above=0, below=1)
    if folds is not None:
        whole("folds", folds, least=2)
    if resume and folder is None:
        raise ConfigurationError("resume needs the folder of the search; name it.")
    limit = MINUTES if trials is None and minutes is None else minutes
    started = time.monotonic()
    table = as_ratings(ratings)
    parts = _parts(table, validation_ratio, folds, seed)
    base = {**BASE, **fixed, "devices": devices, "random_state": seed}
    searched = _searched(space or {}, fixed)
    Parameters(**base)
    known = {
        "sha256_ratings": table.checksum(),
        "held_out": {"folds": folds} if folds else {"validation_ratio": validation_ratio},
        "seed": seed,
    }
    asked = {
        **known,
        "base": {name: value for name, value in base.items() if name != "devices"},
        "space": {name: repr(each) for name, each in searched.items()},
    }
    deadline = math.inf if limit is None else started + 60 * limit
    task = Task(parts, base, searched, seed, deadline)
    scratch: Any = nullcontext(folder)
    if folder is None and jobs > 1:
        scratch = tempfile.TemporaryDirectory()  # for what the processes share
    with scratch as place, quiet():
        journal = None if place is None else Path(place) / JOURNAL
        if resume and journal is not None:
            study = resume_study(journal, asked, searched)
        else:
            study = begin_study(journal, asked, searched)
        left = None if trials is None else max(trials - len(ended(study)), 0)
        keeper = _Keeper(
            study,
            task,
            {**(about or {}), **known},
            None if folder is None else Path(folder),
            started,
        )

        def tick(now: bool = False) -> None:
            progress = keeper.look(now)
            if progress is not None and on_progress is not None:
                on_progress(progress)

        tick(True)
        try:
            if jobs > 1 and journal is not None:
                make_trials_beside(task, journal, jobs, left, tick)
            else:
                places = None if left is None else threading.Semaphore(left)
                make_trials(task, study, places, threading.Event(), tick)
        finally:
            keeper.look(True)
        tick(True)
        return keeper.tuning()


class _Keeper:
    """Looks at a study now and then, and keeps what it has found so far in a folder."""

    def __init__(
        self,
        study: optuna.Study,
        task: Task,
        about: Mapping[str, Any],
        folder: Path | None,
        started: float,
    ) -> None:
        self._study, self._task, self._about, self._folder = study, task, about, folder
        self._started, self._looked, self._kept = started, -math.inf, -1

    def look(self, now: bool = False) -> Progress | None:
        """Return the progress, None where it was asked for a moment ago; keep what is new."""
        if not now and time.monotonic() < self._looked + 0.2:
            return None
        self._looked = time.monotonic()
        done, found = ended(self._study), best(self._study)
        if len(done) != self._kept and self._folder is not None:
            with replacing(self._folder / TRIALS) as path:
                trials_table(self._study, self._task.space).to_csv(path, index=False)
            if found is not None:
                parameters, about = self._parameters(found[0]), self._facts(*found)
                write_settings(self._folder / SETTINGS, parameters, about)
        self._kept = len(done)
        states = [each.state for each in done]
        return Progress(
            trials=len(done),
            pruned=states.count(TrialState.PRUNED),
            failed=states.count(TrialState.FAIL),
            best_trial=None if found is None else found[0].number,
            best_rmse=math.nan if found is None else found[1],
            seconds=time.monotonic() - self._started,
        )

    def tuning(self) -> Tuning:
        """Return what was found."""
        found = best(self._study)
        if found is None:
            errors = [each.user_attrs.get("error") for each in ended(self._study)]
            raise TrainingError(
                f"No trial came to an end; the last one: {errors[-1]}"
                if errors
                else "No trial came to an end; give the search more minutes."
            )
        trial, rmse = found
        return Tuning(
            parameters=self._parameters(trial),
            validation_rmse=rmse,
            trial=trial.number,
            trials=trials_table(self._study, self._task.space),
            importances=importances(self._study),
            about=self._facts(trial, rmse),
        )

    def _parameters(self, trial: FrozenTrial) -> Parameters:
        epochs = {"num_epochs": trial.user_attrs["epochs"], "patience": None}
        return Parameters(**{**self._task.base, **trial.params, **epochs})

    def _facts(self, trial: FrozenTrial, rmse: float) -> dict[str, Any]:
        return {
            "validation_rmse": rmse,
            "trial": trial.number,
            "trials": len(ended(self._study)),
            **self._about,
            "versions": {**versions(), "optuna": optuna.__version__},
        }


def _searched(space: Mapping[str, Searched], fixed: Mapping[str, Any]) -> dict[str, Searched]:
    names = {each.name for each in fields(Parameters)}
    for name, each in space.items():
        if name not in names:
            raise ConfigurationError(f"There is no hyperparameter {name!r} to search.")
        if name in fixed:
            raise ConfigurationError(f"{name} is given a value, and searched; do one of the two.")
        if not isinstance(each, get_args(Searched)):
            raise ConfigurationError(
                f"{name} must be searched in OneOf(...) or Between(low, high), not {each!r}."
            )
    for name in fixed:
        if name not in names:
            raise ConfigurationError(f"There is no hyperparameter {name!r}.")
    found = {name: each for name, each in {**SPACE, **space}.items() if name not in fixed}
    if not found:
        raise ConfigurationError("All hyperparameters are given, so nothing is left to search.")
    return found


def _parts(
    table: Ratings, validation_ratio: float, folds: int | None, seed: int
) -> list[tuple[Ratings, Ratings]]:
    if folds is None:
        return [random_split(table, validation_ratio, seed + 1)]
    return list(k_fold(table, folds, seed + 1))
