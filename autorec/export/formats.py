"""Export: a trained model in files that need no autorec, and but for "symbol" no MXNet either.

Each format leaves a model for each net, ``model`` by name where there is one, else ``item-0``,
``user-0`` and so on, and beside them ``ids.json``, which says what the models do not:

=================== ==============================================================================
format_version      2
users, items        the ids, numbers or strings, in the order of rows or columns
scale, clip         lowest and highest training rating, and whether predictions are kept in it
cold_prediction     what is predicted where the user or the item has no training rating; null
                    where that is what a net's outputs are added to
nets                a list, with for each net:
- name              of its files, "model" for example
- weight            how much its predictions count among those of all nets that know a pair
- view              "item" or "user"
- rows, columns     "items" and "users" in the item view, the reverse in the user view: a row
                    holds the ratings of one of `rows`, a column for each of `columns`
- num_columns       how many of these there are: the first of the ids
- normalise         the typical count c of rows that are weighed by sqrt(c / n), null where rows
                    go in as they are; ONNX and symbol models weigh them themselves
- scaling           null where ratings go in and come out as they are, else the numbers that the
                    recipe below scales by; ONNX and symbol models do that themselves
- mask              whether the model needs a second input, 1 at rated cells and 0 elsewhere, to
                    tell a rating of 0 from none
=================== ==============================================================================

Clipping, averaging and cold predictions are left to whoever uses the models: they need the
training ratings.
"""

from __future__ import annotations

import io
import json
import math
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from .._mxnet import Array, from_any_thread, gluon, mx, npx
from .._output import replaced, usable_folder
from ..data.scaling import Scaling
from ..errors import AutorecError, ConfigurationError, RatingsError
from ..evaluation.ensemble import Member
from .layers import Formula, formula
from .onnx import onnx_file, run_onnx

if TYPE_CHECKING:
    from ..recommender.estimator import Recommender

Format = Literal["onnx", "numpy", "symbol"]

#: How far an exported model may be from the net, over the larger of prediction and rating scale.
TOLERANCE = 1e-5


@from_any_thread
def export(recommender: Recommender, folder: str | os.PathLike[str], format: Format) -> list[Path]:
    """Write a fitted recommender's model and ids to a folder, in files for use elsewhere.

    An ONNX model or a symbol is run and compared with the net before a file is put in place.

    Parameters
    ----------
    recommender : Recommender
        Fitted.
    folder : path
        Made if it is not there. Files of the same names are replaced; ``ids.json`` is the same in
        each format, so one folder is for one model, in as many formats as are wanted.
    format : {"onnx", "numpy", "symbol"}
        "onnx": ``model.onnx`` for any ONNX runtime, "ratings" (and "mask") to "predictions", of
        any number of rows. "numpy": ``model.npz``, for the recipe below. "symbol":
        ``model-symbol.json`` and ``model-0000.params`` for ``gluon.SymbolBlock.imports``, whose
        inputs are "ratings" (and "mask"); call ``mxnet.npx.set_np()`` before. Of several nets
        each has such files of its own name.

    Returns
    -------
    list of Path
        The files: those of the model, then ``ids.json``.

    Raises
    ------
    ConfigurationError
        If there is no such format, the folder or a file in it cannot be written, a package that the
        format needs is missing, or the weights are too large for ONNX.
    NotFittedError
        If the recommender is not fitted.
    RatingsError
        If an id is not a number or a string.
    AutorecError
        If the exported model does not predict what the net predicts; then nothing is written.

    Notes
    -----
    This predicts from ``model.npz``, given `ratings`, an array of float32 of shape
    (users, items) that is 0 where there is no rating, and `rated`, which tells where there is
    one::

        import json
        import numpy as np

        ids = json.load(open("ids.json"))
        activations = {
            "identity": lambda x: x,
            "relu": lambda x: np.maximum(x, 0),
            "softrelu": lambda x: np.logaddexp(x, 0),
            "sigmoid": lambda x: (1 + np.tanh(x / 2)) / 2,
            "softsign": lambda x: x / (1 + abs(x)),
            "tanh": np.tanh,
        }

        def predicted(net, rows, rated):  # and what is added to outputs by row and by column
            model, scaling = np.load(net["name"] + ".npz"), net["scaling"]
            x, counts = rows, rated.sum(axis=1, keepdims=True)
            by_row, by_column = np.zeros((len(rows), 1)), np.zeros(rows.shape[1])
            if scaling is not None:
                if "column_biases" in model:
                    by_column = model["column_biases"]
                    rest = np.where(rated, rows - scaling["mean"] - by_column, 0)
                    by_row = rest.sum(axis=1, keepdims=True) / (counts + scaling["damping"])
                offset, by_biases, spread, shift = scaling["in"]
                x = (rows - offset - by_biases * (by_row + by_column)) / spread + shift
                x = np.where(rated, x, 0)
            if net["normalise"] is not None:
                x = x * np.sqrt(net["normalise"] / np.maximum(counts, 1)).astype("float32")
            for n, name in enumerate(model["activations"]):
                x = activations[name](x @ model[f"weight{n}"].T + model[f"bias{n}"])
            x = model["stretch"][0] + model["stretch"][1] * x
            known = np.minimum(counts, 1) * rated.any(axis=0)
            if "rated_columns" in model:
                known = np.minimum(counts, 1) * model["rated_columns"]
                offset, by_biases, spread = scaling["out"]
                by_row, by_column = by_row * by_biases, by_column * by_biases
                x = offset + by_row + by_column + spread * known * x
            return x, known, by_row[:, 0], by_column

        predictions, weights = np.zeros(ratings.shape), np.zeros(ratings.shape)
        biases = {"mean": 0}
        for net in ids["nets"]:
            # Views of these arrays; a net has the columns that there were when it was trained.
            turned = [each.T if net["view"] == "item" else each
                      for each in (ratings, rated, predictions, weights)]
            rows, rows_rated, total, weight = (each[:, : net["num_columns"]] for each in turned)
            x, known, by_row, by_column = predicted(net, rows, rows_rated)
            total += net["weight"] * known * x
            weight += net["weight"] * known
            biases[net["rows"]] = by_row
            biases.setdefault(net["columns"], by_column)
            biases["mean"] = net["scaling"] and net["scaling"]["out"][0]
        cold = ids["cold_prediction"]
        if cold is None:
            cold = biases["mean"] + biases["users"][:, None] + biases["items"]
        predictions = np.where(weights > 0, predictions / np.maximum(weights, 1e-9), cold)
    """
    if format not in _FORMATS:
        raise ConfigurationError(
            f"There is no format {format!r} to export to; choose one of {', '.join(_FORMATS)}."
        )
    folder = usable_folder(Path(folder))
    models = {name: formula(each) for name, each in _named(recommender).items()}
    description = _describe(recommender, models)
    files: dict[str, bytes] = {}
    for (name, model), member in zip(models.items(), recommender.members_):
        files.update(_FORMATS[format](name, model, member, recommender.scale_))
    files["ids.json"] = description
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:  # all are written before the first is put in place
        for name, content in files.items():
            stack.enter_context(replaced(folder / name)).write_bytes(content)
    return [folder / name for name in files]


