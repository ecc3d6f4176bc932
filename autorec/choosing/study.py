"""Study: the trials of a search, kept by Optuna in a journal of JSON lines."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from ..errors import ConfigurationError, DataCorruptError
from .space import LEAST_EPOCHS, STARTS, OneOf, Searched

try:
    import optuna as optuna
except ImportError as missing:
    raise ConfigurationError(
        f"A search needs Optuna ({missing}): pip install 'gluon-autorec[tune]'."
    ) from missing
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial as FrozenTrial
from optuna.trial import TrialState as TrialState

#: In a search's folder.
JOURNAL = "journal.jsonl"
#: Trials that came to their end from which on it is told what mattered.
LEAST_TRIALS = 8

_STUDY = "autorec"
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "interrupted",
}
# What Optuna fails with where a journal is not what it writes.
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, AssertionError, RecursionError)


def open_study(journal: Path | None) -> optuna.Study:
    """Return the study of a journal, new where there is none; one in memory for no journal."""
    return optuna.create_study(
        study_name=_STUDY,
        storage=(
            InMemoryStorage()
            if journal is None
            else JournalStorage(JournalFileBackend(str(journal)))
        ),
        pruner=optuna.pruners.SuccessiveHalvingPruner(
            min_resource=LEAST_EPOCHS, reduction_factor=2, bootstrap_count=3
        ),
        load_if_exists=True,
    )


def begin_study(
    journal: Path | None, asked: Mapping[str, object], space: Mapping[str, Searched]
) -> optuna.Study:
    """Return a new study, whose first trials are to be `STARTS`.

    Parameters
    ----------
    journal : Path, optional
    asked : mapping
        What is the same for all trials, by a word for each; for JSON.
    space : mapping of str to OneOf or Between

    Raises
    ------
    ConfigurationError
        If there is a journal already.
    """
    if journal is not None and journal.exists():
        raise ConfigurationError(
            f"{journal.parent} has a search already; resume it, or name a new folder."
        )
    study = open_study(journal)
    study.set_user_attr("asked", dict(asked))
    seen: list[dict[str, object]] = []
    for start in STARTS:
        wanted = {name: start[name] for name, each in space.items() if start.get(name) in each}
        if wanted not in seen:
            seen.append(wanted)
            study.enqueue_trial(wanted, user_attrs={"start": True})
    return study


def resume_study(
    journal: Path, asked: Mapping[str, object], space: Mapping[str, Searched]
) -> optuna.Study:
    """Return a study to go on with; trials that did not come to an end are to be made again.

    Parameters
    ----------
    journal : Path
        May be a stranger's.
    asked, space
        As the study was begun with.

    Raises
    ------
    ConfigurationError
        If there is none, or it was begun with something else.
    DataCorruptError
        If it cannot be read.
    """
    if not journal.is_file():
        raise ConfigurationError(f"{journal.parent} has no search to go on with ({journal.name}).")
    _trim(journal)
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        begun = optuna.load_study(study_name=_STUDY, storage=storage).user_attrs["asked"]
        for name, value in asked.items():
            if begun[name] != value:
                raise ConfigurationError(
                    f"The search in {journal.parent} was begun with another {name}; go on with "
                    "the same, or begin a new one."
                )
        study = open_study(journal)
        for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
            study.tell(trial.number, state=TrialState.FAIL)
            study.enqueue_trial(
                {name: trial.params[name] for name in space}, user_attrs=trial.user_attrs
            )
        return study
    except ConfigurationError:
        raise
    except _DAMAGE as error:
        raise DataCorruptError(
            f"{journal} is no journal of a search, or damaged ({type(error).__name__})."
        ) from error


def _trim(path: Path) -> None:
    """Take off what a killed process left of a line, for the next one would be added to it."""
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


def sampler(seed: int, trial: int) -> optuna.samplers.BaseSampler:
    """Return what proposes a trial: the same one for the same trials before it.

    One that goes on drawing would, once resumed, propose again what it began with.
    """
    mixed = (1_000_003 * (seed + 1) + trial) % 2**32
    return optuna.samplers.TPESampler(multivariate=True, constant_liar=True, seed=mixed)


def distributions(space: Mapping[str, Searched]) -> dict[str, BaseDistribution]:
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


def ended(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials that have ended, those that were stopped and are made again left out."""
    states = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
    trials = study.get_trials(deepcopy=False, states=states)
    return [each for each in trials if not _interrupted(each)]


def best(study: optuna.Study) -> tuple[FrozenTrial, float] | None:
    """Return the best of the trials that came to their end, and its RMSE."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    scored = [(each.value, each) for each in complete if each.value is not None]
    if not scored:
        return None
    rmse, trial = min(scored, key=lambda each: each[0])
    return trial, rmse


def trials_table(study: optuna.Study, space: Mapping[str, Searched]) -> pd.DataFrame:
    """Return a table of trials, see `Tuning`."""
    rows = []
    for trial in study.get_trials(deepcopy=False):
        if trial.state not in _STATES:
            continue
        steps = trial.intermediate_values
        last = steps[max(steps)] if steps else math.nan
        rows.append(
            {
                "trial": trial.number,
                "state": "interrupted" if _interrupted(trial) else _STATES[trial.state],
                "validation_rmse": last if trial.value is None else trial.value,
                "epochs": trial.user_attrs.get("epochs", max(steps, default=0)),
                "seconds": math.nan if trial.duration is None else trial.duration.total_seconds(),
                "error": trial.user_attrs.get("error", ""),
                **{name: trial.params.get(name) for name in space},
            }
        )
    columns = ["trial", "state", "validation_rmse", "epochs", "seconds", "error", *space]
    return pd.DataFrame(rows, columns=columns)


def importances(study: optuna.Study) -> dict[str, float]:
    """Return how much each hyperparameter mattered, see `Tuning`."""
    if len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])) < LEAST_TRIALS:
        return {}
    try:
        found = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
    except (ValueError, RuntimeError):  # where all trials are alike
        return {}
    return {name: value for name, value in found.items() if math.isfinite(value)}


@contextmanager
def quiet() -> Iterator[None]:
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


def _interrupted(trial: FrozenTrial) -> bool:
    return trial.state == TrialState.FAIL and "error" not in trial.user_attrs
