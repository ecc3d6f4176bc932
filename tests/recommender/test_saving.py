"""A saved model comes back the same, survives a crash, and is refused where it is not whole."""

import datetime
import decimal
import hashlib
import json
import os
import resource
import shutil
import uuid
from pathlib import Path

import numpy
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import FIRST_FORMAT, times
from support.training import SMALL, films

from autorec import Recommender
from autorec._storage import files
from autorec._storage import folders as storage
from autorec._storage.folders import LOCK, MODEL, locked, read_folder
from autorec.errors import AutorecError, ConfigurationError, ModelError, RatingsError
from autorec.recommender import saving as persistence

VARIANTS = {
    "section": {},
    "deep": {"num_hidden": (4, 2, 4)},
    "best": {"normalise": True, "averaging": 0.5, "decay_power": 0.5, "clip": True},
    "in any unit": {"ratings_in": "shifted", "ratings_out": "biases"},
    "residuals": {"ratings_in": "biases", "ratings_out": "biases", "view": "user"},
    "both views": {"view": "both", "user_weight": 0.3, "members": 2, "ratings_out": "biases"},
    "bounded, user view": {"view": "user", "decoder_activation": "sigmoid", "cold_rating": 3.0},
}


def fitted(kind="text", **parameters):
    return Recommender(**{**SMALL, **parameters}).fit(films(kind))


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


def test_what_0_1_0_wrote_is_read():
    expected = json.loads((FIRST_FORMAT / "expected.json").read_text())
    model = Recommender.load(FIRST_FORMAT / "model")
    predicted = model.predict(expected["users"], expected["items"])
    # Other processors add up in another order.
    numpy.testing.assert_allclose(predicted, expected["predicted"], atol=1e-5)
    assert len(model.history_) == 4


def test_nothing_in_it_is_a_pickle(saved):
    with read_folder(saved, MODEL) as (body, opened):
        names = {Path(file.name).name for file in opened.values()}
        assert {path.name for path in saved.iterdir()} == {"manifest.json", LOCK, *names}
        with numpy.load(opened["ratings.npz"], allow_pickle=False) as arrays:
            assert set(arrays) == {"users", "items", "values"}
        assert body["versions"]["mxnet"]


def named(ids):
    """A table with those ids, the same for users and items."""
    user, item = (0, 0, 1, 1, 2), (0, 1, 1, 2, 0)
    ids = numpy.asarray(ids) if len({*map(type, ids)}) == 1 else numpy.array(ids, dtype=object)
    return pd.DataFrame({"user": ids[[*user]], "item": ids[[*item]], "rating": [1, 2, 3, 4, 5]})


@pytest.mark.parametrize(
    "ids",
    [
        numpy.array([1, 2, 3], dtype="int16"),
        numpy.array([1, 2, 2**64 - 1], dtype="uint64"),
        numpy.array([0.1, 0.2, 0.3], dtype="float32"),
        [0.1, 1e300, 3.0],
        [1, 2**70, -(2**80)],
        ["1", "a\0b", "\u2603"],
        [1, "1", 2.5],
        [True, 5, "x"],
        pd.to_datetime(["2001-01-01", "2020-02-02 03:04:05.000000006", "1990"], format="mixed"),
        numpy.array(["2001", "2002", "2003"], dtype="datetime64[D]"),
    ],
    ids=str,
)
def test_ids_come_back_with_their_types(ids, tmp_path):
    model = Recommender(**SMALL).fit(named(ids))
    again = Recommender.load(model.save(tmp_path / "model"))
    for old, new in zip(
        (model.ratings_.user_ids, model.ratings_.item_ids),
        (again.ratings_.user_ids, again.ratings_.item_ids),
    ):
        assert old.dtype == new.dtype
        assert old.tolist() == new.tolist()
        assert list(map(type, old.tolist())) == list(map(type, new.tolist()))


