"""A saved model comes back the same, survives a crash, and is refused where it is not whole."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autorec import Recommender
from autorec.errors import AutorecError, ModelError

LONG = os.environ.get("AUTOREC_LONG") == "1"
SMALL = {"num_hidden": 4, "num_epochs": 2, "learning_rate": 0.02, "devices": "cpu"}
VARIANTS = {
    "section": {},
    "deep": {"num_hidden": (4, 2, 4)},
    "best": {"normalise": True, "averaging": 0.5, "decay_power": 0.5, "clip": True},
    "bounded, user view": {"view": "user", "decoder_activation": "sigmoid", "cold_rating": 3.0},
}


def table(kind="text") -> pd.DataFrame:
    rng = numpy.random.default_rng(0)
    item, user = (rng.random((12, 9)) < 0.6).nonzero()
    ids = {
        "text": [f"film {i} ☂" for i in item],
        "numbers": item * 7,
        "halves": item / 2,
        "mixed": [i if i % 2 else f"film {i}" for i in item],
    }[kind]
    return pd.DataFrame({"user": user, "item": ids, "rating": rng.integers(1, 6, len(item))})


def fitted(kind="text", **parameters):
    return Recommender(**{**SMALL, **parameters}).fit(table(kind))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return fitted().save(tmp_path_factory.mktemp("saved") / "model")


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", ["text", "numbers", "halves", "mixed"])
def test_a_model_comes_back_the_same(variant, kind, tmp_path):
    model = fitted(kind, **VARIANTS[variant])
    again = Recommender.load(model.save(tmp_path / "model"))
    assert again.get_params() == {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in model.get_params().items()
    }
    users, items = model.ratings_.pairs()
    assert again.ratings_.item_ids.dtype == model.ratings_.item_ids.dtype
    numpy.testing.assert_array_equal(again.predict(users, items), model.predict(users, items))
    pd.testing.assert_frame_equal(again.recommend(), model.recommend(), check_dtype=False)
    assert again.history_.frame().equals(model.history_.frame())
    assert again.scale_ == model.scale_


def test_nothing_in_it_is_a_pickle(saved):
    manifest, files = read_model(saved)
    assert {path.name for path in saved.iterdir()} == {
        "manifest.json",
        *(path.name for path in files.values()),
    }
    with numpy.load(files["ratings.npz"], allow_pickle=False) as arrays:
        assert set(arrays) == {"users", "items", "values"}
    assert manifest["versions"]["mxnet"]


def test_what_update_brought_is_saved_too(tmp_path):
    model = fitted().update(pd.DataFrame({"user": [1, 2], "item": ["new"] * 2, "rating": [5, 4]}))
    again = Recommender.load(model.save(tmp_path / "model"))
    assert again.predict([3], ["new"]) == model.predict([3], ["new"])


def test_a_model_takes_the_place_of_another_and_of_nothing_else(tmp_path):
    folder = tmp_path / "model"
    fitted().save(folder)
    model = fitted("numbers")
    model.save(folder)
    assert Recommender.load(folder).ratings_.item_ids.tolist() == model.ratings_.item_ids.tolist()
    assert len(list(folder.iterdir())) == 3
    (folder / "letters.txt").write_text("mine")
    with pytest.raises(ModelError, match="holds letters.txt that is no part of a model"):
        model.save(folder)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ModelError, match="is a file"):
        model.save(file)
    assert file.read_text() == "mine"


SAVING = """
import sys, numpy
from autorec import Recommender
model = Recommender.load(sys.argv[1])
print("ready", flush=True)
while True:
    model.scale_ = model.scale_[0], model.scale_[1] + 1
    model.save(sys.argv[1])
