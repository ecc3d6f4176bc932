"""Trials: settings tried one after the other, in this process or in several beside it."""

from __future__ import annotations

import gc
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..data.ratings import Ratings
from ..errors import TrainingError
from ..recommender.estimator import Recommender
from ..training.history import Epoch
from .space import LEAST_GAIN, PATIENCE, Searched
from .study import TrialState as State
from .study import best, distributions, open_study, optuna, quiet, sampler


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
    seed : int
    deadline : float
        By `time.monotonic`, which all processes of a machine share.
    """

    parts: Sequence[tuple[Ratings, Ratings]]
    base: Mapping[str, Any]
    space: Mapping[str, Searched]
    seed: int
    deadline: float

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() > self.deadline


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
    study: optuna.Study,
    places: Places | None,
    stop: Stop,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Make trials until there are enough, the time is over, or the search is stopped.

    Parameters
    ----------
    task : Task
    study : Study
        Gets them.
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
        if task.late:
            raise _Enough

    while not task.late and not stop.is_set() and (places is None or places.acquire(False)):
        study.sampler = sampler(task.seed, len(study.get_trials(deepcopy=False)))
        trial = study.ask(distributions(task.space))
        try:
            rmse, epochs = _score(task, trial, check)
        except _Stopped:
            return  # the trial stays as it is, to be made again
        except optuna.TrialPruned:
            study.tell(trial, state=State.PRUNED)
        except TrainingError as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=State.FAIL)
        else:
            trial.set_user_attr("epochs", epochs)
            before = best(study)
            if task.late and before is not None and rmse >= before[1]:
                study.tell(trial, state=State.PRUNED)  # it had no time to become better
            else:
                study.tell(trial, rmse)
        # Gluon's blocks refer to themselves, and Python does not see how much they hold.
        gc.collect()
        tick()


def _score(task: Task, trial: optuna.Trial, check: Callable[[], None]) -> tuple[float, int]:
    """Return the validation RMSE of a trial, and the epochs that it took; means over the parts."""
    model = Recommender(**{**task.base, **trial.params})
    found: list[tuple[float, int]] = []
    for train, validation in task.parts:
        lowest = fallen = (math.inf, 0)

        def on_epoch(epoch: Epoch) -> None:
            nonlocal lowest, fallen
            assert epoch.validation_rmse is not None
            lowest = min(lowest, (epoch.validation_rmse, epoch.epoch))
            if lowest[0] < fallen[0] * (1 - LEAST_GAIN):
                fallen = lowest
            if not found:  # the first of the parts
                trial.report(lowest[0], epoch.epoch)
                if trial.should_prune() and "start" not in trial.user_attrs:
                    raise optuna.TrialPruned
            check()
            if epoch.epoch >= fallen[1] + PATIENCE:
                raise _Enough

        try:
            model.fit(train, validation=validation, on_epoch=on_epoch)
        except _Enough:
            if task.late and len(found) + 1 < len(task.parts):
                raise TrainingError("The time was over before its last fold.") from None
        found.append(lowest)
    rmses, epochs = zip(*found)
    return sum(rmses) / len(found), round(sum(epochs) / len(found))


def make_trials_beside(
    task: Task, journal: Path, jobs: int, places: int | None, tick: Callable[[], None]
) -> None:
    """Make trials in several processes, which share the processors.

    Parameters
    ----------
    task : Task
    journal : Path
        Of the study that gets them.
    jobs : int
        Processes.
    places : int, optional
        Trials that may begin.
    tick : callable
        Called a few times a second.
    """
    spawn = multiprocessing.get_context("spawn")
    stop, left = spawn.Event(), None if places is None else spawn.Semaphore(places)
    threads = max(len(os.sched_getaffinity(0)) // jobs, 1)
    with ProcessPoolExecutor(
        jobs, mp_context=spawn, initializer=_begin_process, initargs=(left, stop)
    ) as pool:
        try:
            with _inherited(OMP_NUM_THREADS=str(threads)):
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
        make_trials(task, open_study(journal), *_shared)


@contextmanager
def _inherited(**variables: str) -> Iterator[None]:
    """Have processes begin with some variables, and without an ear for Ctrl-C."""
    before = {name: os.environ.get(name) for name in variables}
    alone = threading.current_thread() is threading.main_thread()
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN) if alone else None
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
        if alone:
            signal.signal(signal.SIGINT, heard)
