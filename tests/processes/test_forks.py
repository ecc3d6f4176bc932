"""Forked and spawned processes after a parent that computed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

# Run in a process of its own: a child that is lost in a lock would hold up the other tests.
PROGRAM = """
import multiprocessing, sys
import numpy, pandas as pd
from autorec import Recommender

def table(seed=0):
    item, user = (numpy.random.default_rng(seed).random((12, 9)) < 0.6).nonzero()
    return pd.DataFrame({"user": user, "item": item, "rating": 1.0 + (item + user) % 5})

def fitted():
    settings = {"num_hidden": 4, "num_epochs": 2, "compute": "sparse", "devices": "cpu"}
    return Recommender(**settings).fit(table())

def answer(_):
    users, items = known.ratings_.pairs()
    return known.predict(users, items).tolist(), known.recommend(3, k=2)["item"].tolist()

def learned(_):
    return fitted().predict([3], [5]).tolist()

known = fitted()  # again in a child that is spawned

if __name__ == "__main__":
    expected, again = answer(0), learned(0)
    with multiprocessing.get_context(sys.argv[1]).Pool(2) as pool:
        for found in pool.map_async(answer, range(4)).get(timeout=100):
            numpy.testing.assert_allclose(found[0], expected[0], rtol=1e-5)  # sums of one thread
            assert found[1] == expected[1]
        for found in pool.map_async(learned, range(2)).get(timeout=100):
            numpy.testing.assert_allclose(found, again, rtol=1e-4)
    print("all alike")
"""


def ran(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_processes_of_a_parent_that_computed_answer_as_it_does(how: str, tmp_path: Path) -> None:
    pytest.importorskip("numba")
    done = ran(tmp_path, how)
    assert done.stdout == "all alike\n", done.stderr
