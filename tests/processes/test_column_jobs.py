"""Workers that own columns, as real processes on loopback, against one process."""

import subprocess
import sys

import numpy
import pytest
from support.columns import IN_A_JOB, joined, rmses, trained
from support.processes import with_helpers
from support.training import assert_same

from autorec.distributed import launch


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
