"""Studies: the trials of a search, kept by Optuna in a journal of JSON lines; one for each view."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..data import View
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
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as TrialState

#: In a search's folder.
JOURNAL = "journal.jsonl"
#: Trials that came to their end from which on it is told what mattered.
LEAST_TRIALS = 8

_ENDED = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}
# The best quarter beside all: of a tenth, Optuna's own choice, too few would be left.
_MATTERS = PedAnovaImportanceEvaluator(target_quantile=0.25)
# What Optuna fails with where a journal is not what it writes.
_DAMAGE = (LookupError, TypeError, ValueError, AttributeError, AssertionError, RecursionError)


@dataclass(frozen=True)
class Best:
    """The best trial of a view: its number, what was tried, its epochs, RMSE and seconds."""

    trial: int
    parameters: dict[str, object]
    epochs: int
    rmse: float
    seconds: float


@dataclass(frozen=True)
class Studies:
    """What Optuna knows of a search, by view."""

    of: Mapping[View, optuna.Study]

    @classmethod
    def open(cls, journal: Path | None, views: Sequence[View]) -> Studies:
        """Return the studies of a journal, new where there are none; in memory for no journal."""
        storage: BaseStorage = InMemoryStorage()
        if journal is not None:
            storage = JournalStorage(JournalFileBackend(str(journal)))
        pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=LEAST_EPOCHS, reduction_factor=2, bootstrap_count=2
        )
        return cls(
            {
                view: optuna.create_study(
                    study_name=view, storage=storage, pruner=pruner, load_if_exists=True
                )
                for view in views
            }
        )

    @classmethod
    def begin(
        cls,
        journal: Path | None,
        asked: Mapping[str, object],
        views: Sequence[View],
        space: Mapping[str, Searched],
    ) -> Studies:
        """Return new studies, whose first trials are to be `STARTS`.

        Parameters
        ----------
        journal : Path, optional
        asked : mapping
            What is the same for all trials, by a word for each; for JSON.
        views : sequence of {"item", "user"}
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
        studies = cls.open(journal, views)
        for study in studies.of.values():
            study.set_user_attr("asked", dict(asked))
            seen: list[dict[str, object]] = []
            for start in STARTS:
                wanted = {
                    name: start[name] for name, each in space.items() if start.get(name) in each
                }
                if wanted not in seen:
                    seen.append(wanted)
                    study.enqueue_trial(wanted, user_attrs={"start": True})
        return studies

    @classmethod
    def resume(
        cls,
        journal: Path,
        asked: Mapping[str, object],
        views: Sequence[View],
        space: Mapping[str, Searched],
    ) -> Studies:
        """Return studies to go on with; trials that did not come to an end are to be made again.

        Parameters
        ----------
        journal : Path
            May be a stranger's.
        asked, views, space
            As they were begun with.

        Raises
        ------
        ConfigurationError
            If there is none, or it was begun with something else.
        DataCorruptError
            If it cannot be read.
        """
        if not journal.is_file():
            raise ConfigurationError(
                f"{journal.parent} has no search to go on with ({journal.name})."
            )
        _trim(journal)
        try:
            storage = JournalStorage(JournalFileBackend(str(journal)))
            for view in views:
                begun = optuna.load_study(study_name=view, storage=storage).user_attrs["asked"]
                for name, value in asked.items():
                    if begun[name] != value:
                        raise ConfigurationError(
                            f"The search in {journal.parent} was begun with another {name}; go on "
                            "with the same, or begin a new one."
                        )
            studies = cls.open(journal, views)
            for study in studies.of.values():
                for trial in study.get_trials(deepcopy=False, states=[TrialState.RUNNING]):
                    study.tell(trial.number, state=TrialState.FAIL)
                    study.enqueue_trial(
                        {name: trial.params[name] for name in space}, user_attrs=trial.user_attrs
                    )
            return studies
        except ConfigurationError:
            raise
        except _DAMAGE as error:
            raise DataCorruptError(
                f"{journal} is no journal of a search, or damaged ({type(error).__name__})."
            ) from error

    def next_view(self) -> View:
        """Return the view that has had the fewest trials."""
        return min(self.of, key=lambda view: len(self._trials(view)))

    def ask(
        self, view: View, space: Mapping[str, Searched], seed: int
    ) -> tuple[optuna.Study, optuna.Trial]:
        """Return the next trial of a view: the same for the same trials before it."""
        study = self.of[view]
        # One that goes on drawing would, once resumed, propose again what it began with.
        mixed = (1_000_003 * (seed + 1) + 1_009 * list(self.of).index(view)) % 2**32
        mixed = (mixed + len(self._trials(view))) % 2**32
        study.sampler = optuna.samplers.TPESampler(
            multivariate=True, constant_liar=True, seed=mixed
        )
        return study, study.ask(_distributions(space))

    def counts(self) -> dict[str, int]:
        """Return how many trials are "complete", "pruned" and "failed"."""
        states = [_ENDED.get(trial.state) for view in self.of for trial in self._trials(view)]
        return {name: states.count(name) for name in _ENDED.values()}

    def best(self, view: View) -> Best | None:
        """Return the best of a view's trials that came to their end."""
        found = [
            Best(
                each.number,
                dict(each.params),
                each.user_attrs["epochs"],
                each.value,
                _seconds(each),
            )
            for each in self._trials(view)
            if each.state == TrialState.COMPLETE and each.value is not None
        ]
        return min(found, key=lambda each: each.rmse, default=None)

    def last_error(self) -> str | None:
        """Return why a trial failed, one of the last."""
        errors = [
            str(trial.user_attrs["error"])
            for view in self.of
            for trial in self._trials(view)
            if "error" in trial.user_attrs
        ]
        return errors[-1] if errors else None

    def table(self, space: Mapping[str, Searched]) -> pd.DataFrame:
        """Return a table of the trials, see `Tuning`."""
        rows = []
        for view, study in self.of.items():
            for trial in study.get_trials(deepcopy=False):
                if trial.state == TrialState.WAITING:
                    continue
                steps = trial.intermediate_values
                last = steps[max(steps)] if steps else math.nan
                rows.append(
                    {
                        "view": view,
                        "trial": trial.number,
                        "state": "interrupted" if _stopped(trial) else _ENDED[trial.state],
                        "validation_rmse": last if trial.value is None else trial.value,
                        "epochs": trial.user_attrs.get("epochs", max(steps, default=0)),
                        "seconds": _seconds(trial),
                        "error": trial.user_attrs.get("error", ""),
                        **{name: trial.params.get(name) for name in space},
                    }
                )
        columns = ["view", "trial", "state", "validation_rmse", "epochs", "seconds", "error"]
        return pd.DataFrame(rows, columns=[*columns, *space])

    def importances(self, view: View) -> dict[str, float]:
        """Return how much each hyperparameter mattered, see `Tuning`."""
        study = self.of[view]
        if len(study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])) < LEAST_TRIALS:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that all matter alike, which the result says, too
            try:
                found = get_param_importances(study, evaluator=_MATTERS)
            except (ValueError, RuntimeError):  # where all trials are alike
                return {}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def _trials(self, view: View) -> list[FrozenTrial]:
        """Return the trials that have begun, without those that are to be made again."""
        trials = self.of[view].get_trials(deepcopy=False)
        return [
            each
            for each in trials
            if each.state == TrialState.RUNNING or (each.state in _ENDED and not _stopped(each))
        ]


def _trim(path: Path) -> None:
    """Take off what a killed process left of a line, for the next one would be added to it."""
    with path.open("r+b") as file:
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)


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


def _stopped(trial: FrozenTrial) -> bool:
    """Tell of a trial whether it did not come to an end, and no error is why."""
    failed = trial.state == TrialState.FAIL and "error" not in trial.user_attrs
    return failed or trial.state == TrialState.RUNNING


def _seconds(trial: FrozenTrial) -> float:
    return math.nan if trial.duration is None else trial.duration.total_seconds()


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
