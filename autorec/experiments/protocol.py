"""Experiments: the paper's protocol, run over the rows of a table.

A row's parameters are fixed beforehand. What it leaves open, its candidates and the number of
epochs, is chosen on a validation tenth of the training ratings; then the model is trained anew on
all of them and meets the test ratings once.
"""

from __future__ import annotations

import gc
import inspect
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from .._environment import versions
from .._storage.files import replacing
from .._storage.leftovers import held, sweep_files
from ..baselines import BayesianMF, BiasedMeans, BiasedMF, Means
from ..data.ratings import Ratings
from ..data.splits import random_split
from ..evaluation.accuracy import accuracy
from ..recommender.estimator import Recommender
from .blend import Blend

#: A file of a result: nested values, as JSON has them.
Saved = dict[str, Any]

#: Models by the names that rows of a table use.
MODELS: dict[str, Callable[..., Any]] = {
    "AutoRec": Recommender,
    "BayesianMF": BayesianMF,
    "BiasedMF": BiasedMF,
    "BiasedMeans": BiasedMeans,
    "Blend": Blend,
    "Means": Means,
}

#: The splits of a data set: the train and test ratings of each, by name.
Splits = Callable[[str], Iterator[tuple[str, Ratings, Ratings]]]


@dataclass(frozen=True)
class Row:
    """A line of a table: one model on one data set.

    Parameters
    ----------
    name : str
        Unique in the table.
    model : str
        A key of `MODELS`.
    splits : str
        The data and how they are split: "100k", "1m", "latest-small", "jester", "ciao-dvd"
        (random, nine tenths to train on), "u1" or "u1-u5" (those that come with ML-100K).
    parameters : mapping
        Of the model.
    candidates : sequence of mapping
        Parameters to choose from on the validation ratings; each is put on top of `parameters`.
    choose_epoch : bool
        Whether the number of epochs is chosen on the validation ratings too.
    published : str
        The figure to compare with, and whose it is.
    """

    name: str
    model: str
    splits: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    candidates: Sequence[Mapping[str, object]] = ({},)
    choose_epoch: bool = True
    published: str = ""


def run(
    row: Row, train: Ratings, test: Ratings, seed: int, devices: str = "gpu"
) -> dict[str, object]:
    """Choose on validation ratings, train on all, and evaluate once.

    Parameters
    ----------
    row : Row
    train, test : Ratings
        Under the same id maps. The test ratings are not looked at before the end.
    seed : int
        Of the validation split and of the model.
    devices : str
        See `contexts`.

    Returns
    -------
    dict
        "trials" (the candidates, each with its validation RMSE and epochs), "chosen" (the
        parameters), "rmse", "mae", "count" (of test ratings) and "seconds".
    """
    started = time.perf_counter()

    def model(**parameters: object) -> Any:
        build = MODELS[row.model]
        common = {"devices": devices, "random_state": seed}
        taken = inspect.signature(build).parameters
        common = {name: value for name, value in common.items() if name in taken}
        return build(**{**row.parameters, **common, **parameters})

    has_epochs = hasattr(model(), "num_epochs")
    # Nets that differ in their seed alone need not be chosen one by one.
    one = {"members": 1} if "members" in row.parameters else {}
    trials: list[Saved] = []
    if len(row.candidates) > 1 or (has_epochs and row.choose_epoch):
        fitting, validation = random_split(train, 0.1, seed=1000 + seed)
        for candidate in row.candidates:
            trial = model(**candidate, **one)
            chosen = dict(candidate)
            if has_epochs and row.choose_epoch:
                trial.fit(fitting, validation=validation)
                # An AutoRec of both views has more that was chosen than its epochs.
                more = {"num_epochs": trial.history_.best.epoch}
                chosen.update(getattr(trial, "chosen_", more))
            else:
                trial.fit(fitting)
            rmse = accuracy(trial.predict(*validation.pairs()), validation.values).rmse
            trials.append({"parameters": chosen, "validation_rmse": rmse})
    best = min(trials, key=lambda each: each["validation_rmse"])["parameters"] if trials else {}
    # Nothing is held out any more by which to stop early.
    final = model(**{**best, **({"patience": None} if has_epochs else {})}).fit(train)
    return {
        "trials": trials,
        "chosen": best or getattr(final, "chosen_", {}),
        **asdict(accuracy(final.predict(*test.pairs()), test.values)),
        "seconds": time.perf_counter() - started,
    }