def _named(recommender: Recommender) -> dict[str, Member]:
    """Return the nets by the names that their files have."""
    members = recommender.members_
    if len(members) == 1:
        return {"model": members[0]}
    return {f"{each.inputs.view}-{n % recommender.members}": each for n, each in enumerate(members)}


def _describe(recommender: Recommender, models: Mapping[str, Formula]) -> bytes:
    ratings, constant = recommender.ratings_, recommender.constant_cold_rating
    nets = [
        {
            "name": name,
            "weight": member.weight,
            "view": member.inputs.view,
            "rows": "items" if member.inputs.view == "item" else "users",
            "columns": "users" if member.inputs.view == "item" else "items",
            "num_columns": member.inputs.shape[1],
            "normalise": None if model.typical_count is None else float(model.typical_count),
            "scaling": None if model.scaling is None else _numbers(model.scaling),
            "mask": "mask" in model.inputs,
        }
        for (name, model), member in zip(models.items(), recommender.members_)
    ]
    description = {
        "format_version": 2,
        "about": (
            "A row of a net's input holds the ratings of one of its rows, a column for each of "
            "the first num_columns of its columns in this order, 0 where there is none; a row of "
            "its output holds a prediction at each."
        ),
        "nets": nets,
        "scale": list(recommender.scale_),
        "clip": bool(recommender.clip),
        "cold_prediction": constant,
        "users": [_plain("user", each) for each in ratings.user_ids],
        "items": [_plain("item", each) for each in ratings.item_ids],
    }
    return (json.dumps(description, allow_nan=False) + "\n").encode()


def _plain(kind: str, id_: object) -> int | float | str:
    """Return an id as JSON can hold it, the same id still."""
    if isinstance(id_, str):
        return str(id_)
    if isinstance(id_, (int, np.integer)) and not isinstance(id_, bool):
        return int(id_)
    if isinstance(id_, (float, np.floating)) and math.isfinite(id_):
        return float(id_)
    raise RatingsError(
        f"The {kind} id {id_!r} cannot be written to JSON and read back the same; give the "
        "ratings ids that are numbers or strings, and fit again."
    )


def _numbers(scaling: Scaling) -> dict[str, Any]:
    return {
        "mean": scaling.mean,
        "damping": scaling.damping,
        "in": list(scaling.going_in),
        "out": list(scaling.coming_out),
    }


def _numpy_files(
    name: str, model: Formula, member: Member, scale: tuple[float, float]
) -> dict[str, bytes]:
    file = io.BytesIO()
    np.savez(
        file,
        activations=np.array(model.activations),
        stretch=np.array(model.stretch, dtype=np.float32),
        **model.arrays,
    )
    return {f"{name}.npz": file.getvalue()}


