"""Models and checkpoints that a stranger changed, under checksums that fit."""

import json
import shutil
from pathlib import Path

import pytest
from support import FIRST_FORMAT, times
from support.attacks import attack
from support.training import RESUMED

from autorec import Recommender
from autorec.training.checkpoints import Checkpoints


@times(20, 500)
def test_mutated_checkpoints_are_refused_or_resumed(tmp_path, times, soaked):
    """Of the first format, computed densely, and of this one, by kernels that trust shapes."""
    pytest.importorskip("numba")
    (tmp_path / "old").mkdir()
    shutil.copytree(FIRST_FORMAT / "checkpoints" / "epoch-0002", tmp_path / "old" / "epoch-0002")
    sparse = {**RESUMED, "num_hidden": 4, "compute": "sparse"}
    checkpoints = Checkpoints(tmp_path / "new", keep=1)
    Recommender(**{**sparse, "num_epochs": 2}).fit(
        FIRST_FORMAT / "ratings.csv", checkpoints=checkpoints
    )
    for number, (name, parameters) in enumerate((("old", RESUMED), ("new", sparse))):
        (tmp_path / name / "parameters.json").write_text(json.dumps(parameters))
        found = attack("mutate_checkpoint", tmp_path / name, times // 2, number)
        assert not found["raw"]
        assert found["refused"] + found["loaded"] == times // 2
        assert found["refused"] > times // 8
    soaked("mutated models and checkpoints", times)


@times(20, 500)
def test_mutations_whose_checksums_fit_are_refused_or_load(saved, tmp_path, times, soaked):
    old = Path(shutil.copytree(FIRST_FORMAT / "model", tmp_path / "first"))
    new = Path(shutil.copytree(saved, tmp_path / "second"))
    for number, folder in enumerate((old, new)):
        found = attack("mutate_model", folder, times // 2, number)
        assert not found["raw"]
        assert found["refused"] + found["loaded"] == times // 2
        assert found["refused"] > times // 8
    soaked("mutated models and checkpoints", times)
