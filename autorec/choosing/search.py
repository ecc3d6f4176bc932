"""Search: settings for one's own ratings, by Optuna, on ratings held out of those at hand."""

from __future__ import annotations

import gc
import logging
import math
import multiprocessing
import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

import optuna
import pandas as pd
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from .._bounds import real, whole
from .._environment import versions
from .._storage.files import replacing
from ..data.ratings import Ratings
from ..data.reading import as_ratings
from ..data.splits import k_fold, random_split
from ..errors import ConfigurationError, DataCorruptError, TrainingError
from ..recommender.estimator import Recommender
from ..recommender.presets import Parameters, preset_parameters
from ..recommender.settings_file import write_settings
from ..training.history import Epoch
from .space import BASE, LEAST_EPOCHS, LEAST_GAIN, MINUTES, PATIENCE, SPACE, STARTS, OneOf, Searched

#: In a search's folder.
JOURNAL, TRIALS, SETTINGS = "journal.jsonl", "trials.csv", "settings.json"

#: Trials that came to their end from which on it is told what mattered.
LEAST_TRIALS = 8

#: What Optuna fails with where a journal is not what it writes.
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, AssertionError, RecursionError)

_STUDY = "autorec"
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
}


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

    The first trials are presets, then Optuna proposes (TPE, Bergstra et al. 2011). A trial ends
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
    if resume and folder is None:
        raise ConfigurationError("resume needs the folder of the search; name it.")
    limit = MINUTES if trials is None and minutes is None else minutes
    started = time.monotonic()
    deadline = math.inf if limit is None else started + 60 * limit
    table = as_ratings(ratings)
    task = _Task(
        parts=_parts(table, validation_ratio, folds, seed),
        base={**BASE, **fixed, "devices": devices, "random_state": seed},
        space=_searched(space or {}, fixed),
        seed=seed,
        deadline=deadline,
    )
    Parameters(**task.base)
    known: dict[str, Any] = {
        **(about or {}),
        "sha256_ratings": table.checksum(),
        "num_ratings": len(table),
        "held_out": {"folds": folds} if folds else {"validation_ratio": validation_ratio},
        "seed": seed,
    }
    scratch: Any = tempfile.TemporaryDirectory() if folder is None else nullcontext(folder)
    with scratch as name, _quiet():
        place = Path(name)
        task = replace(task, journal=place / JOURNAL)
        study = _begin(task, known, resume)
        left = None if trials is None else max(trials - len(_ended(study)), 0)
        keeper = _Keeper(study, task, known, None if folder is None else place, started)

        def tick(now: bool = False) -> None:
            progress = keeper.look(now)
            if progress is not None and on_progress is not None:
                on_progress(progress)

        tick(True)
        try:
            if jobs == 1:
                places = None if left is None else threading.Semaphore(left)
                _work(task, study, places, threading.Event(), tick)
            else:
                _work_beside(task, jobs, left, tick)
        finally:
            keeper.look(True)
        tick(True)
        return keeper.tuning()


@dataclass(frozen=True)
class _Task:
    """What the trials have in common."""

    parts: Sequence[tuple[Ratings, Ratings]]
    base: Mapping[str, Any]
    space: Mapping[str, Searched]
    seed: int
    deadline: float
    journal: Path = Path(JOURNAL)

    def study(self) -> optuna.Study:
        """Return the study of the journal, as one of perhaps several processes."""
        return optuna.create_study(
            study_name=_STUDY,
            storage=JournalStorage(JournalFileBackend(str(self.journal))),
            pruner=optuna.pruners.SuccessiveHalvingPruner(
                min_resource=LEAST_EPOCHS, reduction_factor=2, bootstrap_count=3
            ),
            load_if_exists=True,
        )

    def sampler(self, trial: int) -> optuna.samplers.BaseSampler:
        """Return what proposes a trial: the same for the same trials before it."""
        # One that goes on drawing would propose again, once resumed, what it began with.
        seed = (1_000_003 * (self.seed + 1) + trial) % 2**32
        return optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=seed)


class _Stopped(Exception):  # noqa: N818
    """The search is to end at once."""


class _Enough(Exception):  # noqa: N818
    """A trial is to end with the epochs that it has: it learns no more, or the time is over."""


def _begin(task: _Task, known: Mapping[str, Any], resume: bool) -> optuna.Study:
    """Return a new study with its first trials, or one to go on with."""
    asked = {
        **{name: known[name] for name in ("sha256_ratings", "held_out", "seed")},
        "base": {name: value for name, value in task.base.items() if name != "devices"},
        "space": {name: repr(each) for name, each in task.space.items()},
    }
    if not resume:
        if task.journal.exists():
            raise ConfigurationError(
                f"{task.journal.parent} has a search already; resume it, or name a new folder."
            )
        study = task.study()
        for name, value in {"asked": asked, "about": dict(known)}.items():
            study.set_user_attr(name, value)
        for start in _starts(task):
            study.enqueue_trial(start, user_attrs={"preset": True})
        return study
    study = read_journal(task.journal)
    begun = study.user_attrs.get("asked")
    if not isinstance(begun, dict):
        raise DataCorruptError(f"{task.journal} is no journal of a search by autorec.")
    for name, value in asked.items():
        if begun.get(name) != value:
            raise ConfigurationError(
                f"The search in {task.journal.parent} was begun with another {name}; go on with "
                "the same, or begin a new one."
            )
    study = task.study()
    for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
    return study


