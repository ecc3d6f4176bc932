"""Report: the folder that a training run leaves behind."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Callable

from .._environment import versions
from .._storage.files import replacing, write_checked
from .._storage.params import write_params
from ..data.ratings import Ratings
from ..distributed.columns import collected
from ..distributed.workers import Workers
from ..errors import ConfigurationError
from ..evaluation.accuracy import Accuracy
from ..plots import learning_curve, matplotlib_settled
from ..recommender.saving import weights_of

if TYPE_CHECKING:
    from ..recommender.estimator import Recommender


@contextmanager
def run_folder(output: Path | None, name: str) -> Iterator[Path]:
    """Make the folder of a run; it is gone again if the run fails and has left nothing in it.

    Parameters
    ----------
    output : Path or None
        New, or empty; None for runs/NAME-TIME, with -2, -3, ... behind it where there is such a
        folder already, so that runs that start together do not share one.
    name : str

    Raises
    ------
    ConfigurationError
        If it cannot be made or written, or something is there: nothing of an earlier run is
        overwritten.
    """
    folder = output or Path("runs") / f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    made = True
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for number in itertools.count(1):
            claimed = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
            try:
                claimed.mkdir()
                break
            except FileExistsError:
                if output is None:
                    continue
                made = False
                if not claimed.is_dir() or any(claimed.iterdir()):
                    raise ConfigurationError(
                        f"{claimed} is there already and not an empty folder; name a new folder "
                        "with --output."
                    ) from None
                break
        with tempfile.TemporaryFile(dir=claimed):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written ({error.strerror}); name another folder with --output."
        ) from error
    try:
        yield claimed
    except BaseException:
        if made and not any(claimed.iterdir()):
            claimed.rmdir()
        raise


def write_report(
    folder: Path,
    model: Recommender,
    test: Accuracy,
    facts: Mapping[str, object],
    config: Mapping[str, object],
) -> None:
    """Write a run's metrics.json, curve.png and model.params, each whole or not at all.

    Parameters
    ----------
    folder : Path
        Exists.
    model : Recommender
        Fitted; its weights go to model.params, in Gluon's format.
    test : Accuracy
        Of the finished model on the test ratings.
    facts : mapping
        What the run was trained on, see `describe`.
    config : mapping
        What the run was asked to do.
    """
    history, weights = model.history_, weights_of(model.members_)
    metrics = {
        "test_rmse": test.rmse,
        "test_mae": test.mae,
        "train_rmse": history.best.train_rmse,
        "epochs": len(history),
        "seconds": sum(epoch.seconds for epoch in history),
        "compute": history.compute,
        **facts,
        "history": [asdict(epoch) for epoch in history],
        "nets": [
            {
                "view": member.inputs.view,
                "weight": member.weight,
                "epochs": len(own),
                "train_rmse": own.best.train_rmse,
                "history": [asdict(epoch) for epoch in own],
            }
            for member, own in zip(model.members_, model.histories_)
        ],
        "chosen": model.chosen_,
        "config": dict(config),
        "versions": versions(),
    }
    text = json.dumps(metrics, indent=2, allow_nan=False) + "\n"
    files: dict[str, Callable[[IO[bytes]], object]] = {
        "model.params": lambda file: write_params(file, weights),
        "curve.png": lambda file: learning_curve(history, f"AutoRec on {facts['data']}").savefig(
            file, format="png"
        ),
        "metrics.json": lambda file: file.write(text.encode()),
    }
    for name, write in files.items():
        with replacing(folder / name) as path, matplotlib_settled(folder):
            write_checked(path, write)


def describe(
    name: str, train: Ratings, validation: Ratings | None, test: Ratings
) -> dict[str, object]:
    """Return what identifies the ratings of a run: name, sizes, checksums."""
    return {
        "data": name,
        "num_users": train.num_users,
        "num_items": train.num_items,
        "num_train": len(train),
        "num_validation": 0 if validation is None else len(validation),
        "num_test": len(test),
        "sha256_train": train.checksum(),
        "sha256_test": test.checksum(),
    }


def of_all_workers(
    workers: Workers, facts: Mapping[str, object], held_out: Ratings
) -> tuple[Ratings, dict[str, object]]:
    """Return on rank 0 what all workers hold out, and what identifies the ratings of all.

    Parameters
    ----------
    workers : Workers
    facts : mapping
        From `describe`, of the ratings of this worker's columns.
    held_out : Ratings
        Of these, to test.
    """
    names = ("num_train", "num_validation", "num_test")
    sums = workers.sums([float(str(facts[name])) for name in names])
    every = replace(
        held_out,
        users=collected(held_out.users, workers),
        items=collected(held_out.items, workers),
        values=collected(held_out.values, workers),
        times=None,
    )
    # Nobody has all that is trained on.
    checksums = {"sha256_train": None, "sha256_test": every.checksum()}
    return every, {**facts, **{name: int(each) for name, each in zip(names, sums)}, **checksums}
