"""Saving: a fitted recommender on disk, and back."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._arrays import AnyArray, Ids
from .._environment import versions
from .._mxnet import from_any_thread, mx
from .._mxnet import np as mxnp
from .._storage.folders import MODEL, check_place, locked, read_folder, write_folder
from .._storage.npz import stored_arrays, write_npz
from .._storage.params import StoredParameter, stored_params, write_params
from ..compute.devices import contexts
from ..data.interactions import Interactions
from ..data.ratings import Ratings
from ..errors import ConfigurationError, ModelError, RatingsError
from ..scaling import RatingsIn, RatingsOut, Scaling
from ..training.history import History

if TYPE_CHECKING:
    from .estimator import Recommender

#: What comes of content that is not what it should be.
_WRONG = LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError
#: How long a save waits for another one to the same folder.
_PATIENCE = 60.0
#: What a scaling is besides two parameters: numbers, and arrays that are among the weights.
_SCALING, _COLUMNS = ("mean", "spread", "residual_spread"), ("column_biases", "rated_columns")


@from_any_thread
def save(model: Recommender, folder: Path) -> Path:
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
        If the folder holds something else, or another process keeps writing to it.
    RatingsError, ConfigurationError
        See `check_saveable`.
    """
    ratings: Ratings = model.ratings_
    scaling: Scaling | None = model.net_.scaling
    check_saveable(ratings)
    body = {
        "config": vars(model.parameters),
        "scale": list(model.scale_),
        "typical_count": model.net_.typical_count,
        "scaling": None if scaling is None else {name: getattr(scaling, name) for name in _SCALING},
        "users": _listed(ratings.user_ids),
        "items": _listed(ratings.item_ids),
        "sha256_ratings": ratings.checksum(),
        "history": [asdict(epoch) for epoch in model.history_],
        "versions": versions(),
    }
    arrays: dict[str, AnyArray] = {
        "users": ratings.users,
        "items": ratings.items,
        "values": ratings.values,
    }
    if ratings.times is not None:
        arrays["times"] = ratings.times
    parameters = model.net_._collect_params_with_prefix().items()
    weights = {name: parameter.list_data()[0] for name, parameter in parameters}
    if scaling is not None:
        weights.update({f"scaling.{name}": mxnp.array(getattr(scaling, name)) for name in _COLUMNS})
    files = {
        "weights.params": lambda file: write_params(file, weights),
        "ratings.npz": lambda file: write_npz(file, arrays, packed=True),
    }
    check_place(folder, MODEL)
    busy = ModelError(f"{folder} is being written to all the time; save to another folder.")
    with locked(folder, _PATIENCE, busy):
        write_folder(folder, MODEL, body, files)
    return folder


@from_any_thread
def load(cls: type[Recommender], folder: Path, devices: str | None = None) -> Recommender:
    """Read a recommender that `save` wrote.

    What is in the folder may be a stranger's: all of it is checked before it is used.

    Parameters
    ----------
    cls : type
        `Recommender`.
    folder : Path
    devices : str, optional
        See `contexts`; by default those that it was fitted on, the CPU where they are not.

    Raises
    ------
    ModelError
        If the folder holds no model, or a damaged one, or one of a newer format.
    """
    with read_folder(folder, MODEL) as (body, files):
        try:
            return _restored(cls, body, files, devices)
        except ConfigurationError:
            raise
        except _WRONG as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ModelError(f"{folder} does not hang together ({reason}).") from error


def check_saveable(ratings: Ratings) -> None:
    """Refuse, before any training, what could not be saved afterwards.

    Parameters
    ----------
    ratings : Ratings

    Raises
    ------
    RatingsError
        If an id would not come back from a file as it is: it is not a number, text or a time.
    """
    for kind, ids in (("user", ratings.user_ids), ("item", ratings.item_ids)):
        for each in ids if _form(ids) == "object" else ids[~_is_finite(ids)]:
            if not _is_plain(each):
                raise RatingsError(
                    f"The {kind} {each!r:.60} ({type(each).__name__}) is an id that no saved model "
                    "can hold; use numbers or text, str(id) for example."
                )
        if len(set(ids.tolist())) != len(ids):
            raise RatingsError(f"A {kind} is there twice; give each an id of its own.")


