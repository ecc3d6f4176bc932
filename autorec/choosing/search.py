"""Search: settings for one's own ratings, by Optuna, on ratings held out of those at hand."""

from __future__ import annotations

import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from .._bounds import MOST_SEED, real, whole
from .._environment import versions
from .._output import usable_folder
from .._storage.files import replacing
from .._storage.folders import locked
from ..data import View
from ..data.ratings import Ratings
from ..data.reading import as_ratings
from ..data.splits import k_fold, random_split
from ..errors import ConfigurationError, TrainingError
from ..recommender.estimator import Recommender
from ..recommender.presets import SHARED, Parameters
from ..recommender.settings_file import write_settings
from .space import BASE, MINUTES, SPACE, VIEWS, Searched
from .studies import JOURNAL, Studies, optuna, quiet
from .trials import Task, make_trials, make_trials_beside, together

#: In a search's folder, beside the journal.
TRIALS, SETTINGS = "trials.csv", "settings.json"

#: Hyperparameters that a search finds in ways of its own.
_OWN = ("user_view", "holdout", "random_state", "choose_decay", "choose_ratings_in")


#: Seconds between two looks at how far a search is.
PAUSE = 0.2


@dataclass(frozen=True)
class Progress:
    """How far a search is: its trials that have ended, and the best of them so far, in words."""

    trials: int
    pruned: int
    failed: int
    best: str | None
    best_rmse: float
    seconds: float


@dataclass(frozen=True)
class Tuning:
    """What a search found.

    Parameters
    ----------
    parameters : Parameters
        The best, with the number of epochs that was best; no patience, since nothing is to be held
        out any more.
    validation_rmse : float
        With these; the lowest of many, and so a little better than new ratings will have it.
    best : dict of str to int
        By view, the number of the trial in which they were found.
    trials : DataFrame
        A row a trial: view, trial (its number, from 0 in each view), state ("complete", "pruned",
        "failed" or "interrupted"), validation_rmse, epochs, seconds, error, and what was searched.
    importances : dict of str to dict
        By view, how much of the differences between good and other trials each hyperparameter
        explains, by PED-ANOVA (Watanabe, Bansal and Hutter 2023); they add up to 1. Empty where
        there were too few trials to tell.
    about : dict
        What the settings were chosen on, as `settings.json` has it.
    """

    parameters: Parameters
    validation_rmse: float
    best: dict[View, int]
    trials: pd.DataFrame
    importances: dict[View, dict[str, float]]
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

    Each view has trials of its own, by turns. The first are `STARTS`, then Optuna proposes (TPE,
    Bergstra et al. 2011). A trial ends once the validation RMSE falls no more. It is pruned, given
    up early, if after 8, 16, 32, ... epochs it is not in the better half of those that came as far
    (successive halving, Li et al. 2020). In the end the best of both views are tried together.

    Parameters
    ----------
    ratings : Ratings, DataFrame, sparse matrix or path
        Those to train on. Ratings that are to test the outcome must not be among them.
    trials : int, optional
        How many there are to be, of all views, with those before a search was resumed.
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
        What is searched, in place of that of the same name in `SPACE`, or beside it; both are in
        `autorec.choosing`.
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
        Hyperparameters by name that are not searched, but have a value; see `Parameters`. With a
        ``view`` only that is searched; with "both", one net alone is not an answer.

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
    if folder is not None and not resume:
        usable_folder(Path(folder)).mkdir(parents=True, exist_ok=True)
    limit = MINUTES if trials is None and minutes is None else minutes
    started = time.monotonic()
    searched = _searched(space or {}, fixed)
    base = {**BASE, **fixed, "devices": devices, "random_state": seed}
    Parameters(**base)
    table = as_ratings(ratings, nonpositive="keep" if base.get("ratings_in") != "raw" else "error")
    view = base.pop("view", None)
    views: tuple[View, ...] = VIEWS if view in (None, "both") else (view,)
    ends: dict[str, Any] = {
        name: base.pop(name) for name in ("members", "user_weight") if name in base
    }
    known = {
        "sha256_ratings": table.checksum(),
        "held_out": {"folds": folds} if folds else {"validation_ratio": validation_ratio},
        "seed": seed,
    }
    asked = {
        **known,
        "base": {name: value for name, value in base.items() if name != "devices"},
        "space": {name: repr(each) for name, each in searched.items()},
        "view": view,
    }
    task = Task(
        parts=_parts(table, validation_ratio, folds, seed),
        base=base,
        space=searched,
        views=views,
        seed=seed,
        started=started,
        deadline=math.inf if limit is None else started + 60 * limit,
    )
    scratch: Any = nullcontext(folder)
    if folder is None and jobs > 1:
        scratch = tempfile.TemporaryDirectory()  # for what the processes share
    alone: AbstractContextManager[None] = nullcontext()
    if folder is not None:
        busy = ConfigurationError(
            f"Another search writes to {folder}; wait for it, or name another folder."
        )
        alone = locked(Path(folder), 0, busy)
    with scratch as place, alone, quiet():
        journal = None if place is None else Path(place) / JOURNAL
        if resume and journal is not None:
            studies = Studies.resume(journal, asked, views, searched)
        else:
            studies = Studies.begin(journal, asked, views, searched)
        left = None if trials is None else max(trials - sum(studies.counts().values()), 0)
        kept = None if folder is None else Path(folder)
        keeper = _Keeper(studies, task, ends, {**(about or {}), **known}, kept)

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
                make_trials(task, studies, places, threading.Event(), tick)
        finally:
            keeper.look(True)
        if len(views) > 1:
            keeper.try_together(required=view == "both")
        tick(True)
        return keeper.tuning()


