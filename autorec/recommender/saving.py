"""Saving: a fitted recommender on disk, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from .._arrays import AnyArray, Ids
from .._environment import versions
from .._mxnet import Array, Context, from_any_thread, mx
from .._mxnet import np as mxnp
from .._storage.folders import MODEL, check_place, locked, read_folder, write_folder
from .._storage.npz import stored_arrays, write_npz
from .._storage.params import StoredParameter, stored_params, write_params
from ..compute.devices import contexts
from ..data import RatingsIn, RatingsOut
from ..data.interactions import Interactions
from ..data.ratings import Ratings
from ..data.scaling import Scaling
from ..errors import ConfigurationError, ModelError
from ..evaluation.ensemble import Member
from ..training.history import History
from .fitting import Learned, build_net
from .id_maps import check_saveable, listed, restored
from .presets import Parameters

#: What comes of content that is not what it should be.
_WRONG = LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError
#: How long a save waits for another one to the same folder.
_PATIENCE = 60.0
#: What a scaling is besides two parameters: numbers, and arrays that are among the weights.
_SCALING = "mean", "spread", "residual_spread", "damping"
_COLUMNS = "column_biases", "rated_columns"


@from_any_thread
def save(parameters: Parameters, learned: Learned, folder: Path) -> Path:
    """Write a fitted recommender to a folder, in the place of a model that is there.

    The folder holds the weights in Gluon's format, the ratings, without which nothing can be
    predicted, and a manifest in JSON: parameters, ids, scale, history, versions, checksums.

    Parameters
    ----------
    parameters : Parameters
    learned : Learned
    folder : Path

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ModelError
        If the folder holds something else, or another process keeps writing to it.
    RatingsError, ConfigurationError
        See `check_saveable`.
    """
    ratings = learned.ratings
    check_saveable(ratings)
    body = {
        "config": vars(parameters),
        "scale": list(learned.scale),
        "nets": [
            {
                "view": member.inputs.view,
                "weight": member.weight,
                "columns": member.inputs.shape[1],
                "typical_count": member.net.typical_count,
                "scaling": _numbers(member.net.scaling),
                "history": [asdict(epoch) for epoch in history],
            }
            for member, history in zip(learned.members, learned.histories)
        ],
        "chosen": learned.chosen,
        "users": listed(ratings.user_ids),
        "items": listed(ratings.item_ids),
        "sha256_ratings": ratings.checksum(),
        "versions": versions(),
    }
    arrays: dict[str, AnyArray] = {
        "users": ratings.users,
        "items": ratings.items,
        "values": ratings.values,
    }
    if ratings.times is not None:
        arrays["times"] = ratings.times
    weights = weights_of(learned.members)
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
def load(folder: Path, devices: str | None = None) -> tuple[Parameters, Learned]:
    """Read a recommender that `save` wrote.

    What is in the folder may be a stranger's: all of it is checked before it is used.

    Parameters
    ----------
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
            return _restored(body, files, devices)
        except ConfigurationError:
            raise
        except _WRONG as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ModelError(f"{folder} does not hang together ({reason}).") from error


def _restored(
    body: Any, files: Mapping[str, IO[bytes]], devices: str | None
) -> tuple[Parameters, Learned]:
    try:
        parameters = Parameters(**body["config"])
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    if devices is not None:
        parameters = replace(parameters, devices=devices)
    where = contexts(parameters.devices)
    for name, version in body["versions"].items():
        if not isinstance(version, str):
            raise ValueError(f"the version of {name} is no text")
    low, high = map(_number, body["scale"])
    if low > high:
        raise ValueError("its scale is upside down")
    ratings = _ratings(files["ratings.npz"], restored(body["users"]), restored(body["items"]))
    if ratings.checksum() != body["sha256_ratings"]:
        raise ValueError("the ratings are not those of the manifest")
    if len(Interactions.from_ratings(ratings)) != len(ratings):
        raise ValueError("it has two ratings of one item by one user")
    weights = stored_params(files["weights.params"])
    nets = body["nets"] if "nets" in body else [_single(body, parameters, ratings)]
    views = [view for view in parameters.views for _ in range(parameters.members)]
    if [each["view"] for each in nets] != views:
        raise ValueError("its nets are not those of its parameters")
    members, histories = [], []
    for n, described in enumerate(nets):
        prefix = f"{n}." if len(nets) > 1 else ""
        own = {
            name[len(prefix) :]: each for name, each in weights.items() if name.startswith(prefix)
        }
        history = History.from_rows(described["history"])
        if not history.epochs:
            raise ValueError("it has no epochs")
        histories.append(history)
        members.append(_member(ratings, (low, high), parameters, described, own, where))
    if len(weights_of(members)) != len(weights):
        raise ValueError("it has weights of no net")
    if abs(sum(each.weight for each in members) - 1) > 1e-6:
        raise ValueError("the weights of its nets are not 1 together")
    chosen = _chosen(body.get("chosen", {}))
    return parameters, Learned(ratings, (low, high), tuple(members), tuple(histories), chosen)