def _restored(
    cls: type[Recommender], body: Any, files: Mapping[str, IO[bytes]], devices: str | None
) -> Recommender:
    try:
        model = cls(**body["config"])
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    if devices is not None:
        model.set_params(devices=devices)
    where = contexts(model.devices)
    model.history_ = History.from_rows(body["history"])
    if not model.history_.epochs:
        raise ValueError("it has no epochs")
    for name, version in body["versions"].items():
        if not isinstance(version, str):
            raise ValueError(f"the version of {name} is no text")
    low, high = map(_number, body["scale"])
    if low > high:
        raise ValueError("its scale is upside down")
    model.scale_ = low, high
    count = body["typical_count"]
    if count is not None and _number(count) <= 0:
        raise ValueError("its typical count is not above 0")
    model.ratings_ = _ratings(files["ratings.npz"], _ids(body["users"]), _ids(body["items"]))
    if model.ratings_.checksum() != body["sha256_ratings"]:
        raise ValueError("the ratings are not those of the manifest")
    model.inputs_ = Interactions.from_ratings(model.ratings_, model.view)
    if len(model.inputs_) != len(model.ratings_):
        raise ValueError("it has two ratings of one item by one user")
    columns = model.inputs_.shape[1]
    weights = stored_params(files["weights.params"])
    wanted = _shapes(model.num_hidden, columns)
    scaled = not model.ratings_in == model.ratings_out == "raw"
    if scaled:
        wanted.update({f"scaling.{name}": (columns,) for name in _COLUMNS})
    if {name: stored.shape for name, stored in weights.items()} != wanted:
        raise ValueError("the weights are not of the net's shapes")
    scaling = _scaling(model, body["scaling"], weights) if scaled else None
    model.net_ = model.build_net(columns, count, scaling)
    # Gradients take as much memory as the weights, and a loaded net is not trained on.
    model.net_.collect_params().setattr("grad_req", "null")
    for name, parameter in model.net_._collect_params_with_prefix().items():
        parameter.shape = weights[name].shape
        parameter.initialize(mx.init.Zero(), ctx=where)
        parameter.set_data(mxnp.array(weights[name].read()))
    return model


def _ratings(file: IO[bytes], user_ids: Ids, item_ids: Ids) -> Ratings:
    stored = stored_arrays(file)
    types = {"users": np.int32, "items": np.int32, "values": np.float32, "times": np.int64}
    shapes = {each.shape for each in stored.values()}
    right = stored.keys() | {"times"} == types.keys() and len(shapes) == 1
    if not right or any(each.dtype != types[name] for name, each in stored.items()):
        raise ValueError("the ratings are not users, items and values, as many of each")
    (shape,) = shapes
    if len(shape) != 1 or not 0 < shape[0] <= len(user_ids) * len(item_ids):
        raise ValueError("the ratings are not as many as its users can give its items")
    ratings = Ratings(
        **{name: each.read() for name, each in stored.items()}, user_ids=user_ids, item_ids=item_ids
    )
    for codes, ids in ((ratings.users, user_ids), (ratings.items, item_ids)):
        if codes.min() < 0 or codes.max() >= len(ids):
            raise ValueError("a rating is of nobody or of nothing")
    if not np.isfinite(ratings.values).all():
        raise ValueError("a rating is no finite number")
    return ratings


