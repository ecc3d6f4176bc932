"""A model's folder, and what its run tells of it: the test RMSE, and where titles are."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import AutorecError, DataCorruptError, DataUnavailableError

if TYPE_CHECKING:
    import pandas as pd

    from ..recommender.estimator import Recommender

#: Bytes of a metrics.json; none of a run comes near.
_LARGEST = 1 << 26


def model_folder(path: Path) -> Path:
    """Return the folder of a model, which may be named by that of its run."""
    inner = path / "model"
    return inner if (inner / "manifest.json").is_file() else path


def test_rmse(path: Path, model: Recommender) -> float | None:
    """Return the test RMSE of a model's run; None where it was none, or is not known.

    Of a single net that is in its history; of several only their run tells.

    Parameters
    ----------
    path : Path
        The model's folder, or its run's.
    model : Recommender
        The model.
    """
    if len(model.members_) == 1:
        return model.history_.best.test_rmse
    metrics = _metrics(path)
    found = metrics.get("test_rmse")
    same = metrics.get("sha256_train") == model.ratings_.checksum()
    return found if same and isinstance(found, float) else None


def find_titles(path: Path, named: Path | None) -> pd.Series[str] | None:
    """Return titles by item: of the file or folder that is named, else of the model's own release.

    Parameters
    ----------
    path : Path
        The model's folder, or its run's.
    named : Path or None
        A release's folder, or a file of items and titles.

    Returns
    -------
    Series or None
        None where no file is named, and the run was not on a release that is on this machine.
    """
    from ..data.movielens.tables import TITLES, read_titles, read_titles_file
    from ..data.reading import read_titles_table

    if named is not None:
        if named.is_dir():
            return read_titles(named)
        if TITLES.get(named.name, ",") != ",":  # a format of its own
            return read_titles_file(named)
        return read_titles_table(named)
    folder = _release_folder(path)
    try:
        return None if folder is None else read_titles(folder)
    except DataUnavailableError:
        return None
    except DataCorruptError as error:
        warnings.warn(f"{error}; titles are left out.", stacklevel=1)
        return None


def _release_folder(path: Path) -> Path | None:
    """Return where the release that a run was on lies; nothing is fetched."""
    from ..data.movielens.fetching import cache_folder, fetch
    from ..data.movielens.releases import find_release

    config = _metrics(path).get("config")
    dataset, data = (
        (config.get("dataset"), config.get("data")) if isinstance(config, dict) else (None, None)
    )
    if not isinstance(dataset, str):
        return None
    try:
        release = find_release(dataset)
        if isinstance(data, str):
            return fetch(release.name, data)
        return cache_folder() / release.folder
    except AutorecError:  # it is not there any more
        return None


def _metrics(path: Path) -> Mapping[str, object]:
    """Return the metrics.json of the run that a model is of, which may be a stranger's; or {}."""
    run = path if (path / "model").is_dir() else path.absolute().parent
    try:
        with open(run / "metrics.json", "rb") as file:
            found = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