"""


def test_killed_while_saving_what_is_there_is_whole(saved, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(saved, folder)
    program = tmp_path / "saving.py"
    program.write_text(SAVING)
    dice = random.Random(5)
    scales = []
    for _ in range(50 if LONG else 6):
        process = subprocess.Popen(
            [sys.executable, str(program), str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(dice.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        scales.append(Recommender.load(folder).scale_[1])
    print(f"saves between kills: {numpy.diff(scales)}")
    assert scales == sorted(scales)
    assert scales[-1] > 5, "no save was ever finished: the kills came too early to mean anything"


def rewritten(folder: Path, **changes) -> Path:
    """Change a manifest as somebody would who knows of the checksum."""
    path = folder / "manifest.json"
    manifest = {**json.loads(path.read_text()), **changes}
    del manifest["sha256"]
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    path.write_text(json.dumps({**manifest, "sha256": hashlib.sha256(text.encode()).hexdigest()}))
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_a_damaged_weights_file_never_reaches_the_parser(copy, monkeypatch):
    (weights,) = copy.glob("weights-*")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    monkeypatch.setattr(
        "mxnet.gluon.Block.load_parameters", lambda *_, **__: pytest.fail("it was parsed")
    )
    with pytest.raises(ModelError, match=r"weights-\w+.params is damaged: its checksum"):
        Recommender.load(copy)


def test_what_is_no_model_is_refused_with_the_reason(copy, tmp_path):
    with pytest.raises(ModelError, match="holds no model: it has no manifest"):
        Recommender.load(tmp_path)
    manifest = copy / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"num_hidden": 4', '"num_hidden": 5'))
    with pytest.raises(ModelError, match="was altered"):
        Recommender.load(copy)
    manifest.write_text(text[:100])
    with pytest.raises(ModelError, match="damaged"):
        Recommender.load(copy)
    manifest.write_text('{"format": "a cake"}')
    with pytest.raises(ModelError, match="does not describe a model"):
        Recommender.load(copy)
    manifest.write_text(text)
    next(copy.glob("ratings-*")).unlink()
    with pytest.raises(ModelError, match="incomplete: ratings-"):
        Recommender.load(copy)


def test_a_newer_format_and_a_manifest_that_lies_are_refused(copy):
    original = json.loads((copy / "manifest.json").read_text())
    for changes, reason in [
        ({"format_version": 2}, "in format 2, and this autorec reads format 1"),
        ({"config": {**original["config"], "colour": 1}}, "hang together.*colour"),
        ({"config": {**original["config"], "num_hidden": 7}}, "hang together"),
        ({"users": original["users"][:-1]}, "hang together"),
        ({"items": original["items"][::-1]}, "ratings are not those of the manifest"),
        ({"files": {"weights.params": {"file": "../etc/passwd"}}}, "no file of a model"),
        ({"files": {}}, "hang together"),
    ]:
        with pytest.raises(ModelError, match=reason):
            Recommender.load(rewritten(copy, **{**original, **changes}))


@settings(max_examples=500 if LONG else 30, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_damaged_folder_is_refused_or_gives_the_same_answers(saved, tmp_path_factory, data):
    folder = Path(shutil.copytree(saved, tmp_path_factory.mktemp("damaged") / "model"))
    victim = data.draw(st.sampled_from(sorted(folder.iterdir())))
    content = bytearray(victim.read_bytes())
    kind = data.draw(st.sampled_from(["byte", "cut", "swap", "gone", "text"]))
    place = data.draw(st.integers(0, len(content) - 1))
    if kind == "byte":
        content[place] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[place:]
    elif kind == "swap":
        content[:place], content[place:] = content[place:], content[:place]
    elif kind == "text":
        content[place:place] = data.draw(st.binary(min_size=1, max_size=20))
    victim.unlink()
    if kind != "gone":
        victim.write_bytes(content)
    try:
        model = Recommender.load(folder)
    except AutorecError:
        return
    finally:
        shutil.rmtree(folder)
    expected = Recommender.load(saved)
    users, items = expected.ratings_.pairs()
    numpy.testing.assert_array_equal(model.predict(users, items), expected.predict(users, items))
