"""Exported models: what they predict, and that they need no MXNet to do it."""

import errno
import json
import os
import re
import sys

import numpy
import pandas as pd
import pytest
from support.exported import VARIANTS, need, recommenders, some_ratings

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


@pytest.fixture(params=VARIANTS)
def recommender(request):
    return recommenders()[request.param]


@pytest.fixture
def one_layer():
    return Recommender(num_hidden=3, num_epochs=1, devices="cpu").fit(some_ratings())


def test_the_symbol_is_loaded_by_gluon(recommender, tmp_path):
    *files, ids = export(recommender, tmp_path, "symbol")
    nets = json.loads(ids.read_text())["nets"]
    assert len(nets) == len(recommender.members_) == len(files) / 2
    for net, member, symbol, weights in zip(nets, recommender.members_, files[::2], files[1::2]):
        mask, inputs = net["mask"], member.inputs
        with pytest.warns(UserWarning, match="Cannot decide type"):
            block = gluon.SymbolBlock.imports(
                str(symbol), ["ratings", "mask"] if mask else ["ratings"], str(weights)
            )
        rows = numpy.arange(inputs.shape[0])  # that without ratings too
        ratings, rated = (mx.np.array(of(rows)) for of in (inputs.dense, inputs.mask))
        numpy.testing.assert_allclose(
            block(*[ratings, rated][: 1 + mask]).asnumpy(),
            member.net(ratings, rated).asnumpy(),
            atol=1e-5,
        )


@pytest.mark.parametrize("format", FILES)
def test_what_is_written(format, recommender, tmp_path):
    need(format)
    folder = tmp_path / "new" / "export"
    written = export(recommender, folder, format)
    nets = recommender.members_
    names = [f"{net.inputs.view}-{n % recommender.members}" for n, net in enumerate(nets)]
    names = names if len(nets) > 1 else ["model"]
    files = [each.replace("model", name) for name in names for each in FILES[format]]
    assert written == [folder / name for name in [*files, "ids.json"]]
    assert sorted(folder.iterdir()) == sorted(written)
    assert export(recommender, str(folder), format) == written  # in the place of those
    ids = json.loads((folder / "ids.json").read_text())
    ids.pop("about")
    ratings, normalise = recommender.ratings_, recommender.normalise
    described = ids.pop("nets")
    for net, name, found in zip(nets, names, described):
        scaling, item_view = found.pop("scaling"), net.inputs.view == "item"
        assert (scaling is not None) == (net.net.scaling is not None)
        if scaling is not None:
            assert scaling["mean"] == pytest.approx(ratings.values.mean())
        assert found == {
            "name": name,
            "weight": net.weight,
            "view": net.inputs.view,
            "rows": "items" if item_view else "users",
            "columns": "users" if item_view else "items",
            "num_columns": ratings.num_users if item_view else ratings.num_items,
            "normalise": net.net.typical_count if normalise else None,
            "mask": bool((normalise or net.net.scaling) and (ratings.values <= 0).any()),
        }
    knows = recommender.ratings_out != "raw"
    assert ids == {
        "format_version": 2,
        "scale": [ratings.values.min(), ratings.values.max()],
        "clip": recommender.clip,
        # Where outputs are added to means the models themselves know.
        "cold_prediction": None if knows else recommender.cold_prediction,
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

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=re.escape(str(tmp_path))) as raised:
        export(other, tmp_path, format)
    assert raised.value.errno == errno.ENOSPC
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