def read_journal(path: Path) -> optuna.Study:
    """Return the study of a journal, which may be a stranger's.

    Raises
    ------
    ConfigurationError
        If there is none.
    DataCorruptError
        If it cannot be read.
    """
    if not path.is_file():
        raise ConfigurationError(f"{path.parent} has no search to go on with ({path.name}).")
    _trim(path)
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
        study = optuna.load_study(study_name=_STUDY, storage=storage)
        study.get_trials(deepcopy=False)
        return study
    except _DAMAGE as error:
        raise DataCorruptError(
            f"{path} is no journal of a search, or damaged ({type(error).__name__})."
        ) from error


def _trim(path: Path) -> None:
    """Take off what a killed process left of a line, for the next one would be added to it."""
    with path.open("r+b") as file:
        content = file.read()
        whole_lines = content.rfind(b"\n") + 1
        if whole_lines < len(content):
            file.truncate(whole_lines)


def _starts(task: _Task) -> Iterator[dict[str, Any]]:
    """Yield the presets as far as they lie in the space, each once."""
    seen = []
    for preset, changes in STARTS:
        wanted = {**vars(preset_parameters(preset)), **changes}
        start = {name: wanted[name] for name, each in task.space.items() if wanted[name] in each}
        if start not in seen:
            seen.append(start)
            yield start


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


def _distributions(space: Mapping[str, Searched]) -> dict[str, BaseDistribution]:
    """Return what is searched in Optuna's words."""
    found: dict[str, BaseDistribution] = {}
    for name, each in space.items():
        if isinstance(each, OneOf):
            found[name] = CategoricalDistribution(each.values)
        elif each.whole:
            found[name] = IntDistribution(int(each.low), int(each.high), log=each.log)
        else:
            found[name] = FloatDistribution(each.low, each.high, log=each.log)
    return found


def _parts(
    table: Ratings, validation_ratio: float, folds: int | None, seed: int
) -> list[tuple[Ratings, Ratings]]:
    if folds is None:
        return [random_split(table, validation_ratio, seed + 1)]
    return list(k_fold(table, folds, seed + 1))


def _work(
    task: _Task,
    study: optuna.Study,
    places: Any,
    stop: Any,
    tick: Callable[[], None] = lambda: None,
) -> None:
    """Make trials until there are enough, the time is over, or it is stopped."""
    parent = multiprocessing.parent_process()

    def over() -> bool:
        return time.monotonic() > task.deadline or stop.is_set()

    while not over() and (places is None or places.acquire(False)):
        study.sampler = task.sampler(len(study.get_trials(deepcopy=False)))
        trial = study.ask(_distributions(task.space))

        def check() -> None:
            tick()
            if stop.is_set() or (parent is not None and not parent.is_alive()):
                raise _Stopped
            if time.monotonic() > task.deadline:
                raise _Enough

        try:
            rmse, epochs = _score(task, trial, check)
        except _Stopped:
            return  # the trial is left as it is, to be made again
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except TrainingError as error:
            trial.set_user_attr("error", str(error))
            study.tell(trial, state=TrialState.FAIL)
        else:
            trial.set_user_attr("epochs", epochs)
            so_far = _best(_ended(study))
            if time.monotonic() > task.deadline and so_far and rmse >= (so_far.value or 0.0):
                study.tell(trial, state=TrialState.PRUNED)  # it might have become better
            else:
                study.tell(trial, rmse)
        # Gluon's blocks refer to themselves, and Python does not see how much they hold.
        gc.collect()
        tick()


def _score(task: _Task, trial: optuna.Trial, check: Callable[[], None]) -> tuple[float, int]:
    """Return the validation RMSE of a trial, and the epochs that it took; means over folds."""
    model = Recommender(**{**task.base, **trial.params})
    found: list[tuple[float, int]] = []
    for number, (train, validation) in enumerate(task.parts):
        best, fallen = (math.inf, 0), (math.inf, 0)

        def on_epoch(epoch: Epoch, first: bool = number == 0) -> None:
            nonlocal best, fallen
            assert epoch.validation_rmse is not None
            best = min(best, (epoch.validation_rmse, epoch.epoch))
            if best[0] < fallen[0] * (1 - LEAST_GAIN):
                fallen = best
            if first:
                trial.report(best[0], epoch.epoch)
                if trial.should_prune() and "preset" not in trial.user_attrs:
                    raise optuna.TrialPruned
            check()
            if epoch.epoch >= fallen[1] + PATIENCE:
                raise _Enough

        try:
            model.fit(train, validation=validation, on_epoch=on_epoch)
        except _Enough:
            if time.monotonic() > task.deadline and number + 1 < len(task.parts):
                raise TrainingError("The time was over before its last fold.") from None
        found.append(best)
    return (
        sum(rmse for rmse, _ in found) / len(found),
        round(sum(epochs for _, epochs in found) / len(found)),
    )


