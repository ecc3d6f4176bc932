"""Report: the folder that a training run leaves behind."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .errors import ConfigurationError
from .evaluation import Accuracy
from .files import replacing
from .plots import learning_curve
from .ratings import Ratings
from .training import History


def claim_folder(folder: Path) -> None:
    """Make the folder of a run.

    Raises
    ------
    ConfigurationError
        If something is there already, for nothing of an earlier run is overwritten.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(f"{folder} is not empty; name a new folder with --output.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made: {error.strerror}.") from error


def write_report(
    folder: Path,
    net: Any,
    history: History,
    test: Accuracy,
    data: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> None:
    """Write a run's metrics.json, curve.png and autorec.params, each whole or not at all.

    Parameters
    ----------
    folder : Path
        Exists.
    net : AutoRec
        Trained; its weights go to autorec.params, in Gluon's format.
    history : History
    test : Accuracy
        Of the finished net on the test ratings.
    data : mapping
        What the run was trained on, see `describe`.
    settings : mapping
        What the run was asked to do.
    """
    with replacing(folder / "autorec.params") as path:
        net.save_parameters(str(path))
    with replacing(folder / "curve.png") as path:
        learning_curve(history, f"AutoRec on {data['name']}").savefig(path)
    metrics = {
        "test": asdict(test),
        "settings": dict(settings),
        "data": dict(data),
        "history": [asdict(epoch) for epoch in history],
        "versions": versions(),
    }
    with replacing(folder / "metrics.json") as path:
        path.write_text(json.dumps(metrics, indent=2) + "\n")


def describe(name: str, ratings: Ratings) -> dict[str, Any]:
    """Return what identifies a set of ratings: name, sizes, checksum."""
    return {
        "name": name,
        "ratings": len(ratings),
        "users": ratings.num_users,
        "items": ratings.num_items,
        "sha256": ratings.checksum(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that a result depends on."""
    found = {"python": platform.python_version()}
    for name in ("gluon-autorec", "mxnet", "mxnet-cu112", "numpy", "pandas", "scipy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
