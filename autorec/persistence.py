"""Persistence: a fitted recommender on disk, and back."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._mxnet import from_any_thread
from .devices import contexts
from .errors import ConfigurationError, ModelError, RatingsError
from .history import Epoch, History
from .interactions import Interactions
from .model_folder import read_model, write_model
from .ratings import Ratings
from .versions import versions


@from_any_thread
def save(model: Any, folder: Path) -> Path:
    """Write a fitted recommender to a folder, in the place of a model that is there.

    The folder holds the weights in Gluon's format, the ratings, without which nothing can be
    predicted, and a manifest in JSON: parameters, ids, scale, history, versions, checksums.

    Parameters
    ----------
    model : Recommender
    folder : Path

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    ModelError
        If the folder holds something else.
    """
    ratings: Ratings = model.ratings_
    manifest = {
        "config": model.get_params(),
        "scale": list(model.scale_),
        "typical_count": model.net_.typical_count,
        "users": _listed(ratings.user_ids),
        "items": _listed(ratings.item_ids),
        "sha256_ratings": ratings.checksum(),
        "history": [asdict(epoch) for epoch in model.history_],
        "versions": versions(),
    }
    arrays: dict[str, NDArray[Any]] = {
        "users": ratings.users,
        "items": ratings.items,
        "values": ratings.values,
    }
    if ratings.times is not None:
        arrays["times"] = ratings.times
    write_model(
        folder,
        manifest,
        {
            "weights.params": lambda file: model.net_.save_parameters(str(file)),
            "ratings.npz": lambda file: np.savez_compressed(file, **arrays),
        },
    )
    return folder


@from_any_thread
def load(cls: Any, folder: Path, devices: str | None = None) -> Any:
    """Read a recommender that `save` wrote.

    Parameters
    ----------
    cls : type
        `Recommender`.
    folder : Path
    devices : str, optional
        As of `contexts`; by default those that it was fitted on, the CPU where they are not.

    Raises
    ------
    ModelError
        If the folder holds no model, or a damaged one, or one of a newer format.
    """
    manifest, files = read_model(folder)
    try:
        model = cls(**manifest["config"])
        if devices is not None:
            model.devices = devices
        with np.load(files["ratings.npz"], allow_pickle=False) as arrays:
            model.ratings_ = Ratings(
                **arrays,
                user_ids=_ids(manifest["users"]),
                item_ids=_ids(manifest["items"]),
            )
        if model.ratings_.checksum() != manifest["sha256_ratings"]:
            raise RatingsError("the ratings are not those of the manifest")
        model.scale_ = manifest["scale"][0], manifest["scale"][1]
        model.history_ = History([Epoch(**epoch) for epoch in manifest["history"]])
        model.inputs_ = Interactions.from_ratings(model.ratings_, model.view)
        model.net_ = model.build_net(model.inputs_.shape[1], manifest["typical_count"])
        # Gradients take as much memory as the weights, and a loaded net is not trained on.
        model.net_.collect_params().setattr("grad_req", "null")
        where = contexts(model.devices)
        model.net_.load_parameters(str(files["weights.params"]), ctx=where)
    except ConfigurationError:
        raise
    except (LookupError, TypeError, ValueError, AssertionError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{folder} does not hang together ({reason}).") from error
    return model


def _listed(ids: NDArray[Any]) -> list[Any]:
    # An array of objects may hold NumPy's numbers, which JSON does not know.
    return [each.item() if isinstance(each, np.generic) else each for each in ids.tolist()]


def _ids(listed: Any) -> NDArray[Any]:
    # NumPy would make text of the numbers among text.
    text = any(isinstance(each, str) for each in listed)
    return np.array(listed, dtype=object) if text else np.asarray(listed)
