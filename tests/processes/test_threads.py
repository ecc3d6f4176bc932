"""Threads: every entry point in any of them, many at once, and servers that are made of them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy
import pandas as pd
import pytest
from scipy.sparse import random as random_matrix
from support import times

import autorec
from autorec import AutoRec, BiasedMF, Interactions, Recommender, section
from autorec._mxnet import autograd, gluon, mx, np, npx, numpy_semantics
from autorec.data.splits import random_split
from autorec.export.formats import export
from autorec.training.pretraining import pretrain

CPU = [mx.cpu()]


def in_new_thread(function: Callable[[], Any]) -> Any:
    """Return what a function returns in a thread of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()


def semantics() -> tuple[bool, bool]:
    return npx.is_np_array(), bool(mx.util.is_np_shape())


def recommender(compute: str, **parameters: Any) -> Recommender:
    settings = {"num_hidden": 16, "num_epochs": 3, "dropout": 0.2, "devices": "cpu"}
    return Recommender(compute=compute, **{**settings, **parameters})  # type: ignore[arg-type]


def weights(model: Recommender) -> list[bytes]:
    return [each.data().asnumpy().tobytes() for each in model.net_.collect_params().values()]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = numpy.random.default_rng(5)
    user, item = (rng.random((200, 150)) < 0.1).nonzero()
    return pd.DataFrame({"user": user, "item": item, "rating": rng.integers(1, 6, len(user)) / 1.0})