def test_users_that_are_true_or_false_come_back_so(tmp_path):
    table = pd.DataFrame({"user": [True, False, True], "item": [1, 1, 2], "rating": [1, 2, 3]})
    model = Recommender(**SMALL).fit(table)
    again = Recommender.load(model.save(tmp_path / "model"))
    assert again.ratings_.user_ids.tolist() == [False, True]
    assert again.ratings_.user_ids.dtype == bool


@pytest.mark.parametrize(
    ("ids", "kind"),
    [
        ([uuid.UUID(int=i) for i in range(3)], "UUID"),
        ([datetime.date(2000, 1, i + 1) for i in range(3)], "date"),
        ([decimal.Decimal(i) / 10 for i in range(3)], "Decimal"),
        ([b"a", b"b", b"c"], "bytes"),
        ([(1, 2), (1, 3), (2, 3)], "tuple"),
        (["a", "b", "\ud800"], "str"),
        ([1.0, 2.0, float("inf")], "float64"),
        ([1, 2, 10**70], "int"),
    ],
    ids=str,
)
def test_ids_that_could_not_be_saved_are_refused_before_training(ids, kind, monkeypatch):
    monkeypatch.setattr(
        "autorec.recommender.fitting.fit", lambda *_, **__: pytest.fail("it was trained")
    )
    column = pd.Series(
        [ids[i] for i in (0, 0, 1, 1, 2)], dtype=None if kind == "float64" else object
    )
    table = pd.DataFrame({"user": column, "item": column, "rating": [1, 2, 3, 4, 5]})
    table["item"] = [1, 2, 1, 2, 1]
    with pytest.raises(RatingsError, match=rf"The user .*\({kind}\) .* use numbers or text, str"):
        Recommender(**SMALL).fit(table)


@pytest.mark.parametrize(
    "parameters",
    [
        {"num_hidden": "ab"},
        {"num_hidden": 0},
        {"learning_rate": "1"},
        {"learning_rate_decay": float("inf")},
        {"dropout": 1},
        {"clip": None},
        {"view": 1},
    ],
)
def test_parameters_that_could_not_be_saved_are_refused_before_training(parameters):
    (name,) = parameters
    with pytest.raises(ConfigurationError, match=f"^{name} .* must be"):
        Recommender(**{**SMALL, **parameters}).fit(films())


def test_numpys_numbers_are_saved_as_pythons(tmp_path):
    numbers = {"num_hidden": (numpy.int64(3), 2, 3), "learning_rate": numpy.float32(0.5)}
    again = Recommender.load(fitted(**numbers).save(tmp_path / "model"))
    assert again.num_hidden == [3, 2, 3]
    assert again.learning_rate == 0.5


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
    assert len(list(folder.iterdir())) == 4
    (folder / "letters.txt").write_text("mine")
    with pytest.raises(ModelError, match="holds letters.txt that is no part of a model"):
        model.save(folder)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(ModelError, match="is a file"):
        model.save(file)
    assert file.read_text() == "mine"


def test_what_is_not_ours_is_never_removed(tmp_path):
    model, folder = fitted(), tmp_path / "model"
    model.save(folder)
    mine = [
        ".newsletter-draft.txt",
        ".manifest-notes",
        ".DS_Store",
        ".new1234.params",
        ".autorec-x",
    ]
    for name in mine:
        (folder / name).write_text("mine")
    left = [".autorec-0123456789abcdef.new", "weights-0123456789abcdef.params"]
    for name in left:
        (folder / name).write_text("left by a save that was killed")
    model.save(folder)
    assert {name for name in mine if (folder / name).read_text() == "mine"} == {*mine}
    assert not [name for name in left if (folder / name).exists()]
    for name in ("weights.params", "weights-1.params", "manifest.txt"):
        (folder / name).write_text("mine")
        with pytest.raises(ModelError, match=f"holds {name} that is no part of a model"):
            model.save(folder)
        (folder / name).unlink()