class _Keeper:
    """Looks at studies now and then, and keeps what they have found so far in a folder."""

    def __init__(
        self,
        studies: Studies,
        task: Task,
        ends: Mapping[str, Any],
        about: Mapping[str, Any],
        folder: Path | None,
    ) -> None:
        self._studies, self._task, self._ends = studies, task, ends
        self._about, self._folder = about, folder
        self._looked, self._kept = -math.inf, -1
        self._together: dict[str, Any] | None = None
        self._alone = True

    def try_together(self, required: bool) -> None:
        """Try the best of both views together.

        Parameters
        ----------
        required : bool
            Whether neither is an answer alone.
        """
        item, user = (self._studies.best(view) for view in VIEWS)
        if item is not None and user is not None:
            weight = self._ends.get("user_weight")
            self._together, self._kept = together(self._task, item, user, weight), -1
        self._alone = not required

    def look(self, now: bool = False) -> Progress | None:
        """Return the progress, None where it was asked for a moment ago; keep what is new."""
        if not now and time.monotonic() < self._looked + PAUSE:
            return None
        self._looked = time.monotonic()
        counts, found = self._studies.counts(), self._best()
        done = sum(counts.values())
        if done != self._kept and self._folder is not None:
            with replacing(self._folder / TRIALS) as path:
                self._studies.table(self._task.space).to_csv(path, index=False)
            if found is not None:
                parameters, rmse, best = found
                write_settings(self._folder / SETTINGS, parameters, self._facts(rmse, best))
        self._kept = done
        return Progress(
            trials=done,
            pruned=counts["pruned"],
            failed=counts["failed"],
            best=None if found is None else " and ".join(f"{v} {n}" for v, n in found[2].items()),
            best_rmse=math.nan if found is None else found[1],
            seconds=time.monotonic() - self._task.started,
        )

    def tuning(self) -> Tuning:
        """Return what was found."""
        found = self._best()
        if found is None:
            error = self._studies.last_error()
            raise TrainingError(
                "No trial came to an end; give the search more minutes."
                if error is None
                else f"No trial came to an end; the last one: {error}"
            )
        parameters, rmse, best = found
        return Tuning(
            parameters=parameters,
            validation_rmse=rmse,
            best=best,
            trials=self._studies.table(self._task.space),
            importances={view: self._studies.importances(view) for view in self._task.views},
            about=self._facts(rmse, best),
        )

    def _best(self) -> tuple[Parameters, float, dict[View, int]] | None:
        """Return the best parameters, their RMSE and the trials in which they were found."""
        found: list[tuple[float, dict[str, Any], dict[View, int]]] = []
        for view in self._task.views:
            best = self._studies.best(view)
            if best is not None:
                own = {**best.parameters, "view": view, "num_epochs": best.epochs}
                found.append((best.rmse, own, {view: best.trial}))
        if self._together is not None:
            of = dict(zip(VIEWS, self._together["of"]))
            both = (self._together["rmse"], self._together["parameters"], of)
            found = [*found, both] if self._alone else [both]
        if not found:
            return None
        rmse, own, trials = min(found, key=lambda each: each[0])
        members = {name: value for name, value in self._ends.items() if name == "members"}
        return Parameters(**{**self._task.base, **own, **members, "patience": None}), rmse, trials

    def _facts(self, rmse: float, best: Mapping[View, int]) -> dict[str, Any]:
        return {
            "validation_rmse": rmse,
            "best_trials": dict(best),
            "trials": sum(self._studies.counts().values()),
            **self._about,
            "versions": {**versions(), "optuna": optuna.__version__},
        }


def _searched(space: Mapping[str, Searched], fixed: Mapping[str, Any]) -> dict[str, Searched]:
    names = {each.name for each in fields(Parameters)}
    for name in (*space, *fixed):
        if name not in names:
            raise ConfigurationError(f"There is no hyperparameter {name!r}.")
        if name in _OWN:
            raise ConfigurationError(f"A search has its own way with {name}; leave it out.")
    for name, each in space.items():
        if name in fixed:
            raise ConfigurationError(f"{name} is given a value, and searched; do one of the two.")
        if name in SHARED:
            raise ConfigurationError(
                f"{name} is not searched so; give it a value, or leave it out."
            )
        if not isinstance(each, get_args(Searched)):
            raise ConfigurationError(
                f"{name} must be searched in OneOf(...) or Between(low, high), not {each!r}."
            )
    for name in ("loss", "decay_growth"):
        other = name in space or fixed.get(name, BASE[name]) != BASE[name]
        if other and "weight_decay" not in {**space, **fixed}:
            raise ConfigurationError(
                f"With another {name} weight_decay means something else; give it a value, too, or "
                "where to search it."
            )
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
