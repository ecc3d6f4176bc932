"""Comparison: models on the same splits of one's own ratings, and what the differences say."""

from __future__ import annotations

import gc
import math
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Union

import pandas as pd

from .._bounds import MOST_SEED, real, whole
from ..baselines.predictor import Predictor
from ..data.ratings import Ratings
from ..data.reading import as_ratings
from ..data.splits import k_fold, random_split
from ..errors import AutorecError, ConfigurationError, TrainingError
from ..evaluation.accuracy import accuracy
from ..evaluation.intervals import Interval, corrected_interval
from ..evaluation.ranking import held_out_ndcg
from .models import build_model, usual_models
from .processes import SPAWN, inherited

#: Models by name, or names of `models.MODELS` and paths of settings files.
Models = Union[Sequence[str], Mapping[str, Union[str, Predictor]]]

#: Places of a user's held-out ratings that count for the NDCG.
PLACES = 10


@dataclass(frozen=True)
class Splits:
    """How a table is split: into folds, or at random again and again.

    Parameters
    ----------
    folds : int, optional
        Each rating is held out once.
    repeats : int
        Random splits, where there are no folds.
    test_ratio : float
        The share that a random split holds out.
    seed : int
    """

    folds: int | None = None
    repeats: int = 5
    test_ratio: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        whole("repeats", self.repeats, least=1)
        whole("seed", self.seed, least=0, most=MOST_SEED)
        real("test_ratio", self.test_ratio, above=0, below=1)
        if self.folds is not None:
            whole("folds", self.folds, least=2)

    def __len__(self) -> int:
        return self.folds or self.repeats

    def of(self, table: Ratings) -> Iterator[tuple[Ratings, Ratings]]:
        """Yield the training and the test ratings of each split."""
        if self.folds is not None:
            yield from k_fold(table, self.folds, self.seed)
            return
        for number in range(self.repeats):
            yield random_split(table, self.test_ratio, self.seed + number)

    @property
    def test_to_train(self) -> float:
        """Test ratings for each training rating."""
        share = 1 / self.folds if self.folds else self.test_ratio
        return share / (1 - share)

    def __str__(self) -> str:
        if self.folds:
            return f"{self.folds} folds"
        some = "a random split" if self.repeats == 1 else f"{self.repeats} random splits"
        return f"{some}, {self.test_ratio:.0%} held out"