def _onnx_files(
    name: str, model: Formula, member: Member, scale: tuple[float, float]
) -> dict[str, bytes]:
    content = onnx_file(model)
    _verify(member, model, scale, "ONNX model", partial(run_onnx, content))
    return {f"{name}.onnx": content}


def _symbol_files(
    name: str, model: Formula, member: Member, scale: tuple[float, float]
) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        graph, weights = (Path(folder, f"{name}-{part}") for part in ("symbol.json", "0000.params"))
        _symbol(model).save(str(graph))
        npx.save(str(weights), {f"arg:{n}": mx.np.array(w) for n, w in model.arrays.items()})
        with warnings.catch_warnings():  # it says that it does not know the inputs' type yet
            warnings.simplefilter("ignore")
            block = gluon.SymbolBlock.imports(str(graph), model.inputs, str(weights), ctx=mx.cpu())

        def predict(rows: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
            outputs: Array = block(*(mx.np.array(each, ctx=mx.cpu()) for each in rows.values()))
            return outputs.asnumpy()

        _verify(member, model, scale, "symbol", predict)
        return {path.name: path.read_bytes() for path in (graph, weights)}


def _symbol(model: Formula) -> Any:
    def variable(name: str) -> Any:
        return mx.sym.var(name).as_np_ndarray()

    x, np_, npx_ = variable("ratings"), mx.sym.np, mx.sym.npx
    rated = variable("mask") if "mask" in model.inputs else np_.abs(np_.sign(x))
    counts, scaling, biases = np_.sum(rated, axis=1, keepdims=True), model.scaling, 0.0
    if scaling is not None:
        if scaling.biased:
            columns = variable("column_biases")
            rest = (x - scaling.mean - columns) * rated
            biases = np_.sum(rest, axis=1, keepdims=True) / (counts + scaling.damping) + columns
        offset, by_biases, spread, shift = scaling.going_in
        x = ((x - offset - (biases if by_biases else 0.0)) / spread + shift) * rated
    if model.typical_count is not None:
        x = x * (model.typical_count / np_.maximum(counts, 1)) ** 0.5
    for n, activation in enumerate(model.activations):
        weight, bias = f"weight{n}", f"bias{n}"
        x = npx_.fully_connected(
            x, variable(weight), variable(bias), num_hidden=len(model.weights[bias])
        )
        if activation != "identity":
            x = npx_.activation(x, act_type=activation)
    offset, factor = model.stretch
    x = x if model.stretch == (0.0, 1.0) else offset + factor * x
    if scaling is None or scaling.ratings_out == "raw":
        return x
    offset, by_biases, spread = scaling.coming_out
    some = np_.minimum(counts, 1) * variable("rated_columns")
    return offset + (biases if by_biases else 0.0) + spread * some * x


def _verify(
    member: Member,
    model: Formula,
    scale: tuple[float, float],
    name: str,
    predict: Callable[[Mapping[str, NDArray[np.float32]]], NDArray[np.float32]],
) -> None:
    """Compare an exported model with the net, on rows of training ratings.

    Parameters
    ----------
    member : Member
    model : Formula
    scale : tuple of float
        Lowest and highest training rating.
    name : str
        What the model is called in the error.
    predict : callable
        Maps the model's inputs by name, each an ndarray of float32 (n, columns), to predictions of
        that shape.

    Raises
    ------
    AutorecError
        If a prediction differs by more than `TOLERANCE`.
    """
    net, inputs = member.net, member.inputs
    rated = inputs.rated_rows()
    # Rows of the largest data sets are long: four arrays of this size are held at a time.
    count = min(len(rated), 256, max(1, 2**24 // inputs.shape[1]))
    rows = rated[np.linspace(0, len(rated) - 1, count).astype(np.int64)]
    arguments = [inputs.dense(rows)] + ([] if inputs.positive else [inputs.mask(rows)])
    context = net.decoder.weight.list_ctx()[0]
    expected = net(*(mx.np.array(each, ctx=context) for each in arguments)).asnumpy()
    exported = predict(dict(zip(model.inputs, arguments)))
    low, high = scale
    largest = max(abs(low), abs(high), high - low)
    bounds = TOLERANCE * np.maximum(largest, np.abs(expected))
    differences = np.abs(exported - expected)
    if not (differences <= bounds).all():  # not: a difference that is no number is too large
        raise AutorecError(
            f"The {name} differs from the net by up to {differences.max():.2g} on "
            f"{count:,} rows of training ratings, so nothing was written; export to another "
            "format, and report this with the versions of mxnet and of what the format needs."
        )


_FORMATS: dict[str, Callable[[str, Formula, Member, tuple[float, float]], dict[str, bytes]]] = {
    "onnx": _onnx_files,
    "numpy": _numpy_files,
    "symbol": _symbol_files,
}
