"""Exported models: what they predict, and that they need no MXNet to do it."""

import copy
import errno
import inspect
import json
import re
import subprocess
import sys
import textwrap

import numpy
import pandas as pd
import pytest

from autorec import Ratings
from autorec._mxnet import gluon, mx
from autorec.errors import AutorecError, ConfigurationError, NotFittedError, RatingsError
from autorec.export import onnx as onnx_graph
from autorec.export.formats import export
from autorec.recommender.estimator import Recommender

module = sys.modules[export.__module__]

FILES = {
    "onnx": ["model.onnx"],
    "numpy": ["model.npz"],
    "symbol": ["model-symbol.json", "model-0000.params"],
}
VARIANTS = {
    "one layer": {},
    "deep": {"num_hidden": (7, 4, 7), "encoder_activation": "tanh"},
    "normalised": {"normalise": True, "encoder_activation": "softsign", "clip": True},
    "bounded decoder": {"decoder_activation": "sigmoid", "encoder_activation": "relu"},
    "user view": {"view": "user", "normalise": True, "encoder_activation": "softrelu"},
    "zeros": {"encoder_activation": "identity", "decoder_activation": "softsign"},
    "zeros, normalised": {"normalise": True, "decoder_activation": "tanh", "cold_rating": 1.0},
    "raw to biased means": {"ratings_out": "biases", "normalise": True, "clip": True},
    "shifted to biased means": {"ratings_in": "shifted", "ratings_out": "biases", "view": "user"},
    "zeros, centred": {"ratings_in": "mean", "ratings_out": "mean"},
    "zeros, residuals": {"ratings_in": "biases", "ratings_out": "biases", "normalise": True},
    "bounded residuals": {
        "ratings_in": "biases",
        "ratings_out": "biases",
        "decoder_activation": "softrelu",
    },
    "centred to raw": {"ratings_in": "mean", "ratings_out": "raw"},
}
USERS, ITEMS = 12, 17


def some_ratings(lowest: int = 1) -> Ratings:
    """Ratings of half the pairs; the last user and the last item have none."""
    rng = numpy.random.default_rng(0)
    user, item = (rng.random((USERS - 1, ITEMS - 1)) < 0.5).nonzero()
    frame = pd.DataFrame({"user": user + 100, "item": [f"film {n}" for n in item]})
    frame["rating"] = rng.integers(lowest, lowest + 5, len(frame))
    rest = {"user": 999, "item": "a film nobody saw", "rating": lowest or 1}
    every = Ratings.from_frame(pd.concat([frame, pd.DataFrame([rest])]), nonpositive="keep")
    return every.take(numpy.arange(len(every) - 1))


@pytest.fixture(scope="module")
def recommenders():
    """Each variant, fitted."""
    quick = {"num_hidden": 6, "init_sigma": 0, "num_epochs": 15, "learning_rate": 0.02}
    fitted = {}
    for name, parameters in VARIANTS.items():
        ratings = some_ratings(lowest=-1 if "zeros" in name else 1)
        assert (ratings.values <= 0).any() == ("zeros" in name)
        fitted[name] = Recommender(**{**quick, "devices": "cpu", **parameters}).fit(ratings)
    return fitted


@pytest.fixture(params=VARIANTS)
def recommender(request, recommenders):
    return recommenders[request.param]


@pytest.fixture
def one_layer():
    return Recommender(num_hidden=3, num_epochs=1, devices="cpu").fit(some_ratings())


def need(format):
    if format == "onnx":
        for name in ("onnx", "onnxruntime"):
            pytest.importorskip(name)


def answer(recommender):
    """Return predictions of every pair, and the scores that rank what is new to a user."""
    ratings = recommender.ratings_
    shape = ratings.num_users, ratings.num_items
    pairs = numpy.repeat(ratings.user_ids, shape[1]), numpy.tile(ratings.item_ids, shape[0])
    predictions = recommender.predict(*pairs).reshape(shape)
    unclipped = copy.copy(recommender)
    unclipped.clip = False  # predictions that were clipped have no order
    scores = unclipped.predict(*pairs).reshape(shape)
    scores[ratings.users, ratings.items] = -numpy.inf
    scores[recommender.is_cold(*pairs).reshape(shape)] = -numpy.inf
    return predictions, scores


RECIPE = textwrap.dedent(re.search(r"one::\n\n(.*)", inspect.getdoc(export), re.DOTALL).group(1))