def reproduce(
    tables: Mapping[str, Sequence[Row]],
    splits: Splits,
    folder: Path,
    devices: str = "gpu",
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Run all rows of some tables on all their splits, those left out that were run before.

    Parameters
    ----------
    tables : mapping of str to sequence of Row
        Such as `TABLES`, or part of it.
    splits : callable
        Yields the name, the train and the test ratings of each split that a row's `splits` names.
    folder : Path
        Gets a folder for each table, with a file for each row and split: the row, the seed, the
        data's checksums, the result of `run` and the versions. A file whose row or data are no
        longer the same is replaced.
    devices : str
        See `contexts`.
    progress : callable, optional
        Called before each run with its name, the runs before it and the runs in all.
    """
    parts = {
        name: list(splits(name))
        for name in sorted({row.splits for rows in tables.values() for row in rows})
    }
    todo = [
        (table, row, seed, *split)
        for table, rows in tables.items()
        for row in rows
        for seed, split in enumerate(parts[row.splits])
    ]
    for number, (table, row, seed, name, train, test) in enumerate(todo):
        if progress is not None:
            progress(f"{table}: {row.name}, {name}", number, len(todo))
        path = folder / table / file_name(row, name)
        task = {
            "row": as_saved(row),
            "split": name,
            "seed": seed,
            "sha256_train": train.checksum(),
            "sha256_test": test.checksum(),
        }
        if task.items() <= read_result(path).items():
            continue
        result = {**task, **run(row, train, test, seed, devices), "versions": versions()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, partial(_write_json, result))
        # Gluon's blocks refer to themselves, and Python does not see how much they hold.
        gc.collect()
    if progress is not None:
        progress("done", len(todo), len(todo))


def quick(tables: Mapping[str, Sequence[Row]]) -> dict[str, tuple[Row, ...]]:
    """Return the tables with two epochs a run and one candidate, to see that all works."""

    def short(row: Row) -> dict[str, object]:
        taken = inspect.signature(MODELS[row.model]).parameters
        few = {"num_epochs": 2, "num_samples": 4}
        found: dict[str, object] = {name: few[name] for name in few if name in taken}
        if row.model == "Blend":
            of_autorec = cast("Mapping[str, object]", row.parameters["autorec"])
            found["autorec"] = {**of_autorec, "num_epochs": 2, "choose_decay": False}
        found.update({"pretrain_epochs": 1} if "pretrain_epochs" in row.parameters else {})
        found.update({"choose_decay": False} if "choose_decay" in row.parameters else {})
        return found

    return {
        table: tuple(
            replace(
                row,
                candidates=row.candidates[:1],
                parameters={**row.parameters, **short(row)},
            )
            for row in rows
        )
        for table, rows in tables.items()
    }


def write(path: Path, content: Callable[[Path], object]) -> None:
    """Write a file of results whole, and remove what a killed process left of it.

    Parameters
    ----------
    path : Path
        In a folder that exists.
    content : callable
        Writes to the file that it is given.
    """
    with held(path.parent) as alone:
        if alone:
            sweep_files(path)
        with replacing(path) as temporary:
            content(temporary)


def _write_json(result: Mapping[str, object], path: Path) -> None:
    path.write_text(json.dumps(result, indent=1) + "\n")


def as_saved(row: Row) -> Saved:
    """Return a row as the file of a result has it."""
    saved: Saved = json.loads(json.dumps(asdict(row)))
    return saved


def file_name(row: Row, split: str) -> str:
    """Return the name of the file of a row's result on a split."""
    return f"{_slug(row.name)}-{_slug(split)}.json"


def read_result(path: Path) -> Saved:
    """Return a result, empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
