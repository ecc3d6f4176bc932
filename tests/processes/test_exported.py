"""Exported models need no MXNet to predict the same."""

import inspect
import json
import re
import subprocess
import sys
import textwrap

import numpy
import pytest
from support.exported import answer, need, recommenders

from autorec.export.formats import export

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
cells = places["user"], places["item"]
shape = len(ids["users"]), len(ids["items"])
ratings, rated = np.zeros(shape, dtype="float32"), np.zeros(shape, dtype=bool)
ratings[cells], rated[cells] = frame["rating"], True
"""

ONNX = """
import onnxruntime

total, weights, alone = np.zeros(shape), np.zeros(shape), np.zeros(shape)
for net in ids["nets"]:
    turned = [each.T if net["view"] == "item" else each
              for each in (ratings, rated, total, weights, alone)]
    rows, there, sums, shares, own = (each[:, : net["num_columns"]] for each in turned)
    session = onnxruntime.InferenceSession(
        net["name"] + ".onnx", providers=["CPUExecutionProvider"]
    )
    feeds = {"ratings": rows, "mask": there.astype("float32")}
    feeds = {each.name: feeds[each.name] for each in session.get_inputs()}
    assert ("mask" in feeds) == net["mask"]
    (found,) = session.run(["predictions"], feeds)
    one = {name: value[:1] for name, value in feeds.items()}  # a batch of any size
    assert np.allclose(session.run(["predictions"], one)[0], found[:1], atol=1e-5)
    known = there.any(axis=1)[:, None] & there.any(axis=0)
    sums += net["weight"] * known * found
    shares += net["weight"] * known
    own[...] = found  # which of a cold row or column is what outputs are added to
predictions = np.where(weights > 0, total / np.maximum(weights, 1e-9), alone)
"""

AFTER = """
scores = np.where(rated, -np.inf, predictions)
known = rated.any(axis=1)[:, None] & rated.any(axis=0)
if ids["clip"]:
    predictions = predictions.clip(*ids["scale"])
if ids["cold_prediction"] is not None:
    predictions[~known] = ids["cold_prediction"]
scores[~known] = -np.inf
best = np.argsort(-scores, axis=1, kind="stable")[:, :5]
json.dump([predictions.astype(float).tolist(), best.tolist()], open("answer.json", "w"))
"""


@pytest.mark.parametrize(("format", "model"), [("onnx", ONNX), ("numpy", RECIPE)])
def test_without_mxnet_the_same_numbers_and_lists(format, model, tmp_path):
    need(format)
    for name, recommender in recommenders().items():
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
    for name, recommender in recommenders().items():
        predictions, best = json.loads((tmp_path / name / "answer.json").read_text())
        expected, scores = answer(recommender)
        numpy.testing.assert_allclose(predictions, expected, atol=1e-4, err_msg=name)
        # Each rank has an item of the score that is due there: the order of two alike is open.
        found, due = numpy.take_along_axis(scores, numpy.array(best), 1), -numpy.sort(-scores, 1)
        numpy.testing.assert_allclose(found, due[:, :5], atol=1e-4, err_msg=name)
