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


def ran(folder: Path, code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = folder / "program.py"
    program.write_text(code)
    return subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_processes_of_a_parent_that_computed_answer_as_it_does(how: str, tmp_path: Path) -> None:
    pytest.importorskip("numba")
    done = ran(tmp_path, PROGRAM, how)
    assert done.stdout == "all alike\n", done.stderr


# What gunicorn does with --preload and --threads: the parent loads the model and answers, in
# threads too, and its children accept from the socket that it has opened.
SERVER = """
import os, sys, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
import numpy, pandas as pd
from autorec import Recommender

item, user = (numpy.random.default_rng(0).random((12, 9)) < 0.6).nonzero()
table = pd.DataFrame({"user": user, "item": item, "rating": 1.0 + (item + user) % 5})
settings = {"num_hidden": 4, "num_epochs": 2, "devices": "cpu", "compute": sys.argv[1]}
model = Recommender(**settings).fit(table)

def answer():
    return str(model.recommend([3], k=3)["item"].tolist())

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"{os.getpid()} {answer()}".encode())

    def log_message(self, *arguments):
        pass

expected = answer()
threads = [threading.Thread(target=answer) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
workers = []
for _ in range(3):
    worker = os.fork()
    if not worker:
        server.serve_forever()
    workers.append(worker)
try:
    for _ in range(30):
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}", timeout=60) as reply:
            worker, found = reply.read().decode().split(" ", 1)
        assert int(worker) in workers and found == expected, (worker, found)
    assert answer() == expected
finally:
    for worker in workers:
        os.kill(worker, 9)
        os.waitpid(worker, 0)
print("all alike")
"""


@pytest.mark.parametrize("compute", ["dense", "sparse"])
def test_a_server_that_forks_after_loading_the_model_answers(compute: str, tmp_path: Path) -> None:
    if compute == "sparse":
        pytest.importorskip("numba")
    done = ran(tmp_path, SERVER, compute)
    assert done.stdout == "all alike\n", done.stderr
