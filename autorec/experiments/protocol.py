"""Experiments: the paper's protocol, run over the rows of a table.

A row's parameters are fixed beforehand. What it leaves open, its candidates and the number of
epochs, is chosen on a validation tenth of the training ratings; then the model is trained anew on
all of them and meets the test ratings once.
"""

from __future__ import annotations

import gc
import json
import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from .._environment import versions
from .._storage.files import replacing
from .._storage.leftovers import held, sweep_files
from ..baselines import BiasedMeans, BiasedMF, Means
from ..data.movielens.tables import RELEASES, fetch, load_movielens
from ..data.ratings import Ratings
from ..data.reading import read_ratings
from ..data.splits import given_split, random_split
from ..errors import DataUnavailableError
from ..evaluation.accuracy import accuracy
from ..evaluation.intervals import corrected_interval
from ..recommender.estimator import Recommender

#: Models by the names that rows of a table use.
MODELS: dict[str, Callable[..., Any]] = {
    "AutoRec": Recommender,
    "BiasedMF": BiasedMF,
    "BiasedMeans": BiasedMeans,
    "Means": Means,
}

#: Test ratings for each training rating, by a row's `splits`; 1/9 for the random ones.
TEST_TO_TRAIN = {"u1": 1 / 4, "u1-u5": 1 / 4}

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
        The data and how they are split: "100k", "1m" (random, nine tenths to train on), "u1" or
        "u1-u5" (those that come with ML-100K).
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
        common = {"devices": devices, "random_state": seed} if hasattr(build, "devices") else {}
        return build(**{**row.parameters, **common, **parameters})

    has_epochs = hasattr(model(), "num_epochs")
    trials: list[dict[str, Any]] = []
    if len(row.candidates) > 1 or (has_epochs and row.choose_epoch):
        fitting, validation = random_split(train, 0.1, seed=1000 + seed)
        for candidate in row.candidates:
            trial = model(**candidate)
            chosen = dict(candidate)
            if has_epochs and row.choose_epoch:
                trial.fit(fitting, validation=validation)
                chosen["num_epochs"] = trial.history_.best.epoch
            else:
                trial.fit(fitting)
            rmse = accuracy(trial.predict(*validation.pairs()), validation.values).rmse
            trials.append({"parameters": chosen, "validation_rmse": rmse})
    best = min(trials, key=lambda each: each["validation_rmse"])["parameters"] if trials else {}
    # Nothing is held out any more by which to stop early.
    final = model(**best, **({"patience": None} if has_epochs else {})).fit(train)
    return {
        "trials": trials,
        "chosen": best,
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
        path = folder / table / _file(row, name)
        task = {
            "row": json.loads(json.dumps(asdict(row))),
            "split": name,
            "seed": seed,
            "sha256_train": train.checksum(),
            "sha256_test": test.checksum(),
        }
        if task.items() <= _read(path).items():
            continue
        result = {**task, **run(row, train, test, seed, devices), "versions": versions()}
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, partial(_write_json, result))
        # Gluon's blocks refer to themselves, and Python does not see how much they hold.
        gc.collect()
    if progress is not None:
        progress("done", len(todo), len(todo))


def movielens_splits(sources: Mapping[str, Path | None], count: int = 5) -> Splits:
    """Return the splits that rows name, of MovieLens releases.

    Parameters
    ----------
    sources : mapping of str to path or None
        For "100k" and "1m" the release's folder or zip, or a file of its ratings; None for the
        cache, else a download.
    count : int
        Random splits of each data set; they have the seeds 0, 1, ...
    """

    def load(name: str) -> Ratings:
        source = sources.get(name)
        if source is not None and source.is_file() and source.suffix != ".zip":
            return read_ratings(source)
        return load_movielens(name, source)

    def splits(name: str) -> Iterator[tuple[str, Ratings, Ratings]]:
        if name in RELEASES:
            ratings = load(name)
            for seed in range(count):
                yield f"{name}-{seed}", *random_split(ratings, 0.1, seed)
            return
        folder = fetch("100k", sources.get("100k"))
        for fold in ["u1"] if name == "u1" else ["u1", "u2", "u3", "u4", "u5"]:
            files = [folder / f"{fold}.base", folder / f"{fold}.test"]
            missing = [file.name for file in files if not file.is_file()]
            if missing:
                raise DataUnavailableError(
                    f"{folder} has no {missing[0]}, as the copy in a wheel has only the ratings; "
                    "name the release of GroupLens with --ml-100k."
                )
            yield fold, *given_split(*map(read_ratings, files))

    return splits


def quick(tables: Mapping[str, Sequence[Row]]) -> dict[str, tuple[Row, ...]]:
    """Return the tables with two epochs a run and one candidate, to see that all works."""

    def short(row: Row) -> dict[str, object]:
        epochs = {"num_epochs": 2} if hasattr(MODELS[row.model], "num_epochs") else {}
        return {**epochs, **({"pretrain_epochs": 1} if "pretrain_epochs" in row.parameters else {})}

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


def summarise(folder: Path, tables: Mapping[str, Sequence[Row]]) -> dict[str, pd.DataFrame]:
    """Read what `reproduce` left.

    Returns
    -------
    dict of str to DataFrame
        For each table a line for each row that has results: "model", "rmse" (the mean over its
        splits), "interval" (half the width of the 95 % confidence interval, see
        `corrected_interval`; NaN for one split), "splits" (their number) and "published".
    """
    found = {}
    for table, rows in tables.items():
        results = {path.name: _read(path) for path in sorted((folder / table).glob("*.json"))}
        lines = []
        for row in rows:
            known = json.loads(json.dumps(asdict(row)))
            scores = [
                result["rmse"]
                for name, result in results.items()
                # What bears another name is a copy, or was never finished.
                if result.get("row") == known and name == _file(row, str(result.get("split")))
            ]
            if not scores:
                continue
            interval = corrected_interval(scores, TEST_TO_TRAIN.get(row.splits, 1 / 9))
            lines.append([row.name, interval.mean, interval.half_width, len(scores), row.published])
        columns = ["model", "rmse", "interval", "splits", "published"]
        found[table] = pd.DataFrame(lines, columns=columns)
    return found


def markdown(summary: Mapping[str, pd.DataFrame], tried: Mapping[str, str] | None = None) -> str:
    """Return what `summarise` found as Markdown, a table each, and below it what is not reached.

    Parameters
    ----------
    summary : mapping of str to DataFrame
    tried : mapping of str to str, optional
        By table, what was tried to reach published figures that are not.
    """
    lines = []
    for table, frame in summary.items():
        lines += [f"### {table}", "", "| model | test RMSE | splits | published |"]
        lines.append("|:--|--:|--:|:--|")
        missed = []
        for each in frame.itertuples():
            interval = "" if math.isnan(each.interval) else f" ± {each.interval:.4f}"
            lines.append(
                f"| {each.model} | {each.rmse:.4f}{interval} | {each.splits} | {each.published} |"
            )
            figure = float(each.published.partition(",")[0] or math.inf)
            if each.rmse > figure:
                missed.append(f"{each.model} (by {each.rmse - figure:.4f})")
        lines.append("")
        if missed:
            lines += [
                f"Not reached: {'; '.join(missed)}. {(tried or {}).get(table, '')}".strip(),
                "",
            ]
    return "\n".join(lines)


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


def _file(row: Row, split: str) -> str:
    return f"{_slug(row.name)}-{_slug(split)}.json"


def _read(path: Path) -> dict[str, Any]:
    """Return a result, empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