@pytest.fixture(scope="module")
def known(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """What this thread, which imported autorec, makes of the table."""
    model = recommender("sparse").fit(table)
    folder = model.save(tmp_path_factory.mktemp("threads") / "model")
    inputs = Interactions.from_ratings(model.ratings_)
    factors = BiasedMF(num_epochs=1, devices="cpu").fit(model.ratings_)
    return SimpleNamespace(table=table, model=model, folder=folder, inputs=inputs, mf=factors)


def gluon_of_ones_own(known: SimpleNamespace, folder: Path) -> float:
    net = AutoRec(4, 6)
    net.initialize(ctx=CPU)
    with autograd.record():
        loss = net(np.ones((2, 6)))
    loss.backward()
    net.save_parameters(str(folder / "net.params"))
    net.load_parameters(str(folder / "net.params"), ctx=CPU)
    return float(net(np.ones((2, 6))).asnumpy().sum())


def the_section(known: SimpleNamespace, folder: Path) -> float:
    data = pd.DataFrame({"u": [1, 2, 2], "i": [1, 1, 2], "r": [3, 4, 5], "t": [1, 2, 3]})
    kept, left = section.split_data_ml100k(data, 2, 2)
    *_, matrix = section.load_data_ml100k(data, 2, 2)
    assert len(kept) + len(left) == 3
    net = AutoRec(4, 2)
    net.initialize(mx.init.Constant(0.1), ctx=CPU)
    with numpy_semantics():  # as Gluon's own classes want them, whoever makes them
        trainer = gluon.Trainer(list(net.collect_params().values()), "sgd", {"learning_rate": 0.01})
    loss = gluon.loss.L2Loss()
    rows = [matrix]
    section.train_recsys_rating(net, rows, rows, loss, trainer, 1, CPU, inter_mat=matrix)
    return section.evaluator(net, rows, matrix, CPU)


ENTRY_POINTS: dict[str, Callable[[SimpleNamespace, Path], Any]] = {
    "Recommender.fit": lambda known, _: weights(recommender("sparse").fit(known.table)),
    "Recommender.fit, whole rows": lambda known, _: weights(recommender("dense").fit(known.table)),
    "Recommender.predict": lambda known, _: known.model.predict([1, 2], [3, 4]).tolist(),
    "Recommender.recommend_batches": lambda known, _: [
        batch.to_csv() for batch in known.model.recommend_batches([1, 2])
    ],
    "Recommender.recommend": lambda known, _: known.model.recommend([1, 2]).to_csv(),
    "Recommender.similar_items": lambda known, _: known.model.similar_items(3).to_csv(),
    "Recommender.evaluate": lambda known, _: known.model.evaluate(known.table[:50]),
    "Recommender.update": lambda known, _: len(
        Recommender.load(known.folder).update(known.table[:9]).ratings_
    ),
    "Recommender.save": lambda known, folder: known.model.save(folder / "saved").name,
    "Recommender.load": lambda known, _: weights(Recommender.load(known.folder)),
    "export to numpy": lambda known, folder: len(export(known.model, folder, "numpy")),
    "export to symbol": lambda known, folder: len(export(known.model, folder, "symbol")),
    "fit": lambda known, _: (
        autorec.fit(
            AutoRec(4, known.inputs.shape[1]), known.inputs, num_epochs=1, contexts=CPU
        ).best.train_rmse
    ),
    "pretrain": lambda known, _: sorted(
        pretrain([4, 3, 4], known.inputs, num_epochs=1, code_epochs=1, contexts=CPU)
    ),
    "evaluate": lambda known, _: autorec.evaluate(
        known.model.net_, known.inputs, known.inputs, CPU, compute="dense"
    ),
    "predict_cells": lambda known, _: autorec.predict_cells(
        known.model.net_, known.inputs, known.inputs, CPU
    ).tobytes(),
    "BiasedMF.fit": lambda known, _: (
        BiasedMF(num_epochs=1, devices="cpu").fit(known.mf.ratings_).predict([1], [2]).tolist()
    ),
    "BiasedMF.predict": lambda known, _: known.mf.predict([1, 2], [3, 4]).tolist(),
    "random_split": lambda known, _: len(random_split(known.mf.ratings_, 0.1, seed=0)[0]),
}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_every_entry_point_works_in_any_thread_and_leaves_it_as_it_was(
    name: str, known: SimpleNamespace, tmp_path: Path
) -> None:
    expected = ENTRY_POINTS[name](known, tmp_path)

    def elsewhere() -> Any:
        assert semantics() == (False, False)
        result = ENTRY_POINTS[name](known, tmp_path)
        assert semantics() == (False, False)
        return result

    assert in_new_thread(elsewhere) == expected
    assert semantics() == (True, True), "and the thread that imported it keeps them"


@pytest.mark.parametrize("cells", [gluon_of_ones_own, the_section])
def test_nets_and_the_sections_functions_work_in_any_thread(
    cells: Callable[[SimpleNamespace, Path], float], known: SimpleNamespace, tmp_path: Path
) -> None:
    def elsewhere() -> float:
        result = cells(known, tmp_path)
        assert semantics() == (False, False)
        return result

    assert numpy.isfinite(in_new_thread(elsewhere))


def test_an_error_reaches_the_thread_that_caused_it(known: SimpleNamespace) -> None:
    with pytest.raises(autorec.AutorecError, match="nobody"):
        in_new_thread(lambda: known.model.predict(["nobody"], [1]))


def test_a_thread_may_import_autorec_for_the_others() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import threading, numpy\n"
            "from scipy.sparse import csr_matrix\n"
            "def first():\n"
            "    import autorec.recommender.estimator\n"
            "thread = threading.Thread(target=first); thread.start(); thread.join()\n"
            "import autorec\n"
            "model = autorec.Recommender(num_hidden=2, num_epochs=1, devices='cpu')\n"
            "model.fit(csr_matrix(numpy.eye(3)))\n"
            "print(len(model.predict([0, 1], [1, 2])))\n",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


@times(1, 40)
@pytest.mark.parametrize("compute", ["dense", "sparse"])
def test_eight_threads_predict_while_others_train(
    compute: str, times: int, table: pd.DataFrame, soaked: Callable[[str, int], None]
) -> None:
    model = recommender(compute).fit(table)
    factors = BiasedMF(num_epochs=1, devices="cpu").fit(model.ratings_)
    users, items = table["user"], table["item"]
    asked: list[Callable[[], Any]] = [
        lambda: model.predict(users, items),
        lambda: factors.predict(users, items),
        lambda: model.recommend(k=5)["rating"].to_numpy(),
        lambda: model.similar_items(3)["similarity"].to_numpy(),
        lambda: model.evaluate(table[:200]).errors.rmse,
    ]
    # Input dropout draws, too; two seeds, since equal ones would not show who drew what.
    settings = [{"input_dropout": 0.1, "random_state": seed} for seed in (3, 4)]
    expected = [ask() for ask in asked]
    alone = [weights(recommender(compute, **each).fit(table)) for each in settings]
    ended = threading.Event()

    def serve() -> int:
        rounds = 0
        while not ended.is_set() or not rounds:
            for ask, answer in zip(asked, expected):
                # Rounding: OpenBLAS may share its work out otherwise where it is short of threads.
                numpy.testing.assert_allclose(ask(), answer, rtol=1e-5, atol=1e-6)
            rounds += 1
        return rounds

    def train(number: int) -> None:
        for _ in range(times):
            assert weights(recommender(compute, **settings[number]).fit(table)) == alone[number]

    with ThreadPoolExecutor(10) as threads:
        serving = [threads.submit(serve) for _ in range(8)]
        try:
            for training in [threads.submit(train, number) for number in (0, 1)]:
                training.result(timeout=600)
        finally:
            ended.set()
        rounds = sum(each.result() for each in serving)
    soaked("rounds of predictions by 8 threads while others trained", rounds)


def test_those_who_train_keep_nobody_waiting(known: SimpleNamespace) -> None:
    begun, answered = threading.Barrier(13), threading.Event()

    def wait(_: object) -> None:
        begun.wait(timeout=60)
        assert answered.wait(timeout=60)

    with ThreadPoolExecutor(13) as threads:
        training = [
            threads.submit(recommender("dense", num_epochs=1).fit, known.table, on_epoch=wait)
            for _ in range(12)
        ]
        try:
            begun.wait(timeout=60)  # all of them are in the middle of their training
            asked = threads.submit(known.model.predict, [1, 2], [3, 4])
            assert len(asked.result(timeout=60)) == 2
        finally:
            answered.set()
        for each in training:
            each.result()


def test_the_threads_of_a_server_leave_no_memory_behind(known: SimpleNamespace) -> None:
    def predict_in_threads(count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=known.model.predict, args=([1, 2], [3, 4]))
            thread.start()
            thread.join()

    predict_in_threads(60)  # makes the threads that stay, as many as there are to be
    before = megabytes()
    predict_in_threads(60)
    assert megabytes() - before < 60, "MXNet keeps 5 MB for each thread that computed"


def megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6


class Answer(BaseHTTPRequestHandler):
    """Answers /USER with the user's recommendations."""

    model: Recommender

    def do_GET(self) -> None:
        try:
            body = self.model.recommend([int(self.path[1:])], k=3).to_json(orient="records")
            self.send_response(200)
        except autorec.AutorecError as error:
            body = json.dumps({"error": str(error)})
            self.send_response(404)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *arguments: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def address(known: SimpleNamespace) -> Iterator[str]:
    """Where a server with a thread for each request listens."""
    handler = type("Handler", (Answer,), {"model": known.model})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@times(60, 3000)
def test_a_server_with_a_thread_for_each_request_recommends(
    times: int, known: SimpleNamespace, address: str, soaked: Callable[[str, int], None]
) -> None:
    everybody = known.model.recommend(k=3)
    expected = {user: list(rows["item"]) for user, rows in everybody.groupby("user")}

    def ask(user: int) -> list[int]:
        with urllib.request.urlopen(f"{address}/{user}", timeout=60) as answer:
            return [row["item"] for row in json.load(answer)]

    users = [number % 200 for number in range(times)]
    with ThreadPoolExecutor(8) as clients:
        assert list(clients.map(ask, users)) == [expected[user] for user in users]
    with pytest.raises(urllib.error.HTTPError, match="404"):
        ask(10_000)
    soaked("recommendations by a server with a thread for each request", times)


def test_asyncio_hands_work_to_threads(known: SimpleNamespace) -> None:
    users, items = known.table["user"][:100], known.table["item"][:100]

    async def ask() -> list[Any]:
        loop = asyncio.get_running_loop()  # asyncio.to_thread is this
        asked = [loop.run_in_executor(None, known.model.predict, users, items) for _ in range(20)]
        return [*await asyncio.gather(*asked), await asyncio.to_thread(known.model.recommend)]

    *predicted, recommended = asyncio.run(ask())
    for each in predicted:
        numpy.testing.assert_allclose(each, known.model.predict(users, items), rtol=1e-6)
    assert recommended.equals(known.model.recommend())


@pytest.mark.parametrize("few", [0, 2_000])
def test_kernels_are_compiled_once_though_threads_come_together(
    few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("numba")
    from autorec.compute import compiling

    monkeypatch.setattr(compiling, "_FEW", few)  # from how many on threads share a call

    matrix = random_matrix(50, 40, 0.2, "csr", numpy.float32, random_state=0)
    weight = numpy.ones((40, 3), dtype=numpy.float32)

    @compiling.kernel
    def doubled(
        first: int, end: int, starts: Any, lines: Any, values: Any, of: Any, result: Any
    ) -> None:
        for number in range(first, end):
            result[number] = 2 * values[starts[number] : starts[number + 1]].sum()

    def call(_: int) -> Any:
        result = numpy.empty((50, 3), dtype=numpy.float32)
        doubled(matrix.indptr, matrix.indices, matrix.data, weight, result)
        return result[:, 0]

    with ThreadPoolExecutor(8) as threads:
        for found in threads.map(call, range(16)):
            numpy.testing.assert_allclose(found, 2 * matrix.sum(axis=1).A1, rtol=1e-5)