def test_a_reader_whose_model_is_replaced_under_it_gets_the_new_one(tmp_path, monkeypatch):
    folder = fitted().save(tmp_path / "model")
    other, checked = fitted("numbers"), storage._checked

    def replaced(*arguments):
        monkeypatch.undo()
        other.save(folder)
        return checked(*arguments)

    monkeypatch.setattr(storage, "_checked", replaced)
    again = Recommender.load(folder)
    assert again.ratings_.item_ids.tolist() == other.ratings_.item_ids.tolist()


def test_reading_writes_nothing(copy):
    (copy / LOCK).unlink(missing_ok=True)
    before = sorted((path.name, path.stat().st_mtime_ns) for path in copy.iterdir())
    Recommender.load(copy)
    assert sorted((path.name, path.stat().st_mtime_ns) for path in copy.iterdir()) == before


def test_a_save_that_waits_too_long_for_another_says_so(tmp_path, monkeypatch):
    model, folder = fitted(), tmp_path / "model"
    monkeypatch.setattr(persistence, "_PATIENCE", 0.1)
    said = "is being written to all the time; save to another"
    with locked(folder, 1, ModelError("")), pytest.raises(ModelError, match=said):
        model.save(folder)
    assert not folder.exists()
    Recommender.load(model.save(folder))


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    target, folder = tmp_path / "target", fitted().save(tmp_path / "model")
    (folder / LOCK).unlink()
    (folder / LOCK).symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        fitted().save(folder)
    assert not target.exists()


def test_a_missing_parent_is_named(tmp_path):
    with pytest.raises(ModelError, match="nowhere does not exist; make it"):
        fitted().save(tmp_path / "nowhere" / "model")