# In each folder: `ratings` and `rated` from ratings.csv and ids.json; predictions by the model;
# with the best items in answer.json.
START = """
import sys
for name in ("mxnet", "autorec"):
    sys.modules[name] = None  # whoever imports it gets an ImportError
import json
import os
import numpy as np
import pandas as pd
"""
BEFORE = """
ids = json.load(open("ids.json"))
frame = pd.read_csv("ratings.csv")
places = {kind: pd.Index(ids[f"{kind}s"]).get_indexer(frame[kind]) for kind in ("user", "item")}
cells = tuple(places[ids[kind][:-1]] for kind in ("rows", "columns"))
shape = len(ids[ids["rows"]]), len(ids[ids["columns"]])
ratings, rated = np.zeros(shape, dtype="float32"), np.zeros(shape, dtype=bool)
ratings[cells], rated[cells] = frame["rating"], True
"""
ONNX = """
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
feeds = {"ratings": ratings, "mask": rated.astype("float32")}
feeds = {each.name: feeds[each.name] for each in session.get_inputs()}
assert ("mask" in feeds) == ids["mask"]
(predictions,) = session.run(["predictions"], feeds)
one = {name: value[:1] for name, value in feeds.items()}  # a batch of any size
assert np.allclose(session.run(["predictions"], one)[0], predictions[:1], atol=1e-5)
"""
AFTER = """
scores = np.where(rated, -np.inf, predictions)
known = rated.any(axis=1)[:, None] & rated.any(axis=0)
if ids["clip"]:
    predictions = predictions.clip(*ids["scale"])
if ids["cold_prediction"] is not None:
    predictions[~known] = ids["cold_prediction"]
scores[~known] = -np.inf
if ids["rows"] == "items":
    predictions, scores = predictions.T, scores.T
best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
json.dump([predictions.astype(float).tolist(), best.tolist()], open("answer.json", "w"))
"""


@pytest.mark.parametrize(("format", "model"), [("onnx", ONNX), ("numpy", RECIPE)])
def test_without_mxnet_the_same_numbers_and_lists(format, model, recommenders, tmp_path):
    need(format)
    for name, recommender in recommenders.items():
        export(recommender, tmp_path / name, format)
        recommender.ratings_.frame().to_csv(tmp_path / name / "ratings.csv", index=False)
    body = textwrap.indent(BEFORE + model + AFTER + 'os.chdir("..")', "    ")
    script = f"{START}for folder in os.listdir():\n    os.chdir(folder)\n{body}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name, recommender in recommenders.items():
        predictions, best = json.loads((tmp_path / name / "answer.json").read_text())
        expected, scores = answer(recommender)
        numpy.testing.assert_allclose(predictions, expected, atol=1e-4, err_msg=name)
        # Each rank has an item of the score that is due there: the order of two alike is open.
        found, due = numpy.take_along_axis(scores, numpy.array(best), 1), -numpy.sort(-scores, 1)
        numpy.testing.assert_allclose(found, due[:, :5], atol=1e-4, err_msg=name)


def test_the_symbol_is_loaded_by_gluon(recommender, tmp_path):
    symbol, weights, ids = export(recommender, tmp_path, "symbol")
    mask = json.loads(ids.read_text())["mask"]
    with pytest.warns(UserWarning, match="Cannot decide type"):
        block = gluon.SymbolBlock.imports(
            str(symbol), ["ratings", "mask"] if mask else ["ratings"], str(weights)
        )
    inputs = recommender.inputs_
    rows = numpy.arange(inputs.shape[0])  # that without ratings too
    ratings, rated = (mx.np.array(of(rows)) for of in (inputs.dense, inputs.mask))
    numpy.testing.assert_allclose(
        block(*[ratings, rated][: 1 + mask]).asnumpy(),
        recommender.net_(ratings, rated).asnumpy(),
        atol=1e-5,
    )


@pytest.mark.parametrize("format", FILES)
def test_what_is_written(format, recommender, tmp_path):
    need(format)
    folder = tmp_path / "new" / "export"
    written = export(recommender, folder, format)
    assert written == [folder / name for name in [*FILES[format], "ids.json"]]
    assert sorted(folder.iterdir()) == sorted(written)
    assert export(recommender, str(folder), format) == written  # in the place of those
    ids = json.loads((folder / "ids.json").read_text())
    ids.pop("about")
    ratings, normalise = recommender.ratings_, recommender.normalise
    item_view = recommender.view == "item"
    knows = recommender.ratings_out != "raw"
    scaling = ids.pop("scaling")
    assert (scaling is not None) == (recommender.net_.scaling is not None)
    if scaling is not None:
        assert scaling["mean"] == pytest.approx(ratings.values.mean())
    assert ids == {
        "format_version": 1,
        "view": recommender.view,
        "rows": "items" if item_view else "users",
        "columns": "users" if item_view else "items",
        "scale": [ratings.values.min(), ratings.values.max()],
        "clip": recommender.clip,
        "cold_prediction": None if knows else recommender.cold_prediction,
        "normalise": recommender.net_.typical_count if normalise else None,
        "mask": bool((normalise or recommender.net_.scaling) and (ratings.values <= 0).any()),
        "users": ratings.user_ids.tolist(),
        "items": ratings.item_ids.tolist(),
    }


