"""Training over several workers, as real processes on loopback, against one process."""

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy
import pytest
from test_checkpoints import DROPOUT, TWO, VARIANTS, command_line, figures, stopped, trained
from test_training import assert_same, learned, weights

from autorec import Interactions
from autorec.distributed import launch, roles
from autorec.distributed.workers import Workers, leave
from autorec.errors import ConfigurationError, TrainingError
from autorec.recommender.estimator import Recommender
from autorec.training.checkpoints import Checkpoints
from autorec.training.loop import epoch_seed

CASES = {
    "dense": {"compute": "dense", "validate": True},
    "sparse": {"compute": "sparse", "validate": True},
    # 60 rows: the last batch has one, and so the second worker none.
    "a worker without rows": {"compute": "dense", "batch_size": 59, "loss": "sum"},
    "a worker without rows, sparse": {"compute": "sparse", "batch_size": 59, "loss": "sum"},
    "two devices each": {"compute": "dense", "contexts": TWO, "averaging": 0.5},
    "decay by column": {"compute": "dense", "decay_power": 0.5, "weight_decay": 0.05},
    "decay by column, sparse": {"compute": "sparse", "decay_power": 0.5, "weight_decay": 0.05},
    "rmsprop, normalised": {"optimizer": "rmsprop", "typical_count": 20.0, "compute": "dense"},
    "patience": {**VARIANTS["patience"], "compute": "dense"},
}
DEEP = {"num_hidden": [6, 3, 6], "pretrain_epochs": 2, "num_epochs": 3, "devices": "cpu"}
DEEP.update(dropout=0.0, compute="dense")


def run(case, **more):
    settings = {**CASES[case], **more}
    return trained(**{"num_epochs": 3, "dropout": 0.0, **settings})


