"""Trials: settings tried one after the other, in this process or in several beside it."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..data import View
from ..data.ratings import Ratings
from ..errors import TrainingError
from ..evaluation.accuracy import accuracy
from ..recommender.estimator import Recommender
from ..training.history import Epoch
from .processes import SPAWN, inherited
from .space import LEAST_GAIN, PATIENCE, Searched
from .studies import Best, Studies, TrialState, optuna, quiet

#: The share of the time, at most, that is kept for trying the best of both views together.
_KEPT = 0.3


@dataclass(frozen=True)
class Task:
    """What the trials of a search have in common.

    Parameters
    ----------
    parts : sequence of (Ratings, Ratings)
        What each trial trains on and is judged by; the mean counts.
    base : mapping of str to value
        The hyperparameters that are not searched.
    space : mapping of str to OneOf or Between
    views : sequence of {"item", "user"}
    seed : int
    started, deadline : float
        By `time.monotonic`, which all processes of a machine share.
    """

    parts: Sequence[tuple[Ratings, Ratings]]
    base: Mapping[str, Any]
    space: Mapping[str, Searched]
    views: Sequence[View]
    seed: int
    started: float
    deadline: float

    def late(self, studies: Studies) -> bool:
        """Return whether there is time for what is to come after the trials, and no more."""
        best = [studies.best(view) for view in self.views]
        together = sum(each.seconds if each else 0.0 for each in best) if len(best) > 1 else 0.0
        kept = min(together, _KEPT * (self.deadline - self.started))
        return time.monotonic() > self.deadline - kept


class Places(Protocol):
    """A semaphore, of threads or processes: how many trials may still begin."""

    def acquire(self, block: bool = ..., /) -> bool:
        """Take a place, or tell that there is none."""


class Stop(Protocol):
    """An event, of threads or processes."""

    def is_set(self) -> bool:
        """Tell whether the search is to end at once."""


class _Stopped(Exception):  # noqa: N818
    """The search is to end at once."""


class _Enough(Exception):  # noqa: N818
    """A trial is to end with the epochs that it has: it learns no more, or the time is over."""


def make_trials(
    task: Task,
    studies: Studies,
    places: Places | None,
    stop: Stop,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Make trials until there are enough, the time is over, or the search is stopped.

    Parameters
    ----------
    task : Task
    studies : Studies
        Get them, each view in its turn.
    places : Places, optional
        No end is set to their number by default.
    stop : Stop
    tick : callable
        Called after each epoch and each trial.
    """
    parent = multiprocessing.parent_process()

    def check() -> None:
        tick()
        if stop.is_set() or (parent is not None and not parent.is_alive()):
            raise _Stopped
        if task.late(studies):
            raise _Enough

    def more() -> bool:
        return not (task.late(studies) or stop.is_set()) and (
            places is None or places.acquire(False)
        )

    while more():
        view = studies.next_view()
        study, trial = studies.ask(view, task.space, task.seed)
        try:
            rmse, epochs = _score(task, view, trial, check)
        except _Stopped:
            return  # the trial stays as it is, to be made again
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except TrainingError as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=TrialState.FAIL)
        else:
            trial.set_user_attr("epochs", epochs)
            before = studies.best(view)
            if task.late(studies) and before is not None and rmse >= before.rmse:
                study.tell(trial, state=TrialState.PRUNED)  # it had no time to become better
            else:
                study.tell(trial, rmse)
        # Gluon's blocks refer to themselves, and Python does not see how much they hold.
        gc.collect()
        tick()


def _score(
    task: Task, view: View, trial: optuna.Trial, check: Callable[[], None]
) -> tuple[float, int]:
    """Return the validation RMSE of a trial, and the epochs that it took; means over the parts."""
    model = Recommender(**{**task.base, **trial.params, "view": view})
    found: list[tuple[float, int]] = []
    for train, validation in task.parts:
        lowest = fallen = (math.inf, 0)
        late = False

        def on_epoch(epoch: Epoch) -> None:
            nonlocal lowest, fallen, late
            assert epoch.validation_rmse is not None
            lowest = min(lowest, (epoch.validation_rmse, epoch.epoch))
            if lowest[0] < fallen[0] * (1 - LEAST_GAIN):
                fallen = lowest
            if not found:  # the first of the parts
                trial.report(lowest[0], epoch.epoch)
                if trial.should_prune() and "start" not in trial.user_attrs:
                    raise optuna.TrialPruned
            late = True
            check()
            late = False
            if epoch.epoch >= fallen[1] + PATIENCE:
                raise _Enough

        try:
            model.fit(train, validation=validation, on_epoch=on_epoch)
        except _Enough:
            if late and len(found) + 1 < len(task.parts):
                raise TrainingError("The time was over before its last fold.") from None
        found.append(lowest)
    rmses, epochs = zip(*found)
    return sum(rmses) / len(found), round(sum(epochs) / len(found))


def together(task: Task, item: Best, user: Best, weight: float | None) -> dict[str, Any]:
    """Return the hyperparameters of the best trials of both views, and how they do together.

    Parameters
    ----------
    task : Task
    item, user : Best
    weight : float, optional
        Of the user view; chosen on the validation ratings by default.

    Returns
    -------
    dict
        "parameters", "rmse" and "of", the numbers of the trials.
    """
    own = {**user.parameters, "num_epochs": user.epochs}
    shared = {**item.parameters, "num_epochs": item.epochs}
    parameters: dict[str, Any] = {
        "view": "both",
        **shared,
        "user_view": {name: value for name, value in own.items() if value != shared[name]},
        "user_weight": weight,
    }
    rmses, weights = [], []
    for train, validation in task.parts:
        model = Recommender(**{**task.base, **parameters}).fit(train, validation=validation)
        predicted = model.predict(*validation.pairs())
        rmses.append(accuracy(predicted, validation.values).rmse)
        weights.append(model.chosen_["user_weight"])
        gc.collect()
    parameters["user_weight"] = sum(weights) / len(weights)
    return {
        "parameters": parameters,
        "rmse": sum(rmses) / len(rmses),
        "of": [item.trial, user.trial],
    }


def make_trials_beside(
    task: Task, journal: Path, jobs: int, places: int | None, tick: Callable[[], None]
) -> None:
    """Make trials in several processes, which share the processors.

    Parameters
    ----------
    task : Task
    journal : Path
        Of the studies that get them.
    jobs : int
        Processes.
    places : int, optional
        Trials that may begin.
    tick : callable
        Called a few times a second.
    """
    stop, left = SPAWN.Event(), None if places is None else SPAWN.Semaphore(places)
    threads = max(len(os.sched_getaffinity(0)) // jobs, 1)
    with ProcessPoolExecutor(
        jobs, mp_context=SPAWN, initializer=_begin_process, initargs=(left, stop)
    ) as pool:
        try:
            with inherited(OMP_NUM_THREADS=str(threads)):
                working = [pool.submit(_make_trials_here, task, journal) for _ in range(jobs)]
            while wait(working, timeout=0.25).not_done:
                tick()
            for each in working:
                each.result()
        finally:
            stop.set()


_shared: tuple[Places | None, Stop]


def _begin_process(places: Places | None, stop: Stop) -> None:
    global _shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of it, and says when to stop
    _shared = places, stop


def _make_trials_here(task: Task, journal: Path) -> None:
    with quiet():
        make_trials(task, Studies.open(journal, task.views), *_shared)
