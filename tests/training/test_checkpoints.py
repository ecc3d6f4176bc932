"""Checkpoints: a run that was stopped, however it was, ends in the bits of one that was not."""

import json
import os
import re
import shutil
import signal
from functools import partial

import numpy
import pytest
from support import FIRST_FORMAT
from support.attacks import fit_checksums
from support.command_line import command_line
from support.training import (
    DROPOUT,
    RESUMED,
    TWO,
    VARIANTS,
    StopError,
    assert_same,
    halt,
    learned,
    low_rank_ratings,
    stopped,
    trained,
    weights,
)

from autorec import Interactions
from autorec._mxnet import mx
from autorec._storage.folders import LOCK
from autorec.errors import ConfigurationError, DataCorruptError, TrainingError
from autorec.recommender.estimator import Recommender
from autorec.training import checkpoints as checkpoints_module
from autorec.training.checkpoints import Checkpoint, Checkpoints

# What the sparse steps do themselves.
SPARSE = (
    "section", "dropout, two devices", "averaged, the best, patience", "decay by column",
    "normalised, deep", "rmsprop", "rmsprop, two devices",
)  # fmt: skip


@pytest.fixture(autouse=True)
def ctrl_c_is_heard():
    """A shell in the background ignores SIGINT, and so would all that it starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("variant", "compute"),
    [*((name, "dense") for name in VARIANTS), *((name, "sparse") for name in SPARSE)],
)
def test_a_resumed_run_ends_in_the_same_bits(tmp_path, variant, compute):
    if compute == "sparse":
        pytest.importorskip("numba")
    settings = {**VARIANTS[variant], "compute": compute}
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    history, expected = trained(**settings)
    stopped(checkpoints, 1, **settings)
    stopped(checkpoints, 3, resume=True, **settings)
    resumed, result = trained(checkpoints, True, **settings)
    assert resumed == history
    assert_same(expected, result, 0)
    # What is there to do after the end: nothing.
    again, result = trained(checkpoints, True, **settings)
    assert again == history
    assert_same(expected, result, 0)


def test_every_optimizer_can_be_resumed(tmp_path):
    known = sorted(set(mx.optimizer.Optimizer.opt_registry) - {"test", "groupadagrad"})
    for optimizer in known:
        settings = {"optimizer": optimizer, "contexts": TWO, "compute": "dense"}
        settings.update(num_epochs=3, batch_size=60, learning_rate=0.001, dropout=0.3)
        _, expected = trained(**settings)
        checkpoints = Checkpoints(tmp_path / optimizer)
        stopped(checkpoints, 2, **settings)
        _, result = trained(checkpoints, True, **settings)
        assert_same(expected, result, 0)


def test_a_checkpoint_of_0_1_0_is_resumed(tmp_path):
    shutil.copytree(FIRST_FORMAT / "checkpoints", tmp_path / "checkpoints")
    expected = json.loads((FIRST_FORMAT / "expected.json").read_text())
    model = Recommender(**RESUMED)
    model.fit(
        FIRST_FORMAT / "ratings.csv", checkpoints=Checkpoints(tmp_path / "checkpoints"), resume=True
    )
    predicted = model.predict(expected["users"], expected["items"])
    # Other processors add up in another order.
    numpy.testing.assert_allclose(predicted, expected["predicted"], atol=1e-5)
    assert Checkpoints(tmp_path / "checkpoints").epochs() == [3, 4]


def test_checkpoints_change_nothing(tmp_path):
    for compute in ("dense", "sparse"):
        settings = {**DROPOUT, "averaging": 0.5, "compute": compute}
        history, expected = trained(**settings)
        same, result = trained(Checkpoints(tmp_path / compute, every=2), **settings)
        assert same == history
        assert_same(expected, result, 0)


def test_a_run_can_go_on_for_longer_but_not_for_less(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    history, expected = trained(num_epochs=6, **DROPOUT)
    trained(checkpoints, num_epochs=4, **DROPOUT)
    longer, result = trained(checkpoints, True, num_epochs=6, **DROPOUT)
    assert longer == history
    assert_same(expected, result, 0)
    with pytest.raises(ConfigurationError, match="is past 5 epochs; ask for 6 at least"):
        trained(checkpoints, True, num_epochs=5, **DROPOUT)


def test_an_earlier_checkpoint_can_be_named_and_its_weights_started_from(tmp_path):
    _, expected = trained(num_epochs=4)
    trained(Checkpoints(tmp_path / "all", keep=9), num_epochs=3)
    early = Checkpoint.read(tmp_path / "all" / "epoch-0002")
    _, result = trained(Checkpoints(tmp_path / "elsewhere"), early, num_epochs=4)
    assert_same(expected, result, 0)
    with pytest.raises(ConfigurationError, match="elsewhere has checkpoints already"):
        trained(Checkpoints(tmp_path / "elsewhere"), early, num_epochs=4)
    assert_same(trained(num_epochs=2)[1], early.weights, 0)
    _, still = trained(start=early.weights, learning_rate=1e-30, num_epochs=1)
    assert_same(early.weights, still, 0)


def test_a_deep_net_is_not_pretrained_again(tmp_path, monkeypatch):
    ratings = learned()
    model = {"num_hidden": [6, 3, 6], "pretrain_epochs": 2, "num_epochs": 3, "devices": "cpu"}
    model["finetuning_rate"] = 0.001
    expected = Recommender(**model).fit(ratings)
    checkpoints = Checkpoints(tmp_path)

    def on_epoch(epoch):
        if epoch.epoch == 2:
            raise StopError

    with pytest.raises(StopError):
        Recommender(**model).fit(ratings, on_epoch=on_epoch, checkpoints=checkpoints, resume=True)
    monkeypatch.setattr("autorec.recommender.fitting.pretrain", None)
    result = Recommender(**model).fit(ratings, checkpoints=checkpoints, resume=True)
    assert_same(weights(expected.net_), weights(result.net_), 0)
    for change in ({"pretrain_epochs": 3}, {"learning_rate": 0.1}):
        with pytest.raises(ConfigurationError, match="was made with pretraining"):
            Recommender(**{**model, **change}).fit(ratings, checkpoints=checkpoints, resume=True)


def test_the_latest_and_the_best_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path / "a", keep=2)
    history, _ = trained(checkpoints, validate=True, learning_rate=0.05)
    scores = [epoch["validation_rmse"] for epoch in history]
    assert scores.index(min(scores)) == 1
    assert checkpoints.epochs() == [2, 4, 5]
    rare = Checkpoints(tmp_path / "b", every=3, keep=1)
    trained(rare)
    assert rare.epochs() == [5]  # the last has one, whenever its turn is
    with pytest.raises(ConfigurationError, match="every must be at least 1, not 0"):
        Checkpoints(tmp_path, every=0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, StopError, MemoryError])
def test_the_last_epoch_is_not_lost_whatever_ends_the_run(tmp_path, error):
    checkpoints = Checkpoints(tmp_path, every=100)
    with pytest.raises(error):
        trained(checkpoints, stop=3, then=partial(halt, error), **DROPOUT)
    assert checkpoints.epochs() == [3]
    _, expected = trained(**DROPOUT)
    assert_same(expected, trained(checkpoints, True, **DROPOUT)[1], 0)


@pytest.mark.parametrize("compute", ["dense", "sparse"])
def test_ctrl_c_takes_effect_between_two_batches(tmp_path, compute, monkeypatch):
    from autorec.training import sparse_steps, steps

    checkpoints = Checkpoints(tmp_path)
    kind = {"dense": steps.DenseSteps, "sparse": sparse_steps.SparseSteps}[compute]
    step, taken = kind.step, []

    def interrupted(self, rows):
        taken.append(len(rows))
        if len(taken) == 7:  # the third batch of the second epoch
            os.kill(os.getpid(), signal.SIGINT)
            taken.append("went on")
        return step(self, rows)

    monkeypatch.setattr(kind, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(checkpoints, compute=compute, **DROPOUT)
    assert taken[-1] == "went on"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    assert checkpoints.epochs() == [1]
    _, expected = trained(compute=compute, **DROPOUT)
    assert_same(expected, trained(checkpoints, True, compute=compute, **DROPOUT)[1], 0)


def test_a_second_ctrl_c_does_not_wait(monkeypatch):
    from autorec.training import steps

    def interrupted(self, rows):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("went on")

    monkeypatch.setattr(steps.DenseSteps, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(compute="dense")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch_size": 8}, "batch_size 16, not 8"),
        ({"learning_rate": 0.5, "seed": 4}, "learning_rate 0.01, not 0.5; seed 3, not 4"),
        ({"optimizer": "sgd"}, "optimizer adam, not sgd"),
        ({"num_hidden": 9}, r"net.encoder Dense\(8, .*, not Dense\(9, "),
        ({"dropout": 0.5}, r"net.dropout Dropout\(p = 0.0, .*\(p = 0.5"),
        ({"typical_count": 3.0}, "typical_count None, not 3.0"),
        ({"contexts": TWO}, r"devices cpu\(0\), not cpu\(0\), cpu\(1\)"),
        ({"compute": "sparse"}, "compute dense, not sparse"),
        ({"init": mx.init.Xavier()}, "init .*normal.*, not .*xavier"),
        ({"validate": True}, "other validation ratings"),
        ({"test": None}, "other test ratings"),
        ({"train": Interactions.from_ratings(low_rank_ratings(seed=1))}, "other training ratings"),
    ],
)
def test_what_differs_is_named(tmp_path, change, said):
    checkpoints = Checkpoints(tmp_path)
    stopped(checkpoints, 2, compute="dense")
    with pytest.raises(ConfigurationError, match=f"epoch-0002 was made with {said}"):
        trained(checkpoints, True, **{"compute": "dense", **change})


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_an_optimizer_on_each_device_is_resumed_too(tmp_path, monkeypatch, optimizer):
    checkpoints = Checkpoints(tmp_path)
    settings = {"contexts": TWO, "compute": "dense", "optimizer": optimizer}
    _, expected = trained(**settings)
    monkeypatch.setenv("MXNET_UPDATE_ON_KVSTORE", "0")
    _, same = trained(**settings)
    assert_same(expected, same, 1e-6)  # where the optimizer is, is another program
    stopped(checkpoints, 2, **settings)
    _, result = trained(checkpoints, True, **settings)
    assert_same(expected, result, 0)
    monkeypatch.setenv("MXNET_UPDATE_ON_KVSTORE", "1")
    with pytest.raises(ConfigurationError, match="MXNET_UPDATE_ON_KVSTORE as when the run began"):
        trained(checkpoints, True, num_epochs=6, **settings)


def test_a_new_run_does_not_mix_with_another(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    stopped(checkpoints, 1)
    with pytest.raises(ConfigurationError, match="has checkpoints already; resume their run"):
        trained(checkpoints)
    with pytest.raises(ConfigurationError, match="resume needs checkpoints"):
        trained(resume=True)


def test_two_runs_do_not_share_a_folder(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "checkpoints", every=2)
    monkeypatch.setattr(checkpoints_module, "_PATIENCE", 0.1)

    def begin_another():
        with pytest.raises(ConfigurationError, match="Another run leaves its checkpoints in"):
            trained(checkpoints, True)
        halt()

    with pytest.raises(StopError):
        trained(checkpoints, stop=1, then=begin_another)
    monkeypatch.undo()
    assert_same(trained()[1], trained(checkpoints, True)[1], 0)


def test_a_run_that_fails_before_its_first_epoch_leaves_no_folder(tmp_path, monkeypatch):
    from autorec.training import steps

    monkeypatch.setattr(steps.DenseSteps, "step", lambda *_: (_ for _ in ()).throw(StopError))
    with pytest.raises(StopError):
        trained(Checkpoints(tmp_path / "checkpoints"), compute="dense")
    assert not (tmp_path / "checkpoints").exists()


def test_what_is_not_ours_stays_beside_checkpoints(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=1)
    stopped(checkpoints, 1)
    mine = [tmp_path / ".epoch-notes", tmp_path / "epoch-0001" / "notes.txt"]
    for path in mine:
        path.write_text("mine")
    trained(checkpoints, True)
    assert [path.read_text() for path in mine] == ["mine", "mine"]
    assert checkpoints.epochs() == [5]


def stored(path):
    (arrays,) = path.glob("arrays-*.npz")
    return arrays


def truncate(path):
    arrays = stored(path)
    arrays.write_bytes(arrays.read_bytes()[:-100])


def flip(path):
    arrays = stored(path)
    data = bytearray(arrays.read_bytes())
    data[len(data) // 2] ^= 1
    arrays.write_bytes(data)


def alter(path):
    manifest = path / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"epoch": 1', '"epoch": 7'))


def renew(path):
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**manifest, "format_version": 3}))


def replace_by_objects(path):
    """A pickle among the arrays, under checksums that are right."""
    numpy.savez(stored(path), evil=numpy.array([{}], dtype=object))
    fit_checksums(path)


DAMAGE = {
    truncate: r"arrays-\w+.npz is damaged: its checksum",
    flip: r"arrays-\w+.npz is damaged: its checksum",
    alter: "manifest.json was altered: its checksum",
    renew: "in format 3, and this autorec reads formats 1 and 2",
    lambda path: stored(path).unlink(): r"incomplete: arrays-\w+.npz is missing",
    lambda path: (path / "manifest.json").write_text("[]"): "not describe a checkpoint of autorec",
    lambda path: (path / "manifest.json").write_text(
        '{"checkpoint": 1, "sha256": {"../x": ""}}'
    ): "does not name its files",
}


@pytest.fixture(scope="module")
def three_epochs(tmp_path_factory):
    """The checkpoints of three epochs, to be copied."""
    folder = tmp_path_factory.mktemp("three")
    trained(Checkpoints(folder, keep=3), num_epochs=3)
    return folder


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over(tmp_path, three_epochs, damage):
    checkpoints = Checkpoints(tmp_path / "copy", keep=3)
    shutil.copytree(three_epochs, checkpoints.folder)
    damage(checkpoints.path(3))
    with pytest.raises(DataCorruptError, match=DAMAGE[damage]):
        Checkpoint.read(checkpoints.path(3))
    with pytest.warns(UserWarning, match=f"{DAMAGE[damage]}.* It is passed over"):
        _, result = trained(checkpoints, True, num_epochs=3)
    assert_same(trained(num_epochs=3)[1], result, 0)
    assert Checkpoint.read(checkpoints.path(3)).epoch == 3  # written anew


def test_where_all_are_damaged_nothing_is_begun(tmp_path, three_epochs):
    checkpoints = Checkpoints(tmp_path / "copy")
    shutil.copytree(three_epochs, checkpoints.folder)
    for epoch in checkpoints.epochs():
        flip(checkpoints.path(epoch))
    refused = pytest.raises(DataCorruptError, match=r"epoch-0003/arrays-\w+.npz is damaged")
    with pytest.warns(UserWarning, match="passed over"), refused:
        trained(checkpoints, True, num_epochs=3)


def test_nothing_is_unpickled(tmp_path, three_epochs):
    path = tmp_path / "epoch-0003"
    shutil.copytree(three_epochs / "epoch-0003", path)
    replace_by_objects(path)
    with pytest.raises(DataCorruptError, match="is no array of plain numbers"):
        _ = Checkpoint.read(path).weights


def test_a_full_disk_leaves_the_checkpoints_that_there_are(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    stopped(checkpoints, 2)

    def full(file, arrays):
        file.write(b"PK")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints_module, "write_npz", full)
    with pytest.raises(OSError, match="No space left"):
        trained(checkpoints, True)
    monkeypatch.undo()
    assert checkpoints.epochs() == [1, 2]
    assert {path.name for path in tmp_path.iterdir()} == {LOCK, "epoch-0001", "epoch-0002"}
    assert_same(trained()[1], trained(checkpoints, True)[1], 0)


def test_a_run_that_diverges_names_the_batch_and_the_last_good_checkpoint(tmp_path):
    settings = {"optimizer": "sgd", "learning_rate": 1e4, "test": None, "num_epochs": 60}
    with pytest.raises(TrainingError) as alone:
        trained(**settings)
    assert re.fullmatch(
        r"The training error is no longer finite in batch \d+ of epoch \d+; lower the learning "
        r"rate\.",
        str(alone.value),
    )
    checkpoints = Checkpoints(tmp_path, every=100)
    with pytest.raises(TrainingError, match="finite .* epoch .*; lower the learning rate") as end:
        trained(checkpoints, **settings)
    (latest,) = checkpoints.epochs()
    assert f"(the last good checkpoint is {checkpoints.path(latest)})." in str(end.value)
    assert all(numpy.isfinite(each).all() for each in checkpoints.latest().weights.values())


# By the command line.


@pytest.mark.parametrize("mask", [0o077, 0o022])
def test_all_that_a_run_leaves_follows_the_umask(tmp_path, ratings_file, monkeypatch, mask):
    before = os.umask(mask)
    try:
        given = ["--ratings", ratings_file, "--hidden", 4, "--epochs", 2, "--checkpoint-every", 1]
        assert command_line(monkeypatch, *given, "--output", tmp_path / "run", "--quiet") == 0
    finally:
        os.umask(before)
    paths = [tmp_path / "run", *(tmp_path / "run").rglob("*")]
    names = {path.name.partition("-")[0] for path in paths}
    assert names >= {
        "metrics.json",
        "curve.png",
        "model.params",
        "weights",
        "ratings",
        "arrays",
        LOCK,
    }
    for path in paths:
        mode = (0o777 if path.is_dir() else 0o666) & ~mask
        assert path.stat().st_mode & 0o777 == mode, path


def test_a_folder_may_have_any_name(tmp_path, ratings_file, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = ["--ratings", "films.csv", "--hidden", 2, "--members", 2, "--checkpoint-every", 1]
    assert command_line(monkeypatch, *given, "--epochs", 1, "--output", "columns/run") == 0
    assert command_line(monkeypatch, "--resume", "columns/run", "--epochs", 2) == 0