def work(folder):
    """What each worker of `job` does: train, leave the results, and lose worker 1."""
    workers = Workers.join("dist_sync")
    results, arrays, said = {}, {}, {}

    def keep(name, history, values):
        results[name] = history
        arrays.update({f"{name}/{key}": value for key, value in values.items()})

    for case in CASES:
        if "sparse" not in case or importlib.util.find_spec("numba"):
            keep(case, *run(case, workers=workers))
    model = Recommender(**DEEP).fit(learned(), workers=workers)
    keep("deep", figures(model.history_), weights(model.net_))

    settings = {"compute": "dense", "batch_size": 16, **DROPOUT, "workers": workers}
    keep("dropout", *trained(**settings))
    checkpoints = Checkpoints(folder / "checkpoints")
    stopped(checkpoints, 2, **settings)
    workers.sums([0])  # rank 0 has written its checkpoint
    keep("dropout, resumed", *trained(checkpoints, True, **settings))

    for name, change in {
        "other seeds": {"seed": workers.rank},
        "diverging": {"optimizer": "sgd", "learning_rate": 1e6, "test": None, "num_epochs": 60},
    }.items():
        try:
            trained(**{**settings, **change})
        except (ConfigurationError, TrainingError) as error:
            said[name] = str(error)
    numbers = [0.1 * 10.0 ** (100 * workers.rank), 1 / 3]
    results["answered"] = workers._watch._answered
    results["sums"] = list(workers.sums(numbers))

    numpy.savez(folder / f"{workers.rank}.npz", **arrays)
    (folder / f"{workers.rank}.json").write_text(json.dumps([results, said]))
    workers.sums([0])  # both have written their results
    if workers.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        trained(workers=workers)
    finally:
        leave(9)  # it should not come to this


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """Two workers train all cases, then worker 1 is killed; nobody looks after the others."""
    folder = tmp_path_factory.mktemp("job")
    port, *_ = launch.free_ports(1)
    environment = {
        **os.environ,
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
    here = str(Path(__file__).parent)
    code = f"import sys; sys.path.insert(0, {here!r}); import test_several_machines as here"
    train = ["-c", f"{code}; here.work(here.Path({str(folder)!r}))"]
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


def test_workers_draw_dropout_of_their_own():
    assert epoch_seed(3, 1, 0) != epoch_seed(3, 1, 1)


def test_an_optimizer_that_draws_is_for_one_worker():
    class Two(Workers):
        count = property(lambda self: 2, lambda self, value: None)

    with pytest.raises(ConfigurationError, match="sgld draws"):
        trained(optimizer="sgld", workers=Two())


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


def launched(*arguments, cwd):
    return subprocess.Popen(
        [sys.executable, "-m", "autorec", "launch", *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def children(process):
    """Return the processes that a process has started, by role, in order."""
    found = {"scheduler": [], "server": [], "worker": []}
    tasks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    for pid in map(int, tasks.split()):
        variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
        for role in [each[10:] for each in variables if each.startswith("DMLC_ROLE=")]:
            found[role].append(pid)
    return found


def wait_for(condition, process=None):
    deadline = time.monotonic() + 100
    while not condition():
        assert time.monotonic() < deadline
        assert process is None or process.poll() is None, process.communicate()
        time.sleep(0.02)


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def end_of(process, started):
    """Return the exit code and what was printed; nothing that was started is left."""
    said, _ = process.communicate(timeout=100)
    assert all(is_gone(pid) for pids in started.values() for pid in pids)
    return process.returncode, said.splitlines()


def test_a_launched_job_is_stopped_killed_and_resumed(tmp_path, ratings_file, monkeypatch):
    given = ["--ratings", "films.csv", "--hidden", 4, "--dropout", 0, "--batch-size", 16]
    given += ["--validation-ratio", 0.2, "--seed", 5]
    checkpoints = Checkpoints(tmp_path / "run" / "checkpoints")
    epochs = {"--epochs": 1_000_000, "--checkpoint-every": 1, "--output": "run"}
    options = [each for pair in epochs.items() for each in pair]
    process = launched("--", "train", *given, *options, cwd=tmp_path)
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
    assert said[-1].startswith("[worker 0] Test RMSE ")
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
    process.communicate(timeout=100)
    assert process.returncode == (143 if number == signal.SIGTERM else -number)
    wait_for(lambda: all(is_gone(pid) for pids in started.values() for pid in pids))


def test_a_worker_that_fails_ends_the_job_with_its_message(tmp_path):
    process = launched("--workers", 1, "--", "train", "--ratings", "no.csv", cwd=tmp_path)
    said, _ = process.communicate(timeout=100)
    assert process.returncode == 2
    assert "[worker 0] autorec: " in said
    assert "no.csv" in said
    assert "autorec: worker 0 ended with exit code 2, and so the whole job has" in said


def listening(pids):
    """Return the addresses, those of IPv6 in hexadecimal, and ports that processes listen on."""
    links = [os.readlink(link) for pid in pids for link in Path(f"/proc/{pid}/fd").iterdir()]
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


def test_a_job_inherits_what_is_meant_for_any_and_nothing_of_another(monkeypatch):
    for variable in [*roles.HEARTBEAT, "PS_VERBOSE", "AUTOREC_JOIN_TIMEOUT", "MXNET_SEED"]:
        monkeypatch.setenv(variable, "7")
    kept = launch._inherited()
    assert all(kept[each] == "7" for each in roles.HEARTBEAT)
    assert {"PS_VERBOSE", "AUTOREC_JOIN_TIMEOUT", "MXNET_SEED", "PATH"} <= set(kept)
    for variable in ("DMLC_ANYTHING", "DMLC_ROLE", "PS_DROP_MSG", "PORT"):
        monkeypatch.setenv(variable, "7")
    assert launch._inherited() == kept


def test_launch_is_for_training():
    for arguments in ([], ["evaluate", "run/model"]):
        with pytest.raises(ConfigurationError, match="autorec launch -- train"):
            launch.launch(arguments)


@pytest.fixture
def environment(monkeypatch):
    given = {
        "DMLC_ROLE": "worker",
        "DMLC_PS_ROOT_URI": "10.0.0.1",
        "DMLC_PS_ROOT_PORT": "9000",
        "DMLC_NUM_WORKER": "2",
        "DMLC_NUM_SERVER": "3",
        "PS_HEARTBEAT_INTERVAL": "5",
        "PS_HEARTBEAT_TIMEOUT": "30",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_environment_says_who_a_process_is(environment):
    assert roles.Role.from_environment() == roles.Role("worker", num_workers=2, num_servers=3)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DMLC_ROLE", None, "DMLC_ROLE is not set, and --kvstore needs it, scheduler, server or"),
        ("DMLC_ROLE", "king", "DMLC_ROLE cannot be 'king'"),
        ("DMLC_PS_ROOT_URI", None, "DMLC_PS_ROOT_URI is not set"),
        ("DMLC_PS_ROOT_PORT", "70000", "cannot be '70000'; set it to a number from 1 to 65535"),
        ("DMLC_NUM_WORKER", "0", "DMLC_NUM_WORKER cannot be '0'"),
        ("DMLC_NUM_SERVER", None, "DMLC_NUM_SERVER is not set.* on one machine with autorec la"),
        ("DMLC_PS_ROOT_URI", "two words", "'two words'; set it to the scheduler's address, or a"),
        ("DMLC_NODE_HOST", "192.0.2.1", "'192.0.2.1'; set it to an IP address of this machine"),
        ("DMLC_NODE_HOST", "localhost", "'localhost'; set it to an IP address of this machine"),
        ("DMLC_INTERFACE", "none7", "'none7'; set it to a network interface of this machine"),
        ("PORT", "none", "'none'; set it to a number from 1 to 65535"),
        ("PS_HEARTBEAT_TIMEOUT", "5", "cannot be '5'; set it to more than PS_HEARTBEAT_INTERVAL"),
    ],
)
def test_a_wrong_variable_is_named(environment, capsys, name, value, said):
    environment.setenv(name, value or "")
    if value is None:
        environment.delenv(name)
    with pytest.raises(ConfigurationError, match=said):
        roles.Role.from_environment()
    assert command_line(environment, "--kvstore", "dist_sync") == 2
    assert f"autorec: {name} " in capsys.readouterr().err


def test_the_scheduler_says_where_it_cannot_listen(environment):
    environment.setenv("DMLC_ROLE", "scheduler")
    for address in ("192.0.2.1", "localhost"):
        environment.setenv("DMLC_PS_ROOT_URI", address)
        with pytest.raises(ConfigurationError, match=f"'{address}'; set it to an IP address of"):
            roles.Role.from_environment()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment.setenv("DMLC_PS_ROOT_PORT", str(port))
        for address, everywhere in {"127.0.0.1": "0", "a-name": "1"}.items():
            environment.setenv("DMLC_PS_ROOT_URI", address)
            environment.setenv("DMLC_USE_KUBERNETES", everywhere)
            with pytest.raises(ConfigurationError, match=f"'{port}'; set it to a port that is fr"):
                roles.Role.from_environment()
    assert roles.Role.from_environment().name == "scheduler"


def test_what_mxnet_says_is_one_sentence(monkeypatch):
    for said, sentence in {
        b"MXNetError: bind failed\nStack trace:\n  File van.cc, line 311": "bind failed",
        b"": "MXNet failed",
    }.items():
        library = SimpleNamespace(MXGetLastError=lambda said=said: said)
        monkeypatch.setattr(roles, "_library", lambda library=library: library)
        with pytest.raises(RuntimeError, match=f"^[^\n]*{sentence}$"):
            roles._check(-1)


def test_a_worker_that_servers_do_not_answer_ends_with_a_word(environment):
    environment.setenv("AUTOREC_JOIN_TIMEOUT", "1")
    environment.setattr(roles.Watch, "_are_all_there", lambda watch: True)
    environment.setattr(roles.Watch, "_dead", lambda *_: 0)
    said = []

    def give_up(watch, sentence):
        said.append(sentence)
        watch.end()

    environment.setattr(roles.Watch, "_give_up", give_up)
    roles.Watch(roles.Role("worker", 2, 3)).join(timeout=20)
    assert said == [
        "Not all servers and workers have answered within 1 s; let each of the job's machines "
        "reach all ports of the others."
    ]


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
        timeout=100,
        check=False,
    )
    assert done.returncode == 1
    assert "have not come within 1 s; start a scheduler, 3 servers and 2 workers" in done.stderr


def test_one_rows_ratings_can_be_taken_alone():
    ratings = Interactions.from_ratings(learned())
    rows = numpy.array([5, 2])
    part = ratings.only(rows)
    assert part.shape == ratings.shape
    assert part.rated_rows().tolist() == [2, 5]
    assert len(part) == ratings.count(rows)
    numpy.testing.assert_array_equal(part.dense(rows), ratings.dense(rows))