def _shapes(num_hidden: int | Sequence[int], columns: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a net's parameters by name."""
    sizes = [num_hidden] if isinstance(num_hidden, int) else list(num_hidden)
    single = len(sizes) == 1
    names = ["encoder" if single else f"encoder.{i}" for i in range(len(sizes))] + ["decoder"]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, inside, outside in zip(names, [columns, *sizes], [*sizes, columns]):
        shapes.update({f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)})
    return shapes


def _scaling(model: Recommender, numbers: Any, weights: Mapping[str, StoredParameter]) -> Scaling:
    found = {name: _number(numbers[name]) for name in _SCALING}
    if found["spread"] <= 0 or found["residual_spread"] <= 0:
        raise ValueError("a spread is not above 0")
    columns = {name: weights[f"scaling.{name}"].read() for name in _COLUMNS}
    if not all(np.isfinite(each).all() for each in columns.values()):
        raise ValueError("a bias is no finite number")
    kinds: tuple[RatingsIn, RatingsOut] = model.ratings_in, model.ratings_out
    spreads = found["mean"], found["spread"], found["residual_spread"]
    return Scaling(*kinds, *spreads, *(columns[name] for name in _COLUMNS))


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r:.60} is no finite number")
    return float(value)


def _form(ids: Ids) -> str:
    """Return the type that all ids are of, as NumPy writes it; else "object"."""
    form = ids.dtype.newbyteorder("<").str
    return form if _FORMS.fullmatch(form) else "object"


_FORMS = re.compile(r"[<|]([iu][1248]|f[248]|b1|M8\[(ns|us|ms|s|m|h|D|W|M|Y)\])")


def _is_finite(ids: Ids) -> NDArray[np.bool_]:
    finite: NDArray[np.bool_] = np.isfinite(ids)
    return finite


def _is_plain(each: Any) -> bool:
    """Return whether an id comes back from JSON as it is: a finite number, or whole text."""
    plain = each.item() if isinstance(each, np.generic) else each
    if isinstance(plain, str):
        return _is_text(plain)
    whole = type(plain) in (bool, int) or (type(plain) is float and math.isfinite(plain))
    return whole and str(plain) == str(each) and abs(plain) < 2**192


def _is_text(text: str) -> bool:
    """Return whether a text can be written, as one with half a character cannot."""
    try:
        return bool(text.encode() or True)
    except UnicodeEncodeError:
        return False


def _listed(ids: Ids) -> dict[str, object]:
    """Return ids for JSON, and the type that makes them the same again."""
    form = _form(ids)
    if form != "object":
        same = ids.astype(form, copy=False)
        return {"type": form, "ids": (same.view("<i8") if "M" in form else same).tolist()}
    # An array of objects may hold NumPy's numbers, which JSON does not know.
    plain = [each.item() if isinstance(each, np.generic) else each for each in ids.tolist()]
    return {"type": form, "ids": plain}


def _ids(stored: Any) -> Ids:
    """Return ids from what `_listed` made of them, or from the list that 0.1.0 wrote.

    Raises
    ------
    ValueError
        If they cannot have been ids.
    """
    typed = isinstance(stored, dict)
    form, listed = (stored["type"], stored["ids"]) if typed else ("", stored)
    if not set(map(type, listed)) <= {int, float, bool, str} or len(set(listed)) != len(listed):
        raise ValueError("its ids are not numbers and text, or one is there twice")
    if not all(_is_text(each) for each in listed if isinstance(each, str)):
        raise ValueError("an id is no whole text")
    if form == "object" or (not typed and any(isinstance(each, str) for each in listed)):
        # NumPy would make text of the numbers among text.
        ids = np.empty(len(listed), dtype=object)
        ids[:] = listed
        return ids
    if not typed:
        return np.asarray(listed)
    if not isinstance(form, str) or not _FORMS.fullmatch(form):
        raise ValueError("its ids are of an unknown type")
    ids = np.array(listed, "<i8" if "M" in form else form)
    if ids.tolist() != listed:
        raise ValueError("its ids are not of their type")
    return ids.view(form) if "M" in form else ids