def _work_beside(task: _Task, jobs: int, left: int | None, tick: Callable[[], None]) -> None:
    """Make trials in several processes."""
    spawn = multiprocessing.get_context("spawn")
    stop, places = spawn.Event(), None if left is None else spawn.Semaphore(left)
    processors = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(
        jobs, mp_context=spawn, initializer=_begin_process, initargs=(places, stop)
    ) as pool:
        try:
            with _inherited(OMP_NUM_THREADS=str(max(processors // jobs, 1))):
                working = [pool.submit(_work_here, task) for _ in range(jobs)]
            while wait(working, timeout=0.25).not_done:
                tick()
            for each in working:
                each.result()
        finally:
            stop.set()


_shared: tuple[Any, Any] = (None, None)


def _begin_process(places: Any, stop: Any) -> None:
    global _shared
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears of it, and says when to stop
    _shared = places, stop


def _work_here(task: _Task) -> None:
    with _quiet():
        _work(task, task.study(), *_shared)


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


@contextmanager
def _quiet() -> Iterator[None]:
    """Have Optuna say nothing but what is wrong."""
    log = logging.getLogger("optuna")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            yield
        finally:
            log.setLevel(level)


class _Keeper:
    """Looks at a study now and then, and keeps what it has found so far in a folder."""

    def __init__(
        self,
        study: optuna.Study,
        task: _Task,
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
        ended = _ended(self._study)
        best = _best(ended)
        if len(ended) != self._kept and self._folder is not None:
            with replacing(self._folder / TRIALS) as path:
                trials_table(self._study, self._task.space).to_csv(path, index=False)
            if best is not None:
                write_settings(
                    self._folder / SETTINGS, self._parameters(best), self._facts(best, ended)
                )
        self._kept = len(ended)
        states = [each.state for each in ended]
        return Progress(
            trials=len(ended),
            pruned=states.count(TrialState.PRUNED),
            failed=states.count(TrialState.FAIL),
            best_trial=None if best is None else best.number,
            best_rmse=math.nan if best is None else float(best.value or 0.0),
            seconds=time.monotonic() - self._started,
        )

    def tuning(self) -> Tuning:
        """Return what was found."""
        ended = _ended(self._study)
        best = _best(ended)
        if best is None:
            errors = [each.user_attrs["error"] for each in ended if "error" in each.user_attrs]
            raise TrainingError(
                f"No trial came to an end: {errors[-1]}"
                if errors
                else "No trial came to an end; give the search more minutes."
            )
        assert best.value is not None
        return Tuning(
            parameters=self._parameters(best),
            validation_rmse=best.value,
            trial=best.number,
            trials=trials_table(self._study, self._task.space),
            importances=_importances(self._study),
            about=self._facts(best, ended),
        )

    def _parameters(self, best: FrozenTrial) -> Parameters:
        chosen = {**self._task.base, **best.params, "num_epochs": best.user_attrs["epochs"]}
        return Parameters(**{**chosen, "patience": None})

    def _facts(self, best: FrozenTrial, ended: Sequence[FrozenTrial]) -> dict[str, Any]:
        return {
            "validation_rmse": best.value,
            "trial": best.number,
            "trials": len(ended),
            **self._about,
            "versions": {**versions(), "optuna": optuna.__version__},
        }


def _ended(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that have ended, those that were stopped and are made again left out."""
    ended = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=ended)
    return [t for t in trials if t.state != TrialState.FAIL or "error" in t.user_attrs]


def _best(ended: Sequence[FrozenTrial]) -> FrozenTrial | None:
    complete = [each for each in ended if each.state == TrialState.COMPLETE]
    return min(complete, key=lambda each: each.value or math.inf, default=None)


def trials_table(study: optuna.Study, space: Mapping[str, Searched]) -> pd.DataFrame:
    """Return a table of trials, see `Tuning`."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state not in _STATES:
            continue
        steps = trial.intermediate_values
        interrupted = trial.state == TrialState.FAIL and "error" not in trial.user_attrs
        rows.append(
            {
                "trial": trial.number,
                "state": "interrupted" if interrupted else _STATES[trial.state],
                "validation_rmse": trial.value if trial.value is not None else _last(steps),
                "epochs": trial.user_attrs.get("epochs", max(steps, default=0)),
                "seconds": math.nan if trial.duration is None else trial.duration.total_seconds(),
                "error": trial.user_attrs.get("error", ""),
                **{name: trial.params.get(name) for name in space},
            }
        )
    columns = ["trial", "state", "validation_rmse", "epochs", "seconds", "error", *space]
    return pd.DataFrame(rows, columns=columns)


def _last(steps: Mapping[int, float]) -> float:
    return steps[max(steps)] if steps else math.nan


def _importances(study: optuna.Study) -> dict[str, float]:
    if len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])) < LEAST_TRIALS:
        return {}
    try:
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (ValueError, RuntimeError):  # where all trials are alike
        return {}
    return {name: value for name, value in found.items() if math.isfinite(value)}