def listing(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@times(40, 400)
def test_a_full_disk_leaves_the_old_model_and_nothing_else(tmp_path, times, soaked):
    """Files may grow to a size and no further, which is what a full disk looks like."""
    model, folder = fitted(), tmp_path / "model"
    fitted("numbers").save(folder)
    before = listing(folder)
    model.save(tmp_path / "whole")
    largest = max(len(content) for content in listing(tmp_path / "whole").values()) - 1
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in numpy.linspace(0, largest, times).astype(int).tolist():
        for place in (folder, tmp_path / "new"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
            try:
                with pytest.raises(OSError, match="File too large"):
                    model.save(place)
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            if place == folder:
                assert listing(folder) == before
                Recommender.load(folder)
            else:
                assert not place.exists()
    soaked("saves to a full disk", 2 * times)


def test_a_file_that_is_not_what_was_written_replaces_nothing(tmp_path, monkeypatch):
    model, folder = fitted(), tmp_path / "model"
    fitted("numbers").save(folder)
    before = listing(folder)
    fsync = os.fsync

    def cut(handle):
        """A disk that loses the end of a file, and says nothing."""
        path = Path(os.readlink(f"/proc/self/fd/{handle}"))
        if path.is_file() and path.suffix == ".new" and path.stat().st_size > 900:
            os.truncate(path, 900)
        fsync(handle)

    monkeypatch.setattr(files.os, "fsync", cut)
    for place in (folder, tmp_path / "new"):
        with pytest.raises(OSError, match="does not hold what was written to it"):
            model.save(place)
    assert listing(folder) == before
    assert not (tmp_path / "new").exists()


def rewritten(folder: Path, **changes) -> Path:
    """Change a manifest as somebody would who knows of the checksum."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["sha256"]
    for name, value in changes.items():
        (manifest if name in manifest else manifest["body"])[name] = value
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    path.write_text(json.dumps({**manifest, "sha256": hashlib.sha256(text.encode()).hexdigest()}))
    return folder


@pytest.fixture
def copy(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "copy"))


def test_a_damaged_weights_file_never_reaches_the_parser(copy, monkeypatch):
    (weights,) = copy.glob("weights-*")
    weights.write_bytes(weights.read_bytes()[:-1] + b"!")
    monkeypatch.setattr(persistence, "stored_params", lambda *_: pytest.fail("it was parsed"))
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
    text = (copy / "manifest.json").read_text()
    original = json.loads(text)
    body, named = original["body"], original["files"]
    evil = {**named, "weights.params": {**named["weights.params"], "file": "../etc/passwd"}}
    (net,) = body["nets"]
    epoch = net["history"][0]
    for changes, reason in [
        ({"format_version": 3}, "in format 3, and this autorec reads formats 1 and 2"),
        ({"config": {**body["config"], "colour": 1}}, "hang together.*colour"),
        ({"config": {**body["config"], "num_hidden": 7}}, "hang together.*net's shapes"),
        ({"config": {**body["config"], "num_hidden": 10**12}}, "hang together.*net's shapes"),
        ({"config": {**body["config"], "dropout": [1]}}, "hang together.*dropout .* must be"),
        ({"users": {**body["users"], "ids": body["users"]["ids"][:-1]}}, "of nobody"),
        ({"items": {**body["items"], "ids": body["items"]["ids"][::-1]}}, "not those of the manif"),
        ({"items": {**body["items"], "ids": [[], {}]}}, "not numbers and text"),
        ({"items": {**body["items"], "ids": ["x"] * 12}}, "is there twice"),
        ({"items": 5}, "hang together"),
        ({"nets": [{**net, "history": []}]}, "it has no epochs"),
        ({"nets": [{**net, "history": [{**epoch, "seconds": "1"}]}]}, "epoch 1 of the history is"),
        ({"nets": [{**net, "typical_count": -1}]}, "typical count"),
        ({"nets": [{**net, "weight": 0.5}]}, "not 1 together"),
        ({"nets": [{**net, "weight": 2}]}, "a weight is not from 0 to 1"),
        ({"nets": [{**net, "columns": 10**9}]}, "the columns that it learned from"),
        ({"nets": [{**net, "columns": 3}]}, "not of the net's shapes"),
        ({"nets": [{**net, "view": "user"}]}, "not those of its parameters"),
        ({"nets": [net, net]}, "not those of its parameters"),
        ({"nets": []}, "not those of its parameters"),
        ({"chosen": {"colour": 1}}, "hang together"),
        ({"chosen": {"num_epochs": -1}}, "hang together.*num_epochs"),
        ({"config": {**body["config"], "ratings_out": "mean"}}, "not of the net's shapes"),
        ({"scale": [5, 1]}, "upside down"),
        ({"versions": ["x"]}, "hang together"),
        ({"body": [[[]]]}, "hang together"),
        ({"files": evil}, "no file of a model"),
        ({"files": {}}, "does not name its files"),
    ]:
        with pytest.raises(ModelError, match=reason):
            Recommender.load(rewritten(copy, **changes))
        (copy / "manifest.json").write_text(text)


@pytest.mark.parametrize("text", ["NaN", "1e999", "1" * 5000, "[" * 100_000 + "]" * 100_000])
def test_numbers_that_are_none_and_nests_without_end_are_refused(copy, text):
    path = copy / "manifest.json"
    path.write_text(path.read_text().replace('"typical_count": null', f'"typical_count": {text}'))
    with pytest.raises(ModelError, match="it is no JSON that autorec writes"):
        Recommender.load(copy)


def test_a_pipe_or_a_device_in_a_model_is_not_read(copy):
    (weights,) = copy.glob("weights-*")
    weights.unlink()
    os.mkfifo(weights)
    with pytest.raises(ModelError, match="incomplete: weights-"):
        Recommender.load(copy)
    weights.unlink()
    weights.symlink_to("/dev/zero")
    with pytest.raises(ModelError, match="incomplete: weights-"):
        Recommender.load(copy)


@settings(max_examples=50, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_damaged_folder_is_refused_or_gives_the_same_answers(saved, tmp_path_factory, data):
    folder = Path(shutil.copytree(saved, tmp_path_factory.mktemp("damaged") / "model"))
    victim = data.draw(
        st.sampled_from(sorted(path for path in folder.iterdir() if path.name != LOCK))
    )
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
