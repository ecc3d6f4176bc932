"""The benchmarks' machinery, on small shapes; what they measure is for `make bench` alone."""

import json
import subprocess
import sys
from dataclasses import asdict, replace

import numpy
import pytest
from support import ROOT

from autorec import AutoRec, fit
from autorec._mxnet import mx
from benchmarks import markdown, synthetic
from benchmarks.machine import describe_machine
from benchmarks.parts import density, epochs, network
from benchmarks.process import JobError, measure


def test_synthetic_ratings_are_as_many_as_asked_for_and_long_tailed():
    ratings = synthetic.interactions(300, 500, 9_000, seed=1)
    matrix = ratings.matrix
    assert (ratings.shape, len(ratings), matrix.dtype) == ((300, 500), 9_000, numpy.float32)
    assert matrix.has_canonical_format  # no cell twice
    assert (matrix.data.min(), matrix.data.max()) == (1, 5)
    for axis in (matrix.indices, matrix.tocsc().indices):
        counts = numpy.sort(numpy.bincount(axis))
        assert counts[-1] > 3 * counts.mean() > 0
        assert numpy.median(counts) < counts.mean()
    again = synthetic.interactions(300, 500, 9_000, seed=1).matrix
    assert (matrix != again).nnz == 0
    assert (matrix != synthetic.interactions(300, 500, 9_000, seed=2).matrix).nnz > 0


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
def test_synthetic_ratings_have_any_density(share):
    ratings = synthetic.interactions(40, 60, int(share * 2400))
    assert len(ratings) == int(share * 2400)
    assert ratings.matrix.has_canonical_format


def test_training_on_synthetic_ratings_comes_near_to_their_noise():
    ratings = synthetic.interactions(1_000, 300, 90_000, seed=1)
    train, test = synthetic.hold_out(ratings, 0.1, seed=1)
    assert len(train) + len(test) == len(ratings)
    assert train.matrix.multiply(test.matrix).nnz == 0
    history = fit(
        AutoRec(100, 300, 0.0),
        train,
        test=test,
        num_epochs=20,
        batch_size=50,
        loss="sum",
        learning_rate=0.005,
        weight_decay=0.1,
        init=mx.init.Xavier(),
        contexts=[mx.cpu()],
        compute="dense",
    )
    spread = float(numpy.std(test.matrix.data))
    assert synthetic.NOISE < history[-1].test_rmse < (synthetic.NOISE + spread) / 2


def test_pytorchs_model_is_ours():
    torch = pytest.importorskip("torch")
    from benchmarks.jobs import torch_model

    train = synthetic.interactions(60, 40, 500)
    rng = numpy.random.default_rng(0)
    shapes = {"encoder": (8, 40), "decoder": (40, 8)}
    start = {f"{name}.weight": rng.normal(0, 0.1, shape) for name, shape in shapes.items()}
    net = torch_model.AutoRec(8, 40, 0.0)
    for name, value in start.items():
        net.get_parameter(name).data[:] = torch.from_numpy(value)
    settings = {"num_epochs": 3, "batch_size": 16, "learning_rate": 0.01, "weight_decay": 0.02}
    found = torch_model.fit(net, train, **settings)
    ours = fit(AutoRec(8, 40, 0.0), train, loss="sum", start=start, contexts=[mx.cpu()], **settings)
    expected = [epoch.train_rmse for epoch in ours]
    numpy.testing.assert_allclose([each["train_rmse"] for each in found], expected, rtol=1e-4)


def test_a_few_batches_stand_for_an_epoch():
    samples = {way: {"epoch": [3.0, 2.0, 7.0]} for way in ("sparse", "dense")}
    result = {"set": {"batches": 4}, "steps": 40, "samples": samples}
    assert epochs.epoch_seconds(result, "dense") == 30
    assert epochs.epoch_seconds(result, "sparse") == 3


def test_the_density_at_which_both_ways_take_as_long_lies_between_two():
    assert density.crossing([0.1, 0.4], [4, 0.25]) == pytest.approx(0.2)
    assert density.crossing([0.1], [4]) is None


def test_nodes_share_the_ratings_but_each_sends_all_weights():
    # A batch of 8,192 users of 100 ratings, a microsecond each, is 0.82 s, a tenth of it 0.08 s;
    # 20 million weights take 0.13 s on the network, and nothing else here.
    table = network.scaling_table((1e-6, 0.0), (1e-6, 0.0))
    assert "| 1,000,000 | 8,192 | 100 s | 26 s (3.9) | 17 s (6) |" in table


def test_a_ratio_that_misses_its_target_stands_out():
    assert markdown.reached(1.25, 1) == ["1.25", "1", "yes"]
    assert markdown.reached(0.8, 1) == ["0.8", "1", "**no**"]
    assert markdown.reached(0.8, None) == ["0.8", "", ""]


def test_a_job_that_fails_says_why(tmp_path):
    with pytest.raises(JobError, match="No such file"):
        measure(["benchmarks.jobs.epoch_job", "sparse", str(tmp_path), "1", "5", "0"], tmp_path)


def test_every_part_of_the_command_works():
    pytest.importorskip("numba")
    parts = ["waiting", "epochs", "updates", "scaling", "limits", "loading", "density", "learning"]
    command = [sys.executable, "-m", "benchmarks", "--quick", *parts]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for part in parts:
        assert f"## {part}\n" in done.stdout
    assert "| a small set: 20 GB / peak memory |" in done.stdout


def test_results_are_kept_of_sets_that_are_not_measured_again(tmp_path, monkeypatch):
    found = {
        "set": {**asdict(epochs.QUICK[0]), "ratings": 9_000},
        "steps": 3,
        "machine": describe_machine([]),
        "samples": {
            way: {"epoch": [0.5], "optimizer_step": [0.1], "megabytes": [300.0]}
            | {"evaluation": [0.1], "test_rmse": [0.9]}
            for way in epochs.WAYS
        },
    }
    monkeypatch.setattr(epochs, "measure_set", lambda each, sources: found)
    sets = [replace(epochs.QUICK[0], name=name) for name in ("ML-10M shape", "ML-100K")]
    for each in sets:
        text = epochs.compare(tmp_path, [each], {})
    assert list(json.loads((tmp_path / "epochs.json").read_text())) == ["ML-100K", "ML-10M shape"]
    assert (tmp_path / "epochs.md").read_text() == text
    assert "| ML-10M shape: sparse | 0.500 s | 0.300 s | 60% | 300 MB |" in text
    assert "| ML-10M shape: dense | 1.50 s* |" in text


def test_no_module_is_named_like_one_of_the_library():
    library, ours = (
        {path.stem for path in (ROOT / name).rglob("*.py")}
        | {path.parent.name for path in (ROOT / name).rglob("*/__init__.py")}
        for name in ("autorec", "benchmarks")
    )
    assert library & ours == {"__init__", "__main__"}
