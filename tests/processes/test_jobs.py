"""Training over several workers, as real processes on loopback, against one process."""

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy
import pytest
from support.command_line import command_line
from support.jobs import CASES, DEEP, run
from support.launched import children, end_of, is_gone, launched, wait_for
from support.processes import with_helpers
from support.training import (
    assert_same,
    figures,
    learned,
    weights,
)

from autorec.distributed import launch
from autorec.recommender.estimator import Recommender
from autorec.training.checkpoints import Checkpoints


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Two workers train all cases, then worker 1 is killed; nobody looks after the others."""
    folder = tmp_path_factory.mktemp("job")
    port, *_ = launch.free_ports(1)
    environment = {
        **with_helpers(),
        "DMLC_PS_ROOT_URI": "127.0.0.1",
        "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_NUM_WORKER": "2",
        "DMLC_NUM_SERVER": "1",
        "DMLC_INTERFACE": "lo",
        "DMLC_NODE_HOST": "127.0.0.1",
        "PS_HEARTBEAT_INTERVAL": "1",
        "PS_HEARTBEAT_TIMEOUT": "3",
        "OMP_NUM_THREADS": "1",
        "NUMBA_NUM_THREADS": "1",
    }
    serve = ["-m", "autorec.distributed.roles"]
    train = ["-m", "support.jobs", str(folder)]
    processes = []
    for role, arguments in [
        ("scheduler", serve), ("server", serve), ("worker", train), ("worker", train),
    ]:  # fmt: skip
        processes.append(
            subprocess.Popen(
                [sys.executable, *arguments],
                env={**environment, "DMLC_ROLE": role},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
        )
    ends = []
    try:
        for role, process in zip(["scheduler", "server", "worker", "worker"], processes):
            said, _ = process.communicate(timeout=200)
            ends.append((role, process.returncode, said))
    finally:
        for process in processes:
            process.kill()
    found = {}
    for rank in range(2):
        path = folder / f"{rank}.json"
        assert path.exists(), ends
        with numpy.load(folder / f"{rank}.npz") as arrays:
            found[rank] = (*json.loads(path.read_text()), dict(arrays))
    return found, ends


def of(job, rank, name):
    results, _, arrays = job[0][rank]
    found = {key[len(name) + 1 :]: arrays[key] for key in arrays if key.startswith(f"{name}/")}
    return results[name], found


def assert_alike(expected, result):
    assert len(expected) == len(result)
    for one, other in zip(expected, result):
        assert one == pytest.approx(other, abs=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_two_workers_are_one_process(job, case):
    if "sparse" in case:
        pytest.importorskip("numba")
    history, expected = run(case)
    for rank in range(2):
        found, values = of(job, rank, case)
        assert_alike(history, found)
        assert_same(expected, values, 1e-3)


def test_a_deep_net_is_pretrained_by_both(job):
    expected = Recommender(**DEEP).fit(learned())
    history, values = of(job, 0, "deep")
    assert_alike(figures(expected.history_), history)
    assert_same(weights(expected.net_), values, 1e-3)


def test_all_workers_end_with_the_same_bits(job):
    for name in [*job[0][0][0]]:
        if name not in ("sums", "answered"):
            one, other = (of(job, rank, name) for rank in range(2))
            assert one[0] == other[0]
            assert_same(one[1], other[1], 0)


def test_a_resumed_job_ends_in_the_same_bits(job):
    history, expected = of(job, 0, "dropout")
    found, values = of(job, 0, "dropout, resumed")
    assert found == history
    assert_same(expected, values, 0)


def test_sums_are_exact(job):
    for rank in range(2):
        assert job[0][rank][0]["sums"] == [0.1 + 0.1 * 10.0**100, 1 / 3 + 1 / 3]


def test_workers_that_were_asked_for_different_things_say_so(job):
    for rank in range(2):
        assert "do not have the same ratings, settings" in job[0][rank][1]["other seeds"]


def test_all_workers_end_a_diverging_run_in_the_same_batch(job):
    one, other = (job[0][rank][1]["diverging"] for rank in range(2))
    assert one == other
    assert "no longer finite in batch" in one


def test_without_a_launcher_a_killed_worker_ends_all_with_a_word(job):
    scheduler, server, survivor, killed = job[1]
    if killed[1] != -signal.SIGKILL:
        survivor, killed = killed, survivor
    assert killed[1] == -signal.SIGKILL
    assert scheduler[1] == 1
    assert "autorec: 1 worker gave no sign of life for 3 s, so the job has ended" in scheduler[2]
    for _, code, said in (server, survivor):
        assert code == 1
        assert "autorec: The scheduler, which ends with any other process of the job" in said
        assert "goes on by train --resume" in said


# By the command line.


def test_a_launched_job_is_stopped_killed_and_resumed(tmp_path, ratings_file, monkeypatch):
    given = ["--ratings", "films.csv", "--hidden", 4, "--dropout", 0, "--batch-size", 16]
    given += ["--validation-ratio", 0.2, "--seed", 5]
    rows = ["--parallel", "rows"]
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    epochs = {"--epochs": 1_000_000, "--checkpoint-every": 1, "--output": "run"}
    options = [each for pair in epochs.items() for each in pair]
    process = launched("--", "train", *given, *rows, *options, cwd=tmp_path)
    wait_for(checkpoints.epochs, process)
    started = children(process)
    assert [len(pids) for pids in started.values()] == [1, 1, 2]
    process.send_signal(signal.SIGINT)
    code, said = end_of(process, started)
    assert code == 130, said
    done = checkpoints.epochs()[-1]
    again = "to go on: start the job again with train --resume run"
    assert said[-1] == f"[worker 0] autorec: stopped after epoch {done}; {again}"
    assert all(line.startswith("[worker 0] ") for line in said)

    process = launched("--", "train", "--resume", "run", cwd=tmp_path)
    wait_for(lambda: checkpoints.epochs()[-1] > done, process)
    started = children(process)
    os.kill(started["worker"][1], signal.SIGKILL)
    code, said = end_of(process, started)
    assert code == 1
    assert said[-1] == (
        "autorec: worker 1 ended with SIGKILL, and so the whole job has; a run with checkpoints "
        "goes on by train --resume."
    )
    last = checkpoints.epochs()[-1] + 2

    process = launched("--", "train", "--resume", "run", "--epochs", last, cwd=tmp_path)
    code, said = end_of(process, {})
    assert code == 0, said
    assert any(line.startswith("[worker 0] Test RMSE ") for line in said)
    assert not any(line.startswith("[worker 1]") for line in said)

    monkeypatch.chdir(tmp_path)
    assert command_line(monkeypatch, *given, "--epochs", last, "--output", "one") == 0
    job, one = (
        json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("run", "one")
    )
    assert job["config"].pop("kvstore") == "dist_sync"
    assert job["config"].pop("workers") == 2
    assert (one["config"].pop("kvstore"), one["config"].pop("workers")) == (None, 1)
    assert job["config"] == one["config"]
    assert len(job["history"]) == last
    for name in ("train_rmse", "validation_rmse", "test_rmse"):
        scores = ([epoch[name] for epoch in metrics["history"]] for metrics in (job, one))
        numpy.testing.assert_allclose(*scores, atol=1e-4)
    assert job["test_rmse"] == pytest.approx(one["test_rmse"], abs=1e-4)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_of_a_launcher_that_is_ended(tmp_path, ratings_file, number):
    process = launched("--servers", 2, "--", "train", "--ratings", "films.csv", cwd=tmp_path)
    wait_for(lambda: sum(map(len, children(process).values())) == 5, process)
    started = children(process)
    process.send_signal(number)
    process.communicate(timeout=400)
    assert process.returncode == (143 if number == signal.SIGTERM else -number)
    wait_for(lambda: all(is_gone(pid) for pids in started.values() for pid in pids))


def test_a_worker_that_fails_ends_the_job_with_its_message(tmp_path):
    process = launched("--workers", 1, "--", "train", "--ratings", "no.csv", cwd=tmp_path)
    said, _ = process.communicate(timeout=400)
    assert process.returncode == 2
    assert "[worker 0] autorec: " in said
    assert "no.csv" in said
    assert "autorec: worker 0 ended with exit code 2, and so the whole job has" in said


def listening(pids):
    """Return the addresses, those of IPv6 in hexadecimal, and ports that processes listen on."""
    links = []
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # a file that was closed since, a checkpoint's
                links.append(os.readlink(link))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in links:
                host, port = local.split(":")
                if table == "tcp":
                    host = socket.inet_ntoa(bytes.fromhex(host)[::-1])
                found.append((host, int(port, 16)))
    return found


def test_a_launched_job_listens_on_loopback_alone_and_a_strangers_bytes_end_it_with_a_word(
    tmp_path, ratings_file, monkeypatch
):
    for variable, value in {
        "DMLC_USE_KUBERNETES": "1", "DMLC_NODE_HOST": "0.0.0.0", "DMLC_LOCAL": "1", "PORT": "1",
        "DMLC_PS_VAN_TYPE": "another", "DMLC_RANK": "1", "PS_RESEND": "1",
    }.items():  # fmt: skip
        monkeypatch.setenv(variable, value)
    options = ["--ratings", "films.csv", "--epochs", 1_000_000, "--checkpoint-every", 1]
    process = launched("--", "train", *options, "--output", "run", cwd=tmp_path)
    wait_for(Checkpoints(tmp_path / "run" / "checkpoints").epochs, process)
    started = children(process)
    places = {role: listening(pids) for role, pids in started.items()}
    assert [len(found) for found in places.values()] == [1, 1, 2]
    assert {host for found in places.values() for host, _ in found} == {"127.0.0.1"}
    with socket.create_connection(places["server"][0]) as stranger:
        # No name and no message, in the words of ZeroMQ's first protocol.
        stranger.sendall(b"\x01\x00\x01\x00")
        code, said = end_of(process, started)
    assert code == 1
    assert said[-1] == (
        "autorec: server 0 ended with SIGABRT, and so the whole job has; a run with checkpoints "
        "goes on by train --resume."
    )
    assert Checkpoints(tmp_path / "run" / "checkpoints").latest().epoch >= 1


def test_the_first_keys_of_a_job_are_on_all_servers(job):
    for rank in range(2):
        assert job[0][rank][0]["answered"]
    for servers in range(1, 200):
        assert {9973 * key % servers for key in range(2, 2 + servers)} == set(range(servers))


def test_a_process_that_the_others_do_not_join_ends_with_a_word(environment):
    port, *_ = launch.free_ports(1)
    for name, value in {
        "DMLC_ROLE": "scheduler", "DMLC_PS_ROOT_URI": "127.0.0.1", "DMLC_PS_ROOT_PORT": str(port),
        "DMLC_INTERFACE": "lo", "AUTOREC_JOIN_TIMEOUT": "1",
    }.items():  # fmt: skip
        environment.setenv(name, value)
    done = subprocess.run(
        [sys.executable, "-m", "autorec", "train", "--kvstore", "dist_sync"],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 1
    assert "have not come within 1 s; start a scheduler, 3 servers and 2 workers" in done.stderr