def test_the_onnx_file_is_of_an_old_version(one_layer, tmp_path):
    onnx = pytest.importorskip("onnx")
    need("onnx")
    model = onnx.load(export(one_layer, tmp_path, "onnx")[0])
    assert [each.version for each in model.opset_import] == [11]
    assert model.ir_version == 6


@pytest.mark.parametrize("format", ["onnx", "symbol"])
@pytest.mark.parametrize("factor", [1.0001, numpy.nan])
def test_a_model_that_differs_leaves_nothing_behind(
    format, factor, one_layer, tmp_path, monkeypatch
):
    need(format)
    right = module.formula

    def wrong(recommender):
        model = right(recommender)
        bias = model.weights["bias1"] * factor
        return model._replace(weights={**model.weights, "bias1": bias + 0.001})

    monkeypatch.setattr(module, "formula", wrong)
    with pytest.raises(AutorecError, match=r"differs from the net by up to .* nothing was written"):
        export(one_layer, tmp_path / "new", format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FILES)
def test_a_disk_that_is_full_leaves_what_was_there(format, one_layer, tmp_path, monkeypatch):
    need(format)
    written = export(one_layer, tmp_path, format)
    before = [path.read_bytes() for path in written]
    other = Recommender(num_hidden=4, num_epochs=1, devices="cpu").fit(some_ratings())
    monkeypatch.setattr(
        "os.fsync", lambda handle: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left"))
    )
    with pytest.raises(OSError, match="No space left on device"):
        export(other, tmp_path, format)
    assert [path.read_bytes() for path in written] == before
    assert sorted(tmp_path.iterdir()) == sorted(written)


def test_wrong_arguments(one_layer, tmp_path):
    with pytest.raises(
        ConfigurationError, match=r"no format 'csv' .* one of onnx, numpy, symbol\."
    ):
        export(one_layer, tmp_path, "csv")
    with pytest.raises(NotFittedError):
        export(Recommender(), tmp_path, "numpy")
    file = tmp_path / "file"
    file.touch()
    for folder in (file, file / "below"):
        with pytest.raises(ConfigurationError, match="name another folder"):
            export(one_layer, folder, "numpy")


@pytest.mark.parametrize("name", ["onnx", "onnxruntime"])
def test_without_onnx(name, one_layer, tmp_path, monkeypatch):
    need("onnx")
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigurationError, match=rf"{name}.*pip install 'gluon-autorec\[onnx\]'"):
        export(one_layer, tmp_path, "onnx")
    assert list(tmp_path.iterdir()) == []


def test_weights_that_no_onnx_file_holds(one_layer, tmp_path, monkeypatch):
    need("onnx")
    monkeypatch.setattr(onnx_graph, "_LARGEST", 100)
    with pytest.raises(ConfigurationError, match="choose the format numpy"):
        export(one_layer, tmp_path, "onnx")


@pytest.mark.parametrize(
    "ids",
    [
        [3, 2**53 + 1, 2**62],
        [0.1, 1.0, 1e300],
        ["1", "é\n", "\U0001f3ac"],
        numpy.array([0.1, 0.2, 0.3], dtype=numpy.float32),
    ],
)
def test_ids_stay_what_they_are(ids, tmp_path):
    frame = pd.DataFrame({"user": ids, "item": [1, 2, 1], "rating": 3})
    fitted = Recommender(num_hidden=2, num_epochs=1, devices="cpu").fit(Ratings.from_frame(frame))
    found = json.loads(export(fitted, tmp_path, "numpy")[-1].read_text())["users"]
    assert sorted(found) == sorted(frame["user"].tolist())
    assert {type(each) for each in found} == {type(each) for each in frame["user"].tolist()}


@pytest.mark.parametrize("id_", [pd.Timestamp(0), True])
def test_ids_that_json_does_not_hold(id_, tmp_path):
    frame = pd.DataFrame({"user": [1, 2], "item": [id_, id_], "rating": 3})
    fitted = Recommender(num_hidden=2, num_epochs=1, devices="cpu").fit(Ratings.from_frame(frame))
    with pytest.raises(RatingsError, match="The item id .* cannot be written to JSON"):
        export(fitted, tmp_path, "numpy")
    assert list(tmp_path.iterdir()) == []