def _single(body: Any, parameters: Parameters, ratings: Ratings) -> dict[str, Any]:
    """Return the description of the one net that manifests before had."""
    return {
        "view": parameters.view,
        "weight": 1.0,
        "columns": ratings.num_users if parameters.view == "item" else ratings.num_items,
        "typical_count": body["typical_count"],
        "scaling": None,
        "history": body["history"],
    }


def _member(
    ratings: Ratings,
    scale: tuple[float, float],
    parameters: Parameters,
    described: Mapping[str, Any],
    weights: Mapping[str, StoredParameter],
    where: Sequence[Context],
) -> Member:
    """Return a net as it is described, on some devices."""
    view = described["view"]
    count, columns, weight = (described[name] for name in ("typical_count", "columns", "weight"))
    if count is not None and _number(count) <= 0:
        raise ValueError("its typical count is not above 0")
    if not 0 <= _number(weight) <= 1:
        raise ValueError("a weight is not from 0 to 1")
    every = Interactions.from_ratings(ratings, view)
    if type(columns) is not int or not 0 < columns <= every.shape[1]:
        raise ValueError("it has not the columns that it learned from")
    inputs = Interactions(every.matrix[:, :columns], view)
    own = parameters.of_view(view)
    scaled = not own.ratings_in == own.ratings_out == "raw"
    wanted = _shapes(own.num_hidden, columns, scaled)
    if {name: stored.shape for name, stored in weights.items()} != wanted:
        raise ValueError("the weights are not of the net's shapes")
    scaling = _scaling(own, described["scaling"], weights) if scaled else None
    net = build_net(own, columns, scale, count, scaling)
    # Gradients take as much memory as the weights, and a loaded net is not trained on.
    net.collect_params().setattr("grad_req", "null")
    for name, parameter in net._collect_params_with_prefix().items():
        parameter.shape = weights[name].shape
        parameter.initialize(mx.init.Zero(), ctx=where)
        parameter.set_data(mxnp.array(weights[name].read()))
    return Member(net, inputs, float(weight))


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


def _shapes(
    num_hidden: int | Sequence[int], columns: int, scaled: bool
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a net's parameters by name."""
    sizes = [num_hidden] if isinstance(num_hidden, int) else list(num_hidden)
    single = len(sizes) == 1
    names = ["encoder" if single else f"encoder.{i}" for i in range(len(sizes))] + ["decoder"]
    shapes: dict[str, tuple[int, ...]] = {}
    for name, inside, outside in zip(names, [columns, *sizes], [*sizes, columns]):
        shapes.update({f"{name}.weight": (outside, inside), f"{name}.bias": (outside,)})
    if scaled:
        shapes.update({f"scaling.{name}": (columns,) for name in _COLUMNS})
    return shapes


def weights_of(members: Sequence[Member]) -> dict[str, Array]:
    """Return all that is to be kept of nets in arrays, by name: a number before that of each of
    several nets."""
    found: dict[str, Array] = {}
    for n, member in enumerate(members):
        prefix, net = f"{n}." if len(members) > 1 else "", member.net
        for name, parameter in net._collect_params_with_prefix().items():
            found[prefix + name] = parameter.list_data()[0]
        for name in () if net.scaling is None else _COLUMNS:
            found[f"{prefix}scaling.{name}"] = mxnp.array(getattr(net.scaling, name))
    return found


def _numbers(scaling: Scaling | None) -> dict[str, float] | None:
    return None if scaling is None else {name: getattr(scaling, name) for name in _SCALING}


def _chosen(found: Any) -> dict[str, Any]:
    """Return what validation chose, which are parameters."""
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise ValueError("what was chosen is no mapping")
    try:
        Parameters(**found)
    except ConfigurationError as error:
        raise ValueError(str(error)) from error
    return found


def _scaling(own: Parameters, numbers: Any, weights: Mapping[str, Any]) -> Scaling:
    found = {name: _number(numbers[name]) for name in _SCALING}
    if found["spread"] <= 0 or found["residual_spread"] <= 0:
        raise ValueError("a spread is not above 0")
    if found["damping"] < 0:
        raise ValueError("a damping is below 0")
    columns = {name: weights[f"scaling.{name}"].read() for name in _COLUMNS}
    if not all(np.isfinite(each).all() for each in columns.values()):
        raise ValueError("a bias is no finite number")
    kinds: tuple[RatingsIn, RatingsOut] = own.ratings_in, own.ratings_out
    places = found["mean"], found["spread"], found["residual_spread"], found["damping"]
    return Scaling(*kinds, *places, **columns)


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r:.60} is no finite number")
    return float(value)
