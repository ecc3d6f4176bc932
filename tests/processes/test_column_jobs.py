"""Workers that own columns, as real processes on loopback, against one process."""

import json
import os
import signal
import subprocess
import sys

import numpy
import pytest
from support.columns import IN_A_JOB, joined, rmses, trained
from support.command_line import command_line
from support.launched import children, end_of, launched, wait_for
from support.processes import with_helpers
from support.training import assert_same, weights

from autorec import Recommender
from autorec.distributed import launch
from autorec.training.checkpoints import Checkpoints


def job(folder, count, servers):
    """Run `support.columns` in so many workers."""
    environment = {
        **with_helpers(),
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(launch.free_ports(1)[0]),
        "DMLC_NUM_WORKER": str(count),
        "DMLC_NUM_SERVER": str(servers),
        "DMLC_INTERFACE": "lo",
        "DMLC_NODE_HOST": "127.0.0.1",
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }
    serve, train = ["autorec.distributed.roles"], ["support.columns", str(folder)]
    roles = [("scheduler", serve), *[("server", serve)] * servers, *[("worker", train)] * count]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", *module],
            env={**environment, "DMLC_ROLE": role},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for role, module in roles
    ]
    try:
        said = [process.communicate(timeout=200)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert not any(process.returncode for process in processes), said


@pytest.mark.parametrize(("count", "servers"), [(1, 1), (2, 2), (4, 1)])
def test_workers_that_own_columns_are_one_process(tmp_path, count, servers):
    job(tmp_path, count, servers)
    for name, settings in IN_A_JOB.items():
        history, expected, _ = trained(**settings)
        found = []
        for rank in range(count):
            with numpy.load(tmp_path / f"{name}-{rank}.npz") as arrays:
                values = dict(arrays)
            numpy.testing.assert_allclose(values.pop("rmses"), rmses(history), rtol=0, atol=1e-4)
            own = values.pop("own")
            found.append((None, values, own))
        for rank in range(1, count):  # what all have, all have alike
            bias = "encoder.bias" if "encoder.bias" in expected else "encoder.0.bias"
            assert (found[rank][1][bias] == found[0][1][bias]).all()
        assert_same(expected, joined(found), 1e-3)


def test_a_launched_job_is_killed_and_resumed_by_other_workers(tmp_path, ratings_file, monkeypatch):
    given = ["--ratings", "films.csv", "--hidden", 4, "--batch-size", 16, "--dropout", 0.05]
    given += ["--validation-ratio", 0.2, "--seed", 5, "--normalise", "--devices", "cpu"]
    options = [*given, "--epochs", 1_000_000, "--checkpoint-every", 1, "--output", "run"]
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    last = 0
    for role, which in (("worker", 1), ("server", 0), ("scheduler", 0)):
        begun = options if last == 0 else ["--resume", "run"]
        process = launched("--", "train", *begun, cwd=tmp_path)
        wait_for(lambda after=last: checkpoints.epochs()[-1:] > [after + 2], process)
        started = children(process)
        os.kill(started[role][which], signal.SIGKILL)
        code, said = end_of(process, started)
        assert code == 1
        name = role if role == "scheduler" else f"{role} {which}"
        assert said[-1].startswith(f"autorec: {name} ended with SIGKILL, and so the whole job has")
        last = checkpoints.epochs()[-1]
    last += 2

    again = ["train", "--resume", "run", "--epochs", last]
    process = launched("--workers", 3, "--servers", 2, "--", *again, cwd=tmp_path)
    code, said = end_of(process, {})
    assert code == 0, said
    assert any(line.startswith("[worker 0] Test RMSE ") for line in said)

    monkeypatch.chdir(tmp_path)
    alone = [*given, "--epochs", last, "--compute", "sparse", "--output", "one"]
    assert command_line(monkeypatch, *alone) == 0
    job, one = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("run", "one")
    )
    assert (job["config"]["parallel"], job["config"]["workers"]) == ("columns", 3)
    assert len(job["history"]) == last
    for name in ("train_rmse", "validation_rmse", "test_rmse"):
        scores = ([epoch[name] for epoch in metrics["history"]] for metrics in (job, one))
        numpy.testing.assert_allclose(*scores, atol=1e-4)
    assert job["test_rmse"] == pytest.approx(one["test_rmse"], abs=1e-4)
    model, alone = (Recommender.load(tmp_path / name / "model") for name in ("run", "one"))
    assert_same(weights(alone.net_), weights(model.net_), 1e-3)


def test_each_worker_reads_the_file_of_its_users(tmp_path, ratings_file):
    split = [sys.executable, "-m", "autorec", "data", "split", "films.csv", "--workers", "2"]
    done = subprocess.run(split, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "ratings are in films-2/" in done.stdout
    given = ["--ratings", "films-2", "--hidden", 4, "--epochs", 2, "--validation-ratio", 0.2]
    given += ["--devices", "cpu", "--output", "run"]
    process = launched("--", "train", *given, cwd=tmp_path)
    code, said = end_of(process, {})
    assert code == 0, said
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["config"]["parallel"] == "columns"
    assert "[worker 0] 2 workers share the columns of net and ratings" in said
    sizes = [metrics[f"num_{part}"] for part in ("train", "validation", "test")]
    assert sum(sizes) == len(ratings_file.read_text().splitlines()) - 1
    model = Recommender.load(tmp_path / "run" / "model")
    assert (len(model.ratings_), model.ratings_.num_users) == (sizes[0], 20)
    assert len(model.recommend(k=2)) == 40