@dataclass(frozen=True)
class Comparison:
    """How models did on the same splits.

    Parameters
    ----------
    scores : DataFrame
        A row for a model and a split: model, split, rmse, mae, ndcg (`held_out_ndcg` with
        `PLACES`), fit_seconds, predict_seconds, peak_mb (megabytes of memory that the model took at
        most, in a process of its own; NaN without).
    splits : Splits
    data : str
        What was split, in a few words.
    against : str
        The model that all others are compared with.
    failed : dict of str to str
        By model, why it is not among the scores.
    """

    scores: pd.DataFrame
    splits: Splits
    data: str
    against: str
    failed: Mapping[str, str]

    @property
    def table(self) -> pd.DataFrame:
        """A row a model, the best first: means over the splits, and half of their interval's width.

        Columns model, rmse, interval, mae, ndcg, fit_seconds, predict_seconds, peak_mb.
        """
        rows = []
        for model, part in self.scores.groupby("model", sort=False):
            interval = self._interval(part["rmse"])
            means = part[["mae", "ndcg", "fit_seconds", "predict_seconds", "peak_mb"]].mean()
            rows.append(
                {"model": model, "rmse": interval.mean, "interval": interval.half_width, **means}
            )
        return pd.DataFrame(rows).sort_values("rmse", ignore_index=True)

    @property
    def differences(self) -> pd.DataFrame:
        """A row for each other model: its RMSE less that of `against`, split by split.

        Columns model, difference, interval (half of the corrected interval's width, see
        `corrected_interval`), low, high and words: what it means.
        """
        by_split = self.scores.pivot(index="split", columns="model", values="rmse")
        rows = []
        for model in self.table["model"]:
            if model != self.against:
                interval = self._interval(by_split[model] - by_split[self.against])
                rows.append(
                    {
                        "model": model,
                        "difference": interval.mean,
                        "interval": interval.half_width,
                        "low": interval.low,
                        "high": interval.high,
                        "words": self._words(interval),
                    }
                )
        columns = ["model", "difference", "interval", "low", "high", "words"]
        return pd.DataFrame(rows, columns=columns)

    def _interval(self, values: pd.Series[float]) -> Interval:
        return corrected_interval(values.to_numpy(), self.splits.test_to_train)

    def _words(self, interval: Interval) -> str:
        if math.isnan(interval.half_width):
            return "one split tells no interval"
        if interval.sign == 0:
            return f"not told apart from {self.against}"
        word = "worse" if interval.sign > 0 else "better"
        least, most = sorted(map(abs, (interval.low, interval.high)))
        return f"{word} than {self.against} by {least:.4f} to {most:.4f}"

    def markdown(self) -> str:
        """Return both tables as Markdown, and what their columns mean."""
        table = self.table
        memory = bool(table["peak_mb"].notna().any())
        lines = [f"### {self.data}: {self.splits}", ""]
        lines.append(
            f"| model | test RMSE | MAE | NDCG@{PLACES} | fit, s | predict, s |"
            + " peak MB |" * memory
        )
        lines.append("|:--|--:|--:|--:|--:|--:|" + "--:|" * memory)
        for each in table.itertuples():
            cells = [
                each.model,
                with_interval(each.rmse, each.interval),
                f"{each.mae:.4f}",
                f"{each.ndcg:.4f}",
                f"{each.fit_seconds:.1f}",
                f"{each.predict_seconds:.1f}",
                *([f"{each.peak_mb:,.0f}"] if memory else []),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        differences = self.differences
        if len(differences):
            lines += ["", f"| model | RMSE less {self.against}'s | which says |"]
            lines.append("|:--|--:|:--|")
            lines += [
                f"| {each.model} | {with_interval(each.difference, each.interval, '+')} "
                f"| {each.words} |"
                for each in differences.itertuples()
            ]
        lines += ["", *(f"{model} is left out: {why}" for model, why in self.failed.items()), NOTE]
        return "\n".join(lines) + "\n"


NOTE = (
    "Behind ±: half of the 95 % interval of a mean over splits, as wide as Nadeau and Bengio "
    "(2003) make it for splits that share training ratings. Of differences it is the paired one, "
    "split by split: where it contains 0, the splits do not tell the two models apart."
)


def with_interval(mean: float, half_width: float, sign: str = "") -> str:
    """Return a mean with half of its interval's width behind it, where that is known."""
    shown = f"{mean:{sign}.4f}"
    return shown if math.isnan(half_width) else f"{shown} ± {half_width:.4f}"


def cross_validate(
    ratings: Any,
    models: Models | None = None,
    *,
    folds: int | None = None,
    repeats: int = 5,
    test_ratio: float = 0.1,
    seed: int = 0,
    against: str | None = None,
    data: str = "ratings",
    devices: str = "gpu",
    processes: bool = False,
    on_score: Callable[[pd.DataFrame], None] | None = None,
) -> Comparison:
    """Compare models on the same splits of some ratings.

    Each model is trained on the training ratings of each split, and meets the test ratings once.
    Where a model chooses anything, such as the number of epochs, it does so on a part of the
    training ratings.

    Parameters
    ----------
    ratings : Ratings, DataFrame, sparse matrix or path
    models : sequence of str, or mapping of str to str or Predictor, optional
        Names from `models.MODELS`, or paths of settings files; or by names of your own, these or
        anything with ``fit(ratings)`` and ``predict(users, items)``. Without, means, matrix
        factorisation and AutoRec's views; Bayesian factorisation too where myFM is installed.
    folds, repeats, test_ratio, seed
        See `Splits`. The seed is that of the models, too.
    against : str, optional
        The model that all others are compared with; the one with the lowest mean RMSE by default,
        which is a little luckier than the others.
    data : str
        What the ratings are, for the title.
    devices : str
        See `contexts`.
    processes : bool
        Whether each model has a process of its own, by which its peak of memory can be told. They
        start anew, as `multiprocessing` does by "spawn": a script's own code stands below
        ``if __name__ == "__main__":`` then.
    on_score : callable, optional
        Called with the scores so far, after each split of each model.

    Returns
    -------
    Comparison

    Raises
    ------
    ConfigurationError
        If there is no such model, or an argument is out of its bounds.
    TrainingError
        If all models failed; one that fails is left out, with a warning.

    Examples
    --------
    >>> cross_validate(ratings, ["biased-means", "item"]).differences  # doctest: +SKIP
    """
    splits = Splits(folds, repeats, test_ratio, seed)
    table = as_ratings(ratings, nonpositive="keep")
    built = _built(usual_models() if models is None else models, seed, devices)
    if against is not None and against not in built:
        raise ConfigurationError(f"{against!r} is none of the models; they are {', '.join(built)}.")
    if splits.folds is not None:
        whole("folds", splits.folds, most=len(table))
    rows: list[dict[str, object]] = []
    failed: dict[str, str] = {}
    for name, model in built.items():
        run = _scores_of_process if processes else _scores
        try:
            for split, score in enumerate(run(model, table, splits)):
                rows.append({"model": name, "split": split, **score})
                if on_score is not None:
                    on_score(pd.DataFrame(rows))
        except (AutorecError, MemoryError) as error:
            failed[name] = str(error) or type(error).__name__
            rows = [row for row in rows if row["model"] != name]
            if rows and on_score is not None:
                on_score(pd.DataFrame(rows))  # without it
            warnings.warn(f"{name} is left out: {failed[name]}", stacklevel=2)
    if not rows:
        raise TrainingError(f"No model could be compared; the last one: {[*failed.values()][-1]}")
    scores = pd.DataFrame(rows)
    if against is None or against in failed:
        against = str(scores.groupby("model")["rmse"].mean().idxmin())
    return Comparison(scores, splits, data, against, failed)


def _built(models: Models, seed: int, devices: str) -> dict[str, Predictor]:
    if isinstance(models, str):
        raise ConfigurationError(f"models must be several, [{models!r}], not {models!r}.")
    named = models.items() if isinstance(models, Mapping) else short_names(models).items()
    built = {
        name: build_model(each, seed, devices) if isinstance(each, str) else each
        for name, each in named
    }
    if not built:
        raise ConfigurationError("There are no models to compare; name one at least.")
    return built


def short_names(models: Sequence[str]) -> dict[str, str]:
    """Return models by short names: a settings file's is that of its folder, where it has one.

    Raises
    ------
    ConfigurationError
        If one is named twice.
    """
    found: dict[str, str] = {}
    for each in models:
        path = Path(each)
        name = each
        if each.endswith(".json"):
            name = path.parent.name if path.stem == "settings" and path.parent.name else path.stem
        if name in found or each in found.values():
            if found.get(name) == each:
                raise ConfigurationError(f"The model {each} is named twice; leave one out.")
            name = each
        found[name] = each
    return found


def _scores(model: Predictor, table: Ratings, splits: Splits) -> Iterator[dict[str, float]]:
    """Yield what a model scores on each split."""
    for train, test in splits.of(table):
        # Gluon's blocks refer to themselves, and Python does not see how much they hold.
        gc.collect()
        started = time.perf_counter()
        model.fit(train)
        fitted = time.perf_counter()
        predicted = model.predict(*test.pairs())
        ended = time.perf_counter()
        errors = accuracy(predicted, test.values)
        yield {
            "rmse": errors.rmse,
            "mae": errors.mae,
            "ndcg": held_out_ndcg(test.users, predicted, test.values, PLACES),
            "fit_seconds": fitted - started,
            "predict_seconds": ended - fitted,
            "peak_mb": math.nan,
        }


def _scores_of_process(
    model: Predictor, table: Ratings, splits: Splits
) -> Iterator[dict[str, float]]:
    """Yield the same from a process of its own, with the memory that it took."""
    receiver, sender = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=_send_scores, args=(sender, model, table, splits), daemon=True)
    with inherited():
        process.start()
    sender.close()
    try:
        for _ in range(len(splits)):
            try:
                found = receiver.recv()
            except EOFError:
                process.join()
                code = process.exitcode or 0
                raise TrainingError(
                    f"Its process was killed by signal {-code}; was there memory enough?"
                    if code < 0
                    else f"Its process failed with exit code {code}."
                ) from None
            if isinstance(found, AutorecError):
                raise found
            yield found
    finally:
        process.terminate()
        process.join()


def _send_scores(sender: Connection, model: Predictor, table: Ratings, splits: Splits) -> None:
    before = _memory("VmRSS")
    try:
        for score in _scores(model, table, splits):
            sender.send({**score, "peak_mb": _memory("VmHWM") - before})
    except AutorecError as error:
        sender.send(error)


def _memory(what: str) -> float:
    """Return megabytes of this process, as Linux counts them; NaN elsewhere."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return math.nan
    found = re.search(rf"^{what}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else math.nan
